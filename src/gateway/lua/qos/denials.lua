-- What the database denied of late, and counts of what was denied here since the last call.

local amount = require("qos.amount")
local cjson = require("cjson.safe")
local clock = require("qos.clock")

local _M = {}

-- A denial says nothing of later than this: tokens may be given back, quotas raised. For the least
-- time nothing asks again, and the answer says so.
local shortest_memory, longest_memory = 0.1, 1
local reasons = {
  "iops_l2", "bandwidth_l2", "iops_l1", "bandwidth_l1", "exceeds_capacity", "no_quota",
}

local function dict()
  return ngx.shared.qos_state
end

-- The database says which bucket was short.
function _M.note_reason(app_id, reason, life)
  dict():set("last reason " .. app_id, reason, life)
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
  dict():set("denied " .. app_id .. " " .. reason, text, math.max(life, 0.001))
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
    local text = dict():get("denied " .. app_id .. " " .. reason)
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
  return dict():get("last reason " .. app_id)
end

function _M.forget(app_id)
  dict():delete("last reason " .. app_id)
  for _, reason in ipairs(reasons) do
    dict():delete("denied " .. app_id .. " " .. reason)
  end
end

-- Counts by minute and reason, of buckets' denials: an outage's are the gateway's own to tell.
function _M.count(app_id, reason, tokens, bytes)
  local minute = math.floor(ngx.time() / 60) * 60
  local key = "count " .. app_id .. " " .. minute .. " " .. reason
  if dict():incr(key .. " operations", 1, 0, 3600) == 1 then
    dict():rpush("counts " .. app_id, minute .. " " .. reason)
    dict():rpush("counted", app_id)
  end
  if tokens < math.huge then
    dict():incr(key .. " tokens", tokens, 0, 3600)
  end
  dict():incr(key .. " bytes", math.min(bytes, amount.largest), 0, 3600)
end

local function take_number(key)
  local number = dict():get(key) or 0
  dict():delete(key)
  return number
end

-- The applications with counts since this was last asked, each once.
function _M.take_counted()
  local app_ids, seen = {}, {}
  for _ = 1, dict():llen("counted") or 0 do
    local app_id = dict():lpop("counted")
    if app_id and not seen[app_id] then
      seen[app_id] = true
      app_ids[#app_ids + 1] = app_id
    end
  end
  return app_ids
end

-- All counts of an application, which are forgotten; nil where there are none.
function _M.take(app_id)
  local rows = {}
  while true do
    local name = dict():lpop("counts " .. app_id)
    if name == nil then
      break
    end
    local minute, reason = name:match("^(%d+) (.+)$")
    local key = "count " .. app_id .. " " .. name
    local row = {
      minute = tonumber(minute),
      reason = reason,
      operations = take_number(key .. " operations"),
      tokens = take_number(key .. " tokens"),
      bytes = take_number(key .. " bytes"),
    }
    -- The database takes no count of none: the application came too late for it.
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
    local name = row.minute .. " " .. row.reason
    local key = "count " .. app_id .. " " .. name
    if dict():incr(key .. " operations", row.operations, 0, 3600) == row.operations then
      dict():rpush("counts " .. app_id, name)
      dict():rpush("counted", app_id)
    end
    dict():incr(key .. " tokens", row.tokens, 0, 3600)
    dict():incr(key .. " bytes", row.bytes, 0, 3600)
  end
end

function _M.has_counted()
  return (dict():llen("counted") or 0) > 0
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
jit.off(_M.has_counted, true)

return _M
