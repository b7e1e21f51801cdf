-- The fields RateLimit and RateLimit-Policy of draft-ietf-httpapi-ratelimit-headers: names are
-- those of the buckets; a quota in `requests` counts tokens, a request's cost.

local _M = {}

local units = { iops = "requests", bandwidth = "content-bytes" }

local function window(limit)
  if limit.method == "fixed_window" then
    return limit.window_seconds
  end
  return math.max(math.ceil(tonumber(limit.capacity) / tonumber(limit.refill_rate)), 1)
end

local function whole(text)
  return text:match("^%d+")
end

function _M.policy(limits)
  local items = {}
  for _, limit in ipairs(limits.list) do
    if limit.mode == "enforce" then
      items[#items + 1] = string.format(
        '"%s";q=%s;w=%d;qu="%s"', limit.bucket_type, whole(limit.capacity), window(limit),
        units[limit.bucket_type:match("^%a+")]
      )
    end
  end
  return #items > 0 and table.concat(items, ", ") or nil
end

local function item(name, remaining, reason, retry_after_ms)
  if remaining == nil then
    return nil
  end
  local text = string.format('"%s";r=%s', name, whole(remaining) or "0")
  if reason == name and retry_after_ms then
    text = text .. string.format(";t=%d", math.ceil(retry_after_ms / 1000))
  end
  return text
end

function _M.standing(decision)
  local items = {}
  local reason, retry = decision.reason, decision.retry_after_ms
  local remaining = { iops_l2 = decision.remaining, bandwidth_l2 = decision.remaining_bytes }
  if reason and not decision.allowed and decision.layer and not remaining[reason] then
    remaining[reason] = "0"
  end
  for _, name in ipairs({ "iops_l2", "bandwidth_l2", "iops_l1", "bandwidth_l1" }) do
    items[#items + 1] = item(name, remaining[name], reason, retry)
  end
  return #items > 0 and table.concat(items, ", ") or nil
end

return _M
