--! Previous: sha1:ea1074cf79bab4117b08087b711f421d2a1e5a01
--! Hash: sha1:3f256ab8ad4920d6bab9e30dc8ed51b20039f076
--! Message: settlement

-- Settlement
--! Included rate_limiter_internal/settlement/check_idempotency_keys.sql
create or replace function rate_limiter_internal.check_idempotency_keys(idempotency_keys text[])
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if exists (
    select
    from unnest(idempotency_keys) as k (key)
    where coalesce(k.key, '') = '' or length(k.key) > 255
  ) then
    raise exception using
      errcode = 'QS422',
      message = 'idempotency key is not of 1 to 255 characters',
      detail = format('keys: %s', cardinality(idempotency_keys)),
      hint = 'Give each charge a key of its own, and repeat it only with the same charge.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_idempotency_keys(text[]) is
  'Raises QS422 unless each charge of what is owed has a key that can be stored.';
--! EndIncluded rate_limiter_internal/settlement/check_idempotency_keys.sql
--! Included rate_limiter_internal/settlement/credit_charges.sql
create or replace function rate_limiter_internal.credit_charges(
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
  foreach charge in array charges loop
    continue when charge.tokens = 0;
    before := rate_limiter_internal.lock_bucket(
      charge.shard_key, at, charge.owner_id, charge.bucket_type, charge.mode
    );
    -- A reserve may be one on another cluster by now.
    continue when before.owner_id is null
      or before.reserve_cluster_id is not null and not exists (
        select from unnest(charges) as c where c.owner_id = before.reserve_cluster_id
      );
    after := rate_limiter_internal.credit_bucket(before, charge.tokens);
    continue when after.current_tokens = before.current_tokens;
    perform rate_limiter_internal.write_buckets(
      at, transaction_type, array[before], array[after], reference_id, metadata
    );
  end loop;
end;
$$;

comment on function rate_limiter_internal.credit_charges(
  timestamptz, rate_limiter_internal.bucket_charge[], rate_limiter.transaction_type, text, jsonb
) is
  'Gives buckets that the caller has locked (lock_in_order) back what they were charged, up to '
  'their capacity: see credit_bucket.';
--! EndIncluded rate_limiter_internal/settlement/credit_charges.sql
--! Included rate_limiter_internal/settlement/credit_layer2.sql
create or replace function rate_limiter_internal.credit_layer2(
  at timestamptz,
  given rate_limiter_internal.bucket_charge[],
  reference_id text,
  metadata jsonb default null
)
returns rate_limiter_internal.bucket_charge[]
language plpgsql
volatile
parallel unsafe
as $$
begin
  perform rate_limiter_internal.credit_charges(
    at,
    array(
      select g::rate_limiter_internal.bucket_charge
      from unnest(given) as g
      where rate_limiter_internal.lock_rank(g.bucket_type) = 1
    ),
    'settle', reference_id, metadata
  );
  return array(
    select g::rate_limiter_internal.bucket_charge
    from unnest(given) as g
    join rate_limiter.token_buckets as b
      on b.shard_key = g.shard_key
      and b.owner_id = g.owner_id
      and b.bucket_type = g.bucket_type
      and b.mode = g.mode
    where g.tokens > 0
      and rate_limiter_internal.lock_rank(g.bucket_type) > 1
      -- A reserve may be one on another cluster by now.
      and (
        b.reserve_cluster_id is null
        or b.reserve_cluster_id in (select c.owner_id from unnest(given) as c)
      )
  );
end;
$$;

comment on function rate_limiter_internal.credit_layer2(
  timestamptz, rate_limiter_internal.bucket_charge[], text, jsonb
) is
  'Gives layer 2 its share of what is given back (share_of_charges), and answers what layer 1 and '
  'reserves are to get.';
--! EndIncluded rate_limiter_internal/settlement/credit_layer2.sql
--! Included rate_limiter_internal/settlement/count_uncharged.sql
create or replace function rate_limiter_internal.count_uncharged(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  reason text,
  for_bytes boolean,
  amount numeric
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  if amount <= 0 then
    return;
  end if;
  insert into rate_limiter.uncharged_counts as u
    (shard_key, app_id, minute, reason, operations, tokens, bytes)
  values (
    count_uncharged.shard_key,
    count_uncharged.app_id,
    date_trunc('minute', at),
    count_uncharged.reason,
    1,
    case when for_bytes then 0 else amount end,
    case when for_bytes then amount else 0 end
  )
  on conflict on constraint uncharged_counts_pkey do update
  set
    operations = u.operations + 1,
    tokens = u.tokens + excluded.tokens,
    bytes = u.bytes + excluded.bytes;
end;
$$;

comment on function rate_limiter_internal.count_uncharged(
  integer, timestamptz, uuid, text, boolean, numeric
) is 'Counts what a late charge left uncharged, by application, minute and reason.';
--! EndIncluded rate_limiter_internal/settlement/count_uncharged.sql
--! Included rate_limiter_internal/settlement/late_share_at.sql
create or replace function rate_limiter_internal.late_share_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  layer1 rate_limiter.token_buckets,
  out tenant_id uuid,
  out allowance numeric,
  out per_second numeric
)
language plpgsql
stable
parallel safe
as $$
declare
  counts record;
  own rate_limiter_internal.late_shares;
begin
  select
    f.tenant_id,
    case when not (f.is_active and f.tenant_is_active) or f.suspended_until > at then 0 end
  into tenant_id, allowance
  from rate_limiter.app_facts as f
  where f.shard_key = late_share_at.shard_key
    and f.app_id = late_share_at.app_id;
  -- Siblings that may go on do not pay for what one is kept from.
  if allowance = 0 then
    return;
  end if;
  -- The cluster may be one that the application has left.
  counts := rate_limiter_internal.cluster_share(layer1.shard_key, tenant_id, layer1.owner_id);
  if counts.tenants = 1 then
    return;
  end if;
  per_second := div(
    greatest(layer1.refill_rate - coalesce(layer1.reserved_rate, 0), 0)::numeric * 1000000,
    counts.tenants
  ) * 0.000001;
  select s.* into own
  from rate_limiter_internal.late_shares as s
  where s.shard_key = layer1.shard_key
    and s.tenant_id = late_share_at.tenant_id
    and s.bucket_type = layer1.bucket_type;
  allowance := least(
    per_second,
    coalesce(
      own.tokens + trunc(per_second * greatest(extract(epoch from at - own.charged_at), 0), 6),
      per_second
    )
  );
end;
$$;

comment on function rate_limiter_internal.late_share_at(
  integer, timestamptz, uuid, rate_limiter.token_buckets
) is
  'What an application''s tenant may take of a layer-1 bucket, that the caller has locked, beyond '
  'the half that is free to all, for late charges and oversize operations: an equal part, by '
  'tenant, of what is not reserved of its refill (per_second), and at most one second of it; below '
  'zero where oversize operations took more; nothing while the application or its tenant is '
  'suspended or inactive. allowance is null where no other tenant has active applications on the '
  'cluster: then nothing but the debt limit bounds them.';
--! EndIncluded rate_limiter_internal/settlement/late_share_at.sql
--! Included rate_limiter_internal/settlement/write_late_share.sql
create or replace function rate_limiter_internal.write_late_share(
  shard_key integer,
  at timestamptz,
  tenant_id uuid,
  bucket_type rate_limiter.bucket_type,
  tokens numeric
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  insert into rate_limiter_internal.late_shares as s
    (shard_key, tenant_id, bucket_type, charged_at, tokens)
  values (shard_key, tenant_id, bucket_type, at, tokens)
  on conflict on constraint late_shares_pkey do update
  set charged_at = excluded.charged_at, tokens = excluded.tokens;
end;
$$;

comment on function rate_limiter_internal.write_late_share(
  integer, timestamptz, uuid, rate_limiter.bucket_type, numeric
) is 'Remembers what a tenant has left of its part of a layer-1 bucket for late charges.';
--! EndIncluded rate_limiter_internal/settlement/write_late_share.sql
--! Included rate_limiter_internal/settlement/charge_layer2_late.sql
create or replace function rate_limiter_internal.charge_layer2_late(
  at timestamptz,
  inout charges rate_limiter_internal.bucket_charge[],
  for_bytes boolean,
  amount numeric,
  transaction_type rate_limiter.transaction_type,
  reference_id text,
  metadata jsonb default null,
  out taken numeric
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  before rate_limiter.token_buckets;
  due numeric;
begin
  for place in 1 .. cardinality(charges) loop
    continue when rate_limiter_internal.lock_rank(charges[place].bucket_type) > 1
      or rate_limiter_internal.is_bandwidth(charges[place].bucket_type) <> for_bytes;
    before := rate_limiter_internal.lock_bucket(
      charges[place].shard_key, at, charges[place].owner_id, charges[place].bucket_type,
      charges[place].mode
    );
    if before.owner_id is null then
      perform rate_limiter_internal.require_buckets(
        charges[place].shard_key, charges[place].owner_id, array[charges[place].bucket_type]
      );
    end if;
    due := least(
      amount, greatest(before.current_tokens + rate_limiter_internal.debt_limit(before), 0)
    );
    if charges[place].mode = 'enforce' then
      taken := due;
    end if;
    continue when due = 0;
    charges[place].tokens := charges[place].tokens + due;
    perform rate_limiter_internal.write_buckets(
      at, transaction_type, array[before],
      array[rate_limiter_internal.with_tokens(before, before.current_tokens - due)],
      reference_id, metadata
    );
  end loop;
end;
$$;

comment on function rate_limiter_internal.charge_layer2_late(
  timestamptz, rate_limiter_internal.bucket_charge[], boolean, numeric,
  rate_limiter.transaction_type, text, jsonb
) is
  'The part of a late charge (charge_late) that layer 2 takes. Answers the charges with what was '
  'taken added, and what the enforcing bucket took, null where there is none: layer 1 takes no '
  'more. Raises QS409 for a bucket that is gone.';
--! EndIncluded rate_limiter_internal/settlement/charge_layer2_late.sql
--! Included rate_limiter_internal/settlement/late_draw_at.sql
create or replace function rate_limiter_internal.late_draw_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  bucket rate_limiter.token_buckets,
  wanted numeric,
  reserve rate_limiter.token_buckets,
  out due numeric,
  out paid numeric,
  out paid_beyond numeric
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  -- What lies beyond the headroom, and what lies above the half that is left alone.
  pool constant numeric := greatest(bucket.current_tokens - coalesce(bucket.headroom, 0), 0);
  above_half constant numeric := trunc(greatest(
    bucket.current_tokens
      - (coalesce(bucket.capacity, bucket.last_capacity) + coalesce(bucket.headroom, 0)) * 0.5,
    0
  ), 6);
  part record;
  own_part numeric;
begin
  due := least(wanted, greatest(
    bucket.current_tokens + rate_limiter_internal.debt_limit(bucket)
      - coalesce(bucket.headroom, 0),
    0
  ));
  if due > above_half and bucket.mode = 'enforce' then
    part := rate_limiter_internal.late_share_at(shard_key, at, app_id, bucket);
    own_part := above_half + case when part.allowance > 0 then part.allowance
      when part.allowance <= 0 then 0 end;
    due := least(due, own_part + coalesce(reserve.current_tokens, 0));
  end if;
  paid_beyond := least(pool, own_part);
  paid := least(greatest(due - paid_beyond, 0), coalesce(reserve.current_tokens, 0));
  if due - paid > above_half and own_part is not null then
    perform rate_limiter_internal.write_late_share(
      bucket.shard_key, at, part.tenant_id, bucket.bucket_type, own_part - due + paid
    );
  end if;
end;
$$;

comment on function rate_limiter_internal.late_draw_at(
  integer, timestamptz, uuid, rate_limiter.token_buckets, numeric, rate_limiter.token_buckets
) is
  'What a locked layer-1 bucket takes of a late charge: no further than its headroom above its '
  'debt limit, and beyond its upper half no more than the tenant''s part (late_share_at), which '
  'it writes, and the reserve. paid: what the reserve (null for none) pays of it, beyond '
  'paid_beyond.';
--! EndIncluded rate_limiter_internal/settlement/late_draw_at.sql
--! Included rate_limiter_internal/settlement/charge_late.sql
create or replace function rate_limiter_internal.charge_late(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  charges rate_limiter_internal.bucket_charge[],
  for_bytes boolean,
  amount numeric,
  transaction_type rate_limiter.transaction_type,
  reference_id text,
  metadata jsonb default null
)
returns rate_limiter_internal.bucket_charge[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  reserve_type constant rate_limiter.bucket_type := case when for_bytes
    then 'bandwidth_reserve' else 'iops_reserve' end;
  reserve_place integer;
  before rate_limiter.token_buckets;
  reserve rate_limiter.token_buckets;
  layer2 record;
  draw record;
  least_taken numeric;
begin
  layer2 := rate_limiter_internal.charge_layer2_late(
    at, charges, for_bytes, amount, transaction_type, reference_id, metadata
  );
  charges := layer2.charges;
  least_taken := least(amount, layer2.taken);

  for place in 1 .. cardinality(charges) loop
    if charges[place].bucket_type = reserve_type then
      reserve_place := place;
    end if;
  end loop;
  for place in 1 .. cardinality(charges) loop
    continue when not rate_limiter_internal.is_layer1(charges[place].bucket_type)
      or rate_limiter_internal.is_bandwidth(charges[place].bucket_type) <> for_bytes;
    before := rate_limiter_internal.lock_bucket(
      charges[place].shard_key, at, charges[place].owner_id, charges[place].bucket_type,
      charges[place].mode
    );
    if before.owner_id is null then
      perform rate_limiter_internal.require_buckets(
        shard_key, app_id, array[charges[place].bucket_type]
      );
    end if;
    reserve := null;
    if before.headroom > 0 and reserve_place is not null then
      reserve := rate_limiter_internal.lock_bucket(
        charges[reserve_place].shard_key, at, charges[reserve_place].owner_id, reserve_type,
        'enforce'
      );
      if reserve.reserve_cluster_id is distinct from before.owner_id then
        reserve := null;
      end if;
    end if;
    draw := rate_limiter_internal.late_draw_at(
      shard_key, at, app_id, before, least(amount, layer2.taken), reserve
    );
    if charges[place].mode = 'enforce' then
      least_taken := least(least_taken, draw.due);
    end if;
    continue when draw.due = 0;

    if draw.paid > 0 then
      perform rate_limiter_internal.write_buckets(
        at, transaction_type, array[reserve],
        array[rate_limiter_internal.with_tokens(reserve, reserve.current_tokens - draw.paid)],
        reference_id, metadata
      );
      charges[reserve_place].tokens := charges[reserve_place].tokens + draw.paid;
    end if;
    charges[place].tokens := charges[place].tokens + draw.due;
    perform rate_limiter_internal.write_buckets(
      at, transaction_type, array[before],
      array[rate_limiter_internal.with_tokens(before, before.current_tokens - draw.due)],
      reference_id, metadata
    );
  end loop;

  perform rate_limiter_internal.count_uncharged(
    shard_key, at, app_id,
    case when metadata ? 'lease' then 'lease' else transaction_type::text end, for_bytes,
    amount - least_taken
  );
  return charges;
end;
$$;

comment on function rate_limiter_internal.charge_late(
  integer, timestamptz, uuid, rate_limiter_internal.bucket_charge[], boolean, numeric,
  rate_limiter.transaction_type, text, jsonb
) is
  'Charges what was used before it could be charged: takes an amount out of the buckets of a kind '
  'that charges names, in lock order and locked by the caller, below zero if need be. Layer 2 is '
  'taken no further than its debt limit (charge_layer2_late); layer 1 no more than layer 2 took, '
  'and as far as late_draw_at says. What is left is counted as uncharged. Answers the charges '
  'with what was taken added. Raises QS409 for a bucket that is gone.';
--! EndIncluded rate_limiter_internal/settlement/charge_late.sql
--! Included rate_limiter_internal/settlement/share_of_charges.sql
create or replace function rate_limiter_internal.share_of_charges(
  charges rate_limiter_internal.bucket_charge[],
  for_bytes boolean,
  amount numeric
)
returns rate_limiter_internal.bucket_charge[]
language plpgsql
immutable
parallel safe
as $$
begin
  for place in 1 .. cardinality(charges) loop
    charges[place].tokens := case
      when rate_limiter_internal.is_bandwidth(charges[place].bucket_type) = for_bytes
        then least(charges[place].tokens, amount)
      else 0
    end;
  end loop;
  return charges;
end;
$$;

comment on function rate_limiter_internal.share_of_charges(
  rate_limiter_internal.bucket_charge[], boolean, numeric
) is
  'What each bucket of a kind gets of an amount that is given back: all of it, and no more than it '
  'was charged, which for a reserve is what it had paid.';
--! EndIncluded rate_limiter_internal/settlement/share_of_charges.sql
--! Included rate_limiter_internal/settlement/move_charge.sql
create or replace function rate_limiter_internal.move_charge(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  charges rate_limiter_internal.bucket_charge[],
  for_bytes boolean,
  difference numeric,
  reference_id text,
  metadata jsonb
)
returns rate_limiter_internal.bucket_charge[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  given rate_limiter_internal.bucket_charge[];
begin
  if difference > 0 then
    return rate_limiter_internal.charge_late(
      shard_key, at, app_id, charges, for_bytes, difference, 'settle', reference_id, metadata
    );
  elsif difference < 0 then
    given := rate_limiter_internal.share_of_charges(charges, for_bytes, -difference);
    perform rate_limiter_internal.credit_charges(at, given, 'settle', reference_id, metadata);
    for place in 1 .. cardinality(charges) loop
      charges[place].tokens := charges[place].tokens - given[place].tokens;
    end loop;
  end if;
  return charges;
end;
$$;

comment on function rate_limiter_internal.move_charge(
  integer, timestamptz, uuid, rate_limiter_internal.bucket_charge[], boolean, numeric, text, jsonb
) is
  'Moves what buckets of a kind were charged by a difference: more is a late charge, less is given '
  'back. Answers the charges as they then stand; what capacity cut off of what was given back is '
  'gone.';
--! EndIncluded rate_limiter_internal/settlement/move_charge.sql
--! Included rate_limiter_internal/settlement/require_charge.sql
create or replace function rate_limiter_internal.require_charge(
  shard_key integer,
  app_id uuid,
  reference_id text
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if not exists (
    select from rate_limiter.charges as c
    where c.shard_key = require_charge.shard_key
      and c.app_id = require_charge.app_id and c.reference_id = require_charge.reference_id
  ) then
    perform rate_limiter_internal.require_not_moved(shard_key, app_id);
    perform rate_limiter_internal.check_reference(reference_id);
    raise exception using
      errcode = 'QS404',
      message = 'unknown reference',
      detail = format('reference: %s', reference_id),
      hint = 'Only an operation that was admitted under a reference can be settled or refunded.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_charge(integer, uuid, text) is
  'Raises QS404 for a reference under which the application was never charged, QS422 for one that '
  'cannot be one.';
--! EndIncluded rate_limiter_internal/settlement/require_charge.sql
--! Included rate_limiter_internal/settlement/settle_at.sql
create or replace function rate_limiter_internal.settle_at(
  shard_key integer,
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
  moment timestamptz;
  new_cost numeric;
  metadata constant jsonb := jsonb_build_object('size_bytes', actual_size_bytes);
begin
  select c.* into charge
  from rate_limiter.charges as c
  where c.shard_key = settle_at.shard_key
    and c.app_id = settle_at.app_id
    and c.reference_id = settle_at.reference_id
  for update;

  if not found then
    perform rate_limiter_internal.require_not_moved(shard_key, app_id);
  end if;
  if charge.app_id is null or charge.settled_at is not null or charge.refunded_at is not null then
    return row(false, null::numeric, null::bigint);
  elsif actual_size_bytes is null or actual_size_bytes < 0 then
    raise exception using
      errcode = 'QS422',
      message = 'size is negative',
      detail = format('size_bytes: %s', actual_size_bytes),
      hint = 'Give the size of the operation in bytes, 0 or more.';
  end if;

  new_cost := rate_limiter_internal.cost_of(
    (charge.cost_rates).c_base, (charge.cost_rates).c_bw, (charge.cost_rates).unit_quantum,
    actual_size_bytes
  );
  moment := rate_limiter_internal.lock_in_order(at, charge.charged);
  charge.charged := rate_limiter_internal.move_charge(
    shard_key, moment, app_id, charge.charged, false, new_cost - charge.cost, reference_id, metadata
  );
  charge.charged := rate_limiter_internal.move_charge(
    shard_key, moment, app_id, charge.charged, true, actual_size_bytes - charge.size_bytes,
    reference_id, metadata
  );

  update rate_limiter.charges as c
  set
    settled_at = moment,
    size_bytes = actual_size_bytes,
    cost = new_cost,
    charged = charge.charged
  where c.shard_key = charge.shard_key
    and c.app_id = charge.app_id
    and c.reference_id = charge.reference_id;

  return row(true, new_cost, actual_size_bytes);
end;
$$;

comment on function rate_limiter_internal.settle_at(integer, timestamptz, uuid, text, bigint) is
  'settle() at a moment of the caller''s choice, null for live; settled is false, and there is no '
  'cost, for a reference that was never charged, or that is settled or refunded already.';
--! EndIncluded rate_limiter_internal/settlement/settle_at.sql
--! Included rate_limiter_internal/settlement/refund_at.sql
create or replace function rate_limiter_internal.refund_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  reference_id text,
  out refunded boolean
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  charge rate_limiter.charges;
  moment timestamptz;
begin
  select c.* into charge
  from rate_limiter.charges as c
  where c.shard_key = refund_at.shard_key
    and c.app_id = refund_at.app_id
    and c.reference_id = refund_at.reference_id
    and c.refunded_at is null
  for update;

  refunded := found;
  if not refunded then
    perform rate_limiter_internal.require_not_moved(shard_key, app_id);
  else
    moment := rate_limiter_internal.lock_in_order(at, charge.charged);
    update rate_limiter.charges as c
    set refunded_at = moment
    where c.shard_key = charge.shard_key
      and c.app_id = charge.app_id
      and c.reference_id = charge.reference_id;
    perform rate_limiter_internal.credit_charges(
      moment, charge.charged, 'refund', refund_at.reference_id
    );
  end if;
end;
$$;

comment on function rate_limiter_internal.refund_at(integer, timestamptz, uuid, text) is
  'refund() at a moment of the caller''s choice, null for live; answers false for a reference that '
  'was never charged or is refunded already.';
--! EndIncluded rate_limiter_internal/settlement/refund_at.sql
--! Included rate_limiter_internal/settlement/chargeable_at.sql
create or replace function rate_limiter_internal.chargeable_at(
  shard_key integer,
  at timestamptz,
  app_id uuid
)
returns rate_limiter_internal.bucket_charge[]
language plpgsql
stable
parallel safe
as $$
declare
  facts record;
begin
  select
    f.cluster_id,
    rate_limiter_internal.expected_buckets(
      f.has_iops, f.has_bandwidth, f.draws_iops, f.draws_bandwidth
    ) as expected
  into facts
  from rate_limiter.app_facts as f
  where f.shard_key = chargeable_at.shard_key
    and f.app_id = chargeable_at.app_id;
  if not found then
    perform rate_limiter_internal.require_not_moved(shard_key, app_id);
  end if;
  return array(
    select row(
      b.shard_key, b.owner_id, b.bucket_type, b.mode, 0
    )::rate_limiter_internal.bucket_charge
    from unnest(rate_limiter_internal.buckets_at(
      shard_key, at, app_id, facts.cluster_id, facts.expected
    )) as b
    order by rate_limiter_internal.lock_rank(b.bucket_type), b.owner_id, b.bucket_type, b.mode
  );
end;
$$;

comment on function rate_limiter_internal.chargeable_at(integer, timestamptz, uuid) is
  'The buckets of an application that late charges are charged to, with nothing charged, in lock '
  'order. Raises QS409 where one is missing or the application has moved.';
--! EndIncluded rate_limiter_internal/settlement/chargeable_at.sql
--! Included rate_limiter_internal/settlement/has_its_buckets.sql
create or replace function rate_limiter_internal.has_its_buckets(
  shard_key integer,
  app_id uuid
)
returns boolean
language plpgsql
stable
parallel safe
as $$
declare
  facts record;
  found_types rate_limiter.bucket_type[];
begin
  select
    f.cluster_id,
    rate_limiter_internal.expected_buckets(
      f.has_iops, f.has_bandwidth, f.draws_iops, f.draws_bandwidth
    ) as expected
  into facts
  from rate_limiter.app_facts as f
  where f.shard_key = has_its_buckets.shard_key
    and f.app_id = has_its_buckets.app_id;
  found_types := array(
    select b.bucket_type
    from rate_limiter.token_buckets as b
    where b.shard_key = has_its_buckets.shard_key
      and b.owner_id in (has_its_buckets.app_id, facts.cluster_id)
      and b.mode = 'enforce'
  );
  -- Null where it has moved.
  return coalesce(facts.expected <@ found_types, false);
end;
$$;

comment on function rate_limiter_internal.has_its_buckets(integer, uuid) is
  'Whether all enforcing buckets are there that an application has by its facts; false where it '
  'has moved.';
--! EndIncluded rate_limiter_internal/settlement/has_its_buckets.sql
--! Included rate_limiter_internal/settlement/charge_owed_at.sql
create or replace function rate_limiter_internal.charge_owed_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  tokens numeric,
  bytes numeric,
  idempotency_key text default null
)
returns boolean
language plpgsql
volatile
parallel unsafe
as $$
declare
  moment timestamptz := coalesce(at, clock_timestamp());
  new_charges rate_limiter_internal.bucket_charge[];
begin
  perform rate_limiter_internal.check_amount(tokens, 'tokens');
  perform rate_limiter_internal.check_amount(bytes, 'bytes');
  if idempotency_key is not null then
    perform rate_limiter_internal.hold_application(shard_key, app_id);
    perform rate_limiter_internal.lock_layer2_of(shard_key, app_id);
    insert into rate_limiter.late_charges
      (shard_key, app_id, idempotency_key, tokens, bytes, charged, charged_at)
    values (shard_key, app_id, idempotency_key, tokens, bytes, '{}', moment)
    on conflict on constraint late_charges_pkey do nothing;
    if not found then
      return false;
    end if;
  end if;
  if tokens = 0 and bytes = 0 then
    return true;
  end if;

  new_charges := rate_limiter_internal.chargeable_at(shard_key, moment, app_id);
  moment := rate_limiter_internal.lock_in_order(at, new_charges);
  if tokens > 0 then
    new_charges := rate_limiter_internal.charge_late(
      shard_key, moment, app_id, new_charges, false, tokens, 'owed', idempotency_key
    );
  end if;
  if bytes > 0 then
    new_charges := rate_limiter_internal.charge_late(
      shard_key, moment, app_id, new_charges, true, bytes, 'owed', idempotency_key
    );
  end if;
  if idempotency_key is not null then
    update rate_limiter.late_charges as c
    set charged = new_charges, charged_at = moment
    where c.shard_key = charge_owed_at.shard_key
      and c.app_id = charge_owed_at.app_id
      and c.idempotency_key = charge_owed_at.idempotency_key;
  end if;
  return true;
end;
$$;

comment on function rate_limiter_internal.charge_owed_at(
  integer, timestamptz, uuid, numeric, numeric, text
) is
  'charge_owed() at a moment of the caller''s choice, null for live; without a key it charges '
  'whenever it is called. Raises QS409 where a bucket is missing.';
--! EndIncluded rate_limiter_internal/settlement/charge_owed_at.sql
--! Included rate_limiter_internal/settlement/record_owed_many.sql
create or replace function rate_limiter_internal.record_owed_many(
  charges rate_limiter_internal.owed_charge[],
  at timestamptz,
  out has_changed boolean[],
  out made rate_limiter.late_charges[],
  out lowered rate_limiter.late_charges[]
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  entry record;
  charge rate_limiter.late_charges;
  is_made boolean;
begin
  has_changed := array_fill(false, array[cardinality(charges)]);
  made := '{}';
  lowered := '{}';
  for entry in
    -- What a key is handed in with again in the same call lowers it, as in a later one.
    select
      e.place, e.shard_key, e.app_id, e.key, e.tokens, e.bytes,
      min(e.tokens) over (partition by e.app_id, e.key) as least_tokens,
      min(e.bytes) over (partition by e.app_id, e.key) as least_bytes,
      min(e.tokens) over earlier as earlier_tokens,
      min(e.bytes) over earlier as earlier_bytes
    from unnest(charges) with ordinality as e (shard_key, app_id, tokens, bytes, key, place)
    -- An application that is gone owes nothing.
    where e.shard_key is not null
    window earlier as (
      partition by e.app_id, e.key order by e.place
      rows between unbounded preceding and 1 preceding
    )
    order by e.app_id, e.key, e.place
  loop
    perform rate_limiter_internal.check_amount(entry.tokens, 'tokens');
    perform rate_limiter_internal.check_amount(entry.bytes, 'bytes');
    if entry.earlier_tokens is null then
      perform rate_limiter_internal.hold_application(entry.shard_key, entry.app_id);
      charge := row(
        entry.shard_key, entry.app_id, entry.key, entry.least_tokens, entry.least_bytes, '{}', at
      );
      insert into rate_limiter.late_charges select charge.*
      on conflict on constraint late_charges_pkey do nothing;
      is_made := found;
      if is_made then
        made[cardinality(made) + 1] := charge;
      else
        select c.* into charge
        from rate_limiter.late_charges as c
        where c.shard_key = entry.shard_key
          and c.app_id = entry.app_id
          and c.idempotency_key = entry.key
        for update;
        if entry.least_tokens < charge.tokens or entry.least_bytes < charge.bytes then
          update rate_limiter.late_charges as c
          set
            tokens = least(c.tokens, entry.least_tokens),
            bytes = least(c.bytes, entry.least_bytes)
          where c.shard_key = charge.shard_key
            and c.app_id = charge.app_id
            and c.idempotency_key = charge.idempotency_key;
          lowered[cardinality(lowered) + 1] := charge;
        end if;
      end if;
    end if;
    has_changed[entry.place] := is_made and entry.earlier_tokens is null
      or entry.tokens < least(
        entry.earlier_tokens, case when not is_made then charge.tokens else entry.earlier_tokens end
      )
      or entry.bytes < least(
        entry.earlier_bytes, case when not is_made then charge.bytes else entry.earlier_bytes end
      );
  end loop;
end;
$$;

comment on function rate_limiter_internal.record_owed_many(
  rate_limiter_internal.owed_charge[], timestamptz
) is
  'Records what is owed under keys: new ones as rows that are not charged yet (made), and known '
  'ones of which less was used in the end (lowered, as they were before). has_changed: for each '
  'place of the lists, whether it did either. The caller has '
  'locked layer 2.';
--! EndIncluded rate_limiter_internal/settlement/record_owed_many.sql
--! Included rate_limiter_internal/settlement/charge_layer2_owed.sql
create or replace function rate_limiter_internal.charge_layer2_owed(
  at timestamptz,
  inout made rate_limiter.late_charges[],
  lowered rate_limiter.late_charges[],
  out items rate_limiter_internal.late_item[],
  out returned rate_limiter_internal.bucket_charge[]
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  moment timestamptz := coalesce(at, clock_timestamp());
  locked rate_limiter_internal.bucket_charge[];
  buckets rate_limiter_internal.bucket_charge[];
  buckets_of uuid;
  charge rate_limiter.late_charges;
  current rate_limiter.late_charges;
  part record;
  given rate_limiter_internal.bucket_charge[];
  amount numeric;
begin
  items := '{}';
  returned := '{}';
  locked := array(
    select row(
      b.shard_key, b.owner_id, b.bucket_type, b.mode, 0
    )::rate_limiter_internal.bucket_charge
    from (select distinct m.shard_key, m.app_id from unnest(made) as m) as a
    join rate_limiter.token_buckets as b on b.shard_key = a.shard_key and b.owner_id = a.app_id
    where rate_limiter_internal.lock_rank(b.bucket_type) = 1
    union all
    select c::rate_limiter_internal.bucket_charge
    from unnest(lowered) as l
    cross join lateral unnest(l.charged) as c
    where rate_limiter_internal.lock_rank(c.bucket_type) = 1
  );
  moment := rate_limiter_internal.lock_in_order(at, locked);

  for place in 1 .. cardinality(made) loop
    charge := made[place];
    if buckets_of is distinct from charge.app_id then
      buckets_of := charge.app_id;
      buckets := rate_limiter_internal.chargeable_at(charge.shard_key, moment, charge.app_id);
    end if;
    charge.charged := case when charge.tokens > 0 or charge.bytes > 0 then buckets else '{}' end;
    for kind in 1 .. 2 loop
      amount := case kind when 1 then charge.tokens else charge.bytes end;
      continue when amount = 0;
      part := rate_limiter_internal.charge_layer2_late(
        moment, charge.charged, kind = 2, amount, 'owed', charge.idempotency_key
      );
      charge.charged := part.charges;
      -- Layer 1 takes as much, as far as it can: it seldom has to be corrected.
      for i in 1 .. cardinality(charge.charged) loop
        if rate_limiter_internal.is_layer1(charge.charged[i].bucket_type)
          and rate_limiter_internal.is_bandwidth(charge.charged[i].bucket_type) = (kind = 2)
        then
          charge.charged[i].tokens := least(amount, part.taken);
        end if;
      end loop;
      items[cardinality(items) + 1] := row(place, kind = 2, amount, least(amount, part.taken));
    end loop;
    update rate_limiter.late_charges as c
    set charged = charge.charged, charged_at = moment
    where c.shard_key = charge.shard_key
      and c.app_id = charge.app_id
      and c.idempotency_key = charge.idempotency_key;
    made[place] := charge;
  end loop;

  foreach charge in array lowered loop
    select c.* into current
    from rate_limiter.late_charges as c
    where c.shard_key = charge.shard_key
      and c.app_id = charge.app_id
      and c.idempotency_key = charge.idempotency_key;
    for kind in 1 .. 2 loop
      given := rate_limiter_internal.share_of_charges(
        charge.charged, kind = 2,
        case kind when 1 then charge.tokens - current.tokens else charge.bytes - current.bytes end
      );
      returned := returned || rate_limiter_internal.credit_layer2(
        moment, given, charge.idempotency_key
      );
      for place in 1 .. cardinality(given) loop
        charge.charged[place].tokens := charge.charged[place].tokens - given[place].tokens;
      end loop;
    end loop;
    update rate_limiter.late_charges as c
    set charged = charge.charged
    where c.shard_key = charge.shard_key
      and c.app_id = charge.app_id
      and c.idempotency_key = charge.idempotency_key;
  end loop;
end;
$$;

comment on function rate_limiter_internal.charge_layer2_owed(
  timestamptz, rate_limiter.late_charges[], rate_limiter.late_charges[]
) is
  'Charges layer 2 what is newly owed (made), and gives it back what is owed no more (lowered, as '
  'the rows were before). Answers made with what each bucket was charged, layer 1 as if it could '
  'take all of it; what layer 1 is to take (items, by their place in made) and to get back '
  '(returned). Locks layer 2 alone. Raises '
  'QS409 where a bucket is missing.';
--! EndIncluded rate_limiter_internal/settlement/charge_layer2_owed.sql
--! Included rate_limiter_internal/settlement/lock_layer1_owed.sql
create or replace function rate_limiter_internal.lock_layer1_owed(
  inout at timestamptz,
  made rate_limiter.late_charges[],
  others rate_limiter_internal.bucket_charge[]
)
language plpgsql
volatile
parallel unsafe
as $$
begin
  at := rate_limiter_internal.lock_in_order(at, array(
    select o::rate_limiter_internal.bucket_charge
    from unnest(others) as o
    where rate_limiter_internal.lock_rank(o.bucket_type) = 2 or o.tokens > 0
    union all
    select c::rate_limiter_internal.bucket_charge
    from unnest(made) as m
    cross join lateral unnest(m.charged) as c
    where rate_limiter_internal.lock_rank(c.bucket_type) > 1
  ));
end;
$$;

comment on function rate_limiter_internal.lock_layer1_owed(
  timestamptz, rate_limiter.late_charges[], rate_limiter_internal.bucket_charge[]
) is
  'Locks the layer-1 buckets and reserves that late charges (made) draw on, and others with them: '
  'of those, reserves only that get or give something. Answers the moment, where that is null '
  'what the clock says then.';
--! EndIncluded rate_limiter_internal/settlement/lock_layer1_owed.sql
--! Included rate_limiter_internal/settlement/correct_owed.sql
create or replace function rate_limiter_internal.correct_owed(
  at timestamptz,
  made rate_limiter.late_charges[],
  items rate_limiter_internal.late_item[],
  short_app_ids uuid[],
  short_charges rate_limiter_internal.bucket_charge[],
  short_paid numeric[],
  short_paid_beyond numeric[]
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  with charges as materialized (
    select m.*
    from unnest(made) with ordinality as m (
      shard_key, app_id, idempotency_key, tokens, bytes, charged, charged_at, place
    )
  ),
  -- What a bucket took of an application goes to its charges in their order, and so does what its
  -- reserve paid.
  owed as materialized (
    select
      i.place, i.for_bytes, s.app_id, s.owner_id, s.bucket_type, s.mode, s.due, s.paid,
      s.paid_beyond, i.wanted,
      sum(i.wanted) over (
        partition by s.app_id, s.owner_id, s.bucket_type, s.mode order by i.place
      ) - i.wanted as earlier
    from unnest(items) as i
    join charges as c using (place)
    join rows from (
      unnest(short_app_ids), unnest(short_charges), unnest(short_paid), unnest(short_paid_beyond)
    ) as s (app_id, shard_key, owner_id, bucket_type, mode, due, paid, paid_beyond)
      on s.app_id = c.app_id and rate_limiter_internal.is_bandwidth(s.bucket_type) = i.for_bytes
  ),
  taken as materialized (
    select
      o.*,
      least(o.wanted, greatest(o.due - o.earlier, 0)) as tokens,
      greatest(
        least(o.earlier + o.wanted, o.due, o.paid_beyond + o.paid)
          - greatest(o.earlier, o.paid_beyond),
        0
      ) as reserve_paid
    from owed as o
  ),
  corrections as materialized (
    select t.place, t.owner_id, t.bucket_type, t.mode, t.tokens
    from taken as t
    union all
    select
      t.place, t.app_id,
      case when t.for_bytes then 'bandwidth_reserve' else 'iops_reserve' end
        ::rate_limiter.bucket_type,
      t.mode, t.reserve_paid
    from taken as t
    where t.mode = 'enforce'
  ),
  corrected as (
    update rate_limiter.late_charges as l
    set charged = n.charged
    from (
      select
        c.shard_key, c.app_id, c.idempotency_key,
        array_agg(
          row(
            b.shard_key, b.owner_id, b.bucket_type, b.mode, coalesce(k.tokens, b.tokens)
          )::rate_limiter_internal.bucket_charge
          order by b.ordinality
        ) as charged
      from charges as c
      cross join lateral unnest(c.charged) with ordinality as b
      left join corrections as k
        on k.place = c.place
        and k.owner_id = b.owner_id
        and k.bucket_type = b.bucket_type
        and k.mode = b.mode
      where c.place in (select t.place from taken as t)
      group by c.shard_key, c.app_id, c.idempotency_key
    ) as n
    where l.shard_key = n.shard_key
      and l.app_id = n.app_id
      and l.idempotency_key = n.idempotency_key
  )
  insert into rate_limiter.uncharged_counts as u
    (shard_key, app_id, minute, reason, operations, tokens, bytes)
  select
    c.shard_key, c.app_id, date_trunc('minute', at), 'owed', count(*),
    coalesce(sum(i.amount - coalesce(t.tokens, i.wanted)) filter (where not i.for_bytes), 0),
    coalesce(sum(i.amount - coalesce(t.tokens, i.wanted)) filter (where i.for_bytes), 0)
  from unnest(items) as i
  join charges as c using (place)
  left join taken as t
    on t.place = i.place and t.for_bytes = i.for_bytes and t.mode = 'enforce'
  where i.amount > coalesce(t.tokens, i.wanted)
  group by c.shard_key, c.app_id
  order by c.app_id
  on conflict on constraint uncharged_counts_pkey do update
  set
    operations = u.operations + excluded.operations,
    tokens = u.tokens + excluded.tokens,
    bytes = u.bytes + excluded.bytes;
end;
$$;

comment on function rate_limiter_internal.correct_owed(
  timestamptz, rate_limiter.late_charges[], rate_limiter_internal.late_item[], uuid[],
  rate_limiter_internal.bucket_charge[], numeric[], numeric[]
) is
  'Writes down, in one statement, what layer 1 did not take of late charges as charge_layer2_owed '
  'wrote them: into the charges what layer-1 buckets and reserves were charged, by application '
  '(short_app_ids, short_charges, and of those what reserves paid: short_paid, beyond '
  'short_paid_beyond), and into the counts what is left uncharged, of layer 2 too.';
--! EndIncluded rate_limiter_internal/settlement/correct_owed.sql
--! Included rate_limiter_internal/settlement/charge_layer1_owed.sql
create or replace function rate_limiter_internal.charge_layer1_owed(
  at timestamptz,
  made rate_limiter.late_charges[],
  items rate_limiter_internal.late_item[],
  returned rate_limiter_internal.bucket_charge[]
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  bucket record;
  before rate_limiter.token_buckets;
  after rate_limiter.token_buckets;
  reserve rate_limiter.token_buckets;
  draw record;
  -- Where layer 1 did not take all that an application owes, or its reserve paid: what was taken.
  short_app_ids uuid[] := '{}';
  short_charges rate_limiter_internal.bucket_charge[] := '{}';
  short_paid numeric[] := '{}';
  short_paid_beyond numeric[] := '{}';
begin
  perform rate_limiter_internal.credit_charges(
    at,
    array(
      select row(
        r.shard_key, r.owner_id, r.bucket_type, r.mode, sum(r.tokens)
      )::rate_limiter_internal.bucket_charge
      from unnest(returned) as r
      group by r.shard_key, r.owner_id, r.bucket_type, r.mode
    ),
    'settle', null
  );

  -- What an application owes is taken at once: it comes to the same as one charge after the other.
  for bucket in
    select
      d.shard_key, d.owner_id, d.bucket_type, d.mode,
      array_agg(d.app_shard_key order by d.tenant_id, d.app_id) as app_shard_keys,
      array_agg(d.app_id order by d.tenant_id, d.app_id) as app_ids,
      array_agg(d.wanted order by d.tenant_id, d.app_id) as wanted,
      sum(d.charges) as charges,
      min(d.idempotency_key) as idempotency_key
    from (
      select
        c.shard_key, c.owner_id, c.bucket_type, c.mode, f.tenant_id, m.app_id,
        m.shard_key as app_shard_key, sum(i.wanted) as wanted, count(*) as charges,
        min(m.idempotency_key) as idempotency_key
      from unnest(items) as i
      join unnest(made) with ordinality as m (
        shard_key, app_id, idempotency_key, tokens, bytes, charged, charged_at, place
      ) using (place)
      cross join lateral unnest(m.charged) as c
      join rate_limiter.app_facts as f on f.app_id = m.app_id
      where rate_limiter_internal.is_layer1(c.bucket_type)
        and rate_limiter_internal.is_bandwidth(c.bucket_type) = i.for_bytes
      group by
        c.shard_key, c.owner_id, c.bucket_type, c.mode, f.tenant_id, m.app_id, m.shard_key
    ) as d
    group by d.shard_key, d.owner_id, d.bucket_type, d.mode
    order by d.owner_id, d.bucket_type, d.mode
  loop
    before := rate_limiter_internal.lock_bucket(
      bucket.shard_key, at, bucket.owner_id, bucket.bucket_type, bucket.mode
    );
    if before.owner_id is null then
      perform rate_limiter_internal.require_buckets(
        bucket.app_shard_keys[1], bucket.app_ids[1], array[bucket.bucket_type]
      );
    end if;
    after := before;
    for place in 1 .. cardinality(bucket.app_ids) loop
      reserve := null;
      if before.headroom > 0 then
        reserve := rate_limiter_internal.lock_bucket(
          bucket.app_shard_keys[place], at, bucket.app_ids[place],
          case when rate_limiter_internal.is_bandwidth(bucket.bucket_type)
            then 'bandwidth_reserve' else 'iops_reserve' end::rate_limiter.bucket_type,
          'enforce'
        );
        if reserve.reserve_cluster_id is distinct from before.owner_id then
          reserve := null;
        end if;
      end if;
      draw := rate_limiter_internal.late_draw_at(
        bucket.app_shard_keys[place], at, bucket.app_ids[place], after, bucket.wanted[place],
        reserve
      );
      if draw.paid > 0 then
        perform rate_limiter_internal.write_buckets(
          at, 'owed', array[reserve],
          array[rate_limiter_internal.with_tokens(reserve, reserve.current_tokens - draw.paid)],
          null, null
        );
      end if;
      after.current_tokens := after.current_tokens - draw.due;
      if draw.due < bucket.wanted[place] or draw.paid > 0 then
        short_app_ids := short_app_ids || bucket.app_ids[place];
        short_charges := short_charges || row(
          bucket.shard_key, bucket.owner_id, bucket.bucket_type, bucket.mode, draw.due
        )::rate_limiter_internal.bucket_charge;
        short_paid := short_paid || draw.paid;
        short_paid_beyond := short_paid_beyond || draw.paid_beyond;
      end if;
    end loop;
    perform rate_limiter_internal.write_buckets(
      at, 'owed', array[before], array[after],
      case when bucket.charges = 1 then bucket.idempotency_key end,
      case when bucket.charges > 1 then jsonb_build_object('charges', bucket.charges) end
    );
  end loop;

  perform rate_limiter_internal.correct_owed(
    at, made, items, short_app_ids, short_charges, short_paid, short_paid_beyond
  );
end;
$$;

comment on function rate_limiter_internal.charge_layer1_owed(
  timestamptz, rate_limiter.late_charges[], rate_limiter_internal.late_item[],
  rate_limiter_internal.bucket_charge[]
) is
  'Gives locked layer-1 buckets back what is returned to them, and charges them what is owed of '
  'late charges that layer 2 was charged (charge_layer2_owed). Each bucket is written once, '
  'however many charges there are, because all applications of a cluster wait for it.';
--! EndIncluded rate_limiter_internal/settlement/charge_layer1_owed.sql
--! Included rate_limiter_internal/settlement/charge_owed_many_at.sql
create or replace function rate_limiter_internal.charge_owed_many_at(
  charges rate_limiter_internal.owed_charge[],
  at timestamptz
)
returns boolean[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  application record;
  recorded record;
  charged record;
begin
  for application in
    select distinct c.app_id, c.shard_key
    from unnest(charges) as c
    where c.shard_key is not null
    order by c.app_id
  loop
    perform rate_limiter_internal.lock_layer2_of(application.shard_key, application.app_id);
  end loop;
  recorded := rate_limiter_internal.record_owed_many(charges, coalesce(at, clock_timestamp()));
  -- All siblings wait for layer 1: it is locked when all else is done, and written once.
  charged := rate_limiter_internal.charge_layer2_owed(at, recorded.made, recorded.lowered);
  perform rate_limiter_internal.charge_layer1_owed(
    rate_limiter_internal.lock_layer1_owed(at, charged.made, charged.returned), charged.made,
    charged.items, charged.returned
  );
  return recorded.has_changed;
end;
$$;

comment on function rate_limiter_internal.charge_owed_many_at(
  rate_limiter_internal.owed_charge[], timestamptz
) is
  'charge_owed_many() at a moment of the caller''s choice, null for live: by the clock, once '
  'layer 2 is locked and again once layer 1 is.';
--! EndIncluded rate_limiter_internal/settlement/charge_owed_many_at.sql
--! Included rate_limiter/settlement/settle.sql
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
declare
  shard_key constant integer := rate_limiter_internal.app_shard_key(app_id);
  settlement rate_limiter.settlement;
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.follow_durability();
  settlement := rate_limiter_internal.settle_at(
    shard_key, null, app_id, reference_id, actual_size_bytes
  );
  if not settlement.settled then
    perform rate_limiter_internal.require_charge(shard_key, app_id, reference_id);
  end if;
  return settlement;
end;
$$;

comment on function rate_limiter.settle(uuid, text, bigint) is
  'Charges or gives back the difference once the actual size of an operation is known, by the '
  'cost rules of the moment it was admitted. Only the first call counts. Raises QS404 for a '
  'reference that was never charged, QS422 for a negative size.';
grant execute on function rate_limiter.settle(uuid, text, bigint)
  to rate_limiter_app;
--! EndIncluded rate_limiter/settlement/settle.sql
--! Included rate_limiter/settlement/refund.sql
create or replace function rate_limiter.refund(
  app_id uuid,
  reference_id text
)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  shard_key constant integer := rate_limiter_internal.app_shard_key(app_id);
  refunded boolean;
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.follow_durability();
  refunded := rate_limiter_internal.refund_at(
    shard_key, null, app_id, reference_id
  );
  if not refunded then
    perform rate_limiter_internal.require_charge(shard_key, app_id, reference_id);
  end if;
  return refunded;
end;
$$;

comment on function rate_limiter.refund(uuid, text) is
  'Gives back the whole charge of an operation; true for the first call, false for later ones. '
  'Raises QS404 for a reference that was never charged.';
grant execute on function rate_limiter.refund(uuid, text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/settlement/refund.sql
--! Included rate_limiter/settlement/charge_owed.sql
create or replace function rate_limiter.charge_owed(
  app_id uuid,
  tokens numeric,
  bytes numeric,
  idempotency_key text
)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  shard_key integer;
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.follow_durability();
  perform rate_limiter_internal.check_idempotency_keys(array[idempotency_key]);
  shard_key := rate_limiter_internal.required_shard_key(app_id);
  if tokens = 0 and bytes = 0 then
    raise exception using
      errcode = 'QS422',
      message = 'nothing is owed',
      hint = 'Hand in what was used beyond leases, and nothing where there is nothing.';
  end if;
  return rate_limiter_internal.charge_owed_at(
    shard_key, null, app_id, tokens, bytes, idempotency_key
  );
end;
$$;

comment on function rate_limiter.charge_owed(uuid, numeric, numeric, text) is
  'Charges an application what was used beyond its leases, whatever became of those: below zero if '
  'need be, as far as debt limits go; what is left is counted as uncharged. Charges once under a '
  'key: answers false where it did before. Raises QS404 for an unknown application, QS422 for an '
  'amount or a key out of bounds.';
grant execute on function rate_limiter.charge_owed(uuid, numeric, numeric, text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/settlement/charge_owed.sql
--! Included rate_limiter/settlement/charge_owed_many.sql
create or replace function rate_limiter.charge_owed_many(
  app_ids uuid[],
  tokens numeric[],
  bytes numeric[],
  idempotency_keys text[]
)
returns boolean[]
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  charge_count constant integer := coalesce(cardinality(app_ids), 0);
  charges rate_limiter_internal.owed_charge[];
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.follow_durability();
  if charge_count not between 1 and 1000
    or cardinality(tokens) is distinct from charge_count
    or cardinality(bytes) is distinct from charge_count
    or cardinality(idempotency_keys) is distinct from charge_count
    or not (
      rate_limiter_internal.is_list(app_ids)
      and rate_limiter_internal.is_list(tokens)
      and rate_limiter_internal.is_list(bytes)
      and rate_limiter_internal.is_list(idempotency_keys)
    )
  then
    raise exception using
      errcode = 'QS422',
      message = 'charges are not lists of one length',
      detail = format(
        'applications: %s, tokens: %s, bytes: %s, keys: %s',
        charge_count, cardinality(tokens), cardinality(bytes), cardinality(idempotency_keys)
      ),
      hint = 'Give 1 to 1000 applications, and for each the tokens, the bytes and a key.';
  end if;
  perform rate_limiter_internal.check_idempotency_keys(idempotency_keys);
  charges := array(
    select row(f.shard_key, c.app_id, c.tokens, c.bytes, c.key)::rate_limiter_internal.owed_charge
    from rows from (unnest(app_ids), unnest(tokens), unnest(bytes), unnest(idempotency_keys))
      with ordinality as c (app_id, tokens, bytes, key, place)
    left join rate_limiter.app_facts as f on f.app_id = c.app_id
    order by c.place
  );
  return rate_limiter_internal.charge_owed_many_at(charges, null);
end;
$$;

comment on function rate_limiter.charge_owed_many(uuid[], numeric[], numeric[], text[]) is
  'charge_owed() for many applications in one call, each place of the lists a charge. A key that '
  'charged before, with less than then, gives back the difference: what was announced and not '
  'used. Answers for each place whether it changed anything: false for a charge that is known, and '
  'for an application that is not. Raises QS422 for lists of different lengths or of more than '
  '1000, for a key or an amount out of bounds.';
grant execute on function rate_limiter.charge_owed_many(uuid[], numeric[], numeric[], text[])
  to rate_limiter_app;
--! EndIncluded rate_limiter/settlement/charge_owed_many.sql
--! Included rate_limiter/settlement/charges.policies.sql
-- Written by functions alone.
alter table rate_limiter.charges enable row level security;

drop policy if exists readable on rate_limiter.charges;
create policy readable on rate_limiter.charges
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

drop policy if exists monitored on rate_limiter.charges;
create policy monitored on rate_limiter.charges
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/settlement/charges.policies.sql
--! Included rate_limiter/settlement/late_charges.policies.sql
-- Written by functions alone.
alter table rate_limiter.late_charges enable row level security;

drop policy if exists readable on rate_limiter.late_charges;
create policy readable on rate_limiter.late_charges
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

drop policy if exists monitored on rate_limiter.late_charges;
create policy monitored on rate_limiter.late_charges
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/settlement/late_charges.policies.sql
--! Included rate_limiter/settlement/uncharged_counts.policies.sql
-- Written by functions alone.
alter table rate_limiter.uncharged_counts enable row level security;

drop policy if exists readable on rate_limiter.uncharged_counts;
create policy readable on rate_limiter.uncharged_counts
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

drop policy if exists monitored on rate_limiter.uncharged_counts;
create policy monitored on rate_limiter.uncharged_counts
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/settlement/uncharged_counts.policies.sql
--! Included rate_limiter/settlement/charges.grants.sql
revoke all on rate_limiter.charges
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.charges to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/settlement/charges.grants.sql
--! Included rate_limiter/settlement/late_charges.grants.sql
revoke all on rate_limiter.late_charges
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.late_charges to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/settlement/late_charges.grants.sql
--! Included rate_limiter/settlement/uncharged_counts.grants.sql
revoke all on rate_limiter.uncharged_counts
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.uncharged_counts to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/settlement/uncharged_counts.grants.sql
