-- Who a request says it is from: an API key in a header, or the access key id of an S3 signature.

local authorization_header = require("qos.identity.authorization_header")
local lrucache = require("resty.lrucache")
local request = require("qos.requests.request")
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

local function claim_of(id, mechanism, scope, signed_headers, signature)
  return {
    id = id, mechanism = mechanism, scope = scope, signed_headers = signed_headers,
    signature = signature,
  }
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

-- A store that does not decode a name would not find it.
local function has_encoded_names(query)
  if not query:find("%", 1, true) then
    return false
  end
  for name in ("&" .. query):gmatch("&([^&=]*)") do
    local plain = name:find("%", 1, true) and ngx.unescape_uri(name):lower()
    if plain and (argument_names[plain] or plain == "signature" or plain == "expires") then
      return true
    end
  end
  return false
end

-- Those arguments by their names in lower case; nil and "ambiguous" where one is there twice,
-- "malformed" where one is spelled otherwise.
local function signing_arguments(arguments)
  if has_encoded_names(request.var("args") or "") then
    return nil, "ambiguous"
  end
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
  return kind ~= "query" or authorization_header.is_known(fields["x-amz-algorithm"])
end

-- What an S3 request says in a query or in the fields of a form.
local function of_fields(fields, mechanism)
  local credential, id = fields["x-amz-credential"], fields["awsaccesskeyid"]
  if credential ~= nil and id ~= nil then
    return nil, "ambiguous"
  elseif type(credential) == "string" then
    local scope
    id, scope = authorization_header.split_credential(credential, fields["x-amz-algorithm"])
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
  if type(authorization) == "string" and trim.both(authorization):lower():find("^aws") then
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

-- What the request claims by an S3 signature; or nil and "missing", "malformed", or "ambiguous",
-- "algorithm" and "authorization" (what could mean different things to us and to the storage).
--
-- `headers`: by names in lower case. `arguments`: nil where the request has no query.
function _M.claim(headers, arguments)
  local authorization = rawget(headers, "authorization")
  if type(authorization) == "table" then
    return nil, "ambiguous"
  end
  local from_header, from_query, why
  if authorization ~= nil then
    from_header, why = authorization_header.parse(authorization)
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

-- Whether there is one place alone for the session token of a claim.
function _M.has_one_token(claim, headers)
  local token = rawget(headers, "x-amz-security-token")
  if type(token) == "table" or token ~= nil and claim.fields ~= nil then
    return false
  elseif claim.fields and claim.mechanism ~= "form" then
    return true
  end
  local query = request.var("args")
  return query == nil
    or not ("&" .. ngx.unescape_uri(query):lower()):find("&x-amz-security-token", 1, true)
end

-- What a form claims: `fields` by names in lower case.
function _M.claim_of_form(fields)
  return checked(of_fields(fields, "form"))
end

return _M
