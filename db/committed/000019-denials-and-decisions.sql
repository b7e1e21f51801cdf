--! Previous: sha1:f1cb75fc47c117fd888a54bd473537735e402ca6
--! Hash: sha1:d6d1bcde2f2f13cf3479796e071a0f95233bd91a
--! Message: denials and decisions

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
--! Included rate_limiter/denials/report_denials.sql
create or replace function rate_limiter.report_denials(app_id uuid, denials jsonb)
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
  perform rate_limiter_internal.record_denials(shard_key, app_id, denials);
end;
$$;

comment on function rate_limiter.report_denials(uuid, jsonb) is
  'Takes counts of denials that a client made in its memory, where no call about a lease is due '
  'that could take them along. Raises QS404 for an unknown application, QS422 for malformed '
  'counts.';
grant execute on function rate_limiter.report_denials(uuid, jsonb) to rate_limiter_app;
--! EndIncluded rate_limiter/denials/report_denials.sql
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

-- Decisions
--! Included rate_limiter_internal/decisions/check_reference.sql
create or replace function rate_limiter_internal.check_reference(reference_id text)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if length(reference_id) not between 1 and 255 then
    raise exception using
      errcode = 'QS422',
      message = 'reference is not of 1 to 255 characters',
      detail = format('length: %s', length(reference_id)),
      hint = 'Name each operation by a short value of its own, a UUID for instance.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_reference(text) is
  'Raises QS422 for a reference that cannot be stored.';
--! EndIncluded rate_limiter_internal/decisions/check_reference.sql
--! Included rate_limiter_internal/decisions/is_list.sql
create or replace function rate_limiter_internal.is_list(list anyarray)
returns boolean
language sql
immutable
parallel safe
as $$
  select coalesce(array_ndims(list) = 1 and array_lower(list, 1) = 1, true);
$$;

comment on function rate_limiter_internal.is_list(anyarray) is
  'Whether an array has one dimension and counts from 1, as those of a call are indexed; true for '
  'an empty one and null.';
--! EndIncluded rate_limiter_internal/decisions/is_list.sql
--! Included rate_limiter_internal/decisions/check_batch.sql
create or replace function rate_limiter_internal.check_batch(
  operations text[],
  sizes bigint[],
  reference_ids text[]
)
returns void
language plpgsql
immutable
parallel safe
as $$
declare
  operation_count integer := coalesce(cardinality(operations), 0);
begin
  -- The buckets are locked while all of a batch are decided and written down.
  if operation_count not between 1 and 1000 then
    raise exception using
      errcode = 'QS422',
      message = 'batch is not of 1 to 1000 operations',
      detail = format('operations: %s', operation_count),
      hint = 'Split the batch: other decisions wait for it.';
  elsif cardinality(sizes) is distinct from operation_count
    or cardinality(reference_ids) <> operation_count
  then
    raise exception using
      errcode = 'QS422',
      message = 'arrays of a batch differ in length',
      detail = format(
        'operations: %s, sizes: %s, references: %s',
        operation_count, cardinality(sizes), cardinality(reference_ids)
      ),
      hint = 'Give one size, and one reference or none at all, for each operation.';
  elsif not (
    rate_limiter_internal.is_list(operations)
    and rate_limiter_internal.is_list(sizes)
    and rate_limiter_internal.is_list(reference_ids)
  ) then
    raise exception using
      errcode = 'QS422',
      message = 'array of a batch is not a plain list',
      hint = 'Give arrays of one dimension whose first element is number 1.';
  elsif reference_ids is null then
    return;
  elsif exists (
    select from unnest(reference_ids) as r (reference_id)
    where r.reference_id is not null
    group by r.reference_id
    having count(*) > 1
  ) then
    raise exception using
      errcode = 'QS422',
      message = 'reference occurs twice in a batch',
      hint = 'Give each operation a reference of its own.';
  end if;

  perform rate_limiter_internal.check_reference(r.reference_id)
  from unnest(reference_ids) as r (reference_id);
end;
$$;

comment on function rate_limiter_internal.check_batch(text[], bigint[], text[]) is
  'Raises QS422 for a batch that is empty, too long, uneven, of arrays that are not plain lists, '
  'or names an operation twice.';
--! EndIncluded rate_limiter_internal/decisions/check_batch.sql
--! Included rate_limiter_internal/decisions/expected_buckets.sql
create or replace function rate_limiter_internal.expected_buckets(
  has_iops boolean,
  has_bandwidth boolean,
  draws_iops boolean,
  draws_bandwidth boolean
)
returns rate_limiter.bucket_type[]
language sql
immutable
parallel safe
as $$
  select array_remove(
    array[
      -- Each cast, as a cast of their text would keep this from being inlined.
      case when has_iops then 'iops_l2'::rate_limiter.bucket_type end,
      case when has_bandwidth then 'bandwidth_l2'::rate_limiter.bucket_type end,
      case when draws_iops then 'iops_l1'::rate_limiter.bucket_type end,
      case when draws_bandwidth then 'bandwidth_l1'::rate_limiter.bucket_type end
    ],
    null
  );
$$;

comment on function rate_limiter_internal.expected_buckets(boolean, boolean, boolean, boolean) is
  'The enforcing buckets that a decision has to find, by the facts of its application: one that is '
  'missing would be no limit.';
--! EndIncluded rate_limiter_internal/decisions/expected_buckets.sql
--! Included rate_limiter_internal/decisions/require_buckets.sql
create or replace function rate_limiter_internal.require_buckets(
  shard_key integer,
  app_id uuid,
  missing rate_limiter.bucket_type[]
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if missing <> '{}' then
    perform rate_limiter_internal.require_not_moved(shard_key, app_id);
    raise exception using
      errcode = 'QS409',
      message = 'bucket is missing',
      detail = format('app_id: %s, buckets: %s', app_id, missing),
      hint = 'Ask again: the application may have been deleted meanwhile. If it stays so, publish '
        'its quota, or that of its cluster, again, which makes the bucket.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_buckets(
  integer, uuid, rate_limiter.bucket_type[]
) is
  'Raises QS409 where buckets are missing that an application has by its facts: decided without '
  'them it would have no limit.';
--! EndIncluded rate_limiter_internal/decisions/require_buckets.sql
--! Included rate_limiter_internal/decisions/admission_of.sql
create or replace function rate_limiter_internal.admission_of(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  out cluster_id uuid,
  out expected rate_limiter.bucket_type[],
  out synchronous_commit boolean
)
language plpgsql
stable
parallel safe
as $$
declare
  app_is_active boolean;
  tenant_is_active boolean;
  suspended_until timestamptz;
begin
  select
    f.cluster_id, f.is_active, f.tenant_is_active, f.suspended_until,
    rate_limiter_internal.expected_buckets(
      f.has_iops, f.has_bandwidth, f.draws_iops, f.draws_bandwidth
    )
  into cluster_id, app_is_active, tenant_is_active, suspended_until, expected
  from rate_limiter.app_facts as f
  where f.shard_key = admission_of.shard_key
    and f.app_id = admission_of.app_id;

  if not found then
    perform rate_limiter_internal.require_not_moved(shard_key, app_id);
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
  elsif suspended_until > at then
    raise exception using
      errcode = 'QS403',
      message = 'application is suspended',
      detail = format('app_id: %s, until: %s', app_id, suspended_until),
      hint = 'An operator suspended it or its tenant, and can lift that.';
  end if;

  select e.synchronous_commit
  into synchronous_commit
  from rate_limiter_internal.engine_settings as e;
end;
$$;

comment on function rate_limiter_internal.admission_of(integer, timestamptz, uuid) is
  'What a decision at a moment needs to know of an application, the buckets that it has to find '
  '(see buckets_at) among it, and the settings of the engine. '
  'Raises QS404 for an unknown application, QS409 for one that has moved, QS403 for one that is '
  'suspended then or inactive, or whose tenant is inactive.';
--! EndIncluded rate_limiter_internal/decisions/admission_of.sql
--! Included rate_limiter_internal/decisions/quotas_needed.sql
create or replace function rate_limiter_internal.quotas_needed(
  shard_key integer,
  app_id uuid,
  cluster_id uuid default null,
  out iops boolean,
  out bandwidth boolean,
  out expected rate_limiter.bucket_type[]
)
language plpgsql
stable
parallel safe
as $$
begin
  select
    f.needs_iops_quota,
    f.needs_bandwidth_quota,
    rate_limiter_internal.expected_buckets(
      f.has_iops,
      f.has_bandwidth,
      f.draws_iops and f.cluster_id = quotas_needed.cluster_id,
      f.draws_bandwidth and f.cluster_id = quotas_needed.cluster_id
    )
  into iops, bandwidth, expected
  from rate_limiter.app_facts as f
  where f.shard_key = quotas_needed.shard_key
    and f.app_id = quotas_needed.app_id;
  if not found then
    perform rate_limiter_internal.admission_of(shard_key, clock_timestamp(), app_id);
  end if;
end;
$$;

comment on function rate_limiter_internal.quotas_needed(integer, uuid, uuid) is
  'Of which kinds an application is denied while no enforcing quota is in force, and the buckets '
  'that its decisions have to find: of layer 1 those of the cluster, while it is on it.';
--! EndIncluded rate_limiter_internal/decisions/quotas_needed.sql
--! Included rate_limiter_internal/decisions/lacks_quota.sql
create or replace function rate_limiter_internal.lacks_quota(
  shard_key integer,
  app_id uuid,
  without_iops boolean,
  without_bandwidth boolean,
  misses_iops boolean default false,
  misses_bandwidth boolean default false
)
returns boolean
language plpgsql
stable
parallel safe
as $$
declare
  facts record;
begin
  select
    f.needs_iops_quota and without_iops
      or f.needs_bandwidth_quota and without_bandwidth as lacks_one,
    rate_limiter_internal.expected_buckets(
      f.has_iops and misses_iops, f.has_bandwidth and misses_bandwidth, false, false
    ) as missing
  into facts
  from rate_limiter.app_facts as f
  where f.shard_key = lacks_quota.shard_key
    and f.app_id = lacks_quota.app_id;
  if not found then
    return null;
  elsif facts.missing <> '{}' then
    perform rate_limiter_internal.require_buckets(shard_key, app_id, facts.missing);
  end if;
  return coalesce(facts.lacks_one, false);
end;
$$;

comment on function rate_limiter_internal.lacks_quota(
  integer, uuid, boolean, boolean, boolean, boolean
) is
  'Whether an application without enforcing quotas of these kinds is denied for want of one. '
  'misses_…: there is no bucket of the kind. Null where the application has moved meanwhile. '
  'Raises QS409 where it has a missing bucket by its facts.';
--! EndIncluded rate_limiter_internal/decisions/lacks_quota.sql
--! Included rate_limiter_internal/decisions/write_charges.sql
create or replace function rate_limiter_internal.write_charges(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  operations text[],
  sizes bigint[],
  reference_ids text[],
  costs_before numeric[],
  decisions rate_limiter.decision[],
  buckets rate_limiter.token_buckets[],
  reserve_paid numeric[],
  oversize_taken numeric[],
  cost_rates rate_limiter_internal.cost_rates[]
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  if not rate_limiter_internal.has_layer2(buckets) then
    perform rate_limiter_internal.hold_application(shard_key, app_id);
  end if;
  -- Lists are read as tables: to find an element of a long one by its number takes as long as all
  -- before it. Where an application has no bucket, no lock kept a retry from coming in between.
  with drawn_on as materialized (
    select
      b.shard_key, b.owner_id, b.bucket_type, b.mode, b.place,
      rate_limiter_internal.is_bandwidth(b.bucket_type) as is_bandwidth,
      rate_limiter_internal.is_layer1(b.bucket_type) and b.mode = 'enforce' as is_shared
    from (
      select u.shard_key, u.owner_id, u.bucket_type, u.mode, u.ordinality as place
      from unnest(buckets) with ordinality as u
    ) as b
  )
  insert into rate_limiter.charges as c (
    shard_key, app_id, reference_id, operation, size_bytes, asked_size_bytes, cost, cost_rates,
    charged, charged_at
  )
  select
    write_charges.shard_key, write_charges.app_id, o.reference_id, o.operation,
    coalesce(o.size, 0), o.size, o.cost,
    row(o.c_base, o.c_bw, o.unit_quantum)::rate_limiter_internal.cost_rates,
    array(
      select row(
        d.shard_key, d.owner_id, d.bucket_type, d.mode,
        case
          when d.bucket_type = 'iops_reserve' then o.reserve_paid_tokens
          when d.bucket_type = 'bandwidth_reserve' then o.reserve_paid_bytes
          when d.is_bandwidth
            then coalesce(case when d.is_shared then o.oversize_bytes end, o.size, 0)
          else coalesce(case when d.is_shared then o.oversize_tokens end, o.cost)
        end
      )::rate_limiter_internal.bucket_charge
      from drawn_on as d
      where o.reason is null or d.mode = 'enforce'
      order by d.place
    ),
    at
  from rows from (
    unnest(operations), unnest(sizes), unnest(reference_ids), unnest(costs_before),
    unnest(decisions), unnest(cost_rates), unnest(reserve_paid[:][1:1]),
    unnest(reserve_paid[:][2:2]), unnest(oversize_taken[:][1:1]), unnest(oversize_taken[:][2:2])
  ) as o (
    operation, size, reference_id, cost_before, allowed, reason, cost, remaining,
    remaining_bytes, retry_after_ms, delay_ms, c_base, c_bw, unit_quantum, reserve_paid_tokens,
    reserve_paid_bytes, oversize_tokens, oversize_bytes
  )
  where o.allowed
    and o.reference_id is not null
    and o.cost_before is null
  -- Two batches that have references in common meet at them in one order.
  order by o.reference_id
  on conflict on constraint charges_pkey do update
  set
    operation = excluded.operation,
    size_bytes = excluded.size_bytes,
    asked_size_bytes = excluded.asked_size_bytes,
    cost = excluded.cost,
    cost_rates = excluded.cost_rates,
    charged = excluded.charged,
    charged_at = excluded.charged_at,
    settled_at = null,
    refunded_at = null
  where c.refunded_at is not null;
end;
$$;

comment on function rate_limiter_internal.write_charges(
  integer, timestamptz, uuid, text[], bigint[], text[], numeric[], rate_limiter.decision[],
  rate_limiter.token_buckets[], numeric[], numeric[], rate_limiter_internal.cost_rates[]
) is
  'Remembers what the admitted operations that carry a reference were charged, in place of a '
  'charge that was given back.';
--! EndIncluded rate_limiter_internal/decisions/write_charges.sql
--! Included rate_limiter_internal/decisions/write_changes_of_charged.sql
create or replace function rate_limiter_internal.write_changes_of_charged(
  at timestamptz,
  unwritten rate_limiter.token_buckets[],
  inout before rate_limiter.token_buckets[],
  inout after rate_limiter.token_buckets[],
  costs numeric[],
  sizes bigint[],
  costs_before numeric[],
  decisions rate_limiter.decision[]
)
returns record
language plpgsql
volatile
parallel unsafe
as $$
declare
  bucket rate_limiter.token_buckets;
  place integer;
  tokens_left numeric;
  charges record;
begin
  select
    coalesce(bool_or(o.tokens > 0), false) as tokens,
    coalesce(bool_or(o.bytes > 0), false) as bytes
  into charges
  from rows from (unnest(costs), unnest(sizes), unnest(costs_before), unnest(decisions))
    as o (tokens, bytes, cost_before, allowed)
  where o.allowed and o.cost_before is null;

  foreach bucket in array unwritten loop
    place := null;
    for i in 1 .. cardinality(before) loop
      if before[i].owner_id = bucket.owner_id
        and before[i].bucket_type = bucket.bucket_type
        and before[i].mode = bucket.mode
      then
        place := i;
      end if;
    end loop;

    if place is null then
      -- Dormant by now. It is written once, so that the fast path need not look for its quota.
      if rate_limiter_internal.is_bandwidth(bucket.bucket_type) and charges.bytes
        or not rate_limiter_internal.is_bandwidth(bucket.bucket_type) and charges.tokens
      then
        perform rate_limiter_internal.locked_bucket_at(at, bucket);
      end if;
    elsif after[place].current_tokens <> before[place].current_tokens then
      tokens_left := after[place].current_tokens;
      before[place] := rate_limiter_internal.locked_bucket_at(at, bucket);
      after[place] := before[place];
      after[place].current_tokens := tokens_left;
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.write_changes_of_charged(
  timestamptz, rate_limiter.token_buckets[], rate_limiter.token_buckets[],
  rate_limiter.token_buckets[], numeric[], bigint[], numeric[], rate_limiter.decision[]
) is
  'Writes the changes of quota of locked buckets, given as they are stored, that decisions charge, '
  'and of those that are dormant by now and would have been charged. before, after: the buckets '
  'as decisions found and left them, ready for write_buckets. What is not charged is not written.';
--! EndIncluded rate_limiter_internal/decisions/write_changes_of_charged.sql
--! Included rate_limiter_internal/decisions/batch_metadata.sql
create or replace function rate_limiter_internal.batch_metadata(decisions rate_limiter.decision[])
returns jsonb
language plpgsql
immutable
parallel safe
as $$
begin
  if cardinality(decisions) > 1 then
    return jsonb_build_object(
      'operations', (select count(*) from unnest(decisions) as d where d.allowed)
    );
  end if;
  return null;
end;
$$;

comment on function rate_limiter_internal.batch_metadata(rate_limiter.decision[]) is
  'What the ledger says of a batch in its one row for a bucket: how many operations were admitted; '
  'null for a single decision.';
--! EndIncluded rate_limiter_internal/decisions/batch_metadata.sql
--! Included rate_limiter_internal/decisions/write_decided.sql
create or replace function rate_limiter_internal.write_decided(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  operations text[],
  sizes bigint[],
  costs numeric[],
  reference_ids text[],
  cost_rates rate_limiter_internal.cost_rates[],
  costs_before numeric[],
  locked integer,
  unwritten rate_limiter.token_buckets[],
  before rate_limiter.token_buckets[],
  after rate_limiter.token_buckets[],
  prefetched_before numeric[],
  prefetched_after numeric[],
  reserve_paid numeric[],
  oversize_taken numeric[],
  decisions rate_limiter.decision[]
)
returns rate_limiter.decision[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  written record;
begin
  if unwritten <> '{}' then
    written := rate_limiter_internal.write_changes_of_charged(
      at, unwritten, before, after, costs, sizes, costs_before, decisions
    );
    before := written.before;
    after := written.after;
  end if;
  perform rate_limiter_internal.write_buckets(
    at, 'consume', before[:locked], after[:locked],
    case when cardinality(operations) = 1 then reference_ids[1] end,
    rate_limiter_internal.batch_metadata(decisions)
  );
  perform rate_limiter_internal.spend_prefetched(shard_key, prefetched_before, prefetched_after);
  if reference_ids is not null then
    perform rate_limiter_internal.write_charges(
      shard_key, at, app_id, operations, sizes, reference_ids, costs_before, decisions, before,
      reserve_paid, oversize_taken, cost_rates
    );
  end if;
  return decisions;
end;
$$;

comment on function rate_limiter_internal.write_decided(
  integer, timestamptz, uuid, text[], bigint[], numeric[], text[],
  rate_limiter_internal.cost_rates[], numeric[], integer, rate_limiter.token_buckets[],
  rate_limiter.token_buckets[], rate_limiter.token_buckets[], numeric[], numeric[], numeric[],
  numeric[], rate_limiter.decision[]
) is
  'Writes down what decisions come to: the buckets, of which so many (locked) are locked and stand '
  'first, the session''s stripe, and charges under references. Answers the decisions.';
--! EndIncluded rate_limiter_internal/decisions/write_decided.sql
--! Included rate_limiter_internal/decisions/leaves_layer1_open.sql
create or replace function rate_limiter_internal.leaves_layer1_open(
  before rate_limiter.token_buckets[],
  after rate_limiter.token_buckets[],
  decisions rate_limiter.decision[],
  parts_left numeric[]
)
returns boolean
language plpgsql
immutable
parallel safe
as $$
declare
  is_drawn_on boolean := false;
begin
  if cardinality(decisions) = 1 or coalesce(parts_left[1], parts_left[2]) is not null or exists (
    select from unnest(decisions) as d where d.reason in ('iops_l1', 'bandwidth_l1')
  ) then
    return false;
  end if;
  for place in 1 .. cardinality(before) loop
    continue when not rate_limiter_internal.is_layer1(before[place].bucket_type)
      or before[place].current_tokens = after[place].current_tokens;
    is_drawn_on := true;
    if after[place].current_tokens < coalesce(after[place].headroom, 0)
      or after[place].mode = 'shadow'
      or after[place].calculation_method <> 'token_bucket'
    then
      return false;
    end if;
  end loop;
  return is_drawn_on;
end;
$$;

comment on function rate_limiter_internal.leaves_layer1_open(
  rate_limiter.token_buckets[], rate_limiter.token_buckets[], rate_limiter.decision[], numeric[]
) is
  'Whether a batch of decisions, over buckets as they were looked at, draws on a layer 1 that has '
  'enough for all of it: then all but that draw can be done before layer 1 is locked '
  '(consume_before_layer1).';
--! EndIncluded rate_limiter_internal/decisions/leaves_layer1_open.sql
--! Included rate_limiter_internal/decisions/consume_before_layer1.sql
create or replace function rate_limiter_internal.consume_before_layer1(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  operations text[],
  sizes bigint[],
  costs numeric[],
  reference_ids text[],
  cost_rates rate_limiter_internal.cost_rates[]
)
returns rate_limiter.decision[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  with_tokens constant boolean := 0 < any (costs);
  with_bytes constant boolean := (select bool_or(s is null or s > 0) from unnest(sizes) as s);
  needs constant record := rate_limiter_internal.quotas_needed(shard_key, app_id, cluster_id);
  batch record;
  locked record;
  buckets rate_limiter.token_buckets[];
  costs_before numeric[];
  charged integer;
  drawn rate_limiter_internal.bucket_charge[];
  decisions rate_limiter.decision[];
begin
  locked := rate_limiter_internal.lock_buckets(
    shard_key, at, app_id, cluster_id, with_tokens, with_bytes, writes_changes => false,
    with_layer1 => false
  );
  charged := cardinality(locked.buckets);
  -- Layer 1, and what is not charged, as they are looked at.
  buckets := locked.buckets || array(
    select b::rate_limiter.token_buckets
    from unnest(rate_limiter_internal.buckets_at(
      shard_key, locked.at, app_id, cluster_id, needs.expected
    )) as b
    where rate_limiter_internal.lock_rank(b.bucket_type) > 1
      or not case when rate_limiter_internal.is_bandwidth(b.bucket_type) then with_bytes
        else with_tokens end
  );
  perform rate_limiter_internal.heal_buckets(locked.buckets, with_tokens, with_bytes);
  costs_before := rate_limiter_internal.costs_before(
    shard_key, app_id, reference_ids, operations, sizes
  );
  batch := rate_limiter_internal.decide_batch(
    locked.at, costs, sizes, costs_before, buckets, needs.iops, needs.bandwidth,
    locked.prefetched, app_id
  );
  if not rate_limiter_internal.leaves_layer1_open(
    buckets, batch.buckets, batch.decisions, batch.parts_left
  ) then
    perform rate_limiter_internal.decide_under_layer1();
  end if;
  drawn := array(
    select row(
      b.shard_key, b.owner_id, b.bucket_type, b.mode, b.current_tokens - a.tokens_left
    )::rate_limiter_internal.bucket_charge
    from unnest(buckets) with ordinality as b
    join (
      select u.current_tokens as tokens_left, u.ordinality
      from unnest(batch.buckets) with ordinality as u
    ) as a using (ordinality)
    where rate_limiter_internal.lock_rank(b.bucket_type) > 1
      and b.current_tokens <> a.tokens_left
  );
  if exists (
    select from unnest(drawn) as d where rate_limiter_internal.lock_rank(d.bucket_type) = 3
  ) then
    perform rate_limiter_internal.decide_under_layer1();
  end if;

  decisions := rate_limiter_internal.write_decided(
    shard_key, locked.at, app_id, operations, sizes, costs, reference_ids, cost_rates,
    costs_before, charged, locked.unwritten, buckets, batch.buckets, locked.prefetched,
    batch.prefetched, batch.reserve_paid, batch.oversize_taken, batch.decisions
  );
  -- All siblings wait for layer 1.
  perform rate_limiter_internal.draw_layer1_for(
    rate_limiter_internal.lock_in_order(at, drawn), 'consume', drawn,
    metadata => rate_limiter_internal.batch_metadata(decisions)
  );
  return decisions;
end;
$$;

comment on function rate_limiter_internal.consume_before_layer1(
  integer, timestamptz, uuid, uuid, text[], bigint[], numeric[], text[],
  rate_limiter_internal.cost_rates[]
) is
  'consume_locked() of a batch that leaves layer 1 open (leaves_layer1_open): locks it for the '
  'draw alone, when all else is done. Raises QS425 (decide_under_layer1) where it then has less.';
--! EndIncluded rate_limiter_internal/decisions/consume_before_layer1.sql
--! Included rate_limiter_internal/decisions/consume_locked.sql
create or replace function rate_limiter_internal.consume_locked(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  operations text[],
  sizes bigint[],
  costs numeric[],
  reference_ids text[] default null,
  cost_rates rate_limiter_internal.cost_rates[] default null
)
returns rate_limiter.decision[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  moment timestamptz := coalesce(at, clock_timestamp());
  with_tokens constant boolean := 0 < any (costs);
  -- A size that is not known yet waits for a debt: for one that a clock ahead left, too.
  with_bytes constant boolean := (select bool_or(s is null or s > 0) from unnest(sizes) as s);
  needs record;
  batch record;
  locked record;
  buckets rate_limiter.token_buckets[];
  costs_before numeric[];
begin
  needs := rate_limiter_internal.quotas_needed(shard_key, app_id, cluster_id);
  -- A denial does not write, and a lock is a write: only where something was admitted are the
  -- buckets locked, and everything decided again on what can no longer change.
  buckets := rate_limiter_internal.buckets_at(
    shard_key, moment, app_id, cluster_id, needs.expected
  );
  costs_before := rate_limiter_internal.costs_before(
    shard_key, app_id, reference_ids, operations, sizes
  );
  batch := rate_limiter_internal.decide_batch(
    moment, costs, sizes, costs_before, buckets, needs.iops, needs.bandwidth,
    rate_limiter_internal.prefetched_at(shard_key, moment), app_id
  );

  if batch.charges_anything and rate_limiter_internal.leaves_layer1_open(
    buckets, batch.buckets, batch.decisions, batch.parts_left
  ) then
    begin
      return rate_limiter_internal.consume_before_layer1(
        shard_key, at, app_id, cluster_id, operations, sizes, costs, reference_ids, cost_rates
      );
    exception
      when sqlstate 'QS425' then
        null;
    end;
  end if;

  if batch.charges_anything or rate_limiter_internal.needs_healing(
    shard_key, moment, app_id, cluster_id, with_tokens, with_bytes
  ) then
    locked := rate_limiter_internal.lock_buckets(
      shard_key, at, app_id, cluster_id, with_tokens, with_bytes, writes_changes => false
    );
    -- What is not charged is answered for as it was looked at.
    buckets := locked.buckets || case when not (with_tokens and with_bytes) then array(
      select b::rate_limiter.token_buckets
      from unnest(buckets) as b
      where not case when rate_limiter_internal.is_bandwidth(b.bucket_type) then with_bytes
        else with_tokens end
    ) end;
    perform rate_limiter_internal.heal_buckets(buckets, with_tokens, with_bytes);
    costs_before := rate_limiter_internal.costs_before(
      shard_key, app_id, reference_ids, operations, sizes
    );
    batch := rate_limiter_internal.decide_batch(
      locked.at, costs, sizes, costs_before, buckets, needs.iops, needs.bandwidth,
      locked.prefetched, app_id
    );
    perform rate_limiter_internal.write_late_share(
      shard_key, locked.at, batch.tenant_id,
      (array['iops_l1', 'bandwidth_l1'])[kind]::rate_limiter.bucket_type, batch.parts_left[kind]
    )
    from generate_series(1, 2) as kind
    where batch.parts_left[kind] is not null;
    return rate_limiter_internal.write_decided(
      shard_key, locked.at, app_id, operations, sizes, costs, reference_ids, cost_rates,
      costs_before, cardinality(buckets), locked.unwritten, buckets, batch.buckets,
      locked.prefetched, batch.prefetched, batch.reserve_paid, batch.oversize_taken,
      batch.decisions
    );
  end if;

  return batch.decisions;
end;
$$;

comment on function rate_limiter_internal.consume_locked(
  integer, timestamptz, uuid, uuid, text[], bigint[], numeric[], text[],
  rate_limiter_internal.cost_rates[]
) is
  'Decides on operations of an application one after the other under the locks of all its '
  'buckets, and charges those it admits in one ledger row for each bucket. at null: live, by the '
  'clock. A null size is not known yet. The path of everything that the fast path of consume_at '
  'does not take.';
--! EndIncluded rate_limiter_internal/decisions/consume_locked.sql
--! Included rate_limiter_internal/decisions/compensate.sql
create or replace function rate_limiter_internal.compensate(
  shard_key integer,
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
  before := rate_limiter_internal.lock_bucket(shard_key, at, owner_id, bucket_type, 'enforce');
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

comment on function rate_limiter_internal.compensate(
  integer, timestamptz, uuid, rate_limiter.bucket_type, numeric
) is
  'Undoes a charge of the same transaction, all of it: unlike a refund, which never lifts a '
  'bucket above its capacity. Nothing where nothing was charged, or there is no bucket.';
--! EndIncluded rate_limiter_internal/decisions/compensate.sql
--! Included rate_limiter_internal/decisions/prepare_to_charge.sql
create or replace function rate_limiter_internal.prepare_to_charge(at timestamptz)
returns boolean
language plpgsql
volatile
parallel unsafe
as $$
declare
  is_durable boolean := true;
  -- Assigned and not performed: that would be a query each time.
  kept text;
begin
  -- Called only where there may be something to refuse: the call costs more than the comparison.
  if current_setting('transaction_isolation') <> 'read committed' then
    perform rate_limiter_internal.require_read_committed();
  end if;
  if current_setting('synchronous_commit') <> 'off' then
    select e.synchronous_commit into is_durable from rate_limiter_internal.engine_settings as e;
    if not is_durable then
      kept := set_config('synchronous_commit', 'off', true);
    end if;
  end if;
  if current_setting('rate_limiter_denials.since', true)
    not in ('', floor(date_part('epoch', at))::bigint::text)
  then
    perform rate_limiter_internal.sweep_denials(floor(date_part('epoch', at))::bigint);
    kept := set_config('rate_limiter_denials.since', '', false);
  end if;
  return is_durable;
end;
$$;

comment on function rate_limiter_internal.prepare_to_charge(timestamptz) is
  'Before a charge, in a session that waits for the disk at commits or has counted denials: lets '
  'the commit go unwaited for as the settings say, and takes along what is counted of denials of '
  'an earlier second, as something is written anyway. Answers whether the settings have the commit '
  'waited for. Refuses a transaction that is not read committed (QS422).';
--! EndIncluded rate_limiter_internal/decisions/prepare_to_charge.sql
--! Included rate_limiter_internal/decisions/consume_at.sql
create or replace function rate_limiter_internal.consume_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  operation text,
  size_bytes bigint,
  reference_id text default null,
  is_live boolean default false,
  app rate_limiter_internal.decision_facts default null
)
returns rate_limiter.decision
language plpgsql
volatile
parallel unsafe
as $$
-- Hot path, deliberately not factored: separate keyed statements measured faster than arrays,
-- composite arguments or one statement for all (docs/performance.md).
declare
  -- A bucket that was written later was so before the clock was set back.
  latest constant timestamptz := at + interval '1 second';
  -- Assigned and not performed: that would be a query each time.
  is_durable boolean;
  cost numeric;
  iops record;
  is_charged boolean := false;
  -- What layer 1 pays; null where it pays nothing.
  iops_drawn numeric;
  bytes_drawn numeric;
  -- The bandwidth bucket as it was looked at.
  bandwidth record;
  bytes_refilled numeric;
  bytes_left numeric;
  stripe_generation integer;
  drawn record;
  lost_races integer := 0;
  decision rate_limiter.decision;
  terms rate_limiter_internal.cost_rates[];
begin
  loop
    -- Facts that the caller gives are those of now.
    if app.shard_key is null then
      select
        f.shard_key, f.cluster_id, f.has_shadow, f.has_cost_rule, f.draws_iops, f.draws_bandwidth,
        -- One that it needs and does not have is missed where it is looked for.
        f.has_bandwidth or f.needs_bandwidth_quota, f.bucket_generation
      into app
      from rate_limiter.app_facts as f
      where f.shard_key = consume_at.shard_key
        and f.app_id = consume_at.app_id
        and f.is_active
        and f.tenant_is_active
        and (f.suspended_until is null or f.suspended_until <= at);
      if not found then
        -- It may have moved, or was made or activated since it was looked for.
        shard_key := rate_limiter_internal.app_shard_key(app_id);
        perform rate_limiter_internal.admission_of(shard_key, at, app_id);
        continue;
      end if;
    end if;
    if current_setting('synchronous_commit') <> 'off'
      or current_setting('transaction_isolation') <> 'read committed'
      or current_setting('rate_limiter_denials.since', true) <> ''
    then
      is_durable := rate_limiter_internal.prepare_to_charge(at);
    end if;

    cost := null;
    if app.has_cost_rule then
      select rate_limiter_internal.cost_of(c.c_base, c.c_bw, c.unit_quantum, size_bytes)
      into cost
      from rate_limiter.app_costs as c
      where c.shard_key = app.shard_key
        and c.app_id = consume_at.app_id
        and c.operation = consume_at.operation
        and c.valid_from <= at
        and (c.valid_to is null or c.valid_to > at)
        and size_bytes >= 0;
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

    -- The fast path: the application's own buckets can pay, and so can what layer 1 gave ahead of
    -- need. Bandwidth, charged last, is looked at first, so that a denial finds out before
    -- anything is written, and again where it changed while this decision waited for its turn.
    loop
      if app.has_bandwidth then
        select
          b.ledger_seq, b.quota_valid_until, b.current_tokens, b.capacity, b.refill_rate,
          b.last_refill_at, b.generation
        into bandwidth
        from rate_limiter.token_buckets as b
        where b.shard_key = app.shard_key
          and b.owner_id = consume_at.app_id
          and b.bucket_type = 'bandwidth_l2'
          and b.mode = 'enforce'
          and b.capacity is not null;
        bytes_refilled := rate_limiter_internal.inflow(
          bandwidth.current_tokens, bandwidth.capacity, bandwidth.refill_rate,
          bandwidth.last_refill_at, at
        );
        bytes_left := bandwidth.current_tokens + bytes_refilled - size_bytes;
        exit when (
          at < bandwidth.quota_valid_until
          and (bytes_left >= 0 or size_bytes = 0)
          and bandwidth.last_refill_at <= latest
        ) is not true;
      end if;

      if iops_drawn is not null and not is_charged then
        select s.generation
        into stripe_generation
        from rate_limiter_internal.layer1_stripes as s
        where s.shard_key = app.shard_key
          and s.stripe = rate_limiter_internal.session_stripe()
          and rate_limiter_internal.stripe_can_pay(
            s.expires_at, s.iops, s.bytes, iops_drawn, bytes_drawn, at
          );
        exit when not found;
      end if;

      if not is_charged then
        -- Waits for its row and looks at it as it then is. Fixed windows are left to
        -- consume_with_layer1: what flows into them takes too long to say three times.
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
          updated_at = at,
          generation = rate_limiter_internal.next_generation(
            b.generation, b.ledger_seq, b.page, b.ctid
          ),
          page = rate_limiter_internal.next_page(b.ledger_seq, b.page, b.ctid)
        where b.shard_key = app.shard_key
          and b.owner_id = consume_at.app_id
          and b.bucket_type = 'iops_l2'
          and b.mode = 'enforce'
          and b.generation <= app.generation
          and b.calculation_method <> 'fixed_window'
          and b.capacity is not null
          and at < b.quota_valid_until
          and b.last_refill_at <= latest
          and b.current_tokens + rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ) >= cost
        returning
          b.ledger_seq, b.refilled, b.current_tokens, b.calculation_method, b.generation
        into iops;
        exit when not found;
        is_charged := true;
      end if;

      if not app.has_bandwidth or size_bytes = 0 then
        insert into rate_limiter.token_transactions (
          shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type,
          tokens_change, refilled, balance_after
        )
        values (
          app.shard_key, app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost,
          iops.refilled, iops.current_tokens
        );
      else
        update rate_limiter.token_buckets as b
        set
          current_tokens = bytes_left,
          refilled = bytes_refilled,
          last_refill_at = greatest(b.last_refill_at, at),
          ledger_seq = bandwidth.ledger_seq + 1,
          updated_at = at,
          generation = rate_limiter_internal.next_generation(
            b.generation, b.ledger_seq, b.page, b.ctid
          ),
          page = rate_limiter_internal.next_page(b.ledger_seq, b.page, b.ctid)
        where b.shard_key = app.shard_key
          and b.owner_id = consume_at.app_id
          and b.bucket_type = 'bandwidth_l2'
          and b.mode = 'enforce'
          and b.generation <= bandwidth.generation
          and b.ledger_seq = bandwidth.ledger_seq
          and b.last_refill_at = bandwidth.last_refill_at
          and b.quota_valid_until = bandwidth.quota_valid_until;
        continue when not found;

        insert into rate_limiter.token_transactions (
          shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type,
          tokens_change, refilled, balance_after
        )
        values
          (
            app.shard_key, app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost,
            iops.refilled, iops.current_tokens
          ),
          (
            app.shard_key, app_id, at, bandwidth.ledger_seq + 1, 'bandwidth_l2', 'enforce',
            'consume', -size_bytes, bytes_refilled, bytes_left
          );
      end if;
      if iops_drawn is not null then
        update rate_limiter_internal.layer1_stripes as s
        set iops = s.iops - iops_drawn, bytes = s.bytes - bytes_drawn
        where s.shard_key = app.shard_key
          and s.stripe = rate_limiter_internal.session_stripe()
          and s.generation <= stripe_generation
          and rate_limiter_internal.stripe_can_pay(
            s.expires_at, s.iops, s.bytes, iops_drawn, bytes_drawn, at
          );
        if not found then
          -- A session that shares the stripe was faster.
          perform rate_limiter_internal.compensate(app.shard_key, at, app_id, 'iops_l2', cost);
          perform rate_limiter_internal.compensate(
            app.shard_key, at, app_id, 'bandwidth_l2',
            case when app.has_bandwidth then size_bytes end
          );
          is_charged := false;
          exit;
        end if;
      end if;

      if iops.generation <= app.generation - 8 then
        perform rate_limiter_internal.note_generation(app.shard_key, app_id, iops.generation);
      end if;
      return row(
        true, null::text, cost, iops.current_tokens, bytes_left, 0::bigint,
        case when iops.calculation_method = 'leaky_bucket'
          then rate_limiter_internal.leaky_delay_of(app.shard_key, app_id, cost)
          else 0
        end
      );
    end loop;

    if is_charged then
      -- Others were faster, and what they left of the bandwidth cannot pay.
      insert into rate_limiter.token_transactions (
        shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
        refilled, balance_after
      )
      values (
        app.shard_key, app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost,
        iops.refilled, iops.current_tokens
      );
      perform rate_limiter_internal.compensate(app.shard_key, at, app_id, 'iops_l2', cost);
      exit;
    elsif bytes_left < 0 and size_bytes > 0 then
      decision := rate_limiter_internal.denial_at(
        app.shard_key, at, app_id, app.cluster_id, cost, size_bytes
      );
      exit;
    end if;
    drawn := rate_limiter_internal.consume_with_layer1(
      app.shard_key, at, app_id, app.cluster_id, cost, size_bytes, coalesce(iops_drawn, 0),
      coalesce(bytes_drawn, 0)
    );
    decision := drawn.decision;
    exit when not drawn.lost_race;
    lost_races := lost_races + 1;
    exit when lost_races = 3;
    app := null;
  end loop;

  if decision.allowed is null then
    perform rate_limiter_internal.check_reference(reference_id);
    if cost is null or reference_id is not null then
      terms := rate_limiter_internal.cost_rates_at(
        app.shard_key, at, app_id, array[operation], array[size_bytes]
      );
      cost := rate_limiter_internal.cost_of(
        terms[1].c_base, terms[1].c_bw, terms[1].unit_quantum, coalesce(size_bytes, 0)
      );
    end if;
    decision := (rate_limiter_internal.consume_locked(
      app.shard_key, case when not is_live then at end, app_id, app.cluster_id,
      array[operation], array[size_bytes], array[cost],
      case when reference_id is not null then array[reference_id] end, terms
    ))[1];
  end if;
  if is_live then
    return rate_limiter_internal.count_if_denied(
      app.shard_key, at, app_id, size_bytes, decision
    );
  end if;
  return decision;
end;
$$;

comment on function rate_limiter_internal.consume_at(
  integer, timestamptz, uuid, text, bigint, text, boolean, rate_limiter_internal.decision_facts
) is
  'consume() at a moment of the caller''s choice: for tests and replay. is_live: the moment is '
  'the clock''s, which is read again under locks, and denials are counted. app: what the caller '
  'has just read of the application. Under a reference that was charged before, and not refunded, '
  'it answers as then and takes nothing. Plain decisions take a fast path that locks nothing '
  'ahead; all others, and those that lose three races, consume_locked().';
--! EndIncluded rate_limiter_internal/decisions/consume_at.sql
--! Included rate_limiter_internal/decisions/consume_batch_at.sql
create or replace function rate_limiter_internal.consume_batch_at(
  shard_key integer,
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
  moment constant timestamptz := coalesce(at, clock_timestamp());
  admission record;
  terms rate_limiter_internal.cost_rates[];
begin
  perform rate_limiter_internal.check_batch(operations, sizes, reference_ids);
  admission := rate_limiter_internal.admission_of(shard_key, moment, app_id);
  -- Denials of an earlier minute are written first: the order of all that writes both.
  perform rate_limiter_internal.prepare_to_charge(moment);
  terms := rate_limiter_internal.cost_rates_at(
    shard_key, moment, app_id, operations, sizes
  );

  return query select d.* from unnest(rate_limiter_internal.consume_locked(
    shard_key, at, app_id, admission.cluster_id, operations, sizes,
    array(
      select rate_limiter_internal.cost_of(t.c_base, t.c_bw, t.unit_quantum, coalesce(s.size, 0))
      from unnest(terms) with ordinality as t (c_base, c_bw, unit_quantum, ordinality)
      join unnest(sizes) with ordinality as s (size, ordinality) using (ordinality)
      order by ordinality
    ),
    reference_ids, terms
  )) as d;
end;
$$;

comment on function rate_limiter_internal.consume_batch_at(
  integer, timestamptz, uuid, text[], bigint[], text[]
) is 'consume_batch() at a moment of the caller''s choice, null for live.';
--! EndIncluded rate_limiter_internal/decisions/consume_batch_at.sql
--! Included rate_limiter_internal/decisions/first_operations.sql
create or replace function rate_limiter_internal.first_operations(
  at timestamptz,
  app_ids uuid[],
  operations text[],
  sizes bigint[]
)
returns rate_limiter_internal.first_operation[]
language plpgsql
stable
parallel safe
as $$
declare
  costs numeric[];
begin
  costs := array(
    select rate_limiter_internal.cost_of(
      t.c_base, t.c_bw, t.unit_quantum, coalesce(o.size, 0)
    )
    from rows from (unnest(operations), unnest(sizes)) with ordinality as o (operation, size, place)
    left join rate_limiter.operation_types as t on t.name = o.operation and t.is_active
    order by o.place
  );
  return array(
    select distinct on (o.app_id)
      row(
        f.shard_key, o.app_id, o.place, o.operation, coalesce(o.size, 0), o.cost, f.has_cost_rule,
        f.has_bandwidth, f.draws_iops, f.draws_bandwidth
      )::rate_limiter_internal.first_operation
    from rows from (unnest(app_ids), unnest(operations), unnest(sizes), unnest(costs))
      with ordinality as o (app_id, operation, size, cost, place)
    join rate_limiter.app_facts as f on f.app_id = o.app_id
    where f.is_active
      and f.tenant_is_active
      and (f.suspended_until is null or f.suspended_until <= at)
      and (f.has_bandwidth or not f.needs_bandwidth_quota)
      and not f.has_shadow
      and o.cost is not null
      and (o.size > 0 or coalesce(o.size, 0) = 0 and not (f.has_bandwidth or f.draws_bandwidth))
    order by o.app_id, o.place
  );
end;
$$;

comment on function rate_limiter_internal.first_operations(
  timestamptz, uuid[], text[], bigint[]
) is
  'Of many operations each application''s first, as a bucket can be charged once in a statement: '
  'those that need no reference, no shadow quota and no quota that is missing, at the cost of the '
  'list.';
--! EndIncluded rate_limiter_internal/decisions/first_operations.sql
--! Included rate_limiter_internal/decisions/consume_many_at.sql
create or replace function rate_limiter_internal.consume_many_at(
  firsts rate_limiter_internal.first_operation[],
  at timestamptz,
  operations text[]
)
returns setof rate_limiter.decision
language plpgsql
volatile
parallel unsafe
as $$
-- Each statement reads one table, by its key, so that one server has all of it.
declare
  stripes record;
  due rate_limiter_internal.due_charge[];
  paid_keys integer[];
begin
  firsts := array(
    select row(
      o.shard_key, o.app_id, o.place, o.operation, o.bytes,
      coalesce(
        rate_limiter_internal.cost_of(c.c_base, c.c_bw, c.unit_quantum, o.bytes::bigint), o.cost
      ),
      o.has_cost_rule, o.has_bandwidth, o.draws_iops, o.draws_bandwidth
    )::rate_limiter_internal.first_operation
    from unnest(firsts) as o
    left join rate_limiter.app_costs as c
      -- Looked for by no key at all where there is none.
      on c.shard_key = case when o.has_cost_rule then o.shard_key end
      and c.app_id = o.app_id
      and c.operation = o.operation
      and c.valid_from <= at
      and (c.valid_to is null or c.valid_to > at)
  );

  -- One of each cluster, and not one of each application.
  select
    array_agg(s.shard_key) as shard_keys, array_agg(s.iops) as iops, array_agg(s.bytes) as bytes
  into stripes
  from (
    select distinct o.shard_key from unnest(firsts) as o where o.draws_iops or o.draws_bandwidth
  ) as c
  join rate_limiter_internal.layer1_stripes as s
    on s.shard_key = c.shard_key and s.stripe = rate_limiter_internal.session_stripe()
  where rate_limiter_internal.stripe_can_pay(
    s.expires_at, s.iops, s.bytes, 0, 0, at
  );

  -- Who cannot pay is not locked, because a lock is a write and a denial never writes. The others
  -- are in the one order that cannot deadlock, and as they are once they are locked.
  with locked as materialized (
    select
      o.place, o.cost, o.draws_iops or o.draws_bandwidth as draws, d.iops_drawn, d.bytes_drawn,
      o.has_bandwidth, c.charge, b.shard_key, b.owner_id, b.bucket_type, b.ledger_seq,
      b.current_tokens, b.last_refill_at,
      rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) as refilled
    from unnest(firsts) as o
    cross join lateral (
      select
        case when o.draws_iops then o.cost else 0 end,
        case when o.draws_bandwidth then o.bytes else 0 end
    ) as d (iops_drawn, bytes_drawn)
    join rate_limiter.token_buckets as b
      on b.shard_key = o.shard_key
      and b.owner_id = o.app_id
      and b.bucket_type in ('iops_l2', 'bandwidth_l2')
      and b.mode = 'enforce'
    cross join lateral (
      select
        case b.bucket_type when 'iops_l2' then o.cost else o.bytes end,
        case b.bucket_type when 'iops_l2' then o.bytes else o.cost end
    ) as c (charge, other_charge)
    where o.cost > 0
      and (b.bucket_type = 'iops_l2' or o.has_bandwidth)
      and rate_limiter_internal.can_pay(
        b.quota_valid_until, b.calculation_method, b.last_refill_at, b.current_tokens, b.capacity,
        b.refill_rate, c.charge, at
      )
      and (
        not o.has_bandwidth or (
          select rate_limiter_internal.can_pay(
            other.quota_valid_until, other.calculation_method, other.last_refill_at,
            other.current_tokens, other.capacity, other.refill_rate, c.other_charge, at
          )
          from rate_limiter.token_buckets as other
          where other.shard_key = o.shard_key
            and other.owner_id = o.app_id
            and other.bucket_type in ('iops_l2', 'bandwidth_l2')
            and other.bucket_type <> b.bucket_type
            and other.mode = 'enforce'
        )
      )
      and (
        not (o.draws_iops or o.draws_bandwidth) or exists (
          select
          from rows from (
            unnest(stripes.shard_keys), unnest(stripes.iops), unnest(stripes.bytes)
          ) as s (shard_key, iops, bytes)
          where s.shard_key = o.shard_key
            and s.iops >= d.iops_drawn
            and s.bytes >= d.bytes_drawn
        )
      )
    order by b.owner_id, b.bucket_type
    for no key update of b
  ),
  -- Whose two buckets could both still pay once they were locked.
  paired as materialized (
    select l.owner_id
    from locked as l
    where l.has_bandwidth
    group by l.owner_id
    having count(*) = 2
  )
  select array_agg(
    row(
      l.shard_key, l.owner_id, l.bucket_type, l.place, l.cost, l.charge, l.draws, l.iops_drawn,
      l.bytes_drawn, l.ledger_seq, l.current_tokens, l.refilled, l.last_refill_at
    )::rate_limiter_internal.due_charge
  )
  into due
  from locked as l
  where not l.has_bandwidth or l.owner_id in (select p.owner_id from paired as p);

  -- A stripe pays for all that its cluster's applications draw here, or for none of it. There may
  -- be several, and in any order: nothing is waited for here.
  if stripes.shard_keys is not null then
    with paying as materialized (
      select d.shard_key, d.iops, d.bytes
      from (
        select u.shard_key, sum(u.iops_drawn) as iops, sum(u.bytes_drawn) as bytes
        from unnest(due) as u
        where u.bucket_type = 'iops_l2' and u.draws
        group by u.shard_key
      ) as d
      join rate_limiter_internal.layer1_stripes as s
        on s.shard_key = d.shard_key and s.stripe = rate_limiter_internal.session_stripe()
      where rate_limiter_internal.stripe_can_pay(
        s.expires_at, s.iops, s.bytes, d.iops, d.bytes, at
      )
      for no key update of s skip locked
    ),
    drawn as (
      update rate_limiter_internal.layer1_stripes as s
      set iops = s.iops - p.iops, bytes = s.bytes - p.bytes
      from paying as p
      where s.shard_key = p.shard_key and s.stripe = rate_limiter_internal.session_stripe()
      returning s.shard_key
    )
    select array_agg(p.shard_key) into paid_keys from drawn as p;
  end if;

  return query
  with charged as (
    update rate_limiter.token_buckets as b
    set
      current_tokens = d.current_tokens + d.refilled - d.charge,
      refilled = d.refilled,
      last_refill_at = greatest(d.last_refill_at, at),
      ledger_seq = d.ledger_seq + 1,
      updated_at = at
    from unnest(due) as d
    where (not d.draws or d.shard_key = any (paid_keys))
      and b.shard_key = d.shard_key
      and b.owner_id = d.owner_id
      and b.bucket_type = d.bucket_type
      and b.mode = 'enforce'
    returning
      d.place, d.cost, d.charge, b.shard_key, b.owner_id, b.bucket_type, b.ledger_seq,
      b.refilled, b.current_tokens
  ),
  recorded as (
    insert into rate_limiter.token_transactions (
      shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
      refilled, balance_after
    )
    select
      c.shard_key, c.owner_id, at, c.ledger_seq, c.bucket_type, 'enforce', 'consume', -c.charge,
      c.refilled, c.current_tokens
    from charged as c
  )
  select
    case when i.place is not null then true end, null::text, i.cost, i.current_tokens,
    w.current_tokens,
    case when i.place is not null then 0::bigint end,
    case when i.place is not null then 0::bigint end
  -- A list that is handed in, and not a series: else it would be planned anew at each call.
  from unnest(operations) with ordinality as o (operation, place)
  left join charged as i on i.place = o.place and i.bucket_type = 'iops_l2'
  left join charged as w on w.place = o.place and w.bucket_type = 'bandwidth_l2'
  order by o.place;
end;
$$;

comment on function rate_limiter_internal.consume_many_at(
  rate_limiter_internal.first_operation[], timestamptz, text[]
) is
  'consume_many() of each application''s first operation (first_operations), at a moment of the '
  'caller''s choice: for tests.';
--! EndIncluded rate_limiter_internal/decisions/consume_many_at.sql
--! Included rate_limiter_internal/decisions/check_limit_at.sql
create or replace function rate_limiter_internal.check_limit_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  operation text,
  size_bytes bigint
)
returns rate_limiter.decision
language plpgsql
stable
parallel restricted
as $$
declare
  admission record;
  needs record;
begin
  admission := rate_limiter_internal.admission_of(shard_key, at, app_id);
  needs := rate_limiter_internal.quotas_needed(
    shard_key, app_id, admission.cluster_id
  );
  return (rate_limiter_internal.decide_batch(
    at,
    array[rate_limiter_internal.cost_at(
      shard_key, at, app_id, operation, coalesce(size_bytes, 0)
    )],
    array[size_bytes],
    null,
    rate_limiter_internal.buckets_at(
      shard_key, at, app_id, admission.cluster_id, needs.expected
    ),
    needs.iops,
    needs.bandwidth,
    rate_limiter_internal.prefetched_at(shard_key, at),
    app_id
  )).decisions[1];
end;
$$;

comment on function rate_limiter_internal.check_limit_at(
  integer, timestamptz, uuid, text, bigint
) is
  'check_limit() at a moment of the caller''s choice: for tests.';
--! EndIncluded rate_limiter_internal/decisions/check_limit_at.sql
--! Included rate_limiter/decisions/check_limit.sql
create or replace function rate_limiter.check_limit(
  app_id uuid,
  operation text,
  size_bytes bigint default 0
)
returns rate_limiter.decision
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return rate_limiter_internal.check_limit_at(
    rate_limiter_internal.app_shard_key(app_id), clock_timestamp(), app_id, operation, size_bytes
  );
end;
$$;

comment on function rate_limiter.check_limit(uuid, text, bigint) is
  'The answer that consume() would give now, without taking anything. Raises what it raises.';
grant execute on function rate_limiter.check_limit(uuid, text, bigint)
  to rate_limiter_app;
--! EndIncluded rate_limiter/decisions/check_limit.sql
--! Included rate_limiter/decisions/consume.sql
create or replace function rate_limiter.consume(
  app_id uuid,
  operation text,
  size_bytes bigint default 0,
  reference_id text default null
)
returns rate_limiter.decision
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  at constant timestamptz := clock_timestamp();
  app rate_limiter_internal.decision_facts;
begin
  -- Where the shard key is looked up, the rest of the facts is at hand.
  select
    f.shard_key, f.cluster_id, f.has_shadow, f.has_cost_rule, f.draws_iops, f.draws_bandwidth,
    f.has_bandwidth or f.needs_bandwidth_quota, f.bucket_generation
  into app
  from rate_limiter.app_facts as f
  where f.app_id = consume.app_id
    and f.is_active
    and f.tenant_is_active
    and (f.suspended_until is null or f.suspended_until <= at);

  return rate_limiter_internal.consume_at(
    app.shard_key, at, app_id, operation, size_bytes, reference_id, true, app
  );
end;
$$;

comment on function rate_limiter.consume(uuid, text, bigint, text) is
  'Decides whether an operation of an application may run now, and charges it if so. A retry '
  'under the same reference_id is answered as before and takes nothing, until the charge is '
  'refunded. A denial is an answer. '
  'Raises QS404 for an unknown application or operation, QS403 for an inactive application, '
  'tenant or operation, QS422 for a negative size.';
grant execute on function rate_limiter.consume(uuid, text, bigint, text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/decisions/consume.sql
--! Included rate_limiter/decisions/consume_with_key.sql
create or replace function rate_limiter.consume_with_key(
  api_key text,
  operation text,
  size_bytes bigint default 0,
  reference_id text default null
)
returns rate_limiter.decision
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  at constant timestamptz := clock_timestamp();
  app_id uuid;
  shard_key integer;
begin
  select k.app_id, k.shard_key
  into app_id, shard_key
  from rate_limiter_private.api_keys as k
  where k.key_hash = sha256(convert_to(api_key, 'UTF8'))
    and (k.expires_at is null or k.expires_at > at)
    and (k.revoked_at is null or k.revoked_at > at);
  if app_id is null then
    perform rate_limiter_internal.application_of_key_at(at, api_key);
  end if;

  return rate_limiter_internal.consume_at(
    shard_key, at, app_id, operation, size_bytes, reference_id, is_live => true
  );
end;
$$;

comment on function rate_limiter.consume_with_key(text, text, bigint, text) is
  'consume() for the application that an API key opens. Raises QS401 for a key that is unknown, '
  'expired or revoked, and what consume() raises.';
grant execute on function rate_limiter.consume_with_key(text, text, bigint, text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/decisions/consume_with_key.sql
--! Included rate_limiter/decisions/consume_batch.sql
create or replace function rate_limiter.consume_batch(
  app_id uuid,
  operations text[],
  sizes bigint[],
  reference_ids text[] default null
)
returns setof rate_limiter.decision
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  shard_key constant integer := rate_limiter_internal.app_shard_key(app_id);
  at constant timestamptz := clock_timestamp();
  decisions rate_limiter.decision[];
begin
  perform rate_limiter_internal.require_read_committed();
  decisions := array(
    select d
    from rate_limiter_internal.consume_batch_at(
      shard_key, null, app_id, operations, sizes, reference_ids
    ) as d
  );

  perform rate_limiter_internal.count_denial(
    shard_key, at, app_id, denied.reason, denied.tokens, denied.bytes, denied.operations
  )
  from (
    select
      d.reason, sum(d.cost) as tokens, sum(coalesce(s.size, 0)) as bytes,
      count(*) as operations
    from unnest(decisions) with ordinality as d
    join unnest(sizes) with ordinality as s (size, ordinality) using (ordinality)
    where not d.allowed
    group by d.reason
  ) as denied;

  return query select d.* from unnest(decisions) as d;
end;
$$;

comment on function rate_limiter.consume_batch(uuid, text[], bigint[], text[]) is
  'Decides on up to 1000 operations one after the other at one moment, each as consume() '
  'would, and answers in their order. Raises what consume() raises, for the whole batch.';
grant execute on function rate_limiter.consume_batch(uuid, text[], bigint[], text[])
  to rate_limiter_app;
--! EndIncluded rate_limiter/decisions/consume_batch.sql
--! Included rate_limiter/decisions/consume_many.sql
create or replace function rate_limiter.consume_many(
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
declare
  at constant timestamptz := clock_timestamp();
begin
  perform rate_limiter_internal.require_read_committed();
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
  return query select d.* from rate_limiter_internal.consume_many_at(
    rate_limiter_internal.first_operations(at, app_ids, operations, sizes), at,
    operations
  ) as d;
end;
$$;

comment on function rate_limiter.consume_many(uuid[], text[], bigint[]) is
  'Admits operations of many applications at one moment, as consume() would each: those that '
  'need nothing but tokens which their applications hold, and which were drawn on layer 1 ahead '
  'of need, one of each application. Answers in their order, with a row of nulls for every '
  'other operation: nothing was charged for it, and consume() decides on it, or says what is '
  'wrong with it. To be called in a transaction of its own. Raises QS422 for arrays that differ '
  'in length or hold more than 1000 operations.';
grant execute on function rate_limiter.consume_many(uuid[], text[], bigint[])
  to rate_limiter_app;
--! EndIncluded rate_limiter/decisions/consume_many.sql
