--! Previous: sha1:3d76bde777288d9d3954d200c58f10fe7e714fca
--! Hash: sha1:387cbcd28c9482a381f11eee331902e1039ca845
--! Message: configuration

-- Configuration
--! Included rate_limiter_internal/configuration/configuration_space.sql
create or replace function rate_limiter_internal.configuration_space()
returns uuid
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select case
    when not rate_limiter_internal.is_system_admin()
      then rate_limiter_internal.current_tenant_id()
  end;
$$;

comment on function rate_limiter_internal.configuration_space() is
  'The tenant whose names of configurations the caller uses; null for the operator''s own.';
grant execute on function rate_limiter_internal.configuration_space() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/configuration_space.sql
--! Included rate_limiter_internal/configuration/lock_configuration.sql
create or replace function rate_limiter_internal.lock_configuration()
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  own_id constant uuid := rate_limiter_internal.current_tenant_id();
begin
  -- A table that logins have no rights on: any login could hold an advisory lock.
  if rate_limiter_internal.is_system_admin() then
    lock table rate_limiter_internal.managed_objects in share update exclusive mode;
    return;
  end if;

  -- A tenant's own row: one that takes its time keeps neither other tenants nor the operator.
  insert into rate_limiter_internal.managed_objects (kind, object_id, managed_by, tenant_id)
  values ('configuration', own_id, 'lock', own_id)
  on conflict on constraint managed_objects_pkey do nothing;
  perform
  from rate_limiter_internal.managed_objects as m
  where m.kind = 'configuration'
    and m.object_id = own_id
  for no key update;
end;
$$;

comment on function rate_limiter_internal.lock_configuration() is
  'Applies one configuration of a tenant after the other, and of system administrators likewise, '
  'until the end of the transaction.';
grant execute on function rate_limiter_internal.lock_configuration() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/lock_configuration.sql
--! Included rate_limiter_internal/configuration/managers.sql
create or replace function rate_limiter_internal.managers()
returns table (kind text, object_id uuid, managed_by text, is_own boolean)
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    m.kind,
    m.object_id,
    case
      when m.tenant_id is not distinct from s.space_id then m.managed_by
      when m.tenant_id is null then 'the operator'
      when s.space_id is null then t.name || '/' || m.managed_by
      else 'another tenant'
    end,
    m.tenant_id is not distinct from s.space_id
  from rate_limiter_internal.managed_objects as m
  cross join (select rate_limiter_internal.configuration_space()) as s (space_id)
  left join rate_limiter.tenants as t on t.tenant_id = m.tenant_id;
$$;

comment on function rate_limiter_internal.managers() is
  'Which configuration manages which object: join it with objects that the caller may see. Names '
  'of others are not told to a tenant, and never equal its own.';
grant execute on function rate_limiter_internal.managers() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/managers.sql
--! Included rate_limiter_internal/configuration/set_manager.sql
create or replace function rate_limiter_internal.set_manager(
  kind text,
  object_id uuid,
  managed_by text
)
returns void
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into rate_limiter_internal.managed_objects as m
    (kind, object_id, managed_by, tenant_id)
  values (
    set_manager.kind, set_manager.object_id, set_manager.managed_by,
    rate_limiter_internal.configuration_space()
  )
  on conflict on constraint managed_objects_pkey do update
  set managed_by = excluded.managed_by, tenant_id = excluded.tenant_id
  where (m.managed_by, m.tenant_id) is distinct from (excluded.managed_by, excluded.tenant_id);
$$;

comment on function rate_limiter_internal.set_manager(text, uuid, text) is
  'Records which configuration manages an object.';
grant execute on function rate_limiter_internal.set_manager(text, uuid, text)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/set_manager.sql
--! Included rate_limiter_internal/configuration/amounts_as_text.sql
create or replace function rate_limiter_internal.amounts_as_text(fields jsonb)
returns jsonb
language sql
immutable
parallel safe
as $$
  select jsonb_object_agg(
    f.key,
    case jsonb_typeof(f.value)
      when 'number' then to_jsonb(trim_scale((f.value #>> '{}')::numeric)::text)
      else f.value
    end
  )
  from jsonb_each(fields) as f;
$$;

comment on function rate_limiter_internal.amounts_as_text(jsonb) is
  'An object with its numbers as text, which clients of JSON do not round; null for null.';
grant execute on function rate_limiter_internal.amounts_as_text(jsonb) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/amounts_as_text.sql
--! Included rate_limiter_internal/configuration/configured_limits.sql
create or replace function rate_limiter_internal.configured_limits(config_id uuid)
returns jsonb
language sql
stable
parallel safe
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'iops', (
      select rate_limiter_internal.amounts_as_text(to_jsonb(i) - 'quota_id' - 'config_id')
      from rate_limiter.iops_quotas as i
      where i.config_id = configured_limits.config_id
    ),
    'bandwidth', (
      select rate_limiter_internal.amounts_as_text(to_jsonb(b) - 'quota_id' - 'config_id')
      from rate_limiter.bandwidth_quotas as b
      where b.config_id = configured_limits.config_id
    )
  ));
$$;

comment on function rate_limiter_internal.configured_limits(uuid) is
  'The limits of a quota as a configuration has them.';
grant execute on function rate_limiter_internal.configured_limits(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/configured_limits.sql
--! Included rate_limiter_internal/configuration/configured_channels.sql
create or replace function rate_limiter_internal.configured_channels(notification_config jsonb)
returns jsonb
language sql
immutable
parallel safe
as $$
  select coalesce(jsonb_agg(c.channel order by c.channel_number), '[]')
  from rate_limiter_internal.notification_channels(notification_config) as c
  where c.channel ->> 'channel' in ('email', 'log');
$$;

comment on function rate_limiter_internal.configured_channels(jsonb) is
  'The channels of an alert without secrets: those that a configuration may hold.';
grant execute on function rate_limiter_internal.configured_channels(jsonb)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/configured_channels.sql
--! Included rate_limiter_internal/configuration/configured_objects.sql
-- As the caller: row-level security says what there is.
create or replace function rate_limiter_internal.configured_objects()
returns table (kind text, path text[], spec jsonb, object_id uuid)
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select
    'role',
    array[r.name::text],
    jsonb_build_object(
      'description', r.description,
      'permissions', coalesce(
        (
          select jsonb_agg(p.resource || ':' || p.action order by p.resource, p.action)
          from rate_limiter.role_permissions as rp
          join rate_limiter.permissions as p on p.permission_id = rp.permission_id
          where rp.role_id = r.role_id
        ),
        '[]'
      )
    ),
    r.role_id
  from rate_limiter.roles as r
  where not r.is_system

  union all

  select
    'cluster',
    array[c.name::text],
    jsonb_build_object(
      'region', c.region,
      'endpoint', d.endpoint,
      'max_capacity', d.max_capacity::text,
      'health_check_url', d.health_check_url,
      'is_active', c.is_active
    ),
    c.cluster_id
  from rate_limiter.clusters as c
  join rate_limiter_admin.cluster_details as d on d.cluster_id = c.cluster_id

  union all

  select
    'tenant',
    array[t.name::text],
    jsonb_build_object(
      'description', t.description,
      'has_default_alerts', t.has_default_alerts,
      'is_active', t.is_active
    ),
    t.tenant_id
  from rate_limiter.tenants as t

  union all

  select
    'application',
    array[t.name::text, a.name::text],
    jsonb_build_object(
      'cluster', c.name,
      'metadata', a.metadata,
      'auto_borrow', a.auto_borrow,
      'is_active', a.is_active
    ),
    a.app_id
  from rate_limiter.applications as a
  join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
  left join rate_limiter.clusters as c on c.cluster_id = a.cluster_id

  union all

  -- What holds for good: a quota for a time gives way to it.
  select
    case
      when q.app_id is not null then 'quota'
      when q.cluster_id is not null then 'cluster_quota'
      else 'default_quota'
    end,
    case
      when q.app_id is not null then array[t.name::text, a.name::text]
      else array[c.name::text]
    end,
    rate_limiter_internal.configured_limits(q.config_id),
    q.config_id
  from rate_limiter.quota_configs as q
  left join rate_limiter.applications as a on a.app_id = q.app_id
  left join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
  left join rate_limiter.clusters as c
    on c.cluster_id = coalesce(q.cluster_id, q.default_cluster_id)
  where q.mode = 'enforce'
    and q.is_active
    and q.valid_to is null

  union all

  select
    'ceiling',
    array[t.name::text, coalesce(c.name::text, '*')],
    jsonb_strip_nulls(jsonb_build_object(
      'iops', case when l.iops_limit is not null then jsonb_build_object(
        'max_limit', l.iops_limit::text,
        'max_burst', l.iops_burst::text,
        'max_capacity', l.iops_capacity::text
      ) end,
      'bandwidth', case when l.bandwidth_limit_bps is not null then jsonb_build_object(
        'max_limit', l.bandwidth_limit_bps::text,
        'max_burst', l.bandwidth_burst_bps::text,
        'max_capacity', l.bandwidth_capacity::text
      ) end
    )),
    l.ceiling_id
  from rate_limiter.tenant_ceilings as l
  join rate_limiter.tenants as t on t.tenant_id = l.tenant_id
  left join rate_limiter.clusters as c on c.cluster_id = l.cluster_id

  union all

  select
    'reservation',
    array[t.name::text, a.name::text],
    jsonb_build_object(
      'reserved_iops', r.reserved_iops::text,
      'reserved_bps', r.reserved_bps::text,
      'reservation_seconds', r.reservation_seconds::text
    ),
    r.app_id
  from rate_limiter.reservations as r
  join rate_limiter.applications as a on a.app_id = r.app_id
  join rate_limiter.tenants as t on t.tenant_id = a.tenant_id

  union all

  select
    'cost_rule',
    array[t.name::text, a.name::text, o.name::text],
    jsonb_build_object(
      'c_base', trim_scale(r.c_base_override)::text,
      'c_bw', trim_scale(r.c_bw_override)::text
    ),
    r.rule_id
  from rate_limiter.cost_rules as r
  join rate_limiter.operation_types as o on o.operation_id = r.operation_id
  join rate_limiter.applications as a on a.app_id = r.app_id
  join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
  where r.is_active
    and r.valid_to is null

  union all

  -- An alert has no name: it is known by what it watches for. Of several alike the oldest is meant.
  select
    case when w.app_id is null then 'default_alert' else 'alert' end,
    case when w.app_id is null then '{}' else array[t.name::text, a.name::text] end
      || array[w.metric_name, w.condition, w.severity],
    w.spec,
    w.alert_id
  from (
    select distinct on (c.app_id, c.metric_name, c.condition, c.severity)
      c.app_id,
      c.alert_id,
      c.metric_name::text,
      c.condition::text,
      c.severity::text,
      jsonb_build_object(
        'threshold_value', c.threshold_value::text,
        'duration_seconds', c.duration_seconds::text,
        'cooldown_seconds', c.cooldown_seconds::text,
        'is_active', c.is_active,
        'channels', rate_limiter_internal.configured_channels(c.notification_config)
      ) as spec
    from rate_limiter.alert_configs as c
    order by c.app_id, c.metric_name, c.condition, c.severity, c.created_at, c.alert_id
  ) as w
  left join rate_limiter.applications as a on a.app_id = w.app_id
  left join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
  where w.app_id is null or t.tenant_id is not null;
$$;

comment on function rate_limiter_internal.configured_objects() is
  'All that stands of what a configuration can hold and the caller may see. Amounts are text.';
grant execute on function rate_limiter_internal.configured_objects() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/configured_objects.sql
--! Included rate_limiter_internal/configuration/completed_spec.sql
create or replace function rate_limiter_internal.completed_spec(
  kind text,
  path text[],
  spec jsonb
)
returns jsonb
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
-- Planned once a session: a batch asks this for each of its entries.
set plan_cache_mode = 'force_generic_plan'
as $$
  select case
    when kind = 'role' then '{"description": null}' || spec || jsonb_build_object(
      'permissions', coalesce(
        (
          select jsonb_agg(p.permission order by split_part(p.permission, ':', 1), p.permission)
          from jsonb_array_elements_text(spec -> 'permissions') as p (permission)
        ),
        '[]'
      )
    )
    when kind = 'cluster' then '{
      "endpoint": null, "max_capacity": "0", "health_check_url": null, "is_active": true
    }' || spec
    when kind = 'tenant' then
      '{"description": null, "has_default_alerts": true, "is_active": true}' || spec
    when kind = 'application' then '{
      "cluster": null, "metadata": {}, "auto_borrow": false, "is_active": true
    }' || spec
    when kind in ('quota', 'cluster_quota', 'default_quota') then
      jsonb_strip_nulls(jsonb_build_object(
        'iops', rate_limiter_internal.amounts_as_text(
          rate_limiter_internal.complete_iops_limits(
            jsonb_populate_record(null::rate_limiter_admin.iops_limits, spec -> 'iops')
          )
        ),
        'bandwidth', rate_limiter_internal.amounts_as_text(
          rate_limiter_internal.complete_bandwidth_limits(
            jsonb_populate_record(null::rate_limiter_admin.bandwidth_limits, spec -> 'bandwidth')
          )
        )
      ))
    when kind = 'ceiling' then (
      select coalesce(
        jsonb_object_agg(
          l.key,
          rate_limiter_internal.amounts_as_text(to_jsonb(rate_limiter_internal.complete_ceiling(
            jsonb_populate_record(null::rate_limiter_admin.ceiling_limits, l.value)
          )))
        ),
        '{}'
      )
      from jsonb_each(spec) as l
    )
    when kind = 'reservation' then '{
      "reserved_iops": null, "reserved_bps": null, "reservation_seconds": "1"
    }' || spec
    when kind = 'cost_rule' then '{"c_base": null, "c_bw": null}' || spec
    when kind in ('alert', 'default_alert') then
      '{"cooldown_seconds": "300", "is_active": true, "channels": []}' || spec
      || jsonb_build_object(
        'threshold_value', (spec ->> 'threshold_value')::double precision::text,
        'duration_seconds', case
          when rate_limiter_internal.is_counted_by_minute(
            path[cardinality(path) - 2]
          )
            then 60 * ceil((spec ->> 'duration_seconds')::numeric / 60)
          else (spec ->> 'duration_seconds')::numeric
        end::text
      )
  end;
$$;

comment on function rate_limiter_internal.completed_spec(text, text[], jsonb) is
  'An object of a configuration with what was left out filled in, as configured_objects() shows '
  'what stands.';
grant execute on function rate_limiter_internal.completed_spec(text, text[], jsonb)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/completed_spec.sql
--! Included rate_limiter_internal/configuration/lowers_limits.sql
create or replace function rate_limiter_internal.lowers_limits(before jsonb, after jsonb)
returns boolean
language sql
immutable
parallel safe
as $$
  with amounts (path, before, after) as (
    select
      array[b.key] || n.key,
      coalesce(n.value, b.value #>> '{}'),
      after #>> (array[b.key] || n.key)
    from jsonb_each(before) as b
    left join lateral jsonb_each_text(
      case jsonb_typeof(b.value) when 'object' then b.value else '{}' end
    ) as n on true
  )
  select before is not null
    and not exists (
      select
      from amounts as a
      -- What is not limited any more rises.
      where a.after is null and a.before is not null and cardinality(a.path) = 2
        or case when a.before ~ '^[0-9]+$' and a.after ~ '^[0-9]+$'
          then a.after::numeric > a.before::numeric
        end
    );
$$;

comment on function rate_limiter_internal.lowers_limits(jsonb, jsonb) is
  'Whether no amount of a quota or a reservation rises: such changes make room for others.';
grant execute on function rate_limiter_internal.lowers_limits(jsonb, jsonb)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/lowers_limits.sql
--! Included rate_limiter_internal/configuration/change_phase.sql
create or replace function rate_limiter_internal.change_phase(
  action text,
  kind text,
  before jsonb,
  after jsonb
)
returns integer
language sql
immutable
parallel safe
as $$
  select case
    when action = 'adopt' then 0
    when action = 'prune'
      and kind in ('alert', 'default_alert', 'cost_rule', 'reservation', 'quota') then 1
    when action = 'prune' then
      case kind
        when 'default_quota' then 20
        when 'cluster_quota' then 21
        when 'ceiling' then 22
        when 'application' then 23
        when 'cluster' then 24
        when 'tenant' then 25
        else 26
      end
    when kind = 'role' then 2
    when kind = 'cluster' then 3
    when kind = 'tenant' then 4
    when kind = 'application' then 5
    when kind = 'reservation' and rate_limiter_internal.lowers_limits(before, after) then 6
    when kind = 'quota' and rate_limiter_internal.lowers_limits(before, after) then 7
    when kind = 'ceiling' then 8
    when kind = 'cluster_quota' then 9
    when kind = 'default_quota' then 10
    when kind = 'quota' then 11
    when kind = 'reservation' then 12
    when kind = 'cost_rule' then 13
    else 14
  end;
$$;

comment on function rate_limiter_internal.change_phase(text, text, jsonb, jsonb) is
  'When a change is made among the others: what others need first, what makes room before what '
  'takes it, and what goes last.';
grant execute on function rate_limiter_internal.change_phase(text, text, jsonb, jsonb)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/change_phase.sql
--! Included rate_limiter_internal/configuration/require_wanted.sql
create or replace function rate_limiter_internal.require_wanted(wanted jsonb)
returns jsonb
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  -- A program may send it as text: the values of a whole configuration are too many for a query.
  objects constant jsonb := case jsonb_typeof(wanted)
    when 'string' then (wanted #>> '{}')::jsonb
    else wanted
  end;
  wrong bigint;
begin
  if jsonb_typeof(objects) is distinct from 'array' then
    wrong := 0;
  else
    select min(o.entry)
    into wrong
    from jsonb_array_elements(objects) with ordinality as o (object, entry)
    left join (
      values
        ('role', 1), ('cluster', 1), ('tenant', 1), ('application', 2), ('quota', 2),
        ('cluster_quota', 1), ('default_quota', 1), ('ceiling', 2), ('reservation', 2),
        ('cost_rule', 3), ('alert', 5), ('default_alert', 3)
    ) as k (kind, names) on k.kind = o.object ->> 'kind'
    where k.kind is null
      or jsonb_typeof(o.object -> 'path') is distinct from 'array'
      or jsonb_array_length(o.object -> 'path') <> k.names
      or jsonb_path_exists(o.object, '$.path[*] ? (@.type() != "string")')
      or jsonb_typeof(o.object -> 'spec') not in ('object', 'null')
      or not o.object ? 'spec';
  end if;
  if wrong is not null then
    raise exception using
      errcode = 'QS422',
      message = 'configuration cannot be read',
      detail = format('entry: %s', wrong),
      hint = 'Send an array of objects with kind, path and spec, as configuration answers them.';
  end if;
  return objects;
end;
$$;

comment on function rate_limiter_internal.require_wanted(jsonb) is
  'The objects of a configuration that a caller sent, as an array or its text; raises QS422 where '
  'one of them has another form.';
grant execute on function rate_limiter_internal.require_wanted(jsonb) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/require_wanted.sql
--! Included rate_limiter_internal/configuration/configuration_changes.sql
create or replace function rate_limiter_internal.configuration_changes(
  wanted jsonb,
  managed_by text,
  prune boolean
)
returns setof rate_limiter_internal.configuration_change
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  with declared as (
    select
      o.entry::integer,
      o.object ->> 'kind' as kind,
      p.path,
      case
        when jsonb_typeof(o.object -> 'spec') <> 'null'
          then rate_limiter_internal.completed_spec(o.object ->> 'kind', p.path, o.object -> 'spec')
      end as spec
    from jsonb_array_elements(wanted) with ordinality as o (object, entry)
    cross join lateral (
      select array(select jsonb_array_elements_text(o.object -> 'path')) as path
    ) as p
  ),
  standing as (
    select o.*, m.managed_by, coalesce(m.is_own, false) as is_own
    from rate_limiter_internal.configured_objects() as o
    left join rate_limiter_internal.managers() as m
      on m.kind = o.kind and m.object_id = o.object_id
  ),
  compared as (
    select
      d.entry,
      case
        when d.spec is null then
          case when s.spec -> 'is_active' is distinct from 'false' then 'prune' end
        when s.kind is null then 'create'
        when s.spec <> d.spec then 'update'
        when (not s.is_own or s.managed_by is distinct from configuration_changes.managed_by)
          and configuration_changes.managed_by is not null
          then 'adopt'
      end as action,
      coalesce(d.kind, s.kind) as kind,
      coalesce(d.path, s.path) as path,
      s.spec as before,
      d.spec as after,
      s.object_id,
      s.managed_by as manager,
      coalesce(
        s.managed_by is not null
          and not (s.is_own and s.managed_by = configuration_changes.managed_by),
        false
      ) as is_managed_elsewhere
    from declared as d
    full join standing as s on s.kind = d.kind and s.path = d.path
    where (d.kind is not null and (d.spec is not null or s.kind is not null))
      or (prune and s.is_own and s.managed_by = configuration_changes.managed_by)
  )
  select
    c.entry, c.action, c.kind, c.path, c.before, c.after, c.object_id, c.manager,
    c.is_managed_elsewhere
  from compared as c
  where c.action is not null
  order by rate_limiter_internal.change_phase(c.action, c.kind, c.before, c.after), c.path;
$$;

comment on function rate_limiter_internal.configuration_changes(jsonb, text, boolean) is
  'What a configuration would change, in the order in which it is done. An object without a spec '
  'is to go. What is not named stays, but for what the configuration manages where it prunes.';
grant execute on function rate_limiter_internal.configuration_changes(jsonb, text, boolean)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/configuration_changes.sql
--! Included rate_limiter_internal/configuration/configured_application.sql
create or replace function rate_limiter_internal.configured_application(path text[])
returns uuid
language plpgsql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  found_id uuid;
begin
  select a.app_id
  into found_id
  from rate_limiter.applications as a
  join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
  where t.name = path[1]
    and a.name = path[2];

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown application',
      detail = format('application: %s of %s', path[2], path[1]),
      hint = 'Check the name, or have the configuration make it.';
  end if;
  return found_id;
end;
$$;

comment on function rate_limiter_internal.configured_application(text[]) is
  'The application of a tenant by their names; raises QS404 where the caller sees none.';
grant execute on function rate_limiter_internal.configured_application(text[])
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/configured_application.sql
--! Included rate_limiter_internal/configuration/configured_tenant.sql
create or replace function rate_limiter_internal.configured_tenant(name text)
returns uuid
language plpgsql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  found_id uuid;
begin
  select t.tenant_id
  into found_id
  from rate_limiter.tenants as t
  where t.name = configured_tenant.name;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown tenant',
      detail = format('tenant: %s', configured_tenant.name),
      hint = 'Check the name, or have the configuration make it.';
  end if;
  return found_id;
end;
$$;

comment on function rate_limiter_internal.configured_tenant(text) is
  'A tenant by its name; raises QS404 where the caller sees none.';
grant execute on function rate_limiter_internal.configured_tenant(text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/configured_tenant.sql
--! Included rate_limiter_internal/configuration/configured_cluster.sql
create or replace function rate_limiter_internal.configured_cluster(name text)
returns uuid
language plpgsql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  found_id uuid;
begin
  if configured_cluster.name is null or configured_cluster.name = '*' then
    return null;
  end if;
  select c.cluster_id
  into found_id
  from rate_limiter.clusters as c
  where c.name = configured_cluster.name;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown cluster',
      detail = format('cluster: %s', configured_cluster.name),
      hint = 'Check the name, or have the configuration make it.';
  end if;
  return found_id;
end;
$$;

comment on function rate_limiter_internal.configured_cluster(text) is
  'A cluster by its name, null for none (null, or * for all of them); raises QS404 where the '
  'caller sees none.';
grant execute on function rate_limiter_internal.configured_cluster(text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/configured_cluster.sql
--! Included rate_limiter_internal/configuration/require_adoptable.sql
create or replace function rate_limiter_internal.require_adoptable(kind text)
returns void
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  case require_adoptable.kind
    when 'tenant' then perform rate_limiter_internal.require_permission('tenant', 'update');
    when 'application' then
      perform rate_limiter_internal.require_permission('application', 'update');
    when 'quota' then perform rate_limiter_internal.require_permission('quota', 'update');
    when 'alert' then
      if not rate_limiter_internal.may_change('system', 'monitor') then
        perform rate_limiter_internal.require_permission('application', 'update');
      end if;
    else perform rate_limiter_internal.require_system_admin('system', 'configure');
  end case;
end;
$$;

comment on function rate_limiter_internal.require_adoptable(text) is
  'Raises QS403 unless the caller may change objects of a kind: who may only see one does not say '
  'which configuration manages it, and so may end it.';
grant execute on function rate_limiter_internal.require_adoptable(text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/require_adoptable.sql
--! Included rate_limiter_internal/configuration/require_changed.sql
create or replace function rate_limiter_internal.require_changed(object_id uuid)
returns uuid
language plpgsql
immutable
parallel safe
as $$
begin
  -- Row-level security hides what the caller may not change.
  if object_id is null then
    raise exception using
      errcode = 'QS403',
      message = 'permission denied',
      hint = 'Ask an administrator of your tenant for a role that allows it.';
  end if;
  return object_id;
end;
$$;

comment on function rate_limiter_internal.require_changed(uuid) is
  'The object that a statement changed; raises QS403 where it changed none.';
grant execute on function rate_limiter_internal.require_changed(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/require_changed.sql
--! Included rate_limiter_internal/configuration/apply_role.sql
create or replace function rate_limiter_internal.apply_role(
  change rate_limiter_internal.configuration_change,
  reason text
)
returns uuid
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
  id uuid := change.object_id;
begin
  if change.action = 'prune' then
    delete from rate_limiter.roles as r where r.role_id = id returning r.role_id into id;
    return rate_limiter_internal.require_changed(id);
  elsif change.action = 'create' then
    insert into rate_limiter.roles as r (name, description)
    values (change.path[1], change.after ->> 'description')
    returning r.role_id into id;
  else
    update rate_limiter.roles as r
    set description = change.after ->> 'description'
    where r.role_id = id
    returning r.role_id into id;
    perform rate_limiter_internal.require_changed(id);
    delete from rate_limiter.role_permissions as rp
    using rate_limiter.permissions as p
    where rp.role_id = id
      and p.permission_id = rp.permission_id
      and not change.after -> 'permissions' ? (p.resource || ':' || p.action);
  end if;

  insert into rate_limiter.role_permissions (role_id, permission_id)
  select id, p.permission_id
  from rate_limiter.permissions as p
  where change.after -> 'permissions' ? (p.resource || ':' || p.action)
  on conflict do nothing;
  return id;
end;
$$;

comment on function rate_limiter_internal.apply_role(
  rate_limiter_internal.configuration_change, text
) is
  'Makes, changes or removes a role and what it allows; answers its id.';
grant execute on function rate_limiter_internal.apply_role(
  rate_limiter_internal.configuration_change, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/apply_role.sql
--! Included rate_limiter_internal/configuration/apply_cluster.sql
create or replace function rate_limiter_internal.apply_cluster(
  change rate_limiter_internal.configuration_change,
  reason text
)
returns uuid
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
  id uuid := change.object_id;
begin
  if change.action = 'create' then
    insert into rate_limiter.clusters as c
      (name, region, endpoint, max_capacity, health_check_url)
    values (
      change.path[1],
      change.after ->> 'region',
      change.after ->> 'endpoint',
      (change.after ->> 'max_capacity')::bigint,
      change.after ->> 'health_check_url'
    )
    returning c.cluster_id into id;
    if (change.after ->> 'is_active')::boolean then
      return id;
    end if;
  end if;

  if change.action = 'prune' then
    change.after := change.before || '{"is_active": false}';
  end if;
  update rate_limiter.clusters as c
  set
    region = change.after ->> 'region',
    endpoint = change.after ->> 'endpoint',
    max_capacity = (change.after ->> 'max_capacity')::bigint,
    health_check_url = change.after ->> 'health_check_url',
    is_active = (change.after ->> 'is_active')::boolean
  where c.cluster_id = id
  returning c.cluster_id into id;
  return rate_limiter_internal.require_changed(id);
end;
$$;

comment on function rate_limiter_internal.apply_cluster(
  rate_limiter_internal.configuration_change, text
) is
  'Makes, changes or deactivates a cluster; answers its id.';
grant execute on function rate_limiter_internal.apply_cluster(
  rate_limiter_internal.configuration_change, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/apply_cluster.sql
--! Included rate_limiter_internal/configuration/apply_tenant.sql
create or replace function rate_limiter_internal.apply_tenant(
  change rate_limiter_internal.configuration_change,
  reason text
)
returns uuid
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
  id uuid := change.object_id;
begin
  if change.action = 'create' then
    insert into rate_limiter.tenants as t (name, description)
    values (change.path[1], change.after ->> 'description')
    returning t.tenant_id into id;
    if (change.after ->> 'is_active')::boolean
      and (change.after ->> 'has_default_alerts')::boolean
    then
      return id;
    end if;
  end if;

  if change.action = 'prune' then
    change.after := change.before || '{"is_active": false}';
  end if;
  update rate_limiter.tenants as t
  set
    description = change.after ->> 'description',
    has_default_alerts = (change.after ->> 'has_default_alerts')::boolean,
    is_active = (change.after ->> 'is_active')::boolean
  where t.tenant_id = id
  returning t.tenant_id into id;
  return rate_limiter_internal.require_changed(id);
end;
$$;

comment on function rate_limiter_internal.apply_tenant(
  rate_limiter_internal.configuration_change, text
) is
  'Makes, changes or deactivates a tenant; answers its id.';
grant execute on function rate_limiter_internal.apply_tenant(
  rate_limiter_internal.configuration_change, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/apply_tenant.sql
--! Included rate_limiter_internal/configuration/apply_application.sql
create or replace function rate_limiter_internal.apply_application(
  change rate_limiter_internal.configuration_change,
  reason text
)
returns uuid
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
  id uuid := change.object_id;
  cluster_id uuid;
begin
  if change.action = 'prune' then
    change.after := change.before || '{"is_active": false}';
  end if;
  cluster_id := rate_limiter_internal.configured_cluster(change.after ->> 'cluster');

  if change.action = 'create' then
    id := rate_limiter_internal.add_application(
      change.path[2], cluster_id, change.after -> 'metadata',
      rate_limiter_internal.configured_tenant(change.path[1])
    );
  elsif change.before -> 'cluster' <> change.after -> 'cluster' then
    perform from rate_limiter_admin.move_application(id, cluster_id);
  end if;

  if change.action = 'create'
    and not (change.after ->> 'auto_borrow')::boolean
    and (change.after ->> 'is_active')::boolean
  then
    return id;
  end if;
  update rate_limiter.applications as a
  set
    metadata = change.after -> 'metadata',
    auto_borrow = (change.after ->> 'auto_borrow')::boolean,
    is_active = (change.after ->> 'is_active')::boolean
  where a.app_id = id
  returning a.app_id into id;
  return rate_limiter_internal.require_changed(id);
end;
$$;

comment on function rate_limiter_internal.apply_application(
  rate_limiter_internal.configuration_change, text
) is
  'Makes, changes, moves or deactivates an application; answers its id. A new one has no key yet.';
grant execute on function rate_limiter_internal.apply_application(
  rate_limiter_internal.configuration_change, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/apply_application.sql
--! Included rate_limiter_internal/configuration/apply_quota.sql
create or replace function rate_limiter_internal.apply_quota(
  change rate_limiter_internal.configuration_change,
  reason text
)
returns uuid
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
  quota_owner_id constant uuid := case change.kind
    when 'quota' then rate_limiter_internal.configured_application(change.path)
    else rate_limiter_internal.configured_cluster(change.path[1])
  end;
  ends_or_starts timestamptz;
  quota rate_limiter.quota_configs;
begin
  select min(coalesce(q.valid_to, q.valid_from))
  into ends_or_starts
  from rate_limiter.quota_configs as q
  where q.owner_id = quota_owner_id
    and (q.default_cluster_id is not null) = (change.kind = 'default_quota')
    and q.mode = 'enforce'
    and q.is_active
    and (q.valid_to > clock_timestamp() or q.valid_from > clock_timestamp());
  if ends_or_starts is not null then
    raise exception using
      errcode = 'QS409',
      message = 'another quota starts in this time',
      detail = format('one ends or starts: %s', ends_or_starts),
      hint = 'Cancel that one first, or end this one before it.';
  end if;

  if change.action = 'prune' then
    quota := rate_limiter_admin.cancel_quota(change.object_id, reason);
  else
    quota := rate_limiter_admin.publish_quota(
      reason,
      case change.kind when 'quota' then quota_owner_id end,
      case change.kind when 'cluster_quota' then quota_owner_id end,
      jsonb_populate_record(null::rate_limiter_admin.iops_limits, change.after -> 'iops'),
      jsonb_populate_record(null::rate_limiter_admin.bandwidth_limits, change.after -> 'bandwidth'),
      'enforce',
      case change.kind when 'default_quota' then quota_owner_id end,
      remove_iops => change.before ? 'iops' and not change.after ? 'iops',
      remove_bandwidth => change.before ? 'bandwidth' and not change.after ? 'bandwidth'
    );
  end if;
  return quota.config_id;
end;
$$;

comment on function rate_limiter_internal.apply_quota(
  rate_limiter_internal.configuration_change, text
) is
  'Publishes or cancels a quota of an application, a cluster or the applications of a cluster; '
  'answers its version. A quota for a time, or one that is scheduled, is not overruled (QS409).';
grant execute on function rate_limiter_internal.apply_quota(
  rate_limiter_internal.configuration_change, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/apply_quota.sql
--! Included rate_limiter_internal/configuration/apply_ceiling.sql
create or replace function rate_limiter_internal.apply_ceiling(
  change rate_limiter_internal.configuration_change,
  reason text
)
returns uuid
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
  ceiling rate_limiter.tenant_ceilings;
begin
  ceiling := rate_limiter_admin.set_tenant_ceiling(
    rate_limiter_internal.configured_tenant(change.path[1]),
    reason,
    rate_limiter_internal.configured_cluster(change.path[2]),
    jsonb_populate_record(null::rate_limiter_admin.ceiling_limits, change.after -> 'iops'),
    jsonb_populate_record(null::rate_limiter_admin.ceiling_limits, change.after -> 'bandwidth'),
    change.before ? 'iops' and not coalesce(change.after, '{}') ? 'iops',
    change.before ? 'bandwidth' and not coalesce(change.after, '{}') ? 'bandwidth'
  );
  return coalesce(ceiling.ceiling_id, change.object_id);
end;
$$;

comment on function rate_limiter_internal.apply_ceiling(
  rate_limiter_internal.configuration_change, text
) is
  'Sets or removes a ceiling of a tenant; answers its id.';
grant execute on function rate_limiter_internal.apply_ceiling(
  rate_limiter_internal.configuration_change, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/apply_ceiling.sql
--! Included rate_limiter_internal/configuration/apply_reservation.sql
create or replace function rate_limiter_internal.apply_reservation(
  change rate_limiter_internal.configuration_change,
  reason text
)
returns uuid
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
  app_id constant uuid := rate_limiter_internal.configured_application(change.path);
begin
  if change.action = 'prune' then
    perform from rate_limiter_admin.remove_reservation(app_id, reason);
  else
    perform from rate_limiter_admin.set_reservation(
      app_id,
      reason,
      (change.after ->> 'reserved_iops')::bigint,
      (change.after ->> 'reserved_bps')::bigint,
      (change.after ->> 'reservation_seconds')::integer
    );
  end if;
  return app_id;
end;
$$;

comment on function rate_limiter_internal.apply_reservation(
  rate_limiter_internal.configuration_change, text
) is
  'Sets or ends the reservation of an application; answers the application.';
grant execute on function rate_limiter_internal.apply_reservation(
  rate_limiter_internal.configuration_change, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/apply_reservation.sql
--! Included rate_limiter_internal/configuration/apply_cost_rule.sql
create or replace function rate_limiter_internal.apply_cost_rule(
  change rate_limiter_internal.configuration_change,
  reason text
)
returns uuid
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
  id uuid := change.object_id;
  operation_id uuid;
begin
  if change.action = 'prune' then
    delete from rate_limiter.cost_rules as r where r.rule_id = id returning r.rule_id into id;
    return rate_limiter_internal.require_changed(id);
  elsif change.action = 'update' then
    update rate_limiter.cost_rules as r
    set
      c_base_override = (change.after ->> 'c_base')::numeric,
      c_bw_override = (change.after ->> 'c_bw')::numeric
    where r.rule_id = id
    returning r.rule_id into id;
    return rate_limiter_internal.require_changed(id);
  end if;

  select o.operation_id
  into operation_id
  from rate_limiter.operation_types as o
  where o.name = change.path[3];
  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown operation',
      detail = format('operation: %s', change.path[3]),
      hint = 'Use a name from operation_costs(), or have an operation added.';
  end if;

  insert into rate_limiter.cost_rules as r (operation_id, app_id, c_base_override, c_bw_override)
  values (
    operation_id,
    rate_limiter_internal.configured_application(change.path),
    (change.after ->> 'c_base')::numeric,
    (change.after ->> 'c_bw')::numeric
  )
  returning r.rule_id into id;
  return id;
end;
$$;

comment on function rate_limiter_internal.apply_cost_rule(
  rate_limiter_internal.configuration_change, text
) is
  'Makes, changes or removes a cost rule; answers its id.';
grant execute on function rate_limiter_internal.apply_cost_rule(
  rate_limiter_internal.configuration_change, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/apply_cost_rule.sql
--! Included rate_limiter_internal/configuration/apply_alert.sql
create or replace function rate_limiter_internal.apply_alert(
  change rate_limiter_internal.configuration_change,
  reason text
)
returns uuid
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
  id uuid := change.object_id;
  names constant integer := cardinality(change.path);
  channels jsonb;
begin
  if change.action = 'prune' then
    change.after := change.before || '{"is_active": false}';
  elsif change.action = 'create' then
    insert into rate_limiter.alert_configs as c (
      app_id, metric_name, condition, severity, threshold_value, duration_seconds,
      cooldown_seconds, notification_config
    )
    values (
      case change.kind
        when 'alert' then rate_limiter_internal.configured_application(change.path)
      end,
      change.path[names - 2],
      change.path[names - 1],
      change.path[names],
      (change.after ->> 'threshold_value')::double precision,
      (change.after ->> 'duration_seconds')::integer,
      (change.after ->> 'cooldown_seconds')::integer,
      '{}'
    )
    returning c.alert_id into id;
  end if;

  select change.after -> 'channels'
    || coalesce(jsonb_agg(n.channel order by n.channel_number), '[]')
  into channels
  from rate_limiter.alert_configs as c
  cross join lateral rate_limiter_internal.notification_channels(c.notification_config) as n
  where c.alert_id = id
    and n.channel ->> 'channel' not in ('email', 'log');

  update rate_limiter.alert_configs as c
  set
    threshold_value = (change.after ->> 'threshold_value')::double precision,
    duration_seconds = (change.after ->> 'duration_seconds')::integer,
    cooldown_seconds = (change.after ->> 'cooldown_seconds')::integer,
    is_active = (change.after ->> 'is_active')::boolean,
    notification_config = case channels
      when '[]' then '{}'
      else jsonb_build_object('channels', channels)
    end
  where c.alert_id = id
  returning c.alert_id into id;
  return rate_limiter_internal.require_changed(id);
end;
$$;

comment on function rate_limiter_internal.apply_alert(
  rate_limiter_internal.configuration_change, text
) is
  'Makes, changes or deactivates an alert; answers its id. Channels with secrets, which no '
  'configuration has, stay as they are.';
grant execute on function rate_limiter_internal.apply_alert(
  rate_limiter_internal.configuration_change, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/apply_alert.sql
--! Included rate_limiter_internal/configuration/apply_change.sql
create or replace function rate_limiter_internal.apply_change(
  change rate_limiter_internal.configuration_change,
  reason text,
  managed_by text,
  take_over boolean
)
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
  id uuid := change.object_id;
begin
  if change.is_managed_elsewhere and managed_by is not null and not take_over then
    raise exception using
      errcode = 'QS409',
      message = 'another configuration manages this',
      detail = format('managed by: %s', change.manager),
      hint = 'Change it there, or take it over.';
  end if;

  if change.action = 'adopt' then
    perform rate_limiter_internal.require_adoptable(change.kind);
  else
    id := case change.kind
      when 'role' then rate_limiter_internal.apply_role(change, reason)
      when 'cluster' then rate_limiter_internal.apply_cluster(change, reason)
      when 'tenant' then rate_limiter_internal.apply_tenant(change, reason)
      when 'application' then rate_limiter_internal.apply_application(change, reason)
      when 'quota' then rate_limiter_internal.apply_quota(change, reason)
      when 'cluster_quota' then rate_limiter_internal.apply_quota(change, reason)
      when 'default_quota' then rate_limiter_internal.apply_quota(change, reason)
      when 'ceiling' then rate_limiter_internal.apply_ceiling(change, reason)
      when 'reservation' then rate_limiter_internal.apply_reservation(change, reason)
      when 'cost_rule' then rate_limiter_internal.apply_cost_rule(change, reason)
      when 'alert' then rate_limiter_internal.apply_alert(change, reason)
      when 'default_alert' then rate_limiter_internal.apply_alert(change, reason)
    end;
  end if;
  if change.action <> 'prune' and managed_by is not null then
    perform rate_limiter_internal.set_manager(change.kind, id, managed_by);
  end if;
end;
$$;

comment on function rate_limiter_internal.apply_change(
  rate_limiter_internal.configuration_change, text, text, boolean
) is
  'Makes one change of a configuration as the caller may, and records what manages the object: '
  'nothing where managed_by is null, a change by hand.';
grant execute on function rate_limiter_internal.apply_change(
  rate_limiter_internal.configuration_change, text, text, boolean
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/apply_change.sql
--! Included rate_limiter_internal/configuration/changed_owners.sql
create or replace function rate_limiter_internal.changed_owners(
  changes rate_limiter_internal.configuration_change[]
)
returns table (
  kind text, is_new boolean, is_move boolean, is_activity boolean, tenant_id uuid,
  cluster_id uuid, app_id uuid, operation_id uuid
)
language sql
stable
parallel safe
as $$
  select
    c.kind,
    c.action = 'create',
    coalesce(c.kind = 'application' and c.before -> 'cluster' <> c.after -> 'cluster', false),
    c.kind in ('application', 'tenant')
      and c.action in ('update', 'prune')
      and c.before -> 'is_active' is distinct from coalesce(c.after -> 'is_active', 'false'),
    t.tenant_id,
    coalesce(k.cluster_id, a.cluster_id),
    a.app_id,
    o.operation_id
  from unnest(changes) as c
  left join rate_limiter.tenants as t
    on t.name = c.path[1]
    and c.kind in (
      'tenant', 'application', 'quota', 'ceiling', 'reservation', 'cost_rule', 'alert'
    )
  left join rate_limiter.applications as a
    on a.tenant_id = t.tenant_id
    and a.name = c.path[2]
    and c.kind <> 'ceiling'
  left join rate_limiter.clusters as k
    on k.name = case
      when c.kind in ('cluster', 'cluster_quota', 'default_quota') then c.path[1]
      when c.kind = 'application' and c.action = 'create' then c.after ->> 'cluster'
    end
  left join rate_limiter.operation_types as o on c.kind = 'cost_rule' and o.name = c.path[3]
  where (select rate_limiter_internal.is_system_admin())
    or t.tenant_id = (select rate_limiter_internal.current_tenant_id())
    and (
      (select rate_limiter_internal.may('application', 'update'))
      or (select rate_limiter_internal.may('quota', 'update'))
    );
$$;

comment on function rate_limiter_internal.changed_owners(
  rate_limiter_internal.configuration_change[]
) is
  'Whose rows the changes of a configuration lock, as far as the caller may change them: tenants, '
  'clusters, applications, operations. None where it is not there yet.';
--! EndIncluded rate_limiter_internal/configuration/changed_owners.sql
--! Included rate_limiter_internal/configuration/lock_changed.sql
create or replace function rate_limiter_internal.lock_changed(
  changes rate_limiter_internal.configuration_change[]
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  of_cluster constant text[] := '{cluster,cluster_quota,default_quota,reservation}';
  owners record;
  locked_id uuid;
begin
  if rate_limiter_internal.is_system_admin() then
    select bool_or(o.is_move) as moves, bool_or(o.kind = any (of_cluster)) as changes_cluster
    into owners
    from rate_limiter_internal.changed_owners(changes) as o;
    if owners.moves or owners.changes_cluster then
      perform rate_limiter_internal.lock_placement(is_changed => owners.moves);
    end if;
  end if;

  -- With the placement: applications stay where they are now.
  select
    array_agg(distinct o.tenant_id)
      filter (where o.kind in ('tenant', 'ceiling') or o.kind = 'application' and o.is_new)
      as tenant_ids,
    array_agg(distinct o.tenant_id)
      filter (where o.kind = 'ceiling' or o.kind = 'tenant' and o.is_activity) as whole_tenant_ids,
    array_agg(distinct o.tenant_id)
      filter (where o.kind in ('application', 'quota', 'ceiling')) as ceiling_tenant_ids,
    array_agg(distinct o.cluster_id) filter (where o.kind = any (of_cluster)) as cluster_ids,
    array_agg(distinct o.cluster_id)
      filter (where o.kind = 'application' and o.is_new) as shared_cluster_ids,
    array_agg(distinct o.cluster_id)
      filter (where o.kind in ('cluster_quota', 'default_quota')) as whole_cluster_ids,
    array_agg(distinct o.cluster_id) filter (where o.kind = 'default_quota') as default_cluster_ids,
    array_agg(distinct o.app_id) as app_ids,
    array_agg(distinct o.operation_id) as operation_ids,
    coalesce(bool_or(o.kind = 'application' and o.is_new), false) as adds_applications
  into owners
  from rate_limiter_internal.changed_owners(changes) as o;

  perform from rate_limiter.tenants as t
  where t.tenant_id = any (owners.tenant_ids)
  order by t.tenant_id
  for no key update;

  for locked_id in
    select distinct c.id
    from unnest(owners.cluster_ids || owners.shared_cluster_ids) as c (id)
    where c.id is not null
    order by c.id
  loop
    if locked_id = any (owners.cluster_ids) then
      perform from rate_limiter.clusters as c where c.cluster_id = locked_id for no key update;
    else
      perform from rate_limiter.clusters as c where c.cluster_id = locked_id for share;
    end if;
  end loop;
  if owners.adds_applications then
    perform from rate_limiter.system_settings as s where s.key = 'without_quota' for share;
  end if;

  perform from rate_limiter.applications as a
  where a.app_id = any (owners.app_ids)
    or a.tenant_id = any (owners.whole_tenant_ids)
    or a.cluster_id = any (owners.whole_cluster_ids)
  order by a.app_id
  for no key update;
  perform from rate_limiter.operation_types as o
  where o.operation_id = any (owners.operation_ids)
  order by o.operation_id
  for share;
  perform rate_limiter_internal.lock_ceilings(owners.ceiling_tenant_ids || array(
    select distinct a.tenant_id
    from rate_limiter.applications as a
    where a.cluster_id = any (owners.default_cluster_ids)
  ));
end;
$$;

comment on function rate_limiter_internal.lock_changed(
  rate_limiter_internal.configuration_change[]
) is
  'Locks what the changes of a configuration lock ahead of buckets, in the lock order of chapter '
  'buckets: made one after the other, they would take it in the order in which they are made. '
  'Locks nothing that the caller may not change.';
grant execute on function rate_limiter_internal.lock_changed(
  rate_limiter_internal.configuration_change[]
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/lock_changed.sql
--! Included rate_limiter_internal/configuration/lock_changed_buckets.sql
create or replace function rate_limiter_internal.lock_changed_buckets(
  changes rate_limiter_internal.configuration_change[],
  with_layer1 boolean
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  owners record;
begin
  perform rate_limiter_internal.commit_locally();
  select
    array_agg(distinct o.app_id) filter (
      where o.kind = 'quota' or o.kind = 'application' and o.is_activity and not o.is_move
    ) as app_ids,
    array_agg(distinct o.cluster_id) filter (where o.kind = 'default_quota') as default_cluster_ids,
    array_agg(distinct o.cluster_id) filter (
      where o.kind in ('cluster_quota', 'reservation') or o.kind = 'application' and o.is_activity
    ) as cluster_ids,
    array_agg(distinct o.tenant_id)
      filter (where o.kind = 'tenant' and o.is_activity) as tenant_ids
  into owners
  from rate_limiter_internal.changed_owners(changes) as o;

  perform from rate_limiter.token_buckets as b
  where (b.shard_key, b.owner_id) in (
      select a.shard_key, a.app_id
      from rate_limiter.applications as a
      where a.app_id = any (owners.app_ids) or a.cluster_id = any (owners.default_cluster_ids)
    )
    and rate_limiter_internal.lock_rank(b.bucket_type) = 1
  order by b.owner_id, b.bucket_type, b.mode
  for update;

  if with_layer1 then
    owners.cluster_ids := owners.cluster_ids || array(
      select distinct a.cluster_id
      from rate_limiter.applications as a
      where a.tenant_id = any (owners.tenant_ids)
    );
    perform rate_limiter_internal.lock_layer1(owners.cluster_ids);
    perform from rate_limiter.token_buckets as b
    where b.reserve_cluster_id = any (owners.cluster_ids)
    order by b.owner_id, b.bucket_type
    for update;
  end if;
end;
$$;

comment on function rate_limiter_internal.lock_changed_buckets(
  rate_limiter_internal.configuration_change[], boolean
) is
  'Locks the buckets that the changes of a configuration lock, in the lock order: layer 2, and '
  'with_layer1 layer 1 and reserves too. Those of an application that moves are the move''s, which '
  'lets go of them while it waits. lock_changed() comes before it.';
--! EndIncluded rate_limiter_internal/configuration/lock_changed_buckets.sql
--! Included rate_limiter_internal/configuration/lock_ahead.sql
create or replace function rate_limiter_internal.lock_ahead(
  changes rate_limiter_internal.configuration_change[],
  change rate_limiter_internal.configuration_change,
  locked integer
)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  needed constant integer := case
    when change.action = 'adopt' then 0
    when change.kind in ('cluster_quota', 'reservation') then 2
    when change.kind in ('quota', 'default_quota') then 1
    when change.kind in ('application', 'tenant')
      and change.action in ('update', 'prune')
      and change.before -> 'is_active'
        is distinct from coalesce(change.after -> 'is_active', 'false') then 2
    else 0
  end;
begin
  if needed <= locked then
    return locked;
  end if;
  perform rate_limiter_internal.lock_changed_buckets(changes, with_layer1 => needed = 2);
  return needed;
end;
$$;

comment on function rate_limiter_internal.lock_ahead(
  rate_limiter_internal.configuration_change[], rate_limiter_internal.configuration_change,
  integer
) is
  'Before a change of a configuration is made, locks the buckets of all of them, as far as this '
  'one comes: none (0), layer 2 (1), or layer 1 and reserves too (2). locked is what the last '
  'answered. Decisions wait for buckets, so they are left alone until then.';
grant execute on function rate_limiter_internal.lock_ahead(
  rate_limiter_internal.configuration_change[], rate_limiter_internal.configuration_change,
  integer
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/lock_ahead.sql
--! Included rate_limiter_internal/configuration/change_problems.sql
create or replace function rate_limiter_internal.change_problems(
  changes rate_limiter_internal.configuration_change[],
  reason text,
  managed_by text,
  take_over boolean
)
returns jsonb
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
  problems jsonb := '[]';
  refused text[] := '{}';
  change rate_limiter_internal.configuration_change;
  code text;
  problem text;
  said text;
  advice text;
  locked integer := 0;
begin
  foreach change in array changes loop
    exit when jsonb_array_length(problems) = rate_limiter_internal.most_problems();
    -- What is part of something refused would be refused for that alone.
    continue when change.path[1] = any (refused)
      or change.path[1] || '/' || change.path[2] = any (refused)
      or change.after ->> 'cluster' = any (refused);
    locked := rate_limiter_internal.lock_ahead(changes, change, locked);
    begin
      perform rate_limiter_internal.apply_change(change, reason, managed_by, take_over);
    exception
      when sqlstate 'QS403' or sqlstate 'QS404' or sqlstate 'QS409' or sqlstate 'QS422'
        or insufficient_privilege or integrity_constraint_violation or data_exception
      then
        get stacked diagnostics
          code = returned_sqlstate, problem = message_text, said = pg_exception_detail,
          advice = pg_exception_hint;
        problems := problems || (
          rate_limiter_internal.problem(change.entry, code, problem, said)
          || jsonb_strip_nulls(jsonb_build_object(
            'kind', change.kind, 'path', change.path,
            'hint', case when code like 'QS%' then nullif(advice, '') end
          ))
        );
        if change.kind in ('tenant', 'cluster', 'application') then
          refused := refused || array_to_string(change.path, '/');
        end if;
    end;
  end loop;
  return problems;
end;
$$;

comment on function rate_limiter_internal.change_problems(
  rate_limiter_internal.configuration_change[], text, text, boolean
) is
  'Tries changes one by one; answers which are refused, and why, for the first hundred. Those that '
  'are not refused stay made until the caller undoes them.';
grant execute on function rate_limiter_internal.change_problems(
  rate_limiter_internal.configuration_change[], text, text, boolean
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/configuration/change_problems.sql
--! Included rate_limiter_admin/configuration/configuration.sql
create or replace function rate_limiter_admin.configuration()
returns table (kind text, path text[], spec jsonb, managed_by text)
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select o.kind, o.path, o.spec, m.managed_by
  from rate_limiter_internal.configured_objects() as o
  left join rate_limiter_internal.managers() as m
    on m.kind = o.kind and m.object_id = o.object_id
  where rate_limiter_internal.is_permitted('application', 'read')
  order by o.kind, o.path;
$$;

comment on function rate_limiter_admin.configuration() is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'All that stands of what a configuration can hold and the caller may see, and which '
  'configuration manages it. Amounts are text. In the order of kinds and names.';
grant execute on function rate_limiter_admin.configuration() to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/configuration/configuration.sql
--! Included rate_limiter_admin/configuration/compare_configuration.sql
create or replace function rate_limiter_admin.compare_configuration(
  wanted jsonb,
  managed_by text default null,
  prune boolean default false
)
returns table (
  entry integer, action text, kind text, path text[], before jsonb, after jsonb,
  manager text
)
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select c.entry, c.action, c.kind, c.path, c.before, c.after, c.manager
  from rate_limiter_internal.configuration_changes(
    rate_limiter_internal.require_wanted(compare_configuration.wanted),
    compare_configuration.managed_by, compare_configuration.prune
  ) as c
  where rate_limiter_internal.is_permitted('application', 'read');
$$;

comment on function rate_limiter_admin.compare_configuration(jsonb, text, boolean) is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'What applyConfiguration would change, in the order in which it would.';
grant execute on function rate_limiter_admin.compare_configuration(jsonb, text, boolean)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/configuration/compare_configuration.sql
--! Included rate_limiter_admin/configuration/apply_configuration.sql
create or replace function rate_limiter_admin.apply_configuration(
  wanted jsonb,
  reason text,
  managed_by text default null,
  prune boolean default false,
  take_over boolean default false
)
returns table (entry integer, action text, kind text, path text[], before jsonb, after jsonb)
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  changes rate_limiter_internal.configuration_change[];
  change rate_limiter_internal.configuration_change;
  problems jsonb;
  locked integer := 0;
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.is_permitted('application', 'read');
  perform rate_limiter_internal.require_reason(reason);
  perform rate_limiter_internal.lock_configuration();
  changes := array(
    select c
    from rate_limiter_internal.configuration_changes(
      rate_limiter_internal.require_wanted(apply_configuration.wanted),
      apply_configuration.managed_by, apply_configuration.prune
    ) as c
  );
  perform rate_limiter_internal.lock_changed(changes);

  -- One subtransaction for all: a thousand would slow every session of the server down.
  begin
    if cardinality(changes) > 1 then
      perform rate_limiter_internal.defer_ceilings();
    end if;
    foreach change in array changes loop
      locked := rate_limiter_internal.lock_ahead(changes, change, locked);
      perform rate_limiter_internal.apply_change(
        change, apply_configuration.reason, apply_configuration.managed_by,
        apply_configuration.take_over
      );
    end loop;
    perform rate_limiter_internal.check_deferred_ceilings();
    return query
    select c.entry, c.action, c.kind, c.path, c.before, c.after
    from unnest(changes) as c;
    return;
  exception
    when sqlstate 'QS403' or sqlstate 'QS404' or sqlstate 'QS409' or sqlstate 'QS422'
      or insufficient_privilege or integrity_constraint_violation or data_exception
    then null;
  end;

  -- Which are refused, one by one; nothing of it stays. Where none is, all of it does: ceilings
  -- were exceeded as they are now, and none was at its time.
  problems := rate_limiter_internal.change_problems(
    changes, apply_configuration.reason, apply_configuration.managed_by,
    apply_configuration.take_over
  );
  if problems <> '[]' then
    perform rate_limiter_internal.refuse_batch(problems);
  end if;
  return query
  select c.entry, c.action, c.kind, c.path, c.before, c.after
  from unnest(changes) as c;
end;
$$;

comment on function rate_limiter_admin.apply_configuration(
  jsonb, text, text, boolean, boolean
) is
  E'@resultFieldName results\n'
  'Makes what stands as a configuration wants it, all or nothing, as far as the caller may; '
  'answers what was changed. wanted: an array of {"kind", "path", "spec"}, or its text, the '
  'spec null for what is to go. What it does not name stays, but for what '
  'managed_by manages where it prunes. What '
  'another configuration manages is refused unless it is taken over. Without managed_by it is a '
  'change by hand, which neither is refused nor manages anything. Where changes are refused, '
  'nothing is changed, and detail says which and why, as JSON, for the first hundred of them.';
grant execute on function rate_limiter_admin.apply_configuration(
  jsonb, text, text, boolean, boolean
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/configuration/apply_configuration.sql
