-- Whether a request may run: out of what is leased where that will do, else by asking the
-- database.

local amount = require("qos.amount")
local borrowing = require("qos.decisions.borrowing")
local clock = require("qos.clock")
local config_cache = require("qos.applications.config_cache")
local cost = require("qos.operations.cost")
local denials = require("qos.decisions.denials")
local exchange = require("qos.leases.exchange")
local leases = require("qos.leases.keeper")
local lock = require("qos.workers.lock")
local metrics = require("qos.metrics")
local outage = require("qos.decisions.outage")
local owed = require("qos.leases.owed")
local pools = require("qos.leases.pools")
local request = require("qos.requests.request")
local store = require("qos.database.store")

local _M = {}

local timeout_s = 2
-- What is owed is charged within a tenth of a second, unless something is in the way.
local owed_timeout_s = 0.5

local layers = { iops_l2 = 2, bandwidth_l2 = 2, iops_l1 = 1, bandwidth_l1 = 1 }

local function failure(problem)
  return { allowed = false, problem = problem }
end

local function denial(entry, reason, retry_after_ms)
  return {
    allowed = false, entry = entry, reason = reason, layer = layers[reason],
    retry_after_ms = retry_after_ms,
  }
end

-- Access key ids are not secret: what a sender is denied that was never found signed counts apart
-- from what its owner is denied.
local function count_denial(entry, reason, tokens, operation)
  if operation.is_unproven then
    metrics.add(metrics.name("qos_unproven_denials_total", 'reason="' .. reason .. '"'))
  else
    denials.count(entry.app_id, reason, tokens, operation.size)
  end
end

-- Under what name the database's denials are remembered: those of strangers stop strangers alone.
local function memory_of(entry, operation)
  return operation.is_unproven and entry.app_id .. " of strangers" or entry.app_id
end

local function remember_denial(entry, tokens, operation, decision)
  if not entry.limits.is_direct then
    denials.remember(
      memory_of(entry, operation), decision.reason, decision.retry_after_ms, tokens, operation.size
    )
  end
end

-- In an outage the policy decides. Nothing is charged then, so nothing is settled either.
local function without_database(entry, tokens, operation)
  local since, wait = store.outage()
  if since == nil then
    -- This key or this application could not be looked at in time: the policy is for outages.
    return {
      allowed = false, entry = entry, reason = "store_unavailable", layer = 3,
      retry_after_ms = 1000,
    }
  end
  if entry then
    store.probe_behind(function()
      exchange.probe(
        entry.app_id, math.min(tokens, amount.largest), math.min(operation.size, amount.largest),
        entry.limits.capacities
      )
    end)
  end
  local limits = entry and entry.limits
  local app_id = entry and entry.app_id or "unknown"
  if outage.allows(
    app_id, limits, tokens, operation.size, since, leases.holders(app_id)
  ) then
    return { allowed = true, entry = entry, reason = "store_unavailable", is_uncharged = true }
  end
  local denied = denial(entry, "store_unavailable", math.max(math.ceil(wait * 1000), 1))
  denied.layer = 3
  return denied
end

local function of_row(entry, row, tokens, operation, reference)
  return {
    allowed = row.allowed,
    entry = entry,
    tokens = tokens,
    charged_size = operation.size,
    charged_name = operation.name,
    reason = row.reason,
    layer = layers[row.reason or ""],
    shadow = row.allowed and row.reason or nil,
    remaining = row.remaining,
    remaining_bytes = row.remaining_bytes,
    retry_after_ms = row.retry_after_ms and tonumber(row.retry_after_ms),
    delay_ms = tonumber(row.delay_ms or "0"),
    reference = row.allowed and reference or nil,
  }
end

local function ask_database(entry, operation, reference)
  return store.call(
    "consume", entry.app_id, operation.name,
    operation.digits or amount.integer(operation.size), reference
  )
end

-- The database's decision where it would deny, without taking, borrowing or counting anything; nil
-- where it would not, or did not answer.
local function refusal_of_database(entry, tokens, operation)
  local row, problem = store.call(
    "check_limit", entry.app_id, operation.name,
    operation.digits or amount.integer(operation.size)
  )
  if row == nil then
    return problem.code and failure(problem) or nil
  end
  return not row.allowed and of_row(entry, row, tokens, operation) or nil
end

local function denied_as_unproven(entry, tokens, operation)
  local decision = operation.is_unproven and refusal_of_database(entry, tokens, operation) or nil
  if decision and decision.reason then
    count_denial(entry, decision.reason, tokens, operation)
    remember_denial(entry, tokens, operation, decision)
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

local function consume(entry, tokens, operation, is_final)
  if store.is_paused() then
    return without_database(entry, tokens, operation)
  end
  local refusal = denied_as_unproven(entry, tokens, operation)
  if refusal then
    return refusal
  end
  local reference = not is_final and request.var("request_id") or nil
  local row, problem = ask_database(entry, operation, reference)
  if row and not row.allowed and row.reason == "iops_l2" and not operation.is_unproven
    and borrowing.borrow(entry.app_id, tokens)
  then
    leases.forget_shortage(entry.app_id)
    row, problem = ask_database(entry, operation, reference)
  end
  if row == nil and problem.code then
    return failure(problem)
  elseif row == nil then
    return without_database(entry, tokens, operation)
  end
  local decision = of_row(entry, row, tokens, operation, reference)
  if not decision.allowed then
    remember_denial(entry, tokens, operation, decision)
  elseif (operation.count or 1) > 1 then
    charge_other_keys(entry, operation, decision)
  end
  return decision
end

local function denied_of_late(entry, tokens, operation)
  local reason, retry_after_ms = denials.find(entry.app_id, tokens, operation.size)
  if reason == nil and operation.is_unproven then
    reason, retry_after_ms = denials.find(memory_of(entry, operation), tokens, operation.size)
  end
  if reason == nil then
    return nil
  end
  count_denial(entry, reason, tokens, operation)
  return denial(entry, reason, retry_after_ms)
end

local function from_lease(entry, tokens, operation)
  local took, tokens_left, bytes_left = pools.take(entry.app_id, tokens, operation.size)
  if not took then
    return nil
  end
  return {
    allowed = true, entry = entry, tokens = tokens, operation = operation, passed_at = 0,
    paid = nil, may_be_paced = nil,
    remaining = tokens_left < math.huge and math.floor(tokens_left / 1000000) or nil,
    remaining_bytes = bytes_left < math.huge and bytes_left or nil,
  }
end

-- Windows begin at multiples of their length, by the database's clock.
local function until_next_window(entry, seconds)
  local us, length = clock.now() * 1000000 + entry.clock_ahead_us, seconds * 1000000
  return (length - us % length) / 1000000
end

-- Until the bucket that is short offers what an operation needs, where it offers anything in
-- `offers_in` seconds; nil where only the database can tell.
local function wait_for_bucket(entry, reason, tokens, bytes, offers_in)
  local left_tokens, left_bytes = pools.left(entry.app_id)
  local missing = reason:match("^iops") and (tokens - left_tokens) / 1000000 or bytes - left_bytes
  for _, limit in ipairs(entry.limits.list) do
    if limit.bucket_type == reason and limit.mode == "enforce" then
      if limit.method == "token_bucket" then
        return offers_in + math.max(missing, 0) / tonumber(limit.refill_rate)
      elseif limit.method == "fixed_window" then
        return math.max(offers_in, until_next_window(entry, limit.window_seconds))
      end
    end
  end
  return nil
end

-- The buckets had less than was wanted a moment ago, and it is known which: no call until the next
-- lease may hold more.
local function denied_for_shortage(entry, tokens, operation)
  local ends_in, offers_in = leases.shortage(entry.app_id)
  local reason = ends_in and denials.last_reason(entry.app_id)
  if reason == nil
    or not leases.feeds(entry.app_id, entry.limits.capacities, tokens, operation.size)
  then
    return nil
  end
  local wait = wait_for_bucket(entry, reason, tokens, operation.size, offers_in)
  if wait == nil then
    return nil
  end
  count_denial(entry, reason, tokens, operation)
  return denial(entry, reason, math.max(math.ceil(math.max(ends_in, wait) * 1000), 1))
end

-- Waits until what an application owes is charged; false where it is not in time.
local function wait_for_owed(app_id)
  local give_up_at = clock.now() + owed_timeout_s
  while owed.owes(owed.key_of(app_id)) do
    if clock.now() >= give_up_at or store.is_paused() then
      return false
    end
    exchange.run(true)
    ngx.sleep(0.005)
  end
  return true
end

-- What was spent beyond leases is charged before anything else is admitted; where it cannot be for
-- now, it denies.
local function denied_for_owed(entry, tokens, operation)
  if wait_for_owed(entry.app_id) or store.is_paused() then
    return nil
  end
  local tokens_owed, bytes_owed = owed.of(entry.app_id)
  local reason, wait = "iops_l2", tokens_owed / 1000000 / outage.slowest(entry.limits, "iops")
  if bytes_owed > 0 then
    reason, wait = "bandwidth_l2", bytes_owed / outage.slowest(entry.limits, "bandwidth")
  end
  count_denial(entry, reason, tokens, operation)
  return denial(entry, reason, math.max(math.ceil(wait * 1000), 100))
end

-- One request at a time asks the database for what no lease holds: a request that waited for it finds
-- its denial.
local function consume_in_turn(entry, tokens, operation, is_final)
  local function without_asking()
    return denied_of_late(entry, tokens, operation) or from_lease(entry, tokens, operation)
      or denied_for_shortage(entry, tokens, operation)
  end
  local decision = lock.with("direct " .. memory_of(entry, operation), 5, timeout_s, function()
    local decided = without_asking() or denied_for_owed(entry, tokens, operation)
    if decided then
      return decided
    elseif not operation.is_unproven then
      -- What is in hand here would be missing there.
      leases.release(entry.app_id)
    end
    return consume(entry, tokens, operation, is_final)
  end, without_asking)
  return decision or without_database(entry, tokens, operation)
end

-- The decision out of a lease that is fetched for it; nil where none holds it.
local function from_next_lease(entry, tokens, operation)
  local give_up_at = clock.now() + timeout_s
  while clock.now() < give_up_at do
    if owed.owes(owed.key_of(entry.app_id)) then
      local decided = denied_for_owed(entry, tokens, operation)
        or from_lease(entry, tokens, operation)
      if decided then
        return decided
      end
    end
    if leases.is_short(entry.app_id) then
      return nil
    end
    local renewed, problem = exchange.renew(
      entry.app_id, tokens, operation.size, entry.limits.capacities
    )
    if type(problem) == "table" and problem.code then
      return failure(problem)
    end
    local decided = from_lease(entry, tokens, operation)
    if decided or not renewed then
      return decided
    end
  end
  return nil
end

-- Whether the application has more now, out of its own future.
local function has_borrowed(entry, tokens, operation)
  if operation.is_unproven or denials.last_reason(entry.app_id) ~= "iops_l2"
    or not borrowing.borrow(entry.app_id, tokens) then
    return false
  end
  leases.forget_shortage(entry.app_id)
  denials.forget(entry.app_id)
  return true
end

local function by_leases(entry, tokens, operation, is_final)
  local decided = from_lease(entry, tokens, operation) or denied_of_late(entry, tokens, operation)
  if decided then
    return decided
  end
  if tokens < math.huge and operation.size < math.huge then
    decided = from_next_lease(entry, tokens, operation)
    if decided then
      return decided
    end
  end
  if store.is_paused() then
    return without_database(entry, tokens, operation)
  end
  if leases.is_short(entry.app_id) and has_borrowed(entry, tokens, operation) then
    decided = from_next_lease(entry, tokens, operation)
    if decided then
      return decided
    end
  end
  decided = denied_for_shortage(entry, tokens, operation)
  if decided then
    return decided
  end
  return consume_in_turn(entry, tokens, operation, is_final)
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
    return nil, without_database(nil, 0, { size = 0 })
  elseif entry.problem then
    return nil, failure(entry.problem)
  end
  return entry
end

-- A decision: `problem` where the key or the operation is refused; else `allowed`, `reason`,
-- `layer`, `retry_after_ms`, `delay_ms`, what is left, and how to settle it. `is_final`: the
-- charge is never settled nor refunded.
function _M.decide_for(entry, operation, is_final)
  local rule, problem = check_operation(entry, operation)
  if rule == nil then
    return failure(problem)
  end
  local tokens = cost.of_many(rule, operation.size, operation.count)
  if entry.limits.is_direct then
    return consume(entry, tokens, operation, is_final)
  end
  return by_leases(entry, tokens, operation, is_final)
end

-- Whether a bucket that the database finds short has it together with what is leased here: that stays
-- leased, as a stranger asks.
local function is_held_with_leases(entry, decision, tokens, bytes)
  if layers[decision.reason or ""] == nil then
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
    return failure(problem)
  end
  local tokens = cost.of_many(rule, operation.size, operation.count)
  local fits = not entry.limits.is_direct
    and leases.feeds(entry.app_id, entry.limits.capacities, tokens, operation.size)
  if not fits and not store.is_paused() then
    local decision = refusal_of_database(entry, tokens, operation)
    if decision and not is_held_with_leases(entry, decision, tokens, operation.size) then
      if decision.reason then
        count_denial(entry, decision.reason, tokens, operation)
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
