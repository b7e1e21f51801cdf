--! Previous: sha1:3f256ab8ad4920d6bab9e30dc8ed51b20039f076
--! Hash: sha1:7d29375e946e962e1c0dffd7fd84701f94856e2d
--! Message: leases

-- Leases
--! Included rate_limiter_internal/leases/check_amount.sql
create or replace function rate_limiter_internal.check_amount(amount numeric, what text)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  -- A numeric NaN is greater than every number, and an infinity has no digits.
  if amount is null or amount < 0 or amount > 1e18 or trunc(amount, 6) <> amount then
    raise exception using
      errcode = 'QS422',
      message = 'amount is not a count of tokens',
      detail = format('%s: %s', what, amount),
      hint = 'Give a number from 0 to 10^18 with at most six digits after the point.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_amount(numeric, text) is
  'Raises QS422 for a negative, missing or infinite amount, NaN, or one finer than a millionth.';
--! EndIncluded rate_limiter_internal/leases/check_amount.sql
--! Included rate_limiter_internal/leases/check_holder.sql
create or replace function rate_limiter_internal.check_holder(holder text)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if length(holder) not between 1 and 255 then
    raise exception using
      errcode = 'QS422',
      message = 'holder is not of 1 to 255 characters',
      detail = format('length: %s', length(holder)),
      hint = 'Name the process that spends the lease, or give none.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_holder(text) is
  'Raises QS422 for the name of a holder that cannot be stored; null is none.';
--! EndIncluded rate_limiter_internal/leases/check_holder.sql
--! Included rate_limiter_internal/leases/leased_at.sql
create or replace function rate_limiter_internal.leased_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  holder text,
  out tokens numeric,
  out bytes numeric,
  out leases integer,
  out other_holders integer
)
language plpgsql
stable
parallel safe
as $$
begin
  select
    coalesce(sum(l.tokens), 0),
    coalesce(sum(l.bytes), 0),
    count(*),
    count(distinct l.holder) filter (where l.holder is distinct from leased_at.holder)
  into tokens, bytes, leases, other_holders
  from rate_limiter.token_leases as l
  where l.shard_key = leased_at.shard_key
    and l.app_id = leased_at.app_id
    and l.settled_at is null
    and l.revoked_at is null
    and l.expires_at > at;
end;
$$;

comment on function rate_limiter_internal.leased_at(integer, timestamptz, uuid, text) is
  'What the open leases of an application hold at a moment, how many there are, and how many '
  'holders they have besides the one that asks; revoked leases are not open.';
--! EndIncluded rate_limiter_internal/leases/leased_at.sql
--! Included rate_limiter_internal/leases/is_layer1_short.sql
create or replace function rate_limiter_internal.is_layer1_short(
  buckets rate_limiter.token_buckets[]
)
returns boolean
language plpgsql
stable
parallel safe
as $$
declare
  is_fair boolean;
  bucket rate_limiter.token_buckets;
  kept numeric;
begin
  select e.lease_fairness into is_fair from rate_limiter_internal.engine_settings as e;
  if not is_fair then
    return false;
  end if;
  foreach bucket in array buckets loop
    continue when bucket.mode = 'shadow'
      or not rate_limiter_internal.is_layer1(bucket.bucket_type);
    kept := bucket.min_reserve + coalesce(bucket.headroom, 0);
    if bucket.current_tokens - kept < (bucket.capacity - kept) / 2 then
      return true;
    end if;
  end loop;
  return false;
end;
$$;

comment on function rate_limiter_internal.is_layer1_short(rate_limiter.token_buckets[]) is
  'Whether leases share what layer 1 has: less than half is there of what it can give beyond what '
  'it holds back.';
--! EndIncluded rate_limiter_internal/leases/is_layer1_short.sql
--! Included rate_limiter_internal/leases/lease_share_at.sql
create or replace function rate_limiter_internal.lease_share_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  buckets rate_limiter.token_buckets[],
  for_bytes boolean,
  out allowance numeric,
  out rate numeric
)
language plpgsql
stable
parallel safe
as $$
declare
  bucket rate_limiter.token_buckets;
  pool numeric;
  own_tenant_id uuid;
  siblings bigint;
  other_tenants bigint;
  own rate_limiter_internal.lease_shares;
begin
  foreach bucket in array buckets loop
    exit when bucket.mode = 'enforce'
      and rate_limiter_internal.is_layer1(bucket.bucket_type)
      and rate_limiter_internal.is_bandwidth(bucket.bucket_type) = for_bytes;
    bucket := null;
  end loop;
  pool := bucket.capacity - bucket.min_reserve - coalesce(bucket.headroom, 0);
  -- Layer 1 is short when less than half of what it can give is there.
  if bucket.capacity is null
    or bucket.current_tokens - bucket.capacity + pool >= pool / 2
    or not (select e.lease_fairness from rate_limiter_internal.engine_settings as e)
  then
    return;
  end if;

  select a.tenant_id into own_tenant_id
  from rate_limiter.app_facts as a
  where a.shard_key = lease_share_at.shard_key
    and a.app_id = lease_share_at.app_id;
  -- Counting ends where a share is too small to matter.
  select
    count(*) filter (where asking.tenant_id = own_tenant_id),
    count(distinct asking.tenant_id) filter (where asking.tenant_id <> own_tenant_id)
  into siblings, other_tenants
  from (
    select s.tenant_id
    from rate_limiter_internal.lease_shares as s
    where s.shard_key = lease_share_at.shard_key
      and s.app_id <> lease_share_at.app_id
      and s.asked_at between at - interval '3 seconds' and at + interval '3 seconds'
    limit 1000
  ) as asking;
  if siblings + other_tenants = 0 then
    return;
  end if;

  -- By tenant first: a tenant gets no more for many applications.
  rate := trunc(bucket.refill_rate::numeric / (other_tenants + 1) / (siblings + 1), 6);
  select s.* into own
  from rate_limiter_internal.lease_shares as s
  where s.shard_key = lease_share_at.shard_key and s.app_id = lease_share_at.app_id;
  -- Credit for two seconds at the most; an application that comes new has a tenth of one.
  allowance := trunc(least(
    coalesce(
      case when for_bytes then own.bytes else own.tokens end
        + rate * greatest(extract(epoch from at - own.asked_at), 0),
      rate * 0.1
    ),
    rate * 2
  ), 6);
end;
$$;

comment on function rate_limiter_internal.lease_share_at(
  integer, timestamptz, uuid, uuid, rate_limiter.token_buckets[], boolean
) is
  'How much of one resource an application may lease of what layer 1 has beyond its headroom: '
  'while that is short and other applications of the cluster lease too, each earns a share of the '
  'refill (rate, a second), equal by tenant and then by application. allowance is null where it '
  'is not limited.';
--! EndIncluded rate_limiter_internal/leases/lease_share_at.sql
--! Included rate_limiter_internal/leases/write_lease_share.sql
create or replace function rate_limiter_internal.write_lease_share(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  tokens numeric,
  bytes numeric
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  insert into rate_limiter_internal.lease_shares as s
    (shard_key, app_id, tenant_id, asked_at, tokens, bytes)
  select
    a.shard_key, a.app_id, a.tenant_id, at,
    coalesce(write_lease_share.tokens, 0), coalesce(write_lease_share.bytes, 0)
  from rate_limiter.app_facts as a
  where a.shard_key = write_lease_share.shard_key
    and a.app_id = write_lease_share.app_id
  on conflict on constraint lease_shares_pkey do update
  set asked_at = excluded.asked_at, tokens = excluded.tokens, bytes = excluded.bytes;
end;
$$;

comment on function rate_limiter_internal.write_lease_share(
  integer, timestamptz, uuid, numeric, numeric
) is
  'Remembers that an application leases, and what it has left of its share of layer 1: tokens and '
  'bytes, null counts as 0.';
--! EndIncluded rate_limiter_internal/leases/write_lease_share.sql
--! Included rate_limiter_internal/leases/asked_lately.sql
create or replace function rate_limiter_internal.asked_lately(
  shard_key integer,
  at timestamptz,
  app_id uuid
)
returns boolean
language plpgsql
stable
parallel safe
as $$
begin
  return exists (
    select
    from rate_limiter_internal.lease_shares as s
    where s.shard_key = asked_lately.shard_key
      and s.app_id = asked_lately.app_id
      and s.asked_at between at - interval '1 second' and at
  );
end;
$$;

comment on function rate_limiter_internal.asked_lately(integer, timestamptz, uuid) is
  'Whether it is on record, since a second at the most, that an application leases: an empty lease '
  'says so no more often, and earns its share in between all the same.';
--! EndIncluded rate_limiter_internal/leases/asked_lately.sql
--! Included rate_limiter_internal/leases/cluster_lease_room.sql
create or replace function rate_limiter_internal.cluster_lease_room(
  shard_key integer,
  app_id uuid,
  cluster_id uuid,
  buckets rate_limiter.token_buckets[],
  for_bytes boolean,
  asked numeric,
  held_by_app numeric,
  common_share numeric
)
returns numeric
language plpgsql
stable
parallel safe
as $$
declare
  bucket rate_limiter.token_buckets;
  layer1 rate_limiter.token_buckets;
  reserve_capacity numeric := 0;
  room numeric;
  common numeric;
  counts record;
  tenant_id uuid;
  own_share numeric;
begin
  foreach bucket in array buckets loop
    continue when rate_limiter_internal.is_bandwidth(bucket.bucket_type) <> for_bytes;
    if bucket.reserve_cluster_id is not null then
      reserve_capacity := bucket.capacity;
    elsif bucket.mode = 'enforce' and rate_limiter_internal.is_layer1(bucket.bucket_type) then
      layer1 := bucket;
    end if;
  end loop;
  if layer1.capacity is null then
    return 'infinity';
  end if;

  room := layer1.capacity - coalesce(layer1.leased, 0);
  common := layer1.capacity * common_share;
  -- The siblings are counted only where it matters.
  if asked = 0 or common - coalesce(layer1.leased, 0) >= asked then
    return room;
  end if;
  select f.tenant_id into tenant_id
  from rate_limiter.app_facts as f
  where f.shard_key = cluster_lease_room.shard_key
    and f.app_id = cluster_lease_room.app_id;
  counts := rate_limiter_internal.cluster_share(shard_key, tenant_id, cluster_id);
  own_share := reserve_capacity + div(
    greatest(layer1.capacity - common - coalesce(layer1.headroom, 0), 0) * 1000000,
    counts.tenants * counts.siblings
  ) * 0.000001;
  return least(
    room,
    greatest(own_share - held_by_app, common + own_share - coalesce(layer1.leased, 0))
  );
end;
$$;

comment on function rate_limiter_internal.cluster_lease_room(
  integer, uuid, uuid, rate_limiter.token_buckets[], boolean, numeric, numeric, numeric
) is
  'How much of one resource an application may lease of layer 1 beside what open leases hold of '
  'it: the common share of the capacity first come, first served, and beyond that its own share, '
  'which the leases of others leave alone: its reserve''s capacity and, of what neither is common '
  'nor reserved, an equal part by tenant and then by application. held_by_app: what its own open '
  'leases hold.';
--! EndIncluded rate_limiter_internal/leases/cluster_lease_room.sql
--! Included rate_limiter_internal/leases/lease_amount.sql
create or replace function rate_limiter_internal.lease_amount(
  at timestamptz,
  buckets rate_limiter.token_buckets[],
  for_bytes boolean,
  asked numeric,
  held_by_app numeric,
  cluster_room numeric,
  max_share numeric,
  is_denied boolean,
  allowance numeric,
  share_rate numeric,
  out granted numeric,
  out reserve_paid numeric,
  out charges_shadow boolean,
  out is_limited boolean,
  out retry_after_ms bigint
)
language plpgsql
stable
parallel safe
as $$
declare
  bucket rate_limiter.token_buckets;
  reserve rate_limiter.token_buckets;
  kept numeric;
  offered numeric;
  most numeric;
  room numeric := 'infinity';
  -- The least that any bucket offers; infinity where none limits it.
  least_offered numeric := 'infinity';
  pool_beyond numeric;
  wanted numeric;
  -- What is waited for.
  awaited numeric;
  refill numeric;
  is_layer1 boolean;
  is_shared boolean;
  is_never boolean := false;
begin
  foreach bucket in array buckets loop
    continue when rate_limiter_internal.is_bandwidth(bucket.bucket_type) <> for_bytes;
    if bucket.reserve_cluster_id is not null then
      reserve := bucket;
    elsif bucket.mode = 'enforce' then
      if not rate_limiter_internal.is_layer1(bucket.bucket_type) then
        room := least(bucket.capacity - held_by_app, bucket.capacity * max_share);
        refill := bucket.refill_rate;
      else
        room := least(
          room, cluster_room,
          case when refill is null then bucket.capacity * max_share end
        );
        refill := coalesce(refill, bucket.refill_rate);
      end if;
    end if;
  end loop;
  is_limited := refill is not null or is_denied;
  granted := 0;
  reserve_paid := 0;
  charges_shadow := true;
  retry_after_ms := case when asked = 0 or not is_denied then 0 end;
  if asked = 0 or is_denied then
    return;
  end if;
  granted := least(asked, greatest(trunc(room, 6), 0));
  wanted := least(asked, refill * 0.1);

  foreach bucket in array buckets loop
    continue when bucket.mode = 'shadow' or bucket.reserve_cluster_id is not null
      or rate_limiter_internal.is_bandwidth(bucket.bucket_type) <> for_bytes;
    is_layer1 := rate_limiter_internal.is_layer1(bucket.bucket_type);
    kept := bucket.min_reserve + coalesce(bucket.headroom, 0);
    offered := bucket.current_tokens - kept;
    most := bucket.capacity - kept;
    if is_layer1 then
      offered := least(offered, allowance);
    end if;
    if bucket.headroom > 0 then
      pool_beyond := greatest(offered, 0);
      offered := pool_beyond + coalesce(reserve.current_tokens, 0);
      most := greatest(most, 0) + coalesce(reserve.capacity, 0);
    end if;
    least_offered := least(least_offered, offered);
    is_shared := is_layer1 and allowance is not null;
    awaited := case when is_shared then least(wanted, share_rate * 0.1) else wanted end;
    continue when offered >= awaited;
    is_never := is_never or most < awaited;
    retry_after_ms := greatest(
      retry_after_ms,
      case
        when is_never then 0
        -- It asks again when it has earned a tenth of a second of its share.
        when is_shared then ceil(1000 * (awaited - offered) / share_rate)
        else rate_limiter_internal.offer_wait_ms(
          at, bucket, kept, case when bucket.headroom > 0 then reserve end, wanted
        )
      end
    );
  end loop;
  if is_never then
    retry_after_ms := null;
  end if;

  granted := greatest(least(granted, least_offered), 0);
  if granted = 0 and retry_after_ms = 0 then
    -- The buckets offer enough: only what open leases hold is in the way.
    retry_after_ms := 100;
  end if;
  if pool_beyond is not null then
    reserve_paid := greatest(granted - pool_beyond, 0);
  end if;
  charges_shadow := not exists (
    select
    from unnest(buckets) as b
    where b.mode = 'shadow'
      and rate_limiter_internal.is_bandwidth(b.bucket_type) = for_bytes
      and b.current_tokens - b.min_reserve < granted
  );
end;
$$;

comment on function rate_limiter_internal.lease_amount(
  timestamptz, rate_limiter.token_buckets[], boolean, numeric, numeric, numeric, numeric, boolean,
  numeric, numeric
) is
  'How much of one resource buckets, as they stand at a moment, lease of what is asked: never '
  'below a min_reserve or into the headroom of others, and no more than the capacity of '
  'layer 2 together with what its open leases hold (held_by_app), and than layer 1 has room for '
  '(cluster_room: cluster_lease_room). retry_after_ms: when they offer the '
  'smaller of what was asked and a tenth of a second of refill; null for never. reserve_paid: '
  'what the application''s reserve pays of it. charges_shadow: whether its shadow buckets can '
  'give it too. is_denied: no quota, and one is needed. allowance, share_rate: its '
  'share of layer 1 (lease_share_at), null where it is not limited.';
--! EndIncluded rate_limiter_internal/leases/lease_amount.sql
--! Included rate_limiter_internal/leases/propose_lease.sql
create or replace function rate_limiter_internal.propose_lease(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  buckets rate_limiter.token_buckets[],
  tokens numeric,
  bytes numeric,
  lifetime interval,
  holder text,
  out lease rate_limiter.lease_grant,
  out charged rate_limiter_internal.bucket_charge[],
  out is_layer1_short boolean,
  out share_left_tokens numeric,
  out share_left_bytes numeric
)
language plpgsql
stable
parallel safe
as $$
declare
  settings rate_limiter_internal.engine_settings;
  -- What each further lease costs grows with those that are open.
  most_open constant integer := 256;
  life interval;
  needs record;
  held record;
  share_of_tokens record;
  share_of_bytes record;
  of_tokens record;
  of_bytes record;
begin
  select e.* into settings
  from rate_limiter_internal.engine_settings as e;
  life := coalesce(lifetime, make_interval(secs => settings.lease_seconds));
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

  needs := rate_limiter_internal.quotas_needed(shard_key, app_id);
  held := rate_limiter_internal.leased_at(shard_key, at, app_id, holder);
  share_of_tokens := rate_limiter_internal.lease_share_at(
    shard_key, at, app_id, cluster_id, buckets, false
  );
  share_of_bytes := rate_limiter_internal.lease_share_at(
    shard_key, at, app_id, cluster_id, buckets, true
  );
  of_tokens := rate_limiter_internal.lease_amount(
    at, buckets, false, tokens, held.tokens,
    rate_limiter_internal.cluster_lease_room(
      shard_key, app_id, cluster_id, buckets, false, tokens, held.tokens,
      settings.lease_common_share
    ),
    settings.lease_max_share,
    needs.iops and not rate_limiter_internal.has_quota(buckets, 'iops_l2'),
    share_of_tokens.allowance, share_of_tokens.rate
  );
  of_bytes := rate_limiter_internal.lease_amount(
    at, buckets, true, bytes, held.bytes,
    rate_limiter_internal.cluster_lease_room(
      shard_key, app_id, cluster_id, buckets, true, bytes, held.bytes,
      settings.lease_common_share
    ),
    settings.lease_max_share,
    needs.bandwidth and not rate_limiter_internal.has_quota(buckets, 'bandwidth_l2'),
    share_of_bytes.allowance, share_of_bytes.rate
  );

  lease.tokens := of_tokens.granted;
  lease.bytes := of_bytes.granted;
  lease.is_limited_tokens := of_tokens.is_limited;
  lease.is_limited_bytes := of_bytes.is_limited;
  lease.expires_at := at + life;
  lease.lifetime_ms := div(extract(epoch from lease.expires_at - at) * 1000, 1);
  lease.retry_after_ms := case
    when of_tokens.retry_after_ms is not null and of_bytes.retry_after_ms is not null
      then greatest(of_tokens.retry_after_ms, of_bytes.retry_after_ms)
  end;
  lease.holders := held.other_holders + 1;

  charged := array(
    select row(
      b.shard_key, b.owner_id, b.bucket_type, b.mode, c.tokens
    )::rate_limiter_internal.bucket_charge
    from unnest(buckets) with ordinality as b
    cross join lateral (
      select case
        when b.bucket_type = 'iops_reserve' then of_tokens.reserve_paid
        when b.bucket_type = 'bandwidth_reserve' then of_bytes.reserve_paid
        when rate_limiter_internal.is_bandwidth(b.bucket_type) then case
          when b.mode = 'enforce' or of_bytes.charges_shadow then of_bytes.granted else 0 end
        when b.mode = 'enforce' or of_tokens.charges_shadow then of_tokens.granted
        else 0
      end
    ) as c (tokens)
    where c.tokens > 0
      or b.reserve_cluster_id is not null
      and case when rate_limiter_internal.is_bandwidth(b.bucket_type) then of_bytes.granted
        else of_tokens.granted end > 0
    order by b.ordinality
  );
  is_layer1_short := rate_limiter_internal.is_layer1_short(buckets);
  share_left_tokens := share_of_tokens.allowance - of_tokens.granted + of_tokens.reserve_paid;
  share_left_bytes := share_of_bytes.allowance - of_bytes.granted + of_bytes.reserve_paid;

  if held.leases >= most_open then
    lease.tokens := 0;
    lease.bytes := 0;
    lease.retry_after_ms := 1000;
    charged := '{}';
    share_left_tokens := share_of_tokens.allowance;
    share_left_bytes := share_of_bytes.allowance;
  end if;
end;
$$;

comment on function rate_limiter_internal.propose_lease(
  integer, timestamptz, uuid, uuid, rate_limiter.token_buckets[], numeric, numeric, interval,
  text
) is
  'The lease that buckets, as they stand at a moment, can give of what is asked for, what each of '
  'them gives, and, where layer 1 is short, what is left of the application''s share of it. An '
  'application with 256 open leases gets no further one for a second. Writes nothing. Raises QS422 '
  'for a lifetime out of bounds.';
--! EndIncluded rate_limiter_internal/leases/propose_lease.sql
--! Included rate_limiter_internal/leases/release_leased.sql
create or replace function rate_limiter_internal.release_leased(
  charged rate_limiter_internal.bucket_charge[]
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  charge rate_limiter_internal.bucket_charge;
begin
  for charge in
    select c.shard_key, c.owner_id, c.bucket_type, c.mode, sum(c.tokens)
    from unnest(charged) as c
    where rate_limiter_internal.is_layer1(c.bucket_type) and c.mode = 'enforce' and c.tokens > 0
    group by c.shard_key, c.owner_id, c.bucket_type, c.mode
    order by c.owner_id, c.bucket_type
  loop
    update rate_limiter.token_buckets as b
    set leased = nullif(b.leased - charge.tokens, 0)
    where b.shard_key = charge.shard_key
      and b.owner_id = charge.owner_id
      and b.bucket_type = charge.bucket_type
      and b.mode = charge.mode;
  end loop;
end;
$$;

comment on function rate_limiter_internal.release_leased(
  rate_limiter_internal.bucket_charge[]
) is
  'Takes what settled leases were charged off what layer-1 buckets count as leased, in lock order.';
--! EndIncluded rate_limiter_internal/leases/release_leased.sql
--! Included rate_limiter_internal/leases/revoke_leases.sql
create or replace function rate_limiter_internal.revoke_leases(
  at timestamptz,
  app_ids uuid[]
)
returns rate_limiter_internal.bucket_charge[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  released rate_limiter_internal.bucket_charge[];
begin
  -- One that is locked is being settled, and the job comes back to what a renewal makes of it.
  with open as (
    select l.shard_key, l.app_id, l.lease_id
    from rate_limiter.app_facts as f
    join rate_limiter.token_leases as l on l.shard_key = f.shard_key and l.app_id = f.app_id
    where f.app_id = any (app_ids)
      and l.settled_at is null
      and l.revoked_at is null
      and l.expires_at > at
    for update of l skip locked
  ),
  revoked as (
    update rate_limiter.token_leases as l
    set revoked_at = at
    from open as o
    where l.shard_key = o.shard_key and l.app_id = o.app_id and l.lease_id = o.lease_id
    returning l.charged
  )
  select array_agg(c::rate_limiter_internal.bucket_charge)
  into released
  from revoked as r
  cross join lateral unnest(r.charged) as c;
  return coalesce(released, '{}');
end;
$$;

comment on function rate_limiter_internal.revoke_leases(timestamptz, uuid[]) is
  'Revokes the open leases of applications that may not decide any more: they can still be settled '
  'until they expire. Answers what they were charged, for release_leased().';
--! EndIncluded rate_limiter_internal/leases/revoke_leases.sql
--! Included rate_limiter_internal/leases/expire_leases_of.sql
create or replace function rate_limiter_internal.expire_leases_of(
  shard_key integer,
  at timestamptz,
  cluster_id uuid,
  batch_size integer
)
returns rate_limiter_internal.bucket_charge[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  released rate_limiter_internal.bucket_charge[];
begin
  with expired as (
    select l.app_id, l.lease_id
    from rate_limiter.token_leases as l
    where l.shard_key = expire_leases_of.shard_key
      and l.cluster_id = expire_leases_of.cluster_id
      and l.settled_at is null
      and l.expires_at <= at
    limit batch_size
    for update skip locked
  ),
  settled as (
    update rate_limiter.token_leases as l
    set settled_at = at, spent_tokens = l.tokens, spent_bytes = l.bytes
    from expired as e
    where l.shard_key = expire_leases_of.shard_key
      and l.app_id = e.app_id and l.lease_id = e.lease_id
    returning case when l.revoked_at is null then l.charged end as charged
  )
  select array_agg(c::rate_limiter_internal.bucket_charge)
  into released
  from settled as s
  cross join lateral unnest(s.charged) as c;
  return released;
end;
$$;

comment on function rate_limiter_internal.expire_leases_of(integer, timestamptz, uuid, integer) is
  'Settles up to batch_size expired leases of a cluster as spent; answers what they were charged, '
  'which the caller releases.';
--! EndIncluded rate_limiter_internal/leases/expire_leases_of.sql
--! Included rate_limiter_internal/leases/has_expired_leases.sql
create or replace function rate_limiter_internal.has_expired_leases(
  shard_key integer,
  at timestamptz,
  cluster_id uuid
)
returns boolean
language plpgsql
stable
parallel safe
as $$
begin
  return exists (
    select
    from rate_limiter.token_leases as l
    where l.shard_key = has_expired_leases.shard_key
      and l.cluster_id = has_expired_leases.cluster_id
      and l.settled_at is null
      and l.expires_at <= at
  );
end;
$$;

comment on function rate_limiter_internal.has_expired_leases(integer, timestamptz, uuid) is
  'Whether a cluster''s buckets may count leases that have expired by a moment.';
--! EndIncluded rate_limiter_internal/leases/has_expired_leases.sql
--! Included rate_limiter_internal/leases/is_leased_out.sql
create or replace function rate_limiter_internal.is_leased_out(
  buckets rate_limiter.token_buckets[],
  tokens numeric,
  bytes numeric
)
returns boolean
language plpgsql
stable
parallel safe
as $$
declare
  common_share numeric;
  bucket rate_limiter.token_buckets;
  asked numeric;
begin
  select e.lease_common_share into common_share from rate_limiter_internal.engine_settings as e;
  foreach bucket in array buckets loop
    asked := case when rate_limiter_internal.is_bandwidth(bucket.bucket_type) then bytes
      else tokens end;
    if asked > 0 and bucket.leased + asked > bucket.capacity * common_share then
      return true;
    end if;
  end loop;
  return false;
end;
$$;

comment on function rate_limiter_internal.is_leased_out(
  rate_limiter.token_buckets[], numeric, numeric
) is
  'Whether layer-1 buckets count so much as leased that what is asked does not fit beside it into '
  'what is common to all applications: what has expired is in the way.';
--! EndIncluded rate_limiter_internal/leases/is_leased_out.sql
--! Included rate_limiter_internal/leases/settle_expired_leases.sql
create or replace function rate_limiter_internal.settle_expired_leases(
  shard_key integer,
  at timestamptz,
  cluster_id uuid,
  buckets rate_limiter.token_buckets[],
  tokens numeric,
  bytes numeric
)
returns rate_limiter.token_buckets[]
language plpgsql
volatile
parallel unsafe
as $$
begin
  if not rate_limiter_internal.is_leased_out(buckets, tokens, bytes) then
    return buckets;
  end if;

  perform rate_limiter_internal.release_leased(
    rate_limiter_internal.expire_leases_of(shard_key, at, cluster_id, 1000)
  );
  for place in 1 .. cardinality(buckets) loop
    buckets[place].leased := (
      select b.leased
      from rate_limiter.token_buckets as b
      where b.shard_key = buckets[place].shard_key
        and b.owner_id = buckets[place].owner_id
        and b.bucket_type = buckets[place].bucket_type
        and b.mode = buckets[place].mode
    );
  end loop;
  return buckets;
end;
$$;

comment on function rate_limiter_internal.settle_expired_leases(
  integer, timestamptz, uuid, rate_limiter.token_buckets[], numeric, numeric
) is
  'Settles a cluster''s expired leases as spent where locked layer-1 buckets count so much as '
  'leased that what is asked would not fit; answers the buckets with what then counts. Each '
  'lease expires once, so that the count stays cheap however many leases there are.';
--! EndIncluded rate_limiter_internal/leases/settle_expired_leases.sql
--! Included rate_limiter_internal/leases/write_lease.sql
create or replace function rate_limiter_internal.write_lease(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  buckets rate_limiter.token_buckets[],
  lease rate_limiter.lease_grant,
  charged rate_limiter_internal.bucket_charge[],
  holder text
)
returns uuid
language plpgsql
volatile
parallel unsafe
as $$
declare
  lease_id constant uuid := coalesce(lease.lease_id, gen_random_uuid());
  after rate_limiter.token_buckets[] := buckets;
  charge rate_limiter_internal.bucket_charge;
begin
  if not rate_limiter_internal.has_layer2(buckets) then
    perform rate_limiter_internal.hold_application(shard_key, app_id);
  end if;
  for place in 1 .. cardinality(after) loop
    foreach charge in array charged loop
      if charge.owner_id = after[place].owner_id
        and charge.bucket_type = after[place].bucket_type
        and charge.mode = after[place].mode
      then
        after[place].current_tokens := after[place].current_tokens - charge.tokens;
        if charge.mode = 'enforce'
          and rate_limiter_internal.is_layer1(charge.bucket_type)
        then
          after[place].leased := coalesce(after[place].leased, 0) + charge.tokens;
        end if;
      end if;
    end loop;
  end loop;

  perform rate_limiter_internal.write_buckets(
    at, 'lease', buckets, after, null, jsonb_build_object('lease', lease_id)
  );
  insert into rate_limiter.token_leases
    (
      shard_key, app_id, lease_id, cluster_id, holder, tokens, bytes, charged, granted_at,
      expires_at
    )
  values (
    shard_key, app_id, lease_id, cluster_id, holder, lease.tokens, lease.bytes, charged, at,
    lease.expires_at
  );
  return lease_id;
end;
$$;

comment on function rate_limiter_internal.write_lease(
  integer, timestamptz, uuid, uuid, rate_limiter.token_buckets[], rate_limiter.lease_grant,
  rate_limiter_internal.bucket_charge[], text
) is 'Takes a proposed lease out of locked buckets and remembers it; answers its id: that of the '
  'proposal where it has one.';
--! EndIncluded rate_limiter_internal/leases/write_lease.sql
--! Included rate_limiter_internal/leases/require_within_lease.sql
create or replace function rate_limiter_internal.require_within_lease(
  lease rate_limiter.token_leases,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if lease.lease_id is null then
    raise exception using
      errcode = 'QS404',
      message = 'unknown lease',
      detail = format('lease: %s', lease_id),
      hint = 'Check the id, and that it is this application''s.';
  elsif spent_tokens > lease.tokens or spent_bytes > lease.bytes then
    raise exception using
      errcode = 'QS422',
      message = 'spent more than was leased',
      detail = format(
        'tokens: %s of %s, bytes: %s of %s',
        spent_tokens, lease.tokens, spent_bytes, lease.bytes
      ),
      hint = 'A lease is a limit. Hand in what was used beyond it as owed.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_within_lease(
  rate_limiter.token_leases, uuid, numeric, numeric
) is 'Raises QS404 for an unknown lease, QS422 where more was spent than leased.';
--! EndIncluded rate_limiter_internal/leases/require_within_lease.sql
--! Included rate_limiter_internal/leases/require_open_lease.sql
create or replace function rate_limiter_internal.require_open_lease(
  at timestamptz,
  lease rate_limiter.token_leases,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  perform rate_limiter_internal.require_within_lease(
    lease, lease_id, spent_tokens, spent_bytes
  );
  if lease.settled_at < lease.expires_at then
    raise exception using
      errcode = 'QS409',
      message = 'lease is settled',
      detail = format('lease: %s, settled: %s', lease_id, lease.settled_at),
      hint = 'A lease is settled once: a second settlement changes nothing.';
  elsif lease.settled_at is not null or lease.expires_at <= at then
    raise exception using
      errcode = 'QS410',
      message = 'lease has expired',
      detail = format('lease: %s, expired: %s', lease_id, lease.expires_at),
      hint = 'It counts as spent. Settle or renew leases before they expire.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_open_lease(
  timestamptz, rate_limiter.token_leases, uuid, numeric, numeric
) is
  'Raises QS404 for an unknown lease, QS422 where more was spent than leased, QS409 for one that '
  'is settled and QS410 for one that expired.';
--! EndIncluded rate_limiter_internal/leases/require_open_lease.sql
--! Included rate_limiter_internal/leases/repeat_grant.sql
create or replace function rate_limiter_internal.repeat_grant(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  lease_id uuid,
  proposed rate_limiter.lease_grant
)
returns rate_limiter.lease_grant
language plpgsql
stable
parallel safe
as $$
declare
  lease rate_limiter.token_leases;
  repeated rate_limiter.lease_grant := proposed;
begin
  select l.* into lease
  from rate_limiter.token_leases as l
  where l.shard_key = repeat_grant.shard_key
    and l.app_id = repeat_grant.app_id
    and l.lease_id = repeat_grant.lease_id;
  if not found then
    return null;
  end if;
  perform rate_limiter_internal.require_open_lease(at, lease, lease_id, 0, 0);
  if lease.revoked_at is not null then
    raise exception using
      errcode = 'QS409',
      message = 'lease is revoked',
      detail = format('lease: %s, revoked: %s', lease_id, lease.revoked_at),
      hint = 'Its application was suspended since: settle it, and ask under another id.';
  end if;

  repeated.lease_id := lease.lease_id;
  repeated.tokens := lease.tokens;
  repeated.bytes := lease.bytes;
  repeated.expires_at := lease.expires_at;
  repeated.lifetime_ms := div(extract(epoch from lease.expires_at - at) * 1000, 1);
  return repeated;
end;
$$;

comment on function rate_limiter_internal.repeat_grant(
  integer, timestamptz, uuid, uuid, rate_limiter.lease_grant
) is
  'What was granted under an id before, with the lifetime that is left of it; null where nothing '
  'was. The rest of the answer is that of the proposal. Raises QS409 and QS410 for a lease that is '
  'over.';
--! EndIncluded rate_limiter_internal/leases/repeat_grant.sql
--! Included rate_limiter_internal/leases/grant_lease.sql
create or replace function rate_limiter_internal.grant_lease(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  buckets rate_limiter.token_buckets[],
  tokens numeric,
  bytes numeric,
  lifetime interval,
  holder text,
  next_lease_id uuid
)
returns rate_limiter.lease_grant
language plpgsql
volatile
parallel unsafe
as $$
declare
  proposed record;
  lease rate_limiter.lease_grant;
  repeated rate_limiter.lease_grant;
begin
  perform rate_limiter_internal.heal_buckets(buckets, tokens > 0, bytes > 0);
  buckets := rate_limiter_internal.settle_expired_leases(
    shard_key, at, cluster_id, buckets, tokens, bytes
  );
  proposed := rate_limiter_internal.propose_lease(
    shard_key, at, app_id, cluster_id, buckets, tokens, bytes, lifetime, holder
  );
  lease := proposed.lease;
  if next_lease_id is not null then
    if not rate_limiter_internal.has_layer2(buckets) then
      perform rate_limiter_internal.hold_application(shard_key, app_id);
    end if;
    repeated := rate_limiter_internal.repeat_grant(shard_key, at, app_id, next_lease_id, lease);
    if repeated.lease_id is not null then
      return repeated;
    end if;
  end if;
  if lease.tokens > 0 or lease.bytes > 0 then
    lease.lease_id := next_lease_id;
    lease.lease_id := rate_limiter_internal.write_lease(
      shard_key, at, app_id, cluster_id, buckets, lease, proposed.charged, holder
    );
  end if;
  if proposed.is_layer1_short then
    perform rate_limiter_internal.write_lease_share(
      shard_key, at, app_id, proposed.share_left_tokens, proposed.share_left_bytes
    );
  end if;
  return lease;
end;
$$;

comment on function rate_limiter_internal.grant_lease(
  integer, timestamptz, uuid, uuid, rate_limiter.token_buckets[], numeric, numeric, interval, text,
  uuid
) is
  'The lease that locked buckets give, taken out of them; without an id where they give nothing. '
  'The one that was granted under next_lease_id before, where there is one.';
--! EndIncluded rate_limiter_internal/leases/grant_lease.sql
--! Included rate_limiter_internal/leases/lease_tokens_at.sql
create or replace function rate_limiter_internal.lease_tokens_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  tokens numeric,
  bytes numeric,
  lifetime interval default null,
  holder text default null,
  next_lease_id uuid default null
)
returns rate_limiter.lease_grant
language plpgsql
volatile
parallel unsafe
as $$
declare
  moment constant timestamptz := coalesce(at, clock_timestamp());
  admission record;
  buckets rate_limiter.token_buckets[];
  proposed record;
  lease rate_limiter.lease_grant;
  repeated rate_limiter.lease_grant;
  locked record;
begin
  perform rate_limiter_internal.check_holder(holder);
  perform rate_limiter_internal.check_amount(tokens, 'tokens');
  perform rate_limiter_internal.check_amount(bytes, 'bytes');
  admission := rate_limiter_internal.admission_of(shard_key, moment, app_id);
  perform rate_limiter_internal.apply_durability(admission.synchronous_commit);

  -- Nothing to give writes nothing, unless the clock was set back: see consume_locked.
  buckets := rate_limiter_internal.buckets_at(
    shard_key, moment, app_id, admission.cluster_id, admission.expected
  );
  proposed := rate_limiter_internal.propose_lease(
    shard_key, moment, app_id, admission.cluster_id, buckets, tokens, bytes, lifetime,
    holder
  );
  lease := proposed.lease;
  if lease.tokens > 0 or lease.bytes > 0
    or rate_limiter_internal.needs_healing(
      shard_key, moment, app_id, admission.cluster_id, tokens > 0, bytes > 0
    )
    or rate_limiter_internal.is_leased_out(buckets, tokens, bytes)
      and rate_limiter_internal.has_expired_leases(
        shard_key, moment, admission.cluster_id
      )
  then
    locked := rate_limiter_internal.lock_buckets(
      shard_key, at, app_id, admission.cluster_id, true, true
    );
    lease := rate_limiter_internal.grant_lease(
      shard_key, locked.at, app_id, admission.cluster_id, locked.buckets, tokens, bytes,
      lifetime, holder, next_lease_id
    );
    return lease;
  end if;
  if next_lease_id is not null then
    repeated := rate_limiter_internal.repeat_grant(
      shard_key, moment, app_id, next_lease_id, lease
    );
    if repeated.lease_id is not null then
      return repeated;
    end if;
  end if;
  if proposed.is_layer1_short
    and not rate_limiter_internal.asked_lately(shard_key, moment, app_id)
  then
    perform rate_limiter_internal.write_lease_share(
      shard_key, moment, app_id, proposed.share_left_tokens,
      proposed.share_left_bytes
    );
  end if;
  return lease;
end;
$$;

comment on function rate_limiter_internal.lease_tokens_at(
  integer, timestamptz, uuid, numeric, numeric, interval, text, uuid
) is 'lease_tokens() at a moment of the caller''s choice, null for live.';
--! EndIncluded rate_limiter_internal/leases/lease_tokens_at.sql
--! Included rate_limiter_internal/leases/settle_lease_part.sql
create or replace function rate_limiter_internal.settle_lease_part(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  charged rate_limiter_internal.bucket_charge[],
  for_bytes boolean,
  left_over numeric,
  metadata jsonb
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  late rate_limiter_internal.bucket_charge[];
begin
  if left_over > 0 then
    perform rate_limiter_internal.credit_charges(
      at, rate_limiter_internal.share_of_charges(charged, for_bytes, left_over), 'settle', null,
      metadata
    );
  elsif left_over < 0 then
    late := rate_limiter_internal.charge_late(
      shard_key, at, app_id, charged, for_bytes, -left_over, 'settle', null, metadata
    );
  end if;
end;
$$;

comment on function rate_limiter_internal.settle_lease_part(
  integer, timestamptz, uuid, rate_limiter_internal.bucket_charge[], boolean, numeric, jsonb
) is
  'Gives the buckets that a lease was taken from back what is left over of one resource; less '
  'than nothing, because the holder used more than it had, is a late charge on them.';
--! EndIncluded rate_limiter_internal/leases/settle_lease_part.sql
--! Included rate_limiter_internal/leases/record_owed.sql
create or replace function rate_limiter_internal.record_owed(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  lease_id uuid,
  inout tokens numeric,
  inout bytes numeric
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  key constant text := 'lease ' || lease_id;
  before rate_limiter.late_charges;
begin
  if tokens = 0 and bytes = 0 then
    return;
  end if;
  perform rate_limiter_internal.hold_application(shard_key, app_id);
  perform rate_limiter_internal.lock_layer2_of(shard_key, app_id);
  insert into rate_limiter.late_charges
    (shard_key, app_id, idempotency_key, tokens, bytes, charged, charged_at)
  values (shard_key, app_id, key, 0, 0, '{}', at)
  on conflict on constraint late_charges_pkey do nothing;
  select c.* into before
  from rate_limiter.late_charges as c
  where c.shard_key = record_owed.shard_key
    and c.app_id = record_owed.app_id and c.idempotency_key = key
  for update;
  update rate_limiter.late_charges as c
  set
    tokens = greatest(before.tokens, record_owed.tokens),
    bytes = greatest(before.bytes, record_owed.bytes),
    charged_at = at
  where c.shard_key = record_owed.shard_key
    and c.app_id = record_owed.app_id and c.idempotency_key = key;
  tokens := greatest(tokens - before.tokens, 0);
  bytes := greatest(bytes - before.bytes, 0);
end;
$$;

comment on function rate_limiter_internal.record_owed(
  integer, timestamptz, uuid, uuid, numeric, numeric
) is
  'Records what was used beyond a lease as it is handed in with it, and answers what of that was '
  'not handed in with the same lease before: a repetition owes nothing. Locks the application''s '
  'layer 2; the caller has not locked layer 1.';
--! EndIncluded rate_limiter_internal/leases/record_owed.sql
--! Included rate_limiter_internal/leases/lock_lease.sql
create or replace function rate_limiter_internal.lock_lease(
  shard_key integer,
  app_id uuid,
  lease_id uuid
)
returns rate_limiter.token_leases
language plpgsql
volatile
parallel unsafe
as $$
declare
  lease rate_limiter.token_leases;
begin
  if lease_id is null then
    return null;
  end if;
  select l.* into lease
  from rate_limiter.token_leases as l
  where l.shard_key = lock_lease.shard_key
    and l.app_id = lock_lease.app_id
    and l.lease_id = lock_lease.lease_id
  for update;
  if not found then
    perform rate_limiter_internal.require_not_moved(shard_key, app_id);
  end if;
  return lease;
end;
$$;

comment on function rate_limiter_internal.lock_lease(integer, uuid, uuid) is
  'A lease of an application, locked until the end of the transaction; null for an unknown one. '
  'Raises QS409 where the application has moved.';
--! EndIncluded rate_limiter_internal/leases/lock_lease.sql
--! Included rate_limiter_internal/leases/lock_spent_lease.sql
create or replace function rate_limiter_internal.lock_spent_lease(
  shard_key integer,
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric
)
returns rate_limiter.token_leases
language plpgsql
volatile
parallel unsafe
as $$
declare
  lease constant rate_limiter.token_leases := rate_limiter_internal.lock_lease(
    shard_key, app_id, lease_id
  );
begin
  if lease.lease_id is not null then
    perform rate_limiter_internal.require_within_lease(
      lease, lease_id, spent_tokens, spent_bytes
    );
  end if;
  return lease;
end;
$$;

comment on function rate_limiter_internal.lock_spent_lease(
  integer, uuid, uuid, numeric, numeric
) is
  'The lease that a renewal ends, locked: open or over; null for none and for an unknown one, '
  'which was lost with a server. Raises QS422 where more was spent than leased, QS409 where the '
  'application has moved.';
--! EndIncluded rate_limiter_internal/leases/lock_spent_lease.sql
--! Included rate_limiter_internal/leases/end_lease.sql
create or replace function rate_limiter_internal.end_lease(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric
)
returns rate_limiter.token_leases
language plpgsql
volatile
parallel unsafe
as $$
declare
  lease rate_limiter.token_leases;
begin
  perform rate_limiter_internal.check_amount(spent_tokens, 'spent_tokens');
  perform rate_limiter_internal.check_amount(spent_bytes, 'spent_bytes');
  lease := rate_limiter_internal.lock_lease(shard_key, app_id, lease_id);
  perform rate_limiter_internal.require_open_lease(
    at, lease, lease_id, spent_tokens, spent_bytes
  );
  update rate_limiter.token_leases as l
  set
    settled_at = at,
    spent_tokens = end_lease.spent_tokens,
    spent_bytes = end_lease.spent_bytes
  where l.shard_key = lease.shard_key
    and l.app_id = lease.app_id
    and l.lease_id = lease.lease_id;
  return lease;
end;
$$;

comment on function rate_limiter_internal.end_lease(
  integer, timestamptz, uuid, uuid, numeric, numeric
) is
  'Settles a lease that is open, before anything is given back of it; answers it as it was. Raises '
  'what require_open_lease() raises.';
--! EndIncluded rate_limiter_internal/leases/end_lease.sql
--! Included rate_limiter_internal/leases/give_back_lease.sql
create or replace function rate_limiter_internal.give_back_lease(
  shard_key integer,
  at timestamptz,
  lease rate_limiter.token_leases,
  spent_tokens numeric,
  spent_bytes numeric,
  owed_tokens numeric,
  owed_bytes numeric
)
returns rate_limiter.lease_settlement
language plpgsql
volatile
parallel unsafe
as $$
declare
  metadata constant jsonb := jsonb_build_object('lease', lease.lease_id);
begin
  if lease.revoked_at is null then
    perform rate_limiter_internal.release_leased(lease.charged);
  end if;
  perform rate_limiter_internal.settle_lease_part(
    shard_key, at, lease.app_id, lease.charged, false, lease.tokens - spent_tokens - owed_tokens,
    metadata
  );
  perform rate_limiter_internal.settle_lease_part(
    shard_key, at, lease.app_id, lease.charged, true, lease.bytes - spent_bytes - owed_bytes,
    metadata
  );
  return row(lease.tokens - spent_tokens, lease.bytes - spent_bytes);
end;
$$;

comment on function rate_limiter_internal.give_back_lease(
  integer, timestamptz, rate_limiter.token_leases, numeric, numeric, numeric, numeric
) is
  'Gives the locked buckets that a lease was taken from back what was not spent of it, less what '
  'is owed, for a lease that end_lease() has settled.';
--! EndIncluded rate_limiter_internal/leases/give_back_lease.sql
--! Included rate_limiter_internal/leases/settle_lease_at.sql
create or replace function rate_limiter_internal.settle_lease_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric,
  owed_tokens numeric default 0,
  owed_bytes numeric default 0
)
returns rate_limiter.lease_settlement
language plpgsql
volatile
parallel unsafe
as $$
declare
  moment timestamptz := coalesce(at, clock_timestamp());
  lease rate_limiter.token_leases;
begin
  perform rate_limiter_internal.check_amount(owed_tokens, 'owed_tokens');
  perform rate_limiter_internal.check_amount(owed_bytes, 'owed_bytes');
  lease := rate_limiter_internal.end_lease(
    shard_key, moment, app_id, lease_id, spent_tokens, spent_bytes
  );
  perform rate_limiter_internal.record_owed(
    shard_key, moment, app_id, lease_id, owed_tokens, owed_bytes
  );
  moment := rate_limiter_internal.lock_in_order(at, lease.charged);
  return rate_limiter_internal.give_back_lease(
    shard_key, moment, lease, spent_tokens, spent_bytes, owed_tokens, owed_bytes
  );
end;
$$;

comment on function rate_limiter_internal.settle_lease_at(
  integer, timestamptz, uuid, uuid, numeric, numeric, numeric, numeric
) is 'settle_lease() at a moment of the caller''s choice, null for live.';
--! EndIncluded rate_limiter_internal/leases/settle_lease_at.sql
--! Included rate_limiter_internal/leases/renew_lease_at.sql
create or replace function rate_limiter_internal.renew_lease_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric,
  tokens numeric,
  bytes numeric,
  lifetime interval default null,
  holder text default null,
  owed_tokens numeric default 0,
  owed_bytes numeric default 0,
  next_lease_id uuid default null
)
returns rate_limiter.lease_grant
language plpgsql
volatile
parallel unsafe
as $$
declare
  moment constant timestamptz := coalesce(at, clock_timestamp());
  open_lease rate_limiter.token_leases;
  admission record;
  is_over boolean;
  owed record;
  owners record;
  locked record;
  settled rate_limiter.lease_settlement;
  bucket rate_limiter.token_buckets;
  buckets rate_limiter.token_buckets[] := '{}';
begin
  perform rate_limiter_internal.check_holder(holder);
  perform rate_limiter_internal.check_amount(tokens, 'tokens');
  perform rate_limiter_internal.check_amount(bytes, 'bytes');
  perform rate_limiter_internal.check_amount(owed_tokens, 'owed_tokens');
  perform rate_limiter_internal.check_amount(owed_bytes, 'owed_bytes');
  open_lease := rate_limiter_internal.lock_spent_lease(
    shard_key, app_id, lease_id, spent_tokens, spent_bytes
  );
  admission := rate_limiter_internal.admission_of(shard_key, moment, app_id);
  perform rate_limiter_internal.apply_durability(admission.synchronous_commit);

  -- One that is over, or was lost with a server, gives nothing back; what was used beyond it is
  -- still owed, unless this is a repetition.
  is_over := open_lease.lease_id is null
    or open_lease.settled_at is not null
    or open_lease.expires_at <= moment;
  owed := rate_limiter_internal.record_owed(
    shard_key, moment, app_id, lease_id, owed_tokens, owed_bytes
  );
  if is_over and owed.tokens = 0 and owed.bytes = 0 then
    return rate_limiter_internal.lease_tokens_at(
      shard_key, at, app_id, tokens, bytes, lifetime, holder, next_lease_id
    );
  end if;

  -- What the lease goes back to and what the next is taken from, all at once and in order: the
  -- application may have moved to another cluster meanwhile.
  select
    array_agg(o.shard_key order by o.place, o.owner_id) as shard_keys,
    array_agg(o.owner_id order by o.place, o.owner_id) as owner_ids
  into owners
  from (
    select renew_lease_at.shard_key, renew_lease_at.app_id, 1
    union
    select renew_lease_at.shard_key, admission.cluster_id, 2
    where admission.cluster_id is not null
    union
    select c.shard_key, c.owner_id, 2
    from unnest(open_lease.charged) as c
    where not is_over and c.owner_id <> renew_lease_at.app_id
  ) as o (shard_key, owner_id, place);
  locked := rate_limiter_internal.lock_owners(owners.shard_keys, at, owners.owner_ids);
  if is_over then
    perform rate_limiter_internal.charge_owed_at(
      shard_key, locked.at, app_id, owed.tokens, owed.bytes
    );
  else
    open_lease := rate_limiter_internal.end_lease(
      shard_key, locked.at, app_id, lease_id, spent_tokens, spent_bytes
    );
    settled := rate_limiter_internal.give_back_lease(
      shard_key, locked.at, open_lease, spent_tokens, spent_bytes, owed_tokens, owed_bytes
    );
  end if;
  -- As they stand after that, and none that came meanwhile: it is not locked in order.
  foreach bucket in array rate_limiter_internal.buckets_at(
    shard_key, locked.at, app_id, admission.cluster_id, admission.expected
  ) loop
    if exists (
      select
      from unnest(locked.buckets) as l
      where l.owner_id = bucket.owner_id
        and l.bucket_type = bucket.bucket_type
        and l.mode = bucket.mode
    ) then
      buckets := buckets || bucket;
    end if;
  end loop;
  return rate_limiter_internal.grant_lease(
    shard_key, locked.at, app_id, admission.cluster_id, buckets, tokens, bytes, lifetime, holder,
    next_lease_id
  );
end;
$$;

comment on function rate_limiter_internal.renew_lease_at(
  integer, timestamptz, uuid, uuid, numeric, numeric, numeric, numeric, interval, text, numeric,
  numeric, uuid
) is 'renew_lease() at a moment of the caller''s choice, null for live.';
--! EndIncluded rate_limiter_internal/leases/renew_lease_at.sql
--! Included rate_limiter_private/leases/expire_leases.sql
create or replace function rate_limiter_private.expire_leases(
  at timestamptz,
  batch_size integer default 1000
)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  released rate_limiter_internal.bucket_charge[];
  settled integer;
begin
  perform rate_limiter_internal.follow_durability();
  with due as (
    select l.shard_key, l.app_id, l.lease_id
    from rate_limiter.token_leases as l
    where l.settled_at is null and l.expires_at <= at
    limit batch_size
    for update skip locked
  ),
  ended as (
    update rate_limiter.token_leases as l
    set settled_at = at, spent_tokens = l.tokens, spent_bytes = l.bytes
    from due as d
    where l.shard_key = d.shard_key and l.app_id = d.app_id and l.lease_id = d.lease_id
    returning case when l.revoked_at is null then l.charged end as charged
  )
  select
    count(*),
    array(
      select c::rate_limiter_internal.bucket_charge
      from ended as e
      cross join lateral unnest(e.charged) as c
    )
  into settled, released
  from ended;
  -- Those that were granted while their application was being suspended.
  released := released || rate_limiter_internal.revoke_leases(at, array(
    select f.app_id
    from rate_limiter.app_facts as f
    where not f.is_active or not f.tenant_is_active or f.suspended_until > at
  ));
  perform rate_limiter_internal.release_leased(released);
  delete from rate_limiter_internal.lease_shares as s where s.asked_at < at - interval '1 minute';
  -- A part that owes for oversize operations is not forgotten: it would be new again.
  delete from rate_limiter_internal.late_shares as s
  where s.charged_at < at - interval '1 minute'
    and (s.tokens >= 0 or s.charged_at < at - interval '1 day');
  return settled;
end;
$$;

comment on function rate_limiter_private.expire_leases(timestamptz, integer) is
  'Settles up to batch_size leases that expired as spent; answers how many. Call it until it '
  'answers less than batch_size. Revokes open leases of suspended and inactive applications.';
grant execute on function rate_limiter_private.expire_leases(timestamptz, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/leases/expire_leases.sql
--! Included rate_limiter_internal/leases/queue_lease_expiry.sql
create or replace function rate_limiter_internal.queue_lease_expiry(
  at timestamptz,
  due_at timestamptz
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  if due_at < queue_lease_expiry.at + interval '1 minute' then
    perform graphile_worker.add_job(
      'expire_leases', json_build_object('by', 'clock'), run_at => due_at,
      job_key => 'expire_leases', max_attempts => 5, priority => -1
    );
  end if;
end;
$$;

comment on function rate_limiter_internal.queue_lease_expiry(timestamptz, timestamptz) is
  'Queues an expiry of leases that is due within a minute; the clock asks again then for a later '
  'one. There is one such job at most.';
--! EndIncluded rate_limiter_internal/leases/queue_lease_expiry.sql
--! Included rate_limiter_private/leases/lease_expiry_is_due.sql
create or replace function rate_limiter_private.lease_expiry_is_due(
  at timestamptz default clock_timestamp()
)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  due_at timestamptz;
begin
  select p.done_until
    + make_interval(secs => rate_limiter_internal.setting_integer('token_cleanup_interval'))
  into due_at
  from rate_limiter_private.job_progress as p
  where p.job = 'expire_leases'
    -- A clock that stepped back waits for nothing.
    and p.done_until <= lease_expiry_is_due.at;

  if due_at > lease_expiry_is_due.at then
    perform rate_limiter_internal.queue_lease_expiry(lease_expiry_is_due.at, due_at);
    return false;
  end if;

  return true;
end;
$$;

comment on function rate_limiter_private.lease_expiry_is_due(timestamptz) is
  'Whether as much time as the setting token_cleanup_interval says has passed since leases '
  'were expired. If it will have within a minute, a job for that moment is queued.';
grant execute on function rate_limiter_private.lease_expiry_is_due(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/leases/lease_expiry_is_due.sql
--! Included rate_limiter_private/leases/lease_expiry_is_done.sql
create or replace function rate_limiter_private.lease_expiry_is_done(
  at timestamptz default clock_timestamp()
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into rate_limiter_private.job_progress (job, done_until)
  values ('expire_leases', lease_expiry_is_done.at)
  on conflict (job) do update set done_until = excluded.done_until;

  perform rate_limiter_internal.queue_lease_expiry(
    lease_expiry_is_done.at,
    lease_expiry_is_done.at
      + make_interval(secs => rate_limiter_internal.setting_integer('token_cleanup_interval'))
  );
end;
$$;

comment on function rate_limiter_private.lease_expiry_is_done(timestamptz) is
  'Notes that leases were expired at a moment, and queues the next run if it is due within '
  'a minute.';
grant execute on function rate_limiter_private.lease_expiry_is_done(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/leases/lease_expiry_is_done.sql
--! Included rate_limiter/leases/lease_tokens.sql
create or replace function rate_limiter.lease_tokens(
  app_id uuid,
  tokens numeric,
  bytes numeric,
  lifetime interval default null,
  holder text default null,
  denials jsonb default null,
  lease_id uuid default null,
  demand jsonb default null
)
returns rate_limiter.lease_grant
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  shard_key constant integer := rate_limiter_internal.app_shard_key(app_id);
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.record_demand(shard_key, app_id, demand);
  perform rate_limiter_internal.record_denials(shard_key, app_id, denials);
  return rate_limiter_internal.lease_tokens_at(
    shard_key, null, app_id, tokens, bytes, lifetime, holder, lease_id
  );
end;
$$;

comment on function rate_limiter.lease_tokens(
  uuid, numeric, numeric, interval, text, jsonb, uuid, jsonb
) is
  'Takes up to that many tokens and bytes out of the buckets of both layers for the holder to '
  'spend in its memory: ask for what you spend in a lifetime (null: setting lease_seconds). Never '
  'below a min_reserve, never more than lease_max_share of a capacity. denials, demand: what the '
  'caller counted. lease_id: the id that the lease gets; where a call whose answer was lost was '
  'granted under it, the same lease, with the lifetime that it has left. Raises QS404, QS403 as '
  'consume(), QS422 for amounts, a lifetime or a holder out of bounds, QS409 or QS410 where the '
  'lease of that id is over.';
grant execute on function rate_limiter.lease_tokens(
  uuid, numeric, numeric, interval, text, jsonb, uuid, jsonb
)
  to rate_limiter_app;
--! EndIncluded rate_limiter/leases/lease_tokens.sql
--! Included rate_limiter/leases/renew_lease.sql
create or replace function rate_limiter.renew_lease(
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric,
  tokens numeric,
  bytes numeric,
  lifetime interval default null,
  holder text default null,
  denials jsonb default null,
  owed_tokens numeric default 0,
  owed_bytes numeric default 0,
  next_lease_id uuid default null,
  demand jsonb default null
)
returns rate_limiter.lease_grant
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  shard_key constant integer := rate_limiter_internal.app_shard_key(app_id);
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.record_demand(shard_key, app_id, demand);
  perform rate_limiter_internal.record_denials(shard_key, app_id, denials);
  return rate_limiter_internal.renew_lease_at(
    shard_key, null, app_id, lease_id, spent_tokens, spent_bytes, tokens, bytes, lifetime, holder,
    owed_tokens, owed_bytes, next_lease_id
  );
end;
$$;

comment on function rate_limiter.renew_lease(
  uuid, uuid, numeric, numeric, numeric, numeric, interval, text, jsonb, numeric, numeric, uuid,
  jsonb
) is
  'Settles a lease, as settle_lease() does, and takes the next in one round trip. A lease that is '
  'unknown, settled or expired counts as spent; what is owed is charged all the same, once: only '
  'what exceeds what came with the same lease before. next_lease_id: lease_id of lease_tokens(). '
  'Raises what lease_tokens() raises, and QS422 where more was spent than leased.';
grant execute on function rate_limiter.renew_lease(
  uuid, uuid, numeric, numeric, numeric, numeric, interval, text, jsonb, numeric, numeric, uuid,
  jsonb
)
  to rate_limiter_app;
--! EndIncluded rate_limiter/leases/renew_lease.sql
--! Included rate_limiter/leases/settle_lease.sql
create or replace function rate_limiter.settle_lease(
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric,
  denials jsonb default null,
  owed_tokens numeric default 0,
  owed_bytes numeric default 0,
  demand jsonb default null
)
returns rate_limiter.lease_settlement
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  shard_key constant integer := rate_limiter_internal.app_shard_key(app_id);
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.follow_durability();
  perform rate_limiter_internal.record_demand(shard_key, app_id, demand);
  perform rate_limiter_internal.record_denials(shard_key, app_id, denials);
  return rate_limiter_internal.settle_lease_at(
    shard_key, null, app_id, lease_id, spent_tokens, spent_bytes, owed_tokens, owed_bytes
  );
end;
$$;

comment on function rate_limiter.settle_lease(
  uuid, uuid, numeric, numeric, jsonb, numeric, numeric, jsonb
) is
  'Ends a lease and answers what was not spent of it. That is given back, less what is owed: used '
  'beyond the lease, it is charged to the buckets the lease was taken from, below zero if need be. '
  'Raises QS404 for an unknown lease or another application''s, QS409 for a settled and QS410 for '
  'an expired one, QS422 where more was spent than leased.';
grant execute on function rate_limiter.settle_lease(
  uuid, uuid, numeric, numeric, jsonb, numeric, numeric, jsonb
)
  to rate_limiter_app;
--! EndIncluded rate_limiter/leases/settle_lease.sql
--! Included rate_limiter/leases/token_leases.policies.sql
-- Written by functions alone.
alter table rate_limiter.token_leases enable row level security;

drop policy if exists readable on rate_limiter.token_leases;
create policy readable on rate_limiter.token_leases
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('metrics', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists monitored on rate_limiter.token_leases;
create policy monitored on rate_limiter.token_leases
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/leases/token_leases.policies.sql
--! Included rate_limiter/leases/token_leases.grants.sql
revoke all on rate_limiter.token_leases
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.token_leases to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/leases/token_leases.grants.sql
