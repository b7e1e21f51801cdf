-- What the database denied of late, and counts of what was denied here since the last call.

local amount = require("qos.amount")
local cjson = require("cjson.safe")
local clock = require("qos.clock")
local keys = require("qos.keys").qos_state

local _M = {}

-- A denial says nothing of later than this: tokens may be given back, quotas raised. For the least
-- time nothing asks again, and the answer says so.
local shortest_memory, longest_memory = 0.1, 1
local reasons = {
  "iops_l2", "bandwidth_l2", "iops_l1", "bandwidth_l1", "exceeds_capacity", "no_quota",
}

local holder

function _M.use(config)
  holder = config.holder
end

local function dict()
  return ngx.shared.qos_state
end

-- The database says which bucket was short.
function _M.note_reason(app_id, reason, life)
  dict():set(keys.last_reason(app_id), reason, life)
end

function _M.remember(app_id, reason, retry_after_ms, tokens, bytes)
  local life = longest_memory
  local retry_at = "never"
  if retry_after_ms then
    local wait = math.max(retry_after_ms / 1000, shortest_memory)
    life = math.min(wait, longest_memory)
    retry_at = string.format("%.3f", clock.now() + wait)
    _M.note_reason(app_id, reason, longest_memory)
  end
  local text = string.format("%s %.0f %.0f", retry_at, math.min(tokens, 2 ^ 60), bytes)
  dict():set(keys.denied(app_id, reason), text, math.max(life, 0.001))
end

local function needs_as_much(reason, known_tokens, known_bytes, tokens, bytes)
  if reason:match("^iops") then
    return tokens >= known_tokens
  elseif reason:match("^bandwidth") then
    return bytes >= known_bytes
  end
  return tokens >= known_tokens and bytes >= known_bytes
end

-- reason and milliseconds until it is worth asking again (nil: never), where what needs as much
-- was denied a moment ago.
function _M.find(app_id, tokens, bytes)
  for _, reason in ipairs(reasons) do
    local text = dict():get(keys.denied(app_id, reason))
    if text then
      local retry_at, known_tokens, known_bytes = text:match("^(%S+) (%S+) (%S+)$")
      if needs_as_much(reason, tonumber(known_tokens), tonumber(known_bytes), tokens, bytes) then
        local wait = tonumber(retry_at)
        return reason, wait and math.max(math.ceil((wait - clock.now()) * 1000), 1)
      end
    end
  end
  return nil
end

-- Which bucket was short when the database last said so; nil where that is a while ago.
function _M.last_reason(app_id)
  return dict():get(keys.last_reason(app_id))
end

function _M.forget(app_id)
  dict():delete(keys.last_reason(app_id))
  for _, reason in ipairs(reasons) do
    dict():delete(keys.denied(app_id, reason))
  end
end

-- What was counted of an application in a minute, by reason and by the run of the gateway that counts: a
-- new one has a name of its own. Totals, so that what is handed in again counts once.

-- A total lasts until it was handed in, and then as long as it may grow.
local longest_unheard, longest_minute = 3600, 180

local function keep(app_id, name, seconds)
  dict():expire(keys.count.operations(app_id, name), seconds)
  dict():expire(keys.count.tokens(app_id, name), seconds)
  dict():expire(keys.count.bytes(app_id, name), seconds)
end

-- It goes along with the next call.
local function note_change(app_id, name)
  if dict():add(keys.changed(app_id, name), true, longest_unheard) then
    dict():rpush(keys.counts(app_id), name)
    dict():rpush(keys.counted, app_id)
  end
end

-- Counts denials of buckets: an outage's are the gateway's own to tell.
function _M.count(app_id, reason, tokens, bytes)
  local name = math.floor(ngx.time() / 60) * 60 .. " " .. reason .. " " .. holder
  dict():incr(keys.count.operations(app_id, name), 1, 0, longest_unheard)
  if tokens < math.huge then
    dict():incr(keys.count.tokens(app_id, name), tokens, 0, longest_unheard)
  end
  dict():incr(keys.count.bytes(app_id, name), math.min(bytes, amount.largest), 0, longest_unheard)
  note_change(app_id, name)
end

-- The applications with counts since this was last asked, each once.
function _M.take_counted()
  local app_ids, seen = {}, {}
  for _ = 1, dict():llen(keys.counted) or 0 do
    local app_id = dict():lpop(keys.counted)
    if app_id and not seen[app_id] then
      seen[app_id] = true
      app_ids[#app_ids + 1] = app_id
    end
  end
  return app_ids
end

local function row_of(app_id, name)
  local minute, reason, counter = name:match("^(%d+) (%S+) (.+)$")
  dict():delete(keys.changed(app_id, name))
  keep(app_id, name, longest_minute)
  return {
    name = name,
    minute = tonumber(minute),
    reason = reason,
    counter = counter,
    operations = dict():get(keys.count.operations(app_id, name)) or 0,
    tokens = dict():get(keys.count.tokens(app_id, name)) or 0,
    bytes = dict():get(keys.count.bytes(app_id, name)) or 0,
  }
end

-- All totals of an application that have changed; nil where none has.
function _M.take(app_id)
  local rows = {}
  while true do
    local name = dict():lpop(keys.counts(app_id))
    if name == nil then
      break
    end
    local row = row_of(app_id, name)
    -- The database takes no count of none: the dictionary was full.
    if row.operations > 0 then
      rows[#rows + 1] = row
    end
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

function _M.has_totals()
  return (dict():llen(keys.counted) or 0) > 0
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
      reason = row.reason,
      counter = row.counter,
      operations = row.operations,
      tokens = amount.decimal(math.min(row.tokens, amount.largest)),
      bytes = amount.integer(math.min(row.bytes, amount.largest)),
    }
  end
  return encoded
end

-- For SQL: JSON, or nil.
function _M.encode(rows)
  return rows and cjson.encode(_M.rows_of(rows))
end

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(_M.take, true)
jit.off(_M.take_counted, true)
jit.off(_M.has_totals, true)

return _M
