-- From a request to an operation and its size.

local rules = require("qos.operation_map")

local _M = {}

-- Lists are made into chains of functions: LuaJIT compiles those through, and stops at loops.

local function nothing()
  return nil
end

local function path_test(path)
  if path == nil or type(path) == "function" then
    return path
  end
  return function(given)
    return ngx.re.find(given, path, "jo") ~= nil
  end
end

-- A function of path and arguments that answers the first rule of the list which fits.
local function chain_of(list, place)
  local rule = list[place]
  if rule == nil then
    return nothing
  elseif rule.path == nil and rule.query == nil then
    return function()
      return rule
    end
  end
  local otherwise, has_path = chain_of(list, place + 1), path_test(rule.path)
  return function(path, arguments)
    local fits = (rule.query == nil or arguments[rule.query] ~= nil)
      and (has_path == nil or has_path(path))
    if fits then
      return rule
    end
    return otherwise(path, arguments)
  end
end

-- The rules that a method can meet, in their order: all of them, and those that ask for no query.
local function chains_of(method)
  local all, without_query = {}, {}
  for _, rule in ipairs(rules) do
    if rule.method == nil or rule.method == method then
      all[#all + 1] = rule
      if rule.query == nil then
        without_query[#without_query + 1] = rule
      end
    end
  end
  return { all = chain_of(all, 1), without_query = chain_of(without_query, 1) }
end

local by_method = setmetatable({}, {
  __index = function(known, method)
    local chains = chains_of(method)
    -- Methods of HTTP are few; whatever else a caller makes up is not kept.
    if #method <= 7 and method:find("^%u+$") then
      known[method] = chains
    end
    return chains
  end,
})

local function name_by_size(classes, place)
  local largest, name = classes[place][1], classes[place][2]
  if largest == nil or place == #classes then
    return function()
      return name
    end
  end
  local otherwise = name_by_size(classes, place + 1)
  return function(size)
    if size <= largest then
      return name
    end
    return otherwise(size)
  end
end

for _, rule in ipairs(rules) do
  if type(rule.operation) == "table" then
    rule.name_of = name_by_size(rule.operation, 1)
  end
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

local function upload_size(headers, unknown_size)
  local size, digits = announced(rawget(headers, "content-length"))
  if size ~= nil then
    return size, digits
  end
  return rawget(headers, "transfer-encoding") and unknown_size or 0
end

-- Whether a request brings a body, whatever its method: the storage gets it. HTTP/2 need not say.
local function brings_body(headers)
  local length = rawget(headers, "content-length")
  return length ~= nil and length ~= "0" or rawget(headers, "transfer-encoding") ~= nil
    or ngx.var.server_protocol >= "HTTP/2"
end

-- The operation of a request: its name, its size in bytes (with digits where no double holds it),
-- and which ways bytes go that are counted, `up` and `down`. `headers`: by names in lower case;
-- `arguments`: nil where there is no query.
function _M.of(method, path, arguments, headers, unknown_size)
  local chains = by_method[method]
  local rule = arguments and chains.all(path, arguments) or chains.without_query(path)
  if rule == nil then
    return nil
  end
  local down = rule.transfers == "down"
  local up = rule.transfers == "up" or brings_body(headers)
  local size, uploaded, digits = 0, 0, nil
  if down then
    size = range_size(rawget(headers, "range")) or unknown_size
  end
  if up then
    uploaded, digits = upload_size(headers, unknown_size)
  end
  return {
    name = rule.name_of and rule.name_of(down and size or uploaded) or rule.operation,
    size = size + uploaded, digits = digits, up = up, down = down,
  }
end

return _M
