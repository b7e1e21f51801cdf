-- Decides while the database is out of reach and nothing is left of the lease: `closed` nobody
-- may, `open` everybody may, `fair_share` this gateway spends at the rate of the quota divided by
-- the clients last seen. The latter two for a limited time, then it is closed.

local amount = require("qos.amount")

local _M = {}

local settings

function _M.use(config)
  settings = config.outage
end

local function per_second(limit)
  if limit.method == "fixed_window" then
    return tonumber(limit.capacity) / limit.window_seconds
  end
  return tonumber(limit.refill_rate)
end

-- The lowest rate per second that limits tokens (`iops`) or bytes (`bandwidth`).
function _M.slowest(limits, kind)
  local least = math.huge
  for _, limit in ipairs(limits.list) do
    if limit.mode == "enforce" and limit.bucket_type:find(kind, 1, true) then
      least = math.min(least, per_second(limit))
    end
  end
  return least
end

-- Whoever comes when the last one is paid for may go, and is paid for by waiting: the rate holds
-- exactly, whatever one operation costs. `clock`: the moment up to which all is paid, in
-- microseconds, shared by the workers. Answers the price, nil where it cannot be paid now.
local function pay(clock, wanted, rate)
  if rate == math.huge or wanted <= 0 then
    return 0
  end
  local state, now = ngx.shared.qos_state, ngx.now() * 1000000
  local paid_until = state:get(clock)
  if paid_until == nil or paid_until < now then
    state:set(clock, now)
  elseif paid_until > now then
    return nil
  end
  local price = math.ceil(wanted / rate * 1000000)
  if state:incr(clock, price, now) - price <= now + 1 then
    return price
  end
  state:incr(clock, -price)
  return nil
end

-- `since`: when the outage began. `holders`: the clients last seen.
function _M.allows(app_id, limits, tokens, bytes, since, holders)
  if ngx.now() - since >= settings.max_s or settings.policy == "closed" then
    return false
  end
  if settings.policy == "open" then
    return true
  end
  if limits == nil then
    return false
  end
  tokens = math.min(tokens, amount.largest) / 1000000
  local clock = "share of tokens " .. app_id
  local price = pay(clock, tokens, _M.slowest(limits, "iops") / holders)
  if price == nil then
    return false
  end
  if pay("share of bytes " .. app_id, bytes, _M.slowest(limits, "bandwidth") / holders) then
    return true
  end
  ngx.shared.qos_state:incr(clock, -price)
  return false
end

return _M
