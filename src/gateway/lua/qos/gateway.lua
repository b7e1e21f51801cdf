-- The phases of a request.

local base = require("resty.core.base")
local cjson = require("cjson.safe")
local config = require("qos.config")
local database = require("qos.database")
local decide = require("qos.decide")
local denials = require("qos.denials")
local ffi = require("ffi")
local identity = require("qos.identity")
local leases = require("qos.leases")
local metrics = require("qos.metrics")
local operations = require("qos.operations")
local outage = require("qos.outage")
local respond = require("qos.respond")
local settlement = require("qos.settlement")
local store = require("qos.store")
local terms = require("qos.terms")

local _M = {}

local settings
local tend_every, write_every, forget_every, watch_every = 0.5, 0.05, 5, 1

-- Quotas changed, or the key is gone: what was leased under the old terms goes back.
local function on_change(before, after)
  if before == nil or before.app_id == nil then
    return
  end
  local is_same = after and after.app_id == before.app_id
    and cjson.encode(after.limits.list) == cjson.encode(before.limits.list)
  if not is_same then
    denials.forget(before.app_id)
    leases.hand_back(before.app_id)
  end
end

function _M.init()
  require("resty.core")
  -- A whole decision is one trace, which is longer than LuaJIT takes by itself.
  jit.opt.start("maxrecord=16000", "maxirconst=4000", "maxsnap=4000", "maxtrace=4000", "loopunroll=60", "callunroll=30")
  settings = config.read()
  database.use(settings.database)
  for _, module in ipairs({ leases, outage, respond, settlement, terms }) do
    module.use(settings)
  end
  terms.on_change = on_change
end

local function every(seconds, work)
  local _, problem = ngx.timer.every(seconds, function(premature)
    if not premature then
      local worked, why = pcall(work)
      if not worked then
        ngx.log(ngx.ERR, "qos: ", why)
      end
    end
  end)
  if problem then
    ngx.log(ngx.ERR, "qos: no timer: ", problem)
  end
end

-- A timer that is due at the end is called early: the last words of a worker.
local function at_the_end(work)
  local function wait(premature)
    if premature then
      pcall(work)
    else
      ngx.timer.at(3600, wait)
    end
  end
  ngx.timer.at(3600, wait)
end

local last_seen = 0

-- A clock that steps back makes all last longer that ends by it, shared memory's keys as well: that
-- is forgotten, and what is leased goes back.
local function watch_clock()
  ngx.update_time()
  local before, now = last_seen, ngx.now()
  last_seen = now
  if now >= before then
    return
  end
  ngx.log(ngx.WARN, "qos: the clock stepped back: what was known is read again")
  ngx.shared.qos_state:flush_all()
  terms.forget()
  if ngx.worker.id() == 0 then
    leases.start_over()
  end
end

function _M.init_worker()
  math.randomseed(ngx.now() * 1000 + ngx.worker.pid())
  every(1, metrics.flush)
  every(write_every, leases.write_corrections)
  every(forget_every, leases.forget_expired)
  every(watch_every, watch_clock)
  at_the_end(leases.write_corrections)
  if ngx.worker.id() == 0 then
    leases.adopt()
    every(tend_every, leases.tend_all)
    at_the_end(leases.hand_back_all)
  end
end

-- Names of counters by decision and reason: both are few.
local requests = { allowed = {}, denied = {}, refused = {} }

local function count_request(decision, reason)
  local name = requests[decision][reason]
  if name == nil then
    name = metrics.name(
      "qos_requests_total", 'decision="' .. decision .. '",reason="' .. reason .. '"'
    )
    requests[decision][reason] = name
  end
  metrics.add(name)
end

local function count(decision)
  if decision.problem then
    return count_request("refused", decision.problem.code)
  end
  count_request(decision.allowed and "allowed" or "denied", decision.reason or "none")
  if decision.shadow then
    metrics.add(metrics.name("qos_shadow_total", 'reason="' .. decision.shadow .. '"'))
  end
  if decision.is_uncharged then
    metrics.add("qos_uncharged_total")
  end
end

local function hold_back(decision)
  if (decision.delay_ms or 0) > 0 then
    metrics.add("qos_delayed_total")
    ngx.sleep(decision.delay_ms / 1000)
  end
end

-- The limiter is ill: that is an outage, and no 500. Without it no share can be counted.
local function decision_when_ill(problem)
  ngx.log(ngx.ERR, "qos: ", problem)
  metrics.add("qos_errors_total")
  local allowed = settings.outage.policy == "open"
  return {
    allowed = allowed, reason = "store_unavailable", layer = 3, is_uncharged = allowed,
    retry_after_ms = 1000,
  }
end

-- The decision and its operation; or what is wrong with the key.
local function judge(is_silent)
  local headers = ngx.req.get_headers()
  local arguments = ngx.var.args and ngx.req.get_uri_args() or nil
  local key, why = identity.key(headers, is_silent and arguments or nil, settings.key_header)
  if key == nil then
    return nil, why
  end
  local operation = operations.of(
    ngx.req.get_method(), ngx.var.uri, arguments, headers, settings.unknown_size
  )
  if operation == nil then
    return { allowed = false, problem = { code = "QS404", message = "unknown operation" } }
  elseif operation.up then
    -- Before anything waits: what comes of the body meanwhile is counted there, too.
    operation.header_bytes = tonumber(ngx.var.request_length)
  end
  local is_final = not (operation.up or operation.down or settings.refund_5xx)
  return decide.decide(key, operation, is_final), operation
end

-- What is let through and not settled yet, by the address of its request: ngx.ctx would hold it
-- too, and costs as much as two response headers.
local under_way = {}

local function address()
  return tonumber(ffi.cast("uintptr_t", base.get_request()))
end

local function let_through(decision, operation)
  respond.set_fields(decision)
  if settings.key_header ~= "x-api-key" then
    ngx.req.clear_header(settings.key_header)
  end
  if operation and (operation.up or operation.down or settings.refund_5xx) then
    decision.operation = operation
    under_way[address()] = decision
  end
  return hold_back(decision)
end

-- `is_silent`: the location writes no request line to any log, and a key may stand in the query.
function _M.access(is_silent)
  -- An address is used again, and not every request has a log phase of ours.
  under_way[address()] = nil
  local ran, decision, operation = pcall(judge, is_silent)
  if not ran then
    decision, operation = decision_when_ill(decision), nil
  elseif decision == nil then
    count_request("refused", operation .. "_key")
    return respond.no_key(operation)
  end
  count(decision)
  if decision.problem then
    return respond.refused(decision.problem)
  elseif not decision.allowed then
    return respond.denied(decision)
  end
  return let_through(decision, operation)
end

function _M.log()
  local request = address()
  local decision = under_way[request]
  if decision == nil then
    return
  end
  under_way[request] = nil
  local worked, problem = pcall(settlement.finish, decision, decision.operation)
  if not worked then
    metrics.add("qos_errors_total")
    ngx.log(ngx.ERR, "qos: ", problem)
  end
  -- After the last words of a worker nobody writes for it: it has only such requests left.
  if ngx.worker.exiting() and decision.entry then
    leases.settle_at_once(decision.entry.app_id)
    metrics.flush()
  end
end

-- Alive as long as it answers; whether the database does is said, and is no reason to restart.
function _M.health()
  ngx.header["Content-Type"] = "application/json"
  local is_down = store.outage() ~= nil
  ngx.say(cjson.encode({ status = "ok", database = is_down and "down" or "up" }))
end

function _M.metrics()
  ngx.header["Content-Type"] = "text/plain; version=0.0.4"
  ngx.print(metrics.text(store.outage() ~= nil))
end

return _M
