--! Previous: sha1:bdfb5f59f6652eb51241b19f81a7780359650010
--! Hash: sha1:aae09fe0e946d6bba428ce7c0e5585fbc7373093
--! Message: retention

-- Retention
--! Included rate_limiter_internal/retention/retention_period.sql
create or replace function rate_limiter_internal.retention_period(data_type text)
returns interval
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    p.retain_for,
    make_interval(days => rate_limiter_internal.setting_integer(p.setting_key)::integer)
  )
  from rate_limiter.retention_policies as p
  where p.data_type = retention_period.data_type;
$$;

comment on function rate_limiter_internal.retention_period(text) is
  'How long this type of data is kept.';
--! EndIncluded rate_limiter_internal/retention/retention_period.sql
--! Included rate_limiter_internal/retention/retained_since.sql
create or replace function rate_limiter_internal.retained_since(
  at timestamptz,
  data_type text
)
returns timestamptz
language sql
stable
parallel safe
as $$
  -- In UTC: where clocks are put forward, a day of the session's time zone has 23 hours. By the
  -- calendar no later than a day ago, whatever a policy or a setting came to say.
  select case
    when p.period is not null then least(
      at at time zone 'UTC' - p.period, at at time zone 'UTC' - interval '1 day'
    ) at time zone 'UTC'
  end
  from rate_limiter_internal.retention_period(data_type) as p (period);
$$;

comment on function rate_limiter_internal.retained_since(timestamptz, text) is
  'The moment before which this type of data is not kept, as seen from another moment and at '
  'least a day before that; null for an unknown type.';
--! EndIncluded rate_limiter_internal/retention/retained_since.sql
--! Included rate_limiter_private/retention/expired_partitions.sql
create or replace function rate_limiter_private.expired_partitions(
  at timestamptz default current_timestamp
)
returns table (
  data_type text,
  schema_name text,
  table_name text,
  partition_name text,
  starts_at timestamptz,
  ends_at timestamptz,
  export_first boolean
)
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    t.data_type, t.schema_name, t.table_name, p.partition_name, p.starts_at, p.ends_at,
    policy.export_first
  from rate_limiter_internal.partitions() as p
  join rate_limiter_private.partitioned_tables as t
    on t.schema_name = p.schema_name and t.table_name = p.table_name
  join rate_limiter.retention_policies as policy on policy.data_type = t.data_type
  where policy.is_active
    and policy.action = 'drop_partitions'
    and not p.is_default
    and p.ends_at <= rate_limiter_internal.retained_since(expired_partitions.at, t.data_type)
  -- In the order in which decisions write them: denial_counts, then token_transactions.
  order by t.schema_name, t.table_name, p.ends_at;
$$;

comment on function rate_limiter_private.expired_partitions(timestamptz) is
  'The partitions whose youngest row could be no younger than their retention policy keeps.';
grant execute on function rate_limiter_private.expired_partitions(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/retention/expired_partitions.sql
--! Included rate_limiter_internal/retention/require_partition.sql
create or replace function rate_limiter_internal.require_partition(partition_name text)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if not exists (
    select
    from rate_limiter_internal.partitions() as p
    where p.partition_name = require_partition.partition_name
  ) then
    raise exception using
      errcode = 'QS404',
      message = 'unknown partition',
      detail = format('partition: %s', partition_name),
      hint = 'It may have been dropped since it was listed.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_partition(text) is
  'Raises QS404 where there is no partition of this name.';
--! EndIncluded rate_limiter_internal/retention/require_partition.sql
--! Included rate_limiter_private/retention/drop_partition.sql
create or replace function rate_limiter_private.drop_partition(
  partition_name text,
  at timestamptz default current_timestamp
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
-- Decisions queue behind a lock that is waited for: try again rather than wait.
set lock_timeout = '30ms'
as $$
declare
  expired record;
  kept_timeout text;
begin
  -- A caller's clock that runs ahead makes nothing expire.
  select p.partition_oid::regclass as part, p.parent_oid::regclass as parent
  into expired
  from rate_limiter_private.expired_partitions(least(drop_partition.at, clock_timestamp())) as e
  join rate_limiter_internal.partitions() as p on p.partition_name = e.partition_name
  where e.partition_name = drop_partition.partition_name;

  if not found then
    perform rate_limiter_internal.require_partition(partition_name);
    raise exception using
      errcode = 'QS409',
      message = 'partition has not expired',
      detail = format('partition: %s', drop_partition.partition_name),
      hint = 'Only what is older than its retention policy can be dropped.';
  end if;

  -- The table itself comes last: what is in the way of the rest is met before decisions wait.
  execute format('lock table %s in access exclusive mode', expired.part);
  execute format('lock table only %s in access exclusive mode', expired.parent);
  -- Dropping locks the default partition as well.
  kept_timeout := set_config('lock_timeout', '10ms', true);
  execute format('drop table %s', expired.part);
end;
$$;

comment on function rate_limiter_private.drop_partition(text, timestamptz) is
  'Drops one partition that has expired, under locks that last until the end of the transaction: '
  'call it in one of its own. Where its policy says export first, that is the caller''s to have '
  'done. Raises lock_not_available (55P03) rather than make decisions wait; try again then.';
grant execute on function rate_limiter_private.drop_partition(text, timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/retention/drop_partition.sql
--! Included rate_limiter_internal/retention/csv_field.sql
create or replace function rate_limiter_internal.csv_field(value text)
returns text
language sql
immutable
parallel safe
return coalesce('"' || replace(value, '"', '""') || '"', '');

comment on function rate_limiter_internal.csv_field(text) is
  'A field of a CSV line as COPY reads it back: quoted, or nothing at all for null.';
--! EndIncluded rate_limiter_internal/retention/csv_field.sql
--! Included rate_limiter_internal/retention/csv_query.sql
create or replace function rate_limiter_internal.csv_query(relation oid)
returns text
language sql
stable
parallel safe
as $$
  select format(
    'select concat_ws('','', %s)',
    string_agg(
      format('rate_limiter_internal.csv_field(t.%I::text)', a.attname), ', ' order by a.attnum
    )
  )
  from pg_attribute as a
  where a.attrelid = relation
    and a.attnum > 0
    and not a.attisdropped
    and a.attgenerated = '';
$$;

comment on function rate_limiter_internal.csv_query(oid) is
  'The beginning of a query that answers the rows of a table, which it calls t, as CSV lines.';
--! EndIncluded rate_limiter_internal/retention/csv_query.sql
--! Included rate_limiter_internal/retention/expiring_rows.sql
create or replace function rate_limiter_internal.expiring_rows()
returns table (data_type text, relation regclass, ended_at text)
language sql
stable
parallel safe
as $$
  values
    -- An aggregate is as old as the youngest sample that it may hold.
    (
      'hourly_aggregates', 'rate_limiter.metrics_hourly'::regclass,
      't.bucket + interval ''1 hour'''
    ),
    ('daily_aggregates', 'rate_limiter.metrics_daily', 't.bucket + interval ''24 hours'''),
    ('hourly_usage', 'rate_limiter_private.usage_hourly', 't.hour + interval ''1 hour'''),
    (
      'daily_usage', 'rate_limiter_private.usage_daily',
      '(t.date + 1)::timestamp at time zone ''UTC'''
    ),
    -- What is still owed is kept, however old; a borrowing in default was taken in full.
    (
      'token_borrowing', 'rate_limiter.token_borrowing',
      'case t.status
        when ''repaid'' then t.repaid_at
        when ''defaulted'' then t.repaid_at
        when ''cancelled'' then greatest(
          t.due_at, rate_limiter_internal.moment_or_null(t.metadata ->> ''cancelled_at'')
        )
      end'
    ),
    -- A session that is not refreshed ends with its refresh token.
    (
      'user_sessions', 'rate_limiter_private.user_sessions',
      'least(t.revoked_at, t.refresh_expires_at)'
    ),
    ('charges', 'rate_limiter.charges', 't.charged_at'),
    ('late_charges', 'rate_limiter.late_charges', 't.charged_at'),
    -- A minute is as old as its end.
    ('uncharged_counts', 'rate_limiter.uncharged_counts', 't.minute + interval ''1 minute'''),
    ('token_leases', 'rate_limiter.token_leases', 't.settled_at'),
    (
      'alert_notifications', 'rate_limiter.alert_notifications',
      'case when t.status <> ''pending'' then t.created_at end'
    ),
    ('ledger_checks', 'rate_limiter_private.ledger_checks', 't.checked_at'),
    ('job_failures', 'rate_limiter_private.job_failures', 't.last_failed_at'),
    (
      'quota_version_history', 'rate_limiter_audit.quota_version_history',
      'case when t.archived_at is null then t.changed_at end'
    );
$$;

comment on function rate_limiter_internal.expiring_rows() is
  'The tables that are not partitioned by time and whose rows expire: of which type of data, and '
  'the moment from which a row t counts as old, null for one that must stay.';
--! EndIncluded rate_limiter_internal/retention/expiring_rows.sql
--! Included rate_limiter_internal/retention/retention_cutoff.sql
create or replace function rate_limiter_internal.retention_cutoff(
  at timestamptz,
  data_type text
)
returns timestamptz
language sql
stable
parallel safe
as $$
  select rate_limiter_internal.retained_since(retention_cutoff.at, p.data_type)
  from rate_limiter.retention_policies as p
  where p.data_type = retention_cutoff.data_type
    and p.is_active;
$$;

comment on function rate_limiter_internal.retention_cutoff(timestamptz, text) is
  'What ended before this moment has expired; null where nothing goes.';
--! EndIncluded rate_limiter_internal/retention/retention_cutoff.sql
--! Included rate_limiter_internal/retention/require_expired.sql
create or replace function rate_limiter_internal.require_expired(
  data_type text,
  cutoff timestamptz
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if not exists (
    select
    from rate_limiter_internal.expiring_rows() as e
    where e.data_type = require_expired.data_type
  ) then
    raise exception using
      errcode = 'QS422',
      message = 'data type has no rows to expire',
      detail = format('data type: %s', require_expired.data_type),
      hint = 'See retention_policies for those that do.';
  end if;

  if (
    cutoff <= rate_limiter_internal.retention_cutoff(clock_timestamp(), data_type)
  ) is not true then
    raise exception using
      errcode = 'QS409',
      message = 'rows have not expired',
      detail = format('data type: %s, cutoff: %s', require_expired.data_type, cutoff),
      hint = 'Only what is older than its retention policy goes.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_expired(text, timestamptz) is
  'Refuses a cutoff that is younger than the retention policy, judged by the clock of the '
  'database alone (QS409), and types of data without such rows (QS422).';
--! EndIncluded rate_limiter_internal/retention/require_expired.sql
--! Included rate_limiter_private/retention/begin_retention.sql
create or replace function rate_limiter_private.begin_retention()
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '30ms'
as $$
begin
  -- A table and no row of job_locks: a lock of a row takes a transaction id, which would keep
  -- vacuum from cleaning up what changes while retention runs.
  lock table rate_limiter_internal.retention_lock in exclusive mode nowait;
  perform set_config('idle_in_transaction_session_timeout', '0', true);
  return true;
exception
  when lock_not_available then
    return false;
end;
$$;

comment on function rate_limiter_private.begin_retention() is
  'Whether this transaction may have retention carried out: one does at a time, until it ends. '
  'Call it in a transaction of a connection of its own, which then stays idle: the steps of '
  'retention run in transactions of another.';
grant execute on function rate_limiter_private.begin_retention() to rate_limiter_worker;
--! EndIncluded rate_limiter_private/retention/begin_retention.sql
--! Included rate_limiter_internal/retention/retention_steps.sql
create or replace function rate_limiter_internal.retention_steps(at timestamptz)
returns table (
  data_type text,
  action text,
  export_first boolean,
  relation text,
  partition_name text,
  cutoff timestamptz,
  source text
)
language sql
stable
parallel restricted
as $$
  select
    e.data_type, 'drop_partitions', e.export_first,
    e.schema_name || '.' || e.table_name, e.partition_name,
    rate_limiter_internal.retention_cutoff(at, e.data_type),
    part.partition_oid::regclass::text
  from rate_limiter_private.expired_partitions(at) as e
  join rate_limiter_internal.partitions() as part on part.partition_name = e.partition_name
  -- Samples that no aggregate has taken in yet wait for that.
  where e.table_name <> 'metrics' or not exists (
    select
    from rate_limiter_private.metric_changes as c
    where c.grain in ('hour', 'day')
      and c.bucket >= e.starts_at - interval '24 hours'
      and c.bucket < e.ends_at
  )
  union all
  select
    p.data_type, p.action, p.export_first, r.relation::text, null, c.cutoff,
    format('%s as t where %s < $1', r.relation, r.ended_at)
  from rate_limiter_internal.expiring_rows() as r
  join rate_limiter.retention_policies as p on p.data_type = r.data_type
  cross join lateral rate_limiter_internal.retention_cutoff(at, p.data_type) as c (cutoff)
  where c.cutoff is not null;
$$;

comment on function rate_limiter_internal.retention_steps(timestamptz) is
  'What the retention policies would have go at a moment. source: the rows of a step, as in a '
  'query that takes the cutoff as $1; there may be none.';
--! EndIncluded rate_limiter_internal/retention/retention_steps.sql
--! Included rate_limiter_private/retention/retention_plan.sql
create or replace function rate_limiter_private.retention_plan(
  at timestamptz default clock_timestamp()
)
returns table (
  data_type text,
  action text,
  export_first boolean,
  relation text,
  partition_name text,
  cutoff timestamptz,
  row_count bigint
)
language plpgsql
stable
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  step record;
begin
  -- A clock that runs ahead, or a caller's, makes nothing expire: see require_expired.
  for step in
    select s.* from rate_limiter_internal.retention_steps(least(at, clock_timestamp())) as s
  loop
    execute 'select count(*) from ' || step.source into row_count using step.cutoff;
    continue when row_count = 0 and step.partition_name is null;
    data_type := step.data_type;
    action := step.action;
    export_first := step.export_first;
    relation := step.relation;
    partition_name := step.partition_name;
    cutoff := step.cutoff;
    return next;
  end loop;
end;
$$;

comment on function rate_limiter_private.retention_plan(timestamptz) is
  'What the retention policies would have go now, and how many rows that is: the dry run of '
  'apply_retention().';
grant execute on function rate_limiter_private.retention_plan(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/retention/retention_plan.sql
--! Included rate_limiter_private/retention/apply_retention.sql
create or replace function rate_limiter_private.apply_retention(
  at timestamptz default clock_timestamp()
)
returns table (
  data_type text,
  action text,
  export_first boolean,
  relation text,
  partition_name text,
  cutoff timestamptz
)
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  step record;
  has_rows boolean;
begin
  for step in
    select s.* from rate_limiter_internal.retention_steps(least(at, clock_timestamp())) as s
  loop
    if step.partition_name is null then
      begin
        execute format('select exists (select from %s)', step.source)
        into has_rows
        using step.cutoff;
      exception
        when data_exception or integrity_constraint_violation or program_limit_exceeded
          or raise_exception
        then
          has_rows := false;
          perform rate_limiter_private.record_job_failure(
            'apply_retention', step.data_type, sqlstate, sqlerrm
          );
      end;
      continue when not has_rows;
    end if;

    data_type := step.data_type;
    action := step.action;
    export_first := step.export_first;
    relation := step.relation;
    partition_name := step.partition_name;
    cutoff := step.cutoff;
    return next;
  end loop;
end;
$$;

comment on function rate_limiter_private.apply_retention(timestamptz) is
  'Job: what retention has to do now, each step in transactions of its own: partitions to drop '
  '(drop_partition), or to export before that (export_partition, then drop_exported_partition), '
  'and rows to expire (export_rows where asked for, then expire_rows).';
grant execute on function rate_limiter_private.apply_retention(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/retention/apply_retention.sql
--! Included rate_limiter_private/retention/export_partition.sql
create or replace function rate_limiter_private.export_partition(partition_name text)
returns setof text
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
set quote_all_identifiers = off
as $$
declare
  exported oid;
begin
  select p.partition_oid
  into exported
  from rate_limiter_private.expired_partitions(clock_timestamp()) as e
  join rate_limiter_internal.partitions() as p on p.partition_name = e.partition_name
  where e.partition_name = export_partition.partition_name;

  if not found then
    perform rate_limiter_internal.require_partition(partition_name);
    raise exception using
      errcode = 'QS409',
      message = 'partition has not expired',
      detail = format('partition: %s', export_partition.partition_name),
      hint = 'Only what is older than its retention policy is exported.';
  end if;

  return next replace(rate_limiter_internal.copied_columns(exported), ', ', ',');
  return query execute format(
    '%s from %s as t', rate_limiter_internal.csv_query(exported), exported::regclass
  );
end;
$$;

comment on function rate_limiter_private.export_partition(text) is
  'The rows of an expired partition as CSV lines, the names of the columns first. Raises QS404 for '
  'one that is gone.';
grant execute on function rate_limiter_private.export_partition(text) to rate_limiter_worker;
--! EndIncluded rate_limiter_private/retention/export_partition.sql
--! Included rate_limiter_private/retention/drop_exported_partition.sql
create or replace function rate_limiter_private.drop_exported_partition(
  partition_name text,
  row_count bigint,
  min_time timestamptz,
  max_time timestamptz
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '30ms'
as $$
declare
  part regclass;
  found_extent record;
begin
  select p.partition_oid::regclass
  into part
  from rate_limiter_internal.partitions() as p
  where p.partition_name = drop_exported_partition.partition_name;

  if found then
    execute format('lock table %s in share mode', part);
    found_extent := rate_limiter_private.partition_extent(partition_name);
    if (found_extent.row_count, found_extent.min_time, found_extent.max_time)
      is distinct from (row_count, min_time, max_time)
    then
      raise exception using
        errcode = 'QS409',
        message = 'partition changed after its export',
        detail = format(
          'partition: %s, exported: %s, there now: %s',
          drop_exported_partition.partition_name, row_count, found_extent.row_count
        ),
        hint = 'Export it again.';
    end if;
  end if;

  perform rate_limiter_private.drop_partition(partition_name);
end;
$$;

comment on function rate_limiter_private.drop_exported_partition(
  text, bigint, timestamptz, timestamptz
) is
  'Drops an expired partition that still holds what its export says, and nothing more.';
grant execute on function rate_limiter_private.drop_exported_partition(
  text, bigint, timestamptz, timestamptz
) to rate_limiter_worker;
--! EndIncluded rate_limiter_private/retention/drop_exported_partition.sql
--! Included rate_limiter_private/retention/export_rows.sql
create or replace function rate_limiter_private.export_rows(
  data_type text,
  cutoff timestamptz
)
returns setof text
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
set quote_all_identifiers = off
as $$
declare
  expiring record;
begin
  perform rate_limiter_internal.require_expired(data_type, cutoff);
  select e.*
  into expiring
  from rate_limiter_internal.expiring_rows() as e
  where e.data_type = export_rows.data_type;

  return next replace(rate_limiter_internal.copied_columns(expiring.relation), ', ', ',');
  return query execute format(
    '%s from %s as t where %s < $1',
    rate_limiter_internal.csv_query(expiring.relation), expiring.relation, expiring.ended_at
  )
  using cutoff;
end;
$$;

comment on function rate_limiter_private.export_rows(text, timestamptz) is
  'The rows of a type of data that ended before the cutoff as CSV lines, the names of the '
  'columns first. Raises QS409 for a cutoff younger than the retention policy.';
grant execute on function rate_limiter_private.export_rows(text, timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/retention/export_rows.sql
--! Included rate_limiter_private/retention/rows_extent.sql
create or replace function rate_limiter_private.rows_extent(
  data_type text,
  cutoff timestamptz,
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
  expiring record;
begin
  perform rate_limiter_internal.require_expired(data_type, cutoff);
  select e.*
  into expiring
  from rate_limiter_internal.expiring_rows() as e
  where e.data_type = rows_extent.data_type;

  execute format(
    'select count(*), min(%s), max(%s) from %s as t where %s < $1',
    expiring.ended_at, expiring.ended_at, expiring.relation, expiring.ended_at
  )
  into row_count, min_time, max_time
  using cutoff;
end;
$$;

comment on function rate_limiter_private.rows_extent(text, timestamptz) is
  'How many rows of a type of data ended before the cutoff, and from when to when.';
grant execute on function rate_limiter_private.rows_extent(text, timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/retention/rows_extent.sql
--! Included rate_limiter_private/retention/expire_rows.sql
create or replace function rate_limiter_private.expire_rows(
  data_type text,
  cutoff timestamptz,
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
  expiring record;
  changed integer;
begin
  perform rate_limiter_internal.require_expired(data_type, cutoff);
  select e.relation, e.ended_at, p.action
  into expiring
  from rate_limiter_internal.expiring_rows() as e
  join rate_limiter.retention_policies as p on p.data_type = e.data_type
  where e.data_type = expire_rows.data_type;

  execute format(
    'with expired as (
      select t.ctid as place from %s as t where %s < $1 limit $2 for update skip locked
    )
    ',
    expiring.relation, expiring.ended_at
  ) || case expiring.action
    when 'archive_rows' then format(
      'update %s as t set archived_at = clock_timestamp() from expired where t.ctid = place',
      expiring.relation
    )
    else format('delete from %s as t using expired where t.ctid = place', expiring.relation)
  end
  using cutoff, batch_size;
  get diagnostics changed = row_count;
  return changed;
end;
$$;

comment on function rate_limiter_private.expire_rows(text, timestamptz, integer) is
  'Deletes up to batch_size rows of a type of data that ended before the cutoff, or marks them '
  'as archived where the policy says so; answers how many. Call it until it answers 0. Raises '
  'QS409 for a cutoff younger than the retention policy.';
grant execute on function rate_limiter_private.expire_rows(text, timestamptz, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/retention/expire_rows.sql
--! Included rate_limiter_private/retention/restore_rows.sql
create or replace function rate_limiter_private.restore_rows(
  relation regclass,
  columns text[],
  records jsonb
)
returns integer
language plpgsql
volatile
parallel unsafe
set timezone = 'UTC'
set datestyle = 'ISO'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
set quote_all_identifiers = off
as $$
declare
  names text;
  fields text;
  restored integer;
begin
  -- A manifest is a file, and could name any table.
  if not exists (
    select
    from rate_limiter_private.partitioned_tables as t
    where to_regclass(format('%I.%I', t.schema_name, t.table_name)) = restore_rows.relation
    union all
    select
    from rate_limiter_internal.expiring_rows() as e
    where e.relation = restore_rows.relation
  ) then
    raise exception using
      errcode = 'QS422',
      message = 'table is not one that is archived',
      detail = format('table: %s', restore_rows.relation),
      hint = 'Restore a file that retention has exported.';
  end if;

  -- The columns that the table has now: a name that it does not know finds nothing and is left out.
  select
    string_agg(quote_ident(a.attname), ', ' order by c.place),
    string_agg(
      format('r.fields[%s]::%s', c.place, format_type(a.atttypid, a.atttypmod)), ', '
      order by c.place
    )
  into names, fields
  from unnest(columns) with ordinality as c (name, place)
  join pg_attribute as a
    on a.attrelid = restore_rows.relation
    and a.attname = c.name
    and a.attnum > 0
    and a.attgenerated = ''
    and a.attname <> 'shard_key';
  -- Its application may have moved since.
  if exists (
    select
    from pg_attribute as a
    where a.attrelid = restore_rows.relation and a.attname = 'shard_key'
  ) then
    names := 'shard_key, ' || names;
    fields := format(
      'coalesce(rate_limiter_internal.shard_key_of(r.fields[%s]::uuid), 0), ',
      coalesce(array_position(columns, 'owner_id'), array_position(columns, 'app_id'))
    ) || fields;
  end if;

  execute format(
    'insert into %s (%s) overriding system value
    select %s
    from (
      select array(select jsonb_array_elements_text(e.record)) as fields
      from jsonb_array_elements($1) as e (record)
    ) as r
    on conflict do nothing',
    relation, names, fields
  )
  using records;
  get diagnostics restored = row_count;
  return restored;
end;
$$;

comment on function rate_limiter_private.restore_rows(regclass, text[], jsonb) is
  'Puts archived rows, each a list of the columns'' texts, back into their table where they are '
  'not there, those of the data plane under the shard key that their owner has now; answers how '
  'many that were. The owner''s alone. Raises QS422 for a table that is '
  'never archived.';
--! EndIncluded rate_limiter_private/retention/restore_rows.sql
--! Included rate_limiter/retention/retention_policies.triggers.sql
create or replace trigger set_updated_at
  before update on rate_limiter.retention_policies
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger set_updated_by
  before update on rate_limiter.retention_policies
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_by();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.retention_policies
  for each row
  execute function rate_limiter_internal.audit_change('policy_id');
--! EndIncluded rate_limiter/retention/retention_policies.triggers.sql
--! Included rate_limiter/retention/retention_policies.policies.sql
-- Policies come with the product: periods change, rows neither come nor go.
alter table rate_limiter.retention_policies enable row level security;

drop policy if exists readable on rate_limiter.retention_policies;
create policy readable on rate_limiter.retention_policies
  for select to rate_limiter_visitor
  using ((select rate_limiter_internal.current_user_id()) is not null);

drop policy if exists updatable on rate_limiter.retention_policies;
create policy updatable on rate_limiter.retention_policies
  for update to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  )
  with check (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists monitored on rate_limiter.retention_policies;
create policy monitored on rate_limiter.retention_policies
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/retention/retention_policies.policies.sql
--! Included rate_limiter/retention/retention_policies.grants.sql
revoke all on rate_limiter.retention_policies
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.retention_policies to rate_limiter_visitor, rate_limiter_readonly;
grant update (retain_for, export_first, is_active)
  on rate_limiter.retention_policies to rate_limiter_visitor;
--! EndIncluded rate_limiter/retention/retention_policies.grants.sql
