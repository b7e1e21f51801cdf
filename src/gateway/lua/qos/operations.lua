-- From a request to an operation and its size.

local rules = require("qos.operation_map")

local _M = {}

-- The rules that a method can meet, in their order.
local by_method = setmetatable({}, {
  __index = function(known, method)
    local own = {}
    for _, rule in ipairs(rules) do
      if rule.method == nil or rule.method == method then
        own[#own + 1] = rule
      end
    end
    -- Methods of HTTP are few; whatever else a caller makes up is not kept.
    if #method <= 7 and method:find("^%u+$") then
      known[method] = own
    end
    return own
  end,
})

local function fits(rule, request)
  return (rule.query == nil or request.arguments[rule.query] ~= nil)
    and (rule.path == nil or request.path:find(rule.path) ~= nil)
end

local function name_of(operation, size)
  if type(operation) == "string" then
    return operation
  end
  for _, class in ipairs(operation) do
    if class[1] == nil or size <= class[1] then
      return class[2]
    end
  end
  return operation[#operation][2]
end

-- Bytes of one range, as in "bytes=0-1023"; nil where they cannot be told ahead.
local function range_size(range)
  if type(range) ~= "string" then
    return nil
  end
  local first, last = range:match("^bytes=(%d+)%-(%d+)$")
  first, last = tonumber(first), tonumber(last)
  if first == nil or last == nil or last < first or last >= 2 ^ 53 then
    return nil
  end
  return last - first + 1
end

-- Announced size, and its digits where no double holds it; nil where it is not announced.
local function announced(content_length)
  local digits = type(content_length) == "string" and content_length:match("^0*(%d+)$")
  if not digits then
    return nil
  elseif #digits > 15 then
    return math.huge, digits
  end
  return tonumber(digits)
end

local function upload_size(request, unknown_size)
  local size, digits = announced(rawget(request.headers, "content-length"))
  if size ~= nil then
    return size, digits
  end
  return rawget(request.headers, "transfer-encoding") and unknown_size or 0
end

-- The operation of a request: its name, its size in bytes (with digits where no double holds it),
-- and which way the bytes go (nil: none are counted).
function _M.of(request, unknown_size)
  for _, rule in ipairs(by_method[request.method]) do
    if fits(rule, request) then
      local size, digits = 0, nil
      if rule.transfers == "up" then
        size, digits = upload_size(request, unknown_size)
      elseif rule.transfers == "down" then
        size = range_size(rawget(request.headers, "range")) or unknown_size
      end
      return {
        name = name_of(rule.operation, size), size = size, digits = digits,
        transfers = rule.transfers,
      }
    end
  end
  return nil
end

return _M
