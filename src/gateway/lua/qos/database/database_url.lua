-- Connection URLs of PostgreSQL, with several hosts. What a parameter asks for is used, or named in
-- `ignored`; none is sent to the server as a setting.

local _M = {}

-- No value of the URL: it may hold a password.
local function fail(part, hint)
  error("QOS_DATABASE_URL: invalid " .. part .. (hint and ": " .. hint or ""), 0)
end

local function decoded(text)
  if text == nil or text == "" then
    return nil
  end
  return (text:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

local function parameters_of(query)
  local parameters = {}
  for part in query:gmatch("[^&]+") do
    local name, value = part:match("^([^=]+)=?(.*)$")
    if name then
      parameters[decoded(name)] = decoded(value)
    end
  end
  return parameters
end

-- "host", "host:port", "[address]:port", or a socket's folder as "%2Frun".
local function written_host(text)
  local host, rest = text:match("^(%[[^%]]*%])(.*)$")
  if host == nil then
    host, rest = text:match("^([^:%[%]]*)(.*)$")
  end
  local port = rest and rest:match("^:(%d+)$")
  if host == nil or rest ~= "" and port == nil then
    fail("host")
  end
  return decoded(host), port
end

local function list_of(text)
  local list = {}
  for part in (text .. ","):gmatch("([^,]*),") do
    list[#list + 1] = part
  end
  return list
end

-- As nginx connects: brackets stay around an address of IPv6, and a socket is named by its file.
local function address_of(host, port)
  host = host or "127.0.0.1"
  if host:sub(1, 1) == "/" then
    return "unix:" .. host .. "/.s.PGSQL." .. string.format("%.0f", port)
  elseif host:find(":", 1, true) and host:sub(1, 1) ~= "[" then
    return "[" .. host .. "]"
  end
  return host
end

local function hosts_of(written, parameters)
  local named = parameters.hostaddr or parameters.host
  local ports, hosts = list_of(parameters.port or ""), {}
  for place, text in ipairs(list_of(named or written)) do
    local host, port = text, nil
    if not named then
      host, port = written_host(text)
    end
    port = tonumber(port or ports[place] or ports[1]) or port == nil and ports[1] == "" and 5432
    if not port or port < 1 or port > 65535 or port ~= math.floor(port) then
      fail("port")
    end
    host = host ~= "" and host or nil
    hosts[place] = { host = address_of(host, port), port = port, name = host }
  end
  return hosts
end

-- As libpq: the name in the certificate counts with verify-full alone.
local tls_modes = {
  disable = {}, allow = {},
  prefer = { tls = true },
  require = { tls = true, is_required = true },
  ["verify-ca"] = { tls = true, is_required = true, verify = true },
  ["verify-full"] = { tls = true, is_required = true, verify = true, checks_name = true },
}

local function tls_of(parameters)
  local name = parameters.sslmode or parameters.sslrootcert and "verify-full"
  local mode = name and tls_modes[name]
  if name and mode == nil then
    fail("sslmode", "one of disable, allow, prefer, require, verify-ca, verify-full")
  end
  return mode
end

-- Only a server that takes writes can charge.
local writing = { any = true, primary = true, ["read-write"] = true }

local function check_session_attributes(attributes)
  if attributes and not writing[attributes] then
    fail("target_session_attrs", "the gateway writes, so that it is read-write, primary or any")
  end
end

local used = {
  host = true, hostaddr = true, port = true, user = true, password = true, dbname = true,
  sslmode = true, application_name = true, connection_limit = true, pgbouncer = true,
  target_session_attrs = true,
}

local function ignored_of(parameters)
  local ignored = {}
  for name in pairs(parameters) do
    if not used[name] then
      ignored[#ignored + 1] = name
    end
  end
  table.sort(ignored)
  return ignored
end

-- `hosts`: each with `host`, `port` and `name`; `user`, `password`, `database`, `application_name`,
-- `pool_size` and `tls` where the URL gives them; `is_pooled` behind PgBouncer;
-- `ignored`: names of parameters without an effect.
function _M.parse(url)
  local authority, rest = url:match("^[Pp][Oo][Ss][Tt][Gg][Rr][Ee][Ss]://([^/?#]*)(.*)$")
  if authority == nil then
    authority, rest = url:match("^[Pp][Oo][Ss][Tt][Gg][Rr][Ee][Ss][Qq][Ll]://([^/?#]*)(.*)$")
  end
  if authority == nil then
    fail("URL", "it looks like postgres://login:password@host:5432/database")
  end
  local login, hosts = authority:match("^(.*)@([^@]*)$")
  local user, password = (login or ""):match("^([^:]*):?(.*)$")
  local path, query = rest:match("^/?([^?#]*)%??([^#]*)")
  local parameters = parameters_of(query)
  check_session_attributes(parameters.target_session_attrs)
  return {
    hosts = hosts_of(hosts or authority, parameters),
    user = decoded(user) or parameters.user,
    password = decoded(password) or parameters.password,
    database = decoded(path) or parameters.dbname,
    tls = tls_of(parameters),
    application_name = parameters.application_name,
    pool_size = tonumber(parameters.connection_limit),
    is_pooled = parameters.pgbouncer == "true",
    ignored = ignored_of(parameters),
  }
end

return _M
