-- After the response: charge what was really moved. The log phase may not wait, so what the
-- database has to know goes there behind it.

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

-- Bytes that moved: of the body that was sent down, or of the one that came up (with the framing
-- of chunks).
local function moved(operation)
  if operation.transfers == "down" then
    return tonumber(ngx.var.body_bytes_sent) or 0
  end
  return math.max((tonumber(ngx.var.request_length) or 0) - operation.header_bytes, 0)
end

local function behind(name, ...)
  local parameters = { ... }
  ngx.timer.at(0, function(premature)
    if not premature then
      store.call(name, unpack(parameters))
    end
  end)
end

local function correct(decision, operation, size)
  local price = terms.cost_of(decision.entry, operation.name)
  if price == nil or size == operation.size then
    return
  end
  local tokens = cost.of(price, size) - decision.tokens
  if tokens > -math.huge and tokens < math.huge then
    leases.correct(decision.entry.app_id, tokens, size - operation.size)
  end
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
  metrics.add(settled_bytes[operation.transfers], size)
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
  if operation.transfers then
    settle(decision, operation)
  end
end

return _M
