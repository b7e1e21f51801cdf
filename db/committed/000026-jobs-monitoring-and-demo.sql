--! Previous: sha1:ae10046d15911194ad13ba9f6956ca7c16082709
--! Hash: sha1:496f9dcc9681ac91363394ff97cac653e324c09e
--! Message: jobs, monitoring and demo

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
--! Included rate_limiter_internal/jobs/queue_cleanup.sql
create or replace function rate_limiter_internal.queue_cleanup(
  at timestamptz,
  due_at timestamptz
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  if due_at < queue_cleanup.at + interval '1 minute' then
    perform graphile_worker.add_job(
      'expire_leases', json_build_object('by', 'clock'), run_at => due_at,
      job_key => 'expire_leases', max_attempts => 5, priority => -1
    );
  end if;
end;
$$;

comment on function rate_limiter_internal.queue_cleanup(timestamptz, timestamptz) is
  'Queues a cleanup that is due within a minute; the clock asks again then for a later one. There '
  'is one such job at most.';
--! EndIncluded rate_limiter_internal/jobs/queue_cleanup.sql
--! Included rate_limiter_private/jobs/cleanup_is_due.sql
create or replace function rate_limiter_private.cleanup_is_due(
  at timestamptz default clock_timestamp()
)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  due_at timestamptz;
begin
  select p.done_until
    + make_interval(secs => rate_limiter_internal.setting_integer('token_cleanup_interval'))
  into due_at
  from rate_limiter_private.job_progress as p
  where p.job = 'expire_leases'
    -- A clock that stepped back waits for nothing.
    and p.done_until <= cleanup_is_due.at;

  if due_at > cleanup_is_due.at then
    perform rate_limiter_internal.queue_cleanup(cleanup_is_due.at, due_at);
    return false;
  end if;

  return true;
end;
$$;

comment on function rate_limiter_private.cleanup_is_due(timestamptz) is
  'Whether as much time as the setting token_cleanup_interval says has passed since the last '
  'cleanup. If it will have within a minute, a job for that moment is queued.';
grant execute on function rate_limiter_private.cleanup_is_due(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/jobs/cleanup_is_due.sql
--! Included rate_limiter_private/jobs/cleanup_is_done.sql
create or replace function rate_limiter_private.cleanup_is_done(
  at timestamptz default clock_timestamp()
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into rate_limiter_private.job_progress (job, done_until)
  values ('expire_leases', cleanup_is_done.at)
  on conflict (job) do update set done_until = excluded.done_until;

  perform rate_limiter_internal.queue_cleanup(
    cleanup_is_done.at,
    cleanup_is_done.at
      + make_interval(secs => rate_limiter_internal.setting_integer('token_cleanup_interval'))
  );
end;
$$;

comment on function rate_limiter_private.cleanup_is_done(timestamptz) is
  'Notes that a cleanup was carried out at a moment, and queues the next one if it is due within '
  'a minute.';
grant execute on function rate_limiter_private.cleanup_is_done(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/jobs/cleanup_is_done.sql
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
create or replace function rate_limiter_private.heartbeat_workers(worker_ids text[])
returns void
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into rate_limiter_private.job_workers (worker_id, seen_at)
  select distinct w.worker_id, clock_timestamp()
  from unnest(worker_ids) as w (worker_id)
  order by w.worker_id
  on conflict (worker_id) do update set seen_at = excluded.seen_at;
$$;

comment on function rate_limiter_private.heartbeat_workers(text[]) is
  'These workers are there now.';
grant execute on function rate_limiter_private.heartbeat_workers(text[]) to rate_limiter_worker;
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
    join rate_limiter.metrics as m on m."timestamp" = p.done_until
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
    select p.partition_name, p.is_default, a.attname as time_column
    from rate_limiter_internal.partitions() as p
    join pg_inherits as i on i.inhrelid = p.partition_oid
    join pg_partitioned_table as pt on pt.partrelid = i.inhparent
    join pg_attribute as a on a.attrelid = i.inhparent and a.attnum = pt.partattrs[0]
    where p.schema_name = oldest_row.schema_name
      and p.table_name = oldest_row.table_name
    order by p.is_default desc, p.starts_at
  loop
    execute format(
      'select min(%I) from rate_limiter_partitions.%I', part.time_column, part.partition_name
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
  n.nspname as schema_name,
  c.relname as table_name,
  sum(pg_total_relation_size(tree.relid))::bigint as total_bytes,
  sum(pg_relation_size(tree.relid))::bigint as table_bytes,
  sum(pg_indexes_size(tree.relid))::bigint as index_bytes,
  count(*) filter (where not tree.isleaf or tree.level > 0) - (c.relkind = 'p')::integer
    as partition_count,
  sum(greatest(part.reltuples, 0)) filter (where tree.isleaf)::bigint as estimated_rows
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
cross join lateral (
  select t.relid, t.isleaf, t.level
  from pg_partition_tree(c.oid) as t
  where c.relkind = 'p'
  union all
  select c.oid, true, 0
  where c.relkind <> 'p'
) as tree (relid, isleaf, level)
join pg_class as part on part.oid = tree.relid
where n.nspname like 'rate\_limiter%'
  and n.nspname <> 'rate_limiter_partitions'
  and c.relkind in ('r', 'p', 'm')
group by n.nspname, c.relname, c.relkind;

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
  coalesce(pn.nspname, s.schemaname) as schema_name,
  coalesce(parent_table.relname, s.relname) as table_name,
  coalesce(parent_index.relname, s.indexrelname) as index_name,
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
