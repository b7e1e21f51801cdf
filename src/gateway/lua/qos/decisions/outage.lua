-- Decides while nothing can be charged and nothing is left of the lease. `closed` denies, `open`
-- allows, `fair_share` spends the rate of the quota divided by the clients last seen, and what was not
-- asked for may be spent later, as far as the bucket would have held it. The latter two for a limited
-- time, then it is closed.

local amount = require("qos.amount")
local clock = require("qos.clock")
local keys = require("qos.keys").qos_state

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

local settings
local shortest_burst_s = 1

function _M.use(config)
  settings = config.outage
end

local function per_second(limit)
  local rate = limit.method == "fixed_window"
    and tonumber(limit.capacity) / limit.window_seconds or tonumber(limit.refill_rate)
  -- What siblings have reserved of the cluster's is not ours to share.
  return math.max(rate - (tonumber(limit.reserved_by_others) or 0), 0)
end

-- The lowest rate per second that limits tokens (`iops`) or bytes (`bandwidth`), and the seconds in
-- which it fills its bucket.
function _M.slowest(limits, kind)
  local least, fills_in_s = math.huge, shortest_burst_s
  for _, limit in ipairs(limits.list) do
    if limit.mode == "enforce" and limit.bucket_type:find(kind, 1, true) then
      local rate = per_second(limit)
      if rate < least then
        least, fills_in_s = rate, tonumber(limit.capacity) / rate
      end
    end
  end
  return least, math.max(fills_in_s, shortest_burst_s)
end

-- Pays by the clock: an operation is admitted once all before it are paid for, whatever it costs
-- itself. `account`: names the moment up to which all is paid, in microseconds, shared by the workers.
-- `burst_s`: for how long what was not asked for may be spent later. Answers the duration it takes; nil
-- where it cannot be paid now.
local function pay(account, wanted, rate, burst_s)
  if rate == math.huge or wanted <= 0 then
    return 0
  elseif rate <= 0 then
    return nil
  end
  local state, now = ngx.shared.qos_state, math.floor(clock.now() * 1000000)
  local burst_us = math.ceil(math.min(burst_s, settings.max_s) * 1000000)
  local paid_until = state:get(account)
  if paid_until == nil then
    state:add(account, now)
  elseif paid_until < now - burst_us then
    state:set(account, now - burst_us)
  elseif paid_until > now then
    return nil
  end
  local duration = math.ceil(wanted / rate * 1000000)
  if state:incr(account, duration, now) - duration <= now then
    return duration
  end
  state:incr(account, -duration)
  return nil
end

-- `since`: when the outage began. `holders`: the clients last seen, this gateway included.
function _M.allows(app_id, limits, tokens, bytes, since, holders)
  if clock.now() - since >= settings.max_s or settings.policy == "closed" then
    return false
  end
  if settings.policy == "open" then
    return true
  end
  if limits == nil then
    return false
  end
  tokens = math.min(tokens, amount.largest) / 1000000
  local account = keys.share.tokens(app_id)
  local rate, burst_s = _M.slowest(limits, "iops")
  local duration = pay(account, tokens, rate / holders, burst_s)
  if duration == nil then
    return false
  end
  rate, burst_s = _M.slowest(limits, "bandwidth")
  if pay(keys.share.bytes(app_id), bytes, rate / holders, burst_s) then
    return true
  end
  ngx.shared.qos_state:incr(account, -duration)
  return false
end

return _M
