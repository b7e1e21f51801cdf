-- All that this gateway has to say to the database about leases, in one call at a time and at most
-- ten a second, whatever load: what is owed, leases that end, counts, and renewals, of
-- all applications together. Whichever worker comes first when the next one is due makes it.

local cjson = require("cjson.safe")
local clock = require("qos.clock")
local demand = require("qos.decisions.demand")
local denials = require("qos.decisions.denials")
local keys = require("qos.keys")
local layer3 = require("qos.leases.layer3")
local lease_renewal = require("qos.leases.lease_renewal")
local lock = require("qos.workers.lock")
local owed = require("qos.leases.owed")
local pools = require("qos.leases.pools")
local renewal_queue = require("qos.leases.renewal_queue")
local settlement_queue = require("qos.leases.settlement_queue")
local shortage = require("qos.leases.shortage")
local store = require("qos.database.store")
local successors = require("qos.workers.successors")

local names = keys.qos_leases

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

local spacing_s, timeout_s, denials_every, demand_every = 0.125, 2, 1, 10
-- Applications of which one call hands in what was asked.
local most_demand = 250
-- What is owed is charged within a tenth of a second.
local charge_spacing_s = 0.09
-- So many may come early for a request that waits; those after them are late by as much.
local most_early = 2
-- In one call: fewer where calls take a large part of their timeout. The leases of a thousand
-- applications go back in three.
local most = { renewals = 100, settlements = 334 }
-- An exchange has a thousand entries at most.
local fewest_settlements = 100
local least_part, slow_part, quick_part = 1 / 20, 1 / 2, 1 / 8
local shortest_wait, longest_wait = 0.001, 0.02
-- Longer than any call: a lock whose holder has died is released before.
local longest_call = 30
-- At the end: how soon it is tried again, where another worker is at it, where an application is in the
-- way, and in an outage.
local soon_s, next_try_s, next_probe_s = 0.005, 0.05, 0.25

local settings

function _M.use(config)
  settings = config
end

local function dict()
  return ngx.shared.qos_leases
end

local function batch_size(kind)
  return dict():get(names.batch[kind]) or most[kind]
end

-- A call that was mostly about `count` of a kind took so many seconds.
local function adapt(kind, count, seconds)
  local size, part = batch_size(kind), seconds / settings.database.timeout_ms * 1000
  if part > slow_part then
    size = math.max(math.floor(size / 2), most[kind] * least_part)
  elseif part < quick_part and count >= size / 2 then
    size = math.min(size * 2, most[kind])
  else
    return
  end
  dict():set(names.batch[kind], size)
end

local function array(list)
  return #list > 0 and cjson.encode(list) or "[]"
end

local function requests_of(renewals)
  local requests = {}
  for place, renewal in ipairs(renewals) do
    requests[place] = renewal.request
  end
  return requests
end

local function call(renewals, settlements, charges, waits)
  return store.call(
    "exchange", array(requests_of(renewals)), array(settlements), array(owed.rows_of(charges)),
    settings.lease_ms, settings.holder, waits and "true" or "false"
  )
end

local function fail(renewal, problem)
  lease_renewal.abandon(renewal, problem)
  if lease_renewal.is_over(problem) then
    return
  end
  dict():set(
    names.renewal_error(renewal.app_id),
    cjson.encode({ code = problem.code, message = problem.message }), problem.code and 0.1 or 0.5
  )
end

local function accept(renewal, answer)
  if answer.code then
    fail(renewal, answer)
  else
    lease_renewal.accept(renewal, answer)
  end
end

-- One application alone, which another transaction makes wait.
local function renew_alone(app_id, need)
  local renewal = lease_renewal.begin(app_id, need)
  if renewal == nil then
    return
  end
  local answer, problem = call({ renewal }, renewal.settlements, {}, true)
  if answer == nil then
    return fail(renewal, problem)
  end
  accept(renewal, cjson.decode(answer.answers)[1])
end

local function renew_alone_behind(renewal)
  lease_renewal.abandon(renewal, {})
  local app_id = renewal.app_id
  ngx.timer.at(0, function(premature)
    if not premature then
      renew_alone(app_id, renewal.need)
    end
  end)
end

local function collect_renewals(only)
  local renewals = {}
  for _ = 1, batch_size("renewals") do
    local app_id, need = renewal_queue.pop()
    if app_id == nil then
      break
    end
    local is_due = (only or not shortage.is_short(app_id)) and not owed.is_stuck(app_id)
    local renewal = is_due and lease_renewal.begin(app_id, need)
    if renewal and renewal.ask.tokens + renewal.ask.bytes == 0 and not only then
      -- The leases hold all that is needed by now.
      lease_renewal.abandon(renewal, {})
    elseif renewal then
      renewal.need = need
      renewals[#renewals + 1] = renewal
    end
  end
  return renewals
end

local function denials_are_due()
  return denials.has_totals() and clock.now() - (dict():get(names.denials_at) or 0) >= denials_every
end

-- The gateway ends: minutes that are not over are handed in as well.
local is_ending = false

local function demand_is_due()
  if not demand.has_totals() then
    return false
  elseif is_ending then
    -- Leases go back first.
    return settlement_queue.is_empty()
  end
  return clock.now() - (dict():get(names.demand_at) or 0) >= demand_every
end

-- Counts that no renewal takes along, as settlements without a lease, and to put back.
local function take_counts()
  local settlements, taken = {}, {}
  if denials_are_due() then
    dict():set(names.denials_at, clock.now())
    for _, app_id in ipairs(denials.take_counted()) do
      local counted = denials.take(app_id)
      if counted then
        settlements[#settlements + 1] = { app_id = app_id, denials = denials.rows_of(counted) }
        taken[#taken + 1] = { app_id = app_id, of = denials, counted = counted }
      end
    end
  end
  if demand_is_due() then
    local app_ids = demand.take_due(is_ending, most_demand)
    if #app_ids < most_demand then
      dict():set(names.demand_at, clock.now())
    end
    for _, app_id in ipairs(app_ids) do
      local counted = demand.take(app_id, is_ending)
      if counted then
        settlements[#settlements + 1] = { app_id = app_id, demand = demand.rows_of(counted) }
        taken[#taken + 1] = { app_id = app_id, of = demand, counted = counted }
      end
    end
  end
  return settlements, taken
end

local function put_back(settlements, taken, problem)
  settlement_queue.put_back(settlements)
  for _, counts in ipairs(taken) do
    counts.of.put_back(counts.app_id, counts.counted, problem)
  end
end

local function finish(renewals, settlements, charges, answers)
  settlement_queue.finish(settlements)
  local by_app, busy_keys = {}, {}
  for _, answer in ipairs(answers) do
    if answer.key then
      busy_keys[answer.app_id .. answer.key] = true
    else
      by_app[answer.app_id] = answer
    end
  end
  owed.finish(charges, busy_keys)
  for _, renewal in ipairs(renewals) do
    local answer = by_app[renewal.app_id]
    if answer == nil or answer.is_busy then
      renew_alone_behind(renewal)
    else
      accept(renewal, answer)
    end
  end
end

-- The call failed, and the database can charge: something of one application is in the way.
local function split(renewals, charges)
  for _, renewal in ipairs(renewals) do
    renew_alone_behind(renewal)
  end
  owed.charge_each_behind(charges)
end

local function exchange_alone(only)
  local charges = owed.next_batch() or {}
  local settlements, taken = take_counts()
  settlement_queue.take(
    settlements, math.max(batch_size("settlements") - #charges, fewest_settlements)
  )
  local renewals = collect_renewals(only)
  for _, renewal in ipairs(renewals) do
    for _, settlement in ipairs(renewal.settlements) do
      settlements[#settlements + 1] = settlement
    end
  end
  if #charges + #settlements + #renewals == 0 then
    return false
  end
  local now = clock.now()
  dict():set(names.exchanged_at, now)
  dict():set(names.next_exchange_at, math.max(dict():get(names.next_exchange_at) or 0, now) + spacing_s)
  local answer, problem = call(renewals, settlements, charges)
  ngx.update_time()
  local is_renewal = #renewals * 2 >= #settlements
  adapt(
    is_renewal and "renewals" or "settlements", is_renewal and #renewals or #settlements,
    clock.now() - now
  )
  if answer then
    finish(renewals, settlements, charges, cjson.decode(answer.answers))
    return true
  end
  put_back(settlements, taken, problem)
  if problem.is_outage then
    for _, renewal in ipairs(renewals) do
      lease_renewal.abandon(renewal, problem)
    end
  else
    split(renewals, charges)
  end
  return true
end

-- `is_urgent`: a request waits for it.
local function is_due(is_urgent)
  local next_at = dict():get(names.next_exchange_at) or 0
  if not owed.is_empty() then
    next_at = math.min(next_at, (dict():get(names.exchanged_at) or 0) + charge_spacing_s)
  end
  return clock.now() >= next_at - (is_urgent and most_early * spacing_s or 0)
end

local function exchange(only)
  local token = lock.try(keys.qos_state.exchange_lock, longest_call)
  if token == nil then
    return false
  end
  local ran, has_more = pcall(exchange_alone, only)
  lock.release(keys.qos_state.exchange_lock, token)
  if not ran then
    ngx.log(ngx.ERR, "qos: ", has_more)
  end
  return ran and has_more
end

local function has_something()
  return not renewal_queue.is_empty() or not settlement_queue.is_empty() or not owed.is_empty()
    or denials_are_due() or demand_is_due()
end

-- Done many times a second by each worker, and by each request that waits.
function _M.run(is_urgent)
  owed.retry_alone()
  if not has_something() then
    return
  elseif store.is_paused() then
    store.probe(function()
      exchange(true)
    end)
  elseif is_due(is_urgent) then
    exchange()
  end
end

local function owes()
  return not owed.is_empty() or owed.has_alone()
end

-- An outage may end before the worker does. Leases end by themselves; what is owed does not.
local function has_more()
  if store.is_paused() then
    return owes() and not successors.exist()
  end
  return has_something() or owed.has_alone()
end

local function say_more()
  if store.is_paused() then
    exchange(true)
    ngx.sleep(next_probe_s)
  elseif owed.has_alone() then
    owed.charge_each()
    exchange()
    ngx.sleep(next_try_s)
  elseif not exchange() then
    ngx.sleep(soon_s)
  end
end

-- A worker ends: all that is to be said is said now. `seconds`: for so long at most.
function _M.finish(seconds)
  is_ending = true
  successors.leave()
  local give_up_at = clock.now() + seconds
  ngx.update_time()
  while has_more() and clock.now() < give_up_at do
    say_more()
    ngx.update_time()
  end
  if owes() and not successors.exist() then
    owed.give_up()
  end
end

-- Waits until the leases of an application are renewed; nil where they are not, and why.
function _M.renew(app_id, tokens, bytes, capacities)
  local seen = pools.load(app_id)
  local function is_renewed()
    local pool = pools.load(app_id)
    return pool ~= nil and (seen == nil or pool.id ~= seen.id)
  end
  lease_renewal.wait_for(app_id, tokens, bytes)
  local give_up_at, wait = clock.now() + timeout_s, shortest_wait
  local renewed, problem
  repeat
    renewal_queue.push(app_id, tokens, bytes, capacities)
    _M.run(true)
    renewed = is_renewed() or not renewal_queue.has(app_id) and not layer3.is_busy(app_id)
    local text = not renewed and dict():get(names.renewal_error(app_id))
    problem = text and cjson.decode(text)
    local is_over = renewed or problem or shortage.is_short(app_id) or store.is_paused()
      or clock.now() >= give_up_at
    if not is_over then
      ngx.sleep(wait)
      wait = math.min(wait * 2, longest_wait)
      renewed = is_renewed()
    end
  until is_over or renewed
  lease_renewal.wait_for(app_id, -tokens, -bytes)
  return renewed or nil, problem
end

-- Tries to charge while the database is away: takes a lease.
function _M.probe(app_id, tokens, bytes, capacities)
  renewal_queue.push(app_id, tokens, bytes, capacities)
  exchange(true)
end

return _M
