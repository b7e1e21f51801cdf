-- One statement over a pooled connection of pgmoon. Everything that pgmoon does otherwise than a
-- limiter needs it is put right here.

local pgmoon = require("pgmoon")

local _M = {}

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
-- nothing else would tell the server from somebody between.
local function check_name(connection, settings)
  connection.send_ssl_message = function(self)
    self.sock:send(self:encode_int(8) .. self:encode_int(80877103))
    local answer, problem = self.sock:receive(1)
    if answer == nil then
      return nil, problem
    elseif answer ~= "S" then
      return nil, "the server has no TLS"
    end
    return self.sock:sslhandshake(false, settings.tls_name, settings.tls_verify)
  end
end

local function encode(connection, parts)
  local body = table.concat(parts, "\0") .. "\0\0"
  return connection:encode_int(#body + 8) .. connection:encode_int(196608) .. body
end

-- A setting of the whole session belongs into its start: a SET would stay behind in the pool.
local function limit_statements(connection, settings)
  if settings.statement_timeout_ms == 0 then
    return
  end
  connection.send_startup_message = function(self)
    return self.sock:send(encode(self, {
      "user", settings.user, "database", settings.database,
      "application_name", "storage-qos gateway",
      "statement_timeout", tostring(settings.statement_timeout_ms),
    }))
  end
end

-- pgmoon's own name for a pool leaves out the password and TLS.
local function pool_name(settings)
  return "qos " .. ngx.md5(table.concat({
    settings.host, settings.port, settings.database, settings.user, settings.password or "",
    tostring(settings.tls), tostring(settings.tls_verify), settings.tls_name or "",
    tostring(settings.statement_timeout_ms),
  }, "\0"))
end

local function open(settings)
  local connection = pgmoon.new({
    host = settings.host,
    port = settings.port,
    database = settings.database,
    user = settings.user,
    password = settings.password,
    ssl = settings.tls,
    ssl_required = settings.tls,
    ssl_verify = settings.tls_verify,
    pool_name = pool_name(settings),
    pool_size = settings.pool_size,
    backlog = settings.pool_size * 64,
    socket_type = "nginx",
  })
  listen(connection)
  use_plain_scram(connection)
  check_name(connection, settings)
  limit_statements(connection, settings)
  for _, oid in ipairs(numbers) do
    connection:set_type_deserializer(oid, "string")
  end
  connection:settimeout(settings.timeout_ms)
  return connection
end

-- Any other connection than an idle one still has the answer to this request under way, or a
-- transaction open: whoever got it next would read that answer as his own. Closed by its socket,
-- because pgmoon refuses to disconnect what it was interrupted in.
local function release(connection)
  if is_idle(connection) then
    connection:keepalive(60000)
  else
    pcall(connection.sock.close, connection.sock)
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

-- Whoever finds all connections taken and gets none in time knows nothing of the database: those
-- who have one do.
local function why_none(connection, tried, connected, problem, is_crowded)
  local message = tried and problem or connected
  local is_waiting = message == "timeout" or message == "too many waiting connect operations"
  return connection.said or { message = message, is_crowded = is_crowded and is_waiting or nil }
end

local function run(settings, statement, parameters)
  local connection, is_crowded = open(settings), calls > settings.pool_size
  local tried, connected, problem = pcall(connection.connect, connection)
  if not tried or not connected then
    pcall(connection.sock.close, connection.sock)
    return nil, why_none(connection, tried, connected, problem, is_crowded)
  end
  connection.last_type = nil
  local called, rows, why = pcall(
    connection.extended_query, connection, statement, as_text(connection, parameters)
  )
  release(connection)
  if not called then
    return nil, { message = rows }
  elseif rows == nil then
    return nil, connection.said or { message = why }
  end
  return rows
end

-- A transaction, or a setting, would stay behind for the next user of the connection.
local function is_single_select(statement)
  return statement:find("^%s*select%s") and not statement:find(";", 1, true)
    and not statement:find("set_config", 1, true)
end

-- Rows, every value a string, a boolean, or absent for null; or nil and an error with the code,
-- message, detail and hint of the server (no code: nobody answered).
function _M.query(settings, statement, ...)
  if not is_single_select(statement) then
    error("only single selects that set nothing go over a pooled connection")
  end
  local parameters = { n = select("#", ...), ... }
  calls = calls + 1
  local ran, rows, problem = pcall(run, settings, statement, parameters)
  calls = calls - 1
  if not ran then
    return nil, { message = tostring(rows) }
  end
  return rows, problem
end

return _M
