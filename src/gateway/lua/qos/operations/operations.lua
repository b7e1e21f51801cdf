-- From a request to an operation and its size.

local operation_map = require("qos.operations.operation_map")
local request = require("qos.requests.request")
local request_body = require("qos.operations.request_body")

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

local function header_test(header)
  if header == nil or type(header) == "function" then
    return header
  end
  local name = header:lower()
  return function(headers)
    return headers[name] ~= nil
  end
end

-- A function of path, arguments and headers that answers the first rule of the list which fits.
local function chain_of(list, place)
  local rule = list[place]
  if rule == nil then
    return nothing
  elseif rule.path == nil and rule.query == nil and rule.header == nil then
    return function()
      return rule
    end
  end
  local otherwise, has_path = chain_of(list, place + 1), path_test(rule.path)
  local has_header = header_test(rule.header)
  return function(path, arguments, headers)
    local fits = (rule.query == nil or arguments[rule.query] ~= nil)
      and (has_header == nil or has_header(headers))
      and (has_path == nil or has_path(path))
    if fits then
      return rule
    end
    return otherwise(path, arguments, headers)
  end
end

-- The rules that a method can meet, in their order: all of them, and those that ask for no query.
local function chains_of(method)
  local all, without_query = {}, {}
  for _, rule in ipairs(operation_map) do
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
  __index = function(cached, method)
    local chains = chains_of(method)
    -- Methods of HTTP are few; whatever else a caller makes up is not kept.
    if #method <= 7 and method:find("^%u+$") then
      cached[method] = chains
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

for _, rule in ipairs(operation_map) do
  if type(rule.operation) == "table" then
    rule.name_of = name_by_size(rule.operation, 1)
  end
end

-- Bytes of one range, as in "bytes=0-1023"; nil where the header does not give them.
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

-- Announced size, and its digits where no double holds it.
local function announced(content_length)
  -- nginx takes digits alone.
  if content_length == nil then
    return 0
  elseif #content_length <= 15 then
    return tonumber(content_length)
  end
  local digits = content_length:gsub("^0+(%d)", "%1")
  if #digits > 15 then
    return math.huge, digits
  end
  return tonumber(digits)
end

-- What stands between chunks of an upload: clients send none below 8 KiB but the last one. Behind them
-- come checksums.
local chunk_bytes, chunk_head_bytes, trailer_bytes = 8192, 100, 1024

-- The size of an object whose upload carries signatures between its chunks; nil where stores would not
-- take it for one, and where the header cannot be true of a body of this size.
local function decoded_size(headers, wire)
  local kind = rawget(headers, "x-amz-content-sha256")
  if type(kind) ~= "string" or kind:sub(1, 10) ~= "STREAMING-" then
    return nil
  end
  local said = rawget(headers, "x-amz-decoded-content-length")
  local decoded = type(said) == "string" and said:find("^%d+$") and tonumber(said)
  if not decoded or decoded > wire then
    return nil
  end
  local heads = (math.ceil(decoded / chunk_bytes) + 1) * chunk_head_bytes
  return wire - decoded <= heads + trailer_bytes and decoded or nil
end

-- Stores answer those in a few words or in none.
local has_short_answers = { DELETE = true, HEAD = true, PUT = true }

-- Whether one of these names the object that the store copies: stores have names of their own for it,
-- and take it from the query as well, where signers of URLs put it.
local function has_copy_source(given)
  for name in pairs(given) do
    local lower = name:lower()
    if lower:find("^x%-%w+%-copy%-source$") or lower == "x-copy-from" then
      return true
    end
  end
  return false
end

local function is_copy(method, arguments, headers)
  return method == "COPY" or has_copy_source(headers)
    or arguments ~= nil and has_copy_source(arguments)
end

local function is_text(argument)
  return type(argument) == "string" and argument ~= ""
end

-- A store that does not decode them finds others.
local function has_encoded_names(query)
  return ("&" .. query):find("&[^&=]*%%") ~= nil
end

-- What of an object the copy of a part takes, where it says so. Stores do not look at the range of any
-- other copy: that one is as large as they say afterwards.
local function copied_size(arguments, headers)
  local is_part = arguments ~= nil and is_text(arguments.partNumber) and is_text(arguments.uploadId)
    and not has_encoded_names(request.var("args"))
  return is_part and range_size(rawget(headers, "x-amz-copy-source-range")) or nil
end

-- The operation of a request:
--   name, size    as far as they are known; `digits` where no double holds the size
--   rule          the entry of the operation map
--   up, down      which ways bytes go that are counted
--   may_answer    the answer may have a body that is worth pacing
--   uploaded      bytes of the body; `is_unannounced` where no header gives them
--   class_size    bytes by which the class is chosen, nil for `size`
--   range         bytes of the range that a download asks for
--   is_unproven   no storage has found its sender signed
--   is_copy       the store copies an object, of `copied` bytes where that is known
-- `path`: with the bucket, also where the host names it. `headers`: by names in lower case, all of them;
-- `arguments`: nil where the request has no query. `protocol`: as in "HTTP/1.1".
function _M.of(method, path, arguments, headers, protocol)
  local chains = by_method[method]
  local rule = arguments and chains.all(path, arguments, headers)
    or not arguments and chains.without_query(path, nil, headers)
  if not rule then
    return nil
  end
  -- As nginx has read it.
  local content_length = rawget(headers, "content-length") and request.var("content_length") or nil
  local is_unannounced = request_body.is_unannounced(
    content_length, rawget(headers, "transfer-encoding"), protocol
  )
  local uploaded, digits = announced(content_length)
  -- With room for what comes later: tables that grow cost more than all else here.
  local operation = {
    rule = rule, name = nil,
    size = uploaded, digits = digits, uploaded = uploaded,
    is_unannounced = is_unannounced,
    down = rule.transfers == "down",
    may_answer = rule.transfers == "down" or not has_short_answers[method],
    up = rule.transfers == "up" or is_unannounced or uploaded > 0,
    range = nil, has_range = false, header_bytes = nil, is_unproven = nil,
  }
  if operation.down then
    operation.range = rawget(headers, "if-range") == nil and range_size(rawget(headers, "range"))
      or nil
    operation.has_range = rawget(headers, "range") ~= nil
  elseif is_copy(method, arguments, headers) then
    operation.is_copy, operation.copied = true, copied_size(arguments, headers)
    operation.size = uploaded + (operation.copied or 0)
  else
    operation.class_size = decoded_size(headers, uploaded)
  end
  _M.classify(operation)
  return operation
end

-- Names the operation by its size.
function _M.classify(operation)
  local rule = operation.rule
  operation.name = rule.name_of and rule.name_of(operation.class_size or operation.size)
    or rule.operation
end

-- The size is another one than was assumed.
function _M.resize(operation, size)
  operation.size, operation.digits = size, nil
  _M.classify(operation)
end

return _M
