-- What this gateway holds of one application, as a machine: docs/architecture.md, Layer 3, draws and
-- explains it, and src/client/leases/layer3.ts has the same. The state is not stored: it follows from
-- what lies in shared memory, and the transitions are the functions that change that.

local clock = require("qos.clock")
local keys = require("qos.keys")
local lock = require("qos.workers.lock")
local pools = require("qos.leases.pools")
local renewal_queue = require("qos.leases.renewal_queue")
local store = require("qos.database.store")
local uuid = require("qos.uuid")

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

-- Longer than any call: a lock whose holder has died is released before.
local longest_call = 30

local answering = { "empty", "draining", "active", "renewing" }

-- Every way from one state to another: from, by, to.
_M.arrows = {
  { "empty", "ask", "renewing" },
  { "active", "ask", "renewing" },
  { "draining", "ask", "renewing" },
  { "renewing", "grant", "active" },
  { "renewing", "refuse", "active" },
  { "renewing", "refuse", "empty" },
  { "renewing", "refuse", "draining" },
  { "active", "return", "draining" },
  { "active", "return", "empty" },
  { "active", "end", "empty" },
  { "active", "end", "draining" },
  { "draining", "end", "empty" },
  { "draining", "settle", "empty" },
  { "outage", "close", "closed" },
}

for _, state in ipairs(answering) do
  table.insert(_M.arrows, { state, "fail", "outage" })
  table.insert(_M.arrows, { "outage", "recover", state })
  table.insert(_M.arrows, { state, "close", "closed" })
end

local function dict()
  return ngx.shared.qos_leases
end

local function lock_of(app_id)
  return keys.qos_state.renewal_lock(app_id)
end

-- The lease that was asked for last, as long as its answer is missing: it may have been granted. The
-- id, and since when.
function _M.unanswered(app_id)
  local text = dict():get(keys.qos_leases.unanswered(app_id)) or ""
  local id, since = text:match("^(%S+) (%S+)$")
  return id, tonumber(since)
end

local function note_unanswered(app_id, id)
  local text = string.format("%s %.3f", id, clock.now())
  dict():set(keys.qos_leases.unanswered(app_id), text, pools.longest_life)
end

local function forget_unanswered(app_id)
  dict():delete(keys.qos_leases.unanswered(app_id))
end

-- Whether a worker renews the application's leases, or takes them back: one at a time.
function _M.is_busy(app_id)
  return lock.is_held(lock_of(app_id))
end

local function is_renewing(app_id)
  return renewal_queue.has(app_id) or _M.is_busy(app_id) and _M.unanswered(app_id) ~= nil
end

local function is_draining(app_id)
  return dict():get(keys.qos_leases.settling(app_id)) ~= nil or _M.unanswered(app_id) ~= nil
end

-- The later one of the list in docs/architecture.md counts.
function _M.state(app_id)
  if ngx.worker.exiting() then
    return "closed"
  elseif store.is_paused() then
    return "outage"
  elseif is_renewing(app_id) then
    return "renewing"
  elseif pools.is_in_hand(app_id) then
    return "active"
  end
  return is_draining(app_id) and "draining" or "empty"
end

-- ask: a renewal begins, and no other worker renews or takes back the application's leases before
-- grant() or refuse(). Answers nil where another does.
function _M.ask(app_id)
  local token = lock.try(lock_of(app_id), longest_call)
  if token == nil then
    return nil
  end
  -- Asked for again under its id, a lease whose answer was lost is the same one.
  local repeated_id = _M.unanswered(app_id)
  return {
    app_id = app_id, token = token, lease_id = repeated_id or uuid.new(),
    is_repeated = repeated_id ~= nil,
  }
end

-- Before the call for the lease: this worker may not live to hear the answer.
function _M.note_call(asked)
  note_unanswered(asked.app_id, asked.lease_id)
  dict():rpush(keys.qos_leases.used, asked.app_id)
end

-- grant: the call was answered, and `keep` makes a pool of what it brought.
function _M.grant(asked, keep)
  forget_unanswered(asked.app_id)
  local worked, problem = pcall(keep)
  lock.release(lock_of(asked.app_id), asked.token)
  if not worked then
    error(problem)
  end
end

-- refuse: it brought none. `may_be_granted`: its answer is missing, so it is asked for again or settled.
function _M.refuse(asked, may_be_granted)
  if may_be_granted then
    note_unanswered(asked.app_id, asked.lease_id)
  else
    forget_unanswered(asked.app_id)
  end
  lock.release(lock_of(asked.app_id), asked.token)
end

-- return: takes the application's pool and the lease that was asked for in vain out of hand, and answers
-- both.
local function take_back(app_id)
  local pool, unanswered_id = pools.load(app_id), _M.unanswered(app_id)
  if unanswered_id then
    forget_unanswered(app_id)
  end
  if pool then
    pools.forget(app_id)
  end
  return pool, unanswered_id
end

-- Does that and `work` with it, as no other worker is at it; nil where one is for `timeout_s` seconds.
function _M.with_taken_back(app_id, timeout_s, work)
  return lock.with(lock_of(app_id), longest_call, timeout_s, function()
    return work(take_back(app_id))
  end)
end

-- So many leases are to be settled.
function _M.begin_settling(app_id, count)
  local key = keys.qos_leases.settling(app_id)
  dict():incr(key, count, 0)
  dict():expire(key, pools.longest_life)
end

-- settle: the database has heard of one.
function _M.settle(app_id)
  local key = keys.qos_leases.settling(app_id)
  if (dict():incr(key, -1) or 0) <= 0 then
    dict():delete(key)
  end
end

-- It will not hear of one, which counts as spent at its end.
function _M.leave_to_its_end(app_id, expires_at)
  local seconds = math.max(expires_at - clock.now(), 0.001)
  dict():expire(keys.qos_leases.settling(app_id), seconds)
end

return _M
