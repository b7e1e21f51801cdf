-- What of nginx the gateway's Lua uses, outside nginx: workers, shared memory, coroutines, and a
-- clock that its caller moves. Requests and the database's answers come as lines of JSON.

local cjson = require("cjson.safe")
local ffi = require("ffi")

ffi.cdef("int getpid(void);")

local now = 0
-- What waits for its time: { at =, turn =, thread = }.
local waiting, turns = {}, 0

local function wait(at, thread, is_timer)
  turns = turns + 1
  table.insert(waiting, { at = at, turn = turns, thread = thread, is_timer = is_timer })
end

local function resume(thread, ...)
  local ran, problem = coroutine.resume(thread, ...)
  if not ran then
    io.stderr:write(debug.traceback(thread, tostring(problem)), "\n")
  end
end

local function take_due(at)
  local first
  for place, entry in ipairs(waiting) do
    local is_earlier = first == nil or entry.at < waiting[first].at
      or entry.at == waiting[first].at and entry.turn < waiting[first].turn
    if entry.at <= at and is_earlier then
      first = place
    end
  end
  return first and table.remove(waiting, first)
end

local function run_until(at)
  local entry = take_due(at)
  while entry do
    now = math.max(now, entry.at)
    resume(entry.thread, false)
    entry = take_due(at)
  end
  now = at
end

local is_exiting = false

-- As nginx does it: timers that wait run early.
local function quit()
  is_exiting = true
  local entries = waiting
  waiting = {}
  for _, entry in ipairs(entries) do
    if entry.is_timer then
      resume(entry.thread, true)
    else
      table.insert(waiting, entry)
    end
  end
end

-- Whether keys.lua has a key, or makes some that begin like it.
local function is_declared(declared, key)
  if type(declared) == "table" then
    for _, part in pairs(declared) do
      if is_declared(part, key) then
        return true
      end
    end
    return false
  elseif type(declared) == "string" then
    return declared == key
  end
  local prefix = declared("", ""):gsub(" +$", " ")
  return key:sub(1, #prefix) == prefix
end

local Dict, known_keys, names = {}, {}, {}
Dict.__index = Dict

local function check_key(dict, key)
  if not known_keys[key] then
    local name = names[dict]
    -- Counters have the names of their metrics.
    assert(
      name == "qos_metrics" or is_declared(require("qos.keys")[name], key),
      "not in keys.lua: " .. key
    )
    known_keys[key] = true
  end
end

function Dict:entry(key)
  check_key(self, key)
  local entry = self[key]
  if entry and entry.expires_at and now >= entry.expires_at then
    self[key] = nil
    return nil
  end
  return entry
end

local function expiry(life)
  return life and life > 0 and now + life or nil
end

function Dict:get(key)
  local entry = self:entry(key)
  return entry and entry.value
end

function Dict:set(key, value, life)
  check_key(self, key)
  self[key] = { value = value, expires_at = expiry(life) }
  return true
end

function Dict:add(key, value, life)
  if self:entry(key) then
    return false, "exists"
  end
  return self:set(key, value, life)
end

function Dict:incr(key, value, initial, life)
  local entry = self:entry(key)
  if entry == nil then
    if initial == nil then
      return nil, "not found"
    end
    self:set(key, initial + value, life)
    return initial + value
  end
  entry.value = entry.value + value
  return entry.value
end

function Dict:expire(key, life)
  local entry = self:entry(key)
  if entry then
    entry.expires_at = expiry(life)
  end
end

function Dict:delete(key)
  check_key(self, key)
  self[key] = nil
end

function Dict:flush_all()
  for key in pairs(self) do
    self[key] = nil
  end
end

function Dict:get_keys()
  local keys = {}
  for key in pairs(self) do
    if self:entry(key) then
      keys[#keys + 1] = key
    end
  end
  return keys
end

function Dict:rpush(key, value)
  local list = self:get(key) or {}
  table.insert(list, value)
  self:set(key, list)
  return #list
end

function Dict:llen(key)
  return #(self:get(key) or {})
end

function Dict:lpop(key)
  local list = self:get(key)
  return list and table.remove(list, 1)
end

local function timer(seconds, work)
  wait(now + seconds, coroutine.create(work), true)
  return true
end

local function every(seconds, work)
  return timer(seconds, function(premature)
    every(seconds, work)
    work(premature)
  end)
end

local function log(_, ...)
  io.stderr:write(table.concat({ ... }, " "), "\n")
end

local requests = 0

ngx = {
  WARN = "warn", ERR = "error", null = cjson.null,
  now = function() return now end,
  time = function() return math.floor(now) end,
  update_time = function() end,
  sleep = function(seconds)
    wait(now + seconds, coroutine.running())
    coroutine.yield()
  end,
  timer = { at = timer, every = every },
  shared = setmetatable({}, {
    __index = function(dicts, name)
      local dict = setmetatable({}, Dict)
      dicts[name], names[dict] = dict, name
      return dict
    end,
  }),
  var = setmetatable({}, {
    __index = function(_, name)
      requests = requests + 1
      return name == "request_id" and "request " .. requests or nil
    end,
  }),
  sha1_bin = function(text) return text end,
  encode_base64 = function(text) return text end,
  log = log,
}

package.preload["resty.core"] = function() return {} end
package.preload["qos.clock"] = function() return { now = ngx.now } end
package.preload["qos.requests.request"] = function()
  return { var = function(name) return ngx.var[name] end }
end
package.preload["ngx.semaphore"] = function()
  return {
    new = function()
      return { wait = function() return true end, post = function() end }
    end,
  }
end

local function tell(message)
  io.write(cjson.encode(message), "\n")
  io.flush()
end

-- Seconds of this clock between a call and when the database sees it.
local call_takes = 0
-- What a statement that is held has in it, and those that are held.
local holds, held = nil, {}

local function is_held(statement)
  for _, part in ipairs(holds or {}) do
    if statement:find(part, 1, true) then
      return true
    end
  end
  return false
end

package.preload["qos.database.connection"] = function()
  local function query(_, statement, ...)
    local parameters = {}
    for place = 1, select("#", ...) do
      local value = select(place, ...)
      parameters[place] = value == nil and cjson.null or value
    end
    if call_takes > 0 then
      ngx.sleep(call_takes)
    end
    if is_held(statement) then
      table.insert(held, coroutine.running())
      coroutine.yield()
    end
    tell({ statement = statement, parameters = setmetatable(parameters, cjson.array_mt) })
    local answer = cjson.decode(io.read("*l"))
    if answer.error then
      return nil, answer.error
    end
    for _, row in ipairs(answer.rows) do
      for name, value in pairs(row) do
        if value == cjson.null then
          row[name] = nil
        end
      end
    end
    return answer.rows
  end
  return { query = query }
end

-- A worker's modules are its own; shared memory is not. `pid`: of a process that lives.
local function start_worker(id, pid)
  local loaded = {}
  local own = setmetatable({
    ngx = setmetatable({
      worker = {
        id = function() return id end,
        pid = function() return pid end,
        count = function() return 2 end,
        exiting = function() return is_exiting end,
      },
    }, { __index = ngx }),
  }, { __index = _G })
  function own.require(name)
    if not name:find("^qos%.") or package.preload[name] then
      return require(name)
    elseif loaded[name] == nil then
      local chunk = assert(loadfile(assert(package.searchpath(name, package.path))))
      loaded[name] = setfenv(chunk, own)(name)
    end
    return loaded[name]
  end
  own.require("qos.workers.start").init()
  own.require("qos.workers.start").init_worker()
  return own
end

local function answer(id, decision)
  tell({
    id = id,
    allowed = decision.allowed,
    reason = decision.reason or cjson.null,
    retry_after_ms = decision.retry_after_ms or cjson.null,
    problem = decision.problem and decision.problem.code or cjson.null,
  })
end

local under_way = {}

-- A request that is held goes on until it is given up.
local function serve(worker, ask)
  local operation = { name = ask.operation, size = ask.size }
  local decision = worker.require("qos.decisions.decide").decide(ask.key, operation, not ask.is_held)
  if ask.is_held and decision.allowed then
    decision.operation = operation
    worker.require("qos.leases.transfers").begin(decision)
    under_way[ask.id] = { worker = worker, decision = decision }
  end
  answer(ask.id, decision)
end

local function give_up(id)
  local worker, decision = under_way[id].worker, under_way[id].decision
  worker.require("qos.decisions.actual_size").finish(decision, decision.operation, true)
  worker.require("qos.leases.transfers").finish(decision)
  under_way[id] = nil
end

-- What the machine of an application's leases is driven by, beside requests.
local drive = {
  state = function(worker, app_id)
    tell({ state = worker.require("qos.leases.layer3").state(app_id) })
  end,
  give_back = function(worker, app_id)
    worker.require("qos.leases.give_back").behind(app_id)
  end,
  give_back_now = function(worker, app_id)
    worker.require("qos.leases.give_back").now(app_id)
  end,
  -- Leases of other applications that are settled before those of this one.
  crowd = function(worker, count)
    for _ = 1, count do
      worker.require("qos.leases.settlement_queue").push({ app_id = "other", lease_id = "other" })
    end
  end,
  -- A call of another application.
  call = function(worker)
    worker.require("qos.database.store").call("charge_owed_many", { "other" }, {}, {}, {})
  end,
  let_go = function()
    local thread = table.remove(held, 1)
    tell({ was_held = thread ~= nil })
    if thread then
      resume(thread)
    end
  end,
}

local workers

-- The first line: { at = seconds, workers =, call_takes =, first =, holds = }: `first` is the number of
-- the first worker, and 0 does what one of them does for all. Each other one: { at = seconds, given_up =
-- { id }, asks = { { id =, worker =, key =, operation =, size =, is_held = } }, drive =, with =, quits =,
-- was_stopped = }: where it was stopped its timers are late, after requests.
for line in io.lines() do
  local message = cjson.decode(line)
  if not workers then
    now, call_takes, holds = message.at, message.call_takes, message.holds
    workers = { start_worker(message.first or 0, message.first and ffi.C.getpid() or 1) }
    workers[2] = message.workers == 2 and start_worker(1, ffi.C.getpid()) or nil
  else
    if message.was_stopped then
      now = message.at
    else
      run_until(message.at)
    end
    for _, id in ipairs(message.given_up) do
      give_up(id)
    end
    for _, ask in ipairs(message.asks) do
      resume(coroutine.create(function()
        serve(workers[ask.worker], ask)
      end))
    end
    if message.drive then
      resume(coroutine.create(drive[message.drive]), workers[1], message.with)
    end
    if message.quits then
      quit()
    end
    run_until(message.at)
    tell({ is_idle = true })
  end
end
