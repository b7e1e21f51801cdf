--! Previous: sha1:0d3722e20ff9b2a0cd79bec86069455037d18b82
--! Hash: sha1:3759d538019283e21bd26e3da7ba3ccc0f9b6fbd
--! Message: decisions

-- Decisions
--! Included rate_limiter_internal/decisions/check_reference.sql
create or replace function rate_limiter_internal.check_reference(reference_id text)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if length(reference_id) not between 1 and 255 then
    raise exception using
      errcode = 'QS422',
      message = 'reference is not of 1 to 255 characters',
      detail = format('length: %s', length(reference_id)),
      hint = 'Name each operation by a short value of its own, a UUID for instance.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_reference(text) is
  'Raises QS422 for a reference that cannot be stored.';
--! EndIncluded rate_limiter_internal/decisions/check_reference.sql
--! Included rate_limiter_internal/decisions/is_list.sql
create or replace function rate_limiter_internal.is_list(list anyarray)
returns boolean
language sql
immutable
parallel safe
as $$
  select coalesce(array_ndims(list) = 1 and array_lower(list, 1) = 1, true);
$$;

comment on function rate_limiter_internal.is_list(anyarray) is
  'Whether an array has one dimension and counts from 1, as those of a call are indexed; true for '
  'an empty one and null.';
--! EndIncluded rate_limiter_internal/decisions/is_list.sql
--! Included rate_limiter_internal/decisions/check_batch.sql
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
  -- The buckets are locked while all of a batch are decided and written down.
  if operation_count not between 1 and 1000 then
    raise exception using
      errcode = 'QS422',
      message = 'batch is not of 1 to 1000 operations',
      detail = format('operations: %s', operation_count),
      hint = 'Split the batch: other decisions wait for it.';
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
  elsif not (
    rate_limiter_internal.is_list(operations)
    and rate_limiter_internal.is_list(sizes)
    and rate_limiter_internal.is_list(reference_ids)
  ) then
    raise exception using
      errcode = 'QS422',
      message = 'array of a batch is not a plain list',
      hint = 'Give arrays of one dimension whose first element is number 1.';
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
  'Raises QS422 for a batch that is empty, too long, uneven, of arrays that are not plain lists, '
  'or names an operation twice.';
--! EndIncluded rate_limiter_internal/decisions/check_batch.sql
--! Included rate_limiter_internal/decisions/expected_buckets.sql
create or replace function rate_limiter_internal.expected_buckets(
  has_iops boolean,
  has_bandwidth boolean,
  draws_iops boolean,
  draws_bandwidth boolean
)
returns rate_limiter.bucket_type[]
language sql
immutable
parallel safe
as $$
  select array_remove(
    array[
      -- Each cast, as a cast of their text would keep this from being inlined.
      case when has_iops then 'iops_l2'::rate_limiter.bucket_type end,
      case when has_bandwidth then 'bandwidth_l2'::rate_limiter.bucket_type end,
      case when draws_iops then 'iops_l1'::rate_limiter.bucket_type end,
      case when draws_bandwidth then 'bandwidth_l1'::rate_limiter.bucket_type end
    ],
    null
  );
$$;

comment on function rate_limiter_internal.expected_buckets(boolean, boolean, boolean, boolean) is
  'The enforcing buckets that a decision has to find, by the facts of its application: one that is '
  'missing would be no limit.';
--! EndIncluded rate_limiter_internal/decisions/expected_buckets.sql
--! Included rate_limiter_internal/decisions/require_buckets.sql
create or replace function rate_limiter_internal.require_buckets(
  shard_key integer,
  app_id uuid,
  missing rate_limiter.bucket_type[]
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if missing <> '{}' then
    perform rate_limiter_internal.require_not_moved(shard_key, app_id);
    raise exception using
      errcode = 'QS409',
      message = 'bucket is missing',
      detail = format('app_id: %s, buckets: %s', app_id, missing),
      hint = 'Ask again: the application may have been deleted meanwhile. If it stays so, publish '
        'its quota, or that of its cluster, again, which makes the bucket.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_buckets(
  integer, uuid, rate_limiter.bucket_type[]
) is
  'Raises QS409 where buckets are missing that an application has by its facts: decided without '
  'them it would have no limit.';
--! EndIncluded rate_limiter_internal/decisions/require_buckets.sql
--! Included rate_limiter_internal/decisions/admission_of.sql
create or replace function rate_limiter_internal.admission_of(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  out cluster_id uuid,
  out expected rate_limiter.bucket_type[],
  out synchronous_commit boolean
)
language plpgsql
stable
parallel safe
as $$
declare
  app_is_active boolean;
  tenant_is_active boolean;
  suspended_until timestamptz;
begin
  select
    f.cluster_id, f.is_active, f.tenant_is_active, f.suspended_until,
    rate_limiter_internal.expected_buckets(
      f.has_iops, f.has_bandwidth, f.draws_iops, f.draws_bandwidth
    )
  into cluster_id, app_is_active, tenant_is_active, suspended_until, expected
  from rate_limiter.app_facts as f
  where f.shard_key = admission_of.shard_key
    and f.app_id = admission_of.app_id;

  if not found then
    perform rate_limiter_internal.require_not_moved(shard_key, app_id);
    raise exception using
      errcode = 'QS404',
      message = 'unknown application',
      detail = format('app_id: %s', app_id),
      hint = 'Create the application, or check its id.';
  elsif not tenant_is_active then
    raise exception using
      errcode = 'QS403',
      message = 'tenant is inactive',
      detail = format('app_id: %s', app_id),
      hint = 'An administrator can activate the tenant again.';
  elsif not app_is_active then
    raise exception using
      errcode = 'QS403',
      message = 'application is inactive',
      detail = format('app_id: %s', app_id),
      hint = 'An administrator can activate the application again.';
  elsif suspended_until > at then
    raise exception using
      errcode = 'QS403',
      message = 'application is suspended',
      detail = format('app_id: %s, until: %s', app_id, suspended_until),
      hint = 'An operator suspended it or its tenant, and can lift that.';
  end if;

  select e.synchronous_commit
  into synchronous_commit
  from rate_limiter_internal.engine_settings as e;
end;
$$;

comment on function rate_limiter_internal.admission_of(integer, timestamptz, uuid) is
  'What a decision at a moment needs to know of an application, the buckets that it has to find '
  '(see buckets_at) among it, and the settings of the engine. '
  'Raises QS404 for an unknown application, QS409 for one that has moved, QS403 for one that is '
  'suspended then or inactive, or whose tenant is inactive.';
--! EndIncluded rate_limiter_internal/decisions/admission_of.sql
--! Included rate_limiter_internal/decisions/quotas_needed.sql
create or replace function rate_limiter_internal.quotas_needed(
  shard_key integer,
  app_id uuid,
  cluster_id uuid default null,
  out iops boolean,
  out bandwidth boolean,
  out expected rate_limiter.bucket_type[]
)
language plpgsql
stable
parallel safe
as $$
begin
  select
    f.needs_iops_quota,
    f.needs_bandwidth_quota,
    rate_limiter_internal.expected_buckets(
      f.has_iops,
      f.has_bandwidth,
      f.draws_iops and f.cluster_id = quotas_needed.cluster_id,
      f.draws_bandwidth and f.cluster_id = quotas_needed.cluster_id
    )
  into iops, bandwidth, expected
  from rate_limiter.app_facts as f
  where f.shard_key = quotas_needed.shard_key
    and f.app_id = quotas_needed.app_id;
  if not found then
    perform rate_limiter_internal.admission_of(shard_key, clock_timestamp(), app_id);
  end if;
end;
$$;

comment on function rate_limiter_internal.quotas_needed(integer, uuid, uuid) is
  'Of which kinds an application is denied while no enforcing quota is in force, and the buckets '
  'that its decisions have to find: of layer 1 those of the cluster, while it is on it.';
--! EndIncluded rate_limiter_internal/decisions/quotas_needed.sql
--! Included rate_limiter_internal/decisions/lacks_quota.sql
create or replace function rate_limiter_internal.lacks_quota(
  shard_key integer,
  app_id uuid,
  without_iops boolean,
  without_bandwidth boolean,
  misses_iops boolean default false,
  misses_bandwidth boolean default false
)
returns boolean
language plpgsql
stable
parallel safe
as $$
declare
  facts record;
begin
  select
    f.needs_iops_quota and without_iops
      or f.needs_bandwidth_quota and without_bandwidth as lacks_one,
    rate_limiter_internal.expected_buckets(
      f.has_iops and misses_iops, f.has_bandwidth and misses_bandwidth, false, false
    ) as missing
  into facts
  from rate_limiter.app_facts as f
  where f.shard_key = lacks_quota.shard_key
    and f.app_id = lacks_quota.app_id;
  if not found then
    return null;
  elsif facts.missing <> '{}' then
    perform rate_limiter_internal.require_buckets(shard_key, app_id, facts.missing);
  end if;
  return coalesce(facts.lacks_one, false);
end;
$$;

comment on function rate_limiter_internal.lacks_quota(
  integer, uuid, boolean, boolean, boolean, boolean
) is
  'Whether an application without enforcing quotas of these kinds is denied for want of one. '
  'misses_…: there is no bucket of the kind. Null where the application has moved meanwhile. '
  'Raises QS409 where it has a missing bucket by its facts.';
--! EndIncluded rate_limiter_internal/decisions/lacks_quota.sql
--! Included rate_limiter_internal/decisions/write_charges.sql
create or replace function rate_limiter_internal.write_charges(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  asked rate_limiter_internal.asked_batch,
  outcome rate_limiter_internal.batch_outcome,
  buckets rate_limiter.token_buckets[]
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  if not rate_limiter_internal.has_layer2(buckets) then
    perform rate_limiter_internal.hold_application(shard_key, app_id);
  end if;
  -- Lists are read as tables: to find an element of a long one by its number takes as long as all
  -- before it. Where an application has no bucket, no lock kept a retry from coming in between.
  with drawn_on as materialized (
    select
      b.shard_key, b.owner_id, b.bucket_type, b.mode, b.place,
      rate_limiter_internal.is_bandwidth(b.bucket_type) as is_bandwidth,
      rate_limiter_internal.is_layer1(b.bucket_type) and b.mode = 'enforce' as is_shared
    from (
      select u.shard_key, u.owner_id, u.bucket_type, u.mode, u.ordinality as place
      from unnest(buckets) with ordinality as u
    ) as b
  )
  insert into rate_limiter.charges as c (
    shard_key, app_id, reference_id, operation, size_bytes, asked_size_bytes, cost, cost_rates,
    charged, charged_at
  )
  select
    write_charges.shard_key, write_charges.app_id, o.reference_id, o.operation,
    coalesce(o.size, 0), o.size, o.cost,
    row(o.c_base, o.c_bw, o.unit_quantum)::rate_limiter_internal.cost_rates,
    array(
      select row(
        d.shard_key, d.owner_id, d.bucket_type, d.mode,
        case
          when d.bucket_type = 'iops_reserve' then o.reserve_paid_tokens
          when d.bucket_type = 'bandwidth_reserve' then o.reserve_paid_bytes
          when d.is_bandwidth
            then coalesce(case when d.is_shared then o.oversize_bytes end, o.size, 0)
          else coalesce(case when d.is_shared then o.oversize_tokens end, o.cost)
        end
      )::rate_limiter_internal.bucket_charge
      from drawn_on as d
      where o.reason is null or d.mode = 'enforce'
      order by d.place
    ),
    at
  from rows from (
    unnest(asked.operations), unnest(asked.sizes), unnest(asked.reference_ids),
    unnest(asked.costs_before), unnest(outcome.decisions), unnest(asked.cost_rates),
    unnest(outcome.reserve_paid[:][1:1]), unnest(outcome.reserve_paid[:][2:2]),
    unnest(outcome.oversize_taken[:][1:1]), unnest(outcome.oversize_taken[:][2:2])
  ) as o (
    operation, size, reference_id, cost_before, allowed, reason, cost, remaining,
    remaining_bytes, retry_after_ms, delay_ms, c_base, c_bw, unit_quantum, reserve_paid_tokens,
    reserve_paid_bytes, oversize_tokens, oversize_bytes
  )
  where o.allowed
    and o.reference_id is not null
    and o.cost_before is null
  -- Two batches that have references in common meet at them in one order.
  order by o.reference_id
  on conflict on constraint charges_pkey do update
  set
    operation = excluded.operation,
    size_bytes = excluded.size_bytes,
    asked_size_bytes = excluded.asked_size_bytes,
    cost = excluded.cost,
    cost_rates = excluded.cost_rates,
    charged = excluded.charged,
    charged_at = excluded.charged_at,
    settled_at = null,
    refunded_at = null
  where c.refunded_at is not null;
end;
$$;

comment on function rate_limiter_internal.write_charges(
  integer, timestamptz, uuid, rate_limiter_internal.asked_batch,
  rate_limiter_internal.batch_outcome, rate_limiter.token_buckets[]
) is
  'Remembers what the admitted operations that carry a reference were charged, in place of a '
  'charge that was given back.';
--! EndIncluded rate_limiter_internal/decisions/write_charges.sql
--! Included rate_limiter_internal/decisions/write_changes_of_charged.sql
create or replace function rate_limiter_internal.write_changes_of_charged(
  at timestamptz,
  unwritten rate_limiter.token_buckets[],
  inout before rate_limiter.token_buckets[],
  inout after rate_limiter.token_buckets[],
  costs numeric[],
  sizes bigint[],
  costs_before numeric[],
  decisions rate_limiter.decision[]
)
returns record
language plpgsql
volatile
parallel unsafe
as $$
declare
  bucket rate_limiter.token_buckets;
  place integer;
  tokens_left numeric;
  charges record;
begin
  select
    coalesce(bool_or(o.tokens > 0), false) as tokens,
    coalesce(bool_or(o.bytes > 0), false) as bytes
  into charges
  from rows from (unnest(costs), unnest(sizes), unnest(costs_before), unnest(decisions))
    as o (tokens, bytes, cost_before, allowed)
  where o.allowed and o.cost_before is null;

  foreach bucket in array unwritten loop
    place := null;
    for i in 1 .. cardinality(before) loop
      if before[i].owner_id = bucket.owner_id
        and before[i].bucket_type = bucket.bucket_type
        and before[i].mode = bucket.mode
      then
        place := i;
      end if;
    end loop;

    if place is null then
      -- Dormant by now. It is written once, so that the fast path need not look for its quota.
      if rate_limiter_internal.is_bandwidth(bucket.bucket_type) and charges.bytes
        or not rate_limiter_internal.is_bandwidth(bucket.bucket_type) and charges.tokens
      then
        perform rate_limiter_internal.locked_bucket_at(at, bucket);
      end if;
    elsif after[place].current_tokens <> before[place].current_tokens then
      tokens_left := after[place].current_tokens;
      before[place] := rate_limiter_internal.locked_bucket_at(at, bucket);
      after[place] := before[place];
      after[place].current_tokens := tokens_left;
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.write_changes_of_charged(
  timestamptz, rate_limiter.token_buckets[], rate_limiter.token_buckets[],
  rate_limiter.token_buckets[], numeric[], bigint[], numeric[], rate_limiter.decision[]
) is
  'Writes the changes of quota of locked buckets, given as they are stored, that decisions charge, '
  'and of those that are dormant by now and would have been charged. before, after: the buckets '
  'as decisions found and left them, ready for write_buckets. What is not charged is not written.';
--! EndIncluded rate_limiter_internal/decisions/write_changes_of_charged.sql
--! Included rate_limiter_internal/decisions/batch_metadata.sql
create or replace function rate_limiter_internal.batch_metadata(decisions rate_limiter.decision[])
returns jsonb
language plpgsql
immutable
parallel safe
as $$
begin
  if cardinality(decisions) > 1 then
    return jsonb_build_object(
      'operations', (select count(*) from unnest(decisions) as d where d.allowed)
    );
  end if;
  return null;
end;
$$;

comment on function rate_limiter_internal.batch_metadata(rate_limiter.decision[]) is
  'What the ledger says of a batch in its one row for a bucket: how many operations were admitted; '
  'null for a single decision.';
--! EndIncluded rate_limiter_internal/decisions/batch_metadata.sql
--! Included rate_limiter_internal/decisions/write_decided.sql
create or replace function rate_limiter_internal.write_decided(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  asked rate_limiter_internal.asked_batch,
  buckets rate_limiter.token_buckets[],
  outcome rate_limiter_internal.batch_outcome,
  locked integer,
  unwritten rate_limiter.token_buckets[],
  prefetched numeric[]
)
returns rate_limiter.decision[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  after rate_limiter.token_buckets[] := outcome.buckets;
  written record;
begin
  if unwritten <> '{}' then
    written := rate_limiter_internal.write_changes_of_charged(
      at, unwritten, buckets, after, asked.costs, asked.sizes, asked.costs_before,
      outcome.decisions
    );
    buckets := written.before;
    after := written.after;
  end if;
  perform rate_limiter_internal.write_buckets(
    at, 'consume', buckets[:locked], after[:locked],
    case when cardinality(asked.operations) = 1 then asked.reference_ids[1] end,
    rate_limiter_internal.batch_metadata(outcome.decisions)
  );
  perform rate_limiter_internal.spend_prefetched(shard_key, prefetched, outcome.prefetched);
  if asked.reference_ids is not null then
    perform rate_limiter_internal.write_charges(
      shard_key, at, app_id, asked, outcome, buckets
    );
  end if;
  return outcome.decisions;
end;
$$;

comment on function rate_limiter_internal.write_decided(
  integer, timestamptz, uuid, rate_limiter_internal.asked_batch, rate_limiter.token_buckets[],
  rate_limiter_internal.batch_outcome, integer, rate_limiter.token_buckets[], numeric[]
) is
  'Writes down what decisions over buckets come to: the buckets, of which so many (locked) are '
  'locked and stand first, the session''s stripe, that held so much (prefetched), and charges '
  'under references. unwritten: see lock_buckets(). Answers the decisions.';
--! EndIncluded rate_limiter_internal/decisions/write_decided.sql
--! Included rate_limiter_internal/decisions/leaves_layer1_open.sql
create or replace function rate_limiter_internal.leaves_layer1_open(
  before rate_limiter.token_buckets[],
  after rate_limiter.token_buckets[],
  decisions rate_limiter.decision[],
  parts_left numeric[]
)
returns boolean
language plpgsql
immutable
parallel safe
as $$
declare
  is_drawn_on boolean := false;
begin
  if cardinality(decisions) = 1 or coalesce(parts_left[1], parts_left[2]) is not null or exists (
    select from unnest(decisions) as d where d.reason in ('iops_l1', 'bandwidth_l1')
  ) then
    return false;
  end if;
  for place in 1 .. cardinality(before) loop
    continue when not rate_limiter_internal.is_layer1(before[place].bucket_type)
      or before[place].current_tokens = after[place].current_tokens;
    is_drawn_on := true;
    if after[place].current_tokens < coalesce(after[place].headroom, 0)
      or after[place].mode = 'shadow'
      or after[place].calculation_method <> 'token_bucket'
    then
      return false;
    end if;
  end loop;
  return is_drawn_on;
end;
$$;

comment on function rate_limiter_internal.leaves_layer1_open(
  rate_limiter.token_buckets[], rate_limiter.token_buckets[], rate_limiter.decision[], numeric[]
) is
  'Whether a batch of decisions, over buckets as they were looked at, draws on a layer 1 that has '
  'enough for all of it: then all but that draw can be done before layer 1 is locked '
  '(consume_before_layer1).';
--! EndIncluded rate_limiter_internal/decisions/leaves_layer1_open.sql
--! Included rate_limiter_internal/decisions/consume_before_layer1.sql
create or replace function rate_limiter_internal.consume_before_layer1(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  operations text[],
  sizes bigint[],
  costs numeric[],
  reference_ids text[],
  cost_rates rate_limiter_internal.cost_rates[]
)
returns rate_limiter.decision[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  with_tokens constant boolean := 0 < any (costs);
  with_bytes constant boolean := (select bool_or(s is null or s > 0) from unnest(sizes) as s);
  needs constant record := rate_limiter_internal.quotas_needed(shard_key, app_id, cluster_id);
  batch rate_limiter_internal.batch_outcome;
  locked record;
  buckets rate_limiter.token_buckets[];
  costs_before numeric[];
  charged integer;
  drawn rate_limiter_internal.bucket_charge[];
  decisions rate_limiter.decision[];
begin
  locked := rate_limiter_internal.lock_buckets(
    shard_key, at, app_id, cluster_id, with_tokens, with_bytes, writes_changes => false,
    with_layer1 => false
  );
  charged := cardinality(locked.buckets);
  -- Layer 1, and what is not charged, as they are looked at.
  buckets := locked.buckets || array(
    select b::rate_limiter.token_buckets
    from unnest(rate_limiter_internal.buckets_at(
      shard_key, locked.at, app_id, cluster_id, needs.expected
    )) as b
    where rate_limiter_internal.lock_rank(b.bucket_type) > 1
      or not case when rate_limiter_internal.is_bandwidth(b.bucket_type) then with_bytes
        else with_tokens end
  );
  perform rate_limiter_internal.heal_buckets(locked.buckets, with_tokens, with_bytes);
  costs_before := rate_limiter_internal.costs_before(
    shard_key, app_id, reference_ids, operations, sizes
  );
  batch := rate_limiter_internal.decide_batch(
    locked.at, costs, sizes, costs_before, buckets, needs.iops, needs.bandwidth,
    locked.prefetched, app_id
  );
  if not rate_limiter_internal.leaves_layer1_open(
    buckets, batch.buckets, batch.decisions, batch.parts_left
  ) then
    perform rate_limiter_internal.raise_layer1_short();
  end if;
  drawn := array(
    select row(
      b.shard_key, b.owner_id, b.bucket_type, b.mode, b.current_tokens - a.tokens_left
    )::rate_limiter_internal.bucket_charge
    from unnest(buckets) with ordinality as b
    join (
      select u.current_tokens as tokens_left, u.ordinality
      from unnest(batch.buckets) with ordinality as u
    ) as a using (ordinality)
    where rate_limiter_internal.lock_rank(b.bucket_type) > 1
      and b.current_tokens <> a.tokens_left
  );
  if exists (
    select from unnest(drawn) as d where rate_limiter_internal.lock_rank(d.bucket_type) = 3
  ) then
    perform rate_limiter_internal.raise_layer1_short();
  end if;

  decisions := rate_limiter_internal.write_decided(
    shard_key, locked.at, app_id,
    row(operations, sizes, costs, reference_ids, cost_rates, costs_before),
    buckets, batch, charged, locked.unwritten, locked.prefetched
  );
  -- All siblings wait for layer 1.
  perform rate_limiter_internal.draw_layer1_for(
    rate_limiter_internal.lock_in_order(at, drawn), 'consume', drawn,
    metadata => rate_limiter_internal.batch_metadata(decisions)
  );
  return decisions;
end;
$$;

comment on function rate_limiter_internal.consume_before_layer1(
  integer, timestamptz, uuid, uuid, text[], bigint[], numeric[], text[],
  rate_limiter_internal.cost_rates[]
) is
  'consume_locked() of a batch that leaves layer 1 open (leaves_layer1_open): locks it for the '
  'draw alone, when all else is done. Raises QS425 (raise_layer1_short) where it then has less.';
--! EndIncluded rate_limiter_internal/decisions/consume_before_layer1.sql
--! Included rate_limiter_internal/decisions/consume_locked.sql
create or replace function rate_limiter_internal.consume_locked(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  operations text[],
  sizes bigint[],
  costs numeric[],
  reference_ids text[] default null,
  cost_rates rate_limiter_internal.cost_rates[] default null
)
returns rate_limiter.decision[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  moment timestamptz := coalesce(at, clock_timestamp());
  with_tokens constant boolean := 0 < any (costs);
  -- A size that is not known yet waits for a debt: for one that a clock ahead left, too.
  with_bytes constant boolean := (select bool_or(s is null or s > 0) from unnest(sizes) as s);
  needs record;
  batch rate_limiter_internal.batch_outcome;
  locked record;
  buckets rate_limiter.token_buckets[];
  costs_before numeric[];
begin
  needs := rate_limiter_internal.quotas_needed(shard_key, app_id, cluster_id);
  -- A denial does not write, and a lock is a write: only where something was admitted are the
  -- buckets locked, and everything decided again on what can no longer change.
  buckets := rate_limiter_internal.buckets_at(
    shard_key, moment, app_id, cluster_id, needs.expected
  );
  costs_before := rate_limiter_internal.costs_before(
    shard_key, app_id, reference_ids, operations, sizes
  );
  batch := rate_limiter_internal.decide_batch(
    moment, costs, sizes, costs_before, buckets, needs.iops, needs.bandwidth,
    rate_limiter_internal.prefetched_at(shard_key, moment), app_id
  );

  if batch.charges_anything and rate_limiter_internal.leaves_layer1_open(
    buckets, batch.buckets, batch.decisions, batch.parts_left
  ) then
    begin
      return rate_limiter_internal.consume_before_layer1(
        shard_key, at, app_id, cluster_id, operations, sizes, costs, reference_ids, cost_rates
      );
    exception
      when sqlstate 'QS425' then
        null;
    end;
  end if;

  if batch.charges_anything or rate_limiter_internal.needs_healing(
    shard_key, moment, app_id, cluster_id, with_tokens, with_bytes
  ) then
    locked := rate_limiter_internal.lock_buckets(
      shard_key, at, app_id, cluster_id, with_tokens, with_bytes, writes_changes => false
    );
    -- What is not charged is answered for as it was looked at.
    buckets := locked.buckets || case when not (with_tokens and with_bytes) then array(
      select b::rate_limiter.token_buckets
      from unnest(buckets) as b
      where not case when rate_limiter_internal.is_bandwidth(b.bucket_type) then with_bytes
        else with_tokens end
    ) end;
    perform rate_limiter_internal.heal_buckets(buckets, with_tokens, with_bytes);
    costs_before := rate_limiter_internal.costs_before(
      shard_key, app_id, reference_ids, operations, sizes
    );
    batch := rate_limiter_internal.decide_batch(
      locked.at, costs, sizes, costs_before, buckets, needs.iops, needs.bandwidth,
      locked.prefetched, app_id
    );
    perform rate_limiter_internal.write_late_share(
      shard_key, locked.at, batch.tenant_id,
      (array['iops_l1', 'bandwidth_l1'])[kind]::rate_limiter.bucket_type, batch.parts_left[kind]
    )
    from generate_series(1, 2) as kind
    where batch.parts_left[kind] is not null;
    return rate_limiter_internal.write_decided(
      shard_key, locked.at, app_id,
      row(operations, sizes, costs, reference_ids, cost_rates, costs_before),
      buckets, batch, cardinality(buckets), locked.unwritten, locked.prefetched
    );
  end if;

  return batch.decisions;
end;
$$;

comment on function rate_limiter_internal.consume_locked(
  integer, timestamptz, uuid, uuid, text[], bigint[], numeric[], text[],
  rate_limiter_internal.cost_rates[]
) is
  'Decides on operations of an application one after the other under the locks of all its '
  'buckets, and charges those it admits in one ledger row for each bucket. at null: live, by the '
  'clock. A null size is not known yet. The path of everything that the fast path of consume_at '
  'does not take.';
--! EndIncluded rate_limiter_internal/decisions/consume_locked.sql
--! Included rate_limiter_internal/decisions/compensate.sql
create or replace function rate_limiter_internal.compensate(
  shard_key integer,
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  charge numeric
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  before rate_limiter.token_buckets;
  after rate_limiter.token_buckets;
begin
  if coalesce(charge, 0) = 0 then
    return;
  end if;
  before := rate_limiter_internal.lock_bucket(shard_key, at, owner_id, bucket_type, 'enforce');
  if before.capacity is null then
    return;
  end if;
  after := before;
  after.current_tokens := after.current_tokens + charge;
  perform rate_limiter_internal.write_buckets(
    at, 'refund', array[before], array[after], null, '{"cause": "lost a race"}'
  );
end;
$$;

comment on function rate_limiter_internal.compensate(
  integer, timestamptz, uuid, rate_limiter.bucket_type, numeric
) is
  'Undoes a charge of the same transaction, all of it: unlike a refund, which never lifts a '
  'bucket above its capacity. Nothing where nothing was charged, or there is no bucket.';
--! EndIncluded rate_limiter_internal/decisions/compensate.sql
--! Included rate_limiter_internal/decisions/prepare_to_charge.sql
create or replace function rate_limiter_internal.prepare_to_charge(at timestamptz)
returns boolean
language plpgsql
volatile
parallel unsafe
as $$
declare
  is_durable boolean := true;
  -- Assigned and not performed: that would be a query each time.
  kept text;
begin
  -- Called only where there may be something to refuse: the call costs more than the comparison.
  if current_setting('transaction_isolation') <> 'read committed' then
    perform rate_limiter_internal.require_read_committed();
  end if;
  if current_setting('synchronous_commit') <> 'off' then
    select e.synchronous_commit into is_durable from rate_limiter_internal.engine_settings as e;
    if not is_durable then
      kept := set_config('synchronous_commit', 'off', true);
    end if;
  end if;
  if current_setting('rate_limiter_denials.since', true)
    not in ('', floor(date_part('epoch', at))::bigint::text)
  then
    perform rate_limiter_internal.sweep_denials(floor(date_part('epoch', at))::bigint);
    kept := set_config('rate_limiter_denials.since', '', false);
  end if;
  return is_durable;
end;
$$;

comment on function rate_limiter_internal.prepare_to_charge(timestamptz) is
  'Before a charge, in a session that waits for the disk at commits or has counted denials: lets '
  'the commit go unwaited for as the settings say, and takes along what is counted of denials of '
  'an earlier second, as something is written anyway. Answers whether the settings have the commit '
  'waited for. Refuses a transaction that is not read committed (QS422).';
--! EndIncluded rate_limiter_internal/decisions/prepare_to_charge.sql
--! Included rate_limiter_internal/decisions/consume_at.sql
create or replace function rate_limiter_internal.consume_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  operation text,
  size_bytes bigint,
  reference_id text default null,
  is_live boolean default false,
  app rate_limiter_internal.decision_facts default null
)
returns rate_limiter.decision
language plpgsql
volatile
parallel unsafe
as $$
-- Hot path, deliberately not factored: separate keyed statements measured faster than arrays,
-- composite arguments or one statement for all (docs/performance.md).
declare
  -- A bucket that was written later was so before the clock was set back.
  latest constant timestamptz := at + interval '1 second';
  -- Assigned and not performed: that would be a query each time.
  is_durable boolean;
  cost numeric;
  iops record;
  is_charged boolean := false;
  -- What layer 1 pays; null where it pays nothing.
  iops_drawn numeric;
  bytes_drawn numeric;
  -- The bandwidth bucket as it was looked at.
  bandwidth record;
  bytes_refilled numeric;
  bytes_left numeric;
  stripe_generation integer;
  drawn record;
  lost_races integer := 0;
  decision rate_limiter.decision;
  terms rate_limiter_internal.cost_rates[];
begin
  loop
    -- Facts that the caller gives are those of now.
    if app.shard_key is null then
      select
        f.shard_key, f.cluster_id, f.has_shadow, f.has_cost_rule, f.draws_iops, f.draws_bandwidth,
        -- One that it needs and does not have is missed where it is looked for.
        f.has_bandwidth or f.needs_bandwidth_quota, f.bucket_generation
      into app
      from rate_limiter.app_facts as f
      where f.shard_key = consume_at.shard_key
        and f.app_id = consume_at.app_id
        and f.is_active
        and f.tenant_is_active
        and (f.suspended_until is null or f.suspended_until <= at);
      if not found then
        -- It may have moved, or was made or activated since it was looked for.
        shard_key := rate_limiter_internal.app_shard_key(app_id);
        perform rate_limiter_internal.admission_of(shard_key, at, app_id);
        continue;
      end if;
    end if;
    if current_setting('synchronous_commit') <> 'off'
      or current_setting('transaction_isolation') <> 'read committed'
      or current_setting('rate_limiter_denials.since', true) <> ''
    then
      is_durable := rate_limiter_internal.prepare_to_charge(at);
    end if;

    cost := null;
    if app.has_cost_rule then
      select rate_limiter_internal.cost_of(c.c_base, c.c_bw, c.unit_quantum, size_bytes)
      into cost
      from rate_limiter.app_costs as c
      where c.shard_key = app.shard_key
        and c.app_id = consume_at.app_id
        and c.operation = consume_at.operation
        and c.valid_from <= at
        and (c.valid_to is null or c.valid_to > at)
        and size_bytes >= 0;
    end if;
    if cost is null then
      select rate_limiter_internal.cost_of(o.c_base, o.c_bw, o.unit_quantum, size_bytes)
      into cost
      from rate_limiter.operation_types as o
      where o.name = operation and o.is_active and size_bytes >= 0;
    end if;
    exit when cost is null or cost = 0 or reference_id is not null or app.has_shadow;

    if app.draws_iops or app.draws_bandwidth and size_bytes > 0 then
      iops_drawn := case when app.draws_iops then cost else 0 end;
      bytes_drawn := case when app.draws_bandwidth then size_bytes else 0 end;
    end if;

    -- The fast path: the application's own buckets can pay, and so can what layer 1 gave ahead of
    -- need. Bandwidth, charged last, is looked at first, so that a denial finds out before
    -- anything is written, and again where it changed while this decision waited for its turn.
    loop
      if app.has_bandwidth then
        select
          b.ledger_seq, b.quota_valid_until, b.current_tokens, b.capacity, b.refill_rate,
          b.last_refill_at, b.generation
        into bandwidth
        from rate_limiter.token_buckets as b
        where b.shard_key = app.shard_key
          and b.owner_id = consume_at.app_id
          and b.bucket_type = 'bandwidth_l2'
          and b.mode = 'enforce'
          and b.capacity is not null;
        bytes_refilled := rate_limiter_internal.inflow(
          bandwidth.current_tokens, bandwidth.capacity, bandwidth.refill_rate,
          bandwidth.last_refill_at, at
        );
        bytes_left := bandwidth.current_tokens + bytes_refilled - size_bytes;
        exit when (
          at < bandwidth.quota_valid_until
          and (bytes_left >= 0 or size_bytes = 0)
          and bandwidth.last_refill_at <= latest
        ) is not true;
      end if;

      if iops_drawn is not null and not is_charged then
        select s.generation
        into stripe_generation
        from rate_limiter_internal.layer1_stripes as s
        where s.shard_key = app.shard_key
          and s.stripe = rate_limiter_internal.session_stripe()
          and rate_limiter_internal.stripe_can_pay(
            s.expires_at, s.iops, s.bytes, iops_drawn, bytes_drawn, at
          );
        exit when not found;
      end if;

      if not is_charged then
        -- Waits for its row and looks at it as it then is. Fixed windows are left to
        -- consume_with_layer1: what flows into them takes too long to say three times.
        update rate_limiter.token_buckets as b
        set
          current_tokens = b.current_tokens - cost + rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ),
          refilled = rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ),
          last_refill_at = greatest(b.last_refill_at, at),
          ledger_seq = b.ledger_seq + 1,
          updated_at = at,
          generation = rate_limiter_internal.next_generation(
            b.generation, b.ledger_seq, b.page, b.ctid
          ),
          page = rate_limiter_internal.next_page(b.ledger_seq, b.page, b.ctid)
        where b.shard_key = app.shard_key
          and b.owner_id = consume_at.app_id
          and b.bucket_type = 'iops_l2'
          and b.mode = 'enforce'
          and b.generation <= app.generation
          and b.calculation_method <> 'fixed_window'
          and b.capacity is not null
          and at < b.quota_valid_until
          and b.last_refill_at <= latest
          and b.current_tokens + rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ) >= cost
        returning
          b.ledger_seq, b.refilled, b.current_tokens, b.calculation_method, b.generation
        into iops;
        exit when not found;
        is_charged := true;
      end if;

      if not app.has_bandwidth or size_bytes = 0 then
        insert into rate_limiter.token_transactions (
          shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type,
          tokens_change, refilled, balance_after
        )
        values (
          app.shard_key, app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost,
          iops.refilled, iops.current_tokens
        );
      else
        update rate_limiter.token_buckets as b
        set
          current_tokens = bytes_left,
          refilled = bytes_refilled,
          last_refill_at = greatest(b.last_refill_at, at),
          ledger_seq = bandwidth.ledger_seq + 1,
          updated_at = at,
          generation = rate_limiter_internal.next_generation(
            b.generation, b.ledger_seq, b.page, b.ctid
          ),
          page = rate_limiter_internal.next_page(b.ledger_seq, b.page, b.ctid)
        where b.shard_key = app.shard_key
          and b.owner_id = consume_at.app_id
          and b.bucket_type = 'bandwidth_l2'
          and b.mode = 'enforce'
          and b.generation <= bandwidth.generation
          and b.ledger_seq = bandwidth.ledger_seq
          and b.last_refill_at = bandwidth.last_refill_at
          and b.quota_valid_until = bandwidth.quota_valid_until;
        continue when not found;

        insert into rate_limiter.token_transactions (
          shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type,
          tokens_change, refilled, balance_after
        )
        values
          (
            app.shard_key, app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost,
            iops.refilled, iops.current_tokens
          ),
          (
            app.shard_key, app_id, at, bandwidth.ledger_seq + 1, 'bandwidth_l2', 'enforce',
            'consume', -size_bytes, bytes_refilled, bytes_left
          );
      end if;
      if iops_drawn is not null then
        update rate_limiter_internal.layer1_stripes as s
        set iops = s.iops - iops_drawn, bytes = s.bytes - bytes_drawn
        where s.shard_key = app.shard_key
          and s.stripe = rate_limiter_internal.session_stripe()
          and s.generation <= stripe_generation
          and rate_limiter_internal.stripe_can_pay(
            s.expires_at, s.iops, s.bytes, iops_drawn, bytes_drawn, at
          );
        if not found then
          -- A session that shares the stripe was faster.
          perform rate_limiter_internal.compensate(app.shard_key, at, app_id, 'iops_l2', cost);
          perform rate_limiter_internal.compensate(
            app.shard_key, at, app_id, 'bandwidth_l2',
            case when app.has_bandwidth then size_bytes end
          );
          is_charged := false;
          exit;
        end if;
      end if;

      if iops.generation <= app.generation - 8 then
        perform rate_limiter_internal.note_generation(app.shard_key, app_id, iops.generation);
      end if;
      return row(
        true, null::text, cost, iops.current_tokens, bytes_left, 0::bigint,
        case when iops.calculation_method = 'leaky_bucket'
          then rate_limiter_internal.leaky_delay_of(app.shard_key, app_id, cost)
          else 0
        end
      );
    end loop;

    if is_charged then
      -- Others were faster, and what they left of the bandwidth cannot pay.
      insert into rate_limiter.token_transactions (
        shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
        refilled, balance_after
      )
      values (
        app.shard_key, app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost,
        iops.refilled, iops.current_tokens
      );
      perform rate_limiter_internal.compensate(app.shard_key, at, app_id, 'iops_l2', cost);
      exit;
    elsif bytes_left < 0 and size_bytes > 0 then
      decision := rate_limiter_internal.denial_at(
        app.shard_key, at, app_id, app.cluster_id, cost, size_bytes
      );
      exit;
    end if;
    drawn := rate_limiter_internal.consume_with_layer1(
      app.shard_key, at, app_id, app.cluster_id, cost, size_bytes, coalesce(iops_drawn, 0),
      coalesce(bytes_drawn, 0)
    );
    decision := drawn.decision;
    exit when not drawn.lost_race;
    lost_races := lost_races + 1;
    exit when lost_races = 3;
    app := null;
  end loop;

  if decision.allowed is null then
    perform rate_limiter_internal.check_reference(reference_id);
    if cost is null or reference_id is not null then
      terms := rate_limiter_internal.cost_rates_at(
        app.shard_key, at, app_id, array[operation], array[size_bytes]
      );
      cost := rate_limiter_internal.cost_of(
        terms[1].c_base, terms[1].c_bw, terms[1].unit_quantum, coalesce(size_bytes, 0)
      );
    end if;
    decision := (rate_limiter_internal.consume_locked(
      app.shard_key, case when not is_live then at end, app_id, app.cluster_id,
      array[operation], array[size_bytes], array[cost],
      case when reference_id is not null then array[reference_id] end, terms
    ))[1];
  end if;
  if is_live then
    return rate_limiter_internal.count_if_denied(
      app.shard_key, at, app_id, size_bytes, decision
    );
  end if;
  return decision;
end;
$$;

comment on function rate_limiter_internal.consume_at(
  integer, timestamptz, uuid, text, bigint, text, boolean, rate_limiter_internal.decision_facts
) is
  'consume() at a moment of the caller''s choice: for tests and replay. is_live: the moment is '
  'the clock''s, which is read again under locks, and denials are counted. app: what the caller '
  'has just read of the application. Under a reference that was charged before, and not refunded, '
  'it answers as then and takes nothing. Plain decisions take a fast path that locks nothing '
  'ahead; all others, and those that lose three races, consume_locked().';
--! EndIncluded rate_limiter_internal/decisions/consume_at.sql
--! Included rate_limiter_internal/decisions/consume_batch_at.sql
create or replace function rate_limiter_internal.consume_batch_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  operations text[],
  sizes bigint[],
  reference_ids text[] default null
)
returns setof rate_limiter.decision
language plpgsql
volatile
parallel unsafe
as $$
declare
  moment constant timestamptz := coalesce(at, clock_timestamp());
  admission record;
  terms rate_limiter_internal.cost_rates[];
begin
  perform rate_limiter_internal.check_batch(operations, sizes, reference_ids);
  admission := rate_limiter_internal.admission_of(shard_key, moment, app_id);
  -- Denials of an earlier minute are written first: the order of all that writes both.
  perform rate_limiter_internal.prepare_to_charge(moment);
  terms := rate_limiter_internal.cost_rates_at(
    shard_key, moment, app_id, operations, sizes
  );

  return query select d.* from unnest(rate_limiter_internal.consume_locked(
    shard_key, at, app_id, admission.cluster_id, operations, sizes,
    array(
      select rate_limiter_internal.cost_of(t.c_base, t.c_bw, t.unit_quantum, coalesce(s.size, 0))
      from unnest(terms) with ordinality as t (c_base, c_bw, unit_quantum, ordinality)
      join unnest(sizes) with ordinality as s (size, ordinality) using (ordinality)
      order by ordinality
    ),
    reference_ids, terms
  )) as d;
end;
$$;

comment on function rate_limiter_internal.consume_batch_at(
  integer, timestamptz, uuid, text[], bigint[], text[]
) is 'consume_batch() at a moment of the caller''s choice, null for live.';
--! EndIncluded rate_limiter_internal/decisions/consume_batch_at.sql
--! Included rate_limiter_internal/decisions/first_operations.sql
create or replace function rate_limiter_internal.first_operations(
  at timestamptz,
  app_ids uuid[],
  operations text[],
  sizes bigint[]
)
returns rate_limiter_internal.first_operation[]
language plpgsql
stable
parallel safe
as $$
declare
  costs numeric[];
begin
  costs := array(
    select rate_limiter_internal.cost_of(
      t.c_base, t.c_bw, t.unit_quantum, coalesce(o.size, 0)
    )
    from rows from (unnest(operations), unnest(sizes)) with ordinality as o (operation, size, place)
    left join rate_limiter.operation_types as t on t.name = o.operation and t.is_active
    order by o.place
  );
  return array(
    select distinct on (o.app_id)
      row(
        f.shard_key, o.app_id, o.place, o.operation, coalesce(o.size, 0), o.cost, f.has_cost_rule,
        f.has_bandwidth, f.draws_iops, f.draws_bandwidth
      )::rate_limiter_internal.first_operation
    from rows from (unnest(app_ids), unnest(operations), unnest(sizes), unnest(costs))
      with ordinality as o (app_id, operation, size, cost, place)
    join rate_limiter.app_facts as f on f.app_id = o.app_id
    where f.is_active
      and f.tenant_is_active
      and (f.suspended_until is null or f.suspended_until <= at)
      and (f.has_bandwidth or not f.needs_bandwidth_quota)
      and not f.has_shadow
      and o.cost is not null
      and (o.size > 0 or coalesce(o.size, 0) = 0 and not (f.has_bandwidth or f.draws_bandwidth))
    order by o.app_id, o.place
  );
end;
$$;

comment on function rate_limiter_internal.first_operations(
  timestamptz, uuid[], text[], bigint[]
) is
  'Of many operations each application''s first, as a bucket can be charged once in a statement: '
  'those that need no reference, no shadow quota and no quota that is missing, at the cost of the '
  'list.';
--! EndIncluded rate_limiter_internal/decisions/first_operations.sql
--! Included rate_limiter_internal/decisions/consume_many_at.sql
create or replace function rate_limiter_internal.consume_many_at(
  firsts rate_limiter_internal.first_operation[],
  at timestamptz,
  operations text[]
)
returns setof rate_limiter.decision
language plpgsql
volatile
parallel unsafe
as $$
-- Each statement reads one table, by its key, so that one server has all of it.
declare
  stripes record;
  due rate_limiter_internal.due_charge[];
  paid_keys integer[];
begin
  firsts := array(
    select row(
      o.shard_key, o.app_id, o.place, o.operation, o.bytes,
      coalesce(
        rate_limiter_internal.cost_of(c.c_base, c.c_bw, c.unit_quantum, o.bytes::bigint), o.cost
      ),
      o.has_cost_rule, o.has_bandwidth, o.draws_iops, o.draws_bandwidth
    )::rate_limiter_internal.first_operation
    from unnest(firsts) as o
    left join rate_limiter.app_costs as c
      -- Looked for by no key at all where there is none.
      on c.shard_key = case when o.has_cost_rule then o.shard_key end
      and c.app_id = o.app_id
      and c.operation = o.operation
      and c.valid_from <= at
      and (c.valid_to is null or c.valid_to > at)
  );

  -- One of each cluster, and not one of each application.
  select
    array_agg(s.shard_key) as shard_keys, array_agg(s.iops) as iops, array_agg(s.bytes) as bytes
  into stripes
  from (
    select distinct o.shard_key from unnest(firsts) as o where o.draws_iops or o.draws_bandwidth
  ) as c
  join rate_limiter_internal.layer1_stripes as s
    on s.shard_key = c.shard_key and s.stripe = rate_limiter_internal.session_stripe()
  where rate_limiter_internal.stripe_can_pay(
    s.expires_at, s.iops, s.bytes, 0, 0, at
  );

  -- Who cannot pay is not locked, because a lock is a write and a denial never writes. The others
  -- are in the one order that cannot deadlock, and as they are once they are locked.
  with locked as materialized (
    select
      o.place, o.cost, o.draws_iops or o.draws_bandwidth as draws, d.iops_drawn, d.bytes_drawn,
      o.has_bandwidth, c.charge, b.shard_key, b.owner_id, b.bucket_type, b.ledger_seq,
      b.current_tokens, b.last_refill_at,
      rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) as refilled
    from unnest(firsts) as o
    cross join lateral (
      select
        case when o.draws_iops then o.cost else 0 end,
        case when o.draws_bandwidth then o.bytes else 0 end
    ) as d (iops_drawn, bytes_drawn)
    join rate_limiter.token_buckets as b
      on b.shard_key = o.shard_key
      and b.owner_id = o.app_id
      and b.bucket_type in ('iops_l2', 'bandwidth_l2')
      and b.mode = 'enforce'
    cross join lateral (
      select
        case b.bucket_type when 'iops_l2' then o.cost else o.bytes end,
        case b.bucket_type when 'iops_l2' then o.bytes else o.cost end
    ) as c (charge, other_charge)
    where o.cost > 0
      and (b.bucket_type = 'iops_l2' or o.has_bandwidth)
      and rate_limiter_internal.can_pay(
        b.quota_valid_until, b.calculation_method, b.last_refill_at, b.current_tokens, b.capacity,
        b.refill_rate, c.charge, at
      )
      and (
        not o.has_bandwidth or (
          select rate_limiter_internal.can_pay(
            other.quota_valid_until, other.calculation_method, other.last_refill_at,
            other.current_tokens, other.capacity, other.refill_rate, c.other_charge, at
          )
          from rate_limiter.token_buckets as other
          where other.shard_key = o.shard_key
            and other.owner_id = o.app_id
            and other.bucket_type in ('iops_l2', 'bandwidth_l2')
            and other.bucket_type <> b.bucket_type
            and other.mode = 'enforce'
        )
      )
      and (
        not (o.draws_iops or o.draws_bandwidth) or exists (
          select
          from rows from (
            unnest(stripes.shard_keys), unnest(stripes.iops), unnest(stripes.bytes)
          ) as s (shard_key, iops, bytes)
          where s.shard_key = o.shard_key
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
  )
  select array_agg(
    row(
      l.shard_key, l.owner_id, l.bucket_type, l.place, l.cost, l.charge, l.draws, l.iops_drawn,
      l.bytes_drawn, l.ledger_seq, l.current_tokens, l.refilled, l.last_refill_at
    )::rate_limiter_internal.due_charge
  )
  into due
  from locked as l
  where not l.has_bandwidth or l.owner_id in (select p.owner_id from paired as p);

  -- A stripe pays for all that its cluster's applications draw here, or for none of it. There may
  -- be several, and in any order: nothing is waited for here.
  if stripes.shard_keys is not null then
    with paying as materialized (
      select d.shard_key, d.iops, d.bytes
      from (
        select u.shard_key, sum(u.iops_drawn) as iops, sum(u.bytes_drawn) as bytes
        from unnest(due) as u
        where u.bucket_type = 'iops_l2' and u.draws
        group by u.shard_key
      ) as d
      join rate_limiter_internal.layer1_stripes as s
        on s.shard_key = d.shard_key and s.stripe = rate_limiter_internal.session_stripe()
      where rate_limiter_internal.stripe_can_pay(
        s.expires_at, s.iops, s.bytes, d.iops, d.bytes, at
      )
      for no key update of s skip locked
    ),
    drawn as (
      update rate_limiter_internal.layer1_stripes as s
      set iops = s.iops - p.iops, bytes = s.bytes - p.bytes
      from paying as p
      where s.shard_key = p.shard_key and s.stripe = rate_limiter_internal.session_stripe()
      returning s.shard_key
    )
    select array_agg(p.shard_key) into paid_keys from drawn as p;
  end if;

  return query
  with charged as (
    update rate_limiter.token_buckets as b
    set
      current_tokens = d.current_tokens + d.refilled - d.charge,
      refilled = d.refilled,
      last_refill_at = greatest(d.last_refill_at, at),
      ledger_seq = d.ledger_seq + 1,
      updated_at = at
    from unnest(due) as d
    where (not d.draws or d.shard_key = any (paid_keys))
      and b.shard_key = d.shard_key
      and b.owner_id = d.owner_id
      and b.bucket_type = d.bucket_type
      and b.mode = 'enforce'
    returning
      d.place, d.cost, d.charge, b.shard_key, b.owner_id, b.bucket_type, b.ledger_seq,
      b.refilled, b.current_tokens
  ),
  recorded as (
    insert into rate_limiter.token_transactions (
      shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
      refilled, balance_after
    )
    select
      c.shard_key, c.owner_id, at, c.ledger_seq, c.bucket_type, 'enforce', 'consume', -c.charge,
      c.refilled, c.current_tokens
    from charged as c
  )
  select
    case when i.place is not null then true end, null::text, i.cost, i.current_tokens,
    w.current_tokens,
    case when i.place is not null then 0::bigint end,
    case when i.place is not null then 0::bigint end
  -- A list that is handed in, and not a series: else it would be planned anew at each call.
  from unnest(operations) with ordinality as o (operation, place)
  left join charged as i on i.place = o.place and i.bucket_type = 'iops_l2'
  left join charged as w on w.place = o.place and w.bucket_type = 'bandwidth_l2'
  order by o.place;
end;
$$;

comment on function rate_limiter_internal.consume_many_at(
  rate_limiter_internal.first_operation[], timestamptz, text[]
) is
  'consume_many() of each application''s first operation (first_operations), at a moment of the '
  'caller''s choice: for tests.';
--! EndIncluded rate_limiter_internal/decisions/consume_many_at.sql
--! Included rate_limiter_internal/decisions/check_limit_at.sql
create or replace function rate_limiter_internal.check_limit_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  operation text,
  size_bytes bigint
)
returns rate_limiter.decision
language plpgsql
stable
parallel restricted
as $$
declare
  admission record;
  needs record;
begin
  admission := rate_limiter_internal.admission_of(shard_key, at, app_id);
  needs := rate_limiter_internal.quotas_needed(
    shard_key, app_id, admission.cluster_id
  );
  return (rate_limiter_internal.decide_batch(
    at,
    array[rate_limiter_internal.cost_at(
      shard_key, at, app_id, operation, coalesce(size_bytes, 0)
    )],
    array[size_bytes],
    null,
    rate_limiter_internal.buckets_at(
      shard_key, at, app_id, admission.cluster_id, needs.expected
    ),
    needs.iops,
    needs.bandwidth,
    rate_limiter_internal.prefetched_at(shard_key, at),
    app_id
  )).decisions[1];
end;
$$;

comment on function rate_limiter_internal.check_limit_at(
  integer, timestamptz, uuid, text, bigint
) is
  'check_limit() at a moment of the caller''s choice: for tests.';
--! EndIncluded rate_limiter_internal/decisions/check_limit_at.sql
--! Included rate_limiter/decisions/check_limit.sql
create or replace function rate_limiter.check_limit(
  app_id uuid,
  operation text,
  size_bytes bigint default 0
)
returns rate_limiter.decision
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return rate_limiter_internal.check_limit_at(
    rate_limiter_internal.app_shard_key(app_id), clock_timestamp(), app_id, operation, size_bytes
  );
end;
$$;

comment on function rate_limiter.check_limit(uuid, text, bigint) is
  'The answer that consume() would give now, without taking anything. Raises what it raises.';
grant execute on function rate_limiter.check_limit(uuid, text, bigint)
  to rate_limiter_app;
--! EndIncluded rate_limiter/decisions/check_limit.sql
--! Included rate_limiter/decisions/consume.sql
create or replace function rate_limiter.consume(
  app_id uuid,
  operation text,
  size_bytes bigint default 0,
  reference_id text default null
)
returns rate_limiter.decision
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  at constant timestamptz := clock_timestamp();
  app rate_limiter_internal.decision_facts;
begin
  -- Where the shard key is looked up, the rest of the facts is at hand.
  select
    f.shard_key, f.cluster_id, f.has_shadow, f.has_cost_rule, f.draws_iops, f.draws_bandwidth,
    f.has_bandwidth or f.needs_bandwidth_quota, f.bucket_generation
  into app
  from rate_limiter.app_facts as f
  where f.app_id = consume.app_id
    and f.is_active
    and f.tenant_is_active
    and (f.suspended_until is null or f.suspended_until <= at);

  return rate_limiter_internal.consume_at(
    app.shard_key, at, app_id, operation, size_bytes, reference_id, true, app
  );
end;
$$;

comment on function rate_limiter.consume(uuid, text, bigint, text) is
  'Decides whether an operation of an application may run now, and charges it if so. A retry '
  'under the same reference_id is answered as before and takes nothing, until the charge is '
  'refunded. A denial is an answer. '
  'Raises QS404 for an unknown application or operation, QS403 for an inactive application, '
  'tenant or operation, QS422 for a negative size.';
grant execute on function rate_limiter.consume(uuid, text, bigint, text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/decisions/consume.sql
--! Included rate_limiter/decisions/consume_with_key.sql
create or replace function rate_limiter.consume_with_key(
  api_key text,
  operation text,
  size_bytes bigint default 0,
  reference_id text default null
)
returns rate_limiter.decision
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  at constant timestamptz := clock_timestamp();
  app_id uuid;
  shard_key integer;
begin
  select k.app_id, k.shard_key
  into app_id, shard_key
  from rate_limiter_private.api_keys as k
  where k.key_hash = sha256(convert_to(api_key, 'UTF8'))
    and (k.expires_at is null or k.expires_at > at)
    and (k.revoked_at is null or k.revoked_at > at);
  if app_id is null then
    perform rate_limiter_internal.application_of_key_at(at, api_key);
  end if;

  return rate_limiter_internal.consume_at(
    shard_key, at, app_id, operation, size_bytes, reference_id, is_live => true
  );
end;
$$;

comment on function rate_limiter.consume_with_key(text, text, bigint, text) is
  'consume() for the application that an API key opens. Raises QS401 for a key that is unknown, '
  'expired or revoked, and what consume() raises.';
grant execute on function rate_limiter.consume_with_key(text, text, bigint, text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/decisions/consume_with_key.sql
--! Included rate_limiter/decisions/consume_batch.sql
create or replace function rate_limiter.consume_batch(
  app_id uuid,
  operations text[],
  sizes bigint[],
  reference_ids text[] default null
)
returns setof rate_limiter.decision
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  shard_key constant integer := rate_limiter_internal.app_shard_key(app_id);
  at constant timestamptz := clock_timestamp();
  decisions rate_limiter.decision[];
begin
  perform rate_limiter_internal.require_read_committed();
  decisions := array(
    select d
    from rate_limiter_internal.consume_batch_at(
      shard_key, null, app_id, operations, sizes, reference_ids
    ) as d
  );

  perform rate_limiter_internal.count_denial(
    shard_key, at, app_id, denied.reason, denied.tokens, denied.bytes, denied.operations
  )
  from (
    select
      d.reason, sum(d.cost) as tokens, sum(coalesce(s.size, 0)) as bytes,
      count(*) as operations
    from unnest(decisions) with ordinality as d
    join unnest(sizes) with ordinality as s (size, ordinality) using (ordinality)
    where not d.allowed
    group by d.reason
  ) as denied;

  return query select d.* from unnest(decisions) as d;
end;
$$;

comment on function rate_limiter.consume_batch(uuid, text[], bigint[], text[]) is
  'Decides on up to 1000 operations one after the other at one moment, each as consume() '
  'would, and answers in their order. Raises what consume() raises, for the whole batch.';
grant execute on function rate_limiter.consume_batch(uuid, text[], bigint[], text[])
  to rate_limiter_app;
--! EndIncluded rate_limiter/decisions/consume_batch.sql
--! Included rate_limiter/decisions/consume_many.sql
create or replace function rate_limiter.consume_many(
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
declare
  at constant timestamptz := clock_timestamp();
begin
  perform rate_limiter_internal.require_read_committed();
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
  return query select d.* from rate_limiter_internal.consume_many_at(
    rate_limiter_internal.first_operations(at, app_ids, operations, sizes), at,
    operations
  ) as d;
end;
$$;

comment on function rate_limiter.consume_many(uuid[], text[], bigint[]) is
  'Admits operations of many applications at one moment, as consume() would each: those that '
  'need nothing but tokens which their applications hold, and which were drawn on layer 1 ahead '
  'of need, one of each application. Answers in their order, with a row of nulls for every '
  'other operation: nothing was charged for it, and consume() decides on it, or says what is '
  'wrong with it. To be called in a transaction of its own. Raises QS422 for arrays that differ '
  'in length or hold more than 1000 operations.';
grant execute on function rate_limiter.consume_many(uuid[], text[], bigint[])
  to rate_limiter_app;
--! EndIncluded rate_limiter/decisions/consume_many.sql
