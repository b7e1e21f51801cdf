-- What requests under way took out of leases, and may give back in the end. Leases stay open as long
-- as they have to have room for it. What takes longer is charged by itself, under a key that is settled
-- to what was used: its lease has back what it took, and may end before it.

local clock = require("qos.clock")
local keys = require("qos.keys").qos_leases
local owed = require("qos.leases.owed")
local pools = require("qos.leases.pools")
local store = require("qos.database.store")
local workers = require("qos.workers.workers")

local _M = {}

local settings
-- Well before a lease goes back that nothing is taken from.
local own_after_s = 0.25
local longest_s = 60

-- Of this worker: decisions whose lease has room for them, and their sums by application.
local young, sums, changed = {}, {}, {}
-- Charges that were given back to since.
local lowered = {}
local charges = 0

function _M.use(config)
  settings = config
end

local function count(app_id, tokens, bytes)
  local sum = sums[app_id] or { tokens = 0, bytes = 0 }
  sum.tokens, sum.bytes = sum.tokens + tokens, sum.bytes + bytes
  sums[app_id], changed[app_id] = sum, true
end

-- The request goes on, and was paid for out of a lease.
function _M.begin(decision)
  if decision.tokens and not decision.reference and not decision.is_uncharged then
    decision.paid = { tokens = decision.tokens, bytes = decision.operation.size, at = clock.now() }
    young[decision] = true
    count(decision.entry.app_id, decision.paid.tokens, decision.paid.bytes)
  end
end

-- It took more out of its lease, or less.
function _M.note(decision, tokens, bytes)
  local paid = decision.paid
  if paid then
    paid.tokens, paid.bytes = paid.tokens + tokens, paid.bytes + bytes
    count(decision.entry.app_id, tokens, bytes)
  end
end

local function lower(charge, kind, change)
  local less = math.min(math.max(-change, 0), charge[kind])
  charge[kind] = charge[kind] - less
  charge.sum[kind] = charge.sum[kind] - less
  if less > 0 then
    lowered[charge.sum] = true
  end
  return change + less
end

-- Charges (positive) or gives back (negative) what is known now: to where it was taken from.
function _M.correct(decision, tokens, bytes)
  if decision.own then
    tokens, bytes = lower(decision.own, "tokens", tokens), lower(decision.own, "bytes", bytes)
  end
  _M.note(decision, tokens, bytes)
  pools.correct(decision.entry.app_id, tokens, bytes)
end

local function forget(decision)
  local paid = decision.paid
  if paid then
    decision.paid, young[decision] = nil, nil
    count(decision.entry.app_id, -paid.tokens, -paid.bytes)
  end
end

-- It is over.
function _M.finish(decision)
  forget(decision)
end

-- What all workers have under way of an application.
function _M.of(app_id)
  local dict = ngx.shared.qos_leases
  return math.max(workers.sum(dict, keys.under_way.tokens(app_id)), 0),
    math.max(workers.sum(dict, keys.under_way.bytes(app_id)), 0)
end

-- Tells the other workers.
function _M.publish()
  local dict = ngx.shared.qos_leases
  for app_id in pairs(changed) do
    local sum = sums[app_id]
    workers.set(dict, keys.under_way.tokens(app_id), sum.tokens, longest_s)
    workers.set(dict, keys.under_way.bytes(app_id), sum.bytes, longest_s)
    if sum.tokens == 0 and sum.bytes == 0 then
      sums[app_id] = nil
    end
  end
  changed = {}
end

local function by_application(age)
  local lists = {}
  for decision in pairs(young) do
    if clock.now() - decision.paid.at >= age then
      local app_id = decision.entry.app_id
      lists[app_id] = lists[app_id] or {}
      table.insert(lists[app_id], decision)
    end
  end
  return lists
end

-- What of a request is charged by itself, where the bucket has it beside what is leased: a debt limit
-- would cut off the rest, and others could spend of a lease while the bucket is in debt.
local function own_part(pool, decision)
  local paid = decision.paid
  local tokens = pool.is_limited_tokens and math.max(paid.tokens, 0) or 0
  local bytes = pool.is_limited_bytes and math.max(paid.bytes, 0) or 0
  if decision.announced or tokens > pool.bucket_tokens or bytes > pool.bucket_bytes then
    return nil
  end
  pool.bucket_tokens, pool.bucket_bytes = pool.bucket_tokens - tokens, pool.bucket_bytes - bytes
  return { tokens = tokens, bytes = bytes }
end

-- One charge for all requests of an application that have been under way for a while.
local function charge_together(app_id, decisions)
  local pool = pools.load(app_id)
  local sum = { app_id = app_id, tokens = 0, bytes = 0 }
  for _, decision in ipairs(decisions) do
    local own = pool and own_part(pool, decision)
    if own then
      own.sum = sum
      sum.tokens, sum.bytes = sum.tokens + own.tokens, sum.bytes + own.bytes
      decision.own = own
      forget(decision)
    end
  end
  if sum.tokens + sum.bytes > 0 then
    charges = charges + 1
    sum.key = table.concat({ settings.holder, ngx.worker.pid(), "under way", charges, clock.now() }, " ")
    owed.set_charge(app_id, sum.key, sum.tokens, sum.bytes)
    pools.hold(app_id, sum.tokens, sum.bytes)
  end
end

local function charge_lowered()
  for sum in pairs(lowered) do
    owed.set_charge(sum.app_id, sum.key, sum.tokens, sum.bytes)
  end
  lowered = {}
end

-- A worker ends: leases may go back before another one does, so nothing more is charged by itself.
function _M.finish_charges()
  charge_lowered()
  _M.publish()
end

-- Done several times a second.
function _M.charge_long_ones()
  charge_lowered()
  if not store.is_paused() then
    for app_id, decisions in pairs(by_application(own_after_s)) do
      charge_together(app_id, decisions)
    end
  end
  _M.publish()
end

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(_M.publish, true)
jit.off(_M.charge_long_ones, true)
jit.off(_M.of, true)

return _M
