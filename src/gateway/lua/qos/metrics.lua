-- Counters and histograms of all workers. Each worker counts on its own and adds up once a second: a
-- shared counter for every request would cost more than the request's decision.

local keys = require("qos.keys").qos_metrics
local lrucache = require("resty.lrucache")

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
  qos_signature_failures_total = "Requests that were not signed as they said, by who found it.",
  qos_signature_blocks_total = "Sources that were refused for an access key for a while.",
  qos_signature_refusals_total = "Requests refused for the signatures before them, by reason.",
  qos_unproven_denials_total = "Denials of senders that were never found signed, by reason.",
  qos_application_requests_total = "Requests by application and decision.",
  qos_application_bytes_total = "Bytes that were charged, by application and direction.",
  qos_decision_seconds = "How long decisions took, waiting for the database included.",
  qos_upstream_seconds = "From the decision until the head of the storage's answer.",
  qos_owed_applications = "Applications that owe what is not charged yet.",
  qos_owed_tokens = "Tokens that were used beyond leases and are not charged yet.",
  qos_owed_bytes = "Bytes that were used beyond leases and are not charged yet.",
  qos_database_up = "Whether the database answers.",
}

-- Upper bounds of their buckets, in seconds. nginx's clock ticks in milliseconds.
local bounds = { 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 }
local histograms = { "qos_decision_seconds", "qos_upstream_seconds" }

local most_applications
-- What an application is called in labels.
local labels = lrucache.new(10000)
local counted = {}

function _M.use(config)
  most_applications = config.metrics_applications
end

local function dict()
  return ngx.shared.qos_metrics
end

-- A counter with labels.
function _M.name(name, given)
  return keys.counter(name, given)
end

function _M.add(name, by)
  counted[name] = (counted[name] or 0) + (by or 1)
end

-- Keys of the counters of a histogram. Others have no space before their labels.
local cells = {}
for _, name in ipairs(histograms) do
  cells[name] = { sum = keys.cell(name, "sum") }
  for place = 1, #bounds + 1 do
    cells[name][place] = keys.cell(name, place)
  end
end

-- Apart from observe(): LuaJIT compiles no loop into the trace of a request.
local function place_of(seconds)
  for place, bound in ipairs(bounds) do
    if seconds <= bound then
      return place
    end
  end
  return #bounds + 1
end

function _M.observe(name, seconds)
  local histogram = cells[name]
  local cell = histogram[seconds <= 0.001 and 1 or place_of(seconds)]
  counted[cell] = (counted[cell] or 0) + 1
  counted[histogram.sum] = (counted[histogram.sum] or 0) + math.max(seconds, 0)
end

-- The first so many applications have a label of their own, for as long as nginx runs.
local function label_of(app_id)
  local label = labels:get(app_id)
  if label then
    return label
  end
  local key = keys.label(app_id)
  label = dict():get(key)
  if label == nil and (dict():get(keys.labels) or 0) < most_applications and dict():add(key, app_id) then
    label = dict():incr(keys.labels, 1, 0) <= most_applications and app_id or "other"
    dict():set(key, label)
  end
  label = label or "other"
  labels:set(app_id, label, label == "other" and 60 or nil)
  return label
end

-- Adds to a counter with an application in its labels, where that is asked for.
function _M.add_for(app_id, name, given, by)
  if most_applications > 0 then
    local label = 'application="' .. label_of(app_id) .. '",'
    _M.add(keys.counter(name, label .. given), by)
  end
end

function _M.flush()
  for key, count in pairs(counted) do
    dict():incr(key, count, 0)
    counted[key] = nil
  end
end

-- Of a counter, as of the last flush.
function _M.total(name)
  return dict():get(name) or 0
end

local function describe(lines, name, type)
  lines[#lines + 1] = "# HELP " .. name .. " " .. help[name]
  lines[#lines + 1] = "# TYPE " .. name .. " " .. type
end

local function add_counters(lines)
  local described, names = {}, dict():get_keys(0)
  table.sort(names)
  for _, key in ipairs(names) do
    local name = key:match("^qos_[%w_]+")
    if name and key:sub(#name + 1, #name + 1) ~= " " then
      if not described[name] then
        described[name] = true
        describe(lines, name, "counter")
      end
      lines[#lines + 1] = key .. " " .. string.format("%.0f", dict():get(key) or 0)
    end
  end
end

local function add_histogram(lines, name)
  describe(lines, name, "histogram")
  local count = 0
  for place = 1, #bounds + 1 do
    count = count + (dict():get(cells[name][place]) or 0)
    local bound = bounds[place] and tostring(bounds[place]) or "+Inf"
    lines[#lines + 1] = name .. '_bucket{le="' .. bound .. '"} ' .. string.format("%.0f", count)
  end
  lines[#lines + 1] = name .. "_sum " .. string.format("%.3f", dict():get(cells[name].sum) or 0)
  lines[#lines + 1] = name .. "_count " .. string.format("%.0f", count)
end

-- The exposition format of Prometheus. `gauges`: values by names.
function _M.text(gauges)
  _M.flush()
  local lines, names = {}, {}
  add_counters(lines)
  for _, name in ipairs(histograms) do
    add_histogram(lines, name)
  end
  for name in pairs(gauges) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    describe(lines, name, "gauge")
    lines[#lines + 1] = name .. " " .. string.format("%.15g", gauges[name])
  end
  return table.concat(lines, "\n") .. "\n"
end

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(_M.flush, true)
jit.off(_M.text, true)

return _M
