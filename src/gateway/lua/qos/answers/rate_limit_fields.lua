-- The fields RateLimit and RateLimit-Policy of draft-ietf-httpapi-ratelimit-headers: names are
-- those of the buckets; a quota in `requests` counts tokens, a request's cost.

local _M = {}

local units = { iops = "requests", bandwidth = "content-bytes" }
local names = { "iops_l2", "bandwidth_l2", "iops_l1", "bandwidth_l1" }

-- A structured field has no number of more digits.
local largest = "999999999999999"

local function window(limit)
  local seconds = limit.method == "fixed_window" and limit.window_seconds
    or math.ceil(tonumber(limit.capacity) / tonumber(limit.refill_rate))
  return math.min(math.max(seconds, 1), tonumber(largest))
end

local function whole(text)
  local digits = text:match("^%d+") or "0"
  return #digits > #largest and largest or digits
end

local function policy(limits)
  local items = {}
  for _, limit in ipairs(limits.list) do
    if limit.mode == "enforce" then
      items[#items + 1] = string.format(
        '"%s";q=%s;w=%.0f;qu="%s"', limit.bucket_type, whole(limit.capacity), window(limit),
        units[limit.bucket_type:match("^%a+")]
      )
    end
  end
  return #items > 0 and table.concat(items, ", ") or nil
end

-- Made once for all requests that meet the same limits.
function _M.policy(limits)
  if limits.policy == nil then
    limits.policy = policy(limits) or false
  end
  return limits.policy or nil
end

-- `remaining`: a whole number, or digits of the database.
local function digits_of(remaining)
  if type(remaining) == "string" then
    return whole(remaining)
  elseif remaining < 0 then
    return "0"
  end
  return remaining < 1e14 and remaining or whole(string.format("%.0f", remaining))
end

local function item(name, remaining, reason, retry_after_ms)
  local text = '"' .. name .. '";r=' .. digits_of(remaining)
  if reason == name and retry_after_ms then
    return text .. ";t=" .. digits_of(math.ceil(retry_after_ms / 1000))
  end
  return text
end

local function standing(decision)
  local items, reason = {}, decision.reason
  local remaining = { iops_l2 = decision.remaining, bandwidth_l2 = decision.remaining_bytes }
  if reason and not decision.allowed and decision.layer and not remaining[reason] then
    remaining[reason] = "0"
  end
  for _, name in ipairs(names) do
    if remaining[name] then
      items[#items + 1] = item(name, remaining[name], reason, decision.retry_after_ms)
    end
  end
  return #items > 0 and table.concat(items, ", ") or nil
end

function _M.standing(decision)
  local tokens, bytes = decision.remaining, decision.remaining_bytes
  if decision.reason or tokens == nil then
    return standing(decision)
  elseif bytes == nil then
    return '"iops_l2";r=' .. digits_of(tokens)
  end
  return '"iops_l2";r=' .. digits_of(tokens) .. ', "bandwidth_l2";r=' .. digits_of(bytes)
end

return _M
