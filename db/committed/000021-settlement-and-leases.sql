--! Previous: sha1:d4675cff53224d81af5a3d01ce71b2ae1c7c35f1
--! Hash: sha1:fbe9ae36e788248166fbc9a9cc2b06626280d1b5
--! Message: settlement and leases

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
  refill numeric;
  is_layer1 boolean;
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
    if is_layer1 and offered < least(wanted, share_rate * 0.1) then
      -- It asks again when it has earned a tenth of a second of its share.
      retry_after_ms := greatest(
        retry_after_ms,
        ceil(1000 * (least(wanted, share_rate * 0.1) - offered) / share_rate)
      );
    end if;
    if offered < wanted and (allowance is null or not is_layer1) then
      is_never := is_never or most < wanted;
      retry_after_ms := case when not is_never then greatest(
        retry_after_ms,
        rate_limiter_internal.offer_wait_ms(
          at, bucket, kept, case when bucket.headroom > 0 then reserve end, wanted
        )
      ) end;
    end if;
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
--! Included rate_limiter/leases/lease_tokens.sql
create or replace function rate_limiter.lease_tokens(
  app_id uuid,
  tokens numeric,
  bytes numeric,
  lifetime interval default null,
  holder text default null,
  denials jsonb default null,
  lease_id uuid default null
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
  perform rate_limiter_internal.record_denials(shard_key, app_id, denials);
  return rate_limiter_internal.lease_tokens_at(
    shard_key, null, app_id, tokens, bytes, lifetime, holder, lease_id
  );
end;
$$;

comment on function rate_limiter.lease_tokens(
  uuid, numeric, numeric, interval, text, jsonb, uuid
) is
  'Takes up to that many tokens and bytes out of the buckets of both layers for the holder to '
  'spend in its memory: ask for what you spend in a lifetime (null: setting lease_seconds). '
  'Never below a min_reserve, never more than lease_max_share of a capacity. denials: counts '
  'that the caller kept. lease_id: the id that the lease gets; where a call whose answer was lost '
  'was granted under it, the same lease, with the lifetime that it has left. Raises QS404, QS403 '
  'as consume(), QS422 for amounts, a lifetime or a holder out of bounds, QS409 or QS410 where '
  'the lease of that id is over.';
grant execute on function rate_limiter.lease_tokens(
  uuid, numeric, numeric, interval, text, jsonb, uuid
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
  next_lease_id uuid default null
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
  perform rate_limiter_internal.record_denials(shard_key, app_id, denials);
  return rate_limiter_internal.renew_lease_at(
    shard_key, null, app_id, lease_id, spent_tokens, spent_bytes, tokens, bytes, lifetime, holder,
    owed_tokens, owed_bytes, next_lease_id
  );
end;
$$;

comment on function rate_limiter.renew_lease(
  uuid, uuid, numeric, numeric, numeric, numeric, interval, text, jsonb, numeric, numeric, uuid
) is
  'Settles a lease, as settle_lease() does, and takes the next in one round trip. A lease that is '
  'unknown, settled or expired counts as spent; what is owed is charged all the same, once: only '
  'what exceeds what came with the same lease before. next_lease_id: lease_id of lease_tokens(). '
  'Raises what lease_tokens() raises, and QS422 where more was spent than leased.';
grant execute on function rate_limiter.renew_lease(
  uuid, uuid, numeric, numeric, numeric, numeric, interval, text, jsonb, numeric, numeric, uuid
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
  owed_bytes numeric default 0
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
  perform rate_limiter_internal.record_denials(shard_key, app_id, denials);
  return rate_limiter_internal.settle_lease_at(
    shard_key, null, app_id, lease_id, spent_tokens, spent_bytes, owed_tokens, owed_bytes
  );
end;
$$;

comment on function rate_limiter.settle_lease(
  uuid, uuid, numeric, numeric, jsonb, numeric, numeric
) is
  'Ends a lease and answers what was not spent of it. That is given back, less what is owed: used '
  'beyond the lease, it is charged to the buckets the lease was taken from, below zero if need be. '
  'Raises QS404 for an unknown lease or another application''s, QS409 for a settled and QS410 for '
  'an expired one, QS422 where more was spent than leased.';
grant execute on function rate_limiter.settle_lease(
  uuid, uuid, numeric, numeric, jsonb, numeric, numeric
)
  to rate_limiter_app;
--! EndIncluded rate_limiter/leases/settle_lease.sql
--! Included rate_limiter_internal/leases/standing_at.sql
create or replace function rate_limiter_internal.standing_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  tokens numeric,
  bytes numeric,
  out remaining numeric,
  out remaining_bytes numeric,
  out short_of rate_limiter.bucket_type
)
language plpgsql
stable
parallel safe
as $$
declare
  cluster_id uuid;
  bucket rate_limiter.token_buckets;
  lacking numeric;
begin
  select f.cluster_id into cluster_id
  from rate_limiter.app_facts as f
  where f.shard_key = standing_at.shard_key
    and f.app_id = standing_at.app_id;
  foreach bucket in array rate_limiter_internal.buckets_at(shard_key, at, app_id, cluster_id) loop
    continue when bucket.mode = 'shadow' or bucket.reserve_cluster_id is not null;
    if bucket.bucket_type = 'iops_l2' then
      remaining := bucket.current_tokens;
    elsif bucket.bucket_type = 'bandwidth_l2' then
      remaining_bytes := bucket.current_tokens;
    end if;
    lacking := case when rate_limiter_internal.is_bandwidth(bucket.bucket_type) then bytes
      else tokens end;
    if bucket.current_tokens - coalesce(bucket.headroom, 0) < lacking then
      short_of := least(short_of, bucket.bucket_type);
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.standing_at(
  integer, timestamptz, uuid, numeric, numeric
) is
  'What the buckets of layer 2 of an application hold, null for none, and the first of those that '
  'it draws on which does not hold so many tokens or bytes, in the order in which a denial names '
  'them.';
--! EndIncluded rate_limiter_internal/leases/standing_at.sql
--! Included rate_limiter_internal/leases/lock_exchange.sql
create or replace function rate_limiter_internal.lock_exchange(
  renewals rate_limiter_internal.lease_renewal[],
  settlements rate_limiter_internal.lease_end[],
  charges rate_limiter_internal.owed_charge[],
  waits boolean
)
returns uuid[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  busy_app_ids uuid[] := '{}';
  item record;
begin
  for item in
    select i.shard_key, i.app_id, i.lease_id, bool_or(i.is_renewal) as is_renewal
    from (
      select r.shard_key, r.app_id, r.lease_id, true as is_renewal
      from unnest(renewals) as r
      union all
      select s.shard_key, s.app_id, s.lease_id, false
      from unnest(settlements) as s
    ) as i
    where i.lease_id is not null and i.shard_key is not null
    group by i.shard_key, i.app_id, i.lease_id
    order by i.app_id, i.lease_id
  loop
    if waits or not item.is_renewal then
      perform from rate_limiter.token_leases as l
      where l.shard_key = item.shard_key
        and l.app_id = item.app_id
        and l.lease_id = item.lease_id
      for update;
    elsif exists (
      select from rate_limiter.token_leases as l
      where l.shard_key = item.shard_key
        and l.app_id = item.app_id
        and l.lease_id = item.lease_id
        and not exists (
          select from rate_limiter.token_leases as f
          where f.shard_key = l.shard_key and f.app_id = l.app_id and f.lease_id = l.lease_id
          for update skip locked
        )
    ) then
      busy_app_ids := busy_app_ids || item.app_id;
    end if;
  end loop;

  for item in
    select
      i.shard_key, i.app_id, bool_and(i.is_settlement) as is_settlement,
      bool_or(i.is_charge) as is_charge
    from (
      select r.shard_key, r.app_id, false as is_settlement, false as is_charge
      from unnest(renewals) as r
      union all
      select c.shard_key, c.app_id, false, true
      from unnest(charges) as c
      union all
      select s.shard_key, s.app_id, true, false
      from unnest(settlements) as s
    ) as i
    where i.shard_key is not null and i.app_id <> all (busy_app_ids)
    group by i.shard_key, i.app_id
    order by i.app_id
  loop
    -- An application whose buckets another transaction holds makes no other one wait.
    if not waits and not item.is_settlement and exists (
      select from rate_limiter.token_buckets as b
      where b.shard_key = item.shard_key
        and b.owner_id = item.app_id
        and rate_limiter_internal.lock_rank(b.bucket_type) = 1
        and not exists (
          select from rate_limiter.token_buckets as f
          where f.shard_key = b.shard_key
            and f.owner_id = b.owner_id
            and f.bucket_type = b.bucket_type
            and f.mode = b.mode
          for update skip locked
        )
    ) then
      busy_app_ids := busy_app_ids || item.app_id;
    else
      perform rate_limiter_internal.lock_layer2_of(item.shard_key, item.app_id);
      -- What is owed is charged alone then, which raises what is wrong.
      if item.is_charge
        and not rate_limiter_internal.has_its_buckets(item.shard_key, item.app_id)
      then
        busy_app_ids := busy_app_ids || item.app_id;
      end if;
    end if;
  end loop;
  return busy_app_ids;
end;
$$;

comment on function rate_limiter_internal.lock_exchange(
  rate_limiter_internal.lease_renewal[], rate_limiter_internal.lease_end[],
  rate_limiter_internal.owed_charge[], boolean
) is
  'Locks the leases and the layer-2 buckets of an exchange, in the one order that cannot deadlock. '
  'Answers the applications that are busy: unless waits, those with renewals or charges of which '
  'another transaction holds a lease or a bucket, and always those with charges that lack a '
  'bucket, or have moved.';
--! EndIncluded rate_limiter_internal/leases/lock_exchange.sql
--! Included rate_limiter_internal/leases/settle_lease_layer2.sql
create or replace function rate_limiter_internal.settle_lease_layer2(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric,
  out returned rate_limiter_internal.bucket_charge[],
  out released rate_limiter_internal.bucket_charge[]
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  lease constant rate_limiter.token_leases := rate_limiter_internal.end_lease(
    shard_key, at, app_id, lease_id, spent_tokens, spent_bytes
  );
  given rate_limiter_internal.bucket_charge[];
begin
  released := case when lease.revoked_at is null then lease.charged else '{}' end;
  returned := '{}';
  for kind in 1 .. 2 loop
    given := rate_limiter_internal.share_of_charges(
      lease.charged, kind = 2,
      case kind when 1 then lease.tokens - spent_tokens else lease.bytes - spent_bytes end
    );
    returned := returned || rate_limiter_internal.credit_layer2(
      at, given, null, jsonb_build_object('lease', lease_id)
    );
  end loop;
end;
$$;

comment on function rate_limiter_internal.settle_lease_layer2(
  integer, timestamptz, uuid, uuid, numeric, numeric
) is
  'settle_lease() of a lease whose layer-2 buckets the caller has locked, as far as layer 2 goes. '
  'Answers what layer 1 and reserves are to get back (returned), and what layer 1 counts as leased '
  'no more (released).';
--! EndIncluded rate_limiter_internal/leases/settle_lease_layer2.sql
--! Included rate_limiter_internal/leases/settle_layer2_exchanged.sql
create or replace function rate_limiter_internal.settle_layer2_exchanged(
  settlements rate_limiter_internal.lease_end[],
  at timestamptz,
  out returned rate_limiter_internal.bucket_charge[],
  out released rate_limiter_internal.bucket_charge[]
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  item rate_limiter_internal.lease_end;
  settled record;
begin
  returned := '{}';
  released := '{}';
  foreach item in array settlements loop
    begin
      perform rate_limiter_internal.record_denials(item.shard_key, item.app_id, item.denials);
      if item.lease_id is not null then
        settled := rate_limiter_internal.settle_lease_layer2(
          item.shard_key, at, item.app_id, item.lease_id, item.spent_tokens, item.spent_bytes
        );
        returned := returned || settled.returned;
        released := released || settled.released;
      end if;
    exception
      when sqlstate 'QS404' or sqlstate 'QS409' or sqlstate 'QS410' or sqlstate 'QS422' then
        -- It counts as spent.
        continue;
    end;
  end loop;
end;
$$;

comment on function rate_limiter_internal.settle_layer2_exchanged(
  rate_limiter_internal.lease_end[], timestamptz
) is
  'The settlements of exchange_leases(), as far as layer 2 goes: see settle_lease_layer2.';
--! EndIncluded rate_limiter_internal/leases/settle_layer2_exchanged.sql
--! Included rate_limiter_internal/leases/shares_leases.sql
create or replace function rate_limiter_internal.shares_leases(
  renewals rate_limiter_internal.lease_renewal[],
  at timestamptz
)
returns boolean
language plpgsql
stable
parallel safe
as $$
declare
  cluster record;
begin
  for cluster in
    select distinct f.shard_key, f.cluster_id
    from unnest(renewals) as r
    join rate_limiter.app_facts as f on f.shard_key = r.shard_key and f.app_id = r.app_id
    where f.cluster_id is not null
  loop
    if rate_limiter_internal.is_layer1_short(
      rate_limiter_internal.buckets_at(cluster.shard_key, at, null, cluster.cluster_id)
    ) then
      return true;
    end if;
  end loop;
  return false;
end;
$$;

comment on function rate_limiter_internal.shares_leases(
  rate_limiter_internal.lease_renewal[], timestamptz
) is 'Whether renewals are of a cluster whose layer 1 is short, so that its leases share it.';
--! EndIncluded rate_limiter_internal/leases/shares_leases.sql
--! Included rate_limiter_internal/leases/renew_lease_layer2.sql
create or replace function rate_limiter_internal.renew_lease_layer2(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric,
  tokens numeric,
  bytes numeric,
  lifetime interval,
  holder text,
  next_lease_id uuid,
  out lease rate_limiter.lease_grant,
  out returned rate_limiter_internal.bucket_charge[],
  out released rate_limiter_internal.bucket_charge[],
  out drawn rate_limiter_internal.bucket_charge[],
  out asked rate_limiter_internal.bucket_charge[]
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  open_lease rate_limiter.token_leases;
  admission record;
  settled record;
  buckets rate_limiter.token_buckets[];
  layer1 rate_limiter.token_buckets[];
  proposed record;
  repeated rate_limiter.lease_grant;
begin
  returned := '{}';
  released := '{}';
  drawn := '{}';
  asked := '{}';
  perform rate_limiter_internal.check_amount(tokens, 'tokens');
  perform rate_limiter_internal.check_amount(bytes, 'bytes');
  open_lease := rate_limiter_internal.lock_spent_lease(
    shard_key, app_id, lease_id, spent_tokens, spent_bytes
  );
  admission := rate_limiter_internal.admission_of(shard_key, at, app_id);

  -- One that is over, or was lost with a server, gives nothing back.
  if open_lease.settled_at is null and open_lease.expires_at > at then
    settled := rate_limiter_internal.settle_lease_layer2(
      shard_key, at, app_id, lease_id, spent_tokens, spent_bytes
    );
    returned := settled.returned;
    released := settled.released;
  end if;
  buckets := rate_limiter_internal.lock_layer2(shard_key, at, app_id);
  perform rate_limiter_internal.heal_buckets(buckets, tokens > 0, bytes > 0);
  layer1 := array(
    select b::rate_limiter.token_buckets
    from unnest(rate_limiter_internal.buckets_at(
      shard_key, at, app_id, admission.cluster_id, admission.expected
    )) as b
    where rate_limiter_internal.lock_rank(b.bucket_type) > 1
  );
  proposed := rate_limiter_internal.propose_lease(
    shard_key, at, app_id, admission.cluster_id,
    buckets || rate_limiter_internal.with_full_layer1(layer1), tokens, bytes, lifetime, holder
  );
  lease := proposed.lease;
  if lease.retry_after_ms is distinct from 0 then
    -- What layer 2 cannot give may have to wait longer for layer 1, as it stands.
    lease.retry_after_ms := (rate_limiter_internal.propose_lease(
      shard_key, at, app_id, admission.cluster_id, buckets || layer1, tokens, bytes, lifetime,
      holder
    )).lease.retry_after_ms;
  end if;
  if next_lease_id is not null then
    if not rate_limiter_internal.has_layer2(buckets) then
      perform rate_limiter_internal.hold_application(shard_key, app_id);
    end if;
    repeated := rate_limiter_internal.repeat_grant(
      shard_key, at, app_id, next_lease_id, lease
    );
    if repeated.lease_id is not null then
      lease := repeated;
      return;
    end if;
  end if;
  if lease.tokens = 0 and lease.bytes = 0 then
    return;
  end if;
  lease.lease_id := next_lease_id;
  lease.lease_id := rate_limiter_internal.write_lease(
    shard_key, at, app_id, admission.cluster_id, buckets, lease, proposed.charged, holder
  );
  drawn := array(
    select c::rate_limiter_internal.bucket_charge
    from unnest(proposed.charged) as c
    where c.tokens > 0 and rate_limiter_internal.lock_rank(c.bucket_type) > 1
  );
  if exists (
    select from unnest(drawn) as d where rate_limiter_internal.lock_rank(d.bucket_type) = 3
  ) then
    perform rate_limiter_internal.decide_under_layer1();
  end if;
  asked := array(
    select row(
      d.shard_key, d.owner_id, d.bucket_type, d.mode,
      case when rate_limiter_internal.is_bandwidth(d.bucket_type) then renew_lease_layer2.bytes
        else renew_lease_layer2.tokens end
    )::rate_limiter_internal.bucket_charge
    from unnest(drawn) as d
  );
end;
$$;

comment on function rate_limiter_internal.renew_lease_layer2(
  integer, timestamptz, uuid, uuid, numeric, numeric, numeric, numeric, interval, text, uuid
) is
  'renew_lease(), or lease_tokens() where lease_id is null, of an application whose layer-2 '
  'buckets the caller has locked, as if layer 1 were full (with_full_layer1). Answers what the '
  'lease that ends gives back to layer 1 (returned, released: see settle_lease_layer2), and what '
  'the next takes of it (drawn) and asked for (asked): see draw_layer1_for.';
--! EndIncluded rate_limiter_internal/leases/renew_lease_layer2.sql
--! Included rate_limiter_internal/leases/grant_as_json.sql
create or replace function rate_limiter_internal.grant_as_json(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  tokens numeric,
  bytes numeric,
  lease rate_limiter.lease_grant
)
returns jsonb
language plpgsql
stable
parallel safe
as $$
declare
  standing record;
begin
  standing := rate_limiter_internal.standing_at(
    shard_key, at, app_id, tokens - lease.tokens, bytes - lease.bytes
  );
  -- Numbers as text: they can have more digits than a double.
  return jsonb_strip_nulls(jsonb_build_object(
    'app_id', app_id,
    'lease_id', lease.lease_id,
    'tokens', lease.tokens::text,
    'bytes', lease.bytes::text,
    'lifetime_ms', lease.lifetime_ms::text,
    'retry_after_ms', lease.retry_after_ms::text,
    'holders', lease.holders::text,
    'is_limited_tokens', lease.is_limited_tokens,
    'is_limited_bytes', lease.is_limited_bytes,
    'remaining', standing.remaining::text,
    'remaining_bytes', standing.remaining_bytes::text,
    'short_of', case
      when lease.tokens < tokens and lease.is_limited_tokens
        or lease.bytes < bytes and lease.is_limited_bytes
      then standing.short_of
    end
  ));
end;
$$;

comment on function rate_limiter_internal.grant_as_json(
  integer, timestamptz, uuid, numeric, numeric, rate_limiter.lease_grant
) is
  'A grant of exchange_leases() as it is answered, with what the application''s buckets hold, and '
  'which of them was short of what was asked.';
--! EndIncluded rate_limiter_internal/leases/grant_as_json.sql
--! Included rate_limiter_internal/leases/renew_exchanged.sql
create or replace function rate_limiter_internal.renew_exchanged(
  renewals rate_limiter_internal.lease_renewal[],
  at timestamptz,
  busy_app_ids uuid[],
  lifetime interval,
  holder text,
  is_layer1_locked boolean,
  most integer default null,
  out answers jsonb,
  out returned rate_limiter_internal.bucket_charge[],
  out released rate_limiter_internal.bucket_charge[],
  out drawn rate_limiter_internal.bucket_charge[],
  out asked rate_limiter_internal.bucket_charge[]
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  tried integer := 0;
  item rate_limiter_internal.lease_renewal;
  renewed record;
  lease rate_limiter.lease_grant;
begin
  answers := '[]';
  returned := '{}';
  released := '{}';
  drawn := '{}';
  asked := '{}';
  foreach item in array renewals loop
    if item.app_id = any (busy_app_ids) or tried >= most then
      answers := answers || jsonb_build_object('app_id', item.app_id, 'is_busy', true);
      continue;
    end if;
    tried := tried + 1;
    begin
      perform rate_limiter_internal.record_denials(item.shard_key, item.app_id, item.denials);
      if not is_layer1_locked then
        renewed := rate_limiter_internal.renew_lease_layer2(
          item.shard_key, at, item.app_id, item.lease_id, item.spent_tokens, item.spent_bytes,
          item.tokens,
          item.bytes, lifetime, holder, item.next_lease_id
        );
        lease := renewed.lease;
        returned := returned || renewed.returned;
        released := released || renewed.released;
        drawn := drawn || renewed.drawn;
        asked := asked || renewed.asked;
      elsif item.lease_id is null then
        lease := rate_limiter_internal.lease_tokens_at(
          item.shard_key, at, item.app_id, item.tokens, item.bytes, lifetime, holder,
          item.next_lease_id
        );
      else
        lease := rate_limiter_internal.renew_lease_at(
          item.shard_key, at, item.app_id, item.lease_id, item.spent_tokens, item.spent_bytes,
          item.tokens,
          item.bytes, lifetime, holder, next_lease_id => item.next_lease_id
        );
      end if;
      answers := answers || rate_limiter_internal.grant_as_json(
        item.shard_key, at, item.app_id, item.tokens, item.bytes, lease
      );
    exception
      when sqlstate 'QS403' or sqlstate 'QS404' or sqlstate 'QS409' or sqlstate 'QS410'
        or sqlstate 'QS422'
      then
        answers := answers || jsonb_build_object(
          'app_id', item.app_id, 'code', sqlstate, 'message', sqlerrm
        );
    end;
  end loop;
end;
$$;

comment on function rate_limiter_internal.renew_exchanged(
  rate_limiter_internal.lease_renewal[], timestamptz, uuid[], interval, text, boolean, integer
) is
  'The renewals of exchange_leases() and their answers: as far as layer 2 goes (see '
  'renew_lease_layer2), or all of it, where layer 1 is locked. Those after so many (most) are '
  'busy.';
--! EndIncluded rate_limiter_internal/leases/renew_exchanged.sql
--! Included rate_limiter_internal/leases/layer1_of_exchange.sql
create or replace function rate_limiter_internal.layer1_of_exchange(
  renewals rate_limiter_internal.lease_renewal[]
)
returns rate_limiter_internal.bucket_charge[]
language plpgsql
stable
parallel safe
as $$
declare
  owners rate_limiter_internal.bucket_charge[];
begin
  -- The applications, for their reserves, and the clusters that they are on and were on.
  owners := array(
    select row(r.shard_key, r.app_id, null, null, 0)::rate_limiter_internal.bucket_charge
    from unnest(renewals) as r
    union all
    select row(f.shard_key, f.cluster_id, null, null, 0)::rate_limiter_internal.bucket_charge
    from unnest(renewals) as r
    join rate_limiter.app_facts as f on f.shard_key = r.shard_key and f.app_id = r.app_id
  );
  owners := owners || array(
    select row(c.shard_key, c.owner_id, null, null, 0)::rate_limiter_internal.bucket_charge
    from unnest(renewals) as r
    join rate_limiter.token_leases as l
      on l.shard_key = r.shard_key and l.app_id = r.app_id and l.lease_id = r.lease_id
    cross join lateral unnest(l.charged) as c
  );
  return array(
    select row(
      b.shard_key, b.owner_id, b.bucket_type, b.mode, 0
    )::rate_limiter_internal.bucket_charge
    from (select distinct o.shard_key, o.owner_id from unnest(owners) as o) as o
    join rate_limiter.token_buckets as b on b.shard_key = o.shard_key and b.owner_id = o.owner_id
    where rate_limiter_internal.lock_rank(b.bucket_type) > 1
  );
end;
$$;

comment on function rate_limiter_internal.layer1_of_exchange(
  rate_limiter_internal.lease_renewal[]
) is
  'The layer-1 buckets and reserves that renewals of leases may touch, of clusters which their '
  'applications have left, too.';
--! EndIncluded rate_limiter_internal/leases/layer1_of_exchange.sql
--! Included rate_limiter_internal/leases/exchange_leases_at.sql
create or replace function rate_limiter_internal.exchange_leases_at(
  renewals rate_limiter_internal.lease_renewal[],
  settlements rate_limiter_internal.lease_end[],
  charges rate_limiter_internal.owed_charge[],
  at timestamptz,
  lifetime interval default null,
  holder text default null,
  waits boolean default true
)
returns jsonb
language plpgsql
volatile
parallel unsafe
as $$
declare
  most_under_layer1 constant integer := 16;
  busy_app_ids uuid[];
  moment timestamptz;
  layer1 rate_limiter_internal.bucket_charge[];
  recorded record;
  owed record;
  settled record;
  renewed record;
  answers jsonb;
begin
  busy_app_ids := rate_limiter_internal.lock_exchange(renewals, settlements, charges, waits);
  moment := coalesce(at, clock_timestamp());
  select coalesce(jsonb_agg(
    jsonb_build_object('app_id', c.app_id, 'key', c.key, 'is_busy', true)
  ), '[]') into answers
  from unnest(charges) as c
  where c.app_id = any (busy_app_ids);

  -- All siblings wait for layer 1: it is locked when all else is done.
  recorded := rate_limiter_internal.record_owed_many(
    array(
      select c::rate_limiter_internal.owed_charge
      from unnest(charges) as c
      where c.app_id <> all (busy_app_ids)
    ),
    moment
  );
  owed := rate_limiter_internal.charge_layer2_owed(moment, recorded.made, recorded.lowered);
  settled := rate_limiter_internal.settle_layer2_exchanged(settlements, moment);
  if not rate_limiter_internal.shares_leases(renewals, moment) then
    begin
      renewed := rate_limiter_internal.renew_exchanged(
        renewals, moment, busy_app_ids, lifetime, holder, false
      );
      moment := rate_limiter_internal.lock_layer1_owed(
        at, owed.made,
        owed.returned || settled.returned || renewed.returned || renewed.drawn
          || settled.released || renewed.released
      );
      perform rate_limiter_internal.charge_layer1_owed(
        moment, owed.made, owed.items, owed.returned || settled.returned || renewed.returned
      );
      perform rate_limiter_internal.release_leased(settled.released || renewed.released);
      perform rate_limiter_internal.draw_layer1_for(
        moment, 'lease', renewed.drawn, renewed.asked
      );
      return answers || renewed.answers;
    exception
      when sqlstate 'QS425' then
        null;
    end;
  end if;

  -- Where each lease depends on what the one before it left in layer 1, a few are renewed under
  -- its lock, and the others come alone.
  layer1 := rate_limiter_internal.layer1_of_exchange(array(
    select row(
      r.shard_key, r.app_id, r.lease_id, r.spent_tokens, r.spent_bytes, r.tokens, r.bytes,
      r.denials, r.next_lease_id
    )::rate_limiter_internal.lease_renewal
    from unnest(renewals) with ordinality as r
    where r.app_id <> all (busy_app_ids)
    order by r.ordinality
    limit most_under_layer1
  ));
  moment := rate_limiter_internal.lock_layer1_owed(
    at, owed.made, layer1 || owed.returned || settled.returned || settled.released
  );
  perform rate_limiter_internal.charge_layer1_owed(
    moment, owed.made, owed.items, owed.returned || settled.returned
  );
  perform rate_limiter_internal.release_leased(settled.released);
  renewed := rate_limiter_internal.renew_exchanged(
    renewals, moment, busy_app_ids, lifetime, holder, true, most_under_layer1
  );
  return answers || renewed.answers;
end;
$$;

comment on function rate_limiter_internal.exchange_leases_at(
  rate_limiter_internal.lease_renewal[], rate_limiter_internal.lease_end[],
  rate_limiter_internal.owed_charge[], timestamptz, interval, text, boolean
) is
  'exchange_leases() at a moment of the caller''s choice, null for live: by the clock, once layer '
  '2 is locked and again once layer 1 is.';
--! EndIncluded rate_limiter_internal/leases/exchange_leases_at.sql
--! Included rate_limiter/leases/exchange_leases.sql
create or replace function rate_limiter.exchange_leases(
  renewals jsonb,
  settlements jsonb,
  charges jsonb,
  lifetime interval default null,
  holder text default null,
  waits boolean default true
)
returns jsonb
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  asked rate_limiter_internal.lease_renewal[];
  ending rate_limiter_internal.lease_end[];
  owed rate_limiter_internal.owed_charge[];
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.follow_durability();
  if jsonb_typeof(renewals) is distinct from 'array'
    or jsonb_typeof(settlements) is distinct from 'array'
    or jsonb_typeof(charges) is distinct from 'array'
    or jsonb_array_length(renewals || settlements || charges) not between 1 and 1000
    or jsonb_path_exists(renewals || settlements || charges, '$[*] ? (@.type() <> "object")')
  then
    raise exception using
      errcode = 'QS422',
      message = 'exchange is not of 1 to 1000 entries',
      detail = format('renewals: %s', jsonb_typeof(renewals)),
      hint = 'Give three JSON arrays of objects, and split larger exchanges: other decisions wait '
        'for them.';
  end if;
  if exists (
    select
    from jsonb_to_recordset(renewals) as r (app_id uuid)
    group by r.app_id
    having count(*) > 8
  ) then
    raise exception using
      errcode = 'QS422',
      message = 'exchange names an application too often',
      detail = format('renewals: %s', jsonb_array_length(renewals)),
      hint = 'Renew at most 8 leases of an application in one exchange: others wait for it.';
  end if;
  if exists (
    select
    from jsonb_to_recordset(renewals) as r (next_lease_id uuid)
    where r.next_lease_id is not null
    group by r.next_lease_id
    having count(*) > 1
  ) then
    raise exception using
      errcode = 'QS422',
      message = 'exchange names a lease twice',
      detail = format('renewals: %s', jsonb_array_length(renewals)),
      hint = 'Each renewal needs a next_lease_id of its own: an id is one lease.';
  end if;
  perform rate_limiter_internal.check_holder(holder);
  perform rate_limiter_internal.check_idempotency_keys(
    array(select c.key from jsonb_to_recordset(charges) as c (key text))
  );
  asked := array(
    select row(
      f.shard_key, r.app_id, r.lease_id, r.spent_tokens, r.spent_bytes, r.tokens, r.bytes,
      r.denials, r.next_lease_id
    )::rate_limiter_internal.lease_renewal
    from rows from (
      jsonb_to_recordset(renewals) as (
        app_id uuid, lease_id uuid, spent_tokens numeric, spent_bytes numeric, tokens numeric,
        bytes numeric, denials jsonb, next_lease_id uuid
      )
    ) with ordinality as r
    left join rate_limiter.app_facts as f on f.app_id = r.app_id
    order by r.ordinality
  );
  ending := array(
    select row(
      f.shard_key, s.app_id, s.lease_id, s.spent_tokens, s.spent_bytes, s.denials
    )::rate_limiter_internal.lease_end
    from rows from (
      jsonb_to_recordset(settlements) as (
        app_id uuid, lease_id uuid, spent_tokens numeric, spent_bytes numeric, denials jsonb
      )
    ) with ordinality as s
    left join rate_limiter.app_facts as f on f.app_id = s.app_id
    order by s.ordinality
  );
  owed := array(
    select row(f.shard_key, c.app_id, c.tokens, c.bytes, c.key)::rate_limiter_internal.owed_charge
    from rows from (
      jsonb_to_recordset(charges) as (app_id uuid, tokens numeric, bytes numeric, key text)
    ) with ordinality as c
    left join rate_limiter.app_facts as f on f.app_id = c.app_id
    order by c.ordinality
  );
  return rate_limiter_internal.exchange_leases_at(
    asked, ending, owed, null, lifetime, holder, waits
  );
end;
$$;

comment on function rate_limiter.exchange_leases(
  jsonb, jsonb, jsonb, interval, text, boolean
) is
  'All that a holder of many applications'' leases has to say, in one call: charges of what is '
  'owed ({app_id, tokens, bytes, key}, as charge_owed_many()), leases that end ({app_id, '
  'lease_id, spent_tokens, spent_bytes, denials}, as settle_lease(); one that is over counts as '
  'spent) and renewals ({app_id, lease_id, spent_tokens, spent_bytes, tokens, bytes, denials, '
  'next_lease_id}, as renew_lease(), or as lease_tokens() without lease_id). Answers the grants '
  'in their order, each with app_id, what the application''s buckets hold (remaining, '
  'remaining_bytes) and the bucket that was short (short_of); code and message where it was '
  'refused; is_busy, unless waits, where another transaction holds the application''s buckets, '
  'with key for a charge that was not made then: ask for it alone. Raises QS422 for more than 8 '
  'renewals of an application, a next_lease_id that is there twice, and for anything else.';
grant execute on function rate_limiter.exchange_leases(
  jsonb, jsonb, jsonb, interval, text, boolean
)
  to rate_limiter_app;
--! EndIncluded rate_limiter/leases/exchange_leases.sql
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
