-- What is leased for an application, shared by all workers: two counters, which requests spend
-- without a lock (take). layer3.lua has the states.

local cjson = require("cjson.safe")
local clock = require("qos.clock")
local keys = require("qos.keys").qos_leases
local owed = require("qos.leases.owed")
local renewal_queue = require("qos.leases.renewal_queue")

local _M = {}

-- Where nothing is leased.
local nothing = { is_limited_tokens = true, is_limited_bytes = true }

local settings
-- Seconds: no lease lives longer.
_M.longest_life = 3600
-- A worker asks for the next lease of an application no more often.
local asks_every_s = 0.02
-- Each worker's copy of the names of the counters.
local cache = {}

function _M.use(config)
  settings = config
end

local function dict()
  return ngx.shared.qos_leases
end

-- The pool of an application as it stands in shared memory, nil where nothing is leased. Its
-- number tells whether it is still the one that is cached.
function _M.load(app_id)
  local pool = cache[app_id]
  local id = dict():get(pool and pool.id_key or keys.pool_id(app_id))
  if pool and pool.id == id then
    return pool
  end
  local text = id and dict():get(keys.pool(app_id))
  pool = text and cjson.decode(text)
  cache[app_id] = pool
  if pool then
    pool.id_key = keys.pool_id(app_id)
    pool.owed_key = owed.key_of(app_id)
    pool.asks_at = 0
  end
  return pool
end

-- A worker that an application comes to no more keeps nothing of it.
function _M.forget_expired()
  for app_id, pool in pairs(cache) do
    if clock.now() >= pool.expires_at then
      cache[app_id] = nil
    end
  end
end

-- A new pool takes the place of the one before.
function _M.publish(app_id, pool)
  dict():set(pool.tokens, pool.had_tokens, pool.life)
  dict():set(pool.bytes, pool.had_bytes, pool.life)
  dict():set(keys.pool(app_id), cjson.encode(pool), pool.life)
  dict():set(keys.pool_id(app_id), pool.id, pool.life)
end

-- Whether a lease is in hand that can be spent, or the application has no limits.
function _M.is_in_hand(app_id)
  local pool = _M.load(app_id)
  return pool ~= nil and clock.now() < pool.expires_at
    and (#pool.leases > 0 or not pool.is_limited_tokens and not pool.is_limited_bytes)
end

function _M.forget(app_id)
  dict():delete(keys.pool_id(app_id))
  dict():delete(keys.pool(app_id))
  cache[app_id] = nil
end

-- Takes from one counter. nil: there is no such lease any more.
local function take_from(counter, wanted)
  local left = dict():incr(counter, -wanted)
  if left == nil then
    return nil
  end
  if left < 0 then
    dict():incr(counter, wanted)
    return false
  end
  return left
end

local function take_both(pool, tokens, bytes)
  local tokens_left, bytes_left = math.huge, math.huge
  if pool.is_limited_tokens and tokens > 0 then
    tokens_left = take_from(pool.tokens, tokens)
    if not tokens_left then
      return tokens_left
    end
  end
  if pool.is_limited_bytes and bytes > 0 then
    bytes_left = take_from(pool.bytes, bytes)
    if not bytes_left then
      if pool.is_limited_tokens and tokens > 0 then
        dict():incr(pool.tokens, tokens)
      end
      return bytes_left
    end
  end
  return true, tokens_left, bytes_left
end

-- Apart from take(): LuaJIT compiles no function that holds another.
local function renew_behind(app_id, tokens, bytes)
  renewal_queue.push(app_id, tokens, bytes)
end

-- Takes all that is in a counter, so that no other request can: what others took or put back in that
-- moment counts as well.
function _M.empty(counter)
  local left = dict():get(counter)
  if left == nil or left == 0 then
    return 0
  end
  local change = dict():incr(counter, -left) or 0
  if change ~= 0 then
    dict():incr(counter, -change)
  end
  return left + change
end

-- What a counter of a pool holds.
function _M.left_in(counter)
  return counter and dict():get(counter) or 0
end

-- What is given back while nothing is leased goes to the next lease. Its bucket has refilled before
-- long: it counts no more then.
local function give_back(app_id, kind, change)
  if change > 0 then
    dict():incr(keys.credit[kind](app_id), change, 0, settings.lease_ms / 1000)
  end
end

function _M.credit(app_id, kind)
  return dict():get(keys.credit[kind](app_id)) or 0
end

function _M.take_credit(app_id, kind)
  return _M.empty(keys.credit[kind](app_id))
end

-- What leases have back that is charged otherwise: no request takes it before the next exchange, which
-- takes that charge along.
function _M.hold(app_id, tokens, bytes)
  if tokens + bytes > 0 then
    dict():incr(keys.held.tokens(app_id), tokens, 0, _M.longest_life)
    dict():incr(keys.held.bytes(app_id), bytes, 0, _M.longest_life)
  end
end

local function use_held(app_id, kind, counter)
  local held = counter and _M.empty(keys.held[kind](app_id)) or 0
  if held ~= 0 and not dict():incr(counter, held) then
    give_back(app_id, kind, held)
  end
end

function _M.use_held(app_id, pool)
  use_held(app_id, "tokens", pool.tokens)
  use_held(app_id, "bytes", pool.bytes)
end

-- What leases had no room for that end.
function _M.keep_credit(app_id, tokens, bytes)
  give_back(app_id, "tokens", tokens)
  give_back(app_id, "bytes", bytes)
end

-- Charges one counter, or gives back to it. Answers what it did not hold: that is owed. A counter is
-- below zero for a moment, too, while another worker finds too little in it: what is taken out of it
-- then is charged, and there.
local function correct_one(app_id, counter, kind, change)
  if change == 0 then
    return 0
  end
  local left = counter and dict():incr(counter, -change)
  if left == nil then
    give_back(app_id, kind, -change)
    return math.max(change, 0)
  elseif left < 0 and dict():incr(counter, -left) then
    return -left
  end
  return 0
end

local function correct_now(app_id, tokens, bytes)
  local pool = _M.load(app_id) or nothing
  owed.owe(
    app_id,
    pool.is_limited_tokens and correct_one(app_id, pool.tokens, "tokens", tokens) or 0,
    pool.is_limited_bytes and correct_one(app_id, pool.bytes, "bytes", bytes) or 0
  )
  return pool
end

-- A concurrent worker may change a counter after its pool was replaced: transfer that change to the
-- current pool.
function _M.transfer_remainder(app_id, pool)
  local tokens = pool.tokens and _M.empty(pool.tokens) or 0
  local bytes = pool.bytes and _M.empty(pool.bytes) or 0
  if tokens ~= 0 or bytes ~= 0 then
    correct_now(app_id, -tokens, -bytes)
  end
end

-- Takes tokens (millionths) and bytes; nil where the pool does not hold them. Answers what is left of
-- either, in the bucket as well, as of the last exchange.
function _M.take(app_id, tokens, bytes)
  local pool, now = cache[app_id] or _M.load(app_id), clock.now()
  if pool == nil or now >= pool.expires_at then
    pool = _M.load(app_id)
  end
  if pool == nil or now >= pool.expires_at or owed.owes(pool.owed_key) then
    return nil
  end
  local took, tokens_left, bytes_left = take_both(pool, tokens, bytes)
  if not took then
    local changed = _M.load(app_id)
    if changed and changed.id == pool.id then
      return nil
    end
    _M.transfer_remainder(app_id, pool)
    if changed == nil then
      return nil
    end
    pool = changed
    took, tokens_left, bytes_left = take_both(pool, tokens, bytes)
    if not took then
      return nil
    end
  end
  if (tokens_left < pool.low_tokens or bytes_left < pool.low_bytes) and now >= pool.asks_at then
    pool.asks_at = now + asks_every_s
    renew_behind(app_id, tokens, bytes)
  end
  return true, tokens_left + pool.bucket_tokens, bytes_left + pool.bucket_bytes
end

-- What leases hold, `tokens` and `bytes`.
function _M.left(app_id)
  local pool = _M.load(app_id)
  if pool == nil then
    return 0, 0
  end
  return math.max(dict():get(pool.tokens) or 0, 0), math.max(dict():get(pool.bytes) or 0, 0)
end

-- What the bucket of bytes held beside leases, as of the last exchange.
function _M.bucket_bytes(app_id)
  local pool = _M.load(app_id)
  return pool and pool.bucket_bytes or 0
end

local function drain_one(is_limited, counter, wanted)
  if not is_limited or wanted <= 0 then
    return 0
  end
  local left = counter and dict():incr(counter, -wanted)
  if left == nil then
    return wanted
  elseif left < 0 then
    dict():incr(counter, -left)
  end
  return math.min(math.max(-left, 0), wanted)
end

-- Takes as much as the leases hold. Answers what they did not: nothing of a kind that is not
-- limited.
function _M.drain(app_id, tokens, bytes)
  local pool = _M.load(app_id) or nothing
  return drain_one(pool.is_limited_tokens, pool.tokens, tokens),
    drain_one(pool.is_limited_bytes, pool.bytes, bytes)
end

-- Corrections of this worker that shared memory does not know yet.
local corrections = {}

-- Charges (positive) or gives back (negative) a difference that is known afterwards; several times
-- a second and all at once, because that costs more than the request's own decision.
function _M.correct(app_id, tokens, bytes)
  local sum = corrections[app_id]
  if sum == nil then
    sum = { tokens = 0, bytes = 0 }
    corrections[app_id] = sum
  end
  sum.tokens, sum.bytes = sum.tokens + tokens, sum.bytes + bytes
end

-- Whether what was corrected, also what shared memory does not know yet, is more than leases and
-- bucket held, or something is owed.
function _M.is_short_of_bytes(app_id)
  local pool = _M.load(app_id)
  local _, bytes_owed = owed.of(app_id)
  if bytes_owed > 0 or pool == nil then
    return true
  elseif not pool.is_limited_bytes then
    return false
  end
  local sum = corrections[app_id]
  local left = (dict():get(pool.bytes) or 0) - (sum and sum.bytes or 0)
  return left + pool.bucket_bytes < 0
end

function _M.write_corrections()
  local written = corrections
  corrections = {}
  for app_id, sum in pairs(written) do
    local pool = correct_now(app_id, sum.tokens, sum.bytes)
    if pool ~= nothing and (_M.load(app_id) or nothing).id ~= pool.id then
      _M.transfer_remainder(app_id, pool)
    end
  end
end

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(_M.publish, true)
jit.off(_M.is_in_hand, true)
jit.off(_M.write_corrections, true)
jit.off(_M.forget_expired, true)
jit.off(_M.transfer_remainder, true)

return _M
