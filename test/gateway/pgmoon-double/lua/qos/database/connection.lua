-- Stands in for the gateway's own connection.lua where pgmoon is not installed: it sends the
-- statement and its parameters, as they are, to a bridge that runs them in PostgreSQL.

local cjson = require("cjson.safe")

local _M = {}

local function parameters_of(...)
  local parameters = {}
  for index = 1, select("#", ...) do
    local value = select(index, ...)
    parameters[index] = value == nil and cjson.null or value
  end
  return setmetatable(parameters, cjson.array_mt)
end

local function ask(settings, body)
  local socket, host = ngx.socket.tcp(), settings.hosts[1]
  socket:settimeout(settings.timeout_ms)
  local connected, problem = socket:connect(host.host, host.port)
  if not connected then
    return nil, problem
  end
  socket:send(table.concat({
    "POST / HTTP/1.1\r\nHost: bridge\r\nConnection: close\r\nContent-Length: ", #body, "\r\n\r\n",
    body,
  }))
  local answer, why, partial = socket:receive("*a")
  socket:close()
  answer = answer or partial
  local json = answer and answer:match("\r\n\r\n(.*)$")
  if json == nil or json == "" then
    return nil, why or "no answer"
  end
  return cjson.decode(json)
end

function _M.query(settings, statement, ...)
  local body = cjson.encode({
    statement = statement, parameters = parameters_of(...),
    timeout_ms = settings.statement_timeout_ms,
  })
  local answer, problem = ask(settings, body)
  if answer == nil then
    return nil, { message = problem }
  end
  if answer.error then
    return nil, answer.error
  end
  for _, row in ipairs(answer.rows) do
    for name, value in pairs(row) do
      if value == cjson.null then
        row[name] = nil
      end
    end
  end
  return answer.rows
end

return _M
