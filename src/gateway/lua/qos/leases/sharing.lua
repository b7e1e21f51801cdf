-- What of an application's buckets is this gateway's part, beside other clients of it.

local keys = require("qos.keys").qos_leases
local lease_plan = require("qos.leases.lease_plan")

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

function _M.note_holders(app_id, holders)
  ngx.shared.qos_leases:set(keys.holders(app_id), holders)
end

-- Clients that were spending at last sight, this gateway included.
function _M.holders(app_id)
  return math.max(ngx.shared.qos_leases:get(keys.holders(app_id)) or 1, 1)
end

-- Whether leases may ever hold as much as an operation needs.
function _M.feeds(app_id, capacities, tokens, bytes)
  local holders = _M.holders(app_id)
  return tokens <= lease_plan.share_of(capacities, "iops", holders) * 1000000
    and bytes <= lease_plan.share_of(capacities, "bandwidth", holders)
end

return _M
