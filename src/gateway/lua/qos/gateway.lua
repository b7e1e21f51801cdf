-- The phases of a request.

local cjson = require("cjson.safe")
local config = require("qos.config")
local database = require("qos.database")
local decide = require("qos.decide")
local denials = require("qos.denials")
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
local tend_every = 0.5

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

function _M.init_worker()
  math.randomseed(ngx.now() * 1000 + ngx.worker.pid())
  every(1, metrics.flush)
  if ngx.worker.id() == 0 then
    every(tend_every, leases.tend_all)
    at_the_end(leases.hand_back_all)
  end
end

local function request()
  local headers = ngx.req.get_headers()
  return {
    method = ngx.req.get_method(),
    path = ngx.var.uri,
    arguments = ngx.var.args and ngx.req.get_uri_args() or {},
    headers = headers,
    content_length = ngx.var.http_content_length,
    transfer_encoding = ngx.var.http_transfer_encoding,
    range = ngx.var.http_range,
  }
end

local function count(decision)
  local label = decision.allowed and "allowed" or "denied"
  if decision.problem then
    label = "refused"
  end
  local reason = decision.problem and decision.problem.code or decision.reason or "none"
  metrics.add("qos_requests_total", 'decision="' .. label .. '",reason="' .. reason .. '"')
  if decision.shadow then
    metrics.add("qos_shadow_total", 'reason="' .. decision.shadow .. '"')
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

local function refuse_key(why)
  metrics.add("qos_requests_total", 'decision="refused",reason="' .. why .. '_key"')
  return respond.no_key(why)
end

local function decide_safely(key, operation, reference)
  local ran, decision = pcall(decide.decide, key, operation, reference)
  if ran and decision then
    return decision
  end
  -- The limiter is ill: that is an outage, and no 500.
  ngx.log(ngx.ERR, "qos: ", decision)
  local allowed = settings.outage.policy ~= "closed"
  return {
    allowed = allowed, reason = "store_unavailable", layer = 3, is_uncharged = allowed,
    retry_after_ms = 1000,
  }
end

function _M.access()
  local asked = request()
  local key, why = identity.key(asked.headers, asked.arguments, settings.key_header)
  if key == nil then
    return refuse_key(why)
  end
  local operation = operations.of(asked, settings.unknown_size)
  local may_change = operation.transfers ~= nil or settings.refund_5xx
  local decision = decide_safely(key, operation, may_change and ngx.var.request_id or nil)
  count(decision)
  if decision.problem then
    return respond.refused(decision.problem)
  elseif not decision.allowed then
    return respond.denied(decision)
  end
  if operation.transfers == "up" then
    operation.header_bytes = #ngx.req.raw_header()
  end
  ngx.ctx.qos = { decision = decision, operation = operation }
  hold_back(decision)
end

function _M.header_filter()
  local qos = ngx.ctx.qos
  if qos then
    respond.set_fields(qos.decision)
  end
end

function _M.log()
  local qos = ngx.ctx.qos
  if qos then
    settlement.finish(qos.decision, qos.operation)
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
