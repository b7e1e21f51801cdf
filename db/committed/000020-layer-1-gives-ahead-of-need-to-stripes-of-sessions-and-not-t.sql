--! Previous: sha1:8f45fdde3e45ff6ad87983e1ca8cc2c83c2c3a67
--! Hash: sha1:aa549c82dd51cb6b2026d2bae567aecf02b33ec3
--! Message: Layer 1 gives ahead of need to stripes of sessions, and not to each application

-- The migration being written.

-- What layer 1 gave ahead of need is held by sessions and not by applications: one row for all
-- decisions of a session, where each application's own lapsed before its next decision.
create unlogged table rate_limiter_internal.layer_1_stripes (
  cluster_id uuid not null,
  stripe integer not null,
  expires_at timestamptz not null,
  iops numeric(38, 6) not null,
  bytes numeric(38, 6) not null,
  constraint layer_1_stripes_pkey primary key (cluster_id, stripe)
) with (fillfactor = 50);
comment on table rate_limiter_internal.layer_1_stripes is
  'Tokens that were drawn on layer 1 ahead of need, for the sessions that share the stripe. Not '
  'logged: after a crash there are none, as if they had lapsed.';
comment on column rate_limiter_internal.layer_1_stripes.cluster_id is
  'The cluster whose layer-1 buckets gave them.';
comment on column rate_limiter_internal.layer_1_stripes.stripe is
  'Which of its stripes, 0 to 31: the number of the session''s process, modulo 32.';
comment on column rate_limiter_internal.layer_1_stripes.expires_at is
  'When it lapses: a second after layer 1 gave the first of what it holds.';
comment on column rate_limiter_internal.layer_1_stripes.iops is 'Tokens.';
comment on column rate_limiter_internal.layer_1_stripes.bytes is 'Bytes.';

create type rate_limiter_internal.layer_1_draw as (
  is_possible boolean,
  taken numeric,
  drawn numeric,
  kept numeric,
  terms_until timestamptz
);
comment on type rate_limiter_internal.layer_1_draw is
  'How a charge of layer 1 is paid. is_possible: false where it must be decided under locks. '
  'taken: out of the stripe. drawn: out of the cluster''s bucket, and kept of that for the '
  'stripe. terms_until: of that bucket, as it was looked at.';

update rate_limiter.system_settings
set description =
  'Milliseconds of its refill that layer 1 gives ahead of need to all sessions together; '
  '0 asks layer 1 at every decision'
where key = 'layer_1_allotment_ms';

alter table rate_limiter.token_buckets
  drop column allotment,
  drop column allotment_expires_at;

drop function rate_limiter_internal.consume_by_draw(timestamptz, uuid, uuid, numeric, numeric);
drop function rate_limiter_internal.consume_exactly(
  timestamptz, uuid, uuid, integer, text[], bigint[], numeric[], text[]
);
drop function rate_limiter_internal.decide_batch(
  timestamptz, numeric[], bigint[], numeric[], integer, rate_limiter.token_buckets[]
);
drop function rate_limiter_internal.admission_of(uuid);
drop function rate_limiter_internal.pays(
  rate_limiter.token_buckets, numeric, boolean, timestamptz
);
drop function rate_limiter_internal.write_buckets(
  timestamptz, rate_limiter.transaction_type, rate_limiter.token_buckets[],
  rate_limiter.token_buckets[], text, jsonb, rate_limiter.transaction_type
);

--! Included rate_limiter_internal/functions/own_stripe.sql
create or replace function rate_limiter_internal.own_stripe()
returns integer
language sql
stable
parallel restricted
as $$
  select pg_backend_pid() % 32;
$$;

comment on function rate_limiter_internal.own_stripe() is
  'Which of a cluster''s 32 stripes this session draws on. Inlined into the statements that call '
  'it.';
--! EndIncluded rate_limiter_internal/functions/own_stripe.sql
--! Included rate_limiter_internal/functions/stripe_pays.sql
create or replace function rate_limiter_internal.stripe_pays(
  stripe rate_limiter_internal.layer_1_stripes,
  iops numeric,
  bytes numeric,
  at timestamptz
)
returns boolean
language sql
immutable
parallel safe
as $$
  select stripe.expires_at > at and stripe.iops >= iops and stripe.bytes >= bytes;
$$;

comment on function rate_limiter_internal.stripe_pays(
  rate_limiter_internal.layer_1_stripes, numeric, numeric, timestamptz
) is
  'Whether a stripe holds what an operation draws on layer 1. Inlined into the statements that '
  'call it.';
--! EndIncluded rate_limiter_internal/functions/stripe_pays.sql
--! Included rate_limiter_internal/functions/pays.sql
create or replace function rate_limiter_internal.pays(
  bucket rate_limiter.token_buckets,
  charge numeric,
  at timestamptz
)
returns boolean
language sql
immutable
parallel safe
as $$
  select at < bucket.terms_until
    and bucket.calculation_method = 'token_bucket'
    and bucket.current_tokens + rate_limiter_internal.inflow(
      bucket.current_tokens, bucket.capacity, bucket.refill_rate, bucket.last_refill_at, at
    ) >= charge;
$$;

comment on function rate_limiter_internal.pays(
  rate_limiter.token_buckets, numeric, timestamptz
) is
  'Whether a token bucket can be charged as it is: its terms are known and it holds the charge. '
  'Null where it has no quota. Inlined into the statements that call it.';
--! EndIncluded rate_limiter_internal/functions/pays.sql
--! Included rate_limiter_internal/functions/decide_batch.sql
create or replace function rate_limiter_internal.decide_batch(
  at timestamptz,
  costs numeric[],
  sizes bigint[],
  costs_before numeric[],
  inout buckets rate_limiter.token_buckets[],
  out decisions rate_limiter.decision[],
  out charges_anything boolean
)
language plpgsql
immutable
parallel safe
as $$
declare
  bucket rate_limiter.token_buckets;
  places integer := 0;
  -- What each operation reads and changes, by place, in plain arrays: rows are too slow for it.
  tokens numeric[];
  capacities numeric[];
  last_refills timestamptz[];
  is_bandwidth boolean[];
  is_shadow boolean[];
  tokens_place integer;
  bytes_place integer;
  decision rate_limiter.decision;
  charges numeric[];
  charge numeric;
  shortage numeric;
  shadow_reason text;
begin
  foreach bucket in array buckets loop
    places := places + 1;
    tokens[places] := bucket.current_tokens;
    capacities[places] := bucket.capacity;
    last_refills[places] := bucket.last_refill_at;
    is_bandwidth[places] := rate_limiter_internal.is_bandwidth(bucket.bucket_type);
    is_shadow[places] := bucket.mode = 'shadow';
    if bucket.bucket_type = 'iops_l2' then
      tokens_place := coalesce(tokens_place, places);
    elsif bucket.bucket_type = 'bandwidth_l2' then
      bytes_place := coalesce(bytes_place, places);
    end if;
  end loop;

  charges_anything := false;
  for i in 1 .. cardinality(costs) loop
    decision := row(true, null::text, costs[i], null, null, 0::bigint, 0::bigint);
    if costs_before[i] is not null then
      decision.cost := costs_before[i];
      decision.remaining := tokens[tokens_place];
      decision.remaining_bytes := tokens[bytes_place];
      decisions[i] := decision;
      continue;
    end if;

    shadow_reason := null;
    for place in 1 .. places loop
      charge := case when is_bandwidth[place] then sizes[i] else costs[i] end;
      charges[place] := charge;
      continue when tokens[place] >= charge;

      shortage := rate_limiter_internal.shortage(
        tokens[place], capacities[place], charge, buckets[place].allow_oversize,
        buckets[place].refill_rate
      );
      continue when shortage = 0;
      if is_shadow[place] then
        shadow_reason := case when shortage = 'infinity' then 'exceeds_capacity'
          else coalesce(shadow_reason, buckets[place].bucket_type::text) end;
      elsif shortage = 'infinity' then
        decision.allowed := false;
        decision.reason := 'exceeds_capacity';
        decision.retry_after_ms := null;
      else
        decision.allowed := false;
        decision.reason := coalesce(decision.reason, buckets[place].bucket_type::text);
        decision.retry_after_ms := case when decision.reason <> 'exceeds_capacity'
          then greatest(decision.retry_after_ms, rate_limiter_internal.wait_ms(
            at, buckets[place].calculation_method, buckets[place].burst_duration_seconds,
            buckets[place].refill_rate, last_refills[place], shortage
          ))
        end;
      end if;
    end loop;

    if decision.allowed then
      charges_anything := true;
      decision.reason := shadow_reason;
      for place in 1 .. places loop
        charge := charges[place];
        continue when is_shadow[place] and shadow_reason is not null;

        if charge > 0 and not is_shadow[place]
          and buckets[place].calculation_method = 'leaky_bucket'
        then
          decision.delay_ms := greatest(decision.delay_ms, rate_limiter_internal.leaky_delay_ms(
            tokens[place], capacities[place], buckets[place].refill_rate
          ));
        end if;

        if tokens[place] >= charge then
          tokens[place] := tokens[place] - charge;
        else
          -- Oversize: full, emptied, and the excess paid back in time.
          tokens[place] := 0.000000;
          last_refills[place] := rate_limiter_internal.paid_back_at(
            last_refills[place], charge - capacities[place], buckets[place].refill_rate
          );
        end if;
      end loop;
    end if;
    decision.remaining := tokens[tokens_place];
    decision.remaining_bytes := tokens[bytes_place];
    decisions[i] := decision;
  end loop;

  for place in 1 .. places loop
    buckets[place].current_tokens := tokens[place];
    buckets[place].last_refill_at := last_refills[place];
  end loop;
end;
$$;

comment on function rate_limiter_internal.decide_batch(
  timestamptz, numeric[], bigint[], numeric[], rate_limiter.token_buckets[]
) is
  'The decisions on operations one after the other, over buckets as they stand at a moment and '
  'in the order in which a denial names them, and the buckets as they leave them. An operation '
  'that was charged before (costs_before, null where it was not) is admitted again for '
  'nothing. Reads and writes no table.';
--! EndIncluded rate_limiter_internal/functions/decide_batch.sql
--! Included rate_limiter_internal/functions/quota_buckets.sql
create or replace function rate_limiter_internal.quota_buckets(
  config_id uuid,
  at timestamptz
)
returns rate_limiter.token_buckets[]
language sql
stable
parallel safe
as $$
  with terms as (
    select
      'iops_l2'::rate_limiter.bucket_type as bucket_type,
      q.calculation_method,
      rate_limiter_internal.quota_capacity(
        q.calculation_method, q.iops_limit, q.iops_burst, q.burst_duration_seconds, q.refill_rate
      ) as capacity,
      q.refill_rate::bigint as refill_rate,
      q.burst_duration_seconds,
      false as allow_oversize
    from rate_limiter.iops_quotas as q
    where q.config_id = quota_buckets.config_id
    union all
    select
      'bandwidth_l2',
      'token_bucket',
      rate_limiter_internal.quota_capacity(
        'token_bucket', q.bandwidth_limit_bps, q.bandwidth_burst_bps, q.burst_duration_seconds,
        q.refill_rate_bps
      ),
      q.refill_rate_bps,
      q.burst_duration_seconds,
      q.allow_oversize
    from rate_limiter.bandwidth_quotas as q
    where q.config_id = quota_buckets.config_id
  )
  select coalesce(
    array_agg(
      jsonb_populate_record(
        null::rate_limiter.token_buckets,
        to_jsonb(t) || jsonb_build_object(
          'mode', 'enforce', 'config_id', quota_buckets.config_id, 'last_refill_at', at,
          'current_tokens', t.capacity, 'min_reserve', 0
        )
      )
      order by t.bucket_type
    ),
    '{}'
  )
  from terms as t;
$$;

comment on function rate_limiter_internal.quota_buckets(uuid, timestamptz) is
  'The buckets that a quota of an application would make, full at a moment: for trying it out on '
  'what happened.';
--! EndIncluded rate_limiter_internal/functions/quota_buckets.sql
--! Included rate_limiter_internal/functions/bucket_at.sql
create or replace function rate_limiter_internal.bucket_at(
  at timestamptz,
  inout bucket rate_limiter.token_buckets,
  out adjusted numeric
)
language plpgsql
stable
parallel safe
as $$
declare
  standing record;
  inflow numeric;
begin
  adjusted := 0;
  bucket.refilled := 0;
  if at >= bucket.terms_until then
    standing := rate_limiter_internal.bucket_under_terms(at, bucket);
    bucket := standing.bucket;
    adjusted := standing.adjusted;
  end if;

  if bucket.capacity is not null then
    inflow := rate_limiter_internal.refill(
      bucket.current_tokens, bucket.capacity, bucket.refill_rate, bucket.calculation_method,
      bucket.burst_duration_seconds, bucket.last_refill_at, at
    );
    bucket.refilled := bucket.refilled + inflow;
    bucket.current_tokens := bucket.current_tokens + inflow;
    bucket.last_refill_at := greatest(bucket.last_refill_at, at);
  end if;
end;
$$;

comment on function rate_limiter_internal.bucket_at(timestamptz, rate_limiter.token_buckets) is
  'A bucket as it stands at a moment: refilled, and walked through every change of quota since '
  'its last change. refilled: tokens that flowed in. adjusted: tokens that changes of quota '
  'added (a new bucket is full) or dropped. Changes nothing.';
--! EndIncluded rate_limiter_internal/functions/bucket_at.sql
--! Included rate_limiter_internal/functions/bucket_before.sql
create or replace function rate_limiter_internal.bucket_before(
  at timestamptz,
  bucket rate_limiter.token_buckets
)
returns rate_limiter.token_buckets
language plpgsql
stable
parallel safe
as $$
declare
  entry rate_limiter.token_transactions;
  terms rate_limiter_internal.quota_terms;
begin
  -- Nothing happened since: the row itself knows most, oversize debt included.
  if at > bucket.updated_at then
    return (rate_limiter_internal.bucket_at(at, bucket)).bucket;
  end if;

  select t.*
  into entry
  from rate_limiter.token_transactions as t
  where t.owner_id = bucket.owner_id
    and t.bucket_type = bucket.bucket_type
    and t.mode = bucket.mode
    and t.created_at < bucket_before.at
  order by t.created_at desc, t.seq desc
  limit 1;

  bucket.terms_until := '-infinity';
  bucket.capacity := null;
  bucket.current_tokens := 0;

  if found then
    terms := rate_limiter_internal.quota_terms_at(
      entry.created_at, bucket.owner_id, bucket.bucket_type, bucket.mode
    );
    bucket.config_id := terms.config_id;
    bucket.capacity := terms.capacity;
    bucket.calculation_method := coalesce(terms.calculation_method, bucket.calculation_method);
    bucket.refill_rate := terms.refill_rate;
    bucket.burst_duration_seconds := coalesce(terms.burst_duration_seconds, 1);
    bucket.min_reserve := coalesce(terms.min_reserve, 0);
    bucket.allow_oversize := coalesce(terms.allow_oversize, false);
    bucket.terms_until := terms.terms_until;
    bucket.current_tokens := entry.balance_after;
    bucket.last_refill_at := entry.created_at;
  end if;

  return (rate_limiter_internal.bucket_at(at, bucket)).bucket;
end;
$$;

comment on function rate_limiter_internal.bucket_before(
  timestamptz, rate_limiter.token_buckets
) is
  'A bucket as it stood just before a moment of the past, by its ledger and its quotas. What an '
  'oversize charge still had to pay back then is not in the ledger, and not seen here.';
--! EndIncluded rate_limiter_internal/functions/bucket_before.sql
--! Included rate_limiter_internal/functions/write_buckets.sql
create or replace function rate_limiter_internal.write_buckets(
  at timestamptz,
  transaction_type rate_limiter.transaction_type,
  before rate_limiter.token_buckets[],
  after rate_limiter.token_buckets[],
  reference_id text,
  metadata jsonb
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  bucket rate_limiter.token_buckets;
  tokens_change numeric;
begin
  -- Row by row, by key: a join with a list of buckets is planned as a search through them all.
  for place in 1 .. cardinality(after) loop
    bucket := after[place];
    continue when bucket is not distinct from before[place];
    tokens_change := bucket.current_tokens - (before[place]).current_tokens;
    if tokens_change <> 0 or bucket.refilled <> 0 then
      bucket.ledger_seq := bucket.ledger_seq + 1;
    end if;

    update rate_limiter.token_buckets as b
    set
      calculation_method = bucket.calculation_method,
      allow_oversize = bucket.allow_oversize,
      burst_duration_seconds = bucket.burst_duration_seconds,
      terms_until = bucket.terms_until,
      last_refill_at = bucket.last_refill_at,
      updated_at = at,
      ledger_seq = bucket.ledger_seq,
      refill_rate = bucket.refill_rate,
      min_reserve = bucket.min_reserve,
      config_id = bucket.config_id,
      capacity = bucket.capacity,
      current_tokens = bucket.current_tokens,
      refilled = bucket.refilled
    where b.owner_id = bucket.owner_id
      and b.bucket_type = bucket.bucket_type
      and b.mode = bucket.mode;

    if bucket.ledger_seq > (after[place]).ledger_seq then
      insert into rate_limiter.token_transactions (
        owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
        balance_after, reference_id, metadata
      )
      values (
        bucket.owner_id, at, bucket.ledger_seq, bucket.bucket_type, bucket.mode, transaction_type,
        tokens_change, bucket.refilled, bucket.current_tokens, reference_id, metadata
      );
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.write_buckets(
  timestamptz, rate_limiter.transaction_type, rate_limiter.token_buckets[],
  rate_limiter.token_buckets[], text, jsonb
) is
  'Writes locked buckets as an operation leaves them, and a ledger row for each whose tokens '
  'changed. before: as they stood at the moment, refilled; after: the same buckets in the same '
  'order.';
--! EndIncluded rate_limiter_internal/functions/write_buckets.sql
--! Included rate_limiter_internal/functions/take_back.sql
create or replace function rate_limiter_internal.take_back(
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
  before := rate_limiter_internal.lock_bucket(at, owner_id, bucket_type, 'enforce');
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

comment on function rate_limiter_internal.take_back(
  timestamptz, uuid, rate_limiter.bucket_type, numeric
) is
  'Undoes a charge of the same transaction, all of it: unlike a refund, which never lifts a '
  'bucket above its capacity. Nothing where nothing was charged, or there is no bucket.';
--! EndIncluded rate_limiter_internal/functions/take_back.sql
--! Included rate_limiter_internal/functions/admission_of.sql
create or replace function rate_limiter_internal.admission_of(
  app_id uuid,
  out cluster_id uuid,
  out synchronous_commit boolean
)
language plpgsql
stable
parallel safe
as $$
declare
  app_is_active boolean;
  tenant_is_active boolean;
begin
  select a.cluster_id, a.is_active, a.tenant_is_active
  into cluster_id, app_is_active, tenant_is_active
  from rate_limiter.applications as a
  where a.app_id = admission_of.app_id;

  if not found then
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
  end if;

  select e.synchronous_commit
  into synchronous_commit
  from rate_limiter_internal.engine_settings as e;
end;
$$;

comment on function rate_limiter_internal.admission_of(uuid) is
  'What a decision needs to know of an application, and the settings of the engine. Raises '
  'QS404 for an unknown application, QS403 for an inactive one or an inactive tenant.';
--! EndIncluded rate_limiter_internal/functions/admission_of.sql
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
  return new;
end;
$$;

comment on function rate_limiter_internal.complete_application() is
  'Trigger: copies to an application what decisions would have to look up elsewhere: whether '
  'its tenant is active, and of which kinds its cluster has quotas.';
--! EndIncluded rate_limiter_internal/functions/complete_application.sql
--! Included rate_limiter_internal/functions/note_engine_setting.sql
create or replace function rate_limiter_internal.note_engine_setting()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update rate_limiter_internal.engine_settings
  set
    synchronous_commit = rate_limiter_internal.setting_boolean('decision_synchronous_commit'),
    layer_1_allotment_ms = rate_limiter_internal.setting_integer('layer_1_allotment_ms');
  -- What layer 1 gave under another setting is void.
  delete from rate_limiter_internal.layer_1_stripes;
  return null;
end;
$$;

comment on function rate_limiter_internal.note_engine_setting() is
  'Trigger: copies the settings that decisions need into the row that they read.';
--! EndIncluded rate_limiter_internal/functions/note_engine_setting.sql
--! Included rate_limiter_internal/functions/layer_1_draw_at.sql
create or replace function rate_limiter_internal.layer_1_draw_at(
  at timestamptz,
  cluster_id uuid,
  bucket_type rate_limiter.bucket_type,
  needed numeric,
  held numeric,
  allotment_ms integer
)
returns rate_limiter_internal.layer_1_draw
language plpgsql
stable
parallel safe
as $$
declare
  bucket record;
  draw rate_limiter_internal.layer_1_draw;
  lacking constant numeric := needed - held;
begin
  draw.is_possible := true;
  draw.taken := least(needed, held);
  draw.drawn := 0;
  draw.kept := 0;
  if lacking <= 0 then
    return draw;
  end if;

  select
    b.terms_until, b.capacity, b.calculation_method, b.refill_rate, b.min_reserve,
    b.current_tokens + rate_limiter_internal.inflow(
      b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
    ) as tokens
  into bucket
  from rate_limiter.token_buckets as b
  where b.owner_id = cluster_id
    and b.bucket_type = layer_1_draw_at.bucket_type
    and b.mode = 'enforce';

  draw.terms_until := bucket.terms_until;
  if at >= bucket.terms_until then
    draw.is_possible := false;
  elsif bucket.capacity is not null then
    draw.is_possible := bucket.calculation_method = 'token_bucket' and bucket.tokens >= lacking;
    -- What is drawn ahead of need leaves the reserve alone, as a lease does. A stripe that would
    -- not pay for two more is not worth its row.
    draw.kept := least(
      trunc(allotment_ms * 0.001 * bucket.refill_rate / 32, 6),
      bucket.tokens - lacking - bucket.min_reserve
    );
    if draw.kept < 2 * needed then
      draw.kept := 0;
    end if;
    draw.drawn := lacking + draw.kept;
  end if;
  return draw;
end;
$$;

comment on function rate_limiter_internal.layer_1_draw_at(
  timestamptz, uuid, rate_limiter.bucket_type, numeric, numeric, integer
) is
  'What to draw on layer 1 for a charge, of which a stripe holds so much: what is lacking, and '
  'for the stripe its share of allotment_ms milliseconds of the refill. Only of a token bucket '
  'that has it, and nothing of one without a quota.';
--! EndIncluded rate_limiter_internal/functions/layer_1_draw_at.sql
--! Included rate_limiter_internal/functions/draw_on_layer_1.sql
create or replace function rate_limiter_internal.draw_on_layer_1(
  at timestamptz,
  cluster_id uuid,
  bucket_type rate_limiter.bucket_type,
  draw rate_limiter_internal.layer_1_draw,
  allotment_ms integer
)
returns boolean
language plpgsql
volatile
parallel unsafe
as $$
begin
  with drawn_on as (
    update rate_limiter.token_buckets as b
    set
      current_tokens = b.current_tokens - draw.drawn + rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ),
      refilled = rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ),
      last_refill_at = greatest(b.last_refill_at, at),
      ledger_seq = b.ledger_seq + 1,
      updated_at = at
    where b.owner_id = cluster_id
      and b.bucket_type = draw_on_layer_1.bucket_type
      and b.mode = 'enforce'
      and b.calculation_method = 'token_bucket'
      and b.terms_until = draw.terms_until
      and b.current_tokens + rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) >= draw.drawn
    returning b.ledger_seq, b.refilled, b.current_tokens
  )
  insert into rate_limiter.token_transactions (
    owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
    balance_after
  )
  select
    cluster_id, at, d.ledger_seq, bucket_type, 'enforce',
    case when allotment_ms > 0 then 'allot' else 'consume' end::rate_limiter.transaction_type,
    -draw.drawn, d.refilled, d.current_tokens
  from drawn_on as d;
  return found;
end;
$$;

comment on function rate_limiter_internal.draw_on_layer_1(
  timestamptz, uuid, rate_limiter.bucket_type, rate_limiter_internal.layer_1_draw, integer
) is
  'Takes a draw out of the cluster''s bucket as it is when its row is locked, in one statement '
  'with its ledger row. False where others were faster and it is no longer there.';
--! EndIncluded rate_limiter_internal/functions/draw_on_layer_1.sql
--! Included rate_limiter_internal/functions/take_from_stripe.sql
create or replace function rate_limiter_internal.take_from_stripe(
  at timestamptz,
  cluster_id uuid,
  iops numeric,
  bytes numeric
)
returns boolean
language plpgsql
volatile
parallel unsafe
as $$
begin
  if iops > 0 or bytes > 0 then
    update rate_limiter_internal.layer_1_stripes as s
    set iops = s.iops - take_from_stripe.iops, bytes = s.bytes - take_from_stripe.bytes
    where s.cluster_id = take_from_stripe.cluster_id
      and s.stripe = rate_limiter_internal.own_stripe()
      and rate_limiter_internal.stripe_pays(
        s, take_from_stripe.iops, take_from_stripe.bytes, at
      );
    return found;
  end if;

  insert into rate_limiter_internal.layer_1_stripes as s
    (cluster_id, stripe, expires_at, iops, bytes)
  values (cluster_id, rate_limiter_internal.own_stripe(), at, 0, 0)
  on conflict on constraint layer_1_stripes_pkey do update
  set iops = s.iops;
  return true;
end;
$$;

comment on function rate_limiter_internal.take_from_stripe(
  timestamptz, uuid, numeric, numeric
) is
  'Takes what the session''s stripe pays, or makes an empty stripe where there is none, and locks '
  'it either way. False where sessions that share it were faster.';
--! EndIncluded rate_limiter_internal/functions/take_from_stripe.sql
--! Included rate_limiter_internal/functions/keep_in_stripe.sql
create or replace function rate_limiter_internal.keep_in_stripe(
  at timestamptz,
  cluster_id uuid,
  iops numeric,
  bytes numeric
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  -- What it still holds keeps its date, and what is added gets that then.
  update rate_limiter_internal.layer_1_stripes as s
  set
    expires_at = least(
      at + interval '1 second',
      case when s.expires_at > at and (s.iops > 0 or s.bytes > 0) then s.expires_at end
    ),
    iops = keep_in_stripe.iops + case when s.expires_at > at then s.iops else 0 end,
    bytes = keep_in_stripe.bytes + case when s.expires_at > at then s.bytes else 0 end
  where s.cluster_id = keep_in_stripe.cluster_id
    and s.stripe = rate_limiter_internal.own_stripe();
end;
$$;

comment on function rate_limiter_internal.keep_in_stripe(
  timestamptz, uuid, numeric, numeric
) is
  'Leaves tokens and bytes that layer 1 gave ahead of need in the session''s stripe, which '
  'take_from_stripe() locked, for a second.';
--! EndIncluded rate_limiter_internal/functions/keep_in_stripe.sql
--! Included rate_limiter_internal/functions/consume_exactly.sql
create or replace function rate_limiter_internal.consume_exactly(
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  operations text[],
  sizes bigint[],
  costs numeric[],
  reference_ids text[]
)
returns rate_limiter.decision[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  batch record;
  buckets rate_limiter.token_buckets[];
  costs_before numeric[];
begin
  -- A denial never writes, and a lock is a write: only where something was admitted are the
  -- buckets locked, and everything decided again on what can no longer change.
  buckets := rate_limiter_internal.buckets_at(at, app_id, cluster_id);
  costs_before := rate_limiter_internal.costs_before(app_id, reference_ids);
  batch := rate_limiter_internal.decide_batch(at, costs, sizes, costs_before, buckets);

  if batch.charges_anything then
    buckets := rate_limiter_internal.lock_buckets(at, app_id, cluster_id);
    costs_before := rate_limiter_internal.costs_before(app_id, reference_ids);
    batch := rate_limiter_internal.decide_batch(at, costs, sizes, costs_before, buckets);
    perform rate_limiter_internal.write_buckets(
      at, 'consume', buckets, batch.buckets,
      case when cardinality(operations) = 1 then reference_ids[1] end,
      case when cardinality(operations) > 1 then jsonb_build_object(
        'operations', (select count(*) from unnest(batch.decisions) as d where d.allowed)
      ) end
    );
    if reference_ids is not null then
      perform rate_limiter_internal.write_charges(
        at, app_id, operations, sizes, reference_ids, costs_before, batch.decisions, buckets
      );
    end if;
  end if;

  return batch.decisions;
end;
$$;

comment on function rate_limiter_internal.consume_exactly(
  timestamptz, uuid, uuid, text[], bigint[], numeric[], text[]
) is
  'Decides on operations of an application one after the other under the locks of all its '
  'buckets, and charges those it admits in one ledger row for each bucket. The road for '
  'everything that the short one of consume_at does not take.';
--! EndIncluded rate_limiter_internal/functions/consume_exactly.sql
--! Included rate_limiter_internal/functions/consume_by_draw.sql
create or replace function rate_limiter_internal.consume_by_draw(
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  cost numeric,
  bytes numeric,
  iops_drawn numeric,
  bytes_drawn numeric,
  out decision rate_limiter.decision,
  out lost_race boolean
)
language plpgsql
volatile
parallel unsafe
as $$
-- As flat as consume_at, and for the same reason; what touches layer 1 is in functions of its own,
-- because stripes keep that rare.
declare
  iops record;
  bandwidth record;
  -- Null where the application has no such bucket.
  iops_left numeric;
  bytes_left numeric;
  stripe record;
  iops_draw rate_limiter_internal.layer_1_draw;
  bytes_draw rate_limiter_internal.layer_1_draw;
  is_iops_charged boolean := false;
  is_bytes_charged boolean := false;
  is_iops_drawn boolean := false;
begin
  lost_race := false;

  select
    b.ledger_seq, b.terms_until, b.current_tokens, b.capacity, b.refill_rate,
    b.calculation_method, b.last_refill_at,
    rate_limiter_internal.refill(
      b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
      b.burst_duration_seconds, b.last_refill_at, at
    ) as refilled
  into iops
  from rate_limiter.token_buckets as b
  where b.owner_id = app_id and b.bucket_type = 'iops_l2' and b.mode = 'enforce';

  select
    b.ledger_seq, b.terms_until, b.current_tokens, b.last_refill_at,
    rate_limiter_internal.refill(
      b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
      b.burst_duration_seconds, b.last_refill_at, at
    ) as refilled
  into bandwidth
  from rate_limiter.token_buckets as b
  where b.owner_id = app_id and b.bucket_type = 'bandwidth_l2' and b.mode = 'enforce';

  if at >= iops.terms_until or at >= bandwidth.terms_until then
    return;
  end if;
  iops_left := iops.current_tokens + iops.refilled - cost;
  bytes_left := bandwidth.current_tokens + bandwidth.refilled - bytes;
  if iops_left < 0 or bytes_left < 0 then
    decision := rate_limiter_internal.refusal_at(at, app_id, cluster_id, cost, bytes);
    return;
  end if;

  if iops_drawn > 0 or bytes_drawn > 0 then
    select
      e.layer_1_allotment_ms as allotment_ms,
      case when s.expires_at > at then s.iops else 0 end as iops,
      case when s.expires_at > at then s.bytes else 0 end as bytes
    into stripe
    from rate_limiter_internal.engine_settings as e
    left join rate_limiter_internal.layer_1_stripes as s
      on s.cluster_id = consume_by_draw.cluster_id
      and s.stripe = rate_limiter_internal.own_stripe();
    iops_draw := rate_limiter_internal.layer_1_draw_at(
      at, cluster_id, 'iops_l1', iops_drawn, stripe.iops, stripe.allotment_ms
    );
    bytes_draw := rate_limiter_internal.layer_1_draw_at(
      at, cluster_id, 'bandwidth_l1', bytes_drawn, stripe.bytes, stripe.allotment_ms
    );
    if not iops_draw.is_possible or not bytes_draw.is_possible then
      return;
    end if;
  end if;

  if iops_left is not null then
    update rate_limiter.token_buckets as b
    set
      current_tokens = iops_left,
      refilled = iops.refilled,
      last_refill_at = greatest(iops.last_refill_at, at),
      ledger_seq = iops.ledger_seq + 1,
      updated_at = at
    where b.owner_id = app_id
      and b.bucket_type = 'iops_l2'
      and b.mode = 'enforce'
      and b.ledger_seq = iops.ledger_seq
      and b.terms_until = iops.terms_until;
    is_iops_charged := found;
    if not found then
      lost_race := true;
      return;
    end if;
  end if;

  if bytes > 0 and bytes_left is not null then
    update rate_limiter.token_buckets as b
    set
      current_tokens = bytes_left,
      refilled = bandwidth.refilled,
      last_refill_at = greatest(bandwidth.last_refill_at, at),
      ledger_seq = bandwidth.ledger_seq + 1,
      updated_at = at
    where b.owner_id = app_id
      and b.bucket_type = 'bandwidth_l2'
      and b.mode = 'enforce'
      and b.ledger_seq = bandwidth.ledger_seq
      and b.terms_until = bandwidth.terms_until;
    is_bytes_charged := found;
    -- The first bucket was as it was read and this one no longer.
    lost_race := not found;
  end if;

  insert into rate_limiter.token_transactions (
    owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
    balance_after
  )
  select
    app_id, at, c.seq_before + 1, c.bucket_type, 'enforce', 'consume', -c.tokens, c.refilled,
    c.balance
  from (
    values
      (
        is_iops_charged, iops.ledger_seq, 'iops_l2'::rate_limiter.bucket_type, cost,
        iops.refilled, iops_left
      ),
      (
        is_bytes_charged, bandwidth.ledger_seq, 'bandwidth_l2', bytes, bandwidth.refilled,
        bytes_left
      )
  ) as c (is_charged, seq_before, bucket_type, tokens, refilled, balance)
  where c.is_charged;

  -- Layer 2, the stripe, layer 1: in this order everybody locks them, and layer 1 is held the
  -- shortest, because all applications of the cluster wait for its rows.
  if not lost_race
    and iops_draw.taken + iops_draw.kept + bytes_draw.taken + bytes_draw.kept > 0
  then
    lost_race := not rate_limiter_internal.take_from_stripe(
      at, cluster_id, iops_draw.taken, bytes_draw.taken
    );
  end if;
  if iops_draw.drawn > 0 and not lost_race then
    is_iops_drawn := rate_limiter_internal.draw_on_layer_1(
      at, cluster_id, 'iops_l1', iops_draw, stripe.allotment_ms
    );
    lost_race := not is_iops_drawn;
  end if;
  if bytes_draw.drawn > 0 and not lost_race then
    lost_race := not rate_limiter_internal.draw_on_layer_1(
      at, cluster_id, 'bandwidth_l1', bytes_draw, stripe.allotment_ms
    );
  end if;

  if lost_race then
    -- What the stripe paid lapses.
    perform rate_limiter_internal.take_back(
      at, app_id, 'iops_l2', case when is_iops_charged then cost end
    );
    perform rate_limiter_internal.take_back(
      at, app_id, 'bandwidth_l2', case when is_bytes_charged then bytes end
    );
    perform rate_limiter_internal.take_back(
      at, cluster_id, 'iops_l1', case when is_iops_drawn then iops_draw.drawn end
    );
    return;
  end if;
  if iops_draw.kept > 0 or bytes_draw.kept > 0 then
    perform rate_limiter_internal.keep_in_stripe(at, cluster_id, iops_draw.kept, bytes_draw.kept);
  end if;

  decision := row(
    true, null, cost, iops_left, bytes_left, 0,
    case when iops.calculation_method = 'leaky_bucket'
      then rate_limiter_internal.leaky_delay_ms(iops_left + cost, iops.capacity, iops.refill_rate)
      else 0
    end
  );
end;
$$;

comment on function rate_limiter_internal.consume_by_draw(
  timestamptz, uuid, uuid, numeric, numeric, numeric, numeric
) is
  'Decides on an operation of a fixed window, or whose draw on layer 1 the session''s stripe does '
  'not pay: charges it and draws for it, and for the stripe ahead of need, or denies it. A null '
  'decision is left to be made under locks, or, after a lost race, to be tried again; nothing is '
  'charged then.';
--! EndIncluded rate_limiter_internal/functions/consume_by_draw.sql
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
  -- What layer 1 pays; null where it pays nothing.
  iops_drawn numeric;
  bytes_drawn numeric;
  -- The bandwidth bucket as it was looked at.
  bytes_seq bigint;
  bytes_terms_until timestamptz;
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
          b.ledger_seq, b.terms_until, b.refilled, b.tokens + b.refilled - size_bytes,
          at < b.terms_until and b.tokens + b.refilled >= size_bytes
        into bytes_seq, bytes_terms_until, bytes_refilled, bytes_left, may_pay
        from (
          select
            t.ledger_seq, t.terms_until, t.current_tokens as tokens,
            rate_limiter_internal.inflow(
              t.current_tokens, t.capacity, t.refill_rate, t.last_refill_at, at
            ) as refilled
          from rate_limiter.token_buckets as t
          where t.owner_id = consume_at.app_id
            and t.bucket_type = 'bandwidth_l2'
            and t.mode = 'enforce'
            and t.capacity is not null
          offset 0
        ) as b;
        exit when may_pay is not true;
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
  'Under a reference that was charged before it answers as then and takes nothing. Plain '
  'decisions take a short road that locks nothing ahead; all others, and those that lose three '
  'races, the one of consume_exactly.';
--! EndIncluded rate_limiter_internal/functions/consume_at.sql
--! Included rate_limiter_internal/functions/consume_batch_at.sql
create or replace function rate_limiter_internal.consume_batch_at(
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
  admission record;
  whole_sizes bigint[];
begin
  perform rate_limiter_internal.check_batch(operations, sizes, reference_ids);
  admission := rate_limiter_internal.admission_of(app_id);
  perform rate_limiter_internal.apply_durability(admission.synchronous_commit);
  whole_sizes := array(select coalesce(s.size, 0) from unnest(sizes) as s (size));

  return query select d.* from unnest(rate_limiter_internal.consume_exactly(
    at, app_id, admission.cluster_id, operations, whole_sizes,
    rate_limiter_internal.costs_at(at, app_id, operations, whole_sizes), reference_ids
  )) as d;
end;
$$;

comment on function rate_limiter_internal.consume_batch_at(
  timestamptz, uuid, text[], bigint[], text[]
) is 'consume_batch() at a moment of the caller''s choice: for tests and replay.';
--! EndIncluded rate_limiter_internal/functions/consume_batch_at.sql
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
      p.ordinality, p.app_id, p.cost, p.drawn_on, d.iops_drawn, d.bytes_drawn, c.bucket_type,
      c.charge,
      bool_and(
        coalesce(rate_limiter_internal.pays(b, c.charge, at), false)
        and (
          p.drawn_on is null or coalesce(
            rate_limiter_internal.stripe_pays(s, d.iops_drawn, d.bytes_drawn, at), false
          )
        )
      ) over (partition by p.ordinality) as may_pay
    from priced as p
    cross join lateral (
      select
        case when p.draws_iops then p.cost else 0 end,
        case when p.draws_bandwidth then p.bytes else 0 end
    ) as d (iops_drawn, bytes_drawn)
    cross join lateral (
      values ('iops_l2'::rate_limiter.bucket_type, p.cost), ('bandwidth_l2', p.bytes)
    ) as c (bucket_type, charge)
    left join rate_limiter.token_buckets as b
      on b.owner_id = p.app_id and b.bucket_type = c.bucket_type and b.mode = 'enforce'
    left join rate_limiter_internal.layer_1_stripes as s
      on s.cluster_id = p.drawn_on and s.stripe = rate_limiter_internal.own_stripe()
    where p.cost > 0 and (c.bucket_type = 'iops_l2' or p.has_bandwidth)
  ),
  -- In the one order that cannot deadlock, and as they are once they are locked.
  locked as materialized (
    select
      l.ordinality, l.cost, l.drawn_on, l.iops_drawn, l.bytes_drawn, l.charge, b.owner_id,
      b.bucket_type, b.ledger_seq, b.current_tokens, b.last_refill_at,
      rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) as refilled,
      rate_limiter_internal.pays(b, l.charge, at) as pays
    from looked_at as l
    join rate_limiter.token_buckets as b
      on b.owner_id = l.app_id and b.bucket_type = l.bucket_type and b.mode = 'enforce'
    where l.may_pay
    order by b.owner_id, b.bucket_type
    for no key update of b
  ),
  due as materialized (
    select l.*, bool_and(l.pays) over (partition by l.ordinality) as may_pay
    from locked as l
  ),
  -- A stripe pays for all that its cluster's applications draw here, or for none of it. There may
  -- be several, and in any order: nothing is waited for here.
  paying as materialized (
    select d.cluster_id, d.iops, d.bytes
    from (
      select d.drawn_on as cluster_id, sum(d.iops_drawn) as iops, sum(d.bytes_drawn) as bytes
      from due as d
      where d.may_pay and d.bucket_type = 'iops_l2' and d.drawn_on is not null
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
    where d.may_pay
      and (d.drawn_on is null or d.drawn_on in (select p.cluster_id from drawn as p))
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
--! Included rate_limiter_internal/functions/check_limit_at.sql
create or replace function rate_limiter_internal.check_limit_at(
  at timestamptz,
  app_id uuid,
  operation text,
  size_bytes bigint
)
returns rate_limiter.decision
language plpgsql
stable
parallel safe
as $$
declare
  admission record;
  size bigint := coalesce(size_bytes, 0);
begin
  admission := rate_limiter_internal.admission_of(app_id);
  return (rate_limiter_internal.decide_batch(
    at,
    array[rate_limiter_internal.cost_at(at, app_id, operation, size)],
    array[size],
    null,
    rate_limiter_internal.buckets_at(at, app_id, admission.cluster_id)
  )).decisions[1];
end;
$$;

comment on function rate_limiter_internal.check_limit_at(timestamptz, uuid, text, bigint) is
  'check_limit() at a moment of the caller''s choice: for tests.';
--! EndIncluded rate_limiter_internal/functions/check_limit_at.sql
--! Included rate_limiter_internal/functions/try_quota.sql
create or replace function rate_limiter_internal.try_quota(
  app_id uuid,
  config_id uuid,
  since timestamptz,
  until timestamptz,
  max_operations integer,
  out operations bigint,
  out throttled_operations bigint,
  out throttled_tokens numeric,
  out throttled_bytes numeric,
  out throttled_by jsonb,
  out first_throttled_at timestamptz,
  out last_throttled_at timestamptz,
  out longest_wait_ms bigint,
  out judged_until timestamptz
)
language plpgsql
stable
parallel safe
as $$
declare
  buckets rate_limiter.token_buckets[] := rate_limiter_internal.quota_buckets(config_id, since);
  entry record;
  batch record;
  decision rate_limiter.decision;
begin
  operations := 0;
  throttled_operations := 0;
  throttled_tokens := 0;
  throttled_bytes := 0;
  throttled_by := '{}';
  longest_wait_ms := 0;
  judged_until := until;

  for entry in
    select
      t.created_at,
      coalesce(-sum(t.tokens_change) filter (where t.bucket_type = 'iops_l2'), 0) as cost,
      coalesce(-sum(t.tokens_change) filter (where t.bucket_type = 'bandwidth_l2'), 0) as bytes
    from rate_limiter.token_transactions as t
    where t.owner_id = try_quota.app_id
      and t.bucket_type in ('iops_l2', 'bandwidth_l2')
      and t.mode = 'enforce'
      and t.transaction_type in ('consume', 'lease')
      and t.created_at >= since
      and t.created_at < until
    -- Rows of one decision share its moment.
    group by t.created_at, t.reference_id
    order by t.created_at
    limit max_operations + 1
  loop
    if operations = max_operations then
      judged_until := entry.created_at;
      exit;
    end if;
    operations := operations + 1;
    buckets := rate_limiter_internal.refill_buckets(entry.created_at, buckets);
    batch := rate_limiter_internal.decide_batch(
      entry.created_at, array[entry.cost], array[entry.bytes::bigint], null, buckets
    );
    decision := batch.decisions[1];

    if decision.allowed then
      buckets := batch.buckets;
    else
      throttled_operations := throttled_operations + 1;
      throttled_tokens := throttled_tokens + entry.cost;
      throttled_bytes := throttled_bytes + entry.bytes;
      throttled_by := throttled_by || jsonb_build_object(
        decision.reason, coalesce((throttled_by ->> decision.reason)::bigint, 0) + 1
      );
      first_throttled_at := coalesce(first_throttled_at, entry.created_at);
      last_throttled_at := entry.created_at;
      longest_wait_ms := greatest(longest_wait_ms, decision.retry_after_ms);
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.try_quota(
  uuid, uuid, timestamptz, timestamptz, integer
) is
  'Decides again, under another quota of the same application, on what its ledger says that it '
  'took: at the same moments, by the same arithmetic as live decisions. judged_until is before '
  'until where there was more than max_operations. Changes nothing.';
--! EndIncluded rate_limiter_internal/functions/try_quota.sql
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
  'need nothing but tokens which their applications hold, and which were drawn on layer 1 ahead '
  'of need, one of each application. Answers in their order, with a row of nulls for every '
  'other operation: nothing was charged for it, and consume() decides on it, or says what is '
  'wrong with it. To be called in a transaction of its own. Raises QS422 for arrays that differ '
  'in length or hold more than 10000 operations.';
grant execute on function rate_limiter.consume_together(uuid[], text[], bigint[])
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/consume_together.sql
--! Included rate_limiter_admin/functions/why_throttled.sql
create or replace function rate_limiter_admin.why_throttled(
  app_id uuid,
  operation text default null,
  size_bytes bigint default 0,
  at timestamptz default null,
  reference_id text default null
)
returns table (
  layer integer,
  bucket_type rate_limiter.bucket_type,
  mode rate_limiter.quota_mode,
  verdict text,
  moment timestamptz,
  charge numeric,
  tokens numeric,
  capacity numeric,
  refill_rate bigint,
  debt numeric,
  passes_at timestamptz,
  config_id uuid,
  version_id uuid
)
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  asked record;
  buckets rate_limiter.token_buckets[];
  bucket rate_limiter.token_buckets;
  is_visible boolean;
begin
  perform rate_limiter_internal.require_application(app_id, 'quota', 'read');
  asked := rate_limiter_internal.operation_in_question(
    app_id, operation, size_bytes, at, reference_id
  );
  moment := asked.moment;

  buckets := array(
    select rate_limiter_internal.bucket_before(asked.moment, b)
    from rate_limiter.token_buckets as b
    join rate_limiter.applications as a on b.owner_id in (a.app_id, a.cluster_id)
    where a.app_id = why_throttled.app_id
    order by b.bucket_type, b.mode
  );

  foreach bucket in array buckets loop
    continue when bucket.capacity is null;
    layer := case when rate_limiter_internal.is_layer_1(bucket.bucket_type) then 1 else 2 end;
    bucket_type := bucket.bucket_type;
    mode := bucket.mode;
    charge := case when rate_limiter_internal.is_bandwidth(bucket.bucket_type)
      then asked.size_bytes_asked else asked.cost end;

    select v.verdict, v.passes_at
    into verdict, passes_at
    from rate_limiter_internal.bucket_verdict(asked.moment, bucket, charge) as v;

    -- A cluster's bucket tells what all of its tenants do: whether it is short, and no more.
    is_visible := layer = 2 or rate_limiter_internal.is_system_admin();
    tokens := case when is_visible then bucket.current_tokens end;
    capacity := case when is_visible then bucket.capacity end;
    refill_rate := case when is_visible then bucket.refill_rate end;
    config_id := case when is_visible then bucket.config_id end;
    debt := case when is_visible then rate_limiter_internal.debt_of(
      asked.moment, bucket.owner_id, bucket.bucket_type
    ) end;
    version_id := case when is_visible then rate_limiter_internal.quota_version_of(
      bucket.config_id, asked.moment
    ) end;
    return next;
  end loop;
end;
$$;

comment on function rate_limiter_admin.why_throttled(
  uuid, text, bigint, timestamptz, text
) is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'Explains the decision on an operation at a moment (now where absent), or on one that was '
  'admitted under a reference: each bucket with what it held, what it was asked for, what it '
  'owes, the version of its quota, and when it could pay. verdict: enough, short or '
  'exceeds_capacity. Of a cluster''s buckets only a system administrator sees the balance.';
grant execute on function rate_limiter_admin.why_throttled(
  uuid, text, bigint, timestamptz, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/why_throttled.sql
