-- Decides by asking the database.

local amount = require("qos.amount")
local borrowing = require("qos.decisions.borrowing")
local by_lease = require("qos.decisions.by_lease")
local config_cache = require("qos.applications.config_cache")
local denied_before = require("qos.decisions.denied_before")
local denied_here = require("qos.decisions.denied_here")
local give_back = require("qos.leases.give_back")
local keys = require("qos.keys").qos_state
local lock = require("qos.workers.lock")
local owed = require("qos.leases.owed")
local request = require("qos.requests.request")
local shortage = require("qos.leases.shortage")
local store = require("qos.database.store")
local verdict = require("qos.decisions.verdict")
local without_database = require("qos.decisions.without_database")

local _M = {}

local timeout_s, longest_turn = 2, 5

local function digits_of(operation)
  return operation.digits or amount.integer(operation.size)
end

local function ask(entry, operation, reference)
  return store.call("consume", entry.app_id, operation.name, digits_of(operation), reference)
end

-- The database's decision where it would deny, without taking, borrowing or counting anything; nil
-- where it would not, or did not answer.
function _M.refusal(entry, tokens, operation)
  local row, problem = store.call("check_limit", entry.app_id, operation.name, digits_of(operation))
  if row == nil then
    return problem.code and verdict.refused(problem) or nil
  end
  return not row.allowed and verdict.of_row(entry, row, tokens, operation) or nil
end

local function denied_as_unproven(entry, tokens, operation)
  local decision = operation.is_unproven and _M.refusal(entry, tokens, operation) or nil
  if decision and decision.reason then
    denied_before.count(entry, decision.reason, tokens, operation)
    denied_before.remember(entry, tokens, operation, decision)
  end
  return decision
end

-- The database has charged one of several keys.
local function charge_other_keys(entry, operation, decision)
  local rule = config_cache.cost_of(entry, operation.name)
  local due = (operation.count - 1) * rule.base
  if decision.reference then
    -- Under a key of its own: it can be given back.
    decision.announced = { tokens = due, bytes = 0 }
    decision.announced_key = "keys " .. decision.reference
    owed.announce(entry.app_id, decision.announced_key, due, 0)
  else
    owed.owe(entry.app_id, due, 0)
  end
end

-- Asks, and once more where the application borrows what its bucket is short of.
local function ask_or_borrow(entry, tokens, operation, reference)
  local row, problem = ask(entry, operation, reference)
  if row and not row.allowed and row.reason == "iops_l2" and not operation.is_unproven
    and borrowing.borrow(entry.app_id, tokens)
  then
    shortage.forget(entry.app_id)
    return ask(entry, operation, reference)
  end
  return row, problem
end

-- `is_final`: the charge is never settled nor refunded.
function _M.consume(entry, tokens, operation, is_final)
  if store.is_paused() then
    return without_database.decide(entry, tokens, operation)
  end
  local refusal = denied_as_unproven(entry, tokens, operation)
  if refusal then
    return refusal
  end
  local reference = not is_final and request.var("request_id") or nil
  local row, problem = ask_or_borrow(entry, tokens, operation, reference)
  if row == nil and problem.code then
    return verdict.refused(problem)
  elseif row == nil then
    return without_database.decide(entry, tokens, operation)
  end
  local decision = verdict.of_row(entry, row, tokens, operation, reference)
  if not decision.allowed then
    denied_before.remember(entry, tokens, operation, decision)
  elseif (operation.count or 1) > 1 then
    charge_other_keys(entry, operation, decision)
  end
  return decision
end

-- One request at a time asks the database for what no lease holds: a request that waited for it finds
-- its denial.
function _M.consume_in_turn(entry, tokens, operation, is_final)
  local function without_asking()
    return denied_before.find(entry, tokens, operation)
      or by_lease.in_hand(entry, tokens, operation)
      or denied_here.for_shortage(entry, tokens, operation)
  end
  local function decide()
    local decided = without_asking() or denied_here.for_owed(entry, tokens, operation)
    if decided then
      return decided
    elseif not operation.is_unproven then
      -- What is in hand here would be missing there.
      give_back.now(entry.app_id)
    end
    return _M.consume(entry, tokens, operation, is_final)
  end
  local key = keys.direct_lock(denied_before.name_of(entry, operation))
  local decision = lock.with(key, longest_turn, timeout_s, decide, without_asking)
  return decision or without_database.decide(entry, tokens, operation)
end

return _M
