-- Denials that need no call, as it is known here what the database would say: the buckets were short a
-- moment ago, or something is owed.

local clock = require("qos.clock")
local denials = require("qos.decisions.denials")
local denied_before = require("qos.decisions.denied_before")
local exchange = require("qos.leases.exchange")
local outage = require("qos.decisions.outage")
local owed = require("qos.leases.owed")
local pools = require("qos.leases.pools")
local sharing = require("qos.leases.sharing")
local shortage = require("qos.leases.shortage")
local store = require("qos.database.store")
local verdict = require("qos.decisions.verdict")

local _M = {}

-- What is owed is charged within a tenth of a second, unless something is in the way.
local owed_timeout_s = 0.5

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
function _M.for_shortage(entry, tokens, operation)
  local ends_in, offers_in = shortage.of(entry.app_id)
  local reason = ends_in and denials.last_reason(entry.app_id)
  if reason == nil
    or not sharing.feeds(entry.app_id, entry.limits.capacities, tokens, operation.size)
  then
    return nil
  end
  local wait = wait_for_bucket(entry, reason, tokens, operation.size, offers_in)
  if wait == nil then
    return nil
  end
  denied_before.count(entry, reason, tokens, operation)
  local retry_after_ms = math.max(math.ceil(math.max(ends_in, wait) * 1000), 1)
  return verdict.denied(entry, reason, retry_after_ms)
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
function _M.for_owed(entry, tokens, operation)
  if wait_for_owed(entry.app_id) or store.is_paused() then
    return nil
  end
  local tokens_owed, bytes_owed = owed.of(entry.app_id)
  local reason, wait = "iops_l2", tokens_owed / 1000000 / outage.slowest(entry.limits, "iops")
  if bytes_owed > 0 then
    reason, wait = "bandwidth_l2", bytes_owed / outage.slowest(entry.limits, "bandwidth")
  end
  denied_before.count(entry, reason, tokens, operation)
  return verdict.denied(entry, reason, math.max(math.ceil(wait * 1000), 100))
end

return _M
