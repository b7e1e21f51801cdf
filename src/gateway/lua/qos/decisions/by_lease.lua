-- Decides out of what is leased.

local clock = require("qos.clock")
local demand = require("qos.decisions.demand")
local denied_here = require("qos.decisions.denied_here")
local exchange = require("qos.leases.exchange")
local owed = require("qos.leases.owed")
local pools = require("qos.leases.pools")
local shortage = require("qos.leases.shortage")
local verdict = require("qos.decisions.verdict")

local _M = {}

local timeout_s = 2

-- The decision out of what is in hand; nil where that does not hold it.
function _M.in_hand(entry, tokens, operation)
  local took, tokens_left, bytes_left = pools.take(entry.app_id, tokens, operation.size)
  if not took then
    return nil
  end
  demand.count(entry.app_id, operation, tokens)
  return {
    allowed = true, entry = entry, tokens = tokens, operation = operation, passed_at = 0,
    paid = nil, may_be_paced = nil,
    remaining = tokens_left < math.huge and math.floor(tokens_left / 1000000) or nil,
    remaining_bytes = bytes_left < math.huge and bytes_left or nil,
  }
end

-- The decision out of a lease that is fetched for it; nil where none holds it.
function _M.next(entry, tokens, operation)
  local give_up_at = clock.now() + timeout_s
  while clock.now() < give_up_at do
    if owed.owes(owed.key_of(entry.app_id)) then
      local decided = denied_here.for_owed(entry, tokens, operation)
        or _M.in_hand(entry, tokens, operation)
      if decided then
        return decided
      end
    end
    if shortage.is_short(entry.app_id) then
      return nil
    end
    local renewed, problem = exchange.renew(
      entry.app_id, tokens, operation.size, entry.limits.capacities
    )
    if type(problem) == "table" and problem.code then
      return verdict.refused(problem)
    end
    local decided = _M.in_hand(entry, tokens, operation)
    if decided or not renewed then
      return decided
    end
  end
  return nil
end

return _M
