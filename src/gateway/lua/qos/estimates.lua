-- What a download, or a copy inside the store, is taken for until its size is known: the size of the
-- application's recent ones of that kind. So neither passes while the bucket of bytes is in debt.

local config_cache = require("qos.config_cache")
local cost = require("qos.cost")
local operations = require("qos.operations")

local _M = {}

local settings
local weight = 0.25
-- How long the storage is known to answer ranges with ranges.
local trust_s = 60

function _M.use(config)
  settings = config
end

local function dict()
  return ngx.shared.qos_state
end

local function key_of(app_id, operation)
  if operation.is_copy then
    return "copies " .. app_id
  end
  local names = operation.rule.operation
  local name = type(names) == "table" and names[1][2] or names
  return "answers " .. app_id .. " " .. name .. (operation.has_range and " range" or "")
end

-- A part of the smallest bucket of bytes: what the answer has beyond is charged when its head comes.
local function bounded(size, capacities, part)
  local most = math.min(capacities.bandwidth_l2 or math.huge, capacities.bandwidth_l1 or math.huge)
  return math.max(math.min(math.ceil(size), math.floor(most * part)), 1)
end

local function costs_more(entry, operation, most_tokens)
  local rule = config_cache.cost_of(entry, operation.name)
  return rule ~= nil and cost.of(rule, operation.size) > most_tokens * 1000000
end

-- A guess of ours is not what makes an operation cost more than its bucket ever holds.
local function fit(entry, operation, size)
  local capacities = entry.limits.capacities
  local most = math.min(capacities.iops_l2 or math.huge, capacities.iops_l1 or math.huge)
  operations.resize(operation, operation.uploaded + size)
  while size > 1 and costs_more(entry, operation, most) do
    size = math.floor(size / 2)
    operations.resize(operation, operation.uploaded + size)
  end
end

-- Sets the size of a download or a copy that is not known yet.
function _M.assume(entry, operation)
  local app_id, capacities = entry.app_id, entry.limits.capacities
  if operation.range and dict():get("honours ranges " .. app_id) then
    return operations.resize(operation, operation.uploaded + operation.range)
  end
  local learned = dict():get(key_of(app_id, operation))
  local unknown = operation.is_copy and settings.unknown_copy or settings.unknown_size
  fit(entry, operation, learned and bounded(learned, capacities, 1 / 2)
    or bounded(unknown, capacities, 1 / 8))
  if operation.is_copy then
    operation.copied = operation.size - operation.uploaded
  end
end

-- Learns from an answer of that many bytes.
function _M.learn(app_id, operation, size, status)
  if operation.range then
    if status == 206 then
      dict():set("honours ranges " .. app_id, true, trust_s)
    elseif status == 200 then
      dict():delete("honours ranges " .. app_id)
    end
  end
  if status < 300 then
    local key = key_of(app_id, operation)
    local before = dict():get(key) or size
    dict():set(key, before + weight * (size - before), 3600)
  end
end

return _M
