-- Counts what is decided here, without the database: by application, minute, operation and size class. A
-- worker counts in a table of its own and adds up once a second, of which the busiest is kept. Totals, under
-- the name of this run of the gateway, so that what is handed in again counts once.

local amount = require("qos.amount")
local keys = require("qos.keys").qos_state

local _M = {}

-- A total lasts until it was handed in, and then as long as it may grow.
local longest_unheard, longest_minute = 3600, 180
-- How long a minute that is over waits for a call about leases.
local longest_wait = 10
local most_in_call = 500

local holder
-- Of this worker: by application, then by what is counted.
local counted = {}

function _M.use(config)
  holder = config.holder
end

local function dict()
  return ngx.shared.qos_state
end

local log_2 = math.log(2)

-- How many binary digits a number of bytes has, as SQL counts them.
function _M.size_class(bytes)
  if bytes < 1 then
    return 0
  end
  local digits = math.floor(math.log(bytes) / log_2) + 1
  -- A logarithm is not exact near powers of two.
  if 2 ^ digits <= bytes then
    return digits + 1
  elseif 2 ^ (digits - 1) > bytes then
    return digits - 1
  end
  return digits
end

local function new_cell(by_place, place)
  local cell = { operations = 0, tokens = 0, bytes = 0 }
  by_place[place] = cell
  return cell
end

local function new_group(lists, key)
  lists[key] = {}
  return lists[key]
end

-- Denied ones have places of their own.
local denied_from = 64

-- One operation; of a request that stands for several, so many at their mean.
function _M.count(app_id, operation, tokens, is_denied)
  local number = operation.count or 1
  local bytes = math.min(operation.size, amount.largest)
  local of_app = counted[app_id] or new_group(counted, app_id)
  local by_place = of_app[operation.name] or new_group(of_app, operation.name)
  local place = _M.size_class(bytes / number) + (is_denied and denied_from or 0)
  local cell = by_place[place] or new_cell(by_place, place)
  cell.operations = cell.operations + number
  cell.tokens = cell.tokens + math.min(tokens, amount.largest)
  cell.bytes = cell.bytes + bytes
end

local function note_change(app_id, name)
  if dict():add(keys.demand_changed(app_id, name), true, longest_unheard) then
    dict():rpush(keys.demand_names(app_id), name)
    dict():rpush(keys.demanded, app_id .. " " .. name:match("^%d+"))
  end
end

local function keep(app_id, name, seconds)
  for _, kind in pairs(keys.demand) do
    dict():expire(kind(app_id, name), seconds)
  end
end

-- A peak is the sum of the busiest second of each worker: one adds what its own rose by.
local peaks = {}

local function add_peak(app_id, name, operations)
  local key = app_id .. " " .. name
  local before = peaks[key] or 0
  if operations > before then
    peaks[key] = operations
    dict():incr(keys.demand.peak(app_id, name), operations - before, 0, longest_unheard)
  end
end

local peaks_minute

local function add_cell(app_id, name, cell)
  dict():incr(keys.demand.operations(app_id, name), cell.operations, 0, longest_unheard)
  dict():incr(keys.demand.tokens(app_id, name), cell.tokens, 0, longest_unheard)
  dict():incr(keys.demand.bytes(app_id, name), cell.bytes, 0, longest_unheard)
  add_peak(app_id, name, cell.operations)
  note_change(app_id, name)
end

-- Done once a second by each worker.
function _M.add_up()
  local minute = math.floor(ngx.time() / 60) * 60
  if minute ~= peaks_minute then
    peaks, peaks_minute = {}, minute
  end
  for app_id, of_app in pairs(counted) do
    for operation, by_place in pairs(of_app) do
      for place, cell in pairs(by_place) do
        local verdict = place < denied_from and "admitted" or "denied"
        local name = table.concat({ minute, verdict, place % denied_from, operation }, " ")
        add_cell(app_id, name, cell)
      end
    end
    counted[app_id] = nil
  end
end

local function is_over(minute)
  return ngx.time() - minute >= 60
end

local function row_of(app_id, name)
  local minute, verdict, size_class, operation = name:match("^(%d+) (%a+) (%d+) (.+)$")
  local function total(kind)
    return dict():get(keys.demand[kind](app_id, name)) or 0
  end
  return {
    name = name, minute = tonumber(minute), operation = operation, size_class = tonumber(size_class),
    is_denied = verdict == "denied", operations = total("operations"), tokens = total("tokens"),
    bytes = total("bytes"), peak = total("peak"),
  }
end

-- Totals of an application that have changed, of minutes that are over, or all; nil where none has.
function _M.take(app_id, is_all)
  local rows, later = {}, {}
  for _ = 1, dict():llen(keys.demand_names(app_id)) or 0 do
    local name = dict():lpop(keys.demand_names(app_id))
    if name == nil then
      break
    elseif #rows < most_in_call and (is_all or is_over(tonumber(name:match("^%d+")))) then
      dict():delete(keys.demand_changed(app_id, name))
      keep(app_id, name, longest_minute)
      local row = row_of(app_id, name)
      -- The database takes no count of none: the dictionary was full.
      if row.operations > 0 and row.peak > 0 then
        rows[#rows + 1] = row
      end
    else
      later[#later + 1] = name
    end
  end
  for _, name in ipairs(later) do
    dict():rpush(keys.demand_names(app_id), name)
  end
  return #rows > 0 and rows or nil
end

-- The call failed: they go along with the next one. Not where they may be what was refused: every
-- call that they go along with would be.
function _M.put_back(app_id, rows, problem)
  if problem.code == "QS422" then
    return
  end
  for _, row in ipairs(rows or {}) do
    keep(app_id, row.name, longest_unheard)
    note_change(app_id, row.name)
  end
end

-- Some applications with minutes that have waited long enough for a call, each once; at the end all
-- minutes.
function _M.take_due(is_all, most)
  local app_ids, seen = {}, {}
  for _ = 1, dict():llen(keys.demanded) or 0 do
    local text = dict():lpop(keys.demanded)
    if text == nil then
      break
    end
    local app_id, minute = text:match("^(%S+) (%d+)$")
    if #app_ids == most and not seen[app_id]
      or not is_all and ngx.time() - tonumber(minute) < 60 + longest_wait
    then
      dict():rpush(keys.demanded, text)
    elseif not seen[app_id] then
      seen[app_id] = true
      app_ids[#app_ids + 1] = app_id
    end
  end
  return app_ids
end

function _M.has_totals()
  return (dict():llen(keys.demanded) or 0) > 0
end

-- As SQL takes them; nil for none.
function _M.rows_of(rows)
  if rows == nil then
    return nil
  end
  local encoded = {}
  for index, row in ipairs(rows) do
    encoded[index] = {
      minute = os.date("!%Y-%m-%dT%H:%M:%SZ", row.minute),
      counter = holder,
      operation = row.operation,
      size_class = row.size_class,
      is_denied = row.is_denied,
      operations = row.operations,
      tokens = amount.decimal(math.min(row.tokens, amount.largest)),
      bytes = amount.integer(math.min(row.bytes, amount.largest)),
      peak_operations = math.min(row.peak, row.operations),
    }
  end
  return encoded
end

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(_M.add_up, true)
jit.off(_M.take, true)
jit.off(_M.take_due, true)
jit.off(_M.has_totals, true)

return _M
