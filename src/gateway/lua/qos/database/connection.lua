-- One statement over a pooled connection of pgmoon. Everything that pgmoon does otherwise than a
-- limiter needs it is put right here.

local keys = require("qos.keys").qos_state
local pgmoon = require("pgmoon")
local server_errors = require("qos.database.server_errors")

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)
for _, method in pairs(pgmoon.Postgres and pgmoon.Postgres.__base or {}) do
  if type(method) == "function" then
    jit.off(method, true)
  end
end

-- int8, int2, int4, float4, float8, numeric: as text, because a double loses digits.
local numbers = { 20, 21, 23, 700, 701, 1700 }

local fields = { C = "code", M = "message", D = "detail", H = "hint" }

-- The fields of an error message: a letter and a text each, both ended by a zero byte.
local function parse_fields(message)
  local parsed = {}
  for letter, value in message:gmatch("(%a)([^%z]*)%z") do
    local name = fields[letter]
    if name then
      parsed[name] = value
    end
  end
  return parsed
end

-- What the server says at the start of a session that takes no writes.
local read_only = {
  ["in_hot_standby\0on\0"] = true, ["default_transaction_read_only\0on\0"] = true,
}

-- pgmoon drops the SQLSTATE and the hint on the way, and does not tell whether an answer was read
-- to its end: keep what the server said last, and its last error.
local function listen(connection)
  local receive_message = connection.receive_message
  connection.receive_message = function(self)
    self.last_type, self.last_message = nil, nil
    local type, message = receive_message(self)
    self.last_type, self.last_message = type, message
    if type == "E" and message then
      self.said = parse_fields(message)
    elseif type == "S" and read_only[message] then
      self.is_read_only = true
    end
    return type, message
  end
end

-- The server waits for the next statement, outside of any transaction.
local function is_idle(connection)
  return connection.last_type == "Z" and connection.last_message == "I"
end

-- Channel binding takes a library that nginx does not come with: without this, pgmoon fails on
-- every server that offers it, which is every one over TLS.
local function use_plain_scram(connection)
  local authenticate = connection.scram_sha_256_auth
  connection.scram_sha_256_auth = function(self, message)
    return authenticate(self, (message:gsub("SCRAM%-SHA%-256%-PLUS%z", "")))
  end
end

-- pgmoon looks whether the certificate is trusted, and not whose it is. Without channel binding
-- nothing else would tell the server from an attacker between.
local function check_name(connection, settings, host)
  connection.send_ssl_message = function(self)
    self.sock:send(self:encode_int(8) .. self:encode_int(80877103))
    local answer, problem = self.sock:receive(1)
    if answer == nil then
      return nil, problem
    elseif answer ~= "S" and settings.tls_required then
      return nil, "the server has no TLS"
    elseif answer ~= "S" then
      return true
    end
    return self.sock:sslhandshake(false, host.tls_name, settings.tls_verify)
  end
end

-- Pooled connections of an earlier generation are left to time out.
local generation = 0

local function encode(connection, parts)
  local body = table.concat(parts, "\0") .. "\0\0"
  return connection:encode_int(#body + 8) .. connection:encode_int(196608) .. body
end

-- A setting of the whole session belongs into its start: a SET would stay behind in the pool. The
-- functions of the database refuse every other isolation level. A timeout of 0 sends neither, for
-- poolers that refuse a session for parameters that they do not know.
local function set_up_session(connection, settings)
  if settings.statement_timeout_ms == 0 then
    return
  end
  connection.send_startup_message = function(self)
    return self.sock:send(encode(self, {
      "user", settings.user, "database", settings.database,
      "application_name", settings.application_name,
      "statement_timeout", tostring(settings.statement_timeout_ms),
      "default_transaction_isolation", "read committed",
    }))
  end
end

-- pgmoon's own name for a pool leaves out the password and TLS.
local function pool_name(settings, host)
  return "qos " .. ngx.md5(table.concat({
    host.host, host.port, settings.database, settings.user, settings.password or "",
    tostring(settings.tls), tostring(settings.tls_verify), host.tls_name or "",
    tostring(settings.statement_timeout_ms), generation,
  }, "\0"))
end

local function open(settings, host)
  local connection = pgmoon.new({
    host = host.host,
    port = host.port,
    database = settings.database,
    user = settings.user,
    password = settings.password,
    ssl = settings.tls,
    ssl_required = settings.tls_required,
    ssl_verify = settings.tls_verify,
    pool_name = pool_name(settings, host),
    pool_size = settings.pool_size,
    backlog = settings.pool_size * 64,
    socket_type = "nginx",
  })
  listen(connection)
  use_plain_scram(connection)
  check_name(connection, settings, host)
  set_up_session(connection, settings)
  for _, oid in ipairs(numbers) do
    connection:set_type_deserializer(oid, "string")
  end
  connection:settimeout(settings.timeout_ms)
  return connection
end

-- Closed by its socket, because pgmoon refuses to disconnect what it was interrupted in.
local function discard(connection)
  pcall(connection.sock.close, connection.sock)
end

-- Any other connection than an idle one still has the answer to this request under way, or a
-- transaction open: the next request to get it would read that answer as its own. One to a server that
-- cannot charge, or with plans of before a migration, is of no use.
local function release(connection, problem)
  local is_outdated = problem ~= nil and server_errors.is_outdated(problem)
  if is_outdated then
    generation = generation + 1
  end
  local is_useless = is_outdated or problem ~= nil and server_errors.cannot_charge(problem)
  if is_idle(connection) and not is_useless then
    connection:keepalive(60000)
  else
    discard(connection)
  end
end

-- pgmoon writes numbers as Lua does, with 14 digits: they go as text.
local function as_text(connection, parameters)
  for index = 1, parameters.n do
    local value = parameters[index]
    if value == nil or value == ngx.null then
      parameters[index] = connection.NULL
    elseif type(value) == "number" then
      parameters[index] = string.format("%.0f", value)
    end
  end
  return unpack(parameters, 1, parameters.n)
end

-- Calls of this worker that have a connection or wait for one.
local calls = 0

-- Pool exhaustion says nothing about the database's health; do not count it as an outage.
local function why_none(connection, tried, connected, problem, is_crowded)
  local message = tried and problem or connected
  local is_waiting = message == "timeout" or message == "too many waiting connect operations"
  local why = connection.said or { message = message, is_crowded = is_crowded and is_waiting or nil }
  why.is_unconnected = true
  return why
end

-- Where there is another host, one that takes no writes is not asked.
local function is_of_use(settings, connection)
  return #settings.hosts == 1 or not connection.is_read_only
end

local function run(settings, host, statement, parameters)
  local connection, is_crowded = open(settings, host), calls > settings.pool_size
  local tried, connected, problem = pcall(connection.connect, connection)
  if not tried or not connected then
    discard(connection)
    return nil, why_none(connection, tried, connected, problem, is_crowded)
  elseif not is_of_use(settings, connection) then
    discard(connection)
    return nil, { code = "25006", message = "the server takes no writes", is_unconnected = true }
  end
  connection.last_type = nil
  local called, rows, why = pcall(
    connection.extended_query, connection, statement, as_text(connection, parameters)
  )
  if called and rows ~= nil then
    release(connection)
    return rows
  end
  problem = called and connection.said or { message = called and why or rows }
  release(connection, problem)
  return nil, problem
end

-- Which host all workers ask first: the last one that answered.
local function first_host()
  return ngx.shared.qos_state:get(keys.database_host) or 1
end

-- On the next host where one cannot charge. A call that was not answered may have charged there, and
-- charges once more here, unless it has a key.
local function run_anywhere(settings, statement, parameters)
  local first, count = first_host(), #settings.hosts
  local rows, problem
  for place = first, first + count - 1 do
    local host = (place - 1) % count + 1
    rows, problem = run(settings, settings.hosts[host], statement, parameters)
    if rows and host ~= first then
      ngx.shared.qos_state:set(keys.database_host, host)
    end
    if rows or not server_errors.cannot_charge(problem) then
      break
    end
  end
  return rows, problem
end

-- A transaction, or a setting, would stay behind for the next user of the connection.
local function is_single_select(statement)
  return statement:find("^%s*select%s") and not statement:find(";", 1, true)
    and not statement:find("set_config", 1, true)
end

-- Rows, every value a string, a boolean, or absent for null; or nil and an error with the code,
-- message, detail and hint of the server (no code: no answer came).
function _M.query(settings, statement, ...)
  if not is_single_select(statement) then
    error("only single selects that set nothing go over a pooled connection")
  end
  local parameters = { n = select("#", ...), ... }
  calls = calls + 1
  local ran, rows, problem = pcall(run_anywhere, settings, statement, parameters)
  calls = calls - 1
  if not ran then
    return nil, { message = tostring(rows) }
  end
  return rows, problem
end

return _M
