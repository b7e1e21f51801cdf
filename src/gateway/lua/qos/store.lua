-- The database as the workers see it together: after a call that nobody answered nobody calls
-- for a while, longer each time.

local database = require("qos.database")
local metrics = require("qos.metrics")

local _M = {}

local first_pause, longest_pause = 0.1, 5

local function fail(state, problem)
  local now = ngx.now()
  if state:add("down since", now) then
    ngx.log(ngx.WARN, "the database does not answer: ", problem.message or "")
    metrics.add("qos_outages_total")
  elseif now < (state:get("paused until") or 0) then
    -- Calls that were under way together count once.
    return
  end
  local pause = math.min(first_pause * 2 ^ (state:incr("failures", 1, 0) - 1), longest_pause)
  state:set("paused until", now + pause * (0.5 + math.random() / 2))
end

local function recover(state)
  if state:get("down since") == nil then
    return
  end
  state:delete("down since")
  state:delete("failures")
  state:delete("paused until")
  ngx.log(ngx.WARN, "the database answers again")
end

-- Since when nobody answers, and when to try again; nil while all is well.
function _M.outage()
  local state = ngx.shared.qos_state
  local since = state:get("down since")
  if since == nil then
    return nil
  end
  return since, math.max((state:get("paused until") or 0) - ngx.now(), 0)
end

function _M.is_paused()
  local _, wait = _M.outage()
  return wait ~= nil and wait > 0
end

-- Calls a function of qos.database. A refusal has a code of the class QS; everything else that
-- goes wrong is an outage, `problem.code` nil.
function _M.call(name, ...)
  local state = ngx.shared.qos_state
  metrics.add(metrics.name("qos_database_calls_total", 'call="' .. name .. '"'))
  local row, problem = database[name](...)
  if row ~= nil then
    recover(state)
    return row
  end
  if problem ~= nil and (problem.code or ""):match("^QS%d%d%d$") then
    recover(state)
    return nil, problem
  end
  problem = problem or { message = "no row" }
  if not problem.is_crowded then
    fail(state, problem)
  end
  return nil, { message = problem.message, sqlstate = problem.code }
end

return _M
