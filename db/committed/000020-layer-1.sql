--! Previous: sha1:16fbcc4834f4b4665c7d5ded3f731cb7e0c76325
--! Hash: sha1:de573278bddbadb7d502f82b316e9a02f2ab700e
--! Message: layer 1

-- Layer 1
--! Included rate_limiter_internal/layer1/session_stripe.sql
create or replace function rate_limiter_internal.session_stripe()
returns integer
language sql
stable
parallel restricted
as $$
  select pg_backend_pid() % 32;
$$;

comment on function rate_limiter_internal.session_stripe() is
  'Which of a cluster''s 32 stripes this session draws on. Inlined into the statements that call '
  'it.';
--! EndIncluded rate_limiter_internal/layer1/session_stripe.sql
--! Included rate_limiter_internal/layer1/stripe_can_pay.sql
create or replace function rate_limiter_internal.stripe_can_pay(
  expires_at timestamptz,
  held_iops numeric,
  held_bytes numeric,
  iops numeric,
  bytes numeric,
  at timestamptz
)
returns boolean
language sql
immutable
parallel safe
as $$
  select expires_at > at and held_iops >= iops and held_bytes >= bytes;
$$;

comment on function rate_limiter_internal.stripe_can_pay(
  timestamptz, numeric, numeric, numeric, numeric, timestamptz
) is
  'Whether a stripe holds what an operation draws on layer 1. Inlined into the statements that '
  'call it.';
--! EndIncluded rate_limiter_internal/layer1/stripe_can_pay.sql
--! Included rate_limiter_internal/layer1/stripe_holds.sql
create or replace function rate_limiter_internal.stripe_holds(
  stripe rate_limiter_internal.layer1_stripes,
  at timestamptz
)
returns numeric[]
language sql
immutable
parallel safe
as $$
  select case
    when rate_limiter_internal.stripe_can_pay(
        stripe.expires_at, stripe.iops, stripe.bytes, 0, 0, at
      )
      then array[stripe.iops, stripe.bytes]
    else '{0,0}'
  end;
$$;

comment on function rate_limiter_internal.stripe_holds(
  rate_limiter_internal.layer1_stripes, timestamptz
) is 'Tokens and bytes of layer 1 that a stripe holds at a moment; null holds nothing.';
--! EndIncluded rate_limiter_internal/layer1/stripe_holds.sql
--! Included rate_limiter_internal/layer1/spend_prefetched.sql
create or replace function rate_limiter_internal.spend_prefetched(
  shard_key integer,
  before numeric[],
  after numeric[]
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  if before = after then
    return;
  end if;
  update rate_limiter_internal.layer1_stripes as s
  set iops = after[1], bytes = after[2]
  where s.shard_key = spend_prefetched.shard_key
    and s.stripe = rate_limiter_internal.session_stripe()
    and s.generation = (
      select n.generation
      from rate_limiter_internal.layer1_stripes as n
      where n.shard_key = spend_prefetched.shard_key
        and n.stripe = rate_limiter_internal.session_stripe()
      order by n.generation
      limit 1
    );
end;
$$;

comment on function rate_limiter_internal.spend_prefetched(integer, numeric[], numeric[]) is
  'Writes what decisions left in the session''s stripe, which lock_buckets() locked.';
--! EndIncluded rate_limiter_internal/layer1/spend_prefetched.sql
--! Included rate_limiter_internal/layer1/prefetched_at.sql
create or replace function rate_limiter_internal.prefetched_at(
  shard_key integer,
  at timestamptz
)
returns numeric[]
language plpgsql
stable
parallel restricted
as $$
declare
  stripe rate_limiter_internal.layer1_stripes;
begin
  select s.* into stripe
  from rate_limiter_internal.layer1_stripes as s
  where s.shard_key = prefetched_at.shard_key
    and s.stripe = rate_limiter_internal.session_stripe();
  return rate_limiter_internal.stripe_holds(stripe, at);
end;
$$;

comment on function rate_limiter_internal.prefetched_at(integer, timestamptz) is
  'Tokens and bytes of a cluster''s layer 1 that the session''s stripe holds at a moment.';
--! EndIncluded rate_limiter_internal/layer1/prefetched_at.sql
--! Included rate_limiter_internal/layer1/plan_layer1_draw.sql
create or replace function rate_limiter_internal.plan_layer1_draw(
  shard_key integer,
  at timestamptz,
  cluster_id uuid,
  bucket_type rate_limiter.bucket_type,
  needed numeric,
  held numeric,
  prefetch_ms integer
)
returns rate_limiter_internal.layer1_draw
language plpgsql
stable
parallel safe
as $$
declare
  bucket record;
  draw rate_limiter_internal.layer1_draw;
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
    b.quota_valid_until, b.capacity, b.calculation_method, b.refill_rate, b.min_reserve,
    b.last_refill_at, b.generation,
    b.current_tokens - coalesce(b.headroom, 0) + rate_limiter_internal.inflow(
      b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
    ) as tokens
  into bucket
  from rate_limiter.token_buckets as b
  where b.shard_key = plan_layer1_draw.shard_key
    and b.owner_id = cluster_id
    and b.bucket_type = plan_layer1_draw.bucket_type
    and b.mode = 'enforce';

  -- A missing bucket does not make the draw free: consume_locked() raises the error.
  draw.quota_valid_until := bucket.quota_valid_until;
  draw.generation := bucket.generation;
  if not found or at >= bucket.quota_valid_until
    or rate_limiter_internal.clock_was_set_back(bucket.last_refill_at, at)
  then
    draw.is_possible := false;
  elsif bucket.capacity is not null then
    draw.is_possible := bucket.calculation_method = 'token_bucket' and bucket.tokens >= lacking;
    -- What is drawn ahead of need leaves the reserve alone, as a lease does. A stripe that would
    -- not pay for two more is not worth its row.
    draw.kept := least(
      trunc(prefetch_ms * 0.001 * bucket.refill_rate / 32, 6),
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

comment on function rate_limiter_internal.plan_layer1_draw(
  integer, timestamptz, uuid, rate_limiter.bucket_type, numeric, numeric, integer
) is
  'What to draw on layer 1 for a charge, of which a stripe holds so much: what is lacking, and '
  'for the stripe its share of prefetch_ms milliseconds of the refill. Only of a token bucket '
  'that has it, and nothing of one without a quota.';
--! EndIncluded rate_limiter_internal/layer1/plan_layer1_draw.sql
--! Included rate_limiter_internal/layer1/draw_layer1.sql
create or replace function rate_limiter_internal.draw_layer1(
  shard_key integer,
  at timestamptz,
  cluster_id uuid,
  bucket_type rate_limiter.bucket_type,
  draw rate_limiter_internal.layer1_draw,
  prefetch_ms integer
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
      updated_at = at,
      generation = rate_limiter_internal.next_generation(
        b.generation, b.ledger_seq, b.page, b.ctid
      ),
      page = rate_limiter_internal.next_page(b.ledger_seq, b.page, b.ctid)
    where b.shard_key = draw_layer1.shard_key
      and b.owner_id = cluster_id
      and b.bucket_type = draw_layer1.bucket_type
      and b.mode = 'enforce'
      and b.generation <= draw.generation
      and b.calculation_method = 'token_bucket'
      and b.quota_valid_until = draw.quota_valid_until
      and b.current_tokens + rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) - coalesce(b.headroom, 0) >= draw.drawn
      and not rate_limiter_internal.clock_was_set_back(b.last_refill_at, at)
    returning b.ledger_seq, b.refilled, b.current_tokens
  )
  insert into rate_limiter.token_transactions (
    shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
    refilled, balance_after
  )
  select
    draw_layer1.shard_key, cluster_id, at, d.ledger_seq, bucket_type, 'enforce',
    case when prefetch_ms > 0 then 'prefetch' else 'consume' end::rate_limiter.transaction_type,
    -draw.drawn, d.refilled, d.current_tokens
  from drawn_on as d;
  return found;
end;
$$;

comment on function rate_limiter_internal.draw_layer1(
  integer, timestamptz, uuid, rate_limiter.bucket_type, rate_limiter_internal.layer1_draw, integer
) is
  'Takes a draw out of the cluster''s bucket as it is when its row is locked, in one statement '
  'with its ledger row. False where others were faster and it is no longer there.';
--! EndIncluded rate_limiter_internal/layer1/draw_layer1.sql
--! Included rate_limiter_internal/layer1/take_from_stripe.sql
create or replace function rate_limiter_internal.take_from_stripe(
  shard_key integer,
  at timestamptz,
  iops numeric,
  bytes numeric,
  inout generation integer
)
language plpgsql
volatile
parallel unsafe
as $$
begin
  if iops > 0 or bytes > 0 then
    update rate_limiter_internal.layer1_stripes as s
    set iops = s.iops - take_from_stripe.iops, bytes = s.bytes - take_from_stripe.bytes
    where s.shard_key = take_from_stripe.shard_key
      and s.stripe = rate_limiter_internal.session_stripe()
      and s.generation <= take_from_stripe.generation
      and rate_limiter_internal.stripe_can_pay(
        s.expires_at, s.iops, s.bytes, take_from_stripe.iops, take_from_stripe.bytes, at
      )
    returning s.generation into generation;
    return;
  end if;

  if generation is not null then
    select s.generation
    into generation
    from rate_limiter_internal.layer1_stripes as s
    where s.shard_key = take_from_stripe.shard_key
      and s.stripe = rate_limiter_internal.session_stripe()
    for no key update;
    return;
  end if;
  insert into rate_limiter_internal.layer1_stripes as s
    (shard_key, stripe, expires_at, iops, bytes)
  values (shard_key, rate_limiter_internal.session_stripe(), at, 0, 0)
  on conflict on constraint layer1_stripes_pkey do update
  set iops = s.iops
  returning s.generation into generation;
end;
$$;

comment on function rate_limiter_internal.take_from_stripe(
  integer, timestamptz, numeric, numeric, integer
) is
  'Takes what the session''s stripe pays, or makes an empty stripe where there is none, and locks '
  'it either way. generation: that of the stripe, before null for none, and after null where '
  'sessions that share it were faster.';
--! EndIncluded rate_limiter_internal/layer1/take_from_stripe.sql
--! Included rate_limiter_internal/layer1/top_up_stripe.sql
create or replace function rate_limiter_internal.top_up_stripe(
  shard_key integer,
  at timestamptz,
  iops numeric,
  bytes numeric,
  generation integer
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  -- What it still holds keeps its date, and what is added gets that then. Where the clock was set
  -- back it holds nothing.
  update rate_limiter_internal.layer1_stripes as s
  set
    expires_at = least(
      at + interval '1 second',
      case
        when rate_limiter_internal.stripe_can_pay(
          s.expires_at, s.iops, s.bytes, 0, 0, at
        ) and (s.iops > 0 or s.bytes > 0)
          then s.expires_at
      end
    ),
    iops = top_up_stripe.iops + case
      when rate_limiter_internal.stripe_can_pay(
        s.expires_at, s.iops, s.bytes, 0, 0, at
      ) then s.iops else 0 end,
    bytes = top_up_stripe.bytes + case
      when rate_limiter_internal.stripe_can_pay(
        s.expires_at, s.iops, s.bytes, 0, 0, at
      ) then s.bytes else 0 end,
    generation = s.generation
      - coalesce(rate_limiter_internal.page_of(s.ctid) <> s.page, false)::integer,
    page = rate_limiter_internal.page_of(s.ctid)
  where s.shard_key = top_up_stripe.shard_key
    and s.stripe = rate_limiter_internal.session_stripe()
    and s.generation = top_up_stripe.generation;
end;
$$;

comment on function rate_limiter_internal.top_up_stripe(
  integer, timestamptz, numeric, numeric, integer
) is
  'Leaves tokens and bytes that layer 1 gave ahead of need in the session''s stripe, which '
  'take_from_stripe() locked, for a second.';
--! EndIncluded rate_limiter_internal/layer1/top_up_stripe.sql
--! Included rate_limiter_internal/layer1/consume_with_layer1.sql
create or replace function rate_limiter_internal.consume_with_layer1(
  shard_key integer,
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
  misses_iops boolean;
  misses_bandwidth boolean;
  lacks_quota boolean;
  prefetch_ms integer;
  -- What the session's stripe holds.
  held_iops numeric;
  held_bytes numeric;
  stripe_generation integer;
  iops_draw rate_limiter_internal.layer1_draw;
  bytes_draw rate_limiter_internal.layer1_draw;
  is_iops_charged boolean := false;
  is_bytes_charged boolean := false;
  is_iops_drawn boolean := false;
  holds_stripe boolean := false;
begin
  lost_race := false;

  select
    b.ledger_seq, b.quota_valid_until, b.current_tokens, b.capacity, b.refill_rate,
    b.calculation_method, b.last_refill_at, b.generation,
    rate_limiter_internal.refill(
      b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
      b.burst_duration_seconds, b.prorated_since, b.last_refill_at, at
    ) as refilled
  into iops
  from rate_limiter.token_buckets as b
  where b.shard_key = consume_with_layer1.shard_key
    and b.owner_id = app_id and b.bucket_type = 'iops_l2' and b.mode = 'enforce';
  misses_iops := not found;

  if at >= iops.quota_valid_until
    or rate_limiter_internal.clock_was_set_back(iops.last_refill_at, at)
  then
    return;
  end if;
  iops_left := iops.current_tokens + iops.refilled - cost;
  if iops_left < 0 then
    decision := rate_limiter_internal.denial_at(shard_key, at, app_id, cluster_id, cost, bytes);
    return;
  end if;

  select
    b.ledger_seq, b.quota_valid_until, b.current_tokens, b.capacity, b.last_refill_at,
    b.generation,
    rate_limiter_internal.refill(
      b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
      b.burst_duration_seconds, b.prorated_since, b.last_refill_at, at
    ) as refilled
  into bandwidth
  from rate_limiter.token_buckets as b
  where b.shard_key = consume_with_layer1.shard_key
    and b.owner_id = app_id and b.bucket_type = 'bandwidth_l2' and b.mode = 'enforce';
  misses_bandwidth := not found;

  if at >= bandwidth.quota_valid_until
    or rate_limiter_internal.clock_was_set_back(bandwidth.last_refill_at, at)
  then
    return;
  end if;
  bytes_left := bandwidth.current_tokens + bandwidth.refilled - bytes;
  if bytes > 0 and bytes_left < 0 then
    decision := rate_limiter_internal.denial_at(shard_key, at, app_id, cluster_id, cost, bytes);
    return;
  end if;

  if iops.capacity is null or bandwidth.capacity is null then
    lacks_quota := rate_limiter_internal.lacks_quota(
      shard_key, app_id, iops.capacity is null, bandwidth.capacity is null and bytes > 0,
      misses_iops, misses_bandwidth
    );
    if lacks_quota is not false then
      -- One that has moved is looked up anew.
      lost_race := lacks_quota is null;
      return;
    end if;
  end if;

  if iops_drawn > 0 or bytes_drawn > 0 then
    select e.layer1_prefetch_ms into prefetch_ms from rate_limiter_internal.engine_settings as e;
    select
      s.generation, case when l.is_alive then s.iops end, case when l.is_alive then s.bytes end
    into stripe_generation, held_iops, held_bytes
    from rate_limiter_internal.layer1_stripes as s
    cross join lateral (
      select rate_limiter_internal.stripe_can_pay(s.expires_at, s.iops, s.bytes, 0, 0, at)
    ) as l (is_alive)
    where s.shard_key = consume_with_layer1.shard_key
      and s.stripe = rate_limiter_internal.session_stripe();
    iops_draw := rate_limiter_internal.plan_layer1_draw(
      shard_key, at, cluster_id, 'iops_l1', iops_drawn, coalesce(held_iops, 0), prefetch_ms
    );
    bytes_draw := rate_limiter_internal.plan_layer1_draw(
      shard_key, at, cluster_id, 'bandwidth_l1', bytes_drawn, coalesce(held_bytes, 0), prefetch_ms
    );
    if not iops_draw.is_possible or not bytes_draw.is_possible then
      decision := rate_limiter_internal.denial_at(shard_key, at, app_id, cluster_id, cost, bytes);
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
      updated_at = at,
      generation = rate_limiter_internal.next_generation(
        b.generation, b.ledger_seq, b.page, b.ctid
      ),
      page = rate_limiter_internal.next_page(b.ledger_seq, b.page, b.ctid)
    where b.shard_key = consume_with_layer1.shard_key
      and b.owner_id = app_id
      and b.bucket_type = 'iops_l2'
      and b.mode = 'enforce'
      and b.generation <= iops.generation
      and b.ledger_seq = iops.ledger_seq
      and b.last_refill_at = iops.last_refill_at
      and b.quota_valid_until = iops.quota_valid_until;
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
      updated_at = at,
      generation = rate_limiter_internal.next_generation(
        b.generation, b.ledger_seq, b.page, b.ctid
      ),
      page = rate_limiter_internal.next_page(b.ledger_seq, b.page, b.ctid)
    where b.shard_key = consume_with_layer1.shard_key
      and b.owner_id = app_id
      and b.bucket_type = 'bandwidth_l2'
      and b.mode = 'enforce'
      and b.generation <= bandwidth.generation
      and b.ledger_seq = bandwidth.ledger_seq
      and b.last_refill_at = bandwidth.last_refill_at
      and b.quota_valid_until = bandwidth.quota_valid_until;
    is_bytes_charged := found;
    -- The first bucket was as it was read and this one no longer.
    lost_race := not found;
  end if;

  insert into rate_limiter.token_transactions (
    shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
    refilled, balance_after
  )
  select
    consume_with_layer1.shard_key, app_id, at, c.seq_before + 1, c.bucket_type, 'enforce',
    'consume', -c.tokens, c.refilled, c.balance
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

  -- Layer 2, the stripe, layer 1: the lock order; layer 1 is held the
  -- shortest, because all applications of the cluster wait for its rows.
  if not lost_race
    and iops_draw.taken + iops_draw.kept + bytes_draw.taken + bytes_draw.kept > 0
  then
    stripe_generation := rate_limiter_internal.take_from_stripe(
      shard_key, at, iops_draw.taken, bytes_draw.taken, stripe_generation
    );
    lost_race := stripe_generation is null;
    holds_stripe := true;
  end if;
  if iops_draw.drawn > 0 and not lost_race then
    is_iops_drawn := rate_limiter_internal.draw_layer1(
      shard_key, at, cluster_id, 'iops_l1', iops_draw, prefetch_ms
    );
    lost_race := not is_iops_drawn;
  end if;
  if bytes_draw.drawn > 0 and not lost_race then
    lost_race := not rate_limiter_internal.draw_layer1(
      shard_key, at, cluster_id, 'bandwidth_l1', bytes_draw, prefetch_ms
    );
  end if;

  if lost_race then
    -- What the stripe paid lapses.
    perform rate_limiter_internal.compensate(
      shard_key, at, app_id, 'iops_l2', case when is_iops_charged then cost end
    );
    perform rate_limiter_internal.compensate(
      shard_key, at, app_id, 'bandwidth_l2', case when is_bytes_charged then bytes end
    );
    perform rate_limiter_internal.compensate(
      shard_key, at, cluster_id, 'iops_l1', case when is_iops_drawn then iops_draw.drawn end
    );
    -- Layer 1 is locked now: another try must not have to wait for a stripe.
    lost_race := holds_stripe;
    return;
  end if;
  if iops_draw.kept > 0 or bytes_draw.kept > 0 then
    perform rate_limiter_internal.top_up_stripe(
      shard_key, at, iops_draw.kept, bytes_draw.kept, stripe_generation
    );
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

comment on function rate_limiter_internal.consume_with_layer1(
  integer, timestamptz, uuid, uuid, numeric, numeric, numeric, numeric
) is
  'Decides on an operation of a fixed window, or whose draw on layer 1 the session''s stripe does '
  'not pay: charges it and draws for it, and for the stripe ahead of need, or denies it. A null '
  'decision is left to be made under locks, or, after a lost race, to be tried again; nothing is '
  'charged then. Raises QS409 where the application lacks a bucket that it has by its facts.';
--! EndIncluded rate_limiter_internal/layer1/consume_with_layer1.sql
--! Included rate_limiter_internal/layer1/cluster_share.sql
create or replace function rate_limiter_internal.cluster_share(
  shard_key integer,
  tenant_id uuid,
  cluster_id uuid,
  out tenants bigint,
  out siblings bigint
)
language plpgsql
stable
parallel safe
as $$
begin
  select
    count(distinct f.tenant_id) filter (where f.tenant_id <> cluster_share.tenant_id) + 1,
    greatest(count(*) filter (where f.tenant_id = cluster_share.tenant_id), 1)
  into tenants, siblings
  from rate_limiter.app_facts as f
  where f.shard_key = cluster_share.shard_key
    and f.cluster_id = cluster_share.cluster_id
    and f.is_active
    and f.tenant_is_active;
end;
$$;

comment on function rate_limiter_internal.cluster_share(integer, uuid, uuid) is
  'How many tenants have active applications on a cluster, this one included, and how many of '
  'those applications are its own. What is shared there is shared by '
  'tenant first.';
--! EndIncluded rate_limiter_internal/layer1/cluster_share.sql
--! Included rate_limiter_internal/layer1/raise_layer1_short.sql
create or replace function rate_limiter_internal.raise_layer1_short()
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  raise exception using
    errcode = 'QS425',
    message = 'layer 1 is short',
    hint = 'What was decided before layer 1 was locked is decided again under its lock.';
end;
$$;

comment on function rate_limiter_internal.raise_layer1_short() is
  'Undoes what was decided as if layer 1 had enough: raises QS425, which the caller of these '
  'decisions catches.';
--! EndIncluded rate_limiter_internal/layer1/raise_layer1_short.sql
--! Included rate_limiter_internal/layer1/with_full_layer1.sql
create or replace function rate_limiter_internal.with_full_layer1(
  inout buckets rate_limiter.token_buckets[]
)
language plpgsql
immutable
parallel safe
as $$
begin
  for place in 1 .. cardinality(buckets) loop
    if buckets[place].mode = 'shadow' or buckets[place].calculation_method <> 'token_bucket' then
      perform rate_limiter_internal.raise_layer1_short();
    end if;
    if buckets[place].reserve_cluster_id is null then
      buckets[place].current_tokens := buckets[place].capacity;
      buckets[place].leased := null;
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.with_full_layer1(rate_limiter.token_buckets[]) is
  'The layer-1 buckets and reserves of an application as if layer 1 were full, for leases that are '
  'granted before it is locked and hold if draw_layer1_for() finds enough in it. With a shadow '
  'quota, or another one than a token bucket, they are granted under its lock.';
--! EndIncluded rate_limiter_internal/layer1/with_full_layer1.sql
--! Included rate_limiter_internal/layer1/draw_layer1_for.sql
create or replace function rate_limiter_internal.draw_layer1_for(
  at timestamptz,
  transaction_type rate_limiter.transaction_type,
  drawn rate_limiter_internal.bucket_charge[],
  asked rate_limiter_internal.bucket_charge[] default null,
  metadata jsonb default null
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  is_lease constant boolean := asked is not null;
  settings rate_limiter_internal.engine_settings;
  draw record;
  before rate_limiter.token_buckets;
  after rate_limiter.token_buckets;
  kept numeric;
begin
  select e.* into settings
  from rate_limiter_internal.engine_settings as e;
  for draw in
    select
      d.shard_key, d.owner_id, d.bucket_type, d.mode, sum(d.tokens) as tokens,
      (
        select sum(a.tokens)
        from unnest(asked) as a
        where a.owner_id = d.owner_id and a.bucket_type = d.bucket_type
      ) as asked
    from unnest(drawn) as d
    where d.tokens > 0
    group by d.shard_key, d.owner_id, d.bucket_type, d.mode
    order by d.owner_id, d.bucket_type, d.mode
  loop
    before := rate_limiter_internal.lock_bucket(
      draw.shard_key, at, draw.owner_id, draw.bucket_type, draw.mode
    );
    kept := coalesce(before.headroom, 0) + case when is_lease then before.min_reserve else 0 end;
    if before.capacity is null
      or before.current_tokens - kept < draw.tokens
      -- Leases are shared when layer 1 is short, and when much of it is leased.
      or is_lease and settings.lease_fairness
        and before.current_tokens - kept - draw.tokens < (before.capacity - kept) / 2
      or is_lease
        and coalesce(before.leased, 0) + draw.asked > before.capacity * settings.lease_common_share
    then
      perform rate_limiter_internal.raise_layer1_short();
    end if;
    after := rate_limiter_internal.with_tokens(before, before.current_tokens - draw.tokens);
    if is_lease then
      after.leased := coalesce(before.leased, 0) + draw.tokens;
    end if;
    perform rate_limiter_internal.write_buckets(
      at, transaction_type, array[before], array[after], null, metadata
    );
  end loop;
end;
$$;

comment on function rate_limiter_internal.draw_layer1_for(
  timestamptz, rate_limiter.transaction_type, rate_limiter_internal.bucket_charge[],
  rate_limiter_internal.bucket_charge[], jsonb
) is
  'Takes out of layer-1 buckets, in one row each, what was decided before they are locked here: '
  'batches that leave them open (leaves_layer1_open), and leases as if they were full '
  '(with_full_layer1). Raises QS425 (raise_layer1_short) where one has less beyond its headroom; '
  'for leases (asked: what they asked for) also where that would have been less than asked because '
  'layer 1 is short or much of it is leased.';
--! EndIncluded rate_limiter_internal/layer1/draw_layer1_for.sql
