-- Requests that the storage refused as unsigned or wrongly signed, by access key id and source
-- address. An id is not a secret: a source that keeps failing for one is refused here for a while,
-- and a source that never succeeded has few requests under way. Entries end by time and by the size
-- of the dictionary.

local clock = require("qos.clock")
local keys = require("qos.keys").qos_identities
local lrucache = require("resty.lrucache")
local metrics = require("qos.metrics")
local request = require("qos.requests.request")
local workers = require("qos.workers.workers")

local _M = {}

local window_s = 60
local proven_s = 300
local in_flight_s = 600
local prove_every_s = 30
local longest_block_s = 600

local settings

function _M.use(config)
  settings = config.signatures
end

local function dict()
  return ngx.shared.qos_identities
end

local before_ipv4 = string.rep("\0", 10) .. "\255\255"

-- An IPv6 network of 64 bits is one source: its holder has all of its addresses.
local function source()
  local address = request.var("binary_remote_addr")
  if #address == 4 then
    return address
  elseif address:sub(1, 12) == before_ipv4 then
    return address:sub(13)
  end
  return address:sub(1, 8)
end

-- Names an id together with the source of this request.
function _M.pair(id)
  return ngx.md5_bin(id .. "\0" .. source())
end

-- Answers why a request of the pair is refused, and after how many seconds to try again; or nothing.
function _M.refuses(pair)
  local ends_at = dict():get(keys.blocked(pair))
  if ends_at then
    return "blocked", math.max(ends_at - clock.now(), 0)
  end
end

-- A request of a pair that is not proven is under way until finish(); nil where there are too many.
function _M.start(pair)
  workers.add(dict(), keys.in_flight(pair), 1, in_flight_s)
  if workers.sum(dict(), keys.in_flight(pair)) > settings.most_unproven then
    _M.finish(pair)
    return nil
  end
  return true
end

function _M.finish(pair)
  workers.add(dict(), keys.in_flight(pair), -1, in_flight_s)
end

-- Bytes that one request of a pair that is not proven may hold: all of them together no more than what
-- blocks a source.
function _M.most_held()
  return math.floor(settings.most_refused_bytes / settings.most_unproven)
end

function _M.is_proven(pair)
  return dict():get(keys.proven(pair)) ~= nil
end

-- Pairs that this worker wrote of not long ago: a write of the dictionary for each answer is slow.
local written = lrucache.new(10000)

-- The storage found a request of the pair signed.
function _M.succeed(pair)
  if written:get(pair) and not dict():get(keys.failures(pair)) then
    return
  end
  written:set(pair, true, prove_every_s)
  dict():set(keys.proven(pair), true, proven_s)
  dict():delete(keys.failures(pair))
end

-- Answers for how long the pair is blocked; nil where it is not. What was sent counts by itself, and a
-- success between does not change it: a source pays for none of it.
local function block_of(pair, bytes)
  local failures = dict():incr(keys.failures(pair), 1, 0, window_s) or 1
  local refused = dict():incr(keys.refused_bytes(pair), bytes, 0, window_s) or bytes
  if failures < settings.most_failures and refused < settings.most_refused_bytes then
    return nil
  end
  local times = math.max(math.floor(refused / settings.most_refused_bytes), 1)
  return math.min(settings.block_s * times, math.max(longest_block_s, settings.block_s))
end

-- The storage refused one of so many bytes. `id` is for the log, which gets no more than its first
-- half.
function _M.fail(pair, id, bytes)
  metrics.add(metrics.name("qos_signature_failures_total", 'by="storage"'))
  local block_s = block_of(pair, bytes)
  if block_s == nil then
    return
  end
  dict():delete(keys.failures(pair))
  dict():delete(keys.refused_bytes(pair))
  dict():set(keys.blocked(pair), clock.now() + block_s, block_s)
  metrics.add("qos_signature_blocks_total")
  ngx.log(
    ngx.WARN, "qos: refusing ", request.var("remote_addr"), " for ", block_s,
    " s: its requests for access key ", id:sub(1, math.floor(math.min(#id, 24) / 2)),
    "... were not signed"
  )
end

return _M
