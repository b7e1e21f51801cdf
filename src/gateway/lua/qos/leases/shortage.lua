-- Applications whose buckets had less than was asked for: they are not asked again for a while.

local clock = require("qos.clock")
local denials = require("qos.decisions.denials")
local keys = require("qos.keys").qos_leases

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

local function dict()
  return ngx.shared.qos_leases
end

-- No call for so many seconds, and why.
function _M.note(app_id, grant, pause, has_tokens)
  local wait = tonumber(grant.retry_after_ms)
  local text = string.format("%.3f %.3f", clock.now() + pause, clock.now() + (wait or 0) / 1000)
  dict():set(keys.short(app_id), text, pause)
  if wait then
    -- Where no bucket is, what open leases of the application hold is in the way.
    local reason = grant.short_of or has_tokens and "bandwidth_l2" or "iops_l2"
    denials.note_reason(app_id, reason, pause + 0.01)
  end
end

function _M.is_short(app_id)
  return dict():get(keys.short(app_id)) ~= nil
end

-- Seconds until the buckets are asked again, and until they offer anything; nil where they had enough.
function _M.of(app_id)
  local text = dict():get(keys.short(app_id))
  if text == nil then
    return nil
  end
  local ends_at, offers_at = text:match("^(%S+) (%S+)$")
  return math.max(ends_at - clock.now(), 0.001), math.max(offers_at - clock.now(), 0)
end

-- The buckets have more since: it is worth asking at once.
function _M.forget(app_id)
  dict():delete(keys.short(app_id))
end

return _M
