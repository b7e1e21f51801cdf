-- In an outage the policy decides. Nothing is charged then, so nothing is settled either.

local amount = require("qos.amount")
local demand = require("qos.decisions.demand")
local exchange = require("qos.leases.exchange")
local outage = require("qos.decisions.outage")
local sharing = require("qos.leases.sharing")
local store = require("qos.database.store")

local _M = {}

local function probe_behind(entry, tokens, operation)
  store.probe_behind(function()
    exchange.probe(
      entry.app_id, math.min(tokens, amount.largest), math.min(operation.size, amount.largest),
      entry.limits.capacities
    )
  end)
end

local function denied(entry, retry_after_ms)
  return {
    allowed = false, entry = entry, reason = "store_unavailable", layer = 3,
    retry_after_ms = retry_after_ms,
  }
end

function _M.decide(entry, tokens, operation)
  local since, wait = store.outage()
  if since == nil then
    -- This key or this application could not be looked at in time: the policy is for outages.
    return denied(entry, 1000)
  end
  if entry then
    probe_behind(entry, tokens, operation)
  end
  local limits = entry and entry.limits
  local app_id = entry and entry.app_id or "unknown"
  if outage.allows(app_id, limits, tokens, operation.size, since, sharing.holders(app_id)) then
    if entry then
      demand.count(app_id, operation, tokens)
    end
    return { allowed = true, entry = entry, reason = "store_unavailable", is_uncharged = true }
  end
  return denied(entry, math.max(math.ceil(wait * 1000), 1))
end

return _M
