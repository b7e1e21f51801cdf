-- Stands in for pgmoon where it is not installed: as much of it as the gateway's connection uses,
-- with the traps that it has. It speaks PostgreSQL's protocol to the tests' own server.

local bit = require("bit")
local digest = require("openssl.digest")
local hmac = require("openssl.hmac")
local kdf = require("openssl.kdf")
local rand = require("openssl.rand")

local Postgres = { NULL = { "NULL" } }
Postgres.__index = Postgres

local types = {
  [16] = "boolean",
  [20] = "number", [21] = "number", [23] = "number",
  [700] = "number", [701] = "number", [1700] = "number",
}

function Postgres:encode_int(number, bytes)
  local text = {}
  for place = (bytes or 4) - 1, 0, -1 do
    text[#text + 1] = string.char(bit.band(bit.rshift(number, place * 8), 255))
  end
  return table.concat(text)
end

function Postgres:decode_int(text)
  local number = 0
  for place = 1, #text do
    number = bit.tobit(number * 256 + text:byte(place))
  end
  return number
end

function Postgres:settimeout(milliseconds)
  return self.sock:settimeout(milliseconds)
end

function Postgres:set_type_deserializer(oid, name)
  self.types[oid] = name
end

function Postgres:send_message(type, body)
  return self.sock:send(type .. self:encode_int(#body + 4) .. body)
end

function Postgres:receive_message()
  local head, problem = self.sock:receive(5)
  if head == nil then
    return nil, "receive_message: failed to get type: " .. problem
  end
  return head:sub(1, 1), self.sock:receive(self:decode_int(head:sub(2)) - 4)
end

-- Trap: the code does not come along.
function Postgres:parse_error(message)
  return message:match("S([^%z]*)%z") .. ": " .. message:match("%zM([^%z]*)%z")
end

-- Trap: it asks for the certificate, and for nobody's name.
function Postgres:send_ssl_message()
  self.sock:send(self:encode_int(8) .. self:encode_int(80877103))
  if self.sock:receive(1) ~= "S" then
    return nil, "the server does not support SSL connections"
  end
  return self.sock:sslhandshake(false, nil, self.config.ssl_verify)
end

function Postgres:send_startup_message()
  local body = self:encode_int(196608) .. "user\0" .. self.config.user .. "\0database\0"
    .. self.config.database .. "\0\0"
  return self.sock:send(self:encode_int(#body + 4) .. body)
end

local function exclusive_or(one, other)
  local bytes = {}
  for place = 1, #one do
    bytes[place] = string.char(bit.bxor(one:byte(place), other:byte(place)))
  end
  return table.concat(bytes)
end

-- The client's last message of SCRAM-SHA-256 (RFC 5802); the server's own proof is not looked at.
local function prove(password, client_first, server_first)
  local nonce, salt, iterations = server_first:match("^r=([^,]+),s=([^,]+),i=(%d+)")
  local client_key = hmac.new(kdf.derive({
    type = "PBKDF2", md = "sha256", pass = password, salt = ngx.decode_base64(salt),
    iter = tonumber(iterations), outlen = 32,
  }), "sha256"):final("Client Key")
  local last = "c=biws,r=" .. nonce
  local signature = hmac.new(digest.new("sha256"):final(client_key), "sha256")
    :final(client_first .. "," .. server_first .. "," .. last)
  return last .. ",p=" .. ngx.encode_base64(exclusive_or(client_key, signature))
end

-- Trap: where channel binding is offered, it takes it, and a library that is not there.
function Postgres:scram_sha_256_auth(message)
  if message:match("SCRAM%-SHA%-256%-PLUS") then
    require("resty.openssl.ssl")
  end
  local first = "n=,r=" .. ngx.encode_base64(rand.bytes(18))
  self:send_message("p", "SCRAM-SHA-256\0" .. self:encode_int(#first + 3) .. "n,," .. first)
  local type, answer = self:receive_message()
  if type ~= "R" then
    return nil, answer
  end
  self:send_message("p", prove(self.config.password or "", first, answer:sub(5)))
  type, answer = self:receive_message()
  if type ~= "R" then
    return nil, self:parse_error(answer)
  end
  return self:auth()
end

function Postgres:auth()
  local type, message = self:receive_message()
  if type == nil then
    return nil, message
  elseif type == "E" then
    return nil, self:parse_error(message)
  end
  local method = self:decode_int(message:sub(1, 4))
  return method == 0 or self:scram_sha_256_auth(message)
end

function Postgres:introduce_itself()
  if self.config.ssl then
    local secured, problem = self:send_ssl_message()
    if not secured then
      return nil, problem
    end
  end
  self:send_startup_message()
  local known, problem = self:auth()
  if not known then
    return nil, problem
  end
  local type, message
  repeat
    type, message = self:receive_message()
  until type == nil or type == "Z"
  return type == "Z", message
end

function Postgres:connect()
  local connected, problem = self.sock:connect(self.config.host, self.config.port, {
    pool = self.config.pool_name, pool_size = self.config.pool_size, backlog = self.config.backlog,
  })
  if not connected or self.sock:getreusedtimes() > 0 then
    return connected, problem
  end
  return self:introduce_itself()
end

-- Trap: whatever is still on its way, the connection goes back.
function Postgres:keepalive(milliseconds)
  return self.sock:setkeepalive(milliseconds)
end

-- Trap: numbers go out as Lua writes them.
local function encode_parameters(self, ...)
  local oids, values, count = {}, {}, select("#", ...)
  for index = 1, count do
    local value = select(index, ...)
    local is_null = value == nil or value == Postgres.NULL
    oids[index] = self:encode_int(is_null and 0 or type(value) == "number" and 1700 or 25)
    values[index] = is_null and self:encode_int(-1)
      or self:encode_int(#tostring(value)) .. tostring(value)
  end
  return self:encode_int(count, 2) .. table.concat(oids),
    self:encode_int(count, 2) .. table.concat(values)
end

-- Trap: numbers become doubles.
local function convert(text, type)
  if type == "number" then
    return tonumber(text)
  elseif type == "boolean" then
    return text == "t"
  end
  return text
end

local function parse_names(self, message)
  local columns, place = {}, 3
  for index = 1, self:decode_int(message:sub(1, 2)) do
    local name = message:match("[^%z]+", place)
    place = place + #name + 1
    local oid = self:decode_int(message:sub(place + 6, place + 9))
    columns[index] = { name, self.types[oid] or "string" }
    place = place + 18
  end
  return columns
end

local function parse_row(self, message, columns)
  local row, place = {}, 3
  for _, column in ipairs(columns) do
    local length = self:decode_int(message:sub(place, place + 3))
    place = place + 4
    if length >= 0 then
      row[column[1]] = convert(message:sub(place, place + length - 1), column[2])
      place = place + length
    end
  end
  return row
end

local function receive_result(self)
  local rows, columns, failure = {}, nil, nil
  while true do
    local type, message = self:receive_message()
    if type == nil then
      return nil, message
    elseif type == "Z" then
      break
    elseif type == "T" then
      columns = parse_names(self, message)
    elseif type == "D" then
      rows[#rows + 1] = parse_row(self, message, columns)
    elseif type == "N" then
      self:parse_error(message)
    elseif type == "E" then
      failure = message
    end
  end
  if failure then
    return nil, self:parse_error(failure), nil, 0
  end
  return rows, 1
end

function Postgres:extended_query(statement, ...)
  local oids, values = encode_parameters(self, ...)
  self:send_message("P", "\0" .. statement .. "\0" .. oids)
  self:send_message("B", "\0\0" .. self:encode_int(0, 2) .. values .. self:encode_int(0, 2))
  self:send_message("D", "P\0")
  self:send_message("E", "\0" .. self:encode_int(0))
  self:send_message("S", "")
  return receive_result(self)
end

local _M = {}

function _M.new(config)
  local connection = setmetatable({ config = config, types = {} }, Postgres)
  for oid, name in pairs(types) do
    connection.types[oid] = name
  end
  connection.sock = ngx.socket.tcp()
  return connection
end

return _M
