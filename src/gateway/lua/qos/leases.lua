-- What is leased for an application, shared by all workers: two counters that are taken from
-- without a lock. A renewal adds a lease and settles, as spent, one whose tokens are gone: what is
-- left can still be given back under the others. So nothing is ever spent that was not taken.

local amount = require("qos.amount")
local cjson = require("cjson.safe")
local denials = require("qos.denials")
local lock = require("qos.lock")
local store = require("qos.store")

local _M = {}

local window_s = 0.5
local first_operations, growth = 8, 10
local shortest_pause = 0.1
local idle_s = 1
local patience = 2
-- More are never open: the oldest is then settled as spent, whatever is left.
local most_leases = 8

-- What was spent beyond a lease is charged when the application comes back, within so long.
local longest_debt = 86400

-- Before the first lease, and after the last.
local nothing = {
  leases = {},
  rate_tokens = 0, rate_bytes = 0, size_tokens = 0, size_bytes = 0,
  had_tokens = 0, had_bytes = 0, is_limited_tokens = true, is_limited_bytes = true,
}

local settings
local holder
-- Each worker's copy of the names of the counters.
local known = {}

function _M.use(config)
  settings = config
  holder = "gateway/" .. (os.getenv("HOSTNAME") or "nginx") .. "/" .. ngx.time()
end

local function dict()
  return ngx.shared.qos_leases
end

-- The pool of an application as it stands in shared memory, nil where nothing is leased. Its
-- number tells whether it is still the one that is known.
local function look(app_id)
  local pool = known[app_id]
  local id = dict():get(pool and pool.id_key or "pool id " .. app_id)
  if pool and pool.id == id then
    return pool
  end
  local text = id and dict():get("pool " .. app_id)
  pool = text and cjson.decode(text)
  known[app_id] = pool
  if pool then
    pool.id_key = "pool id " .. app_id
  end
  return pool
end

-- A worker that an application comes to no more keeps nothing of it.
function _M.forget_expired()
  for app_id, pool in pairs(known) do
    if ngx.now() >= pool.expires_at then
      known[app_id] = nil
    end
  end
end

local function forget(app_id)
  dict():delete("pool id " .. app_id)
  dict():delete("pool " .. app_id)
  known[app_id] = nil
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

local function renew_soon(app_id, tokens, bytes)
  ngx.timer.at(0, function(premature)
    if not premature then
      _M.renew(app_id, tokens, bytes)
    end
    dict():delete("renewing " .. app_id)
  end)
end

-- Apart from the function above: LuaJIT compiles no function that holds another.
local function renew_behind(app_id, tokens, bytes)
  if dict():add("renewing " .. app_id, true, 2) then
    renew_soon(app_id, tokens, bytes)
  end
end

-- Takes all that is in a counter, so that nobody else can: what others took or put back in that
-- moment counts as well.
local function empty(counter)
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

-- What is to be charged, or given back, once there is a lease again.
local function owe(app_id, kind, change)
  if change > 0 then
    dict():incr("debt of " .. kind .. " " .. app_id, change, 0, longest_debt)
    dict():expire("debt of " .. kind .. " " .. app_id, longest_debt)
  elseif change < 0 then
    -- Its bucket has refilled before long: it counts no more then.
    dict():incr("credit of " .. kind .. " " .. app_id, -change, 0, settings.lease_ms / 1000)
  end
end

local function owed(app_id, kind)
  return (dict():get("debt of " .. kind .. " " .. app_id) or 0)
    - (dict():get("credit of " .. kind .. " " .. app_id) or 0)
end

local function take_owed(app_id, kind)
  return empty("debt of " .. kind .. " " .. app_id) - empty("credit of " .. kind .. " " .. app_id)
end

local function correct_one(app_id, counter, kind, change)
  if change ~= 0 and not (counter and dict():incr(counter, -change)) then
    owe(app_id, kind, change)
  end
end

-- What is charged and not there is a debt: the counter goes below zero, and the next leases pay.
local function correct_now(app_id, tokens, bytes)
  local pool = look(app_id) or nothing
  if pool.is_limited_tokens then
    correct_one(app_id, pool.tokens, "tokens", tokens)
  end
  if pool.is_limited_bytes then
    correct_one(app_id, pool.bytes, "bytes", bytes)
  end
  return pool
end

-- Whoever changed a counter in the moment in which its pool was followed by another changed what
-- nobody looks at any more: it moves along.
local function move_along(app_id, pool)
  local tokens = pool.tokens and empty(pool.tokens) or 0
  local bytes = pool.bytes and empty(pool.bytes) or 0
  if tokens ~= 0 or bytes ~= 0 then
    correct_now(app_id, -tokens, -bytes)
  end
end

-- Takes tokens (millionths) and bytes; nil where the pool does not hold them. Answers what is
-- left of either.
function _M.take(app_id, tokens, bytes)
  local pool = known[app_id] or look(app_id)
  if pool == nil or ngx.now() >= pool.expires_at then
    pool = look(app_id)
  end
  if pool == nil or ngx.now() >= pool.expires_at then
    return nil
  end
  local took, tokens_left, bytes_left = take_both(pool, tokens, bytes)
  if not took then
    local changed = look(app_id)
    if changed and changed.id == pool.id then
      return nil
    end
    move_along(app_id, pool)
    if changed == nil then
      return nil
    end
    pool = changed
    took, tokens_left, bytes_left = take_both(pool, tokens, bytes)
    if not took then
      return nil
    end
  end
  if tokens_left < pool.low_tokens or bytes_left < pool.low_bytes then
    renew_behind(app_id, tokens, bytes)
  end
  return true, tokens_left, bytes_left
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

function _M.write_corrections()
  for app_id, sum in pairs(corrections) do
    corrections[app_id] = nil
    local pool = correct_now(app_id, sum.tokens, sum.bytes)
    if pool ~= nothing and (look(app_id) or nothing).id ~= pool.id then
      move_along(app_id, pool)
    end
  end
end

-- Tokens (millionths) and bytes that were spent and are not charged yet: until they are, nothing
-- else may be.
function _M.debts(app_id)
  local pool = look(app_id) or nothing
  local tokens = pool.tokens and dict():get(pool.tokens) or 0
  local bytes = pool.bytes and dict():get(pool.bytes) or 0
  return math.max(owed(app_id, "tokens") - tokens, 0), math.max(owed(app_id, "bytes") - bytes, 0)
end

-- How much the pool should hold: what is spent in half a second, as of late.
local function next_size(before, spent, elapsed, usual, missing)
  local rate = spent / math.max(elapsed, 0.001)
  -- Up at once, down slowly: asking too little costs calls, too much comes back soon.
  rate = rate > before.rate and rate or 0.7 * before.rate + 0.3 * rate
  local floor = math.max(usual * first_operations, missing)
  local wanted = math.min(rate * window_s, math.max(before.size, floor) * growth)
  return math.min(math.ceil(math.max(wanted, floor)), amount.largest), rate
end

-- `need`: tokens and bytes of one operation, and of all that wait.
local function plan(before, left_tokens, left_bytes, need, now)
  local elapsed = now - (before.taken_at or now)
  local ask = {}
  ask.size_tokens, ask.rate_tokens = next_size(
    { rate = before.rate_tokens, size = before.size_tokens },
    math.max(before.had_tokens - left_tokens, 0), elapsed, need.tokens, need.all_tokens - left_tokens
  )
  ask.size_bytes, ask.rate_bytes = next_size(
    { rate = before.rate_bytes, size = before.size_bytes },
    math.max(before.had_bytes - left_bytes, 0), elapsed, need.bytes, need.all_bytes - left_bytes
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

-- The place of a lease whose tokens are gone: the others have room for all that is left.
local function used_up(leases, left_tokens, left_bytes)
  local all_tokens, all_bytes = add_up(leases)
  for place, lease in ipairs(leases) do
    if all_tokens - amount.millionths(lease.tokens) >= left_tokens
      and all_bytes - amount.whole(lease.bytes) >= left_bytes
    then
      return place
    end
  end
  return #leases >= most_leases and 1 or nil
end

local function ask_database(app_id, finished, ask)
  local counted = denials.take(app_id)
  local tokens, bytes = amount.decimal(ask.tokens), amount.integer(ask.bytes)
  local grant, problem
  if finished then
    grant, problem = store.call(
      "renew", app_id, finished, tokens, bytes, settings.lease_ms, holder, denials.encode(counted)
    )
  else
    grant, problem = store.call(
      "lease", app_id, tokens, bytes, settings.lease_ms, holder, denials.encode(counted)
    )
  end
  if grant == nil then
    denials.put_back(app_id, counted, problem)
  end
  return grant, problem
end

local function threshold(is_limited, granted)
  if not is_limited or granted <= 0 then
    return -math.huge
  end
  -- At about half, each time at another place: many gateways must not ask in step.
  return math.floor(granted * (0.4 + 0.2 * math.random()))
end

-- JSON has no infinity.
local function finite(number)
  return number == -math.huge and -1e300 or number
end

local function publish(app_id, before, leases, ask, grant, now)
  local granted_tokens = grant.is_limited_tokens and amount.millionths(grant.tokens) or 0
  local granted_bytes = grant.is_limited_bytes and amount.whole(grant.bytes) or 0
  local life = tonumber(grant.lifetime_ms) / 1000
  local id = dict():incr("ids", 1, 0)
  local pool = {
    id = id,
    tokens = "tokens " .. id,
    bytes = "bytes " .. id,
    is_limited_tokens = grant.is_limited_tokens,
    is_limited_bytes = grant.is_limited_bytes,
    leases = leases,
    taken_at = now,
    expires_at = now + life,
    life = life,
    holders = tonumber(grant.holders),
    rate_tokens = ask.rate_tokens,
    rate_bytes = ask.rate_bytes,
    size_tokens = ask.size_tokens,
    size_bytes = ask.size_bytes,
  }
  if grant.lease_id then
    table.insert(leases, {
      lease_id = grant.lease_id, tokens = grant.tokens, bytes = grant.bytes,
    })
  end

  -- What is left moves along, and takes debts with it.
  local carried_tokens = (before.tokens and empty(before.tokens) or 0)
    - (grant.is_limited_tokens and take_owed(app_id, "tokens") or 0)
  local carried_bytes = (before.bytes and empty(before.bytes) or 0)
    - (grant.is_limited_bytes and take_owed(app_id, "bytes") or 0)
  pool.had_tokens = granted_tokens + carried_tokens
  pool.had_bytes = granted_bytes + carried_bytes
  local is_short = granted_tokens < ask.tokens and grant.is_limited_tokens
    or granted_bytes < ask.bytes and grant.is_limited_bytes
  pool.low_tokens = finite(threshold(grant.is_limited_tokens and not is_short, pool.had_tokens))
  pool.low_bytes = finite(threshold(grant.is_limited_bytes and not is_short, pool.had_bytes))
  dict():set(pool.tokens, pool.had_tokens, life)
  dict():set(pool.bytes, pool.had_bytes, life)
  dict():set("pool " .. app_id, cjson.encode(pool), life)
  dict():set("pool id " .. app_id, id, life)
  move_along(app_id, before)
  dict():set("holders " .. app_id, pool.holders)
  dict():delete("quiet " .. app_id)
  dict():rpush("used", app_id)
  if is_short then
    local pause = math.max(tonumber(grant.retry_after_ms) / 1000, shortest_pause)
    dict():set("short " .. app_id, true, pause * (1 + 0.2 * math.random()))
  end
end

local function left_in(pool, kind)
  return pool[kind] and dict():get(pool[kind]) or 0
end

-- What all those need who wait for a renewal in this moment, in all workers.
local function wait_for(app_id, tokens, bytes)
  dict():incr("tokens waited for " .. app_id, tokens, 0, 2 * patience)
  dict():incr("bytes waited for " .. app_id, bytes, 0, 2 * patience)
end

local function waited_for(app_id, kind)
  return math.max(dict():get(kind .. " waited for " .. app_id) or 0, 0)
end

local function renew_alone(app_id, tokens, bytes)
  ngx.update_time()
  local now = ngx.now()
  local before = look(app_id) or nothing
  local left_tokens = left_in(before, "tokens") - owed(app_id, "tokens")
  local left_bytes = left_in(before, "bytes") - owed(app_id, "bytes")
  local ask = plan(before, left_tokens, left_bytes, {
    tokens = tokens, all_tokens = math.max(tokens, waited_for(app_id, "tokens")),
    bytes = bytes, all_bytes = math.max(bytes, waited_for(app_id, "bytes")),
  }, now)
  local leases = { unpack(before.leases) }
  local place = used_up(leases, left_tokens, left_bytes)
  local finished = place and table.remove(leases, place)
  local grant, problem = ask_database(app_id, finished, ask)
  if grant == nil then
    return nil, problem
  end
  publish(app_id, before, leases, ask, grant, now)
  return true
end

-- One renewal at a time for an application, in all workers. `tokens`, `bytes`: what whoever asks
-- needs; who waited for another's renewal looks again first.
function _M.renew(app_id, tokens, bytes)
  local seen = look(app_id)
  local function is_renewed()
    local pool = look(app_id)
    return pool ~= nil and (seen == nil or pool.id ~= seen.id)
  end
  wait_for(app_id, tokens, bytes)
  local renewed, problem = lock.with("renewal " .. app_id, 5, patience, function()
    if is_renewed() then
      return true
    elseif _M.is_short(app_id) or store.is_paused() then
      return nil
    end
    return renew_alone(app_id, tokens, bytes)
  end, is_renewed)
  wait_for(app_id, -tokens, -bytes)
  return renewed, problem
end

-- Whether the buckets had less than was wanted a moment ago.
function _M.is_short(app_id)
  return dict():get("short " .. app_id) ~= nil
end

-- The buckets have more since: it is worth asking at once.
function _M.forget_shortage(app_id)
  dict():delete("short " .. app_id)
end

-- Clients that were spending at last sight, this gateway included.
function _M.holders(app_id)
  return math.max(dict():get("holders " .. app_id) or 1, 1)
end

local function settle(app_id, lease, unspent_tokens, unspent_bytes)
  local counted = denials.take(app_id)
  local settled, problem = store.call("settle_lease", app_id, {
    lease_id = lease.lease_id,
    tokens = amount.decimal(amount.millionths(lease.tokens) - unspent_tokens),
    bytes = amount.integer(amount.whole(lease.bytes) - unspent_bytes),
  }, denials.encode(counted))
  if settled == nil then
    denials.put_back(app_id, counted, problem)
  end
end

-- Empties a counter. What is below zero stays owed.
local function unspent(app_id, counter, kind)
  local left = empty(counter)
  owe(app_id, kind, math.max(-left, 0))
  return math.max(left, 0)
end

local function hand_back_alone(app_id)
  local pool = look(app_id)
  if pool == nil then
    return
  end
  forget(app_id)
  local tokens = pool.is_limited_tokens and unspent(app_id, pool.tokens, "tokens") or 0
  local bytes = pool.is_limited_bytes and unspent(app_id, pool.bytes, "bytes") or 0
  -- The newest first: it lives longest.
  for place = #pool.leases, 1, -1 do
    local lease = pool.leases[place]
    local unspent_tokens = math.min(tokens, amount.millionths(lease.tokens))
    local unspent_bytes = math.min(bytes, amount.whole(lease.bytes))
    settle(app_id, lease, unspent_tokens, unspent_bytes)
    tokens, bytes = tokens - unspent_tokens, bytes - unspent_bytes
  end
end

-- Gives back what is left.
function _M.hand_back(app_id)
  lock.with("renewal " .. app_id, 5, patience, function()
    hand_back_alone(app_id)
    return true
  end)
  dict():delete("short " .. app_id)
end

local function is_idle(app_id, pool, now)
  local spent = tostring(left_in(pool, "tokens")) .. " " .. tostring(left_in(pool, "bytes"))
  local seen = dict():get("quiet " .. app_id)
  local since, what = (seen or ""):match("^(%S+) (.*)$")
  if what ~= spent then
    dict():set("quiet " .. app_id, now .. " " .. spent, 60)
    return false
  end
  return now - tonumber(since) >= idle_s
end

-- Looks after one pool; answers whether there is still one.
local function tend(app_id)
  local pool, now = look(app_id), ngx.now()
  if pool == nil then
    return false
  end
  -- Who is busy renews long before the end; of anybody else's lease the rest goes back in time.
  if is_idle(app_id, pool, now) or pool.expires_at - now < pool.life * 0.3 then
    _M.hand_back(app_id)
    return false
  end
  return true
end

local tended = {}

-- Applications that got a lease since.
local function collect_used()
  repeat
    local app_id = dict():lpop("used")
    if app_id then
      tended[app_id] = true
    end
  until app_id == nil
end

-- What another worker looked after that has died.
function _M.adopt()
  for _, key in ipairs(dict():get_keys(0)) do
    local app_id = key:match("^pool id (.+)$")
    if app_id then
      tended[app_id] = true
    end
  end
end

-- Done a few times a second by one worker: what nobody uses goes back.
function _M.tend_all()
  collect_used()
  for app_id in pairs(tended) do
    if not tend(app_id) then
      tended[app_id] = nil
    end
  end
end

-- What is owed may have no other lease to be paid from. Then all goes back.
local function pay_and_hand_back(app_id)
  local tokens_owed, bytes_owed = _M.debts(app_id)
  if tokens_owed + bytes_owed > 0 then
    _M.renew(app_id, 0, 0)
  end
  _M.hand_back(app_id)
end

-- The gateway ends: everything goes back.
function _M.hand_back_all()
  collect_used()
  for app_id in pairs(tended) do
    pcall(pay_and_hand_back, app_id)
  end
end

-- The clock stepped back: what was to end by it ends now.
function _M.start_over()
  for _, key in ipairs(dict():get_keys(0)) do
    if key:find("^short ") or key:find("^renewing ") then
      dict():delete(key)
    end
  end
  _M.adopt()
  _M.hand_back_all()
end

local settling = {}

-- The last words of a worker are said, and a request comes to its end.
function _M.settle_at_once(app_id)
  _M.write_corrections()
  if settling[app_id] then
    return
  end
  settling[app_id] = ngx.timer.at(0, function()
    settling[app_id] = nil
    pay_and_hand_back(app_id)
  end)
end

return _M
