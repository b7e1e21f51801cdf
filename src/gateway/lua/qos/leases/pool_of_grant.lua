-- Makes a pool of what the database answers to a renewal: of the lease that it granted, and of what was
-- left before.

local amount = require("qos.amount")
local keys = require("qos.keys").qos_leases
local lease_plan = require("qos.leases.lease_plan")
local pools = require("qos.leases.pools")
local sharing = require("qos.leases.sharing")
local shortage = require("qos.leases.shortage")

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

local function dict()
  return ngx.shared.qos_leases
end

-- Of leases: older ones are kept as room for what is left and may come back.
local function first_end(leases, latest)
  for _, lease in ipairs(leases) do
    latest = math.min(latest, lease.expires_at)
  end
  return latest
end

local function make(renewal, grant)
  local ask, capacities = renewal.ask, renewal.capacities
  local life, holders = tonumber(grant.lifetime_ms) / 1000, tonumber(grant.holders)
  local id = dict():incr(keys.last_id, 1, 0)
  return {
    id = id,
    tokens = keys.left.tokens(id),
    bytes = keys.left.bytes(id),
    is_limited_tokens = grant.is_limited_tokens,
    is_limited_bytes = grant.is_limited_bytes,
    leases = renewal.leases,
    taken_at = renewal.now,
    expires_at = first_end(renewal.leases, renewal.now + life),
    life = life,
    holders = holders,
    rate_tokens = ask.rate_tokens,
    rate_bytes = ask.rate_bytes,
    size_tokens = ask.size_tokens,
    size_bytes = ask.size_bytes,
    most_tokens = lease_plan.share_of(capacities, "iops", holders) * 1000000,
    most_bytes = lease_plan.share_of(capacities, "bandwidth", holders),
    capacities = capacities,
  }
end

-- What is left in one counter of the pool before, and what was given back while there was none.
local function carried(app_id, before, kind, is_limited)
  return (before[kind] and pools.empty(before[kind]) or 0)
    + (is_limited and pools.take_credit(app_id, kind) or 0)
end

-- What a bucket holds beside its leases; 0 for one in debt, or where there is none.
local function millionths_above_zero(text)
  return text and text:find("^%d") and amount.millionths(text) or 0
end

local function add_lease(renewal, grant)
  if grant.lease_id then
    table.insert(renewal.leases, {
      lease_id = grant.lease_id, tokens = grant.tokens, bytes = grant.bytes,
      expires_at = renewal.now + tonumber(grant.lifetime_ms) / 1000,
    })
  end
end

-- The pool is the application's from now on.
function _M.publish(renewal, grant)
  local app_id, before, ask = renewal.app_id, renewal.before, renewal.ask
  local granted_tokens = grant.is_limited_tokens and amount.millionths(grant.tokens) or 0
  local granted_bytes = grant.is_limited_bytes and amount.whole(grant.bytes) or 0
  add_lease(renewal, grant)
  local pool = make(renewal, grant)
  pool.had_tokens = granted_tokens + carried(app_id, before, "tokens", grant.is_limited_tokens)
  pool.had_bytes = granted_bytes + carried(app_id, before, "bytes", grant.is_limited_bytes)
  local pause = lease_plan.pause_after(
    grant, grant.is_limited_tokens and ask.tokens or 0, grant.is_limited_bytes and ask.bytes or 0,
    granted_tokens, granted_bytes
  )
  pool.low_tokens = lease_plan.threshold(grant.is_limited_tokens and pause == 0, pool.had_tokens)
  pool.low_bytes = lease_plan.threshold(grant.is_limited_bytes and pause == 0, pool.had_bytes)
  pool.bucket_tokens = millionths_above_zero(grant.remaining)
  pool.bucket_bytes = math.floor(millionths_above_zero(grant.remaining_bytes) / 1000000)
  pools.publish(app_id, pool)
  pools.transfer_remainder(app_id, before)
  sharing.note_holders(app_id, pool.holders)
  dict():delete(keys.quiet(app_id))
  dict():rpush(keys.used, app_id)
  if pause > 0 then
    local has_tokens = granted_tokens >= ask.tokens or not grant.is_limited_tokens
    shortage.note(app_id, grant, pause, has_tokens)
  end
end

return _M
