--! Previous: sha1:f1bd7e9bbe1bc3657a2383f15a0572c9e621045a
--! Hash: sha1:ef47782531126f7aa9714f058f091939172c1271
--! Message: metrics and exports

-- Usage
--! Included rate_limiter_internal/usage/ledger_usage.sql
create or replace function rate_limiter_internal.ledger_usage(
  shard_key integer,
  app_id uuid,
  bucket_type rate_limiter.bucket_type,
  after_seq bigint,
  to_seq bigint,
  from_time timestamptz,
  to_time timestamptz
)
returns table (
  hour timestamptz,
  tokens_consumed numeric,
  tokens_refunded numeric,
  tokens_owed numeric,
  usage_entries bigint,
  ledger_entries bigint,
  last_seq bigint,
  last_at timestamptz
)
language sql
stable
parallel safe
as $$
  select
    date_trunc('hour', t.created_at, 'UTC'),
    coalesce(
      -sum(t.tokens_change) filter (
        where t.transaction_type in ('consume', 'lease', 'settle')
      ),
      0
    ),
    coalesce(sum(t.tokens_change) filter (where t.transaction_type = 'refund'), 0),
    coalesce(-sum(t.tokens_change) filter (where t.transaction_type = 'owed'), 0),
    count(*) filter (
      where t.transaction_type in ('consume', 'lease', 'settle', 'owed', 'refund')
    ),
    count(*),
    max(t.seq),
    max(t.created_at)
  from rate_limiter.token_transactions as t
  where t.shard_key = ledger_usage.shard_key
    and t.owner_id = ledger_usage.app_id
    and t.bucket_type = ledger_usage.bucket_type
    and t.mode = 'enforce'
    and t.created_at >= from_time
    and t.created_at < to_time
    and t.seq > after_seq
    and t.seq <= to_seq
  group by 1;
$$;

comment on function rate_limiter_internal.ledger_usage(
  integer, uuid, rate_limiter.bucket_type, bigint, bigint, timestamptz, timestamptz
) is 'What the ledger rows of a bucket say, by hour: those of some numbers and of a span of time.';
--! EndIncluded rate_limiter_internal/usage/ledger_usage.sql
--! Included rate_limiter_internal/usage/usage_due.sql
create or replace function rate_limiter_internal.usage_due(
  shard_keys integer[],
  app_ids uuid[],
  max_entries integer
)
returns table (
  shard_key integer,
  app_id uuid,
  bucket_type rate_limiter.bucket_type,
  after_seq bigint,
  to_seq bigint,
  from_time timestamptz,
  to_time timestamptz,
  is_rest boolean
)
language sql
stable
parallel safe
as $$
  with moved as (
    select
      b.shard_key, b.owner_id, b.bucket_type, b.ledger_seq, b.updated_at,
      coalesce(p.seq, 0) as seq,
      coalesce(p.last_at, b.created_at) as last_at,
      least(b.ledger_seq - coalesce(p.seq, 0), max_entries) as entries
    from unnest(shard_keys, app_ids) as a (shard_key, app_id)
    join rate_limiter.token_buckets as b
      on b.shard_key = a.shard_key and b.owner_id = a.app_id and b.mode = 'enforce'
    left join rate_limiter_private.usage_progress as p
      on p.shard_key = b.shard_key and p.app_id = b.owner_id and p.bucket_type = b.bucket_type
    where b.ledger_seq > coalesce(p.seq, 0)
  )
  select
    m.shard_key, m.owner_id, m.bucket_type, m.seq, m.seq + m.entries,
    -- Where its rows are likely to be. Of many, the part of the time that is theirs.
    m.last_at - interval '1 hour',
    case
      when m.seq + m.entries = m.ledger_seq then m.updated_at + interval '1 hour'
      else m.last_at + interval '1 minute'
        + (m.updated_at - m.last_at) * (m.entries::double precision / (m.ledger_seq - m.seq))
    end,
    m.seq + m.entries = m.ledger_seq
  from moved as m;
$$;

comment on function rate_limiter_internal.usage_due(integer[], uuid[], integer) is
  'Buckets of applications whose ledger has rows that the usage by hour does not count yet: which '
  'numbers they have, at most max_entries, whether those are the rest, and when they were '
  'probably written.';
--! EndIncluded rate_limiter_internal/usage/usage_due.sql
--! Included rate_limiter_internal/usage/add_usage.sql
create or replace function rate_limiter_internal.add_usage(
  shard_keys integer[],
  app_ids uuid[],
  max_entries integer
)
returns uuid
language plpgsql
volatile
parallel unsafe
as $$
declare
  unfinished uuid;
begin
  with due as materialized (
    select
      d.*,
      sum(d.to_seq - d.after_seq) over (order by d.app_id, d.bucket_type)
        - (d.to_seq - d.after_seq) < max_entries as is_taken
    from rate_limiter_internal.usage_due(shard_keys, app_ids, max_entries) as d
  ),
  near as materialized (
    select
      d.shard_key, d.app_id, d.bucket_type, u.*,
      -- A bucket's rows are numbered without gaps, and each is visible only with those before it:
      -- as many as the numbers say are all of them, whatever the clock did.
      sum(u.ledger_entries) over bucket = max(u.last_seq) over bucket - d.after_seq as is_complete
    from due as d
    cross join lateral rate_limiter_internal.ledger_usage(
      d.shard_key, d.app_id, d.bucket_type, d.after_seq, d.to_seq, d.from_time, d.to_time
    ) as u
    where d.is_taken
    window bucket as (partition by d.shard_key, d.app_id, d.bucket_type)
  ),
  added as materialized (
    select n.*
    from near as n
    where n.is_complete
    union all
    -- The others are looked for at all times; what is missing then has expired.
    select d.shard_key, d.app_id, d.bucket_type, u.*, false
    from due as d
    cross join lateral rate_limiter_internal.ledger_usage(
      d.shard_key, d.app_id, d.bucket_type, d.after_seq, d.to_seq, '-infinity', 'infinity'
    ) as u
    where d.is_taken
      and (d.app_id, d.bucket_type) not in (
        select n.app_id, n.bucket_type from near as n where n.is_complete
      )
  ),
  complete as (
    select distinct n.app_id, n.bucket_type
    from near as n
    where n.is_complete
  ),
  asked as (
    select
      d.shard_key, d.app_id, l.minute, l.operation, l.size_class, sum(l.operations) as operations,
      sum(l.tokens) as tokens, sum(l.bytes) as bytes, sum(l.peak_operations) as peak_operations,
      sum(l.first_operations) as first_operations
    from due as d
    left join complete as c using (app_id, bucket_type)
    cross join lateral rate_limiter_internal.ledger_demand(
      d.shard_key, d.app_id, d.bucket_type, d.after_seq, d.to_seq,
      case when c.app_id is null then '-infinity' else d.from_time end,
      case when c.app_id is null then 'infinity' else d.to_time end
    ) as l
    where d.is_taken
    group by d.shard_key, d.app_id, l.minute, l.operation, l.size_class
  ),
  demand as (
    insert into rate_limiter_private.demand as m (
      shard_key, app_id, minute, operation, size_class, is_denied, counter, operations, tokens,
      bytes, peak_operations
    )
    select
      a.shard_key, a.app_id, a.minute, a.operation, a.size_class, false,
      -- As merge_demand() has it, bounded alike.
      '00000000-0000-0000-0000-000000000000', a.operations, a.tokens, a.bytes,
      -- The second that the last run ended in may go on.
      greatest(a.peak_operations, coalesce(b.peak_operations, 0) + a.first_operations)
    from asked as a
    left join rate_limiter_private.demand as b
      on b.shard_key = a.shard_key
      and b.app_id = a.app_id
      and b.minute = a.minute
      and b.operation = a.operation
      and b.size_class = a.size_class
      and not b.is_denied
      and b.counter = '00000000-0000-0000-0000-000000000000'
    on conflict on constraint demand_pkey do update
    set
      operations = least(m.operations + excluded.operations, 9e17),
      tokens = least(m.tokens + excluded.tokens, 9e30),
      bytes = least(m.bytes + excluded.bytes, 9e36),
      peak_operations = greatest(m.peak_operations, excluded.peak_operations)
  ),
  hours as (
    insert into rate_limiter_private.usage_hourly as h (
      shard_key, app_id, bucket_type, hour, tokens_consumed, tokens_refunded, tokens_owed,
      usage_entries, ledger_entries
    )
    select
      a.shard_key, a.app_id, a.bucket_type, a.hour, a.tokens_consumed, a.tokens_refunded,
      a.tokens_owed, a.usage_entries, a.ledger_entries
    from added as a
    on conflict (shard_key, app_id, bucket_type, hour) do update
    set
      tokens_consumed = h.tokens_consumed + excluded.tokens_consumed,
      tokens_refunded = h.tokens_refunded + excluded.tokens_refunded,
      tokens_owed = h.tokens_owed + excluded.tokens_owed,
      usage_entries = h.usage_entries + excluded.usage_entries,
      ledger_entries = h.ledger_entries + excluded.ledger_entries
  ),
  days as (
    insert into rate_limiter_private.usage_daily as d (
      shard_key, app_id, bucket_type, date, tokens_consumed, tokens_refunded, tokens_owed,
      usage_entries, ledger_entries
    )
    select
      a.shard_key, a.app_id, a.bucket_type, (a.hour at time zone 'UTC')::date,
      sum(a.tokens_consumed), sum(a.tokens_refunded), sum(a.tokens_owed), sum(a.usage_entries),
      sum(a.ledger_entries)
    from added as a
    group by 1, 2, 3, 4
    on conflict (shard_key, app_id, bucket_type, date) do update
    set
      tokens_consumed = d.tokens_consumed + excluded.tokens_consumed,
      tokens_refunded = d.tokens_refunded + excluded.tokens_refunded,
      tokens_owed = d.tokens_owed + excluded.tokens_owed,
      usage_entries = d.usage_entries + excluded.usage_entries,
      ledger_entries = d.ledger_entries + excluded.ledger_entries
  ),
  ends as (
    select
      a.app_id, a.bucket_type, bool_and(a.is_complete) as is_complete, max(a.last_seq) as seq,
      max(a.last_at) as last_at
    from added as a
    group by a.app_id, a.bucket_type
  ),
  progress as (
    insert into rate_limiter_private.usage_progress as p
      (shard_key, app_id, bucket_type, seq, last_at)
    select
      d.shard_key, d.app_id, d.bucket_type,
      case when e.is_complete then e.seq else d.to_seq end,
      coalesce(e.last_at, d.from_time + interval '1 hour')
    from due as d
    left join ends as e using (app_id, bucket_type)
    where d.is_taken
    on conflict (shard_key, app_id, bucket_type) do update
    set seq = excluded.seq, last_at = excluded.last_at
    returning p.app_id, p.bucket_type, p.seq
  )
  select d.app_id
  into unfinished
  from due as d
  left join progress as p using (app_id, bucket_type)
  where not d.is_rest or p.seq is distinct from d.to_seq
  order by d.app_id
  limit 1;
  return unfinished;
end;
$$;

comment on function rate_limiter_internal.add_usage(integer[], uuid[], integer) is
  'Adds ledger rows of applications, in the order of their ids, to the usage by hour and day, and '
  'those of operations to the record of demand: some max_entries rows. Answers the first '
  'application that has more, null where none has.';
--! EndIncluded rate_limiter_internal/usage/add_usage.sql
--! Included rate_limiter_internal/usage/usage_of.sql
create or replace function rate_limiter_internal.usage_of(
  shard_key integer,
  app_id uuid,
  unit text,
  from_time timestamptz,
  to_time timestamptz
)
returns table (
  starts_at timestamptz,
  bucket_type rate_limiter.bucket_type,
  tokens_used numeric,
  usage_entries bigint
)
language sql
stable
parallel safe
as $$
  select
    u.hour, u.bucket_type, u.tokens_consumed + u.tokens_owed - u.tokens_refunded, u.usage_entries
  from rate_limiter_private.usage_hourly as u
  where unit = 'hour'
    and u.shard_key = usage_of.shard_key
    and u.app_id = usage_of.app_id
    and u.hour >= from_time
    and u.hour < to_time
  union all
  select
    u.date::timestamp at time zone 'UTC', u.bucket_type,
    u.tokens_consumed + u.tokens_owed - u.tokens_refunded, u.usage_entries
  from rate_limiter_private.usage_daily as u
  where unit = 'day'
    and u.shard_key = usage_of.shard_key
    and u.app_id = usage_of.app_id
    and u.date >= (from_time at time zone 'UTC')::date
    and u.date < (to_time at time zone 'UTC')::date
  union all
  -- What the job has yet to count. Rows of a bucket come nearly in the order of their times, but
  -- where the clock stepped back.
  select
    date_trunc(unit, l.hour, 'UTC'), b.bucket_type,
    l.tokens_consumed + l.tokens_owed - l.tokens_refunded, l.usage_entries
  from rate_limiter.token_buckets as b
  left join rate_limiter_private.usage_progress as p
    on p.shard_key = b.shard_key and p.app_id = b.owner_id and p.bucket_type = b.bucket_type
  cross join lateral rate_limiter_internal.ledger_usage(
    b.shard_key, b.owner_id, b.bucket_type, coalesce(p.seq, 0), b.ledger_seq,
    greatest(
      from_time, case when b.updated_at >= p.last_at then p.last_at - interval '1 minute' end
    ),
    to_time
  ) as l
  where b.shard_key = usage_of.shard_key
    and b.owner_id = usage_of.app_id
    and b.mode = 'enforce'
    and b.ledger_seq > coalesce(p.seq, 0);
$$;

comment on function rate_limiter_internal.usage_of(
  integer, uuid, text, timestamptz, timestamptz
) is
  'What an application used, by the hour or the day, in a span of whole ones: as the job has '
  'counted it, with what the ledger has got since. Several rows of one step add up.';
--! EndIncluded rate_limiter_internal/usage/usage_of.sql
--! Included rate_limiter_internal/usage/usage_between.sql
create or replace function rate_limiter_internal.usage_between(
  bucket_type rate_limiter.bucket_type,
  from_time timestamptz,
  first_day timestamptz,
  last_day timestamptz,
  to_time timestamptz
)
returns table (shard_key integer, app_id uuid, tokens_used numeric)
language sql
stable
parallel safe
as $$
  select u.shard_key, u.app_id, u.tokens_consumed + u.tokens_owed - u.tokens_refunded
  from rate_limiter_private.usage_daily as u
  where u.bucket_type = usage_between.bucket_type
    and u.date >= (first_day at time zone 'UTC')::date
    and u.date < (last_day at time zone 'UTC')::date
  union all
  select u.shard_key, u.app_id, u.tokens_consumed + u.tokens_owed - u.tokens_refunded
  from rate_limiter_private.usage_hourly as u
  where u.bucket_type = usage_between.bucket_type
    and u.hour >= from_time
    and u.hour < first_day
  union all
  select u.shard_key, u.app_id, u.tokens_consumed + u.tokens_owed - u.tokens_refunded
  from rate_limiter_private.usage_hourly as u
  where u.bucket_type = usage_between.bucket_type
    and u.hour >= last_day
    and u.hour < to_time;
$$;

comment on function rate_limiter_internal.usage_between(
  rate_limiter.bucket_type, timestamptz, timestamptz, timestamptz, timestamptz
) is
  'What applications used in a span of whole hours, as the job has counted it: the days from '
  'first_day until before last_day, and the hours on both sides of them; several rows for each.';
--! EndIncluded rate_limiter_internal/usage/usage_between.sql
--! Included rate_limiter_private/usage/refresh_daily_quota_usage.sql
drop function if exists rate_limiter_private.refresh_daily_quota_usage();

create or replace function rate_limiter_private.refresh_daily_quota_usage(
  from_app_id uuid default null,
  batch_size integer default 1000,
  max_entries integer default 20000,
  out is_busy boolean,
  out next_app_id uuid
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  apps record;
  due_ids uuid[];
  held record;
begin
  -- One at a time: two would count the same rows.
  is_busy := not rate_limiter_internal.try_lock_job('refresh_daily_quota_usage');
  if is_busy then
    return;
  end if;

  select
    (array_agg(f.shard_key order by f.app_id))[:batch_size] as shard_keys,
    (array_agg(f.app_id order by f.app_id))[:batch_size] as ids,
    (array_agg(f.app_id order by f.app_id))[batch_size + 1] as next_id
  into apps
  from (
    select f.shard_key, f.app_id
    from rate_limiter.app_facts as f
    where f.app_id >= coalesce(from_app_id, '00000000-0000-0000-0000-000000000000')
    order by f.app_id
    limit batch_size + 1
  ) as f;
  next_app_id := apps.next_id;

  -- To lock a row is to write it: idle applications are left alone.
  due_ids := array(
    select distinct d.app_id
    from rate_limiter_internal.usage_due(apps.shard_keys, apps.ids, max_entries) as d
  );
  if due_ids = '{}' then
    return;
  end if;

  -- Each keeps its shard key until this is written.
  with facts as materialized (
    select f.shard_key, f.app_id
    from rate_limiter.app_facts as f
    where f.app_id = any (due_ids)
    order by f.app_id
    for key share
  )
  select
    array_agg(f.shard_key order by f.app_id) as shard_keys,
    array_agg(f.app_id order by f.app_id) as ids
  into held
  from facts as f;

  -- A statement of its own: it sees what was moved before the facts were locked.
  next_app_id := coalesce(
    rate_limiter_internal.add_usage(held.shard_keys, held.ids, max_entries), next_app_id
  );
end;
$$;

comment on function rate_limiter_private.refresh_daily_quota_usage(uuid, integer, integer) is
  'Job: adds ledger rows that are new to the usage by hour and day, of at most batch_size '
  'applications from one on and some max_entries rows. Answers the application to go on with, '
  'null after the last one, and whether another session does the same now. Call it in '
  'transactions of their own. Each row is read once and counted once, however late it came.';
grant execute on function rate_limiter_private.refresh_daily_quota_usage(uuid, integer, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/usage/refresh_daily_quota_usage.sql
--! Included rate_limiter_private/usage/usage_hourly.grants.sql
revoke all on rate_limiter_private.usage_hourly
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.usage_hourly to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/usage/usage_hourly.grants.sql
--! Included rate_limiter_private/usage/usage_daily.grants.sql
revoke all on rate_limiter_private.usage_daily
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.usage_daily to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/usage/usage_daily.grants.sql
--! Included rate_limiter_private/usage/usage_progress.grants.sql
revoke all on rate_limiter_private.usage_progress
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.usage_progress to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/usage/usage_progress.grants.sql

-- Metrics
--! Included rate_limiter_admin/metrics/usage_over_time.sql
create or replace function rate_limiter_admin.usage_over_time(
  app_id uuid,
  since timestamptz,
  until timestamptz,
  resolution rate_limiter_admin.time_resolution default 'hour'
)
returns table (
  starts_at timestamptz,
  tokens_consumed numeric,
  bytes_consumed numeric,
  ledger_entries bigint,
  denied_operations numeric,
  denied_tokens numeric,
  denied_bytes numeric
)
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  shard constant integer := rate_limiter_internal.app_shard_key(app_id);
  unit constant text := resolution::text;
  -- Whole steps.
  from_time constant timestamptz := date_trunc(unit, since, 'UTC');
  to_time constant timestamptz :=
    date_trunc(unit, until - interval '1 microsecond', 'UTC')
    + case resolution when 'hour' then interval '1 hour' else interval '24 hours' end;
begin
  perform rate_limiter_internal.require_application(app_id, 'metrics', 'read');
  perform rate_limiter_internal.require_span(
    since, until, case resolution when 'hour' then interval '31 days' else interval '366 days' end
  );

  return query
  with used as (
    select
      u.starts_at,
      sum(u.tokens_used) filter (where u.bucket_type = 'iops_l2') as tokens,
      sum(u.tokens_used) filter (where u.bucket_type = 'bandwidth_l2') as bytes,
      sum(u.usage_entries)::bigint as entries
    from rate_limiter_internal.usage_of(
      shard, usage_over_time.app_id, unit, from_time, to_time
    ) as u
    where u.bucket_type in ('iops_l2', 'bandwidth_l2')
    group by u.starts_at
  ),
  denied as (
    select
      date_trunc(unit, d.minute, 'UTC') as starts_at,
      sum(d.operations) as operations,
      sum(d.tokens) as tokens,
      sum(d.bytes) as bytes
    from rate_limiter.v_denial_counts as d
    where d.shard_key = shard
      and d.app_id = usage_over_time.app_id
      and d.minute >= from_time
      and d.minute < to_time
    group by 1
  )
  select
    steps.starts_at,
    coalesce(u.tokens, 0),
    coalesce(u.bytes, 0),
    coalesce(u.entries, 0),
    coalesce(d.operations, 0),
    coalesce(d.tokens, 0),
    coalesce(d.bytes, 0)
  from generate_series(
    date_trunc(unit, since at time zone 'UTC'),
    (until - interval '1 microsecond') at time zone 'UTC',
    ('1 ' || unit)::interval
  ) as step (utc)
  cross join lateral (select step.utc at time zone 'UTC' as starts_at) as steps
  left join used as u on u.starts_at = steps.starts_at
  left join denied as d on d.starts_at = steps.starts_at
  order by steps.starts_at;
end;
$$;

comment on function rate_limiter_admin.usage_over_time(
  uuid, timestamptz, timestamptz, rate_limiter_admin.time_resolution
) is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'What an application used and was denied, by the hour (31 days at most) or the day (366), in '
  'UTC; steps without traffic are there too, and the first and the last are whole ones. Used is '
  'what was taken less what came back.';
grant execute on function rate_limiter_admin.usage_over_time(
  uuid, timestamptz, timestamptz, rate_limiter_admin.time_resolution
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/metrics/usage_over_time.sql
--! Included rate_limiter_admin/metrics/top_consumers.sql
create or replace function rate_limiter_admin.top_consumers(
  since timestamptz,
  until timestamptz,
  bucket_type rate_limiter.bucket_type default 'iops_l2',
  max_rows integer default 10,
  cluster_id uuid default null
)
returns table (
  app_id uuid,
  app_name text,
  tenant_name text,
  tokens_consumed numeric,
  percentage numeric,
  denied_operations numeric
)
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
-- A tenant's part is read by its applications, everything by its time.
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  everywhere constant boolean := rate_limiter_internal.is_system_admin();
  own_tenant_id constant uuid := rate_limiter_internal.current_tenant_id();
  -- Whole hours.
  from_time constant timestamptz := date_trunc('hour', since, 'UTC');
  to_time constant timestamptz :=
    date_trunc('hour', until - interval '1 microsecond', 'UTC') + interval '1 hour';
  -- The whole days within it.
  first_day constant timestamptz := least(
    date_trunc('day', from_time + interval '24 hours' - interval '1 microsecond', 'UTC'), to_time
  );
  last_day constant timestamptz := greatest(date_trunc('day', to_time, 'UTC'), first_day);
begin
  perform rate_limiter_internal.require_permission('metrics', 'read');
  perform rate_limiter_internal.require_span(since, until, interval '31 days');

  return query
  with used as (
    select
      a.app_id, a.shard_key, a.name, a.tenant_id,
      sum(u.tokens_used) as tokens
    from rate_limiter_internal.usage_between(
      top_consumers.bucket_type, from_time, first_day, last_day, to_time
    ) as u
    join rate_limiter.applications as a on a.shard_key = u.shard_key and a.app_id = u.app_id
    where (everywhere or a.tenant_id = own_tenant_id)
      and (top_consumers.cluster_id is null or a.cluster_id = top_consumers.cluster_id)
    group by a.app_id
  ),
  ranked as (
    select u.*, sum(u.tokens) over () as total
    from used as u
    where u.tokens > 0
    order by u.tokens desc, u.app_id
    limit least(greatest(max_rows, 0), 100)
  )
  select
    r.app_id,
    r.name::text,
    tn.name::text,
    r.tokens,
    round(r.tokens / r.total * 100, 2),
    (
      select coalesce(sum(d.operations), 0)
      from rate_limiter.v_denial_counts as d
      where d.shard_key = r.shard_key
        and d.app_id = r.app_id
        and d.minute >= from_time
        and d.minute < to_time
    )
  from ranked as r
  join rate_limiter.tenants as tn on tn.tenant_id = r.tenant_id
  order by r.tokens desc, r.app_id;
end;
$$;

comment on function rate_limiter_admin.top_consumers(
  timestamptz, timestamptz, rate_limiter.bucket_type, integer, uuid
) is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'The applications of your tenant (of all, for a system administrator) that used most in a span '
  'of at most 31 days, with their share of what all of those used; at most 100. clusterId: of that '
  'cluster alone. The first and the last hour of the span count whole, and what was used within '
  'the last minutes may not yet.';
grant execute on function rate_limiter_admin.top_consumers(
  timestamptz, timestamptz, rate_limiter.bucket_type, integer, uuid
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/metrics/top_consumers.sql
--! Included rate_limiter_admin/metrics/recent_usage.sql
create or replace function rate_limiter_admin.recent_usage(
  span_seconds integer default 10,
  max_rows integer default 20
)
returns table (
  app_id uuid,
  app_name text,
  cluster_id uuid,
  tokens_per_second numeric,
  bytes_per_second numeric,
  denied_per_second numeric,
  cluster_tokens_per_second numeric,
  cluster_bytes_per_second numeric,
  cluster_denied_per_second numeric
)
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  everywhere constant boolean := rate_limiter_internal.is_system_admin();
  own_tenant_id constant uuid := rate_limiter_internal.current_tenant_id();
  until constant timestamptz := statement_timestamp();
  span constant numeric := least(greatest(span_seconds, 1), 60);
  since constant timestamptz := until - make_interval(secs => span::double precision);
  -- Denials are counted by the minute: this one and the last.
  denied_since constant timestamptz := date_trunc('minute', until - interval '1 minute');
  denied_seconds constant numeric := extract(epoch from until - denied_since);
begin
  perform rate_limiter_internal.require_permission('metrics', 'read');

  return query
  -- What others take is not even read: it would be a tenant's way to make the database busy.
  with seen as (
    select a.app_id, a.name::text as app_name, a.cluster_id
    from rate_limiter.applications as a
    where everywhere or a.tenant_id = own_tenant_id
  ),
  used as (
    select
      b.owner_id as app_id,
      -sum(t.tokens_change) filter (where t.bucket_type = 'iops_l2') as tokens,
      -sum(t.tokens_change) filter (where t.bucket_type = 'bandwidth_l2') as bytes
    from rate_limiter.token_buckets as b
    join rate_limiter.token_transactions as t
      on t.shard_key = b.shard_key
      and t.owner_id = b.owner_id
      and t.bucket_type = b.bucket_type
      and t.mode = b.mode
    -- A bucket that was left alone since has no row to read.
    where b.last_refill_at >= since
      and b.bucket_type in ('iops_l2', 'bandwidth_l2')
      and b.mode = 'enforce'
      and t.transaction_type in ('consume', 'lease', 'settle', 'owed', 'refund')
      and t.created_at >= since
      and t.created_at < until
      and (everywhere or b.owner_id in (select s.app_id from seen as s))
    group by b.owner_id
  ),
  denied as (
    select d.app_id, sum(d.operations) as operations
    from rate_limiter.v_denial_counts as d
    where d.minute >= denied_since
      and (everywhere or d.app_id in (select s.app_id from seen as s))
    group by d.app_id
  ),
  rates as (
    select
      s.app_id,
      s.app_name,
      s.cluster_id,
      greatest(coalesce(u.tokens, 0), 0) / span as tokens,
      greatest(coalesce(u.bytes, 0), 0) / span as bytes,
      coalesce(d.operations, 0) / denied_seconds as denied
    from used as u
    full join denied as d on d.app_id = u.app_id
    join seen as s on s.app_id = coalesce(u.app_id, d.app_id)
  )
  select
    r.app_id,
    r.app_name,
    r.cluster_id,
    round(r.tokens, 3),
    round(r.bytes, 3),
    round(r.denied, 3),
    round(sum(r.tokens) over of_cluster, 3),
    round(sum(r.bytes) over of_cluster, 3),
    round(sum(r.denied) over of_cluster, 3)
  from rates as r
  window of_cluster as (partition by r.cluster_id)
  order by r.tokens + r.denied desc, r.bytes desc, r.app_id
  limit least(greatest(max_rows, 0), 500);
end;
$$;

comment on function rate_limiter_admin.recent_usage(integer, integer) is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'The applications of your tenant (of all, for a system administrator) that took or were denied '
  'most just now: rates over the last seconds (60 at most), and denials of this minute and the '
  'last. cluster… is what all that you may see of a cluster come to. A lease counts when it is '
  'granted; at most 500 rows.';
grant execute on function rate_limiter_admin.recent_usage(integer, integer)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/metrics/recent_usage.sql
--! Included rate_limiter_admin/metrics/cluster_buckets.sql
create or replace function rate_limiter_admin.cluster_buckets()
returns table (
  cluster_id uuid,
  bucket_type rate_limiter.bucket_type,
  tokens numeric,
  capacity numeric,
  refill_rate bigint,
  debt numeric,
  debt_seconds numeric,
  reserved numeric
)
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_permission('metrics', 'read');
  -- A cluster's balance tells what all of its tenants do.
  if not rate_limiter_internal.is_system_admin() then
    return;
  end if;

  return query
  with reserved as (
    select
      r.cluster_id,
      sum(r.reserved_iops) as iops,
      sum(r.reserved_bps) as bps
    from rate_limiter.reservations as r
    group by r.cluster_id
  )
  select
    b.owner_id,
    b.bucket_type,
    state.current_tokens,
    state.capacity,
    state.refill_rate,
    greatest(-state.current_tokens, 0),
    rate_limiter_internal.debt_seconds(statement_timestamp(), state),
    coalesce(case b.bucket_type when 'iops_l1' then r.iops else r.bps end, 0)
  from rate_limiter.token_buckets as b
  cross join lateral rate_limiter_internal.bucket_now(b) as state
  left join reserved as r on r.cluster_id = b.owner_id
  where b.bucket_type in ('iops_l1', 'bandwidth_l1')
    and b.mode = 'enforce'
    and state.capacity is not null
  order by b.owner_id, b.bucket_type;
end;
$$;

comment on function rate_limiter_admin.cluster_buckets() is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'What the layer-1 buckets of all clusters hold now, and what of their refill is reserved. For '
  'system administrators; others get no rows.';
grant execute on function rate_limiter_admin.cluster_buckets() to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/metrics/cluster_buckets.sql
--! Included rate_limiter_internal/metrics/number_problem.sql
create or replace function rate_limiter_internal.number_problem(
  sample jsonb,
  field text,
  maximum numeric,
  is_whole boolean default false
)
returns text
language sql
immutable
parallel safe
return case
  when coalesce(jsonb_typeof(sample -> field), 'null') = 'null' then null
  when jsonb_typeof(sample -> field) <> 'number' then field || ' is not a number'
  when (sample -> field)::numeric not between 0 and maximum
    then field || ' is out of bounds'
  when is_whole and (sample -> field)::numeric % 1 <> 0 then field || ' is not whole'
end;

comment on function rate_limiter_internal.number_problem(jsonb, text, numeric, boolean) is
  'What is wrong with a field that may be absent, and else is a number from 0 to the maximum.';
--! EndIncluded rate_limiter_internal/metrics/number_problem.sql
--! Included rate_limiter_internal/metrics/sample_problem.sql
create or replace function rate_limiter_internal.sample_problem(
  sample jsonb,
  not_before timestamptz,
  not_after timestamptz
)
returns text
language sql
stable
parallel unsafe
as $$
  select case
    when jsonb_typeof(sample) is distinct from 'object' then 'sample is not an object'
    when measured.at is null then 'timestamp is not a moment with an offset'
    when measured.at < not_before then 'timestamp is older than metrics are kept'
    when measured.at > not_after then 'timestamp is in the future'
    when sample ->> 'metric_id' !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      then 'metric_id is not a UUID'
    when jsonb_typeof(sample -> 'tags') not in ('object', 'null') then 'tags is not an object'
    when octet_length(sample ->> 'tags') > 4096 then 'tags is longer than 4096 bytes'
    -- In JSON, a control character is all that has a backslash once those of \\ and \" are gone.
    when concat(
        sample ->> 'metric_name', sample ->> 'unit',
        translate(replace(replace(sample ->> 'tags', e'\\\\', ''), e'\\"', ''), e'\\', e'\n')
      )
    ~ e'[\u0001-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]'
      then 'metric_name, unit or tags has characters that turn or hide text'
  end
  from (
    select rate_limiter_internal.moment_or_null(sample ->> 'timestamp')
  ) as measured (at);
$$;

comment on function rate_limiter_internal.sample_problem(jsonb, timestamptz, timestamptz) is
  'What is wrong with the fields that samples of every kind share; null if nothing is.';
--! EndIncluded rate_limiter_internal/metrics/sample_problem.sql
--! Included rate_limiter_internal/metrics/metric_problem.sql
create or replace function rate_limiter_internal.metric_problem(sample jsonb)
returns text
language sql
immutable
parallel safe
return case
  when coalesce(jsonb_typeof(sample -> 'metric_name'), '') <> 'string'
    or sample ->> 'metric_name' !~ '[^[:space:]]'
    or length(sample ->> 'metric_name') > 255
    then 'metric_name is not of 1 to 255 characters'
  -- A caller could otherwise write the system's own numbers, which alerts rely on.
  when starts_with(sample ->> 'metric_name', 'qos_') then 'metric_name begins with qos_'
  when coalesce(jsonb_typeof(sample -> 'value'), '') <> 'number' then 'value is not a number'
  -- As metrics allows: an aggregate squares differences and adds them up, and a double ends at
  -- 1e308.
  when abs((sample -> 'value')::numeric) > 1e30 then 'value is out of bounds'
  -- Too small for a double: casting it would fail.
  when (sample -> 'value')::numeric <> 0 and abs((sample -> 'value')::numeric) < 1e-30
    then 'value is out of bounds'
  when length(sample ->> 'unit') > 50 then 'unit is longer than 50 characters'
end;

comment on function rate_limiter_internal.metric_problem(jsonb) is
  'What is wrong with a sample for metrics; null if nothing is.';
--! EndIncluded rate_limiter_internal/metrics/metric_problem.sql
--! Included rate_limiter_internal/metrics/iops_metric_problem.sql
create or replace function rate_limiter_internal.iops_metric_problem(sample jsonb)
returns text
language sql
immutable
parallel safe
return coalesce(
  rate_limiter_internal.number_problem(sample, 'read_ops', 2147483647, true),
  rate_limiter_internal.number_problem(sample, 'write_ops', 2147483647, true),
  rate_limiter_internal.number_problem(sample, 'error_count', 2147483647, true),
  rate_limiter_internal.number_problem(sample, 'avg_latency_ms', 99999999),
  rate_limiter_internal.number_problem(sample, 'p95_latency_ms', 99999999),
  rate_limiter_internal.number_problem(sample, 'p99_latency_ms', 99999999)
);

comment on function rate_limiter_internal.iops_metric_problem(jsonb) is
  'What is wrong with a sample for iops_metrics; null if nothing is.';
--! EndIncluded rate_limiter_internal/metrics/iops_metric_problem.sql
--! Included rate_limiter_internal/metrics/bandwidth_metric_problem.sql
create or replace function rate_limiter_internal.bandwidth_metric_problem(sample jsonb)
returns text
language sql
immutable
parallel safe
return coalesce(
  -- Half of a bigint each, so that their sum is one.
  rate_limiter_internal.number_problem(sample, 'bytes_read', 4611686018427387903, true),
  rate_limiter_internal.number_problem(sample, 'bytes_written', 4611686018427387903, true),
  rate_limiter_internal.number_problem(sample, 'avg_throughput_mbps', 9999999999),
  rate_limiter_internal.number_problem(sample, 'peak_throughput_mbps', 9999999999),
  rate_limiter_internal.number_problem(sample, 'connection_count', 2147483647, true)
);

comment on function rate_limiter_internal.bandwidth_metric_problem(jsonb) is
  'What is wrong with a sample for bandwidth_metrics; null if nothing is.';
--! EndIncluded rate_limiter_internal/metrics/bandwidth_metric_problem.sql
--! Included rate_limiter_internal/metrics/check_samples.sql
create or replace function rate_limiter_internal.check_samples(samples jsonb)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if jsonb_typeof(samples) = 'array' and jsonb_array_length(samples) between 1 and 1000 then
    return;
  end if;

  raise exception using
    errcode = 'QS422',
    message = 'batch is not of 1 to 1000 samples',
    detail = case jsonb_typeof(samples)
      when 'array' then format('samples: %s', jsonb_array_length(samples))
      else format('type: %s', coalesce(jsonb_typeof(samples), 'null'))
    end,
    hint = 'Samples come as a JSON array of objects; split a larger one.';
end;
$$;

comment on function rate_limiter_internal.check_samples(jsonb) is
  'Raises QS422 for an invalid batch of samples.';
--! EndIncluded rate_limiter_internal/metrics/check_samples.sql
--! Included rate_limiter_internal/metrics/sample_id.sql
create or replace function rate_limiter_internal.sample_id(sample jsonb, reporter text)
returns uuid
language sql
immutable
parallel safe
return coalesce(
  (sample ->> 'metric_id')::uuid,
  -- As JSON, so that no two pairs of reporter and sample are spelled alike.
  md5(jsonb_build_array(reporter, sample)::text)::uuid
);

comment on function rate_limiter_internal.sample_id(jsonb, text) is
  'Identifies a sample: its metric_id, or else a hash of its reporter and its content.';
--! EndIncluded rate_limiter_internal/metrics/sample_id.sql
--! Included rate_limiter_internal/metrics/sample_reporter.sql
create or replace function rate_limiter_internal.sample_reporter(reporter text)
returns text
language plpgsql
stable
parallel restricted
as $$
begin
  if length(reporter) > 255 or reporter !~ '[^[:space:]]' then
    raise exception using
      errcode = 'QS422',
      message = 'reporter is not of 1 to 255 characters',
      detail = format('characters: %s', length(reporter)),
      hint = 'Name the process that measured, the same at every retry, or give none.';
  end if;

  return coalesce(
    reporter, concat_ws(' ', host(inet_client_addr()), current_setting('application_name'))
  );
end;
$$;

comment on function rate_limiter_internal.sample_reporter(text) is
  'Who reports samples: the name that the caller gives, or else the address and the '
  'application_name of its session. Raises QS422 for a name that is blank or too long.';
--! EndIncluded rate_limiter_internal/metrics/sample_reporter.sql
--! Included rate_limiter_internal/metrics/samples_of.sql
create or replace function rate_limiter_internal.samples_of(
  app_id uuid,
  samples jsonb,
  reporter text
)
returns table (
  place integer,
  sample jsonb,
  problem text,
  shard_key integer,
  "timestamp" timestamptz,
  metric_id uuid,
  tags jsonb
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  at constant timestamptz := clock_timestamp();
  oldest constant timestamptz := rate_limiter_internal.retained_since(at, 'raw_metrics');
  reported_by constant text := rate_limiter_internal.sample_reporter(reporter);
  shard integer;
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.check_samples(samples);
  shard := rate_limiter_internal.held_shard_key(app_id);
  perform rate_limiter_internal.admission_of(shard, at, app_id);

  return query
  select
    e.place::integer, e.sample, p.problem, shard,
    rate_limiter_internal.moment_or_null(e.sample ->> 'timestamp'),
    case when p.problem is null
      then rate_limiter_internal.sample_id(e.sample, reported_by)
    end,
    coalesce(nullif(e.sample -> 'tags', 'null'), '{}')
  from jsonb_array_elements(samples) with ordinality as e (sample, place)
  cross join lateral (
    select rate_limiter_internal.sample_problem(e.sample, oldest, at + interval '5 minutes')
  ) as p (problem);
end;
$$;

comment on function rate_limiter_internal.samples_of(uuid, jsonb, text) is
  'What samples of every kind share, of a batch that is handed in for an application, and what is '
  'wrong with it. Raises QS404, QS403 as consume(), QS422 for an invalid batch.';
--! EndIncluded rate_limiter_internal/metrics/samples_of.sql
--! Included rate_limiter/metrics/record_metrics.sql
create or replace function rate_limiter.record_metrics(
  app_id uuid,
  samples jsonb,
  reporter text default null
)
returns setof rate_limiter.rejected_sample
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with judged as materialized (
    select
      s.place, s.sample, s.shard_key, s."timestamp", s.metric_id, s.tags,
      coalesce(s.problem, rate_limiter_internal.metric_problem(s.sample)) as problem
    from rate_limiter_internal.samples_of(app_id, samples, reporter) as s
  ),
  stored as (
    insert into rate_limiter_internal.metrics
      (shard_key, app_id, "timestamp", metric_id, tags, metric_name, value, unit)
    select
      j.shard_key,
      record_metrics.app_id,
      j."timestamp",
      j.metric_id,
      j.tags,
      j.sample ->> 'metric_name',
      (j.sample ->> 'value')::numeric::double precision,
      j.sample ->> 'unit'
    from judged as j
    where j.problem is null
    -- By key: the same samples handed in twice, in another order, must not deadlock.
    order by 3, 4
    on conflict do nothing
    returning metric_name, "timestamp"
  ),
  marked as (
    insert into rate_limiter_private.metric_changes (grain, app_id, metric_name, bucket)
    select distinct
      'hour', record_metrics.app_id, s.metric_name, date_trunc('hour', s."timestamp", 'UTC')
    from stored as s
  )
  select j.place, j.problem
  from judged as j
  where j.problem is not null
  order by j.place;
end;
$$;

comment on function rate_limiter.record_metrics(uuid, jsonb, text) is
  'Stores up to 1000 samples: [{"timestamp": "2026-01-01T00:00:00Z", "metric_name": "queue_depth", '
  '"value": 7, "unit": "requests", "tags": {}, "metric_id": "…"}], the last three as wanted. '
  'A value is from -1e30 to 1e30, tags take up to 4096 bytes. What is wrong with one keeps the '
  'others from nothing: it is answered by its position. A sample sent again is stored once: the '
  'same metric_id, or without one the same content of the same reporter (by default the address '
  'and application_name of the session). Raises QS404, QS403 as consume(), QS422 for an invalid '
  'batch.';
grant execute on function rate_limiter.record_metrics(uuid, jsonb, text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/metrics/record_metrics.sql
--! Included rate_limiter/metrics/record_iops_metrics.sql
create or replace function rate_limiter.record_iops_metrics(
  app_id uuid,
  samples jsonb,
  reporter text default null
)
returns setof rate_limiter.rejected_sample
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with judged as materialized (
    select
      s.place, s.sample, s.shard_key, s."timestamp", s.metric_id, s.tags,
      coalesce(s.problem, rate_limiter_internal.iops_metric_problem(s.sample)) as problem
    from rate_limiter_internal.samples_of(app_id, samples, reporter) as s
  ),
  stored as (
    insert into rate_limiter_internal.iops_metrics
      (shard_key, app_id, "timestamp", metric_id, tags, read_ops, write_ops, error_count,
       avg_latency_ms, p95_latency_ms, p99_latency_ms)
    select
      j.shard_key,
      record_iops_metrics.app_id,
      j."timestamp",
      j.metric_id,
      j.tags,
      coalesce((j.sample ->> 'read_ops')::numeric::integer, 0),
      coalesce((j.sample ->> 'write_ops')::numeric::integer, 0),
      coalesce((j.sample ->> 'error_count')::numeric::integer, 0),
      (j.sample ->> 'avg_latency_ms')::numeric,
      (j.sample ->> 'p95_latency_ms')::numeric,
      (j.sample ->> 'p99_latency_ms')::numeric
    from judged as j
    where j.problem is null
    -- By key: the same samples handed in twice, in another order, must not deadlock.
    order by 3, 4
    on conflict do nothing
  )
  select j.place, j.problem
  from judged as j
  where j.problem is not null
  order by j.place;
end;
$$;

comment on function rate_limiter.record_iops_metrics(uuid, jsonb, text) is
  'Stores up to 1000 samples of a gateway, as record_metrics() does: timestamp (the end of the '
  'interval), and as known read_ops, write_ops, error_count, avg_latency_ms, p95_latency_ms, '
  'p99_latency_ms, tags, metric_id. Answers the samples that were wrong, by position.';
grant execute on function rate_limiter.record_iops_metrics(uuid, jsonb, text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/metrics/record_iops_metrics.sql
--! Included rate_limiter/metrics/record_bandwidth_metrics.sql
create or replace function rate_limiter.record_bandwidth_metrics(
  app_id uuid,
  samples jsonb,
  reporter text default null
)
returns setof rate_limiter.rejected_sample
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  with judged as materialized (
    select
      s.place, s.sample, s.shard_key, s."timestamp", s.metric_id, s.tags,
      coalesce(s.problem, rate_limiter_internal.bandwidth_metric_problem(s.sample)) as problem
    from rate_limiter_internal.samples_of(app_id, samples, reporter) as s
  ),
  stored as (
    insert into rate_limiter_internal.bandwidth_metrics
      (shard_key, app_id, "timestamp", metric_id, tags, bytes_read, bytes_written,
       avg_throughput_mbps, peak_throughput_mbps, connection_count)
    select
      j.shard_key,
      record_bandwidth_metrics.app_id,
      j."timestamp",
      j.metric_id,
      j.tags,
      coalesce((j.sample ->> 'bytes_read')::numeric::bigint, 0),
      coalesce((j.sample ->> 'bytes_written')::numeric::bigint, 0),
      (j.sample ->> 'avg_throughput_mbps')::numeric,
      (j.sample ->> 'peak_throughput_mbps')::numeric,
      coalesce((j.sample ->> 'connection_count')::numeric::integer, 0)
    from judged as j
    where j.problem is null
    -- By key: the same samples handed in twice, in another order, must not deadlock.
    order by 3, 4
    on conflict do nothing
  )
  select j.place, j.problem
  from judged as j
  where j.problem is not null
  order by j.place;
end;
$$;

comment on function rate_limiter.record_bandwidth_metrics(uuid, jsonb, text) is
  'Stores up to 1000 samples of a gateway, as record_metrics() does: timestamp (the end of the '
  'interval), and as known bytes_read, bytes_written, avg_throughput_mbps, peak_throughput_mbps, '
  'connection_count, tags, metric_id. Answers the samples that were wrong, by position.';
grant execute on function rate_limiter.record_bandwidth_metrics(uuid, jsonb, text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/metrics/record_bandwidth_metrics.sql
--! Included rate_limiter_internal/metrics/system_metrics.sql
create or replace function rate_limiter_internal.system_metrics(
  from_time timestamptz,
  to_time timestamptz,
  only_app_id uuid default null
)
returns table (app_id uuid, minute timestamptz, metric_name text, value numeric)
language sql
stable
parallel safe
as $$
  with ledger as (
    select
      t.owner_id as app_id,
      date_trunc('minute', t.created_at, 'UTC') as minute,
      t.bucket_type,
      t.transaction_type,
      -- A batch is one row for all its operations.
      sum(rate_limiter_internal.operations_of(t.metadata)) as operations,
      abs(sum(t.tokens_change)) as amount
    from rate_limiter.token_transactions as t
    where t.created_at >= from_time
      and t.created_at < to_time
      and t.mode = 'enforce'
      and t.bucket_type in ('iops_l2', 'bandwidth_l2')
      and (only_app_id is null or t.owner_id = only_app_id)
    group by 1, 2, 3, 4
  ),
  denied as (
    select d.app_id, d.minute, d.reason, d.operations, d.tokens, d.bytes
    from rate_limiter.v_denial_counts as d
    where d.minute >= from_time
      and d.minute < to_time
      and (only_app_id is null or d.app_id = only_app_id)
  ),
  -- What leases took counts as asked for, less what came back. What is larger than a bucket is
  -- never admitted: that is not a share of anything.
  shares as (
    select
      d.app_id,
      d.minute,
      round(100 * d.amount / (d.amount + greatest(coalesce(g.amount, 0), 0)), 6) as percent
    from (
      select b.app_id, b.minute, v.bucket_type, sum(v.amount) as amount
      from denied as b
      cross join lateral (values ('iops_l2', b.tokens), ('bandwidth_l2', b.bytes))
        as v (bucket_type, amount)
      where b.reason <> 'exceeds_capacity'
      group by b.app_id, b.minute, v.bucket_type
      having sum(v.amount) > 0
    ) as d
    left join (
      select
        l.app_id, l.minute, l.bucket_type::text,
        sum(case when l.transaction_type = 'settle' then -l.amount else l.amount end) as amount
      from ledger as l
      where l.transaction_type in ('consume', 'lease', 'settle')
      group by 1, 2, 3
    ) as g using (app_id, minute, bucket_type)
  ),
  numbers as (
    -- An operation draws on one of the buckets or on both: the longer list has them all, except
    -- where some cost tokens alone and others bytes alone.
    select l.app_id, l.minute, 'qos_admitted_operations' as metric_name,
      max(l.operations) as value
    from ledger as l
    where l.transaction_type = 'consume'
    group by l.app_id, l.minute
    union all
    select l.app_id, l.minute, named.metric_name, l.amount
    from ledger as l
    join (
      values
        ('consume', 'iops_l2', 'qos_admitted_tokens'),
        ('consume', 'bandwidth_l2', 'qos_admitted_bytes'),
        ('lease', 'iops_l2', 'qos_leased_tokens'),
        ('lease', 'bandwidth_l2', 'qos_leased_bytes'),
        ('settle', 'iops_l2', 'qos_returned_tokens'),
        ('settle', 'bandwidth_l2', 'qos_returned_bytes'),
        ('refund', 'iops_l2', 'qos_refunded_tokens'),
        ('refund', 'bandwidth_l2', 'qos_refunded_bytes'),
        ('borrow', 'iops_l2', 'qos_borrowed_tokens'),
        ('borrow', 'bandwidth_l2', 'qos_borrowed_bytes')
    ) as named (transaction_type, bucket_type, metric_name)
      on named.transaction_type = l.transaction_type::text
      and named.bucket_type = l.bucket_type::text
    union all
    select d.app_id, d.minute, 'qos_denied_operations' || suffix.name, sum(d.operations)
    from denied as d
    cross join lateral (values (''), ('_' || d.reason)) as suffix (name)
    group by d.app_id, d.minute, suffix.name
    union all
    select s.app_id, s.minute, 'qos_denied_share', max(s.percent)
    from shares as s
    group by s.app_id, s.minute
    union all
    select l.app_id, date_trunc('minute', l.granted_at, 'UTC'), 'qos_leases_granted', count(*)
    from rate_limiter.token_leases as l
    where l.granted_at >= from_time
      and l.granted_at < to_time
      and (only_app_id is null or l.app_id = only_app_id)
    group by 1, 2
    union all
    select b.owner_id, date_trunc('minute', b.borrowed_at, 'UTC'), 'qos_borrowings', count(*)
    from rate_limiter.token_borrowing as b
    where b.borrowed_at >= from_time
      and b.borrowed_at < to_time
      and b.bucket_type in ('iops_l2', 'bandwidth_l2')
      and (only_app_id is null or b.owner_id = only_app_id)
    group by 1, 2
  )
  select n.app_id, n.minute, n.metric_name, n.value
  from numbers as n
  join rate_limiter.applications as a on a.app_id = n.app_id;
$$;

comment on function rate_limiter_internal.system_metrics(timestamptz, timestamptz, uuid) is
  'What the system did for each application, or for one, in each minute of a span, from the '
  'ledger and the counts of denials. Only what is not zero.';
--! EndIncluded rate_limiter_internal/metrics/system_metrics.sql
--! Included rate_limiter_internal/metrics/metric_unit.sql
create or replace function rate_limiter_internal.metric_unit(metric_name text)
returns text
language sql
immutable
parallel safe
return case
  when metric_name like '%_tokens' then 'tokens'
  when metric_name like '%_bytes' then 'bytes'
  when metric_name like 'qos_bucket_fill_%' or metric_name = 'qos_denied_share' then 'percent'
end;

comment on function rate_limiter_internal.metric_unit(text) is
  'The unit of a number of the system; null for counts.';
--! EndIncluded rate_limiter_internal/metrics/metric_unit.sql
--! Included rate_limiter_internal/metrics/write_system_metrics.sql
create or replace function rate_limiter_internal.write_system_metrics(
  at timestamptz,
  from_time timestamptz,
  to_time timestamptz,
  only_app_id uuid default null
)
returns void
language plpgsql
volatile
parallel unsafe
-- One plan for every application is a bad one for a single application.
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  this_minute constant timestamptz := date_trunc('minute', at, 'UTC');
begin
  with spans as (
    -- Two minutes once more: the last transactions of the minute before may have been open. And
    -- every minute for which a session handed in its denials late.
    select from_time - interval '2 minutes' as from_time, to_time
    union
    select d.minute, d.minute + interval '1 minute'
    from rate_limiter.denial_counts as d
    where d.recorded_at >= from_time - interval '2 minutes'
      and d.minute < from_time - interval '2 minutes'
      and (only_app_id is null or d.app_id = only_app_id)
  ),
  counts as (
    select
      s.app_id, s.minute + interval '1 minute' as taken_at, s.metric_name, sum(s.value) as value
    from spans
    cross join lateral rate_limiter_internal.system_metrics(
      spans.from_time, spans.to_time, only_app_id
    ) as s
    group by s.app_id, s.minute, s.metric_name
  ),
  numbers as (
    select c.app_id, c.taken_at, c.metric_name, c.value
    from counts as c
    union all
    select f.app_id, this_minute, f.metric_name, f.value
    from rate_limiter_internal.bucket_fill(at, from_time, only_app_id) as f
    where to_time = this_minute
    union all
    select h.app_id, this_minute, h.metric_name, h.value
    from rate_limiter_internal.cluster_health() as h
    where to_time = this_minute
      and (only_app_id is null or h.app_id = only_app_id)
  ),
  -- One zero says that a series has ended, and costs an idle application nothing from then on.
  zeros as (
    select c.app_id, c.taken_at + interval '1 minute' as taken_at, c.metric_name
    from counts as c
    where c.value <> 0 and c.taken_at < to_time
    except
    select c.app_id, c.taken_at, c.metric_name
    from counts as c
  ),
  facts as materialized (
    select f.shard_key, f.app_id
    from rate_limiter.app_facts as f
    where f.app_id in (select n.app_id from numbers as n)
    order by f.app_id
    for key share
  ),
  -- Two statements instead of one "on conflict do update": a view of two tables, which metrics is
  -- while its rows move to or from a hypertable, takes none. One session at a time is here.
  changed as (
    update rate_limiter_internal.metrics as m
    set value = least(greatest(n.value, -1e30), 1e30)
    from numbers as n
    join facts as f on f.app_id = n.app_id
    where m.shard_key = f.shard_key
      and m.app_id = n.app_id
      and m.metric_name = n.metric_name
      and m."timestamp" = n.taken_at
      and m.metric_id = md5(n.metric_name)::uuid
      and m.value <> least(greatest(n.value, -1e30), 1e30)
    returning m.app_id, m.metric_name, m."timestamp"
  ),
  stored as (
    insert into rate_limiter_internal.metrics as m
      (shard_key, app_id, "timestamp", metric_id, metric_name, value, unit)
    select
      f.shard_key, n.app_id, n.taken_at, md5(n.metric_name)::uuid, n.metric_name,
      -- As metrics allows.
      least(greatest(n.value, -1e30), 1e30),
      rate_limiter_internal.metric_unit(n.metric_name)
    from numbers as n
    join facts as f on f.app_id = n.app_id
    on conflict do nothing
    returning m.app_id, m.metric_name, m."timestamp"
  ),
  ended as (
    insert into rate_limiter_internal.metrics as m
      (shard_key, app_id, "timestamp", metric_id, metric_name, value, unit)
    select
      f.shard_key, z.app_id, z.taken_at, md5(z.metric_name)::uuid, z.metric_name, 0,
      rate_limiter_internal.metric_unit(z.metric_name)
    from zeros as z
    join facts as f on f.app_id = z.app_id
    -- A minute that an earlier run has counted is not recounted with the one before it.
    on conflict do nothing
    returning m.app_id, m.metric_name, m."timestamp"
  )
  insert into rate_limiter_private.metric_changes (grain, app_id, metric_name, bucket)
  select distinct 'hour', w.app_id, w.metric_name, date_trunc('hour', w."timestamp", 'UTC')
  from (
    select c.* from changed as c
    union all
    select s.* from stored as s
    union all
    select e.* from ended as e
  ) as w;
end;
$$;

comment on function rate_limiter_internal.write_system_metrics(
  timestamptz, timestamptz, timestamptz, uuid
) is
  'Writes the numbers of every application, or of one, for the minutes of a span, and how full '
  'its buckets are where the span ends now: rows of what moved or is watched, and one zero after '
  'a count.';
--! EndIncluded rate_limiter_internal/metrics/write_system_metrics.sql
--! Included rate_limiter_private/metrics/record_system_metrics.sql
create or replace function rate_limiter_private.record_system_metrics(
  at timestamptz,
  batch_minutes integer default 60
)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  this_minute constant timestamptz := date_trunc('minute', at, 'UTC');
  done_until timestamptz;
  to_time timestamptz;
  application record;
begin
  if not rate_limiter_internal.try_lock_job('record_system_metrics') then
    return null;
  end if;

  select least(p.done_until, this_minute)
  into done_until
  from rate_limiter_private.job_progress as p
  where p.job = 'record_system_metrics';
  done_until := coalesce(done_until, this_minute - interval '1 hour');
  to_time := least(this_minute, done_until + make_interval(mins => batch_minutes));

  begin
    perform rate_limiter_internal.write_system_metrics(at, done_until, to_time);
  exception
    when data_exception or integrity_constraint_violation or program_limit_exceeded
      or raise_exception
    then
      -- An application at a time: what is wrong with one keeps no other from its numbers.
      for application in select a.app_id from rate_limiter.applications as a loop
        begin
          perform rate_limiter_internal.write_system_metrics(
            at, done_until, to_time, application.app_id
          );
        exception
          when data_exception or integrity_constraint_violation or program_limit_exceeded
            or raise_exception
          then
            perform rate_limiter_private.record_job_failure(
              'record_system_metrics', application.app_id::text, sqlstate, sqlerrm
            );
        end;
      end loop;
  end;

  insert into rate_limiter_private.job_progress (job, done_until)
  values ('record_system_metrics', to_time)
  on conflict (job) do update set done_until = excluded.done_until;

  return extract(epoch from to_time - done_until) / 60;
end;
$$;

comment on function rate_limiter_private.record_system_metrics(timestamptz, integer) is
  'Job: writes the system''s own numbers into metrics (names begin with qos_), by application '
  'and minute, stamped with the minute''s end; how full each bucket is and how the clusters are, '
  'at the current minute. Goes on where the last run ended, at most batch_minutes further, and '
  'answers how many minutes that were, and null while another session does. Running twice '
  'changes nothing. An application whose numbers cannot be written is left out and counted in '
  'job_failures.';
grant execute on function rate_limiter_private.record_system_metrics(timestamptz, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/metrics/record_system_metrics.sql
--! Included rate_limiter_internal/metrics/sample_aggregates.sql
create or replace function rate_limiter_internal.sample_aggregates(
  app_ids uuid[],
  metric_names text[],
  buckets timestamptz[],
  width interval
)
returns table (
  shard_key integer,
  app_id uuid,
  metric_name text,
  bucket timestamptz,
  avg_value double precision,
  min_value double precision,
  max_value double precision,
  median_value double precision,
  p95_value double precision,
  p99_value double precision,
  sample_count bigint
)
language sql
volatile
parallel unsafe
-- By the index of applications and names, whatever the statistics say.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
  -- Each keeps its shard key until this is written. Samples are looked for by application: those of
  -- one that has just moved are seen under its old key.
  with facts as materialized (
    select f.shard_key, f.app_id
    from rate_limiter.app_facts as f
    where f.app_id = any (app_ids)
    order by f.app_id
    for key share
  )
  select
    f.shard_key, c.app_id, c.metric_name, c.bucket, s.avg_value, s.min_value, s.max_value,
    s.median_value, s.p95_value, s.p99_value, s.sample_count
  from unnest(app_ids, metric_names, buckets) as c (app_id, metric_name, bucket)
  join facts as f on f.app_id = c.app_id
  -- One look-up for each: a join may read every sample that there is.
  cross join lateral (
    select
      -- In the order of the values: a sum of doubles depends on it.
      avg(m.value order by m.value) as avg_value,
      min(m.value) as min_value,
      max(m.value) as max_value,
      percentile_cont(0.5) within group (order by m.value) as median_value,
      percentile_cont(0.95) within group (order by m.value) as p95_value,
      percentile_cont(0.99) within group (order by m.value) as p99_value,
      count(*) as sample_count
    from rate_limiter_internal.metrics as m
    where m.app_id = c.app_id
      and m.metric_name = c.metric_name
      and m."timestamp" >= c.bucket
      and m."timestamp" < c.bucket + width
    having count(*) > 0
  ) as s;
$$;

comment on function rate_limiter_internal.sample_aggregates(
  uuid[], text[], timestamptz[], interval
) is
  'What the samples of an application and a name come to, from each of these moments on for a '
  'width. The applications do not move to another cluster before the transaction ends.';
--! EndIncluded rate_limiter_internal/metrics/sample_aggregates.sql
--! Included rate_limiter_internal/metrics/aggregate_hours.sql
create or replace function rate_limiter_internal.aggregate_hours(
  app_ids uuid[],
  metric_names text[],
  buckets timestamptz[]
)
returns void
language sql
volatile
parallel unsafe
as $$
  insert into rate_limiter.metrics_hourly as known (
    shard_key, app_id, metric_name, bucket, avg_value, min_value, max_value, median_value,
    p95_value, p99_value, sample_count
  )
  select s.*
  from rate_limiter_internal.sample_aggregates(
    app_ids, metric_names, buckets, interval '1 hour'
  ) as s
  on conflict (shard_key, app_id, metric_name, bucket) do update
  set
    avg_value = excluded.avg_value,
    min_value = excluded.min_value,
    max_value = excluded.max_value,
    median_value = excluded.median_value,
    p95_value = excluded.p95_value,
    p99_value = excluded.p99_value,
    sample_count = excluded.sample_count
  -- Of those that have expired meanwhile, the aggregate is all that is left.
  where excluded.sample_count >= known.sample_count;
$$;

comment on function rate_limiter_internal.aggregate_hours(uuid[], text[], timestamptz[]) is
  'Aggregates these hours anew from all their samples. One whose samples have expired keeps '
  'what it has.';
--! EndIncluded rate_limiter_internal/metrics/aggregate_hours.sql
--! Included rate_limiter_internal/metrics/aggregate_days.sql
create or replace function rate_limiter_internal.aggregate_days(
  app_ids uuid[],
  metric_names text[],
  buckets timestamptz[]
)
returns void
language sql
volatile
parallel unsafe
as $$
  insert into rate_limiter.metrics_daily as known (
    shard_key, app_id, metric_name, bucket, avg_value, min_value, max_value, median_value,
    p95_value, p99_value, sample_count
  )
  select s.*
  from rate_limiter_internal.sample_aggregates(
    app_ids, metric_names, buckets, interval '24 hours'
  ) as s
  on conflict (shard_key, app_id, metric_name, bucket) do update
  set
    avg_value = excluded.avg_value,
    min_value = excluded.min_value,
    max_value = excluded.max_value,
    median_value = excluded.median_value,
    p95_value = excluded.p95_value,
    p99_value = excluded.p99_value,
    sample_count = excluded.sample_count
  -- Of those that have expired meanwhile, the aggregate is all that is left.
  where excluded.sample_count >= known.sample_count;
$$;

comment on function rate_limiter_internal.aggregate_days(uuid[], text[], timestamptz[]) is
  'Aggregates these days anew from all their samples. One whose samples have expired keeps '
  'what it has.';
--! EndIncluded rate_limiter_internal/metrics/aggregate_days.sql
--! Included rate_limiter_internal/metrics/mark_days.sql
create or replace function rate_limiter_internal.mark_days(
  app_ids uuid[],
  metric_names text[],
  buckets timestamptz[]
)
returns void
language sql
volatile
parallel unsafe
as $$
  with days as (
    select distinct date_trunc('day', c.bucket, 'UTC') as bucket, c.app_id, c.metric_name
    from unnest(app_ids, metric_names, buckets) as c (app_id, metric_name, bucket)
  ),
  -- A mark that is there is enough, as long as nothing takes it before what it stands for is
  -- committed. One that is locked is being taken.
  marked as materialized (
    select d.bucket, d.app_id, d.metric_name
    from days as d
    cross join lateral (
      select
      from rate_limiter_private.metric_changes as c
      where c.grain = 'day'
        and c.bucket = d.bucket
        and c.app_id = d.app_id
        and c.metric_name = d.metric_name
      limit 1
      for key share skip locked
    ) as c
  )
  insert into rate_limiter_private.metric_changes (grain, bucket, app_id, metric_name)
  select 'day', d.bucket, d.app_id, d.metric_name
  from days as d
  where (d.bucket, d.app_id, d.metric_name) not in (
    select m.bucket, m.app_id, m.metric_name from marked as m
  );
$$;

comment on function rate_limiter_internal.mark_days(uuid[], text[], timestamptz[]) is
  'Has the days of these hours aggregated anew: a mark for each that has none.';
--! EndIncluded rate_limiter_internal/metrics/mark_days.sql
--! Included rate_limiter_internal/metrics/aggregate_buckets.sql
create or replace function rate_limiter_internal.aggregate_buckets(
  grain text,
  app_ids uuid[],
  metric_names text[],
  buckets timestamptz[]
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  if grain = 'day' then
    perform rate_limiter_internal.aggregate_days(app_ids, metric_names, buckets);
    return;
  end if;

  perform rate_limiter_internal.aggregate_hours(app_ids, metric_names, buckets);
  perform rate_limiter_internal.mark_days(app_ids, metric_names, buckets);
end;
$$;

comment on function rate_limiter_internal.aggregate_buckets(
  text, uuid[], text[], timestamptz[]
) is 'Aggregates these hours anew and marks their days, or aggregates these days.';
--! EndIncluded rate_limiter_internal/metrics/aggregate_buckets.sql
--! Included rate_limiter_internal/metrics/take_metric_changes.sql
create or replace function rate_limiter_internal.take_metric_changes(
  grain text,
  until timestamptz,
  batch_size integer,
  out app_ids uuid[],
  out metric_names text[],
  out buckets timestamptz[]
)
returns record
language plpgsql
volatile
parallel unsafe
-- In the order of the primary key, whatever the statistics say of a table that was empty a moment
-- ago: anything else reads all that is left with each batch.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set enable_hashagg = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  with changes as materialized (
    select distinct c.bucket, c.app_id, c.metric_name
    from rate_limiter_private.metric_changes as c
    where c.grain = take_metric_changes.grain
      and c.bucket <= until
    order by c.bucket, c.app_id, c.metric_name
    limit batch_size
  ),
  taken as (
    delete from rate_limiter_private.metric_changes as c
    using changes as k
    where c.grain = take_metric_changes.grain
      and c.bucket = k.bucket
      and c.app_id = k.app_id
      and c.metric_name = k.metric_name
  )
  select
    coalesce(array_agg(k.app_id), '{}'), coalesce(array_agg(k.metric_name::text), '{}'),
    coalesce(array_agg(k.bucket), '{}')
  into app_ids, metric_names, buckets
  from changes as k;
end;
$$;

comment on function rate_limiter_internal.take_metric_changes(text, timestamptz, integer) is
  'Takes the marks of the oldest hours or days that are to be aggregated, up to one that starts at '
  '"until", of at most batch_size series.';
--! EndIncluded rate_limiter_internal/metrics/take_metric_changes.sql
--! Included rate_limiter_private/metrics/aggregate_metrics.sql
drop function if exists rate_limiter_private.aggregate_metrics(text, integer);

create or replace function rate_limiter_private.aggregate_metrics(
  grain text,
  batch_size integer default 500,
  at timestamptz default clock_timestamp()
)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  changed record;
  application record;
begin
  -- One at a time: of two that aggregate the same hour, the one that read first might write last.
  if not rate_limiter_internal.try_lock_job('aggregate_metrics_' || grain) then
    return null;
  end if;

  -- A day when it is over: each sample is read once for its hour and once for its day.
  changed := rate_limiter_internal.take_metric_changes(
    grain, case grain when 'day' then at - interval '24 hours' else 'infinity' end, batch_size
  );
  if changed.buckets = '{}' then
    return 0;
  end if;
  begin
    -- A statement of its own: it sees every sample whose mark was taken above.
    perform rate_limiter_internal.aggregate_buckets(
      grain, changed.app_ids, changed.metric_names, changed.buckets
    );
    return cardinality(changed.buckets);
  exception
    when data_exception or integrity_constraint_violation or program_limit_exceeded
      or raise_exception
    then
      -- An application at a time: what cannot be aggregated stops no other application.
      null;
  end;

  for application in
    select
      c.app_id,
      array_agg(c.metric_name) as metric_names,
      array_agg(c.bucket) as buckets
    from unnest(changed.app_ids, changed.metric_names, changed.buckets)
      as c (app_id, metric_name, bucket)
    group by c.app_id
  loop
    begin
      perform rate_limiter_internal.aggregate_buckets(
        grain, array_fill(application.app_id, array[cardinality(application.buckets)]),
        application.metric_names, application.buckets
      );
    exception
      when data_exception or integrity_constraint_violation or program_limit_exceeded
        or raise_exception
      then
        perform rate_limiter_private.record_job_failure(
          'aggregate_metrics', application.app_id::text, sqlstate, sqlerrm
        );
    end;
  end loop;
  return cardinality(changed.buckets);
end;
$$;

comment on function rate_limiter_private.aggregate_metrics(text, integer, timestamptz) is
  'Job: brings up to batch_size rows of metrics_hourly (grain hour) or metrics_daily (grain day) '
  'up to date that got samples since, however late, a day when it is over; answers how many, and '
  'null while another session does the same grain. Call it until it answers less than batch_size. '
  'An application whose samples cannot be aggregated is left out and counted in job_failures.';
grant execute on function rate_limiter_private.aggregate_metrics(text, integer, timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/metrics/aggregate_metrics.sql
--! Included rate_limiter_private/metrics/mark_for_aggregation.sql
create or replace function rate_limiter_private.mark_for_aggregation(
  from_time timestamptz,
  to_time timestamptz
)
returns bigint
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  with marked as (
    insert into rate_limiter_private.metric_changes (grain, app_id, metric_name, bucket)
    select distinct 'hour', m.app_id, m.metric_name, date_trunc('hour', m."timestamp", 'UTC')
    from rate_limiter_internal.metrics as m
    where m."timestamp" >= from_time and m."timestamp" < to_time
    returning 1
  )
  select count(*) from marked;
$$;

comment on function rate_limiter_private.mark_for_aggregation(timestamptz, timestamptz) is
  'Has every hour of a span aggregated anew, for samples that were put in without the ingestion '
  'functions; answers how many. The next runs of aggregate_metrics do the work.';
grant execute on function rate_limiter_private.mark_for_aggregation(timestamptz, timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/metrics/mark_for_aggregation.sql
--! Included rate_limiter/metrics/v_metrics_summary_24h.sql
create or replace view rate_limiter.v_metrics_summary_24h
with (security_invoker = true) as
with
-- Each table by itself before the join: joined first, every row of one would be counted once for
-- each row of the other.
iops as (
  select
    m.app_id,
    avg(m.total_ops) as avg_iops,
    max(m.total_ops) as peak_iops,
    count(*) as sample_count
  from rate_limiter.iops_metrics as m
  where m."timestamp" > current_timestamp - interval '24 hours'
  group by m.app_id
),
bandwidth as (
  select
    m.app_id,
    avg(m.total_bytes) as avg_bandwidth_bytes,
    max(m.total_bytes) as peak_bandwidth_bytes,
    count(*) as sample_count
  from rate_limiter.bandwidth_metrics as m
  where m."timestamp" > current_timestamp - interval '24 hours'
  group by m.app_id
)
select
  a.app_id,
  a.name as app_name,
  i.avg_iops,
  i.peak_iops,
  b.avg_bandwidth_bytes,
  b.peak_bandwidth_bytes,
  coalesce(i.sample_count, 0) as iops_sample_count,
  coalesce(b.sample_count, 0) as bandwidth_sample_count
from rate_limiter.applications as a
left join iops as i on i.app_id = a.app_id
left join bandwidth as b on b.app_id = a.app_id;

comment on view rate_limiter.v_metrics_summary_24h is
  E'@name metrics_summary\n'
  '@primaryKey app_id\n'
  '@foreignKey (app_id) references rate_limiter.applications (app_id)|'
  '@fieldName application|@foreignFieldName metricsSummary\n'
  'Operations and bytes of each application over the last 24 hours.';
comment on column rate_limiter.v_metrics_summary_24h.app_id is 'The application.';
comment on column rate_limiter.v_metrics_summary_24h.app_name is 'Its name.';
comment on column rate_limiter.v_metrics_summary_24h.avg_iops is 'Mean operations of a sample.';
comment on column rate_limiter.v_metrics_summary_24h.peak_iops is 'Most operations of a sample.';
comment on column rate_limiter.v_metrics_summary_24h.avg_bandwidth_bytes is
  'Mean bytes of a sample.';
comment on column rate_limiter.v_metrics_summary_24h.peak_bandwidth_bytes is
  'Most bytes of a sample.';
comment on column rate_limiter.v_metrics_summary_24h.iops_sample_count is
  'Samples of operations.';
comment on column rate_limiter.v_metrics_summary_24h.bandwidth_sample_count is
  'Samples of bytes.';

revoke all on rate_limiter.v_metrics_summary_24h
  from rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.v_metrics_summary_24h
  to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/metrics/v_metrics_summary_24h.sql
--! Included rate_limiter/metrics/bandwidth_metrics.policies.sql
-- Written by functions alone.
alter table rate_limiter.bandwidth_metrics enable row level security;

drop policy if exists readable on rate_limiter.bandwidth_metrics;
create policy readable on rate_limiter.bandwidth_metrics
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

drop policy if exists monitored on rate_limiter.bandwidth_metrics;
create policy monitored on rate_limiter.bandwidth_metrics
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/metrics/bandwidth_metrics.policies.sql
--! Included rate_limiter/metrics/iops_metrics.policies.sql
-- Written by functions alone.
alter table rate_limiter.iops_metrics enable row level security;

drop policy if exists readable on rate_limiter.iops_metrics;
create policy readable on rate_limiter.iops_metrics
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

drop policy if exists monitored on rate_limiter.iops_metrics;
create policy monitored on rate_limiter.iops_metrics
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/metrics/iops_metrics.policies.sql
--! Included rate_limiter/metrics/metrics.policies.sql
-- Written by functions alone.
alter table rate_limiter.metrics enable row level security;

drop policy if exists readable on rate_limiter.metrics;
create policy readable on rate_limiter.metrics
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

drop policy if exists monitored on rate_limiter.metrics;
create policy monitored on rate_limiter.metrics
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/metrics/metrics.policies.sql
--! Included rate_limiter/metrics/metrics_daily.policies.sql
-- Written by functions alone.
alter table rate_limiter.metrics_daily enable row level security;

drop policy if exists readable on rate_limiter.metrics_daily;
create policy readable on rate_limiter.metrics_daily
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

drop policy if exists monitored on rate_limiter.metrics_daily;
create policy monitored on rate_limiter.metrics_daily
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/metrics/metrics_daily.policies.sql
--! Included rate_limiter/metrics/metrics_hourly.policies.sql
-- Written by functions alone.
alter table rate_limiter.metrics_hourly enable row level security;

drop policy if exists readable on rate_limiter.metrics_hourly;
create policy readable on rate_limiter.metrics_hourly
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

drop policy if exists monitored on rate_limiter.metrics_hourly;
create policy monitored on rate_limiter.metrics_hourly
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/metrics/metrics_hourly.policies.sql
--! Included rate_limiter/metrics/bandwidth_metrics.grants.sql
revoke all on rate_limiter.bandwidth_metrics
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.bandwidth_metrics to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/metrics/bandwidth_metrics.grants.sql
--! Included rate_limiter/metrics/iops_metrics.grants.sql
revoke all on rate_limiter.iops_metrics
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.iops_metrics to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/metrics/iops_metrics.grants.sql
--! Included rate_limiter/metrics/metrics.grants.sql
revoke all on rate_limiter.metrics
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.metrics to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/metrics/metrics.grants.sql
--! Included rate_limiter/metrics/metrics_daily.grants.sql
revoke all on rate_limiter.metrics_daily
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.metrics_daily to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/metrics/metrics_daily.grants.sql
--! Included rate_limiter/metrics/metrics_hourly.grants.sql
revoke all on rate_limiter.metrics_hourly
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.metrics_hourly to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/metrics/metrics_hourly.grants.sql
--! Included rate_limiter_private/metrics/metric_changes.grants.sql
revoke all on rate_limiter_private.metric_changes
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.metric_changes to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/metrics/metric_changes.grants.sql

-- Exports
--! Included rate_limiter_internal/exports/require_export.sql
create or replace function rate_limiter_internal.require_export(
  resource text,
  since timestamptz,
  until timestamptz,
  app_id uuid
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  perform rate_limiter_internal.require_permission(resource, 'read');
  perform rate_limiter_internal.require_permission(resource, 'export');
  perform rate_limiter_internal.require_span(since, until, interval '3660 days');

  if app_id is not null then
    perform rate_limiter_internal.require_application(app_id, resource, 'export');
  end if;
end;
$$;

comment on function rate_limiter_internal.require_export(text, timestamptz, timestamptz, uuid) is
  'Refuses who may not export metrics or audit rows (QS401, QS403), a span that is too long '
  '(QS422), and an application that is not to be seen (QS404).';
--! EndIncluded rate_limiter_internal/exports/require_export.sql
--! Included rate_limiter_admin/exports/export_applications.sql
create or replace function rate_limiter_admin.export_applications(
  after_app_id uuid,
  max_rows integer
)
returns setof uuid
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  own_tenant_id constant uuid := rate_limiter_internal.current_tenant_id();
  page_rows constant integer := least(greatest(max_rows, 0), 10000);
begin
  perform rate_limiter_internal.require_permission('metrics', 'export');

  if rate_limiter_internal.is_system_admin() then
    return query
    select a.app_id
    from rate_limiter.applications as a
    where after_app_id is null or a.app_id > after_app_id
    order by a.app_id
    limit page_rows;
  else
    return query
    select a.app_id
    from rate_limiter.applications as a
    where a.tenant_id = own_tenant_id and (after_app_id is null or a.app_id > after_app_id)
    order by a.app_id
    limit page_rows;
  end if;
end;
$$;

comment on function rate_limiter_admin.export_applications(uuid, integer) is
  E'@behavior -*\n'
  'Applications whose samples the signed-in user may export, by their ids, after the one given.';
grant execute on function rate_limiter_admin.export_applications(uuid, integer)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/exports/export_applications.sql
--! Included rate_limiter_admin/exports/export_audit.sql
create or replace function rate_limiter_admin.export_audit(
  since timestamptz,
  until timestamptz,
  app_id uuid,
  after_created_at timestamptz,
  after_log_id uuid,
  max_rows integer
)
returns setof rate_limiter_audit.audit_logs
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
-- Partitions outside of the span are left out of the plan.
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  everywhere constant boolean := rate_limiter_internal.is_system_admin();
  own_tenant_id constant uuid := rate_limiter_internal.current_tenant_id();
  page_rows constant integer := least(greatest(max_rows, 0), 10000);
  -- Before the first row of the span, where none was read yet.
  from_time constant timestamptz := greatest(after_created_at, since - interval '1 microsecond');
  from_id constant uuid := coalesce(after_log_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
begin
  perform rate_limiter_internal.require_export('audit', since, until, app_id);

  -- Three statements, so that an index holds each one's rows in their order.
  if export_audit.app_id is not null then
    return query
    select l.*
    from rate_limiter_audit.audit_logs as l
    where l.app_id = export_audit.app_id
      and (everywhere or l.tenant_id = own_tenant_id)
      and l.created_at >= from_time
      and (l.created_at, l.log_id) > (from_time, from_id)
      and l.created_at < until
    order by l.created_at, l.log_id
    limit page_rows;
  elsif everywhere then
    return query
    select l.*
    from rate_limiter_audit.audit_logs as l
    where l.created_at >= from_time
      and (l.created_at, l.log_id) > (from_time, from_id)
      and l.created_at < until
    order by l.created_at, l.log_id
    limit page_rows;
  else
    return query
    select l.*
    from rate_limiter_audit.audit_logs as l
    where l.tenant_id = own_tenant_id
      and l.created_at >= from_time
      and (l.created_at, l.log_id) > (from_time, from_id)
      and l.created_at < until
    order by l.created_at, l.log_id
    limit page_rows;
  end if;
end;
$$;

comment on function rate_limiter_admin.export_audit(
  timestamptz, timestamptz, uuid, timestamptz, uuid, integer
) is
  E'@behavior -*\n'
  'A page of the audit rows of a span of time, oldest first, that come after the row with this '
  'time and id; from the first one where both are null.';
grant execute on function rate_limiter_admin.export_audit(
  timestamptz, timestamptz, uuid, timestamptz, uuid, integer
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/exports/export_audit.sql
--! Included rate_limiter_admin/exports/export_metrics.sql
create or replace function rate_limiter_admin.export_metrics(
  since timestamptz,
  until timestamptz,
  app_ids uuid[],
  after_timestamp timestamptz,
  after_metric_id uuid,
  max_rows integer
)
returns table (
  application_id uuid,
  application_name text,
  measured_at timestamptz,
  metric_name text,
  value double precision,
  unit text,
  tags jsonb,
  metric_id uuid
)
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  everywhere constant boolean := rate_limiter_internal.is_system_admin();
  own_tenant_id constant uuid := rate_limiter_internal.current_tenant_id();
  -- Before the first sample of the span.
  first_time constant timestamptz := since - interval '1 microsecond';
  last_id constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  rows_left integer := least(greatest(max_rows, 0), 10000);
  application record;
  from_time timestamptz;
  from_id uuid;
  found_rows integer;
begin
  perform rate_limiter_internal.require_export('metrics', since, until, null);

  -- One statement for each, which reads the primary key in its order. The shard key is looked up at
  -- every page: an application may have been moved since the last one.
  for application in
    select a.shard_key, a.app_id, a.name::text, w.position
    from unnest(app_ids[:10000]) with ordinality as w (app_id, position)
    join rate_limiter.applications as a on a.app_id = w.app_id
    where everywhere or a.tenant_id = own_tenant_id
    order by w.position
  loop
    exit when rows_left = 0;
    from_time := first_time;
    from_id := last_id;

    if application.position = 1 and num_nulls(after_timestamp, after_metric_id) = 0 then
      from_time := greatest(first_time, after_timestamp);
      from_id := after_metric_id;
    end if;

    return query
    select
      m.app_id, application.name, m."timestamp", m.metric_name::text, m.value, m.unit::text,
      m.tags, m.metric_id
    from rate_limiter.metrics as m
    where m.shard_key = application.shard_key
      and m.app_id = application.app_id
      and m."timestamp" >= from_time
      and (m."timestamp", m.metric_id) > (from_time, from_id)
      and m."timestamp" < until
    order by m."timestamp", m.metric_id
    limit rows_left;

    get diagnostics found_rows = row_count;
    rows_left := rows_left - found_rows;
  end loop;
end;
$$;

comment on function rate_limiter_admin.export_metrics(
  timestamptz, timestamptz, uuid[], timestamptz, uuid, integer
) is
  E'@behavior -*\n'
  'A page of the samples of a span of time, of these applications one after the other, each by '
  'time; of the first one those after the sample with this time and id, where they are given.';
grant execute on function rate_limiter_admin.export_metrics(
  timestamptz, timestamptz, uuid[], timestamptz, uuid, integer
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/exports/export_metrics.sql
--! Included rate_limiter_admin/exports/begin_export.sql
create or replace function rate_limiter_admin.begin_export(
  resource text,
  since timestamptz,
  until timestamptz,
  app_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
begin
  perform rate_limiter_internal.require_export(resource, since, until, app_id);

  perform rate_limiter_internal.write_audit(
    'export', resource, null, rate_limiter_internal.current_tenant_id(), app_id, null,
    jsonb_build_object('since', since, 'until', until)
  );
end;
$$;

comment on function rate_limiter_admin.begin_export(text, timestamptz, timestamptz, uuid) is
  E'@behavior -*\n'
  'Refuses who may not export metrics or audit rows (QS401, QS403); notes in the audit who does.';
grant execute on function rate_limiter_admin.begin_export(text, timestamptz, timestamptz, uuid)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/exports/begin_export.sql
