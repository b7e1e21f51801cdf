-- After the response: charge what was really moved. The log phase may not wait, so what the
-- database has to know goes there behind it.

local amount = require("qos.amount")
local cost = require("qos.cost")
local leases = require("qos.leases")
local metrics = require("qos.metrics")
local store = require("qos.store")
local terms = require("qos.terms")

local _M = {}

local settings
local settled_bytes = {
  up = metrics.name("qos_settled_bytes_total", 'direction="up"'),
  down = metrics.name("qos_settled_bytes_total", 'direction="down"'),
}

function _M.use(config)
  settings = config
end

local function count(direction, bytes)
  metrics.add(settled_bytes[direction], bytes)
  return bytes
end

-- Bytes that moved: of the body that was sent down, and of the one that came up (with the framing
-- of chunks).
local function moved(operation)
  local bytes = 0
  if operation.down then
    bytes = count("down", tonumber(ngx.var.body_bytes_sent) or 0)
  end
  if operation.up then
    local all = tonumber(ngx.var.request_length) or 0
    bytes = bytes + count("up", math.max(all - operation.header_bytes, 0))
  end
  return bytes
end

-- What the database has to be told yet. nginx runs no more than 256 timers of a worker at once and
-- drops the others, so that a few of them tell everything.
local untold = {}
local most_tellers, tellers = 2, 0
-- As many as an outage may leave behind.
local most_untold = 10000

local function tell(call)
  while store.is_paused() and not ngx.worker.exiting() do
    ngx.sleep(0.1)
  end
  local row, problem = store.call(call.name, unpack(call.parameters))
  -- Nobody answered. If it was done all the same, it changes nothing the second time.
  if row == nil and not problem.code and not problem.sqlstate and not ngx.worker.exiting() then
    table.insert(untold, call)
    ngx.sleep(0.1)
  end
end

local function tell_all()
  if tellers >= most_tellers then
    return
  end
  tellers = tellers + 1
  local call = table.remove(untold)
  while call do
    pcall(tell, call)
    call = table.remove(untold)
  end
  tellers = tellers - 1
end

local function behind(name, ...)
  if #untold >= most_untold then
    metrics.add("qos_errors_total")
    return
  end
  table.insert(untold, { name = name, parameters = { ... } })
  if tellers < most_tellers then
    ngx.timer.at(0, tell_all)
  end
end

local function correct(decision, operation, size)
  local price = terms.cost_of(decision.entry, operation.name)
  if price == nil or size == operation.size then
    return
  end
  local tokens = math.min(cost.of(price, size), amount.largest) - decision.tokens
  leases.correct(decision.entry.app_id, tokens, size - operation.size)
end

local function refund(decision, operation)
  metrics.add("qos_refunds_total")
  if decision.reference then
    behind("refund", decision.entry.app_id, decision.reference)
  elseif decision.tokens then
    leases.correct(decision.entry.app_id, -decision.tokens, -operation.size)
  end
end

local function settle(decision, operation)
  local size = moved(operation)
  if decision.reference then
    if size ~= operation.size then
      behind("settle", decision.entry.app_id, decision.reference, string.format("%.0f", size))
    end
  elseif decision.tokens then
    correct(decision, operation, size)
  end
end

-- An error of the storage is not the caller's; an answer of ours (no storage was asked) neither.
function _M.finish(decision, operation)
  if decision.is_uncharged then
    return
  end
  if settings.refund_5xx and ngx.status >= 500 then
    return refund(decision, operation)
  end
  if operation.up or operation.down then
    settle(decision, operation)
  end
end

return _M
