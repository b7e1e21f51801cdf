-- What a worker knows of a key: its application, costs and limits. One worker reads them from the
-- database, the others from shared memory; each keeps what it has decoded.

local cjson = require("cjson.safe")
local clock = require("qos.clock")
local cost = require("qos.operations.cost")
local keys = require("qos.keys").qos_state
local lock = require("qos.workers.lock")
local lrucache = require("resty.lrucache")
local semaphore = require("ngx.semaphore")
local store = require("qos.database.store")

local _M = {}

-- A config unused for so long is read before they are used again.
local longest_unused = 5
local timeout_s = 2

local refresh_s
local decoded = lrucache.new(20000)

-- Half of the connections: made-up keys take none from callers with a real one.
local turns

function _M.use(config)
  refresh_s = config.refresh_s
  turns = semaphore.new(math.max(math.floor(config.database.pool_size / 2), 1))
end

function _M.forget()
  decoded:flush_all()
end

local function limits_of(answer)
  local limits = {
    list = answer.limits, is_direct = false, cluster_id = answer.cluster_id, capacities = {},
  }
  for _, limit in ipairs(answer.limits) do
    if limit.mode == "shadow" or limit.method == "leaky_bucket" then
      limits.is_direct = true
    end
    if limit.mode == "enforce" then
      limits.capacities[limit.bucket_type] = tonumber(limit.capacity)
    end
  end
  return limits
end

local function decode(text)
  local record = cjson.decode(text)
  if record.problem then
    return { read_at = record.read_at, problem = record.problem }
  end
  local limits = cjson.decode(record.row.limits)
  local entry = {
    app_id = record.row.app_id,
    rows = cjson.decode(record.row.costs),
    limits = limits_of(limits),
    clock_ahead_us = tonumber(record.row.now_us) - record.read_at * 1000000,
    read_at = record.read_at,
    changes_at = 0,
  }
  local change = limits.changes_in_ms
  entry.limits_change_at = type(change) == "number" and record.read_at + change / 1000 or math.huge
  return entry
end

local function hash_of(api_key)
  return ngx.encode_base64(ngx.sha1_bin(api_key))
end

local function read(api_key)
  local read_at = clock.now()
  local row, problem = store.call("application_config", api_key)
  if row == nil and not problem.code then
    return nil, problem
  end
  -- Of what the clock said before it stepped back nothing is kept.
  read_at = math.min(read_at, clock.now())
  local record = { read_at = read_at, row = row, problem = problem }
  ngx.shared.qos_state:set(keys.config(hash_of(api_key)), cjson.encode(record), 600)
  return record
end

local function newest(api_key)
  local text = ngx.shared.qos_state:get(keys.config(hash_of(api_key)))
  local entry = decoded:get(api_key)
  if text ~= nil and (entry == nil or entry.text ~= text) then
    entry = decode(text)
    entry.text = text
    decoded:set(api_key, entry)
  end
  return entry
end

local function read_soon(api_key)
  ngx.timer.at(0, function(premature)
    if premature then
      return
    end
    ngx.update_time()
    local before = newest(api_key)
    if read(api_key) and _M.on_change then
      local after = newest(api_key)
      _M.on_change(before, after)
    end
  end)
end

local function read_behind(api_key)
  local state = ngx.shared.qos_state
  if not store.is_paused() and state:add(keys.reading(hash_of(api_key)), true, refresh_s) then
    read_soon(api_key)
  end
end

-- What a stranger can make up waits for the others of its kind.
local function read_in_turn(api_key)
  if not turns:wait(timeout_s) then
    return nil
  end
  local ran, record = pcall(read, api_key)
  turns:post()
  if not ran then
    error(record)
  end
  return record
end

-- Waits for the database: nothing usable is known. One request does, the others for it.
local function read_ahead(api_key)
  local asked_at = clock.now()
  return lock.with(keys.config_lock(hash_of(api_key)), 5, timeout_s, function()
    ngx.update_time()
    local entry = newest(api_key)
    if entry and entry.read_at >= asked_at then
      return entry
    end
    local reads = entry and not entry.problem and read or read_in_turn
    return reads(api_key) and newest(api_key) or entry
  end)
end

local function is_fresh(entry, now)
  return now - entry.read_at < refresh_s and now < (entry.limits_change_at or math.huge)
end

local function usable(entry, now)
  if entry == nil or entry.problem then
    return nil
  end
  local is_recent = now - entry.read_at < longest_unused and now < entry.limits_change_at
  return (is_recent or store.is_paused()) and entry or nil
end

-- Without an application nothing can be charged, and the outage would not end. Apart from of(): LuaJIT
-- compiles no function that holds another.
local function probe_behind(api_key)
  store.probe_behind(function()
    read(api_key)
  end)
end

-- The application config of a key. An error is `entry.problem`; nil without an answer and without a
-- config known from before.
function _M.of(api_key)
  local now = clock.now()
  local entry = decoded:get(api_key)
  if entry and is_fresh(entry, now) then
    return entry
  end
  entry = newest(api_key)
  if entry and is_fresh(entry, now) then
    return entry
  end
  if usable(entry, now) then
    read_behind(api_key)
    return entry
  end
  if store.is_paused() then
    if entry == nil then
      probe_behind(api_key)
    end
    return entry
  end
  return read_ahead(api_key)
end

-- What an operation costs now: its entry of costs, or nil.
function _M.cost_of(entry, operation)
  local us = clock.now() * 1000000 + entry.clock_ahead_us
  if us >= entry.changes_at then
    entry.costs, entry.changes_at = cost.schedule(entry.rows, us)
  end
  return entry.costs[operation]
end

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(decode, true)

return _M
