-- The API key of a request: in a header, or as the access key id of an S3 signature.

local _M = {}

local longest = 256
local most_seen = 10000

-- Keys that were looked at before: LuaJIT compiles no patterns.
local seen, seen_count = {}, 0

local function remember(key)
  if seen_count >= most_seen then
    seen, seen_count = {}, 0
  end
  seen[key], seen_count = true, seen_count + 1
  return key
end

-- A key is never looked up unless it looks like one: what else was sent goes nowhere.
local function clean(key)
  if seen[key] then
    return key
  elseif type(key) ~= "string" or #key > longest or not key:match("^[%w_%-%./+=]+$") then
    return nil
  end
  return remember(key)
end

local function access_key_id(authorization, arguments)
  if type(authorization) == "string" then
    return authorization:match("^AWS4%-HMAC%-SHA256 Credential=([^/,%s]+)/")
      or authorization:match("^AWS ([^:%s]+):")
  end
  if arguments == nil then
    return nil
  end
  local credential = arguments["X-Amz-Credential"]
  if type(credential) == "string" then
    return credential:match("^([^/]+)/")
  end
  local id = arguments["AWSAccessKeyId"]
  return type(id) == "string" and id or nil
end

-- The key; or nil and "missing", "malformed" or "ambiguous" (two headers that could mean
-- different things to us and to the storage).
--
-- `headers`: by names in lower case.
function _M.key(headers, arguments, key_header)
  local given, authorization = rawget(headers, key_header), rawget(headers, "authorization")
  if type(given) == "table" or type(authorization) == "table" then
    return nil, "ambiguous"
  end
  given = given or access_key_id(authorization, arguments)
  if given == nil then
    return nil, "missing"
  end
  local key = clean(given)
  if key == nil then
    return nil, "malformed"
  end
  return key
end

return _M
