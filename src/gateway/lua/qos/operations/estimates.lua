-- What a download, or a copy inside the store, is taken for until its size is known: the size of the
-- application's recent ones of that kind. So neither passes while the bucket of bytes is in debt.

local clock = require("qos.clock")
local config_cache = require("qos.applications.config_cache")
local cost = require("qos.operations.cost")
local keys = require("qos.keys").qos_state
local lrucache = require("resty.lrucache")
local operation_map = require("qos.operations.operation_map")
local operations = require("qos.operations.operations")

local _M = {}

local settings
local weight = 0.25
-- How long the storage is known to answer ranges with ranges.
local trust_s = 60
-- Each worker learns by itself, and tells the others what is news to them.
local shared_every_s, news = 0.1, 0.05
-- By application, and by kind of operation.
local sizes = lrucache.new(10000)

function _M.use(config)
  settings = config
end

local function dict()
  return ngx.shared.qos_state
end

local function kind_of(operation)
  local rule = operation.rule
  if operation.is_copy then
    return "copies"
  end
  return operation.has_range and rule.ranges or rule.answers
end

local function name_kinds(rule)
  local names = rule.operation
  local name = type(names) == "table" and names[1][2] or names
  rule.answers, rule.ranges = "answers to " .. name, "ranges of " .. name
end

for _, rule in ipairs(operation_map) do
  name_kinds(rule)
end

local function tell(app_id, kind, own, now)
  own.told, own.shared_at = own.size, now
  dict():set(keys.size(app_id, kind), own.size, 3600)
end

-- In step with the other workers.
local function share(app_id, kind, own, now)
  if own.size ~= own.told then
    return tell(app_id, kind, own, now)
  end
  own.size = dict():get(keys.size(app_id, kind))
  own.told, own.shared_at = own.size, now
end

-- The size of the application's recent operations of a kind, as `size`: nil for none.
local function recent(app_id, kind)
  local kinds, now = sizes:get(app_id), clock.now()
  if kinds == nil then
    kinds = {}
    sizes:set(app_id, kinds)
  end
  local own = kinds[kind]
  if own == nil then
    own = { size = nil, told = nil, shared_at = 0 }
    kinds[kind] = own
  end
  if own.size == nil or math.abs(now - own.shared_at) >= shared_every_s then
    share(app_id, kind, own, now)
  end
  return own
end

local function note(app_id, kind, size)
  local own = recent(app_id, kind)
  local before = own.size
  own.size = (before or size) + weight * (size - (before or size))
  if before == nil or math.abs(own.size - own.told) > news * own.told then
    tell(app_id, kind, own, clock.now())
  end
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
  if operation.range and dict():get(keys.honours_ranges(app_id)) then
    return operations.resize(operation, operation.uploaded + operation.range)
  end
  local learned = recent(app_id, kind_of(operation)).size
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
      dict():set(keys.honours_ranges(app_id), true, trust_s)
    elseif status == 200 then
      dict():delete(keys.honours_ranges(app_id))
    end
  end
  if status < 300 then
    note(app_id, kind_of(operation), size)
  end
end

return _M
