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

-- pgmoon drops the SQLSTATE on the way: keep what the server said.
local function keep_errors(connection)
  local parse_error = connection.parse_error
  connection.parse_error = function(self, message)
    self.said = parse_fields(message)
    return parse_error(self, message)
  end
end

-- Without lua-resty-openssl there is no channel binding: do not let it be chosen over TLS.
local function use_plain_scram(connection)
  local authenticate = connection.scram_sha_256_auth
  connection.scram_sha_256_auth = function(self, message)
    return authenticate(self, (message:gsub("SCRAM%-SHA%-256%-PLUS%z", "")))
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
    tostring(settings.tls), tostring(settings.statement_timeout_ms),
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
  keep_errors(connection)
  use_plain_scram(connection)
  limit_statements(connection, settings)
  for _, oid in ipairs(numbers) do
    connection:set_type_deserializer(oid, "string")
  end
  connection:settimeout(settings.timeout_ms)
  return connection
end

-- Only a connection whose answer was read to its end may serve somebody else: any other still has
-- the answer to this request under way.
local function release(connection, is_clean)
  if is_clean then
    connection:keepalive(60000)
  else
    pcall(connection.disconnect, connection)
  end
end

local function run(settings, statement, parameters)
  local connection = open(settings)
  local connected, problem = connection:connect()
  if not connected then
    release(connection, false)
    return nil, connection.said or { message = problem }
  end
  for index = 1, parameters.n do
    if parameters[index] == nil or parameters[index] == ngx.null then
      parameters[index] = connection.NULL
    end
  end
  local called, rows, why =
    pcall(connection.query, connection, statement, unpack(parameters, 1, parameters.n))
  release(connection, called and (rows ~= nil or connection.said ~= nil))
  if not called then
    return nil, { message = rows }
  end
  if rows == nil then
    return nil, connection.said or { message = why }
  end
  return rows
end

-- Rows, every value a string, a boolean, or absent for null; or nil and an error with the code,
-- message, detail and hint of the server (no code: nobody answered). One SELECT a call: a
-- transaction or a SET would leak to the next user of the connection.
function _M.query(settings, statement, ...)
  if not statement:match("^%s*select%s") then
    error("only single selects go over a pooled connection")
  end
  local parameters = { n = select("#", ...), ... }
  local ran, rows, problem = pcall(run, settings, statement, parameters)
  if not ran then
    return nil, { message = tostring(rows) }
  end
  return rows, problem
end

return _M
