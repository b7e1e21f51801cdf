--! Previous: sha1:a37327c1b74c6853c731c6d7e09f41051bb83aef
--! Hash: sha1:16fbcc4834f4b4665c7d5ded3f731cb7e0c76325
--! Message: buckets

-- Buckets
--! Included rate_limiter_internal/buckets/needs_quota_of_kind.sql
create or replace function rate_limiter_internal.needs_quota_of_kind(
  bucket rate_limiter.token_buckets
)
returns boolean
language plpgsql
stable
parallel safe
as $$
begin
  return exists (
    select
    from rate_limiter.app_facts as f
    where f.shard_key = bucket.shard_key
      and f.app_id = bucket.owner_id
      and case bucket.bucket_type
        when 'iops_l2' then f.needs_iops_quota
        when 'bandwidth_l2' then f.needs_bandwidth_quota
      end
  );
end;
$$;

comment on function rate_limiter_internal.needs_quota_of_kind(rate_limiter.token_buckets) is
  'Whether a bucket is of an application that is denied without a quota of its kind, as under a '
  'ceiling: a quota then begins with nothing, and its debt has to be paid under it.';
--! EndIncluded rate_limiter_internal/buckets/needs_quota_of_kind.sql
--! Included rate_limiter_internal/buckets/page_of.sql
create or replace function rate_limiter_internal.page_of(place tid)
returns bigint
language sql
immutable
parallel safe
as $$
  select (place::text::point)[0]::bigint;
$$;

comment on function rate_limiter_internal.page_of(tid) is
  'The page of a table that a version of a row lies in. Inlined into the statements that call it.';
--! EndIncluded rate_limiter_internal/buckets/page_of.sql
--! Included rate_limiter_internal/buckets/next_page.sql
create or replace function rate_limiter_internal.next_page(
  ledger_seq bigint,
  page bigint,
  place tid
)
returns bigint
language sql
immutable
parallel safe
as $$
  select case
    when ledger_seq % 64 = 63 then rate_limiter_internal.page_of(place)
    else page
  end;
$$;

comment on function rate_limiter_internal.next_page(bigint, bigint, tid) is
  'The page of a row to remember with its next version: at every 64th where it lies now. Inlined '
  'into the statements that call it.';
--! EndIncluded rate_limiter_internal/buckets/next_page.sql
--! Included rate_limiter_internal/buckets/next_generation.sql
create or replace function rate_limiter_internal.next_generation(
  generation integer,
  ledger_seq bigint,
  page bigint,
  place tid
)
returns integer
language sql
immutable
parallel safe
as $$
  select case
    when ledger_seq % 64 = 63 and rate_limiter_internal.page_of(place) <> page then generation - 1
    else generation
  end;
$$;

comment on function rate_limiter_internal.next_generation(integer, bigint, bigint, tid) is
  'The generation of the next version of a bucket''s row: the one before, where at every 64th '
  'version the row has left its page, which it does only while an open snapshot keeps PostgreSQL '
  'from pruning. Inlined into the statements that call it.';
--! EndIncluded rate_limiter_internal/buckets/next_generation.sql
--! Included rate_limiter_internal/buckets/note_generation.sql
create or replace function rate_limiter_internal.note_generation(
  shard_key integer,
  app_id uuid,
  generation integer
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  perform
  from rate_limiter.app_facts as f
  where f.shard_key = note_generation.shard_key
    and f.app_id = note_generation.app_id
    and f.bucket_generation > note_generation.generation
  for no key update skip locked;
  if found then
    update rate_limiter.app_facts as f
    set bucket_generation = note_generation.generation
    where f.shard_key = note_generation.shard_key
      and f.app_id = note_generation.app_id;
  end if;
end;
$$;

comment on function rate_limiter_internal.note_generation(integer, uuid, integer) is
  'Writes into the facts of an application the generation that its IOPS bucket has reached, so '
  'that decisions need not look at older ones. Waits for no lock, and is called last: where the '
  'facts are locked a later decision does it.';
--! EndIncluded rate_limiter_internal/buckets/note_generation.sql
--! Included rate_limiter_internal/buckets/roll_forward.sql
create or replace function rate_limiter_internal.roll_forward(
  at timestamptz,
  inout bucket rate_limiter.token_buckets,
  out adjusted numeric
)
language plpgsql
stable
parallel safe
as $$
declare
  snapshot rate_limiter_internal.quota_snapshot;
  change_at timestamptz;
  change numeric;
begin
  adjusted := 0;
  bucket.refilled := 0;

  while at >= bucket.quota_valid_until loop
    change_at := greatest(bucket.quota_valid_until, bucket.last_refill_at);
    if bucket.capacity is not null then
      change := rate_limiter_internal.refill(
        bucket.current_tokens, bucket.capacity, bucket.refill_rate, bucket.calculation_method,
        bucket.burst_duration_seconds, bucket.prorated_since, bucket.last_refill_at, change_at
      );
      bucket.refilled := bucket.refilled + change;
      bucket.current_tokens := bucket.current_tokens + change;
      bucket.last_refill_at := change_at;
    end if;

    snapshot := rate_limiter_internal.quota_snapshot_at(
      bucket.shard_key, bucket.quota_valid_until, bucket.owner_id, bucket.bucket_type,
      bucket.mode, bucket.reserve_cluster_id
    );
    bucket.quota_valid_until := snapshot.quota_valid_until;
    if snapshot.config_id is null then
      -- Dormant: balance and debt stay, and nothing flows.
      bucket.last_capacity := coalesce(bucket.capacity, bucket.last_capacity);
      bucket.capacity := null;
      bucket.config_id := null;
    elsif bucket.reserve_cluster_id is not null then
      -- A reserve keeps its own terms, and is in force while its cluster's bucket is.
      bucket.capacity := nullif(bucket.last_capacity, 0);
      bucket.config_id := snapshot.config_id;
      bucket.last_refill_at := change_at;
    elsif (
      snapshot.config_id, snapshot.capacity, snapshot.calculation_method, snapshot.refill_rate,
      snapshot.burst_duration_seconds, snapshot.min_reserve, snapshot.allow_oversize
    ) is distinct from (
      bucket.config_id, bucket.capacity, bucket.calculation_method, bucket.refill_rate,
      bucket.burst_duration_seconds, bucket.min_reserve, bucket.allow_oversize
    ) then
      -- Its first quota finds a bucket full, every later one what is in it; but under a ceiling,
      -- within which quotas can go from one application to the next, each begins with nothing.
      change := case
        when bucket.capacity is null and bucket.mode = 'enforce'
            and rate_limiter_internal.needs_quota_of_kind(bucket)
          then least(0 - bucket.current_tokens, 0)
        when coalesce(bucket.capacity, bucket.last_capacity) is null
          then snapshot.capacity - bucket.current_tokens
        else least(snapshot.capacity - bucket.current_tokens, 0)
      end;
      bucket.prorated_since := case
        when snapshot.calculation_method = 'fixed_window'
          and coalesce(bucket.capacity, bucket.last_capacity) is not null then change_at
      end;
      adjusted := adjusted + change;
      bucket.current_tokens := bucket.current_tokens + change;
      bucket.last_refill_at := change_at;
      bucket.config_id := snapshot.config_id;
      bucket.capacity := snapshot.capacity;
      bucket.calculation_method := snapshot.calculation_method;
      bucket.refill_rate := snapshot.refill_rate;
      bucket.burst_duration_seconds := snapshot.burst_duration_seconds;
      bucket.min_reserve := snapshot.min_reserve;
      bucket.allow_oversize := snapshot.allow_oversize;
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.roll_forward(
  timestamptz, rate_limiter.token_buckets
) is
  'A bucket under the quota in force at a moment, as it stood when that took force: rolled '
  'through each change of quota since it was last written, refilled under each up to the next. '
  'adjusted: tokens that changes of quota added (its first one) or dropped.';
--! EndIncluded rate_limiter_internal/buckets/roll_forward.sql
--! Included rate_limiter_internal/buckets/bucket_at.sql
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
  rolled record;
  inflow numeric;
begin
  adjusted := 0;
  bucket.refilled := 0;
  if at >= bucket.quota_valid_until then
    rolled := rate_limiter_internal.roll_forward(at, bucket);
    bucket := rolled.bucket;
    adjusted := rolled.adjusted;
  end if;

  if rate_limiter_internal.clock_was_set_back(bucket.last_refill_at, at) then
    bucket.last_refill_at := at;
    if bucket.calculation_method = 'fixed_window' then
      bucket.prorated_since := at;
    end if;
  elsif bucket.capacity is not null then
    inflow := rate_limiter_internal.refill(
      bucket.current_tokens, bucket.capacity, bucket.refill_rate, bucket.calculation_method,
      bucket.burst_duration_seconds, bucket.prorated_since, bucket.last_refill_at, at
    );
    bucket.refilled := bucket.refilled + inflow;
    bucket.current_tokens := bucket.current_tokens + inflow;
    bucket.last_refill_at := greatest(bucket.last_refill_at, at);
  end if;
end;
$$;

comment on function rate_limiter_internal.bucket_at(timestamptz, rate_limiter.token_buckets) is
  'A bucket as it stands at a moment: rolled through every change of quota since it was last '
  'written, and refilled. refilled: tokens that flowed in. adjusted: tokens that changes of '
  'quota added (a bucket''s first quota finds it full) or dropped. Changes nothing.';
--! EndIncluded rate_limiter_internal/buckets/bucket_at.sql
--! Included rate_limiter_internal/buckets/buckets_at.sql
create or replace function rate_limiter_internal.buckets_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  expected rate_limiter.bucket_type[] default '{}'
)
returns rate_limiter.token_buckets[]
language plpgsql
stable
parallel safe
as $$
declare
  bucket rate_limiter.token_buckets;
  buckets rate_limiter.token_buckets[] := '{}';
begin
  for bucket in
    select b.*
    from rate_limiter.token_buckets as b
    where b.shard_key = buckets_at.shard_key
      and b.owner_id in (buckets_at.app_id, buckets_at.cluster_id)
    order by b.bucket_type, b.mode
  loop
    if bucket.mode = 'enforce' then
      expected := array_remove(expected, bucket.bucket_type);
    end if;
    bucket := (rate_limiter_internal.bucket_at(at, bucket)).bucket;
    if bucket.capacity is not null then
      buckets := buckets || bucket;
    end if;
  end loop;
  if expected <> '{}' then
    perform rate_limiter_internal.require_buckets(shard_key, app_id, expected);
  end if;
  return buckets;
end;
$$;

comment on function rate_limiter_internal.buckets_at(
  integer, timestamptz, uuid, uuid, rate_limiter.bucket_type[]
) is
  'The buckets with a quota in force that an application draws on, as they stand at a moment, '
  'in the order in which a denial names them, and its reserves. Locks nothing. Raises QS409 where '
  'an enforcing one that is expected is missing.';
--! EndIncluded rate_limiter_internal/buckets/buckets_at.sql
--! Included rate_limiter_internal/buckets/write_buckets.sql
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
      quota_valid_until = bucket.quota_valid_until,
      last_refill_at = bucket.last_refill_at,
      updated_at = case
        when bucket.ledger_seq > (after[place]).ledger_seq then at else b.updated_at
      end,
      ledger_seq = bucket.ledger_seq,
      refill_rate = bucket.refill_rate,
      min_reserve = bucket.min_reserve,
      config_id = bucket.config_id,
      capacity = bucket.capacity,
      last_capacity = bucket.last_capacity,
      prorated_since = bucket.prorated_since,
      leased = bucket.leased,
      current_tokens = bucket.current_tokens,
      refilled = bucket.refilled,
      generation = rate_limiter_internal.next_generation(
        b.generation, b.ledger_seq, b.page, b.ctid
      ),
      page = rate_limiter_internal.next_page(b.ledger_seq, b.page, b.ctid)
    where b.shard_key = bucket.shard_key
      and b.owner_id = bucket.owner_id
      and b.bucket_type = bucket.bucket_type
      and b.mode = bucket.mode
      and b.generation <= bucket.generation;

    if bucket.ledger_seq > (after[place]).ledger_seq then
      insert into rate_limiter.token_transactions (
        shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
        refilled, balance_after, reference_id, metadata
      )
      values (
        bucket.shard_key, bucket.owner_id, at, bucket.ledger_seq, bucket.bucket_type, bucket.mode,
        transaction_type, tokens_change, bucket.refilled, bucket.current_tokens, reference_id,
        metadata
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
  'order. What the caller left alone is not written.';
--! EndIncluded rate_limiter_internal/buckets/write_buckets.sql
--! Included rate_limiter_internal/buckets/with_tokens.sql
create or replace function rate_limiter_internal.with_tokens(
  bucket rate_limiter.token_buckets,
  tokens numeric
)
returns rate_limiter.token_buckets
language plpgsql
immutable
parallel safe
as $$
begin
  bucket.current_tokens := tokens;
  return bucket;
end;
$$;

comment on function rate_limiter_internal.with_tokens(rate_limiter.token_buckets, numeric) is
  'A bucket that holds so many tokens instead.';
--! EndIncluded rate_limiter_internal/buckets/with_tokens.sql
--! Included rate_limiter_internal/buckets/locked_bucket_at.sql
create or replace function rate_limiter_internal.locked_bucket_at(
  at timestamptz,
  stored rate_limiter.token_buckets
)
returns rate_limiter.token_buckets
language plpgsql
volatile
parallel unsafe
as $$
declare
  bucket rate_limiter.token_buckets := stored;
  before rate_limiter.token_buckets;
  rolled record;
begin
  -- As the bucket stood when the quota took force: what flowed in since then is written by
  -- whatever charges it, so that a decision that charges nothing leaves no moment behind.
  if at >= stored.quota_valid_until then
    rolled := rate_limiter_internal.roll_forward(at, stored);
    bucket := rolled.bucket;
    before := bucket;
    before.current_tokens := before.current_tokens - rolled.adjusted;
    before.quota_valid_until := stored.quota_valid_until;
    perform rate_limiter_internal.write_buckets(
      at, 'adjust', array[before], array[bucket], null, '{"cause": "change of quota"}'
    );
    if rolled.adjusted <> 0 or bucket.refilled <> 0 then
      bucket.ledger_seq := bucket.ledger_seq + 1;
    end if;
  end if;

  return (rate_limiter_internal.bucket_at(at, bucket)).bucket;
end;
$$;

comment on function rate_limiter_internal.locked_bucket_at(
  timestamptz, rate_limiter.token_buckets
) is
  'A bucket that the caller has locked, as it stands at a moment. A change of quota since it was '
  'last written is written first.';
--! EndIncluded rate_limiter_internal/buckets/locked_bucket_at.sql
--! Included rate_limiter_internal/buckets/lock_bucket.sql
create or replace function rate_limiter_internal.lock_bucket(
  shard_key integer,
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  mode rate_limiter.quota_mode
)
returns rate_limiter.token_buckets
language plpgsql
volatile
parallel unsafe
as $$
declare
  stored rate_limiter.token_buckets;
begin
  select b.* into stored
  from rate_limiter.token_buckets as b
  where b.shard_key = lock_bucket.shard_key
    and b.owner_id = lock_bucket.owner_id
    and b.bucket_type = lock_bucket.bucket_type
    and b.mode = lock_bucket.mode
  for update;

  if not found then
    return null;
  end if;
  return rate_limiter_internal.locked_bucket_at(at, stored);
end;
$$;

comment on function rate_limiter_internal.lock_bucket(
  integer, timestamptz, uuid, rate_limiter.bucket_type, rate_limiter.quota_mode
) is
  'Locks a bucket until the end of the transaction and returns it as it stands at a moment; '
  'null where there is none. A change of quota since it was last written is written first. '
  'Callers lock in the order of chapter buckets: layer 2, layer 1, reserves, each by owner.';
--! EndIncluded rate_limiter_internal/buckets/lock_bucket.sql
--! Included rate_limiter_internal/buckets/lock_in_order.sql
create or replace function rate_limiter_internal.lock_in_order(
  inout at timestamptz,
  wanted rate_limiter_internal.bucket_charge[]
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  bucket rate_limiter_internal.bucket_charge;
  -- Read, so that the newest generation is found first and no older one is looked at.
  generation integer;
begin
  for bucket in
    select distinct on (w.rank, w.owner_id, w.bucket_type, w.mode)
      w.shard_key, w.owner_id, w.bucket_type, w.mode, w.tokens
    from (
      select u.*, rate_limiter_internal.lock_rank(u.bucket_type) as rank
      from unnest(wanted) as u
      where u.owner_id is not null
    ) as w
    order by w.rank, w.owner_id, w.bucket_type, w.mode
  loop
    select b.generation
    into generation
    from rate_limiter.token_buckets as b
    where b.shard_key = bucket.shard_key
      and b.owner_id = bucket.owner_id
      and b.bucket_type = bucket.bucket_type
      and b.mode = bucket.mode
    for update;
  end loop;
  at := coalesce(at, clock_timestamp());
end;
$$;

comment on function rate_limiter_internal.lock_in_order(
  timestamptz, rate_limiter_internal.bucket_charge[]
) is
  'Locks many buckets in the one order that cannot deadlock: layer 2, layer 1, reserves, each by '
  'owner, type and mode. Answers the moment, where that is null what the clock says then.';
--! EndIncluded rate_limiter_internal/buckets/lock_in_order.sql
--! Included rate_limiter_internal/layer1/lock_layer1.sql
create or replace function rate_limiter_internal.lock_layer1(cluster_ids uuid[])
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  perform
  from rate_limiter.clusters as c
  join rate_limiter.token_buckets as b
    on b.shard_key = c.shard_key and b.owner_id = c.cluster_id
  where c.cluster_id = any (cluster_ids)
  order by b.owner_id, b.bucket_type, b.mode
  for update of b;
end;
$$;

comment on function rate_limiter_internal.lock_layer1(uuid[]) is
  'Locks layer 1 of clusters in lock order, for callers that change it in several passes.';
--! EndIncluded rate_limiter_internal/layer1/lock_layer1.sql
--! Included rate_limiter_internal/buckets/lock_owners.sql
create or replace function rate_limiter_internal.lock_owners(
  shard_keys integer[],
  inout at timestamptz,
  owner_ids uuid[],
  out buckets rate_limiter.token_buckets[]
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  rank integer;
  bucket rate_limiter.token_buckets;
  stored rate_limiter.token_buckets[] := '{}';
begin
  -- A query for each owner, because a lock is taken when a row is fetched.
  for rank in 1 .. 3 loop
    for place in 1 .. cardinality(owner_ids) loop
      for bucket in
        select b.*
        from rate_limiter.token_buckets as b
        where b.shard_key = shard_keys[place]
          and b.owner_id = owner_ids[place]
          and rate_limiter_internal.lock_rank(b.bucket_type) = rank
        order by b.bucket_type, b.mode
        for update
      loop
        stored := stored || bucket;
      end loop;
    end loop;
  end loop;

  at := coalesce(at, clock_timestamp());
  buckets := '{}';
  foreach bucket in array stored loop
    bucket := rate_limiter_internal.locked_bucket_at(at, bucket);
    if bucket.capacity is not null then
      buckets := buckets || bucket;
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.lock_owners(integer[], timestamptz, uuid[]) is
  'Locks the buckets of owners until the end of the transaction, and returns those with a quota '
  'in force as they stand at a moment: where that is null, at what the clock says once they are '
  'locked. The caller names owners of one kind in order.';
--! EndIncluded rate_limiter_internal/buckets/lock_owners.sql
--! Included rate_limiter_internal/buckets/lock_buckets.sql
create or replace function rate_limiter_internal.lock_buckets(
  shard_key integer,
  inout at timestamptz,
  app_id uuid,
  cluster_id uuid,
  with_tokens boolean,
  with_bytes boolean,
  writes_changes boolean default true,
  with_layer1 boolean default true,
  out buckets rate_limiter.token_buckets[],
  out prefetched numeric[],
  out unwritten rate_limiter.token_buckets[]
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  -- Dormant buckets stay so until then: a quota that is published meanwhile comes after this.
  horizon constant timestamptz := coalesce(at, clock_timestamp() + interval '1 minute');
  bucket rate_limiter.token_buckets;
  stored rate_limiter.token_buckets[] := '{}';
  stripe rate_limiter_internal.layer1_stripes;
  has_headroom boolean := false;
begin
  -- Nothing that is not charged is locked: a decision that lost a race holds layer 1 already, and
  -- must not wait for what others lock before it. Layer 2:
  for bucket in
    select b.*
    from rate_limiter.token_buckets as b
    where b.shard_key = lock_buckets.shard_key
      and b.owner_id = lock_buckets.app_id
      and b.bucket_type in (
        case when with_tokens then 'iops_l2'::rate_limiter.bucket_type end,
        case when with_bytes then 'bandwidth_l2'::rate_limiter.bucket_type end
      )
      and (b.capacity is not null or b.quota_valid_until <= horizon)
    order by b.bucket_type, b.mode
    for update
  loop
    stored := stored || bucket;
  end loop;
  if stored = '{}' then
    perform rate_limiter_internal.require_not_moved(shard_key, app_id);
  end if;
  -- A stripe that another session has is empty for this one.
  select s.* into stripe
  from rate_limiter_internal.layer1_stripes as s
  where s.shard_key = lock_buckets.shard_key
    and s.stripe = rate_limiter_internal.session_stripe()
  for no key update skip locked;
  -- Layer 1:
  for bucket in
    select b.*
    from rate_limiter.token_buckets as b
    where b.shard_key = lock_buckets.shard_key
      and b.owner_id = lock_buckets.cluster_id
      and with_layer1
      and b.bucket_type in (
        case when with_tokens then 'iops_l1'::rate_limiter.bucket_type end,
        case when with_bytes then 'bandwidth_l1'::rate_limiter.bucket_type end
      )
      and (b.capacity is not null or b.quota_valid_until <= horizon)
    order by b.bucket_type, b.mode
    for update
  loop
    stored := stored || bucket;
    has_headroom := has_headroom or coalesce(bucket.headroom > 0, false);
  end loop;
  -- Reserves:
  if has_headroom then
    for bucket in
      select b.*
      from rate_limiter.token_buckets as b
      where b.shard_key = lock_buckets.shard_key
        and b.owner_id = lock_buckets.app_id
        and b.bucket_type in (
          case when with_tokens then 'iops_reserve'::rate_limiter.bucket_type end,
          case when with_bytes then 'bandwidth_reserve'::rate_limiter.bucket_type end
        )
        and (b.capacity is not null or b.quota_valid_until <= horizon)
      order by b.bucket_type, b.mode
      for update
    loop
      stored := stored || bucket;
    end loop;
  end if;

  at := coalesce(at, clock_timestamp());
  buckets := '{}';
  unwritten := '{}';
  foreach bucket in array stored loop
    if writes_changes
      or at < bucket.quota_valid_until
      -- A heal writes the bucket as it stands.
      or rate_limiter_internal.clock_was_set_back(bucket.last_refill_at, at)
    then
      bucket := rate_limiter_internal.locked_bucket_at(at, bucket);
    else
      unwritten := unwritten || bucket;
      bucket := (rate_limiter_internal.bucket_at(at, bucket)).bucket;
    end if;
    if bucket.capacity is not null then
      buckets := buckets || bucket;
    end if;
  end loop;
  prefetched := rate_limiter_internal.stripe_holds(stripe, at);
end;
$$;

comment on function rate_limiter_internal.lock_buckets(
  integer, timestamptz, uuid, uuid, boolean, boolean, boolean, boolean
) is
  'Like buckets_at, of those buckets alone that are charged, for tokens or bytes or both, and '
  'locks them until the end of the transaction: layer 2, the session''s stripe, layer 1, '
  'reserves. at null: what the clock says once they are locked. prefetched: tokens and bytes that '
  'the stripe holds. Changes of quota since a bucket was last written are written, unless '
  'writes_changes is false and the clock was not set back for it: unwritten has it as it is then. '
  'Unless with_layer1, layer 1 and reserves are left alone.';
--! EndIncluded rate_limiter_internal/buckets/lock_buckets.sql
--! Included rate_limiter_internal/buckets/lock_layer2.sql
create or replace function rate_limiter_internal.lock_layer2(
  shard_key integer,
  at timestamptz,
  app_id uuid
)
returns rate_limiter.token_buckets[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  bucket rate_limiter.token_buckets;
  buckets rate_limiter.token_buckets[] := '{}';
begin
  for bucket in
    select b.*
    from rate_limiter.token_buckets as b
    where b.shard_key = lock_layer2.shard_key
      and b.owner_id = lock_layer2.app_id
      and rate_limiter_internal.lock_rank(b.bucket_type) = 1
    order by b.bucket_type, b.mode
    for update
  loop
    bucket := rate_limiter_internal.locked_bucket_at(at, bucket);
    if bucket.capacity is not null then
      buckets := buckets || bucket;
    end if;
  end loop;
  return buckets;
end;
$$;

comment on function rate_limiter_internal.lock_layer2(integer, timestamptz, uuid) is
  'Locks the layer-2 buckets of an application, and returns those with a quota in force as they '
  'stand at a moment. Changes of quota since they were last written are written.';
--! EndIncluded rate_limiter_internal/buckets/lock_layer2.sql
--! Included rate_limiter_internal/buckets/lock_layer2_of.sql
create or replace function rate_limiter_internal.lock_layer2_of(
  shard_key integer,
  app_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  perform
  from rate_limiter.token_buckets as b
  where b.shard_key = lock_layer2_of.shard_key
    and b.owner_id = lock_layer2_of.app_id
    and rate_limiter_internal.lock_rank(b.bucket_type) = 1
  order by b.bucket_type, b.mode
  for update;
end;
$$;

comment on function rate_limiter_internal.lock_layer2_of(integer, uuid) is
  'Locks the layer-2 buckets of an application, for callers that go on to keys of what is owed: '
  'these come after layer 2 in the lock order, and before layer 1. Callers with several '
  'applications name them in order.';
--! EndIncluded rate_limiter_internal/buckets/lock_layer2_of.sql
--! Included rate_limiter_internal/buckets/heal_buckets.sql
create or replace function rate_limiter_internal.heal_buckets(
  buckets rate_limiter.token_buckets[],
  with_tokens boolean,
  with_bytes boolean
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  bucket rate_limiter.token_buckets;
begin
  foreach bucket in array buckets loop
    if rate_limiter_internal.is_bandwidth(bucket.bucket_type) and with_bytes
      or not rate_limiter_internal.is_bandwidth(bucket.bucket_type) and with_tokens
    then
      update rate_limiter.token_buckets as b
      set
        last_refill_at = bucket.last_refill_at,
        prorated_since = bucket.prorated_since
      where b.shard_key = bucket.shard_key
        and b.owner_id = bucket.owner_id
        and b.bucket_type = bucket.bucket_type
        and b.mode = bucket.mode
        and rate_limiter_internal.clock_was_set_back(b.last_refill_at, bucket.last_refill_at);
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.heal_buckets(
  rate_limiter.token_buckets[], boolean, boolean
) is
  'Lets the time of locked buckets, as they stand at a moment, go on from there where the clock '
  'was set back: of those that hold tokens, and of those that hold bytes, as asked. No token '
  'moves.';
--! EndIncluded rate_limiter_internal/buckets/heal_buckets.sql
--! Included rate_limiter_internal/buckets/needs_healing.sql
create or replace function rate_limiter_internal.needs_healing(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  with_tokens boolean,
  with_bytes boolean
)
returns boolean
language plpgsql
stable
parallel safe
as $$
begin
  return exists (
    select
    from rate_limiter.token_buckets as b
    where b.shard_key = needs_healing.shard_key
      and b.owner_id in (needs_healing.app_id, needs_healing.cluster_id)
      and rate_limiter_internal.clock_was_set_back(b.last_refill_at, at)
      -- A dormant bucket has no time that could go on.
      and (b.capacity is not null or at >= b.quota_valid_until)
      and case when rate_limiter_internal.is_bandwidth(b.bucket_type) then with_bytes
        else with_tokens end
  );
end;
$$;

comment on function rate_limiter_internal.needs_healing(
  integer, timestamptz, uuid, uuid, boolean, boolean
) is
  'Whether the clock was set back for a bucket that an application would be charged on.';
--! EndIncluded rate_limiter_internal/buckets/needs_healing.sql
--! Included rate_limiter_internal/buckets/credit_bucket.sql
create or replace function rate_limiter_internal.credit_bucket(
  bucket rate_limiter.token_buckets,
  tokens numeric
)
returns rate_limiter.token_buckets
language plpgsql
immutable
parallel safe
as $$
begin
  bucket.current_tokens := bucket.current_tokens + least(
    tokens,
    greatest(coalesce(bucket.capacity, bucket.last_capacity, 0) - bucket.current_tokens, 0)
  );
  return bucket;
end;
$$;

comment on function rate_limiter_internal.credit_bucket(rate_limiter.token_buckets, numeric) is
  'A bucket after tokens were given back to it: none lifts it above its capacity, or above its '
  'last one while it is dormant.';
--! EndIncluded rate_limiter_internal/buckets/credit_bucket.sql
--! Included rate_limiter_internal/buckets/add_bucket.sql
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
  perform rate_limiter_internal.lock_quota_owner(
    config.app_id, config.cluster_id, config.default_cluster_id
  );

  if config.default_cluster_id is not null then
    perform rate_limiter_internal.add_default_buckets(
      config.default_cluster_id,
      array(
        select a.app_id
        from rate_limiter.applications as a
        where a.cluster_id = config.default_cluster_id
      )
    );
  else
    insert into rate_limiter.token_buckets (shard_key, owner_id, bucket_type, mode)
    select n.shard_key, config.owner_id, n.bucket_type, config.mode
    from (
      select
        rate_limiter_internal.shard_key_of(config.owner_id),
        case
          when config.app_id is null and is_bandwidth then 'bandwidth_l1'
          when config.app_id is null then 'iops_l1'
          when is_bandwidth then 'bandwidth_l2'
          else 'iops_l2'
        end::rate_limiter.bucket_type
    ) as n (shard_key, bucket_type)
    -- The key has the generation too: the owner's row, which is locked, keeps buckets single.
    where not exists (
      select
      from rate_limiter.token_buckets as b
      where b.shard_key = n.shard_key
        and b.owner_id = config.owner_id
        and b.bucket_type = n.bucket_type
        and b.mode = config.mode
    );
    if found and config.cluster_id is not null and config.mode = 'enforce' then
      perform rate_limiter_internal.sync_reserves(config.cluster_id);
    end if;
  end if;

  if config.mode = 'shadow' then
    update rate_limiter.app_facts as f
    set has_shadow = true
    where (f.app_id = config.owner_id or f.cluster_id = config.owner_id) and not f.has_shadow;
  elsif config.cluster_id is not null then
    update rate_limiter.app_facts as f
    set
      draws_iops = f.draws_iops or not is_bandwidth,
      draws_bandwidth = f.draws_bandwidth or is_bandwidth
    where f.cluster_id = config.cluster_id
      and not case when is_bandwidth then f.draws_bandwidth else f.draws_iops end;
  else
    update rate_limiter.app_facts as f
    set
      has_iops = f.has_iops or not is_bandwidth,
      has_bandwidth = f.has_bandwidth or is_bandwidth
    where (f.app_id = config.app_id or f.cluster_id = config.default_cluster_id)
      and not case when is_bandwidth then f.has_bandwidth else f.has_iops end;
  end if;
end;
$$;

comment on function rate_limiter_internal.add_bucket(rate_limiter.quota_configs, boolean) is
  'Makes the bucket that a quota needs, or that a default needs for each application, unless it '
  'is there. It is full when first drawn on. The facts of the applications concerned say from then '
  'on that it is there.';
--! EndIncluded rate_limiter_internal/buckets/add_bucket.sql
--! Included rate_limiter_internal/buckets/sync_engine_setting.sql
create or replace function rate_limiter_internal.sync_engine_setting()
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
    layer1_prefetch_ms = rate_limiter_internal.setting_integer('layer1_prefetch_ms'),
    max_debt_seconds = rate_limiter_internal.setting_integer('max_debt_seconds'),
    max_cluster_debt_seconds = rate_limiter_internal.setting_integer(
      'max_cluster_debt_seconds'
    ),
    lease_fairness = rate_limiter_internal.setting_boolean('lease_fairness'),
    lease_seconds = rate_limiter_internal.setting_integer('lease_seconds'),
    lease_max_share = rate_limiter_internal.setting_numeric('lease_max_share'),
    lease_common_share = rate_limiter_internal.setting_numeric('lease_common_share');
  -- What layer 1 gave under another setting is void.
  delete from rate_limiter_internal.layer1_stripes;
  return null;
end;
$$;

comment on function rate_limiter_internal.sync_engine_setting() is
  'Trigger: copies the settings that decisions need into the row that they read.';
--! EndIncluded rate_limiter_internal/buckets/sync_engine_setting.sql
--! Included rate_limiter_internal/buckets/apply_durability.sql
create or replace function rate_limiter_internal.apply_durability(synchronous_commit boolean)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  -- Assigned and not performed: that would be a query each time.
  kept text;
begin
  if not synchronous_commit then
    kept := set_config('synchronous_commit', 'off', true);
  end if;
end;
$$;

comment on function rate_limiter_internal.apply_durability(boolean) is
  'Lets the current transaction commit without waiting for the disk, unless decisions are to '
  'be durable (setting decision_synchronous_commit). After a crash the last moments'' charges '
  'may then be forgotten, with their ledger rows; tokens are never invented beyond them.';
--! EndIncluded rate_limiter_internal/buckets/apply_durability.sql
--! Included rate_limiter_internal/buckets/follow_durability.sql
create or replace function rate_limiter_internal.follow_durability()
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  if current_setting('synchronous_commit') <> 'off' then
    perform rate_limiter_internal.apply_durability((
      select e.synchronous_commit from rate_limiter_internal.engine_settings as e
    ));
  end if;
end;
$$;

comment on function rate_limiter_internal.follow_durability() is
  'Before a call of the data plane or a job locks buckets: the commit waits for disk and standby '
  'only where decisions do (setting decision_synchronous_commit), because decisions wait for those '
  'buckets meanwhile.';
--! EndIncluded rate_limiter_internal/buckets/follow_durability.sql
--! Included rate_limiter_internal/buckets/commit_locally.sql
create or replace function rate_limiter_internal.commit_locally()
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  if current_setting('synchronous_commit') in ('on', 'remote_write', 'remote_apply')
    and not (select e.synchronous_commit from rate_limiter_internal.engine_settings as e)
  then
    perform set_config('synchronous_commit', 'local', true);
  end if;
end;
$$;

comment on function rate_limiter_internal.commit_locally() is
  'Before a change by an administrator locks buckets: the commit waits for the disk and, unless '
  'decisions do (setting decision_synchronous_commit), for no standby, because decisions wait for '
  'those buckets meanwhile.';
--! EndIncluded rate_limiter_internal/buckets/commit_locally.sql
--! Included rate_limiter_internal/buckets/require_bucket.sql
create or replace function rate_limiter_internal.require_bucket(
  bucket rate_limiter.token_buckets,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type
)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if bucket.capacity is null then
    raise exception using
      errcode = 'QS404',
      message = 'unknown bucket',
      detail = format('owner: %s, bucket: %s', owner_id, bucket_type),
      hint = 'A bucket exists while a quota for it is in force: publish one first.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_bucket(
  rate_limiter.token_buckets, uuid, rate_limiter.bucket_type
) is 'Raises QS404 where there is no bucket, or no quota in force for it.';
--! EndIncluded rate_limiter_internal/buckets/require_bucket.sql
--! Included rate_limiter_internal/buckets/require_out_of_debt.sql
create or replace function rate_limiter_internal.require_out_of_debt(
  bucket rate_limiter.token_buckets
)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if bucket.current_tokens < 0 then
    raise exception using
      errcode = 'QS409',
      message = 'borrower in debt',
      detail = format('owner: %s, tokens: %s', bucket.owner_id, bucket.current_tokens),
      hint = 'Wait until refill has paid the debt, or have an administrator forgive it.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_out_of_debt(rate_limiter.token_buckets) is
  'Raises QS409 for a bucket that holds less than nothing.';
--! EndIncluded rate_limiter_internal/buckets/require_out_of_debt.sql
--! Included rate_limiter_internal/buckets/adjust_tokens_at.sql
create or replace function rate_limiter_internal.adjust_tokens_at(
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  tokens_change numeric,
  reason text
)
returns numeric
language plpgsql
volatile
parallel unsafe
as $$
declare
  shard constant integer := rate_limiter_internal.shard_key_of(owner_id);
  moment timestamptz;
  before rate_limiter.token_buckets;
  after rate_limiter.token_buckets;
begin
  perform rate_limiter_internal.check_amount(abs(tokens_change), 'tokens_change');
  perform rate_limiter_internal.require_reason(reason);

  moment := rate_limiter_internal.lock_in_order(at, array[
    row(shard, owner_id, bucket_type, 'enforce', 0)::rate_limiter_internal.bucket_charge
  ]);
  before := rate_limiter_internal.lock_bucket(shard, moment, owner_id, bucket_type, 'enforce');
  perform rate_limiter_internal.require_bucket(before, owner_id, bucket_type);
  after := before;
  after.current_tokens := after.current_tokens + tokens_change;
  if tokens_change < 0 and after.current_tokens < 0
    or tokens_change > 0 and after.current_tokens > after.capacity
  then
    raise exception using
      errcode = 'QS422',
      message = 'adjustment leaves the bucket',
      detail = format(
        'tokens: %s, change: %s, capacity: %s',
        before.current_tokens, tokens_change, before.capacity
      ),
      hint = 'Adjusting fills a bucket up to its capacity, out of debt too, and takes down to 0.';
  end if;

  perform rate_limiter_internal.write_buckets(
    moment, 'adjust', array[before], array[after], null,
    jsonb_build_object('reason', reason, 'user', rate_limiter_internal.current_user_id())
  );
  return after.current_tokens;
end;
$$;

comment on function rate_limiter_internal.adjust_tokens_at(
  timestamptz, uuid, rate_limiter.bucket_type, numeric, text
) is
  'Adds tokens to a bucket or takes them by hand, with a reason for the ledger; answers what it '
  'holds now. Adding forgives debt. at null is live. Raises QS404 for an unknown bucket, QS422 '
  'where it would add beyond the capacity or take below 0.';
--! EndIncluded rate_limiter_internal/buckets/adjust_tokens_at.sql
--! Included rate_limiter_internal/buckets/ledger_gaps.sql
create or replace function rate_limiter_internal.ledger_gaps(
  from_time timestamptz,
  to_time timestamptz,
  from_key integer,
  from_owner uuid,
  to_key integer,
  to_owner uuid
)
returns setof rate_limiter.ledger_gap
language sql
stable
parallel safe
as $$
  with entries as (
    select
      t.*,
      lag(t.seq) over bucket as seq_before,
      lag(t.balance_after) over bucket as balance_before,
      lead(t.seq) over bucket is null as is_last
    from rate_limiter.token_transactions as t
    where t.created_at >= from_time
      and t.created_at < to_time
      and (t.shard_key, t.owner_id) >= (from_key, from_owner)
      and (to_key is null or (t.shard_key, t.owner_id) < (to_key, to_owner))
    window bucket as (partition by t.shard_key, t.owner_id, t.bucket_type, t.mode order by t.seq)
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
    on c.shard_key = b.shard_key
    and c.owner_id = b.owner_id
    and c.bucket_type = b.bucket_type
    and c.mode = b.mode
    and c.is_last
  where b.updated_at >= from_time
    and b.updated_at < to_time
    and (b.shard_key, b.owner_id) >= (from_key, from_owner)
    and (to_key is null or (b.shard_key, b.owner_id) < (to_key, to_owner))
    and b.ledger_seq > 0
    and (
      c.seq = b.ledger_seq and c.balance_after <> b.current_tokens
      or c.seq is distinct from b.ledger_seq and not exists (
        select from rate_limiter.token_transactions as t
        where t.shard_key = b.shard_key
          and t.owner_id = b.owner_id
          and t.bucket_type = b.bucket_type
          and t.mode = b.mode
          and t.seq = b.ledger_seq
          and t.balance_after = b.current_tokens
      )
      -- Of a bucket whose tokens have not changed for long, every row may have expired.
      and not (
        b.updated_at < (
          select min(p.starts_at)
          from rate_limiter_internal.partitions() as p
          where p.table_name = 'token_transactions'
        )
        and not exists (
          select from rate_limiter.token_transactions as t
          where t.shard_key = b.shard_key
            and t.owner_id = b.owner_id
            and t.bucket_type = b.bucket_type
            and t.mode = b.mode
        )
      )
    );
$$;

comment on function rate_limiter_internal.ledger_gaps(
  timestamptz, timestamptz, integer, uuid, integer, uuid
) is
  'verify_ledger() of the owners from one until before another, or until the last where that is '
  'null, in the order of their shard keys and ids.';
--! EndIncluded rate_limiter_internal/buckets/ledger_gaps.sql
--! Included rate_limiter_internal/buckets/moved_ledger_gaps.sql
create or replace function rate_limiter_internal.moved_ledger_gaps(
  slice rate_limiter_private.ledger_check_progress
)
returns setof rate_limiter.ledger_gap
language plpgsql
volatile
parallel unsafe
as $$
declare
  app record;
  place integer;
  next record;
begin
  for app in
    select f.app_id, f.shard_key
    from rate_limiter.app_facts as f
    -- A move that began long before it committed counts too.
    where f.moved_at >= slice.checked_at - interval '1 day'
    order by f.app_id
  loop
    place := app.shard_key;
    loop
      -- Those that lie before what is still to come; those behind it are looked at there.
      exit when (place, app.app_id) >= (slice.next_key, slice.next_owner);
      select b.shard_key, b.owner_id
      into next
      from rate_limiter.token_buckets as b
      where (b.shard_key, b.owner_id) > (place, app.app_id)
      order by b.shard_key, b.owner_id
      limit 1;
      return query
      select g.*
      from rate_limiter_internal.ledger_gaps(
        slice.from_time - interval '24 hours', 'infinity', place, app.app_id,
        next.shard_key, next.owner_id
      ) as g
      where g.owner_id = app.app_id;
      -- It may have moved once more meanwhile.
      select f.shard_key
      into next
      from rate_limiter.app_facts as f
      where f.app_id = app.app_id;
      exit when next.shard_key is not distinct from place or next.shard_key is null;
      place := next.shard_key;
    end loop;
  end loop;
end;
$$;

comment on function rate_limiter_internal.moved_ledger_gaps(
  rate_limiter_private.ledger_check_progress
) is
  'ledger_gaps() of applications that moved since a check began, to a place that its slices had '
  'passed: of their old place they may have been missed.';
--! EndIncluded rate_limiter_internal/buckets/moved_ledger_gaps.sql
--! Included rate_limiter/buckets/verify_ledger.sql
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
  select g.*
  from rate_limiter_internal.ledger_gaps(
    from_time, to_time, -2147483648, '00000000-0000-0000-0000-000000000000', null, null
  ) as g;
$$;

comment on function rate_limiter.verify_ledger(timestamptz, timestamptz) is
  'Every place, among the ledger rows from from_time until before to_time, where a balance does '
  'not follow from the row before, rows are missing, or a bucket holds something else than its '
  'last row says, unless all its rows have expired. No row: the ledger explains every token.';
grant execute on function rate_limiter.verify_ledger(timestamptz, timestamptz)
  to rate_limiter_worker, rate_limiter_readonly;
--! EndIncluded rate_limiter/buckets/verify_ledger.sql
--! Included rate_limiter_internal/buckets/require_bucket_owner.sql
create or replace function rate_limiter_internal.require_bucket_owner(
  owner_id uuid,
  resource text,
  action text
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  perform rate_limiter_internal.require_permission(resource, action);

  -- Another tenant's bucket, or a cluster's, is as unknown as one that never was.
  if not exists (
    select
    from rate_limiter.applications as a
    where a.app_id = require_bucket_owner.owner_id
      and (
        rate_limiter_internal.is_system_admin()
        or a.tenant_id = rate_limiter_internal.current_tenant_id()
      )
    union all
    select
    from rate_limiter.clusters as c
    where c.cluster_id = require_bucket_owner.owner_id
      and rate_limiter_internal.is_system_admin()
  ) then
    raise exception using
      errcode = 'QS404',
      message = 'unknown owner of a bucket',
      detail = format('owner: %s', owner_id),
      hint = 'Name an application of your tenant; clusters are for system administrators.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_bucket_owner(uuid, text, text) is
  'Raises QS401 or QS403 without the permission, QS404 for an owner that it does not cover.';
--! EndIncluded rate_limiter_internal/buckets/require_bucket_owner.sql
--! Included rate_limiter_internal/buckets/bucket_before.sql
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
  latest timestamptz;
  entry rate_limiter.token_transactions;
  terms rate_limiter_internal.quota_snapshot;
begin
  -- Nothing happened since: the row itself knows most.
  if at > bucket.last_refill_at then
    return (rate_limiter_internal.bucket_at(at, bucket)).bucket;
  end if;

  select t.created_at
  into latest
  from rate_limiter.token_transactions as t
  where t.shard_key = bucket.shard_key
    and t.owner_id = bucket.owner_id
    and t.bucket_type = bucket.bucket_type
    and t.mode = bucket.mode
    and t.created_at < bucket_before.at
  order by t.created_at desc
  limit 1;

  -- Clocks that differ by less than a second are not healed: the last row may not be the latest.
  select t.*
  into entry
  from rate_limiter.token_transactions as t
  where t.shard_key = bucket.shard_key
    and t.owner_id = bucket.owner_id
    and t.bucket_type = bucket.bucket_type
    and t.mode = bucket.mode
    and t.created_at < bucket_before.at
    and t.created_at >= latest - interval '1 second'
  order by t.seq desc
  limit 1;

  if not found then
    -- Not drawn on yet: its first quota finds it full.
    bucket.quota_valid_until := '-infinity';
    bucket.last_refill_at := 'epoch';
    bucket.config_id := null;
    bucket.capacity := null;
    bucket.current_tokens := 0;
    bucket.prorated_since := null;
    if bucket.reserve_cluster_id is null then
      bucket.last_capacity := null;
    end if;
    return (rate_limiter_internal.bucket_at(at, bucket)).bucket;
  end if;

  terms := rate_limiter_internal.quota_snapshot_at(
    bucket.shard_key, latest, bucket.owner_id, bucket.bucket_type, bucket.mode,
    bucket.reserve_cluster_id
  );
  bucket.config_id := terms.config_id;
  bucket.quota_valid_until := terms.quota_valid_until;
  bucket.current_tokens := entry.balance_after;
  bucket.last_refill_at := latest;
  bucket.last_capacity := coalesce(bucket.last_capacity, bucket.capacity, terms.capacity, 0);

  if bucket.reserve_cluster_id is not null then
    -- What a reservation was worth is not on record: the one of now.
    bucket.capacity := case when terms.config_id is not null
      then nullif(bucket.last_capacity, 0) end;
  else
    bucket.capacity := terms.capacity;
    bucket.calculation_method := coalesce(terms.calculation_method, bucket.calculation_method);
    bucket.refill_rate := terms.refill_rate;
    bucket.burst_duration_seconds := coalesce(terms.burst_duration_seconds, 1);
    bucket.min_reserve := coalesce(terms.min_reserve, 0);
    bucket.allow_oversize := coalesce(terms.allow_oversize, false);
    bucket.prorated_since := case when terms.calculation_method = 'fixed_window'
      then rate_limiter_internal.quota_since(latest, bucket) end;
  end if;

  return (rate_limiter_internal.bucket_at(at, bucket)).bucket;
end;
$$;

comment on function rate_limiter_internal.bucket_before(
  timestamptz, rate_limiter.token_buckets
) is
  'A bucket as it stood just before a moment of the past, debt included, by its ledger and its '
  'quotas. Reservations are those of now.';
--! EndIncluded rate_limiter_internal/buckets/bucket_before.sql
--! Included rate_limiter_internal/buckets/debt_seconds.sql
create or replace function rate_limiter_internal.debt_seconds(
  at timestamptz,
  bucket rate_limiter.token_buckets
)
returns numeric
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if bucket.current_tokens >= 0 then
    return 0;
  elsif bucket.capacity is null then
    return null;
  end if;
  return rate_limiter_internal.offer_wait_ms(at, bucket, 0, null, 0) * 0.001;
end;
$$;

comment on function rate_limiter_internal.debt_seconds(timestamptz, rate_limiter.token_buckets) is
  'Seconds from a moment until refill has paid the debt of a bucket, as it then stands; 0 without '
  'debt, null while no quota is in force: then nothing is paid.';
grant execute on function rate_limiter_internal.debt_seconds(
  timestamptz, rate_limiter.token_buckets
) to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_internal/buckets/debt_seconds.sql
--! Included rate_limiter_internal/buckets/debt_of.sql
create or replace function rate_limiter_internal.debt_of(
  shard_key integer,
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type
)
returns numeric
language sql
stable
parallel safe
as $$
  select coalesce(sum(b.repayment_tokens - b.repaid_tokens), 0)
  from rate_limiter.token_borrowing as b
  where b.shard_key = debt_of.shard_key
    and b.owner_id = debt_of.owner_id
    and b.bucket_type = debt_of.bucket_type
    and b.status = 'active'
    and b.borrowed_at <= at;
$$;

comment on function rate_limiter_internal.debt_of(
  integer, timestamptz, uuid, rate_limiter.bucket_type
) is 'What a bucket borrowed by a moment and still owes.';
--! EndIncluded rate_limiter_internal/buckets/debt_of.sql
--! Included rate_limiter_admin/buckets/adjust_tokens.sql
create or replace function rate_limiter_admin.adjust_tokens(
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  tokens_change numeric,
  reason text
)
returns numeric
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  tokens numeric;
begin
  perform rate_limiter_internal.commit_locally();
  perform rate_limiter_internal.require_bucket_owner(owner_id, 'token', 'adjust');
  -- Tokens that nothing paid for are a larger quota by another name.
  if tokens_change > 0 then
    perform rate_limiter_internal.require_system_admin('token', 'adjust');
  end if;
  tokens := rate_limiter_internal.adjust_tokens_at(
    null, owner_id, bucket_type, tokens_change, reason
  );
  perform rate_limiter_internal.write_bucket_audit(
    'adjust', 'token_buckets', null, owner_id,
    jsonb_build_object(
      'bucket_type', bucket_type, 'tokens_change', tokens_change::text,
      'tokens', tokens::text, 'reason', reason
    )
  );
  return tokens;
end;
$$;

comment on function rate_limiter_admin.adjust_tokens(
  uuid, rate_limiter.bucket_type, numeric, text
) is
  E'@resultFieldName tokens\n'
  'Adds tokens to a bucket or takes them, by hand and with a reason; answers what it holds now. '
  'Only a system administrator adds tokens, or forgives debt in that way.';
grant execute on function rate_limiter_admin.adjust_tokens(
  uuid, rate_limiter.bucket_type, numeric, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/buckets/adjust_tokens.sql
--! Included rate_limiter_internal/buckets/fill_percent.sql
create or replace function rate_limiter_internal.fill_percent(
  at timestamptz,
  bucket rate_limiter.token_buckets
)
returns numeric
language sql
stable
parallel safe
as $$
  select round((b.bucket).current_tokens / (b.bucket).capacity * 100, 2)
  from rate_limiter_internal.bucket_at(at, fill_percent.bucket) as b
  where (b.bucket).capacity > 0;
$$;

comment on function rate_limiter_internal.fill_percent(timestamptz, rate_limiter.token_buckets) is
  'How full a bucket is at a moment, in percent; null where it holds nothing at all.';
--! EndIncluded rate_limiter_internal/buckets/fill_percent.sql
--! Included rate_limiter_internal/buckets/bucket_fill.sql
drop function if exists rate_limiter_internal.bucket_fill(timestamptz, uuid);

create or replace function rate_limiter_internal.bucket_fill(
  at timestamptz,
  since timestamptz,
  only_app_id uuid default null
)
returns table (app_id uuid, metric_name text, value numeric)
language sql
stable
parallel safe
as $$
  with watched as (
    select c.app_id
    from rate_limiter.alert_configs as c
    where c.is_active
      and starts_with(c.metric_name, 'qos_bucket_fill_')
      and (only_app_id is null or c.app_id = only_app_id)
    union all
    -- A default alert watches those alone that it is triggered for: it has to see its end.
    select h.app_id
    from rate_limiter.alert_history as h
    join rate_limiter.alert_configs as c on c.alert_id = h.alert_id
    where h.status <> 'resolved'
      and c.app_id is null
      and starts_with(c.metric_name, 'qos_bucket_fill_')
      and (only_app_id is null or h.app_id = only_app_id)
  ),
  -- None but these pay for the arithmetic.
  candidates as materialized (
    select
      b as bucket,
      b.updated_at > since or b.owner_id in (select w.app_id from watched as w) as is_told
    from rate_limiter.token_buckets as b
    join rate_limiter.applications as a on a.app_id = b.owner_id
    where a.is_active
      and (only_app_id is null or b.owner_id = only_app_id)
      and b.mode = 'enforce'
      and b.bucket_type in ('iops_l2', 'bandwidth_l2')
      and (
        b.updated_at > bucket_fill.at - interval '1 hour'
        or b.owner_id in (select w.app_id from watched as w)
      )
  )
  select
    (c.bucket).owner_id,
    'qos_bucket_fill_'
      || case (c.bucket).bucket_type when 'iops_l2' then 'iops' else 'bandwidth' end,
    filled.percent
  from candidates as c
  cross join lateral rate_limiter_internal.fill_percent(bucket_fill.at, c.bucket)
    as filled (percent)
  where filled.percent is not null
    and (
      c.is_told
      -- Nothing was charged since, but it may have refilled.
      or rate_limiter_internal.fill_percent(since, c.bucket) is distinct from filled.percent
    );
$$;

comment on function rate_limiter_internal.bucket_fill(timestamptz, timestamptz, uuid) is
  'How full the buckets of applications, or of one, are at a moment, in percent: those that an '
  'alert watches, those that were charged after the moment "since", and those that refilled since '
  'then. Of a bucket without a charge for an hour only an alert is told.';
--! EndIncluded rate_limiter_internal/buckets/bucket_fill.sql
--! Included rate_limiter_internal/buckets/begin_ledger_slice.sql
create or replace function rate_limiter_internal.begin_ledger_slice(at timestamptz)
returns rate_limiter_private.ledger_check_progress
language plpgsql
volatile
parallel unsafe
as $$
declare
  progress rate_limiter_private.ledger_check_progress;
begin
  -- From a good hour before the last clean check: the rows of both meet. Where the last one found
  -- gaps, they are looked at again until they are explained.
  insert into rate_limiter_private.ledger_check_progress (from_time, checked_at)
  select coalesce(max(c.checked_at) - interval '1 hour', '-infinity'), at
  from rate_limiter_private.ledger_checks as c
  where c.gap_count = 0 and c.checked_at <= at
  on conflict (is_only_row) do nothing;

  select p.* into strict progress
  from rate_limiter_private.ledger_check_progress as p
  for update;
  return progress;
end;
$$;

comment on function rate_limiter_internal.begin_ledger_slice(timestamptz) is
  'The check of the ledger that is under way, or else a new one that begins now; locked until the '
  'end of the transaction.';
--! EndIncluded rate_limiter_internal/buckets/begin_ledger_slice.sql
--! Included rate_limiter_private/buckets/verify_ledger.sql
drop function if exists rate_limiter_private.verify_ledger(timestamptz);

create or replace function rate_limiter_private.verify_ledger(
  at timestamptz default clock_timestamp(),
  max_owners integer default 10000,
  out is_done boolean,
  out gap_count bigint,
  out first_gaps jsonb
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
-- Each slice by the owners that it is of.
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  slice rate_limiter_private.ledger_check_progress;
  next record;
begin
  slice := rate_limiter_internal.begin_ledger_slice(at);
  select o.shard_key, o.owner_id
  into next
  from (
    select distinct b.shard_key, b.owner_id
    from rate_limiter.token_buckets as b
    where (b.shard_key, b.owner_id) >= (slice.next_key, slice.next_owner)
    order by b.shard_key, b.owner_id
    limit max_owners + 1
  ) as o
  order by o.shard_key, o.owner_id
  offset max_owners;
  is_done := next.owner_id is null;

  -- Where a clock stepped back over the start of the span, rows of the span seem to be missing:
  -- a gap is one that a longer look shows too.
  with near as (
    select g.*
    from rate_limiter_internal.ledger_gaps(
      slice.from_time, 'infinity', slice.next_key, slice.next_owner, next.shard_key, next.owner_id
    ) as g
  ),
  found as (
    select n.*
    from near as n
    where slice.from_time = '-infinity' or exists (
      select
      from rate_limiter_internal.ledger_gaps(
        slice.from_time - interval '24 hours', 'infinity', slice.next_key, slice.next_owner,
        next.shard_key, next.owner_id
      ) as g
      where g.owner_id = n.owner_id
        and g.bucket_type = n.bucket_type
        and g.mode = n.mode
        and g.seq = n.seq
    )
  ),
  -- Slices go by shard keys, and a move may have taken an application from those that come to
  -- those that are done.
  moved as (
    select g.*
    from rate_limiter_internal.moved_ledger_gaps(slice) as g
    where is_done
      and not exists (
        select
        from jsonb_array_elements(slice.first_gaps) as k
        where k ->> 'owner_id' = g.owner_id::text
          and k ->> 'bucket_type' = g.bucket_type::text
          and k ->> 'mode' = g.mode::text
          and k ->> 'seq' = g.seq::text
      )
  ),
  numbered as (
    select f.*, row_number() over (order by f.created_at, f.owner_id, f.seq) as place
    from (table found union all table moved) as f
  )
  select
    slice.gap_count + count(*),
    slice.first_gaps || coalesce(
      jsonb_agg(to_jsonb(n) - 'place' order by n.place)
        filter (where n.place <= 100 - jsonb_array_length(slice.first_gaps)),
      '[]'
    )
  into gap_count, first_gaps
  from numbered as n;

  if is_done then
    delete from rate_limiter_private.ledger_check_progress;
    insert into rate_limiter_private.ledger_checks (from_time, checked_at, gap_count, first_gaps)
    values (
      slice.from_time, slice.checked_at, verify_ledger.gap_count, verify_ledger.first_gaps
    );
    return;
  end if;
  update rate_limiter_private.ledger_check_progress as p
  set
    next_key = next.shard_key,
    next_owner = next.owner_id,
    gap_count = verify_ledger.gap_count,
    first_gaps = verify_ledger.first_gaps;
end;
$$;

comment on function rate_limiter_private.verify_ledger(timestamptz, integer) is
  'Job: verifies the ledger of max_owners applications and clusters since the last check that '
  'found nothing, and goes on with the next ones when it is called again; at the end of the last '
  'ones, with another look at applications that moved meanwhile, it keeps the result. Answers '
  'whether that is so, and what was found until then. Call it in transactions of their own.';
grant execute on function rate_limiter_private.verify_ledger(timestamptz, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/buckets/verify_ledger.sql
--! Included rate_limiter_internal/buckets/bucket_now.sql
create or replace function rate_limiter_internal.bucket_now(bucket rate_limiter.token_buckets)
returns rate_limiter.token_buckets
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select (b.bucket).*
  from rate_limiter_internal.bucket_at(statement_timestamp(), bucket_now.bucket) as b;
$$;

comment on function rate_limiter_internal.bucket_now(rate_limiter.token_buckets) is
  'A bucket as it stands now. Runs as its owner, so that who may see a bucket sees what it holds '
  'without having to see the quotas behind it.';
grant execute on function rate_limiter_internal.bucket_now(rate_limiter.token_buckets)
  to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_internal/buckets/bucket_now.sql
--! Included rate_limiter/buckets/v_token_bucket_status.sql
create or replace view rate_limiter.v_token_bucket_status
with (security_invoker = true) as
select
  tb.bucket_id,
  a.name as app_name,
  tb.bucket_type,
  state.capacity,
  state.current_tokens,
  state.refill_rate,
  round(state.current_tokens / state.capacity * 100, 2) as fill_percentage,
  case
    when state.current_tokens < 0 then 'debt'
    when state.current_tokens < state.capacity * 0.2 then 'critical'
    when state.current_tokens < state.capacity * 0.5 then 'warning'
    else 'healthy'
  end as status,
  tb.owner_id,
  tb.mode,
  c.name as cluster_name,
  state.last_refill_at,
  greatest(-state.current_tokens, 0) as debt,
  rate_limiter_internal.debt_seconds(statement_timestamp(), state) as debt_seconds
from rate_limiter.token_buckets as tb
cross join lateral rate_limiter_internal.bucket_now(tb) as state
left join rate_limiter.applications as a on a.app_id = tb.owner_id
left join rate_limiter.clusters as c
  on c.cluster_id = coalesce(tb.reserve_cluster_id, tb.owner_id)
-- Without a quota in force a bucket sets no limit: there is nothing to show but its debt, which
-- stays.
where state.capacity is not null or state.current_tokens < 0;

comment on view rate_limiter.v_token_bucket_status is
  E'@name bucket\n'
  '@primaryKey bucket_id\n'
  '@foreignKey (owner_id) references rate_limiter.applications (app_id)|'
  '@fieldName application|@foreignFieldName buckets\n'
  'What each bucket holds now: refilled on reading, however long ago its last charge was.';
comment on column rate_limiter.v_token_bucket_status.bucket_id is 'The bucket.';
comment on column rate_limiter.v_token_bucket_status.app_name is
  'The application, for a layer-2 bucket or a reserve.';
comment on column rate_limiter.v_token_bucket_status.bucket_type is
  'What it holds, and its layer.';
comment on column rate_limiter.v_token_bucket_status.capacity is 'Tokens when full.';
comment on column rate_limiter.v_token_bucket_status.current_tokens is
  'Tokens now; below zero in debt.';
comment on column rate_limiter.v_token_bucket_status.refill_rate is 'Tokens per second.';
comment on column rate_limiter.v_token_bucket_status.fill_percentage is
  'How full it is: above 100 while it borrows, below zero in debt.';
comment on column rate_limiter.v_token_bucket_status.status is
  'debt below zero, critical below a fifth, warning below half, else healthy.';
comment on column rate_limiter.v_token_bucket_status.owner_id is
  'The application or the cluster.';
comment on column rate_limiter.v_token_bucket_status.mode is
  'Whether it decides or only measures.';
comment on column rate_limiter.v_token_bucket_status.cluster_name is
  'The cluster, for a layer-1 bucket or a reserve on it.';
comment on column rate_limiter.v_token_bucket_status.last_refill_at is
  E'@behavior -attribute:orderBy\n'
  'Up to when it has refilled: now, where it does. Pages are not ordered by it, for it moves.';
comment on column rate_limiter.v_token_bucket_status.debt is
  'Tokens below zero, which refill pays first.';
comment on column rate_limiter.v_token_bucket_status.debt_seconds is
  'Seconds until refill has paid the debt; 0 without one, null where nothing flows in.';

revoke all on rate_limiter.v_token_bucket_status
  from rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.v_token_bucket_status
  to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/buckets/v_token_bucket_status.sql
--! Included rate_limiter/buckets/sync_engine_setting.triggers.sql
create or replace trigger sync_engine_setting
  after update on rate_limiter.system_settings
  for each row
  when (new.key in (
    'decision_synchronous_commit', 'layer1_prefetch_ms', 'max_debt_seconds',
    'max_cluster_debt_seconds', 'lease_fairness', 'lease_seconds', 'lease_max_share',
    'lease_common_share'
  ))
  execute function rate_limiter_internal.sync_engine_setting();
comment on trigger sync_engine_setting on rate_limiter.system_settings is
  'Decisions read these settings from one row.';
--! EndIncluded rate_limiter/buckets/sync_engine_setting.triggers.sql
--! Included rate_limiter/buckets/token_buckets.policies.sql
-- Written by functions alone. A cluster's rows add up what all tenants do: only system
-- administrators see them.
alter table rate_limiter.token_buckets enable row level security;

drop policy if exists readable on rate_limiter.token_buckets;
create policy readable on rate_limiter.token_buckets
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('metrics', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or owner_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists monitored on rate_limiter.token_buckets;
create policy monitored on rate_limiter.token_buckets
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/buckets/token_buckets.policies.sql
--! Included rate_limiter/buckets/token_transactions.policies.sql
-- Written by functions alone. A cluster's rows add up what all tenants do: only system
-- administrators see them.
alter table rate_limiter.token_transactions enable row level security;

drop policy if exists readable on rate_limiter.token_transactions;
create policy readable on rate_limiter.token_transactions
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('metrics', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or owner_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists monitored on rate_limiter.token_transactions;
create policy monitored on rate_limiter.token_transactions
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/buckets/token_transactions.policies.sql
--! Included rate_limiter/buckets/token_buckets.grants.sql
revoke all on rate_limiter.token_buckets
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.token_buckets to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/buckets/token_buckets.grants.sql
--! Included rate_limiter/buckets/token_transactions.grants.sql
revoke all on rate_limiter.token_transactions
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.token_transactions to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/buckets/token_transactions.grants.sql
--! Included rate_limiter_private/buckets/ledger_checks.grants.sql
revoke all on rate_limiter_private.ledger_checks
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.ledger_checks to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/buckets/ledger_checks.grants.sql
--! Included rate_limiter_private/buckets/ledger_check_progress.grants.sql
revoke all on rate_limiter_private.ledger_check_progress
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.ledger_check_progress to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/buckets/ledger_check_progress.grants.sql
