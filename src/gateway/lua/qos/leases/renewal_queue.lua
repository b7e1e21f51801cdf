-- Applications whose leases are to be renewed with the next exchange, each once.

local cjson = require("cjson.safe")
local keys = require("qos.keys").qos_leases

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

local longest_wait = 5

local function dict()
  return ngx.shared.qos_leases
end

-- `tokens`, `bytes`: what one operation needs. `capacities`: of the enforced buckets by their
-- types, nil for those of the renewal before.
function _M.push(app_id, tokens, bytes, capacities)
  if dict():get(keys.queued(app_id)) then
    return
  end
  local need = cjson.encode({ tokens = tokens, bytes = bytes, capacities = capacities })
  if dict():add(keys.queued(app_id), need, longest_wait) then
    dict():rpush(keys.queue, app_id)
  end
end

-- The next application and what it needs; nil where none is left.
function _M.pop()
  for _ = 1, dict():llen(keys.queue) or 0 do
    local app_id = dict():lpop(keys.queue)
    local need = app_id and dict():get(keys.queued(app_id))
    if need then
      dict():delete(keys.queued(app_id))
      return app_id, cjson.decode(need)
    end
  end
  return nil
end

function _M.has(app_id)
  return dict():get(keys.queued(app_id)) ~= nil
end

function _M.is_empty()
  return (dict():llen(keys.queue) or 0) == 0
end

return _M
