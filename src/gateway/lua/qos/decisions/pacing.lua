-- Downloads beyond what an application's bucket of bytes holds are sent no faster than its rate, shared
-- by those in flight: concurrency does not multiply a quota.

local clock = require("qos.clock")
local keys = require("qos.keys").qos_state
local request = require("qos.requests.request")
local workers = require("qos.workers.workers")

local _M = {}

local settings
-- What is sent within this time is over before it could be shared.
local shortest_s = 0.1
local checked_every = 0.2
-- Bytes a second: the head of an answer counts, too.
local slowest = 1024
-- Of this worker, by application.
local in_flight = {}

function _M.use(config)
  settings = config
end

local function publish(app_id)
  workers.set(ngx.shared.qos_state, keys.in_flight(app_id), in_flight[app_id] or 0, 60)
end

local function count(app_id)
  return math.max(workers.sum(ngx.shared.qos_state, keys.in_flight(app_id)), 1)
end

local function rate_of(limits)
  if limits.pace == nil then
    limits.pace = false
    for _, limit in ipairs(limits.list) do
      if limit.mode == "enforce" and limit.bucket_type == "bandwidth_l2" then
        limits.pace = limit.method == "fixed_window"
          and tonumber(limit.capacity) / limit.window_seconds or tonumber(limit.refill_rate)
      end
    end
  end
  return limits.pace or nil
end

local function set_rate(decision, now)
  local rate = math.max(math.floor(decision.pace / count(decision.entry.app_id)), slowest)
  decision.paced_at = now
  if rate ~= decision.paced_to then
    decision.paced_to = rate
    ngx.var.limit_rate = string.format("%.0f", rate)
  end
end

-- Where nginx passes on a request whose answer may be paced; nil for any other request.
function _M.location(decision)
  local operation = decision.operation
  if settings.pace_downloads and decision.entry and operation and operation.may_answer
    and rate_of(decision.entry.limits)
  then
    decision.may_be_paced = request.var("qos_paced")
    return decision.may_be_paced
  end
end

-- The head of a download of that many bytes is here; nil where its length is not known.
function _M.start(decision, size)
  local rate = decision.may_be_paced and rate_of(decision.entry.limits)
  if not rate or size and (not decision.exceeds or size < rate * shortest_s) then
    return
  end
  local app_id = decision.entry.app_id
  in_flight[app_id] = (in_flight[app_id] or 0) + 1
  publish(app_id)
  decision.pace = rate
  set_rate(decision, clock.now())
end

-- More of it goes out: those in flight may be others now.
function _M.continue(decision)
  local now = clock.now()
  if now - decision.paced_at >= checked_every then
    publish(decision.entry.app_id)
    set_rate(decision, now)
  end
end

function _M.finish(decision)
  local app_id = decision.entry.app_id
  local left = (in_flight[app_id] or 1) - 1
  in_flight[app_id] = left > 0 and left or nil
  publish(app_id)
end

return _M
