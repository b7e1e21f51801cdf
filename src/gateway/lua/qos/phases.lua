-- The phases of a request.

local actual_size = require("qos.decisions.actual_size")
local caller = require("qos.identity.caller")
local clock = require("qos.clock")
local counters = require("qos.decisions.counters")
local judge = require("qos.decisions.judge")
local metrics = require("qos.metrics")
local pacing = require("qos.decisions.pacing")
local preflight = require("qos.requests.preflight")
local request = require("qos.requests.request")
local request_target = require("qos.requests.request_target")
local respond = require("qos.answers.respond")
local start = require("qos.workers.start")
local transfers = require("qos.leases.transfers")
local under_way = require("qos.requests.under_way")

local _M = {}

local settings

function _M.use(config)
  settings = config
end

local function note_error(problem)
  metrics.add("qos_errors_total")
  ngx.log(ngx.ERR, "qos: ", problem)
end

local function hold_back(decision)
  if (decision.delay_ms or 0) > 0 then
    metrics.add("qos_delayed_total")
    ngx.sleep(decision.delay_ms / 1000)
  end
end

local function let_through(address, decision, operation)
  respond.set_fields(decision)
  if settings.key_header ~= "x-api-key" then
    ngx.req.clear_header(settings.key_header)
  end
  if operation then
    decision.operation = operation
    under_way.set(address, decision)
    transfers.begin(decision)
  end
  hold_back(decision)
  decision.passed_at = clock.now()
  local location = pacing.location(decision)
  if location then
    -- Ends this phase.
    return ngx.exec(location)
  end
end

local function pass_on(address, decision, operation)
  counters.count_decision(decision)
  if decision.watch and not decision.allowed then
    caller.leave(decision.watch)
  end
  if decision.problem then
    return respond.refused(decision.problem)
  elseif not decision.allowed then
    return respond.denied(decision)
  end
  return let_through(address, decision, operation)
end

-- Why the line of the request is refused; nil where it is not.
local function refusal_of_line(line)
  -- A request of HTTP/0.9 names no version.
  if line.protocol == nil then
    return "protocol"
  end
  return not request_target.is_clear(line.target) and "target" or nil
end

-- `is_silent`: the location writes no request line to any log, and a key may stand in the query.
function _M.access(is_silent)
  local address = request.address()
  local line = {
    target = request.var("request_uri"), protocol = request.var("server_protocol"),
    method = ngx.req.get_method(), has_read = false,
  }
  under_way.forget_last(address)
  local refusal = refusal_of_line(line)
  if refusal then
    counters.count("refused", refusal)
    return respond.no_key(refusal)
  elseif preflight.is_one(line.method, line.protocol) then
    under_way.set(address, { allowed = true, is_preflight = true })
    return counters.count("allowed", "preflight")
  end
  local ran, decision, operation, retry_after_s = pcall(judge.judge, line, is_silent)
  if not ran then
    decision = judge.after_error(decision, line.has_read)
    operation = nil
  elseif decision == nil then
    counters.count("refused", operation .. "_key")
    return respond.no_key(operation, retry_after_s)
  end
  return pass_on(address, decision, operation)
end

function _M.header_filter()
  local decision = under_way.of(request.address())
  if decision == nil or not decision.allowed then
    return
  elseif decision.is_preflight then
    ngx.header["Content-Length"] = nil
    return
  end
  metrics.observe("qos_upstream_seconds", clock.now() - decision.passed_at)
  local worked, problem = pcall(actual_size.announce, decision)
  if not worked then
    note_error(problem)
  end
end

function _M.body_filter()
  local decision = under_way.of(request.address())
  if decision == nil then
    return
  elseif decision.is_preflight then
    -- Nothing is charged for it: browsers read its head alone.
    ngx.arg[1] = ""
    return
  end
  if decision.pace then
    pacing.continue(decision)
  end
  if decision.watch then
    caller.hear_body(decision.watch)
  end
end

local function finish(decision)
  local watch = decision.watch
  if watch and not decision.allowed then
    caller.leave(watch)
    -- A body that was given up before the storage saw it says nothing of who sent it.
    if watch.is_proven then
      actual_size.finish(decision, decision.operation)
    end
    return
  end
  actual_size.finish(decision, decision.operation, watch and caller.finish(watch))
end

function _M.log()
  local decision = under_way.take(request.address())
  if decision == nil or decision.is_preflight then
    return
  end
  local worked, problem = pcall(finish, decision)
  transfers.finish(decision)
  if not worked then
    note_error(problem)
  end
  if ngx.worker.exiting() and decision.entry then
    start.flush_late(decision.entry.app_id)
  end
end

return _M
