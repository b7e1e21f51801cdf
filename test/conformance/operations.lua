-- Operations by the gateway's own map: reads a list of { method, path, query, received, answered },
-- answers the operation, the bytes that are charged, and whether keys are counted.

local cjson = require("cjson")

local variables = {}
ngx = { re = {} }
package.preload["qos.requests.request"] = function()
  return {
    var = function(name)
      return variables[name]
    end,
  }
end

local operations = require("qos.operations.operations")

local function arguments_of(query)
  if query == cjson.null then
    return nil
  end
  local arguments = {}
  for argument in query:gmatch("[^&]+") do
    local name, value = argument:match("^([^=]*)=?(.*)$")
    arguments[name] = value
  end
  return arguments
end

local answers = {}
for index, asked in ipairs(cjson.decode(io.read("*a"))) do
  local method, path, query, received, answered = unpack(asked)
  variables.content_length = received > 0 and tostring(received) or nil
  local headers = { ["content-length"] = variables.content_length }
  local operation = operations.of(method, path, arguments_of(query), headers, "HTTP/1.1")
  if operation.down then
    operations.resize(operation, answered)
  end
  answers[index] = {
    operation.name, operation.size, operation.rule.counts_keys or false,
  }
end
io.write(cjson.encode(answers))
