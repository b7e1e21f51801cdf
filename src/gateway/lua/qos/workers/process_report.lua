-- Tells the database now and then that this gateway is there. Whether it hears of it changes nothing.

local clock = require("qos.clock")
local keys = require("qos.keys").qos_metrics
local metrics = require("qos.metrics")
local store = require("qos.database.store")
local upkeep = require("qos.leases.upkeep")
local uuid = require("qos.uuid")

local _M = {}

-- A gateway that ends sooner is not worth a report; the database counts one as gone that misses three.
local first, every = 5, 30
-- Of this gateway, as package.json says.
local version = "0.1.0"

-- A few times a minute: what LuaJIT compiles is for requests.
jit.off(true, true)

local holder, host
local id, started_at, is_known

function _M.use(config)
  holder, host = config.holder, config.host
end

local function whole(number)
  return string.format("%.0f", number)
end

local function report()
  if store.is_paused() then
    return
  end
  local row = store.call(
    "report_process", id, holder, host, version, whole((clock.now() - started_at) * 1000),
    whole(upkeep.application_count()), whole(metrics.total(keys.database_calls)),
    whole(metrics.total("qos_outages_total")), whole(metrics.total("qos_uncharged_total"))
  )
  is_known = is_known or row ~= nil
end

local function report_and_wait(premature)
  if not premature then
    pcall(report)
    ngx.timer.at(every, report_and_wait)
  end
end

-- For one worker of the gateway.
function _M.start()
  id, started_at = uuid.new(), clock.now()
  ngx.timer.at(first, report_and_wait)
end

-- The gateway ends.
function _M.finish()
  if is_known and not store.is_paused() then
    store.call("end_process", id)
  end
end

return _M
