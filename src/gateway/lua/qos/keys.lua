-- Every key of every shared dictionary. No other file builds one: what lies in a dictionary, and under
-- which name, can be read here.

local _M = {}

-- A key of something that there is once for each `id`: an application, a lock, a pair.
local function of(name)
  local prefix = name .. " "
  return function(id)
    return prefix .. id
  end
end

-- Likewise, once for each `id` and `part`.
local function of_each(name)
  local prefix = name .. " "
  return function(id, part)
    return prefix .. id .. " " .. part
  end
end

-- One for tokens and one for bytes.
local function both(name)
  return { tokens = of(name .. " tokens"), bytes = of(name .. " bytes") }
end

-- What is leased.
_M.qos_leases = {
  -- The pool of an application as JSON, and its number, which tells a worker whether its copy is current.
  pool = of("pool"),
  pool_id = of("pool id"),
  -- The number of the pool made last.
  last_id = "ids",
  -- What is left in a pool, by its number.
  left = both("left"),
  -- What was learnt of an application whose leases went back a moment ago.
  last_pool = of("last pool"),
  -- The lease that was asked for, as long as its answer is missing, and since when.
  unanswered = of("unanswered"),
  -- How many leases that went back the database has not heard of yet.
  settling = of("settling"),
  -- Counters of a pool as they were, and since when: an application is idle while they stay.
  quiet = of("quiet"),
  -- Until when buckets are not asked again that had too little.
  short = of("short"),
  -- Clients that spend, this gateway among them.
  holders = of("holders"),
  -- What was given back while there was no pool.
  credit = both("credit"),
  -- What leases have back that is charged otherwise with the next exchange.
  held = both("held"),
  -- What requests need that wait for a renewal.
  waited_for = both("waited for"),
  -- What requests under way have taken, by worker.
  under_way = both("under way"),
  -- Why the last renewal failed.
  renewal_error = of("renewal error"),
  -- Applications that got a lease since they were last looked at.
  used = "used",
  -- Applications whose leases are to be renewed, and what each of them needs.
  queue = "queue",
  queued = of("queued"),
  -- Leases that are to be settled.
  settlements = "settlements",
  -- Of exchanges: when the last one was, when the next one is due, and how much goes into one.
  exchanged_at = "exchanged at",
  next_exchange_at = "next exchange at",
  denials_at = "denials at",
  demand_at = "demand at",
  batch = { renewals = "batch of renewals", settlements = "batch of settlements" },
}

-- What is owed.
_M.qos_owed = {
  -- Whether an application owes anything, and what: all that is not charged yet.
  owes = of("owes"),
  pending = both("pending"),
  -- Of that, what no charge has been made of, and the applications that have some.
  sum = both("sum"),
  is_owing = of("is owing"),
  owing = "owing",
  -- Charges under keys of their own; those that are being made; the number of the last.
  charges = "charges",
  batch = "batch",
  last_charge = "charge",
  -- Charges that are made one by one, the one that is being made, and whether the others wait.
  alone = "alone",
  alone_in_hand = "alone in hand",
  alone_later = "alone later",
  -- Workers that do not end, by the number of their process.
  worker = of("worker"),
  -- A charge of the application failed a moment ago.
  stuck = of("stuck"),
}

-- What the workers know together.
_M.qos_state = {
  -- Locks, of the work that they are for.
  renewal_lock = of("renewal"),
  direct_lock = of("direct"),
  config_lock = of("lock"),
  exchange_lock = "exchange",
  alone_lock = "alone",
  probe_lock = "probing",
  -- A lock whose holder has died is being released.
  release = of("release"),
  -- Names of the workers that live.
  workers = "workers",
  -- The config of an API key, by its hash, and whether it is being read anew.
  config = of("config"),
  reading = of("reading"),
  -- The outage: since when, by which error, how many calls failed, when the next one is tried; and since
  -- when nothing was charged.
  down_since = "down since",
  down_by = "down by",
  failures = "failures",
  paused_until = "paused until",
  uncharged_since = "uncharged since",
  -- Of several hosts, the one that answered last.
  database_host = "database host",
  -- Until when an application's share in an outage is paid for.
  share = both("share of"),
  -- Denials of the database, by their reason, and the last reason.
  denied = of_each("denied"),
  last_reason = of("last reason"),
  -- Denials counted here: applications with news; of each, the names of its counts, whether one has
  -- changed, and its totals.
  counted = "counted",
  counts = of("counts"),
  changed = of_each("changed"),
  count = {
    operations = of_each("count of operations"),
    tokens = of_each("count of tokens"),
    bytes = of_each("count of bytes"),
  },
  -- What was asked and decided here: applications with news, by minute; of each, the names of its
  -- totals, whether one has changed, and the totals.
  demanded = "demanded",
  demand_names = of("demand"),
  demand_changed = of_each("demand changed"),
  demand = {
    operations = of_each("demand of operations"),
    tokens = of_each("demand of tokens"),
    bytes = of_each("demand of bytes"),
    peak = of_each("demand at its peak"),
  },
  -- An application may not borrow for a while.
  no_credit = of("no credit"),
  -- Downloads that are paced, by worker.
  in_flight = of("in flight"),
  -- The size of recent operations of a kind.
  size = of_each("size"),
  -- The storage answers ranges with ranges.
  honours_ranges = of("honours ranges"),
}

-- Who proves to be whose an access key id is, by id and source.
_M.qos_identities = {
  blocked = of("blocked"),
  in_flight = of("in flight"),
  proven = of("proven"),
  failures = of("failures"),
  refused_bytes = of("refused bytes"),
}

-- Metrics: counters have the names that Prometheus reads.
_M.qos_metrics = {
  counter = function(name, labels)
    return name .. "{" .. labels .. "}"
  end,
  -- A part of a histogram.
  cell = function(name, part)
    return name .. " " .. part
  end,
  -- What an application is called in labels, and how many have a label of their own.
  label = of("label"),
  labels = "labels",
  database_calls = "database calls",
}

-- Of senders that were never found signed, in place of the application's own.
function _M.strangers_of(app_id)
  return app_id .. " of strangers"
end

-- Of one worker.
function _M.of_worker(key, worker)
  return key .. " " .. worker
end

-- The `id` of a key that `key_of` made; nil for any other key.
function _M.id_of(key_of, key)
  local prefix = key_of("")
  return key:sub(1, #prefix) == prefix and key:sub(#prefix + 1) or nil
end

return _M
