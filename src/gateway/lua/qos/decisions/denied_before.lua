-- Denials that are counted, and those of the database that are remembered for a moment. Access key ids
-- are not secret: what a sender is denied that was never found signed counts apart from what its owner is
-- denied, and stops such senders alone.

local demand = require("qos.decisions.demand")
local denials = require("qos.decisions.denials")
local keys = require("qos.keys")
local metrics = require("qos.metrics")
local verdict = require("qos.decisions.verdict")

local _M = {}

function _M.count(entry, reason, tokens, operation)
  if operation.is_unproven then
    metrics.add(metrics.name("qos_unproven_denials_total", 'reason="' .. reason .. '"'))
  else
    denials.count(entry.app_id, reason, tokens, operation.size)
    demand.count(entry.app_id, operation, tokens, true)
  end
end

-- Under what name the application is remembered for an operation.
function _M.name_of(entry, operation)
  return operation.is_unproven and keys.strangers_of(entry.app_id) or entry.app_id
end

function _M.remember(entry, tokens, operation, decision)
  if not entry.limits.is_direct then
    denials.remember(
      _M.name_of(entry, operation), decision.reason, decision.retry_after_ms, tokens,
      operation.size
    )
  end
end

-- The denial of what needs as much as was denied a moment ago; nil where nothing like it was.
function _M.find(entry, tokens, operation)
  local reason, retry_after_ms = denials.find(entry.app_id, tokens, operation.size)
  if reason == nil and operation.is_unproven then
    reason, retry_after_ms = denials.find(
      _M.name_of(entry, operation), tokens, operation.size
    )
  end
  if reason == nil then
    return nil
  end
  _M.count(entry, reason, tokens, operation)
  return verdict.denied(entry, reason, retry_after_ms)
end

return _M
