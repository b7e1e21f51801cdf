--! Previous: sha1:2b9d79ebf999d023b1147eaf2e705cb02068fbf7
--! Hash: sha1:f1bd7e9bbe1bc3657a2383f15a0572c9e621045a
--! Message: health and applications

-- What quotas would throttle
--! Included rate_limiter_internal/demand/flow_between.sql
create or replace function rate_limiter_internal.flow_between(
  bucket rate_limiter.token_buckets,
  since timestamptz,
  until timestamptz
)
returns numeric
language sql
immutable
parallel safe
as $$
  select case
    when bucket.calculation_method <> 'fixed_window'
      then bucket.refill_rate * extract(epoch from until - since)
    -- A window that starts at since is among them.
    else bucket.capacity * (
      ceil(extract(epoch from until) / bucket.burst_duration_seconds)
      - ceil(extract(epoch from since) / bucket.burst_duration_seconds)
    )
  end;
$$;

comment on function rate_limiter_internal.flow_between(
  rate_limiter.token_buckets, timestamptz, timestamptz
) is
  'Tokens that flow into a bucket in a span that it is empty in, its last moment left out: a '
  'bucket gains no more.';
--! EndIncluded rate_limiter_internal/demand/flow_between.sql
--! Included rate_limiter_internal/demand/least_throttled.sql
create or replace function rate_limiter_internal.least_throttled(
  bucket rate_limiter.token_buckets,
  minutes timestamptz[],
  asked numeric[],
  debt numeric
)
returns numeric
language plpgsql
immutable
parallel safe
as $$
declare
  balance numeric := bucket.capacity;
  throttled numeric := 0;
  flowed_until timestamptz := minutes[1];
  next_minute timestamptz;
  flow numeric;
  admitted numeric;
begin
  for i in 1 .. cardinality(minutes) loop
    next_minute := minutes[i] + interval '1 minute';
    balance := least(
      bucket.capacity,
      balance + rate_limiter_internal.flow_between(bucket, flowed_until, minutes[i])
    );
    flow := rate_limiter_internal.flow_between(bucket, minutes[i], next_minute);
    admitted := least(asked[i], balance + flow + debt);
    balance := least(bucket.capacity, balance + flow - admitted);
    throttled := throttled + asked[i] - admitted;
    flowed_until := next_minute;
  end loop;
  return throttled;
end;
$$;

comment on function rate_limiter_internal.least_throttled(
  rate_limiter.token_buckets, timestamptz[], numeric[], numeric
) is
  'The least that a bucket, full at first, can deny of what was asked by minute, in order: each '
  'minute is smooth, so that nothing that flows in is lost and an operation may be admitted in '
  'part. debt: how far below zero oversize operations may take it. However the operations of a '
  'minute fell, the bucket admits no more up to any minute.';
--! EndIncluded rate_limiter_internal/demand/least_throttled.sql
--! Included rate_limiter_internal/demand/most_throttled.sql
create or replace function rate_limiter_internal.most_throttled(
  bucket rate_limiter.token_buckets,
  minutes timestamptz[],
  asked numeric[],
  peaks numeric[],
  largest numeric
)
returns numeric
language plpgsql
immutable
parallel safe
as $$
declare
  -- A bucket that denies an operation holds less than the operation needs.
  usable constant numeric := bucket.capacity - largest;
  rate constant numeric := bucket.refill_rate;
  -- What one second is sure to find in it if the one before may have emptied it at its end.
  each_second constant numeric := least(usable, rate);
  throttled numeric := 0;
  -- What was throttled, less the balance.
  owed numeric := -usable;
  flowed_until timestamptz := minutes[1];
  peak numeric;
  busy_seconds numeric;
  rest numeric;
  room numeric;
  gain numeric;
  at_most numeric;
  by_seconds numeric;
begin
  for i in 1 .. cardinality(minutes) loop
    peak := least(peaks[i], asked[i]);
    busy_seconds := div(asked[i], peak);
    rest := asked[i] - busy_seconds * peak;
    -- Operations fall anywhere in their second: two busy seconds may meet.
    room := usable - least(rate, peak);
    owed := greatest(
      owed - rate * extract(epoch from minutes[i] - flowed_until), throttled - usable
    );
    by_seconds := throttled + asked[i] - greatest(
      least(asked[i], throttled - owed),
      0.5 * (busy_seconds * least(peak, each_second) + least(rest, each_second))
    );
    owed := greatest(owed, throttled - greatest(room, 0));
    gain := least(rate, greatest(room, 0));

    -- The whole minute as one burst, second by second as busy as the busiest.
    at_most := least(
      throttled + asked[i],
      greatest(
        throttled,
        owed + peak + (busy_seconds - 1) * greatest(peak - gain, 0) + greatest(rest - gain, 0)
      )
    );

    if room <= 0 or by_seconds < at_most then
      throttled := by_seconds;
      owed := throttled;
    else
      -- The burst again, at the end of the minute.
      owed := least(at_most, greatest(
        owed + asked[i] - 60 * rate,
        at_most - room + busy_seconds * greatest(peak - rate, 0) + greatest(rest - rate, 0)
      ));
      throttled := at_most;
    end if;
    flowed_until := minutes[i] + interval '1 minute';
  end loop;
  return throttled;
end;
$$;

comment on function rate_limiter_internal.most_throttled(
  rate_limiter.token_buckets, timestamptz[], numeric[], numeric[], numeric
) is
  'The most that a token or leaky bucket, full at first, can deny of what was asked by minute, in '
  'order and each above zero, if no second asked more than the peak of its minute: each minute is '
  'the burst that its peak allows, at the worst moment. largest: the dearest operation; what '
  'larger ones are denied of themselves is not among it.';
--! EndIncluded rate_limiter_internal/demand/most_throttled.sql
--! Included rate_limiter_internal/demand/most_throttled_by_window.sql
create or replace function rate_limiter_internal.most_throttled_by_window(
  bucket rate_limiter.token_buckets,
  minutes timestamptz[],
  asked numeric[],
  peaks numeric[],
  largest numeric
)
returns numeric
language plpgsql
immutable
parallel safe
as $$
declare
  usable constant numeric := bucket.capacity - largest;
  seconds constant integer := bucket.burst_duration_seconds;
  throttled numeric := 0;
  balance numeric := usable;
  windows_until timestamptz := minutes[1];
  minute_end timestamptz;
  in_window numeric;
  full_windows numeric;
begin
  for i in 1 .. cardinality(minutes) loop
    minute_end := minutes[i] + interval '1 minute';
    if seconds < 60 then
      in_window := least(asked[i], peaks[i] * seconds);
      full_windows := div(asked[i], in_window);
      throttled := throttled + least(
        asked[i],
        full_windows * greatest(in_window - usable, 0)
        + greatest(asked[i] - full_windows * in_window - usable, 0)
        -- A window that began in the minute before may have nothing left.
        + case when mod(extract(epoch from minutes[i]), seconds) = 0 then 0 else usable end
      );
    else
      if rate_limiter_internal.flow_between(
        bucket, windows_until, minutes[i] + interval '1 microsecond'
      ) > 0 then
        balance := usable;
      end if;
      throttled := throttled + greatest(asked[i] - balance, 0);
      balance := greatest(0, -asked[i] + case
        when rate_limiter_internal.flow_between(
          bucket, minutes[i] + interval '1 microsecond', minute_end
        ) > 0 then usable
        else balance
      end);
    end if;
    windows_until := minute_end;
  end loop;
  return throttled;
end;
$$;

comment on function rate_limiter_internal.most_throttled_by_window(
  rate_limiter.token_buckets, timestamptz[], numeric[], numeric[], numeric
) is 'What most_throttled() says of other buckets, of a fixed window.';
--! EndIncluded rate_limiter_internal/demand/most_throttled_by_window.sql
--! Included rate_limiter_internal/demand/throttled_bounds.sql
create or replace function rate_limiter_internal.throttled_bounds(
  bucket rate_limiter.token_buckets,
  minutes timestamptz[],
  operations numeric[],
  amounts numeric[],
  peaks numeric[],
  are_alike boolean[],
  out at_least numeric,
  out at_most numeric,
  out may_owe boolean
)
language plpgsql
immutable
parallel safe
as $$
declare
  -- Among larger ones a bucket may stand nearly full and deny: they count as denied.
  large constant numeric := bucket.capacity / 4;
  asked record;
begin
  with rows as (
    select
      r.minute, r.amount, r.peak,
      least(
        r.amount,
        ceil(r.amount / r.operations * case when r.is_alike then 1 else 2 end * 1000000) / 1000000
      ) as dearest
    from unnest(minutes, operations, amounts, peaks, are_alike) as r (
      minute, operations, amount, peak, is_alike
    )
    where r.amount > 0
  ),
  by_minute as (
    select
      r.minute, sum(r.amount) as amount, sum(least(r.amount, r.peak * r.dearest)) as peak,
      max(r.dearest) as dearest, max(r.dearest) filter (where r.dearest <= large) as largest,
      sum(r.amount) filter (where r.dearest > large) as of_large
    from rows as r
    group by r.minute
  )
  select
    array_agg(m.minute order by m.minute) as minutes,
    array_agg(m.amount order by m.minute) as amounts,
    array_agg(m.peak order by m.minute) as peaks,
    coalesce(sum(m.amount), 0) as total,
    coalesce(max(m.largest), 0) as largest, coalesce(sum(m.of_large), 0) as of_large,
    greatest(max(m.dearest) - bucket.capacity, 0) as excess
  into asked
  from by_minute as m;

  may_owe := bucket.allow_oversize and coalesce(asked.excess, 0) > 0;
  if asked.minutes is null then
    at_least := 0;
    at_most := 0;
    return;
  end if;
  at_least := rate_limiter_internal.least_throttled(
    bucket, asked.minutes, asked.amounts, case when may_owe then asked.excess else 0 end
  );
  at_most := asked.of_large + case bucket.calculation_method
    when 'fixed_window' then rate_limiter_internal.most_throttled_by_window(
      bucket, asked.minutes, asked.amounts, asked.peaks, asked.largest
    )
    else rate_limiter_internal.most_throttled(
      bucket, asked.minutes, asked.amounts, asked.peaks, asked.largest
    )
  end;
  at_most := least(at_most, asked.total);
end;
$$;

comment on function rate_limiter_internal.throttled_bounds(
  rate_limiter.token_buckets, timestamptz[], numeric[], numeric[], numeric[], boolean[]
) is
  'Between what a bucket, full at first, would have denied of rows of the record: amounts of '
  'tokens or bytes. may_owe: an operation may have taken it below zero.';
--! EndIncluded rate_limiter_internal/demand/throttled_bounds.sql
--! Included rate_limiter_internal/demand/carried.sql
create or replace function rate_limiter_internal.carried(
  amount numeric,
  amounts numeric[],
  loads numeric[],
  are_alike boolean[],
  is_least boolean
)
returns numeric
language sql
immutable
parallel safe
as $$
  -- In thirds, which are exact.
  with parts as (
    select p.amount, p.load, p.load / p.amount * case when is_least then 1 else -1 end as place
    from unnest(amounts, loads, are_alike) as r (amount, load, is_alike)
    -- The uneven half of what a factor of two allows: some carry twice what the others do.
    cross join lateral (
      values (3 * r.amount, 3 * r.load, true), (2 * r.amount, r.load, false),
        (r.amount, 2 * r.load, false)
    ) as p (amount, load, is_alike)
    where r.amount > 0
      and p.is_alike = r.is_alike
  ),
  running as (
    select p.amount, p.load, sum(p.amount) over in_order - p.amount as before
    from parts as p
    window in_order as (order by p.place, p.load rows unbounded preceding)
  )
  select coalesce(
    sum(case
      when r.before + r.amount <= 3 * carried.amount then r.load
      else r.load * (3 * carried.amount - r.before) / r.amount
    end),
    0
  ) / 3
  from running as r
  where r.before < 3 * carried.amount;
$$;

comment on function rate_limiter_internal.carried(
  numeric, numeric[], numeric[], boolean[], boolean
) is
  'The least, or the most, that some of a list of operations carry (how many they are, or their '
  'bytes) which have an amount together (of tokens, or bytes). Each row of the list is many, '
  'alike, or so that none carries for its amount more than twice what another does.';
--! EndIncluded rate_limiter_internal/demand/carried.sql
--! Included rate_limiter_internal/demand/preview_quota.sql
create or replace function rate_limiter_internal.preview_quota(
  app_id uuid,
  iops jsonb,
  bandwidth jsonb,
  since timestamptz,
  until timestamptz,
  out recorded_minutes integer,
  out operations numeric,
  out tokens numeric,
  out bytes numeric,
  out throttled_operations_before numeric,
  out throttled_operations_least numeric,
  out throttled_operations_most numeric,
  out throttled_bytes_before numeric,
  out throttled_bytes_least numeric,
  out throttled_bytes_most numeric
)
language plpgsql
stable
parallel safe
as $$
declare
  bucket rate_limiter.token_buckets;
  asked record;
  amounts numeric[];
  bounds record;
begin
  select
    count(distinct d.minute)::integer as minutes,
    coalesce(sum(d.operations), 0) as operations, coalesce(sum(d.tokens), 0) as tokens,
    coalesce(sum(d.bytes), 0) as bytes,
    coalesce(sum(d.operations) filter (where d.is_denied), 0) as denied_operations,
    coalesce(sum(d.bytes) filter (where d.is_denied), 0) as denied_bytes,
    coalesce(sum(d.operations) filter (where d.size_class = 0), 0) as unsized_operations,
    array_agg(d.minute) as at, array_agg(d.operations) as by_operations,
    array_agg(d.tokens) as by_tokens, array_agg(d.bytes) as by_bytes,
    array_agg(d.peak_operations) as peaks,
    array_agg(d.operations = 1 or (d.size_class = 0 and d.operation <> '')) as are_alike
  into asked
  from rate_limiter_internal.demand_of(
    rate_limiter_internal.app_shard_key(preview_quota.app_id), preview_quota.app_id, since, until
  ) as d
  where d.operations > 0;

  recorded_minutes := asked.minutes;
  operations := asked.operations;
  tokens := asked.tokens;
  bytes := asked.bytes;
  throttled_operations_before := asked.denied_operations;
  throttled_bytes_before := asked.denied_bytes;
  throttled_operations_least := 0;
  throttled_operations_most := 0;
  throttled_bytes_least := 0;
  throttled_bytes_most := 0;

  foreach bucket in array rate_limiter_internal.quota_buckets(iops, bandwidth, since) loop
    amounts := case bucket.bucket_type
      when 'iops_l2' then asked.by_tokens
      else asked.by_bytes
    end;
    bounds := rate_limiter_internal.throttled_bounds(
      bucket, asked.at, asked.by_operations, amounts, asked.peaks, asked.are_alike
    );
    -- Each bucket denies at least what it denies alone, and both at most what each does.
    throttled_operations_least := greatest(
      throttled_operations_least,
      ceil(-0.000001 + rate_limiter_internal.carried(
        bounds.at_least, amounts, asked.by_operations, asked.are_alike, true
      ))
    );
    throttled_operations_most := throttled_operations_most
      + floor(0.000001 + rate_limiter_internal.carried(
        bounds.at_most, amounts, asked.by_operations, asked.are_alike, false
      ))
      -- Their size may not have been known, which a bucket in debt denies.
      + case when bounds.may_owe then asked.unsized_operations else 0 end;
    throttled_bytes_least := greatest(
      throttled_bytes_least,
      ceil(-0.000001 + rate_limiter_internal.carried(
        bounds.at_least, amounts, asked.by_bytes, asked.are_alike, true
      ))
    );
    throttled_bytes_most := throttled_bytes_most
      + floor(0.000001 + rate_limiter_internal.carried(
        bounds.at_most, amounts, asked.by_bytes, asked.are_alike, false
      ));
  end loop;
  throttled_operations_most := least(throttled_operations_most, operations);
  throttled_bytes_most := least(throttled_bytes_most, bytes);
end;
$$;

comment on function rate_limiter_internal.preview_quota(
  uuid, jsonb, jsonb, timestamptz, timestamptz
) is
  'What limits would have throttled of what an application asked in a span of whole minutes, by '
  'the record of demand, from full buckets, and what was throttled. Bounds: least takes each '
  'minute to be smooth (least_throttled()), most to be the burst that its busiest second allows '
  '(most_throttled()). Operations of one row of the record are within a factor of two of each '
  'other, as their size class says; those that the record has no name of are taken to be.';
--! EndIncluded rate_limiter_internal/demand/preview_quota.sql
--! Included rate_limiter_admin/demand/preview_quota.sql
create or replace function rate_limiter_admin.preview_quota(
  app_id uuid,
  since timestamptz,
  until timestamptz,
  iops rate_limiter_admin.iops_limits default null,
  bandwidth rate_limiter_admin.bandwidth_limits default null,
  out recorded_minutes integer,
  out operations numeric,
  out tokens numeric,
  out bytes numeric,
  out throttled_operations_before numeric,
  out throttled_operations_least numeric,
  out throttled_operations_most numeric,
  out throttled_bytes_before numeric,
  out throttled_bytes_least numeric,
  out throttled_bytes_most numeric,
  out throttled_operations_share_before numeric,
  out throttled_operations_share_least numeric,
  out throttled_operations_share_most numeric,
  out throttled_bytes_share_before numeric,
  out throttled_bytes_share_least numeric,
  out throttled_bytes_share_most numeric
)
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  iops_terms constant jsonb := rate_limiter_internal.complete_iops_limits(iops);
  bandwidth_terms constant jsonb := rate_limiter_internal.complete_bandwidth_limits(bandwidth);
begin
  perform rate_limiter_internal.require_application(preview_quota.app_id, 'quota', 'read');
  perform rate_limiter_internal.require_permission('metrics', 'read');
  perform rate_limiter_internal.require_span(since, until, interval '1 day');
  perform rate_limiter_internal.require_limits(iops_terms, bandwidth_terms, false, false);

  select p.*
  into recorded_minutes, operations, tokens, bytes, throttled_operations_before,
    throttled_operations_least, throttled_operations_most, throttled_bytes_before,
    throttled_bytes_least, throttled_bytes_most
  from rate_limiter_internal.preview_quota(
    preview_quota.app_id, iops_terms, bandwidth_terms,
    -- Minutes that the span holds a part of.
    date_trunc('minute', since, 'UTC'), until
  ) as p;

  throttled_operations_share_before :=
    trunc(throttled_operations_before / nullif(operations, 0), 6);
  throttled_operations_share_least :=
    trunc(throttled_operations_least / nullif(operations, 0), 6);
  throttled_operations_share_most :=
    ceil(1000000 * throttled_operations_most / nullif(operations, 0)) * 0.000001;
  throttled_bytes_share_before := trunc(throttled_bytes_before / nullif(bytes, 0), 6);
  throttled_bytes_share_least := trunc(throttled_bytes_least / nullif(bytes, 0), 6);
  throttled_bytes_share_most :=
    ceil(1000000 * throttled_bytes_most / nullif(bytes, 0)) * 0.000001;
end;
$$;

comment on function rate_limiter_admin.preview_quota(
  uuid, timestamptz, timestamptz, rate_limiter_admin.iops_limits,
  rate_limiter_admin.bandwidth_limits
) is
  'What limits would have throttled of all that an application asked in a span of at most a day, '
  'admitted or denied, by the record of demand, which has it by minute: operations that callers '
  'decided by leases are among it, where tryQuota knows amounts. Whole minutes, from full buckets, '
  'by the limits alone. …Before is what was denied at the time, for whatever reason. …Least and '
  '…Most are bounds, as of a minute only the totals and the busiest second are known: the least '
  'takes each minute to be smooth, the most to be as bursty as its busiest second allows. Shares '
  'are parts of 1, null where nothing was asked; recordedMinutes is 0 where nothing is on record. '
  'Sizes are known by class, within a factor of two; an operation that the database decided '
  'without a reference counts as those it was recorded with. What was denied and asked again '
  'counts each time.';
grant execute on function rate_limiter_admin.preview_quota(
  uuid, timestamptz, timestamptz, rate_limiter_admin.iops_limits,
  rate_limiter_admin.bandwidth_limits
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/demand/preview_quota.sql

-- Health
--! Included rate_limiter_internal/health/check_health_url.sql
create or replace function rate_limiter_internal.check_health_url()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_public_host(
    new.health_check_url,
    array(
      select n.network
      from rate_limiter_private.job_workers as w
      cross join lateral unnest(w.probe_networks) as n (network)
    ),
    'HEALTH_ALLOWED_NETWORKS'
  );

  return new;
end;
$$;

comment on function rate_limiter_internal.check_health_url() is
  'Trigger: refuses people a health check URL at an address that no worker would probe (QS422).';
--! EndIncluded rate_limiter_internal/health/check_health_url.sql
--! Included rate_limiter_internal/health/reset_health.sql
create or replace function rate_limiter_internal.reset_health()
returns trigger
language plpgsql
as $$
begin
  new.health_status := 'unknown';
  new.health_checked_at := null;
  new.health_streak := 0;
  new.health_message := null;
  return new;
end;
$$;

comment on function rate_limiter_internal.reset_health() is
  'Trigger: what is known of the health of a cluster was found at its former health_check_url.';
--! EndIncluded rate_limiter_internal/health/reset_health.sql
--! Included rate_limiter_internal/health/cluster_health.sql
create or replace function rate_limiter_internal.cluster_health()
returns table (app_id uuid, metric_name text, value numeric)
language sql
stable
parallel safe
as $$
  select
    a.app_id,
    'qos_cluster_health',
    case c.health_status when 'healthy' then 1 when 'degraded' then 0.5 else 0 end
  from rate_limiter.applications as a
  join rate_limiter.clusters as c on c.cluster_id = a.cluster_id
  where a.is_active
    and c.health_status <> 'unknown'
    -- The same for all that a cluster hosts: worth a row only for those who watch it.
    and exists (
      select
      from rate_limiter.alert_configs as w
      where (w.app_id = a.app_id or w.app_id is null)
        and w.is_active
        and w.metric_name = 'qos_cluster_health'
    );
$$;

comment on function rate_limiter_internal.cluster_health() is
  'How the clusters are whose applications watch it: 1 healthy, 0.5 degraded, 0 unhealthy.';
--! EndIncluded rate_limiter_internal/health/cluster_health.sql
--! Included rate_limiter_internal/health/health_after.sql
create or replace function rate_limiter_internal.health_after(
  status text,
  streak integer,
  is_up boolean,
  out new_status text,
  out new_streak integer
)
language sql
immutable
parallel safe
as $$
  select
    case
      when is_up is null then 'unknown'
      when is_up and (status in ('healthy', 'unknown') or s.streak >= 2) then 'healthy'
      when not is_up and (status = 'unhealthy' or s.streak <= -3) then 'unhealthy'
      else 'degraded'
    end,
    s.streak
  from (
    select case
      when is_up is null then 0
      when is_up then least(greatest(health_after.streak, 0) + 1, 1000000)
      else greatest(least(health_after.streak, 0) - 1, -1000000)
    end as streak
  ) as s;
$$;

comment on function rate_limiter_internal.health_after(text, integer, boolean) is
  'The health of a cluster after one more probe: degraded after the first failure, unhealthy after '
  'the third in a row; from there degraded after the first success, healthy after the second in a '
  'row. Unknown where it could not be asked (null).';
--! EndIncluded rate_limiter_internal/health/health_after.sql
--! Included rate_limiter_private/health/probe_clusters.sql
create or replace function rate_limiter_private.probe_clusters(
  at timestamptz default clock_timestamp(),
  batch_size integer default 16
)
returns table (cluster_id uuid, health_check_url text, asked_at timestamptz)
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  with due as (
    select c.cluster_id
    from rate_limiter.clusters as c
    where c.health_check_url is not null
      and (
        c.health_checked_at is null
        or c.health_checked_at <= probe_clusters.at - interval '50 seconds'
        -- A clock that stepped back waits for nothing.
        or c.health_checked_at > probe_clusters.at
      )
    order by c.health_checked_at nulls first
    limit probe_clusters.batch_size
    for no key update skip locked
  )
  update rate_limiter.clusters as c
  -- Milliseconds: what JavaScript can hand back.
  set health_checked_at = date_trunc('milliseconds', probe_clusters.at)
  from due
  where c.cluster_id = due.cluster_id
  returning c.cluster_id, c.health_check_url::text, c.health_checked_at;
$$;

comment on function rate_limiter_private.probe_clusters(timestamptz, integer) is
  'Job: the clusters whose health is to be asked for now, longest unasked first; answered once in '
  '50 seconds, however many workers ask. record_cluster_health takes what is found.';
grant execute on function rate_limiter_private.probe_clusters(timestamptz, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/health/probe_clusters.sql
--! Included rate_limiter_private/health/record_cluster_health.sql
create or replace function rate_limiter_private.record_cluster_health(
  cluster_id uuid,
  asked_at timestamptz,
  is_up boolean,
  message text
)
returns text
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  update rate_limiter.clusters as c
  set
    (health_status, health_streak) = (
      select h.new_status, h.new_streak
      from rate_limiter_internal.health_after(
        c.health_status, c.health_streak, record_cluster_health.is_up
      ) as h
    ),
    health_message = left(record_cluster_health.message, 200)
  where c.cluster_id = record_cluster_health.cluster_id
    and c.health_checked_at = record_cluster_health.asked_at
  returning c.health_status;
$$;

comment on function rate_limiter_private.record_cluster_health(uuid, timestamptz, boolean, text) is
  'Takes what a probe found (null: the cluster could not be asked) and answers the health that '
  'follows; nothing where the cluster was asked again, or got another health_check_url, since.';
grant execute on function rate_limiter_private.record_cluster_health(
  uuid, timestamptz, boolean, text
) to rate_limiter_worker;
--! EndIncluded rate_limiter_private/health/record_cluster_health.sql

-- Applications
--! Included rate_limiter_internal/applications/require_few_new_applications.sql
create or replace function rate_limiter_internal.require_few_new_applications(tenant_id uuid)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  most constant integer := rate_limiter_internal.setting_integer('new_applications_per_day');
  created bigint;
begin
  if rate_limiter_internal.is_system_admin() then
    return;
  end if;
  -- Else requests at once would count without each other.
  perform
  from rate_limiter.tenants as t
  where t.tenant_id = require_few_new_applications.tenant_id
  for no key update;
  select count(*)
  into created
  from rate_limiter.applications as a
  where a.tenant_id = require_few_new_applications.tenant_id
    and a.created_at > clock_timestamp() - interval '1 day';
  if created >= most then
    raise exception using
      errcode = 'QS403',
      message = 'too many new applications',
      detail = format('created in 24 hours: %s, most: %s', created, most),
      hint = 'Use the applications that there are, wait, or ask the operator.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_few_new_applications(uuid) is
  'Raises QS403 where the people of a tenant created as many applications in 24 hours as the '
  'setting new_applications_per_day allows: the buckets of each are full once, and a loop would '
  'take more than any ceiling.';
--! EndIncluded rate_limiter_internal/applications/require_few_new_applications.sql
--! Included rate_limiter_internal/applications/lock_placement.sql
create or replace function rate_limiter_internal.lock_placement(is_changed boolean)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A table that logins have no rights on: any login could hold an advisory lock.
  if is_changed then
    lock table rate_limiter_internal.placement in exclusive mode;
  else
    lock table rate_limiter_internal.placement in share mode;
  end if;
end;
$$;

comment on function rate_limiter_internal.lock_placement(boolean) is
  'The first lock of the lock order (chapter buckets): which application is on which cluster. '
  'Changes of a cluster''s quotas and reservations share it (false) and find every application of '
  'the cluster; moves take it alone (true), before the row of the application.';
--! EndIncluded rate_limiter_internal/applications/lock_placement.sql
--! Included rate_limiter_internal/applications/lock_placement_change.sql
create or replace function rate_limiter_internal.lock_placement_change()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.lock_placement(is_changed => true);
  return null;
end;
$$;

comment on function rate_limiter_internal.lock_placement_change() is
  'Trigger, before a statement that moves applications or deletes clusters: takes the first lock '
  'of the lock order before the statement locks a row.';
--! EndIncluded rate_limiter_internal/applications/lock_placement_change.sql
--! Included rate_limiter_internal/applications/has_token_history.sql
create or replace function rate_limiter_internal.has_token_history(owner_id uuid)
returns boolean
language sql
stable
parallel safe
as $$
  select exists (
      select
      from rate_limiter.token_buckets as b
      where b.shard_key = rate_limiter_internal.shard_key_of(has_token_history.owner_id)
        and b.owner_id = has_token_history.owner_id
        and b.ledger_seq > 0
    )
    or exists (
      select
      from rate_limiter.token_transactions as t
      where t.shard_key = rate_limiter_internal.shard_key_of(has_token_history.owner_id)
        and t.owner_id = has_token_history.owner_id
    )
    or exists (
      select
      from rate_limiter.token_borrowing as b
      where b.shard_key = rate_limiter_internal.shard_key_of(has_token_history.owner_id)
        and b.owner_id = has_token_history.owner_id
    );
$$;

comment on function rate_limiter_internal.has_token_history(uuid) is
  'Whether tokens of this application or cluster were ever moved.';
--! EndIncluded rate_limiter_internal/applications/has_token_history.sql
--! Included rate_limiter_internal/applications/refuse_delete_of_tenant.sql
create or replace function rate_limiter_internal.refuse_delete_of_tenant()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from rate_limiter.applications as a where a.tenant_id = old.tenant_id)
    or exists (select from rate_limiter.users as u where u.tenant_id = old.tenant_id)
  then
    raise exception using
      errcode = 'QS409',
      message = 'tenant is in use',
      detail = format('tenant: %s', old.tenant_id),
      hint = 'Deactivate it instead, or delete its applications and users first.';
  end if;

  return old;
end;
$$;

comment on function rate_limiter_internal.refuse_delete_of_tenant() is
  'Trigger: a tenant with applications or users is deactivated, not deleted.';
--! EndIncluded rate_limiter_internal/applications/refuse_delete_of_tenant.sql
--! Included rate_limiter_internal/applications/refuse_delete_of_cluster.sql
create or replace function rate_limiter_internal.refuse_delete_of_cluster()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from rate_limiter.applications as a where a.cluster_id = old.cluster_id) then
    raise exception using
      errcode = 'QS409',
      message = 'cluster is in use',
      detail = format('cluster: %s', old.cluster_id),
      hint = 'Deactivate it instead, or move its applications first.';
  end if;

  if rate_limiter_internal.has_token_history(old.cluster_id)
    or exists (
      select
      from rate_limiter_audit.quota_version_history as v
      where v.cluster_id = old.cluster_id or v.default_cluster_id = old.cluster_id
    )
    or exists (
      select
      from rate_limiter_audit.reservation_history as r
      where r.cluster_id = old.cluster_id
    )
  then
    raise exception using
      errcode = 'QS409',
      message = 'cluster has history',
      detail = format('cluster: %s', old.cluster_id),
      hint = 'Deactivate it instead.';
  end if;

  return old;
end;
$$;

comment on function rate_limiter_internal.refuse_delete_of_cluster() is
  'Trigger: a cluster with applications, quotas or a ledger is deactivated, not deleted.';
--! EndIncluded rate_limiter_internal/applications/refuse_delete_of_cluster.sql
--! Included rate_limiter_internal/applications/check_max_capacity.sql
create or replace function rate_limiter_internal.check_max_capacity()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  largest record;
begin
  select c.config_id, c.valid_from, i.iops_limit
  into largest
  from rate_limiter.quota_configs as c
  join rate_limiter.iops_quotas as i on i.config_id = c.config_id
  where c.cluster_id = new.cluster_id
    and c.is_active
    and (c.valid_to is null or c.valid_to > clock_timestamp())
  order by i.iops_limit desc, c.valid_from
  limit 1;

  if largest.iops_limit > new.max_capacity then
    raise exception using
      errcode = 'QS409',
      message = 'cluster has quotas above this capacity',
      detail = format(
        'max_capacity: %s, iops_limit: %s, quota: %s, from: %s', new.max_capacity,
        largest.iops_limit, largest.config_id, largest.valid_from
      ),
      hint = 'Publish a smaller quota first, and cancel larger ones that are scheduled.';
  end if;

  return new;
end;
$$;

comment on function rate_limiter_internal.check_max_capacity() is
  'Trigger: refuses a max_capacity below the quotas of the cluster that are in force or '
  'scheduled.';
--! EndIncluded rate_limiter_internal/applications/check_max_capacity.sql
--! Included rate_limiter_internal/applications/refuse_delete_of_application.sql
create or replace function rate_limiter_internal.refuse_delete_of_application()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.commit_locally();
  -- A decision that is under way is history too, when it is done.
  perform
  from rate_limiter.token_buckets as b
  where b.shard_key = old.shard_key and b.owner_id = old.app_id
  order by b.bucket_type, b.mode
  for update;

  if rate_limiter_internal.has_token_history(old.app_id)
    or exists (
      select from rate_limiter.charges as c
      where c.shard_key = old.shard_key and c.app_id = old.app_id
    )
    or exists (
      select from rate_limiter.late_charges as c
      where c.shard_key = old.shard_key and c.app_id = old.app_id
    )
    or exists (
      select from rate_limiter.token_leases as l
      where l.shard_key = old.shard_key and l.app_id = old.app_id
    )
    or exists (
      select from rate_limiter.denial_counts as d
      where d.shard_key = old.shard_key and d.app_id = old.app_id
    )
    or exists (
      select from rate_limiter.recent_denials as d
      where d.shard_key = old.shard_key and d.app_id = old.app_id
    )
    or exists (select from rate_limiter.suspensions as s where s.app_id = old.app_id)
    or exists (
      select from rate_limiter_audit.reservation_history as r where r.app_id = old.app_id
    )
    or exists (
      select from rate_limiter_audit.quota_version_history as v where v.app_id = old.app_id
    )
    or exists (select from rate_limiter.alert_history as h where h.app_id = old.app_id)
    or exists (
      select from rate_limiter_internal.metrics as m
      where m.shard_key = old.shard_key and m.app_id = old.app_id
    )
    or exists (
      select from rate_limiter_internal.iops_metrics as m
      where m.shard_key = old.shard_key and m.app_id = old.app_id
    )
    or exists (
      select from rate_limiter_internal.bandwidth_metrics as m
      where m.shard_key = old.shard_key and m.app_id = old.app_id
    )
    or exists (
      select from rate_limiter.metrics_daily as m
      where m.shard_key = old.shard_key and m.app_id = old.app_id
    )
  then
    raise exception using
      errcode = 'QS409',
      message = 'application has history',
      detail = format('application: %s', old.app_id),
      hint = 'Deactivate it instead.';
  end if;

  -- Those that its cluster's default made, and nothing was ever drawn on.
  delete from rate_limiter.token_buckets as b
  where b.shard_key = old.shard_key and b.owner_id = old.app_id;
  delete from rate_limiter.app_facts as f
  where f.shard_key = old.shard_key and f.app_id = old.app_id;
  return old;
end;
$$;

comment on function rate_limiter_internal.refuse_delete_of_application() is
  'Trigger: an application with quotas, a ledger, metrics, alerts, suspensions or reservations is '
  'deactivated, not deleted: made anew it would start with full buckets.';
--! EndIncluded rate_limiter_internal/applications/refuse_delete_of_application.sql
--! Included rate_limiter_internal/applications/add_application.sql
create or replace function rate_limiter_internal.add_application(
  name text,
  cluster_id uuid,
  metadata jsonb,
  tenant_id uuid
)
returns uuid
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  owning_tenant_id constant uuid := coalesce(
    add_application.tenant_id, rate_limiter_internal.current_tenant_id()
  );
  new_app_id uuid;
begin
  perform rate_limiter_internal.require_permission('application', 'create');

  if owning_tenant_id <> rate_limiter_internal.current_tenant_id() then
    perform rate_limiter_internal.require_system_admin('application', 'create');
  end if;

  if not exists (
    select
    from rate_limiter.tenants as t
    where t.tenant_id = owning_tenant_id
      and t.is_active
  ) then
    raise exception using
      errcode = 'QS404',
      message = 'unknown tenant',
      detail = format('tenant: %s', owning_tenant_id),
      hint = 'Name an active tenant, or none for your own.';
  end if;

  if add_application.name !~ '[^[:space:]]' then
    raise exception using
      errcode = 'QS422',
      message = 'name is blank',
      hint = 'Give a name that people know it by.';
  end if;

  if jsonb_typeof(add_application.metadata) <> 'object' then
    raise exception using
      errcode = 'QS422',
      message = 'metadata is not an object',
      hint = 'Give a JSON object, or none.';
  end if;

  if add_application.cluster_id is not null then
    perform rate_limiter_internal.require_cluster(add_application.cluster_id);
  elsif not rate_limiter_internal.is_system_admin()
    and not (
      rate_limiter_internal.needs_quota(owning_tenant_id, null, false)
      and rate_limiter_internal.needs_quota(owning_tenant_id, null, true)
    )
  then
    -- Neither layer 1 nor a quota would limit it.
    raise exception using
      errcode = 'QS403',
      message = 'application needs a cluster',
      detail = format('tenant: %s', owning_tenant_id),
      hint = 'Name a cluster. Without one, a tenant''s people make applications only under '
        'ceilings of operations and of bandwidth.';
  end if;

  perform rate_limiter_internal.require_few_new_applications(owning_tenant_id);

  insert into rate_limiter.applications as a (tenant_id, cluster_id, name, metadata)
  values (
    owning_tenant_id,
    add_application.cluster_id,
    add_application.name,
    add_application.metadata
  )
  on conflict on constraint app_tenant_name_unique do nothing
  returning a.app_id into new_app_id;

  if not found then
    raise exception using
      errcode = 'QS409',
      message = 'application already exists',
      detail = format('name: %s', add_application.name),
      hint = 'Names are unique within a tenant.';
  end if;

  return new_app_id;
end;
$$;

comment on function rate_limiter_internal.add_application(text, uuid, jsonb, uuid) is
  'Makes an application without a key, in the caller''s tenant where none is named. Raises what '
  'create_application() does.';
grant execute on function rate_limiter_internal.add_application(text, uuid, jsonb, uuid)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/applications/add_application.sql
--! Included rate_limiter_admin/applications/create_application.sql
create or replace function rate_limiter_admin.create_application(
  name text,
  cluster_id uuid default null,
  metadata jsonb default '{}',
  tenant_id uuid default null,
  out app_id uuid,
  out api_key_id uuid,
  out api_key text,
  out prefix text
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  app_id := rate_limiter_internal.add_application(
    create_application.name, create_application.cluster_id, create_application.metadata,
    create_application.tenant_id
  );

  select k.api_key_id, k.api_key, k.prefix
  into api_key_id, api_key, prefix
  from rate_limiter_private.issue_api_key(create_application.app_id) as k;
end;
$$;

comment on function rate_limiter_admin.create_application(text, uuid, jsonb, uuid) is
  'Makes an application and its first key, which is shown this once. In your own tenant unless '
  'you administer the system; on a cluster that already hosts one of the tenant. '
  'On none only under ceilings of both kinds (QS403), unless you administer the system.';
grant execute on function rate_limiter_admin.create_application(text, uuid, jsonb, uuid)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/applications/create_application.sql
--! Included rate_limiter_admin/applications/create_applications.sql
create or replace function rate_limiter_admin.create_applications(
  applications rate_limiter_admin.new_application[]
)
returns table (entry integer, app_id uuid, api_key_id uuid, api_key text, prefix text)
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  problems jsonb := '[]';
  code text;
  problem text;
  said text;
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.require_batch(cardinality(applications));

  -- One subtransaction for all: a thousand would slow every session of the server down.
  begin
    perform rate_limiter_internal.defer_ceilings();
    return query
    select n.entry::integer, made.app_id, made.api_key_id, made.api_key, made.prefix
    from unnest(applications) with ordinality as n (name, cluster_id, metadata, tenant_id, entry)
    cross join lateral rate_limiter_admin.create_application(
      n.name, n.cluster_id, coalesce(n.metadata, '{}'), n.tenant_id
    ) as made;
    perform rate_limiter_internal.check_deferred_ceilings();
    return;
  exception
    when sqlstate 'QS403' or sqlstate 'QS404' or sqlstate 'QS409' or sqlstate 'QS422'
      or string_data_right_truncation or not_null_violation or check_violation
    then
      get stacked diagnostics
        code = returned_sqlstate, problem = message_text, said = pg_exception_detail;
  end;

  -- Which are refused, one by one; nothing of it stays.
  for entry in 1..cardinality(applications) loop
    exit when jsonb_array_length(problems) = rate_limiter_internal.most_problems();
    begin
      perform from rate_limiter_admin.create_application(
        applications[entry].name,
        applications[entry].cluster_id,
        coalesce(applications[entry].metadata, '{}'),
        applications[entry].tenant_id
      );
    exception
      when sqlstate 'QS403' or sqlstate 'QS404' or sqlstate 'QS409' or sqlstate 'QS422'
        or string_data_right_truncation or not_null_violation or check_violation
      then
        get stacked diagnostics
          code = returned_sqlstate, problem = message_text, said = pg_exception_detail;
        problems := problems || rate_limiter_internal.problem(entry, code, problem, said);
    end;
  end loop;
  -- Each by itself was allowed, a moment later.
  if problems = '[]' then
    problems := problems || rate_limiter_internal.problem(1, code, problem, said);
  end if;
  perform rate_limiter_internal.refuse_batch(problems);
end;
$$;

comment on function rate_limiter_admin.create_applications(
  rate_limiter_admin.new_application[]
) is
  E'@resultFieldName results\n'
  'createApplication for 1 to 10,000 applications, all or none. Where entries are refused, nothing '
  'is made, and detail says which and why, as JSON, for the first hundred of them.';
grant execute on function rate_limiter_admin.create_applications(
  rate_limiter_admin.new_application[]
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/applications/create_applications.sql
--! Included rate_limiter_admin/applications/move_application.sql
create or replace function rate_limiter_admin.move_application(
  app_id uuid,
  cluster_id uuid default null,
  out from_cluster_id uuid,
  out to_cluster_id uuid,
  out open_leases bigint,
  out open_borrowings bigint,
  out ended_reservation rate_limiter.reservations,
  out default_quota rate_limiter.quota_configs,
  out moved_at timestamptz
)
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_system_admin('application', 'update');
  perform rate_limiter_internal.require_application(
    move_application.app_id, 'application', 'update'
  );

  if move_application.cluster_id is not null then
    perform rate_limiter_internal.require_cluster(move_application.cluster_id);
  end if;

  perform rate_limiter_internal.lock_placement(is_changed => true);
  select a.cluster_id
  into from_cluster_id
  from rate_limiter.applications as a
  where a.app_id = move_application.app_id
  for no key update;

  select r.* into ended_reservation
  from rate_limiter.reservations as r
  where r.app_id = move_application.app_id
    and r.cluster_id is distinct from move_application.cluster_id;

  update rate_limiter.applications as a
  set cluster_id = move_application.cluster_id
  where a.app_id = move_application.app_id
    and a.cluster_id is distinct from move_application.cluster_id;

  moved_at := clock_timestamp();
  to_cluster_id := move_application.cluster_id;

  select count(*)
  into open_leases
  from rate_limiter.token_leases as l
  where l.shard_key = rate_limiter_internal.app_shard_key(move_application.app_id)
    and l.app_id = move_application.app_id
    and l.settled_at is null
    and l.expires_at > moved_at;

  select count(*)
  into open_borrowings
  from rate_limiter.token_borrowing as b
  where (b.owner_id = move_application.app_id or b.lender_owner_id = move_application.app_id)
    and b.status = 'active';

  select c.* into default_quota
  from rate_limiter.quota_configs as c
  where c.default_cluster_id = move_application.cluster_id
    and c.is_active
    and c.valid_from <= moved_at
    and (c.valid_to is null or c.valid_to > moved_at);
end;
$$;

comment on function rate_limiter_admin.move_application(uuid, uuid) is
  'Puts an application on another cluster, or on none: then it draws on no layer-1 bucket. Its own '
  'quotas, their buckets and its cost rules go with it. The reservation that it had ends. Open '
  'leases stay good and what is left of them goes back to the cluster that gave it, as what '
  'settling or refunding an earlier reference changes does. Loans stay and are paid, to lenders on '
  'the old cluster too. Where it has no quota of its own it comes under the default of the new '
  'cluster. Refused (QS403) where the ceiling of its tenant there is too low for it. For system '
  'administrators.';
grant execute on function rate_limiter_admin.move_application(uuid, uuid)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/applications/move_application.sql
--! Included rate_limiter_internal/shards/required_shard_key.sql
create or replace function rate_limiter_internal.required_shard_key(app_id uuid)
returns integer
language plpgsql
stable
parallel safe
as $$
declare
  found_key constant integer := rate_limiter_internal.app_shard_key(app_id);
begin
  if found_key is null then
    raise exception using
      errcode = 'QS404',
      message = 'unknown application',
      detail = format('app_id: %s', app_id),
      hint = 'Create the application, or check its id.';
  end if;
  return found_key;
end;
$$;

comment on function rate_limiter_internal.required_shard_key(uuid) is
  'The shard key of an application. Raises QS404 for an unknown one; one that is inactive or '
  'suspended may still owe.';
--! EndIncluded rate_limiter_internal/shards/required_shard_key.sql
--! Included rate_limiter_admin/applications/cluster_details.sql
-- What of a cluster is the operator's: this view runs as its owner and filters by itself.
create or replace view rate_limiter_admin.cluster_details
with (security_barrier = true) as
select
  c.cluster_id,
  c.endpoint,
  c.max_capacity,
  c.health_check_url,
  c.health_message,
  c.health_streak
from rate_limiter.clusters as c
where (select rate_limiter_internal.is_system_admin())
  and (select rate_limiter_internal.may('application', 'read'));

comment on view rate_limiter_admin.cluster_details is
  E'@primaryKey cluster_id\n'
  '@foreignKey (cluster_id) references rate_limiter.clusters (cluster_id)|'
  '@fieldName cluster|@foreignFieldName details\n'
  'What of a cluster only system administrators see.';
comment on column rate_limiter_admin.cluster_details.cluster_id is 'The cluster.';
comment on column rate_limiter_admin.cluster_details.endpoint is
  'Address of its storage service: a label, which nothing calls.';
comment on column rate_limiter_admin.cluster_details.max_capacity is
  'What the hardware is rated for, in operations per second; 0 where it is not known.';
comment on column rate_limiter_admin.cluster_details.health_check_url is
  'What is asked every minute whether the cluster is up.';
comment on column rate_limiter_admin.cluster_details.health_message is
  'What the last probe found, in words.';
comment on column rate_limiter_admin.cluster_details.health_streak is
  'How many times in a row the cluster was up, or, below zero, was not.';

revoke all on rate_limiter_admin.cluster_details from rate_limiter_visitor;
grant select on rate_limiter_admin.cluster_details to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/applications/cluster_details.sql
--! Included rate_limiter_internal/applications/sync_tenant_active.sql
create or replace function rate_limiter_internal.sync_tenant_active()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  hosting_ids uuid[];
  hosting_id uuid;
  revoked rate_limiter_internal.bucket_charge[] := '{}';
begin
  perform rate_limiter_internal.commit_locally();
  perform
  from rate_limiter.applications as a
  where a.tenant_id = new.tenant_id
  order by a.app_id
  for no key update;

  update rate_limiter.app_facts as f
  set tenant_is_active = new.is_active
  from rate_limiter.applications as a
  where a.tenant_id = new.tenant_id and f.app_id = a.app_id;

  if not new.is_active then
    revoked := rate_limiter_internal.revoke_leases(clock_timestamp(), array(
      select a.app_id from rate_limiter.applications as a where a.tenant_id = new.tenant_id
    ));
  end if;
  hosting_ids := array(
    select distinct r.cluster_id
    from rate_limiter.reservations as r
    join rate_limiter.applications as a on a.app_id = r.app_id
    where a.tenant_id = new.tenant_id and a.is_active
    order by r.cluster_id
  );
  perform rate_limiter_internal.lock_layer1(
    hosting_ids || array(select c.owner_id from unnest(revoked) as c)
  );
  perform rate_limiter_internal.release_leased(revoked);
  foreach hosting_id in array hosting_ids loop
    perform rate_limiter_internal.sync_reserves(hosting_id);
    if new.is_active then
      perform rate_limiter_internal.require_reservations(clock_timestamp(), hosting_id);
    end if;
  end loop;
  return null;
end;
$$;

comment on function rate_limiter_internal.sync_tenant_active() is
  'Trigger: copies to a tenant''s applications whether the tenant is active. Their reservations '
  'count while it is; their leases are revoked when it no longer is.';
--! EndIncluded rate_limiter_internal/applications/sync_tenant_active.sql
--! Included rate_limiter_internal/applications/write_app_facts.sql
create or replace function rate_limiter_internal.write_app_facts(at timestamptz, app_id uuid)
returns void
language sql
volatile
parallel unsafe
as $$
  insert into rate_limiter.app_facts (
    shard_key, app_id, tenant_id, cluster_id, suspended_until, is_active, tenant_is_active,
    auto_borrow, has_shadow, has_iops, has_bandwidth, has_cost_rule, draws_iops, draws_bandwidth,
    needs_iops_quota, needs_bandwidth_quota
  )
  select
    a.shard_key, a.app_id, a.tenant_id, a.cluster_id,
    rate_limiter_internal.suspended_until(a.tenant_id, a.app_id),
    a.is_active, t.is_active, a.auto_borrow,
    q.has_shadow, q.has_iops, q.has_bandwidth, q.has_cost_rule, q.draws_iops, q.draws_bandwidth,
    rate_limiter_internal.needs_quota(a.tenant_id, a.cluster_id, false),
    rate_limiter_internal.needs_quota(a.tenant_id, a.cluster_id, true)
  from rate_limiter.applications as a
  join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
  join rate_limiter_internal.quota_flags(at, array[write_app_facts.app_id]) as q
    on q.app_id = a.app_id
  where a.app_id = write_app_facts.app_id
  on conflict on constraint app_facts_pkey do update
  set
    tenant_id = excluded.tenant_id,
    cluster_id = excluded.cluster_id,
    suspended_until = excluded.suspended_until,
    is_active = excluded.is_active,
    tenant_is_active = excluded.tenant_is_active,
    auto_borrow = excluded.auto_borrow,
    has_shadow = excluded.has_shadow,
    has_iops = excluded.has_iops,
    has_bandwidth = excluded.has_bandwidth,
    has_cost_rule = excluded.has_cost_rule,
    draws_iops = excluded.draws_iops,
    draws_bandwidth = excluded.draws_bandwidth,
    needs_iops_quota = excluded.needs_iops_quota,
    needs_bandwidth_quota = excluded.needs_bandwidth_quota;
$$;

comment on function rate_limiter_internal.write_app_facts(timestamptz, uuid) is
  'Writes all facts of an application, by what the control plane says at a moment. The caller '
  'holds the application, and, where it is new or changes its place, what complete_application() '
  'locks.';
--! EndIncluded rate_limiter_internal/applications/write_app_facts.sql
--! Included rate_limiter_internal/applications/complete_application.sql
create or replace function rate_limiter_internal.complete_application()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.commit_locally();
  if tg_op = 'UPDATE' and new.cluster_id is not distinct from old.cluster_id then
    new.shard_key := old.shard_key;
  elsif new.cluster_id is null then
    new.shard_key := nextval('rate_limiter.clusters_shard_key_seq');
  else
    select c.shard_key
    into new.shard_key
    from rate_limiter.clusters as c
    where c.cluster_id = new.cluster_id;
  end if;

  -- A tenant that is not there is the foreign key's to refuse. One that stays is not locked: it
  -- writes to its applications' facts itself, whose rows it waits for (sync_tenant_active).
  if tg_op = 'INSERT' or new.tenant_id is distinct from old.tenant_id then
    perform from rate_limiter.tenants as t where t.tenant_id = new.tenant_id for share;
  end if;

  if tg_op = 'INSERT' then
    -- A quota of the cluster that is being made is waited for, and a later one waits: a move for
    -- lock_placement(), before this row was locked, and a new application for the cluster's row.
    perform from rate_limiter.clusters as c where c.cluster_id = new.cluster_id for share;
    -- A change of the setting that is under way reaches only the applications that it sees.
    perform from rate_limiter.system_settings as s where s.key = 'without_quota' for share;
  elsif new.cluster_id is distinct from old.cluster_id then
    -- Ahead of its buckets, as a loan locks them: see sync_application().
    perform rate_limiter_internal.lock_ceilings(array[new.tenant_id]);
    -- Nothing is added to it under its old shard key by a session without its buckets: see
    -- hold_application().
    perform
    from rate_limiter.app_facts as f
    where f.shard_key = old.shard_key and f.app_id = new.app_id
    for update;
    -- Most of its history, before its decisions have to wait for the move.
    perform rate_limiter_internal.move_history(old.shard_key, new.shard_key, new.app_id);
    perform rate_limiter_internal.move_charges(
      old.shard_key, new.shard_key, new.app_id, clock_timestamp() - interval '1 hour'
    );
    perform rate_limiter_internal.move_buckets(old.shard_key, new.shard_key, new.app_id);
  end if;
  return new;
end;
$$;

comment on function rate_limiter_internal.complete_application() is
  'Trigger: locks what the facts of a new application, or of one that changes its tenant or '
  'cluster, are read from, and its own buckets, which follow its old cluster up to that moment.';
--! EndIncluded rate_limiter_internal/applications/complete_application.sql
--! Included rate_limiter_internal/applications/end_leases_of.sql
create or replace function rate_limiter_internal.end_leases_of(
  app_id uuid,
  cluster_ids uuid[]
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  revoked constant rate_limiter_internal.bucket_charge[] :=
    rate_limiter_internal.revoke_leases(clock_timestamp(), array[app_id]);
begin
  perform rate_limiter_internal.lock_layer1(
    array(select c.owner_id from unnest(revoked) as c) || cluster_ids
  );
  perform rate_limiter_internal.release_leased(revoked);
end;
$$;

comment on function rate_limiter_internal.end_leases_of(uuid, uuid[]) is
  'Revokes the open leases of an application that was deactivated, and locks layer 1 of these '
  'clusters and of those that the leases came from.';
--! EndIncluded rate_limiter_internal/applications/end_leases_of.sql
--! Included rate_limiter_internal/applications/sync_application.sql
create or replace function rate_limiter_internal.sync_application()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  at constant timestamptz := clock_timestamp();
  is_new constant boolean := tg_op = 'INSERT';
  is_active boolean;
  was_active boolean := false;
  changes_cluster boolean := is_new;
  comes_under_ceilings boolean := new.is_active;
  ended rate_limiter.reservations;
begin
  perform rate_limiter_internal.commit_locally();
  if not is_new then
    select f.is_active and f.tenant_is_active
    into was_active
    from rate_limiter.app_facts as f
    where f.shard_key = old.shard_key and f.app_id = new.app_id;
    changes_cluster := new.cluster_id is distinct from old.cluster_id;
    comes_under_ceilings := new.is_active
      and (not old.is_active or changes_cluster or new.tenant_id <> old.tenant_id);
  end if;

  if new.shard_key is distinct from old.shard_key then
    update rate_limiter.app_facts as f
    set shard_key = new.shard_key, moved_at = clock_timestamp()
    where f.shard_key = old.shard_key and f.app_id = new.app_id;
    update rate_limiter.app_costs as c
    set shard_key = new.shard_key
    where c.shard_key = old.shard_key and c.app_id = new.app_id;
    -- One that is being changed keeps the old number, which decisions then find stale.
    update rate_limiter_private.api_keys as k
    set shard_key = new.shard_key
    where k.key_hash = any (array(
      select own.key_hash
      from rate_limiter_private.api_keys as own
      where own.app_id = new.app_id
      for update skip locked
    ));
  end if;
  perform rate_limiter_internal.write_app_facts(at, new.app_id);
  select f.is_active and f.tenant_is_active
  into is_active
  from rate_limiter.app_facts as f
  where f.shard_key = new.shard_key and f.app_id = new.app_id;

  -- A first ceiling waits for this application or its tenant, which are locked: see
  -- set_tenant_ceiling().
  if comes_under_ceilings and exists (
    select from rate_limiter.tenant_ceilings as c where c.tenant_id = new.tenant_id
  ) then
    perform rate_limiter_internal.lock_ceilings(array[new.tenant_id]);
    perform rate_limiter_internal.require_ceilings(at, new.tenant_id, new.cluster_id);
  end if;

  -- Where it stays on its cluster, sync_layer1() does this.
  if changes_cluster and was_active and not is_active then
    perform rate_limiter_internal.end_leases_of(
      new.app_id, array[old.cluster_id, new.cluster_id]
    );
  end if;
  if changes_cluster then
    perform rate_limiter_internal.add_default_buckets(new.cluster_id, array[new.app_id]);
  end if;
  if comes_under_ceilings then
    perform rate_limiter_internal.begin_with_nothing(clock_timestamp(), old, new);
  end if;
  if changes_cluster and not is_new then
    delete from rate_limiter.reservations as r
    where r.app_id = new.app_id and r.cluster_id is distinct from new.cluster_id
    returning r.* into ended;
    if found then
      perform rate_limiter_internal.write_reservation_history(
        ended, null, 'the application left the cluster'
      );
      perform rate_limiter_internal.sync_reserves(old.cluster_id);
    end if;
    -- Its reserves too, which are locked after layer 1.
    perform rate_limiter_internal.finish_move(old.shard_key, new.shard_key, new.app_id);
    perform rate_limiter_internal.invalidate_bucket_quota(new.app_id, 'enforce', at);
  end if;
  return null;
end;
$$;

comment on function rate_limiter_internal.sync_application() is
  'Trigger: writes the facts of an application, by which decisions know it. One that comes to a '
  'cluster gets the buckets of its default quota and has to fit the ceilings of its tenant; under '
  'those that did not count it before it begins with nothing. One that leaves ends its '
  'reservation. What becomes of leases and reserve of one that is activated or deactivated where '
  'it is: sync_layer1().';
--! EndIncluded rate_limiter_internal/applications/sync_application.sql
--! Included rate_limiter_internal/applications/sync_layer1.sql
create or replace function rate_limiter_internal.sync_layer1()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  is_active boolean;
begin
  perform rate_limiter_internal.commit_locally();
  select f.is_active and f.tenant_is_active
  into is_active
  from rate_limiter.app_facts as f
  where f.shard_key = new.shard_key and f.app_id = new.app_id;

  if not is_active then
    perform rate_limiter_internal.end_leases_of(new.app_id, array[new.cluster_id]);
  end if;
  if exists (
    select
    from rate_limiter.reservations as r
    where r.app_id = new.app_id and r.cluster_id = new.cluster_id
  ) then
    perform rate_limiter_internal.sync_reserves(new.cluster_id);
    if is_active then
      perform rate_limiter_internal.require_reservations(clock_timestamp(), new.cluster_id);
    end if;
  end if;
  return null;
end;
$$;

comment on function rate_limiter_internal.sync_layer1() is
  'Trigger: revokes the leases of an application that is deactivated; its reservation counts while '
  'it is active. It locks layer 1, which all tenants of the cluster wait for, and can be deferred '
  'to the end of the transaction: several changes that are one transaction of the admin API do '
  'that (inOneTransaction).';
--! EndIncluded rate_limiter_internal/applications/sync_layer1.sql
--! Included rate_limiter/applications/applications.triggers.sql
create or replace trigger set_updated_at
  before update on rate_limiter.applications
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger lock_placement_change
  before update of cluster_id on rate_limiter.applications
  for each statement
  execute function rate_limiter_internal.lock_placement_change();

create or replace trigger complete_application
  before insert or update of tenant_id, cluster_id, shard_key on rate_limiter.applications
  for each row
  execute function rate_limiter_internal.complete_application();

create or replace trigger sync_application
  after insert or update of tenant_id, cluster_id, is_active, auto_borrow
  on rate_limiter.applications
  for each row
  execute function rate_limiter_internal.sync_application();

-- create or replace does not know constraint triggers. After sync_application: by name.
drop trigger if exists sync_layer1 on rate_limiter.applications;
create constraint trigger sync_layer1
  after update of tenant_id, is_active on rate_limiter.applications
  deferrable initially immediate
  for each row
  when (
    (old.tenant_id, old.is_active) is distinct from (new.tenant_id, new.is_active)
  )
  execute function rate_limiter_internal.sync_layer1();

create or replace trigger check_auto_borrow
  before update of auto_borrow on rate_limiter.applications
  for each row
  when (old.auto_borrow <> new.auto_borrow)
  execute function rate_limiter_internal.check_auto_borrow();

create or replace trigger refuse_delete_of_application
  before delete on rate_limiter.applications
  for each row
  execute function rate_limiter_internal.refuse_delete_of_application();

create or replace trigger audit_change
  after insert or update of tenant_id, cluster_id, name, metadata, auto_borrow, is_active or delete
  on rate_limiter.applications
  for each row
  execute function rate_limiter_internal.audit_change('app_id');
--! EndIncluded rate_limiter/applications/applications.triggers.sql
--! Included rate_limiter/applications/clusters.triggers.sql
create or replace trigger set_updated_at
  before update on rate_limiter.clusters
  for each row
  -- The result of a probe does not change the cluster.
  when (
    (old.name, old.region, old.endpoint, old.max_capacity, old.health_check_url, old.is_active)
    is distinct from
    (new.name, new.region, new.endpoint, new.max_capacity, new.health_check_url, new.is_active)
  )
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger lock_placement_change
  before delete on rate_limiter.clusters
  for each statement
  execute function rate_limiter_internal.lock_placement_change();

create or replace trigger refuse_delete_of_cluster
  before delete on rate_limiter.clusters
  for each row
  execute function rate_limiter_internal.refuse_delete_of_cluster();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.clusters
  for each row
  execute function rate_limiter_internal.audit_change('cluster_id');

create or replace trigger check_max_capacity
  before update of max_capacity on rate_limiter.clusters
  for each row
  when (new.max_capacity > 0 and new.max_capacity is distinct from old.max_capacity)
  execute function rate_limiter_internal.check_max_capacity();

create or replace trigger check_health_url
  before insert or update of health_check_url on rate_limiter.clusters
  for each row
  when (
    new.health_check_url is not null and rate_limiter_internal.current_user_id() is not null
  )
  execute function rate_limiter_internal.check_health_url();

create or replace trigger reset_health
  before update of health_check_url on rate_limiter.clusters
  for each row
  when (old.health_check_url is distinct from new.health_check_url)
  execute function rate_limiter_internal.reset_health();
--! EndIncluded rate_limiter/applications/clusters.triggers.sql
--! Included rate_limiter/applications/tenants.triggers.sql
create or replace trigger set_updated_at
  before update on rate_limiter.tenants
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger sync_tenant_active
  after update of is_active on rate_limiter.tenants
  for each row
  when (old.is_active <> new.is_active)
  execute function rate_limiter_internal.sync_tenant_active();

create or replace trigger refuse_delete_of_tenant
  before delete on rate_limiter.tenants
  for each row
  execute function rate_limiter_internal.refuse_delete_of_tenant();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.tenants
  for each row
  execute function rate_limiter_internal.audit_change('tenant_id');

create or replace trigger keep_administrator
  after update of is_active on rate_limiter.tenants
  for each row
  when (old.is_active and not new.is_active)
  execute function rate_limiter_internal.keep_administrator();

create or replace trigger end_sessions
  after update of is_active on rate_limiter.tenants
  for each row
  when (old.is_active and not new.is_active)
  execute function rate_limiter_internal.end_sessions_of_tenant();
--! EndIncluded rate_limiter/applications/tenants.triggers.sql
--! Included rate_limiter/applications/applications.policies.sql
-- New ones are made by rate_limiter_admin.create_application(), which makes the first key too.
alter table rate_limiter.applications enable row level security;

drop policy if exists readable on rate_limiter.applications;
create policy readable on rate_limiter.applications
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('application', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

drop policy if exists updatable on rate_limiter.applications;
create policy updatable on rate_limiter.applications
  for update to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may_change('application', 'update'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  )
  with check (
    (select rate_limiter_internal.may_change('application', 'update'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

drop policy if exists deletable on rate_limiter.applications;
create policy deletable on rate_limiter.applications
  for delete to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may_change('application', 'delete'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

drop policy if exists monitored on rate_limiter.applications;
create policy monitored on rate_limiter.applications
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/applications/applications.policies.sql
--! Included rate_limiter/applications/app_facts.policies.sql
-- Written by functions alone. Who sees an application sees its facts.
alter table rate_limiter.app_facts enable row level security;

drop policy if exists readable on rate_limiter.app_facts;
create policy readable on rate_limiter.app_facts
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('application', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

drop policy if exists monitored on rate_limiter.app_facts;
create policy monitored on rate_limiter.app_facts
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/applications/app_facts.policies.sql
--! Included rate_limiter/applications/clusters.policies.sql
-- A tenant sees the clusters that host it; only system administrators change one.
alter table rate_limiter.clusters enable row level security;

drop policy if exists readable on rate_limiter.clusters;
create policy readable on rate_limiter.clusters
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('application', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or cluster_id = any ((select rate_limiter_internal.current_cluster_ids())::uuid[])
    )
  );

drop policy if exists insertable on rate_limiter.clusters;
create policy insertable on rate_limiter.clusters
  for insert to rate_limiter_visitor
  with check (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists updatable on rate_limiter.clusters;
create policy updatable on rate_limiter.clusters
  for update to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  )
  with check (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists deletable on rate_limiter.clusters;
create policy deletable on rate_limiter.clusters
  for delete to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists monitored on rate_limiter.clusters;
create policy monitored on rate_limiter.clusters
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/applications/clusters.policies.sql
--! Included rate_limiter/applications/tenants.policies.sql
-- Users see their own tenant; system administrators see and make all of them. Only they
-- deactivate one, which its own administrator could not undo, or rename one: a name that is taken
-- would tell of another tenant.
alter table rate_limiter.tenants enable row level security;

drop policy if exists readable on rate_limiter.tenants;
create policy readable on rate_limiter.tenants
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('tenant', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

drop policy if exists insertable on rate_limiter.tenants;
create policy insertable on rate_limiter.tenants
  for insert to rate_limiter_visitor
  with check (
    (select rate_limiter_internal.may_change('tenant', 'create'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists updatable on rate_limiter.tenants;
create policy updatable on rate_limiter.tenants
  for update to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may_change('tenant', 'update'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  )
  with check (
    (select rate_limiter_internal.may_change('tenant', 'update'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
    and (
      (select rate_limiter_internal.is_system_admin())
      or (is_active and name = (select rate_limiter_internal.current_tenant_name()))
    )
  );

drop policy if exists deletable on rate_limiter.tenants;
create policy deletable on rate_limiter.tenants
  for delete to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may_change('tenant', 'delete'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists monitored on rate_limiter.tenants;
create policy monitored on rate_limiter.tenants
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/applications/tenants.policies.sql
--! Included rate_limiter/applications/applications.grants.sql
revoke all on rate_limiter.applications
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.applications to rate_limiter_visitor, rate_limiter_readonly;
grant update (name, metadata, auto_borrow, is_active) on rate_limiter.applications
  to rate_limiter_visitor;
grant delete on rate_limiter.applications to rate_limiter_visitor;
--! EndIncluded rate_limiter/applications/applications.grants.sql
--! Included rate_limiter/applications/app_facts.grants.sql
revoke all on rate_limiter.app_facts
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.app_facts to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/applications/app_facts.grants.sql
--! Included rate_limiter/applications/applications_needs_iops_quota.sql
create or replace function rate_limiter.applications_needs_iops_quota(
  application rate_limiter.applications
)
returns boolean
language sql
stable
parallel safe
as $$
  select f.needs_iops_quota
  from rate_limiter.app_facts as f
  where f.app_id = application.app_id;
$$;

comment on function rate_limiter.applications_needs_iops_quota(rate_limiter.applications) is
  E'@notNull\n'
  'Whether it is denied (no_quota) while no IOPS quota of its own and no default is in force: '
  'because of a ceiling of its tenant, or the setting without_quota.';
grant execute on function rate_limiter.applications_needs_iops_quota(rate_limiter.applications)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter/applications/applications_needs_iops_quota.sql
--! Included rate_limiter/applications/applications_needs_bandwidth_quota.sql
create or replace function rate_limiter.applications_needs_bandwidth_quota(
  application rate_limiter.applications
)
returns boolean
language sql
stable
parallel safe
as $$
  select f.needs_bandwidth_quota
  from rate_limiter.app_facts as f
  where f.app_id = application.app_id;
$$;

comment on function rate_limiter.applications_needs_bandwidth_quota(rate_limiter.applications) is
  E'@notNull\n'
  'Whether it is denied (no_quota) while no bandwidth quota of its own and no default is in '
  'force: because of a ceiling of its tenant, or the setting without_quota.';
grant execute on function rate_limiter.applications_needs_bandwidth_quota(rate_limiter.applications)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter/applications/applications_needs_bandwidth_quota.sql
--! Included rate_limiter/applications/applications_suspended_until.sql
create or replace function rate_limiter.applications_suspended_until(
  application rate_limiter.applications
)
returns timestamptz
language sql
stable
parallel safe
as $$
  select f.suspended_until
  from rate_limiter.app_facts as f
  where f.app_id = application.app_id;
$$;

comment on function rate_limiter.applications_suspended_until(rate_limiter.applications) is
  'Until when it is suspended, itself or with its tenant: null for not at all, infinity until '
  'the suspension is lifted.';
grant execute on function rate_limiter.applications_suspended_until(rate_limiter.applications)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter/applications/applications_suspended_until.sql
--! Included rate_limiter/applications/clusters.grants.sql
-- Tenants see that a cluster is there and how it does. Where it is, what it is rated for and what a
-- probe found is the operator's: see rate_limiter_admin.cluster_details.
revoke all on rate_limiter.clusters
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.clusters to rate_limiter_readonly;
grant select (cluster_id, name, region, health_status, health_checked_at, is_active, created_at,
  updated_at)
  on rate_limiter.clusters to rate_limiter_visitor;
grant insert (name, region, endpoint, max_capacity, health_check_url)
  on rate_limiter.clusters to rate_limiter_visitor;
grant update (name, region, endpoint, max_capacity, health_check_url, is_active)
  on rate_limiter.clusters to rate_limiter_visitor;
grant delete on rate_limiter.clusters to rate_limiter_visitor;
--! EndIncluded rate_limiter/applications/clusters.grants.sql
--! Included rate_limiter/applications/tenants.grants.sql
revoke all on rate_limiter.tenants
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.tenants to rate_limiter_visitor, rate_limiter_readonly;
grant insert (name, description) on rate_limiter.tenants to rate_limiter_visitor;
grant update (name, description, is_active, requires_second_factor, has_default_alerts)
  on rate_limiter.tenants to rate_limiter_visitor;
grant delete on rate_limiter.tenants to rate_limiter_visitor;
--! EndIncluded rate_limiter/applications/tenants.grants.sql
