-- The database as the workers see it together. An outage is the inability to charge: no request waits
-- for the database then but one prober, and only a successful charge ends it.

local clock = require("qos.clock")
local keys = require("qos.keys")
local lock = require("qos.workers.lock")
local metrics = require("qos.metrics")
local server_errors = require("qos.database.server_errors")
local statements = require("qos.database.statements")

local _M = {}

local first_pause, longest_pause = 0.1, 5
-- A probe that takes longer than any timeout has died.
local longest_probe = 30

local function state()
  return ngx.shared.qos_state
end

local function begin_outage(problem)
  local now = clock.now()
  -- After an outage that no charge has ended, this is the same one.
  state():add(keys.qos_state.uncharged_since, now)
  if state():add(keys.qos_state.down_since, state():get(keys.qos_state.uncharged_since) or now) then
    state():set(keys.qos_state.down_by, problem.code or "")
    ngx.log(ngx.WARN, "the database does not answer: ", problem.message or "")
    metrics.add("qos_outages_total")
  elseif now < (state():get(keys.qos_state.paused_until) or 0) then
    -- Calls that were under way together count once.
    return
  end
  local pause = math.min(first_pause * 2 ^ (state():incr(keys.qos_state.failures, 1, 0) - 1), longest_pause)
  state():set(keys.qos_state.paused_until, now + pause * (0.5 + math.random() / 2))
end

-- Traffic that cannot be charged fails again within so many seconds.
local relapse = 10

local function end_outage(has_charged)
  local since = state():get(keys.qos_state.uncharged_since)
  if has_charged then
    state():delete(keys.qos_state.uncharged_since)
  elseif since then
    state():set(keys.qos_state.uncharged_since, since, relapse)
  end
  state():delete(keys.qos_state.down_since)
  state():delete(keys.qos_state.down_by)
  state():delete(keys.qos_state.failures)
  state():delete(keys.qos_state.paused_until)
  ngx.log(ngx.WARN, "the database answers again")
end

-- Since when nothing can be charged, and for how long no request tries; nil while all is well.
function _M.outage()
  local since = state():get(keys.qos_state.down_since)
  if since == nil then
    return nil
  end
  return since, math.max((state():get(keys.qos_state.paused_until) or 0) - clock.now(), 0)
end

function _M.is_paused()
  return state():get(keys.qos_state.down_since) ~= nil
end

-- One worker at a time tries whether the database is back, and only after a pause: runs `work` for
-- that. Answers whether it was this one.
function _M.probe(work)
  local since, wait = _M.outage()
  local token = since and wait == 0 and lock.try(keys.qos_state.probe_lock, longest_probe)
  if not token then
    return false
  end
  local ran, problem = pcall(work)
  lock.release(keys.qos_state.probe_lock, token)
  if not ran then
    ngx.log(ngx.ERR, "qos: ", problem)
  end
  return true
end

-- As probe(), behind the request.
function _M.probe_behind(work)
  local since, wait = _M.outage()
  if since and wait == 0 then
    ngx.timer.at(0, function(premature)
      if not premature then
        _M.probe(work)
      end
    end)
  end
end

-- What tells that a call has charged something.
local has_charged = {
  consume = function(row) return row.allowed end,
  charge_owed_many = function() return true end,
  exchange = function(row, _, _, charges)
    return charges ~= "[]" or row.answers:find('"lease_id"', 1, true) ~= nil
  end,
}

-- A charge ends the outage. A call that had nothing to charge does where the server takes writes,
-- unless it was out of some resource; if charges fail again soon, it is the same outage.
local function check_recovery(name, row, ...)
  local by = state():get(keys.qos_state.down_by)
  local charged = has_charged[name] and has_charged[name](row, ...)
  if by == nil then
    if charged then
      state():delete(keys.qos_state.uncharged_since)
    end
  elseif charged or has_charged[name] and not by:find("^53") and statements.is_writable() == true then
    end_outage(charged)
  end
end

local has_checked = false

-- Finds out at the start whether the database takes writes, and, until something is charged,
-- whether it does again. For ngx.timer.
function _M.check()
  if has_checked and state():get(keys.qos_state.down_by) ~= "start" then
    return
  end
  local writable, problem = statements.is_writable()
  if writable then
    has_checked = true
    if state():get(keys.qos_state.down_by) == "start" then
      end_outage()
    end
  elseif problem and server_errors.cannot_charge(problem) and not has_checked then
    has_checked = true
    begin_outage(problem)
    state():set(keys.qos_state.down_by, "start")
  end
end

-- This transaction was undone because of another, or the application has moved to another cluster:
-- nothing was charged, and a repeated call looks the application up anew.
local function is_contended(problem)
  local code = problem.code
  return code == "40001" or code == "40P01"
    or code == "QS409" and problem.message == "application has moved"
end

local attempts = 3

-- Nothing was charged, or the connection has gone: another one may do. A charge that was committed
-- all the same is charged twice, never lost; what has an id or a key is charged once.
local function is_repeatable(problem)
  return is_contended(problem) or server_errors.is_outdated(problem)
end

-- Calls a function of statements.lua. The database's answer, or nil and a problem: with `code`, a
-- refusal of the class QS; with `is_outage`, no request can charge; with neither, this call alone
-- failed (`sqlstate`).
function _M.call(name, ...)
  metrics.add(metrics.name("qos_database_calls_total", 'call="' .. name .. '"'))
  metrics.add(keys.qos_metrics.database_calls)
  local row, problem
  for _ = 1, attempts do
    row, problem = statements[name](...)
    if row ~= nil or problem == nil or not is_repeatable(problem) then
      break
    end
  end
  if row ~= nil then
    check_recovery(name, row, ...)
    return row
  end
  if problem ~= nil and (problem.code or ""):match("^QS%d%d%d$") then
    return nil, problem
  end
  problem = problem or { message = "no row", code = "02000" }
  local ends = server_errors.cannot_charge(problem)
  if ends then
    begin_outage(problem)
  elseif problem.code then
    metrics.add("qos_errors_total")
    ngx.log(ngx.WARN, "qos: ", name, ": ", problem.code, " ", problem.message or "")
  end
  return nil, { message = problem.message, sqlstate = problem.code, is_outage = ends }
end

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(_M.call, true)
jit.off(_M.check, true)
jit.off(_M.probe, true)

return _M
