--! Previous: sha1:146619005b53791b9ca4212967ec77cdf7fb57a0
--! Hash: sha1:0d3722e20ff9b2a0cd79bec86069455037d18b82
--! Message: denials

-- Demand
--! Included rate_limiter_internal/demand/size_class.sql
create or replace function rate_limiter_internal.size_class(bytes numeric)
returns smallint
language sql
immutable
parallel safe
as $$
  select case
    when bytes < 1 then 0
    -- Exact, where a logarithm is not.
    else 65 - strpos(least(trunc(bytes), 9223372036854775807)::bigint::bit(64)::text, '1')
  end::smallint;
$$;

comment on function rate_limiter_internal.size_class(numeric) is
  'How many binary digits a number of bytes has: 0 for none, else n from 2^(n - 1) to 2^n - 1.';
--! EndIncluded rate_limiter_internal/demand/size_class.sql
--! Included rate_limiter_internal/demand/check_demand.sql
create or replace function rate_limiter_internal.check_demand(demand jsonb)
returns void
language plpgsql
stable
parallel restricted
as $$
declare
  problem text;
begin
  if jsonb_typeof(demand) <> 'array' then
    problem := 'not an array';
  elsif jsonb_array_length(demand) > 1000 then
    problem := format('%s totals, at most 1000', jsonb_array_length(demand));
  else
    select format('position %s', d.position)
    into problem
    from jsonb_array_elements(demand) with ordinality as d (total, position)
    where rate_limiter_internal.moment_or_null(d.total ->> 'minute') is null
      or coalesce(length(d.total ->> 'counter') between 1 and 255, false) is false
      or coalesce(length(d.total ->> 'operation') between 1 and 255, false) is false
      or coalesce(d.total ->> 'size_class', '') !~ '^([0-9]|[1-5][0-9]|6[0-3])$'
      or coalesce(d.total ->> 'is_denied', '') not in ('true', 'false')
      or coalesce(d.total ->> 'operations', '') !~ '^[1-9][0-9]{0,14}$'
      or coalesce(d.total ->> 'tokens', '') !~ '^[0-9]{1,24}([.][0-9]{1,6})?$'
      or coalesce(d.total ->> 'bytes', '') !~ '^[0-9]{1,24}([.]0{1,6})?$'
      or coalesce(d.total ->> 'peak_operations', '') !~ '^[1-9][0-9]{0,14}$'
    order by d.position
    limit 1;
  end if;

  if problem is not null then
    raise exception using
      errcode = 'QS422',
      message = 'demand is malformed',
      detail = problem,
      hint = 'Each total has minute, counter, operation, size_class, is_denied, operations, '
        'tokens, bytes and peak_operations.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_demand(jsonb) is
  'Raises QS422 unless this is a list of totals that record_demand() can take.';
--! EndIncluded rate_limiter_internal/demand/check_demand.sql
--! Included rate_limiter_internal/demand/record_demand.sql
create or replace function rate_limiter_internal.record_demand(
  shard_key integer,
  app_id uuid,
  demand jsonb
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  now_here constant timestamptz := clock_timestamp();
  -- Some hundred are usual: callers, times operations, times size classes.
  most constant integer := 10000;
  full_minutes timestamptz[];
begin
  -- The function that takes the totals along refuses an unknown application.
  if demand is null or demand = '[]' or shard_key is null then
    return;
  end if;
  perform rate_limiter_internal.check_demand(demand);

  full_minutes := array(
    select m.minute
    from (
      select distinct t.minute
      from jsonb_to_recordset(demand) as t (minute timestamptz)
    ) as m
    where (
      select count(*)
      from (
        select
        from rate_limiter_private.demand as d
        where d.shard_key = record_demand.shard_key
          and d.app_id = record_demand.app_id
          and d.minute = m.minute
        limit most
      ) as kept
    ) = most
  );

  -- In the order of the key: a call that is made again while the first one is under way waits for
  -- it, and neither for the other.
  insert into rate_limiter_private.demand as d (
    shard_key, app_id, minute, operation, size_class, is_denied, counter, operations, tokens, bytes,
    peak_operations
  )
  select
    record_demand.shard_key, record_demand.app_id, t.minute, o.name, t.size_class, t.is_denied,
    md5(t.counter)::uuid, max(t.operations), max(t.tokens), max(t.bytes),
    max(least(t.peak_operations, t.operations))
  from jsonb_to_recordset(demand) as t (
    minute timestamptz, counter text, operation text, size_class smallint, is_denied boolean,
    operations bigint, tokens numeric, bytes numeric, peak_operations bigint
  )
  join rate_limiter.operation_types as o on o.name = t.operation
  -- Totals are merged when they are older, and then count no second time.
  where t.minute = date_trunc('minute', t.minute, 'UTC')
    and t.minute > now_here - interval '1 hour'
    and t.minute < now_here + interval '1 minute'
    and t.minute <> all (full_minutes)
  group by t.minute, o.name, t.size_class, t.is_denied, t.counter
  order by t.minute, o.name, t.size_class, t.is_denied, t.counter
  on conflict on constraint demand_pkey do update
  set
    operations = greatest(d.operations, excluded.operations),
    tokens = greatest(d.tokens, excluded.tokens),
    bytes = greatest(d.bytes, excluded.bytes),
    peak_operations = greatest(d.peak_operations, excluded.peak_operations)
  where excluded.operations > d.operations;
end;
$$;

comment on function rate_limiter_internal.record_demand(integer, uuid, jsonb) is
  'Keeps what a caller counted in its memory: [{"minute", "counter", "operation", "size_class", '
  '"is_denied", "operations", "tokens", "bytes", "peak_operations"}]. They are the counter''s '
  'totals in the minute: handed in again, they count once. Left out are unknown operations, '
  'minutes that began more than an hour ago, those to come, and those of which the application '
  'has 10,000 totals. Raises QS422 for what is malformed.';
--! EndIncluded rate_limiter_internal/demand/record_demand.sql
--! Included rate_limiter_private/demand/merge_demand.sql
create or replace function rate_limiter_private.merge_demand(batch_size integer default 1000)
returns integer
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- Minutes of which nothing is taken any more, with the time that a call may take.
  with over as materialized (
    select
      d.shard_key, d.app_id, d.minute, d.operation, d.size_class, d.is_denied
    from rate_limiter_private.demand as d
    where d.minute > now() - interval '1 day'
      and d.minute < now() - interval '75 minutes'
    group by d.shard_key, d.app_id, d.minute, d.operation, d.size_class, d.is_denied
    having count(*) > 1
    order by 1, 2, 3, 4, 5, 6
    limit batch_size
  ),
  -- Each keeps its shard key until this is written.
  facts as materialized (
    select f.shard_key, f.app_id
    from rate_limiter.app_facts as f
    where f.app_id in (select o.app_id from over as o)
    order by f.app_id
    for key share
  ),
  taken as (
    delete from rate_limiter_private.demand as d
    using over as o, facts as f
    where f.app_id = o.app_id
      and f.shard_key = o.shard_key
      and d.shard_key = o.shard_key
      and d.app_id = o.app_id
      and d.minute = o.minute
      and d.operation = o.operation
      and d.size_class = o.size_class
      and d.is_denied = o.is_denied
      and d.counter <> '00000000-0000-0000-0000-000000000000'
    returning d.*
  ),
  merged as (
    insert into rate_limiter_private.demand as d (
      shard_key, app_id, minute, operation, size_class, is_denied, counter, operations, tokens,
      bytes, peak_operations
    )
    select
      t.shard_key, t.app_id, t.minute, t.operation, t.size_class, t.is_denied,
      -- The counter of what the database counted and of what is merged; amounts stay below what
      -- their columns hold, whatever callers said.
      '00000000-0000-0000-0000-000000000000', least(sum(t.operations), 9e17),
      least(sum(t.tokens), 9e30), least(sum(t.bytes), 9e36), least(sum(t.peak_operations), 9e17)
    from taken as t
    group by 1, 2, 3, 4, 5, 6
    order by 1, 2, 3, 4, 5, 6
    on conflict on constraint demand_pkey do update
    set
      operations = least(d.operations + excluded.operations, 9e17),
      tokens = least(d.tokens + excluded.tokens, 9e30),
      bytes = least(d.bytes + excluded.bytes, 9e36),
      peak_operations = least(d.peak_operations + excluded.peak_operations, 9e17)
  )
  select count(*)::integer from over;
$$;

comment on function rate_limiter_private.merge_demand(integer) is
  'Job: adds up what several callers counted of one application, minute, operation and size class, '
  'up to batch_size of these, of minutes that ended more than an hour ago. Answers how many.';
grant execute on function rate_limiter_private.merge_demand(integer) to rate_limiter_worker;
--! EndIncluded rate_limiter_private/demand/merge_demand.sql
--! Included rate_limiter_private/demand/demand.grants.sql
revoke all on rate_limiter_private.demand
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.demand to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/demand/demand.grants.sql

-- Denials
--! Included rate_limiter_internal/denials/check_denials.sql
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
        'iops_l2', 'bandwidth_l2', 'iops_l1', 'bandwidth_l1', 'exceeds_capacity', 'no_quota'
      )
      or coalesce(d.count ->> 'operations', '') !~ '^[1-9][0-9]{0,14}$'
      or coalesce(d.count ->> 'tokens', '0') !~ '^[0-9]{1,24}([.][0-9]{1,6})?$'
      or length(d.count ->> 'counter') not between 1 and 255
      or coalesce(d.count ->> 'bytes', '0') !~ '^[0-9]{1,24}([.]0{1,6})?$'
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
--! EndIncluded rate_limiter_internal/denials/check_denials.sql
--! Included rate_limiter_internal/denials/write_denials.sql
create or replace function rate_limiter_internal.write_denials(
  shard_key integer,
  app_id uuid,
  reason text,
  minute timestamptz,
  counted numeric[]
)
returns numeric[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  written constant numeric := counted[5] + counted[1];
  next_power numeric := 1;
  is_done boolean := false;
begin
  -- A transaction that is read-only, as all are on a standby, goes on counting.
  if current_setting('transaction_read_only')::boolean then
    return counted;
  end if;

  -- Nothing is waited for: a row that is locked is skipped and another one added. It is locked by
  -- fold_denials, which is about to delete it, or by a prepared transaction of this session.
  if counted[5] > 0 then
    update rate_limiter.recent_denials as d
    set
      operations = d.operations + counted[1]::bigint,
      tokens = d.tokens + counted[2],
      bytes = d.bytes + counted[3],
      recorded_at = clock_timestamp()
    where d.shard_key = write_denials.shard_key and d.ctid = (
      select own.ctid
      from rate_limiter.recent_denials as own
      where own.shard_key = write_denials.shard_key
        and own.app_id = write_denials.app_id
        and own.minute = write_denials.minute
        and own.reason = write_denials.reason
        and own.writer = pg_backend_pid()
        -- What clients hand in may be absurd: sums stay within their types.
        and own.operations < 4e18::bigint
        and own.tokens < 1e31
        and own.bytes < 1e37
      limit 1
      for no key update skip locked
    );
    is_done := found;
  end if;
  if not is_done then
    insert into rate_limiter.recent_denials (
      shard_key, app_id, minute, reason, writer, operations, tokens, bytes
    )
    values (
      shard_key, app_id, minute, reason, pg_backend_pid(), counted[1], counted[2], counted[3]
    );
  end if;

  while next_power <= written loop
    next_power := 2 * next_power;
  end loop;
  return array[0, 0, 0, next_power - written, written];
end;
$$;

comment on function rate_limiter_internal.write_denials(
  integer, uuid, text, timestamptz, numeric[]
) is
  'Adds a count of denials to this session''s row of recent_denials for the application, reason '
  'and minute. Waits for no lock. Takes and answers what count_denial() keeps: operations, tokens '
  'and bytes, which are written, the operations at which to write again, and the operations '
  'written so far.';
--! EndIncluded rate_limiter_internal/denials/write_denials.sql
--! Included rate_limiter_internal/denials/write_denial_total.sql
create or replace function rate_limiter_internal.write_denial_total(
  shard_key integer,
  app_id uuid,
  reason text,
  minute timestamptz,
  counter uuid,
  operations bigint,
  tokens numeric,
  bytes numeric
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  -- Of the minute that it was handed in with first: a client's clock may be ahead.
  update rate_limiter.recent_denials as d
  set
    operations = greatest(d.operations, write_denial_total.operations),
    tokens = greatest(d.tokens, write_denial_total.tokens),
    bytes = greatest(d.bytes, write_denial_total.bytes),
    recorded_at = clock_timestamp()
  where d.shard_key = write_denial_total.shard_key
    and d.app_id = write_denial_total.app_id
    and d.reason = write_denial_total.reason
    and d.writer = 0
    and d.count_id = counter;
  if not found then
    insert into rate_limiter.recent_denials (
      shard_key, app_id, minute, reason, writer, count_id, operations, tokens, bytes
    )
    values (shard_key, app_id, minute, reason, 0, counter, operations, tokens, bytes)
    on conflict do nothing;
  end if;
end;
$$;

comment on function rate_limiter_internal.write_denial_total(
  integer, uuid, text, timestamptz, uuid, bigint, numeric, numeric
) is
  'Sets what a client has counted of an application, reason and minute so far, never to less: a '
  'row of recent_denials with writer 0. fold_denials leaves it there for five minutes, and '
  'brings what it grows by to denial_counts.';
--! EndIncluded rate_limiter_internal/denials/write_denial_total.sql
--! Included rate_limiter_internal/denials/record_denials.sql
create or replace function rate_limiter_internal.record_denials(
  shard_key integer,
  app_id uuid,
  denials jsonb
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  this_minute constant timestamptz := date_trunc('minute', clock_timestamp(), 'UTC');
begin
  -- The function that takes the counts along refuses an unknown application.
  if denials is null or denials = '[]' or shard_key is null then
    return;
  end if;
  perform rate_limiter_internal.check_denials(denials);

  -- A client's clock may be off: no count lies in the future, none further back than a day, which
  -- is what there are partitions for.
  perform rate_limiter_internal.write_denials(
    record_denials.shard_key, record_denials.app_id, handed_in.reason, handed_in.minute,
    array[sum(handed_in.operations), sum(handed_in.tokens), sum(handed_in.bytes), 1, 1]
  )
  from (
    select
      least(
        greatest(
          date_trunc('minute', rate_limiter_internal.moment_or_null(d ->> 'minute'), 'UTC'),
          this_minute - interval '24 hours'
        ),
        this_minute
      ) as minute,
      d ->> 'reason' as reason,
      (d ->> 'operations')::bigint as operations,
      coalesce((d ->> 'tokens')::numeric, 0) as tokens,
      coalesce((d ->> 'bytes')::numeric, 0) as bytes
    from jsonb_array_elements(denials) as d
    where d ->> 'counter' is null
  ) as handed_in
  group by handed_in.minute, handed_in.reason;

  perform rate_limiter_internal.write_denial_total(
    record_denials.shard_key, record_denials.app_id, total.reason,
    least(greatest(total.minute, this_minute - interval '24 hours'), this_minute),
    md5(total.counter || ' ' || extract(epoch from total.minute))::uuid,
    total.operations, total.tokens, total.bytes
  )
  from (
    select
      date_trunc('minute', rate_limiter_internal.moment_or_null(d ->> 'minute'), 'UTC') as minute,
      d ->> 'reason' as reason,
      d ->> 'counter' as counter,
      (d ->> 'operations')::bigint as operations,
      coalesce((d ->> 'tokens')::numeric, 0) as tokens,
      coalesce((d ->> 'bytes')::numeric, 0) as bytes
    from jsonb_array_elements(denials) as d
    where d ->> 'counter' is not null
  ) as total;
end;
$$;

comment on function rate_limiter_internal.record_denials(integer, uuid, jsonb) is
  'Keeps counts of denials that a client made in its memory: [{"minute": "2026-01-01T00:00Z", '
  '"reason": "iops_l2", "operations": 12, "tokens": "34.5", "bytes": 123}]. With a counter, a '
  'text, they are that counter''s totals in the minute: handed in again, they count once. Null or '
  'an empty list writes nothing. Raises QS422 for anything else.';
--! EndIncluded rate_limiter_internal/denials/record_denials.sql
--! Included rate_limiter_internal/denials/flush_denials.sql
create or replace function rate_limiter_internal.flush_denials(
  counts text,
  most integer default null
)
returns text
language plpgsql
volatile
parallel unsafe
as $$
declare
  entries constant text[] := string_to_array(counts, '|');
  minute timestamptz;
  entry text;
  key text;
  written text := '';
  rows_written integer := 0;
begin
  if counts is null or current_setting('transaction_read_only')::boolean then
    return counts;
  end if;

  minute := to_timestamp(entries[1]::bigint / 60 * 60);
  for place in reverse cardinality(entries) - 1 .. 2 loop
    entry := entries[place];
    continue when strpos(entry, '{0,') > 0;
    key := split_part(entry, '{', 1);
    written := key || rate_limiter_internal.write_denials(
      split_part(key, ':', 2)::integer, left(key, 36)::uuid, split_part(substr(key, 37), ':', 1),
      minute, substr(entry, length(key) + 1)::numeric[]
    )::text || '|' || written;
    counts := replace(counts, '|' || entry || '|', '|');
    rows_written := rows_written + 1;
    exit when rows_written = most;
  end loop;
  return entries[1] || '|' || written || substr(counts, length(entries[1]) + 2);
end;
$$;

comment on function rate_limiter_internal.flush_denials(text, integer) is
  'Writes the counts of a list that count_denial() keeps in this session''s memory, those first '
  'that were not for longest, and answers the list as it then is.';
--! EndIncluded rate_limiter_internal/denials/flush_denials.sql
--! Included rate_limiter_internal/denials/sweep_denials.sql
create or replace function rate_limiter_internal.sweep_denials(
  this_second bigint,
  spared_list text default null
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  list text;
  counts text;
  counted_second bigint;
  kept text;
begin
  for number in 0 .. 15 loop
    list := 'rate_limiter_denials.counts_' || to_hex(number);
    counts := current_setting(list, true);
    if counts <> '' and list is distinct from spared_list then
      counted_second := split_part(counts, '|', 1);
      if counted_second <> this_second then
        -- The rest in a later second, so that none takes long; but with its minute.
        kept := set_config(list, rate_limiter_internal.flush_denials(
          counts, case when this_second / 60 = counted_second / 60 then 4 end
        ), false);
      end if;
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.sweep_denials(bigint, text) is
  'Once a second: writes what count_denial() counted in this session''s memory in earlier seconds, '
  'a few counts of each list.';
--! EndIncluded rate_limiter_internal/denials/sweep_denials.sql
--! Included rate_limiter_internal/denials/roll_denials.sql
create or replace function rate_limiter_internal.roll_denials(list text, this_second bigint)
returns text
language plpgsql
volatile
parallel unsafe
as $$
declare
  counts text := nullif(current_setting(list, true), '');
  counted_second constant bigint := split_part(counts, '|', 1);
  -- Ten seconds without a denial end a burst, as a clock does that is set back.
  goes_on constant boolean := coalesce(this_second - counted_second between 0 and 9, false);
  kept text;
begin
  if current_setting('rate_limiter_denials.since', true) is distinct from this_second::text then
    perform rate_limiter_internal.sweep_denials(this_second, list);
    kept := set_config('rate_limiter_denials.since', this_second::text, false);
  end if;

  if not goes_on or this_second / 60 <> counted_second / 60 then
    counts := rate_limiter_internal.flush_denials(counts);
  end if;
  if counts is null or not goes_on and not current_setting('transaction_read_only')::boolean then
    return this_second || '|';
  end if;
  return this_second || substr(counts, length(counted_second::text) + 1);
end;
$$;

comment on function rate_limiter_internal.roll_denials(text, bigint) is
  'Begins another second in a list that count_denial() keeps in this session''s memory, and '
  'answers it: what was counted there in another minute is written, and what was counted before a '
  'pause is forgotten then. In the session''s first list of the second, the others are swept.';
--! EndIncluded rate_limiter_internal/denials/roll_denials.sql
--! Included rate_limiter_internal/denials/count_denial.sql
create or replace function rate_limiter_internal.count_denial(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  reason text,
  tokens numeric,
  bytes numeric,
  operations bigint default 1
)
returns boolean
language plpgsql
volatile
parallel unsafe
as $$
-- The memory of a session is in 17 settings, none longer than about 8 KB, however many applications
-- it denies: PostgreSQL 15 goes through all settings whenever a transaction ends that has set one.
--   counts_0 to counts_f, by the last digit of the application's id:
--     '<second>|<application><reason>:<shard key>{<operations>,<tokens>,<bytes>,<due>,<written>}|':
--     in which second since 1970 something was last counted here, and for each application and
--     reason what is yet to be written, with how many operations it is, and how many of this burst
--     were
--   since: the last of these seconds; empty once a charge has taken along what was to be written
declare
  this_second constant bigint := floor(date_part('epoch', at));
  count_key constant text := app_id || reason || ':' || shard_key;
  list constant text := 'rate_limiter_denials.counts_' || substr(count_key, 36, 1);
  counts text := current_setting(list, true);
  is_next_second boolean := false;
  is_written boolean := false;
  before text;
  counted numeric[];
  -- Assigned and not performed: that would be a query each time.
  kept text;
begin
  if starts_with(counts, this_second::text) is not true then
    if at is null then
      return rate_limiter_internal.count_denial(
        shard_key, clock_timestamp(), app_id, reason, tokens, bytes, operations
      );
    end if;
    counts := rate_limiter_internal.roll_denials(list, this_second);
    is_next_second := true;
  end if;

  before := split_part(split_part(counts, count_key, 2), '|', 1);
  if before = '' then
    if length(counts) > 8000 then
      -- What was written longest ago stands last.
      counts := regexp_replace(
        left(rate_limiter_internal.flush_denials(counts), 4000), '[|][^|]*$', '|'
      );
    end if;
    counts := this_second || '|' || count_key || substr(counts, length(this_second::text) + 1);
    counted := array[operations, coalesce(tokens, 0), coalesce(bytes, 0), 1, 0];
  else
    counted := before::numeric[];
    counted := array[
      counted[1] + operations, counted[2] + coalesce(tokens, 0), counted[3] + coalesce(bytes, 0),
      counted[4], counted[5]
    ];
  end if;

  if counted[1] >= counted[4] then
    counted := rate_limiter_internal.write_denials(
      shard_key, app_id, reason, to_timestamp(this_second / 60 * 60), counted
    );
    is_written := true;
  end if;
  counts := replace(counts, count_key || before, count_key || counted::text);
  if is_next_second then
    counts := rate_limiter_internal.flush_denials(counts, 4);
    is_written := true;
  end if;
  kept := set_config(list, counts, false);
  return is_written;
end;
$$;

comment on function rate_limiter_internal.count_denial(
  integer, timestamptz, uuid, text, numeric, numeric, bigint
) is
  'Counts a denial in this session''s memory: no row and no WAL. The count is written at an '
  'application''s denials 1, 2, 4, 8 and so on of a burst, which ten seconds without a denial end, '
  'and with the first denial of a later second or minute. Answers whether it was due.';
--! EndIncluded rate_limiter_internal/denials/count_denial.sql
--! Included rate_limiter_internal/denials/count_if_denied.sql
create or replace function rate_limiter_internal.count_if_denied(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  size_bytes bigint,
  decision rate_limiter.decision
)
returns rate_limiter.decision
language plpgsql
volatile
parallel unsafe
as $$
declare
  is_written boolean;
begin
  if not decision.allowed then
    is_written := rate_limiter_internal.count_denial(
      shard_key, at, app_id, decision.reason, decision.cost, coalesce(size_bytes, 0)
    );
  end if;
  return decision;
end;
$$;

comment on function rate_limiter_internal.count_if_denied(
  integer, timestamptz, uuid, bigint, rate_limiter.decision
) is
  'Counts a denial in this session''s memory. Answers the decision.';
--! EndIncluded rate_limiter_internal/denials/count_if_denied.sql
--! Included rate_limiter_internal/denials/fold_session_denials.sql
create or replace function rate_limiter_internal.fold_session_denials(batch_size integer)
returns integer
language sql
volatile
parallel unsafe
as $$
  -- Rows that a session's open transaction has changed wait for the next run, and no session waits
  -- for this one (write_denials).
  with next as materialized (
    select d.ctid as row_id
    from rate_limiter.recent_denials as d
    where d.writer <> 0
    order by d.shard_key, d.app_id, d.minute, d.reason
    limit batch_size
    for update skip locked
  ),
  taken as (
    delete from rate_limiter.recent_denials as d
    using next as n
    where d.ctid = n.row_id
    returning d.shard_key, d.app_id, d.minute, d.reason, d.operations, d.tokens, d.bytes
  ),
  -- One that moved since they were counted takes them along, and does not move before this is over.
  facts as materialized (
    select f.shard_key, f.app_id
    from rate_limiter.app_facts as f
    where f.app_id in (select t.app_id from taken as t)
    order by f.app_id
    for key share
  ),
  -- What clients hand in may be absurd: sums stay within their types.
  folded as (
    insert into rate_limiter.denial_counts (
      shard_key, app_id, minute, reason, operations, tokens, bytes
    )
    select
      coalesce(f.shard_key, t.shard_key), t.app_id, t.minute, t.reason,
      least(sum(t.operations), 9e18::bigint), least(sum(t.tokens), 9e31), least(sum(t.bytes), 9e37)
    from taken as t
    left join facts as f on f.app_id = t.app_id
    group by coalesce(f.shard_key, t.shard_key), t.app_id, t.minute, t.reason
  )
  select count(*)::integer from taken;
$$;

comment on function rate_limiter_internal.fold_session_denials(integer) is
  'Moves up to batch_size rows that sessions wrote from recent_denials to denial_counts, added up '
  'by application, minute and reason; answers how many.';
--! EndIncluded rate_limiter_internal/denials/fold_session_denials.sql
--! Included rate_limiter_internal/denials/is_folded.sql
create or replace function rate_limiter_internal.is_folded(total rate_limiter.recent_denials)
returns boolean
language plpgsql
stable
parallel safe
as $$
declare
  -- Where the application is by now: its counts moved with it.
  key_by_now constant integer := coalesce(
    rate_limiter_internal.app_shard_key(total.app_id), total.shard_key
  );
begin
  return exists (
    select
    from rate_limiter.denial_counts as c
    where c.shard_key = key_by_now
      and c.app_id = total.app_id
      and c.minute = total.minute
      and c.reason = total.reason
      and c.count_id = total.count_id
      and c.operations >= total.operations
      and c.tokens >= total.tokens
      and c.bytes >= total.bytes
  );
end;
$$;

comment on function rate_limiter_internal.is_folded(rate_limiter.recent_denials) is
  'Whether denial_counts has all of a client''s total.';
--! EndIncluded rate_limiter_internal/denials/is_folded.sql
--! Included rate_limiter_internal/denials/fold_denial_totals.sql
create or replace function rate_limiter_internal.fold_denial_totals(batch_size integer)
returns integer
language sql
volatile
parallel unsafe
as $$
  -- Nothing is locked: what a total grows by meanwhile is for the next run.
  with next as materialized (
    select
      d.shard_key, d.app_id, d.minute, d.reason, d.count_id, d.operations, d.tokens, d.bytes
    from rate_limiter.recent_denials as d
    where d.writer = 0 and not rate_limiter_internal.is_folded(d)
    order by d.shard_key, d.app_id, d.minute, d.reason, d.count_id
    limit batch_size
  ),
  -- As fold_session_denials().
  facts as materialized (
    select f.shard_key, f.app_id
    from rate_limiter.app_facts as f
    where f.app_id in (select n.app_id from next as n)
    order by f.app_id
    for key share
  ),
  folded as (
    insert into rate_limiter.denial_counts as c (
      shard_key, app_id, minute, reason, count_id, operations, tokens, bytes
    )
    select
      coalesce(f.shard_key, n.shard_key), n.app_id, n.minute, n.reason, n.count_id,
      max(n.operations), max(n.tokens), max(n.bytes)
    from next as n
    left join facts as f on f.app_id = n.app_id
    group by coalesce(f.shard_key, n.shard_key), n.app_id, n.minute, n.reason, n.count_id
    on conflict on constraint denial_counts_pkey do update
    set
      operations = greatest(c.operations, excluded.operations),
      tokens = greatest(c.tokens, excluded.tokens),
      bytes = greatest(c.bytes, excluded.bytes),
      recorded_at = clock_timestamp()
  )
  select count(*)::integer from next;
$$;

comment on function rate_limiter_internal.fold_denial_totals(integer) is
  'Sets up to batch_size rows of denial_counts to what clients'' totals of recent_denials have '
  'grown to, under the same count_id: one that is handed in again, after a crash of PostgreSQL '
  'too, counts once. Answers how many have grown.';
--! EndIncluded rate_limiter_internal/denials/fold_denial_totals.sql
--! Included rate_limiter_internal/denials/merge_denial_totals.sql
create or replace function rate_limiter_internal.merge_denial_totals(batch_size integer)
returns integer
language sql
volatile
parallel unsafe
as $$
  -- One that is being handed in, or has grown since it was folded, is for the next run.
  with next as materialized (
    select d.ctid as row_id, d.shard_key, d.app_id, d.minute, d.reason, d.count_id
    from rate_limiter.recent_denials as d
    where d.writer = 0
      and d.minute < now() - interval '5 minutes'
      and rate_limiter_internal.is_folded(d)
    order by d.shard_key, d.app_id, d.minute, d.reason, d.count_id
    limit batch_size
    for update skip locked
  ),
  over as (
    delete from rate_limiter.recent_denials as d
    using next as n
    where d.ctid = n.row_id
  ),
  -- As fold_session_denials().
  facts as materialized (
    select f.shard_key, f.app_id
    from rate_limiter.app_facts as f
    where f.app_id in (select n.app_id from next as n)
    order by f.app_id
    for key share
  ),
  taken as (
    delete from rate_limiter.denial_counts as c
    using next as n
    left join facts as f on f.app_id = n.app_id
    where c.shard_key = coalesce(f.shard_key, n.shard_key)
      and c.app_id = n.app_id
      and c.minute = n.minute
      and c.reason = n.reason
      and c.count_id = n.count_id
    returning c.*
  ),
  -- What clients hand in may be absurd: sums stay within their types.
  merged as (
    insert into rate_limiter.denial_counts (
      shard_key, app_id, minute, reason, operations, tokens, bytes, recorded_at
    )
    select
      t.shard_key, t.app_id, t.minute, t.reason, least(sum(t.operations), 9e18::bigint),
      least(sum(t.tokens), 9e31), least(sum(t.bytes), 9e37), max(t.recorded_at)
    from taken as t
    group by t.shard_key, t.app_id, t.minute, t.reason
  )
  select count(*)::integer from next;
$$;

comment on function rate_limiter_internal.merge_denial_totals(integer) is
  'Adds up to batch_size folded totals of clients that are five minutes old, and are not handed in '
  'again, up to one row of denial_counts for each application, minute and reason, and forgets '
  'them; answers how many.';
--! EndIncluded rate_limiter_internal/denials/merge_denial_totals.sql
--! Included rate_limiter_private/denials/fold_denials.sql
create or replace function rate_limiter_private.fold_denials(batch_size integer default 1000)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  folded constant integer := rate_limiter_internal.fold_session_denials(batch_size);
  totals constant integer := rate_limiter_internal.fold_denial_totals(batch_size);
begin
  return greatest(folded, totals, rate_limiter_internal.merge_denial_totals(batch_size));
end;
$$;

comment on function rate_limiter_private.fold_denials(integer) is
  'Brings what is new in recent_denials to denial_counts, where a crash does not take it: up to '
  'batch_size rows of each kind; answers how many of the most frequent. Call it until it answers '
  'less than batch_size.';
grant execute on function rate_limiter_private.fold_denials(integer) to rate_limiter_worker;
--! EndIncluded rate_limiter_private/denials/fold_denials.sql
--! Included rate_limiter_internal/denials/recent_denials.sql
create or replace function rate_limiter_internal.recent_denials()
returns setof rate_limiter.recent_denials
language plpgsql
stable
parallel safe
rows 100
as $$
begin
  -- An unlogged table cannot even be planned for during recovery: the statement is in a function,
  -- which plans it when it gets there.
  if not pg_is_in_recovery() then
    return query
    select
      d.shard_key, d.app_id, d.minute, d.reason, d.writer,
      -- The row of what is folded has the total's own.
      case when f.operations is null then d.count_id else md5(d.count_id::text)::uuid end,
      d.operations - coalesce(f.operations, 0),
      greatest(d.tokens - coalesce(f.tokens, 0), 0)::numeric(38, 6),
      greatest(d.bytes - coalesce(f.bytes, 0), 0)::numeric(38, 0),
      d.recorded_at
    from rate_limiter.recent_denials as d
    left join lateral (
      select c.operations, c.tokens, c.bytes
      from rate_limiter.denial_counts as c
      where c.shard_key = d.shard_key
        and c.app_id = d.app_id
        and c.minute = d.minute
        and c.reason = d.reason
        and c.count_id = d.count_id
      -- Looked up for each: clients' totals are few, and counts are many.
      offset 0
    ) as f on d.writer = 0
    where d.operations > coalesce(f.operations, 0);
  end if;
end;
$$;

comment on function rate_limiter_internal.recent_denials() is
  'The rows of recent_denials that the caller may see, of a client''s total what is yet to be '
  'folded; none on a standby.';
grant execute on function rate_limiter_internal.recent_denials()
  to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_internal/denials/recent_denials.sql
--! Included rate_limiter/denials/v_denial_counts.sql
create or replace view rate_limiter.v_denial_counts
with (security_invoker = true) as
select
  d.app_id,
  d.minute,
  d.reason,
  d.count_id,
  d.operations,
  d.tokens,
  d.bytes,
  d.recorded_at,
  d.shard_key
from rate_limiter.denial_counts as d
union all
select
  r.app_id,
  r.minute,
  r.reason,
  r.count_id,
  r.operations,
  r.tokens,
  r.bytes,
  r.recorded_at,
  r.shard_key
from rate_limiter_internal.recent_denials() as r;

comment on view rate_limiter.v_denial_counts is
  E'@name denial_count\n'
  '@primaryKey app_id,minute,reason,count_id\n'
  '@foreignKey (app_id) references rate_limiter.applications (app_id)|'
  '@fieldName application|@foreignFieldName denialCounts\n'
  'Operations that were denied, by application, minute and reason, from a second after they were: '
  'add the rows up. A row of the last minute grows, and is replaced by another within half a '
  'minute.';
comment on column rate_limiter.v_denial_counts.shard_key is
  E'@behavior -*\n'
  'The number of its cluster, or of the application without one.';
comment on column rate_limiter.v_denial_counts.app_id is E'@notNull\nThe application.';
comment on column rate_limiter.v_denial_counts.minute is E'@notNull\nThe start of the minute.';
comment on column rate_limiter.v_denial_counts.reason is
  E'@notNull\nThe bucket that was short, exceeds_capacity or no_quota.';
comment on column rate_limiter.v_denial_counts.count_id is
  E'@notNull\nTells the rows of a minute apart.';
comment on column rate_limiter.v_denial_counts.operations is
  E'@notNull\nOperations that were denied.';
comment on column rate_limiter.v_denial_counts.tokens is
  E'@notNull\nTokens that they would have cost.';
comment on column rate_limiter.v_denial_counts.bytes is
  E'@notNull\nBytes that they would have moved.';
comment on column rate_limiter.v_denial_counts.recorded_at is
  E'@notNull\nWhen the count was recorded.';

revoke all on rate_limiter.v_denial_counts from rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.v_denial_counts to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/denials/v_denial_counts.sql
--! Included rate_limiter_internal/denials/denial_at.sql
create or replace function rate_limiter_internal.denial_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  cost numeric,
  bytes numeric
)
returns rate_limiter.decision
language plpgsql
stable
parallel restricted
as $$
declare
  latest constant timestamptz := at + interval '1 second';
  bucket record;
  lacking numeric;
  iops_left numeric;
  bytes_left numeric;
  first_short rate_limiter.bucket_type;
  wait_ms bigint := 0;
  -- Tokens and bytes of layer 1 that the session's stripe holds.
  prefetched numeric[];
begin
  for bucket in
    select
      b.owner_id, b.bucket_type, b.refill_rate, b.calculation_method, b.last_refill_at,
      b.capacity - coalesce(b.headroom, 0) as most,
      case when b.bucket_type in ('iops_l2', 'iops_l1') then cost else bytes end as charge,
      b.current_tokens + rate_limiter_internal.refill(
        b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
        b.burst_duration_seconds, b.prorated_since, b.last_refill_at, at
      ) - coalesce(b.headroom, 0) as offered,
      -- Reserves, changes of quota and a clock that was set back are left to consume_locked.
      at >= b.quota_valid_until or b.last_refill_at > latest as is_for_others,
      b.headroom is not null as has_headroom
    from (
      values
        (app_id, 'iops_l2'::rate_limiter.bucket_type), (app_id, 'bandwidth_l2'),
        (denial_at.cluster_id, 'iops_l1'), (denial_at.cluster_id, 'bandwidth_l1')
    ) as k (owner_id, bucket_type)
    -- One by one, and the newest generation first: no further version is looked at.
    cross join lateral (
      select l.*
      from rate_limiter.token_buckets as l
      where l.shard_key = denial_at.shard_key
        and l.owner_id = k.owner_id
        and l.bucket_type = k.bucket_type
        and l.mode = 'enforce'
      order by l.generation
      limit 1
    ) as b
  loop
    if bucket.has_headroom then
      perform
      from rate_limiter.token_buckets as r
      where r.shard_key = denial_at.shard_key
        and r.owner_id = app_id
        and r.bucket_type in ('iops_reserve', 'bandwidth_reserve')
        and r.mode = 'enforce'
      limit 1;
      bucket.is_for_others := bucket.is_for_others or found;
    end if;
    if bucket.is_for_others then
      return null;
    elsif bucket.bucket_type = 'iops_l2' then
      iops_left := bucket.offered;
    elsif bucket.bucket_type = 'bandwidth_l2' then
      bytes_left := bucket.offered;
    end if;

    if bucket.offered < bucket.charge and rate_limiter_internal.is_layer1(bucket.bucket_type) then
      prefetched := coalesce(
        prefetched, rate_limiter_internal.prefetched_at(shard_key, at)
      );
      bucket.offered := bucket.offered
        + prefetched[1 + rate_limiter_internal.is_bandwidth(bucket.bucket_type)::integer];
    end if;
    if bucket.offered < bucket.charge and bucket.charge > 0 then
      if bucket.charge > bucket.most and rate_limiter_internal.is_layer1(bucket.bucket_type) then
        return null;
      end if;
      first_short := least(first_short, bucket.bucket_type);
      if bucket.charge > bucket.most or bucket.calculation_method = 'fixed_window' then
        -- Rare: an oversize charge, or one that waits for a window.
        lacking := rate_limiter_internal.stored_wait_ms(
          shard_key, at, bucket.owner_id, bucket.bucket_type, bucket.charge
        );
        if lacking = 0 then
          return null;
        end if;
        wait_ms := case when wait_ms is not null and lacking < 'infinity'
          then greatest(wait_ms, lacking) end;
      elsif wait_ms is not null then
        wait_ms := greatest(wait_ms, rate_limiter_internal.wait_ms(
          at, bucket.refill_rate, bucket.last_refill_at, bucket.charge - bucket.offered
        ));
      end if;
    end if;
  end loop;

  if first_short is null
    or (iops_left is null or bytes_left is null and bytes > 0)
      and rate_limiter_internal.lacks_quota(
        shard_key, app_id, iops_left is null, bytes_left is null
      ) is not false
  then
    return null;
  end if;
  return row(
    false, case when wait_ms is null then 'exceeds_capacity' else first_short::text end, cost,
    iops_left, bytes_left, wait_ms, 0::bigint
  );
end;
$$;

comment on function rate_limiter_internal.denial_at(
  integer, timestamptz, uuid, uuid, numeric, numeric
) is
  'The denial of an operation whose application''s buckets cannot pay for it: names the first '
  'one that is short, and waits for the slowest. Null where they can after all, as a bucket can '
  'that takes an oversize charge, and where consume_locked() has to look closer: what an oversize '
  'charge waits for at layer 1 depends on its tenant.';
--! EndIncluded rate_limiter_internal/denials/denial_at.sql
--! Included rate_limiter/denials/report_counts.sql
create or replace function rate_limiter.report_counts(
  app_id uuid,
  denials jsonb,
  demand jsonb default null
)
returns void
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
  shard_key := rate_limiter_internal.required_shard_key(app_id);
  perform rate_limiter_internal.record_demand(shard_key, app_id, demand);
  perform rate_limiter_internal.record_denials(shard_key, app_id, denials);
end;
$$;

comment on function rate_limiter.report_counts(uuid, jsonb, jsonb) is
  'Takes what a caller counted in its memory, where no call about a lease is due that could take '
  'it along: denials, and what was asked. Raises QS404 for an unknown application, QS422 for '
  'malformed counts.';
grant execute on function rate_limiter.report_counts(uuid, jsonb, jsonb) to rate_limiter_app;
--! EndIncluded rate_limiter/denials/report_counts.sql
--! Included rate_limiter/denials/hand_in_denials.sql
create or replace function rate_limiter.hand_in_denials()
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_read_committed();
  -- Nothing was counted in the first second of 1970: all of it is written.
  perform rate_limiter_internal.sweep_denials(0);
end;
$$;

comment on function rate_limiter.hand_in_denials() is
  'Writes what this session has counted of denials and not yet written, which its end would take '
  'along. For sessions that end after a few decisions; others need it not.';
grant execute on function rate_limiter.hand_in_denials() to rate_limiter_app;
--! EndIncluded rate_limiter/denials/hand_in_denials.sql
--! Included rate_limiter_internal/denials/bucket_verdict.sql
create or replace function rate_limiter_internal.bucket_verdict(
  at timestamptz,
  bucket rate_limiter.token_buckets,
  reserve rate_limiter.token_buckets,
  charge numeric,
  is_unknown_size boolean,
  out verdict text,
  out passes_at timestamptz
)
language plpgsql
stable
parallel safe
as $$
declare
  held_back constant numeric := coalesce(bucket.headroom, 0);
  offered numeric := bucket.current_tokens;
  most numeric := bucket.capacity;
  lacking numeric;
begin
  -- As decide_batch() looks at it, but for what the deciding session holds of layer 1.
  if held_back > 0 then
    offered := greatest(offered - held_back, 0) + coalesce(reserve.current_tokens, 0);
    most := most - held_back + coalesce(reserve.capacity, 0);
  end if;

  lacking := case
    when charge = 0 and not is_unknown_size then 0
    else rate_limiter_internal.shortage(
      offered, most, charge, bucket.allow_oversize, rate_limiter_internal.debt_limit(bucket)
    )
  end;

  if lacking = 0 then
    verdict := 'enough';
    passes_at := at;
  elsif lacking = 'infinity' then
    verdict := 'exceeds_capacity';
  else
    verdict := 'short';
    passes_at := at + interval '1 millisecond' * least(
      rate_limiter_internal.offer_wait_ms(at, bucket, held_back, reserve, least(charge, most)),
      -- A hundred years: further ahead the clock's arithmetic ends.
      3155760000000
    );
  end if;
end;
$$;

comment on function rate_limiter_internal.bucket_verdict(
  timestamptz, rate_limiter.token_buckets, rate_limiter.token_buckets, numeric, boolean
) is
  'Whether one bucket, as it stands at a moment, can pay: enough, short, or exceeds_capacity; at '
  'layer 1 with the application''s reserve (null for none). A charge of zero is always paid, '
  'unless its size is not known yet: then a debt has to be paid first. passes_at: when it can, if '
  'no other charge comes, in a hundred years at the latest; null for never.';
--! EndIncluded rate_limiter_internal/denials/bucket_verdict.sql
--! Included rate_limiter_internal/denials/coarse_verdict.sql
create or replace function rate_limiter_internal.coarse_verdict(
  bucket rate_limiter.token_buckets,
  reserve rate_limiter.token_buckets,
  charge numeric
)
returns text
language sql
immutable
parallel safe
return case
  when charge = 0 or reserve.current_tokens >= charge then 'enough'
  when bucket.current_tokens - coalesce(bucket.headroom, 0) >= bucket.capacity / 16 then 'enough'
  else 'short'
end;

comment on function rate_limiter_internal.coarse_verdict(
  rate_limiter.token_buckets, rate_limiter.token_buckets, numeric
) is
  'Whether a cluster''s bucket is short, for those who may not see what it holds: enough where the '
  'application''s reserve (null for none) pays, or a sixteenth of the capacity is left to all. The '
  'size that is asked about changes nothing, or sizes would tell the balance.';
--! EndIncluded rate_limiter_internal/denials/coarse_verdict.sql
--! Included rate_limiter_admin/denials/why_throttled.sql
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
  debt_paid_at timestamptz,
  owed numeric,
  reserve_tokens numeric,
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
  app rate_limiter.app_facts;
  buckets rate_limiter.token_buckets[];
  bucket rate_limiter.token_buckets;
  reserve rate_limiter.token_buckets;
  part rate_limiter_internal.late_part;
  is_visible boolean;
  lacks_iops boolean;
  lacks_bandwidth boolean;
begin
  perform rate_limiter_internal.require_application(app_id, 'quota', 'read');
  asked := rate_limiter_internal.operation_in_question(
    app_id, operation, size_bytes, at, reference_id
  );
  moment := asked.moment;
  if why_throttled.at is null and why_throttled.reference_id is null then
    -- Denied before any bucket is looked at: it raises what the decision raises.
    perform rate_limiter_internal.admission_of(
      rate_limiter_internal.app_shard_key(app_id), clock_timestamp(), app_id
    );
  end if;

  select f.* into app
  from rate_limiter.app_facts as f
  where f.app_id = why_throttled.app_id;
  lacks_iops := app.needs_iops_quota and asked.cost > 0;
  lacks_bandwidth := app.needs_bandwidth_quota and asked.size_bytes_asked is distinct from 0;

  buckets := array(
    select case
      -- Now: the row itself, also where the clock was set back since it was written.
      when why_throttled.at is null and why_throttled.reference_id is null
        then (rate_limiter_internal.bucket_at(asked.moment, b)).bucket
      else rate_limiter_internal.bucket_before(asked.moment, b)
    end
    from rate_limiter.token_buckets as b
    where b.shard_key = app.shard_key
      and b.owner_id in (app.app_id, app.cluster_id)
    order by b.bucket_type, b.mode
  );

  foreach bucket in array buckets loop
    continue when bucket.capacity is null or bucket.reserve_cluster_id is not null;
    -- A cluster's bucket tells what all of its tenants do: whether it is short, and no more.
    is_visible := not rate_limiter_internal.is_layer1(bucket.bucket_type)
      or rate_limiter_internal.is_system_admin();
    layer := case when rate_limiter_internal.is_layer1(bucket.bucket_type) then 1 else 2 end;
    bucket_type := bucket.bucket_type;
    mode := bucket.mode;
    charge := case when rate_limiter_internal.is_bandwidth(bucket.bucket_type)
      then coalesce(asked.size_bytes_asked, 0) else asked.cost end;
    if bucket.mode = 'enforce' then
      lacks_iops := lacks_iops and bucket.bucket_type <> 'iops_l2';
      lacks_bandwidth := lacks_bandwidth and bucket.bucket_type <> 'bandwidth_l2';
    end if;

    reserve := null;
    if layer = 1 and bucket.mode = 'enforce' then
      select r.* into reserve
      from unnest(buckets) as r
      where r.reserve_cluster_id = bucket.owner_id
        and r.capacity is not null
        and rate_limiter_internal.is_bandwidth(r.bucket_type)
          = rate_limiter_internal.is_bandwidth(bucket.bucket_type);
    end if;

    select v.verdict, v.passes_at
    into verdict, passes_at
    from rate_limiter_internal.bucket_verdict(
      asked.moment, bucket, reserve, charge,
      bucket.bucket_type = 'bandwidth_l2' and asked.size_bytes_asked is null
    ) as v;

    if not is_visible then
      passes_at := null;
      -- By the minute: between two changes a balance is a matter of time, which moments would tell.
      verdict := rate_limiter_internal.coarse_verdict(
        case
          when why_throttled.at is null and why_throttled.reference_id is null then bucket
          else (
            select rate_limiter_internal.bucket_before(
              date_trunc('minute', least(asked.moment, clock_timestamp()), 'UTC'), b
            )
            from rate_limiter.token_buckets as b
            where b.shard_key = bucket.shard_key
              and b.bucket_id = bucket.bucket_id
          )
        end,
        reserve,
        charge
      );
    end if;
    -- An oversize charge waits for what the tenant's own part owes, too; what it owed is not kept.
    if layer = 1 and mode = 'enforce' and verdict <> 'exceeds_capacity'
      and why_throttled.at is null and why_throttled.reference_id is null
      and charge > bucket.capacity - coalesce(bucket.headroom, 0) + coalesce(reserve.capacity, 0)
    then
      part := rate_limiter_internal.late_share_at(
        app.shard_key, asked.moment, app.app_id, bucket
      );
      if part.allowance < 0 then
        verdict := 'short';
        passes_at := greatest(passes_at, asked.moment + interval '1 millisecond' * least(
          rate_limiter_internal.late_part_wait_ms(part), 3155760000000
        ));
      end if;
    end if;
    tokens := case when is_visible then bucket.current_tokens end;
    capacity := case when is_visible then bucket.capacity end;
    refill_rate := case when is_visible then bucket.refill_rate end;
    config_id := case when is_visible then bucket.config_id end;
    debt := case when is_visible then greatest(-bucket.current_tokens, 0) end;
    debt_paid_at := case when is_visible and bucket.current_tokens < 0 then
      asked.moment + interval '1 second' * least(
        rate_limiter_internal.debt_seconds(asked.moment, bucket), 3155760000
      )
    end;
    owed := case when is_visible then rate_limiter_internal.debt_of(
      app.shard_key, asked.moment, bucket.owner_id, bucket.bucket_type
    ) end;
    reserve_tokens := reserve.current_tokens;
    version_id := case when is_visible then rate_limiter_internal.quota_version_of(
      bucket.config_id, asked.moment
    ) end;
    return next;
  end loop;

  -- Limits are wanted here, and there is none.
  return query
  select
    2, l.bucket_type::rate_limiter.bucket_type, 'enforce'::rate_limiter.quota_mode, 'no_quota',
    asked.moment, l.charge, null::numeric, null::numeric, null::bigint, null::numeric,
    null::timestamptz, null::numeric, null::numeric, null::timestamptz, null::uuid, null::uuid
  from (
    values
      ('iops_l2', asked.cost, lacks_iops),
      ('bandwidth_l2', coalesce(asked.size_bytes_asked, 0), lacks_bandwidth)
  ) as l (bucket_type, charge, is_lacking)
  where l.is_lacking;
end;
$$;

comment on function rate_limiter_admin.why_throttled(
  uuid, text, bigint, timestamptz, text
) is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'Explains the decision on an operation at a moment (now where absent), or on one that was '
  'admitted under a reference: each bucket with what it held, what it was asked for, its debt '
  '(tokens below zero, and when refill has paid them), what loans it owes, the version of its '
  'quota, and when it could pay. A null size is not known yet. verdict: enough, short, '
  'exceeds_capacity, or no_quota where the application is denied without a quota. Of a cluster''s '
  'buckets only a system administrator sees the balance: others learn whether a sixteenth was '
  'left, at the full minute. reserveTokens are the application''s own. Asked about now, it raises '
  'QS403 for an application that is suspended or inactive, or whose tenant is, as decisions do.';
grant execute on function rate_limiter_admin.why_throttled(
  uuid, text, bigint, timestamptz, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/denials/why_throttled.sql
--! Included rate_limiter/denials/denial_counts.policies.sql
-- Written by functions alone.
alter table rate_limiter.denial_counts enable row level security;

drop policy if exists readable on rate_limiter.denial_counts;
create policy readable on rate_limiter.denial_counts
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

drop policy if exists monitored on rate_limiter.denial_counts;
create policy monitored on rate_limiter.denial_counts
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/denials/denial_counts.policies.sql
--! Included rate_limiter/denials/recent_denials.policies.sql
-- Written by functions alone.
alter table rate_limiter.recent_denials enable row level security;

drop policy if exists readable on rate_limiter.recent_denials;
create policy readable on rate_limiter.recent_denials
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

drop policy if exists monitored on rate_limiter.recent_denials;
create policy monitored on rate_limiter.recent_denials
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/denials/recent_denials.policies.sql
--! Included rate_limiter/denials/denial_counts.grants.sql
revoke all on rate_limiter.denial_counts
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.denial_counts to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/denials/denial_counts.grants.sql
--! Included rate_limiter/denials/recent_denials.grants.sql
revoke all on rate_limiter.recent_denials
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.recent_denials to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/denials/recent_denials.grants.sql
