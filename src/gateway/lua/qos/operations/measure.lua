-- What is known of an operation once its body and the application's recent answers are looked at.

local clock = require("qos.clock")
local estimates = require("qos.operations.estimates")
local operations = require("qos.operations.operations")
local request = require("qos.requests.request")
local request_body = require("qos.operations.request_body")
local under_way = require("qos.requests.under_way")

local _M = {}

-- Reads of a body, by `read`. A request may end meanwhile, whose sender gives up or whose body is too
-- large: what came of it is charged all the same, and it is under way no more.
local function while_it_comes(entry, operation, watch, read)
  local address, size, digits = request.address(), operation.size, operation.digits
  operations.resize(operation, 0)
  under_way.set(address, {
    allowed = false, entry = entry, tokens = 0, operation = operation, watch = watch,
  })
  local began_at = clock.now()
  local answer = read()
  operation.read_for_s = (operation.read_for_s or 0) + clock.now() - began_at
  under_way.take(address)
  operations.resize(operation, size)
  operation.digits = digits
  return answer
end

-- Reads a body of unknown length, so that it is charged before it is forwarded.
local function count_body(entry, operation, watch)
  local size = while_it_comes(entry, operation, watch, request_body.read)
  if size == nil then
    return { allowed = false, problem = { code = "QS411", message = "length required" } }
  end
  operation.uploaded, operation.is_counted = size, true
  operations.resize(operation, size)
end

local function count_keys(entry, operation, headers, watch)
  operation.count = while_it_comes(entry, operation, watch, function()
    return request_body.count_keys(operation.uploaded, headers)
  end)
  if operation.count == nil then
    local message = "the list of keys can be read in two ways, or is too long"
    return {
      allowed = false,
      problem = { code = "QS400", message = message, s3_code = "MalformedXML" },
    }
  end
end

-- Whether something has to be read of the body before the decision.
function _M.needs_body(operation)
  return operation.is_unannounced or operation.rule.counts_keys
end

-- What the body says. A decision where it ends the request.
function _M.read_body(entry, operation, headers, watch)
  local decision = operation.is_unannounced and count_body(entry, operation, watch)
  if decision then
    return decision
  end
  return operation.rule.counts_keys and count_keys(entry, operation, headers, watch) or nil
end

-- The size of an answer, or of a copy, is not known yet.
function _M.assume_size(entry, operation)
  if operation.down or operation.is_copy and operation.copied == nil then
    estimates.assume(entry, operation)
  end
end

return _M
