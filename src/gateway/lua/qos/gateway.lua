-- The phases of a request.

local caller = require("qos.identity.caller")
local cjson = require("cjson.safe")
local clock = require("qos.clock")
local config = require("qos.settings.settings")
local config_cache = require("qos.applications.config_cache")
local database = require("qos.database.statements")
local decide = require("qos.decisions.decide")
local denials = require("qos.decisions.denials")
local estimates = require("qos.operations.estimates")
local exchange = require("qos.leases.exchange")
local identities = require("qos.identity.identities")
local leases = require("qos.leases.keeper")
local metrics = require("qos.metrics")
local operations = require("qos.operations.operations")
local outage = require("qos.decisions.outage")
local owed = require("qos.leases.owed")
local pacing = require("qos.decisions.pacing")
local pools = require("qos.leases.pools")
local process_report = require("qos.workers.process_report")
local request = require("qos.requests.request")
local request_body = require("qos.operations.request_body")
local request_target = require("qos.requests.request_target")
local respond = require("qos.answers.respond")
local settlement = require("qos.decisions.settlement")
local signature_failures = require("qos.identity.signature_failures")
local store = require("qos.database.store")
local transfers = require("qos.leases.transfers")

local _M = {}

local settings
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
    leases.release(before.app_id)
    leases.forget_shortage(before.app_id)
  end
end

function _M.init()
  require("resty.core")
  -- A whole decision is one trace, which is longer than LuaJIT takes by itself.
  jit.opt.start(
    "maxrecord=16000", "maxirconst=4000", "maxsnap=4000", "maxtrace=4000", "loopunroll=60",
    "callunroll=30"
  )
  settings = config.read()
  database.use(settings.database)
  for _, module in ipairs({
    caller, config_cache, denials, estimates, exchange, metrics, outage, owed, pacing, pools,
    process_report, respond, settlement, signature_failures, transfers,
  }) do
    module.use(settings)
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
    leases.start_over()
  end
end

function _M.init_worker()
  math.randomseed(clock.now() * 1000 + ngx.worker.pid())
  every(1, metrics.flush)
  every(charge_every, transfers.charge_long_ones)
  every(write_every, function()
    transfers.publish()
    pools.write_corrections()
    exchange.run()
  end)
  every(forget_every, pools.forget_expired)
  every(watch_every, watch_clock)
  at_the_end(function()
    transfers.finish_charges()
    pools.write_corrections()
    exchange.finish(exit_timeout_s)
  end)
  if ngx.worker.id() == 0 then
    ngx.timer.at(0, store.check)
    every(1, store.check)
    leases.recover()
    every(maintain_every, leases.maintain_all)
    process_report.start()
    at_the_end(function()
      leases.release_all()
      exchange.finish(exit_timeout_s)
      process_report.finish()
    end)
  end
end

-- Names of counters by decision and reason: both are few.
local requests = { allowed = {}, denied = {}, refused = {} }

local function count_request(decision, reason)
  local name = requests[decision][reason]
  if name == nil then
    name = metrics.name(
      "qos_requests_total", 'decision="' .. decision .. '",reason="' .. reason .. '"'
    )
    requests[decision][reason] = name
  end
  metrics.add(name)
end

local labels = { allowed = 'decision="allowed"', denied = 'decision="denied"' }

local function count(decision)
  if decision.problem then
    return count_request("refused", decision.problem.code)
  end
  local name = decision.allowed and "allowed" or "denied"
  count_request(name, decision.reason or "none")
  if decision.entry then
    metrics.add_for(decision.entry.app_id, "qos_application_requests_total", labels[name])
  end
  if decision.shadow then
    metrics.add(metrics.name("qos_shadow_total", 'reason="' .. decision.shadow .. '"'))
  end
  if decision.is_uncharged then
    metrics.add("qos_uncharged_total")
  end
end

local function hold_back(decision)
  if (decision.delay_ms or 0) > 0 then
    metrics.add("qos_delayed_total")
    ngx.sleep(decision.delay_ms / 1000)
  end
end

local function note_error(problem)
  ngx.log(ngx.ERR, "qos: ", problem)
  metrics.add("qos_errors_total")
end

-- An error while a request is read may be of its sender's making: it lets nothing through.
local function unreadable(problem)
  note_error(problem)
  return { allowed = false, problem = { code = "QS400", message = "the request cannot be read" } }
end

-- The limiter is ill: that is an outage, and no 500. Without it no share can be counted. What a sender
-- says has been read by then.
local function decision_when_ill(problem)
  note_error(problem)
  local allowed = settings.outage.policy == "open"
  return {
    allowed = allowed, reason = "store_unavailable", layer = 3, is_uncharged = allowed,
    retry_after_ms = 1000,
  }
end

-- What is let through and not settled yet, by the address of its request: ngx.ctx would hold it
-- too, and costs as much as two response headers.
local under_way = {}

-- Reads of a body, by `read`. A request may end meanwhile, whose sender gives up or whose body is too
-- large: what came of it is charged all the same, and it is no longer under way.
local function while_it_comes(entry, operation, watch, read)
  local address, size, digits = request.address(), operation.size, operation.digits
  operations.resize(operation, 0)
  under_way[address] = {
    allowed = false, entry = entry, tokens = 0, operation = operation, watch = watch,
  }
  local began_at = clock.now()
  local answer = read()
  operation.read_for_s = (operation.read_for_s or 0) + clock.now() - began_at
  under_way[address] = nil
  operations.resize(operation, size)
  operation.digits = digits
  return answer
end

-- Reads a body of unknown length, so that it is charged before it is forwarded.
local function count_body(entry, operation, watch)
  local size = while_it_comes(entry, operation, watch, request_body.read)
  if size == nil then
    return { allowed = false, problem = { code = "QS411", message = "length required" } }
  end
  operation.uploaded, operation.is_counted = size, true
  operations.resize(operation, size)
end

-- What the body says. A decision where it ends the request.
local function read_body(entry, operation, headers, watch)
  if operation.is_unannounced then
    local decision = count_body(entry, operation, watch)
    if decision then
      return decision
    end
  end
  if operation.rule.counts_keys then
    operation.count = while_it_comes(entry, operation, watch, function()
      return request_body.count_keys(operation.uploaded, headers)
    end)
    if operation.count == nil then
      local message = "the list of keys can be read in two ways, or is too long"
      return {
        allowed = false,
        problem = { code = "QS400", message = message, s3_code = "MalformedXML" },
      }
    end
  end
end

-- What is known of the request once its body and the application's recent answers are looked at.
local function measure(entry, operation, headers, watch)
  if operation.is_unannounced or operation.rule.counts_keys then
    local ran, decision = pcall(read_body, entry, operation, headers, watch)
    if not ran then
      return unreadable(decision)
    elseif decision then
      return decision
    end
  end
  if operation.down or operation.is_copy and operation.copied == nil then
    estimates.assume(entry, operation)
  end
end

-- The decision on a request of a key.
local function decide_on(key, watch, operation, headers, header_bytes)
  if operation == nil then
    return { allowed = false, problem = { code = "QS404", message = "unknown operation" } }
  elseif operation.up then
    operation.header_bytes = tonumber(header_bytes or request.var("request_length"))
  end
  operation.is_unproven = watch ~= nil and not watch.is_proven
  local began_at = clock.now()
  local entry, decision = decide.application(key)
  if entry then
    decision = measure(entry, operation, headers, watch)
    if not decision and operation.is_unproven then
      decision = decide.hold_part(entry, operation, signature_failures.most_held())
    end
  end
  if not decision then
    local is_final = not (
      operation.up or operation.down or operation.is_copy or settings.refund_5xx or watch
    )
    decision = decide.decide_for(entry, operation, is_final)
  end
  -- A body that was read for it came at the pace of its sender.
  metrics.observe("qos_decision_seconds", clock.now() - began_at - (operation.read_for_s or 0))
  return decision
end

-- What a request says: its operation, its headers, the bytes before its body, and whose it is; or,
-- after those, nil and what is wrong with the key.
local function read_request(line, is_silent)
  local headers = request.headers()
  local arguments = line.target:find("?", 1, true) and request.var("args") and ngx.req.get_uri_args(0)
    or nil
  local method = ngx.req.get_method()
  -- Before anything waits: what comes of the body meanwhile is counted there, too.
  local header_bytes = method == "POST" and request.var("request_length")
  local path = request.var("uri")
  if settings.identities.domain then
    path = identities.path_with_bucket(settings.identities, path, rawget(headers, "host"))
  end
  local operation = operations.of(method, path, arguments, headers, line.protocol)
  return operation, headers, header_bytes,
    caller.identify(method, headers, is_silent and arguments or nil)
end

-- The decision and its operation; or what is wrong with the key, and when to try again. `line.has_read`:
-- what the request says is read.
local function judge(line, is_silent)
  local operation, headers, header_bytes, key, why, watch = read_request(line, is_silent)
  line.has_read = true
  if key == nil then
    return nil, why, watch
  elseif watch == nil then
    return decide_on(key, nil, operation, headers, header_bytes), operation
  end
  local ran, decision = pcall(decide_on, key, watch, operation, headers, header_bytes)
  if not ran then
    caller.leave(watch)
    error(decision, 0)
  end
  decision.watch = watch
  return decision, operation
end

local function let_through(decision, operation)
  respond.set_fields(decision)
  if settings.key_header ~= "x-api-key" then
    ngx.req.clear_header(settings.key_header)
  end
  if operation then
    decision.operation = operation
    under_way[request.address()] = decision
    transfers.begin(decision)
  end
  hold_back(decision)
  decision.passed_at = clock.now()
  local location = pacing.location(decision)
  if location then
    -- Ends this phase.
    return ngx.exec(location)
  end
end

-- Browsers ask so before the request itself, without a key and without a body.
local function is_preflight(protocol)
  if ngx.req.get_method() ~= "OPTIONS" or request.var("http_origin") == nil
    or request.var("http_access_control_request_method") == nil
  then
    return false
  end
  local length = request.var("content_length")
  if request_body.is_unannounced(length, request.var("http_transfer_encoding"), protocol) then
    return request.var("http_transfer_encoding") == nil and request_body.read() == 0
  end
  return length == nil or length == "0"
end

-- Why the line of the request is refused; nil where it is not.
local function refusal_of_line(line)
  -- A request of HTTP/0.9 names no version.
  if line.protocol == nil then
    return "protocol"
  end
  return not request_target.is_clear(line.target) and "target" or nil
end

-- An address is used again, and not every request has a log phase of ours.
local function forget_last(address)
  local left_over = under_way[address]
  under_way[address] = nil
  if left_over and left_over.watch then
    caller.leave(left_over.watch)
  end
end

-- `is_silent`: the location writes no request line to any log, and a key may stand in the query.
function _M.access(is_silent)
  local address = request.address()
  local line = {
    target = request.var("request_uri"), protocol = request.var("server_protocol"), has_read = false,
  }
  forget_last(address)
  local refusal = refusal_of_line(line)
  if refusal then
    count_request("refused", refusal)
    return respond.no_key(refusal)
  elseif is_preflight(line.protocol) then
    under_way[address] = { allowed = true, is_preflight = true }
    return count_request("allowed", "preflight")
  end
  local ran, decision, operation, retry_after_s = pcall(judge, line, is_silent)
  if not ran then
    decision = line.has_read and decision_when_ill(decision) or unreadable(decision)
    operation = nil
  elseif decision == nil then
    count_request("refused", operation .. "_key")
    return respond.no_key(operation, retry_after_s)
  end
  count(decision)
  if decision.watch and not decision.allowed then
    caller.leave(decision.watch)
  end
  if decision.problem then
    return respond.refused(decision.problem)
  elseif not decision.allowed then
    return respond.denied(decision)
  end
  return let_through(decision, operation)
end

function _M.header_filter()
  local decision = under_way[request.address()]
  if decision == nil or not decision.allowed then
    return
  elseif decision.is_preflight then
    ngx.header["Content-Length"] = nil
    return
  end
  metrics.observe("qos_upstream_seconds", clock.now() - decision.passed_at)
  local worked, problem = pcall(settlement.announce, decision)
  if not worked then
    metrics.add("qos_errors_total")
    ngx.log(ngx.ERR, "qos: ", problem)
  end
end

function _M.body_filter()
  local decision = under_way[request.address()]
  if decision == nil then
    return
  elseif decision.is_preflight then
    -- Nothing is charged for it: browsers read its head alone.
    ngx.arg[1] = ""
    return
  end
  if decision.pace then
    pacing.continue(decision)
  end
  if decision.watch then
    caller.hear_body(decision.watch)
  end
end

local function finish(decision)
  local watch = decision.watch
  if watch and not decision.allowed then
    caller.leave(watch)
    -- A body that was given up before the storage saw it says nothing of who sent it.
    if watch.is_proven then
      settlement.finish(decision, decision.operation)
    end
    return
  end
  settlement.finish(decision, decision.operation, watch and caller.finish(watch))
end

local is_settling = false

local function settle_at_once(app_id)
  transfers.finish_charges()
  pools.write_corrections()
  leases.release_behind(app_id)
  if not is_settling then
    is_settling = true
    ngx.timer.at(0, function()
      is_settling = false
      pools.write_corrections()
      exchange.finish(exit_timeout_s)
    end)
  end
end

function _M.log()
  local address = request.address()
  local decision = under_way[address]
  if decision == nil then
    return
  end
  under_way[address] = nil
  if decision.is_preflight then
    return
  end
  local worked, problem = pcall(finish, decision)
  transfers.finish(decision)
  if not worked then
    metrics.add("qos_errors_total")
    ngx.log(ngx.ERR, "qos: ", problem)
  end
  -- A request finished after this worker's exit flush; settle it immediately.
  if ngx.worker.exiting() and decision.entry then
    settle_at_once(decision.entry.app_id)
    metrics.flush()
  end
end

-- Alive as long as it answers; whether the database does is reported, and does not call for a restart.
function _M.health()
  ngx.header["Content-Type"] = "application/json"
  local is_down = store.outage() ~= nil
  ngx.say(cjson.encode({ status = "ok", database = is_down and "down" or "up" }))
end

function _M.metrics()
  ngx.header["Content-Type"] = "text/plain; version=0.0.4"
  local applications, tokens, bytes = owed.totals()
  ngx.print(metrics.text({
    qos_database_up = store.outage() and 0 or 1,
    qos_owed_applications = applications,
    qos_owed_tokens = tokens / 1000000,
    qos_owed_bytes = bytes,
  }))
end

return _M
