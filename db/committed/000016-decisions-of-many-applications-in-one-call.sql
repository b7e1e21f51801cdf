--! Previous: sha1:339fe4caa39c2ae60585990757847ab0e67ebbf6
--! Hash: sha1:03a982603a16e01fcf0182ca7d821a32670d493c
--! Message: Decisions of many applications in one call

-- The migration being written.
--! Included rate_limiter_internal/functions/consume_together_at.sql
create or replace function rate_limiter_internal.consume_together_at(
  at timestamptz,
  app_ids uuid[],
  operations text[],
  sizes bigint[]
)
returns setof rate_limiter.decision
language plpgsql
volatile
parallel unsafe
as $$
begin
  perform rate_limiter_internal.check_batch(operations, sizes, null);
  if cardinality(app_ids) is distinct from cardinality(operations) then
    raise exception using
      errcode = 'QS422',
      message = 'arrays of a batch differ in length',
      detail = format(
        'applications: %s, operations: %s', cardinality(app_ids), cardinality(operations)
      ),
      hint = 'Give one application for each operation.';
  end if;
  perform rate_limiter_internal.prepare_to_charge(at);

  return query
  with priced as materialized (
    -- A bucket can be charged once in a statement: each application's first operation only.
    select distinct on (o.app_id)
      o.ordinality, o.app_id, a.cluster_id, a.has_bandwidth, coalesce(o.size, 0)::numeric as bytes,
      rate_limiter_internal.cost_of(
        coalesce(r.c_base_override, t.c_base), coalesce(r.c_bw_override, t.c_bw),
        t.unit_quantum, coalesce(o.size, 0)
      ) as cost
    from rows from (unnest(app_ids), unnest(operations), unnest(sizes))
      with ordinality as o (app_id, operation, size)
    join rate_limiter.applications as a using (app_id)
    join rate_limiter.operation_types as t on t.name = o.operation
    left join rate_limiter.cost_rules as r
      on a.has_cost_rule
      and r.app_id = o.app_id
      and r.operation_id = t.operation_id
      and r.is_active
      and r.valid_from <= at
      and (r.valid_to is null or r.valid_to > at)
    where a.is_active
      and a.tenant_is_active
      and not a.has_shadow
      and t.is_active
      and (o.size > 0 or coalesce(o.size, 0) = 0 and not a.has_bandwidth)
    order by o.app_id, o.ordinality
  ),
  -- Looked at before anything is locked, because a lock is a write and a denial never writes.
  solvent as materialized (
    select p.*
    from priced as p
    join rate_limiter.token_buckets as b on b.owner_id = p.app_id and b.mode = 'enforce'
    cross join lateral (
      select case b.bucket_type when 'iops_l2' then p.cost else p.bytes end as charge
    ) as c
    where p.cost > 0
    group by p.ordinality, p.app_id, p.cluster_id, p.has_bandwidth, p.bytes, p.cost
    having count(*) = 1 + p.has_bandwidth::integer
      and bool_and(
        at < b.terms_until
        and b.calculation_method = 'token_bucket'
        and (p.cluster_id is null or b.allotment >= c.charge and b.allotment_expires_at > at)
        and b.current_tokens + rate_limiter_internal.inflow(
          b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
        ) >= c.charge
      )
  ),
  -- In the one order that cannot deadlock, and as they are once they are locked.
  locked as materialized (
    select
      s.ordinality, s.cost, c.charge, b.owner_id, b.bucket_type, b.ledger_seq,
      b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, b.allotment,
      at < b.terms_until
        and (s.cluster_id is null or b.allotment >= c.charge and b.allotment_expires_at > at)
        as is_covered
    from solvent as s
    join rate_limiter.token_buckets as b on b.owner_id = s.app_id and b.mode = 'enforce'
    cross join lateral (
      select case b.bucket_type when 'iops_l2' then s.cost else s.bytes end as charge
    ) as c
    order by b.owner_id, b.bucket_type
    for no key update of b
  ),
  due as (
    select
      l.*, i.refilled,
      bool_and(l.is_covered and l.current_tokens + i.refilled >= l.charge)
        over (partition by l.ordinality) as may_pay
    from locked as l
    cross join lateral (
      select rate_limiter_internal.inflow(
        l.current_tokens, l.capacity, l.refill_rate, l.last_refill_at, at
      ) as refilled
    ) as i
  ),
  charged as (
    update rate_limiter.token_buckets as b
    set
      current_tokens = d.current_tokens + d.refilled - d.charge,
      refilled = d.refilled,
      last_refill_at = greatest(d.last_refill_at, at),
      allotment = greatest(d.allotment - d.charge, 0),
      ledger_seq = d.ledger_seq + 1,
      updated_at = at
    from due as d
    where d.may_pay
      and b.owner_id = d.owner_id
      and b.bucket_type = d.bucket_type
      and b.mode = 'enforce'
    returning
      d.ordinality, d.cost, d.charge, b.owner_id, b.bucket_type, b.ledger_seq, b.refilled,
      b.current_tokens
  ),
  recorded as (
    insert into rate_limiter.token_transactions (
      owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
      balance_after
    )
    select
      c.owner_id, at, c.ledger_seq, c.bucket_type, 'enforce', 'consume', -c.charge, c.refilled,
      c.current_tokens
    from charged as c
  )
  select
    case when count(c.ordinality) > 0 then true end, null::text, min(c.cost),
    min(c.current_tokens) filter (where c.bucket_type = 'iops_l2'),
    min(c.current_tokens) filter (where c.bucket_type = 'bandwidth_l2'),
    case when count(c.ordinality) > 0 then 0::bigint end,
    case when count(c.ordinality) > 0 then 0::bigint end
  from unnest(operations) with ordinality as o (operation, ordinality)
  left join charged as c using (ordinality)
  group by o.ordinality
  order by o.ordinality;
end;
$$;

comment on function rate_limiter_internal.consume_together_at(
  timestamptz, uuid[], text[], bigint[]
) is 'consume_together() at a moment of the caller''s choice: for tests.';
--! EndIncluded rate_limiter_internal/functions/consume_together_at.sql
--! Included rate_limiter/functions/consume_together.sql
create or replace function rate_limiter.consume_together(
  app_ids uuid[],
  operations text[],
  sizes bigint[]
)
returns setof rate_limiter.decision
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query select d.* from rate_limiter_internal.consume_together_at(
    clock_timestamp(), app_ids, operations, sizes
  ) as d;
end;
$$;

comment on function rate_limiter.consume_together(uuid[], text[], bigint[]) is
  'Admits operations of many applications at one moment, as consume() would each: those that '
  'need nothing but tokens and allotments which their applications hold, one of each '
  'application. Answers in their order, with a row of nulls for every other operation: '
  'nothing was charged for it, and consume() decides on it, or says what is wrong with it. To be '
  'called in a transaction of its own. Raises QS422 for arrays that differ in length or hold '
  'more than 10000 operations.';
grant execute on function rate_limiter.consume_together(uuid[], text[], bigint[])
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/consume_together.sql
