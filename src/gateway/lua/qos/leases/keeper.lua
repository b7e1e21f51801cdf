-- Leases of applications: a renewal adds a lease to a pool and settles, as spent, one whose tokens
-- are gone; what is left can still be given back under the others. So nothing is ever spent that was
-- not taken. The calls are those of exchange.lua.

local amount = require("qos.amount")
local cjson = require("cjson.safe")
local clock = require("qos.clock")
local denials = require("qos.decisions.denials")
local lease_plan = require("qos.leases.plan")
local lock = require("qos.workers.lock")
local pools = require("qos.leases.pools")
local store = require("qos.database.store")
local transfers = require("qos.leases.transfers")
local uuid = require("qos.uuid")

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

local idle_s = 1
local timeout_s = 2
-- Longer than any call: a lock whose holder has died is released before.
local longest_call = 30
local one_token = 1000000

-- Before the first lease, and after the last.
local nothing = {
  leases = {},
  rate_tokens = 0, rate_bytes = 0, size_tokens = 0, size_bytes = 0,
  had_tokens = 0, had_bytes = 0, is_limited_tokens = true, is_limited_bytes = true,
  most_tokens = amount.largest, most_bytes = amount.largest, holders = 1,
}

local function dict()
  return ngx.shared.qos_leases
end

local function lock_key(app_id)
  return "renewal " .. app_id
end

local function left_in(pool, kind)
  return pool[kind] and dict():get(pool[kind]) or 0
end

-- What the next pool begins with. What was given back while there was none is spent with a lease alone,
-- so that it makes none unnecessary.
local function left_of(app_id, pool)
  if pool.id == nil then
    return 0, 0
  end
  return left_in(pool, "tokens") + pools.credit(app_id, "tokens"),
    left_in(pool, "bytes") + pools.credit(app_id, "bytes")
end

-- What all requests need that wait for a renewal in this moment, in all workers.
function _M.wait_for(app_id, tokens, bytes)
  dict():incr("tokens waited for " .. app_id, tokens, 0, 2 * timeout_s)
  dict():incr("bytes waited for " .. app_id, bytes, 0, 2 * timeout_s)
end

local function waited_for(app_id, kind)
  return math.max(dict():get(kind .. " waited for " .. app_id) or 0, 0)
end

-- What was learnt of an application whose leases went back a moment ago.
local function last_pool(app_id)
  local text = dict():get("last pool " .. app_id)
  local pool = text and cjson.decode(text)
  if pool then
    pool.id, pool.leases, pool.tokens, pool.bytes = nil, {}, nil, nil
    pool.had_tokens, pool.had_bytes = 0, 0
    pool.is_limited_tokens, pool.is_limited_bytes = true, true
  end
  return pool
end

-- Those that the database still knows as open: the others count as spent.
local function open_leases(pool, now)
  local leases = {}
  for _, lease in ipairs(pool.leases) do
    if now < lease.expires_at then
      leases[#leases + 1] = lease
    end
  end
  return leases
end

-- Whether the oldest of them has lived for more than half of its time.
local function is_oldest_due(leases, life, now)
  local oldest = leases[1]
  return oldest ~= nil and oldest.expires_at - now < life / 2
end

-- Takes the leases out of a list whose tokens are gone, and have no room to keep for what is left or may
-- come back: the first one, and how to settle the others.
local function take_used_up(pool, leases, now, left_tokens, left_bytes)
  local function next_place()
    return lease_plan.used_up(
      leases, left_tokens, left_bytes, is_oldest_due(leases, pool.life, now)
    )
  end
  local place = next_place()
  local finished, others = place and table.remove(leases, place), {}
  place = next_place()
  while place do
    local lease = table.remove(leases, place)
    others[#others + 1] = lease
    place = next_place()
  end
  return finished, others
end

-- What leases have to have room for: all that is left of them, and all that is under way. What other
-- workers took in the last hundredth of a second is not published yet: it was in the pool as it began.
local function room_for(app_id, pool, left_tokens, left_bytes)
  transfers.publish()
  local tokens, bytes = transfers.of(app_id)
  if ngx.worker.count() > 1 then
    left_tokens = math.max(left_tokens, pool.had_tokens)
    left_bytes = math.max(left_bytes, pool.had_bytes)
  end
  return left_tokens + tokens, left_bytes + bytes
end

local function settlements_as_spent(app_id, leases)
  local settlements = {}
  for place, lease in ipairs(leases) do
    settlements[place] = {
      app_id = app_id, lease_id = lease.lease_id, spent_tokens = lease.tokens,
      spent_bytes = lease.bytes,
    }
  end
  return settlements
end

local function unanswered_key(app_id)
  return "unanswered " .. app_id
end

-- The lease that was asked for last, as long as its answer is missing: it may have been granted. The
-- id, and since when.
local function unanswered(app_id)
  local id, since = (dict():get(unanswered_key(app_id)) or ""):match("^(%S+) (%S+)$")
  return id, tonumber(since)
end

local function note_unanswered(app_id, id)
  dict():set(unanswered_key(app_id), string.format("%s %.3f", id, clock.now()), pools.longest_life)
end

function _M.is_renewing(app_id)
  return lock.is_held(lock_key(app_id))
end

-- Begins a renewal: what to ask the database for, as `request`. No other request renews or releases the
-- application's leases until accept() or abandon(); nil where another does.
function _M.prepare(app_id, need)
  local token = lock.try(lock_key(app_id), longest_call)
  if token == nil then
    return nil
  end
  ngx.update_time()
  local now = clock.now()
  local before = pools.load(app_id) or last_pool(app_id) or nothing
  pools.use_held(app_id, before)
  local left_tokens, left_bytes = left_of(app_id, before)
  local ask = lease_plan.plan(before, left_tokens, left_bytes, {
    tokens = need.tokens, all_tokens = math.max(need.tokens, waited_for(app_id, "tokens")),
    bytes = need.bytes, all_bytes = math.max(need.bytes, waited_for(app_id, "bytes")),
  }, now)
  if ask.tokens + ask.bytes == 0 and (before.id == nil or now >= before.expires_at) then
    -- What costs nothing, or is in hand still, needs a pool that it can be taken from.
    ask.tokens = one_token
  end
  local leases = open_leases(before, now)
  local finished, others = take_used_up(
    before, leases, now, room_for(app_id, before, left_tokens, left_bytes)
  )
  local counted = denials.take(app_id)
  -- Asked for again under its id, a lease whose answer was lost is the same one. It is noted before
  -- the call: this worker may not live to hear the answer.
  local repeated_id = unanswered(app_id)
  local next_lease_id = repeated_id or uuid.new()
  note_unanswered(app_id, next_lease_id)
  dict():rpush("used", app_id)
  return {
    is_repeated = repeated_id ~= nil,
    app_id = app_id, token = token, before = before, leases = leases, ask = ask, now = now,
    counted = counted, settlements = settlements_as_spent(app_id, others),
    capacities = need.capacities or before.capacities or {},
    request = {
      app_id = app_id,
      next_lease_id = next_lease_id,
      lease_id = finished and finished.lease_id,
      spent_tokens = finished and finished.tokens,
      spent_bytes = finished and finished.bytes,
      tokens = amount.decimal(ask.tokens),
      bytes = amount.integer(ask.bytes),
      denials = denials.rows_of(counted),
    },
  }
end

-- Of leases: older ones are kept as room for what is left and may come back.
local function first_end(leases, latest)
  for _, lease in ipairs(leases) do
    latest = math.min(latest, lease.expires_at)
  end
  return latest
end

local function make_pool(renewal, grant)
  local ask, capacities = renewal.ask, renewal.capacities
  local life, holders = tonumber(grant.lifetime_ms) / 1000, tonumber(grant.holders)
  local id = dict():incr("ids", 1, 0)
  return {
    id = id,
    tokens = "tokens " .. id,
    bytes = "bytes " .. id,
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

-- The buckets had less than was asked for: no call for so many seconds, and why.
local function note_shortage(app_id, grant, pause, has_tokens)
  local wait = tonumber(grant.retry_after_ms)
  dict():set(
    "short " .. app_id,
    string.format("%.3f %.3f", clock.now() + pause, clock.now() + (wait or 0) / 1000), pause
  )
  if wait then
    -- Where no bucket is, what open leases of the application hold is in the way.
    local reason = grant.short_of or has_tokens and "bandwidth_l2" or "iops_l2"
    denials.note_reason(app_id, reason, pause + 0.01)
  end
end

local function publish(renewal, grant)
  local app_id, before, ask = renewal.app_id, renewal.before, renewal.ask
  local granted_tokens = grant.is_limited_tokens and amount.millionths(grant.tokens) or 0
  local granted_bytes = grant.is_limited_bytes and amount.whole(grant.bytes) or 0
  if grant.lease_id then
    table.insert(renewal.leases, {
      lease_id = grant.lease_id, tokens = grant.tokens, bytes = grant.bytes,
      expires_at = renewal.now + tonumber(grant.lifetime_ms) / 1000,
    })
  end
  local pool = make_pool(renewal, grant)
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
  dict():set(pool.tokens, pool.had_tokens, pool.life)
  dict():set(pool.bytes, pool.had_bytes, pool.life)
  dict():set("pool " .. app_id, cjson.encode(pool), pool.life)
  dict():set("pool id " .. app_id, pool.id, pool.life)
  pools.transfer_remainder(app_id, before)
  dict():set("holders " .. app_id, pool.holders)
  dict():delete("quiet " .. app_id)
  dict():rpush("used", app_id)
  if pause > 0 then
    local has_tokens = granted_tokens >= ask.tokens or not grant.is_limited_tokens
    note_shortage(app_id, grant, pause, has_tokens)
  end
end

-- Ends a renewal with the database's answer.
function _M.accept(renewal, grant)
  dict():delete(unanswered_key(renewal.app_id))
  local worked, problem = pcall(publish, renewal, grant)
  lock.release(lock_key(renewal.app_id), renewal.token)
  if not worked then
    error(problem)
  end
end

-- Whether the lease that was asked for again, since its answer was lost, is over by now. It says nothing
-- of the application, which asks for another one.
function _M.is_over(problem)
  return problem.code == "QS410"
    or problem.code == "QS409" and problem.message ~= "application has moved"
end

-- Ends a renewal that failed. Where it may have been granted, it is asked for again or settled.
function _M.abandon(renewal, problem)
  local app_id = renewal.app_id
  denials.put_back(app_id, renewal.counted, problem)
  if problem.is_outage or renewal.is_repeated and not _M.is_over(problem) then
    note_unanswered(app_id, renewal.request.next_lease_id)
  else
    dict():delete(unanswered_key(app_id))
  end
  lock.release(lock_key(app_id), renewal.token)
end

-- Whether the buckets had less than was wanted a moment ago.
function _M.is_short(app_id)
  return dict():get("short " .. app_id) ~= nil
end

-- Seconds until they are asked again, and until they offer anything; nil where they had enough.
function _M.shortage(app_id)
  local text = dict():get("short " .. app_id)
  if text == nil then
    return nil
  end
  local ends_at, offers_at = text:match("^(%S+) (%S+)$")
  return math.max(ends_at - clock.now(), 0.001), math.max(offers_at - clock.now(), 0)
end

-- The buckets have more since: it is worth asking at once.
function _M.forget_shortage(app_id)
  dict():delete("short " .. app_id)
end

-- Clients that were spending at last sight, this gateway included.
function _M.holders(app_id)
  return math.max(dict():get("holders " .. app_id) or 1, 1)
end

-- Whether leases may ever hold as much as an operation needs.
function _M.feeds(app_id, capacities, tokens, bytes)
  local holders = _M.holders(app_id)
  return tokens <= lease_plan.share_of(capacities, "iops", holders) * 1000000
    and bytes <= lease_plan.share_of(capacities, "bandwidth", holders)
end

-- Takes a pool away and answers how its leases are to be settled.
local function settlements_of(app_id)
  local pool, settlements, unanswered_id = pools.load(app_id), {}, unanswered(app_id)
  if unanswered_id then
    dict():delete(unanswered_key(app_id))
    settlements[1] = {
      app_id = app_id, lease_id = unanswered_id, spent_tokens = "0", spent_bytes = "0",
    }
  end
  if pool == nil then
    return settlements
  end
  dict():set("last pool " .. app_id, dict():get("pool " .. app_id), 5)
  pools.forget(app_id)
  pools.use_held(app_id, pool)
  local tokens = pool.is_limited_tokens and math.max(pools.empty(pool.tokens), 0) or 0
  local bytes = pool.is_limited_bytes and math.max(pools.empty(pool.bytes), 0) or 0
  -- The newest first: it lives longest.
  for place = #pool.leases, 1, -1 do
    local lease = pool.leases[place]
    local leased_tokens, leased_bytes = amount.millionths(lease.tokens), amount.whole(lease.bytes)
    local unspent_tokens = math.min(tokens, leased_tokens)
    local unspent_bytes = math.min(bytes, leased_bytes)
    settlements[#settlements + 1] = {
      app_id = app_id,
      lease_id = lease.lease_id,
      spent_tokens = amount.decimal(leased_tokens - unspent_tokens),
      spent_bytes = amount.integer(leased_bytes - unspent_bytes),
    }
    tokens, bytes = tokens - unspent_tokens, bytes - unspent_bytes
  end
  pools.keep_credit(app_id, tokens, bytes)
  return settlements
end

local function settle(settlement)
  local app_id = settlement.app_id
  local counted = denials.take(app_id)
  local settled, problem = store.call("settle_lease", app_id, {
    lease_id = settlement.lease_id,
    tokens = settlement.spent_tokens,
    bytes = settlement.spent_bytes,
  }, denials.encode(counted))
  if settled == nil then
    denials.put_back(app_id, counted, problem)
  end
end

-- Settles the leases of an application and returns the remainder, before anything else is asked.
function _M.release(app_id)
  lock.with(lock_key(app_id), longest_call, timeout_s, function()
    for _, settlement in ipairs(settlements_of(app_id)) do
      settle(settlement)
    end
    return true
  end)
end

-- The same with the next exchange. Returns false where another request was at it.
function _M.release_behind(app_id)
  local token = lock.try(lock_key(app_id), longest_call)
  if token == nil then
    return false
  end
  for _, settlement in ipairs(settlements_of(app_id)) do
    dict():rpush("settlements", cjson.encode(settlement))
  end
  lock.release(lock_key(app_id), token)
  return true
end

-- Adds leases that are to be settled to a list of so many at most.
function _M.take_settlements(settlements, most)
  while #settlements < most do
    local text = dict():lpop("settlements")
    if text == nil then
      break
    end
    settlements[#settlements + 1] = cjson.decode(text)
  end
end

function _M.put_back_settlements(settlements)
  for _, settlement in ipairs(settlements) do
    if settlement.lease_id then
      dict():rpush("settlements", cjson.encode(settlement))
    end
  end
end

function _M.has_settlements()
  return (dict():llen("settlements") or 0) > 0
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

-- Maintains one pool; answers whether it still exists.
local function maintain(app_id)
  local pool, now = pools.load(app_id), clock.now()
  if pool == nil then
    local id, since = unanswered(app_id)
    if id and now - since >= idle_s and not store.is_paused() then
      return not _M.release_behind(app_id)
    end
    return id ~= nil
  end
  -- What is under way is charged by itself before long, and has to have its lease until then.
  local tokens, bytes = transfers.of(app_id)
  if tokens + bytes > 0 and pool.expires_at - now > pool.life * 0.1 then
    return true
  end
  -- A busy application renews long before the end; of any other one's lease the rest goes back.
  if is_idle(app_id, pool, now) or pool.expires_at - now < pool.life * 0.3 then
    return not _M.release_behind(app_id)
  end
  return true
end

local maintained = {}

-- Applications that got a lease since.
local function collect_used()
  repeat
    local app_id = dict():lpop("used")
    if app_id then
      maintained[app_id] = true
    end
  until app_id == nil
end

-- Recovers what a dead worker maintained.
function _M.recover()
  for _, key in ipairs(dict():get_keys(0)) do
    local app_id = key:match("^pool id (.+)$") or key:match("^unanswered (.+)$")
    if app_id then
      maintained[app_id] = true
    end
  end
end

-- Done a few times a second by one worker: what is not used goes back.
function _M.maintain_all()
  collect_used()
  for app_id in pairs(maintained) do
    if not maintain(app_id) then
      maintained[app_id] = nil
    end
  end
end

-- How many applications have leases here, or had some a moment ago.
function _M.application_count()
  local count = 0
  for _ in pairs(maintained) do
    count = count + 1
  end
  return count
end

-- All leases go back with the next exchanges, those as well that are being renewed.
function _M.release_all()
  local give_up_at = clock.now() + timeout_s
  collect_used()
  repeat
    for app_id in pairs(maintained) do
      if _M.release_behind(app_id) then
        maintained[app_id] = nil
      end
    end
    local is_done = next(maintained) == nil
    if not is_done then
      ngx.sleep(0.005)
      collect_used()
    end
  until is_done or clock.now() >= give_up_at
end

-- The clock stepped back: what was to end by it ends now.
function _M.start_over()
  for _, key in ipairs(dict():get_keys(0)) do
    if key:find("^short ") or key:find("^queued ") then
      dict():delete(key)
    end
  end
  _M.recover()
  _M.release_all()
end

return _M
