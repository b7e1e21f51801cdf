-- Counts decisions for the metrics.

local metrics = require("qos.metrics")

local _M = {}

-- Names of counters by decision and reason: both are few.
local names = { allowed = {}, denied = {}, refused = {} }

function _M.count(decision, reason)
  local name = names[decision][reason]
  if name == nil then
    name = metrics.name(
      "qos_requests_total", 'decision="' .. decision .. '",reason="' .. reason .. '"'
    )
    names[decision][reason] = name
  end
  metrics.add(name)
end

local labels = { allowed = 'decision="allowed"', denied = 'decision="denied"' }

function _M.count_decision(decision)
  if decision.problem then
    return _M.count("refused", decision.problem.code)
  end
  local name = decision.allowed and "allowed" or "denied"
  _M.count(name, decision.reason or "none")
  if decision.entry then
    metrics.add_for(decision.entry.app_id, "qos_application_requests_total", labels[name])
  end
  if decision.shadow then
    metrics.add(metrics.name("qos_shadow_total", 'reason="' .. decision.shadow .. '"'))
  end
  if decision.is_uncharged then
    metrics.add("qos_uncharged_total")
  end
end

return _M
