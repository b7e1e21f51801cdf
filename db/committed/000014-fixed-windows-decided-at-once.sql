--! Previous: sha1:c29bbe0f0e08acd4651c1119fc99dc74c4fc5976
--! Hash: sha1:dedaca1b58a53d913824fe6981f6dfa6c4cbd114
--! Message: fixed windows decided at once

-- The migration being written.
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
declare
  owner uuid;
  bucket rate_limiter.token_buckets;
  buckets rate_limiter.token_buckets[] := '{}';
begin
  -- A query for each owner, because a lock is taken when a row is fetched: layer 2 first.
  foreach owner in array array_remove(array[app_id, cluster_id], null) loop
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

comment on function rate_limiter_internal.lock_buckets(timestamptz, uuid, uuid) is
  'Like buckets_at, and locks the buckets until the end of the transaction: layer 2 first, '
  'which is also the order they are returned in.';
--! EndIncluded rate_limiter_internal/functions/lock_buckets.sql
--! Included rate_limiter_internal/functions/consume_by_draw.sql
create or replace function rate_limiter_internal.consume_by_draw(
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  cost numeric,
  bytes numeric,
  out decision rate_limiter.decision,
  out lost_race boolean
)
language plpgsql
volatile
parallel unsafe
as $$
-- As flat as consume_at, and for the same reason.
declare
  iops record;
  bandwidth record;
  shared_iops record;
  shared_bandwidth record;
  allotment_ms integer;
  iops_left numeric;
  bytes_left numeric;
  -- Drawn from layer 1, beyond what is needed of it now; null where nothing is drawn.
  iops_ahead numeric;
  bytes_ahead numeric;
  iops_drawn numeric;
begin
  lost_race := false;

  select
    b.ledger_seq, b.terms_until, b.current_tokens, b.capacity, b.refill_rate,
    b.calculation_method, b.last_refill_at, b.allotment_expires_at,
    case when b.allotment_expires_at > at then b.allotment else 0 end as allotment,
    rate_limiter_internal.refill(
      b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
      b.burst_duration_seconds, b.last_refill_at, at
    ) as refilled
  into iops
  from rate_limiter.token_buckets as b
  where b.owner_id = app_id and b.bucket_type = 'iops_l2' and b.mode = 'enforce';

  select
    b.ledger_seq, b.terms_until, b.current_tokens, b.capacity, b.refill_rate,
    b.last_refill_at, b.allotment_expires_at,
    case when b.allotment_expires_at > at then b.allotment else 0 end as allotment,
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

  -- Null, and so never short, where there is no such bucket.
  iops_left := iops.current_tokens + iops.refilled - cost;
  bytes_left := bandwidth.current_tokens + bandwidth.refilled - bytes;
  if iops_left < 0 or bytes_left < 0 then
    decision := rate_limiter_internal.refusal_at(at, app_id, cluster_id, cost, bytes);
    return;
  end if;

  if cluster_id is not null then
    select e.layer_1_allotment_ms
    into allotment_ms
    from rate_limiter_internal.engine_settings as e;
  end if;

  -- Where no allotment pays, layer 1 does, unless it has no quota of the kind. What is drawn
  -- ahead of need leaves its reserve alone, as a lease does.
  if cluster_id is not null and cost > coalesce(iops.allotment, 0) then
    select
      b.terms_until, b.capacity, b.calculation_method, b.min_reserve,
      b.current_tokens + rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) - cost + coalesce(iops.allotment, 0) as tokens_left
    into shared_iops
    from rate_limiter.token_buckets as b
    where b.owner_id = cluster_id and b.bucket_type = 'iops_l1' and b.mode = 'enforce';
    if at >= shared_iops.terms_until
      or shared_iops.capacity is not null and (
        shared_iops.tokens_left < 0
        or shared_iops.calculation_method <> 'token_bucket'
        or iops_left is null
      )
    then
      return;
    end if;
    if shared_iops.capacity is not null then
      iops_ahead := greatest(0, least(
        allotment_ms * 0.001 * iops.refill_rate,
        shared_iops.tokens_left - shared_iops.min_reserve
      ));
    end if;
  end if;
  if cluster_id is not null and bytes > coalesce(bandwidth.allotment, 0) then
    select
      b.terms_until, b.capacity, b.min_reserve,
      b.current_tokens + rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) - bytes + coalesce(bandwidth.allotment, 0) as tokens_left
    into shared_bandwidth
    from rate_limiter.token_buckets as b
    where b.owner_id = cluster_id and b.bucket_type = 'bandwidth_l1' and b.mode = 'enforce';
    if at >= shared_bandwidth.terms_until
      or shared_bandwidth.capacity is not null and (
        shared_bandwidth.tokens_left < 0 or bytes_left is null
      )
    then
      return;
    end if;
    if shared_bandwidth.capacity is not null then
      bytes_ahead := greatest(0, least(
        allotment_ms * 0.001 * bandwidth.refill_rate,
        shared_bandwidth.tokens_left - shared_bandwidth.min_reserve
      ));
    end if;
  end if;

  if iops_left is not null then
    update rate_limiter.token_buckets as b
    set
      current_tokens = iops_left,
      refilled = iops.refilled,
      last_refill_at = greatest(iops.last_refill_at, at),
      allotment = coalesce(iops_ahead, greatest(iops.allotment - cost, 0)),
      allotment_expires_at = case when iops_ahead is null then iops.allotment_expires_at
        else at + interval '1 second' end,
      ledger_seq = iops.ledger_seq + 1,
      updated_at = at
    where b.owner_id = app_id
      and b.bucket_type = 'iops_l2'
      and b.mode = 'enforce'
      and b.ledger_seq = iops.ledger_seq
      and b.terms_until = iops.terms_until;
    if not found then
      lost_race := true;
      return;
    end if;

    insert into rate_limiter.token_transactions (
      owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
      balance_after
    )
    values (
      app_id, at, iops.ledger_seq + 1, 'iops_l2', 'enforce', 'consume', -cost, iops.refilled,
      iops_left
    );
  end if;

  if bytes > 0 and bytes_left is not null then
    update rate_limiter.token_buckets as b
    set
      current_tokens = bytes_left,
      refilled = bandwidth.refilled,
      last_refill_at = greatest(bandwidth.last_refill_at, at),
      allotment = coalesce(bytes_ahead, greatest(bandwidth.allotment - bytes, 0)),
      allotment_expires_at = case when bytes_ahead is null
        then bandwidth.allotment_expires_at else at + interval '1 second' end,
      ledger_seq = bandwidth.ledger_seq + 1,
      updated_at = at
    where b.owner_id = app_id
      and b.bucket_type = 'bandwidth_l2'
      and b.mode = 'enforce'
      and b.ledger_seq = bandwidth.ledger_seq
      and b.terms_until = bandwidth.terms_until;
    if not found then
      -- The first bucket was as it was read and this one no longer.
      perform rate_limiter_internal.take_back(at, app_id, 'iops_l2', cost);
      return;
    end if;

    insert into rate_limiter.token_transactions (
      owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
      balance_after
    )
    values (
      app_id, at, bandwidth.ledger_seq + 1, 'bandwidth_l2', 'enforce', 'consume', -bytes,
      bandwidth.refilled, bytes_left
    );
  end if;

  -- Layer 1 comes last, because all applications of the cluster wait for its rows.
  if iops_ahead is not null then
    iops_drawn := cost - iops.allotment + iops_ahead;
    if not rate_limiter_internal.draw_from_layer_1(
      at, cluster_id, 'iops_l1', shared_iops.terms_until, iops_drawn, allotment_ms
    ) then
      perform rate_limiter_internal.take_back(at, app_id, 'iops_l2', cost);
      perform rate_limiter_internal.take_back(at, app_id, 'bandwidth_l2', bytes);
      return;
    end if;
  end if;
  if bytes_ahead is not null then
    if not rate_limiter_internal.draw_from_layer_1(
      at, cluster_id, 'bandwidth_l1', shared_bandwidth.terms_until,
      bytes - bandwidth.allotment + bytes_ahead, allotment_ms
    ) then
      perform rate_limiter_internal.take_back(at, app_id, 'iops_l2', cost);
      perform rate_limiter_internal.take_back(at, app_id, 'bandwidth_l2', bytes);
      perform rate_limiter_internal.take_back(at, cluster_id, 'iops_l1', iops_drawn);
      return;
    end if;
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
  timestamptz, uuid, uuid, numeric, numeric
) is
  'Decides on an operation of a fixed window, or that allotments do not pay for: charges it, '
  'draws on layer 1 for it and some ahead of need, or denies it. A null decision is left to be '
  'made under locks, or, after a lost race, to be tried again; nothing is charged then.';
--! EndIncluded rate_limiter_internal/functions/consume_by_draw.sql
