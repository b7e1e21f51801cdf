-- What was used beyond leases, until it is charged in the database. It lives in a dictionary of its
-- own, so that nothing else evicts it, and one call charges it for all applications, each under a
-- key that charges once. While an application owes, nothing is paid out of its leases.

local amount = require("qos.amount")
local cjson = require("cjson.safe")
local clock = require("qos.clock")
local keys = require("qos.keys").qos_owed
local qos_state = require("qos.keys").qos_state
local lock = require("qos.workers.lock")
local store = require("qos.database.store")

local id_of = require("qos.keys").id_of

local _M = {}

local most_charges = 200
-- What is owed outlives an outage of a day.
local longest_owed = 86400
-- Longer than any call: a lock whose holder has died is released before.
local longest_call = 30
-- Until an application is tried again whose charge failed.
local retry_s = 1

local settings

function _M.use(config)
  settings = config
end

local function dict()
  return ngx.shared.qos_owed
end

local function add(key, change)
  dict():incr(key, change, 0, longest_owed)
  dict():expire(key, longest_owed)
end

local function subtract(key, change)
  if (dict():incr(key, -change) or 0) <= 0 then
    dict():delete(key)
  end
end

local function count_pending(app_id, tokens, bytes)
  add(keys.pending.tokens(app_id), tokens)
  add(keys.pending.bytes(app_id), bytes)
  add(keys.owes(app_id), tokens + bytes)
end

local function forget_pending(app_id, tokens, bytes)
  subtract(keys.pending.tokens(app_id), tokens)
  subtract(keys.pending.bytes(app_id), bytes)
  subtract(keys.owes(app_id), tokens + bytes)
end

-- The key under which owes() finds whether an application owes anything.
function _M.key_of(app_id)
  return keys.owes(app_id)
end

function _M.owes(key)
  return (dict():get(key) or 0) > 0
end

-- Tokens (millionths) and bytes that are not charged yet.
function _M.of(app_id)
  return math.max(dict():get(keys.pending.tokens(app_id)) or 0, 0),
    math.max(dict():get(keys.pending.bytes(app_id)) or 0, 0)
end

-- Of all applications: how many owe, tokens and bytes.
function _M.totals()
  local count, tokens, bytes = 0, 0, 0
  for _, key in ipairs(dict():get_keys(0)) do
    local app_id = id_of(keys.owes, key)
    if app_id and _M.owes(key) then
      local app_tokens, app_bytes = _M.of(app_id)
      count, tokens, bytes = count + 1, tokens + app_tokens, bytes + app_bytes
    end
  end
  return count, tokens, bytes
end

local function add_to_sum(app_id, tokens, bytes)
  add(keys.sum.tokens(app_id), tokens)
  add(keys.sum.bytes(app_id), bytes)
  if dict():add(keys.is_owing(app_id), true, longest_owed) then
    dict():rpush(keys.owing, app_id)
  end
end

-- To be charged, together with whatever else the application owes.
function _M.owe(app_id, tokens, bytes)
  tokens, bytes = math.min(tokens, amount.largest), math.min(bytes, amount.largest)
  if tokens + bytes == 0 then
    return
  end
  count_pending(app_id, tokens, bytes)
  add_to_sum(app_id, tokens, bytes)
end

-- To be charged under a key of its own: set_charge() then gives back what was not used.
function _M.announce(app_id, key, tokens, bytes)
  tokens, bytes = math.min(tokens, amount.largest), math.min(bytes, amount.largest)
  count_pending(app_id, tokens, bytes)
  dict():rpush(keys.charges, cjson.encode({ app_id, tokens, bytes, key, true }))
end

-- What a lease has paid for, and has back, is charged under a key; or less was used than that, or than
-- was announced.
function _M.set_charge(app_id, key, tokens, bytes)
  dict():rpush(keys.charges, cjson.encode({ app_id, tokens, bytes, key }))
end

-- Takes all that is in a counter: what others add meanwhile stays in it.
local function take(key)
  local value = dict():get(key) or 0
  if value ~= 0 then
    dict():incr(key, -value)
  end
  return value
end

-- What is taken out of a counter or a list is in the batch with the next step: no worker that dies takes
-- more along than one entry.
local function collect_owing()
  for _ = 1, math.min(dict():llen(keys.owing) or 0, most_charges) do
    local app_id = dict():lpop(keys.owing)
    if app_id == nil then
      return
    end
    dict():delete(keys.is_owing(app_id))
    local number = dict():incr(keys.last_charge, 1, 0)
    local key = table.concat({ settings.holder, number, clock.now() }, " ")
    local tokens, bytes = take(keys.sum.tokens(app_id)), take(keys.sum.bytes(app_id))
    local text = cjson.encode({ app_id, tokens, bytes, key, true })
    if tokens + bytes > 0 and not dict():rpush(keys.batch, text) then
      -- The dictionary is full: with a later batch.
      add_to_sum(app_id, tokens, bytes)
    end
  end
end

local function collect_charges()
  while (dict():llen(keys.batch) or 0) < 2 * most_charges do
    local text = dict():lpop(keys.charges)
    if text == nil then
      return
    end
    dict():rpush(keys.batch, text)
  end
end

-- What to charge next, nil for nothing. It stays the same until it is answered, also where a worker
-- dies over it.
function _M.next_batch()
  if (dict():llen(keys.batch) or 0) == 0 then
    collect_owing()
    collect_charges()
  end
  local batch = {}
  for place = 1, dict():llen(keys.batch) or 0 do
    local text = dict():lpop(keys.batch)
    if text == nil then
      break
    end
    dict():rpush(keys.batch, text)
    batch[place] = cjson.decode(text)
  end
  return #batch > 0 and batch or nil
end

-- As SQL takes them.
function _M.rows_of(batch)
  local rows = {}
  for place, entry in ipairs(batch) do
    rows[place] = {
      app_id = entry[1], tokens = amount.decimal(entry[2]), bytes = amount.integer(entry[3]),
      key = entry[4],
    }
  end
  return rows
end

local function forget(entry)
  if entry[5] then
    forget_pending(entry[1], entry[2], entry[3])
  end
end

-- As one line that an operator can charge under the same key (docs/integrate.md).
local function log_loss(entry)
  ngx.log(ngx.ERR, "qos: owed and not charged: ", cjson.encode(_M.rows_of({ entry })[1]))
end

-- To be charged in batches again.
local function join_others()
  local text = dict():get(keys.alone_in_hand) or dict():lpop(keys.alone)
  while text do
    dict():rpush(keys.charges, text)
    dict():delete(keys.alone_in_hand)
    text = dict():lpop(keys.alone)
  end
end

-- A worker that dies over it leaves it in hand.
local function charge_alone(text)
  local entry = cjson.decode(text)
  dict():set(keys.alone_in_hand, text)
  local charged, problem = store.call(
    "charge_owed_many", { entry[1] }, { amount.decimal(entry[2]) },
    { amount.integer(entry[3]) }, { entry[4] }
  )
  if charged then
    forget(entry)
  elseif problem.code == "QS422" then
    -- Out of bounds: no repetition can charge it.
    log_loss(entry)
    forget(entry)
  else
    dict():set(keys.stuck(entry[1]), true, retry_s)
    dict():rpush(keys.alone, text)
  end
  dict():delete(keys.alone_in_hand)
  return problem == nil or not problem.is_outage
end

-- Answers whether there may be another one.
local function charge_next_alone()
  if store.is_paused() then
    join_others()
    return false
  end
  local text = dict():get(keys.alone_in_hand) or dict():lpop(keys.alone)
  return text ~= nil and charge_alone(text)
end

function _M.has_alone()
  return (dict():llen(keys.alone) or 0) > 0 or dict():get(keys.alone_in_hand) ~= nil
end

-- Each one by itself: one application's lock stops the charges of no other one.
function _M.charge_each()
  dict():set(keys.alone_later, true, retry_s)
  local count = (dict():llen(keys.alone) or 0) + (dict():get(keys.alone_in_hand) and 1 or 0)
  for _ = 1, count do
    local token = lock.try(qos_state.alone_lock, longest_call)
    if token == nil then
      return
    end
    local ran, goes_on = pcall(charge_next_alone)
    lock.release(qos_state.alone_lock, token)
    if not ran then
      ngx.log(ngx.ERR, "qos: ", goes_on)
    end
    if not ran or not goes_on then
      return
    end
  end
end

local function charge_each_later()
  ngx.timer.at(0, _M.charge_each)
end

-- Those that failed, or whose worker died over them. Done many times a second by each worker.
function _M.retry_alone()
  if _M.has_alone() and dict():add(keys.alone_later, true, retry_s) then
    charge_each_later()
  end
end

-- The batch ends once all of it is charged or in another list.
local function end_batch(alone)
  for _, entry in ipairs(alone) do
    dict():rpush(keys.alone, cjson.encode(entry))
  end
  dict():delete(keys.batch)
  if #alone > 0 then
    charge_each_later()
  end
end

-- The call failed, and the database can charge.
function _M.charge_each_behind(batch)
  if #batch > 0 then
    end_batch(batch)
  end
end

-- The batch is charged, but for those of which another transaction holds the buckets.
function _M.finish(batch, busy_keys)
  if #batch == 0 then
    return
  end
  local busy = {}
  for _, entry in ipairs(batch) do
    if busy_keys[entry[1] .. entry[4]] then
      busy[#busy + 1] = entry
    else
      forget(entry)
    end
  end
  end_batch(busy)
end

function _M.is_empty()
  return (dict():llen(keys.owing) or 0) + (dict():llen(keys.charges) or 0)
    + (dict():llen(keys.batch) or 0) == 0
end

-- No worker is left that could charge it: what is owed goes to the error log.
function _M.give_up()
  join_others()
  local batch = _M.next_batch()
  while batch do
    for _, entry in ipairs(batch) do
      log_loss(entry)
      forget(entry)
    end
    dict():delete(keys.batch)
    batch = _M.next_batch()
  end
end

-- A charge of the application failed a moment ago.
function _M.is_stuck(app_id)
  return dict():get(keys.stuck(app_id)) ~= nil
end

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(_M.next_batch, true)
jit.off(_M.finish, true)
jit.off(_M.charge_each, true)
jit.off(_M.retry_alone, true)
jit.off(_M.give_up, true)
jit.off(_M.totals, true)
jit.off(_M.owe, true)
jit.off(_M.announce, true)
jit.off(_M.set_charge, true)

return _M
