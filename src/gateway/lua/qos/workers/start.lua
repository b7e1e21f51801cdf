-- What nginx's processes do beside requests: at their start, by the clock, and before they end.

local cjson = require("cjson.safe")
local clock = require("qos.clock")
local config_cache = require("qos.applications.config_cache")
local demand = require("qos.decisions.demand")
local denials = require("qos.decisions.denials")
local exchange = require("qos.leases.exchange")
local give_back = require("qos.leases.give_back")
local metrics = require("qos.metrics")
local pools = require("qos.leases.pools")
local process_report = require("qos.workers.process_report")
local settings = require("qos.settings.settings")
local shortage = require("qos.leases.shortage")
local statements = require("qos.database.statements")
local store = require("qos.database.store")
local successors = require("qos.workers.successors")
local transfers = require("qos.leases.transfers")
local upkeep = require("qos.leases.upkeep")

local _M = {}

-- As long as a worker that ends may take for what it has to say.
local exit_timeout_s = 10
local maintain_every, write_every, forget_every, watch_every = 0.5, 0.01, 5, 1
local charge_every = 0.1

-- Quotas changed, or the key is gone: what was leased under the old config is released.
local function on_change(before, after)
  if before == nil or before.app_id == nil then
    return
  end
  local is_same = after and after.app_id == before.app_id
    and cjson.encode(after.limits.list) == cjson.encode(before.limits.list)
  if not is_same then
    denials.forget(before.app_id)
    give_back.now(before.app_id)
    shortage.forget(before.app_id)
  end
end

-- Those that have settings.
local modules = {
  "qos.answers.respond", "qos.applications.config_cache", "qos.decisions.actual_size",
  "qos.decisions.demand", "qos.decisions.denials", "qos.decisions.judge", "qos.decisions.outage",
  "qos.decisions.pacing", "qos.identity.caller", "qos.identity.signature_failures",
  "qos.leases.exchange", "qos.leases.give_back", "qos.leases.owed", "qos.leases.pools",
  "qos.leases.transfers", "qos.metrics", "qos.operations.estimates", "qos.phases",
  "qos.workers.process_report",
}

-- In the master process.
function _M.init()
  require("resty.core")
  -- A whole decision is one trace, which is longer than LuaJIT takes by itself.
  jit.opt.start(
    "maxrecord=16000", "maxirconst=4000", "maxsnap=4000", "maxtrace=4000", "loopunroll=60",
    "callunroll=30"
  )
  local config = settings.read()
  statements.use(config.database)
  for _, name in ipairs(modules) do
    require(name).use(config)
  end
  config_cache.on_change = on_change
end

local function every(seconds, work)
  local _, problem = ngx.timer.every(seconds, function(premature)
    if not premature then
      local worked, why = pcall(work)
      if not worked then
        ngx.log(ngx.ERR, "qos: ", why)
      end
    end
  end)
  if problem then
    ngx.log(ngx.ERR, "qos: no timer: ", problem)
  end
end

-- nginx runs pending timers early when a worker exits: flush there.
local function at_the_end(work)
  local function wait(premature)
    if premature then
      pcall(work)
    else
      ngx.timer.at(3600, wait)
    end
  end
  ngx.timer.at(3600, wait)
end

local last_seen = 0

-- A clock that steps back makes all last longer that ends by it, shared memory's keys as well: that
-- is forgotten, and what is leased goes back.
local function watch_clock()
  ngx.update_time()
  local before, now = last_seen, clock.now()
  last_seen = now
  if now >= before then
    return
  end
  ngx.log(ngx.WARN, "qos: the clock stepped back: what was known is read again")
  ngx.shared.qos_state:flush_all()
  config_cache.forget()
  ngx.shared.qos_identities:flush_all()
  if ngx.worker.id() == 0 then
    upkeep.start_over()
  end
end

local function write_and_exchange()
  transfers.publish()
  pools.write_corrections()
  exchange.run()
end

local function say_all()
  transfers.finish_charges()
  pools.write_corrections()
  demand.add_up()
  exchange.finish(exit_timeout_s)
end

-- Twice: the last exchanges of the other workers may have brought leases meanwhile.
local function give_all_back()
  for _ = 1, 2 do
    upkeep.give_all_back()
    exchange.finish(exit_timeout_s)
  end
  process_report.finish()
end

-- What one worker does for all.
local function start_first()
  ngx.timer.at(0, store.check)
  every(1, store.check)
  upkeep.recover()
  every(maintain_every, upkeep.run)
  process_report.start()
  at_the_end(give_all_back)
end

-- In each worker.
function _M.init_worker()
  math.randomseed(clock.now() * 1000 + ngx.worker.pid())
  successors.enter()
  every(1, metrics.flush)
  every(1, demand.add_up)
  every(charge_every, transfers.charge_long_ones)
  every(write_every, write_and_exchange)
  every(forget_every, pools.forget_expired)
  every(watch_every, watch_clock)
  at_the_end(say_all)
  if ngx.worker.id() == 0 then
    start_first()
  end
end

local is_flushing = false

-- A request ended after its worker's say_all().
function _M.flush_late(app_id)
  transfers.finish_charges()
  pools.write_corrections()
  give_back.behind(app_id)
  metrics.flush()
  if not is_flushing then
    is_flushing = true
    ngx.timer.at(0, function()
      is_flushing = false
      pools.write_corrections()
      demand.add_up()
      exchange.finish(exit_timeout_s)
    end)
  end
end

return _M
