-- Leases that are to be settled with the next exchanges.

local cjson = require("cjson.safe")
local keys = require("qos.keys").qos_leases
local layer3 = require("qos.leases.layer3")

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

local function dict()
  return ngx.shared.qos_leases
end

function _M.push(settlement)
  -- The database knows it.
  settlement.expires_at = nil
  dict():rpush(keys.settlements, cjson.encode(settlement))
end

-- Adds settlements to a list of so many at most.
function _M.take(list, most)
  while #list < most do
    local text = dict():lpop(keys.settlements)
    if text == nil then
      break
    end
    list[#list + 1] = cjson.decode(text)
  end
end

-- The call failed: they go along with the next one.
function _M.put_back(list)
  for _, settlement in ipairs(list) do
    if settlement.lease_id then
      _M.push(settlement)
    end
  end
end

-- The database has heard of them.
function _M.finish(list)
  for _, settlement in ipairs(list) do
    if settlement.is_returned then
      layer3.settle(settlement.app_id)
    end
  end
end

function _M.is_empty()
  return (dict():llen(keys.settlements) or 0) == 0
end

return _M
