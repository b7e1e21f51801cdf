-- Counters of all workers. Each worker counts on its own and adds up once a second: a shared
-- counter for every request would cost more than the request's decision.

local _M = {}

local help = {
  qos_requests_total = "Requests by decision and reason.",
  qos_shadow_total = "Allowed requests that a shadow quota would have denied.",
  qos_borrowings_total = "Borrowings from an application's own future.",
  qos_delayed_total = "Requests that a leaky bucket held back.",
  qos_uncharged_total = "Requests that the outage policy allowed.",
  qos_errors_total = "Errors of the gateway itself, each decided on by the outage policy.",
  qos_outages_total = "Outages of the database.",
  qos_database_calls_total = "Calls of the database.",
  qos_settled_bytes_total = "Bytes that were charged, once they were known.",
  qos_refunds_total = "Charges that were given back after an error of the storage.",
}

local counted = {}

-- A counter with labels.
function _M.name(name, labels)
  return name .. "{" .. labels .. "}"
end

function _M.add(name, by)
  counted[name] = (counted[name] or 0) + (by or 1)
end

function _M.flush()
  for key, count in pairs(counted) do
    ngx.shared.qos_metrics:incr(key, count, 0)
    counted[key] = nil
  end
end

-- The exposition format of Prometheus.
function _M.text(is_down)
  _M.flush()
  local lines, described = {}, {}
  local keys = ngx.shared.qos_metrics:get_keys(0)
  table.sort(keys)
  for _, key in ipairs(keys) do
    local name = key:match("^[%w_]+")
    if not described[name] then
      described[name] = true
      lines[#lines + 1] = "# HELP " .. name .. " " .. (help[name] or name)
      lines[#lines + 1] = "# TYPE " .. name .. " counter"
    end
    local value = ngx.shared.qos_metrics:get(key)
    lines[#lines + 1] = key .. " " .. string.format("%.0f", value)
  end
  lines[#lines + 1] = "# HELP qos_database_up Whether the database answers."
  lines[#lines + 1] = "# TYPE qos_database_up gauge"
  lines[#lines + 1] = "qos_database_up " .. (is_down and 0 or 1)
  return table.concat(lines, "\n") .. "\n"
end

return _M
