-- Workers that do not end: after a reload they take over what is in shared memory, and after SIGQUIT
-- there is none. Kept beside what is owed, so that it goes where that does.

local keys = require("qos.keys").qos_owed
local id_of = require("qos.keys").id_of
local lock = require("qos.workers.lock")

local _M = {}

-- At the start and the end of a worker: what LuaJIT compiles is for requests.
jit.off(true, true)

local function dict()
  return ngx.shared.qos_owed
end

-- Of all that were entered: whether one lives. Those that have died are taken out.
function _M.exist()
  local found = false
  for _, key in ipairs(dict():get_keys(0)) do
    local pid = tonumber(id_of(keys.worker, key))
    if pid and lock.is_alive(pid) then
      found = true
    elseif pid then
      dict():delete(key)
    end
  end
  return found
end

-- This worker begins.
function _M.enter()
  _M.exist()
  dict():set(keys.worker(ngx.worker.pid()), true)
end

-- This worker ends.
function _M.leave()
  dict():delete(keys.worker(ngx.worker.pid()))
end

return _M
