-- The Authorization header of S3. Stores read what does not follow its grammar in ways of their own,
-- so that it would name one identity here and another one there: it is refused.

local trim = require("qos.trim")

local _M = {}

local usual = '^AWS4%-HMAC%-SHA256 Credential=([^/,%s"]+)/(%d%d%d%d%d%d%d%d/[^/,%s]+/[^/,%s]+/aws4_request),'
  .. " *SignedHeaders=([^,%s=]+), *Signature=(%w+)$"

-- Stores that do not know a scheme may serve a public bucket as to a sender without any.
local mechanisms = { ["AWS4-HMAC-SHA256"] = "header", ["AWS4-ECDSA-P256-SHA256"] = "other" }

local scopes = {
  ["AWS4-ECDSA-P256-SHA256"] = "^(.+)/(%d%d%d%d%d%d%d%d/[^/]+/aws4_request)$",
}
local usual_scope = "^(.+)/(%d%d%d%d%d%d%d%d/[^/]+/[^/]+/aws4_request)$"

function _M.is_known(algorithm)
  return mechanisms[algorithm] ~= nil
end

-- The id and the scope of "id/20260101/region/service/aws4_request", which has no region where a
-- signature is good in several. An id may have slashes.
function _M.split_credential(credential, algorithm)
  return credential:match(scopes[algorithm] or usual_scope)
end

local values = {
  Credential = '^[^,%s"]+$', SignedHeaders = "^[%w!#%$%%&'%*%+%-%.%^_`|~;]+$", Signature = "^%w+$",
}

-- The parts of "Credential=…, SignedHeaders=…, Signature=…" in any order.
local function parts_of(text)
  local parts = {}
  for part in (text .. ","):gmatch("([^,]*),") do
    local name, value = part:match("^ *(%a+)=(.*)$")
    local pattern = values[name]
    if pattern == nil or not value:find(pattern) then
      return nil, "authorization"
    elseif parts[name] then
      return nil, "ambiguous"
    end
    parts[name] = value
  end
  if not (parts.Credential and parts.SignedHeaders and parts.Signature) then
    return nil, "authorization"
  end
  return parts
end

local function of_version_4(text)
  local algorithm, rest = text:match("^(AWS4[^%s]*)(.*)$")
  if not mechanisms[algorithm] then
    return nil, "algorithm"
  elseif not rest:find("^ [^ ]") then
    return nil, "authorization"
  end
  local parts, why = parts_of(rest:sub(2))
  if parts == nil then
    return nil, why
  end
  local id, scope = _M.split_credential(parts.Credential, algorithm)
  if id == nil then
    return nil, "authorization"
  end
  return {
    id = id, mechanism = mechanisms[algorithm], scope = scope,
    signed_headers = parts.SignedHeaders, signature = parts.Signature,
  }
end

-- What the header claims; nil where it is of another scheme; nil and why where it is unclear.
function _M.parse(text)
  local id, scope, signed_headers, signature = text:match(usual)
  if id then
    return {
      id = id, mechanism = "header", scope = scope, signed_headers = signed_headers,
      signature = signature,
    }
  elseif text:find("^AWS4") then
    return of_version_4(text)
  end
  -- Base64 has no colon, an id may have.
  id = text:match("^AWS ([!-~]+):[%w%+/]+=*$")
  if id then
    return { id = id, mechanism = "version 2" }
  elseif trim.both(text):lower():find("^aws") then
    return nil, "authorization"
  end
end

return _M
