--! Previous: sha1:f3e3893a127246a0e8466f557a45f7b78fe976f4
--! Hash: sha1:e74e1206d3bce0fc1c60b8c8f436649edb3277f3
--! Message: partitions and arithmetic

-- Partitions
--! Included rate_limiter_internal/partitions/period_start.sql
create or replace function rate_limiter_internal.period_start(
  at timestamptz,
  period text,
  periods_later integer default 0
)
returns timestamptz
language sql
immutable
parallel safe
return (
  date_trunc(period, at at time zone 'UTC')
    + periods_later * case period when 'month' then interval '1 month' else interval '1 day' end
) at time zone 'UTC';

comment on function rate_limiter_internal.period_start(timestamptz, text, integer) is
  'The start (UTC) of the day or month that holds a moment, or of one some periods later.';
--! EndIncluded rate_limiter_internal/partitions/period_start.sql
--! Included rate_limiter_internal/partitions/partition_name.sql
create or replace function rate_limiter_internal.partition_name(
  table_name text,
  period text,
  starts_at timestamptz
)
returns text
language sql
immutable
parallel safe
return table_name || '_' || to_char(
  starts_at at time zone 'UTC',
  case period when 'month' then '"y"YYYY"m"MM' else '"y"YYYY"m"MM"d"DD' end
);

comment on function rate_limiter_internal.partition_name(text, text, timestamptz) is
  'Name of a partition: the table''s, then the period, as in audit_logs_y2026m01.';
--! EndIncluded rate_limiter_internal/partitions/partition_name.sql
--! Included rate_limiter_internal/partitions/stores.sql
create or replace function rate_limiter_internal.stores(schema_name name, table_name name)
returns table (relation oid)
language sql
stable
parallel safe
as $$
  select c.oid
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = stores.schema_name and c.relname = stores.table_name and c.relkind = 'p'
  union all
  -- Where storage-qos timescale has made a view of it.
  select c.oid
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = 'rate_limiter_partitions'
    and c.relname in (stores.table_name, stores.table_name || '_native')
    and c.relkind in ('p', 'r');
$$;

comment on function rate_limiter_internal.stores(name, name) is
  'The tables that hold the rows of a registered one: itself, or a hypertable and the native table '
  'that its rows come from.';
--! EndIncluded rate_limiter_internal/partitions/stores.sql
--! Included rate_limiter_internal/partitions/native_table.sql
create or replace function rate_limiter_internal.native_table(schema_name name, table_name name)
returns regclass
language sql
stable
parallel safe
as $$
  select s.relation
  from rate_limiter_internal.stores(schema_name, table_name) as s
  join pg_partitioned_table as p on p.partrelid = s.relation;
$$;

comment on function rate_limiter_internal.native_table(name, name) is
  'The partitioned table of a registered one: itself, or what storage-qos timescale keeps of it.';
--! EndIncluded rate_limiter_internal/partitions/native_table.sql
--! Included rate_limiter_internal/partitions/partitions.sql
drop function if exists rate_limiter_internal.partitions();

create or replace function rate_limiter_internal.partitions()
returns table (
  schema_name name,
  table_name name,
  partition_name name,
  partition_oid oid,
  is_default boolean,
  starts_at timestamptz,
  ends_at timestamptz,
  parent_oid oid,
  time_column name
)
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
-- The catalog spells bounds in the time zone and style of the session.
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
  select
    t.schema_name,
    t.table_name,
    case
      when parent.relkind = 'p' then child.relname
      else named.partition_name || case
        -- While rows move from one to the other, both may have the same day.
        when to_regclass(format('rate_limiter_partitions.%I', named.partition_name)) is null then ''
        else '_chunk'
      end
    end::name,
    child.oid,
    bound.is_default,
    bound.starts_at,
    bound.ends_at,
    parent.oid,
    a.attname
  from rate_limiter_private.partitioned_tables as t
  cross join lateral rate_limiter_internal.stores(t.schema_name, t.table_name) as s
  join pg_class as parent on parent.oid = s.relation
  join pg_inherits as i on i.inhparent = parent.oid
  join pg_class as child on child.oid = i.inhrelid
  left join pg_partitioned_table as p on p.partrelid = parent.oid
  -- A chunk of a hypertable has its bounds in a constraint.
  left join pg_constraint as k
    on parent.relkind = 'r'
    and k.conrelid = child.oid
    and k.contype = 'c'
    and k.conname ~ '^constraint_[0-9]+$'
  join pg_attribute as a
    on a.attrelid = child.oid and a.attnum = coalesce(p.partattrs[0], k.conkey[1])
  cross join lateral (
    select case parent.relkind
      when 'p' then pg_get_expr(child.relpartbound, child.oid)
      else pg_get_constraintdef(k.oid)
    end as spelled
  ) as b
  cross join lateral (
    select
      b.spelled = 'DEFAULT' as is_default,
      substring(b.spelled from $re$(?:FROM \(|>= )'([^']+)'$re$)::timestamptz as starts_at,
      substring(b.spelled from $re$(?:TO \(|< )'([^']+)'$re$)::timestamptz as ends_at
  ) as bound
  cross join lateral (
    select rate_limiter_internal.partition_name(t.table_name, t.period, bound.starts_at)
  ) as named (partition_name);
$$;

comment on function rate_limiter_internal.partitions() is
  'Every partition of the registered tables, with its bounds, the table that it is a part of and '
  'the column of the time. Chunks of hypertables are partitions, named by their periods.';
--! EndIncluded rate_limiter_internal/partitions/partitions.sql
--! Included rate_limiter_internal/partitions/copied_columns.sql
create or replace function rate_limiter_internal.copied_columns(relation oid)
returns text
language sql
stable
parallel safe
as $$
  select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
  from pg_attribute as a
  where a.attrelid = relation
    and a.attnum > 0
    and not a.attisdropped
    and a.attgenerated = '';
$$;

comment on function rate_limiter_internal.copied_columns(oid) is
  'The columns of a table that can be written, quoted, for a statement that copies rows.';
--! EndIncluded rate_limiter_internal/partitions/copied_columns.sql
--! Included rate_limiter_internal/partitions/default_partition.sql
create or replace function rate_limiter_internal.default_partition(
  schema_name name,
  table_name name,
  out partition_name name,
  out partition_oid oid,
  out time_column name
)
language sql
stable
parallel safe
as $$
  select part.relname, part.oid, a.attname
  from (select to_regclass(format('%I.%I', schema_name, table_name))) as t (relation)
  left join pg_partitioned_table as p on p.partrelid = t.relation
  left join pg_class as part on part.oid = p.partdefid
  left join pg_attribute as a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0];
$$;

comment on function rate_limiter_internal.default_partition(name, name) is
  'The default partition of a partitioned table, and the column that it is partitioned by; nulls '
  'for a hypertable, which has none.';
--! EndIncluded rate_limiter_internal/partitions/default_partition.sql
--! Included rate_limiter_private/partitions/create_partition_table.sql
create or replace function rate_limiter_private.create_partition_table(
  registered rate_limiter_private.partitioned_tables,
  partition_name text
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  -- With its indexes: attaching it then makes none while it holds locks.
  execute format(
    'create table rate_limiter_partitions.%I (like %s including all)
    with (autovacuum_vacuum_insert_scale_factor = %L, autovacuum_analyze_scale_factor = %L)',
    partition_name,
    rate_limiter_internal.native_table(registered.schema_name, registered.table_name),
    registered.vacuum_insert_scale_factor, registered.analyze_scale_factor
  );
  if registered.statistics_target is not null then
    execute (
      select format(
        'alter table rate_limiter_partitions.%I %s', partition_name,
        string_agg(
          format('alter column %I set statistics %s', a.attname, registered.statistics_target),
          ', '
        )
      )
      from pg_attribute as a
      where a.attrelid = format('rate_limiter_partitions.%I', partition_name)::regclass
        and a.attnum > 0
    );
  end if;
end;
$$;

comment on function rate_limiter_private.create_partition_table(
  rate_limiter_private.partitioned_tables, text
) is 'Makes a table that can become a partition of a registered table. Blocks no other session.';
--! EndIncluded rate_limiter_private/partitions/create_partition_table.sql
--! Included rate_limiter_private/partitions/make_partition.sql
create or replace function rate_limiter_private.make_partition(
  schema_name name,
  table_name name,
  starts_at timestamptz
)
returns text
language plpgsql
volatile
parallel unsafe
as $$
declare
  registered rate_limiter_private.partitioned_tables;
  partition_name text;
  ends_at timestamptz;
  parent constant regclass := rate_limiter_internal.native_table(schema_name, table_name);
begin
  select t.*
  into strict registered
  from rate_limiter_private.partitioned_tables as t
  where t.schema_name = make_partition.schema_name
    and t.table_name = make_partition.table_name;

  partition_name := rate_limiter_internal.partition_name(
    registered.table_name, registered.period, make_partition.starts_at
  );
  ends_at := rate_limiter_internal.period_start(
    make_partition.starts_at, registered.period, 1
  );

  -- Made apart, then attached: "create … partition of" would lock the parent against readers.
  perform rate_limiter_private.create_partition_table(registered, partition_name);
  -- A row on its way to the default partition would be refused once this one takes its period:
  -- where rows may come for that, who writes waits here, before it has chosen a partition.
  if clock_timestamp() between make_partition.starts_at - interval '10 minutes'
    and ends_at + interval '24 hours'
  then
    execute format('lock table only %s in share row exclusive mode', parent);
  end if;
  execute format(
    'alter table %s attach partition rate_limiter_partitions.%I for values from (%L) to (%L)',
    parent, partition_name, make_partition.starts_at, ends_at
  );

  return partition_name;
end;
$$;

comment on function rate_limiter_private.make_partition(name, name, timestamptz) is
  'Makes the partition of a registered table that starts at a moment; answers its name.';
--! EndIncluded rate_limiter_private/partitions/make_partition.sql
--! Included rate_limiter_private/partitions/default_partition_has.sql
create or replace function rate_limiter_private.default_partition_has(
  schema_name name,
  table_name name,
  starts_at timestamptz,
  ends_at timestamptz
)
returns boolean
language plpgsql
stable
parallel safe
as $$
declare
  default_part record;
  answer boolean;
begin
  default_part := rate_limiter_internal.default_partition(schema_name, table_name);
  if default_part.partition_name is null then
    return false;
  end if;

  execute format(
    'select exists (select from rate_limiter_partitions.%I where %I >= $1 and %I < $2)',
    default_part.partition_name, default_part.time_column, default_part.time_column
  )
  into answer
  using default_partition_has.starts_at, default_partition_has.ends_at;

  return answer;
end;
$$;

comment on function rate_limiter_private.default_partition_has(
  name, name, timestamptz, timestamptz
) is
  'Whether rows of this span of time wait in the default partition of a table.';
--! EndIncluded rate_limiter_private/partitions/default_partition_has.sql
--! Included rate_limiter_private/partitions/default_partition_is_small.sql
create or replace function rate_limiter_private.default_partition_is_small(
  schema_name name,
  table_name name
)
returns boolean
language sql
stable
parallel safe
as $$
  -- 8 MB are read in a few milliseconds.
  select coalesce(
    pg_relation_size(
      (rate_limiter_internal.default_partition(schema_name, table_name)).partition_oid
    ) <= 8388608,
    true
  );
$$;

comment on function rate_limiter_private.default_partition_is_small(name, name) is
  'Whether the default partition of a table, if it has one, can be read while it is locked.';
--! EndIncluded rate_limiter_private/partitions/default_partition_is_small.sql
--! Included rate_limiter_private/partitions/make_partitions.sql
create or replace function rate_limiter_private.make_partitions(
  at timestamptz default current_timestamp,
  batch_size integer default null
)
returns setof text
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
-- Decisions queue behind a lock that is waited for: try again rather than wait.
set lock_timeout = '30ms'
-- Bounds are spelled in statements.
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  absent record;
  made integer := 0;
begin
  -- One at a time: a second worker finds nothing left to make.
  perform rate_limiter_internal.lock_job('partitions');

  for absent in
    select w.*
    from (
      select
        t.schema_name,
        t.table_name,
        later,
        rate_limiter_internal.period_start(make_partitions.at, t.period, later) as starts_at,
        rate_limiter_internal.period_start(make_partitions.at, t.period, later + 1) as ends_at
      from rate_limiter_private.partitioned_tables as t
      -- A hypertable makes its chunks itself.
      join pg_partitioned_table as native
        on native.partrelid = to_regclass(format('%I.%I', t.schema_name, t.table_name))
      -- The period before too: samples arrive late around its end.
      cross join lateral generate_series(-1, t.premake) as later
    ) as w
    where not exists (
      select
      from rate_limiter_internal.partitions() as p
      where p.schema_name = w.schema_name
        and p.table_name = w.table_name
        and p.starts_at < w.ends_at
        and p.ends_at > w.starts_at
    )
    -- First what is needed first.
    order by greatest(w.later, 0), w.schema_name, w.table_name, w.starts_at
  loop
    -- Attaching a partition reads the default partition, which is locked meanwhile: not if that
    -- is long. Where rows already wait for a partition, drain_default_partitions() makes it and
    -- moves them.
    continue when not rate_limiter_private.default_partition_is_small(
      absent.schema_name, absent.table_name
    ) or rate_limiter_private.default_partition_has(
      absent.schema_name, absent.table_name, absent.starts_at, absent.ends_at
    );
    exit when made = batch_size;
    made := made + 1;
    return next rate_limiter_private.make_partition(
      absent.schema_name, absent.table_name, absent.starts_at
    );
  end loop;
end;
$$;

comment on function rate_limiter_private.make_partitions(timestamptz, integer) is
  'Job: makes partitions that are missing around a moment, from the period before it to as many '
  'after it as each table says, at most batch_size; answers their names. Each is attached under '
  'locks that last until the end of the transaction: call it with 1 until it answers none. '
  'Raises lock_not_available (55P03) rather than make decisions wait; try again then.';
grant execute on function rate_limiter_private.make_partitions(timestamptz, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/partitions/make_partitions.sql
--! Included rate_limiter_private/partitions/misplaced_ranges.sql
create or replace function rate_limiter_private.misplaced_ranges(
  schema_name name,
  table_name name,
  at timestamptz,
  max_ranges integer
)
returns table (starts_at timestamptz, ends_at timestamptz, row_count bigint)
language plpgsql
stable
parallel safe
as $$
declare
  registered rate_limiter_private.partitioned_tables;
  default_part record;
  is_small boolean;
begin
  select t.*
  into strict registered
  from rate_limiter_private.partitioned_tables as t
  where t.schema_name = misplaced_ranges.schema_name
    and t.table_name = misplaced_ranges.table_name;
  default_part := rate_limiter_internal.default_partition(schema_name, table_name);
  if default_part.partition_name is null then
    return;
  end if;
  is_small := rate_limiter_private.default_partition_is_small(schema_name, table_name);

  return query execute format(
    'with waiting as (
      select rate_limiter_internal.period_start(%1$I, $1) as starts_at, count(*) as row_count
      from rate_limiter_partitions.%2$I
      where %1$I >= $2 and %1$I < $3
      group by 1
    ),
    ended as (
      select w.*, rate_limiter_internal.period_start(w.starts_at, $1, 1) as ends_at
      from waiting as w
    ),
    -- Past periods in a row may share a partition where there are too many of them.
    numbered as (
      select
        e.*,
        count(*) over () as total,
        e.ends_at > $4 or lag(e.ends_at) over (order by e.starts_at) is distinct from e.starts_at
          as begins_run
      from ended as e
    ),
    runs as (
      select n.*, count(*) filter (where n.begins_run) over (order by n.starts_at) as run
      from numbered as n
    ),
    chunked as (
      select
        r.*,
        div(
          row_number() over (partition by r.run order by r.starts_at) - 1,
          ceil(r.total::numeric / $5)
        ) as chunk
      from runs as r
    )
    select min(c.starts_at), max(c.ends_at), sum(c.row_count)::bigint
    from chunked as c
    group by c.run, c.chunk
    order by 3 desc, 1
    limit $5',
    default_part.time_column, default_part.partition_name
  )
  using
    registered.period,
    -- A moment far in the future comes from a broken clock: a few such rows stay where they are
    -- rather than make partitions without use.
    case when is_small then timestamptz '2000-01-01 00:00:00+00'
      else timestamptz '1970-01-01 00:00:00+00' end,
    case when is_small
      then rate_limiter_internal.period_start(at, registered.period, registered.premake + 1)
      else timestamptz '2500-01-01 00:00:00+00' end,
    rate_limiter_internal.period_start(at, registered.period, -1),
    max_ranges;
end;
$$;

comment on function rate_limiter_private.misplaced_ranges(
  name, name, timestamptz, integer
) is
  'The partitions that the rows in the default partition of a table wait for, and how many rows '
  'wait for each: at most max_ranges, those with the most rows.';
--! EndIncluded rate_limiter_private/partitions/misplaced_ranges.sql
--! Included rate_limiter_internal/partitions/drain_target.sql
create or replace function rate_limiter_internal.drain_target(
  drain rate_limiter_private.partition_drains,
  moment timestamptz
)
returns text
language sql
immutable
parallel safe
as $$
  select coalesce(
    (
      select p.partition_name
      from unnest(drain.partition_names, drain.starts_at, drain.ends_at)
        as p (partition_name, starts_at, ends_at)
      where moment >= p.starts_at and moment < p.ends_at
    ),
    drain.rest_name
  );
$$;

comment on function rate_limiter_internal.drain_target(
  rate_limiter_private.partition_drains, timestamptz
) is 'The table that a row of the default partition is copied to while that is drained.';
--! EndIncluded rate_limiter_internal/partitions/drain_target.sql
--! Included rate_limiter_private/partitions/copy_misplaced.sql
create or replace function rate_limiter_private.copy_misplaced()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  drain rate_limiter_private.partition_drains;
  moment timestamptz;
begin
  select d.*
  into strict drain
  from rate_limiter_private.partition_drains as d
  where d.schema_name = tg_argv[0] and d.table_name = tg_argv[1];

  if tg_op <> 'INSERT' then
    execute format('select ($1).%I', drain.time_column) into moment using old;
    execute format(
      'delete from rate_limiter_partitions.%I as t
      using (select ($1).*) as r
      where (%s) = (%s)',
      rate_limiter_internal.drain_target(drain, moment),
      (select string_agg(format('t.%I', k), ', ') from unnest(drain.key_columns) as k),
      (select string_agg(format('r.%I', k), ', ') from unnest(drain.key_columns) as k)
    )
    using old;
  end if;

  if tg_op <> 'DELETE' then
    execute format('select ($1).%I', drain.time_column) into moment using new;
    -- An older version of the row may be on its way.
    execute format(
      'insert into rate_limiter_partitions.%I (%s)
      select %s from (select ($1).*) as r
      on conflict (%s) do update set %s',
      rate_limiter_internal.drain_target(drain, moment), drain.columns, drain.columns,
      (select string_agg(quote_ident(k), ', ') from unnest(drain.key_columns) as k),
      (
        select string_agg(format('%s = excluded.%s', c, c), ', ')
        from string_to_table(drain.columns, ', ') as c
      )
    )
    using new;
  end if;
  return null;
end;
$$;

comment on function rate_limiter_private.copy_misplaced() is
  'Has what changes in a default partition while it is drained change in the copies too.';
--! EndIncluded rate_limiter_private/partitions/copy_misplaced.sql
--! Included rate_limiter_private/partitions/begin_drain.sql
create or replace function rate_limiter_private.begin_drain(
  schema_name name,
  table_name name,
  at timestamptz
)
returns boolean
language plpgsql
volatile
parallel unsafe
as $$
declare
  -- What finish_drain() does under locks is bounded by these two.
  max_partitions constant integer := 32;
  max_rest constant integer := 2000;
  registered rate_limiter_private.partitioned_tables;
  default_part record;
  ranges record;
  drain rate_limiter_private.partition_drains;
  rest bigint;
begin
  select t.*
  into strict registered
  from rate_limiter_private.partitioned_tables as t
  where t.schema_name = begin_drain.schema_name and t.table_name = begin_drain.table_name;
  default_part := rate_limiter_internal.default_partition(schema_name, table_name);

  select
    array_agg(s.starts_at order by s.starts_at) as starts_at,
    array_agg(s.ends_at order by s.starts_at) as ends_at,
    array_agg(
      rate_limiter_internal.partition_name(registered.table_name, registered.period, s.starts_at)
      order by s.starts_at
    ) as partition_names,
    sum(s.row_count) as row_count
  into ranges
  from rate_limiter_private.misplaced_ranges(schema_name, table_name, at, max_partitions) as s;
  if ranges.partition_names is null then
    return false;
  end if;

  execute format(
    'select count(*) - $1 from rate_limiter_partitions.%I', default_part.partition_name
  )
  into rest
  using ranges.row_count;
  if rest > max_rest then
    perform rate_limiter_private.record_job_failure(
      'drain_default_partitions', schema_name || '.' || table_name, '54000',
      format('%s rows wait for more than %s partitions', rest, max_partitions)
    );
    return false;
  end if;

  drain.schema_name := schema_name;
  drain.table_name := table_name;
  drain.partition_names := ranges.partition_names;
  drain.starts_at := ranges.starts_at;
  drain.ends_at := ranges.ends_at;
  drain.rest_name := table_name || '_rest';
  drain.max_rest := max_rest;
  drain.next_block := 0;
  drain.time_column := default_part.time_column;
  drain.columns := rate_limiter_internal.copied_columns(default_part.partition_oid);
  drain.key_columns := array(
    select a.attname
    from pg_index as i
    join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
    where i.indrelid = default_part.partition_oid and i.indisprimary
  );
  perform rate_limiter_private.create_partition_table(registered, drain.rest_name);
  for place in 1 .. cardinality(drain.partition_names) loop
    perform rate_limiter_private.create_partition_table(registered, drain.partition_names[place]);
    -- With this check attaching it does not read its rows.
    execute format(
      'alter table rate_limiter_partitions.%I add constraint drain_bounds
      check (%I >= %L and %I < %L)',
      drain.partition_names[place], default_part.time_column, drain.starts_at[place],
      default_part.time_column, drain.ends_at[place]
    );
  end loop;

  -- From here on what is written to the default partition is written to the copies too. Waits for
  -- the transactions that have written to it.
  execute format(
    'create trigger drain after insert or update or delete on rate_limiter_partitions.%I
    for each row execute function rate_limiter_private.copy_misplaced(%L, %L)',
    default_part.partition_name, schema_name, table_name
  );
  drain.end_block := pg_relation_size(default_part.partition_oid)
    / current_setting('block_size')::bigint;
  insert into rate_limiter_private.partition_drains select drain.*;
  return true;
end;
$$;

comment on function rate_limiter_private.begin_drain(name, name, timestamptz) is
  'Makes the tables that the rows in the default partition of a table are copied to, and has '
  'what is written there meanwhile copied too; answers whether there was anything to do.';
--! EndIncluded rate_limiter_private/partitions/begin_drain.sql
--! Included rate_limiter_private/partitions/continue_drain.sql
create or replace function rate_limiter_private.continue_drain(
  schema_name name,
  table_name name,
  batch_size integer
)
returns bigint
language plpgsql
volatile
parallel unsafe
as $$
declare
  -- No more rows than this fit into a block.
  rows_per_block constant integer := 291;
  drain rate_limiter_private.partition_drains;
  until_block bigint;
  default_name constant name := (
    rate_limiter_internal.default_partition(schema_name, table_name)
  ).partition_name;
  copied bigint;
  moved bigint := 0;
begin
  select d.*
  into strict drain
  from rate_limiter_private.partition_drains as d
  where d.schema_name = continue_drain.schema_name
    and d.table_name = continue_drain.table_name
  for update;

  until_block := drain.next_block + greatest(batch_size / rows_per_block, 1);
  for place in 0 .. cardinality(drain.partition_names) loop
    -- What was written since the beginning is there already.
    execute format(
      'insert into rate_limiter_partitions.%I (%s)
      select %s
      from rate_limiter_partitions.%I as t
      where t.ctid >= $1 and t.ctid < $2 and %s
      on conflict do nothing',
      case place when 0 then drain.rest_name else drain.partition_names[place] end,
      drain.columns, drain.columns, default_name,
      case place
        when 0 then format(
          'rate_limiter_internal.drain_target($3, t.%I) = %L', drain.time_column, drain.rest_name
        )
        else format(
          't.%I >= %L and t.%I < %L', drain.time_column, drain.starts_at[place],
          drain.time_column, drain.ends_at[place]
        )
      end
    )
    using
      format('(%s,0)', drain.next_block)::tid, format('(%s,0)', until_block)::tid, drain;
    get diagnostics copied = row_count;
    moved := moved + case place when 0 then 0 else copied end;
  end loop;

  update rate_limiter_private.partition_drains as d
  set next_block = until_block
  where d.schema_name = drain.schema_name and d.table_name = drain.table_name;
  return moved;
end;
$$;

comment on function rate_limiter_private.continue_drain(name, name, integer) is
  'Copies the next blocks of a default partition that is being drained, with at most batch_size '
  'rows; answers how many rows it copied for new partitions. Decisions wait for nothing here.';
--! EndIncluded rate_limiter_private/partitions/continue_drain.sql
--! Included rate_limiter_private/partitions/finish_drain.sql
create or replace function rate_limiter_private.finish_drain(
  schema_name name,
  table_name name
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  drain rate_limiter_private.partition_drains;
  default_name name;
  rest_is_small boolean;
  lock_timeout constant text := current_setting('lock_timeout');
  kept_timeout text;
begin
  delete from rate_limiter_private.partition_drains as d
  where d.schema_name = finish_drain.schema_name and d.table_name = finish_drain.table_name
  returning d.* into strict drain;
  default_name := (
    rate_limiter_internal.default_partition(schema_name, table_name)
  ).partition_name;

  execute format(
    'select count(*) <= $1 from (select from rate_limiter_partitions.%I limit $1 + 1) as r',
    drain.rest_name
  )
  into rest_is_small
  using drain.max_rest;

  -- From here on who writes to the table waits, before a partition is chosen.
  execute format(
    'lock table only %I.%I in share row exclusive mode', drain.schema_name, drain.table_name
  );
  kept_timeout := set_config('lock_timeout', '10ms', true);
  execute format(
    'lock table rate_limiter_partitions.%I in access exclusive mode', default_name
  );
  kept_timeout := set_config('lock_timeout', lock_timeout, true);
  execute format('drop trigger drain on rate_limiter_partitions.%I', default_name);

  if not rest_is_small then
    -- Something else wrote to the default partition meanwhile. The next attempt allows for it.
    foreach default_name in array drain.partition_names loop
      execute format('drop table rate_limiter_partitions.%I', default_name);
    end loop;
    execute format('drop table rate_limiter_partitions.%I', drain.rest_name);
    return;
  end if;

  -- Emptied instead of deleted from: audit rows refuse to be deleted, and rightly so.
  execute format('truncate only rate_limiter_partitions.%I', default_name);
  for place in 1 .. cardinality(drain.partition_names) loop
    execute format(
      'alter table %I.%I attach partition rate_limiter_partitions.%I
      for values from (%L) to (%L)',
      drain.schema_name, drain.table_name, drain.partition_names[place],
      drain.starts_at[place], drain.ends_at[place]
    );
    execute format(
      'alter table rate_limiter_partitions.%I drop constraint drain_bounds',
      drain.partition_names[place]
    );
  end loop;
  execute format(
    'insert into rate_limiter_partitions.%I (%s) select %s from rate_limiter_partitions.%I',
    default_name, drain.columns, drain.columns, drain.rest_name
  );
  execute format('drop table rate_limiter_partitions.%I', drain.rest_name);
end;
$$;

comment on function rate_limiter_private.finish_drain(name, name) is
  'Puts the copied rows of a default partition into place: attaches the new partitions, and '
  'leaves the other rows in the default partition. Holds locks that decisions wait for, while '
  'it changes the catalog and inserts at most max_rest rows.';
--! EndIncluded rate_limiter_private/partitions/finish_drain.sql
--! Included rate_limiter_private/partitions/drain_default_partition.sql
create or replace function rate_limiter_private.drain_default_partition(
  schema_name name,
  table_name name,
  at timestamptz,
  batch_size integer,
  out step text,
  out moved_rows bigint
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  drain rate_limiter_private.partition_drains;
begin
  moved_rows := 0;
  select d.*
  into drain
  from rate_limiter_private.partition_drains as d
  where d.schema_name = drain_default_partition.schema_name
    and d.table_name = drain_default_partition.table_name;

  if not found then
    if rate_limiter_private.begin_drain(schema_name, table_name, at) then
      step := 'begin';
    end if;
  elsif drain.next_block < drain.end_block then
    step := 'copy';
    moved_rows := rate_limiter_private.continue_drain(schema_name, table_name, batch_size);
  else
    step := 'finish';
    perform rate_limiter_private.finish_drain(schema_name, table_name);
  end if;
end;
$$;

comment on function rate_limiter_private.drain_default_partition(
  name, name, timestamptz, integer
) is
  'The next step of moving the rows in the default partition of a table to partitions of their '
  'own: begin, copy (as often as it takes), finish; null where there is nothing to do.';
--! EndIncluded rate_limiter_private/partitions/drain_default_partition.sql
--! Included rate_limiter_private/partitions/drain_default_partitions.sql
create or replace function rate_limiter_private.drain_default_partitions(
  at timestamptz default current_timestamp,
  batch_size integer default 5000
)
returns table (table_name text, step text, moved_rows bigint)
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
-- Decisions queue behind a lock that is waited for: try again rather than wait.
set lock_timeout = '30ms'
-- Bounds are spelled in statements.
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  registered record;
  done record;
begin
  perform rate_limiter_internal.lock_job('partitions');

  for registered in
    select p.schema_name, p.table_name
    from rate_limiter_private.partitioned_tables as p
    left join rate_limiter_private.partition_drains as d
      on d.schema_name = p.schema_name and d.table_name = p.table_name
    -- What has begun is finished first.
    order by d.table_name is null, p.schema_name, p.table_name
  loop
    done := rate_limiter_private.drain_default_partition(
      registered.schema_name, registered.table_name, at, batch_size
    );
    if done.step is not null then
      table_name := registered.schema_name || '.' || registered.table_name;
      step := done.step;
      moved_rows := done.moved_rows;
      return next;
      return;
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_private.drain_default_partitions(timestamptz, integer) is
  'Job: moves rows that came too early or too late for a partition of their own out of the '
  'default partitions, a step at each call: call it in transactions of their own until it '
  'answers no row. A step copies at most batch_size rows, or holds locks that decisions wait for '
  'and copies hardly any. Rows are seen all the time. Raises lock_not_available (55P03) rather '
  'than make decisions wait; try again then.';
grant execute on function rate_limiter_private.drain_default_partitions(timestamptz, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/partitions/drain_default_partitions.sql
--! Included rate_limiter_private/partitions/partition_extent.sql
create or replace function rate_limiter_private.partition_extent(
  partition_name text,
  out row_count bigint,
  out min_time timestamptz,
  out max_time timestamptz
)
returns record
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  part record;
begin
  select p.partition_oid, p.time_column
  into strict part
  from rate_limiter_internal.partitions() as p
  where p.partition_name = partition_extent.partition_name;

  execute format(
    'select count(*), min(%I), max(%I) from %s',
    part.time_column, part.time_column, part.partition_oid::regclass
  )
  into row_count, min_time, max_time;
end;
$$;

comment on function rate_limiter_private.partition_extent(text) is
  'How many rows a partition holds, and from when to when.';
grant execute on function rate_limiter_private.partition_extent(text) to rate_limiter_worker;
--! EndIncluded rate_limiter_private/partitions/partition_extent.sql
--! Included rate_limiter_private/partitions/partition_drains.grants.sql
revoke all on rate_limiter_private.partition_drains
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.partition_drains to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/partitions/partition_drains.grants.sql
--! Included rate_limiter_private/partitions/partitioned_tables.grants.sql
revoke all on rate_limiter_private.partitioned_tables
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.partitioned_tables to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/partitions/partitioned_tables.grants.sql

-- Arithmetic
--! Included rate_limiter_internal/arithmetic/is_bandwidth.sql
create or replace function rate_limiter_internal.is_bandwidth(
  bucket_type rate_limiter.bucket_type
)
returns boolean
language sql
immutable
parallel safe
as $$
  select bucket_type in ('bandwidth_l2', 'bandwidth_l1', 'bandwidth_reserve');
$$;

comment on function rate_limiter_internal.is_bandwidth(rate_limiter.bucket_type) is
  'Whether a bucket holds bytes rather than tokens of operations.';
--! EndIncluded rate_limiter_internal/arithmetic/is_bandwidth.sql
--! Included rate_limiter_internal/arithmetic/is_layer1.sql
create or replace function rate_limiter_internal.is_layer1(
  bucket_type rate_limiter.bucket_type
)
returns boolean
language sql
immutable
parallel safe
as $$
  select bucket_type in ('iops_l1', 'bandwidth_l1');
$$;

comment on function rate_limiter_internal.is_layer1(rate_limiter.bucket_type) is
  'Whether a bucket belongs to a cluster rather than to an application.';
--! EndIncluded rate_limiter_internal/arithmetic/is_layer1.sql
--! Included rate_limiter_internal/arithmetic/lock_rank.sql
create or replace function rate_limiter_internal.lock_rank(
  bucket_type rate_limiter.bucket_type
)
returns integer
language sql
immutable
parallel safe
as $$
  select case
    when bucket_type in ('iops_l2', 'bandwidth_l2') then 1
    when bucket_type in ('iops_l1', 'bandwidth_l1') then 2
    else 3
  end;
$$;

comment on function rate_limiter_internal.lock_rank(rate_limiter.bucket_type) is
  'Place of a kind of bucket in the lock order of chapter buckets: layer 2, layer 1, reserves.';
--! EndIncluded rate_limiter_internal/arithmetic/lock_rank.sql
--! Included rate_limiter_internal/arithmetic/inflow.sql
create or replace function rate_limiter_internal.inflow(
  tokens numeric,
  capacity numeric,
  refill_rate bigint,
  last_refill_at timestamptz,
  at timestamptz
)
returns numeric
language sql
immutable
parallel safe
as $$
  -- extract() from an interval is immutable and from a timestamp is not: with that the function
  -- would not be inlined.
  select least(
    greatest(capacity - tokens, 0),
    greatest(extract(epoch from at - last_refill_at) * refill_rate, 0)
  );
$$;

comment on function rate_limiter_internal.inflow(
  numeric, numeric, bigint, timestamptz, timestamptz
) is
  'refill() of a bucket that has a quota and is not a fixed window: tokens that flow in evenly '
  'until it is full; none where the clock stepped back. Inlined into the statements that call '
  'it.';
--! EndIncluded rate_limiter_internal/arithmetic/inflow.sql
--! Included rate_limiter_internal/arithmetic/clock_was_set_back.sql
create or replace function rate_limiter_internal.clock_was_set_back(
  last_refill_at timestamptz,
  at timestamptz
)
returns boolean
language sql
immutable
parallel safe
as $$
  select last_refill_at - at > interval '1 second';
$$;

comment on function rate_limiter_internal.clock_was_set_back(timestamptz, timestamptz) is
  'Whether a bucket was last written so far ahead of a moment that the clock must have been set '
  'back: its time then goes on from that moment. Inlined into the statements that call it.';
--! EndIncluded rate_limiter_internal/arithmetic/clock_was_set_back.sql
--! Included rate_limiter_internal/arithmetic/can_pay.sql
create or replace function rate_limiter_internal.can_pay(
  quota_valid_until timestamptz,
  calculation_method rate_limiter.calculation_method,
  last_refill_at timestamptz,
  current_tokens numeric,
  capacity numeric,
  refill_rate bigint,
  charge numeric,
  at timestamptz
)
returns boolean
language sql
immutable
parallel safe
as $$
  select at < quota_valid_until
    and calculation_method = 'token_bucket'
    and not rate_limiter_internal.clock_was_set_back(last_refill_at, at)
    and current_tokens + rate_limiter_internal.inflow(
      current_tokens, capacity, refill_rate, last_refill_at, at
    ) >= charge;
$$;

comment on function rate_limiter_internal.can_pay(
  timestamptz, rate_limiter.calculation_method, timestamptz, numeric, numeric, bigint, numeric,
  timestamptz
) is
  'Whether a token bucket can be charged as it is: its terms are known and it holds the charge. '
  'Null where it has no quota. Inlined into the statements that call it.';
--! EndIncluded rate_limiter_internal/arithmetic/can_pay.sql
--! Included rate_limiter_internal/arithmetic/fixed_window_refill.sql
create or replace function rate_limiter_internal.fixed_window_refill(
  tokens numeric,
  capacity numeric,
  refill_rate bigint,
  window_seconds integer,
  prorated_since timestamptz,
  last_refill_at timestamptz,
  at timestamptz
)
returns numeric
language plpgsql
immutable
parallel safe
as $$
declare
  last_window constant numeric := div(
    extract(epoch from last_refill_at - timestamptz 'epoch'), window_seconds
  );
  windows constant numeric := div(
    extract(epoch from at - timestamptz 'epoch'), window_seconds
  ) - last_window;
  first numeric := capacity;
  seconds_since numeric;
begin
  if windows <= 0 then
    return 0;
  end if;
  seconds_since := (last_window + 1) * window_seconds
    - extract(epoch from prorated_since - timestamptz 'epoch');
  if seconds_since <= window_seconds then
    first := least(capacity, seconds_since * refill_rate);
  end if;
  return least(greatest(capacity - tokens, 0), first + (windows - 1) * capacity);
end;
$$;

comment on function rate_limiter_internal.fixed_window_refill(
  numeric, numeric, bigint, integer, timestamptz, timestamptz, timestamptz
) is
  'refill() of a fixed window: a capacity for each window that began, and for the first one after '
  'prorated_since only what flowed in since then, at the limit (refill_rate). A function that is '
  'called, and not inlined, because most buckets are not windows.';
--! EndIncluded rate_limiter_internal/arithmetic/fixed_window_refill.sql
--! Included rate_limiter_internal/arithmetic/refill.sql
create or replace function rate_limiter_internal.refill(
  tokens numeric,
  capacity numeric,
  refill_rate bigint,
  calculation_method rate_limiter.calculation_method,
  burst_duration_seconds integer,
  prorated_since timestamptz,
  last_refill_at timestamptz,
  at timestamptz
)
returns numeric
language sql
immutable
parallel safe
as $$
  select case
    when capacity is null then null
    when calculation_method <> 'fixed_window' then rate_limiter_internal.inflow(
      tokens, capacity, refill_rate, last_refill_at, at
    )
    else rate_limiter_internal.fixed_window_refill(
      tokens, capacity, refill_rate, burst_duration_seconds, prorated_since, last_refill_at, at
    )
  end;
$$;

comment on function rate_limiter_internal.refill(
  numeric, numeric, bigint, rate_limiter.calculation_method, integer, timestamptz, timestamptz,
  timestamptz
) is
  'Tokens that flow into a bucket between last_refill_at and at; none where the clock stepped '
  'back, null where no quota is in force. Inlined into the statements that call it.';
--! EndIncluded rate_limiter_internal/arithmetic/refill.sql
--! Included rate_limiter_internal/arithmetic/quota_capacity.sql
create or replace function rate_limiter_internal.quota_capacity(
  calculation_method rate_limiter.calculation_method,
  quota_limit bigint,
  burst bigint,
  burst_duration_seconds integer,
  refill_rate bigint
)
returns numeric
language sql
immutable
parallel safe
as $$
  select case
    when calculation_method = 'fixed_window' then quota_limit::numeric * burst_duration_seconds
    else greatest(burst::numeric, (burst::numeric - refill_rate) * burst_duration_seconds)
  end;
$$;

comment on function rate_limiter_internal.quota_capacity(
  rate_limiter.calculation_method, bigint, bigint, integer, bigint
) is
  'Tokens that a bucket holds when full: enough to sustain the burst for its duration, or a '
  'whole fixed window.';
--! EndIncluded rate_limiter_internal/arithmetic/quota_capacity.sql
--! Included rate_limiter_internal/arithmetic/iops_capacity.sql
create or replace function rate_limiter_internal.iops_capacity(limits jsonb)
returns numeric
language sql
immutable
parallel safe
as $$
  select rate_limiter_internal.quota_capacity(
    coalesce(limits ->> 'calculation_method', 'token_bucket')::rate_limiter.calculation_method,
    (limits ->> 'iops_limit')::bigint,
    (limits ->> 'iops_burst')::bigint,
    (limits ->> 'burst_duration_seconds')::integer,
    (limits ->> 'refill_rate')::bigint
  );
$$;

comment on function rate_limiter_internal.iops_capacity(jsonb) is
  'Tokens that a bucket holds under limits of operations as quota_as_json() shows them.';
--! EndIncluded rate_limiter_internal/arithmetic/iops_capacity.sql
--! Included rate_limiter_internal/arithmetic/quota_parts.sql
create or replace function rate_limiter_internal.quota_parts(config_id uuid)
returns table (
  is_bandwidth boolean,
  calculation_method rate_limiter.calculation_method,
  quota_limit numeric,
  burst numeric,
  capacity numeric,
  refill_rate bigint,
  allow_oversize boolean
)
language sql
stable
parallel safe
as $$
  select
    false,
    i.calculation_method,
    i.iops_limit::numeric,
    i.iops_burst::numeric,
    rate_limiter_internal.quota_capacity(
      i.calculation_method, i.iops_limit, i.iops_burst, i.burst_duration_seconds, i.refill_rate
    ),
    i.refill_rate::bigint,
    false
  from rate_limiter.iops_quotas as i
  where i.config_id = quota_parts.config_id
  union all
  select
    true,
    'token_bucket',
    b.bandwidth_limit_bps::numeric,
    b.bandwidth_burst_bps::numeric,
    rate_limiter_internal.quota_capacity(
      'token_bucket', b.bandwidth_limit_bps, b.bandwidth_burst_bps, b.burst_duration_seconds,
      b.refill_rate_bps
    ),
    b.refill_rate_bps,
    b.allow_oversize
  from rate_limiter.bandwidth_quotas as b
  where b.config_id = quota_parts.config_id;
$$;

comment on function rate_limiter_internal.quota_parts(uuid) is
  'The parts of a quota, of IOPS and of bandwidth, with the capacity of the bucket of each.';
--! EndIncluded rate_limiter_internal/arithmetic/quota_parts.sql
--! Included rate_limiter_internal/arithmetic/fixed_window_wait_ms.sql
create or replace function rate_limiter_internal.fixed_window_wait_ms(
  at timestamptz,
  tokens numeric,
  capacity numeric,
  refill_rate bigint,
  window_seconds integer,
  prorated_since timestamptz,
  last_refill_at timestamptz,
  wanted numeric
)
returns bigint
language plpgsql
immutable
parallel safe
as $$
declare
  current_window constant numeric := div(
    extract(epoch from greatest(last_refill_at, at) - timestamptz 'epoch'), window_seconds
  );
  next_start constant numeric := (current_window + 1) * window_seconds;
  seconds_since constant numeric := next_start
    - extract(epoch from prorated_since - timestamptz 'epoch');
  first constant numeric := case
    when seconds_since <= window_seconds then least(capacity, seconds_since * refill_rate)
    else capacity
  end;
  -- Windows after the next one that it takes; tokens are whole millionths.
  further constant numeric := greatest(
    div((wanted - tokens - first) * 1000000 + capacity * 1000000 - 1, capacity * 1000000), 0
  );
begin
  return ceil(
    (next_start + further * window_seconds) * 1000
    - extract(epoch from at - timestamptz 'epoch') * 1000
  );
end;
$$;

comment on function rate_limiter_internal.fixed_window_wait_ms(
  timestamptz, numeric, numeric, bigint, integer, timestamptz, timestamptz, numeric
) is
  'Milliseconds, rounded up, from a moment until the start of the window that leaves a fixed '
  'window with the tokens that are wanted.';
--! EndIncluded rate_limiter_internal/arithmetic/fixed_window_wait_ms.sql
--! Included rate_limiter_internal/arithmetic/wait_ms.sql
create or replace function rate_limiter_internal.wait_ms(
  at timestamptz,
  refill_rate bigint,
  last_refill_at timestamptz,
  lacking numeric
)
returns bigint
language sql
immutable
parallel safe
as $$
  select least(
    ceil(
      extract(epoch from greatest(last_refill_at - at, interval '0')) * 1000
      + div(lacking * 1000000 + refill_rate - 1, refill_rate) * 0.001
    ),
    9223372036854775807
  )::bigint;
$$;

comment on function rate_limiter_internal.wait_ms(timestamptz, bigint, timestamptz, numeric) is
  'Milliseconds, rounded up, from a moment until what is lacking has flowed into a bucket that is '
  'not a fixed window. Inlined into the statements that call it.';
--! EndIncluded rate_limiter_internal/arithmetic/wait_ms.sql
--! Included rate_limiter_internal/arithmetic/leaky_delay_ms.sql
create or replace function rate_limiter_internal.leaky_delay_ms(
  tokens numeric,
  capacity numeric,
  refill_rate bigint
)
returns bigint
language sql
immutable
parallel safe
as $$
  select least(
    greatest(div((capacity - tokens) * 1000 + refill_rate - 0.001, refill_rate), 0),
    9223372036854775807
  )::bigint;
$$;

comment on function rate_limiter_internal.leaky_delay_ms(numeric, numeric, bigint) is
  'Milliseconds, rounded up, to hold an operation back so that the operations of a leaky '
  'bucket, with these tokens before the charge, leave at its steady rate.';
--! EndIncluded rate_limiter_internal/arithmetic/leaky_delay_ms.sql
--! Included rate_limiter_internal/arithmetic/leaky_delay_of.sql
create or replace function rate_limiter_internal.leaky_delay_of(
  shard_key integer,
  app_id uuid,
  charge numeric
)
returns bigint
language plpgsql
stable
parallel safe
as $$
declare
  delay_ms bigint;
begin
  select rate_limiter_internal.leaky_delay_ms(
    b.current_tokens + charge, b.capacity, b.refill_rate
  )
  into delay_ms
  from rate_limiter.token_buckets as b
  where b.shard_key = leaky_delay_of.shard_key
    and b.owner_id = app_id and b.bucket_type = 'iops_l2' and b.mode = 'enforce';
  return delay_ms;
end;
$$;

comment on function rate_limiter_internal.leaky_delay_of(integer, uuid, numeric) is
  'leaky_delay_ms() of an application''s bucket that was just charged so much. A function that '
  'is called, and not inlined, because most buckets are not leaky.';
--! EndIncluded rate_limiter_internal/arithmetic/leaky_delay_of.sql
--! Included rate_limiter_internal/arithmetic/shortage.sql
create or replace function rate_limiter_internal.shortage(
  offered numeric,
  most numeric,
  charge numeric,
  allow_oversize boolean,
  debt_limit numeric
)
returns numeric
language sql
immutable
parallel safe
as $$
  select case
    when most is null or offered >= charge then 0
    when charge <= most then charge - offered
    when allow_oversize and charge - most <= debt_limit then greatest(most - offered, 0)
    else 'infinity'
  end;
$$;

comment on function rate_limiter_internal.shortage(numeric, numeric, numeric, boolean, numeric) is
  'Tokens that a bucket lacks to pay a charge: 0 where it can or no quota is in force (most is '
  'null), infinity where it never will. offered: what it offers now. most: the most that it ever '
  'offers. An oversize charge waits until it offers that most, and may leave it in debt up to '
  'debt_limit.';
--! EndIncluded rate_limiter_internal/arithmetic/shortage.sql
--! Included rate_limiter_internal/arithmetic/payable_seconds.sql
create or replace function rate_limiter_internal.payable_seconds(
  bucket rate_limiter.token_buckets,
  most integer
)
returns numeric
language plpgsql
stable
parallel safe
as $$
declare
  next_refill_rate bigint;
begin
  if bucket.quota_valid_until = 'infinity'
    or bucket.mode <> 'enforce'
    or not rate_limiter_internal.needs_quota_of_kind(bucket)
  then
    return most;
  end if;
  next_refill_rate := (rate_limiter_internal.quota_snapshot_at(
    bucket.shard_key, bucket.quota_valid_until, bucket.owner_id, bucket.bucket_type, bucket.mode
  )).refill_rate;
  if next_refill_rate >= bucket.refill_rate then
    return most;
  end if;
  return least(
    most,
    extract(epoch from bucket.quota_valid_until - bucket.last_refill_at)
      + trunc(most * coalesce(next_refill_rate, 0) / bucket.refill_rate::numeric, 6)
  );
end;
$$;

comment on function rate_limiter_internal.payable_seconds(rate_limiter.token_buckets, integer) is
  'For how many seconds of its refill a bucket of layer 2 may be in debt: most, but under a '
  'ceiling no more than its quota, and the next one in most seconds, pay.';
--! EndIncluded rate_limiter_internal/arithmetic/payable_seconds.sql
--! Included rate_limiter_internal/arithmetic/debt_limit.sql
create or replace function rate_limiter_internal.debt_limit(bucket rate_limiter.token_buckets)
returns numeric
language plpgsql
stable
parallel safe
as $$
declare
  settings record;
begin
  select e.max_debt_seconds, e.max_cluster_debt_seconds
  into settings
  from rate_limiter_internal.engine_settings as e;
  if rate_limiter_internal.is_layer1(bucket.bucket_type) then
    return (bucket.refill_rate - coalesce(bucket.reserved_rate, 0))
      * settings.max_cluster_debt_seconds;
  end if;
  return bucket.refill_rate::numeric
    * rate_limiter_internal.payable_seconds(bucket, settings.max_debt_seconds);
end;
$$;

comment on function rate_limiter_internal.debt_limit(rate_limiter.token_buckets) is
  'The deepest that a bucket may be in debt, in tokens: its refill over max_debt_seconds, as far '
  'as its quotas pay it (payable_seconds); at layer 1 what is not reserved of its refill over '
  'max_cluster_debt_seconds.';
--! EndIncluded rate_limiter_internal/arithmetic/debt_limit.sql
--! Included rate_limiter_internal/arithmetic/inflow_wait_us.sql
create or replace function rate_limiter_internal.inflow_wait_us(
  lacking numeric,
  refill_rate numeric,
  starts_us numeric
)
returns numeric
language sql
immutable
parallel safe
as $$
  select case
    when lacking <= 0 then 0
    when refill_rate > 0
      then starts_us + div(lacking * 1000000 + refill_rate - 0.000001, refill_rate)
    else 'infinity'
  end;
$$;

comment on function rate_limiter_internal.inflow_wait_us(numeric, numeric, numeric) is
  'Whole microseconds, rounded up, until so many tokens have flowed in, where that begins after '
  'starts_us.';
--! EndIncluded rate_limiter_internal/arithmetic/inflow_wait_us.sql
--! Included rate_limiter_internal/arithmetic/offer_wait_ms.sql
create or replace function rate_limiter_internal.offer_wait_ms(
  at timestamptz,
  bucket rate_limiter.token_buckets,
  held_back numeric,
  reserve rate_limiter.token_buckets,
  wanted numeric
)
returns bigint
language plpgsql
immutable
parallel safe
as $$
declare
  -- Beyond what is held back, the pool; either may begin to fill only after the moment.
  pool constant numeric := bucket.current_tokens - held_back;
  pool_most constant numeric := bucket.capacity - held_back;
  pool_starts constant numeric := greatest(
    extract(epoch from bucket.last_refill_at - at) * 1000000, 0
  );
  reserve_starts constant numeric := greatest(
    extract(epoch from reserve.last_refill_at - at) * 1000000, 0
  );
  lacking numeric;
  jointly numeric := 'infinity';
begin
  if bucket.calculation_method = 'fixed_window' then
    return rate_limiter_internal.fixed_window_wait_ms(
      at, bucket.current_tokens, bucket.capacity, bucket.refill_rate,
      bucket.burst_duration_seconds, bucket.prorated_since, bucket.last_refill_at,
      wanted + held_back
    );
  end if;
  if reserve.capacity is null then
    return least(
      div(rate_limiter_internal.inflow_wait_us(
        wanted - pool, bucket.refill_rate, pool_starts
      ) + 999, 1000),
      9223372036854775807
    );
  end if;

  -- Offered is greatest(pool, 0) plus the reserve: enough when the reserve alone pays, or when both
  -- do jointly. Neither grows beyond its most.
  if wanted <= pool_most + reserve.capacity then
    lacking := wanted - pool - reserve.current_tokens;
    jointly := greatest(
      case
        when lacking <= 0 then 0
        when pool_starts = reserve_starts then rate_limiter_internal.inflow_wait_us(
          lacking, bucket.refill_rate::numeric + reserve.refill_rate, pool_starts
        )
        when pool_starts < reserve_starts then least(
          rate_limiter_internal.inflow_wait_us(lacking, bucket.refill_rate, pool_starts),
          greatest(reserve_starts, rate_limiter_internal.inflow_wait_us(
            lacking + (pool_starts * bucket.refill_rate + reserve_starts * reserve.refill_rate)
              * 0.000001,
            bucket.refill_rate::numeric + reserve.refill_rate, 0
          ))
        )
        else least(
          rate_limiter_internal.inflow_wait_us(lacking, reserve.refill_rate, reserve_starts),
          greatest(pool_starts, rate_limiter_internal.inflow_wait_us(
            lacking + (pool_starts * bucket.refill_rate + reserve_starts * reserve.refill_rate)
              * 0.000001,
            bucket.refill_rate::numeric + reserve.refill_rate, 0
          ))
        )
      end,
      rate_limiter_internal.inflow_wait_us(
        wanted - reserve.capacity - pool, bucket.refill_rate, pool_starts
      ),
      rate_limiter_internal.inflow_wait_us(
        wanted - pool_most - reserve.current_tokens, reserve.refill_rate, reserve_starts
      )
    );
  end if;
  return least(
    div(least(
      jointly,
      case when wanted <= reserve.capacity then rate_limiter_internal.inflow_wait_us(
        wanted - reserve.current_tokens, reserve.refill_rate, reserve_starts
      ) else 'infinity' end
    ) + 999, 1000),
    9223372036854775807
  );
end;
$$;

comment on function rate_limiter_internal.offer_wait_ms(
  timestamptz, rate_limiter.token_buckets, numeric, rate_limiter.token_buckets, numeric
) is
  'Milliseconds, rounded up, from a moment until a bucket, as it then stands, offers what is '
  'wanted: its tokens beyond what is held back (headroom, min_reserve), and at layer 1 the '
  'application''s reserve (null for none). wanted is at most the most that it ever offers.';
--! EndIncluded rate_limiter_internal/arithmetic/offer_wait_ms.sql
--! Included rate_limiter_internal/arithmetic/late_part_wait_ms.sql
create or replace function rate_limiter_internal.late_part_wait_ms(
  part rate_limiter_internal.late_part
)
returns bigint
language sql
immutable
parallel safe
as $$
  select case
    when part.allowance >= 0 then 0
    when part.per_second = 0 then 9223372036854775807
    else least(ceil(-1000 * part.allowance / part.per_second), 9223372036854775807)
  end::bigint;
$$;

comment on function rate_limiter_internal.late_part_wait_ms(rate_limiter_internal.late_part) is
  'Milliseconds, rounded up, until a tenant''s part of a layer-1 bucket owes nothing any more.';
--! EndIncluded rate_limiter_internal/arithmetic/late_part_wait_ms.sql
--! Included rate_limiter_internal/arithmetic/reserve_places.sql
create or replace function rate_limiter_internal.reserve_places(
  buckets rate_limiter.token_buckets[]
)
returns integer[]
language plpgsql
immutable
parallel safe
as $$
declare
  iops_place integer;
  bandwidth_place integer;
  places integer[];
begin
  for place in 1 .. cardinality(buckets) loop
    if buckets[place].bucket_type = 'iops_reserve' then
      iops_place := place;
    elsif buckets[place].bucket_type = 'bandwidth_reserve' then
      bandwidth_place := place;
    end if;
  end loop;
  for place in 1 .. cardinality(buckets) loop
    if buckets[place].headroom > 0 then
      places[place] := case when rate_limiter_internal.is_bandwidth(buckets[place].bucket_type)
        then bandwidth_place else iops_place end;
    end if;
  end loop;
  return places;
end;
$$;

comment on function rate_limiter_internal.reserve_places(rate_limiter.token_buckets[]) is
  'Of each layer-1 bucket in a list that keeps headroom, where in the list the application''s '
  'reserve in it is; null of others, and where the application has none.';
--! EndIncluded rate_limiter_internal/arithmetic/reserve_places.sql
--! Included rate_limiter_internal/arithmetic/oversize_draw.sql
create or replace function rate_limiter_internal.oversize_draw(
  charge numeric,
  tokens numeric,
  capacity numeric,
  headroom numeric,
  allowance numeric,
  reserve numeric,
  out drawn numeric,
  out of_reserve numeric,
  out allowance_left numeric
)
language plpgsql
immutable
parallel safe
as $$
declare
  free constant numeric := trunc(greatest(tokens - (capacity + headroom) * 0.5, 0), 6);
begin
  drawn := least(charge, free + allowance + reserve);
  of_reserve := least(
    greatest(drawn - least(greatest(tokens - headroom, 0), free + allowance), 0), reserve
  );
  allowance_left := allowance + free + of_reserve - charge;
end;
$$;

comment on function rate_limiter_internal.oversize_draw(
  numeric, numeric, numeric, numeric, numeric, numeric
) is
  'What a layer-1 bucket gives for an oversize charge: of its tokens those that are free to all, '
  'the tenant''s part (allowance: see late_share_at) and the application''s reserve, at most the '
  'charge (drawn); what of that the reserve pays (of_reserve). All that was not free is owed by '
  'the part (allowance_left), which may fall below zero.';
--! EndIncluded rate_limiter_internal/arithmetic/oversize_draw.sql
--! Included rate_limiter_internal/arithmetic/decide_batch.sql
create or replace function rate_limiter_internal.decide_batch(
  at timestamptz,
  costs numeric[],
  sizes bigint[],
  costs_before numeric[],
  buckets rate_limiter.token_buckets[],
  needs_iops boolean default false,
  needs_bandwidth boolean default false,
  prefetched numeric[] default '{0,0}',
  app_id uuid default null
)
returns rate_limiter_internal.batch_outcome
language plpgsql
stable
parallel safe
as $$
declare
  bucket rate_limiter.token_buckets;
  places integer := 0;
  -- What each operation reads and changes, by place, in plain arrays: rows are too slow for it.
  tokens numeric[];
  mosts numeric[];
  headrooms numeric[];
  -- Of a layer-1 bucket, the place of the application's reserve.
  reserve_places integer[];
  -- 1 for tokens of operations, 2 for bytes; null for reserves, which are charged with their pool.
  kinds integer[];
  is_shadow boolean[];
  -- Of layer 1, and in force.
  is_shared boolean[];
  tokens_place integer;
  bytes_place integer;

  decision rate_limiter.decision;
  decisions rate_limiter.decision[];
  charges_anything boolean := false;
  reserve_paid numeric[] := array_fill(0::numeric, array[cardinality(costs), 2]);
  oversize_taken numeric[] := array_fill(null::numeric, array[cardinality(costs), 2]);
  parts_left numeric[] := array[null, null]::numeric[];
  -- Of layer 1, by kind: the tenant's part, for oversize charges.
  parts rate_limiter_internal.late_part[];
  is_bounded boolean;

  amounts numeric[];
  charges numeric[];
  charge numeric;
  kind integer;
  offered numeric;
  shortage numeric;
  shadow_reason text;
  paid numeric;
  oversize record;
begin
  foreach bucket in array buckets loop
    places := places + 1;
    tokens[places] := bucket.current_tokens;
    mosts[places] := bucket.capacity;
    headrooms[places] := 0;
    is_shadow[places] := bucket.mode = 'shadow';
    is_shared[places] := false;
    if bucket.reserve_cluster_id is null then
      kinds[places] := case when rate_limiter_internal.is_bandwidth(bucket.bucket_type)
        then 2 else 1 end;
    end if;
    if bucket.bucket_type = 'iops_l2' then
      tokens_place := coalesce(tokens_place, places);
    elsif bucket.bucket_type = 'bandwidth_l2' then
      bytes_place := coalesce(bytes_place, places);
    else
      is_shared[places] := not is_shadow[places]
        and rate_limiter_internal.is_layer1(bucket.bucket_type);
      if bucket.headroom > 0 then
        headrooms[places] := bucket.headroom;
      end if;
    end if;
  end loop;
  if 0 < any (headrooms) then
    reserve_places := rate_limiter_internal.reserve_places(buckets);
    for place in 1 .. places loop
      mosts[place] := mosts[place] - headrooms[place]
        + coalesce(mosts[reserve_places[place]], 0);
    end loop;
  end if;
  -- A shadow quota is not a limit.
  needs_iops := needs_iops and coalesce(is_shadow[tokens_place], true);
  needs_bandwidth := needs_bandwidth and coalesce(is_shadow[bytes_place], true);

  for i in 1 .. cardinality(costs) loop
    decision := row(true, null::text, costs[i], null, null, 0::bigint, 0::bigint);
    if costs_before[i] is not null then
      decision.cost := costs_before[i];
      decision.remaining := tokens[tokens_place];
      decision.remaining_bytes := tokens[bytes_place];
      decisions[i] := decision;
      continue;
    end if;

    -- May it run? A denial names the first bucket that is short, and waits for all of them.
    amounts := array[costs[i], coalesce(sizes[i], 0)];
    shadow_reason := null;
    for place in 1 .. places loop
      kind := kinds[place];
      charge := coalesce(amounts[kind], 0);
      offered := tokens[place];
      if charge > 0 and is_shared[place] then
        charge := charge - least(charge, prefetched[kind]);
      end if;
      if headrooms[place] > 0 then
        offered := greatest(offered - headrooms[place], 0)
          + coalesce(tokens[reserve_places[place]], 0);
      end if;
      charges[place] := charge;
      is_bounded := false;
      if charge > mosts[place] and app_id is not null and is_shared[place] then
        if parts[kind] is null then
          parts[kind] := rate_limiter_internal.late_share_at(
            buckets[place].shard_key, at, app_id, buckets[place]
          );
        end if;
        is_bounded := parts[kind].allowance is not null;
      end if;
      continue when offered >= charge
        -- A size that is not known yet is charged as 0, and waits for a debt.
        or charge = 0 and (sizes[i] is not null or buckets[place].bucket_type <> 'bandwidth_l2');

      shortage := case when charge <= mosts[place] then charge - offered
        else rate_limiter_internal.shortage(
          offered, mosts[place], charge, buckets[place].allow_oversize,
          rate_limiter_internal.debt_limit(buckets[place])
        )
      end;
      -- An earlier one has to be paid first.
      continue when shortage = 0 and (is_bounded and parts[kind].allowance < 0) is not true;
      if is_shadow[place] then
        shadow_reason := case when shortage = 'infinity' then 'exceeds_capacity'
          else coalesce(shadow_reason, buckets[place].bucket_type::text) end;
        continue;
      end if;
      decision.allowed := false;
      if shortage = 'infinity' then
        decision.reason := 'exceeds_capacity';
        decision.retry_after_ms := null;
      elsif decision.reason is distinct from 'exceeds_capacity' then
        decision.reason := coalesce(decision.reason, buckets[place].bucket_type::text);
        bucket := buckets[place];
        bucket.current_tokens := tokens[place];
        if reserve_places[place] is not null then
          buckets[reserve_places[place]].current_tokens := tokens[reserve_places[place]];
        end if;
        decision.retry_after_ms := greatest(
          decision.retry_after_ms,
          rate_limiter_internal.offer_wait_ms(
            at, bucket, headrooms[place], buckets[reserve_places[place]],
            least(charge, mosts[place])
          ),
          case when is_bounded then rate_limiter_internal.late_part_wait_ms(parts[kind]) end
        );
      end if;
    end loop;
    if (needs_iops and costs[i] > 0 or needs_bandwidth and sizes[i] is distinct from 0)
      and decision.reason is distinct from 'exceeds_capacity'
    then
      decision.allowed := false;
      decision.reason := 'no_quota';
      decision.retry_after_ms := null;
    end if;

    -- It may: each bucket is charged, and the reserve for what its pool does not hold.
    if decision.allowed then
      charges_anything := true;
      decision.reason := shadow_reason;
      for place in 1 .. places loop
        charge := charges[place];
        continue when charge = 0 or is_shadow[place] and shadow_reason is not null;

        kind := kinds[place];
        if not is_shadow[place] and buckets[place].calculation_method = 'leaky_bucket' then
          decision.delay_ms := greatest(decision.delay_ms, rate_limiter_internal.leaky_delay_ms(
            tokens[place], mosts[place], buckets[place].refill_rate
          ));
        end if;
        if charge > mosts[place] and is_shared[place] and parts[kind].allowance is not null then
          oversize := rate_limiter_internal.oversize_draw(
            charge, tokens[place], buckets[place].capacity, headrooms[place],
            parts[kind].allowance, coalesce(tokens[reserve_places[place]], 0)
          );
          parts[kind].allowance := oversize.allowance_left;
          parts_left[kind] := oversize.allowance_left;
          oversize_taken[i][kind] := amounts[kind] - charge + oversize.drawn;
          charge := oversize.drawn;
          if oversize.of_reserve > 0 then
            tokens[reserve_places[place]] := tokens[reserve_places[place]] - oversize.of_reserve;
            reserve_paid[i][kind] := oversize.of_reserve;
          end if;
        elsif reserve_places[place] is not null then
          paid := least(
            greatest(charge - greatest(tokens[place] - headrooms[place], 0), 0),
            tokens[reserve_places[place]]
          );
          tokens[reserve_places[place]] := tokens[reserve_places[place]] - paid;
          reserve_paid[i][kind] := paid;
        end if;
        tokens[place] := tokens[place] - charge;
      end loop;
      -- What layer 1 gave ahead of need pays first, where there is such a bucket.
      for place in 1 .. places loop
        if is_shared[place] then
          kind := kinds[place];
          prefetched[kind] := prefetched[kind] - least(amounts[kind], prefetched[kind]);
        end if;
      end loop;
    end if;
    decision.remaining := tokens[tokens_place];
    decision.remaining_bytes := tokens[bytes_place];
    decisions[i] := decision;
  end loop;

  for place in 1 .. places loop
    buckets[place].current_tokens := tokens[place];
  end loop;
  return row(
    decisions, charges_anything, buckets, prefetched, reserve_paid, oversize_taken,
    coalesce(parts[1].tenant_id, parts[2].tenant_id), parts_left
  );
end;
$$;

comment on function rate_limiter_internal.decide_batch(
  timestamptz, numeric[], bigint[], numeric[], rate_limiter.token_buckets[], boolean, boolean,
  numeric[], uuid
) is
  'The decisions on operations one after the other, over buckets as they stand at a moment and '
  'in the order in which a denial names them, and the buckets as they leave them. A null size is '
  'not known yet. An operation that was charged before (costs_before, null where it was not) is '
  'admitted again for nothing. needs_iops, needs_bandwidth: whether the application is denied '
  'without an enforcing quota of that kind. prefetched: tokens and bytes of layer 1 that the '
  'session''s stripe holds. app_id: bounds what its oversize operations take of layer 1, as late '
  'charges are bounded (late_share_at).';
--! EndIncluded rate_limiter_internal/arithmetic/decide_batch.sql
--! Included rate_limiter_internal/arithmetic/moment_or_null.sql
create or replace function rate_limiter_internal.moment_or_null(spelled text)
returns timestamptz
language plpgsql
stable
parallel unsafe
as $$
begin
  -- A date with an offset: without one its meaning would hang on the session's time zone.
  if spelled ~ (
    '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?'
    '(Z|[+-][0-9]{2}(:?[0-9]{2})?)$'
  ) then
    return spelled::timestamptz;
  end if;
  return null;
exception
  when invalid_datetime_format or datetime_field_overflow or invalid_parameter_value
    or invalid_time_zone_displacement_value
  then
    return null;
end;
$$;

comment on function rate_limiter_internal.moment_or_null(text) is
  'The moment that an ISO 8601 text with an offset names; null for anything else.';
--! EndIncluded rate_limiter_internal/arithmetic/moment_or_null.sql
--! Included rate_limiter_internal/arithmetic/stored_wait_ms.sql
create or replace function rate_limiter_internal.stored_wait_ms(
  shard_key integer,
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  charge numeric
)
returns numeric
language plpgsql
stable
parallel safe
as $$
declare
  bucket rate_limiter.token_buckets;
  headroom numeric;
  most numeric;
begin
  select b.* into bucket
  from rate_limiter.token_buckets as b
  where b.shard_key = stored_wait_ms.shard_key
    and b.owner_id = stored_wait_ms.owner_id
    and b.bucket_type = stored_wait_ms.bucket_type
    and b.mode = 'enforce';
  bucket := (rate_limiter_internal.bucket_at(at, bucket)).bucket;
  headroom := coalesce(bucket.headroom, 0);
  most := bucket.capacity - headroom;
  case rate_limiter_internal.shortage(
    bucket.current_tokens - headroom, most, charge, bucket.allow_oversize,
    rate_limiter_internal.debt_limit(bucket)
  )
    when 0 then return 0;
    when 'infinity' then return 'infinity';
    else return rate_limiter_internal.offer_wait_ms(
      at, bucket, headroom, null, least(charge, most)
    );
  end case;
end;
$$;

comment on function rate_limiter_internal.stored_wait_ms(
  integer, timestamptz, uuid, rate_limiter.bucket_type, numeric
) is
  'Milliseconds until an enforcing bucket without reserve offers what an operation is charged: 0 '
  'where it does, infinity for never.';
--! EndIncluded rate_limiter_internal/arithmetic/stored_wait_ms.sql

-- Shards
--! Included rate_limiter_internal/shards/app_shard_key.sql
create or replace function rate_limiter_internal.app_shard_key(app_id uuid)
returns integer
language plpgsql
stable
parallel safe
as $$
declare
  found_key integer;
begin
  select f.shard_key
  into found_key
  from rate_limiter.app_facts as f
  where f.app_id = app_shard_key.app_id;
  return found_key;
end;
$$;

comment on function rate_limiter_internal.app_shard_key(uuid) is
  'The shard key of an application; null for an unknown one.';
--! EndIncluded rate_limiter_internal/shards/app_shard_key.sql
--! Included rate_limiter_internal/shards/shard_key_of.sql
create or replace function rate_limiter_internal.shard_key_of(owner_id uuid)
returns integer
language plpgsql
stable
parallel safe
as $$
begin
  return coalesce(
    rate_limiter_internal.app_shard_key(owner_id),
    (select c.shard_key from rate_limiter.clusters as c where c.cluster_id = owner_id)
  );
end;
$$;

comment on function rate_limiter_internal.shard_key_of(uuid) is
  'The shard key of an owner of buckets, an application or a cluster; null for an unknown one.';
--! EndIncluded rate_limiter_internal/shards/shard_key_of.sql
--! Included rate_limiter_internal/shards/require_not_moved.sql
create or replace function rate_limiter_internal.require_not_moved(
  shard_key integer,
  app_id uuid
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if rate_limiter_internal.app_shard_key(app_id) <> shard_key then
    raise exception using
      errcode = 'QS409',
      message = 'application has moved',
      detail = format('app_id: %s', app_id),
      hint = 'Ask again: it was moved to another cluster since it was looked up.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_not_moved(integer, uuid) is
  'Raises QS409 where an application has another shard key by now: called where a row is missing.';
--! EndIncluded rate_limiter_internal/shards/require_not_moved.sql
--! Included rate_limiter_internal/shards/hold_application.sql
create or replace function rate_limiter_internal.hold_application(
  shard_key integer,
  app_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  -- Only a move holds this row against a key share lock. It is not waited for: the caller may have
  -- locked buckets already, which the move waits for.
  perform
  from rate_limiter.app_facts as f
  where f.shard_key = hold_application.shard_key and f.app_id = hold_application.app_id
  for key share skip locked;
  if not found then
    raise exception using
      errcode = 'QS409',
      message = 'application has moved',
      detail = format('app_id: %s', app_id),
      hint = 'Ask again: it was moved to another cluster since it was looked up.';
  end if;
end;
$$;

comment on function rate_limiter_internal.hold_application(integer, uuid) is
  'Keeps an application under its shard key until the end of the transaction, for callers that add '
  'rows and have not locked a bucket of its layer 2. Raises QS409 where it has moved or is being '
  'moved.';
--! EndIncluded rate_limiter_internal/shards/hold_application.sql
--! Included rate_limiter_internal/shards/held_shard_key.sql
create or replace function rate_limiter_internal.held_shard_key(app_id uuid)
returns integer
language plpgsql
volatile
parallel unsafe
as $$
declare
  held_key integer;
begin
  select f.shard_key
  into held_key
  from rate_limiter.app_facts as f
  where f.app_id = held_shard_key.app_id
  for key share;
  return held_key;
end;
$$;

comment on function rate_limiter_internal.held_shard_key(uuid) is
  'The shard key of an application, which it keeps until the end of the transaction; null for an '
  'unknown one. Waits for a move that is under way: not for callers that have locked buckets.';
--! EndIncluded rate_limiter_internal/shards/held_shard_key.sql
--! Included rate_limiter_internal/shards/has_layer2.sql
create or replace function rate_limiter_internal.has_layer2(buckets rate_limiter.token_buckets[])
returns boolean
language plpgsql
immutable
parallel safe
as $$
declare
  bucket rate_limiter.token_buckets;
begin
  foreach bucket in array buckets loop
    if rate_limiter_internal.lock_rank(bucket.bucket_type) = 1 then
      return true;
    end if;
  end loop;
  return false;
end;
$$;

comment on function rate_limiter_internal.has_layer2(rate_limiter.token_buckets[]) is
  'Whether a bucket of layer 2 is among these.';
--! EndIncluded rate_limiter_internal/shards/has_layer2.sql
--! Included rate_limiter_internal/shards/moved_charges.sql
create or replace function rate_limiter_internal.moved_charges(
  to_key integer,
  app_id uuid,
  charged rate_limiter_internal.bucket_charge[]
)
returns rate_limiter_internal.bucket_charge[]
language plpgsql
immutable
parallel safe
as $$
begin
  for place in 1 .. cardinality(charged) loop
    if charged[place].owner_id = app_id then
      charged[place].shard_key := to_key;
    end if;
  end loop;
  return charged;
end;
$$;

comment on function rate_limiter_internal.moved_charges(
  integer, uuid, rate_limiter_internal.bucket_charge[]
) is
  'What buckets were charged, with those of an application under its new shard key. Buckets of a '
  'cluster stay where they are.';
--! EndIncluded rate_limiter_internal/shards/moved_charges.sql
--! Included rate_limiter_internal/shards/move_history.sql
create or replace function rate_limiter_internal.move_history(
  from_key integer,
  to_key integer,
  app_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  -- However many of its samples are in compressed chunks.
  perform set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true);
  update rate_limiter.token_transactions as t
  set shard_key = to_key
  where t.shard_key = from_key and t.owner_id = move_history.app_id;
  update rate_limiter.denial_counts as d
  set shard_key = to_key
  where d.shard_key = from_key and d.app_id = move_history.app_id;
  update rate_limiter_private.demand as d
  set shard_key = to_key
  where d.shard_key = from_key and d.app_id = move_history.app_id;
  update rate_limiter_internal.metrics as m
  set shard_key = to_key
  where m.shard_key = from_key and m.app_id = move_history.app_id;
  update rate_limiter_internal.iops_metrics as m
  set shard_key = to_key
  where m.shard_key = from_key and m.app_id = move_history.app_id;
  update rate_limiter_internal.bandwidth_metrics as m
  set shard_key = to_key
  where m.shard_key = from_key and m.app_id = move_history.app_id;
  update rate_limiter.metrics_hourly as m
  set shard_key = to_key
  where m.shard_key = from_key and m.app_id = move_history.app_id;
  update rate_limiter.metrics_daily as m
  set shard_key = to_key
  where m.shard_key = from_key and m.app_id = move_history.app_id;
  update rate_limiter_private.usage_hourly as u
  set shard_key = to_key
  where u.shard_key = from_key and u.app_id = move_history.app_id;
  update rate_limiter_private.usage_daily as u
  set shard_key = to_key
  where u.shard_key = from_key and u.app_id = move_history.app_id;
  update rate_limiter_private.usage_progress as u
  set shard_key = to_key
  where u.shard_key = from_key and u.app_id = move_history.app_id;
  -- Those that a session is adding to stay: fold_denials() takes them to where it is then.
  update rate_limiter.recent_denials as d
  set shard_key = to_key
  where d.shard_key = from_key
    and d.ctid = any (array(
    select own.ctid
    from rate_limiter.recent_denials as own
    where own.shard_key = from_key and own.app_id = move_history.app_id
    for update skip locked
  ));
end;
$$;

comment on function rate_limiter_internal.move_history(integer, integer, uuid) is
  'Moves what is only added to, and not changed, of an application to another shard key: the '
  'ledger, its sums, samples, their aggregates, the record of demand and counts of denials.';
--! EndIncluded rate_limiter_internal/shards/move_history.sql
--! Included rate_limiter_internal/shards/move_charges.sql
create or replace function rate_limiter_internal.move_charges(
  from_key integer,
  to_key integer,
  app_id uuid,
  until timestamptz default 'infinity'
)
returns boolean
language plpgsql
volatile
parallel unsafe
as $$
begin
  -- Rows that are locked are left: a session that settles one of them waits for a bucket.
  with free as materialized (
    select c.reference_id
    from rate_limiter.charges as c
    where c.shard_key = from_key and c.app_id = move_charges.app_id and c.charged_at < until
    for update skip locked
  )
  update rate_limiter.charges as c
  set
    shard_key = to_key,
    charged = rate_limiter_internal.moved_charges(to_key, move_charges.app_id, c.charged)
  from free as f
  where c.shard_key = from_key
    and c.app_id = move_charges.app_id
    and c.reference_id = f.reference_id;

  with free as materialized (
    select c.idempotency_key
    from rate_limiter.late_charges as c
    where c.shard_key = from_key and c.app_id = move_charges.app_id and c.charged_at < until
    for update skip locked
  )
  update rate_limiter.late_charges as c
  set
    shard_key = to_key,
    charged = rate_limiter_internal.moved_charges(to_key, move_charges.app_id, c.charged)
  from free as f
  where c.shard_key = from_key
    and c.app_id = move_charges.app_id
    and c.idempotency_key = f.idempotency_key;

  with free as materialized (
    select l.lease_id
    from rate_limiter.token_leases as l
    where l.shard_key = from_key and l.app_id = move_charges.app_id and l.expires_at < until
    for update skip locked
  )
  update rate_limiter.token_leases as l
  set
    shard_key = to_key,
    charged = rate_limiter_internal.moved_charges(to_key, move_charges.app_id, l.charged)
  from free as f
  where l.shard_key = from_key and l.app_id = move_charges.app_id and l.lease_id = f.lease_id;

  with free as materialized (
    select b.borrowing_id
    from rate_limiter.token_borrowing as b
    where b.shard_key = from_key and b.owner_id = move_charges.app_id and b.repaid_at < until
      or until = 'infinity' and b.shard_key = from_key and b.owner_id = move_charges.app_id
    for update skip locked
  )
  update rate_limiter.token_borrowing as b
  set shard_key = to_key
  from free as f
  where b.shard_key = from_key
    and b.owner_id = move_charges.app_id
    and b.borrowing_id = f.borrowing_id;

  return not exists (
      select from rate_limiter.charges as c
      where c.shard_key = from_key and c.app_id = move_charges.app_id
    )
    and not exists (
      select from rate_limiter.late_charges as c
      where c.shard_key = from_key and c.app_id = move_charges.app_id
    )
    and not exists (
      select from rate_limiter.token_leases as l
      where l.shard_key = from_key and l.app_id = move_charges.app_id
    )
    and not exists (
      select from rate_limiter.token_borrowing as b
      where b.shard_key = from_key and b.owner_id = move_charges.app_id
    );
end;
$$;

comment on function rate_limiter_internal.move_charges(
  integer, integer, uuid, timestamptz
) is
  'Moves charges, late charges, leases and borrowings of an application that ended before a moment '
  'to another shard key, but those that others have locked. Answers whether none is left.';
--! EndIncluded rate_limiter_internal/shards/move_charges.sql
--! Included rate_limiter_internal/shards/wait_for_charges.sql
create or replace function rate_limiter_internal.wait_for_charges(
  shard_key integer,
  app_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  perform from rate_limiter.charges as c
  where c.shard_key = wait_for_charges.shard_key and c.app_id = wait_for_charges.app_id
  for update;
  perform from rate_limiter.late_charges as c
  where c.shard_key = wait_for_charges.shard_key and c.app_id = wait_for_charges.app_id
  for update;
  perform from rate_limiter.token_leases as l
  where l.shard_key = wait_for_charges.shard_key and l.app_id = wait_for_charges.app_id
  for update;
  perform from rate_limiter.token_borrowing as b
  where b.shard_key = wait_for_charges.shard_key and b.owner_id = wait_for_charges.app_id
  for update;
  -- What this locked is let go of again.
  raise lock_not_available;
exception
  when lock_not_available then
    return;
end;
$$;

comment on function rate_limiter_internal.wait_for_charges(integer, uuid) is
  'Waits until others have let go of the charges, leases and borrowings of an application, and '
  'locks none of them.';
--! EndIncluded rate_limiter_internal/shards/wait_for_charges.sql
--! Included rate_limiter_internal/shards/move_buckets.sql
create or replace function rate_limiter_internal.move_buckets(
  from_key integer,
  to_key integer,
  app_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  for attempt in 1 .. 1000 loop
    begin
      -- Until now they followed what was in force on the cluster that the application leaves.
      perform rate_limiter_internal.lock_bucket(
        from_key, clock_timestamp(), b.owner_id, b.bucket_type, b.mode
      )
      from (
        select k.owner_id, k.bucket_type, k.mode
        from rate_limiter.token_buckets as k
        where k.shard_key = from_key
          and k.owner_id = move_buckets.app_id
          and rate_limiter_internal.lock_rank(k.bucket_type) = 1
        order by k.bucket_type, k.mode
      ) as b;
      -- Sessions that settle lock what they settle first and then buckets: where one does so now,
      -- the buckets are let go of again, and it is waited for without them.
      if rate_limiter_internal.move_charges(from_key, to_key, app_id) then
        exit;
      end if;
      raise lock_not_available;
    exception
      when lock_not_available then
        if attempt = 1000 then
          raise;
        end if;
    end;
    perform rate_limiter_internal.wait_for_charges(from_key, app_id);
  end loop;

  update rate_limiter.token_buckets as b
  set shard_key = to_key
  where b.shard_key = from_key
    and b.owner_id = move_buckets.app_id
    and rate_limiter_internal.lock_rank(b.bucket_type) = 1;
end;
$$;

comment on function rate_limiter_internal.move_buckets(integer, integer, uuid) is
  'Moves the buckets of layer 2 of an application, its charges, leases and borrowings to another '
  'shard key. Decisions that are under way end first; later ones find no bucket, and raise QS409.';
--! EndIncluded rate_limiter_internal/shards/move_buckets.sql
--! Included rate_limiter_internal/shards/finish_move.sql
create or replace function rate_limiter_internal.finish_move(
  from_key integer,
  to_key integer,
  app_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  update rate_limiter.token_buckets as b
  set shard_key = to_key
  where b.shard_key = from_key and b.owner_id = finish_move.app_id;
  -- Added to with a bucket locked.
  update rate_limiter.uncharged_counts as u
  set shard_key = to_key
  where u.shard_key = from_key and u.app_id = finish_move.app_id;
  delete from rate_limiter_internal.lease_shares as s
  where s.shard_key = from_key and s.app_id = finish_move.app_id;
  perform rate_limiter_internal.move_history(from_key, to_key, app_id);
end;
$$;

comment on function rate_limiter_internal.finish_move(integer, integer, uuid) is
  'Moves what else there is of an application to another shard key: its reserves, which are locked '
  'after layer 1, and what was added to its history since move_history() was called first.';
--! EndIncluded rate_limiter_internal/shards/finish_move.sql
