-- Gives an application's leases back: what was spent of each is settled, and the rest is the bucket's
-- again.

local amount = require("qos.amount")
local cjson = require("cjson.safe")
local clock = require("qos.clock")
local denials = require("qos.decisions.denials")
local keys = require("qos.keys").qos_leases
local layer3 = require("qos.leases.layer3")
local pools = require("qos.leases.pools")
local settlement_queue = require("qos.leases.settlement_queue")
local store = require("qos.database.store")

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

local settings
local timeout_s = 2
-- What is learnt of an application is good for its next pool for so long.
local remembered_s = 5

function _M.use(config)
  settings = config
end

local function remember(app_id, pool)
  ngx.shared.qos_leases:set(keys.last_pool(app_id), cjson.encode(pool), remembered_s)
end

-- What is left in the counters of a pool, which hold nothing from now on.
local function empty(app_id, pool)
  pools.use_held(app_id, pool)
  return pool.is_limited_tokens and math.max(pools.empty(pool.tokens), 0) or 0,
    pool.is_limited_bytes and math.max(pools.empty(pool.bytes), 0) or 0
end

-- How the leases of a pool are to be settled: the newest one, which lives longest, takes as much as it
-- can of what is left. Answers also what they have no room for.
local function settlements_of(app_id, leases, tokens, bytes)
  local list = {}
  for place = #leases, 1, -1 do
    local lease = leases[place]
    local leased_tokens, leased_bytes = amount.millionths(lease.tokens), amount.whole(lease.bytes)
    local unspent_tokens = math.min(tokens, leased_tokens)
    local unspent_bytes = math.min(bytes, leased_bytes)
    list[#list + 1] = {
      app_id = app_id,
      lease_id = lease.lease_id,
      spent_tokens = amount.decimal(leased_tokens - unspent_tokens),
      spent_bytes = amount.integer(leased_bytes - unspent_bytes),
      is_returned = true,
      expires_at = lease.expires_at,
    }
    tokens, bytes = tokens - unspent_tokens, bytes - unspent_bytes
  end
  return list, tokens, bytes
end

-- A lease whose answer is missing: nothing was spent of it, if it was granted at all.
local function add_unanswered(list, app_id, lease_id)
  table.insert(list, 1, {
    app_id = app_id, lease_id = lease_id, spent_tokens = "0", spent_bytes = "0", is_returned = true,
    expires_at = clock.now() + settings.lease_ms / 1000,
  })
end

-- Takes an application's leases out of hand and passes how each is to be settled to `settle`. nil where
-- another worker was at it for `seconds`.
local function take(app_id, seconds, settle)
  return layer3.with_taken_back(app_id, seconds, function(pool, unanswered_id)
    local list = {}
    if pool then
      remember(app_id, pool)
      local tokens, bytes = empty(app_id, pool)
      list, tokens, bytes = settlements_of(app_id, pool.leases, tokens, bytes)
      pools.keep_credit(app_id, tokens, bytes)
    end
    if unanswered_id then
      add_unanswered(list, app_id, unanswered_id)
    end
    if #list > 0 then
      layer3.begin_settling(app_id, #list)
    end
    for _, settlement in ipairs(list) do
      settle(settlement)
    end
    return true
  end)
end

local function settle_now(settlement)
  local app_id = settlement.app_id
  local counted = denials.take(app_id)
  local settled, problem = store.call("settle_lease", app_id, {
    lease_id = settlement.lease_id,
    tokens = settlement.spent_tokens,
    bytes = settlement.spent_bytes,
  }, denials.encode(counted))
  if settled == nil then
    denials.put_back(app_id, counted, problem)
    layer3.leave_to_its_end(app_id, settlement.expires_at)
  else
    layer3.settle(app_id)
  end
end

-- Before anything else is asked.
function _M.now(app_id)
  take(app_id, timeout_s, settle_now)
end

-- With the next exchange. Answers false where another worker was at it.
function _M.behind(app_id)
  return take(app_id, 0, settlement_queue.push) or false
end

return _M
