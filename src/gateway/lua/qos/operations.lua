-- From a request to an operation and its size.

local rules = require("qos.operation_map")

local _M = {}

local function fits(rule, request)
  return (rule.method == nil or rule.method == request.method)
    and (rule.query == nil or request.arguments[rule.query] ~= nil)
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
  local first, last = (range or ""):match("^bytes=(%d+)%-(%d+)$")
  first, last = tonumber(first), tonumber(last)
  if first == nil or last == nil or last < first or last >= 2 ^ 53 then
    return nil
  end
  return last - first + 1
end

-- Announced size and its digits: nil where it is not announced or no double holds it.
local function announced(content_length)
  local digits = (content_length or ""):match("^0*(%d+)$")
  if digits == nil then
    return nil, nil
  end
  if #digits > 15 then
    return math.huge, digits
  end
  return tonumber(digits), digits
end

local function upload(request, unknown_size)
  local size, digits = announced(request.content_length)
  if size ~= nil then
    return size, digits, false
  end
  local has_body = request.transfer_encoding ~= nil
  return has_body and unknown_size or 0, nil, has_body
end

-- operation, size in bytes, its digits where no double holds it, whether it is an estimate, and
-- which way the bytes go (nil: none are counted).
function _M.of(request, unknown_size)
  for _, rule in ipairs(rules) do
    if fits(rule, request) then
      local size, digits, is_estimate = 0, nil, false
      if rule.transfers == "up" then
        size, digits, is_estimate = upload(request, unknown_size)
      elseif rule.transfers == "down" then
        size = range_size(request.range) or unknown_size
        is_estimate = true
      end
      return {
        name = name_of(rule.operation, size),
        size = size,
        digits = digits or string.format("%.0f", size),
        is_estimate = is_estimate,
        transfers = rule.transfers,
      }
    end
  end
  return nil
end

return _M
