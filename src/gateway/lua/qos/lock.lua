-- One worker at a time, by a key in shared memory. Waiting yields; it never blocks a worker.

local _M = {}

local shortest_wait, longest_wait = 0.001, 0.02

-- Runs `work` alone and passes its answers on; nil where that cannot be had within `patience`
-- seconds. `life`: after so long the lock goes by itself, its holder must have died. `peek` is
-- asked while waiting: what it answers will do, without a turn.
function _M.with(key, life, patience, work, peek)
  local locks = ngx.shared.qos_state
  local mine = ngx.worker.pid() .. ":" .. math.random()
  local give_up_at, wait = ngx.now() + patience, shortest_wait
  while not locks:add(key, mine, life) do
    if ngx.now() >= give_up_at then
      return nil, "busy"
    end
    ngx.sleep(wait)
    local found = peek and peek()
    if found then
      return found
    end
    wait = math.min(wait * 2, longest_wait)
  end
  local results = { pcall(work) }
  if locks:get(key) == mine then
    locks:delete(key)
  end
  if not results[1] then
    error(results[2])
  end
  return unpack(results, 2, 6)
end

return _M
