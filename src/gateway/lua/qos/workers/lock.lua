-- One worker at a time, by a key in shared memory. Waiting yields; it never blocks a worker. A lock
-- whose holder has died is released by the first worker that waits for it.

local clock = require("qos.clock")
local ffi = require("ffi")
local keys = require("qos.keys").qos_state

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

local shortest_wait, longest_wait = 0.001, 0.02
local no_such_process = 3

pcall(ffi.cdef, "int kill(int pid, int signal);")

local function locks()
  return ngx.shared.qos_state
end

-- Whether there is such a process.
function _M.is_alive(pid)
  return ffi.C.kill(pid, 0) == 0 or ffi.errno() ~= no_such_process
end

local function release_if_dead(key)
  local holder = locks():get(key)
  local pid = holder and tonumber(holder:match("^(%d+):"))
  -- One worker at a time, or a lock that was taken meanwhile would be released.
  if pid and not _M.is_alive(pid) and locks():add(keys.release(key), true, 0.05) then
    if locks():get(key) == holder then
      locks():delete(key)
    end
  end
end

-- Takes a lock without waiting. Answers its token, nil where another worker holds it. `life`:
-- seconds until it is released in any case.
function _M.try(key, life)
  local token = ngx.worker.pid() .. ":" .. math.random()
  if locks():add(key, token, life) then
    return token
  end
  release_if_dead(key)
  return locks():add(key, token, life) and token or nil
end

function _M.is_held(key)
  return locks():get(key) ~= nil
end

function _M.release(key, token)
  if locks():get(key) == token then
    locks():delete(key)
  end
end

-- Runs `work` alone and passes its answers on; nil where the lock cannot be had within `timeout_s`
-- seconds. `check` is called while waiting: an answer of it ends the wait without the lock.
function _M.with(key, life, timeout_s, work, check)
  local give_up_at, wait = clock.now() + timeout_s, shortest_wait
  local token = _M.try(key, life)
  while not token do
    if clock.now() >= give_up_at then
      return nil, "busy"
    end
    ngx.sleep(wait)
    local found = check and check()
    if found then
      return found
    end
    wait = math.min(wait * 2, longest_wait)
    token = _M.try(key, life)
  end
  local results = { pcall(work) }
  _M.release(key, token)
  if not results[1] then
    error(results[2])
  end
  return unpack(results, 2, 6)
end

return _M
