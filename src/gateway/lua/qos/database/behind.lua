-- Calls of the database for which no request waits: of phases that may not, or when it has ended.

local metrics = require("qos.metrics")
local store = require("qos.database.store")

local _M = {}

-- Calls that the database has not received yet. nginx runs at most 256 timers of a worker at once and
-- drops the others: a few flushers make all calls.
local pending = {}
local most_flushers, flushers = 2, 0
-- As many as an outage may leave behind.
local most_pending = 10000

local function flush(call)
  while store.is_paused() and not ngx.worker.exiting() do
    ngx.sleep(0.1)
  end
  local row, problem = store.call(call.name, unpack(call.parameters))
  -- Nothing was answered. If it was done all the same, it changes nothing the second time.
  if row == nil and problem.is_outage and not ngx.worker.exiting() then
    table.insert(pending, call)
    ngx.sleep(0.1)
  end
end

local function flush_all()
  if flushers >= most_flushers then
    return
  end
  flushers = flushers + 1
  local call = table.remove(pending)
  while call do
    pcall(flush, call)
    call = table.remove(pending)
  end
  flushers = flushers - 1
end

-- Calls a function of statements.lua behind the request, which does not wait for it.
function _M.call(name, ...)
  if #pending >= most_pending then
    metrics.add("qos_errors_total")
    return
  end
  table.insert(pending, { name = name, parameters = { ... } })
  if flushers < most_flushers then
    ngx.timer.at(0, flush_all)
  end
end

return _M
