-- What the operator says of S3 identities, in the JSON file of QOS_IDENTITIES_FILE:
--
-- secrets: access key ids and their secrets. Signatures with them are verified here.
-- anonymous: buckets, and the API key that reads of them without any signature are charged to.
-- domain: where buckets are names before a domain, that domain.
-- sessions: temporary credentials by the beginning of their id or of their session token, and the
-- API key that they are charged to.

local cjson = require("cjson.safe")

local _M = {}

local shortest_prefix = 8

local function fail(problem)
  -- No value of the file: it holds secrets.
  error("QOS_IDENTITIES_FILE: " .. problem, 0)
end

local function require_table(value, name)
  if value == nil then
    return {}
  elseif type(value) ~= "table" then
    fail(name .. " must be an object or a list")
  end
  return value
end

local function require_key(key, name)
  if type(key) ~= "string" or not key:find("^qos_[%w_%-]+$") then
    fail("each value of " .. name .. " must be an API key (qos_...)")
  end
end

local function require_prefix(prefix)
  if prefix ~= nil and (type(prefix) ~= "string" or #prefix < shortest_prefix) then
    fail("prefixes of sessions must have " .. shortest_prefix .. " characters at least")
  end
end

local function check_secrets(secrets)
  for id, secret in pairs(secrets) do
    if type(id) ~= "string" or not id:find("^[!-~]+$") or #id > 128 or id:find("^qos_") then
      fail("each name of secrets must be an access key id")
    elseif type(secret) ~= "string" or secret == "" then
      fail("each value of secrets must be a text")
    end
  end
end

local function check_sessions(sessions)
  for _, rule in ipairs(sessions) do
    if type(rule) ~= "table" or (rule.id_prefix == nil and rule.token_prefix == nil) then
      fail("each of sessions must have id_prefix, token_prefix or both")
    end
    require_prefix(rule.id_prefix)
    require_prefix(rule.token_prefix)
    require_key(rule.key, "sessions")
  end
end

local known_members = { secrets = true, anonymous = true, domain = true, sessions = true }

function _M.parse(text)
  local given = cjson.decode(text)
  if type(given) ~= "table" then
    fail("not a JSON object")
  end
  for name in pairs(given) do
    if not known_members[name] then
      fail("unknown member; there are secrets, anonymous, domain and sessions")
    end
  end
  local self = {
    secrets = require_table(given.secrets, "secrets"),
    anonymous = require_table(given.anonymous, "anonymous"),
    sessions = require_table(given.sessions, "sessions"),
    domain = given.domain,
  }
  if self.domain ~= nil and type(self.domain) ~= "string" then
    fail("domain must be a text")
  end
  check_secrets(self.secrets)
  for _, key in pairs(self.anonymous) do
    require_key(key, "anonymous")
  end
  check_sessions(self.sessions)
  self.has_anonymous = next(self.anonymous) ~= nil
  return self
end

function _M.read(path)
  if path == nil or path == "" then
    return _M.parse("{}")
  end
  local file = io.open(path, "r")
  if file == nil then
    fail("cannot be read")
  end
  local text = file:read("*a")
  file:close()
  return _M.parse(text)
end

local function begins_with(text, prefix)
  return prefix == nil or text:sub(1, #prefix) == prefix
end

-- The API key of temporary credentials; nil where no rule is about them.
function _M.key_of_session(self, id, token)
  for _, rule in ipairs(self.sessions) do
    if begins_with(id, rule.id_prefix) and begins_with(token, rule.token_prefix) then
      return rule.key
    end
  end
end

-- The name of a host without its port, and without the dot at the end of one that is written in full;
-- nil where stores could read it otherwise.
local function name_of(host)
  if host:sub(1, 1) == "[" then
    return ""
  end
  local name = host:lower():match("^([%w%-%._]*):?%d*$")
  if name and name:sub(-1) == "." then
    name = name:sub(1, -2)
  end
  return name and name:sub(-1) ~= "." and name or nil
end

-- The bucket that the name of a host begins with; nil for none.
local function bucket_of_name(self, name)
  local ending = "." .. (self.domain or "")
  if self.domain and #name > #ending and name:sub(-#ending) == ending then
    return name:sub(1, -#ending - 1)
  end
end

-- The path of a request with the bucket at its beginning, also where the host names it.
function _M.path_with_bucket(self, path, host)
  local name = self.domain and type(host) == "string" and name_of(host)
  local bucket = name and bucket_of_name(self, name)
  return bucket and "/" .. bucket .. path or path
end

-- The bucket of a request, as the storage will understand it; nil where that is not certain.
--
-- `uri`: as it stands in the request line. `host`: as the client said it.
function _M.bucket_of(self, uri, host)
  local path = uri:match("^(/[^?#]*)")
  local is_plain = path and not path:find("//", 1, true) and not path:find("/%.%.?/")
    and not path:find("/%.%.?$") and not path:find("\\", 1, true)
    and not path:lower():find("%%2[ef]") and not path:lower():find("%%5c")
  local name = name_of(host)
  if not is_plain or name == nil then
    return nil
  end
  return bucket_of_name(self, name) or path:match("^/([%w][%w%._%-]+)")
end

return _M
