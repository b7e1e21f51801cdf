-- Who a request says it is from: an API key in a header, or the access key id of an S3 signature.

local lrucache = require("resty.lrucache")
local trim = require("qos.trim")

local _M = {}

local longest = 256
local most_seen = 10000

-- Keys that were looked at before: LuaJIT compiles no patterns.
local seen = lrucache.new(most_seen)

-- A key is never looked up unless it looks like one: what else was sent goes nowhere.
local function clean(key)
  if type(key) == "string" and seen:get(key) then
    return key
  elseif type(key) ~= "string" or #key > longest or not key:match("^[!-~]+$") then
    return nil
  end
  seen:set(key, true)
  return key
end

-- A key that was made here, and is a secret. Access key ids never begin so.
function _M.is_secret(key)
  return key:sub(1, 4) == "qos_"
end

local usual_header = "^AWS4%-HMAC%-SHA256 Credential=([^/,%s]+)/(%d+/[^/,%s]+/[^/,%s]+/aws4_request),"
  .. "%s*SignedHeaders=([^,%s]+),%s*Signature=(%w+)$"

local function claim_of(id, mechanism, scope, signed_headers, signature)
  return {
    id = id, mechanism = mechanism, scope = scope, signed_headers = signed_headers,
    signature = signature,
  }
end

-- The id and the scope of "id/20260101/region/service/aws4_request": an id may have slashes.
local function split_credential(credential)
  local id, scope = credential:match("^(.+)/(%d+/[^/]+/[^/]+/aws4_request)$")
  if id == nil then
    id, scope = credential:match("^(.+)/(%d+/[^/]+/aws4_request)$")
  end
  return id, scope
end

-- The members of an Authorization header in any order; nil where one is there twice. An id may have
-- commas and spaces are not part of it.
local function members_of(text)
  local members = {}
  text = "," .. text
  for _, name in ipairs({ "Credential", "SignedHeaders", "Signature" }) do
    local at, ends = text:find("[,%s]" .. name .. "=")
    if at then
      if text:find("[,%s]" .. name .. "=", ends) then
        return nil
      end
      members[name] = trim.right(text:match("^%S*", ends + 1), ",")
    end
  end
  -- Without spaces between the members, the next one begins behind a comma.
  for name, value in pairs(members) do
    for _, other in ipairs({ "Credential", "SignedHeaders", "Signature" }) do
      local at = other ~= name and value:find("," .. other .. "=", 1, true)
      if at then
        value = value:sub(1, at - 1)
      end
    end
    members[name] = value
  end
  return members
end

-- Stores that do not know a scheme may serve a public bucket as to a sender without any.
local known_algorithms = { ["AWS4-HMAC-SHA256"] = true, ["AWS4-ECDSA-P256-SHA256"] = true }

local function of_header(authorization)
  local id, scope, signed_headers, signature = authorization:match(usual_header)
  if id then
    return claim_of(id, "header", scope, signed_headers, signature)
  end
  local algorithm = authorization:match("^AWS4[^ ]*")
  if algorithm and not known_algorithms[algorithm] then
    return nil, "algorithm"
  end
  local rest = authorization:match("^AWS4%-[%w%-]+%s+(.*)$")
  if rest then
    local members = members_of(rest)
    if members == nil then
      return nil, "ambiguous"
    end
    id, scope = split_credential(members.Credential or "")
    if id == nil then
      return nil, "malformed"
    end
    local is_usual = authorization:find("^AWS4%-HMAC%-SHA256%s")
    return claim_of(id, is_usual and "header" or "other", scope, members.SignedHeaders, members.Signature)
  end
  -- Base64 has no colon, an id may have.
  rest = authorization:match("^AWS +(.*)$")
  if rest then
    id = rest:match("^(%S+):[^:%s]*$")
    if id == nil then
      return nil, "malformed"
    end
    return claim_of(id, "version 2")
  end
end

-- Some stores read the names of these arguments in any case, S3 and others as they are written here
-- alone: they would serve a request with another spelling as one without a signature.
local argument_names = {
  ["x-amz-credential"] = "X-Amz-Credential", ["x-amz-signature"] = "X-Amz-Signature",
  ["x-amz-signedheaders"] = "X-Amz-SignedHeaders", ["x-amz-date"] = "X-Amz-Date",
  ["x-amz-expires"] = "X-Amz-Expires", ["x-amz-algorithm"] = "X-Amz-Algorithm",
  ["x-amz-security-token"] = "", ["x-amz-content-sha256"] = "",
  ["awsaccesskeyid"] = "AWSAccessKeyId",
}

-- Those arguments by their names in lower case; nil and "ambiguous" where one is there twice,
-- "malformed" where one is spelled otherwise.
local function signing_arguments(arguments)
  local found, is_misspelled = {}, false
  for name, value in pairs(arguments) do
    local lower = type(name) == "string" and name:lower()
    if lower and argument_names[lower] then
      if found[lower] ~= nil or type(value) == "table" then
        return nil, "ambiguous"
      end
      found[lower] = value
      is_misspelled = is_misspelled
        or argument_names[lower] ~= "" and argument_names[lower] ~= name
    end
  end
  if is_misspelled then
    return nil, "malformed"
  end
  found.signature, found.expires = arguments.Signature, arguments.Expires
  return found
end

local needed = {
  ["query"] = {
    "x-amz-algorithm", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature",
  },
  ["query of version 2"] = { "expires", "signature" },
  ["form"] = { "policy", "x-amz-signature" },
  ["form of version 2"] = { "policy", "signature" },
}

-- Without one of these a store may not look at the id at all.
local function is_complete(fields, kind)
  for _, name in ipairs(needed[kind]) do
    if type(fields[name]) ~= "string" or fields[name] == "" then
      return false
    end
  end
  return kind ~= "query" or known_algorithms[fields["x-amz-algorithm"]] ~= nil
end

-- What an S3 request says in a query or in the fields of a form.
local function of_fields(fields, mechanism)
  local credential, id = fields["x-amz-credential"], fields["awsaccesskeyid"]
  if credential ~= nil and id ~= nil then
    return nil, "ambiguous"
  elseif type(credential) == "string" then
    local scope
    id, scope = split_credential(credential)
    if id == nil then
      return nil, "malformed"
    end
    local claim = claim_of(
      id, mechanism, scope, fields["x-amz-signedheaders"], fields["x-amz-signature"]
    )
    claim.fields = fields
    claim.is_incomplete = not is_complete(fields, mechanism)
    return claim
  elseif type(id) == "string" then
    local claim = claim_of(id, "version 2")
    claim.fields = fields
    claim.is_incomplete = not is_complete(fields, mechanism .. " of version 2")
    return claim
  elseif credential ~= nil or id ~= nil then
    return nil, "malformed"
  end
end

local function checked(claim, why)
  if claim == nil then
    return nil, why or "missing"
  elseif clean(claim.id) == nil then
    return nil, "malformed"
  end
  return claim
end

-- Whether a client speaks S3, by what it sends to sign or to date a request.
function _M.is_s3(headers, arguments)
  local authorization = rawget(headers, "authorization")
  if type(authorization) == "string"
    and (authorization:find("^AWS4%-HMAC") or authorization:find("^AWS ")) ~= nil
  then
    return true
  end
  if rawget(headers, "x-amz-date") or rawget(headers, "x-amz-content-sha256") then
    return true
  end
  return arguments ~= nil
    and (arguments["X-Amz-Signature"] or arguments["AWSAccessKeyId"]
      or arguments["X-Amz-Credential"]) ~= nil
end

-- The API key of the header `key_header`, or nil; then nil and "ambiguous" or "malformed".
function _M.key(headers, key_header)
  local given = rawget(headers, key_header)
  if given == nil then
    return nil
  elseif type(given) == "table" then
    return nil, "ambiguous"
  end
  local key = clean(given)
  -- An access key id counts with its signature alone.
  if key == nil or not _M.is_secret(key) then
    return nil, "malformed"
  end
  return key
end

-- What the request claims by an S3 signature; or nil and "missing", "malformed" or "ambiguous" (two
-- that could mean different things to us and to the storage).
--
-- `headers`: by names in lower case. `arguments`: nil where there is no query.
function _M.claim(headers, arguments)
  local authorization = rawget(headers, "authorization")
  if type(authorization) == "table" then
    return nil, "ambiguous"
  end
  local from_header, from_query, why
  if authorization ~= nil then
    from_header, why = of_header(authorization)
  end
  if why == nil and arguments ~= nil then
    local fields
    fields, why = signing_arguments(arguments)
    if fields == nil then
      return nil, why
    end
    from_query, why = of_fields(fields, "query")
    if authorization ~= nil and (from_query or why) then
      return nil, "ambiguous"
    end
  end
  return checked(from_header or from_query, why)
end

-- What a form claims: `fields` by names in lower case.
function _M.claim_of_form(fields)
  return checked(of_fields(fields, "form"))
end

return _M
