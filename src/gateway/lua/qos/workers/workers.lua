-- Numbers that each worker keeps of its own in shared memory, such as what it has under way: those of
-- a worker that has died count no more, and those of one that ends after a reload still do.

local clock = require("qos.clock")
local keys = require("qos.keys")
local lock = require("qos.workers.lock")

local _M = {}

local own

-- The process, and when it began: a number of a process is used again.
local function name_of_this()
  own = own or string.format("%d:%.3f", ngx.worker.pid(), clock.now())
  return own
end

local function names()
  return ngx.shared.qos_state:get(keys.qos_state.workers) or ""
end

local function pid_of(name)
  return tonumber(name:match("^%d+"))
end

local function is_gone(name, this)
  return name ~= this and (pid_of(name) == pid_of(this) or not lock.is_alive(pid_of(name)))
end

-- Two workers that write at once leave one of them out, which comes back with its next number.
local function register(this)
  if not names():find(this, 1, true) then
    ngx.shared.qos_state:set(keys.qos_state.workers, names() .. " " .. this)
  end
end

-- All workers that live, this one among them.
local function living()
  local this = name_of_this()
  local list, has_dead = { this }, false
  for name in names():gmatch("%S+") do
    if is_gone(name, this) then
      has_dead = true
    elseif name ~= this then
      list[#list + 1] = name
    end
  end
  if has_dead then
    ngx.shared.qos_state:set(keys.qos_state.workers, table.concat(list, " "))
  end
  return list
end

-- Sets this worker's number for so many seconds at most; 0 is none.
function _M.set(dict, key, value, life)
  local this = name_of_this()
  register(this)
  if value == 0 then
    dict:delete(keys.of_worker(key, this))
  else
    dict:set(keys.of_worker(key, this), value, life)
  end
end

-- Changes this worker's number.
function _M.add(dict, key, change, life)
  local this = name_of_this()
  register(this)
  if (dict:incr(keys.of_worker(key, this), change, 0, life) or 0) <= 0 then
    dict:delete(keys.of_worker(key, this))
  end
end

function _M.sum(dict, key)
  local sum = 0
  for _, name in ipairs(living()) do
    sum = sum + (dict:get(keys.of_worker(key, name)) or 0)
  end
  return sum
end

return _M
