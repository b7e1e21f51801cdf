--! Previous: sha1:362f282bbaf3d03df95f105f6c47f4eafa3a32b4
--! Hash: sha1:9902e44573ba7f3b16c2af4965c10839a2c335ac
--! Message: Decisions find a stripe by its key, and those of many applications start fewer steps

-- So few rows to a page that a statement finds a stripe by its key, and does not read them all: while
-- they lay in two or three pages, that took a quarter of a decision. They are drawn anew.
alter table rate_limiter_internal.layer_1_stripes set (fillfactor = 10);
truncate rate_limiter_internal.layer_1_stripes;

--! Included rate_limiter_internal/functions/check_batch.sql
create or replace function rate_limiter_internal.check_batch(
  operations text[],
  sizes bigint[],
  reference_ids text[]
)
returns void
language plpgsql
immutable
parallel safe
as $$
declare
  operation_count integer := coalesce(cardinality(operations), 0);
begin
  if operation_count not between 1 and 10000 then
    raise exception using
      errcode = 'QS422',
      message = 'batch is not of 1 to 10000 operations',
      detail = format('operations: %s', operation_count),
      hint = 'Split the batch.';
  elsif cardinality(sizes) is distinct from operation_count
    or cardinality(reference_ids) <> operation_count
  then
    raise exception using
      errcode = 'QS422',
      message = 'arrays of a batch differ in length',
      detail = format(
        'operations: %s, sizes: %s, references: %s',
        operation_count, cardinality(sizes), cardinality(reference_ids)
      ),
      hint = 'Give one size, and one reference or none at all, for each operation.';
  elsif reference_ids is null then
    return;
  elsif exists (
    select from unnest(reference_ids) as r (reference_id)
    where r.reference_id is not null
    group by r.reference_id
    having count(*) > 1
  ) then
    raise exception using
      errcode = 'QS422',
      message = 'reference occurs twice in a batch',
      hint = 'Give each operation a reference of its own.';
  end if;

  perform rate_limiter_internal.check_reference(r.reference_id)
  from unnest(reference_ids) as r (reference_id);
end;
$$;

comment on function rate_limiter_internal.check_batch(text[], bigint[], text[]) is
  'Raises QS422 for a batch that is empty, too long, uneven or names an operation twice.';
--! EndIncluded rate_limiter_internal/functions/check_batch.sql
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
      o.ordinality, o.app_id, a.has_bandwidth, a.draws_iops, a.draws_bandwidth,
      case when a.draws_iops or a.draws_bandwidth then a.cluster_id end as drawn_on,
      coalesce(o.size, 0)::numeric as bytes,
      rate_limiter_internal.cost_of(
        coalesce(r.c_base_override, t.c_base), coalesce(r.c_bw_override, t.c_bw),
        t.unit_quantum, coalesce(o.size, 0)
      ) as cost
    from rows from (unnest(app_ids), unnest(operations), unnest(sizes))
      with ordinality as o (app_id, operation, size)
    join rate_limiter.applications as a using (app_id)
    join rate_limiter.operation_types as t on t.name = o.operation
    left join rate_limiter.cost_rules as r
      -- Looked for by no key at all where there is none.
      on r.app_id = case when a.has_cost_rule then o.app_id end
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
  -- One of each cluster, and not one of each application.
  stripes as materialized (
    select s.cluster_id, s.iops, s.bytes
    from (select distinct p.drawn_on from priced as p where p.drawn_on is not null) as c
    join rate_limiter_internal.layer_1_stripes as s
      on s.cluster_id = c.drawn_on and s.stripe = rate_limiter_internal.own_stripe()
    where s.expires_at > at
  ),
  -- Who cannot pay is not locked, because a lock is a write and a denial never writes. The others
  -- are in the one order that cannot deadlock, and as they are once they are locked.
  locked as materialized (
    select
      p.ordinality, p.cost, p.drawn_on, d.iops_drawn, d.bytes_drawn, p.has_bandwidth, c.charge,
      b.owner_id, b.bucket_type, b.ledger_seq, b.current_tokens, b.last_refill_at,
      rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) as refilled
    from priced as p
    cross join lateral (
      select
        case when p.draws_iops then p.cost else 0 end,
        case when p.draws_bandwidth then p.bytes else 0 end
    ) as d (iops_drawn, bytes_drawn)
    join rate_limiter.token_buckets as b
      on b.owner_id = p.app_id
      and b.bucket_type in ('iops_l2', 'bandwidth_l2')
      and b.mode = 'enforce'
    cross join lateral (
      select
        case b.bucket_type when 'iops_l2' then p.cost else p.bytes end,
        case b.bucket_type when 'iops_l2' then p.bytes else p.cost end
    ) as c (charge, other_charge)
    where p.cost > 0
      and (b.bucket_type = 'iops_l2' or p.has_bandwidth)
      and rate_limiter_internal.pays(b, c.charge, at)
      and (
        not p.has_bandwidth or (
          select rate_limiter_internal.pays(o, c.other_charge, at)
          from rate_limiter.token_buckets as o
          where o.owner_id = p.app_id
            and o.bucket_type in ('iops_l2', 'bandwidth_l2')
            and o.bucket_type <> b.bucket_type
            and o.mode = 'enforce'
        )
      )
      and (
        p.drawn_on is null or exists (
          select
          from stripes as s
          where s.cluster_id = p.drawn_on
            and s.iops >= d.iops_drawn
            and s.bytes >= d.bytes_drawn
        )
      )
    order by b.owner_id, b.bucket_type
    for no key update of b
  ),
  -- Whose two buckets could both still pay once they were locked.
  paired as materialized (
    select l.owner_id
    from locked as l
    where l.has_bandwidth
    group by l.owner_id
    having count(*) = 2
  ),
  due as not materialized (
    select l.*
    from locked as l
    where not l.has_bandwidth or l.owner_id in (select o.owner_id from paired as o)
  ),
  -- A stripe pays for all that its cluster's applications draw here, or for none of it. There may
  -- be several, and in any order: nothing is waited for here.
  paying as materialized (
    select d.cluster_id, d.iops, d.bytes
    from (
      select d.drawn_on as cluster_id, sum(d.iops_drawn) as iops, sum(d.bytes_drawn) as bytes
      from due as d
      where d.bucket_type = 'iops_l2' and d.drawn_on is not null
      group by d.drawn_on
    ) as d
    join rate_limiter_internal.layer_1_stripes as s
      on s.cluster_id = d.cluster_id and s.stripe = rate_limiter_internal.own_stripe()
    where rate_limiter_internal.stripe_pays(s, d.iops, d.bytes, at)
    for no key update of s skip locked
  ),
  drawn as (
    update rate_limiter_internal.layer_1_stripes as s
    set iops = s.iops - p.iops, bytes = s.bytes - p.bytes
    from paying as p
    where s.cluster_id = p.cluster_id and s.stripe = rate_limiter_internal.own_stripe()
    returning s.cluster_id
  ),
  charged as (
    update rate_limiter.token_buckets as b
    set
      current_tokens = d.current_tokens + d.refilled - d.charge,
      refilled = d.refilled,
      last_refill_at = greatest(d.last_refill_at, at),
      ledger_seq = d.ledger_seq + 1,
      updated_at = at
    from due as d
    where (d.drawn_on is null or d.drawn_on in (select p.cluster_id from drawn as p))
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
    case when i.ordinality is not null then true end, null::text, i.cost, i.current_tokens,
    w.current_tokens,
    case when i.ordinality is not null then 0::bigint end,
    case when i.ordinality is not null then 0::bigint end
  from unnest(operations) with ordinality as o (operation, ordinality)
  left join charged as i on i.ordinality = o.ordinality and i.bucket_type = 'iops_l2'
  left join charged as w on w.ordinality = o.ordinality and w.bucket_type = 'bandwidth_l2'
  order by o.ordinality;
end;
$$;

comment on function rate_limiter_internal.consume_together_at(
  timestamptz, uuid[], text[], bigint[]
) is 'consume_together() at a moment of the caller''s choice: for tests.';
--! EndIncluded rate_limiter_internal/functions/consume_together_at.sql
