--! Previous: sha1:9902e44573ba7f3b16c2af4965c10839a2c335ac
--! Hash: sha1:48226e198bc7c447754e017c0360356c21ab7502
--! Message: refunds give back time too

-- The migration being written.
--! Included rate_limiter_internal/functions/setting_problem.sql
create or replace function rate_limiter_internal.setting_problem(
  value text,
  value_type text,
  minimum numeric,
  maximum numeric
)
returns text
language sql
immutable
parallel safe
return case
  when value is null then 'a value is required'
  when value_type = 'boolean' and value not in ('true', 'false') then 'must be true or false'
  when value_type = 'integer' and value !~ '^-?[0-9]{1,18}$' then 'must be a whole number'
  when value_type = 'numeric' and value !~ '^-?[0-9]{1,18}(\.[0-9]{1,9})?$' then
    'must be a plain decimal number with at most nine digits after the point'
  when value_type in ('integer', 'numeric') and value::numeric < minimum then
    'must be at least ' || minimum
  when value_type in ('integer', 'numeric') and value::numeric > maximum then
    'must be at most ' || maximum
end;

comment on function rate_limiter_internal.setting_problem(text, text, numeric, numeric) is
  'Why a value does not fit a setting of this type and bounds; null where it fits.';
--! EndIncluded rate_limiter_internal/functions/setting_problem.sql
--! Included rate_limiter_internal/functions/wait_ms.sql
create or replace function rate_limiter_internal.wait_ms(
  at timestamptz,
  calculation_method rate_limiter.calculation_method,
  burst_duration_seconds integer,
  refill_rate bigint,
  last_refill_at timestamptz,
  shortage numeric
)
returns bigint
language sql
immutable
parallel safe
as $$
  select case calculation_method
    when 'fixed_window' then rate_limiter_internal.fixed_window_wait_ms(
      at, burst_duration_seconds, last_refill_at
    )
    else least(
      ceil(
        extract(epoch from greatest(last_refill_at - at, interval '0')) * 1000
        + div(shortage * 1000000 + refill_rate - 1, refill_rate) * 0.001
      ),
      9223372036854775807
    )::bigint
  end;
$$;

comment on function rate_limiter_internal.wait_ms(
  timestamptz, rate_limiter.calculation_method, integer, bigint, timestamptz, numeric
) is
  'Milliseconds, rounded up, from a moment until a bucket will hold what it lacks; in a fixed '
  'window until the next one starts. Inlined into the statements that call it.';
--! EndIncluded rate_limiter_internal/functions/wait_ms.sql
--! Included rate_limiter_internal/functions/leaky_delay_ms.sql
create or replace function rate_limiter_internal.leaky_delay_ms(
  tokens numeric,
  capacity numeric,
  refill_rate bigint
)
returns bigint
language sql
immutable
parallel safe
as $$
  select least(
    greatest(div((capacity - tokens) * 1000 + refill_rate - 0.001, refill_rate), 0),
    9223372036854775807
  )::bigint;
$$;

comment on function rate_limiter_internal.leaky_delay_ms(numeric, numeric, bigint) is
  'Milliseconds, rounded up, to hold an operation back so that the operations of a leaky '
  'bucket, with these tokens before the charge, leave at its steady rate.';
--! EndIncluded rate_limiter_internal/functions/leaky_delay_ms.sql
--! Included rate_limiter_internal/functions/bucket_under_terms.sql
create or replace function rate_limiter_internal.bucket_under_terms(
  at timestamptz,
  inout bucket rate_limiter.token_buckets,
  out adjusted numeric
)
language plpgsql
stable
parallel safe
as $$
declare
  terms rate_limiter_internal.quota_terms;
  change_at timestamptz;
  inflow numeric;
begin
  adjusted := 0;
  bucket.refilled := 0;

  while at >= bucket.terms_until loop
    -- A bucket is full since its quotas took force, whoever looked at it since then.
    change_at := case when isfinite(bucket.terms_until) then bucket.terms_until
      else coalesce(
        rate_limiter_internal.in_force_since(
          at, bucket.owner_id, bucket.bucket_type, bucket.mode
        ),
        at
      )
    end;

    if bucket.capacity is not null then
      inflow := rate_limiter_internal.refill(
        bucket.current_tokens, bucket.capacity, bucket.refill_rate, bucket.calculation_method,
        bucket.burst_duration_seconds, bucket.last_refill_at, change_at
      );
      bucket.refilled := bucket.refilled + inflow;
      bucket.current_tokens := bucket.current_tokens + inflow;
    end if;

    terms := rate_limiter_internal.quota_terms_at(
      change_at, bucket.owner_id, bucket.bucket_type, bucket.mode
    );
    -- No quota, no bucket; a new bucket is full; a smaller one drops what it cannot hold. Where the
    -- same quota goes on, as one that was to follow it was cancelled, nothing changes.
    inflow := case
      when terms.config_id = bucket.config_id and terms.capacity = bucket.capacity then 0
      when terms.capacity is null then -bucket.current_tokens
      when bucket.capacity is null then terms.capacity - bucket.current_tokens
      else least(terms.capacity - bucket.current_tokens, 0)
    end;
    adjusted := adjusted + inflow;
    bucket.current_tokens := bucket.current_tokens + inflow;
    bucket.last_refill_at := case when bucket.capacity is null then change_at
      else greatest(bucket.last_refill_at, change_at) end;

    bucket.config_id := terms.config_id;
    bucket.capacity := terms.capacity;
    bucket.terms_until := terms.terms_until;
    if terms.capacity is not null then
      bucket.calculation_method := terms.calculation_method;
      bucket.refill_rate := terms.refill_rate;
      bucket.burst_duration_seconds := terms.burst_duration_seconds;
      bucket.min_reserve := terms.min_reserve;
      bucket.allow_oversize := terms.allow_oversize;
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.bucket_under_terms(
  timestamptz, rate_limiter.token_buckets
) is
  'A bucket under the terms in force at a moment, as it stood when they took force: refilled '
  'under each of the terms up to the next. adjusted: tokens that changes of terms added or took.';
--! EndIncluded rate_limiter_internal/functions/bucket_under_terms.sql
--! Included rate_limiter_internal/functions/lock_owners.sql
create or replace function rate_limiter_internal.lock_owners(
  at timestamptz,
  owner_ids uuid[]
)
returns rate_limiter.token_buckets[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  owner uuid;
  bucket rate_limiter.token_buckets;
  buckets rate_limiter.token_buckets[] := '{}';
begin
  -- A query for each owner, because a lock is taken when a row is fetched.
  foreach owner in array owner_ids loop
    for bucket in
      select b.*
      from rate_limiter.token_buckets as b
      where b.owner_id = owner
      order by b.bucket_type, b.mode
      for update
    loop
      bucket := rate_limiter_internal.locked_bucket_at(at, bucket);
      if bucket.capacity is not null then
        buckets := buckets || bucket;
      end if;
    end loop;
  end loop;
  return buckets;
end;
$$;

comment on function rate_limiter_internal.lock_owners(timestamptz, uuid[]) is
  'Locks the buckets of owners until the end of the transaction, and returns those with a quota '
  'in force as they stand at a moment. The caller names applications first, then clusters, each '
  'kind in order.';
--! EndIncluded rate_limiter_internal/functions/lock_owners.sql
--! Included rate_limiter_internal/functions/lock_buckets.sql
create or replace function rate_limiter_internal.lock_buckets(
  at timestamptz,
  app_id uuid,
  cluster_id uuid
)
returns rate_limiter.token_buckets[]
language plpgsql
volatile
parallel unsafe
as $$
begin
  return rate_limiter_internal.lock_owners(at, array_remove(array[app_id, cluster_id], null));
end;
$$;

comment on function rate_limiter_internal.lock_buckets(timestamptz, uuid, uuid) is
  'Like buckets_at, and locks the buckets until the end of the transaction: layer 2 first, '
  'which is also the order they are returned in.';
--! EndIncluded rate_limiter_internal/functions/lock_buckets.sql
--! Included rate_limiter_internal/functions/credit_bucket.sql
create or replace function rate_limiter_internal.credit_bucket(
  at timestamptz,
  bucket rate_limiter.token_buckets,
  tokens numeric
)
returns rate_limiter.token_buckets
language plpgsql
immutable
parallel safe
as $$
declare
  held numeric := least(tokens, greatest(bucket.capacity - bucket.current_tokens, 0));
  beyond numeric;
begin
  bucket.current_tokens := bucket.current_tokens + held;

  -- What a charge took beyond the bucket is owed in time. Windows are not: one that began twice
  -- would give its tokens twice.
  if tokens > held
    and bucket.last_refill_at > at
    and bucket.calculation_method <> 'fixed_window'
  then
    beyond := least(tokens - held, bucket.refill_rate * 3155760000::numeric);
    bucket.last_refill_at := greatest(
      at,
      bucket.last_refill_at
        - format('%s us', div(beyond * 1000000, bucket.refill_rate))::interval
    );
  end if;
  return bucket;
end;
$$;

comment on function rate_limiter_internal.credit_bucket(
  timestamptz, rate_limiter.token_buckets, numeric
) is
  'A bucket, as it stands at a moment, after tokens were given back to it: up to its capacity, and '
  'what is more than fits shortens the time that it still pays back in, rounded down to a '
  'microsecond.';
--! EndIncluded rate_limiter_internal/functions/credit_bucket.sql
--! Included rate_limiter_internal/functions/give_back.sql
create or replace function rate_limiter_internal.give_back(
  at timestamptz,
  charges rate_limiter_internal.bucket_charge[],
  transaction_type rate_limiter.transaction_type,
  reference_id text,
  metadata jsonb default null
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  charge rate_limiter_internal.bucket_charge;
  before rate_limiter.token_buckets;
  after rate_limiter.token_buckets;
begin
  -- Charges are remembered in lock order.
  foreach charge in array charges loop
    before := rate_limiter_internal.lock_bucket(
      at, charge.owner_id, charge.bucket_type, charge.mode
    );
    continue when before.capacity is null;
    after := rate_limiter_internal.credit_bucket(at, before, charge.tokens);
    perform rate_limiter_internal.write_buckets(
      at, transaction_type, array[before], array[after], reference_id, metadata
    );
  end loop;
end;
$$;

comment on function rate_limiter_internal.give_back(
  timestamptz, rate_limiter_internal.bucket_charge[], rate_limiter.transaction_type, text, jsonb
) is
  'Credits buckets with what they were charged, none above its capacity: see credit_bucket. '
  'A bucket whose quota is gone gets nothing.';
--! EndIncluded rate_limiter_internal/functions/give_back.sql
--! Included rate_limiter_internal/functions/moment_or_null.sql
create or replace function rate_limiter_internal.moment_or_null(spelled text)
returns timestamptz
language plpgsql
stable
parallel restricted
as $$
begin
  -- A date with an offset: without one its meaning would hang on the session's time zone.
  if spelled ~ (
    '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?'
    '(Z|[+-][0-9]{2}(:?[0-9]{2})?)$'
  ) then
    return spelled::timestamptz;
  end if;
  return null;
exception
  when invalid_datetime_format or datetime_field_overflow or invalid_parameter_value
    or invalid_time_zone_displacement_value
  then
    return null;
end;
$$;

comment on function rate_limiter_internal.moment_or_null(text) is
  'The moment that an ISO 8601 text with an offset names; null for anything else.';
--! EndIncluded rate_limiter_internal/functions/moment_or_null.sql
--! Included rate_limiter_internal/functions/check_denials.sql
create or replace function rate_limiter_internal.check_denials(denials jsonb)
returns void
language plpgsql
stable
parallel restricted
as $$
declare
  problem text;
begin
  if jsonb_typeof(denials) <> 'array' then
    problem := 'not an array';
  elsif jsonb_array_length(denials) > 1000 then
    problem := format('%s counts, at most 1000', jsonb_array_length(denials));
  else
    select format('position %s', d.position)
    into problem
    from jsonb_array_elements(denials) with ordinality as d (count, position)
    where rate_limiter_internal.moment_or_null(d.count ->> 'minute') is null
      or coalesce(d.count ->> 'reason', '') not in (
        'iops_l2', 'bandwidth_l2', 'iops_l1', 'bandwidth_l1', 'exceeds_capacity'
      )
      or coalesce(d.count ->> 'operations', '') !~ '^[1-9][0-9]{0,14}$'
      or coalesce(d.count ->> 'tokens', '0') !~ '^[0-9]{1,24}(\.[0-9]{1,6})?$'
      or coalesce(d.count ->> 'bytes', '0') !~ '^[0-9]{1,24}(\.0{1,6})?$'
    order by d.position
    limit 1;
  end if;

  if problem is not null then
    raise exception using
      errcode = 'QS422',
      message = 'denials are malformed',
      detail = problem,
      hint = 'Each count has minute, reason, operations, and where known tokens and bytes.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_denials(jsonb) is
  'Raises QS422 unless this is a list of counts of denials that record_denials() can take.';
--! EndIncluded rate_limiter_internal/functions/check_denials.sql
--! Included rate_limiter_internal/functions/record_denials.sql
create or replace function rate_limiter_internal.record_denials(app_id uuid, denials jsonb)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  this_minute constant timestamptz := date_trunc('minute', clock_timestamp());
begin
  -- What is no application is refused by what takes the counts along.
  if denials is null or denials = '[]' or app_id is null then
    return;
  end if;
  perform rate_limiter_internal.check_denials(denials);

  -- A client's clock may be off: no count lies in the future, none further back than a day, which
  -- is what there are partitions for.
  insert into rate_limiter.denial_counts (app_id, minute, reason, operations, tokens, bytes)
  select
    record_denials.app_id,
    least(
      greatest(
        date_trunc('minute', rate_limiter_internal.moment_or_null(d ->> 'minute')),
        this_minute - interval '1 day'
      ),
      this_minute
    ) as minute,
    d ->> 'reason' as reason,
    sum((d ->> 'operations')::bigint),
    sum(coalesce((d ->> 'tokens')::numeric, 0)),
    sum(coalesce((d ->> 'bytes')::numeric, 0))
  from jsonb_array_elements(denials) as d
  group by 2, 3;
end;
$$;

comment on function rate_limiter_internal.record_denials(uuid, jsonb) is
  'Keeps counts of denials that a client made in its memory: [{"minute": "2026-01-01T00:00Z", '
  '"reason": "iops_l2", "operations": 12, "tokens": "34.5", "bytes": 123}]. Null or an empty '
  'list writes nothing. Raises QS422 for anything else.';
--! EndIncluded rate_limiter_internal/functions/record_denials.sql
--! Included rate_limiter_internal/functions/is_list.sql
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
--! EndIncluded rate_limiter_internal/functions/is_list.sql
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
  'Raises QS422 for a batch that is empty, too long, uneven, of arrays that are no plain lists, or '
  'names an operation twice.';
--! EndIncluded rate_limiter_internal/functions/check_batch.sql
--! Included rate_limiter_internal/functions/costs_before.sql
create or replace function rate_limiter_internal.costs_before(
  app_id uuid,
  reference_ids text[]
)
returns numeric[]
language plpgsql
stable
parallel safe
as $$
begin
  return (
    select array_agg(c.cost order by w.ordinality)
    from unnest(reference_ids) with ordinality as w (reference_id, ordinality)
    left join rate_limiter.charges as c
      on c.app_id = costs_before.app_id
      and c.reference_id = w.reference_id
      and c.refunded_at is null
  );
end;
$$;

comment on function rate_limiter_internal.costs_before(uuid, text[]) is
  'What each reference of an application was charged already; null where it was not, or was given '
  'back: what runs then has to be paid for.';
--! EndIncluded rate_limiter_internal/functions/costs_before.sql
--! Included rate_limiter_internal/functions/write_charges.sql
create or replace function rate_limiter_internal.write_charges(
  at timestamptz,
  app_id uuid,
  operations text[],
  sizes bigint[],
  reference_ids text[],
  costs_before numeric[],
  decisions rate_limiter.decision[],
  buckets rate_limiter.token_buckets[]
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  -- Where an application has no bucket, no lock kept a retry from coming in between.
  insert into rate_limiter.charges as c
    (app_id, reference_id, operation, size_bytes, cost, charged, charged_at)
  select
    write_charges.app_id, reference_ids[i], operations[i], sizes[i], decisions[i].cost,
    rate_limiter_internal.charges_of(
      buckets, decisions[i].cost, sizes[i], decisions[i].reason is null
    ),
    at
  from generate_subscripts(decisions, 1) as i
  where decisions[i].allowed
    and reference_ids[i] is not null
    and costs_before[i] is null
  -- Two batches that have references in common meet at them in one order.
  order by reference_ids[i]
  on conflict on constraint charges_pkey do update
  set
    operation = excluded.operation,
    size_bytes = excluded.size_bytes,
    cost = excluded.cost,
    charged = excluded.charged,
    charged_at = excluded.charged_at,
    settled_at = null,
    refunded_at = null
  where c.refunded_at is not null;
end;
$$;

comment on function rate_limiter_internal.write_charges(
  timestamptz, uuid, text[], bigint[], text[], numeric[], rate_limiter.decision[],
  rate_limiter.token_buckets[]
) is
  'Remembers what the admitted operations that carry a reference were charged, in place of a '
  'charge that was given back.';
--! EndIncluded rate_limiter_internal/functions/write_charges.sql
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
-- The hottest code of the product, and flat for that: what changes is read by its key in statements
-- of their own, because arrays, rows that pass between functions, and one statement for all were
-- measured to cost more (docs/performance.md).
declare
  app record;
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
  may_pay boolean;
  drawn record;
  lost_races integer := 0;
  decision rate_limiter.decision;
begin
  loop
    select
      a.cluster_id, a.has_shadow, a.has_cost_rule, a.has_bandwidth, a.draws_iops,
      a.draws_bandwidth,
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
      select rate_limiter_internal.cost_of(
        coalesce(r.c_base_override, o.c_base), coalesce(r.c_bw_override, o.c_bw), o.unit_quantum,
        size_bytes
      )
      into cost
      from rate_limiter.operation_types as o
      left join rate_limiter.cost_rules as r
        on r.app_id = consume_at.app_id
        and r.operation_id = o.operation_id
        and r.is_active
        and r.valid_from <= at
        and (r.valid_to is null or r.valid_to > at)
      where o.name = operation and o.is_active and size_bytes >= 0;
    else
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

    -- The short road: the application's own buckets can pay, and so can what was drawn on layer 1
    -- ahead of need. Bandwidth, charged last, is looked at first, so that a denial finds out before
    -- anything is written, and again where it changed while this decision waited for its turn.
    loop
      if app.has_bandwidth then
        select
          b.ledger_seq, b.terms_until, b.current_tokens, b.capacity, b.refill_rate,
          b.last_refill_at
        into bandwidth
        from rate_limiter.token_buckets as b
        where b.owner_id = consume_at.app_id
          and b.bucket_type = 'bandwidth_l2'
          and b.mode = 'enforce'
          and b.capacity is not null;
        bytes_refilled := rate_limiter_internal.inflow(
          bandwidth.current_tokens, bandwidth.capacity, bandwidth.refill_rate,
          bandwidth.last_refill_at, at
        );
        bytes_left := bandwidth.current_tokens + bytes_refilled - size_bytes;
        exit when (at < bandwidth.terms_until and bytes_left >= 0) is not true;
      end if;

      if iops_drawn is not null and not is_charged then
        select true
        into may_pay
        from rate_limiter_internal.layer_1_stripes as s
        where s.cluster_id = app.cluster_id
          and s.stripe = rate_limiter_internal.own_stripe()
          and rate_limiter_internal.stripe_pays(s, iops_drawn, bytes_drawn, at);
        exit when not found;
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
          ledger_seq = b.ledger_seq + 1,
          updated_at = at
        where b.owner_id = consume_at.app_id
          and b.bucket_type = 'iops_l2'
          and b.mode = 'enforce'
          and b.calculation_method <> 'fixed_window'
          and at < b.terms_until
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
          ledger_seq = bandwidth.ledger_seq + 1,
          updated_at = at
        where b.owner_id = consume_at.app_id
          and b.bucket_type = 'bandwidth_l2'
          and b.mode = 'enforce'
          and b.ledger_seq = bandwidth.ledger_seq
          and b.terms_until = bandwidth.terms_until;
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
            app_id, at, bandwidth.ledger_seq + 1, 'bandwidth_l2', 'enforce', 'consume',
            -size_bytes, bytes_refilled, bytes_left
          );
      end if;
      if iops_drawn is not null then
        update rate_limiter_internal.layer_1_stripes as s
        set iops = s.iops - iops_drawn, bytes = s.bytes - bytes_drawn
        where s.cluster_id = app.cluster_id
          and s.stripe = rate_limiter_internal.own_stripe()
          and rate_limiter_internal.stripe_pays(s, iops_drawn, bytes_drawn, at);
        if not found then
          -- A session that shares the stripe was faster.
          perform rate_limiter_internal.take_back(at, app_id, 'iops_l2', cost);
          perform rate_limiter_internal.take_back(
            at, app_id, 'bandwidth_l2', case when app.has_bandwidth then size_bytes end
          );
          is_charged := false;
          exit;
        end if;
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
      at, app_id, app.cluster_id, cost, size_bytes, coalesce(iops_drawn, 0),
      coalesce(bytes_drawn, 0)
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
    decision := (rate_limiter_internal.consume_exactly(
      at, app_id, app.cluster_id, array[operation], array[coalesce(size_bytes, 0)], array[cost],
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
  'Under a reference that was charged before, and not refunded, it answers as then and takes '
  'nothing. Plain decisions take a short road that locks nothing ahead; all others, and those that '
  'lose three races, the one of consume_exactly.';
--! EndIncluded rate_limiter_internal/functions/consume_at.sql
--! Included rate_limiter_internal/functions/recharge_buckets.sql
drop function if exists rate_limiter_internal.recharge_buckets(
  rate_limiter.token_buckets[], rate_limiter_internal.bucket_charge[], numeric, numeric
);

create or replace function rate_limiter_internal.recharge_buckets(
  at timestamptz,
  buckets rate_limiter.token_buckets[],
  charged rate_limiter_internal.bucket_charge[],
  cost numeric,
  bytes numeric
)
returns rate_limiter.token_buckets[]
language plpgsql
immutable
parallel safe
as $$
declare
  bucket rate_limiter.token_buckets;
  difference numeric;
begin
  for i in 1 .. cardinality(buckets) loop
    bucket := buckets[i];
    continue when bucket.mode = 'shadow' and not rate_limiter_internal.has_shadow(charged);

    difference := case when rate_limiter_internal.is_bandwidth(bucket.bucket_type)
      then bytes else cost end - coalesce((
        select sum(c.tokens)
        from unnest(charged) as c
        where c.owner_id = bucket.owner_id
          and c.bucket_type = bucket.bucket_type
          and c.mode = bucket.mode
      ), 0);
    if difference < 0 then
      bucket := rate_limiter_internal.credit_bucket(at, bucket, -difference);
    elsif difference <= bucket.current_tokens then
      bucket.current_tokens := bucket.current_tokens - difference;
    else
      -- The operation has run: what is not there to pay for it is paid back in time.
      bucket.last_refill_at := rate_limiter_internal.paid_back_at(
        bucket.last_refill_at,
        least(difference - bucket.current_tokens, bucket.refill_rate * 3155760000::numeric),
        bucket.refill_rate
      );
      bucket.current_tokens := 0.000000;
    end if;
    buckets[i] := bucket;
  end loop;
  return buckets;
end;
$$;

comment on function rate_limiter_internal.recharge_buckets(
  timestamptz, rate_limiter.token_buckets[], rate_limiter_internal.bucket_charge[], numeric,
  numeric
) is
  'Buckets, as they stand at a moment, after an operation that they were charged for turned out to '
  'cost something else: less is given back, more is taken, if need be out of what flows in later.';
--! EndIncluded rate_limiter_internal/functions/recharge_buckets.sql
--! Included rate_limiter_internal/functions/settle_at.sql
create or replace function rate_limiter_internal.settle_at(
  at timestamptz,
  app_id uuid,
  reference_id text,
  actual_size_bytes bigint
)
returns rate_limiter.settlement
language plpgsql
volatile
parallel unsafe
as $$
declare
  charge rate_limiter.charges;
  cluster_id uuid;
  new_cost numeric;
  before rate_limiter.token_buckets[];
begin
  select c.* into charge
  from rate_limiter.charges as c
  where c.app_id = settle_at.app_id and c.reference_id = settle_at.reference_id
  for update;

  if not found or charge.settled_at is not null or charge.refunded_at is not null then
    return row(false, charge.cost, charge.size_bytes);
  elsif actual_size_bytes is null or actual_size_bytes < 0 then
    raise exception using
      errcode = 'QS422',
      message = 'size is negative',
      detail = format('size_bytes: %s', actual_size_bytes),
      hint = 'Give the size of the operation in bytes, 0 or more.';
  end if;

  new_cost := rate_limiter_internal.price_at(
    charge.charged_at, app_id, charge.operation, actual_size_bytes
  );
  -- The cluster that was charged, also where the application has moved since.
  select coalesce(
    (
      select c.owner_id
      from unnest(charge.charged) as c
      where c.bucket_type in ('iops_l1', 'bandwidth_l1')
      limit 1
    ),
    a.cluster_id
  )
  into cluster_id
  from rate_limiter.applications as a
  where a.app_id = settle_at.app_id;
  before := rate_limiter_internal.lock_buckets(at, app_id, cluster_id);
  perform rate_limiter_internal.write_buckets(
    at, 'settle', before,
    rate_limiter_internal.recharge_buckets(
      at, before, charge.charged, new_cost, actual_size_bytes
    ),
    reference_id, jsonb_build_object('size_bytes', actual_size_bytes)
  );

  update rate_limiter.charges as c
  set
    settled_at = at,
    size_bytes = actual_size_bytes,
    cost = new_cost,
    charged = rate_limiter_internal.charges_of(
      before, new_cost, actual_size_bytes, rate_limiter_internal.has_shadow(charge.charged)
    )
  where c.app_id = charge.app_id and c.reference_id = charge.reference_id;

  return row(true, new_cost, actual_size_bytes);
end;
$$;

comment on function rate_limiter_internal.settle_at(timestamptz, uuid, text, bigint) is
  'settle() at a moment of the caller''s choice; settled is false for a reference that was '
  'never charged, or that is settled or refunded already.';
--! EndIncluded rate_limiter_internal/functions/settle_at.sql
--! Included rate_limiter_internal/functions/propose_lease.sql
create or replace function rate_limiter_internal.propose_lease(
  at timestamptz,
  app_id uuid,
  buckets rate_limiter.token_buckets[],
  tokens numeric,
  bytes numeric,
  lifetime interval
)
returns rate_limiter.lease_grant
language plpgsql
stable
parallel safe
as $$
declare
  lease rate_limiter.lease_grant;
  max_share numeric := rate_limiter_internal.setting_numeric('lease_max_share');
  life interval := coalesce(
    lifetime, rate_limiter_internal.setting_interval_seconds('lease_seconds')
  );
begin
  -- By the moment it ends, too: months count as thirty days, which not all of them have.
  if life not between interval '100 ms' and interval '1 hour'
    or at + life not between at + interval '100 ms' and at + interval '1 hour'
  then
    raise exception using
      errcode = 'QS422',
      message = 'lifetime is not between 100 milliseconds and one hour',
      detail = format('lifetime: %s', life),
      hint = 'Ask for a shorter lease, and renew it.';
  end if;

  select
    coalesce(bool_or(not rate_limiter_internal.is_bandwidth(b.bucket_type)), false),
    coalesce(bool_or(rate_limiter_internal.is_bandwidth(b.bucket_type)), false)
  into lease.is_limited_tokens, lease.is_limited_bytes
  from unnest(buckets) as b
  where b.mode = 'enforce';

  lease.tokens := rate_limiter_internal.grantable(buckets, false, tokens, max_share);
  lease.bytes := rate_limiter_internal.grantable(buckets, true, bytes, max_share);
  lease.expires_at := at + life;
  lease.lifetime_ms := div(extract(epoch from lease.expires_at - at) * 1000, 1);
  lease.retry_after_ms := greatest(
    rate_limiter_internal.lease_wait_ms(at, buckets, false, tokens - lease.tokens),
    rate_limiter_internal.lease_wait_ms(at, buckets, true, bytes - lease.bytes)
  );

  select count(distinct l.holder) + 1 into lease.holders
  from rate_limiter.token_leases as l
  where l.app_id = propose_lease.app_id
    and l.settled_at is null
    and l.expires_at > at;
  return lease;
end;
$$;

comment on function rate_limiter_internal.propose_lease(
  timestamptz, uuid, rate_limiter.token_buckets[], numeric, numeric, interval
) is
  'The lease that buckets, as they stand at a moment, can give of what is asked for. Writes '
  'nothing. Raises QS422 for a lifetime out of bounds.';
--! EndIncluded rate_limiter_internal/functions/propose_lease.sql
--! Included rate_limiter_internal/functions/grant_lease.sql
create or replace function rate_limiter_internal.grant_lease(
  at timestamptz,
  app_id uuid,
  buckets rate_limiter.token_buckets[],
  tokens numeric,
  bytes numeric,
  lifetime interval,
  holder text
)
returns rate_limiter.lease_grant
language plpgsql
volatile
parallel unsafe
as $$
declare
  lease rate_limiter.lease_grant;
begin
  lease := rate_limiter_internal.propose_lease(at, app_id, buckets, tokens, bytes, lifetime);
  if lease.tokens > 0 or lease.bytes > 0 then
    lease.lease_id := rate_limiter_internal.write_lease(at, app_id, buckets, lease, holder);
  end if;
  return lease;
end;
$$;

comment on function rate_limiter_internal.grant_lease(
  timestamptz, uuid, rate_limiter.token_buckets[], numeric, numeric, interval, text
) is
  'The lease that locked buckets give, taken out of them; without an id where they give nothing.';
--! EndIncluded rate_limiter_internal/functions/grant_lease.sql
--! Included rate_limiter_internal/functions/lease_tokens_at.sql
create or replace function rate_limiter_internal.lease_tokens_at(
  at timestamptz,
  app_id uuid,
  tokens numeric,
  bytes numeric,
  lifetime interval default null,
  holder text default null
)
returns rate_limiter.lease_grant
language plpgsql
volatile
parallel unsafe
as $$
declare
  admission record;
  buckets rate_limiter.token_buckets[];
  lease rate_limiter.lease_grant;
begin
  perform rate_limiter_internal.check_amount(tokens, 'tokens');
  perform rate_limiter_internal.check_amount(bytes, 'bytes');
  admission := rate_limiter_internal.admission_of(app_id);
  perform rate_limiter_internal.apply_durability(admission.synchronous_commit);

  -- Nothing to give writes nothing: see consume_exactly.
  buckets := rate_limiter_internal.buckets_at(at, app_id, admission.cluster_id);
  lease := rate_limiter_internal.propose_lease(at, app_id, buckets, tokens, bytes, lifetime);
  if lease.tokens > 0 or lease.bytes > 0 then
    lease := rate_limiter_internal.grant_lease(
      at, app_id, rate_limiter_internal.lock_buckets(at, app_id, admission.cluster_id), tokens,
      bytes, lifetime, holder
    );
  end if;
  return lease;
end;
$$;

comment on function rate_limiter_internal.lease_tokens_at(
  timestamptz, uuid, numeric, numeric, interval, text
) is 'lease_tokens() at a moment of the caller''s choice: for tests.';
--! EndIncluded rate_limiter_internal/functions/lease_tokens_at.sql
--! Included rate_limiter_internal/functions/renew_lease_at.sql
create or replace function rate_limiter_internal.renew_lease_at(
  at timestamptz,
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric,
  tokens numeric,
  bytes numeric,
  lifetime interval default null,
  holder text default null
)
returns rate_limiter.lease_grant
language plpgsql
volatile
parallel unsafe
as $$
declare
  open_lease rate_limiter.token_leases;
  admission record;
  locked rate_limiter.token_buckets[];
  bucket rate_limiter.token_buckets;
  buckets rate_limiter.token_buckets[] := '{}';
begin
  select l.*
  into open_lease
  from rate_limiter.token_leases as l
  where l.app_id = renew_lease_at.app_id
    and l.lease_id = renew_lease_at.lease_id
    and l.settled_at is null
    and l.expires_at > at
  for update;

  if not found then
    perform rate_limiter_internal.settle_lease_at(
      at, app_id, lease_id, spent_tokens, spent_bytes
    );
    return rate_limiter_internal.lease_tokens_at(at, app_id, tokens, bytes, lifetime, holder);
  end if;

  perform rate_limiter_internal.check_amount(tokens, 'tokens');
  perform rate_limiter_internal.check_amount(bytes, 'bytes');
  admission := rate_limiter_internal.admission_of(app_id);
  perform rate_limiter_internal.apply_durability(admission.synchronous_commit);

  -- What the lease goes back to and what the next is taken from, all at once and in order: the
  -- application may have moved to another cluster meanwhile.
  locked := rate_limiter_internal.lock_owners(at, array[app_id] || array(
    select o.owner_id
    from unnest(array[admission.cluster_id] || array(
      select c.owner_id from unnest(open_lease.charged) as c
    )) as o (owner_id)
    where o.owner_id <> renew_lease_at.app_id
    group by o.owner_id
    order by o.owner_id
  ));
  perform rate_limiter_internal.settle_lease_at(at, app_id, lease_id, spent_tokens, spent_bytes);

  -- As they stand after that, and none that came meanwhile: it is not locked in order.
  foreach bucket in array rate_limiter_internal.buckets_at(at, app_id, admission.cluster_id) loop
    if exists (
      select
      from unnest(locked) as l
      where l.owner_id = bucket.owner_id
        and l.bucket_type = bucket.bucket_type
        and l.mode = bucket.mode
    ) then
      buckets := buckets || bucket;
    end if;
  end loop;
  return rate_limiter_internal.grant_lease(
    at, app_id, buckets, tokens, bytes, lifetime, holder
  );
end;
$$;

comment on function rate_limiter_internal.renew_lease_at(
  timestamptz, uuid, uuid, numeric, numeric, numeric, numeric, interval, text
) is 'renew_lease() at a moment of the caller''s choice: for tests.';
--! EndIncluded rate_limiter_internal/functions/renew_lease_at.sql
--! Included rate_limiter_internal/functions/check_borrowing.sql
drop function if exists rate_limiter_internal.check_borrowing(numeric, interval);

create or replace function rate_limiter_internal.check_borrowing(
  at timestamptz,
  amount numeric,
  duration interval
)
returns void
language plpgsql
stable
parallel safe
as $$
declare
  longest interval := rate_limiter_internal.setting_interval_seconds('max_borrow_duration');
begin
  perform rate_limiter_internal.check_amount(amount, 'tokens');
  if amount = 0 then
    raise exception using
      errcode = 'QS422',
      message = 'amount is not positive',
      detail = format('tokens: %s', amount),
      hint = 'Borrow more than nothing.';
  -- By the moment it ends, too: months count as thirty days, which not all of them have.
  elsif duration is null
    or duration <= interval '0'
    or duration <= longest and at + duration <= at
  then
    raise exception using
      errcode = 'QS422',
      message = 'duration is not positive',
      detail = format('duration: %s', duration),
      hint = 'Say for how long to borrow.';
  elsif duration > longest or at + duration > at + longest then
    raise exception using
      errcode = 'QS422',
      message = 'duration too long',
      detail = format('duration: %s, longest: %s', duration, longest),
      hint = 'Borrow for less long, or raise the setting max_borrow_duration.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_borrowing(timestamptz, numeric, interval) is
  'Raises QS422 for an amount or a duration that cannot be borrowed at a moment.';
--! EndIncluded rate_limiter_internal/functions/check_borrowing.sql
--! Included rate_limiter_internal/functions/borrow_tokens_at.sql
create or replace function rate_limiter_internal.borrow_tokens_at(
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  amount numeric,
  duration interval,
  lender_owner_id uuid default null,
  out borrowing_id uuid,
  out tokens numeric,
  out repayment_tokens numeric,
  out due_at timestamptz
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  lender_type rate_limiter.bucket_type;
  interest numeric := rate_limiter_internal.setting_numeric('default_interest_rate');
  before rate_limiter.token_buckets;
  after rate_limiter.token_buckets;
begin
  perform rate_limiter_internal.check_borrowing(at, amount, duration);
  lender_type := rate_limiter_internal.lender_bucket_type(
    owner_id, bucket_type, lender_owner_id
  );
  perform rate_limiter_internal.lock_in_order(at, array[
    row(owner_id, bucket_type, 'enforce', null)::rate_limiter_internal.bucket_charge,
    row(lender_owner_id, lender_type, 'enforce', null)::rate_limiter_internal.bucket_charge
  ]);
  before := rate_limiter_internal.lock_bucket(at, owner_id, bucket_type, 'enforce');
  perform rate_limiter_internal.check_credit(before, owner_id, bucket_type, amount);

  borrowing_id := gen_random_uuid();
  repayment_tokens := amount + ceil(amount * interest * 1000000) * 0.000001;
  due_at := at + duration;
  if lender_owner_id is not null then
    perform rate_limiter_internal.lend(at, lender_owner_id, lender_type, amount, borrowing_id);
  end if;

  after := before;
  after.current_tokens := after.current_tokens + amount;
  tokens := after.current_tokens;
  perform rate_limiter_internal.write_buckets(
    at, 'borrow', array[before], array[after], null,
    jsonb_build_object('borrowing', borrowing_id)
  );
  insert into rate_limiter.token_borrowing (
    owner_id, borrowing_id, bucket_type, lender_owner_id, lender_bucket_type, tokens_borrowed,
    repayment_tokens, interest_rate, borrowed_at, due_at, collect_at
  )
  values (
    owner_id, borrowing_id, bucket_type, lender_owner_id, lender_type, amount,
    repayment_tokens, interest, at, due_at, due_at
  );
end;
$$;

comment on function rate_limiter_internal.borrow_tokens_at(
  timestamptz, uuid, rate_limiter.bucket_type, numeric, interval, uuid
) is
  'Lends a bucket tokens until due_at, from a lender''s bucket or from its own future. tokens: '
  'what the bucket holds now. repayment_tokens: what it owes, interest included. Raises QS422 '
  'for an amount or duration out of bounds, QS404 for an unknown bucket or lender, QS409 where '
  'the limit, a default or the lender''s reserve forbids it; then no token moves.';
--! EndIncluded rate_limiter_internal/functions/borrow_tokens_at.sql
--! Included rate_limiter/functions/consume.sql
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
begin
  return rate_limiter_internal.consume_at(
    clock_timestamp(), app_id, operation, size_bytes, reference_id, counts_denials => true
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
--! EndIncluded rate_limiter/functions/consume.sql
--! Included rate_limiter/functions/settle.sql
create or replace function rate_limiter.settle(
  app_id uuid,
  reference_id text,
  actual_size_bytes bigint
)
returns rate_limiter.settlement
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_charge(app_id, reference_id);
  return rate_limiter_internal.settle_at(
    clock_timestamp(), app_id, reference_id, actual_size_bytes
  );
end;
$$;

comment on function rate_limiter.settle(uuid, text, bigint) is
  'Charges or gives back the difference once the actual size of an operation is known, by the '
  'cost rules of the moment it was admitted. Only the first call counts. Raises QS404 for a '
  'reference that was never charged, QS422 for a negative size.';
grant execute on function rate_limiter.settle(uuid, text, bigint)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/settle.sql
--! Included rate_limiter/functions/renew_lease.sql
create or replace function rate_limiter.renew_lease(
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric,
  tokens numeric,
  bytes numeric,
  lifetime interval default null,
  holder text default null,
  denials jsonb default null
)
returns rate_limiter.lease_grant
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  at constant timestamptz := clock_timestamp();
begin
  perform rate_limiter_internal.record_denials(app_id, denials);
  return rate_limiter_internal.renew_lease_at(
    at, app_id, lease_id, spent_tokens, spent_bytes, tokens, bytes, lifetime, holder
  );
end;
$$;

comment on function rate_limiter.renew_lease(
  uuid, uuid, numeric, numeric, numeric, numeric, interval, text, jsonb
) is
  'Settles a lease and takes the next in one round trip. A lease that is unknown or has '
  'expired counts as spent. Raises what lease_tokens() raises.';
grant execute on function rate_limiter.renew_lease(
  uuid, uuid, numeric, numeric, numeric, numeric, interval, text, jsonb
)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/renew_lease.sql
--! Included rate_limiter/functions/borrow_automatically.sql
create or replace function rate_limiter.borrow_automatically(
  app_id uuid,
  tokens numeric
)
returns numeric
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from rate_limiter.applications as a
    where a.app_id = borrow_automatically.app_id
      and a.auto_borrow
      and a.is_active
      and a.tenant_is_active
  ) then
    raise exception using
      errcode = 'QS403',
      message = 'automatic borrowing is off',
      detail = format('app_id: %s', app_id),
      hint = 'An administrator can switch it on for the application (auto_borrow).';
  end if;

  return (rate_limiter_internal.borrow_tokens_at(
    clock_timestamp(), app_id, 'iops_l2', tokens,
    rate_limiter_internal.setting_interval_seconds('max_borrow_duration')
  )).tokens;
end;
$$;

comment on function rate_limiter.borrow_automatically(uuid, numeric) is
  'Borrows tokens from the future of an application''s IOPS bucket for the longest duration; '
  'answers what it holds now. For gateways that were denied for want of IOPS tokens, where the '
  'application allows it (auto_borrow), else QS403; raises what borrowing raises.';
grant execute on function rate_limiter.borrow_automatically(uuid, numeric)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/borrow_automatically.sql
--! Included rate_limiter/functions/verify_ledger.sql
create or replace function rate_limiter.verify_ledger(
  from_time timestamptz default '-infinity',
  to_time timestamptz default 'infinity'
)
returns setof rate_limiter.ledger_gap
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  with entries as (
    select
      t.*,
      lag(t.seq) over bucket as seq_before,
      lag(t.balance_after) over bucket as balance_before,
      lead(t.seq) over bucket is null as is_last
    from rate_limiter.token_transactions as t
    where t.created_at >= from_time and t.created_at < to_time
    window bucket as (partition by t.owner_id, t.bucket_type, t.mode order by t.seq)
  ),
  checked as (
    select
      e.*,
      -- The first row of a bucket starts from nothing; the first of the span is taken as given.
      case when e.seq = 1 then 0 else e.balance_before end
        + e.refilled + e.tokens_change as expected_balance
    from entries as e
  )
  select
    c.owner_id, c.bucket_type, c.mode, c.seq, c.created_at, c.expected_balance,
    c.balance_after,
    case
      when c.seq <> c.seq_before + 1 then 'rows are missing before this one'
      else 'the balance does not follow from the row before'
    end
  from checked as c
  where c.seq <> c.seq_before + 1 or c.expected_balance <> c.balance_after
  union all
  select
    b.owner_id, b.bucket_type, b.mode, b.ledger_seq, b.updated_at, c.balance_after,
    b.current_tokens,
    case
      when c.seq is null then 'the bucket''s last row is missing'
      else 'the bucket does not hold what its last row says'
    end
  from rate_limiter.token_buckets as b
  left join checked as c
    on c.owner_id = b.owner_id
    and c.bucket_type = b.bucket_type
    and c.mode = b.mode
    and c.is_last
  where b.updated_at >= from_time
    and b.updated_at < to_time
    and b.ledger_seq > 0
    and (
      c.seq = b.ledger_seq and c.balance_after <> b.current_tokens
      or c.seq is distinct from b.ledger_seq and not exists (
        select from rate_limiter.token_transactions as t
        where t.owner_id = b.owner_id
          and t.bucket_type = b.bucket_type
          and t.mode = b.mode
          and t.seq = b.ledger_seq
          and t.balance_after = b.current_tokens
      )
      -- Of a bucket that nobody has drawn on for long, every row may have expired.
      and not (
        b.created_at < (
          select min(p.starts_at)
          from rate_limiter_internal.partitions() as p
          where p.table_name = 'token_transactions'
        )
        and not exists (
          select from rate_limiter.token_transactions as t
          where t.owner_id = b.owner_id and t.bucket_type = b.bucket_type and t.mode = b.mode
        )
      )
    );
$$;

comment on function rate_limiter.verify_ledger(timestamptz, timestamptz) is
  'Every place, among the ledger rows from from_time until before to_time, where a balance does '
  'not follow from the row before, rows are missing, or a bucket holds something else than its '
  'last row says, unless all its rows have expired. No row: the ledger explains every token.';
grant execute on function rate_limiter.verify_ledger(timestamptz, timestamptz)
  to rate_limiter_worker, rate_limiter_readonly;
--! EndIncluded rate_limiter/functions/verify_ledger.sql
--! Included rate_limiter_internal/functions/cancel_quota_at.sql
create or replace function rate_limiter_internal.cancel_quota_at(
  at timestamptz,
  quota rate_limiter.quota_configs,
  reason text
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  neighbour_id uuid;
begin
  -- One at a time for an owner: the owner's row is the lock, as when a quota is published.
  perform from rate_limiter.applications as a where a.app_id = quota.app_id for update;
  perform from rate_limiter.clusters as c where c.cluster_id = quota.cluster_id for update;

  select c.* into quota
  from rate_limiter.quota_configs as c
  where c.config_id = cancel_quota_at.quota.config_id;

  if not quota.is_active or quota.valid_to <= at then
    raise exception using
      errcode = 'QS409',
      message = 'quota is over',
      detail = format('quota: %s', quota.config_id),
      hint = 'Only what is in force or scheduled can be cancelled.';
  end if;

  if quota.valid_from >= at then
    update rate_limiter.quota_configs as c
    set is_active = false
    where c.config_id = quota.config_id;

    update rate_limiter.quota_configs as c
    set valid_to = quota.valid_to
    where c.owner_id = quota.owner_id
      and c.mode = quota.mode
      and c.is_active
      and c.valid_to = quota.valid_from
    returning c.config_id into neighbour_id;
  else
    update rate_limiter.quota_configs as c
    set valid_to = at
    where c.config_id = quota.config_id;

    update rate_limiter.quota_configs as c
    set valid_from = at
    where c.owner_id = quota.owner_id
      and c.mode = quota.mode
      and c.is_active
      and c.valid_from = quota.valid_to
    returning c.config_id into neighbour_id;
  end if;

  perform rate_limiter_internal.record_quota_version(quota.config_id, reason);
  perform rate_limiter_internal.record_quota_version(neighbour_id, reason);
end;
$$;

comment on function rate_limiter_internal.cancel_quota_at(
  timestamptz, rate_limiter.quota_configs, text
) is
  'Ends a quota at a moment, or before it began; its neighbour takes over its time. Raises QS409 '
  'for one that is over.';
--! EndIncluded rate_limiter_internal/functions/cancel_quota_at.sql
--! Included rate_limiter_internal/functions/bucket_verdict.sql
create or replace function rate_limiter_internal.bucket_verdict(
  at timestamptz,
  bucket rate_limiter.token_buckets,
  charge numeric,
  out verdict text,
  out passes_at timestamptz
)
language sql
stable
parallel safe
as $$
  with bucket_state as (
    select rate_limiter_internal.shortage(
      bucket.current_tokens, bucket.capacity, charge, bucket.allow_oversize, bucket.refill_rate
    ) as shortage
  )
  select
    case s.shortage
      when 0 then 'enough'
      when 'infinity' then 'exceeds_capacity'
      else 'short'
    end,
    case
      when s.shortage = 0 then at
      when s.shortage < 'infinity' then at + interval '1 millisecond' * least(
        rate_limiter_internal.wait_ms(
          at, bucket.calculation_method, bucket.burst_duration_seconds, bucket.refill_rate,
          bucket.last_refill_at, s.shortage
        ),
        -- A hundred years: what lies further ahead is no moment that a clock can say.
        3155760000000
      )
    end
  from bucket_state as s;
$$;

comment on function rate_limiter_internal.bucket_verdict(
  timestamptz, rate_limiter.token_buckets, numeric
) is
  'Whether one bucket, as it stands at a moment, can pay: enough, short, or exceeds_capacity. '
  'passes_at: when it can, if nobody else draws on it, in a hundred years at the latest; null for '
  'never.';
--! EndIncluded rate_limiter_internal/functions/bucket_verdict.sql
--! Included rate_limiter_internal/functions/operation_in_question.sql
create or replace function rate_limiter_internal.operation_in_question(
  app_id uuid,
  operation text,
  size_bytes bigint,
  at timestamptz,
  reference_id text,
  out moment timestamptz,
  out cost numeric,
  out size_bytes_asked bigint
)
language plpgsql
stable
parallel safe
as $$
declare
  charge rate_limiter.charges;
begin
  if reference_id is not null then
    select c.*
    into charge
    from rate_limiter.charges as c
    where c.app_id = operation_in_question.app_id
      and c.reference_id = operation_in_question.reference_id;

    if not found then
      raise exception using
        errcode = 'QS404',
        message = 'unknown reference',
        detail = format('reference: %s', reference_id),
        hint = 'A denial leaves no charge: ask by operation, size and moment.';
    end if;

    moment := charge.charged_at;
    cost := charge.cost;
    size_bytes_asked := charge.size_bytes;
    return;
  end if;

  moment := coalesce(at, clock_timestamp());
  if not isfinite(moment) then
    raise exception using
      errcode = 'QS422',
      message = 'moment is not finite',
      detail = format('at: %s', moment),
      hint = 'Give a moment, or none for now.';
  end if;
  size_bytes_asked := coalesce(size_bytes, 0);
  cost := rate_limiter_internal.price_at(moment, app_id, operation, size_bytes_asked);

  if cost is null then
    raise exception using
      errcode = 'QS404',
      message = 'unknown operation',
      detail = format('operation: %s', operation),
      hint = 'Use a name from operation_types, or give a reference.';
  end if;
end;
$$;

comment on function rate_limiter_internal.operation_in_question(
  uuid, text, bigint, timestamptz, text
) is
  'Moment, cost and size of an operation, by its reference or as described. Raises QS404 for an '
  'unknown reference or operation, QS422 for a moment that is none.';
--! EndIncluded rate_limiter_internal/functions/operation_in_question.sql
