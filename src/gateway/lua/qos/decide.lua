-- Whether a request may run: out of what is leased where that will do, else by asking the
-- database.

local amount = require("qos.amount")
local borrowing = require("qos.borrowing")
local cost = require("qos.cost")
local denials = require("qos.denials")
local leases = require("qos.leases")
local lock = require("qos.lock")
local outage = require("qos.outage")
local store = require("qos.store")
local terms = require("qos.terms")

local _M = {}

local patience = 2
-- As many as may be needed until a lease counts everybody who waits.
local most_renewals = 4

local layers = { iops_l2 = 2, bandwidth_l2 = 2, iops_l1 = 1, bandwidth_l1 = 1 }

local function refusal(problem)
  return { allowed = false, problem = problem }
end

local function denial(entry, reason, retry_after_ms)
  return {
    allowed = false, entry = entry, reason = reason, layer = layers[reason],
    retry_after_ms = retry_after_ms,
  }
end

-- Nobody answers: by the policy. Nothing is charged, so nothing is settled either.
local function without_database(entry, tokens, operation)
  local since, wait = store.outage()
  if entry == nil and since == nil then
    -- A key that could not be looked up in time, among too many: the policy is for outages.
    return { allowed = false, reason = "store_unavailable", layer = 3, retry_after_ms = 1000 }
  end
  local limits = entry and entry.limits
  local app_id = entry and entry.app_id or "unknown"
  if outage.allows(
    app_id, limits, tokens, operation.size, since or ngx.now(), leases.holders(app_id)
  ) then
    return { allowed = true, entry = entry, reason = "store_unavailable", is_uncharged = true }
  end
  local denied = denial(entry, "store_unavailable", math.max(math.ceil((wait or 0) * 1000), 1))
  denied.layer = 3
  return denied
end

local function of_row(entry, row, reference)
  return {
    allowed = row.allowed,
    entry = entry,
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

local function consume(entry, tokens, operation, is_final)
  if store.is_paused() then
    return without_database(entry, tokens, operation)
  end
  local reference = not is_final and ngx.var.request_id or nil
  local row, problem = ask_database(entry, operation, reference)
  if row and not row.allowed and row.reason == "iops_l2"
    and borrowing.borrow(entry.app_id, tokens)
  then
    leases.forget_shortage(entry.app_id)
    row, problem = ask_database(entry, operation, reference)
  end
  if row == nil and problem.code then
    return refusal(problem)
  elseif row == nil then
    return without_database(entry, tokens, operation)
  end
  local decision = of_row(entry, row, reference)
  if not decision.allowed and not entry.limits.is_direct then
    denials.remember(entry.app_id, row.reason, decision.retry_after_ms, tokens, operation.size)
  end
  return decision
end

local function denied_of_late(entry, tokens, operation)
  local reason, retry_after_ms = denials.find(entry.app_id, tokens, operation.size)
  if reason == nil then
    return nil
  end
  denials.count(entry.app_id, reason, tokens, operation.size)
  return denial(entry, reason, retry_after_ms)
end

local function from_lease(entry, tokens, operation)
  local took, tokens_left, bytes_left = leases.take(entry.app_id, tokens, operation.size)
  if not took then
    return nil
  end
  return {
    allowed = true, entry = entry, tokens = tokens,
    remaining = tokens_left < math.huge and math.floor(tokens_left / 1000000) or nil,
    remaining_bytes = bytes_left < math.huge and bytes_left or nil,
  }
end

-- What was spent beyond a lease is charged before anything else is admitted.
local function denied_for_debt(entry, tokens, operation)
  local tokens_owed, bytes_owed = leases.debts(entry.app_id)
  if tokens_owed + bytes_owed > 0 then
    -- A counter is below zero for a moment while another worker finds too little in it.
    ngx.sleep(0.001)
    tokens_owed, bytes_owed = leases.debts(entry.app_id)
  end
  local reason, wait
  if bytes_owed > 0 then
    reason, wait = "bandwidth_l2", bytes_owed / outage.slowest(entry.limits, "bandwidth")
  elseif tokens_owed > 0 then
    reason, wait = "iops_l2", tokens_owed / 1000000 / outage.slowest(entry.limits, "iops")
  end
  if reason == nil or wait == 0 then
    return nil
  end
  denials.count(entry.app_id, reason, tokens, operation.size)
  return denial(entry, reason, math.max(math.ceil(wait * 1000), 1))
end

-- One request at a time asks the database for what no lease holds: whoever waited for it finds
-- its denial.
local function consume_in_turn(entry, tokens, operation, is_final)
  local function without_asking()
    return denied_of_late(entry, tokens, operation) or from_lease(entry, tokens, operation)
  end
  local decision = lock.with("direct " .. entry.app_id, 5, patience, function()
    local decided = without_asking()
    if decided then
      return decided
    end
    decided = denied_for_debt(entry, tokens, operation)
    if decided then
      return decided
    end
    -- What is in hand here would be missing there.
    leases.hand_back(entry.app_id)
    return consume(entry, tokens, operation, is_final)
  end, without_asking)
  return decision or without_database(entry, tokens, operation)
end

-- The decision out of a lease that is fetched for it; nil where none holds it.
local function from_next_lease(entry, tokens, operation)
  for _ = 1, most_renewals do
    if leases.is_short(entry.app_id) then
      return nil
    end
    local renewed, problem = leases.renew(entry.app_id, tokens, operation.size)
    if type(problem) == "table" and problem.code then
      return refusal(problem)
    end
    local decided = from_lease(entry, tokens, operation)
    if decided or not renewed then
      return decided
    end
  end
  return nil
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
  return consume_in_turn(entry, tokens, operation, is_final)
end

local function check_operation(entry, operation)
  local price = terms.cost_of(entry, operation.name)
  if price == nil then
    return nil, { code = "QS404", message = "unknown operation" }
  elseif not price.is_active then
    return nil, { code = "QS403", message = "operation is inactive" }
  end
  return price
end

-- A decision: `problem` where the key or the operation is refused; else `allowed`, `reason`,
-- `layer`, `retry_after_ms`, `delay_ms`, what is left, and how to settle it. `is_final`: the
-- charge is never settled nor refunded.
function _M.decide(api_key, operation, is_final)
  local entry = terms.of(api_key)
  if entry == nil then
    return without_database(nil, 0, operation)
  elseif entry.problem then
    return refusal(entry.problem)
  end
  local price, problem = check_operation(entry, operation)
  if price == nil then
    return refusal(problem)
  end
  local tokens = cost.of(price, operation.size)
  if entry.limits.is_direct then
    return consume(entry, tokens, operation, is_final)
  end
  return by_leases(entry, tokens, operation, is_final)
end

return _M
