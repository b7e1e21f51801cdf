--! Previous: sha1:5bdd1a08503b9a3a2b56dee6969cc7d219d27ba4
--! Hash: sha1:b9a922bdb85fbf1f6379b1976954405afda14e3a
--! Message: health and applications

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
      or string_data_right_truncation or not_null_violation
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
        or string_data_right_truncation or not_null_violation
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
