-- How much to ask for, and which lease to settle with it: arithmetic without state.

local amount = require("qos.amount")

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

local window_s = 0.5
local first_operations, growth = 8, 10
local shortest_pause, longest_pause = 0.12, 1
-- Where a lease is never granted as things stand: a change of the quota undoes this pause.
local never_pause = 5
-- More are never open: the oldest is then settled as spent, whatever is left.
local most_leases = 8

-- How much the pool should hold: what is spent in half a second, as of late.
local function next_size(before, spent, elapsed, usual, missing, most)
  local rate = spent / math.max(elapsed, 0.001)
  -- Up at once, down slowly: asking too little costs calls, too much comes back soon.
  rate = rate > before.rate and rate or 0.7 * before.rate + 0.3 * rate
  local floor = math.max(usual * first_operations, missing)
  local wanted = math.min(rate * window_s, math.max(before.size, floor) * growth)
  local bounded = math.min(math.max(wanted, floor), math.max(most, usual, missing))
  return math.min(math.ceil(bounded), amount.largest), rate
end

-- The most that a pool should hold of what open leases of the application may hold together:
-- another gateway must find room for as much.
function _M.share_of(capacities, kind, holders)
  local capacity = capacities[kind .. "_l2"] or capacities[kind .. "_l1"]
  return capacity and capacity / (2 * math.max(holders, 2)) or amount.largest
end

-- `need`: tokens and bytes of one operation, and of all that wait.
function _M.plan(before, left_tokens, left_bytes, need, now)
  local elapsed = now - (before.taken_at or now)
  local ask = {}
  ask.size_tokens, ask.rate_tokens = next_size(
    { rate = before.rate_tokens, size = before.size_tokens },
    math.max(before.had_tokens - left_tokens, 0), elapsed, need.tokens,
    need.all_tokens - left_tokens, before.most_tokens
  )
  ask.size_bytes, ask.rate_bytes = next_size(
    { rate = before.rate_bytes, size = before.size_bytes },
    math.max(before.had_bytes - left_bytes, 0), elapsed, need.bytes,
    need.all_bytes - left_bytes, before.most_bytes
  )
  ask.tokens = before.is_limited_tokens and math.max(ask.size_tokens - left_tokens, 0) or 0
  ask.bytes = before.is_limited_bytes and math.max(ask.size_bytes - left_bytes, 0) or 0
  ask.tokens = math.min(ask.tokens, amount.largest)
  ask.bytes = math.min(ask.bytes, amount.largest)
  return ask
end

local function add_up(leases)
  local tokens, bytes = 0, 0
  for _, lease in ipairs(leases) do
    tokens = tokens + amount.millionths(lease.tokens)
    bytes = bytes + amount.whole(lease.bytes)
  end
  return tokens, bytes
end

-- The place of a lease whose tokens are gone: the others have room for all that is left. `is_oldest_due`:
-- the first one is to go next, before the end of it ends all.
function _M.used_up(leases, left_tokens, left_bytes, is_oldest_due)
  local all_tokens, all_bytes = add_up(leases)
  for place, lease in ipairs(leases) do
    if all_tokens - amount.millionths(lease.tokens) >= left_tokens
      and all_bytes - amount.whole(lease.bytes) >= left_bytes
    then
      return place
    elseif is_oldest_due then
      break
    end
  end
  return #leases >= most_leases and 1 or nil
end

function _M.threshold(is_limited, granted)
  if not is_limited or granted <= 0 then
    -- JSON has no infinity.
    return -1e300
  end
  -- At about half, each time at another place: many gateways must not ask in step.
  return math.floor(granted * (0.4 + 0.2 * math.random()))
end

-- For how long to ask for no other lease after one that may hold less than was asked for.
function _M.pause_after(grant, asked_tokens, asked_bytes, tokens, bytes)
  if tokens >= asked_tokens and bytes >= asked_bytes then
    return 0
  end
  local retry_after_ms = tonumber(grant.retry_after_ms)
  if retry_after_ms == nil then
    return grant.lease_id and shortest_pause or never_pause
  end
  -- The buckets have enough: only what leases may hold together was in the way.
  if retry_after_ms == 0 and tokens * 2 >= asked_tokens and bytes * 2 >= asked_bytes then
    return 0
  end
  return math.min(math.max(retry_after_ms / 1000, shortest_pause), longest_pause)
    + 0.02 * math.random()
end

return _M
