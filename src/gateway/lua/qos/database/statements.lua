-- All SQL of the gateway: calls of data-plane functions, every parameter with its type, every
-- number as text. What comes back is a row of strings and booleans, or nil and an error.

local connection = require("qos.database.connection")

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

local settings

function _M.use(database_settings)
  settings = database_settings
end

local function first(statement, ...)
  local rows, problem = connection.query(settings, statement, ...)
  if rows == nil then
    return nil, problem
  end
  return rows[1]
end

-- Everything that a worker keeps a copy of, for the application that a key opens.
local application_config = [[
  select
    k.app_id::text,
    trunc(extract(epoch from clock_timestamp()) * 1000000)::bigint::text as now_us,
    rate_limiter.limits_in_force(k.app_id)::text as limits,
    (
      select json_agg(json_strip_nulls(json_build_object(
        'operation', t.operation,
        'c_base', t.c_base::text,
        'c_bw', t.c_bw::text,
        'unit_quantum', t.unit_quantum::text,
        'is_active', t.is_active,
        'from_us', trunc(extract(epoch from t.valid_from) * 1000000)::bigint::text,
        'to_us', trunc(extract(epoch from t.valid_to) * 1000000)::bigint::text
      )))::text
      from rate_limiter.cost_rules_in_force(k.app_id) as t
    ) as costs
  from rate_limiter.application_of_key($1::text) as k (app_id)
]]

function _M.application_config(api_key)
  return first(application_config, api_key)
end

local exchange = [[
  select rate_limiter.exchange_leases(
    $1::text::jsonb, $2::text::jsonb, $3::text::jsonb, $4::bigint * interval '1 millisecond',
    $5::text, $6::boolean
  )::text as answers
]]

-- Three lists as JSON: renewals, leases that end, charges of what is owed. `waits`: "true" to wait
-- for buckets that another transaction holds.
function _M.exchange(renewals, settlements, charges, lifetime_ms, holder, waits)
  return first(exchange, renewals, settlements, charges, lifetime_ms, holder, waits)
end

local settlement = [[
  select s.returned_tokens::text, s.returned_bytes::text
  from rate_limiter.settle_lease(
    $1::uuid, $2::uuid, $3::numeric, $4::numeric, $5::text::jsonb
  ) as s
]]

function _M.settle_lease(app_id, spent, denials)
  return first(
    settlement, app_id, spent.lease_id, spent.tokens, spent.bytes, denials or ngx.null
  )
end

local process_report = [[
  select true as is_known
  from rate_limiter.report_process(
    $1::uuid, 'gateway', $2::text, $3::text, $4::text, $5::bigint * interval '1 millisecond',
    $6::integer, $7::bigint, $8::bigint, $9::bigint
  )
]]

-- Counts are those since the gateway's start.
function _M.report_process(id, name, host, version, uptime_ms, applications, calls, outages, uncharged)
  return first(
    process_report, id, name, host, version, uptime_ms, applications, calls, outages, uncharged
  )
end

function _M.end_process(id)
  return first("select true as is_gone from rate_limiter.end_process($1::uuid)", id)
end

local late_charges = [[
  select cardinality(c.charged)::text as charges
  from rate_limiter.charge_owed_many($1::uuid[], $2::numeric[], $3::numeric[], $4::text[])
    as c (charged)
]]

-- An array in SQL's own notation: no element has a quote, a backslash or nothing in it.
local function array_of(values)
  return '{"' .. table.concat(values, '","') .. '"}'
end

-- One charge at each place of the four lists.
function _M.charge_owed_many(app_ids, tokens, bytes, idempotency_keys)
  return first(
    late_charges, array_of(app_ids), array_of(tokens), array_of(bytes),
    array_of(idempotency_keys)
  )
end

local writable = [[
  select true as is_writable
  where not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off'
]]

-- Whether the server takes writes; nil and a problem where it does not answer.
function _M.is_writable()
  local row, problem = first(writable)
  if problem then
    return nil, problem
  end
  return row ~= nil
end

local decision_columns = [[
  select
    d.allowed,
    d.reason,
    d.remaining::text,
    d.remaining_bytes::text,
    d.retry_after_ms::text,
    d.delay_ms::text
]]

local decision = decision_columns .. [[
  from rate_limiter.consume($1::uuid, $2::text, $3::bigint, $4::text) as d
]]

-- `size`: digits.
function _M.consume(app_id, operation, size, reference)
  return first(decision, app_id, operation, size, reference or ngx.null)
end

local checked = decision_columns .. [[
  from rate_limiter.check_limit($1::uuid, $2::text, $3::bigint) as d
]]

-- As consume(), and takes nothing.
function _M.check_limit(app_id, operation, size)
  return first(checked, app_id, operation, size)
end

local borrowed = [[
  select b.tokens::text
  from rate_limiter.borrow_automatically($1::uuid, $2::numeric) as b (tokens)
]]

-- Answers what the application's bucket holds then.
function _M.borrow(app_id, tokens)
  return first(borrowed, app_id, tokens)
end

local settled = [[
  select s.settled, s.cost::text
  from rate_limiter.settle($1::uuid, $2::text, $3::bigint) as s
]]

function _M.settle(app_id, reference, size)
  return first(settled, app_id, reference, size)
end

local refunded = [[
  select r.refunded from rate_limiter.refund($1::uuid, $2::text) as r (refunded)
]]

function _M.refund(app_id, reference)
  return first(refunded, app_id, reference)
end

return _M
