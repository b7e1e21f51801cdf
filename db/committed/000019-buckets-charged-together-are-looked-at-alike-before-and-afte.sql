--! Previous: sha1:744789ae9eb00f222c6461b4c04f3cd1bda04f35
--! Hash: sha1:8f45fdde3e45ff6ad87983e1ca8cc2c83c2c3a67
--! Message: Buckets charged together are looked at alike before and after they are locked

-- The migration being written.
--! Included rate_limiter_internal/functions/pays.sql
create or replace function rate_limiter_internal.pays(
  bucket rate_limiter.token_buckets,
  charge numeric,
  is_drawn boolean,
  at timestamptz
)
returns boolean
language sql
immutable
parallel safe
as $$
  select at < bucket.terms_until
    and bucket.calculation_method = 'token_bucket'
    and (not is_drawn or bucket.allotment >= charge and bucket.allotment_expires_at > at)
    and bucket.current_tokens + rate_limiter_internal.inflow(
      bucket.current_tokens, bucket.capacity, bucket.refill_rate, bucket.last_refill_at, at
    ) >= charge;
$$;

comment on function rate_limiter_internal.pays(
  rate_limiter.token_buckets, numeric, boolean, timestamptz
) is
  'Whether a token bucket can be charged as it is: its terms are known, it holds the charge, and '
  'its allotment does where layer 1 is drawn on. Null where it has no quota. Inlined into the '
  'statements that call it.';
--! EndIncluded rate_limiter_internal/functions/pays.sql
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
      o.ordinality, o.app_id, a.draws_iops, a.draws_bandwidth,
      a.has_bandwidth or a.draws_bandwidth as has_bandwidth, coalesce(o.size, 0)::numeric as bytes,
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
      and (o.size > 0 or coalesce(o.size, 0) = 0 and not (a.has_bandwidth or a.draws_bandwidth))
    order by o.app_id, o.ordinality
  ),
  -- Looked at before anything is locked, because a lock is a write and a denial never writes.
  looked_at as materialized (
    select
      p.ordinality, p.app_id, p.cost, c.bucket_type, c.charge, c.is_drawn,
      bool_and(coalesce(rate_limiter_internal.pays(b, c.charge, c.is_drawn, at), false))
        over (partition by p.ordinality) as may_pay
    from priced as p
    cross join lateral (
      values
        ('iops_l2'::rate_limiter.bucket_type, p.cost, p.draws_iops),
        ('bandwidth_l2', p.bytes, p.draws_bandwidth)
    ) as c (bucket_type, charge, is_drawn)
    left join rate_limiter.token_buckets as b
      on b.owner_id = p.app_id and b.bucket_type = c.bucket_type and b.mode = 'enforce'
    where p.cost > 0 and (c.bucket_type = 'iops_l2' or p.has_bandwidth)
  ),
  -- In the one order that cannot deadlock, and as they are once they are locked.
  locked as materialized (
    select
      l.ordinality, l.cost, l.charge, b.owner_id, b.bucket_type, b.ledger_seq,
      b.current_tokens, b.last_refill_at, b.allotment,
      rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) as refilled,
      rate_limiter_internal.pays(b, l.charge, l.is_drawn, at) as pays
    from looked_at as l
    join rate_limiter.token_buckets as b
      on b.owner_id = l.app_id and b.bucket_type = l.bucket_type and b.mode = 'enforce'
    where l.may_pay
    order by b.owner_id, b.bucket_type
    for no key update of b
  ),
  due as (
    select l.*, bool_and(l.pays) over (partition by l.ordinality) as may_pay
    from locked as l
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
--! Included rate_limiter_internal/functions/complete_application.sql
create or replace function rate_limiter_internal.complete_application()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A tenant that is not there is the foreign key's to refuse.
  new.tenant_is_active := coalesce((
    select t.is_active from rate_limiter.tenants as t where t.tenant_id = new.tenant_id for share
  ), true);
  -- Waits for a quota of the cluster that is being made, and makes a later one wait (add_bucket).
  perform from rate_limiter.clusters as c where c.cluster_id = new.cluster_id for share;
  select
    new.has_shadow or coalesce(bool_or(b.mode = 'shadow'), false),
    coalesce(bool_or(b.mode = 'enforce' and b.bucket_type = 'iops_l1'), false),
    coalesce(bool_or(b.mode = 'enforce' and b.bucket_type = 'bandwidth_l1'), false)
  into new.has_shadow, new.draws_iops, new.draws_bandwidth
  from rate_limiter.token_buckets as b
  where b.owner_id = new.cluster_id;
  if tg_op = 'UPDATE' and new.cluster_id is distinct from old.cluster_id then
    -- What it drew ahead was taken from the cluster it leaves.
    update rate_limiter.token_buckets as b
    set allotment = 0
    where b.owner_id = new.app_id and b.allotment > 0;
  end if;
  return new;
end;
$$;

comment on function rate_limiter_internal.complete_application() is
  'Trigger: copies to an application what decisions would have to look up elsewhere: whether '
  'its tenant is active, and of which kinds its cluster has quotas. Where it moves, what it drew '
  'ahead from the cluster it leaves is void.';
--! EndIncluded rate_limiter_internal/functions/complete_application.sql
