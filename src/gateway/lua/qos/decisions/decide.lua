-- Whether a request may run: out of what is leased where that will do, else by asking the
-- database.

local borrowing = require("qos.decisions.borrowing")
local by_database = require("qos.decisions.by_database")
local by_lease = require("qos.decisions.by_lease")
local config_cache = require("qos.applications.config_cache")
local cost = require("qos.operations.cost")
local denials = require("qos.decisions.denials")
local denied_before = require("qos.decisions.denied_before")
local denied_here = require("qos.decisions.denied_here")
local pools = require("qos.leases.pools")
local sharing = require("qos.leases.sharing")
local shortage = require("qos.leases.shortage")
local store = require("qos.database.store")
local verdict = require("qos.decisions.verdict")
local without_database = require("qos.decisions.without_database")

local _M = {}

-- Whether the application has more now, out of its own future.
local function has_borrowed(entry, tokens, operation)
  if operation.is_unproven or denials.last_reason(entry.app_id) ~= "iops_l2"
    or not borrowing.borrow(entry.app_id, tokens) then
    return false
  end
  shortage.forget(entry.app_id)
  denials.forget(entry.app_id)
  return true
end

-- The decision out of a lease that is fetched for it, or in an outage without one; nil where the buckets
-- have none that holds it.
local function by_next_lease(entry, tokens, operation)
  if tokens < math.huge and operation.size < math.huge then
    local decided = by_lease.next(entry, tokens, operation)
    if decided then
      return decided
    end
  end
  if store.is_paused() then
    return without_database.decide(entry, tokens, operation)
  end
  if shortage.is_short(entry.app_id) and has_borrowed(entry, tokens, operation) then
    return by_lease.next(entry, tokens, operation)
  end
end

local function by_leases(entry, tokens, operation, is_final)
  return by_lease.in_hand(entry, tokens, operation)
    or denied_before.find(entry, tokens, operation)
    or by_next_lease(entry, tokens, operation)
    or denied_here.for_shortage(entry, tokens, operation)
    or by_database.consume_in_turn(entry, tokens, operation, is_final)
end

local function check_operation(entry, operation)
  local rule = config_cache.cost_of(entry, operation.name)
  if rule == nil then
    return nil, { code = "QS404", message = "unknown operation" }
  elseif not rule.is_active then
    return nil, { code = "QS403", message = "operation is inactive" }
  end
  return rule
end

-- What is known of a key; or nil and the decision where nothing is, or the key is refused.
function _M.application(api_key)
  local entry = config_cache.of(api_key)
  if entry == nil then
    return nil, without_database.decide(nil, 0, { size = 0 })
  elseif entry.problem then
    return nil, verdict.refused(entry.problem)
  end
  return entry
end

-- A decision, as verdict.lua describes it. `is_final`: the charge is never settled nor refunded.
function _M.decide_for(entry, operation, is_final)
  local rule, problem = check_operation(entry, operation)
  if rule == nil then
    return verdict.refused(problem)
  end
  local tokens = cost.of_many(rule, operation.size, operation.count)
  if entry.limits.is_direct then
    return by_database.consume(entry, tokens, operation, is_final)
  end
  return by_leases(entry, tokens, operation, is_final)
end

-- Whether a bucket that the database finds short has it together with what is leased here: that stays
-- leased, as a stranger asks.
local function is_held_with_leases(entry, decision, tokens, bytes)
  if not verdict.is_of_bucket(decision.reason) then
    return false
  end
  local left_tokens, left_bytes = pools.left(entry.app_id)
  local in_bucket, bytes_in_bucket = decision.remaining, decision.remaining_bytes
  return (in_bucket == nil or tonumber(in_bucket) + left_tokens / 1000000 >= tokens / 1000000)
    and (bytes_in_bucket == nil or tonumber(bytes_in_bucket) + left_bytes >= bytes)
end

-- An upload of a sender that is not proven holds no more than `most` bytes of the application while it
-- lasts, and is charged for the rest at its end. Answers the decision where it is denied at its whole size.
function _M.hold_part(entry, operation, most)
  if not operation.up or operation.is_copy or operation.is_counted or operation.size <= most then
    return nil
  end
  local rule, problem = check_operation(entry, operation)
  if rule == nil then
    return verdict.refused(problem)
  end
  local tokens = cost.of_many(rule, operation.size, operation.count)
  local fits = not entry.limits.is_direct
    and sharing.feeds(entry.app_id, entry.limits.capacities, tokens, operation.size)
  if not fits and not store.is_paused() then
    local decision = by_database.refusal(entry, tokens, operation)
    if decision and not is_held_with_leases(entry, decision, tokens, operation.size) then
      if decision.reason then
        denied_before.count(entry, decision.reason, tokens, operation)
      end
      return decision
    end
  end
  operation.size, operation.digits = most, nil
end

function _M.decide(api_key, operation, is_final)
  local entry, decision = _M.application(api_key)
  if entry == nil then
    return decision
  end
  return _M.decide_for(entry, operation, is_final)
end

return _M
