--! Previous: sha1:aae09fe0e946d6bba428ce7c0e5585fbc7373093
--! Hash: sha1:3d76bde777288d9d3954d200c58f10fe7e714fca
--! Message: jobs monitoring and demo

-- Jobs
--! Included rate_limiter_internal/jobs/lock_job.sql
create or replace function rate_limiter_internal.lock_job(job text)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  locked text;
begin
  select l.job into strict locked
  from rate_limiter_internal.job_locks as l
  where l.job = lock_job.job
  for update;
end;
$$;

comment on function rate_limiter_internal.lock_job(text) is
  'Holds the lock of a job until the end of the transaction, and waits while another session '
  'holds it. A row of a table that logins have no rights on: any login could hold an advisory '
  'lock.';
--! EndIncluded rate_limiter_internal/jobs/lock_job.sql
--! Included rate_limiter_internal/jobs/try_lock_job.sql
create or replace function rate_limiter_internal.try_lock_job(job text)
returns boolean
language plpgsql
volatile
parallel unsafe
as $$
declare
  locked text;
begin
  select l.job into strict locked
  from rate_limiter_internal.job_locks as l
  where l.job = try_lock_job.job
  for update nowait;
  return true;
exception
  when lock_not_available then
    return false;
end;
$$;

comment on function rate_limiter_internal.try_lock_job(text) is
  'Whether this transaction got the lock of a job, which it then holds until it ends; false where '
  'another session holds it. See lock_job().';
--! EndIncluded rate_limiter_internal/jobs/try_lock_job.sql
--! Included rate_limiter_private/jobs/record_job_failure.sql
create or replace function rate_limiter_private.record_job_failure(
  job text,
  subject text,
  error_code text,
  error_message text
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into rate_limiter_private.job_failures as f (job, subject, last_error)
  values (
    record_job_failure.job, left(record_job_failure.subject, 255),
    left(error_code || ' ' || error_message, 1000)
  )
  on conflict on constraint job_failures_pkey do update
  set
    failures = f.failures + 1,
    last_failed_at = clock_timestamp(),
    last_error = excluded.last_error;
  raise warning 'job % leaves out %: % %',
    record_job_failure.job, record_job_failure.subject, error_code, error_message;
end;
$$;

comment on function rate_limiter_private.record_job_failure(text, text, text, text) is
  'Counts and logs a part of a job that failed, so that the job can go on with the others. Only '
  'for what is wrong with that part: after a deadlock, a lock timeout or a full disk the whole '
  'job is tried again.';
grant execute on function rate_limiter_private.record_job_failure(text, text, text, text)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/jobs/record_job_failure.sql
--! Included rate_limiter_private/jobs/applied_migrations.sql
create or replace function rate_limiter_private.applied_migrations()
returns setof text
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query select m.filename from graphile_migrate.migrations as m order by m.filename;
end;
$$;

comment on function rate_limiter_private.applied_migrations() is
  'The committed migrations that this database has had: the worker runs with exactly those that '
  'its code knows.';
grant execute on function rate_limiter_private.applied_migrations() to rate_limiter_worker;
--! EndIncluded rate_limiter_private/jobs/applied_migrations.sql
--! Included rate_limiter_private/jobs/heartbeat_workers.sql
create or replace function rate_limiter_private.heartbeat_workers(
  worker_ids text[],
  webhook_networks inet[] default '{}',
  probe_networks inet[] default '{}'
)
returns void
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into rate_limiter_private.job_workers
    (worker_id, seen_at, webhook_networks, probe_networks)
  select distinct
    w.worker_id, clock_timestamp(), heartbeat_workers.webhook_networks,
    heartbeat_workers.probe_networks
  from unnest(worker_ids) as w (worker_id)
  order by w.worker_id
  on conflict (worker_id) do update
  set seen_at = excluded.seen_at,
    webhook_networks = excluded.webhook_networks,
    probe_networks = excluded.probe_networks;
$$;

comment on function rate_limiter_private.heartbeat_workers(text[], inet[], inet[]) is
  'These workers are there now; webhooks and probes of theirs may go to these private networks.';
grant execute on function rate_limiter_private.heartbeat_workers(text[], inet[], inet[])
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/jobs/heartbeat_workers.sql
--! Included rate_limiter_private/jobs/forget_workers.sql
create or replace function rate_limiter_private.forget_workers(worker_ids text[])
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from rate_limiter_private.job_workers as w
  where w.worker_id = any (forget_workers.worker_ids);

  if exists (
    select from graphile_worker._private_jobs as j
    where j.locked_by = any (forget_workers.worker_ids)
    union all
    select from graphile_worker._private_job_queues as q
    where q.locked_by = any (forget_workers.worker_ids)
  ) then
    perform graphile_worker.force_unlock_workers(forget_workers.worker_ids);
  end if;
end;
$$;

comment on function rate_limiter_private.forget_workers(text[]) is
  'These workers have stopped: what they hold even so is released, for others to take up.';
grant execute on function rate_limiter_private.forget_workers(text[]) to rate_limiter_worker;
--! EndIncluded rate_limiter_private/jobs/forget_workers.sql
--! Included rate_limiter_private/jobs/rescue_stuck_jobs.sql
create or replace function rate_limiter_private.rescue_stuck_jobs(
  silence interval default interval '1 minute'
)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  since constant timestamptz := clock_timestamp() - silence;
  lost text[];
begin
  lost := array(
    select distinct l.locked_by
    from (
      select j.locked_by, j.locked_at from graphile_worker._private_jobs as j
      union all
      -- A queue whose job was deleted meanwhile is locked by itself.
      select q.locked_by, q.locked_at from graphile_worker._private_job_queues as q
    ) as l
    where l.locked_at < since
      and not exists (
        select
        from rate_limiter_private.job_workers as w
        where w.worker_id = l.locked_by and w.seen_at >= since
      )
  );
  if cardinality(lost) > 0 then
    perform graphile_worker.force_unlock_workers(lost);
  end if;

  delete from rate_limiter_private.job_workers as w
  where w.seen_at < since - interval '24 hours';
  return cardinality(lost);
end;
$$;

comment on function rate_limiter_private.rescue_stuck_jobs(interval) is
  'Job: unlocks jobs and queues of workers that have been silent so long, for others to take up; '
  'answers how many workers were lost. One that was only paused may then do a job twice: every '
  'task allows for that.';
grant execute on function rate_limiter_private.rescue_stuck_jobs(interval)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/jobs/rescue_stuck_jobs.sql
--! Included rate_limiter_private/jobs/has_overdue_jobs.sql
create or replace function rate_limiter_private.has_overdue_jobs(
  tasks text[],
  patience interval default interval '5 seconds'
)
returns boolean
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from graphile_worker._private_jobs as j
    join graphile_worker._private_tasks as t on t.id = j.task_id
    where t.identifier = any (tasks)
      and j.is_available
      -- What waits for its queue or is held back waits for other jobs.
      and j.job_queue_id is null
      and j.flags is null
      and j.run_at <= clock_timestamp() - patience
      and j.updated_at <= clock_timestamp() - patience
  );
$$;

comment on function rate_limiter_private.has_overdue_jobs(text[], interval) is
  'Whether a job of these tasks has been due for so long and was taken up by no worker. A worker '
  'that is idle meanwhile is not ready.';
grant execute on function rate_limiter_private.has_overdue_jobs(text[], interval)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/jobs/has_overdue_jobs.sql
--! Included rate_limiter_private/jobs/fail_unknown_jobs.sql
create or replace function rate_limiter_private.fail_unknown_jobs(
  known_tasks text[],
  patience interval default interval '10 minutes'
)
returns integer
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  with unknown as (
    select j.id, j.task_identifier
    from graphile_worker.jobs as j
    where j.task_identifier <> all (known_tasks)
      and j.locked_at is null
      and j.attempts < j.max_attempts
      and j.run_at < clock_timestamp() - patience
  ),
  failed as (
    select f.id
    from (
      select u.task_identifier, array_agg(u.id) as ids
      from unknown as u
      group by u.task_identifier
    ) as t
    cross join lateral graphile_worker.permanently_fail_jobs(
      t.ids, format('unknown task: %s', t.task_identifier)
    ) as f
  )
  select count(*)::integer from failed;
$$;

comment on function rate_limiter_private.fail_unknown_jobs(text[], interval) is
  'Job: fails for good, with the reason, what has been due for so long and is of no task that the '
  'worker knows; answers how many. Such a job would wait for ever.';
grant execute on function rate_limiter_private.fail_unknown_jobs(text[], interval)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/jobs/fail_unknown_jobs.sql
--! Included rate_limiter_private/jobs/failed_jobs.sql
create or replace function rate_limiter_private.failed_jobs()
returns setof rate_limiter_admin.failed_job
language sql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
  select j.id, j.task_identifier, j.attempts::integer, j.last_error, j.created_at, j.updated_at
  from graphile_worker.jobs as j
  where j.attempts >= j.max_attempts and j.locked_at is null
  order by j.updated_at desc, j.id desc;
$$;

comment on function rate_limiter_private.failed_jobs() is
  'The jobs that failed for the last time, the latest first.';
grant execute on function rate_limiter_private.failed_jobs() to rate_limiter_worker;
--! EndIncluded rate_limiter_private/jobs/failed_jobs.sql
--! Included rate_limiter_private/jobs/retry_jobs.sql
create or replace function rate_limiter_private.retry_jobs(job_ids bigint[] default null)
returns integer
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select count(*)::integer
  from graphile_worker.reschedule_jobs(
    array(
      select f.job_id
      from rate_limiter_private.failed_jobs() as f
      where retry_jobs.job_ids is null or f.job_id = any (retry_jobs.job_ids)
    ),
    run_at => clock_timestamp(),
    attempts => 0
  );
$$;

comment on function rate_limiter_private.retry_jobs(bigint[]) is
  'Runs jobs again that had failed for the last time: the ones named, or all of them; answers '
  'how many.';
grant execute on function rate_limiter_private.retry_jobs(bigint[]) to rate_limiter_worker;
--! EndIncluded rate_limiter_private/jobs/retry_jobs.sql
--! Included rate_limiter_admin/jobs/failed_jobs.sql
create or replace function rate_limiter_admin.failed_jobs()
returns setof rate_limiter_admin.failed_job
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_system_admin('system', 'monitor');
  return query select f.* from rate_limiter_private.failed_jobs() as f;
end;
$$;

comment on function rate_limiter_admin.failed_jobs() is
  'The background jobs that failed for the last time, the latest first. For system '
  'administrators.';
grant execute on function rate_limiter_admin.failed_jobs() to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/jobs/failed_jobs.sql
--! Included rate_limiter_admin/jobs/retry_jobs.sql
create or replace function rate_limiter_admin.retry_jobs(job_ids bigint[] default null)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  retried integer;
begin
  perform rate_limiter_internal.require_system_admin('system', 'configure');
  retried := rate_limiter_private.retry_jobs(job_ids);
  perform rate_limiter_internal.write_audit(
    'retry', 'jobs', null, null, null, null,
    jsonb_build_object('job_ids', job_ids, 'retried', retried)
  );
  return retried;
end;
$$;

comment on function rate_limiter_admin.retry_jobs(bigint[]) is
  E'@resultFieldName retried\n'
  'Runs background jobs again that had failed for the last time: the ones named, or all of them. '
  'For system administrators.';
grant execute on function rate_limiter_admin.retry_jobs(bigint[]) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/jobs/retry_jobs.sql
--! Included rate_limiter_private/jobs/job_failures.grants.sql
revoke all on rate_limiter_private.job_failures
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.job_failures to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/jobs/job_failures.grants.sql
--! Included rate_limiter_private/jobs/job_progress.grants.sql
revoke all on rate_limiter_private.job_progress
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.job_progress to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/jobs/job_progress.grants.sql
--! Included rate_limiter_private/jobs/job_workers.grants.sql
revoke all on rate_limiter_private.job_workers
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.job_workers to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/jobs/job_workers.grants.sql

-- Processes
--! Included rate_limiter_internal/processes/check_process.sql
create or replace function rate_limiter_internal.check_process(kind text, uptime interval)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if kind not in ('gateway', 'client', 'worker', 'api') or kind is null then
    raise exception using
      errcode = 'QS422',
      message = 'unknown kind of process',
      detail = format('kind: %s', left(kind, 50)),
      hint = 'It is gateway, client, worker or api.';
  end if;
  if uptime not between interval '0' and interval '100 years' or uptime is null then
    raise exception using
      errcode = 'QS422',
      message = 'uptime is not of 0 to 100 years',
      detail = format('uptime: %s', uptime),
      hint = 'Give the time since the start of the process.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_process(text, interval) is
  'Raises QS422 for a report of a process that means nothing.';
--! EndIncluded rate_limiter_internal/processes/check_process.sql
--! Included rate_limiter_internal/processes/make_room_for_process.sql
create or replace function rate_limiter_internal.make_room_for_process(reported_at timestamptz)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  most constant integer := 1000;
begin
  delete from rate_limiter.processes as p
  where p.login = session_user
    and p.seen_at < reported_at - interval '1 day';
  if (select count(*) from rate_limiter.processes as p where p.login = session_user) < most then
    return;
  end if;
  -- One that dies and begins anew each minute would fill it within a day.
  delete from rate_limiter.processes as p
  where p.login = session_user
    and rate_limiter.processes_is_silent(p);
  if found then
    return;
  end if;
  raise exception using
    errcode = 'QS429',
    message = 'too many processes of a login',
    detail = format('processes: %s', most),
    hint = 'End processes by end_process(); those that are silent make room.';
end;
$$;

comment on function rate_limiter_internal.make_room_for_process(timestamptz) is
  'Removes what was silent for a day of the processes of this login, and all that is silent where '
  'it has a thousand. Raises QS429 where it has a thousand that are there.';
--! EndIncluded rate_limiter_internal/processes/make_room_for_process.sql
--! Included rate_limiter/processes/report_process.sql
create or replace function rate_limiter.report_process(
  process_id uuid,
  kind text,
  name text,
  host text,
  version text,
  uptime interval,
  application_count integer default 0,
  database_calls bigint default 0,
  outages bigint default 0,
  uncharged_operations bigint default 0
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  reported_at constant timestamptz := clock_timestamp();
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.check_process(report_process.kind, report_process.uptime);
  update rate_limiter.processes as p
  set seen_at = reported_at,
    application_count = report_process.application_count,
    database_calls = report_process.database_calls,
    outages = report_process.outages,
    uncharged_operations = report_process.uncharged_operations
  where p.login = session_user
    and p.process_id = report_process.process_id;
  if found then
    return;
  end if;

  perform rate_limiter_internal.make_room_for_process(reported_at);
  insert into rate_limiter.processes (
    login, process_id, kind, name, host, version, started_at, seen_at,
    application_count, database_calls, outages, uncharged_operations
  )
  values (
    session_user, report_process.process_id, report_process.kind,
    left(report_process.name, 255), left(report_process.host, 255),
    left(report_process.version, 50), reported_at - report_process.uptime, reported_at,
    report_process.application_count, report_process.database_calls,
    report_process.outages, report_process.uncharged_operations
  )
  on conflict on constraint processes_pkey do nothing;
end;
$$;

comment on function rate_limiter.report_process(
  uuid, text, text, text, text, interval, integer, bigint, bigint, bigint
) is
  'A gateway, client, worker or API says that it is there, and how much it has done since its '
  'start. Call it every half a minute: after 90 seconds of silence a process counts as gone. A '
  'login has a thousand processes at most; those that are silent make room. Raises QS422 for a '
  'report that means nothing, QS429 for one process too many.';
grant execute on function rate_limiter.report_process(
  uuid, text, text, text, text, interval, integer, bigint, bigint, bigint
) to rate_limiter_app, rate_limiter_worker;
--! EndIncluded rate_limiter/processes/report_process.sql
--! Included rate_limiter/processes/end_process.sql
create or replace function rate_limiter.end_process(process_id uuid)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_read_committed();
  delete from rate_limiter.processes as p
  where p.login = session_user
    and p.process_id = end_process.process_id;
end;
$$;

comment on function rate_limiter.end_process(uuid) is
  'A process that has reported itself ends: it is no longer among those that are there.';
grant execute on function rate_limiter.end_process(uuid)
  to rate_limiter_app, rate_limiter_worker;
--! EndIncluded rate_limiter/processes/end_process.sql
--! Included rate_limiter_private/processes/report_api.sql
create or replace function rate_limiter_private.report_api(
  process_id uuid,
  name text,
  host text,
  version text,
  uptime interval
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter.report_process(
    report_api.process_id, 'api', report_api.name, report_api.host, report_api.version,
    report_api.uptime
  );
end;
$$;

comment on function rate_limiter_private.report_api(uuid, text, text, text, interval) is
  'What report_process() is for others, for the API, whose login sees nothing of the data plane.';
grant execute on function rate_limiter_private.report_api(uuid, text, text, text, interval)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/processes/report_api.sql
--! Included rate_limiter_private/processes/end_api.sql
create or replace function rate_limiter_private.end_api(process_id uuid)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter.end_process(end_api.process_id);
end;
$$;

comment on function rate_limiter_private.end_api(uuid) is
  'What end_process() is for others, for the API.';
grant execute on function rate_limiter_private.end_api(uuid) to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/processes/end_api.sql
--! Included rate_limiter/processes/processes_is_silent.sql
create or replace function rate_limiter.processes_is_silent(process rate_limiter.processes)
returns boolean
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select process.seen_at < statement_timestamp() - interval '90 seconds';
$$;

comment on function rate_limiter.processes_is_silent(rate_limiter.processes) is
  'Whether it has missed three reports: it is gone without a word, or does not reach the database.';
grant execute on function rate_limiter.processes_is_silent(rate_limiter.processes)
  to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/processes/processes_is_silent.sql
--! Included rate_limiter/processes/processes.policies.sql
-- Processes serve many tenants: only system administrators see them.
alter table rate_limiter.processes enable row level security;

drop policy if exists readable on rate_limiter.processes;
create policy readable on rate_limiter.processes
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('system', 'monitor'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists monitored on rate_limiter.processes;
create policy monitored on rate_limiter.processes
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/processes/processes.policies.sql
--! Included rate_limiter/processes/processes.grants.sql
revoke all on rate_limiter.processes
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.processes to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/processes/processes.grants.sql

-- TimescaleDB
--! Included rate_limiter_internal/timescale/sees_every_sample.sql
create or replace function rate_limiter_internal.sees_every_sample()
returns boolean
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select case
    when pg_has_role('rate_limiter_owner', 'usage')
      or pg_has_role('rate_limiter_readonly', 'usage')
    then true
    else rate_limiter_internal.may('metrics', 'read') and rate_limiter_internal.is_system_admin()
  end;
$$;

comment on function rate_limiter_internal.sees_every_sample() is
  'Whether the policies of metrics would show every row to the role and user that ask.';
grant execute on function rate_limiter_internal.sees_every_sample()
  to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_internal/timescale/sees_every_sample.sql
--! Included rate_limiter_internal/timescale/seen_app_ids.sql
create or replace function rate_limiter_internal.seen_app_ids()
returns setof uuid
language sql
stable
parallel safe
-- As the role that asks, by the policies of applications: with a setting it is not inlined into
-- a view, where the owner of the view would ask.
set search_path = pg_catalog, pg_temp
as $$
  select a.app_id
  from rate_limiter.applications as a
  where rate_limiter_internal.may('metrics', 'read')
    and a.tenant_id = rate_limiter_internal.current_tenant_id();
$$;

comment on function rate_limiter_internal.seen_app_ids() is
  'The applications whose samples the policies of metrics would show to the user that asks.';
grant execute on function rate_limiter_internal.seen_app_ids()
  to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_internal/timescale/seen_app_ids.sql
--! Included rate_limiter_internal/timescale/timescale_function.sql
create or replace function rate_limiter_internal.timescale_function(name name)
returns text
language plpgsql
stable
parallel safe
as $$
declare
  extension_schema name;
begin
  select n.nspname
  into extension_schema
  from pg_extension as e
  join pg_namespace as n on n.oid = e.extnamespace
  where e.extname = 'timescaledb';

  if not found then
    raise exception using
      errcode = 'QS409',
      message = 'timescaledb is not installed in this database',
      hint = 'As a superuser: create extension timescaledb; see docs/scale.md.';
  end if;
  return format('%I.%I', extension_schema, timescale_function.name);
end;
$$;

comment on function rate_limiter_internal.timescale_function(name) is
  'A function of the extension, with the schema that it is in. Raises QS409 without the extension.';
--! EndIncluded rate_limiter_internal/timescale/timescale_function.sql
--! Included rate_limiter_internal/timescale/series_state.sql
create or replace function rate_limiter_internal.series_state(table_name name)
returns text
language plpgsql
stable
parallel safe
as $$
declare
  state text;
begin
  if table_name not in ('metrics', 'iops_metrics', 'bandwidth_metrics') then
    raise exception using
      errcode = 'QS422',
      message = 'table cannot become a hypertable',
      detail = format('table: %s', table_name),
      hint = 'metrics, iops_metrics and bandwidth_metrics can.';
  end if;

  if to_regclass(format('rate_limiter_partitions.%I', table_name)) is null then
    return 'native';
  end if;
  -- The trigger of the view says where its rows go.
  select t.tgname
  into state
  from pg_trigger as t
  where t.tgrelid = format('rate_limiter_internal.%I', table_name)::regclass
    and not t.tgisinternal;
  return coalesce(state, 'adopted');
end;
$$;

comment on function rate_limiter_internal.series_state(name) is
  'Where a table of samples is: native, adopting (its rows move to a hypertable), adopted, or '
  'leaving (they move back).';
--! EndIncluded rate_limiter_internal/timescale/series_state.sql
--! Included rate_limiter_internal/timescale/moving_to.sql
create or replace function rate_limiter_internal.moving_to(table_name name)
returns regclass
language plpgsql
stable
parallel safe
as $$
declare
  state constant text := rate_limiter_internal.series_state(table_name);
begin
  if state not in ('adopting', 'leaving') then
    raise exception using
      errcode = 'QS409',
      message = 'table is not being moved',
      detail = format('table: %s, state: %s', table_name, state),
      hint = 'storage-qos timescale adopt and leave begin a move.';
  end if;
  return format(
    'rate_limiter_partitions.%I',
    table_name || case state when 'leaving' then '_native' else '' end
  );
end;
$$;

comment on function rate_limiter_internal.moving_to(name) is
  'Where the rows of a table of samples are moving to. Raises QS409 where they are not moving.';
--! EndIncluded rate_limiter_internal/timescale/moving_to.sql
--! Included rate_limiter_internal/timescale/next_part.sql
create or replace function rate_limiter_internal.next_part(
  table_name name,
  out relation regclass,
  out parent regclass,
  out name text,
  out is_default boolean
)
returns record
language plpgsql
stable
parallel safe
as $$
declare
  target constant regclass := rate_limiter_internal.moving_to(table_name);
  has_rows boolean;
begin
  for relation, parent, name, is_default in
    select p.partition_oid, p.parent_oid, p.partition_name, p.is_default
    from rate_limiter_internal.partitions() as p
    where p.table_name = next_part.table_name and p.parent_oid <> target
    order by p.starts_at nulls last
  loop
    if not is_default then
      return;
    end if;
    execute format('select exists (select from %s)', relation) into has_rows;
    if has_rows then
      return;
    end if;
  end loop;
  relation := null;
end;
$$;

comment on function rate_limiter_internal.next_part(name) is
  'The oldest partition or chunk of a table of samples that is to move, the default partition '
  'last; null where nothing is left.';
--! EndIncluded rate_limiter_internal/timescale/next_part.sql
--! Included rate_limiter_internal/timescale/lock_part_soon.sql
create or replace function rate_limiter_internal.lock_part_soon(part regclass, parent regclass)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  -- Readers queue behind a lock that is waited for, so it is waited for a moment at a time; the
  -- rows that have been copied are worth several attempts.
  for attempt in 1 .. 40 loop
    begin
      perform set_config('lock_timeout', '30ms', true);
      execute format('lock table %s in access exclusive mode', part);
      execute format('lock table only %s in access exclusive mode', parent);
      perform set_config('lock_timeout', '100ms', true);
      return;
    exception
      when lock_not_available or deadlock_detected then
        perform pg_sleep(0.1);
    end;
  end loop;
  -- The last attempt tells what was in the way.
  execute format('lock table %s in access exclusive mode', part);
  execute format('lock table only %s in access exclusive mode', parent);
end;
$$;

comment on function rate_limiter_internal.lock_part_soon(regclass, regclass) is
  'Locks a partition or chunk and its table to drop it. Raises lock_not_available (55P03) where '
  'readers leave no gap for seconds.';
--! EndIncluded rate_limiter_internal/timescale/lock_part_soon.sql
--! Included rate_limiter_internal/timescale/write_moving_sample.sql
create or replace function rate_limiter_internal.write_moving_sample()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  target constant regclass := tg_argv[0];
  source constant regclass := tg_argv[1];
  columns constant text := rate_limiter_internal.copied_columns(target);
  has_key constant text :=
    't.shard_key = $1 and t.app_id = $2 and t."timestamp" = $3 and t.metric_id = $4';
  known boolean;
  changed bigint := 0;
begin
  if tg_op = 'INSERT' then
    -- What has not moved yet is there already. What moves meanwhile is seen in one of the two.
    execute format('select exists (select from %s as t where %s)', source, has_key)
    into known
    using new.shard_key, new.app_id, new."timestamp", new.metric_id;
    if known then
      return null;
    end if;
    execute format(
      'insert into %s (%s) select %s from (select ($1).*) as r on conflict do nothing',
      target, columns, columns
    )
    using new;
    get diagnostics changed = row_count;
    return case when changed > 0 then new end;
  end if;

  -- A row that waits for its move to commit is in the target afterwards.
  for attempt in 1 .. 3 loop
    execute format(
      case tg_op
        when 'DELETE' then format('delete from %%s as t where %s', has_key)
        else format(
          'update %%s as t set (%s) = (select %s from (select ($5).*) as r) where %s',
          columns, columns, has_key
        )
      end,
      case attempt when 2 then source else target end
    )
    using old.shard_key, old.app_id, old."timestamp", old.metric_id, new;
    get diagnostics changed = row_count;
    exit when changed > 0;
  end loop;
  return case when changed = 0 then null when tg_op = 'DELETE' then old else new end;
end;
$$;

comment on function rate_limiter_internal.write_moving_sample() is
  'Writes to a table of samples whose rows are moving from one table to another: new ones go to '
  'where they move to, what is changed is changed where it is.';
--! EndIncluded rate_limiter_internal/timescale/write_moving_sample.sql
--! Included rate_limiter_internal/timescale/define_series.sql
create or replace function rate_limiter_internal.define_series(
  table_name name,
  relations regclass[],
  state text
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  series constant text := format('rate_limiter_internal.%I', table_name);
  columns constant text := (
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
    from pg_attribute as a
    where a.attrelid = series::regclass and a.attnum > 0
  );
  defaults record;
begin
  execute format('drop trigger if exists adopting on %s', series);
  execute format('drop trigger if exists leaving on %s', series);
  execute format(
    'create or replace view %s as %s',
    series,
    (
      select string_agg(format('select %s from %s', columns, r), ' union all ')
      from unnest(relations) as r
    )
  );

  for defaults in
    select a.attname as name, pg_get_expr(d.adbin, d.adrelid) as expression
    from pg_attrdef as d
    join pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
    where d.adrelid = relations[1] and a.attgenerated = ''
  loop
    execute case
      when cardinality(relations) > 1 then format(
        'alter view %s alter column %I set default %s', series, defaults.name, defaults.expression
      )
      -- The table has it.
      else format('alter view %s alter column %I drop default', series, defaults.name)
    end;
  end loop;

  if cardinality(relations) > 1 then
    execute format(
      'create trigger %I instead of insert or update or delete on %s
      for each row execute function rate_limiter_internal.write_moving_sample(%L, %L)',
      state, series, relations[1], relations[2]
    );
  end if;
end;
$$;

comment on function rate_limiter_internal.define_series(name, regclass[], text) is
  'Has the view that functions read samples through read one table, or two while rows move from '
  'the second to the first; what is written goes to the first then.';
--! EndIncluded rate_limiter_internal/timescale/define_series.sql
--! Included rate_limiter_internal/timescale/views_on.sql
create or replace function rate_limiter_internal.views_on(relation regclass)
returns setof text
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select format(
    'create or replace view %s %s as %s',
    v.oid::regclass,
    'with (' || array_to_string(v.reloptions, ', ') || ')',
    pg_get_viewdef(v.oid)
  )
  from pg_class as v
  where v.relkind = 'v'
    and v.relnamespace <> 'rate_limiter_internal'::regnamespace
    and exists (
      select
      from pg_depend as d
      join pg_rewrite as r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
      where r.ev_class = v.oid
        and d.refclassid = 'pg_class'::regclass
        and d.refobjid = views_on.relation
        and d.refobjid <> v.oid
    );
$$;

comment on function rate_limiter_internal.views_on(regclass) is
  'The statements that define the views that read a table or view again, by its name.';
--! EndIncluded rate_limiter_internal/timescale/views_on.sql
--! Included rate_limiter_internal/timescale/show_series.sql
create or replace function rate_limiter_internal.show_series(table_name name, native regclass)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  shown constant text := format('rate_limiter.%I', table_name);
  described record;
begin
  -- A view and no policies: who may read a hypertable with row security may read its chunks, which
  -- have none.
  execute format(
    'create view %s with (security_barrier) as
    select %s from rate_limiter_internal.%I as m
    where (select rate_limiter_internal.sees_every_sample())
      or m.app_id in (select rate_limiter_internal.seen_app_ids())',
    shown,
    (
      select string_agg(format('m.%I', a.attname), ', ' order by a.attnum)
      from pg_attribute as a
      where a.attrelid = native and a.attnum > 0 and not a.attisdropped
    ),
    table_name
  );
  execute format(
    'revoke all on %s
    from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly',
    shown
  );
  execute format('grant select on %s to rate_limiter_visitor, rate_limiter_readonly', shown);

  -- PostGraphile reads of comments what it reads of keys, constraints and indexes of a table.
  execute format(
    'comment on view %s is %L', shown,
    E'@primaryKey shard_key,app_id,timestamp,metric_id|@behavior -single\n'
      || obj_description(native)
  );
  for described in
    select
      a.attname as name,
      concat_ws(
        E'\n',
        case when a.attnotnull then '@notNull' end,
        col_description(native, a.attnum)
      ) as comment
    from pg_attribute as a
    where a.attrelid = native and a.attnum > 0 and not a.attisdropped
  loop
    execute format(
      'comment on column %s.%I is %L', shown, described.name, described.comment
    );
  end loop;
end;
$$;

comment on function rate_limiter_internal.show_series(name, regclass) is
  'Makes the view that has the name of a table of samples while they are in a hypertable: it shows '
  'to each role and user what the policies of the table would.';
--! EndIncluded rate_limiter_internal/timescale/show_series.sql
--! Included rate_limiter_internal/timescale/make_hypertable.sql
create or replace function rate_limiter_internal.make_hypertable(table_name name, native regclass)
returns regclass
language plpgsql
volatile
parallel unsafe
as $$
declare
  hypertable constant text := format('rate_limiter_partitions.%I', table_name);
begin
  execute format('create table %s (like %s including all)', hypertable, native);
  -- Chunks lie in a schema that the owner alone reaches.
  execute format(
    'select %s(
      $1::regclass, ''timestamp'', associated_schema_name => ''rate_limiter_partitions'',
      chunk_time_interval => interval ''1 day'', create_default_indexes => false
    )',
    rate_limiter_internal.timescale_function('create_hypertable')
  )
  using hypertable;
  -- Series by series, as they are read. The shard key stays out of it: samples are looked for by
  -- application, under any key.
  execute format(
    'alter table %s set (
      timescaledb.compress,
      timescaledb.compress_segmentby = %L,
      timescaledb.compress_orderby = ''"timestamp" desc, metric_id, shard_key''
    )',
    hypertable, case table_name when 'metrics' then 'app_id, metric_name' else 'app_id' end
  );
  return hypertable;
end;
$$;

comment on function rate_limiter_internal.make_hypertable(name, regclass) is
  'Makes the empty hypertable, a day a chunk, that takes the rows of a table of samples.';
--! EndIncluded rate_limiter_internal/timescale/make_hypertable.sql
--! Included rate_limiter_internal/timescale/chunks.sql
create or replace function rate_limiter_internal.chunks(table_name name)
returns table (
  relation regclass,
  name name,
  ends_at timestamptz,
  is_compressed boolean,
  is_partial boolean,
  compressed_bytes bigint
)
language plpgsql
stable
parallel restricted
as $$
begin
  if to_regclass(format('rate_limiter_partitions.%I', table_name)) is null then
    return;
  end if;
  -- By the catalog of the extension, which is not there without it. Of a chunk's status, 1 says
  -- that it is compressed, 8 that rows came to it since.
  return query execute
    'select
      p.partition_oid::regclass, p.partition_name, p.ends_at,
      c.status & 1 = 1, c.status & 8 = 8,
      coalesce(pg_total_relation_size(zr.oid), 0)
    from rate_limiter_internal.partitions() as p
    join pg_class as r on r.oid = p.partition_oid
    join pg_namespace as n on n.oid = r.relnamespace
    join _timescaledb_catalog.chunk as c
      on c.schema_name = n.nspname and c.table_name = r.relname
    left join _timescaledb_catalog.chunk as z on z.id = c.compressed_chunk_id
    left join pg_namespace as zn on zn.nspname = z.schema_name
    left join pg_class as zr on zr.relnamespace = zn.oid and zr.relname = z.table_name
    where p.table_name = $1
    order by p.starts_at'
  using chunks.table_name;
end;
$$;

comment on function rate_limiter_internal.chunks(name) is
  'The chunks of a table of samples that is a hypertable, the oldest first; none where it is not.';
--! EndIncluded rate_limiter_internal/timescale/chunks.sql
--! Included rate_limiter_internal/timescale/hypertable_parts.sql
create or replace function rate_limiter_internal.hypertable_parts(table_name name)
returns table (relation oid, is_chunk boolean)
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if rate_limiter_internal.series_state(table_name) = 'native' then
    return;
  end if;
  return query
  select s.relation, false
  from rate_limiter_internal.stores('rate_limiter', table_name) as s
  union all
  select p.partition_oid, true
  from rate_limiter_internal.partitions() as p
  where p.table_name = hypertable_parts.table_name;
  -- What is compressed lies in companions of the chunks, by the catalog of the extension.
  return query execute
    'select companion.oid, false
    from rate_limiter_internal.partitions() as p
    join pg_class as r on r.oid = p.partition_oid
    join pg_namespace as n on n.oid = r.relnamespace
    join _timescaledb_catalog.chunk as c
      on c.schema_name = n.nspname and c.table_name = r.relname
    join _timescaledb_catalog.chunk as z on z.id = c.compressed_chunk_id
    join pg_namespace as zn on zn.nspname = z.schema_name
    join pg_class as companion
      on companion.relnamespace = zn.oid and companion.relname = z.table_name
    where p.table_name = $1'
  using hypertable_parts.table_name;
end;
$$;

comment on function rate_limiter_internal.hypertable_parts(name) is
  'What a table of samples consists of while storage-qos timescale has it: tables, partitions and '
  'chunks, and the companions of those that are compressed; nothing where it is native.';
grant execute on function rate_limiter_internal.hypertable_parts(name) to rate_limiter_readonly;
--! EndIncluded rate_limiter_internal/timescale/hypertable_parts.sql
--! Included rate_limiter_private/timescale/begin_adopting.sql
create or replace function rate_limiter_private.begin_adopting(table_name name)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
-- Who records or reads samples queues behind a lock that is waited for: try again rather than wait.
set lock_timeout = '100ms'
as $$
declare
  state text;
  native regclass;
  hypertable regclass;
  dependents text[];
  dependent text;
begin
  perform rate_limiter_internal.lock_job('partitions');
  state := rate_limiter_internal.series_state(table_name);
  if state in ('adopting', 'adopted') then
    return false;
  end if;

  if state = 'leaving' then
    native := format('rate_limiter_partitions.%I', table_name || '_native')::regclass;
    hypertable := format('rate_limiter_partitions.%I', table_name)::regclass;
  else
    if exists (
      select
      from rate_limiter_private.partition_drains as d
      where d.table_name = begin_adopting.table_name
    ) then
      raise exception using
        errcode = 'QS409',
        message = 'default partition is being drained',
        detail = format('table: %s', table_name),
        hint = 'storage-qos jobs run drain_default_partitions, then try again.';
    end if;
    native := format('rate_limiter.%I', table_name)::regclass;
    dependents := array(select rate_limiter_internal.views_on(native));
    execute format('alter table %s set schema rate_limiter_partitions', native);
    execute format('alter table %s rename to %I', native, table_name || '_native');
    execute format('revoke select on %s from rate_limiter_visitor, rate_limiter_readonly', native);
    hypertable := rate_limiter_internal.make_hypertable(table_name, native);
    perform rate_limiter_internal.show_series(table_name, native);
    foreach dependent in array dependents loop
      execute dependent;
    end loop;
  end if;
  perform rate_limiter_internal.define_series(table_name, array[hypertable, native], 'adopting');
  return true;
end;
$$;

comment on function rate_limiter_private.begin_adopting(name) is
  'Has a table of samples written to a hypertable from now on, and read from both; answers false '
  'where it is so already. move_next_part() moves its rows, finish_moving() ends it. The owner''s '
  'alone. Raises QS409 without the extension, lock_not_available (55P03) rather than make others '
  'wait.';
--! EndIncluded rate_limiter_private/timescale/begin_adopting.sql
--! Included rate_limiter_private/timescale/begin_leaving.sql
create or replace function rate_limiter_private.begin_leaving(table_name name)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
-- Bounds are spelled in statements.
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  native constant regclass := to_regclass(
    format('rate_limiter_partitions.%I', table_name || '_native')
  );
  absent record;
begin
  perform rate_limiter_internal.lock_job('partitions');
  if rate_limiter_internal.series_state(table_name) in ('native', 'leaving') then
    return false;
  end if;

  for absent in
    select w.starts_at
    from (
      select p.starts_at
      from rate_limiter_internal.partitions() as p
      where p.table_name = begin_leaving.table_name and p.parent_oid <> native
      union
      select rate_limiter_internal.period_start(clock_timestamp(), t.period, later)
      from rate_limiter_private.partitioned_tables as t
      cross join lateral generate_series(-1, t.premake) as later
      where t.table_name = begin_leaving.table_name
    ) as w (starts_at)
    where not exists (
      select
      from rate_limiter_internal.partitions() as p
      where p.parent_oid = native and p.starts_at = w.starts_at
    )
    order by w.starts_at
  loop
    perform rate_limiter_private.make_partition('rate_limiter', table_name, absent.starts_at);
  end loop;
  perform rate_limiter_internal.define_series(
    table_name,
    array[native, format('rate_limiter_partitions.%I', table_name)::regclass],
    'leaving'
  );
  return true;
end;
$$;

comment on function rate_limiter_private.begin_leaving(name) is
  'Has a table of samples that is a hypertable written to native partitions from now on, and read '
  'from both; answers false where it is so already. The owner''s alone.';
--! EndIncluded rate_limiter_private/timescale/begin_leaving.sql
--! Included rate_limiter_private/timescale/move_next_part.sql
create or replace function rate_limiter_private.move_next_part(
  table_name name,
  out part text,
  out moved_rows bigint
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
  target constant regclass := rate_limiter_internal.moving_to(table_name);
  columns text;
  moving record;
begin
  perform rate_limiter_internal.lock_job('partitions');
  moving := rate_limiter_internal.next_part(table_name);
  if moving.relation is null then
    return;
  end if;

  -- It gets no new rows; what changes one waits until it has moved.
  execute format('lock table %s in share mode', moving.relation);
  columns := rate_limiter_internal.copied_columns(target);
  execute format(
    'insert into %s (%s) select %s from %s on conflict do nothing',
    target, columns, columns, moving.relation
  );
  get diagnostics moved_rows = row_count;
  perform rate_limiter_internal.lock_part_soon(moving.relation, moving.parent);
  execute format(
    case when moving.is_default then 'truncate only %s' else 'drop table %s' end, moving.relation
  );
  part := moving.name;
end;
$$;

comment on function rate_limiter_private.move_next_part(name) is
  'Moves the rows of the oldest day of a table of samples that waits for it; answers its name '
  'and how many rows, null where none is left. Call it in a transaction of its own: killed, it '
  'has done nothing. The owner''s alone.';
--! EndIncluded rate_limiter_private/timescale/move_next_part.sql
--! Included rate_limiter_private/timescale/finish_moving.sql
create or replace function rate_limiter_private.finish_moving(table_name name)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
  target constant regclass := rate_limiter_internal.moving_to(table_name);
  hypertable constant regclass := format('rate_limiter_partitions.%I', table_name);
  waiting constant record := rate_limiter_internal.next_part(table_name);
  dependents text[];
  dependent text;
begin
  perform rate_limiter_internal.lock_job('partitions');
  if waiting.relation is not null then
    raise exception using
      errcode = 'QS409',
      message = 'rows are left to move',
      detail = format('table: %s, next: %s', table_name, waiting.name),
      hint = 'Run the command again.';
  end if;

  perform rate_limiter_internal.define_series(table_name, array[target], 'moved');
  if target = hypertable then
    return;
  end if;
  dependents := array(
    select rate_limiter_internal.views_on(format('rate_limiter.%I', table_name)::regclass)
  );
  execute format('alter view rate_limiter.%I rename to %I', table_name, table_name || '_left');
  execute format('alter table %s rename to %I', target, table_name || '_back');
  execute format('drop table %s', hypertable);
  execute format('alter table %s rename to %I', target, table_name);
  execute format('alter table %s set schema rate_limiter', target);
  execute format('grant select on %s to rate_limiter_visitor, rate_limiter_readonly', target);
  foreach dependent in array dependents loop
    execute dependent;
  end loop;
  execute format('drop view rate_limiter.%I', table_name || '_left');
end;
$$;

comment on function rate_limiter_private.finish_moving(name) is
  'Ends the move of a table of samples when nothing is left to move: it is the hypertable alone '
  'then, or the table that it was before. The owner''s alone. Raises QS409 where rows are left.';
--! EndIncluded rate_limiter_private/timescale/finish_moving.sql
--! Included rate_limiter_private/timescale/timescale_status.sql
create or replace function rate_limiter_private.timescale_status()
returns table (
  table_name name,
  state text,
  partitions bigint,
  chunks bigint,
  compressed bigint,
  bytes bigint
)
language sql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    t.table_name,
    rate_limiter_internal.series_state(t.table_name),
    p.partitions,
    p.chunks,
    (select count(*) from rate_limiter_internal.chunks(t.table_name) as c where c.is_compressed),
    coalesce(
      (
        select sum(pg_total_relation_size(c.relation) + c.compressed_bytes)
        from rate_limiter_internal.chunks(t.table_name) as c
      ), 0
    )::bigint + p.bytes
  from rate_limiter_private.partitioned_tables as t
  cross join lateral (
    select
      count(*) filter (where not is_chunk and not p.is_default) as partitions,
      count(*) filter (where is_chunk) as chunks,
      coalesce(
        sum(pg_total_relation_size(p.partition_oid)) filter (where not is_chunk), 0
      )::bigint as bytes
    from rate_limiter_internal.partitions() as p
    cross join lateral (
      select p.parent_oid = to_regclass(format('rate_limiter_partitions.%I', t.table_name))
    ) as k (is_hypertable)
    cross join lateral (select k.is_hypertable is true) as is_a (is_chunk)
    where p.table_name = t.table_name
  ) as p
  where t.table_name in ('metrics', 'iops_metrics', 'bandwidth_metrics')
  order by t.table_name;
$$;

comment on function rate_limiter_private.timescale_status() is
  'Where each table of samples is: its partitions and chunks, how many of those are compressed, '
  'and the bytes of all.';
--! EndIncluded rate_limiter_private/timescale/timescale_status.sql
--! Included rate_limiter_private/timescale/compress_next_chunk.sql
create or replace function rate_limiter_private.compress_next_chunk(
  at timestamptz default clock_timestamp()
)
returns text
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
  next_chunk record;
begin
  -- Samples may be late: most of those come within a day.
  select c.relation, c.name
  into next_chunk
  from unnest(array['metrics', 'iops_metrics', 'bandwidth_metrics']::name[]) as t (table_name)
  cross join lateral rate_limiter_internal.chunks(t.table_name) as c
  where c.ends_at <= least(at, clock_timestamp()) - interval '24 hours'
    and (c.is_partial or not c.is_compressed)
    and rate_limiter_internal.series_state(t.table_name) <> 'leaving'
    and not exists (
      select
      from rate_limiter_internal.partitions() as p
      where c.name = p.partition_name || '_chunk'
    )
  order by c.ends_at, t.table_name
  limit 1;
  if not found then
    return null;
  end if;

  execute format('select %s($1)', rate_limiter_internal.timescale_function('compress_chunk'))
  using next_chunk.relation;
  return next_chunk.name;
end;
$$;

comment on function rate_limiter_private.compress_next_chunk(timestamptz) is
  'Job: compresses one chunk whose day ended a day ago or more and that is not compressed, or has '
  'got late samples since; answers its name, null where none is left. In a transaction of its own: '
  'call it until it answers null. Raises lock_not_available (55P03) rather than make others wait.';
grant execute on function rate_limiter_private.compress_next_chunk(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/timescale/compress_next_chunk.sql

-- Monitoring
--! Included rate_limiter_private/monitoring/metrics_snapshot.sql
create or replace function rate_limiter_private.metrics_snapshot()
returns table (name text, label text, value double precision)
language sql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
  with jobs as (
    select
      j.attempts >= j.max_attempts as is_given_up,
      j.locked_at is not null as is_running,
      j.run_at
    from graphile_worker.jobs as j
  ),
  last_minute as (
    -- The last minute that was recorded: the current one's start, a moment later.
    select m.metric_name, m.value
    from rate_limiter_private.job_progress as p
    join rate_limiter_internal.metrics as m on m."timestamp" = p.done_until
    where p.job = 'record_system_metrics'
      and p.done_until > statement_timestamp() - interval '5 minutes'
      and m."timestamp" > statement_timestamp() - interval '5 minutes'
      and starts_with(m.metric_name, 'qos_')
  ),
  leases as (
    select l.tokens, l.settled_at >= l.expires_at as has_lapsed
    from rate_limiter.token_leases as l
    where l.granted_at > statement_timestamp() - interval '1 hour'
      and l.settled_at is not null
      and l.tokens > 0
  ),
  last_check as (
    select c.gap_count, c.checked_at
    from rate_limiter_private.ledger_checks as c
    order by c.checked_at desc
    limit 1
  ),
  logins as (
    select r.oid, r.rolname
    from pg_roles as r
    where r.rolcanlogin
      and not r.rolsuper
      and exists (
        select
        from pg_roles as ours
        where ours.rolname in (
            'rate_limiter_app', 'rate_limiter_worker', 'rate_limiter_authenticator',
            'rate_limiter_readonly', 'rate_limiter_migrator'
          )
          and pg_has_role(r.oid, ours.oid, 'member')
      )
  )
  select
    'database_writable', null,
    (
      not pg_is_in_recovery()
      and current_setting('transaction_read_only') = 'off'
    )::integer
  union all
  select 'processes', k.kind, count(p.process_id)
  from (values ('gateway'), ('client'), ('worker'), ('api')) as k (kind)
  left join rate_limiter.processes as p
    on p.kind = k.kind
    and not rate_limiter.processes_is_silent(p)
  group by k.kind
  union all
  select 'jobs_ready', null, count(*) filter (
    where not j.is_given_up and not j.is_running and j.run_at <= statement_timestamp()
  )
  from jobs as j
  union all
  select 'jobs_running', null, count(*) filter (where j.is_running) from jobs as j
  union all
  select 'jobs_given_up', null, count(*) filter (where j.is_given_up) from jobs as j
  union all
  select 'oldest_job_seconds', null, coalesce(max(extract(epoch from
    statement_timestamp() - j.run_at
  )) filter (
    where not j.is_given_up and not j.is_running and j.run_at <= statement_timestamp()
  ), 0)
  from jobs as j
  union all
  select 'job_parts_failed', null, count(*)
  from rate_limiter_private.job_failures as f
  where f.last_failed_at > statement_timestamp() - interval '24 hours'
  union all
  select 'operations_admitted', null, coalesce(sum(m.value), 0)
  from last_minute as m
  where m.metric_name = 'qos_admitted_operations'
  union all
  select 'operations_denied', reason.name, coalesce(sum(m.value), 0)
  from unnest(array[
    'iops_l2', 'bandwidth_l2', 'iops_l1', 'bandwidth_l1', 'exceeds_capacity', 'no_quota'
  ]) as reason (name)
  left join last_minute as m on m.metric_name = 'qos_denied_operations_' || reason.name
  group by reason.name
  union all
  select 'lease_waste_ratio', null,
    coalesce(sum(l.tokens) filter (where l.has_lapsed) / nullif(sum(l.tokens), 0), 0)
  from leases as l
  union all
  select 'bucket_fill_lowest_ratio', kind.name, coalesce(min(m.value) / 100, 1)
  from unnest(array['iops', 'bandwidth']) as kind (name)
  left join last_minute as m on m.metric_name = 'qos_bucket_fill_' || kind.name
  group by kind.name
  union all
  select 'buckets_low', kind.name, count(*) filter (where m.value < 20)
  from unnest(array['iops', 'bandwidth']) as kind (name)
  left join last_minute as m on m.metric_name = 'qos_bucket_fill_' || kind.name
  group by kind.name
  union all
  select 'buckets_in_debt', kind.name, count(*) filter (where m.value < 0)
  from unnest(array['iops', 'bandwidth']) as kind (name)
  left join last_minute as m on m.metric_name = 'qos_bucket_fill_' || kind.name
  group by kind.name
  union all
  select 'uncharged_operations', reason.name, coalesce(sum(u.operations), 0)
  from unnest(array['settle', 'lease', 'owed']) as reason (name)
  left join rate_limiter.uncharged_counts as u
    on u.reason = reason.name and u.minute > statement_timestamp() - interval '10 minutes'
  group by reason.name
  union all
  select 'dead_notifications', null, count(*)
  from rate_limiter.alert_notifications as n
  where n.status = 'dead'
  union all
  select 'ledger_gaps', null, c.gap_count from last_check as c
  union all
  select 'ledger_check_age_seconds', null,
    extract(epoch from statement_timestamp() - c.checked_at)
  from last_check as c
  union all
  select 'clusters_by_health', status.name, count(c.cluster_id)
  from unnest(array['healthy', 'degraded', 'unhealthy', 'unknown']) as status (name)
  left join rate_limiter.clusters as c
    on c.health_status = status.name and c.health_check_url is not null
  group by status.name
  union all
  select 'cluster_health', c.name,
    case c.health_status when 'healthy' then 1 when 'degraded' then 0.5 else 0 end
  from rate_limiter.clusters as c
  where c.health_status <> 'unknown'
  union all
  select 'cluster_health_age_seconds', null,
    coalesce(max(extract(epoch from
      statement_timestamp() - coalesce(c.health_checked_at, c.updated_at)
    )), 0)
  from rate_limiter.clusters as c
  where c.health_check_url is not null
  union all
  -- What a login can give itself and docs/security.md does not give it.
  select 'login_settings', l.rolname, count(*) filter (
    where coalesce(known.context, 'user') = 'user'
      and given.setting <> 'default_transaction_isolation=read committed'
      and split_part(given.setting, '=', 1) not in (
        'idle_in_transaction_session_timeout', 'statement_timeout', 'lock_timeout'
      )
  )
  from logins as l
  left join pg_db_role_setting as s on s.setrole = l.oid
  left join unnest(s.setconfig) as given (setting) on true
  left join pg_settings as known on known.name = split_part(given.setting, '=', 1)
  group by l.rolname
  union all
  select 'notification_queue_ratio', null,
    case when pg_is_in_recovery() then 0 else pg_notification_queue_usage() end
  union all
  -- Whichever session keeps them from being pruned, and whatever this one may know of it.
  select 'bucket_rows', state.name,
    case state.name
      when 'dead' then pg_stat_get_dead_tuples('rate_limiter.token_buckets'::regclass)
        + pg_stat_get_dead_tuples('rate_limiter_internal.layer1_stripes'::regclass)
      else pg_stat_get_live_tuples('rate_limiter.token_buckets'::regclass)
        + pg_stat_get_live_tuples('rate_limiter_internal.layer1_stripes'::regclass)
    end
  from unnest(array['live', 'dead']) as state (name);
$$;

comment on function rate_limiter_private.metrics_snapshot() is
  'What the worker tells Prometheus of the database. Only reads: a standby answers it too.';
grant execute on function rate_limiter_private.metrics_snapshot() to rate_limiter_worker;
--! EndIncluded rate_limiter_private/monitoring/metrics_snapshot.sql
--! Included rate_limiter_internal/monitoring/slow_queries.sql
create or replace function rate_limiter_internal.slow_queries()
returns table (
  calls bigint,
  total_time_seconds double precision,
  avg_time_ms double precision,
  stddev_ms double precision,
  query text
)
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  extension_schema name;
begin
  select n.nspname
  into extension_schema
  from pg_extension as e
  join pg_namespace as n on n.oid = e.extnamespace
  where e.extname = 'pg_stat_statements';

  -- Its own setting is known only where the library is loaded.
  if extension_schema is null or current_setting('pg_stat_statements.max', true) is null then
    return;
  end if;

  return query execute format(
    'select s.calls, s.total_exec_time / 1000, s.mean_exec_time, s.stddev_exec_time, s.query
    from %I.pg_stat_statements as s
    join pg_database as d on d.oid = s.dbid
    where d.datname = current_database()
      and s.query not like ''%%pg_stat_statements%%''
    order by s.mean_exec_time desc
    limit 20',
    extension_schema
  );
end;
$$;

comment on function rate_limiter_internal.slow_queries() is
  'The twenty statements of this database with the longest mean time, where pg_stat_statements '
  'is loaded. Statements of other roles read "insufficient privilege" unless the owner is a '
  'member of pg_read_all_stats.';
grant execute on function rate_limiter_internal.slow_queries() to rate_limiter_readonly;
--! EndIncluded rate_limiter_internal/monitoring/slow_queries.sql
--! Included rate_limiter_internal/monitoring/oldest_row.sql
create or replace function rate_limiter_internal.oldest_row(schema_name name, table_name name)
returns timestamptz
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  part record;
  oldest timestamptz;
  candidate timestamptz;
begin
  -- The default partition, then from the oldest on until one holds a row: one day is read, not
  -- the whole table, whose time column no index orders by itself.
  for part in
    select p.partition_oid, p.is_default, p.time_column
    from rate_limiter_internal.partitions() as p
    where p.schema_name = oldest_row.schema_name
      and p.table_name = oldest_row.table_name
    order by p.is_default desc, p.starts_at
  loop
    execute format(
      'select min(%I) from %s', part.time_column, part.partition_oid::regclass
    )
    into candidate;
    oldest := least(oldest, candidate);
    exit when candidate is not null and not part.is_default;
  end loop;

  return oldest;
end;
$$;

comment on function rate_limiter_internal.oldest_row(name, name) is
  'The moment of the oldest row of a time-partitioned table; null where it is empty.';
grant execute on function rate_limiter_internal.oldest_row(name, name)
  to rate_limiter_readonly;
grant execute on function rate_limiter_internal.retention_period(text) to rate_limiter_readonly;
--! EndIncluded rate_limiter_internal/monitoring/oldest_row.sql
--! Included rate_limiter/monitoring/v_table_sizes.sql
create or replace view rate_limiter.v_table_sizes as
select
  part.schema_name,
  part.table_name,
  sum(pg_total_relation_size(part.relation))::bigint as total_bytes,
  sum(pg_relation_size(part.relation))::bigint as table_bytes,
  sum(pg_indexes_size(part.relation))::bigint as index_bytes,
  count(*) filter (where part.is_partition) as partition_count,
  sum(greatest(c.reltuples, 0)) filter (where part.has_rows)::bigint as estimated_rows
from (
  select
    n.nspname as schema_name, t.relname as table_name,
    tree.relation, tree.level > 0 as is_partition, tree.isleaf as has_rows
  from pg_class as t
  join pg_namespace as n on n.oid = t.relnamespace
  cross join lateral (
    select p.relid, p.isleaf, p.level
    from pg_partition_tree(t.oid) as p
    where t.relkind = 'p'
    union all
    select t.oid, true, 0
    where t.relkind <> 'p'
  ) as tree (relation, isleaf, level)
  where n.nspname like 'rate\_limiter%'
    and n.nspname <> 'rate_limiter_partitions'
    and t.relkind in ('r', 'p', 'm')
  union all
  -- Where storage-qos timescale has made a hypertable of it.
  select 'rate_limiter' as name, s.table_name, h.relation, h.is_chunk, h.is_chunk
  from unnest(array['metrics', 'iops_metrics', 'bandwidth_metrics']::name[]) as s (table_name)
  cross join lateral rate_limiter_internal.hypertable_parts(s.table_name) as h
) as part
join pg_class as c on c.oid = part.relation
group by part.schema_name, part.table_name;

comment on view rate_limiter.v_table_sizes is
  'Size of each table, its partitions and indexes included.';
comment on column rate_limiter.v_table_sizes.schema_name is 'Schema of the table.';
comment on column rate_limiter.v_table_sizes.table_name is 'The table.';
comment on column rate_limiter.v_table_sizes.total_bytes is 'All of it, in bytes.';
comment on column rate_limiter.v_table_sizes.table_bytes is 'Rows alone, in bytes.';
comment on column rate_limiter.v_table_sizes.index_bytes is 'Indexes alone, in bytes.';
comment on column rate_limiter.v_table_sizes.partition_count is 'Partitions.';
comment on column rate_limiter.v_table_sizes.estimated_rows is
  'Rows as of the last analyze.';

revoke all on rate_limiter.v_table_sizes from rate_limiter_readonly;
grant select on rate_limiter.v_table_sizes to rate_limiter_readonly;
--! EndIncluded rate_limiter/monitoring/v_table_sizes.sql
--! Included rate_limiter/monitoring/v_index_usage.sql
create or replace view rate_limiter.v_index_usage as
select
  coalesce(
    pn.nspname,
    case
      when coalesce(hypertable.relname, s.relname)
        in ('metrics', 'iops_metrics', 'bandwidth_metrics')
      then 'rate_limiter'
    end,
    s.schemaname
  ) as schema_name,
  coalesce(parent_table.relname, hypertable.relname, s.relname) as table_name,
  coalesce(
    parent_index.relname, regexp_replace(s.indexrelname, '^(_hyper_\d+_\d+_chunk|\d+)_', '')
  )::name as index_name,
  sum(s.idx_scan)::bigint as index_scans,
  sum(s.idx_tup_read)::bigint as tuples_read,
  sum(s.idx_tup_fetch)::bigint as tuples_fetched,
  sum(pg_relation_size(s.indexrelid))::bigint as index_bytes
from pg_stat_user_indexes as s
-- An index of a partition counts for the parent's.
left join pg_inherits as i on i.inhrelid = s.indexrelid
left join pg_class as parent_index on parent_index.oid = i.inhparent
left join pg_index as pi on pi.indexrelid = parent_index.oid
left join pg_class as parent_table on parent_table.oid = pi.indrelid
left join pg_namespace as pn on pn.oid = parent_table.relnamespace
-- An index of a chunk has no parent: its name ends with the name of the hypertable's.
left join pg_inherits as chunk on chunk.inhrelid = s.relid and parent_index.oid is null
left join pg_class as hypertable on hypertable.oid = chunk.inhparent and hypertable.relkind = 'r'
where s.schemaname like 'rate\_limiter%'
group by 1, 2, 3;

comment on view rate_limiter.v_index_usage is
  'How often each index is used, the partitions'' counted with their parent''s.';
comment on column rate_limiter.v_index_usage.schema_name is 'Schema of the table.';
comment on column rate_limiter.v_index_usage.table_name is 'The table.';
comment on column rate_limiter.v_index_usage.index_name is 'The index.';
comment on column rate_limiter.v_index_usage.index_scans is 'Scans of the index.';
comment on column rate_limiter.v_index_usage.tuples_read is 'Entries that scans returned.';
comment on column rate_limiter.v_index_usage.tuples_fetched is 'Rows fetched by them.';
comment on column rate_limiter.v_index_usage.index_bytes is 'Size of the index in bytes.';

revoke all on rate_limiter.v_index_usage from rate_limiter_readonly;
grant select on rate_limiter.v_index_usage to rate_limiter_readonly;
--! EndIncluded rate_limiter/monitoring/v_index_usage.sql
--! Included rate_limiter/monitoring/v_oldest_rows.sql
create or replace view rate_limiter.v_oldest_rows as
select
  t.schema_name,
  t.table_name,
  rate_limiter_internal.oldest_row(t.schema_name, t.table_name) as oldest_record,
  rate_limiter_internal.retention_period(t.data_type) as retain_for
from rate_limiter_private.partitioned_tables as t;

comment on view rate_limiter.v_oldest_rows is
  'The oldest row of each time-partitioned table, beside how long rows are to be kept.';
comment on column rate_limiter.v_oldest_rows.schema_name is 'Schema of the table.';
comment on column rate_limiter.v_oldest_rows.table_name is 'The table.';
comment on column rate_limiter.v_oldest_rows.oldest_record is
  'Moment of its oldest row; null where it is empty.';
comment on column rate_limiter.v_oldest_rows.retain_for is 'How long its rows are kept.';

revoke all on rate_limiter.v_oldest_rows from rate_limiter_readonly;
grant select on rate_limiter.v_oldest_rows to rate_limiter_readonly;
--! EndIncluded rate_limiter/monitoring/v_oldest_rows.sql
--! Included rate_limiter/monitoring/v_slow_queries.sql
create or replace view rate_limiter.v_slow_queries as
select s.calls, s.total_time_seconds, s.avg_time_ms, s.stddev_ms, s.query
from rate_limiter_internal.slow_queries() as s;

comment on view rate_limiter.v_slow_queries is
  'The twenty statements with the longest mean time; empty where pg_stat_statements is not '
  'loaded.';
comment on column rate_limiter.v_slow_queries.calls is 'How often it ran.';
comment on column rate_limiter.v_slow_queries.total_time_seconds is 'Seconds in all.';
comment on column rate_limiter.v_slow_queries.avg_time_ms is 'Mean, in milliseconds.';
comment on column rate_limiter.v_slow_queries.stddev_ms is
  'Standard deviation, in milliseconds.';
comment on column rate_limiter.v_slow_queries.query is
  'The statement, its constants left out.';

revoke all on rate_limiter.v_slow_queries from rate_limiter_readonly;
grant select on rate_limiter.v_slow_queries to rate_limiter_readonly;
--! EndIncluded rate_limiter/monitoring/v_slow_queries.sql

-- Demo
--! Included rate_limiter_private/demo/seed_demo.sql
create or replace function rate_limiter_private.seed_demo()
returns text
language plpgsql
volatile
parallel unsafe
as $$
declare
  tenant uuid;
  cluster uuid;
  photos uuid;
  backups uuid;
begin
  if exists (select from rate_limiter.tenants) then
    return null;
  end if;

  insert into rate_limiter.tenants (name, description)
  values ('demo', 'Made at the first start, to try things out')
  returning tenant_id into tenant;
  insert into rate_limiter.clusters (name, region) values ('demo-cluster', 'local')
  returning cluster_id into cluster;
  insert into rate_limiter.applications (tenant_id, cluster_id, name)
  values (tenant, cluster, 'photos') returning app_id into photos;
  insert into rate_limiter.applications (tenant_id, cluster_id, name)
  values (tenant, cluster, 'backups') returning app_id into backups;

  -- The operator's part: what the tenant may give its applications, and what one has by default.
  insert into rate_limiter.tenant_ceilings (
    tenant_id, cluster_id, iops_limit, iops_burst, iops_capacity,
    bandwidth_limit_bps, bandwidth_burst_bps, bandwidth_capacity
  )
  values (tenant, cluster, 400, 800, 4000, 150000000, 300000000, 1500000000);
  perform rate_limiter_internal.sync_needed_quotas(tenant);

  -- The cluster's quota and the default are the operator's too; the others divide the ceiling.
  perform rate_limiter_internal.publish_quota_at(
    null, q.app_id, q.cluster_id, 'enforce', null, null, q.iops, q.bandwidth, 'demo',
    q.default_cluster_id
  )
  from (values
    (null::uuid, cluster, null::uuid,
      '{"iops_limit": 1000, "iops_burst": 2000, "burst_duration_seconds": 10,
        "refill_rate": 1000}'::jsonb,
      '{"bandwidth_limit_bps": 200000000, "bandwidth_burst_bps": 400000000,
        "burst_duration_seconds": 10, "refill_rate_bps": 200000000}'::jsonb),
    (null, null, cluster,
      '{"iops_limit": 20, "iops_burst": 20, "burst_duration_seconds": 10, "refill_rate": 20}',
      '{"bandwidth_limit_bps": 5000000, "bandwidth_burst_bps": 5000000,
        "burst_duration_seconds": 10, "refill_rate_bps": 5000000}'),
    (photos, null, null,
      '{"iops_limit": 100, "iops_burst": 200, "burst_duration_seconds": 5,
        "refill_rate": 100}',
      '{"bandwidth_limit_bps": 20000000, "bandwidth_burst_bps": 40000000,
        "burst_duration_seconds": 5, "refill_rate_bps": 20000000}'),
    (backups, null, null,
      '{"iops_limit": 50, "iops_burst": 50, "burst_duration_seconds": 10,
        "refill_rate": 50, "calculation_method": "leaky_bucket"}',
      '{"bandwidth_limit_bps": 50000000, "bandwidth_burst_bps": 50000000,
        "burst_duration_seconds": 10, "refill_rate_bps": 50000000}')
  ) as q (app_id, cluster_id, default_cluster_id, iops, bandwidth);

  return (rate_limiter_private.issue_api_key(photos, 'demo', null)).api_key;
end;
$$;

comment on function rate_limiter_private.seed_demo() is
  'Makes a tenant with a ceiling on one cluster, and two applications whose quotas divide it, in '
  'an empty database; answers the API key of the application photos, which is shown only here, or '
  'null where there are tenants already.';
--! EndIncluded rate_limiter_private/demo/seed_demo.sql

-- Seed
--! Included rate_limiter_private/partitions/make_partitions.seed.sql
-- So that the first row already finds its partition; from then on the worker makes them ahead.
select rate_limiter_private.make_partitions();
--! EndIncluded rate_limiter_private/partitions/make_partitions.seed.sql
