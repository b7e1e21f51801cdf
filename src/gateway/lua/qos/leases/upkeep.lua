-- Gives back what is not used any more: of idle applications, of leases that end soon, and of all at the
-- end. One worker does it.

local clock = require("qos.clock")
local give_back = require("qos.leases.give_back")
local keys = require("qos.keys")
local layer3 = require("qos.leases.layer3")
local pools = require("qos.leases.pools")
local store = require("qos.database.store")
local transfers = require("qos.leases.transfers")

local id_of, names = keys.id_of, keys.qos_leases

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

local idle_s = 1
local quiet_s = 60
-- For so long at the end for renewals that are under way.
local timeout_s = 2

local function dict()
  return ngx.shared.qos_leases
end

local function is_idle(app_id, pool, now)
  local spent = pools.left_in(pool.tokens) .. " " .. pools.left_in(pool.bytes)
  local since, what = (dict():get(names.quiet(app_id)) or ""):match("^(%S+) (.*)$")
  if what ~= spent then
    dict():set(names.quiet(app_id), now .. " " .. spent, quiet_s)
    return false
  end
  return now - tonumber(since) >= idle_s
end

-- Whether the pool is better given back.
local function is_unused(app_id, pool)
  local now = clock.now()
  -- What is under way is charged by itself before long, and has to have its lease until then.
  local tokens, bytes = transfers.of(app_id)
  if tokens + bytes > 0 and pool.expires_at - now > pool.life * 0.1 then
    return false
  end
  -- A busy application renews long before the end; of any other one's lease the rest goes back.
  return is_idle(app_id, pool, now) or pool.expires_at - now < pool.life * 0.3
end

-- A lease that was asked for a while ago, and whose answer is missing, is asked for no more.
local function is_given_up(app_id)
  local id, since = layer3.unanswered(app_id)
  return id ~= nil and clock.now() - since >= idle_s and not store.is_paused()
end

-- Answers whether there is still something to look after.
local function look_after(app_id)
  local pool = pools.load(app_id)
  if pool and is_unused(app_id, pool) or not pool and is_given_up(app_id) then
    return not give_back.behind(app_id)
  end
  return pool ~= nil or layer3.unanswered(app_id) ~= nil
end

local looked_after = {}

-- Applications that got a lease since.
local function collect_used()
  repeat
    local app_id = dict():lpop(names.used)
    if app_id then
      looked_after[app_id] = true
    end
  until app_id == nil
end

-- What a worker looked after that has died.
function _M.recover()
  for _, key in ipairs(dict():get_keys(0)) do
    local app_id = id_of(names.pool_id, key) or id_of(names.unanswered, key)
    if app_id then
      looked_after[app_id] = true
    end
  end
end

-- Done a few times a second.
function _M.run()
  collect_used()
  for app_id in pairs(looked_after) do
    if not look_after(app_id) then
      looked_after[app_id] = nil
    end
  end
end

-- How many applications have leases here, or had some a moment ago.
function _M.application_count()
  local count = 0
  for _ in pairs(looked_after) do
    count = count + 1
  end
  return count
end

-- All leases go back with the next exchanges, those as well that are being renewed.
function _M.give_all_back()
  local give_up_at = clock.now() + timeout_s
  collect_used()
  repeat
    for app_id in pairs(looked_after) do
      if give_back.behind(app_id) then
        looked_after[app_id] = nil
      end
    end
    local is_done = next(looked_after) == nil
    if not is_done then
      ngx.sleep(0.005)
      collect_used()
    end
  until is_done or clock.now() >= give_up_at
end

-- The clock stepped back: what was to end by it ends now.
function _M.start_over()
  for _, key in ipairs(dict():get_keys(0)) do
    if id_of(names.short, key) or id_of(names.queued, key) then
      dict():delete(key)
    end
  end
  _M.recover()
  _M.give_all_back()
end

return _M
