-- Renews an application's leases: what to ask the database for, and what to settle with it. A renewal adds
-- a lease and settles, as spent, those whose tokens are gone; what is left can still be given back under
-- the others. So nothing is ever spent that was not taken. The calls are those of exchange.lua.

local amount = require("qos.amount")
local cjson = require("cjson.safe")
local clock = require("qos.clock")
local demand = require("qos.decisions.demand")
local denials = require("qos.decisions.denials")
local keys = require("qos.keys").qos_leases
local layer3 = require("qos.leases.layer3")
local lease_plan = require("qos.leases.lease_plan")
local pool_of_grant = require("qos.leases.pool_of_grant")
local pools = require("qos.leases.pools")
local transfers = require("qos.leases.transfers")

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

-- Requests wait no longer for a renewal.
local longest_wait = 4
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

-- What the next pool begins with. What was given back while there was none is spent with a lease alone,
-- so that it makes none unnecessary.
local function left_of(app_id, pool)
  if pool.id == nil then
    return 0, 0
  end
  return pools.left_in(pool.tokens) + pools.credit(app_id, "tokens"),
    pools.left_in(pool.bytes) + pools.credit(app_id, "bytes")
end

-- What all requests need that wait for a renewal in this moment, in all workers.
function _M.wait_for(app_id, tokens, bytes)
  dict():incr(keys.waited_for.tokens(app_id), tokens, 0, longest_wait)
  dict():incr(keys.waited_for.bytes(app_id), bytes, 0, longest_wait)
end

local function waited_for(app_id, kind)
  return math.max(dict():get(keys.waited_for[kind](app_id)) or 0, 0)
end

-- What was learnt of an application whose leases went back a moment ago.
local function last_pool(app_id)
  local text = dict():get(keys.last_pool(app_id))
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

local function plan(app_id, before, need, now)
  local left_tokens, left_bytes = left_of(app_id, before)
  local ask = lease_plan.plan(before, left_tokens, left_bytes, {
    tokens = need.tokens, all_tokens = math.max(need.tokens, waited_for(app_id, "tokens")),
    bytes = need.bytes, all_bytes = math.max(need.bytes, waited_for(app_id, "bytes")),
  }, now)
  if ask.tokens + ask.bytes == 0 and (before.id == nil or now >= before.expires_at) then
    -- What costs nothing, or is in hand still, needs a pool that it can be taken from.
    ask.tokens = one_token
  end
  return ask, left_tokens, left_bytes
end

-- As SQL takes it.
local function request_of(renewal, finished)
  return {
    app_id = renewal.app_id,
    next_lease_id = renewal.asked.lease_id,
    lease_id = finished and finished.lease_id,
    spent_tokens = finished and finished.tokens,
    spent_bytes = finished and finished.bytes,
    tokens = amount.decimal(renewal.ask.tokens),
    bytes = amount.integer(renewal.ask.bytes),
    denials = denials.rows_of(renewal.counted),
    demand = demand.rows_of(renewal.demanded),
  }
end

-- Begins a renewal, which accept() or abandon() ends: what to ask the database for, as `request`. nil
-- where another worker is at it.
function _M.begin(app_id, need)
  local asked = layer3.ask(app_id)
  if asked == nil then
    return nil
  end
  ngx.update_time()
  local now = clock.now()
  local before = pools.load(app_id) or last_pool(app_id) or nothing
  pools.use_held(app_id, before)
  local ask, left_tokens, left_bytes = plan(app_id, before, need, now)
  local leases = open_leases(before, now)
  local finished, others = take_used_up(
    before, leases, now, room_for(app_id, before, left_tokens, left_bytes)
  )
  layer3.note_call(asked)
  local renewal = {
    app_id = app_id, asked = asked, before = before, leases = leases, ask = ask, now = now,
    counted = denials.take(app_id), demanded = demand.take(app_id),
    settlements = settlements_as_spent(app_id, others),
    capacities = need.capacities or before.capacities or {},
  }
  renewal.request = request_of(renewal, finished)
  return renewal
end

-- Ends a renewal with the database's answer: a lease, or none and for how long none is to be asked for.
function _M.accept(renewal, grant)
  layer3.grant(renewal.asked, function()
    pool_of_grant.publish(renewal, grant)
  end)
end

-- Whether the lease that was asked for again, since its answer was lost, is over by now. It says nothing
-- of the application, which asks for another one.
function _M.is_over(problem)
  return problem.code == "QS410"
    or problem.code == "QS409" and problem.message ~= "application has moved"
end

-- Ends a renewal that failed.
function _M.abandon(renewal, problem)
  denials.put_back(renewal.app_id, renewal.counted, problem)
  demand.put_back(renewal.app_id, renewal.demanded, problem)
  local may_be_granted = problem.is_outage
    or renewal.asked.is_repeated and not _M.is_over(problem)
  layer3.refuse(renewal.asked, may_be_granted)
end

return _M
