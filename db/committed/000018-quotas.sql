--! Previous: sha1:e74e1206d3bce0fc1c60b8c8f436649edb3277f3
--! Hash: sha1:a37327c1b74c6853c731c6d7e09f41051bb83aef
--! Message: quotas

-- Quotas
--! Included rate_limiter_internal/quotas/quota_as_json.sql
create or replace function rate_limiter_internal.quota_as_json(config_id uuid)
returns jsonb
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
  select to_jsonb(qc) - 'created_at' - 'updated_at'
    || jsonb_build_object(
      'iops', (
        select to_jsonb(i) - 'quota_id' - 'config_id'
        from rate_limiter.iops_quotas as i
        where i.config_id = qc.config_id
      ),
      'bandwidth', (
        select to_jsonb(b) - 'quota_id' - 'config_id'
        from rate_limiter.bandwidth_quotas as b
        where b.config_id = qc.config_id
      )
    )
  from rate_limiter.quota_configs as qc
  where qc.config_id = quota_as_json.config_id;
$$;

comment on function rate_limiter_internal.quota_as_json(uuid) is
  'A quota with both of its parts as one JSON object, moments in UTC; null where there is none.';
--! EndIncluded rate_limiter_internal/quotas/quota_as_json.sql
--! Included rate_limiter_internal/quotas/record_quota_version.sql
create or replace function rate_limiter_internal.record_quota_version(
  config_id uuid,
  change_reason text default null
)
returns uuid
language plpgsql
volatile
parallel unsafe
as $$
declare
  before constant jsonb := (
    select v.new_config
    from rate_limiter_audit.quota_version_history as v
    where v.config_id = record_quota_version.config_id
    order by v.changed_at desc
    limit 1
  );
  after constant jsonb := rate_limiter_internal.quota_as_json(record_quota_version.config_id);
  version_id uuid;
begin
  if after is null or after is not distinct from before then
    return null;
  end if;

  insert into rate_limiter_audit.quota_version_history as v (
    config_id, app_id, cluster_id, default_cluster_id, old_config, new_config, change_reason,
    changed_by, changed_at
  )
  values (
    record_quota_version.config_id,
    (after ->> 'app_id')::uuid,
    (after ->> 'cluster_id')::uuid,
    (after ->> 'default_cluster_id')::uuid,
    before,
    after,
    coalesce(
      record_quota_version.change_reason,
      rate_limiter_internal.context_text('change_reason')
    ),
    rate_limiter_internal.context_text('user_id')::uuid,
    clock_timestamp()
  )
  returning v.version_id into version_id;

  return version_id;
end;
$$;

comment on function rate_limiter_internal.record_quota_version(uuid, text) is
  'Writes the quota as it is now as a new version, with the reason given or that of the request; '
  'answers null where nothing changed since the last version.';
--! EndIncluded rate_limiter_internal/quotas/record_quota_version.sql
--! Included rate_limiter_internal/quotas/record_quota_change.sql
create or replace function rate_limiter_internal.record_quota_change()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.record_quota_version(coalesce(new.config_id, old.config_id));
  return null;
end;
$$;

comment on function rate_limiter_internal.record_quota_change() is
  'Trigger, deferred: a quota spans three tables, and what a transaction makes of it is one '
  'version.';
--! EndIncluded rate_limiter_internal/quotas/record_quota_change.sql
--! Included rate_limiter_internal/quotas/lock_quota_owner.sql
create or replace function rate_limiter_internal.lock_quota_owner(
  app_id uuid,
  cluster_id uuid,
  default_cluster_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  hosting_id constant uuid := coalesce(cluster_id, default_cluster_id);
begin
  if hosting_id is null then
    perform from rate_limiter.applications as a where a.app_id = lock_quota_owner.app_id
    for no key update;
  -- Triggers ask again once buckets are locked: decisions would wait while all rows are visited.
  elsif current_setting('rate_limiter_locks.cluster', true) is distinct from hosting_id::text then
    perform rate_limiter_internal.lock_placement(is_changed => false);
    perform from rate_limiter.clusters as c where c.cluster_id = hosting_id
    for no key update;
    -- A change of a cluster's quotas is copied to its applications after buckets were locked.
    perform from rate_limiter.applications as a where a.cluster_id = hosting_id
    order by a.app_id
    for no key update;
    perform set_config('rate_limiter_locks.cluster', hosting_id::text, true);
  end if;

  if cluster_id is null then
    perform rate_limiter_internal.lock_ceilings(array(
      select distinct a.tenant_id
      from rate_limiter.applications as a
      where a.app_id = lock_quota_owner.app_id
        or a.cluster_id = lock_quota_owner.default_cluster_id
    ));
  end if;
end;
$$;

comment on function rate_limiter_internal.lock_quota_owner(uuid, uuid, uuid) is
  'Locks what a change of a quota needs ahead of quotas and buckets, in the lock order of chapter '
  'buckets: the application, or the cluster and its applications, then the ceilings of their '
  'tenants. One change at a time for an owner.';
--! EndIncluded rate_limiter_internal/quotas/lock_quota_owner.sql
--! Included rate_limiter_internal/quotas/require_version.sql
create or replace function rate_limiter_internal.require_version(
  app_id uuid,
  cluster_id uuid,
  default_cluster_id uuid,
  mode rate_limiter.quota_mode,
  expected_id uuid
)
returns void
language plpgsql
stable
parallel safe
as $$
declare
  found_id uuid;
begin
  select c.config_id into found_id
  from rate_limiter.quota_configs as c
  where c.app_id is not distinct from require_version.app_id
    and c.cluster_id is not distinct from require_version.cluster_id
    and c.default_cluster_id is not distinct from require_version.default_cluster_id
    and c.mode = require_version.mode
    and c.is_active
    and c.valid_from <= clock_timestamp()
    and (c.valid_to is null or c.valid_to > clock_timestamp());

  if found_id is distinct from expected_id then
    raise exception using
      errcode = 'QS409',
      message = 'another version is in force',
      detail = format('in force: %s', coalesce(found_id::text, 'none')),
      hint = 'Read it, and decide again.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_version(
  uuid, uuid, uuid, rate_limiter.quota_mode, uuid
) is
  'Refuses (QS409) a change of a quota of which another version is in force than its sender has '
  'read. The owner is locked.';
--! EndIncluded rate_limiter_internal/quotas/require_version.sql
--! Included rate_limiter_internal/quotas/require_few_scheduled_quotas.sql
create or replace function rate_limiter_internal.require_few_scheduled_quotas(
  owner_id uuid,
  mode rate_limiter.quota_mode
)
returns void
language plpgsql
stable
parallel safe
as $$
declare
  -- A decision after a long pause rolls its bucket through all of them.
  most constant integer := 100;
  scheduled bigint;
begin
  select count(*)
  into scheduled
  from rate_limiter.quota_configs as c
  where c.owner_id = require_few_scheduled_quotas.owner_id
    and c.mode = require_few_scheduled_quotas.mode
    and c.is_active
    and c.valid_from > clock_timestamp();
  if scheduled >= most then
    raise exception using
      errcode = 'QS422',
      message = 'too many scheduled quotas',
      detail = format('owner: %s, scheduled: %s', owner_id, scheduled),
      hint = format(
        'Up to %s quotas of one owner and mode wait for their time: cancel some, or schedule the '
        'later ones when the first are in force.', most
      );
  end if;
end;
$$;

comment on function rate_limiter_internal.require_few_scheduled_quotas(
  uuid, rate_limiter.quota_mode
) is
  'Raises QS422 where an owner has as many quotas in the future as it may have.';
--! EndIncluded rate_limiter_internal/quotas/require_few_scheduled_quotas.sql
--! Included rate_limiter_internal/quotas/add_quota.sql
create or replace function rate_limiter_internal.add_quota(
  app_id uuid,
  cluster_id uuid,
  mode rate_limiter.quota_mode,
  valid_from timestamptz,
  valid_to timestamptz,
  iops jsonb,
  bandwidth jsonb,
  change_reason text,
  default_cluster_id uuid default null,
  is_held boolean default false
)
returns uuid
language plpgsql
volatile
parallel unsafe
as $$
declare
  new_config_id uuid;
begin
  perform rate_limiter_internal.require_few_scheduled_quotas(
    coalesce(add_quota.app_id, add_quota.cluster_id, add_quota.default_cluster_id),
    add_quota.mode
  );
  insert into rate_limiter.quota_configs as c
    (app_id, cluster_id, default_cluster_id, mode, valid_from, valid_to, is_held)
  values (
    add_quota.app_id, add_quota.cluster_id, add_quota.default_cluster_id, add_quota.mode,
    add_quota.valid_from, add_quota.valid_to, add_quota.is_held
  )
  returning c.config_id into new_config_id;

  insert into rate_limiter.iops_quotas (
    config_id, iops_limit, iops_burst, burst_duration_seconds, refill_rate,
    calculation_method, min_reserve
  )
  select
    new_config_id, q.iops_limit, q.iops_burst, q.burst_duration_seconds, q.refill_rate,
    coalesce(q.calculation_method, 'token_bucket'), coalesce(q.min_reserve, 0)
  from jsonb_populate_record(null::rate_limiter.iops_quotas, add_quota.iops) as q
  where jsonb_typeof(add_quota.iops) = 'object';

  insert into rate_limiter.bandwidth_quotas (
    config_id, bandwidth_limit_bps, bandwidth_burst_bps, burst_duration_seconds,
    refill_rate_bps, allow_oversize
  )
  select
    new_config_id, q.bandwidth_limit_bps, q.bandwidth_burst_bps, q.burst_duration_seconds,
    q.refill_rate_bps, coalesce(q.allow_oversize, true)
  from jsonb_populate_record(null::rate_limiter.bandwidth_quotas, add_quota.bandwidth) as q
  where jsonb_typeof(add_quota.bandwidth) = 'object';

  perform rate_limiter_internal.record_quota_version(new_config_id, add_quota.change_reason);
  return new_config_id;
end;
$$;

comment on function rate_limiter_internal.add_quota(
  uuid, uuid, rate_limiter.quota_mode, timestamptz, timestamptz, jsonb, jsonb, text, uuid,
  boolean
) is
  'Writes a quota with both of its parts, as quota_as_json() shows them, and its first '
  'version. is_held: a tenant''s people may not touch it. Raises QS422 where too many are '
  'scheduled.';
--! EndIncluded rate_limiter_internal/quotas/add_quota.sql
--! Included rate_limiter_internal/quotas/publish_quota_at.sql
create or replace function rate_limiter_internal.publish_quota_at(
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  mode rate_limiter.quota_mode,
  valid_from timestamptz,
  valid_to timestamptz,
  iops jsonb,
  bandwidth jsonb,
  change_reason text,
  default_cluster_id uuid default null,
  remove_iops boolean default false,
  remove_bandwidth boolean default false
)
returns uuid
language plpgsql
volatile
parallel unsafe
as $$
declare
  owner constant uuid := coalesce(app_id, cluster_id, default_cluster_id);
  is_default constant boolean := publish_quota_at.default_cluster_id is not null;
  is_held constant boolean := publish_quota_at.app_id is not null
    and publish_quota_at.valid_to is not null
    and rate_limiter_internal.is_system_admin();
  new_iops constant jsonb := nullif(publish_quota_at.iops, 'null');
  new_bandwidth constant jsonb := nullif(publish_quota_at.bandwidth, 'null');
  kept_iops jsonb;
  kept_bandwidth jsonb;
  moment timestamptz;
  starts_at timestamptz;
  ends_at timestamptz := publish_quota_at.valid_to;
  kept_until timestamptz;
  next_starts_at timestamptz;
  current_quota rate_limiter.quota_configs;
  current_values jsonb;
  new_config_id uuid;
begin
  perform rate_limiter_internal.lock_quota_owner(
    publish_quota_at.app_id, publish_quota_at.cluster_id, publish_quota_at.default_cluster_id
  );
  moment := coalesce(publish_quota_at.at, clock_timestamp());
  starts_at := coalesce(publish_quota_at.valid_from, moment);

  if starts_at < moment or starts_at = 'infinity' or ends_at <= starts_at or ends_at = 'infinity'
  then
    raise exception using
      errcode = 'QS422',
      message = 'quota must start now or later and end after it starts',
      detail = format('valid from: %s, valid to: %s', starts_at, ends_at),
      hint = 'Leave valid_from out to start now, and valid_to out to go on for good.';
  end if;

  select min(c.valid_from)
  into next_starts_at
  from rate_limiter.quota_configs as c
  where c.owner_id = owner
    and (c.default_cluster_id is not null) = is_default
    and c.mode = publish_quota_at.mode
    and c.is_active
    and c.valid_from >= starts_at;

  if next_starts_at = starts_at or next_starts_at < ends_at then
    raise exception using
      errcode = 'QS409',
      message = 'another quota starts in this time',
      detail = format('it starts: %s', next_starts_at),
      hint = 'Cancel that one first, or end this one before it.';
  end if;
  ends_at := coalesce(ends_at, next_starts_at);

  select c.*
  into current_quota
  from rate_limiter.quota_configs as c
  where c.owner_id = owner
    and (c.default_cluster_id is not null) = is_default
    and c.mode = publish_quota_at.mode
    and c.is_active
    and c.valid_from < starts_at
    and (c.valid_to is null or c.valid_to > starts_at);

  if found then
    current_values := rate_limiter_internal.quota_as_json(current_quota.config_id);

    -- The part that nothing was said about stays as it is, for as long as it was to last.
    if new_iops is null and not remove_iops then
      kept_iops := nullif(current_values -> 'iops', 'null');
    end if;
    if new_bandwidth is null and not remove_bandwidth then
      kept_bandwidth := nullif(current_values -> 'bandwidth', 'null');
    end if;
    if coalesce(kept_iops, kept_bandwidth) is not null then
      kept_until := current_quota.valid_to;
    end if;
  end if;

  if coalesce(new_iops, new_bandwidth, kept_iops, kept_bandwidth) is null then
    raise exception using
      errcode = 'QS422',
      message = 'quota limits nothing',
      hint = 'Give limits of operations, of bandwidth, or both; cancel a quota to lift all of it.';
  end if;

  if current_quota.config_id is not null then
    update rate_limiter.quota_configs as c
    set valid_to = starts_at
    where c.config_id = current_quota.config_id;

    perform rate_limiter_internal.record_quota_version(
      current_quota.config_id, publish_quota_at.change_reason
    );
  end if;

  perform rate_limiter_internal.check_quota(
    publish_quota_at.app_id, publish_quota_at.cluster_id, starts_at, ends_at, new_iops,
    publish_quota_at.default_cluster_id
  );
  new_config_id := rate_limiter_internal.add_quota(
    publish_quota_at.app_id, publish_quota_at.cluster_id, publish_quota_at.mode,
    starts_at, least(ends_at, kept_until), coalesce(new_iops, kept_iops),
    coalesce(new_bandwidth, kept_bandwidth),
    publish_quota_at.change_reason, publish_quota_at.default_cluster_id,
    is_held or current_quota.is_held and coalesce(kept_iops, kept_bandwidth) is not null
  );

  if kept_until < coalesce(ends_at, 'infinity') and coalesce(new_iops, new_bandwidth) is not null
  then
    perform rate_limiter_internal.add_quota(
      publish_quota_at.app_id, publish_quota_at.cluster_id, publish_quota_at.mode,
      kept_until, ends_at, new_iops, new_bandwidth,
      publish_quota_at.change_reason, publish_quota_at.default_cluster_id, is_held
    );
  end if;

  -- What was in force goes on when a quota for a time is over.
  if ends_at is not null and current_quota.config_id is not null
    and (current_quota.valid_to is null or current_quota.valid_to > ends_at)
  then
    perform rate_limiter_internal.add_quota(
      publish_quota_at.app_id, publish_quota_at.cluster_id, publish_quota_at.mode,
      ends_at, current_quota.valid_to,
      current_values -> 'iops', current_values -> 'bandwidth', publish_quota_at.change_reason,
      publish_quota_at.default_cluster_id, current_quota.is_held
    );
  end if;

  perform rate_limiter_internal.require_quota_allowed(
    moment, publish_quota_at.app_id, publish_quota_at.cluster_id,
    publish_quota_at.default_cluster_id
  );
  return new_config_id;
end;
$$;

comment on function rate_limiter_internal.publish_quota_at(
  timestamptz, uuid, uuid, rate_limiter.quota_mode, timestamptz, timestamptz, jsonb, jsonb, text,
  uuid, boolean, boolean
) is
  'Puts a quota in force from valid_from (now where null) until valid_to, or until the next one '
  'that is scheduled. What was in force then ends there, and goes on afterwards. A part that is '
  'neither given nor removed stays as it is. at: null for the clock, read with the locks held. '
  'Raises QS403 beyond a ceiling, QS422 where reservations do not fit.';
--! EndIncluded rate_limiter_internal/quotas/publish_quota_at.sql
--! Included rate_limiter_admin/quotas/rollback_quota.sql
create or replace function rate_limiter_admin.rollback_quota(version_id uuid, reason text)
returns uuid
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  version rate_limiter_audit.quota_version_history;
  mode rate_limiter.quota_mode;
  locked_at timestamptz;
  fixed_quotas jsonb;
  new_config_id uuid;
begin
  perform rate_limiter_internal.require_permission('quota', 'update');
  perform rate_limiter_internal.require_reason(rollback_quota.reason);

  select v.*
  into version
  from rate_limiter_audit.quota_version_history as v
  left join rate_limiter.applications as a on a.app_id = v.app_id
  where v.version_id = rollback_quota.version_id
    and (
      rate_limiter_internal.is_system_admin()
      or a.tenant_id = rate_limiter_internal.current_tenant_id()
    );

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown quota version',
      detail = format('version: %s', rollback_quota.version_id),
      hint = 'Check the id: versions of other tenants are not to be seen.';
  end if;

  mode := version.new_config ->> 'mode';
  perform rate_limiter_internal.require_quota_mode(mode, version.default_cluster_id);

  perform rate_limiter_internal.lock_quota_owner(
    version.app_id, version.cluster_id, version.default_cluster_id
  );
  locked_at := clock_timestamp();
  fixed_quotas := rate_limiter_internal.fixed_quotas(locked_at, version.app_id);
  new_config_id := rate_limiter_internal.publish_quota_at(
    null,
    version.app_id,
    version.cluster_id,
    mode,
    null,
    null,
    version.new_config -> 'iops',
    version.new_config -> 'bandwidth',
    rollback_quota.reason,
    version.default_cluster_id,
    -- All of the old version comes back: what it did not limit is not limited.
    nullif(version.new_config -> 'iops', 'null') is null,
    nullif(version.new_config -> 'bandwidth', 'null') is null
  );
  perform rate_limiter_internal.require_fixed_quotas(locked_at, version.app_id, fixed_quotas);
  return new_config_id;
end;
$$;

comment on function rate_limiter_admin.rollback_quota(uuid, text) is
  E'@resultFieldName configId\n'
  'Brings the limits of an old version back, in force from now on as a new quota with a version '
  'of its own; answers that quota. What the old version did not limit is not limited by the new '
  'one either. A tenant''s people do this within their ceilings.';
grant execute on function rate_limiter_admin.rollback_quota(uuid, text)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/quotas/rollback_quota.sql
--! Included rate_limiter_internal/quotas/refuse_delete_of_quota.sql
create or replace function rate_limiter_internal.refuse_delete_of_quota()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from rate_limiter_audit.quota_version_history as v where v.config_id = old.config_id
  ) then
    raise exception using
      errcode = 'QS409',
      message = 'quota has history',
      detail = format('quota: %s', old.config_id),
      hint = 'Cancel it instead: a cancelled quota sets no limit.';
  end if;

  return old;
end;
$$;

comment on function rate_limiter_internal.refuse_delete_of_quota() is
  'Trigger: a quota with versions is cancelled, not deleted.';
--! EndIncluded rate_limiter_internal/quotas/refuse_delete_of_quota.sql
--! Included rate_limiter_internal/quotas/quota_snapshot_at.sql
create or replace function rate_limiter_internal.quota_snapshot_at(
  shard_key integer,
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  mode rate_limiter.quota_mode,
  cluster_id uuid default null
)
returns rate_limiter_internal.quota_snapshot
language plpgsql
stable
parallel safe
as $$
declare
  snapshot rate_limiter_internal.quota_snapshot;
  default_cluster_id uuid;
begin
  if bucket_type in ('iops_l2', 'bandwidth_l2') then
    select f.cluster_id into default_cluster_id
    from rate_limiter.app_facts as f
    where f.shard_key = quota_snapshot_at.shard_key
      and f.app_id = quota_snapshot_at.owner_id;
  end if;
  with owners as (
    select
      coalesce(quota_snapshot_at.cluster_id, quota_snapshot_at.owner_id) as owner_id,
      false as is_default
    union all
    select default_cluster_id, true
    where default_cluster_id is not null
  ),
  -- Quotas of one owner do not overlap: the first that has not ended is in force or comes next.
  configs as (
    select o.is_default, n.config_id, n.valid_from, n.valid_to
    from owners as o
    cross join lateral (
      select c.config_id, c.valid_from, c.valid_to
      from rate_limiter.quota_configs as c
      -- Compared as rows, which only the index by end can do: on old statistics the planner takes
      -- another one, and reads the whole history.
      where (c.owner_id, c.mode, coalesce(c.valid_to, 'infinity'))
          > (o.owner_id, quota_snapshot_at.mode, at)
        and (c.owner_id, c.mode) <= (o.owner_id, quota_snapshot_at.mode)
        and c.is_active
        and (c.default_cluster_id is not null) = o.is_default
        and case
          when rate_limiter_internal.is_bandwidth(bucket_type) then exists (
            select from rate_limiter.bandwidth_quotas as b where b.config_id = c.config_id
          )
          else exists (
            select from rate_limiter.iops_quotas as i where i.config_id = c.config_id
          )
        end
      order by c.owner_id, c.mode, coalesce(c.valid_to, 'infinity')
      limit 1
    ) as n
  ),
  terms as (
    select
      c.is_default,
      c.valid_from,
      c.valid_to,
      q.config_id,
      q.calculation_method,
      q.iops_limit::bigint as quota_limit,
      q.iops_burst::bigint as burst,
      q.burst_duration_seconds,
      q.refill_rate::bigint as refill_rate,
      q.min_reserve::bigint as min_reserve,
      false as allow_oversize
    from configs as c
    join rate_limiter.iops_quotas as q on q.config_id = c.config_id
    where bucket_type in ('iops_l2', 'iops_l1', 'iops_reserve')
    union all
    select
      c.is_default,
      c.valid_from,
      c.valid_to,
      q.config_id,
      'token_bucket',
      q.bandwidth_limit_bps,
      q.bandwidth_burst_bps,
      q.burst_duration_seconds,
      q.refill_rate_bps,
      0,
      q.allow_oversize
    from configs as c
    join rate_limiter.bandwidth_quotas as q on q.config_id = c.config_id
    where bucket_type in ('bandwidth_l2', 'bandwidth_l1', 'bandwidth_reserve')
  ),
  in_force as (
    select t.*
    from terms as t
    where t.valid_from <= at
    order by t.is_default
    limit 1
  ),
  next_change as (
    select min(case when t.valid_from > at then t.valid_from else t.valid_to end) as moment
    from terms as t
  )
  select
    f.config_id,
    f.calculation_method,
    rate_limiter_internal.quota_capacity(
      f.calculation_method, f.quota_limit, f.burst, f.burst_duration_seconds, f.refill_rate
    ),
    case when f.calculation_method = 'fixed_window' then f.quota_limit else f.refill_rate end,
    f.burst_duration_seconds,
    f.min_reserve,
    f.allow_oversize,
    coalesce(n.moment, 'infinity')
  into snapshot
  from next_change as n
  left join in_force as f on true;
  return snapshot;
end;
$$;

comment on function rate_limiter_internal.quota_snapshot_at(
  integer, timestamptz, uuid, rate_limiter.bucket_type, rate_limiter.quota_mode, uuid
) is
  'What quotas mean for one bucket at a moment: always one row, its capacity null where none is '
  'in force, and quota_valid_until the moment of the next change. The refill rate of a fixed '
  'window is its limit. cluster_id: of a reserve, which is in force while its cluster''s quota '
  'is.';
--! EndIncluded rate_limiter_internal/quotas/quota_snapshot_at.sql
--! Included rate_limiter_internal/quotas/invalidate_bucket_quota.sql
create or replace function rate_limiter_internal.invalidate_bucket_quota(
  owner_id uuid,
  mode rate_limiter.quota_mode,
  moment timestamptz
)
returns void
language sql
volatile
parallel unsafe
as $$
  with locked as materialized (
    select b.shard_key, b.owner_id, b.bucket_type, b.mode
    from rate_limiter.token_buckets as b
    where b.mode = invalidate_bucket_quota.mode
      and (
        b.shard_key = rate_limiter_internal.shard_key_of(invalidate_bucket_quota.owner_id)
        and b.owner_id = invalidate_bucket_quota.owner_id
        and b.reserve_cluster_id is null
        or b.reserve_cluster_id = invalidate_bucket_quota.owner_id
      )
    order by rate_limiter_internal.lock_rank(b.bucket_type), b.owner_id, b.bucket_type
    for update
  )
  update rate_limiter.token_buckets as b
  set quota_valid_until = least(b.quota_valid_until, moment)
  from locked as l
  where b.shard_key = l.shard_key
    and b.owner_id = l.owner_id
    and b.bucket_type = l.bucket_type
    and b.mode = l.mode;
$$;

comment on function rate_limiter_internal.invalidate_bucket_quota(
  uuid, rate_limiter.quota_mode, timestamptz
) is
  'Makes the buckets of an owner, and the reserves on a cluster, look up their quota again from a '
  'moment on; null changes nothing.';
--! EndIncluded rate_limiter_internal/quotas/invalidate_bucket_quota.sql
--! Included rate_limiter_internal/quotas/roll_buckets.sql
create or replace function rate_limiter_internal.roll_buckets(
  owner_id uuid,
  mode rate_limiter.quota_mode,
  moment timestamptz
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  before constant timestamptz :=
    least(moment, clock_timestamp()) - interval '1 microsecond';
  bucket rate_limiter.token_buckets;
begin
  -- A quota that starts far in the past is history that is written anew.
  if moment < clock_timestamp() - interval '1 minute' then
    return;
  end if;
  for bucket in
    select b.*
    from rate_limiter.token_buckets as b
    where b.mode = roll_buckets.mode
      and (
        b.shard_key = rate_limiter_internal.shard_key_of(roll_buckets.owner_id)
        and b.owner_id = roll_buckets.owner_id
        and b.reserve_cluster_id is null
        or b.reserve_cluster_id = roll_buckets.owner_id
      )
    order by rate_limiter_internal.lock_rank(b.bucket_type), b.owner_id, b.bucket_type
    for update
  loop
    if before >= bucket.quota_valid_until then
      perform rate_limiter_internal.locked_bucket_at(before, bucket);
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.roll_buckets(
  uuid, rate_limiter.quota_mode, timestamptz
) is
  'Rolls the buckets of an owner through the changes of quota before a new one: a decision never '
  'meets more changes than may be scheduled at once.';
--! EndIncluded rate_limiter_internal/quotas/roll_buckets.sql
--! Included rate_limiter_internal/quotas/invalidate_quota.sql
create or replace function rate_limiter_internal.invalidate_quota(
  config rate_limiter.quota_configs,
  moment timestamptz
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  if config.default_cluster_id is null then
    perform rate_limiter_internal.invalidate_bucket_quota(config.owner_id, config.mode, moment);
    return;
  end if;

  -- All of them at once, whether they change or not: what a later statement locks must not come
  -- before what this one has locked.
  perform
  from rate_limiter.token_buckets as b
  where (b.shard_key, b.owner_id) in (
      select a.shard_key, a.app_id
      from rate_limiter.applications as a
      where a.cluster_id = config.default_cluster_id
    )
    and b.mode = 'enforce'
    and rate_limiter_internal.lock_rank(b.bucket_type) = 1
  order by b.owner_id, b.bucket_type
  for update;

  update rate_limiter.token_buckets as b
  set quota_valid_until = moment
  from rate_limiter.applications as a
  where a.cluster_id = config.default_cluster_id
    and b.shard_key = a.shard_key
    and b.owner_id = a.app_id
    and b.mode = 'enforce'
    and rate_limiter_internal.lock_rank(b.bucket_type) = 1
    and b.quota_valid_until > moment;
end;
$$;

comment on function rate_limiter_internal.invalidate_quota(
  rate_limiter.quota_configs, timestamptz
) is
  'Makes the buckets that a quota concerns look up their quota again from a moment on: those of '
  'its owner, or of every application that has it by default. Null changes nothing.';
--! EndIncluded rate_limiter_internal/quotas/invalidate_quota.sql
--! Included rate_limiter_internal/quotas/sync_config_change.sql
create or replace function rate_limiter_internal.sync_config_change()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  changed constant rate_limiter.quota_configs := case when tg_op = 'DELETE' then old else new end;
begin
  perform rate_limiter_internal.commit_locally();
  -- Before the buckets, where a statement writes to the table itself.
  perform rate_limiter_internal.lock_quota_owner(
    changed.app_id, changed.cluster_id, changed.default_cluster_id
  );
  if tg_op = 'INSERT' then
    if new.default_cluster_id is null then
      perform rate_limiter_internal.roll_buckets(new.owner_id, new.mode, new.valid_from);
    end if;
    perform rate_limiter_internal.invalidate_quota(new, new.valid_from);
  elsif tg_op = 'DELETE' then
    perform rate_limiter_internal.invalidate_quota(old, clock_timestamp());
  else
    perform rate_limiter_internal.invalidate_quota(
      new,
      least(
        case when new.valid_from <> old.valid_from then least(new.valid_from, old.valid_from) end,
        case when new.valid_to is distinct from old.valid_to
          then least(new.valid_to, old.valid_to) end,
        case when new.is_active <> old.is_active then clock_timestamp() end
      )
    );
  end if;
  return null;
end;
$$;

comment on function rate_limiter_internal.sync_config_change() is
  'Trigger: makes the buckets notice a quota version that was added, changed or removed, from '
  'the moment on at which that counts.';
--! EndIncluded rate_limiter_internal/quotas/sync_config_change.sql
--! Included rate_limiter_internal/quotas/live_quotas.sql
create or replace function rate_limiter_internal.live_quotas(at timestamptz, owner_ids uuid[])
returns table (
  owner_id uuid,
  has_shadow boolean,
  has_iops boolean,
  has_bandwidth boolean,
  has_default_iops boolean,
  has_default_bandwidth boolean
)
language sql
stable
parallel safe
-- Planned once a session: a batch asks this for each of its entries.
set plan_cache_mode = 'force_generic_plan'
as $$
  select
    c.owner_id,
    bool_or(c.mode = 'shadow'),
    bool_or(c.mode = 'enforce' and c.default_cluster_id is null and i.config_id is not null),
    bool_or(c.mode = 'enforce' and c.default_cluster_id is null and b.config_id is not null),
    bool_or(c.default_cluster_id is not null and i.config_id is not null),
    bool_or(c.default_cluster_id is not null and b.config_id is not null)
  from rate_limiter.quota_configs as c
  left join rate_limiter.iops_quotas as i on i.config_id = c.config_id
  left join rate_limiter.bandwidth_quotas as b on b.config_id = c.config_id
  where c.owner_id = any (owner_ids)
    and c.is_active
    and (c.valid_to is null or c.valid_to > at)
  group by c.owner_id;
$$;

comment on function rate_limiter_internal.live_quotas(timestamptz, uuid[]) is
  'Which quotas of applications and clusters are in force at a moment or scheduled; no row for an '
  'owner that has none. The default of a cluster counts apart from its own quota.';
--! EndIncluded rate_limiter_internal/quotas/live_quotas.sql
--! Included rate_limiter_internal/quotas/add_default_buckets.sql
create or replace function rate_limiter_internal.add_default_buckets(
  cluster_id uuid,
  app_ids uuid[]
)
returns void
language sql
volatile
parallel unsafe
-- Planned once a session: a batch asks this for each of its entries.
set plan_cache_mode = 'force_generic_plan'
as $$
  insert into rate_limiter.token_buckets (shard_key, owner_id, bucket_type, mode)
  select app.shard_key, app.app_id, kind.bucket_type, 'enforce'
  from rate_limiter_internal.live_quotas('-infinity', array[cluster_id]) as q
  cross join lateral (
    values
      ('iops_l2'::rate_limiter.bucket_type, q.has_default_iops),
      ('bandwidth_l2', q.has_default_bandwidth)
  ) as kind (bucket_type, is_limited)
  join rate_limiter.applications as app on app.app_id = any (app_ids)
  where kind.is_limited
    and not exists (
      select
      from rate_limiter.token_buckets as b
      where b.shard_key = app.shard_key
        and b.owner_id = app.app_id
        and b.bucket_type = kind.bucket_type
        and b.mode = 'enforce'
    )
  order by app.app_id, kind.bucket_type;
$$;

comment on function rate_limiter_internal.add_default_buckets(uuid, uuid[]) is
  'Makes the buckets that applications of a cluster need for its default quotas, unless they are '
  'there.';
--! EndIncluded rate_limiter_internal/quotas/add_default_buckets.sql
--! Included rate_limiter_internal/quotas/quota_flags.sql
create or replace function rate_limiter_internal.quota_flags(at timestamptz, app_ids uuid[])
returns table (
  app_id uuid,
  has_shadow boolean,
  has_iops boolean,
  has_bandwidth boolean,
  has_cost_rule boolean,
  draws_iops boolean,
  draws_bandwidth boolean
)
language sql
stable
parallel safe
as $$
  with apps as materialized (
    select a.app_id, a.cluster_id
    from rate_limiter.applications as a
    where a.app_id = any (app_ids)
  ),
  live as materialized (
    select q.*
    from rate_limiter_internal.live_quotas(
      at, array(select x.app_id from apps as x union select x.cluster_id from apps as x)
    ) as q
  ),
  rules as materialized (
    select distinct r.app_id
    from rate_limiter.cost_rules as r
    where r.app_id = any (app_ids)
      and r.is_active
      and (r.valid_to is null or r.valid_to > at)
  )
  select
    x.app_id,
    coalesce(own.has_shadow, false) or coalesce(shared.has_shadow, false),
    coalesce(own.has_iops, false) or coalesce(shared.has_default_iops, false),
    coalesce(own.has_bandwidth, false) or coalesce(shared.has_default_bandwidth, false),
    r.app_id is not null,
    coalesce(shared.has_iops, false),
    coalesce(shared.has_bandwidth, false)
  from apps as x
  left join live as own on own.owner_id = x.app_id
  left join live as shared on shared.owner_id = x.cluster_id
  left join rules as r on r.app_id = x.app_id;
$$;

comment on function rate_limiter_internal.quota_flags(timestamptz, uuid[]) is
  'What decisions on applications have to look for, by the quotas and cost rules that are in force '
  'at a moment or scheduled.';
--! EndIncluded rate_limiter_internal/quotas/quota_flags.sql
--! Included rate_limiter_internal/quotas/sync_quota_flags.sql
create or replace function rate_limiter_internal.sync_quota_flags(
  at timestamptz,
  app_ids uuid[]
)
returns void
language plpgsql
volatile
parallel unsafe
set plan_cache_mode = 'auto'
as $$
begin
  -- A batch asks for one application after the other; a plan for one is a bad one for many.
  if cardinality(app_ids) = 1 then
    perform set_config('plan_cache_mode', 'force_generic_plan', true);
  end if;

  -- A statement of its own: what others changed is seen by the one after it.
  perform
  from rate_limiter.applications as a
  where a.app_id = any (app_ids)
  order by a.app_id
  for no key update;

  update rate_limiter.app_facts as f
  set
    has_shadow = q.has_shadow,
    has_iops = q.has_iops,
    has_bandwidth = q.has_bandwidth,
    has_cost_rule = q.has_cost_rule,
    draws_iops = q.draws_iops,
    draws_bandwidth = q.draws_bandwidth
  from rate_limiter_internal.quota_flags(at, app_ids) as q
  where f.app_id = q.app_id
    and (
      f.has_shadow, f.has_iops, f.has_bandwidth, f.has_cost_rule, f.draws_iops, f.draws_bandwidth
    ) <> (
      q.has_shadow, q.has_iops, q.has_bandwidth, q.has_cost_rule, q.draws_iops, q.draws_bandwidth
    );
end;
$$;

comment on function rate_limiter_internal.sync_quota_flags(timestamptz, uuid[]) is
  'Writes into the facts of applications what their decisions have to look for, and no more: what '
  'is over costs them nothing any longer. Locks the applications, whose rows guard their facts.';
--! EndIncluded rate_limiter_internal/quotas/sync_quota_flags.sql
--! Included rate_limiter_internal/quotas/sync_quota_change.sql
create or replace function rate_limiter_internal.sync_quota_change()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  config rate_limiter.quota_configs;
begin
  perform rate_limiter_internal.commit_locally();
  select c.* into config
  from rate_limiter.quota_configs as c
  where c.config_id = case when tg_op = 'DELETE' then old.config_id else new.config_id end;

  -- Not found: the quota goes with its version, whose own trigger says so.
  if found then
    if tg_op = 'INSERT' then
      perform rate_limiter_internal.add_bucket(config, tg_table_name = 'bandwidth_quotas');
    end if;
    perform rate_limiter_internal.invalidate_quota(
      config,
      case when tg_op = 'INSERT' then config.valid_from else clock_timestamp() end
    );
  end if;
  return null;
end;
$$;

comment on function rate_limiter_internal.sync_quota_change() is
  'Trigger: makes the bucket of a quota, and makes it notice when the quota changes.';
--! EndIncluded rate_limiter_internal/quotas/sync_quota_change.sql
--! Included rate_limiter_internal/quotas/has_quota.sql
create or replace function rate_limiter_internal.has_quota(
  buckets rate_limiter.token_buckets[],
  bucket_type rate_limiter.bucket_type
)
returns boolean
language sql
immutable
parallel safe
as $$
  select exists (
    select
    from unnest(buckets) as b
    where b.bucket_type = has_quota.bucket_type and b.mode = 'enforce'
  );
$$;

comment on function rate_limiter_internal.has_quota(
  rate_limiter.token_buckets[], rate_limiter.bucket_type
) is 'Whether buckets with a quota in force include an enforcing one of a type.';
--! EndIncluded rate_limiter_internal/quotas/has_quota.sql
--! Included rate_limiter_private/quotas/sync_quota_flags.sql
create or replace function rate_limiter_private.sync_quota_flags(
  at timestamptz default clock_timestamp()
)
returns bigint
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  app_ids constant uuid[] := array(select a.app_id from rate_limiter.applications as a);
  stale constant uuid[] := array(
    select q.app_id
    from rate_limiter_internal.quota_flags(at, app_ids) as q
    join rate_limiter.app_facts as f on f.app_id = q.app_id
    where (
        f.has_shadow, f.has_iops, f.has_bandwidth, f.has_cost_rule, f.draws_iops,
        f.draws_bandwidth
      ) <> (
        q.has_shadow, q.has_iops, q.has_bandwidth, q.has_cost_rule, q.draws_iops,
        q.draws_bandwidth
      )
  );
begin
  perform rate_limiter_internal.sync_quota_flags(at, stale);
  return cardinality(stale);
end;
$$;

comment on function rate_limiter_private.sync_quota_flags(timestamptz) is
  'Has decisions look no longer for quotas and cost rules that have expired by now; answers for '
  'how many applications. What is made, cancelled or removed is noted at once.';
grant execute on function rate_limiter_private.sync_quota_flags(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/quotas/sync_quota_flags.sql
--! Included rate_limiter_internal/quotas/require_quota.sql
create or replace function rate_limiter_internal.require_quota(config_id uuid)
returns rate_limiter.quota_configs
language plpgsql
stable
parallel safe
as $$
declare
  quota rate_limiter.quota_configs;
begin
  select c.*
  into quota
  from rate_limiter.quota_configs as c
  left join rate_limiter.applications as a on a.app_id = c.app_id
  where c.config_id = require_quota.config_id
    and (
      rate_limiter_internal.is_system_admin()
      or a.tenant_id = rate_limiter_internal.current_tenant_id()
    );

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown quota',
      detail = format('quota: %s', config_id),
      hint = 'Check the id: quotas of other tenants are not to be seen.';
  end if;

  return quota;
end;
$$;

comment on function rate_limiter_internal.require_quota(uuid) is
  'A quota of the signed-in user''s tenant, any for a system administrator; raises QS404 else.';
--! EndIncluded rate_limiter_internal/quotas/require_quota.sql
--! Included rate_limiter_internal/quotas/require_quota_owner.sql
create or replace function rate_limiter_internal.require_quota_owner(
  app_id uuid,
  cluster_id uuid,
  default_cluster_id uuid,
  action text
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if num_nonnulls(app_id, cluster_id, default_cluster_id) <> 1 then
    raise exception using
      errcode = 'QS422',
      message = 'quota is for one application or one cluster',
      hint = 'Name exactly one application, one cluster, or one cluster whose applications have '
        'it by default.';
  end if;

  if app_id is not null then
    perform rate_limiter_internal.require_application(app_id, 'quota', action);
    return;
  end if;

  perform rate_limiter_internal.require_system_admin('quota', action);
  -- An inactive cluster's limits stay in force, so they can be changed too.
  if not exists (
    select
    from rate_limiter.clusters as c
    where c.cluster_id in (require_quota_owner.cluster_id, require_quota_owner.default_cluster_id)
  ) then
    raise exception using
      errcode = 'QS404',
      message = 'unknown cluster',
      detail = format('cluster: %s', coalesce(cluster_id, default_cluster_id)),
      hint = 'Check the id.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_quota_owner(uuid, uuid, uuid, text) is
  'Refuses a user who may not do this to the quotas of this application or cluster (QS401, QS403, '
  'QS404); only a system administrator limits a cluster, or its applications by default.';
--! EndIncluded rate_limiter_internal/quotas/require_quota_owner.sql
--! Included rate_limiter_internal/quotas/cancel_quota_at.sql
create or replace function rate_limiter_internal.cancel_quota_at(
  at timestamptz,
  quota rate_limiter.quota_configs,
  reason text
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  moment timestamptz;
  neighbour_id uuid;
begin
  perform rate_limiter_internal.lock_quota_owner(
    quota.app_id, quota.cluster_id, quota.default_cluster_id
  );
  moment := coalesce(at, clock_timestamp());

  select c.* into quota
  from rate_limiter.quota_configs as c
  where c.config_id = cancel_quota_at.quota.config_id;

  if not quota.is_active or quota.valid_to <= moment then
    raise exception using
      errcode = 'QS409',
      message = 'quota is over',
      detail = format('quota: %s', quota.config_id),
      hint = 'Only what is in force or scheduled can be cancelled.';
  end if;

  if quota.valid_from >= moment then
    update rate_limiter.quota_configs as c
    set is_active = false
    where c.config_id = quota.config_id;

    update rate_limiter.quota_configs as c
    set valid_to = quota.valid_to
    where c.owner_id = quota.owner_id
      and (c.default_cluster_id is null) = (quota.default_cluster_id is null)
      and c.mode = quota.mode
      and c.is_active
      and c.valid_to = quota.valid_from
    returning c.config_id into neighbour_id;
  else
    update rate_limiter.quota_configs as c
    set valid_to = moment
    where c.config_id = quota.config_id;

    update rate_limiter.quota_configs as c
    set valid_from = moment
    where c.owner_id = quota.owner_id
      and (c.default_cluster_id is null) = (quota.default_cluster_id is null)
      and c.mode = quota.mode
      and c.is_active
      and c.valid_from = quota.valid_to
    returning c.config_id into neighbour_id;
  end if;

  perform rate_limiter_internal.record_quota_version(quota.config_id, reason);
  perform rate_limiter_internal.record_quota_version(neighbour_id, reason);
  perform rate_limiter_internal.require_quota_allowed(
    moment, quota.app_id, quota.cluster_id, quota.default_cluster_id
  );
end;
$$;

comment on function rate_limiter_internal.cancel_quota_at(
  timestamptz, rate_limiter.quota_configs, text
) is
  'Ends a quota at a moment (null: now), or before it began; its neighbour takes over its time. '
  'Raises QS409 for one that is over, QS403 where the neighbour exceeds a ceiling then, QS422 '
  'where reservations do not fit it.';
--! EndIncluded rate_limiter_internal/quotas/cancel_quota_at.sql
--! Included rate_limiter_internal/quotas/quota_since.sql
create or replace function rate_limiter_internal.quota_since(
  at timestamptz,
  bucket rate_limiter.token_buckets
)
returns timestamptz
language sql
stable
parallel safe
as $$
  with quotas as (
    select c.config_id, c.valid_from, c.valid_to, c.default_cluster_id is not null as is_default
    from rate_limiter.quota_configs as c
    where (
        c.owner_id = bucket.owner_id and c.default_cluster_id is null
        or c.default_cluster_id = (
          select f.cluster_id
          from rate_limiter.app_facts as f
          where f.app_id = bucket.owner_id
        )
      )
      and c.mode = bucket.mode
      and c.is_active
      and c.valid_from <= quota_since.at
      and exists (
        select
        from rate_limiter.iops_quotas as q
        where q.config_id = c.config_id
          and not rate_limiter_internal.is_bandwidth(bucket.bucket_type)
        union all
        select
        from rate_limiter.bandwidth_quotas as q
        where q.config_id = c.config_id
          and rate_limiter_internal.is_bandwidth(bucket.bucket_type)
      )
  ),
  changes as (
    select greatest(
      q.valid_from,
      -- A default takes force again where a quota of one's own ends.
      case when q.is_default then (
        select max(o.valid_to) from quotas as o
        where not o.is_default and o.valid_to <= quota_since.at
      ) end
    ) as moment
    from quotas as q
    where q.config_id = bucket.config_id
  )
  select c.moment
  from changes as c
  where exists (
    select from quotas as o
    where o.config_id <> bucket.config_id and o.valid_from < c.moment
  );
$$;

comment on function rate_limiter_internal.quota_since(
  timestamptz, rate_limiter.token_buckets
) is
  'Since when a bucket has had the quota that it has at a moment; null where that is its first '
  'one.';
--! EndIncluded rate_limiter_internal/quotas/quota_since.sql
--! Included rate_limiter_internal/quotas/quota_version_of.sql
create or replace function rate_limiter_internal.quota_version_of(
  config_id uuid,
  at timestamptz
)
returns uuid
language sql
stable
parallel safe
as $$
  select v.version_id
  from rate_limiter_audit.quota_version_history as v
  where v.config_id = quota_version_of.config_id
    and v.changed_at <= at
  order by v.changed_at desc
  limit 1;
$$;

comment on function rate_limiter_internal.quota_version_of(uuid, timestamptz) is
  'The version of a quota that was the latest at a moment.';
--! EndIncluded rate_limiter_internal/quotas/quota_version_of.sql
--! Included rate_limiter_admin/quotas/schedule_quota.sql
create or replace function rate_limiter_admin.schedule_quota(
  reason text,
  valid_from timestamptz,
  valid_to timestamptz default null,
  app_id uuid default null,
  cluster_id uuid default null,
  iops rate_limiter_admin.iops_limits default null,
  bandwidth rate_limiter_admin.bandwidth_limits default null,
  mode rate_limiter.quota_mode default 'enforce',
  default_cluster_id uuid default null,
  remove_iops boolean default false,
  remove_bandwidth boolean default false,
  if_version uuid default null
)
returns rate_limiter.quota_configs
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  iops_terms constant jsonb := rate_limiter_internal.complete_iops_limits(iops);
  bandwidth_terms constant jsonb := rate_limiter_internal.complete_bandwidth_limits(bandwidth);
  locked_at timestamptz;
  fixed_quotas jsonb;
  new_config_id uuid;
  quota rate_limiter.quota_configs;
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.require_quota_owner(
    app_id, cluster_id, default_cluster_id, 'create'
  );
  perform rate_limiter_internal.require_reason(reason);
  perform rate_limiter_internal.require_limits(
    iops_terms, bandwidth_terms, coalesce(remove_iops, false), coalesce(remove_bandwidth, false)
  );
  perform rate_limiter_internal.require_quota_mode(mode, default_cluster_id);

  perform rate_limiter_internal.lock_quota_owner(app_id, cluster_id, default_cluster_id);
  if if_version is not null then
    perform rate_limiter_internal.require_version(
      app_id, cluster_id, default_cluster_id, mode, if_version
    );
  end if;
  locked_at := clock_timestamp();
  fixed_quotas := rate_limiter_internal.fixed_quotas(locked_at, app_id);
  new_config_id := rate_limiter_internal.publish_quota_at(
    null, app_id, cluster_id, mode, valid_from, valid_to, iops_terms, bandwidth_terms, reason,
    default_cluster_id, coalesce(remove_iops, false), coalesce(remove_bandwidth, false)
  );
  perform rate_limiter_internal.require_fixed_quotas(locked_at, app_id, fixed_quotas);

  select c.* into quota
  from rate_limiter.quota_configs as c
  where c.config_id = new_config_id;

  return quota;
end;
$$;

comment on function rate_limiter_admin.schedule_quota(
  text, timestamptz, timestamptz, uuid, uuid, rate_limiter_admin.iops_limits,
  rate_limiter_admin.bandwidth_limits, rate_limiter.quota_mode, uuid, boolean, boolean, uuid
) is
  E'@resultFieldName quota\n'
  'Puts a new version of a quota in force from valid_from to valid_to, of an application, of a '
  'cluster, or of all applications of a cluster that have none of their own (defaultClusterId). '
  'What is in force then ends there, and goes on afterwards. Limits of a kind that are neither '
  'given nor removed (removeIops, removeBandwidth) stay as they are: the answer has all that is in '
  'force. A tenant''s people do this within their ceilings. With mode SHADOW, for system '
  'administrators, the quota is a candidate: measured beside the live one, it never denies. '
  'ifVersion names the configId that you have read: where another one is in force now, nothing '
  'changes (QS409).';
grant execute on function rate_limiter_admin.schedule_quota(
  text, timestamptz, timestamptz, uuid, uuid, rate_limiter_admin.iops_limits,
  rate_limiter_admin.bandwidth_limits, rate_limiter.quota_mode, uuid, boolean, boolean, uuid
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/quotas/schedule_quota.sql
--! Included rate_limiter_admin/quotas/publish_quota.sql
create or replace function rate_limiter_admin.publish_quota(
  reason text,
  app_id uuid default null,
  cluster_id uuid default null,
  iops rate_limiter_admin.iops_limits default null,
  bandwidth rate_limiter_admin.bandwidth_limits default null,
  mode rate_limiter.quota_mode default 'enforce',
  default_cluster_id uuid default null,
  remove_iops boolean default false,
  remove_bandwidth boolean default false,
  valid_to timestamptz default null,
  if_version uuid default null
)
returns rate_limiter.quota_configs
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select q.*
  from rate_limiter_admin.schedule_quota(
    reason, null, valid_to, app_id, cluster_id, iops, bandwidth, mode, default_cluster_id,
    remove_iops, remove_bandwidth, if_version
  ) as q;
$$;

comment on function rate_limiter_admin.publish_quota(
  text, uuid, uuid, rate_limiter_admin.iops_limits, rate_limiter_admin.bandwidth_limits,
  rate_limiter.quota_mode, uuid, boolean, boolean, timestamptz, uuid
) is
  E'@resultFieldName quota\n'
  'Puts a new version of a quota in force, from now until the next one that is scheduled, of an '
  'application, of a cluster, or of all applications of a cluster that have none of their own '
  '(defaultClusterId). Limits of a kind that are neither given nor removed (removeIops, '
  'removeBandwidth) stay as they are: the answer has all that is in force. With validTo it is '
  'temporary, and gives way to what was in force before. A tenant''s people do this within their '
  'ceilings. With mode SHADOW, for system administrators, the quota is a candidate: measured '
  'beside the live one, it never denies. ifVersion names the configId that you have read: where '
  'another one is in force now, nothing changes (QS409).';
grant execute on function rate_limiter_admin.publish_quota(
  text, uuid, uuid, rate_limiter_admin.iops_limits, rate_limiter_admin.bandwidth_limits,
  rate_limiter.quota_mode, uuid, boolean, boolean, timestamptz, uuid
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/quotas/publish_quota.sql
--! Included rate_limiter_admin/quotas/publish_quotas.sql
create or replace function rate_limiter_admin.publish_quotas(
  reason text,
  quotas rate_limiter_admin.new_quota[]
)
returns table (entry integer, app_id uuid, config_id uuid)
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  published jsonb;
  problems jsonb := '[]';
  code text;
  problem text;
  said text;
  wanted rate_limiter_admin.new_quota;
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.require_permission('quota', 'create');
  perform rate_limiter_internal.require_batch(cardinality(quotas));

  -- In the lock order: all applications, then all ceilings, as one quota would take its own.
  perform
  from rate_limiter.applications as a
  where a.app_id in (select q.app_id from unnest(quotas) as q)
    and (
      rate_limiter_internal.is_system_admin()
      or a.tenant_id = rate_limiter_internal.current_tenant_id()
    )
  order by a.app_id
  for no key update;
  perform rate_limiter_internal.lock_ceilings(array(
    select distinct a.tenant_id
    from rate_limiter.applications as a
    where a.app_id in (select q.app_id from unnest(quotas) as q)
      and (
        rate_limiter_internal.is_system_admin()
        or a.tenant_id = rate_limiter_internal.current_tenant_id()
      )
  ));

  -- By application, which locks buckets as decisions do.
  begin
    perform rate_limiter_internal.defer_ceilings();
    select jsonb_object_agg(n.entry, made.config_id)
    into published
    from (
      select q.*
      from unnest(quotas) with ordinality
        as q (app_id, iops, bandwidth, valid_from, valid_to, mode, if_version, entry)
      order by q.app_id, q.entry
    ) as n
    cross join lateral rate_limiter_admin.schedule_quota(
      publish_quotas.reason, n.valid_from, n.valid_to, n.app_id, null, n.iops, n.bandwidth,
      coalesce(n.mode, 'enforce'), if_version => n.if_version
    ) as made;
    perform rate_limiter_internal.check_deferred_ceilings();
  exception
    when sqlstate 'QS403' or sqlstate 'QS404' or sqlstate 'QS409' or sqlstate 'QS422'
      or exclusion_violation or check_violation
    then published := null;
  end;

  -- One by one, as they are given: a ceiling may have room for one after another has been lowered.
  -- Where one is refused, nothing stays.
  if published is null then
    published := '{}';
    for position in 1..cardinality(quotas) loop
      exit when jsonb_array_length(problems) = rate_limiter_internal.most_problems();
      wanted := quotas[position];
      begin
        select published || jsonb_build_object(position, made.config_id)
        into published
        from rate_limiter_admin.schedule_quota(
          publish_quotas.reason, wanted.valid_from, wanted.valid_to, wanted.app_id, null,
          wanted.iops, wanted.bandwidth, coalesce(wanted.mode, 'enforce'),
          if_version => wanted.if_version
        ) as made;
      exception
        when sqlstate 'QS403' or sqlstate 'QS404' or sqlstate 'QS409' or sqlstate 'QS422'
          or exclusion_violation or check_violation
        then
          get stacked diagnostics
            code = returned_sqlstate, problem = message_text, said = pg_exception_detail;
          problems := problems || rate_limiter_internal.problem(position, code, problem, said);
      end;
    end loop;
    if problems <> '[]' then
      perform rate_limiter_internal.refuse_batch(problems);
    end if;
  end if;

  return query
  select q.entry::integer, q.app_id, (published ->> q.entry::text)::uuid
  from unnest(quotas) with ordinality
    as q (app_id, iops, bandwidth, valid_from, valid_to, mode, if_version, entry);
end;
$$;

comment on function rate_limiter_admin.publish_quotas(text, rate_limiter_admin.new_quota[]) is
  E'@resultFieldName results\n'
  'scheduleQuota for 1 to 10,000 quotas of applications, all or none. Where entries are refused, '
  'nothing is published, and detail says which and why, as JSON, for the first hundred of them. '
  'Under a ceiling, name those that are lowered before those that are raised. Decisions of an '
  'application wait from when its quota is written until all are.';
grant execute on function rate_limiter_admin.publish_quotas(
  text, rate_limiter_admin.new_quota[]
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/quotas/publish_quotas.sql
--! Included rate_limiter_admin/quotas/cancel_quota.sql
create or replace function rate_limiter_admin.cancel_quota(config_id uuid, reason text)
returns rate_limiter.quota_configs
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  quota rate_limiter.quota_configs;
  locked_at timestamptz;
  fixed_quotas jsonb;
begin
  perform rate_limiter_internal.require_permission('quota', 'delete');
  perform rate_limiter_internal.require_reason(reason);
  quota := rate_limiter_internal.require_quota(config_id);
  perform rate_limiter_internal.require_quota_mode(quota.mode, quota.default_cluster_id);

  perform rate_limiter_internal.lock_quota_owner(
    quota.app_id, quota.cluster_id, quota.default_cluster_id
  );
  locked_at := clock_timestamp();
  fixed_quotas := rate_limiter_internal.fixed_quotas(locked_at, quota.app_id);
  perform rate_limiter_internal.cancel_quota_at(null, quota, reason);
  perform rate_limiter_internal.require_fixed_quotas(locked_at, quota.app_id, fixed_quotas);

  select c.* into quota
  from rate_limiter.quota_configs as c
  where c.config_id = cancel_quota.config_id;

  return quota;
end;
$$;

comment on function rate_limiter_admin.cancel_quota(uuid, text) is
  E'@resultFieldName quota\n'
  'Takes a quota back. A scheduled one never comes into force, and what was to end for it goes '
  'on. One in force ends now: the version that was to follow starts at once; without one the '
  'default of the cluster counts, or nothing is limited any more. A tenant''s people do this '
  'within their ceilings.';
grant execute on function rate_limiter_admin.cancel_quota(uuid, text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/quotas/cancel_quota.sql
--! Included rate_limiter_admin/quotas/compare_quota_versions.sql
create or replace function rate_limiter_admin.compare_quota_versions(
  version_id uuid,
  other_version_id uuid
)
returns table (field text, value text, other_value text)
language plpgsql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  missing_id uuid;
begin
  -- Row-level security shows what the one who asks may see.
  select wanted.id
  into missing_id
  from unnest(array[version_id, other_version_id]) as wanted (id)
  where not exists (
    select from rate_limiter_audit.quota_version_history as v where v.version_id = wanted.id
  )
  limit 1;

  if found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown quota version',
      detail = format('version: %s', missing_id),
      hint = 'Check the id: versions of other tenants are not to be seen.';
  end if;

  return query
  with fields as (
    select
      v.version_id,
      part.prefix || entry.key as field,
      entry.value
    from rate_limiter_audit.quota_version_history as v
    cross join lateral (
      values
        ('', v.new_config - 'iops' - 'bandwidth' - 'config_id'),
        ('iops.', nullif(v.new_config -> 'iops', 'null')),
        ('bandwidth.', nullif(v.new_config -> 'bandwidth', 'null'))
    ) as part (prefix, config)
    cross join lateral jsonb_each_text(part.config) as entry
    where v.version_id
      in (compare_quota_versions.version_id, compare_quota_versions.other_version_id)
  )
  select
    coalesce(a.field, b.field),
    a.value,
    b.value
  from (select f.* from fields as f where f.version_id = compare_quota_versions.version_id) as a
  full join (
    select f.* from fields as f where f.version_id = compare_quota_versions.other_version_id
  ) as b on b.field = a.field
  where a.value is distinct from b.value
  order by 1;
end;
$$;

comment on function rate_limiter_admin.compare_quota_versions(uuid, uuid) is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'What differs between two versions of quotas, field by field, such as iops.iops_limit.';
grant execute on function rate_limiter_admin.compare_quota_versions(uuid, uuid)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/quotas/compare_quota_versions.sql
--! Included rate_limiter/quotas/v_active_quotas.sql
create or replace view rate_limiter.v_active_quotas
with (security_invoker = true) as
select
  a.app_id,
  a.name as app_name,
  t.name as tenant_name,
  c.config_id,
  i.iops_limit,
  i.iops_burst,
  b.bandwidth_limit_bps,
  b.bandwidth_burst_bps,
  c.mode,
  c.valid_from,
  c.valid_to,
  false as is_default
from rate_limiter.applications as a
join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
join rate_limiter.quota_configs as c on c.app_id = a.app_id
left join rate_limiter.iops_quotas as i on i.config_id = c.config_id
left join rate_limiter.bandwidth_quotas as b on b.config_id = c.config_id
where c.is_active
  and c.valid_from <= current_timestamp
  and (c.valid_to is null or c.valid_to > current_timestamp)
union all
-- The default of its cluster, of the kinds of which an application has no quota in force.
select
  a.app_id,
  a.name,
  t.name,
  c.config_id,
  case when not own.has_iops then i.iops_limit end,
  case when not own.has_iops then i.iops_burst end,
  case when not own.has_bandwidth then b.bandwidth_limit_bps end,
  case when not own.has_bandwidth then b.bandwidth_burst_bps end,
  c.mode,
  c.valid_from,
  c.valid_to,
  true
from rate_limiter.applications as a
join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
join rate_limiter.quota_configs as c on c.default_cluster_id = a.cluster_id
left join rate_limiter.iops_quotas as i on i.config_id = c.config_id
left join rate_limiter.bandwidth_quotas as b on b.config_id = c.config_id
cross join lateral (
  select
    count(oi.config_id) > 0 as has_iops,
    count(ob.config_id) > 0 as has_bandwidth
  from rate_limiter.quota_configs as o
  left join rate_limiter.iops_quotas as oi on oi.config_id = o.config_id
  left join rate_limiter.bandwidth_quotas as ob on ob.config_id = o.config_id
  where o.app_id = a.app_id
    and o.mode = 'enforce'
    and o.is_active
    and o.valid_from <= current_timestamp
    and (o.valid_to is null or o.valid_to > current_timestamp)
) as own
where c.is_active
  and c.valid_from <= current_timestamp
  and (c.valid_to is null or c.valid_to > current_timestamp)
  and (i.config_id is not null and not own.has_iops
    or b.config_id is not null and not own.has_bandwidth);

comment on view rate_limiter.v_active_quotas is
  E'@behavior -*\n'
  'The quotas of applications that are in force now, their own and the defaults of clusters.';
comment on column rate_limiter.v_active_quotas.app_id is 'The application.';
comment on column rate_limiter.v_active_quotas.app_name is 'Its name.';
comment on column rate_limiter.v_active_quotas.tenant_name is 'Its tenant''s name.';
comment on column rate_limiter.v_active_quotas.config_id is 'The quota.';
comment on column rate_limiter.v_active_quotas.iops_limit is 'Tokens per second, sustained.';
comment on column rate_limiter.v_active_quotas.iops_burst is
  'Tokens per second while bursting.';
comment on column rate_limiter.v_active_quotas.bandwidth_limit_bps is
  'Bytes per second, sustained.';
comment on column rate_limiter.v_active_quotas.bandwidth_burst_bps is
  'Bytes per second while bursting.';
comment on column rate_limiter.v_active_quotas.mode is 'Whether it denies or only measures.';
comment on column rate_limiter.v_active_quotas.valid_from is 'Since when it is in force.';
comment on column rate_limiter.v_active_quotas.valid_to is 'Until when; null without an end.';
comment on column rate_limiter.v_active_quotas.is_default is
  'Whether it is the default of the application''s cluster, and not its own.';

revoke all on rate_limiter.v_active_quotas from rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.v_active_quotas to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/quotas/v_active_quotas.sql
--! Included rate_limiter/quotas/mv_daily_quota_usage.sql
-- Not materialized: a job keeps its rows as the ledger grows. The name is the source design's.
create or replace view rate_limiter.mv_daily_quota_usage as
select
  u.date,
  u.app_id,
  a.name as app_name,
  u.bucket_type,
  u.tokens_consumed,
  u.tokens_refunded,
  u.ledger_entries as transaction_count
from rate_limiter_private.usage_daily as u
join rate_limiter.applications as a on a.app_id = u.app_id;

comment on view rate_limiter.mv_daily_quota_usage is
  'What each application used by day (UTC), as of the last refresh_daily_quota_usage().';
comment on column rate_limiter.mv_daily_quota_usage.date is 'The day (UTC).';
comment on column rate_limiter.mv_daily_quota_usage.app_id is 'The application.';
comment on column rate_limiter.mv_daily_quota_usage.app_name is 'Its name.';
comment on column rate_limiter.mv_daily_quota_usage.bucket_type is 'The bucket drawn on.';
comment on column rate_limiter.mv_daily_quota_usage.tokens_consumed is
  'Tokens taken, less what leases and settlements returned.';
comment on column rate_limiter.mv_daily_quota_usage.tokens_refunded is 'Tokens refunded.';
comment on column rate_limiter.mv_daily_quota_usage.transaction_count is 'Rows of the ledger.';

revoke all on rate_limiter.mv_daily_quota_usage from rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.mv_daily_quota_usage to rate_limiter_readonly;
--! EndIncluded rate_limiter/quotas/mv_daily_quota_usage.sql
--! Included rate_limiter/quotas/v_daily_quota_usage.sql
-- Tenants read their part through this view, which runs as its owner and filters by itself.
create or replace view rate_limiter.v_daily_quota_usage
with (security_barrier = true) as
select
  u.date,
  u.app_id,
  u.app_name,
  u.bucket_type,
  u.tokens_consumed,
  u.tokens_refunded,
  u.transaction_count
from rate_limiter.mv_daily_quota_usage as u
where (select rate_limiter_internal.may('metrics', 'read'))
  and (
    (select rate_limiter_internal.is_system_admin())
    or u.app_id in (
      select a.app_id
      from rate_limiter.applications as a
      where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

comment on view rate_limiter.v_daily_quota_usage is
  E'@name daily_quota_usage\n'
  '@primaryKey date,app_id,bucket_type\n'
  '@foreignKey (app_id) references rate_limiter.applications (app_id)|'
  '@fieldName application|@foreignFieldName dailyQuotaUsages\n'
  'What each application used by day (UTC), as of the last refresh: your tenant''s part of '
  'mv_daily_quota_usage.';
comment on column rate_limiter.v_daily_quota_usage.date is 'The day (UTC).';
comment on column rate_limiter.v_daily_quota_usage.app_id is 'The application.';
comment on column rate_limiter.v_daily_quota_usage.app_name is 'Its name.';
comment on column rate_limiter.v_daily_quota_usage.bucket_type is 'The bucket drawn on.';
comment on column rate_limiter.v_daily_quota_usage.tokens_consumed is
  'Tokens taken, less what leases and settlements returned.';
comment on column rate_limiter.v_daily_quota_usage.tokens_refunded is 'Tokens refunded.';
comment on column rate_limiter.v_daily_quota_usage.transaction_count is
  'Rows of the ledger.';

revoke all on rate_limiter.v_daily_quota_usage from rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.v_daily_quota_usage to rate_limiter_visitor;
--! EndIncluded rate_limiter/quotas/v_daily_quota_usage.sql
--! Included rate_limiter/quotas/bandwidth_quotas.triggers.sql
create or replace trigger audit_change
  after insert or update or delete on rate_limiter.bandwidth_quotas
  for each row
  execute function rate_limiter_internal.audit_change('quota_id');

-- create or replace does not know constraint triggers.
drop trigger if exists record_quota_change on rate_limiter.bandwidth_quotas;
create constraint trigger record_quota_change
  after insert or update or delete on rate_limiter.bandwidth_quotas
  deferrable initially deferred
  for each row
  execute function rate_limiter_internal.record_quota_change();
--! EndIncluded rate_limiter/quotas/bandwidth_quotas.triggers.sql
--! Included rate_limiter/quotas/iops_quotas.triggers.sql
create or replace trigger audit_change
  after insert or update or delete on rate_limiter.iops_quotas
  for each row
  execute function rate_limiter_internal.audit_change('quota_id');

-- create or replace does not know constraint triggers.
drop trigger if exists record_quota_change on rate_limiter.iops_quotas;
create constraint trigger record_quota_change
  after insert or update or delete on rate_limiter.iops_quotas
  deferrable initially deferred
  for each row
  execute function rate_limiter_internal.record_quota_change();
--! EndIncluded rate_limiter/quotas/iops_quotas.triggers.sql
--! Included rate_limiter/quotas/sync_quota_change.triggers.sql
create or replace trigger sync_quota_change
  after insert or update or delete on rate_limiter.iops_quotas
  for each row execute function rate_limiter_internal.sync_quota_change();
comment on trigger sync_quota_change on rate_limiter.iops_quotas is
  'Makes the bucket of a new quota, and tells it of changes.';

create or replace trigger sync_quota_change
  after insert or update or delete on rate_limiter.bandwidth_quotas
  for each row execute function rate_limiter_internal.sync_quota_change();
comment on trigger sync_quota_change on rate_limiter.bandwidth_quotas is
  'Makes the bucket of a new quota, and tells it of changes.';
--! EndIncluded rate_limiter/quotas/sync_quota_change.triggers.sql
--! Included rate_limiter/quotas/sync_config_change.triggers.sql
create or replace trigger sync_config_change
  after insert or update or delete on rate_limiter.quota_configs
  for each row execute function rate_limiter_internal.sync_config_change();
comment on trigger sync_config_change on rate_limiter.quota_configs is
  'Buckets take a version up at exactly its valid_from.';
--! EndIncluded rate_limiter/quotas/sync_config_change.triggers.sql
--! Included rate_limiter/quotas/quota_configs.triggers.sql
create or replace trigger refuse_delete_of_quota
  before delete on rate_limiter.quota_configs
  for each row
  execute function rate_limiter_internal.refuse_delete_of_quota();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.quota_configs
  for each row
  execute function rate_limiter_internal.audit_change('config_id');

-- create or replace does not know constraint triggers.
drop trigger if exists record_quota_change on rate_limiter.quota_configs;
create constraint trigger record_quota_change
  after insert or update or delete on rate_limiter.quota_configs
  deferrable initially deferred
  for each row
  execute function rate_limiter_internal.record_quota_change();
--! EndIncluded rate_limiter/quotas/quota_configs.triggers.sql
--! Included rate_limiter_audit/quotas/quota_version_history.triggers.sql
create or replace trigger refuse_version_change
  before update on rate_limiter_audit.quota_version_history
  for each row
  execute function rate_limiter_internal.refuse_version_change();

create or replace trigger refuse_change
  before delete on rate_limiter_audit.quota_version_history
  for each row
  execute function rate_limiter_internal.refuse_change();
--! EndIncluded rate_limiter_audit/quotas/quota_version_history.triggers.sql
--! Included rate_limiter/quotas/bandwidth_quotas.policies.sql
-- Seen with the quota that it is part of; written by functions alone.
alter table rate_limiter.bandwidth_quotas enable row level security;

drop policy if exists readable on rate_limiter.bandwidth_quotas;
create policy readable on rate_limiter.bandwidth_quotas
  for select to rate_limiter_visitor
  using (config_id in (select qc.config_id from rate_limiter.quota_configs as qc));

drop policy if exists monitored on rate_limiter.bandwidth_quotas;
create policy monitored on rate_limiter.bandwidth_quotas
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/quotas/bandwidth_quotas.policies.sql
--! Included rate_limiter/quotas/iops_quotas.policies.sql
-- Seen with the quota that it is part of; written by functions alone.
alter table rate_limiter.iops_quotas enable row level security;

drop policy if exists readable on rate_limiter.iops_quotas;
create policy readable on rate_limiter.iops_quotas
  for select to rate_limiter_visitor
  using (config_id in (select qc.config_id from rate_limiter.quota_configs as qc));

drop policy if exists monitored on rate_limiter.iops_quotas;
create policy monitored on rate_limiter.iops_quotas
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/quotas/iops_quotas.policies.sql
--! Included rate_limiter/quotas/quota_configs.policies.sql
-- Written by functions alone: a quota spans three tables and leaves a version. Only system
-- administrators see a cluster's own quota; tenants that it hosts see its default.
alter table rate_limiter.quota_configs enable row level security;

drop policy if exists readable on rate_limiter.quota_configs;
create policy readable on rate_limiter.quota_configs
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('quota', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
      or default_cluster_id = any ((select rate_limiter_internal.current_cluster_ids())::uuid[])
    )
  );

drop policy if exists monitored on rate_limiter.quota_configs;
create policy monitored on rate_limiter.quota_configs
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/quotas/quota_configs.policies.sql
--! Included rate_limiter_audit/quotas/quota_version_history.policies.sql
-- Written by triggers and functions alone, never changed.
alter table rate_limiter_audit.quota_version_history enable row level security;

drop policy if exists readable on rate_limiter_audit.quota_version_history;
create policy readable on rate_limiter_audit.quota_version_history
  for select to rate_limiter_visitor
  using (
    (
      (select rate_limiter_internal.may('quota', 'read'))
      or (select rate_limiter_internal.may('audit', 'read'))
    )
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
      or default_cluster_id = any ((select rate_limiter_internal.current_cluster_ids())::uuid[])
    )
  );

drop policy if exists monitored on rate_limiter_audit.quota_version_history;
create policy monitored on rate_limiter_audit.quota_version_history
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter_audit/quotas/quota_version_history.policies.sql
--! Included rate_limiter/quotas/bandwidth_quotas.grants.sql
revoke all on rate_limiter.bandwidth_quotas
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.bandwidth_quotas to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/quotas/bandwidth_quotas.grants.sql
--! Included rate_limiter/quotas/iops_quotas.grants.sql
revoke all on rate_limiter.iops_quotas
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.iops_quotas to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/quotas/iops_quotas.grants.sql
--! Included rate_limiter/quotas/quota_configs.grants.sql
revoke all on rate_limiter.quota_configs
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.quota_configs to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/quotas/quota_configs.grants.sql
--! Included rate_limiter_audit/quotas/quota_version_history.grants.sql
revoke all on rate_limiter_audit.quota_version_history
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select
  on rate_limiter_audit.quota_version_history to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_audit/quotas/quota_version_history.grants.sql
