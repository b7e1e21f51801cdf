-- From what a request says to the decision on it.

local caller = require("qos.identity.caller")
local clock = require("qos.clock")
local decide = require("qos.decisions.decide")
local identities = require("qos.identity.identities")
local measure = require("qos.operations.measure")
local metrics = require("qos.metrics")
local operations = require("qos.operations.operations")
local request = require("qos.requests.request")
local signature_failures = require("qos.identity.signature_failures")

local _M = {}

local settings

function _M.use(config)
  settings = config
end

local function note_error(problem)
  ngx.log(ngx.ERR, "qos: ", problem)
  metrics.add("qos_errors_total")
end

-- An error while a request is read may be of its sender's making: it lets nothing through.
local function unreadable(problem)
  note_error(problem)
  return { allowed = false, problem = { code = "QS400", message = "the request cannot be read" } }
end

-- The limiter is ill: that is an outage, and no 500. Without it no share can be counted. What a sender
-- says has been read by then.
local function when_ill(problem)
  note_error(problem)
  local allowed = settings.outage.policy == "open"
  return {
    allowed = allowed, reason = "store_unavailable", layer = 3, is_uncharged = allowed,
    retry_after_ms = 1000,
  }
end

-- An error of this gateway's own, or of what the sender says; `has_read`: that is read.
function _M.after_error(problem, has_read)
  return has_read and when_ill(problem) or unreadable(problem)
end

local function read_body(entry, operation, headers, watch)
  local ran, decision = pcall(measure.read_body, entry, operation, headers, watch)
  return ran and decision or not ran and unreadable(decision) or nil
end

-- Whether the charge is neither settled nor given back.
local function is_final(operation, watch)
  return not (operation.up or operation.down or operation.is_copy or settings.refund_5xx or watch)
end

local function decide_for(entry, watch, operation, headers)
  local decision = measure.needs_body(operation) and read_body(entry, operation, headers, watch)
  if decision then
    return decision
  end
  measure.assume_size(entry, operation)
  if operation.is_unproven then
    decision = decide.hold_part(entry, operation, signature_failures.most_held())
    if decision then
      return decision
    end
  end
  return decide.decide_for(entry, operation, is_final(operation, watch))
end

-- The decision on a request of a key.
local function decide_on(key, watch, operation, headers, header_bytes)
  if operation == nil then
    return { allowed = false, problem = { code = "QS404", message = "unknown operation" } }
  elseif operation.up then
    operation.header_bytes = tonumber(header_bytes or request.var("request_length"))
  end
  operation.is_unproven = watch ~= nil and not watch.is_proven
  local began_at = clock.now()
  local entry, decision = decide.application(key)
  if entry then
    decision = decide_for(entry, watch, operation, headers)
  end
  -- A body that was read for it came at the pace of its sender.
  metrics.observe("qos_decision_seconds", clock.now() - began_at - (operation.read_for_s or 0))
  return decision
end

-- What a request says: its operation, its headers, the bytes before its body, and whose it is; or,
-- after those, nil and what is wrong with the key.
local function read_request(line, is_silent)
  local headers = request.headers()
  local arguments = line.target:find("?", 1, true) and request.var("args") and ngx.req.get_uri_args(0)
    or nil
  local method = line.method
  -- Before anything waits: what comes of the body meanwhile is counted there, too.
  local header_bytes = method == "POST" and request.var("request_length")
  local path = request.var("uri")
  if settings.identities.domain then
    path = identities.path_with_bucket(settings.identities, path, rawget(headers, "host"))
  end
  local operation = operations.of(method, path, arguments, headers, line.protocol)
  return operation, headers, header_bytes,
    caller.identify(method, headers, is_silent and arguments or nil)
end

-- The decision and its operation; or nil, what is wrong with the key, and when to try again.
-- `line.has_read`: what the request says is read. `is_silent`: a key may stand in the query.
function _M.judge(line, is_silent)
  local operation, headers, header_bytes, key, why, watch = read_request(line, is_silent)
  line.has_read = true
  if key == nil then
    return nil, why, watch
  elseif watch == nil then
    return decide_on(key, nil, operation, headers, header_bytes), operation
  end
  local ran, decision = pcall(decide_on, key, watch, operation, headers, header_bytes)
  if not ran then
    caller.leave(watch)
    error(decision, 0)
  end
  decision.watch = watch
  return decision, operation
end

return _M
