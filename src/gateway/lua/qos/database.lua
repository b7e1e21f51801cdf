-- All SQL of the gateway: calls of data-plane functions, every parameter with its type, every
-- number as text. What comes back is a row of strings and booleans, or nil and an error.

local connection = require("qos.connection")

local _M = {}

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
local terms = [[
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
      from rate_limiter.cost_terms(k.app_id) as t
    ) as costs
  from rate_limiter.application_of_key($1::text) as k (app_id)
]]

function _M.terms(api_key)
  return first(terms, api_key)
end

local grant = [[
  select
    l.lease_id::text,
    l.tokens::text,
    l.bytes::text,
    l.lifetime_ms::text,
    l.retry_after_ms::text,
    l.holders::text,
    l.is_limited_tokens,
    l.is_limited_bytes
  from rate_limiter.%s as l
]]

local lease = grant:format([[lease_tokens(
    $1::uuid, $2::numeric, $3::numeric, $4::bigint * interval '1 millisecond', $5::text,
    $6::text::jsonb
  )]])

function _M.lease(app_id, tokens, bytes, lifetime_ms, holder, denials)
  return first(lease, app_id, tokens, bytes, lifetime_ms, holder, denials or ngx.null)
end

local renewal = grant:format([[renew_lease(
    $1::uuid, $2::uuid, $3::numeric, $4::numeric, $5::numeric, $6::numeric,
    $7::bigint * interval '1 millisecond', $8::text, $9::text::jsonb
  )]])

function _M.renew(app_id, spent, tokens, bytes, lifetime_ms, holder, denials)
  return first(
    renewal, app_id, spent.lease_id, spent.tokens, spent.bytes, tokens, bytes, lifetime_ms,
    holder, denials or ngx.null
  )
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

local decision = [[
  select
    d.allowed,
    d.reason,
    d.remaining::text,
    d.remaining_bytes::text,
    d.retry_after_ms::text,
    d.delay_ms::text
  from rate_limiter.consume($1::uuid, $2::text, $3::bigint, $4::text) as d
]]

-- `size`: digits.
function _M.consume(app_id, operation, size, reference)
  return first(decision, app_id, operation, size, reference or ngx.null)
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
