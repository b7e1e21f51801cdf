--! Previous: sha1:03a982603a16e01fcf0182ca7d821a32670d493c
--! Hash: sha1:ccdeb368f0f0a4b6168c06d9a9470e1be2b526c3
--! Message: Decisions draw on layer 1 for what their cluster limits, and only for that

-- The migration being written.
alter table rate_limiter.applications
  add column if not exists draws_iops boolean not null default false,
  add column if not exists draws_bandwidth boolean not null default false;

comment on column rate_limiter.applications.draws_iops is
  '@behavior -*
Whether its cluster has ever had an IOPS quota, whose tokens decisions then draw on.';
comment on column rate_limiter.applications.draws_bandwidth is
  '@behavior -*
Whether its cluster has ever had a bandwidth quota, whose bytes decisions then draw on.';

update rate_limiter.applications as a
set draws_iops = true
from rate_limiter.token_buckets as b
where b.owner_id = a.cluster_id and b.bucket_type = 'iops_l1' and b.mode = 'enforce';
update rate_limiter.applications as a
set draws_bandwidth = true
from rate_limiter.token_buckets as b
where b.owner_id = a.cluster_id and b.bucket_type = 'bandwidth_l1' and b.mode = 'enforce';

--! Included rate_limiter_internal/functions/add_bucket.sql
create or replace function rate_limiter_internal.add_bucket(
  config rate_limiter.quota_configs,
  is_bandwidth boolean
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  insert into rate_limiter.token_buckets (owner_id, bucket_type, mode)
  values (
    config.owner_id,
    case
      when config.app_id is null and is_bandwidth then 'bandwidth_l1'
      when config.app_id is null then 'iops_l1'
      when is_bandwidth then 'bandwidth_l2'
      else 'iops_l2'
    end::rate_limiter.bucket_type,
    config.mode
  )
  on conflict do nothing;

  if config.app_id is null then
    -- Who is being added to the cluster is waited for, and noted below (complete_application).
    perform from rate_limiter.clusters as c where c.cluster_id = config.cluster_id
    for no key update;
  end if;

  if config.mode = 'shadow' then
    update rate_limiter.applications as a
    set has_shadow = true
    where (a.app_id = config.owner_id or a.cluster_id = config.owner_id) and not a.has_shadow;
  elsif config.app_id is null then
    update rate_limiter.applications as a
    set
      draws_iops = a.draws_iops or not is_bandwidth,
      draws_bandwidth = a.draws_bandwidth or is_bandwidth
    where a.cluster_id = config.cluster_id
      and not case when is_bandwidth then a.draws_bandwidth else a.draws_iops end;
  elsif is_bandwidth then
    update rate_limiter.applications as a
    set has_bandwidth = true
    where a.app_id = config.app_id and not a.has_bandwidth;
  end if;
end;
$$;

comment on function rate_limiter_internal.add_bucket(rate_limiter.quota_configs, boolean) is
  'Makes the bucket that a quota needs, unless it is there. It is full when first drawn on. '
  'One that not every application has is noted at those whose decisions have to look for it.';
--! EndIncluded rate_limiter_internal/functions/add_bucket.sql
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
  new.has_shadow := new.has_shadow or exists (
    select
    from rate_limiter.token_buckets as b
    where b.owner_id = new.cluster_id and b.mode = 'shadow'
  );
  new.draws_iops := exists (
    select
    from rate_limiter.token_buckets as b
    where b.owner_id = new.cluster_id and b.bucket_type = 'iops_l1' and b.mode = 'enforce'
  );
  new.draws_bandwidth := exists (
    select
    from rate_limiter.token_buckets as b
    where b.owner_id = new.cluster_id and b.bucket_type = 'bandwidth_l1' and b.mode = 'enforce'
  );
  return new;
end;
$$;

comment on function rate_limiter_internal.complete_application() is
  'Trigger: copies to an application what decisions would have to look up elsewhere: whether '
  'its tenant is active, and of which kinds its cluster has quotas.';
--! EndIncluded rate_limiter_internal/functions/complete_application.sql
--! Included rate_limiter_internal/functions/consume_at.sql
create or replace function rate_limiter_internal.consume_at(
  at timestamptz,
  app_id uuid,
  operation text,
  size_bytes bigint,
  reference_id text default null,
  counts_denials boolean default false
)
returns rate_limiter.decision
language plpgsql
volatile
parallel unsafe
as $$
-- The hottest code of the product, and flat for that: each row is read by its key in a statement
-- of its own and each amount kept in a variable of its own, because joins, arrays and rows that
-- pass between functions were all measured to cost more (docs/performance.md).
declare
  app record;
  price record;
  cost numeric;
  iops record;
  is_charged boolean := false;
  -- The bandwidth bucket as it was looked at.
  bytes_seq bigint;
  bytes_terms_until timestamptz;
  bytes_refilled numeric;
  bytes_left numeric;
  bytes_allotted numeric;
  may_pay boolean;
  drawn record;
  lost_races integer := 0;
  allotment_ms integer;
  decision rate_limiter.decision;
begin
  loop
    select
      a.cluster_id, a.has_shadow, a.has_cost_rule, a.draws_iops, a.draws_bandwidth,
      a.has_bandwidth or a.draws_bandwidth as has_bandwidth,
      current_setting('synchronous_commit') <> 'off'
        or current_setting('rate_limiter_denials.minute', true) <> '' as has_to_prepare
    into app
    from rate_limiter.applications as a
    where a.app_id = consume_at.app_id and a.is_active and a.tenant_is_active;
    if not found then
      perform rate_limiter_internal.admission_of(app_id);
      -- It was made or activated since it was looked for.
      continue;
    end if;
    if app.has_to_prepare then
      perform rate_limiter_internal.prepare_to_charge(at);
    end if;

    if app.has_cost_rule then
      select o.operation_id, o.c_base, o.c_bw, o.unit_quantum
      into price
      from rate_limiter.operation_types as o
      where o.name = operation and o.is_active and size_bytes >= 0;

      select rate_limiter_internal.cost_of(
        coalesce(r.c_base_override, price.c_base), coalesce(r.c_bw_override, price.c_bw),
        price.unit_quantum, size_bytes
      )
      into cost
      from rate_limiter.cost_rules as r
      where r.app_id = consume_at.app_id
        and r.operation_id = price.operation_id
        and r.is_active
        and r.valid_from <= at
        and (r.valid_to is null or r.valid_to > at);
    end if;
    if cost is null then
      select rate_limiter_internal.cost_of(o.c_base, o.c_bw, o.unit_quantum, size_bytes)
      into cost
      from rate_limiter.operation_types as o
      where o.name = operation and o.is_active and size_bytes >= 0;
    end if;
    exit when cost is null or cost = 0 or reference_id is not null or app.has_shadow;

    -- The short road: the application's own buckets can pay, and so can what layer 1 allotted to
    -- them. Bandwidth, charged last, is looked at first, so that a denial finds out before
    -- anything is written, and again where it changed while this decision waited for its turn.
    loop
      if app.has_bandwidth then
        select
          b.ledger_seq, b.terms_until, b.refilled, b.tokens + b.refilled - size_bytes,
          greatest(b.allotment - size_bytes, 0),
          b.is_covered and b.tokens + b.refilled >= size_bytes
        into bytes_seq, bytes_terms_until, bytes_refilled, bytes_left, bytes_allotted, may_pay
        from (
          select
            t.ledger_seq, t.terms_until, t.allotment, t.current_tokens as tokens,
            rate_limiter_internal.inflow(
              t.current_tokens, t.capacity, t.refill_rate, t.last_refill_at, at
            ) as refilled,
            at < t.terms_until and (
              not app.draws_bandwidth or size_bytes = 0
              or t.allotment >= size_bytes and t.allotment_expires_at > at
            ) as is_covered
          from rate_limiter.token_buckets as t
          where t.owner_id = consume_at.app_id
            and t.bucket_type = 'bandwidth_l2'
            and t.mode = 'enforce'
            and t.capacity is not null
          offset 0
        ) as b;
        exit when may_pay is not true;
      end if;

      if not is_charged then
        -- Waits for its row and looks at it as it then is. Fixed windows are left to
        -- consume_by_draw: what flows into them takes too long to say three times.
        update rate_limiter.token_buckets as b
        set
          current_tokens = b.current_tokens - cost + rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ),
          refilled = rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ),
          last_refill_at = greatest(b.last_refill_at, at),
          allotment = greatest(b.allotment - cost, 0),
          ledger_seq = b.ledger_seq + 1,
          updated_at = at
        where b.owner_id = consume_at.app_id
          and b.bucket_type = 'iops_l2'
          and b.mode = 'enforce'
          and b.capacity is not null
          and b.calculation_method <> 'fixed_window'
          and at < b.terms_until
          and (
            not app.draws_iops or b.allotment >= cost and b.allotment_expires_at > at
          )
          and b.current_tokens + rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ) >= cost
        returning b.ledger_seq, b.refilled, b.current_tokens, b.calculation_method
        into iops;
        exit when not found;
        is_charged := true;
      end if;

      if not app.has_bandwidth or size_bytes = 0 then
        insert into rate_limiter.token_transactions (
          owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
          refilled, balance_after
        )
        values (
          app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost, iops.refilled,
          iops.current_tokens
        );
      else
        update rate_limiter.token_buckets as b
        set
          current_tokens = bytes_left,
          refilled = bytes_refilled,
          last_refill_at = greatest(b.last_refill_at, at),
          allotment = bytes_allotted,
          ledger_seq = bytes_seq + 1,
          updated_at = at
        where b.owner_id = consume_at.app_id
          and b.bucket_type = 'bandwidth_l2'
          and b.mode = 'enforce'
          and b.ledger_seq = bytes_seq
          and b.terms_until = bytes_terms_until;
        continue when not found;

        insert into rate_limiter.token_transactions (
          owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
          refilled, balance_after
        )
        values
          (
            app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost, iops.refilled,
            iops.current_tokens
          ),
          (
            app_id, at, bytes_seq + 1, 'bandwidth_l2', 'enforce', 'consume', -size_bytes,
            bytes_refilled, bytes_left
          );
      end if;
      return row(
        true, null::text, cost, iops.current_tokens, bytes_left, 0::bigint,
        case when iops.calculation_method = 'leaky_bucket'
          then rate_limiter_internal.leaky_delay_of(app_id, cost)
          else 0
        end
      );
    end loop;

    if is_charged then
      -- Others were faster, and what they left of the bandwidth cannot pay.
      insert into rate_limiter.token_transactions (
        owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
        balance_after
      )
      values (
        app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost, iops.refilled,
        iops.current_tokens
      );
      perform rate_limiter_internal.take_back(at, app_id, 'iops_l2', cost);
      exit;
    elsif bytes_left < 0 then
      decision := rate_limiter_internal.refusal_at(at, app_id, app.cluster_id, cost, size_bytes);
      exit;
    end if;
    drawn := rate_limiter_internal.consume_by_draw(
      at, app_id, app.cluster_id, cost, size_bytes
    );
    decision := drawn.decision;
    exit when not drawn.lost_race;
    lost_races := lost_races + 1;
    exit when lost_races = 3;
  end loop;

  if decision.allowed is null then
    if cost is null then
      cost := rate_limiter_internal.cost_at(at, app_id, operation, coalesce(size_bytes, 0));
    end if;
    perform rate_limiter_internal.check_reference(reference_id);
    select e.layer_1_allotment_ms
    into allotment_ms
    from rate_limiter_internal.engine_settings as e;
    decision := (rate_limiter_internal.consume_exactly(
      at, app_id, app.cluster_id, allotment_ms, array[operation],
      array[coalesce(size_bytes, 0)], array[cost],
      case when reference_id is not null then array[reference_id] end
    ))[1];
  end if;
  if counts_denials then
    return rate_limiter_internal.note_decision(at, app_id, size_bytes, decision);
  end if;
  return decision;
end;
$$;

comment on function rate_limiter_internal.consume_at(
  timestamptz, uuid, text, bigint, text, boolean
) is
  'consume() at a moment of the caller''s choice: for tests and replay, which count no denials. '
  'Under a reference that was charged before it answers as then and takes nothing. Plain '
  'decisions take a short road that locks nothing ahead; all others, and those that lose three '
  'races, the one of consume_exactly.';
--! EndIncluded rate_limiter_internal/functions/consume_at.sql
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
  solvent as materialized (
    select p.*
    from priced as p
    join rate_limiter.token_buckets as b on b.owner_id = p.app_id and b.mode = 'enforce'
    cross join lateral (
      select
        case b.bucket_type when 'iops_l2' then p.cost else p.bytes end as charge,
        case b.bucket_type when 'iops_l2' then p.draws_iops else p.draws_bandwidth end as is_drawn
    ) as c
    where p.cost > 0
    group by
      p.ordinality, p.app_id, p.draws_iops, p.draws_bandwidth, p.has_bandwidth, p.bytes, p.cost
    having count(*) = 1 + p.has_bandwidth::integer
      and bool_and(
        at < b.terms_until
        and b.calculation_method = 'token_bucket'
        and (not c.is_drawn or b.allotment >= c.charge and b.allotment_expires_at > at)
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
        and (not c.is_drawn or b.allotment >= c.charge and b.allotment_expires_at > at)
        as is_covered
    from solvent as s
    join rate_limiter.token_buckets as b on b.owner_id = s.app_id and b.mode = 'enforce'
    cross join lateral (
      select
        case b.bucket_type when 'iops_l2' then s.cost else s.bytes end as charge,
        case b.bucket_type when 'iops_l2' then s.draws_iops else s.draws_bandwidth end as is_drawn
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
