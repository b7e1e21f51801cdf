-- Charges what really moves: by the head of the answer as far as that says it, and at the end by the
-- bytes that were sent. Neither phase may wait, so what the database has to know goes there behind it.

local amount = require("qos.amount")
local behind = require("qos.database.behind")
local config_cache = require("qos.applications.config_cache")
local cost = require("qos.operations.cost")
local estimates = require("qos.operations.estimates")
local metrics = require("qos.metrics")
local operations = require("qos.operations.operations")
local owed = require("qos.leases.owed")
local pacing = require("qos.decisions.pacing")
local pools = require("qos.leases.pools")
local request = require("qos.requests.request")
local transfers = require("qos.leases.transfers")

local _M = {}

local settings
local directions = { up = 'direction="up"', down = 'direction="down"' }
local settled_bytes = {
  up = metrics.name("qos_settled_bytes_total", directions.up),
  down = metrics.name("qos_settled_bytes_total", directions.down),
}
-- An answer that goes so far beyond its lease is charged by itself: what is not sent comes back.
local own_charge_bytes = 262144

function _M.use(config)
  settings = config
end

-- What answers to anything but a download say beside what was asked for: XML of results and of errors.
local free_answer_bytes = 4096

-- Charges an answer to anything but a download by itself, as its bytes alone: it says nothing of the
-- operation's class. At its head by its length, at its end by what was sent.
local function charge_answer(decision, bytes)
  local due = bytes > free_answer_bytes and bytes or 0
  transfers.correct(decision, 0, due - (decision.answer_bytes or 0))
  decision.answer_bytes = due
end

local function count_bytes(decision, direction, bytes)
  metrics.add(settled_bytes[direction], bytes)
  metrics.add_for(
    decision.entry.app_id, "qos_application_bytes_total", directions[direction], bytes
  )
end

-- Bytes that the storage has sent, by all the servers that were asked.
local function sum_of(lengths)
  local sum = 0
  for bytes in lengths:gmatch("%d+") do
    sum = sum + tonumber(bytes)
  end
  return sum
end

-- Bytes of the answer's body: what the storage sent, where its receiver took less.
local function answered()
  local lengths = request.var("upstream_response_length")
  local came = lengths and (tonumber(lengths) or sum_of(lengths)) or 0
  return math.max(tonumber(request.var("body_bytes_sent")) or 0, came)
end

-- Bytes that moved: of the body that was sent down, and of the one that came up (with the framing
-- of chunks, where it was not counted before).
local function moved(decision, operation)
  local sent, came = 0, 0
  if operation.down then
    sent = answered()
    count_bytes(decision, "down", sent)
  end
  if operation.up then
    came = operation.is_counted and operation.uploaded
      or math.max((tonumber(request.var("request_length")) or 0) - operation.header_bytes, 0)
    count_bytes(decision, "up", came)
  end
  return sent, came
end

-- What the operation costs at its size.
local function tokens_of(decision, operation)
  local rule = config_cache.cost_of(decision.entry, operation.name)
  if rule == nil then
    return nil
  end
  return cost.of_many(rule, operation.size, operation.count)
end

-- Charges a head's difference: out of the lease where it holds that, else as owed.
local function charge_ahead(decision, tokens, bytes)
  local app_id = decision.entry.app_id
  if decision.reference == nil then
    if tokens <= 0 and bytes <= 0 then
      return transfers.correct(decision, tokens, bytes)
    elseif bytes < own_charge_bytes then
      transfers.correct(decision, tokens, bytes)
      -- Many small ones at once are paced as a large one is.
      decision.exceeds = bytes > 0 and pools.is_short_of_bytes(app_id)
      return
    end
    local due_tokens, due_bytes = math.max(tokens, 0), bytes
    tokens, bytes = pools.drain(app_id, due_tokens, due_bytes)
    transfers.note(decision, due_tokens - tokens, due_bytes - bytes)
    if tokens + bytes == 0 then
      return
    end
  elseif bytes <= 0 then
    return false
  end
  decision.announced = { tokens = math.max(tokens, 0), bytes = math.max(bytes, 0) }
  decision.announced_key = "head " .. request.var("request_id")
  -- More than leases and bucket hold is sent at the rate at which it is paid for.
  local in_bucket = decision.reference and tonumber(decision.remaining_bytes or 0)
    or pools.bucket_bytes(app_id)
  decision.exceeds = bytes > in_bucket
  owed.announce(
    app_id, decision.announced_key, decision.announced.tokens, decision.announced.bytes
  )
end

-- The size is known, or known better: the class follows it.
local function move_to(decision, operation, size, charge)
  local tokens_before, size_before = decision.tokens, operation.size
  operations.resize(operation, size)
  local tokens = tokens_of(decision, operation)
  if tokens == nil then
    return
  end
  tokens = math.min(tokens, amount.largest)
  if tokens == tokens_before and size == size_before then
    return
  end
  if charge(decision, tokens - tokens_before, size - size_before) ~= false then
    decision.tokens = tokens
  else
    operations.resize(operation, size_before)
  end
end

-- The store's own number goes before what the client asked for, and before what was assumed. A copy
-- that failed moved nothing.
local function announce_copy(decision, operation)
  if ngx.status < 300 then
    local copied = tonumber(request.var("qos_copied_bytes"))
    if copied then
      estimates.learn(decision.entry.app_id, operation, copied, ngx.status)
    end
    operation.copied = copied or operation.copied
  else
    operation.copied = 0
  end
  move_to(decision, operation, operation.uploaded + operation.copied, charge_ahead)
end

-- The head of the answer: its length is charged before its body is sent.
function _M.announce(decision)
  local operation = decision.operation
  if operation.down then
    local length = tonumber(request.var("sent_http_content_length"))
    if length and not decision.is_uncharged then
      move_to(decision, operation, operation.uploaded + length, charge_ahead)
    end
    if decision.entry then
      pacing.start(decision, length)
    end
    return
  end
  local length = tonumber(request.var("sent_http_content_length"))
  -- The length of an answer to HEAD is that of another one.
  if operation.may_answer and length and length > free_answer_bytes and not decision.is_uncharged then
    charge_answer(decision, length)
    decision.exceeds = pools.is_short_of_bytes(decision.entry.app_id)
  end
  if decision.entry and (length == nil or length > free_answer_bytes) then
    pacing.start(decision, length)
  end
  if operation.is_copy and not decision.is_uncharged then
    announce_copy(decision, operation)
  end
end

local function refund(decision, operation)
  metrics.add("qos_refunds_total")
  if decision.answer_bytes then
    charge_answer(decision, 0)
  end
  if decision.announced then
    owed.set_charge(decision.entry.app_id, decision.announced_key, 0, 0)
  end
  if decision.reference then
    behind.call("refund", decision.entry.app_id, decision.reference)
  elseif decision.tokens then
    local announced = decision.announced or { tokens = 0, bytes = 0 }
    transfers.correct(
      decision, announced.tokens - decision.tokens, announced.bytes - operation.size
    )
  end
end

-- Gives back of what was announced what was not used, and answers what remains to be corrected.
local function lower_announced(decision, tokens, bytes)
  local announced = decision.announced
  if announced == nil or tokens >= 0 and bytes >= 0 then
    return tokens, bytes
  end
  local less_tokens = math.min(math.max(-tokens, 0), announced.tokens)
  local less_bytes = math.min(math.max(-bytes, 0), announced.bytes)
  owed.set_charge(
    decision.entry.app_id, decision.announced_key, announced.tokens - less_tokens,
    announced.bytes - less_bytes
  )
  return tokens + less_tokens, bytes + less_bytes
end

local function charge_after(decision, tokens, bytes)
  transfers.correct(decision, lower_announced(decision, tokens, bytes))
end

-- The database moves its own charge to what the announcement did not charge. What a dearer class
-- costs is owed.
local function settle_reference(decision, operation, size)
  local announced = decision.announced or { tokens = 0, bytes = 0 }
  operations.resize(operation, size)
  local tokens = tokens_of(decision, operation)
  if tokens == nil then
    return
  end
  if size < announced.bytes then
    announced = { tokens = math.min(tokens, announced.tokens), bytes = size }
    owed.set_charge(
      decision.entry.app_id, decision.announced_key, announced.tokens, announced.bytes
    )
  end
  local rest = size - announced.bytes
  if rest ~= decision.charged_size then
    behind.call("settle", decision.entry.app_id, decision.reference, string.format("%.0f", rest))
  end
  local rule = config_cache.cost_of(decision.entry, decision.charged_name)
  local due = rule and tokens - announced.tokens - cost.of_many(rule, rest, operation.count) or 0
  -- Each part of a charge is rounded up by itself.
  if due > 1 and due < math.huge then
    owed.owe(decision.entry.app_id, due, 0)
  end
end

local function settle_operation(decision, operation)
  local sent, came = moved(decision, operation)
  local size = sent + came + (operation.copied or 0)
  if operation.down then
    estimates.learn(decision.entry.app_id, operation, sent, ngx.status)
  end
  if decision.reference then
    settle_reference(decision, operation, size)
  elseif decision.tokens then
    move_to(decision, operation, size, charge_after)
  end
end

-- An error of the storage is not the caller's; an answer of ours (no storage was asked) neither.
-- `is_unsigned`: the storage found that the request was not whose it said it was.
function _M.finish(decision, operation, is_unsigned)
  if decision.pace then
    pacing.finish(decision)
  end
  if decision.is_uncharged then
    return
  end
  if is_unsigned or settings.refund_5xx and ngx.status >= 500 then
    return refund(decision, operation)
  end
  if not operation.down then
    local sent = answered()
    if sent > free_answer_bytes or decision.answer_bytes then
      count_bytes(decision, "down", sent)
      charge_answer(decision, sent)
    end
  end
  if operation.up or operation.down or operation.copied then
    settle_operation(decision, operation)
  end
end

return _M
