--! Previous: sha1:70cf1530bca4b42ac202660ef168cdcb77de8ce4
--! Hash: sha1:c29bbe0f0e08acd4651c1119fc99dc74c4fc5976
--! Message: functions, views, policies and grants

-- The migration being written.
--! Included all.sql
-- Every replaceable object, one file each, in dependency order.

-- Settings
--! Included rate_limiter_internal/functions/setting_problem.sql
create or replace function rate_limiter_internal.setting_problem(
  value text,
  value_type text,
  minimum numeric,
  maximum numeric
)
returns text
language sql
immutable
parallel safe
return case
  when value is null then 'a value is required'
  when value_type = 'boolean' and value not in ('true', 'false') then 'must be true or false'
  when value_type = 'integer' and value !~ '^-?\d{1,18}$' then 'must be a whole number'
  when value_type = 'numeric' and value !~ '^-?\d{1,18}(\.\d{1,9})?$' then
    'must be a plain decimal number with at most nine digits after the point'
  when value_type in ('integer', 'numeric') and value::numeric < minimum then
    'must be at least ' || minimum
  when value_type in ('integer', 'numeric') and value::numeric > maximum then
    'must be at most ' || maximum
end;

comment on function rate_limiter_internal.setting_problem(text, text, numeric, numeric) is
  'Why a value does not fit a setting of this type and bounds; null where it fits.';
--! EndIncluded rate_limiter_internal/functions/setting_problem.sql
--! Included rate_limiter_internal/functions/setting_integer.sql
create or replace function rate_limiter_internal.setting_integer(key text)
returns bigint
language plpgsql
stable
strict
parallel safe
as $$
declare
  found_value bigint;
begin
  select s.value::bigint into found_value
  from rate_limiter.system_settings as s
  where s.key = setting_integer.key;

  if not found then
    raise exception using
      errcode = 'QS503',
      message = 'unknown setting',
      detail = format('key: %s', setting_integer.key),
      hint = 'The code is newer than the data: migrate the database.';
  end if;

  return found_value;
end;
$$;

comment on function rate_limiter_internal.setting_integer(text) is
  'Value of an integer setting.';
--! EndIncluded rate_limiter_internal/functions/setting_integer.sql
--! Included rate_limiter_internal/functions/setting_numeric.sql
create or replace function rate_limiter_internal.setting_numeric(key text)
returns numeric
language plpgsql
stable
strict
parallel safe
as $$
declare
  found_value numeric;
begin
  select s.value::numeric into found_value
  from rate_limiter.system_settings as s
  where s.key = setting_numeric.key;

  if not found then
    raise exception using
      errcode = 'QS503',
      message = 'unknown setting',
      detail = format('key: %s', setting_numeric.key),
      hint = 'The code is newer than the data: migrate the database.';
  end if;

  return found_value;
end;
$$;

comment on function rate_limiter_internal.setting_numeric(text) is
  'Value of a numeric or integer setting.';
--! EndIncluded rate_limiter_internal/functions/setting_numeric.sql
--! Included rate_limiter_internal/functions/setting_boolean.sql
create or replace function rate_limiter_internal.setting_boolean(key text)
returns boolean
language plpgsql
stable
strict
parallel safe
as $$
declare
  found_value boolean;
begin
  select s.value::boolean into found_value
  from rate_limiter.system_settings as s
  where s.key = setting_boolean.key;

  if not found then
    raise exception using
      errcode = 'QS503',
      message = 'unknown setting',
      detail = format('key: %s', setting_boolean.key),
      hint = 'The code is newer than the data: migrate the database.';
  end if;

  return found_value;
end;
$$;

comment on function rate_limiter_internal.setting_boolean(text) is
  'Value of a boolean setting.';
--! EndIncluded rate_limiter_internal/functions/setting_boolean.sql
--! Included rate_limiter_internal/functions/setting_text.sql
create or replace function rate_limiter_internal.setting_text(key text)
returns text
language plpgsql
stable
strict
parallel safe
as $$
declare
  found_value text;
begin
  select s.value into found_value
  from rate_limiter.system_settings as s
  where s.key = setting_text.key;

  if not found then
    raise exception using
      errcode = 'QS503',
      message = 'unknown setting',
      detail = format('key: %s', setting_text.key),
      hint = 'The code is newer than the data: migrate the database.';
  end if;

  return found_value;
end;
$$;

comment on function rate_limiter_internal.setting_text(text) is
  'Value of a setting of any type, as text.';
--! EndIncluded rate_limiter_internal/functions/setting_text.sql
--! Included rate_limiter_internal/functions/setting_interval_seconds.sql
create or replace function rate_limiter_internal.setting_interval_seconds(key text)
returns interval
language plpgsql
stable
strict
parallel safe
as $$
declare
  found_value interval;
begin
  select make_interval(secs => s.value::double precision) into found_value
  from rate_limiter.system_settings as s
  where s.key = setting_interval_seconds.key;

  if not found then
    raise exception using
      errcode = 'QS503',
      message = 'unknown setting',
      detail = format('key: %s', setting_interval_seconds.key),
      hint = 'The code is newer than the data: migrate the database.';
  end if;

  return found_value;
end;
$$;

comment on function rate_limiter_internal.setting_interval_seconds(text) is
  'Value of a setting that counts seconds, as an interval.';
--! EndIncluded rate_limiter_internal/functions/setting_interval_seconds.sql

-- Who is asking, and what they may
--! Included rate_limiter_internal/functions/context_text.sql
create or replace function rate_limiter_internal.context_text(name text)
returns text
language sql
stable
parallel safe
return nullif(current_setting('rate_limiter.' || name, true), '');

comment on function rate_limiter_internal.context_text(text) is
  'What the API said of this request (user_id, session_id, request_id, ip_address, user_agent, '
  'change_reason); null where it did not.';
--! EndIncluded rate_limiter_internal/functions/context_text.sql
--! Included rate_limiter_internal/functions/current_user_id.sql
create or replace function rate_limiter_internal.current_user_id()
returns uuid
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select u.user_id
  from rate_limiter.users as u
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  where u.user_id = nullif(current_setting('rate_limiter.user_id', true), '')::uuid
    and u.is_active
    and t.is_active
    -- A logout takes effect at once, not when the access token lapses.
    and (
      nullif(current_setting('rate_limiter.session_id', true), '') is null
      or exists (
        select
        from rate_limiter_private.user_sessions as s
        where s.session_id = nullif(current_setting('rate_limiter.session_id', true), '')::uuid
          and s.user_id = u.user_id
          and s.revoked_at is null
          and s.expires_at > current_timestamp
      )
    );
$$;

comment on function rate_limiter_internal.current_user_id() is
  'The signed-in user of this transaction; null where there is none, or the user, the tenant or '
  'the session is no longer active.';
grant execute on function rate_limiter_internal.current_user_id() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/functions/current_user_id.sql
--! Included rate_limiter_internal/functions/current_tenant_id.sql
create or replace function rate_limiter_internal.current_tenant_id()
returns uuid
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select u.tenant_id
  from rate_limiter.users as u
  where u.user_id = rate_limiter_internal.current_user_id();
$$;

comment on function rate_limiter_internal.current_tenant_id() is
  'The tenant of the signed-in user.';
grant execute on function rate_limiter_internal.current_tenant_id() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/functions/current_tenant_id.sql
--! Included rate_limiter_internal/functions/current_tenant_name.sql
create or replace function rate_limiter_internal.current_tenant_name()
returns text
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select t.name
  from rate_limiter.tenants as t
  where t.tenant_id = rate_limiter_internal.current_tenant_id();
$$;

comment on function rate_limiter_internal.current_tenant_name() is
  'The name of the tenant of the signed-in user.';
grant execute on function rate_limiter_internal.current_tenant_name() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/functions/current_tenant_name.sql
--! Included rate_limiter_internal/functions/current_cluster_ids.sql
create or replace function rate_limiter_internal.current_cluster_ids()
returns uuid[]
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(distinct a.cluster_id), '{}')
  from rate_limiter.applications as a
  where a.tenant_id = rate_limiter_internal.current_tenant_id()
    and a.cluster_id is not null;
$$;

comment on function rate_limiter_internal.current_cluster_ids() is
  'The clusters that host an application of the signed-in user''s tenant.';
grant execute on function rate_limiter_internal.current_cluster_ids() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/functions/current_cluster_ids.sql
--! Included rate_limiter_internal/functions/has_permission.sql
create or replace function rate_limiter_internal.has_permission(
  user_id uuid,
  resource text,
  action text
)
returns boolean
language sql
stable
parallel safe
as $$
  select exists (
    select
    from rate_limiter.users as u
    join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
    join rate_limiter.user_roles as ur on ur.user_id = u.user_id
    join rate_limiter.role_permissions as rp on rp.role_id = ur.role_id
    join rate_limiter.permissions as p on p.permission_id = rp.permission_id
    where u.user_id = has_permission.user_id
      and u.is_active
      and t.is_active
      and (ur.expires_at is null or ur.expires_at > current_timestamp)
      and p.resource = has_permission.resource
      and p.action = has_permission.action
  );
$$;

comment on function rate_limiter_internal.has_permission(uuid, text, text) is
  'Whether one of the user''s roles allows this, while the user, the tenant and the role last.';
--! EndIncluded rate_limiter_internal/functions/has_permission.sql
--! Included rate_limiter_internal/functions/may.sql
create or replace function rate_limiter_internal.may(resource text, action text)
returns boolean
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select rate_limiter_internal.has_permission(
    rate_limiter_internal.current_user_id(), may.resource, may.action
  );
$$;

comment on function rate_limiter_internal.may(text, text) is
  'Whether the signed-in user may do this. Write it as (select may(…)) in a policy: then it is '
  'asked once a statement, not once a row.';
grant execute on function rate_limiter_internal.may(text, text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/functions/may.sql
--! Included rate_limiter_internal/functions/is_system_admin.sql
create or replace function rate_limiter_internal.is_system_admin()
returns boolean
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from rate_limiter.user_roles as ur
    join rate_limiter.roles as r on r.role_id = ur.role_id
    where ur.user_id = rate_limiter_internal.current_user_id()
      and (ur.expires_at is null or ur.expires_at > current_timestamp)
      and r.name = 'system_admin'
      and r.is_system
  );
$$;

comment on function rate_limiter_internal.is_system_admin() is
  'Whether the signed-in user is a system administrator: the one role that sees every tenant.';
grant execute on function rate_limiter_internal.is_system_admin() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/functions/is_system_admin.sql
--! Included rate_limiter_internal/functions/may_grant_role.sql
create or replace function rate_limiter_internal.may_grant_role(role_id uuid)
returns boolean
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select rate_limiter_internal.is_system_admin()
    or exists (
      select
      from rate_limiter.roles as r
      where r.role_id = may_grant_role.role_id
        and r.name <> 'system_admin'
        and not exists (
          select
          from rate_limiter.role_permissions as rp
          join rate_limiter.permissions as p on p.permission_id = rp.permission_id
          where rp.role_id = r.role_id
            and not rate_limiter_internal.may(p.resource, p.action)
        )
    );
$$;

comment on function rate_limiter_internal.may_grant_role(uuid) is
  'Whether the signed-in user may hand out this role: nobody gives what they do not hold, and '
  'only a system administrator makes another.';
grant execute on function rate_limiter_internal.may_grant_role(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/functions/may_grant_role.sql
--! Included rate_limiter_internal/functions/may_manage_user.sql
create or replace function rate_limiter_internal.may_manage_user(user_id uuid)
returns boolean
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select rate_limiter_internal.may('tenant', 'update')
    and (
      rate_limiter_internal.is_system_admin()
      or exists (
        select
        from rate_limiter.users as u
        where u.user_id = may_manage_user.user_id
          and u.tenant_id = rate_limiter_internal.current_tenant_id()
          -- Expired roles count too: their holder may get them back.
          and not exists (
            select
            from rate_limiter.user_roles as ur
            where ur.user_id = u.user_id
              and not rate_limiter_internal.may_grant_role(ur.role_id)
          )
      )
    );
$$;

comment on function rate_limiter_internal.may_manage_user(uuid) is
  'Whether the signed-in user may change this one: somebody of the same tenant who holds no role '
  'that the signed-in user could not give.';
grant execute on function rate_limiter_internal.may_manage_user(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/functions/may_manage_user.sql
--! Included rate_limiter_internal/functions/require_permission.sql
create or replace function rate_limiter_internal.require_permission(resource text, action text)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if rate_limiter_internal.current_user_id() is null then
    raise exception using
      errcode = 'QS401',
      message = 'not signed in',
      hint = 'Sign in, or refresh the session.';
  end if;

  if not rate_limiter_internal.may(require_permission.resource, require_permission.action) then
    raise exception using
      errcode = 'QS403',
      message = 'permission denied',
      detail = format(
        'needs: %s:%s', require_permission.resource, require_permission.action
      ),
      hint = 'Ask an administrator of your tenant for a role that allows it.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_permission(text, text) is
  'Refuses whoever is not signed in (QS401) or not allowed to do this (QS403).';
--! EndIncluded rate_limiter_internal/functions/require_permission.sql
--! Included rate_limiter_internal/functions/require_system_admin.sql
create or replace function rate_limiter_internal.require_system_admin(
  resource text,
  action text
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  perform rate_limiter_internal.require_permission(
    require_system_admin.resource, require_system_admin.action
  );

  if not rate_limiter_internal.is_system_admin() then
    raise exception using
      errcode = 'QS403',
      message = 'only a system administrator may do this',
      hint = 'It concerns every tenant.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_system_admin(text, text) is
  'Refuses whoever may not do this, or is no system administrator (QS401, QS403).';
--! EndIncluded rate_limiter_internal/functions/require_system_admin.sql
--! Included rate_limiter_internal/functions/require_application.sql
create or replace function rate_limiter_internal.require_application(
  app_id uuid,
  resource text,
  action text
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  perform rate_limiter_internal.require_permission(
    require_application.resource, require_application.action
  );

  -- Another tenant's application is as unknown as one that never was.
  if not exists (
    select
    from rate_limiter.applications as a
    where a.app_id = require_application.app_id
      and (
        rate_limiter_internal.is_system_admin()
        or a.tenant_id = rate_limiter_internal.current_tenant_id()
      )
  ) then
    raise exception using
      errcode = 'QS404',
      message = 'unknown application',
      detail = format('application: %s', require_application.app_id),
      hint = 'Check the id: applications of other tenants are not to be seen.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_application(uuid, text, text) is
  'Refuses whoever may not do this (QS401, QS403) or not to this application (QS404).';
--! EndIncluded rate_limiter_internal/functions/require_application.sql
--! Included rate_limiter_internal/functions/require_cluster.sql
create or replace function rate_limiter_internal.require_cluster(cluster_id uuid)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if not exists (
    select
    from rate_limiter.clusters as c
    where c.cluster_id = require_cluster.cluster_id
      and c.is_active
      and (
        rate_limiter_internal.is_system_admin()
        or c.cluster_id = any (rate_limiter_internal.current_cluster_ids())
      )
  ) then
    raise exception using
      errcode = 'QS404',
      message = 'unknown cluster',
      detail = format('cluster: %s', require_cluster.cluster_id),
      hint = 'Name an active cluster that hosts your tenant.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_cluster(uuid) is
  'Refuses a cluster that is not active or that does not host the signed-in user''s tenant.';
--! EndIncluded rate_limiter_internal/functions/require_cluster.sql
--! Included rate_limiter_internal/functions/require_manageable_user.sql
create or replace function rate_limiter_internal.require_manageable_user(user_id uuid)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  perform rate_limiter_internal.require_permission('tenant', 'update');

  if not exists (
    select
    from rate_limiter.users as u
    where u.user_id = require_manageable_user.user_id
      and (
        rate_limiter_internal.is_system_admin()
        or u.tenant_id = rate_limiter_internal.current_tenant_id()
      )
  ) then
    raise exception using
      errcode = 'QS404',
      message = 'unknown user',
      detail = format('user: %s', require_manageable_user.user_id),
      hint = 'Check the id: users of other tenants are not to be seen.';
  end if;

  if not rate_limiter_internal.may_manage_user(require_manageable_user.user_id) then
    raise exception using
      errcode = 'QS403',
      message = 'user holds more than you may give',
      detail = format('user: %s', require_manageable_user.user_id),
      hint = 'Ask a system administrator.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_manageable_user(uuid) is
  'Refuses whoever may not change this user (QS401, QS403, QS404).';
--! EndIncluded rate_limiter_internal/functions/require_manageable_user.sql

-- Audit and versions
--! Included rate_limiter_internal/functions/tenant_of.sql
create or replace function rate_limiter_internal.tenant_of(entity jsonb)
returns uuid
language sql
stable
parallel safe
as $$
  select case
    when entity ? 'tenant_id' then (entity ->> 'tenant_id')::uuid
    when entity ->> 'app_id' is not null then coalesce(
      (
        select a.tenant_id
        from rate_limiter.applications as a
        where a.app_id = (entity ->> 'app_id')::uuid
      ),
      -- Deleted along with its application: then by somebody of the same tenant.
      rate_limiter_internal.current_tenant_id()
    )
    when entity ->> 'user_id' is not null then coalesce(
      (
        select u.tenant_id
        from rate_limiter.users as u
        where u.user_id = (entity ->> 'user_id')::uuid
      ),
      rate_limiter_internal.current_tenant_id()
    )
  end;
$$;

comment on function rate_limiter_internal.tenant_of(jsonb) is
  'The tenant that a row belongs to, by its tenant_id, app_id or user_id; null where it belongs '
  'to the whole system.';
--! EndIncluded rate_limiter_internal/functions/tenant_of.sql
--! Included rate_limiter_internal/functions/write_audit.sql
create or replace function rate_limiter_internal.write_audit(
  action text,
  entity_type text,
  entity_id uuid,
  tenant_id uuid,
  app_id uuid,
  old_values jsonb default null,
  new_values jsonb default null,
  status text default 'success',
  error_message text default null
)
returns void
language sql
volatile
parallel unsafe
as $$
  insert into rate_limiter_audit.audit_logs (
    tenant_id, app_id, user_id, action, entity_type, entity_id, old_values, new_values,
    ip_address, user_agent, request_id, status, error_message, created_at
  )
  values (
    write_audit.tenant_id,
    write_audit.app_id,
    rate_limiter_internal.context_text('user_id')::uuid,
    write_audit.action,
    write_audit.entity_type,
    write_audit.entity_id,
    write_audit.old_values,
    write_audit.new_values,
    coalesce(rate_limiter_internal.context_text('ip_address')::inet, inet_client_addr()),
    -- Whoever works in SQL is known at least by the database role.
    coalesce(
      rate_limiter_internal.context_text('user_agent'),
      format('database role %s', session_user)
    ),
    rate_limiter_internal.context_text('request_id'),
    write_audit.status,
    write_audit.error_message,
    clock_timestamp()
  );
$$;

comment on function rate_limiter_internal.write_audit(
  text, text, uuid, uuid, uuid, jsonb, jsonb, text, text
) is
  'Writes one audit row about what the caller just did. Values must hold no secret.';
--! EndIncluded rate_limiter_internal/functions/write_audit.sql
--! Included rate_limiter_internal/functions/audit_values.sql
create or replace function rate_limiter_internal.audit_values(entity jsonb, hidden text[])
returns jsonb
language sql
immutable
parallel safe
return entity
  - hidden
  - array['updated_at', 'last_login_at', 'login_count']
  - case when (entity ->> 'is_sensitive')::boolean then array['value'] else '{}' end;

comment on function rate_limiter_internal.audit_values(jsonb, text[]) is
  'What of a row may be audited: no secret, and nothing that changes by itself.';
--! EndIncluded rate_limiter_internal/functions/audit_values.sql
--! Included rate_limiter_internal/functions/changed_values.sql
create or replace function rate_limiter_internal.changed_values(entity jsonb, other jsonb)
returns jsonb
language sql
immutable
parallel safe
as $$
  select coalesce(jsonb_object_agg(e.key, e.value), '{}')
  from jsonb_each(entity) as e
  where other -> e.key is distinct from e.value;
$$;

comment on function rate_limiter_internal.changed_values(jsonb, jsonb) is
  'The keys of one object whose values differ in the other.';
--! EndIncluded rate_limiter_internal/functions/changed_values.sql
--! Included rate_limiter_internal/functions/audit_change.sql
create or replace function rate_limiter_internal.audit_change()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
  key_column constant text := tg_argv[0];
  hidden constant text[] := tg_argv[1:];
  old_row constant jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  new_row constant jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  entity constant jsonb := coalesce(new_row, old_row);
  old_values jsonb := rate_limiter_internal.audit_values(old_row, hidden);
  new_values jsonb := rate_limiter_internal.audit_values(new_row, hidden);
  -- Says that a secret changed, without saying what it is.
  secrets_changed text[];
begin
  if tg_op = 'UPDATE' then
    select array_agg(column_name order by column_name)
    into secrets_changed
    from unnest(hidden || array['value']) as column_name
    where old_row -> column_name is distinct from new_row -> column_name
      and not new_values ? column_name;

    select
      rate_limiter_internal.changed_values(old_values, new_values),
      rate_limiter_internal.changed_values(new_values, old_values)
        || case
          when secrets_changed is null then '{}'
          else jsonb_build_object('secrets_changed', secrets_changed)
        end
    into old_values, new_values;

    if new_values = '{}' and old_values = '{}' then
      return null;
    end if;
  end if;

  perform rate_limiter_internal.write_audit(
    lower(tg_op),
    tg_table_name::text,
    (entity ->> key_column)::uuid,
    rate_limiter_internal.tenant_of(entity),
    (entity ->> 'app_id')::uuid,
    old_values,
    new_values
  );

  return null;
end;
$$;

comment on function rate_limiter_internal.audit_change() is
  'Trigger: writes an audit row for a change. Arguments: the key column, then the columns whose '
  'values are never shown.';
--! EndIncluded rate_limiter_internal/functions/audit_change.sql
--! Included rate_limiter_internal/functions/quota_as_json.sql
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
--! EndIncluded rate_limiter_internal/functions/quota_as_json.sql
--! Included rate_limiter_internal/functions/record_quota_version.sql
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
    config_id, app_id, cluster_id, old_config, new_config, change_reason, changed_by, changed_at
  )
  values (
    record_quota_version.config_id,
    (after ->> 'app_id')::uuid,
    (after ->> 'cluster_id')::uuid,
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
--! EndIncluded rate_limiter_internal/functions/record_quota_version.sql
--! Included rate_limiter_internal/functions/record_quota_change.sql
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
--! EndIncluded rate_limiter_internal/functions/record_quota_change.sql
--! Included rate_limiter_internal/functions/refuse_change.sql
create or replace function rate_limiter_internal.refuse_change()
returns trigger
language plpgsql
as $$
begin
  raise exception using
    errcode = 'QS403',
    message = 'audit rows are never changed',
    detail = format('table: %s, operation: %s', tg_table_name, lower(tg_op)),
    hint = 'Rows leave only with their partition, when the retention policy says so.';
end;
$$;

comment on function rate_limiter_internal.refuse_change() is
  'Trigger: keeps rows as they were written, whoever asks.';
--! EndIncluded rate_limiter_internal/functions/refuse_change.sql
--! Included rate_limiter_internal/functions/refuse_version_change.sql
create or replace function rate_limiter_internal.refuse_version_change()
returns trigger
language plpgsql
as $$
begin
  if to_jsonb(new) - 'archived_at' = to_jsonb(old) - 'archived_at' then
    return new;
  end if;

  raise exception using
    errcode = 'QS403',
    message = 'quota versions are never changed',
    detail = format('version: %s', old.version_id),
    hint = 'They may only be marked as archived.';
end;
$$;

comment on function rate_limiter_internal.refuse_version_change() is
  'Trigger: a quota version stays as it was written, but may be marked as archived.';
--! EndIncluded rate_limiter_internal/functions/refuse_version_change.sql
--! Included rate_limiter_internal/functions/add_quota.sql
create or replace function rate_limiter_internal.add_quota(
  app_id uuid,
  cluster_id uuid,
  mode rate_limiter.quota_mode,
  valid_from timestamptz,
  valid_to timestamptz,
  iops jsonb,
  bandwidth jsonb,
  change_reason text
)
returns uuid
language plpgsql
volatile
parallel unsafe
as $$
declare
  new_config_id uuid;
begin
  insert into rate_limiter.quota_configs as c (app_id, cluster_id, mode, valid_from, valid_to)
  values (
    add_quota.app_id, add_quota.cluster_id, add_quota.mode, add_quota.valid_from,
    add_quota.valid_to
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
  uuid, uuid, rate_limiter.quota_mode, timestamptz, timestamptz, jsonb, jsonb, text
) is
  'Writes a quota with both of its parts, as quota_as_json() shows them, and its first version.';
--! EndIncluded rate_limiter_internal/functions/add_quota.sql
--! Included rate_limiter_internal/functions/publish_quota_at.sql
create or replace function rate_limiter_internal.publish_quota_at(
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  mode rate_limiter.quota_mode,
  valid_from timestamptz,
  valid_to timestamptz,
  iops jsonb,
  bandwidth jsonb,
  change_reason text
)
returns uuid
language plpgsql
volatile
parallel unsafe
as $$
declare
  starts_at constant timestamptz := coalesce(publish_quota_at.valid_from, publish_quota_at.at);
  ends_at timestamptz := publish_quota_at.valid_to;
  next_starts_at timestamptz;
  current_quota rate_limiter.quota_configs;
  current_values jsonb;
begin
  if starts_at < publish_quota_at.at or starts_at = 'infinity' or ends_at <= starts_at
    or ends_at = 'infinity'
  then
    raise exception using
      errcode = 'QS422',
      message = 'quota must start now or later and end after it starts',
      detail = format('valid from: %s, valid to: %s', starts_at, ends_at),
      hint = 'Leave valid_from out to start now, and valid_to out to go on for good.';
  end if;

  -- One at a time for an owner: the owner's row is the lock.
  perform from rate_limiter.applications as a where a.app_id = publish_quota_at.app_id for update;
  perform from rate_limiter.clusters as c
  where c.cluster_id = publish_quota_at.cluster_id for update;

  select min(c.valid_from)
  into next_starts_at
  from rate_limiter.quota_configs as c
  where c.owner_id = coalesce(publish_quota_at.app_id, publish_quota_at.cluster_id)
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
  where c.owner_id = coalesce(publish_quota_at.app_id, publish_quota_at.cluster_id)
    and c.mode = publish_quota_at.mode
    and c.is_active
    and c.valid_from < starts_at
    and (c.valid_to is null or c.valid_to > starts_at);

  if found then
    current_values := rate_limiter_internal.quota_as_json(current_quota.config_id);

    update rate_limiter.quota_configs as c
    set valid_to = starts_at
    where c.config_id = current_quota.config_id;

    perform rate_limiter_internal.record_quota_version(
      current_quota.config_id, publish_quota_at.change_reason
    );

    -- What was in force goes on when a quota for a time is over: nobody is left without a limit.
    if ends_at is not null and (current_quota.valid_to is null or current_quota.valid_to > ends_at)
    then
      perform rate_limiter_internal.add_quota(
        current_quota.app_id, current_quota.cluster_id, current_quota.mode,
        ends_at, current_quota.valid_to,
        current_values -> 'iops', current_values -> 'bandwidth',
        publish_quota_at.change_reason
      );
    end if;
  end if;

  return rate_limiter_internal.add_quota(
    publish_quota_at.app_id, publish_quota_at.cluster_id, publish_quota_at.mode,
    starts_at, ends_at, publish_quota_at.iops, publish_quota_at.bandwidth,
    publish_quota_at.change_reason
  );
end;
$$;

comment on function rate_limiter_internal.publish_quota_at(
  timestamptz, uuid, uuid, rate_limiter.quota_mode, timestamptz, timestamptz, jsonb, jsonb, text
) is
  'Puts a quota in force from valid_from (now where null) until valid_to, or until the next one '
  'that is scheduled. What was in force then ends there, and goes on afterwards.';
--! EndIncluded rate_limiter_internal/functions/publish_quota_at.sql
--! Included rate_limiter_admin/functions/rollback_quota.sql
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

  return rate_limiter_internal.publish_quota_at(
    clock_timestamp(),
    version.app_id,
    version.cluster_id,
    (version.new_config ->> 'mode')::rate_limiter.quota_mode,
    null,
    null,
    version.new_config -> 'iops',
    version.new_config -> 'bandwidth',
    rollback_quota.reason
  );
end;
$$;

comment on function rate_limiter_admin.rollback_quota(uuid, text) is
  'Brings the limits of an old version back, in force from now on as a new quota with a version '
  'of its own; answers that quota.';
grant execute on function rate_limiter_admin.rollback_quota(uuid, text)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/rollback_quota.sql
--! Included rate_limiter_admin/functions/search_audit.sql
create or replace function rate_limiter_admin.search_audit(
  since timestamptz,
  until timestamptz,
  user_id uuid default null,
  action text default null,
  entity_type text default null,
  containing text default null,
  max_rows integer default 100,
  before timestamptz default null
)
returns setof rate_limiter_audit.audit_logs
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  everywhere constant boolean := rate_limiter_internal.is_system_admin();
  own_tenant_id constant uuid := rate_limiter_internal.current_tenant_id();
  -- What people type is text to find, not a pattern.
  pattern constant text := '%' || regexp_replace(search_audit.containing, '([\\%_])', '\\\1', 'g')
    || '%';
begin
  perform rate_limiter_internal.require_permission('audit', 'read');

  return query
  select l.*
  from rate_limiter_audit.audit_logs as l
  where l.created_at >= search_audit.since
    and l.created_at < least(search_audit.until, search_audit.before)
    and (everywhere or l.tenant_id = own_tenant_id)
    and (search_audit.user_id is null or l.user_id = search_audit.user_id)
    and (search_audit.action is null or l.action = search_audit.action)
    and (search_audit.entity_type is null or l.entity_type = search_audit.entity_type)
    and (
      pattern is null
      or l.old_values::text ilike pattern
      or l.new_values::text ilike pattern
    )
  order by l.created_at desc
  limit least(greatest(search_audit.max_rows, 0), 1000);
end;
$$;

comment on function rate_limiter_admin.search_audit(
  timestamptz, timestamptz, uuid, text, text, text, integer, timestamptz
) is
  'Audit rows of a span of time, newest first, by user, action, kind of thing, and any part of '
  'the values before or after; at most 1,000. For the next page say before which row.';
grant execute on function rate_limiter_admin.search_audit(
  timestamptz, timestamptz, uuid, text, text, text, integer, timestamptz
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/search_audit.sql

-- Guards
--! Included rate_limiter_internal/functions/set_updated_at.sql
create or replace function rate_limiter_internal.set_updated_at()
returns trigger
language plpgsql
as $$
begin
  new.updated_at := current_timestamp;
  return new;
end;
$$;

comment on function rate_limiter_internal.set_updated_at() is
  'Trigger: says when a row last changed.';
--! EndIncluded rate_limiter_internal/functions/set_updated_at.sql
--! Included rate_limiter_internal/functions/set_updated_by.sql
create or replace function rate_limiter_internal.set_updated_by()
returns trigger
language plpgsql
as $$
begin
  new.updated_by := rate_limiter_internal.current_user_id();
  return new;
end;
$$;

comment on function rate_limiter_internal.set_updated_by() is
  'Trigger: says who changed a row last; nobody where no user is signed in.';
--! EndIncluded rate_limiter_internal/functions/set_updated_by.sql
--! Included rate_limiter_internal/functions/set_assigned_by.sql
create or replace function rate_limiter_internal.set_assigned_by()
returns trigger
language plpgsql
as $$
begin
  new.assigned_by := rate_limiter_internal.current_user_id();
  return new;
end;
$$;

comment on function rate_limiter_internal.set_assigned_by() is
  'Trigger: says who gave a role to a user.';
--! EndIncluded rate_limiter_internal/functions/set_assigned_by.sql
--! Included rate_limiter_internal/functions/set_granted_by.sql
create or replace function rate_limiter_internal.set_granted_by()
returns trigger
language plpgsql
as $$
begin
  new.granted_by := rate_limiter_internal.current_user_id();
  return new;
end;
$$;

comment on function rate_limiter_internal.set_granted_by() is
  'Trigger: says who gave a permission to a role.';
--! EndIncluded rate_limiter_internal/functions/set_granted_by.sql
--! Included rate_limiter_internal/functions/check_setting.sql
create or replace function rate_limiter_internal.check_setting()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  problem text := rate_limiter_internal.setting_problem(
    new.value, new.value_type, new.minimum, new.maximum
  );
begin
  if problem is not null then
    raise exception using
      errcode = 'QS422',
      message = 'setting value does not fit',
      detail = format('key: %s', new.key),
      hint = format('The value %s.', problem);
  end if;

  return new;
end;
$$;

comment on function rate_limiter_internal.check_setting() is
  'Trigger: refuses a value that does not fit the type and bounds of its setting.';
--! EndIncluded rate_limiter_internal/functions/check_setting.sql
--! Included rate_limiter_internal/functions/refuse_system_role_change.sql
create or replace function rate_limiter_internal.refuse_system_role_change()
returns trigger
language plpgsql
as $$
begin
  raise exception using
    errcode = 'QS409',
    message = 'role comes with the system',
    detail = format('role: %s', old.name),
    hint = 'Make a role of your own instead.';
end;
$$;

comment on function rate_limiter_internal.refuse_system_role_change() is
  'Trigger: the roles that come with the system are neither renamed nor deleted.';
--! EndIncluded rate_limiter_internal/functions/refuse_system_role_change.sql
--! Included rate_limiter_internal/functions/has_token_history.sql
create or replace function rate_limiter_internal.has_token_history(owner_id uuid)
returns boolean
language sql
stable
parallel safe
as $$
  select exists (
      select from rate_limiter.token_buckets as b where b.owner_id = has_token_history.owner_id
    )
    or exists (
      select
      from rate_limiter.token_transactions as t
      where t.owner_id = has_token_history.owner_id
    )
    or exists (
      select from rate_limiter.token_borrowing as b where b.owner_id = has_token_history.owner_id
    );
$$;

comment on function rate_limiter_internal.has_token_history(uuid) is
  'Whether tokens of this application or cluster were ever moved.';
--! EndIncluded rate_limiter_internal/functions/has_token_history.sql
--! Included rate_limiter_internal/functions/refuse_delete_of_tenant.sql
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
--! EndIncluded rate_limiter_internal/functions/refuse_delete_of_tenant.sql
--! Included rate_limiter_internal/functions/refuse_delete_of_cluster.sql
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
      where v.cluster_id = old.cluster_id
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
--! EndIncluded rate_limiter_internal/functions/refuse_delete_of_cluster.sql
--! Included rate_limiter_internal/functions/refuse_delete_of_application.sql
create or replace function rate_limiter_internal.refuse_delete_of_application()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if rate_limiter_internal.has_token_history(old.app_id)
    or exists (
      select from rate_limiter_audit.quota_version_history as v where v.app_id = old.app_id
    )
    or exists (select from rate_limiter.alert_history as h where h.app_id = old.app_id)
    or exists (select from rate_limiter.metrics as m where m.app_id = old.app_id)
    or exists (select from rate_limiter.iops_metrics as m where m.app_id = old.app_id)
    or exists (select from rate_limiter.bandwidth_metrics as m where m.app_id = old.app_id)
    or exists (select from rate_limiter.metrics_daily as m where m.app_id = old.app_id)
  then
    raise exception using
      errcode = 'QS409',
      message = 'application has history',
      detail = format('application: %s', old.app_id),
      hint = 'Deactivate it instead.';
  end if;

  return old;
end;
$$;

comment on function rate_limiter_internal.refuse_delete_of_application() is
  'Trigger: an application with quotas, a ledger, metrics or alerts is deactivated, not deleted.';
--! EndIncluded rate_limiter_internal/functions/refuse_delete_of_application.sql
--! Included rate_limiter_internal/functions/refuse_delete_of_quota.sql
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
--! EndIncluded rate_limiter_internal/functions/refuse_delete_of_quota.sql
--! Included rate_limiter_internal/functions/refuse_delete_of_alert.sql
create or replace function rate_limiter_internal.refuse_delete_of_alert()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from rate_limiter.alert_history as h where h.alert_id = old.alert_id) then
    raise exception using
      errcode = 'QS409',
      message = 'alert has history',
      detail = format('alert: %s', old.alert_id),
      hint = 'Deactivate it instead.';
  end if;

  return old;
end;
$$;

comment on function rate_limiter_internal.refuse_delete_of_alert() is
  'Trigger: an alert that was ever triggered is deactivated, not deleted.';
--! EndIncluded rate_limiter_internal/functions/refuse_delete_of_alert.sql

-- Passwords, sessions and keys
--! Included rate_limiter_internal/functions/login_delay.sql
create or replace function rate_limiter_internal.login_delay(
  failures integer,
  allowed_failures bigint,
  longest interval
)
returns interval
language sql
immutable
parallel safe
return case
  when failures < allowed_failures then interval '0'
  -- 2 ^ 24 seconds is more than half a year: past it only the cap counts.
  else least(make_interval(secs => 2 ^ least(failures - allowed_failures, 24)), longest)
end;

comment on function rate_limiter_internal.login_delay(integer, bigint, interval) is
  'How long the next sign-in must wait after this many failures: nothing at first, then one '
  'second, doubling up to the longest.';
--! EndIncluded rate_limiter_internal/functions/login_delay.sql
--! Included rate_limiter_internal/functions/login_network.sql
create or replace function rate_limiter_internal.login_network(ip_address inet)
returns inet
language sql
immutable
parallel safe
-- Whoever has one IPv6 address has 2^64 of them.
return case family(ip_address)
  when 6 then network(set_masklen(ip_address, 64))::inet
  else set_masklen(ip_address, 32)
end;

comment on function rate_limiter_internal.login_network(inet) is
  'What counts as one address when sign-ins are slowed.';
--! EndIncluded rate_limiter_internal/functions/login_network.sql
--! Included rate_limiter_internal/functions/token_hash.sql
create or replace function rate_limiter_internal.token_hash(token text)
returns bytea
language sql
immutable
parallel safe
return sha256(convert_to(token, 'UTF8'));

comment on function rate_limiter_internal.token_hash(text) is
  'What is stored of an API key or refresh token: both are 256 random bits, so one round of '
  'SHA-256 hides them.';
--! EndIncluded rate_limiter_internal/functions/token_hash.sql
--! Included rate_limiter_internal/functions/random_token.sql
create or replace function rate_limiter_internal.random_token()
returns text
language sql
volatile
parallel safe
as $$
  select rtrim(translate(encode(public.gen_random_bytes(32), 'base64'), '+/', '-_'), '=');
$$;

comment on function rate_limiter_internal.random_token() is
  '256 random bits as 43 characters of base64url.';
--! EndIncluded rate_limiter_internal/functions/random_token.sql
--! Included rate_limiter_private/functions/hash_password.sql
create or replace function rate_limiter_private.hash_password(password text)
returns text
language plpgsql
volatile
parallel safe
as $$
declare
  shortest constant bigint := rate_limiter_internal.setting_integer('password_min_length');
begin
  if coalesce(char_length(hash_password.password), 0) < shortest then
    raise exception using
      errcode = 'QS422',
      message = 'password is too short',
      hint = format('Use at least %s characters.', shortest);
  end if;

  -- bcrypt looks at no more than 72 bytes: what follows would count for nothing.
  if octet_length(hash_password.password) > 72 then
    raise exception using
      errcode = 'QS422',
      message = 'password is too long',
      hint = 'Use at most 72 bytes.';
  end if;

  return public.crypt(
    hash_password.password,
    public.gen_salt('bf', rate_limiter_internal.setting_integer('password_hash_cost')::integer)
  );
end;
$$;

comment on function rate_limiter_private.hash_password(text) is
  'bcrypt of a new password, at the cost of the setting password_hash_cost.';
--! EndIncluded rate_limiter_private/functions/hash_password.sql
--! Included rate_limiter_private/functions/verify_password.sql
create or replace function rate_limiter_private.verify_password(user_id uuid, password text)
returns boolean
language sql
stable
parallel safe
as $$
  select coalesce(
    (
      select s.password_hash = public.crypt(verify_password.password, s.password_hash)
      from rate_limiter_private.user_secrets as s
      where s.user_id = verify_password.user_id
    ),
    false
  );
$$;

comment on function rate_limiter_private.verify_password(uuid, text) is
  'Whether this is the user''s password. Takes as long as the hash costs, and counts no failure.';
--! EndIncluded rate_limiter_private/functions/verify_password.sql
--! Included rate_limiter_private/functions/revoke_sessions.sql
create or replace function rate_limiter_private.revoke_sessions(
  user_id uuid,
  reason text,
  except_session_id uuid default null
)
returns integer
language plpgsql
volatile
parallel unsafe
as $$
declare
  revoked integer;
begin
  update rate_limiter_private.user_sessions as s
  set revoked_at = clock_timestamp(), revoke_reason = revoke_sessions.reason
  where s.user_id = revoke_sessions.user_id
    and s.revoked_at is null
    and s.session_id is distinct from revoke_sessions.except_session_id;

  get diagnostics revoked = row_count;
  return revoked;
end;
$$;

comment on function rate_limiter_private.revoke_sessions(uuid, text, uuid) is
  'Ends the sessions of a user, all but one if asked, and answers how many.';
--! EndIncluded rate_limiter_private/functions/revoke_sessions.sql
--! Included rate_limiter_private/functions/set_password.sql
create or replace function rate_limiter_private.set_password(
  user_id uuid,
  password text,
  keep_session_id uuid default null
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  owner_tenant_id uuid;
begin
  select u.tenant_id
  into owner_tenant_id
  from rate_limiter.users as u
  where u.user_id = set_password.user_id;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown user',
      detail = format('user: %s', set_password.user_id),
      hint = 'Check the id: users of other tenants are not to be seen.';
  end if;

  insert into rate_limiter_private.user_secrets as s (user_id, password_hash)
  values (
    set_password.user_id,
    rate_limiter_private.hash_password(set_password.password)
  )
  on conflict on constraint user_secrets_pkey do update
  set password_hash = excluded.password_hash,
    password_changed_at = clock_timestamp(),
    failed_attempts = 0,
    last_failed_at = null,
    locked_until = null;

  perform rate_limiter_private.revoke_sessions(
    set_password.user_id, 'password_changed', set_password.keep_session_id
  );

  perform rate_limiter_internal.write_audit(
    'set_password', 'users', set_password.user_id, owner_tenant_id, null
  );
end;
$$;

comment on function rate_limiter_private.set_password(uuid, text, uuid) is
  'Gives a user a new password and ends the user''s sessions, all but one if asked.';
--! EndIncluded rate_limiter_private/functions/set_password.sql
--! Included rate_limiter_private/functions/count_login_failure.sql
create or replace function rate_limiter_private.count_login_failure(
  at timestamptz,
  user_ids uuid[],
  ip_address inet
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  longest constant interval := rate_limiter_internal.setting_interval_seconds(
    'login_delay_max_seconds'
  );
  for_account constant bigint := rate_limiter_internal.setting_integer(
    'login_failures_per_account'
  );
  for_address constant bigint := rate_limiter_internal.setting_integer(
    'login_failures_per_address'
  );
begin
  update rate_limiter_private.user_secrets as s
  set failed_attempts = counted.failures,
    last_failed_at = count_login_failure.at,
    locked_until = count_login_failure.at
      + rate_limiter_internal.login_delay(counted.failures, for_account, longest)
  from (
    select
      u.user_id,
      case
        when u.last_failed_at > count_login_failure.at - interval '1 hour'
          then u.failed_attempts + 1
        else 1
      end as failures
    from rate_limiter_private.user_secrets as u
    where u.user_id = any (count_login_failure.user_ids)
  ) as counted
  where s.user_id = counted.user_id;

  insert into rate_limiter_private.login_addresses as a (
    address, failed_attempts, last_failed_at, locked_until
  )
  select
    rate_limiter_internal.login_network(count_login_failure.ip_address),
    1,
    count_login_failure.at,
    count_login_failure.at + rate_limiter_internal.login_delay(1, for_address, longest)
  where count_login_failure.ip_address is not null
  on conflict on constraint login_addresses_pkey do update
  set failed_attempts = case
      when a.last_failed_at > excluded.last_failed_at - interval '1 hour'
        then a.failed_attempts + 1
      else 1
    end,
    last_failed_at = excluded.last_failed_at,
    locked_until = excluded.last_failed_at + rate_limiter_internal.login_delay(
      case
        when a.last_failed_at > excluded.last_failed_at - interval '1 hour'
          then a.failed_attempts + 1
        else 1
      end,
      for_address,
      longest
    );
end;
$$;

comment on function rate_limiter_private.count_login_failure(timestamptz, uuid[], inet) is
  'Counts a failed sign-in against the accounts and the address, and slows their next one.';
--! EndIncluded rate_limiter_private/functions/count_login_failure.sql
--! Included rate_limiter_private/functions/start_session.sql
create or replace function rate_limiter_private.start_session(
  at timestamptz,
  user_id uuid,
  ip_address inet,
  user_agent text,
  out session_id uuid,
  out refresh_token text,
  out refresh_expires_at timestamptz,
  out expires_at timestamptz
)
returns record
language plpgsql
volatile
parallel unsafe
as $$
begin
  session_id := gen_random_uuid();
  refresh_token := rate_limiter_internal.random_token();
  expires_at := start_session.at
    + rate_limiter_internal.setting_interval_seconds('session_max_seconds');
  refresh_expires_at := least(
    expires_at,
    start_session.at + rate_limiter_internal.setting_interval_seconds('refresh_token_seconds')
  );

  insert into rate_limiter_private.user_sessions (
    session_id, user_id, refresh_token_hash, ip_address, user_agent,
    created_at, last_used_at, refresh_expires_at, expires_at
  )
  values (
    start_session.session_id,
    start_session.user_id,
    rate_limiter_internal.token_hash(start_session.refresh_token),
    start_session.ip_address,
    start_session.user_agent,
    start_session.at,
    start_session.at,
    start_session.refresh_expires_at,
    start_session.expires_at
  );
end;
$$;

comment on function rate_limiter_private.start_session(timestamptz, uuid, inet, text) is
  'Makes a session and its first refresh token, which is stored as a hash only.';
--! EndIncluded rate_limiter_private/functions/start_session.sql
--! Included rate_limiter_private/functions/audit_login.sql
create or replace function rate_limiter_private.audit_login(
  user_id uuid,
  action text,
  status text,
  error_message text,
  ip_address inet,
  user_agent text
)
returns void
language sql
volatile
parallel unsafe
as $$
  insert into rate_limiter_audit.audit_logs (
    tenant_id, user_id, action, entity_type, entity_id, ip_address, user_agent, request_id,
    status, error_message, created_at
  )
  select
    u.tenant_id, u.user_id, audit_login.action, 'users', u.user_id, audit_login.ip_address,
    audit_login.user_agent, rate_limiter_internal.context_text('request_id'),
    audit_login.status, audit_login.error_message, clock_timestamp()
  from rate_limiter.users as u
  where u.user_id = audit_login.user_id;
$$;

comment on function rate_limiter_private.audit_login(uuid, text, text, text, inet, text) is
  'Writes an audit row about a sign-in, which has no session to take its circumstances from.';
--! EndIncluded rate_limiter_private/functions/audit_login.sql
--! Included rate_limiter_private/functions/login_at.sql
create or replace function rate_limiter_private.login_at(
  at timestamptz,
  email text,
  password text,
  ip_address inet default null,
  user_agent text default null,
  tenant text default null,
  out outcome text,
  out retry_after_ms bigint,
  out user_id uuid,
  out tenant_id uuid,
  out session_id uuid,
  out refresh_token text,
  out refresh_expires_at timestamptz,
  out expires_at timestamptz
)
returns record
language plpgsql
volatile
parallel unsafe
as $$
declare
  wait_until timestamptz;
  candidates integer;
  free_ids uuid[];
  matching_ids uuid[];
begin
  retry_after_ms := 0;

  select a.locked_until
  into wait_until
  from rate_limiter_private.login_addresses as a
  where a.address = rate_limiter_internal.login_network(login_at.ip_address)
    and a.locked_until > login_at.at;

  if found then
    outcome := 'slowed';
    retry_after_ms := ceil(1000 * extract(epoch from wait_until - login_at.at));
    return;
  end if;

  -- The same address may have an account with several tenants. Locked rows are skipped: two
  -- guesses at one account never run side by side, and none waits for another.
  with candidate as (
    select c.user_id
    from rate_limiter.users as c
    join rate_limiter.tenants as t on t.tenant_id = c.tenant_id
    where lower(c.email) = lower(login_at.email)
      and c.is_active
      and t.is_active
      and (login_at.tenant is null or t.name = login_at.tenant)
  ),
  held as (
    select s.user_id, s.locked_until
    from rate_limiter_private.user_secrets as s
    where s.user_id in (select c.user_id from candidate as c)
    for update skip locked
  )
  select
    (
      select count(*)
      from candidate as c
      join rate_limiter_private.user_secrets as s on s.user_id = c.user_id
    ),
    array_agg(h.user_id) filter (where h.locked_until is null or h.locked_until <= login_at.at),
    max(h.locked_until) filter (where h.locked_until > login_at.at)
  into candidates, free_ids, wait_until
  from held as h;

  if candidates > 0 and free_ids is null then
    outcome := 'slowed';
    -- No moment to wait for: another sign-in to the account is being checked just now.
    retry_after_ms := ceil(1000 * coalesce(extract(epoch from wait_until - login_at.at), 1));
    return;
  end if;

  if candidates = 0 then
    -- As slow as for an account that exists, so that time tells nobody which do.
    perform public.crypt(
      login_at.password,
      public.gen_salt('bf', rate_limiter_internal.setting_integer('password_hash_cost')::integer)
    );
  end if;

  select array_agg(f.user_id)
  into matching_ids
  from unnest(free_ids) as f (user_id)
  where rate_limiter_private.verify_password(f.user_id, login_at.password);

  if matching_ids is null then
    outcome := 'invalid';
    perform rate_limiter_private.count_login_failure(
      login_at.at, free_ids, login_at.ip_address
    );
    perform rate_limiter_private.audit_login(
      f.user_id, 'login', 'failure', 'wrong password', login_at.ip_address, login_at.user_agent
    )
    from unnest(free_ids) as f (user_id);
    return;
  end if;

  if cardinality(matching_ids) > 1 then
    outcome := 'ambiguous';
    return;
  end if;

  outcome := 'ok';
  user_id := matching_ids[1];

  update rate_limiter_private.user_secrets as s
  set failed_attempts = 0, last_failed_at = null, locked_until = null
  where s.user_id = login_at.user_id
    and s.failed_attempts > 0;

  update rate_limiter.users as u
  set last_login_at = login_at.at, login_count = u.login_count + 1
  where u.user_id = login_at.user_id
  returning u.tenant_id into tenant_id;

  select s.session_id, s.refresh_token, s.refresh_expires_at, s.expires_at
  into session_id, refresh_token, refresh_expires_at, expires_at
  from rate_limiter_private.start_session(
    login_at.at, login_at.user_id, login_at.ip_address, login_at.user_agent
  ) as s;

  perform rate_limiter_private.audit_login(
    login_at.user_id, 'login', 'success', null, login_at.ip_address, login_at.user_agent
  );
end;
$$;

comment on function rate_limiter_private.login_at(
  timestamptz, text, text, inet, text, text
) is
  'login() at a given moment.';
--! EndIncluded rate_limiter_private/functions/login_at.sql
--! Included rate_limiter_private/functions/login.sql
create or replace function rate_limiter_private.login(
  email text,
  password text,
  ip_address inet default null,
  user_agent text default null,
  tenant text default null,
  out outcome text,
  out retry_after_ms bigint,
  out user_id uuid,
  out tenant_id uuid,
  out session_id uuid,
  out refresh_token text,
  out refresh_expires_at timestamptz,
  out expires_at timestamptz
)
returns record
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select l.*
  from rate_limiter_private.login_at(
    clock_timestamp(), login.email, login.password, login.ip_address, login.user_agent,
    login.tenant
  ) as l;
$$;

comment on function rate_limiter_private.login(text, text, inet, text, text) is
  'Signs a user in by email and password. The outcome is ok (with a session and its refresh '
  'token, shown this once), invalid, slowed (with the time to wait after too many failures) or '
  'ambiguous (the same address and password with several tenants: name the tenant). Failures '
  'are counted, so the caller must commit whatever the outcome.';
grant execute on function rate_limiter_private.login(text, text, inet, text, text)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/functions/login.sql
--! Included rate_limiter_private/functions/refresh_session_at.sql
create or replace function rate_limiter_private.refresh_session_at(
  at timestamptz,
  refresh_token text,
  out outcome text,
  out user_id uuid,
  out tenant_id uuid,
  out session_id uuid,
  out new_refresh_token text,
  out refresh_expires_at timestamptz,
  out expires_at timestamptz
)
returns record
language plpgsql
volatile
parallel unsafe
as $$
declare
  spent_hash constant bytea := rate_limiter_internal.token_hash(
    refresh_session_at.refresh_token
  );
  fresh_token constant text := rate_limiter_internal.random_token();
begin
  update rate_limiter_private.user_sessions as s
  set refresh_token_hash = rate_limiter_internal.token_hash(fresh_token),
    last_used_at = refresh_session_at.at,
    refresh_expires_at = least(
      s.expires_at,
      refresh_session_at.at
        + rate_limiter_internal.setting_interval_seconds('refresh_token_seconds')
    )
  from rate_limiter.users as u
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  where s.refresh_token_hash = spent_hash
    and s.revoked_at is null
    and s.refresh_expires_at > refresh_session_at.at
    and u.user_id = s.user_id
    and u.is_active
    and t.is_active
  returning u.user_id, u.tenant_id, s.session_id, s.refresh_expires_at, s.expires_at
  into user_id, tenant_id, session_id, refresh_expires_at, expires_at;

  if found then
    insert into rate_limiter_private.used_refresh_tokens (token_hash, session_id, used_at)
    values (spent_hash, refresh_session_at.session_id, refresh_session_at.at);
    outcome := 'ok';
    new_refresh_token := fresh_token;
    return;
  end if;

  -- A spent token that comes back was stolen, or its thief was here first: end the session.
  update rate_limiter_private.user_sessions as s
  set revoked_at = refresh_session_at.at, revoke_reason = 'refresh_token_reused'
  from rate_limiter_private.used_refresh_tokens as used
  where used.token_hash = spent_hash
    and s.session_id = used.session_id
    and s.revoked_at is null
  returning s.user_id into user_id;

  if found then
    perform rate_limiter_private.audit_login(
      refresh_session_at.user_id, 'refresh', 'failure', 'refresh token reused', null, null
    );
  end if;

  outcome := case when user_id is null then 'invalid' else 'reused' end;
  user_id := null;
end;
$$;

comment on function rate_limiter_private.refresh_session_at(timestamptz, text) is
  'refresh_session() at a given moment.';
--! EndIncluded rate_limiter_private/functions/refresh_session_at.sql
--! Included rate_limiter_private/functions/refresh_session.sql
create or replace function rate_limiter_private.refresh_session(
  refresh_token text,
  out outcome text,
  out user_id uuid,
  out tenant_id uuid,
  out session_id uuid,
  out new_refresh_token text,
  out refresh_expires_at timestamptz,
  out expires_at timestamptz
)
returns record
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select r.*
  from rate_limiter_private.refresh_session_at(
    clock_timestamp(), refresh_session.refresh_token
  ) as r;
$$;

comment on function rate_limiter_private.refresh_session(text) is
  'Continues a session with its refresh token, which is spent by this and replaced. The outcome '
  'is ok, invalid, or reused: a spent token came back, and the session was ended.';
grant execute on function rate_limiter_private.refresh_session(text)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/functions/refresh_session.sql
--! Included rate_limiter_private/functions/end_session.sql
create or replace function rate_limiter_private.end_session(
  session_id uuid,
  user_id uuid,
  reason text
)
returns boolean
language plpgsql
volatile
parallel unsafe
as $$
begin
  update rate_limiter_private.user_sessions as s
  set revoked_at = clock_timestamp(), revoke_reason = end_session.reason
  where s.session_id = end_session.session_id
    and s.user_id = end_session.user_id
    and s.revoked_at is null;

  if not found then
    return false;
  end if;

  perform rate_limiter_internal.write_audit(
    end_session.reason, 'user_sessions', end_session.session_id,
    rate_limiter_internal.tenant_of(jsonb_build_object('user_id', end_session.user_id)), null
  );
  return true;
end;
$$;

comment on function rate_limiter_private.end_session(uuid, uuid, text) is
  'Ends one session of a user; answers whether there was one to end.';
--! EndIncluded rate_limiter_private/functions/end_session.sql
--! Included rate_limiter_private/functions/logout.sql
create or replace function rate_limiter_private.logout(session_id uuid)
returns boolean
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (
      select rate_limiter_private.end_session(s.session_id, s.user_id, 'logout')
      from rate_limiter_private.user_sessions as s
      where s.session_id = logout.session_id
    ),
    false
  );
$$;

comment on function rate_limiter_private.logout(uuid) is
  'Ends a session; answers whether there was one to end.';
grant execute on function rate_limiter_private.logout(uuid) to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/functions/logout.sql
--! Included rate_limiter_private/functions/logout_everywhere.sql
create or replace function rate_limiter_private.logout_everywhere(user_id uuid)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  ended constant integer := rate_limiter_private.revoke_sessions(
    logout_everywhere.user_id, 'logout_everywhere'
  );
begin
  perform rate_limiter_internal.write_audit(
    'logout_everywhere', 'users', logout_everywhere.user_id,
    rate_limiter_internal.tenant_of(
      jsonb_build_object('user_id', logout_everywhere.user_id)
    ),
    null,
    null,
    jsonb_build_object('sessions', ended)
  );
  return ended;
end;
$$;

comment on function rate_limiter_private.logout_everywhere(uuid) is
  'Ends every session of a user; answers how many there were.';
grant execute on function rate_limiter_private.logout_everywhere(uuid)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/functions/logout_everywhere.sql
--! Included rate_limiter_private/functions/access_token_seconds.sql
create or replace function rate_limiter_private.access_token_seconds()
returns bigint
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select rate_limiter_internal.setting_integer('access_token_seconds');
$$;

comment on function rate_limiter_private.access_token_seconds() is
  'Life of an access token in seconds, for the API, which makes them.';
grant execute on function rate_limiter_private.access_token_seconds()
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/functions/access_token_seconds.sql
--! Included rate_limiter_private/functions/session_lasts.sql
create or replace function rate_limiter_private.session_lasts(user_id uuid, session_id uuid)
returns boolean
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from rate_limiter_private.user_sessions as s
    join rate_limiter.users as u on u.user_id = s.user_id
    join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
    where s.session_id = session_lasts.session_id
      and s.user_id = session_lasts.user_id
      and s.revoked_at is null
      and s.expires_at > clock_timestamp()
      and u.is_active
      and t.is_active
  );
$$;

comment on function rate_limiter_private.session_lasts(uuid, uuid) is
  'Whether a session, its user and the tenant are active: the API asks before each request, so '
  'that a logout counts at once.';
grant execute on function rate_limiter_private.session_lasts(uuid, uuid)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/functions/session_lasts.sql
--! Included rate_limiter_private/functions/user_of_email.sql
create or replace function rate_limiter_private.user_of_email(email text)
returns uuid
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select case when count(*) = 1 then (array_agg(u.user_id))[1] end
  from rate_limiter.users as u
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  where lower(u.email) = lower(user_of_email.email)
    and u.is_active
    and t.is_active;
$$;

comment on function rate_limiter_private.user_of_email(text) is
  'The one active user with this address, which an identity provider has verified; null where '
  'there is none, or several tenants have one.';
grant execute on function rate_limiter_private.user_of_email(text)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/functions/user_of_email.sql
--! Included rate_limiter_private/functions/create_administrator.sql
create or replace function rate_limiter_private.create_administrator(
  tenant text,
  username text,
  email text,
  password text
)
returns uuid
language plpgsql
volatile
parallel unsafe
as $$
declare
  home_id uuid;
  administrator_id uuid;
begin
  insert into rate_limiter.tenants (name, description)
  values (create_administrator.tenant, 'Operators of the system')
  on conflict on constraint tenants_name_key do nothing;

  select t.tenant_id
  into home_id
  from rate_limiter.tenants as t
  where t.name = create_administrator.tenant;

  if exists (
    select
    from rate_limiter.users as u
    where u.tenant_id = home_id
      and lower(u.email) = lower(create_administrator.email)
  ) then
    raise exception using
      errcode = 'QS409',
      message = 'user already exists',
      hint = 'Give that user the role system_admin instead.';
  end if;

  insert into rate_limiter.users (tenant_id, username, email)
  values (home_id, create_administrator.username, create_administrator.email)
  returning user_id into administrator_id;

  perform rate_limiter_private.set_password(administrator_id, create_administrator.password);

  insert into rate_limiter.user_roles (user_id, role_id)
  select administrator_id, r.role_id
  from rate_limiter.roles as r
  where r.name = 'system_admin';

  return administrator_id;
end;
$$;

comment on function rate_limiter_private.create_administrator(text, text, text, text) is
  'Makes a system administrator, and the tenant to put one in where it is missing. For the '
  'operator of the database: granted to no role.';
--! EndIncluded rate_limiter_private/functions/create_administrator.sql
--! Included rate_limiter_private/functions/has_administrator.sql
create or replace function rate_limiter_private.has_administrator()
returns boolean
language sql
stable
parallel safe
as $$
  select exists (
    select
    from rate_limiter.user_roles as ur
    join rate_limiter.roles as r on r.role_id = ur.role_id
    join rate_limiter.users as u on u.user_id = ur.user_id
    where r.name = 'system_admin'
      and u.is_active
      and (ur.expires_at is null or ur.expires_at > current_timestamp)
  );
$$;

comment on function rate_limiter_private.has_administrator() is
  'Whether anybody administers the system: a first start makes an administrator where not.';
--! EndIncluded rate_limiter_private/functions/has_administrator.sql
--! Included rate_limiter_private/functions/issue_api_key.sql
create or replace function rate_limiter_private.issue_api_key(
  app_id uuid,
  name text default null,
  expires_at timestamptz default null,
  out api_key_id uuid,
  out api_key text,
  out prefix text
)
returns record
language plpgsql
volatile
parallel unsafe
as $$
begin
  if issue_api_key.expires_at <= clock_timestamp() then
    raise exception using
      errcode = 'QS422',
      message = 'api key would already have expired',
      detail = format('expires at: %s', issue_api_key.expires_at),
      hint = 'Give a moment in the future, or none.';
  end if;

  api_key := 'qos_' || rate_limiter_internal.random_token();
  prefix := left(api_key, 12);

  insert into rate_limiter_private.api_keys as k
    (key_hash, app_id, prefix, name, created_by, expires_at)
  values (
    rate_limiter_internal.token_hash(issue_api_key.api_key),
    issue_api_key.app_id,
    issue_api_key.prefix,
    issue_api_key.name,
    rate_limiter_internal.current_user_id(),
    issue_api_key.expires_at
  )
  returning k.api_key_id into api_key_id;
end;
$$;

comment on function rate_limiter_private.issue_api_key(uuid, text, timestamptz) is
  'Makes a key for an application. The answer is the only place where the key is ever shown.';
--! EndIncluded rate_limiter_private/functions/issue_api_key.sql
--! Included rate_limiter_private/functions/require_live_api_key.sql
create or replace function rate_limiter_private.require_live_api_key(api_key_id uuid)
returns rate_limiter_private.api_keys
language plpgsql
volatile
parallel unsafe
as $$
declare
  live_key rate_limiter_private.api_keys;
begin
  perform rate_limiter_internal.require_permission('application', 'update');

  select k.*
  into live_key
  from rate_limiter_private.api_keys as k
  join rate_limiter.applications as a on a.app_id = k.app_id
  where k.api_key_id = require_live_api_key.api_key_id
    and (
      rate_limiter_internal.is_system_admin()
      or a.tenant_id = rate_limiter_internal.current_tenant_id()
    )
  for update of k;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown api key',
      detail = format('api key: %s', require_live_api_key.api_key_id),
      hint = 'Check the id: it is not the key itself.';
  end if;

  if live_key.revoked_at is not null or live_key.expires_at <= clock_timestamp() then
    raise exception using
      errcode = 'QS410',
      message = 'api key no longer works',
      detail = format('api key: %s', require_live_api_key.api_key_id),
      hint = 'Make a new one.';
  end if;

  return live_key;
end;
$$;

comment on function rate_limiter_private.require_live_api_key(uuid) is
  'Locks a key that works and that the signed-in user may change; refuses any other.';
--! EndIncluded rate_limiter_private/functions/require_live_api_key.sql
--! Included rate_limiter_admin/functions/create_application.sql
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
declare
  owning_tenant_id constant uuid := coalesce(
    create_application.tenant_id, rate_limiter_internal.current_tenant_id()
  );
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

  if create_application.name !~ '\S' then
    raise exception using
      errcode = 'QS422',
      message = 'name is blank',
      hint = 'Give a name that people know it by.';
  end if;

  if jsonb_typeof(create_application.metadata) <> 'object' then
    raise exception using
      errcode = 'QS422',
      message = 'metadata is not an object',
      hint = 'Give a JSON object, or none.';
  end if;

  if create_application.cluster_id is not null then
    perform rate_limiter_internal.require_cluster(create_application.cluster_id);
  end if;

  insert into rate_limiter.applications as a (tenant_id, cluster_id, name, metadata)
  values (
    owning_tenant_id,
    create_application.cluster_id,
    create_application.name,
    create_application.metadata
  )
  on conflict on constraint app_tenant_name_unique do nothing
  returning a.app_id into app_id;

  if not found then
    raise exception using
      errcode = 'QS409',
      message = 'application already exists',
      detail = format('name: %s', create_application.name),
      hint = 'Names are unique within a tenant.';
  end if;

  select k.api_key_id, k.api_key, k.prefix
  into api_key_id, api_key, prefix
  from rate_limiter_private.issue_api_key(create_application.app_id) as k;
end;
$$;

comment on function rate_limiter_admin.create_application(text, uuid, jsonb, uuid) is
  'Makes an application and its first key, which is shown this once. In your own tenant unless '
  'you administer the system; on a cluster that already hosts one of the tenant, or none.';
grant execute on function rate_limiter_admin.create_application(text, uuid, jsonb, uuid)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/create_application.sql
--! Included rate_limiter_admin/functions/move_application.sql
create or replace function rate_limiter_admin.move_application(
  app_id uuid,
  cluster_id uuid default null
)
returns void
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

  update rate_limiter.applications as a
  set cluster_id = move_application.cluster_id
  where a.app_id = move_application.app_id;
end;
$$;

comment on function rate_limiter_admin.move_application(uuid, uuid) is
  'Puts an application on another cluster, or on none: then it draws on no layer-1 bucket.';
grant execute on function rate_limiter_admin.move_application(uuid, uuid)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/move_application.sql
--! Included rate_limiter_admin/functions/create_api_key.sql
create or replace function rate_limiter_admin.create_api_key(
  app_id uuid,
  name text default null,
  expires_at timestamptz default null,
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
  perform rate_limiter_internal.require_application(
    create_api_key.app_id, 'application', 'update'
  );

  select k.api_key_id, k.api_key, k.prefix
  into api_key_id, api_key, prefix
  from rate_limiter_private.issue_api_key(
    create_api_key.app_id, create_api_key.name, create_api_key.expires_at
  ) as k;
end;
$$;

comment on function rate_limiter_admin.create_api_key(uuid, text, timestamptz) is
  'Makes a further key for an application. The key is shown this once; keep it.';
grant execute on function rate_limiter_admin.create_api_key(uuid, text, timestamptz)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/create_api_key.sql
--! Included rate_limiter_admin/functions/rotate_api_key.sql
create or replace function rate_limiter_admin.rotate_api_key(
  api_key_id uuid,
  overlap interval default null,
  out new_api_key_id uuid,
  out api_key text,
  out prefix text,
  out old_key_expires_at timestamptz
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  old_key rate_limiter_private.api_keys;
begin
  old_key := rate_limiter_private.require_live_api_key(rotate_api_key.api_key_id);

  if rotate_api_key.overlap < interval '0' then
    raise exception using
      errcode = 'QS422',
      message = 'overlap is negative',
      detail = format('overlap: %s', rotate_api_key.overlap),
      hint = 'Give zero to stop the old key at once.';
  end if;

  select k.api_key_id, k.api_key, k.prefix
  into new_api_key_id, api_key, prefix
  from rate_limiter_private.issue_api_key(old_key.app_id, old_key.name) as k;

  update rate_limiter_private.api_keys as k
  -- least() ignores a null: a key without an end gets one.
  set expires_at = least(
    k.expires_at,
    clock_timestamp() + coalesce(
      rotate_api_key.overlap,
      rate_limiter_internal.setting_interval_seconds('api_key_rotation_overlap_seconds')
    )
  )
  where k.api_key_id = rotate_api_key.api_key_id
  returning k.expires_at into old_key_expires_at;
end;
$$;

comment on function rate_limiter_admin.rotate_api_key(uuid, interval) is
  'Replaces a key. The new one is shown this once; the old one works on for the overlap, by '
  'default that of the setting api_key_rotation_overlap_seconds.';
grant execute on function rate_limiter_admin.rotate_api_key(uuid, interval)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/rotate_api_key.sql
--! Included rate_limiter_admin/functions/revoke_api_key.sql
create or replace function rate_limiter_admin.revoke_api_key(api_key_id uuid)
returns timestamptz
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  moment timestamptz;
begin
  perform rate_limiter_private.require_live_api_key(revoke_api_key.api_key_id);

  update rate_limiter_private.api_keys as k
  set revoked_at = clock_timestamp(), revoked_by = rate_limiter_internal.current_user_id()
  where k.api_key_id = revoke_api_key.api_key_id
  returning k.revoked_at into moment;

  return moment;
end;
$$;

comment on function rate_limiter_admin.revoke_api_key(uuid) is
  'Takes a key back, at once and for good; answers the moment.';
grant execute on function rate_limiter_admin.revoke_api_key(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/revoke_api_key.sql
--! Included rate_limiter_admin/functions/change_password.sql
create or replace function rate_limiter_admin.change_password(
  current_password text,
  new_password text
)
returns text
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  me constant uuid := rate_limiter_internal.current_user_id();
  at constant timestamptz := clock_timestamp();
  locked_until timestamptz;
begin
  if me is null then
    raise exception using
      errcode = 'QS401',
      message = 'not signed in',
      hint = 'Sign in, or refresh the session.';
  end if;

  select s.locked_until
  into locked_until
  from rate_limiter_private.user_secrets as s
  where s.user_id = me
  for update skip locked;

  if not found or locked_until > at then
    return 'slowed';
  end if;

  if not rate_limiter_private.verify_password(me, change_password.current_password) then
    perform rate_limiter_private.count_login_failure(at, array[me], null);
    return 'invalid';
  end if;

  perform rate_limiter_private.set_password(
    me, change_password.new_password, rate_limiter_internal.context_text('session_id')::uuid
  );
  return 'ok';
end;
$$;

comment on function rate_limiter_admin.change_password(text, text) is
  'Changes your password and ends your other sessions. Answers ok, invalid (the current '
  'password is not that) or slowed (after too many failures).';
grant execute on function rate_limiter_admin.change_password(text, text)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/change_password.sql
--! Included rate_limiter_admin/functions/reset_password.sql
create or replace function rate_limiter_admin.reset_password(user_id uuid, new_password text)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_manageable_user(reset_password.user_id);
  perform rate_limiter_private.set_password(
    reset_password.user_id, reset_password.new_password
  );
end;
$$;

comment on function rate_limiter_admin.reset_password(uuid, text) is
  'Gives a user of your tenant a new password and ends the user''s sessions.';
grant execute on function rate_limiter_admin.reset_password(uuid, text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/reset_password.sql
--! Included rate_limiter_admin/functions/logout.sql
create or replace function rate_limiter_admin.logout()
returns boolean
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select rate_limiter_private.end_session(
    rate_limiter_internal.context_text('session_id')::uuid,
    rate_limiter_internal.current_user_id(),
    'logout'
  );
$$;

comment on function rate_limiter_admin.logout() is
  'Ends this session; answers whether there was one to end.';
grant execute on function rate_limiter_admin.logout() to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/logout.sql
--! Included rate_limiter_admin/functions/logout_everywhere.sql
create or replace function rate_limiter_admin.logout_everywhere()
returns integer
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select rate_limiter_private.logout_everywhere(rate_limiter_internal.current_user_id());
$$;

comment on function rate_limiter_admin.logout_everywhere() is
  'Ends all your sessions, this one too; answers how many there were.';
grant execute on function rate_limiter_admin.logout_everywhere() to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/logout_everywhere.sql
--! Included rate_limiter_admin/functions/revoke_session.sql
create or replace function rate_limiter_admin.revoke_session(session_id uuid)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  me constant uuid := rate_limiter_internal.current_user_id();
  owner_id constant uuid := (
    select s.user_id
    from rate_limiter_private.user_sessions as s
    where s.session_id = revoke_session.session_id
  );
begin
  -- Another user's session is as unknown as one that never was, unless one may manage that user.
  if owner_id is distinct from me
    and not coalesce(rate_limiter_internal.may_manage_user(owner_id), false)
  then
    return false;
  end if;

  return rate_limiter_private.end_session(
    revoke_session.session_id,
    owner_id,
    case when owner_id = me then 'logout' else 'administrator' end
  );
end;
$$;

comment on function rate_limiter_admin.revoke_session(uuid) is
  'Ends one of your sessions, or of a user that you may manage; answers whether there was one.';
grant execute on function rate_limiter_admin.revoke_session(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/revoke_session.sql

-- Partitions and retention
--! Included rate_limiter_internal/functions/retention_period.sql
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
--! EndIncluded rate_limiter_internal/functions/retention_period.sql
--! Included rate_limiter_internal/functions/period_start.sql
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
--! EndIncluded rate_limiter_internal/functions/period_start.sql
--! Included rate_limiter_internal/functions/partition_name.sql
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
--! EndIncluded rate_limiter_internal/functions/partition_name.sql
--! Included rate_limiter_internal/functions/partitions.sql
create or replace function rate_limiter_internal.partitions()
returns table (
  schema_name name,
  table_name name,
  partition_name name,
  partition_oid oid,
  is_default boolean,
  starts_at timestamptz,
  ends_at timestamptz
)
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
-- The catalog spells bounds in the time zone and style of whoever asks.
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
  select
    t.schema_name,
    t.table_name,
    child.relname,
    child.oid,
    bound.spelled = 'DEFAULT',
    substring(bound.spelled from $re$FROM \('([^']+)'\)$re$)::timestamptz,
    substring(bound.spelled from $re$TO \('([^']+)'\)$re$)::timestamptz
  from rate_limiter_private.partitioned_tables as t
  join pg_namespace as n on n.nspname = t.schema_name
  join pg_class as parent on parent.relnamespace = n.oid and parent.relname = t.table_name
  join pg_inherits as i on i.inhparent = parent.oid
  join pg_class as child on child.oid = i.inhrelid
  cross join lateral (
    select pg_get_expr(child.relpartbound, child.oid) as spelled
  ) as bound;
$$;

comment on function rate_limiter_internal.partitions() is
  'Every partition of the registered tables, with its bounds.';
--! EndIncluded rate_limiter_internal/functions/partitions.sql
--! Included rate_limiter_internal/functions/copied_columns.sql
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
--! EndIncluded rate_limiter_internal/functions/copied_columns.sql
--! Included rate_limiter_private/functions/make_partition.sql
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
  execute format(
    'create table rate_limiter_partitions.%I (like %I.%I including defaults
      including constraints including generated including storage including compression
      including comments)
    with (autovacuum_vacuum_insert_scale_factor = %L, autovacuum_analyze_scale_factor = %L)',
    partition_name, registered.schema_name, registered.table_name,
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
  execute format(
    'alter table %I.%I attach partition rate_limiter_partitions.%I for values from (%L) to (%L)',
    registered.schema_name, registered.table_name, partition_name,
    make_partition.starts_at, ends_at
  );

  return partition_name;
end;
$$;

comment on function rate_limiter_private.make_partition(name, name, timestamptz) is
  'Makes the partition of a registered table that starts at a moment; answers its name.';
--! EndIncluded rate_limiter_private/functions/make_partition.sql
--! Included rate_limiter_private/functions/default_partition_has.sql
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
  default_name name;
  time_column name;
  answer boolean;
begin
  select p.partition_name, a.attname
  into default_name, time_column
  from rate_limiter_internal.partitions() as p
  join pg_inherits as i on i.inhrelid = p.partition_oid
  join pg_partitioned_table as pt on pt.partrelid = i.inhparent
  join pg_attribute as a on a.attrelid = i.inhparent and a.attnum = pt.partattrs[0]
  where p.schema_name = default_partition_has.schema_name
    and p.table_name = default_partition_has.table_name
    and p.is_default;

  if not found then
    return false;
  end if;

  execute format(
    'select exists (select from rate_limiter_partitions.%I where %I >= $1 and %I < $2)',
    default_name, time_column, time_column
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
--! EndIncluded rate_limiter_private/functions/default_partition_has.sql
--! Included rate_limiter_private/functions/make_partitions.sql
create or replace function rate_limiter_private.make_partitions(
  at timestamptz default current_timestamp
)
returns setof text
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
as $$
begin
  -- One at a time: a second worker finds nothing left to make.
  perform pg_advisory_xact_lock(hashtext('rate_limiter_partitions'));

  return query
  with wanted as (
    select
      t.schema_name,
      t.table_name,
      rate_limiter_internal.period_start(make_partitions.at, t.period, later) as starts_at,
      rate_limiter_internal.period_start(make_partitions.at, t.period, later + 1) as ends_at
    from rate_limiter_private.partitioned_tables as t
    -- The period before too: samples arrive late around its end.
    cross join lateral generate_series(-1, t.premake) as later
  ),
  missing as materialized (
    select w.*
    from wanted as w
    where not exists (
      select
      from rate_limiter_internal.partitions() as p
      where p.schema_name = w.schema_name
        and p.table_name = w.table_name
        and p.starts_at = w.starts_at
    )
    -- Where rows already wait for it, move_stragglers() makes the partition and moves them.
    and not rate_limiter_private.default_partition_has(
      w.schema_name, w.table_name, w.starts_at, w.ends_at
    )
    order by w.schema_name, w.table_name, w.starts_at
  )
  select rate_limiter_private.make_partition(m.schema_name, m.table_name, m.starts_at)
  from missing as m;
end;
$$;

comment on function rate_limiter_private.make_partitions(timestamptz) is
  'Makes the partitions that are missing around a moment, from the period before it to as many '
  'after it as each table says; answers their names.';
grant execute on function rate_limiter_private.make_partitions(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/make_partitions.sql
--! Included rate_limiter_private/functions/straggler_periods.sql
create or replace function rate_limiter_private.straggler_periods(
  schema_name name,
  table_name name,
  at timestamptz
)
returns setof timestamptz
language plpgsql
stable
parallel safe
as $$
declare
  default_name name;
  time_column name;
  registered rate_limiter_private.partitioned_tables;
begin
  select t.*
  into strict registered
  from rate_limiter_private.partitioned_tables as t
  where t.schema_name = straggler_periods.schema_name
    and t.table_name = straggler_periods.table_name;

  select p.partition_name, a.attname
  into default_name, time_column
  from rate_limiter_internal.partitions() as p
  join pg_inherits as i on i.inhrelid = p.partition_oid
  join pg_partitioned_table as pt on pt.partrelid = i.inhparent
  join pg_attribute as a on a.attrelid = i.inhparent and a.attnum = pt.partattrs[0]
  where p.schema_name = registered.schema_name
    and p.table_name = registered.table_name
    and p.is_default;

  if not found then
    return;
  end if;

  -- A moment far in the future is somebody's broken clock: such rows stay where they are rather
  -- than make partitions that nobody wants.
  return query execute format(
    'select distinct rate_limiter_internal.period_start(%I, $1)
    from rate_limiter_partitions.%I
    where %I >= $2 and %I < $3
    order by 1
    limit 400',
    time_column, default_name, time_column, time_column
  )
  using
    registered.period,
    timestamptz '2000-01-01 00:00:00+00',
    rate_limiter_internal.period_start(
      straggler_periods.at, registered.period, registered.premake + 1
    );
end;
$$;

comment on function rate_limiter_private.straggler_periods(name, name, timestamptz) is
  'The periods whose rows wait in the default partition of a table.';
--! EndIncluded rate_limiter_private/functions/straggler_periods.sql
--! Included rate_limiter_private/functions/move_stragglers_of.sql
create or replace function rate_limiter_private.move_stragglers_of(
  schema_name name,
  table_name name,
  at timestamptz
)
returns bigint
language plpgsql
volatile
parallel unsafe
as $$
declare
  default_name name;
  columns text;
  periods timestamptz[];
  moved bigint;
begin
  periods := array(
    select rate_limiter_private.straggler_periods(
      move_stragglers_of.schema_name, move_stragglers_of.table_name, move_stragglers_of.at
    )
  );
  if cardinality(periods) = 0 then
    return 0;
  end if;

  select p.partition_name, rate_limiter_internal.copied_columns(p.partition_oid)
  into default_name, columns
  from rate_limiter_internal.partitions() as p
  where p.schema_name = move_stragglers_of.schema_name
    and p.table_name = move_stragglers_of.table_name
    and p.is_default;

  -- The whole default partition is replaced instead of deleting from it: audit rows refuse to be
  -- deleted, and rightly so.
  execute format(
    'alter table %I.%I detach partition rate_limiter_partitions.%I',
    move_stragglers_of.schema_name, move_stragglers_of.table_name, default_name
  );
  execute format(
    'alter table rate_limiter_partitions.%I rename to %I', default_name, default_name || '_old'
  );

  perform rate_limiter_private.make_partition(
    move_stragglers_of.schema_name, move_stragglers_of.table_name, missing.starts_at
  )
  from unnest(periods) as missing (starts_at)
  where not exists (
    select
    from rate_limiter_internal.partitions() as p
    where p.schema_name = move_stragglers_of.schema_name
      and p.table_name = move_stragglers_of.table_name
      and p.starts_at = missing.starts_at
  );

  execute format(
    'create table rate_limiter_partitions.%I partition of %I.%I default',
    default_name, move_stragglers_of.schema_name, move_stragglers_of.table_name
  );
  execute format(
    'insert into %I.%I (%s) select %s from rate_limiter_partitions.%I',
    move_stragglers_of.schema_name, move_stragglers_of.table_name, columns, columns,
    default_name || '_old'
  );
  execute format('select count(*) from rate_limiter_partitions.%I', default_name || '_old')
  into moved;
  execute format('select $1 - count(*) from rate_limiter_partitions.%I', default_name)
  into moved
  using moved;
  execute format('drop table rate_limiter_partitions.%I', default_name || '_old');

  return moved;
end;
$$;

comment on function rate_limiter_private.move_stragglers_of(name, name, timestamptz) is
  'Makes the partitions that rows in the default partition of a table wait for, and moves the '
  'rows; answers how many.';
--! EndIncluded rate_limiter_private/functions/move_stragglers_of.sql
--! Included rate_limiter_private/functions/move_stragglers.sql
create or replace function rate_limiter_private.move_stragglers(
  at timestamptz default current_timestamp
)
returns table (table_name text, moved_rows bigint)
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
as $$
begin
  perform pg_advisory_xact_lock(hashtext('rate_limiter_partitions'));

  return query
  select t.schema_name || '.' || t.table_name, moved.rows
  from rate_limiter_private.partitioned_tables as t
  cross join lateral (
    select rate_limiter_private.move_stragglers_of(
      t.schema_name, t.table_name, move_stragglers.at
    )
  ) as moved (rows)
  where moved.rows > 0;
end;
$$;

comment on function rate_limiter_private.move_stragglers(timestamptz) is
  'Moves rows that came too early or too late for a partition of their own out of the default '
  'partitions; answers how many of which table.';
grant execute on function rate_limiter_private.move_stragglers(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/move_stragglers.sql
--! Included rate_limiter_private/functions/expired_partitions.sql
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
    and p.ends_at
      <= expired_partitions.at - rate_limiter_internal.retention_period(t.data_type)
  order by p.ends_at, t.schema_name, t.table_name;
$$;

comment on function rate_limiter_private.expired_partitions(timestamptz) is
  'The partitions whose youngest row could be no younger than their retention policy keeps.';
grant execute on function rate_limiter_private.expired_partitions(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/expired_partitions.sql
--! Included rate_limiter_private/functions/drop_partition.sql
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
set lock_timeout = '5s'
as $$
declare
  expired_name text;
begin
  -- A caller's clock that runs ahead makes nothing expire.
  select e.partition_name
  into expired_name
  from rate_limiter_private.expired_partitions(least(drop_partition.at, clock_timestamp())) as e
  where e.partition_name = drop_partition.partition_name;

  if not found then
    raise exception using
      errcode = 'QS409',
      message = 'partition has not expired',
      detail = format('partition: %s', drop_partition.partition_name),
      hint = 'Only what is older than its retention policy can be dropped.';
  end if;

  execute format('drop table rate_limiter_partitions.%I', expired_name);
end;
$$;

comment on function rate_limiter_private.drop_partition(text, timestamptz) is
  'Drops one partition that has expired. Where its policy says export first, that is the '
  'caller''s to have done.';
grant execute on function rate_limiter_private.drop_partition(text, timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/drop_partition.sql
--! Included rate_limiter_private/functions/drop_partitions.sql
create or replace function rate_limiter_private.drop_partitions(
  at timestamptz default current_timestamp,
  dry_run boolean default false
)
returns table (partition_name text, starts_at timestamptz, ends_at timestamptz)
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
as $$
declare
  expired record;
begin
  for expired in
    select e.partition_name, e.starts_at, e.ends_at
    from rate_limiter_private.expired_partitions(drop_partitions.at) as e
    where not e.export_first
  loop
    if not drop_partitions.dry_run then
      perform rate_limiter_private.drop_partition(expired.partition_name, drop_partitions.at);
    end if;

    partition_name := expired.partition_name;
    starts_at := expired.starts_at;
    ends_at := expired.ends_at;
    return next;
  end loop;
end;
$$;

comment on function rate_limiter_private.drop_partitions(timestamptz, boolean) is
  'Drops every expired partition that need not be exported first; answers which, and with '
  'dry_run only that.';
grant execute on function rate_limiter_private.drop_partitions(timestamptz, boolean)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/drop_partitions.sql
--! Included rate_limiter_private/functions/refresh_daily_quota_usage.sql
create or replace function rate_limiter_private.refresh_daily_quota_usage()
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  refresh materialized view concurrently rate_limiter.mv_daily_quota_usage;
end;
$$;

comment on function rate_limiter_private.refresh_daily_quota_usage() is
  'Job: brings mv_daily_quota_usage up to date while it goes on being read.';
grant execute on function rate_limiter_private.refresh_daily_quota_usage()
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/refresh_daily_quota_usage.sql

-- Token engine: arithmetic
--! Included rate_limiter_internal/functions/is_bandwidth.sql
create or replace function rate_limiter_internal.is_bandwidth(
  bucket_type rate_limiter.bucket_type
)
returns boolean
language sql
immutable
parallel safe
as $$
  select bucket_type in ('bandwidth_l2', 'bandwidth_l1');
$$;

comment on function rate_limiter_internal.is_bandwidth(rate_limiter.bucket_type) is
  'Whether a bucket holds bytes rather than tokens of operations.';
--! EndIncluded rate_limiter_internal/functions/is_bandwidth.sql
--! Included rate_limiter_internal/functions/is_layer_1.sql
create or replace function rate_limiter_internal.is_layer_1(
  bucket_type rate_limiter.bucket_type
)
returns boolean
language sql
immutable
parallel safe
as $$
  select bucket_type in ('iops_l1', 'bandwidth_l1');
$$;

comment on function rate_limiter_internal.is_layer_1(rate_limiter.bucket_type) is
  'Whether a bucket belongs to a cluster rather than to an application.';
--! EndIncluded rate_limiter_internal/functions/is_layer_1.sql
--! Included rate_limiter_internal/functions/cost_of.sql
create or replace function rate_limiter_internal.cost_of(
  c_base numeric,
  c_bw numeric,
  unit_quantum bigint,
  size_bytes bigint
)
returns numeric
language sql
immutable
parallel safe
as $$
  -- Integer division: numeric division rounds, and c_base has four digits, so rounding up the
  -- rest rounds up the sum.
  select c_base
    + div(size_bytes * (c_bw * 1000000) + unit_quantum - 1, unit_quantum) * 0.000001;
$$;

comment on function rate_limiter_internal.cost_of(numeric, numeric, bigint, bigint) is
  'Tokens for an operation of a size in bytes: c_base + size / unit_quantum * c_bw, rounded up '
  'to six digits.';
--! EndIncluded rate_limiter_internal/functions/cost_of.sql
--! Included rate_limiter_internal/functions/inflow.sql
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
  'refill() of a bucket that has a quota and is no fixed window: tokens that flow in evenly '
  'until it is full; none where the clock stepped back. Inlined into the statements that call '
  'it.';
--! EndIncluded rate_limiter_internal/functions/inflow.sql
--! Included rate_limiter_internal/functions/refill.sql
create or replace function rate_limiter_internal.refill(
  tokens numeric,
  capacity numeric,
  refill_rate bigint,
  calculation_method rate_limiter.calculation_method,
  burst_duration_seconds integer,
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
    when div(extract(epoch from at - timestamptz 'epoch'), burst_duration_seconds)
      > div(extract(epoch from last_refill_at - timestamptz 'epoch'), burst_duration_seconds)
      then greatest(capacity - tokens, 0)
    else 0
  end;
$$;

comment on function rate_limiter_internal.refill(
  numeric, numeric, bigint, rate_limiter.calculation_method, integer, timestamptz, timestamptz
) is
  'Tokens that flow into a bucket between last_refill_at and at; none where the clock stepped '
  'back, null where there is no quota. Inlined into the statements that call it.';
--! EndIncluded rate_limiter_internal/functions/refill.sql
--! Included rate_limiter_internal/functions/quota_capacity.sql
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
--! EndIncluded rate_limiter_internal/functions/quota_capacity.sql
--! Included rate_limiter_internal/functions/wait_ms.sql
create or replace function rate_limiter_internal.wait_ms(
  at timestamptz,
  calculation_method rate_limiter.calculation_method,
  burst_duration_seconds integer,
  refill_rate bigint,
  last_refill_at timestamptz,
  shortage numeric
)
returns bigint
language sql
immutable
parallel safe
as $$
  select div(
    case calculation_method
      when 'fixed_window' then (
        div(
          extract(epoch from greatest(last_refill_at, at) - timestamptz 'epoch'),
          burst_duration_seconds
        ) + 1
      ) * burst_duration_seconds * 1000000 - extract(epoch from at - timestamptz 'epoch') * 1000000
      else
        extract(epoch from greatest(last_refill_at - at, interval '0')) * 1000000
        + div(shortage * 1000000 + refill_rate - 1, refill_rate)
    end + 999,
    1000
  )::bigint;
$$;

comment on function rate_limiter_internal.wait_ms(
  timestamptz, rate_limiter.calculation_method, integer, bigint, timestamptz, numeric
) is
  'Milliseconds, rounded up, from a moment until a bucket will hold what it lacks; in a fixed '
  'window until the next one starts. Inlined into the statements that call it.';
--! EndIncluded rate_limiter_internal/functions/wait_ms.sql
--! Included rate_limiter_internal/functions/leaky_delay_ms.sql
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
  select greatest(div((capacity - tokens) * 1000 + refill_rate - 0.001, refill_rate), 0)::bigint;
$$;

comment on function rate_limiter_internal.leaky_delay_ms(numeric, numeric, bigint) is
  'Milliseconds, rounded up, to hold an operation back so that the operations of a leaky '
  'bucket, with these tokens before the charge, leave at its steady rate.';
--! EndIncluded rate_limiter_internal/functions/leaky_delay_ms.sql
--! Included rate_limiter_internal/functions/shortage.sql
create or replace function rate_limiter_internal.shortage(
  tokens numeric,
  capacity numeric,
  charge numeric,
  allow_oversize boolean,
  refill_rate bigint
)
returns numeric
language sql
immutable
parallel safe
as $$
  select case
    when capacity is null or tokens >= charge then 0
    when charge <= capacity then charge - tokens
    -- A century to pay back is never, and far from the end of what a timestamp can hold.
    when allow_oversize and charge - capacity <= refill_rate * 3155760000::numeric
      then greatest(capacity - tokens, 0)
    else 'infinity'
  end;
$$;

comment on function rate_limiter_internal.shortage(numeric, numeric, numeric, boolean, bigint) is
  'Tokens that a bucket lacks to pay a charge: 0 where it can or there is no bucket, infinity '
  'where it never will. '
  'An oversize charge waits for a full bucket.';
--! EndIncluded rate_limiter_internal/functions/shortage.sql
--! Included rate_limiter_internal/functions/paid_back_at.sql
create or replace function rate_limiter_internal.paid_back_at(
  last_refill_at timestamptz,
  missing numeric,
  refill_rate bigint
)
returns timestamptz
language plpgsql
immutable
parallel safe
as $$
begin
  -- By way of text, because every other road to an interval passes a float.
  return last_refill_at
    + format('%s us', div(missing * 1000000 + refill_rate - 1, refill_rate))::interval;
end;
$$;

comment on function rate_limiter_internal.paid_back_at(timestamptz, numeric, bigint) is
  'When the tokens that a bucket owes beyond what it held will have flowed in, rounded up to a '
  'microsecond: it refills only after that.';
--! EndIncluded rate_limiter_internal/functions/paid_back_at.sql
--! Included rate_limiter_internal/functions/charges_of.sql
create or replace function rate_limiter_internal.charges_of(
  buckets rate_limiter.token_buckets[],
  cost numeric,
  bytes numeric,
  with_shadow boolean
)
returns rate_limiter_internal.bucket_charge[]
language plpgsql
immutable
parallel safe
as $$
begin
  return (
    select coalesce(
      array_agg(
        row(b.owner_id, b.bucket_type, b.mode, c.tokens)::rate_limiter_internal.bucket_charge
        order by b.ordinality
      ),
      '{}'
    )
    from unnest(buckets) with ordinality as b
    cross join lateral (
      select case when rate_limiter_internal.is_bandwidth(b.bucket_type) then bytes else cost end
    ) as c (tokens)
    where c.tokens > 0
      and (with_shadow or b.mode = 'enforce')
  );
end;
$$;

comment on function rate_limiter_internal.charges_of(
  rate_limiter.token_buckets[], numeric, numeric, boolean
) is 'What each of the buckets was charged for an operation, in lock order.';
--! EndIncluded rate_limiter_internal/functions/charges_of.sql
--! Included rate_limiter_internal/functions/decide_batch.sql
create or replace function rate_limiter_internal.decide_batch(
  at timestamptz,
  costs numeric[],
  sizes bigint[],
  costs_before numeric[],
  allotment_ms integer,
  inout buckets rate_limiter.token_buckets[],
  out decisions rate_limiter.decision[],
  out charges_anything boolean
)
language plpgsql
immutable
parallel safe
as $$
declare
  bucket rate_limiter.token_buckets;
  places integer := 0;
  -- What each operation reads and changes, by place, in plain arrays: rows are too slow for it.
  tokens numeric[];
  capacities numeric[];
  last_refills timestamptz[];
  is_bandwidth boolean[];
  is_shadow boolean[];
  allotments numeric[];
  -- Of a layer-1 bucket, the place of the layer-2 bucket of its kind, whose allotment pays.
  payers integer[];
  tokens_place integer;
  bytes_place integer;
  decision rate_limiter.decision;
  charges numeric[];
  charge numeric;
  shortage numeric;
  ahead numeric;
  shadow_reason text;
begin
  foreach bucket in array buckets loop
    places := places + 1;
    tokens[places] := bucket.current_tokens;
    capacities[places] := bucket.capacity;
    last_refills[places] := bucket.last_refill_at;
    is_bandwidth[places] := rate_limiter_internal.is_bandwidth(bucket.bucket_type);
    is_shadow[places] := bucket.mode = 'shadow';
    allotments[places] := bucket.allotment;
    payers[places] := null;
    if bucket.bucket_type = 'iops_l2' then
      tokens_place := coalesce(tokens_place, places);
    elsif bucket.bucket_type = 'bandwidth_l2' then
      bytes_place := coalesce(bytes_place, places);
    elsif bucket.mode = 'enforce' then
      -- Shadow buckets are charged exactly: what is drawn ahead belongs to the deciding ones.
      payers[places] := case when is_bandwidth[places] then bytes_place else tokens_place end;
      if is_shadow[payers[places]] then
        payers[places] := null;
      end if;
    end if;
  end loop;

  charges_anything := false;
  for i in 1 .. cardinality(costs) loop
    decision := row(true, null::text, costs[i], null, null, 0::bigint, 0::bigint);
    if costs_before[i] is not null then
      decision.cost := costs_before[i];
      decision.remaining := tokens[tokens_place];
      decision.remaining_bytes := tokens[bytes_place];
      decisions[i] := decision;
      continue;
    end if;

    shadow_reason := null;
    for place in 1 .. places loop
      charge := case when is_bandwidth[place] then sizes[i] else costs[i] end;
      if payers[place] is not null then
        charge := greatest(charge - allotments[payers[place]], 0);
      end if;
      charges[place] := charge;
      continue when tokens[place] >= charge;

      shortage := rate_limiter_internal.shortage(
        tokens[place], capacities[place], charge, buckets[place].allow_oversize,
        buckets[place].refill_rate
      );
      continue when shortage = 0;
      if is_shadow[place] then
        shadow_reason := case when shortage = 'infinity' then 'exceeds_capacity'
          else coalesce(shadow_reason, buckets[place].bucket_type::text) end;
      elsif shortage = 'infinity' then
        decision.allowed := false;
        decision.reason := 'exceeds_capacity';
        decision.retry_after_ms := null;
      else
        decision.allowed := false;
        decision.reason := coalesce(decision.reason, buckets[place].bucket_type::text);
        decision.retry_after_ms := case when decision.reason <> 'exceeds_capacity'
          then greatest(decision.retry_after_ms, rate_limiter_internal.wait_ms(
            at, buckets[place].calculation_method, buckets[place].burst_duration_seconds,
            buckets[place].refill_rate, last_refills[place], shortage
          ))
        end;
      end if;
    end loop;

    if decision.allowed then
      charges_anything := true;
      decision.reason := shadow_reason;
      for place in 1 .. places loop
        charge := charges[place];
        continue when is_shadow[place] and shadow_reason is not null;

        if charge > 0 and not is_shadow[place]
          and buckets[place].calculation_method = 'leaky_bucket'
        then
          decision.delay_ms := greatest(decision.delay_ms, rate_limiter_internal.leaky_delay_ms(
            tokens[place], capacities[place], buckets[place].refill_rate
          ));
        end if;

        if tokens[place] >= charge then
          tokens[place] := tokens[place] - charge;
        else
          -- Oversize: full, emptied, and the excess paid back in time.
          tokens[place] := 0.000000;
          last_refills[place] := rate_limiter_internal.paid_back_at(
            last_refills[place], charge - capacities[place], buckets[place].refill_rate
          );
        end if;

        if payers[place] is null then
          continue;
        elsif charge = 0 then
          allotments[payers[place]] := allotments[payers[place]]
            - case when is_bandwidth[place] then sizes[i] else costs[i] end;
        else
          -- What is drawn ahead of need leaves the reserve alone, as a lease does.
          ahead := greatest(0, least(
            allotment_ms * 0.001 * buckets[payers[place]].refill_rate,
            tokens[place] - buckets[place].min_reserve
          ));
          tokens[place] := tokens[place] - ahead;
          allotments[payers[place]] := ahead;
          buckets[payers[place]].allotment_expires_at := at + interval '1 second';
        end if;
      end loop;
    end if;
    decision.remaining := tokens[tokens_place];
    decision.remaining_bytes := tokens[bytes_place];
    decisions[i] := decision;
  end loop;

  for place in 1 .. places loop
    buckets[place].current_tokens := tokens[place];
    buckets[place].last_refill_at := last_refills[place];
    buckets[place].allotment := allotments[place];
  end loop;
end;
$$;

comment on function rate_limiter_internal.decide_batch(
  timestamptz, numeric[], bigint[], numeric[], integer, rate_limiter.token_buckets[]
) is
  'The decisions on operations one after the other, over buckets as they stand at a moment and '
  'in the order in which a denial names them, and the buckets as they leave them. An operation '
  'that was charged before (costs_before, null where it was not) is admitted again for '
  'nothing. A layer-1 bucket is charged through the allotment of the layer-2 bucket of the '
  'same kind, which draws allotment_ms milliseconds of its refill ahead of need. Reads and '
  'writes no table.';
--! EndIncluded rate_limiter_internal/functions/decide_batch.sql

-- Token engine: buckets and their quotas
--! Included rate_limiter_internal/functions/quota_terms_at.sql
create or replace function rate_limiter_internal.quota_terms_at(
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  mode rate_limiter.quota_mode
)
returns rate_limiter_internal.quota_terms
language sql
stable
parallel safe
as $$
  with in_force as (
    select c.config_id, c.valid_to
    from rate_limiter.quota_configs as c
    where c.owner_id = quota_terms_at.owner_id
      and c.mode = quota_terms_at.mode
      and c.is_active
      and c.valid_from <= at
      and (c.valid_to is null or c.valid_to > at)
  ),
  next_change as (
    select min(c.valid_from) as valid_from
    from rate_limiter.quota_configs as c
    where c.owner_id = quota_terms_at.owner_id
      and c.mode = quota_terms_at.mode
      and c.is_active
      and c.valid_from > at
  ),
  terms as (
    select
      q.config_id,
      q.calculation_method,
      q.iops_limit::bigint as quota_limit,
      q.iops_burst::bigint as burst,
      q.burst_duration_seconds,
      q.refill_rate::bigint as refill_rate,
      q.min_reserve::bigint as min_reserve,
      false as allow_oversize
    from rate_limiter.iops_quotas as q
    where bucket_type in ('iops_l2', 'iops_l1')
      and q.config_id = (select config_id from in_force)
    union all
    select
      q.config_id,
      'token_bucket',
      q.bandwidth_limit_bps,
      q.bandwidth_burst_bps,
      q.burst_duration_seconds,
      q.refill_rate_bps,
      0,
      q.allow_oversize
    from rate_limiter.bandwidth_quotas as q
    where bucket_type in ('bandwidth_l2', 'bandwidth_l1')
      and q.config_id = (select config_id from in_force)
  )
  select
    t.config_id,
    t.calculation_method,
    rate_limiter_internal.quota_capacity(
      t.calculation_method, t.quota_limit, t.burst, t.burst_duration_seconds, t.refill_rate
    ),
    t.refill_rate,
    t.burst_duration_seconds,
    t.min_reserve,
    t.allow_oversize,
    coalesce(f.valid_to, n.valid_from, 'infinity')
  from next_change as n
  left join in_force as f on true
  left join terms as t on true;
$$;

comment on function rate_limiter_internal.quota_terms_at(
  timestamptz, uuid, rate_limiter.bucket_type, rate_limiter.quota_mode
) is
  'What the quotas of an owner mean for one bucket at a moment: always one row, its capacity '
  'null where none is in force, and terms_until the moment of the next change.';
--! EndIncluded rate_limiter_internal/functions/quota_terms_at.sql
--! Included rate_limiter_internal/functions/in_force_since.sql
create or replace function rate_limiter_internal.in_force_since(
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  mode rate_limiter.quota_mode
)
returns timestamptz
language sql
stable
parallel safe
as $$
  with recursive versions as (
    select c.valid_from, c.valid_to
    from rate_limiter.quota_configs as c
    where c.owner_id = in_force_since.owner_id
      and c.mode = in_force_since.mode
      and c.is_active
      and case when rate_limiter_internal.is_bandwidth(in_force_since.bucket_type)
        then exists (
          select from rate_limiter.bandwidth_quotas as q where q.config_id = c.config_id
        )
        else exists (
          select from rate_limiter.iops_quotas as q where q.config_id = c.config_id
        )
      end
  ),
  unbroken as (
    select v.valid_from
    from versions as v
    where v.valid_from <= at and (v.valid_to is null or v.valid_to > at)
    union all
    select v.valid_from
    from unbroken as u
    join versions as v on v.valid_to = u.valid_from
  )
  select min(u.valid_from) from unbroken as u;
$$;

comment on function rate_limiter_internal.in_force_since(
  timestamptz, uuid, rate_limiter.bucket_type, rate_limiter.quota_mode
) is
  'Since when quotas for a bucket have followed each other without a gap up to a moment: when '
  'the bucket came into being. Null where none is in force.';
--! EndIncluded rate_limiter_internal/functions/in_force_since.sql
--! Included rate_limiter_internal/functions/bucket_under_terms.sql
create or replace function rate_limiter_internal.bucket_under_terms(
  at timestamptz,
  inout bucket rate_limiter.token_buckets,
  out adjusted numeric
)
language plpgsql
stable
parallel safe
as $$
declare
  terms rate_limiter_internal.quota_terms;
  change_at timestamptz;
  inflow numeric;
begin
  adjusted := 0;
  bucket.refilled := 0;

  while at >= bucket.terms_until loop
    -- A bucket is full since its quotas took force, whoever looked at it since then.
    change_at := case when isfinite(bucket.terms_until) then bucket.terms_until
      else coalesce(
        rate_limiter_internal.in_force_since(
          at, bucket.owner_id, bucket.bucket_type, bucket.mode
        ),
        at
      )
    end;

    if bucket.capacity is not null then
      inflow := rate_limiter_internal.refill(
        bucket.current_tokens, bucket.capacity, bucket.refill_rate, bucket.calculation_method,
        bucket.burst_duration_seconds, bucket.last_refill_at, change_at
      );
      bucket.refilled := bucket.refilled + inflow;
      bucket.current_tokens := bucket.current_tokens + inflow;
    end if;

    terms := rate_limiter_internal.quota_terms_at(
      change_at, bucket.owner_id, bucket.bucket_type, bucket.mode
    );
    -- No quota, no bucket; a new bucket is full; a smaller one drops what it cannot hold.
    inflow := case
      when terms.capacity is null then -bucket.current_tokens
      when bucket.capacity is null then terms.capacity - bucket.current_tokens
      else least(terms.capacity - bucket.current_tokens, 0)
    end;
    adjusted := adjusted + inflow;
    bucket.current_tokens := bucket.current_tokens + inflow;
    bucket.last_refill_at := case when bucket.capacity is null then change_at
      else greatest(bucket.last_refill_at, change_at) end;

    bucket.config_id := terms.config_id;
    bucket.capacity := terms.capacity;
    bucket.terms_until := terms.terms_until;
    if terms.capacity is not null then
      bucket.calculation_method := terms.calculation_method;
      bucket.refill_rate := terms.refill_rate;
      bucket.burst_duration_seconds := terms.burst_duration_seconds;
      bucket.min_reserve := terms.min_reserve;
      bucket.allow_oversize := terms.allow_oversize;
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.bucket_under_terms(
  timestamptz, rate_limiter.token_buckets
) is
  'A bucket under the terms in force at a moment, as it stood when they took force: refilled '
  'under each of the terms up to the next. adjusted: tokens that changes of terms added or took.';
--! EndIncluded rate_limiter_internal/functions/bucket_under_terms.sql
--! Included rate_limiter_internal/functions/bucket_at.sql
create or replace function rate_limiter_internal.bucket_at(
  at timestamptz,
  inout bucket rate_limiter.token_buckets,
  out adjusted numeric
)
language plpgsql
stable
parallel safe
as $$
declare
  standing record;
  inflow numeric;
begin
  adjusted := 0;
  bucket.refilled := 0;
  if at >= bucket.terms_until then
    standing := rate_limiter_internal.bucket_under_terms(at, bucket);
    bucket := standing.bucket;
    adjusted := standing.adjusted;
  end if;

  if bucket.capacity is not null then
    inflow := rate_limiter_internal.refill(
      bucket.current_tokens, bucket.capacity, bucket.refill_rate, bucket.calculation_method,
      bucket.burst_duration_seconds, bucket.last_refill_at, at
    );
    bucket.refilled := bucket.refilled + inflow;
    bucket.current_tokens := bucket.current_tokens + inflow;
    bucket.last_refill_at := greatest(bucket.last_refill_at, at);
  end if;

  if bucket.allotment_expires_at <= at then
    bucket.allotment := 0;
  end if;
end;
$$;

comment on function rate_limiter_internal.bucket_at(timestamptz, rate_limiter.token_buckets) is
  'A bucket as it stands at a moment: refilled, and walked through every change of quota since '
  'its last change. refilled: tokens that flowed in. adjusted: tokens that changes of quota '
  'added (a new bucket is full) or dropped. Changes nothing.';
--! EndIncluded rate_limiter_internal/functions/bucket_at.sql
--! Included rate_limiter_internal/functions/buckets_at.sql
create or replace function rate_limiter_internal.buckets_at(
  at timestamptz,
  app_id uuid,
  cluster_id uuid
)
returns rate_limiter.token_buckets[]
language plpgsql
stable
parallel safe
as $$
declare
  bucket rate_limiter.token_buckets;
  buckets rate_limiter.token_buckets[] := '{}';
begin
  for bucket in
    select b.*
    from rate_limiter.token_buckets as b
    where b.owner_id in (buckets_at.app_id, buckets_at.cluster_id)
    order by b.bucket_type, b.mode
  loop
    bucket := (rate_limiter_internal.bucket_at(at, bucket)).bucket;
    if bucket.capacity is not null then
      buckets := buckets || bucket;
    end if;
  end loop;
  return buckets;
end;
$$;

comment on function rate_limiter_internal.buckets_at(timestamptz, uuid, uuid) is
  'The buckets with a quota in force that an application draws on, as they stand at a moment, '
  'in the order in which a denial names them. Locks nothing.';
--! EndIncluded rate_limiter_internal/functions/buckets_at.sql
--! Included rate_limiter_internal/functions/write_buckets.sql
create or replace function rate_limiter_internal.write_buckets(
  at timestamptz,
  transaction_type rate_limiter.transaction_type,
  before rate_limiter.token_buckets[],
  after rate_limiter.token_buckets[],
  reference_id text,
  metadata jsonb,
  layer_1_type rate_limiter.transaction_type default null
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  bucket rate_limiter.token_buckets;
  tokens_change numeric;
begin
  -- Row by row, by key: a join with a list of buckets is planned as a search through them all.
  for place in 1 .. cardinality(after) loop
    bucket := after[place];
    continue when bucket is not distinct from before[place];
    tokens_change := bucket.current_tokens - (before[place]).current_tokens;
    if tokens_change <> 0 or bucket.refilled <> 0 then
      bucket.ledger_seq := bucket.ledger_seq + 1;
    end if;

    update rate_limiter.token_buckets as b
    set
      calculation_method = bucket.calculation_method,
      allow_oversize = bucket.allow_oversize,
      burst_duration_seconds = bucket.burst_duration_seconds,
      terms_until = bucket.terms_until,
      last_refill_at = bucket.last_refill_at,
      allotment_expires_at = bucket.allotment_expires_at,
      updated_at = at,
      ledger_seq = bucket.ledger_seq,
      refill_rate = bucket.refill_rate,
      min_reserve = bucket.min_reserve,
      config_id = bucket.config_id,
      capacity = bucket.capacity,
      current_tokens = bucket.current_tokens,
      refilled = bucket.refilled,
      allotment = bucket.allotment
    where b.owner_id = bucket.owner_id
      and b.bucket_type = bucket.bucket_type
      and b.mode = bucket.mode;

    if bucket.ledger_seq > (after[place]).ledger_seq then
      insert into rate_limiter.token_transactions (
        owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
        balance_after, reference_id, metadata
      )
      values (
        bucket.owner_id, at, bucket.ledger_seq, bucket.bucket_type, bucket.mode,
        case when rate_limiter_internal.is_layer_1(bucket.bucket_type)
          then coalesce(layer_1_type, transaction_type)
          else transaction_type
        end,
        tokens_change, bucket.refilled, bucket.current_tokens, reference_id, metadata
      );
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.write_buckets(
  timestamptz, rate_limiter.transaction_type, rate_limiter.token_buckets[],
  rate_limiter.token_buckets[], text, jsonb, rate_limiter.transaction_type
) is
  'Writes locked buckets as an operation leaves them, and a ledger row for each whose tokens '
  'changed. before: as they stood at the moment, refilled; after: the same buckets in the same '
  'order.';
--! EndIncluded rate_limiter_internal/functions/write_buckets.sql
--! Included rate_limiter_internal/functions/locked_bucket_at.sql
create or replace function rate_limiter_internal.locked_bucket_at(
  at timestamptz,
  stored rate_limiter.token_buckets
)
returns rate_limiter.token_buckets
language plpgsql
volatile
parallel unsafe
as $$
declare
  bucket rate_limiter.token_buckets := stored;
  before rate_limiter.token_buckets;
  standing record;
begin
  -- As the bucket stood when the terms took force: what flowed in since then is written by
  -- whatever charges it, so that a decision that charges nothing leaves no moment behind.
  if at >= stored.terms_until then
    standing := rate_limiter_internal.bucket_under_terms(at, stored);
    bucket := standing.bucket;
    before := bucket;
    before.current_tokens := before.current_tokens - standing.adjusted;
    before.terms_until := stored.terms_until;
    perform rate_limiter_internal.write_buckets(
      at, 'adjust', array[before], array[bucket], null, '{"cause": "change of quota"}'
    );
    if standing.adjusted <> 0 or bucket.refilled <> 0 then
      bucket.ledger_seq := bucket.ledger_seq + 1;
    end if;
  end if;

  return (rate_limiter_internal.bucket_at(at, bucket)).bucket;
end;
$$;

comment on function rate_limiter_internal.locked_bucket_at(
  timestamptz, rate_limiter.token_buckets
) is
  'A bucket that the caller has locked, as it stands at a moment. A change of quota since its '
  'last change is written down first.';
--! EndIncluded rate_limiter_internal/functions/locked_bucket_at.sql
--! Included rate_limiter_internal/functions/lock_bucket.sql
create or replace function rate_limiter_internal.lock_bucket(
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  mode rate_limiter.quota_mode
)
returns rate_limiter.token_buckets
language plpgsql
volatile
parallel unsafe
as $$
declare
  stored rate_limiter.token_buckets;
begin
  select b.* into stored
  from rate_limiter.token_buckets as b
  where b.owner_id = lock_bucket.owner_id
    and b.bucket_type = lock_bucket.bucket_type
    and b.mode = lock_bucket.mode
  for update;

  if not found then
    return null;
  end if;
  return rate_limiter_internal.locked_bucket_at(at, stored);
end;
$$;

comment on function rate_limiter_internal.lock_bucket(
  timestamptz, uuid, rate_limiter.bucket_type, rate_limiter.quota_mode
) is
  'Locks a bucket until the end of the transaction and returns it as it stands at a moment; '
  'null where there is none. A change of quota since its last change is written down first. '
  'Callers lock in the order of chapter buckets: layer 2 before layer 1, then by owner.';
--! EndIncluded rate_limiter_internal/functions/lock_bucket.sql
--! Included rate_limiter_internal/functions/lock_buckets.sql
create or replace function rate_limiter_internal.lock_buckets(
  at timestamptz,
  app_id uuid,
  cluster_id uuid
)
returns rate_limiter.token_buckets[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  bucket rate_limiter.token_buckets;
  buckets rate_limiter.token_buckets[] := '{}';
begin
  -- Two queries, because a lock is taken when a row is fetched: layer 2 first.
  for bucket in
    select b.*
    from rate_limiter.token_buckets as b
    where b.owner_id = lock_buckets.app_id
    order by b.bucket_type, b.mode
    for update
  loop
    bucket := rate_limiter_internal.locked_bucket_at(at, bucket);
    if bucket.capacity is not null then
      buckets := buckets || bucket;
    end if;
  end loop;

  if cluster_id is not null then
    for bucket in
      select b.*
      from rate_limiter.token_buckets as b
      where b.owner_id = lock_buckets.cluster_id
      order by b.bucket_type, b.mode
      for update
    loop
      bucket := rate_limiter_internal.locked_bucket_at(at, bucket);
      if bucket.capacity is not null then
        buckets := buckets || bucket;
      end if;
    end loop;
  end if;
  return buckets;
end;
$$;

comment on function rate_limiter_internal.lock_buckets(timestamptz, uuid, uuid) is
  'Like buckets_at, and locks the buckets until the end of the transaction: layer 2 first, '
  'which is also the order they are returned in.';
--! EndIncluded rate_limiter_internal/functions/lock_buckets.sql
--! Included rate_limiter_internal/functions/give_back.sql
create or replace function rate_limiter_internal.give_back(
  at timestamptz,
  charges rate_limiter_internal.bucket_charge[],
  transaction_type rate_limiter.transaction_type,
  reference_id text,
  metadata jsonb default null
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  charge rate_limiter_internal.bucket_charge;
  before rate_limiter.token_buckets;
  after rate_limiter.token_buckets;
begin
  -- Charges are remembered in lock order.
  foreach charge in array charges loop
    before := rate_limiter_internal.lock_bucket(
      at, charge.owner_id, charge.bucket_type, charge.mode
    );
    continue when before.capacity is null;
    after := before;
    after.current_tokens := after.current_tokens + least(
      charge.tokens, greatest(after.capacity - after.current_tokens, 0)
    );
    perform rate_limiter_internal.write_buckets(
      at, transaction_type, array[before], array[after], reference_id, metadata
    );
  end loop;
end;
$$;

comment on function rate_limiter_internal.give_back(
  timestamptz, rate_limiter_internal.bucket_charge[], rate_limiter.transaction_type, text, jsonb
) is
  'Credits buckets with what they were charged, none above its capacity; a bucket whose quota '
  'is gone gets nothing.';
--! EndIncluded rate_limiter_internal/functions/give_back.sql
--! Included rate_limiter_internal/functions/touch_buckets.sql
create or replace function rate_limiter_internal.touch_buckets(
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
    select b.owner_id, b.bucket_type, b.mode
    from rate_limiter.token_buckets as b
    where b.owner_id = touch_buckets.owner_id and b.mode = touch_buckets.mode
    order by b.bucket_type
    for update
  )
  update rate_limiter.token_buckets as b
  set terms_until = least(b.terms_until, greatest(coalesce(moment, 'infinity'), b.updated_at))
  from locked as l
  where b.owner_id = l.owner_id and b.bucket_type = l.bucket_type and b.mode = l.mode;
$$;

comment on function rate_limiter_internal.touch_buckets(
  uuid, rate_limiter.quota_mode, timestamptz
) is
  'Makes the buckets of an owner look up their quota again from a moment on, which cannot lie '
  'before their last change.';
--! EndIncluded rate_limiter_internal/functions/touch_buckets.sql
--! Included rate_limiter_internal/functions/add_bucket.sql
create or replace function rate_limiter_internal.add_bucket(
  config rate_limiter.quota_configs,
  is_bandwidth boolean
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  insert into rate_limiter.token_buckets (owner_id, bucket_type, mode)
  values (
    config.owner_id,
    case
      when config.app_id is null and is_bandwidth then 'bandwidth_l1'
      when config.app_id is null then 'iops_l1'
      when is_bandwidth then 'bandwidth_l2'
      else 'iops_l2'
    end::rate_limiter.bucket_type,
    config.mode
  )
  on conflict do nothing;

  if config.mode = 'shadow' then
    update rate_limiter.applications as a
    set has_shadow = true
    where (a.app_id = config.owner_id or a.cluster_id = config.owner_id) and not a.has_shadow;
  elsif is_bandwidth then
    update rate_limiter.applications as a
    set has_bandwidth = true
    where a.app_id = config.app_id and not a.has_bandwidth;
  end if;
end;
$$;

comment on function rate_limiter_internal.add_bucket(rate_limiter.quota_configs, boolean) is
  'Makes the bucket that a quota needs, unless it is there. It is full when first drawn on. '
  'One that not every application has is noted at those whose decisions have to look for it.';
--! EndIncluded rate_limiter_internal/functions/add_bucket.sql
--! Included rate_limiter_internal/functions/note_config_change.sql
create or replace function rate_limiter_internal.note_config_change()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'INSERT' then
    perform rate_limiter_internal.touch_buckets(new.owner_id, new.mode, new.valid_from);
  elsif tg_op = 'DELETE' then
    perform rate_limiter_internal.touch_buckets(old.owner_id, old.mode, clock_timestamp());
  else
    perform rate_limiter_internal.touch_buckets(
      new.owner_id,
      new.mode,
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

comment on function rate_limiter_internal.note_config_change() is
  'Trigger: makes the buckets notice a quota version that was added, changed or removed, from '
  'the moment on at which that counts.';
--! EndIncluded rate_limiter_internal/functions/note_config_change.sql
--! Included rate_limiter_internal/functions/note_quota_change.sql
create or replace function rate_limiter_internal.note_quota_change()
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
  select c.* into config
  from rate_limiter.quota_configs as c
  where c.config_id = case when tg_op = 'DELETE' then old.config_id else new.config_id end;

  -- Not found: the quota goes with its version, whose own trigger says so.
  if found then
    if tg_op = 'INSERT' then
      perform rate_limiter_internal.add_bucket(config, tg_table_name = 'bandwidth_quotas');
    end if;
    perform rate_limiter_internal.touch_buckets(
      config.owner_id,
      config.mode,
      case when tg_op = 'INSERT' then config.valid_from else clock_timestamp() end
    );
  end if;
  return null;
end;
$$;

comment on function rate_limiter_internal.note_quota_change() is
  'Trigger: makes the bucket of a quota, and makes it notice when the quota changes.';
--! EndIncluded rate_limiter_internal/functions/note_quota_change.sql
--! Included rate_limiter_internal/functions/note_engine_setting.sql
create or replace function rate_limiter_internal.note_engine_setting()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update rate_limiter_internal.engine_settings
  set
    synchronous_commit = rate_limiter_internal.setting_boolean('decision_synchronous_commit'),
    layer_1_allotment_ms = rate_limiter_internal.setting_integer('layer_1_allotment_ms');
  return null;
end;
$$;

comment on function rate_limiter_internal.note_engine_setting() is
  'Trigger: copies the settings that decisions need into the row that they read.';
--! EndIncluded rate_limiter_internal/functions/note_engine_setting.sql
--! Included rate_limiter_internal/functions/note_cost_rule.sql
create or replace function rate_limiter_internal.note_cost_rule()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update rate_limiter.applications as a
  set has_cost_rule = true
  where a.app_id = new.app_id and not a.has_cost_rule;
  return null;
end;
$$;

comment on function rate_limiter_internal.note_cost_rule() is
  'Trigger: notes a cost rule at the application whose decisions have to look for it.';
--! EndIncluded rate_limiter_internal/functions/note_cost_rule.sql

-- Denials: counted in memory, handed in by the minute
--! Included rate_limiter_internal/functions/moment_or_null.sql
create or replace function rate_limiter_internal.moment_or_null(spelled text)
returns timestamptz
language plpgsql
stable
parallel restricted
as $$
begin
  -- A date with an offset: without one its meaning would hang on the session's time zone.
  if spelled ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)$' then
    return spelled::timestamptz;
  end if;
  return null;
exception
  when invalid_datetime_format or datetime_field_overflow or invalid_parameter_value then
    return null;
end;
$$;

comment on function rate_limiter_internal.moment_or_null(text) is
  'The moment that an ISO 8601 text with an offset names; null for anything else.';
--! EndIncluded rate_limiter_internal/functions/moment_or_null.sql
--! Included rate_limiter_internal/functions/check_denials.sql
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
        'iops_l2', 'bandwidth_l2', 'iops_l1', 'bandwidth_l1', 'exceeds_capacity'
      )
      or coalesce(d.count ->> 'operations', '') !~ '^[1-9]\d{0,17}$'
      or coalesce(d.count ->> 'tokens', '0') !~ '^\d{1,24}(\.\d{1,6})?$'
      or coalesce(d.count ->> 'bytes', '0') !~ '^\d{1,24}(\.0{1,6})?$'
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
--! EndIncluded rate_limiter_internal/functions/check_denials.sql
--! Included rate_limiter_internal/functions/record_denials.sql
create or replace function rate_limiter_internal.record_denials(app_id uuid, denials jsonb)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  this_minute constant timestamptz := date_trunc('minute', clock_timestamp());
begin
  if denials is null or denials = '[]' then
    return;
  end if;
  perform rate_limiter_internal.check_denials(denials);

  -- A client's clock may be off: no count lies in the future, none further back than a day, which
  -- is what there are partitions for.
  insert into rate_limiter.denial_counts (app_id, minute, reason, operations, tokens, bytes)
  select
    record_denials.app_id,
    least(
      greatest(
        date_trunc('minute', rate_limiter_internal.moment_or_null(d ->> 'minute')),
        this_minute - interval '1 day'
      ),
      this_minute
    ) as minute,
    d ->> 'reason' as reason,
    sum((d ->> 'operations')::bigint),
    sum(coalesce((d ->> 'tokens')::numeric, 0)),
    sum(coalesce((d ->> 'bytes')::numeric, 0))
  from jsonb_array_elements(denials) as d
  group by 2, 3;
end;
$$;

comment on function rate_limiter_internal.record_denials(uuid, jsonb) is
  'Keeps counts of denials that a client made in its memory: [{"minute": "2026-01-01T00:00Z", '
  '"reason": "iops_l2", "operations": 12, "tokens": "34.5", "bytes": 123}]. Null or an empty '
  'list writes nothing. Raises QS422 for anything else.';
--! EndIncluded rate_limiter_internal/functions/record_denials.sql
--! Included rate_limiter_internal/functions/flush_denials.sql
create or replace function rate_limiter_internal.flush_denials()
returns integer
language plpgsql
volatile
parallel unsafe
as $$
declare
  counted_minute constant text := current_setting('rate_limiter_denials.minute', true);
  counted_keys text[];
  written integer := 0;
begin
  -- On a standby there is nowhere to put them: they go on being counted.
  if coalesce(counted_minute, '') = '' or current_setting('transaction_read_only')::boolean then
    return 0;
  end if;

  counted_keys := array(
    select k.key
    from generate_series(0, 255) as list (number)
    cross join lateral unnest(string_to_array(nullif(current_setting(
      'rate_limiter_denials.k' || lpad(to_hex(list.number), 2, '0'), true
    ), ''), ' ')) as k (key)
  );

  -- A key is the application's id without dashes and the reason.
  insert into rate_limiter.denial_counts (app_id, minute, reason, operations, tokens, bytes)
  select
    left(k.key, 32)::uuid, to_timestamp(counted_minute::bigint * 60), substr(k.key, 34),
    count.amounts[1], count.amounts[2], count.amounts[3]
  from unnest(counted_keys) as k (key)
  cross join lateral (
    select current_setting('rate_limiter_denials.d' || k.key)::numeric[] as amounts
  ) as count;
  get diagnostics written = row_count;

  perform
    set_config('rate_limiter_denials.d' || k.key, '', false),
    set_config('rate_limiter_denials.k' || left(k.key, 2), '', false)
  from unnest(counted_keys) as k (key);
  perform set_config('rate_limiter_denials.minute', '', false);
  return written;
end;
$$;

comment on function rate_limiter_internal.flush_denials() is
  'Writes down what this session has counted of denials, a row for each application and reason, '
  'and starts counting anew; answers how many rows.';
--! EndIncluded rate_limiter_internal/functions/flush_denials.sql
--! Included rate_limiter_internal/functions/count_denial.sql
create or replace function rate_limiter_internal.count_denial(
  at timestamptz,
  app_id uuid,
  reason text,
  tokens numeric,
  bytes numeric,
  operations bigint default 1
)
returns bigint
language plpgsql
volatile
parallel unsafe
as $$
declare
  this_minute constant text := div(extract(epoch from at), 60)::text;
  key constant text := replace(app_id::text, '-', '') || '_' || reason;
  -- One list of all keys would be copied whole at each new one.
  list constant text := 'rate_limiter_denials.k' || left(key, 2);
  counted numeric[];
  -- Assigned and not performed: that would be a query each time.
  kept text;
begin
  if current_setting('rate_limiter_denials.minute', true) is distinct from this_minute then
    perform rate_limiter_internal.flush_denials();
    kept := set_config('rate_limiter_denials.minute', this_minute, false);
  end if;

  counted := nullif(current_setting('rate_limiter_denials.d' || key, true), '');
  if counted is null then
    counted := array[operations, tokens, bytes];
    kept := set_config(
      list, ltrim(coalesce(current_setting(list, true), '') || ' ' || key), false
    );
  else
    counted := array[counted[1] + operations, counted[2] + tokens, counted[3] + bytes];
  end if;
  kept := set_config('rate_limiter_denials.d' || key, counted::text, false);
  return counted[1];
end;
$$;

comment on function rate_limiter_internal.count_denial(
  timestamptz, uuid, text, numeric, numeric, bigint
) is
  'Counts a denial in this session''s memory: no row and no WAL. The first denial of another '
  'minute writes down the counts of the one before (flush_denials), so that however many are '
  'denied, a session writes once a minute and one row for each application and reason. A '
  'session that ends takes the counts of its last minute with it. Answers how many operations '
  'it has counted of this application and reason.';
--! EndIncluded rate_limiter_internal/functions/count_denial.sql
--! Included rate_limiter_internal/functions/note_decision.sql
create or replace function rate_limiter_internal.note_decision(
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
  counted bigint;
begin
  if not decision.allowed then
    counted := rate_limiter_internal.count_denial(
      at, app_id, decision.reason, decision.cost, coalesce(size_bytes, 0)
    );
  elsif current_setting('rate_limiter_denials.minute', true)
    not in ('', div(extract(epoch from at), 60)::text)
  then
    perform rate_limiter_internal.flush_denials();
  end if;
  return decision;
end;
$$;

comment on function rate_limiter_internal.note_decision(
  timestamptz, uuid, bigint, rate_limiter.decision
) is
  'Counts a denial in this session''s memory. An admission, which writes anyway, takes the '
  'counts of earlier minutes along. Answers the decision.';
--! EndIncluded rate_limiter_internal/functions/note_decision.sql

-- Token engine: decisions
--! Included rate_limiter_internal/functions/check_reference.sql
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
--! EndIncluded rate_limiter_internal/functions/check_reference.sql
--! Included rate_limiter_internal/functions/check_batch.sql
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
  if operation_count not between 1 and 10000 then
    raise exception using
      errcode = 'QS422',
      message = 'batch is not of 1 to 10000 operations',
      detail = format('operations: %s', operation_count),
      hint = 'Split the batch.';
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
  'Raises QS422 for a batch that is empty, too long, uneven or names an operation twice.';
--! EndIncluded rate_limiter_internal/functions/check_batch.sql
--! Included rate_limiter_internal/functions/apply_durability.sql
create or replace function rate_limiter_internal.apply_durability(synchronous_commit boolean)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  if not synchronous_commit then
    perform set_config('synchronous_commit', 'off', true);
  end if;
end;
$$;

comment on function rate_limiter_internal.apply_durability(boolean) is
  'Lets the current transaction commit without waiting for the disk, unless decisions are to '
  'be durable (setting decision_synchronous_commit). After a crash the last moments'' charges '
  'may then be forgotten, with their ledger rows; tokens are never invented beyond them.';
--! EndIncluded rate_limiter_internal/functions/apply_durability.sql
--! Included rate_limiter_internal/functions/admission_of.sql
create or replace function rate_limiter_internal.admission_of(
  app_id uuid,
  out cluster_id uuid,
  out allotment_ms integer,
  out synchronous_commit boolean
)
language plpgsql
stable
parallel safe
as $$
declare
  app_is_active boolean;
  tenant_is_active boolean;
begin
  select a.cluster_id, a.is_active, a.tenant_is_active
  into cluster_id, app_is_active, tenant_is_active
  from rate_limiter.applications as a
  where a.app_id = admission_of.app_id;

  if not found then
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
  end if;

  select e.layer_1_allotment_ms, e.synchronous_commit
  into allotment_ms, synchronous_commit
  from rate_limiter_internal.engine_settings as e;
end;
$$;

comment on function rate_limiter_internal.admission_of(uuid) is
  'What a decision needs to know of an application, and the settings of the engine. Raises '
  'QS404 for an unknown application, QS403 for an inactive one or an inactive tenant.';
--! EndIncluded rate_limiter_internal/functions/admission_of.sql
--! Included rate_limiter_internal/functions/cost_at.sql
create or replace function rate_limiter_internal.cost_at(
  at timestamptz,
  app_id uuid,
  operation text,
  size_bytes bigint
)
returns numeric
language plpgsql
stable
parallel safe
as $$
declare
  type_id uuid;
  c_base numeric;
  c_bw numeric;
  unit_quantum bigint;
  operation_is_active boolean;
  c_base_override numeric;
  c_bw_override numeric;
begin
  -- Two look-ups by key: as one join this takes half as long again.
  select o.operation_id, o.c_base, o.c_bw, o.unit_quantum, o.is_active
  into type_id, c_base, c_bw, unit_quantum, operation_is_active
  from rate_limiter.operation_types as o
  where o.name = operation;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown operation',
      detail = format('operation: %s', operation),
      hint = 'Use a name from operation_types, or add it there.';
  elsif not operation_is_active then
    raise exception using
      errcode = 'QS403',
      message = 'operation is inactive',
      detail = format('operation: %s', operation),
      hint = 'An administrator can activate the operation again.';
  elsif size_bytes < 0 then
    raise exception using
      errcode = 'QS422',
      message = 'size is negative',
      detail = format('size_bytes: %s', size_bytes),
      hint = 'Give the size of the operation in bytes, 0 or more.';
  end if;

  select r.c_base_override, r.c_bw_override
  into c_base_override, c_bw_override
  from rate_limiter.cost_rules as r
  where r.app_id = cost_at.app_id
    and r.operation_id = type_id
    and r.is_active
    and r.valid_from <= at
    and (r.valid_to is null or r.valid_to > at);

  return rate_limiter_internal.cost_of(
    coalesce(c_base_override, c_base), coalesce(c_bw_override, c_bw), unit_quantum, size_bytes
  );
end;
$$;

comment on function rate_limiter_internal.cost_at(timestamptz, uuid, text, bigint) is
  'Tokens that an operation of a size in bytes costs an application at a moment, by its cost '
  'rule where it has one. Raises QS404 for an unknown operation, QS403 for an inactive one, '
  'QS422 for a negative size.';
--! EndIncluded rate_limiter_internal/functions/cost_at.sql
--! Included rate_limiter_internal/functions/costs_at.sql
create or replace function rate_limiter_internal.costs_at(
  at timestamptz,
  app_id uuid,
  operations text[],
  sizes bigint[]
)
returns numeric[]
language plpgsql
stable
parallel safe
as $$
begin
  return (
    select array_agg(
      -- cost_at says what is wrong with an operation that cannot be priced.
      case when o.is_active and w.size_bytes >= 0
        then rate_limiter_internal.cost_of(
          coalesce(r.c_base_override, o.c_base), coalesce(r.c_bw_override, o.c_bw),
          o.unit_quantum, w.size_bytes
        )
        else rate_limiter_internal.cost_at(at, costs_at.app_id, w.operation, w.size_bytes)
      end
      order by w.ordinality
    )
    from unnest(operations, sizes) with ordinality as w (operation, size_bytes, ordinality)
    left join rate_limiter.operation_types as o on o.name = w.operation
    left join rate_limiter.cost_rules as r
      on r.app_id = costs_at.app_id
      and r.operation_id = o.operation_id
      and r.is_active
      and r.valid_from <= at
      and (r.valid_to is null or r.valid_to > at)
  );
end;
$$;

comment on function rate_limiter_internal.costs_at(timestamptz, uuid, text[], bigint[]) is
  'cost_at of many operations, in their order.';
--! EndIncluded rate_limiter_internal/functions/costs_at.sql
--! Included rate_limiter_internal/functions/costs_before.sql
create or replace function rate_limiter_internal.costs_before(
  app_id uuid,
  reference_ids text[]
)
returns numeric[]
language plpgsql
stable
parallel safe
as $$
begin
  return (
    select array_agg(c.cost order by w.ordinality)
    from unnest(reference_ids) with ordinality as w (reference_id, ordinality)
    left join rate_limiter.charges as c
      on c.app_id = costs_before.app_id and c.reference_id = w.reference_id
  );
end;
$$;

comment on function rate_limiter_internal.costs_before(uuid, text[]) is
  'What each reference of an application was charged already; null where it was not.';
--! EndIncluded rate_limiter_internal/functions/costs_before.sql
--! Included rate_limiter_internal/functions/write_charges.sql
create or replace function rate_limiter_internal.write_charges(
  at timestamptz,
  app_id uuid,
  operations text[],
  sizes bigint[],
  reference_ids text[],
  costs_before numeric[],
  decisions rate_limiter.decision[],
  buckets rate_limiter.token_buckets[]
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  -- Where an application has no bucket, no lock kept a retry from coming in between.
  insert into rate_limiter.charges
    (app_id, reference_id, operation, size_bytes, cost, charged, charged_at)
  select
    write_charges.app_id, reference_ids[i], operations[i], sizes[i], decisions[i].cost,
    rate_limiter_internal.charges_of(
      buckets, decisions[i].cost, sizes[i], decisions[i].reason is null
    ),
    at
  from generate_subscripts(decisions, 1) as i
  where decisions[i].allowed
    and reference_ids[i] is not null
    and costs_before[i] is null
  on conflict do nothing;
end;
$$;

comment on function rate_limiter_internal.write_charges(
  timestamptz, uuid, text[], bigint[], text[], numeric[], rate_limiter.decision[],
  rate_limiter.token_buckets[]
) is 'Remembers what the admitted operations that carry a reference were charged.';
--! EndIncluded rate_limiter_internal/functions/write_charges.sql
--! Included rate_limiter_internal/functions/consume_exactly.sql
create or replace function rate_limiter_internal.consume_exactly(
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  allotment_ms integer,
  operations text[],
  sizes bigint[],
  costs numeric[],
  reference_ids text[]
)
returns rate_limiter.decision[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  batch record;
  buckets rate_limiter.token_buckets[];
  costs_before numeric[];
begin
  -- A denial never writes, and a lock is a write: only where something was admitted are the
  -- buckets locked, and everything decided again on what can no longer change.
  buckets := rate_limiter_internal.buckets_at(at, app_id, cluster_id);
  costs_before := rate_limiter_internal.costs_before(app_id, reference_ids);
  batch := rate_limiter_internal.decide_batch(
    at, costs, sizes, costs_before, allotment_ms, buckets
  );

  if batch.charges_anything then
    buckets := rate_limiter_internal.lock_buckets(at, app_id, cluster_id);
    costs_before := rate_limiter_internal.costs_before(app_id, reference_ids);
    batch := rate_limiter_internal.decide_batch(
      at, costs, sizes, costs_before, allotment_ms, buckets
    );
    perform rate_limiter_internal.write_buckets(
      at, 'consume', buckets, batch.buckets,
      case when cardinality(operations) = 1 then reference_ids[1] end,
      case when cardinality(operations) > 1 then jsonb_build_object(
        'operations', (select count(*) from unnest(batch.decisions) as d where d.allowed)
      ) end,
      case when allotment_ms > 0 then 'allot'::rate_limiter.transaction_type end
    );
    if reference_ids is not null then
      perform rate_limiter_internal.write_charges(
        at, app_id, operations, sizes, reference_ids, costs_before, batch.decisions, buckets
      );
    end if;
  end if;

  return batch.decisions;
end;
$$;

comment on function rate_limiter_internal.consume_exactly(
  timestamptz, uuid, uuid, integer, text[], bigint[], numeric[], text[]
) is
  'Decides on operations of an application one after the other under the locks of all its '
  'buckets, and charges those it admits in one ledger row for each bucket. The road for '
  'everything that the short one of consume_at does not take.';
--! EndIncluded rate_limiter_internal/functions/consume_exactly.sql
--! Included rate_limiter_internal/functions/refusal_at.sql
create or replace function rate_limiter_internal.refusal_at(
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  cost numeric,
  bytes numeric
)
returns rate_limiter.decision
language plpgsql
stable
parallel safe
as $$
declare
  bucket record;
  charge numeric;
  lacking numeric;
  iops_left numeric;
  bytes_left numeric;
  first_short rate_limiter.bucket_type;
  is_never boolean := false;
  wait_ms bigint := 0;
begin
  for bucket in
    select
      b.bucket_type, b.capacity, b.allow_oversize, b.refill_rate, b.calculation_method,
      b.burst_duration_seconds, b.last_refill_at, b.terms_until,
      b.current_tokens + rate_limiter_internal.refill(
        b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
        b.burst_duration_seconds, b.last_refill_at, at
      ) as tokens
    from rate_limiter.token_buckets as b
    where b.owner_id in (app_id, cluster_id) and b.mode = 'enforce'
  loop
    if at >= bucket.terms_until then
      return null;
    end if;

    charge := cost;
    if bucket.bucket_type = 'iops_l2' then
      iops_left := bucket.tokens;
    elsif bucket.bucket_type = 'bandwidth_l2' then
      bytes_left := bucket.tokens;
      charge := bytes;
    elsif bucket.bucket_type = 'bandwidth_l1' then
      charge := bytes;
    end if;

    if bucket.tokens < charge then
      lacking := rate_limiter_internal.shortage(
        bucket.tokens, bucket.capacity, charge, bucket.allow_oversize, bucket.refill_rate
      );
      if lacking > 0 then
        first_short := least(first_short, bucket.bucket_type);
        is_never := is_never or lacking = 'infinity';
        if not is_never then
          wait_ms := greatest(wait_ms, rate_limiter_internal.wait_ms(
            at, bucket.calculation_method, bucket.burst_duration_seconds, bucket.refill_rate,
            bucket.last_refill_at, lacking
          ));
        end if;
      end if;
    end if;
  end loop;

  if first_short is null then
    return null;
  elsif is_never then
    return row(
      false, 'exceeds_capacity'::text, cost, iops_left, bytes_left, null::bigint, 0::bigint
    );
  end if;
  return row(false, first_short::text, cost, iops_left, bytes_left, wait_ms, 0::bigint);
end;
$$;

comment on function rate_limiter_internal.refusal_at(
  timestamptz, uuid, uuid, numeric, numeric
) is
  'The denial of an operation whose application''s buckets cannot pay for it: names the first '
  'one that is short, and waits for the slowest. Null where they can after all, as a full '
  'bucket can that takes an oversize charge, or where terms have to be looked up.';
--! EndIncluded rate_limiter_internal/functions/refusal_at.sql
--! Included rate_limiter_internal/functions/take_back.sql
create or replace function rate_limiter_internal.take_back(
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
  before := rate_limiter_internal.lock_bucket(at, owner_id, bucket_type, 'enforce');
  if before.capacity is null then
    return;
  end if;
  after := before;
  after.current_tokens := after.current_tokens + charge;
  after.allotment := 0;
  perform rate_limiter_internal.write_buckets(
    at, 'refund', array[before], array[after], null, '{"cause": "lost a race"}'
  );
end;
$$;

comment on function rate_limiter_internal.take_back(
  timestamptz, uuid, rate_limiter.bucket_type, numeric
) is
  'Undoes a charge of the same transaction, all of it: unlike a refund, which never lifts a '
  'bucket above its capacity. An allotment that it drew ahead is void. Nothing where '
  'nothing was charged, or there is no bucket.';
--! EndIncluded rate_limiter_internal/functions/take_back.sql
--! Included rate_limiter_internal/functions/draw_from_layer_1.sql
create or replace function rate_limiter_internal.draw_from_layer_1(
  at timestamptz,
  cluster_id uuid,
  bucket_type rate_limiter.bucket_type,
  terms_until timestamptz,
  tokens numeric,
  allotment_ms integer
)
returns boolean
language plpgsql
volatile
parallel unsafe
as $$
declare
  drawn record;
begin
  -- By what the row holds when its lock is granted: others have drawn on it since it was read.
  update rate_limiter.token_buckets as b
  set
    current_tokens = b.current_tokens + rate_limiter_internal.inflow(
      b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
    ) - tokens,
    refilled = rate_limiter_internal.inflow(
      b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
    ),
    last_refill_at = greatest(b.last_refill_at, at),
    ledger_seq = b.ledger_seq + 1,
    updated_at = at
  where b.owner_id = cluster_id
    and b.bucket_type = draw_from_layer_1.bucket_type
    and b.mode = 'enforce'
    and b.capacity is not null
    and b.calculation_method <> 'fixed_window'
    and b.terms_until = draw_from_layer_1.terms_until
    and b.current_tokens + rate_limiter_internal.inflow(
      b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
    ) >= tokens
  returning b.ledger_seq, b.refilled, b.current_tokens into drawn;

  if not found then
    return false;
  end if;
  insert into rate_limiter.token_transactions (
    owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
    balance_after
  )
  values (
    cluster_id, at, drawn.ledger_seq, bucket_type, 'enforce',
    case when allotment_ms > 0 then 'allot' else 'consume' end::rate_limiter.transaction_type,
    -tokens, drawn.refilled, drawn.current_tokens
  );
  return true;
end;
$$;

comment on function rate_limiter_internal.draw_from_layer_1(
  timestamptz, uuid, rate_limiter.bucket_type, timestamptz, numeric, integer
) is
  'Takes tokens out of a cluster''s bucket, with their ledger row; false where it no longer '
  'holds them, its terms changed or it is a fixed window, and then nothing is taken.';
--! EndIncluded rate_limiter_internal/functions/draw_from_layer_1.sql
--! Included rate_limiter_internal/functions/consume_by_draw.sql
create or replace function rate_limiter_internal.consume_by_draw(
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  cost numeric,
  bytes numeric,
  out decision rate_limiter.decision,
  out lost_race boolean
)
language plpgsql
volatile
parallel unsafe
as $$
-- As flat as consume_at, and for the same reason.
declare
  iops record;
  bandwidth record;
  shared_iops record;
  shared_bandwidth record;
  allotment_ms integer;
  iops_left numeric;
  bytes_left numeric;
  -- Drawn from layer 1, beyond what is needed of it now; null where nothing is drawn.
  iops_ahead numeric;
  bytes_ahead numeric;
  iops_drawn numeric;
begin
  lost_race := false;

  select
    b.ledger_seq, b.terms_until, b.current_tokens, b.capacity, b.refill_rate,
    b.calculation_method, b.last_refill_at, b.allotment_expires_at,
    case when b.allotment_expires_at > at then b.allotment else 0 end as allotment,
    rate_limiter_internal.refill(
      b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
      b.burst_duration_seconds, b.last_refill_at, at
    ) as refilled
  into iops
  from rate_limiter.token_buckets as b
  where b.owner_id = app_id and b.bucket_type = 'iops_l2' and b.mode = 'enforce';

  select
    b.ledger_seq, b.terms_until, b.current_tokens, b.capacity, b.refill_rate,
    b.last_refill_at, b.allotment_expires_at,
    case when b.allotment_expires_at > at then b.allotment else 0 end as allotment,
    rate_limiter_internal.refill(
      b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
      b.burst_duration_seconds, b.last_refill_at, at
    ) as refilled
  into bandwidth
  from rate_limiter.token_buckets as b
  where b.owner_id = app_id and b.bucket_type = 'bandwidth_l2' and b.mode = 'enforce';

  if at >= iops.terms_until or at >= bandwidth.terms_until then
    return;
  end if;

  -- Null, and so never short, where there is no such bucket.
  iops_left := iops.current_tokens + iops.refilled - cost;
  bytes_left := bandwidth.current_tokens + bandwidth.refilled - bytes;
  if iops_left < 0 or bytes_left < 0 then
    decision := rate_limiter_internal.refusal_at(at, app_id, cluster_id, cost, bytes);
    return;
  elsif cluster_id is null then
    lost_race := iops_left is not null;
    return;
  end if;

  select e.layer_1_allotment_ms
  into allotment_ms
  from rate_limiter_internal.engine_settings as e;

  -- Where no allotment pays, layer 1 does, unless it has no quota of the kind. What is drawn
  -- ahead of need leaves its reserve alone, as a lease does.
  if cost > coalesce(iops.allotment, 0) then
    select
      b.terms_until, b.capacity, b.calculation_method, b.min_reserve,
      b.current_tokens + rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) - cost + coalesce(iops.allotment, 0) as tokens_left
    into shared_iops
    from rate_limiter.token_buckets as b
    where b.owner_id = cluster_id and b.bucket_type = 'iops_l1' and b.mode = 'enforce';
    if at >= shared_iops.terms_until
      or shared_iops.capacity is not null and (
        shared_iops.tokens_left < 0
        or shared_iops.calculation_method <> 'token_bucket'
        or iops_left is null
      )
    then
      return;
    end if;
    if shared_iops.capacity is not null then
      iops_ahead := greatest(0, least(
        allotment_ms * 0.001 * iops.refill_rate,
        shared_iops.tokens_left - shared_iops.min_reserve
      ));
    end if;
  end if;
  if bytes > coalesce(bandwidth.allotment, 0) then
    select
      b.terms_until, b.capacity, b.min_reserve,
      b.current_tokens + rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) - bytes + coalesce(bandwidth.allotment, 0) as tokens_left
    into shared_bandwidth
    from rate_limiter.token_buckets as b
    where b.owner_id = cluster_id and b.bucket_type = 'bandwidth_l1' and b.mode = 'enforce';
    if at >= shared_bandwidth.terms_until
      or shared_bandwidth.capacity is not null and (
        shared_bandwidth.tokens_left < 0 or bytes_left is null
      )
    then
      return;
    end if;
    if shared_bandwidth.capacity is not null then
      bytes_ahead := greatest(0, least(
        allotment_ms * 0.001 * bandwidth.refill_rate,
        shared_bandwidth.tokens_left - shared_bandwidth.min_reserve
      ));
    end if;
  end if;

  if iops_left is not null then
    update rate_limiter.token_buckets as b
    set
      current_tokens = iops_left,
      refilled = iops.refilled,
      last_refill_at = greatest(iops.last_refill_at, at),
      allotment = coalesce(iops_ahead, greatest(iops.allotment - cost, 0)),
      allotment_expires_at = case when iops_ahead is null then iops.allotment_expires_at
        else at + interval '1 second' end,
      ledger_seq = iops.ledger_seq + 1,
      updated_at = at
    where b.owner_id = app_id
      and b.bucket_type = 'iops_l2'
      and b.mode = 'enforce'
      and b.ledger_seq = iops.ledger_seq
      and b.terms_until = iops.terms_until;
    if not found then
      lost_race := true;
      return;
    end if;

    insert into rate_limiter.token_transactions (
      owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
      balance_after
    )
    values (
      app_id, at, iops.ledger_seq + 1, 'iops_l2', 'enforce', 'consume', -cost, iops.refilled,
      iops_left
    );
  end if;

  if bytes > 0 and bytes_left is not null then
    update rate_limiter.token_buckets as b
    set
      current_tokens = bytes_left,
      refilled = bandwidth.refilled,
      last_refill_at = greatest(bandwidth.last_refill_at, at),
      allotment = coalesce(bytes_ahead, greatest(bandwidth.allotment - bytes, 0)),
      allotment_expires_at = case when bytes_ahead is null
        then bandwidth.allotment_expires_at else at + interval '1 second' end,
      ledger_seq = bandwidth.ledger_seq + 1,
      updated_at = at
    where b.owner_id = app_id
      and b.bucket_type = 'bandwidth_l2'
      and b.mode = 'enforce'
      and b.ledger_seq = bandwidth.ledger_seq
      and b.terms_until = bandwidth.terms_until;
    if not found then
      -- The first bucket was as it was read and this one no longer.
      perform rate_limiter_internal.take_back(at, app_id, 'iops_l2', cost);
      return;
    end if;

    insert into rate_limiter.token_transactions (
      owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
      balance_after
    )
    values (
      app_id, at, bandwidth.ledger_seq + 1, 'bandwidth_l2', 'enforce', 'consume', -bytes,
      bandwidth.refilled, bytes_left
    );
  end if;

  -- Layer 1 comes last, because all applications of the cluster wait for its rows.
  if iops_ahead is not null then
    iops_drawn := cost - iops.allotment + iops_ahead;
    if not rate_limiter_internal.draw_from_layer_1(
      at, cluster_id, 'iops_l1', shared_iops.terms_until, iops_drawn, allotment_ms
    ) then
      perform rate_limiter_internal.take_back(at, app_id, 'iops_l2', cost);
      perform rate_limiter_internal.take_back(at, app_id, 'bandwidth_l2', bytes);
      return;
    end if;
  end if;
  if bytes_ahead is not null then
    if not rate_limiter_internal.draw_from_layer_1(
      at, cluster_id, 'bandwidth_l1', shared_bandwidth.terms_until,
      bytes - bandwidth.allotment + bytes_ahead, allotment_ms
    ) then
      perform rate_limiter_internal.take_back(at, app_id, 'iops_l2', cost);
      perform rate_limiter_internal.take_back(at, app_id, 'bandwidth_l2', bytes);
      perform rate_limiter_internal.take_back(at, cluster_id, 'iops_l1', iops_drawn);
      return;
    end if;
  end if;

  decision := row(
    true, null, cost, iops_left, bytes_left, 0,
    case when iops.calculation_method = 'leaky_bucket'
      then rate_limiter_internal.leaky_delay_ms(iops_left + cost, iops.capacity, iops.refill_rate)
      else 0
    end
  );
end;
$$;

comment on function rate_limiter_internal.consume_by_draw(
  timestamptz, uuid, uuid, numeric, numeric
) is
  'Decides on an operation that allotments do not pay for: draws on layer 1 for it, and some '
  'ahead of need, or denies it. A null decision is left to be made under locks, or, after a '
  'lost race, to be tried again; nothing is charged then.';
--! EndIncluded rate_limiter_internal/functions/consume_by_draw.sql
--! Included rate_limiter_internal/functions/consume_at.sql
create or replace function rate_limiter_internal.consume_at(
  at timestamptz,
  app_id uuid,
  operation text,
  size_bytes bigint,
  reference_id text default null
)
returns rate_limiter.decision
language plpgsql
volatile
parallel unsafe
as $$
-- The hottest code of the product, and flat for that: each row is read by its key in a statement
-- of its own and each amount kept in a variable of its own, because joins, arrays and rows that
-- pass between functions were all measured to cost more (docs/performance.md).
declare
  bytes constant numeric := coalesce(size_bytes, 0);
  app record;
  charged record;
  cost numeric;
  bytes_left numeric;
  may_pay boolean;
  drawn record;
  settings record;
  decision rate_limiter.decision;
begin
  select a.cluster_id, a.has_shadow, a.has_bandwidth, a.has_cost_rule
  into app
  from rate_limiter.applications as a
  where a.app_id = consume_at.app_id and a.is_active and a.tenant_is_active;
  if not found then
    perform rate_limiter_internal.admission_of(app_id);
    -- It was made or activated since it was looked for.
    return rate_limiter_internal.consume_at(at, app_id, operation, size_bytes, reference_id);
  end if;

  if app.has_cost_rule or size_bytes < 0 then
    cost := rate_limiter_internal.cost_at(at, app_id, operation, coalesce(size_bytes, 0));
  else
    select rate_limiter_internal.cost_of(
      o.c_base, o.c_bw, o.unit_quantum, coalesce(size_bytes, 0)
    )
    into cost
    from rate_limiter.operation_types as o
    where o.name = operation and o.is_active;
    if not found then
      cost := rate_limiter_internal.cost_at(at, app_id, operation, size_bytes);
    end if;
  end if;

  -- The short road: the application's own buckets can pay, and so can what layer 1 allotted to
  -- them. Each charge waits for its row and looks at it as it then is. Bandwidth, charged last,
  -- is looked at first, so that a denial finds out before anything is written. Fixed windows
  -- are left to consume_by_draw: what flows into them takes too long to say three times.
  for attempt in 1 .. 3 loop
    exit when reference_id is not null or app.has_shadow or cost = 0;

    if attempt = 1 and current_setting('synchronous_commit') <> 'off' then
      perform rate_limiter_internal.apply_durability((
        select e.synchronous_commit from rate_limiter_internal.engine_settings as e
      ));
    end if;

    may_pay := true;
    if app.has_bandwidth then
      select
        case when b.capacity is not null then b.current_tokens + rate_limiter_internal.inflow(
          b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
        ) end as tokens,
        at < b.terms_until and (
          app.cluster_id is null or bytes = 0
          or b.allotment >= bytes and b.allotment_expires_at > at
        ) as may_pay
      into charged
      from rate_limiter.token_buckets as b
      where b.owner_id = consume_at.app_id
        and b.bucket_type = 'bandwidth_l2'
        and b.mode = 'enforce';
      bytes_left := charged.tokens;
      may_pay := charged.may_pay and bytes_left >= bytes;
    end if;

    if may_pay then
      update rate_limiter.token_buckets as b
      set
        current_tokens = b.current_tokens - cost + rate_limiter_internal.inflow(
          b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
        ),
        refilled = rate_limiter_internal.inflow(
          b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
        ),
        last_refill_at = greatest(b.last_refill_at, at),
        allotment = b.allotment - least(b.allotment, cost),
        ledger_seq = b.ledger_seq + 1,
        updated_at = at
      where b.owner_id = consume_at.app_id
        and b.bucket_type = 'iops_l2'
        and b.mode = 'enforce'
        and b.capacity is not null
        and b.calculation_method <> 'fixed_window'
        and at < b.terms_until
        and (
          app.cluster_id is null or b.allotment >= cost and b.allotment_expires_at > at
        )
        and b.current_tokens + rate_limiter_internal.inflow(
          b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
        ) >= cost
      returning
        b.ledger_seq, b.refilled, b.current_tokens, b.calculation_method, b.capacity,
        b.refill_rate
      into charged;

      if found then
        insert into rate_limiter.token_transactions (
          owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
          refilled, balance_after
        )
        values (
          app_id, at, charged.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost,
          charged.refilled, charged.current_tokens
        );
        decision := row(
          true, null, cost, charged.current_tokens, bytes_left, 0,
          case when charged.calculation_method = 'leaky_bucket'
            then rate_limiter_internal.leaky_delay_ms(
              charged.current_tokens + cost, charged.capacity, charged.refill_rate
            )
            else 0
          end
        );
        if bytes_left is null or bytes = 0 then
          return decision;
        end if;

        update rate_limiter.token_buckets as b
        set
          current_tokens = b.current_tokens - bytes + rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ),
          refilled = rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ),
          last_refill_at = greatest(b.last_refill_at, at),
          allotment = b.allotment - least(b.allotment, bytes),
          ledger_seq = b.ledger_seq + 1,
          updated_at = at
        where b.owner_id = consume_at.app_id
          and b.bucket_type = 'bandwidth_l2'
          and b.mode = 'enforce'
          and b.capacity is not null
          and at < b.terms_until
          and (
            app.cluster_id is null or b.allotment >= bytes and b.allotment_expires_at > at
          )
          and b.current_tokens + rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ) >= bytes
        returning b.ledger_seq, b.refilled, b.current_tokens into charged;

        if found then
          insert into rate_limiter.token_transactions (
            owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
            refilled, balance_after
          )
          values (
            app_id, at, charged.ledger_seq, 'bandwidth_l2', 'enforce', 'consume', -bytes,
            charged.refilled, charged.current_tokens
          );
          decision.remaining_bytes := charged.current_tokens;
          return decision;
        end if;

        -- Others were faster since it was looked at.
        perform rate_limiter_internal.take_back(at, app_id, 'iops_l2', cost);
        exit;
      end if;
    end if;

    if bytes_left < bytes then
      decision := rate_limiter_internal.refusal_at(at, app_id, app.cluster_id, cost, bytes);
      exit when decision.reason is null;
      return decision;
    end if;
    drawn := rate_limiter_internal.consume_by_draw(at, app_id, app.cluster_id, cost, bytes);
    if not drawn.lost_race then
      exit when drawn.decision is null;
      return drawn.decision;
    end if;
  end loop;

  perform rate_limiter_internal.check_reference(reference_id);
  select e.layer_1_allotment_ms, e.synchronous_commit
  into settings
  from rate_limiter_internal.engine_settings as e;
  perform rate_limiter_internal.apply_durability(settings.synchronous_commit);
  return (rate_limiter_internal.consume_exactly(
    at, app_id, app.cluster_id, settings.layer_1_allotment_ms, array[operation],
    array[coalesce(size_bytes, 0)], array[cost],
    case when reference_id is not null then array[reference_id] end
  ))[1];
end;
$$;

comment on function rate_limiter_internal.consume_at(
  timestamptz, uuid, text, bigint, text
) is
  'consume() at a moment of the caller''s choice: for tests and replay. Under a reference that '
  'was charged before it answers as then and takes nothing. Plain decisions take a short road '
  'that locks nothing ahead; all others, and those that lose three races, the one of '
  'consume_exactly.';
--! EndIncluded rate_limiter_internal/functions/consume_at.sql
--! Included rate_limiter_internal/functions/consume_batch_at.sql
create or replace function rate_limiter_internal.consume_batch_at(
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
  admission record;
  whole_sizes bigint[];
begin
  perform rate_limiter_internal.check_batch(operations, sizes, reference_ids);
  admission := rate_limiter_internal.admission_of(app_id);
  perform rate_limiter_internal.apply_durability(admission.synchronous_commit);
  whole_sizes := array(select coalesce(s.size, 0) from unnest(sizes) as s (size));

  return query select d.* from unnest(rate_limiter_internal.consume_exactly(
    at, app_id, admission.cluster_id, admission.allotment_ms, operations, whole_sizes,
    rate_limiter_internal.costs_at(at, app_id, operations, whole_sizes), reference_ids
  )) as d;
end;
$$;

comment on function rate_limiter_internal.consume_batch_at(
  timestamptz, uuid, text[], bigint[], text[]
) is 'consume_batch() at a moment of the caller''s choice: for tests and replay.';
--! EndIncluded rate_limiter_internal/functions/consume_batch_at.sql
--! Included rate_limiter_internal/functions/application_of_key_at.sql
create or replace function rate_limiter_internal.application_of_key_at(
  at timestamptz,
  api_key text
)
returns uuid
language plpgsql
stable
parallel safe
as $$
declare
  app_id uuid;
  expires_at timestamptz;
  revoked_at timestamptz;
begin
  select k.app_id, k.expires_at, k.revoked_at
  into app_id, expires_at, revoked_at
  from rate_limiter_private.api_keys as k
  where k.key_hash = sha256(convert_to(api_key, 'UTF8'));

  -- No detail: what was sent may be a secret of something else.
  if app_id is null then
    raise exception using
      errcode = 'QS401',
      message = 'unknown api key',
      hint = 'Check the key, or have a new one made.';
  elsif revoked_at <= at then
    raise exception using
      errcode = 'QS401',
      message = 'api key is revoked',
      hint = 'Have a new key made.';
  elsif expires_at <= at then
    raise exception using
      errcode = 'QS401',
      message = 'api key has expired',
      hint = 'Use the key that replaced it, or have a new one made.';
  end if;
  return app_id;
end;
$$;

comment on function rate_limiter_internal.application_of_key_at(timestamptz, text) is
  'application_of_key() at a moment of the caller''s choice.';
--! EndIncluded rate_limiter_internal/functions/application_of_key_at.sql
--! Included rate_limiter_internal/functions/check_limit_at.sql
create or replace function rate_limiter_internal.check_limit_at(
  at timestamptz,
  app_id uuid,
  operation text,
  size_bytes bigint
)
returns rate_limiter.decision
language plpgsql
stable
parallel safe
as $$
declare
  admission record;
  size bigint := coalesce(size_bytes, 0);
begin
  admission := rate_limiter_internal.admission_of(app_id);
  return (rate_limiter_internal.decide_batch(
    at,
    array[rate_limiter_internal.cost_at(at, app_id, operation, size)],
    array[size],
    null,
    admission.allotment_ms,
    rate_limiter_internal.buckets_at(at, app_id, admission.cluster_id)
  )).decisions[1];
end;
$$;

comment on function rate_limiter_internal.check_limit_at(timestamptz, uuid, text, bigint) is
  'check_limit() at a moment of the caller''s choice: for tests.';
--! EndIncluded rate_limiter_internal/functions/check_limit_at.sql

-- Token engine: settle, refund and leases
--! Included rate_limiter_internal/functions/require_charge.sql
create or replace function rate_limiter_internal.require_charge(app_id uuid, reference_id text)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if not exists (
    select from rate_limiter.charges as c
    where c.app_id = require_charge.app_id and c.reference_id = require_charge.reference_id
  ) then
    raise exception using
      errcode = 'QS404',
      message = 'unknown reference',
      detail = format('reference: %s', reference_id),
      hint = 'Only an operation that was admitted under a reference can be settled or refunded.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_charge(uuid, text) is
  'Raises QS404 for a reference under which the application was never charged.';
--! EndIncluded rate_limiter_internal/functions/require_charge.sql
--! Included rate_limiter_internal/functions/price_at.sql
create or replace function rate_limiter_internal.price_at(
  at timestamptz,
  app_id uuid,
  operation text,
  size_bytes bigint
)
returns numeric
language sql
stable
parallel safe
as $$
  select rate_limiter_internal.cost_of(
    coalesce(r.c_base_override, o.c_base), coalesce(r.c_bw_override, o.c_bw),
    o.unit_quantum, price_at.size_bytes
  )
  from rate_limiter.operation_types as o
  left join rate_limiter.cost_rules as r
    on r.app_id = price_at.app_id
    and r.operation_id = o.operation_id
    and r.is_active
    and r.valid_from <= at
    and (r.valid_to is null or r.valid_to > at)
  where o.name = price_at.operation;
$$;

comment on function rate_limiter_internal.price_at(timestamptz, uuid, text, bigint) is
  'cost_at for an operation that was admitted: it may have been retired since.';
--! EndIncluded rate_limiter_internal/functions/price_at.sql
--! Included rate_limiter_internal/functions/has_shadow.sql
create or replace function rate_limiter_internal.has_shadow(
  charges rate_limiter_internal.bucket_charge[]
)
returns boolean
language sql
immutable
parallel safe
as $$
  select exists (select from unnest(charges) as c where c.mode = 'shadow');
$$;

comment on function rate_limiter_internal.has_shadow(rate_limiter_internal.bucket_charge[]) is
  'Whether shadow buckets were charged too.';
--! EndIncluded rate_limiter_internal/functions/has_shadow.sql
--! Included rate_limiter_internal/functions/recharge_buckets.sql
create or replace function rate_limiter_internal.recharge_buckets(
  buckets rate_limiter.token_buckets[],
  charged rate_limiter_internal.bucket_charge[],
  cost numeric,
  bytes numeric
)
returns rate_limiter.token_buckets[]
language plpgsql
immutable
parallel safe
as $$
declare
  bucket rate_limiter.token_buckets;
  difference numeric;
begin
  for i in 1 .. cardinality(buckets) loop
    bucket := buckets[i];
    continue when bucket.mode = 'shadow' and not rate_limiter_internal.has_shadow(charged);

    difference := case when rate_limiter_internal.is_bandwidth(bucket.bucket_type)
      then bytes else cost end - coalesce((
        select sum(c.tokens)
        from unnest(charged) as c
        where c.owner_id = bucket.owner_id
          and c.bucket_type = bucket.bucket_type
          and c.mode = bucket.mode
      ), 0);
    if difference < 0 then
      bucket.current_tokens := bucket.current_tokens
        + least(-difference, greatest(bucket.capacity - bucket.current_tokens, 0));
    elsif difference <= bucket.current_tokens then
      bucket.current_tokens := bucket.current_tokens - difference;
    else
      -- The operation has run: what is not there to pay for it is paid back in time.
      bucket.last_refill_at := rate_limiter_internal.paid_back_at(
        bucket.last_refill_at,
        least(difference - bucket.current_tokens, bucket.refill_rate * 3155760000::numeric),
        bucket.refill_rate
      );
      bucket.current_tokens := 0.000000;
    end if;
    buckets[i] := bucket;
  end loop;
  return buckets;
end;
$$;

comment on function rate_limiter_internal.recharge_buckets(
  rate_limiter.token_buckets[], rate_limiter_internal.bucket_charge[], numeric, numeric
) is
  'Buckets after an operation that they were charged for turned out to cost something else: '
  'less is given back, more is taken, if need be out of what flows in later.';
--! EndIncluded rate_limiter_internal/functions/recharge_buckets.sql
--! Included rate_limiter_internal/functions/settle_at.sql
create or replace function rate_limiter_internal.settle_at(
  at timestamptz,
  app_id uuid,
  reference_id text,
  actual_size_bytes bigint
)
returns rate_limiter.settlement
language plpgsql
volatile
parallel unsafe
as $$
declare
  charge rate_limiter.charges;
  cluster_id uuid;
  new_cost numeric;
  before rate_limiter.token_buckets[];
begin
  select c.* into charge
  from rate_limiter.charges as c
  where c.app_id = settle_at.app_id and c.reference_id = settle_at.reference_id
  for update;

  if not found or charge.settled_at is not null or charge.refunded_at is not null then
    return row(false, charge.cost, charge.size_bytes);
  elsif actual_size_bytes is null or actual_size_bytes < 0 then
    raise exception using
      errcode = 'QS422',
      message = 'size is negative',
      detail = format('size_bytes: %s', actual_size_bytes),
      hint = 'Give the size of the operation in bytes, 0 or more.';
  end if;

  new_cost := rate_limiter_internal.price_at(
    charge.charged_at, app_id, charge.operation, actual_size_bytes
  );
  select a.cluster_id into cluster_id
  from rate_limiter.applications as a where a.app_id = settle_at.app_id;
  before := rate_limiter_internal.lock_buckets(at, app_id, cluster_id);
  perform rate_limiter_internal.write_buckets(
    at, 'settle', before,
    rate_limiter_internal.recharge_buckets(before, charge.charged, new_cost, actual_size_bytes),
    reference_id, jsonb_build_object('size_bytes', actual_size_bytes)
  );

  update rate_limiter.charges as c
  set
    settled_at = at,
    size_bytes = actual_size_bytes,
    cost = new_cost,
    charged = rate_limiter_internal.charges_of(
      before, new_cost, actual_size_bytes, rate_limiter_internal.has_shadow(charge.charged)
    )
  where c.app_id = charge.app_id and c.reference_id = charge.reference_id;

  return row(true, new_cost, actual_size_bytes);
end;
$$;

comment on function rate_limiter_internal.settle_at(timestamptz, uuid, text, bigint) is
  'settle() at a moment of the caller''s choice; settled is false for a reference that was '
  'never charged, or that is settled or refunded already.';
--! EndIncluded rate_limiter_internal/functions/settle_at.sql
--! Included rate_limiter_internal/functions/refund_at.sql
create or replace function rate_limiter_internal.refund_at(
  at timestamptz,
  app_id uuid,
  reference_id text,
  out refunded boolean
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  charge rate_limiter.charges;
begin
  update rate_limiter.charges as c
  set refunded_at = at
  where c.app_id = refund_at.app_id
    and c.reference_id = refund_at.reference_id
    and c.refunded_at is null
  returning c.* into charge;

  refunded := found;
  if refunded then
    perform rate_limiter_internal.give_back(at, charge.charged, 'refund', reference_id);
  end if;
end;
$$;

comment on function rate_limiter_internal.refund_at(timestamptz, uuid, text) is
  'refund() at a moment of the caller''s choice; answers false for a reference that was never '
  'charged or is refunded already.';
--! EndIncluded rate_limiter_internal/functions/refund_at.sql
--! Included rate_limiter_internal/functions/check_amount.sql
create or replace function rate_limiter_internal.check_amount(amount numeric, what text)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  -- A numeric NaN is greater than every number, and an infinity has no digits.
  if amount is null or amount < 0 or amount > 1e30 or trunc(amount, 6) <> amount then
    raise exception using
      errcode = 'QS422',
      message = 'amount is not a count of tokens',
      detail = format('%s: %s', what, amount),
      hint = 'Give a number from 0 on with at most six digits after the point.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_amount(numeric, text) is
  'Raises QS422 for a negative, missing or infinite amount, NaN, or one finer than a millionth.';
--! EndIncluded rate_limiter_internal/functions/check_amount.sql
--! Included rate_limiter_internal/functions/grantable.sql
create or replace function rate_limiter_internal.grantable(
  buckets rate_limiter.token_buckets[],
  for_bytes boolean,
  asked numeric,
  max_share numeric
)
returns numeric
language sql
immutable
parallel safe
as $$
  select least(
    asked,
    min(greatest(trunc(least(
      b.current_tokens - b.min_reserve, greatest(b.capacity, b.current_tokens) * max_share
    ), 6), 0))
  )
  from unnest(buckets) as b
  where b.mode = 'enforce'
    and rate_limiter_internal.is_bandwidth(b.bucket_type) = for_bytes;
$$;

comment on function rate_limiter_internal.grantable(
  rate_limiter.token_buckets[], boolean, numeric, numeric
) is
  'How much of what is asked for the deciding buckets of both layers can lease: never below a '
  'min_reserve, never more than a share of a capacity.';
--! EndIncluded rate_limiter_internal/functions/grantable.sql
--! Included rate_limiter_internal/functions/lease_wait_ms.sql
create or replace function rate_limiter_internal.lease_wait_ms(
  at timestamptz,
  buckets rate_limiter.token_buckets[],
  for_bytes boolean,
  asked numeric
)
returns bigint
language sql
immutable
parallel safe
as $$
  -- Worth asking again when a tenth of a second's refill is there.
  select coalesce(max(rate_limiter_internal.wait_ms(
    at, b.calculation_method, b.burst_duration_seconds, b.refill_rate, b.last_refill_at,
    w.wanted - b.current_tokens
  )), 0)
  from unnest(buckets) as b
  cross join lateral (
    select least(b.capacity, b.min_reserve + least(asked, b.refill_rate * 0.1)) as wanted
  ) as w
  where b.mode = 'enforce'
    and rate_limiter_internal.is_bandwidth(b.bucket_type) = for_bytes
    and asked > 0
    and b.current_tokens < w.wanted;
$$;

comment on function rate_limiter_internal.lease_wait_ms(
  timestamptz, rate_limiter.token_buckets[], boolean, numeric
) is 'Milliseconds until the deciding buckets have something to lease again.';
--! EndIncluded rate_limiter_internal/functions/lease_wait_ms.sql
--! Included rate_limiter_internal/functions/propose_lease.sql
create or replace function rate_limiter_internal.propose_lease(
  at timestamptz,
  app_id uuid,
  buckets rate_limiter.token_buckets[],
  tokens numeric,
  bytes numeric,
  lifetime interval
)
returns rate_limiter.lease_grant
language plpgsql
stable
parallel safe
as $$
declare
  lease rate_limiter.lease_grant;
  max_share numeric := rate_limiter_internal.setting_numeric('lease_max_share');
  life interval := coalesce(
    lifetime, rate_limiter_internal.setting_interval_seconds('lease_seconds')
  );
begin
  if life not between interval '100 ms' and interval '1 hour' then
    raise exception using
      errcode = 'QS422',
      message = 'lifetime is not between 100 milliseconds and one hour',
      detail = format('lifetime: %s', life),
      hint = 'Ask for a shorter lease, and renew it.';
  end if;

  select
    coalesce(bool_or(not rate_limiter_internal.is_bandwidth(b.bucket_type)), false),
    coalesce(bool_or(rate_limiter_internal.is_bandwidth(b.bucket_type)), false)
  into lease.is_limited_tokens, lease.is_limited_bytes
  from unnest(buckets) as b
  where b.mode = 'enforce';

  lease.tokens := rate_limiter_internal.grantable(buckets, false, tokens, max_share);
  lease.bytes := rate_limiter_internal.grantable(buckets, true, bytes, max_share);
  lease.expires_at := at + life;
  lease.lifetime_ms := div(extract(epoch from life) * 1000, 1);
  lease.retry_after_ms := greatest(
    rate_limiter_internal.lease_wait_ms(at, buckets, false, tokens - lease.tokens),
    rate_limiter_internal.lease_wait_ms(at, buckets, true, bytes - lease.bytes)
  );

  select count(distinct l.holder) + 1 into lease.holders
  from rate_limiter.token_leases as l
  where l.app_id = propose_lease.app_id
    and l.settled_at is null
    and l.expires_at > at;
  return lease;
end;
$$;

comment on function rate_limiter_internal.propose_lease(
  timestamptz, uuid, rate_limiter.token_buckets[], numeric, numeric, interval
) is
  'The lease that buckets, as they stand at a moment, can give of what is asked for. Writes '
  'nothing. Raises QS422 for a lifetime out of bounds.';
--! EndIncluded rate_limiter_internal/functions/propose_lease.sql
--! Included rate_limiter_internal/functions/write_lease.sql
create or replace function rate_limiter_internal.write_lease(
  at timestamptz,
  app_id uuid,
  buckets rate_limiter.token_buckets[],
  lease rate_limiter.lease_grant,
  holder text
)
returns uuid
language plpgsql
volatile
parallel unsafe
as $$
declare
  lease_id uuid := gen_random_uuid();
  after rate_limiter.token_buckets[] := buckets;
  charge numeric;
begin
  for i in 1 .. cardinality(after) loop
    continue when after[i].mode <> 'enforce';
    charge := case when rate_limiter_internal.is_bandwidth(after[i].bucket_type)
      then lease.bytes else lease.tokens end;
    after[i].current_tokens := after[i].current_tokens - charge;
  end loop;

  perform rate_limiter_internal.write_buckets(
    at, 'lease', buckets, after, null, jsonb_build_object('lease', lease_id)
  );
  insert into rate_limiter.token_leases
    (app_id, lease_id, holder, tokens, bytes, charged, granted_at, expires_at)
  values (
    app_id, lease_id, left(holder, 255), lease.tokens, lease.bytes,
    rate_limiter_internal.charges_of(buckets, lease.tokens, lease.bytes, false),
    at, lease.expires_at
  );
  return lease_id;
end;
$$;

comment on function rate_limiter_internal.write_lease(
  timestamptz, uuid, rate_limiter.token_buckets[], rate_limiter.lease_grant, text
) is 'Takes a proposed lease out of locked buckets and remembers it; answers its id.';
--! EndIncluded rate_limiter_internal/functions/write_lease.sql
--! Included rate_limiter_internal/functions/lease_tokens_at.sql
create or replace function rate_limiter_internal.lease_tokens_at(
  at timestamptz,
  app_id uuid,
  tokens numeric,
  bytes numeric,
  lifetime interval default null,
  holder text default null
)
returns rate_limiter.lease_grant
language plpgsql
volatile
parallel unsafe
as $$
declare
  admission record;
  buckets rate_limiter.token_buckets[];
  lease rate_limiter.lease_grant;
begin
  perform rate_limiter_internal.check_amount(tokens, 'tokens');
  perform rate_limiter_internal.check_amount(bytes, 'bytes');
  admission := rate_limiter_internal.admission_of(app_id);
  perform rate_limiter_internal.apply_durability(admission.synchronous_commit);

  -- Nothing to give writes nothing: see consume_exactly.
  buckets := rate_limiter_internal.buckets_at(at, app_id, admission.cluster_id);
  lease := rate_limiter_internal.propose_lease(at, app_id, buckets, tokens, bytes, lifetime);
  if lease.tokens > 0 or lease.bytes > 0 then
    buckets := rate_limiter_internal.lock_buckets(at, app_id, admission.cluster_id);
    lease := rate_limiter_internal.propose_lease(at, app_id, buckets, tokens, bytes, lifetime);
    lease.lease_id := rate_limiter_internal.write_lease(at, app_id, buckets, lease, holder);
  end if;
  return lease;
end;
$$;

comment on function rate_limiter_internal.lease_tokens_at(
  timestamptz, uuid, numeric, numeric, interval, text
) is 'lease_tokens() at a moment of the caller''s choice: for tests.';
--! EndIncluded rate_limiter_internal/functions/lease_tokens_at.sql
--! Included rate_limiter_internal/functions/check_lease.sql
create or replace function rate_limiter_internal.check_lease(
  at timestamptz,
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric
)
returns void
language plpgsql
stable
parallel safe
as $$
declare
  lease rate_limiter.token_leases;
begin
  select l.* into lease
  from rate_limiter.token_leases as l
  where l.app_id = check_lease.app_id and l.lease_id = check_lease.lease_id;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown lease',
      detail = format('lease: %s', lease_id),
      hint = 'Check the id, and that it is this application''s.';
  elsif spent_tokens > lease.tokens or spent_bytes > lease.bytes then
    raise exception using
      errcode = 'QS422',
      message = 'spent more than was leased',
      detail = format(
        'tokens: %s of %s, bytes: %s of %s',
        spent_tokens, lease.tokens, spent_bytes, lease.bytes
      ),
      hint = 'The holder has a fault: a lease is a limit.';
  elsif lease.expires_at <= at
    and (lease.settled_at is null or lease.settled_at >= lease.expires_at)
  then
    raise exception using
      errcode = 'QS410',
      message = 'lease has expired',
      detail = format('lease: %s, expired: %s', lease_id, lease.expires_at),
      hint = 'It counts as spent. Settle or renew leases before they expire.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_lease(
  timestamptz, uuid, uuid, numeric, numeric
) is
  'Raises QS404 for an unknown lease, QS410 for one that expired unsettled, QS422 where more '
  'was spent than leased.';
--! EndIncluded rate_limiter_internal/functions/check_lease.sql
--! Included rate_limiter_internal/functions/settle_lease_at.sql
create or replace function rate_limiter_internal.settle_lease_at(
  at timestamptz,
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric
)
returns rate_limiter.lease_settlement
language plpgsql
volatile
parallel unsafe
as $$
declare
  lease rate_limiter.token_leases;
  back rate_limiter.lease_settlement := row(0, 0);
begin
  perform rate_limiter_internal.check_amount(spent_tokens, 'spent_tokens');
  perform rate_limiter_internal.check_amount(spent_bytes, 'spent_bytes');

  select l.* into lease
  from rate_limiter.token_leases as l
  where l.app_id = settle_lease_at.app_id and l.lease_id = settle_lease_at.lease_id
  for update;

  if found and lease.settled_at is null then
    if at < lease.expires_at then
      back.returned_tokens := greatest(lease.tokens - spent_tokens, 0);
      back.returned_bytes := greatest(lease.bytes - spent_bytes, 0);
    end if;
    update rate_limiter.token_leases as l
    set
      settled_at = at,
      spent_tokens = lease.tokens - back.returned_tokens,
      spent_bytes = lease.bytes - back.returned_bytes
    where l.app_id = lease.app_id and l.lease_id = lease.lease_id;

    perform rate_limiter_internal.give_back(
      at,
      array(
        select row(c.owner_id, c.bucket_type, c.mode, b.tokens)
          ::rate_limiter_internal.bucket_charge
        from unnest(lease.charged) with ordinality as c
        cross join lateral (
          select case when rate_limiter_internal.is_bandwidth(c.bucket_type)
            then back.returned_bytes else back.returned_tokens end
        ) as b (tokens)
        where b.tokens > 0
        order by c.ordinality
      ),
      'settle', null, jsonb_build_object('lease', lease_id)
    );
  end if;
  return back;
end;
$$;

comment on function rate_limiter_internal.settle_lease_at(
  timestamptz, uuid, uuid, numeric, numeric
) is
  'settle_lease() at a moment of the caller''s choice, forgiving: an unknown, expired or '
  'settled lease gives nothing back, and nobody spends more than was leased.';
--! EndIncluded rate_limiter_internal/functions/settle_lease_at.sql
--! Included rate_limiter_private/functions/expire_leases.sql
create or replace function rate_limiter_private.expire_leases(
  at timestamptz,
  batch_size integer default 1000
)
returns integer
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  with expired as (
    select l.app_id, l.lease_id
    from rate_limiter.token_leases as l
    where l.settled_at is null and l.expires_at <= at
    limit batch_size
    for update skip locked
  ),
  settled as (
    update rate_limiter.token_leases as l
    set settled_at = at, spent_tokens = l.tokens, spent_bytes = l.bytes
    from expired as e
    where l.app_id = e.app_id and l.lease_id = e.lease_id
    returning 1
  )
  select count(*)::integer from settled;
$$;

comment on function rate_limiter_private.expire_leases(timestamptz, integer) is
  'Settles up to batch_size leases that expired as spent; answers how many. Call it until it '
  'answers less than batch_size.';
grant execute on function rate_limiter_private.expire_leases(timestamptz, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/expire_leases.sql

-- Token engine: borrowing and adjustments
--! Included rate_limiter_internal/functions/lock_in_order.sql
create or replace function rate_limiter_internal.lock_in_order(
  at timestamptz,
  wanted rate_limiter_internal.bucket_charge[]
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  bucket rate_limiter_internal.bucket_charge;
begin
  for bucket in
    select distinct on (w.is_layer_1, w.owner_id, w.bucket_type, w.mode)
      w.owner_id, w.bucket_type, w.mode, w.tokens
    from (
      select u.*, rate_limiter_internal.is_layer_1(u.bucket_type) as is_layer_1
      from unnest(wanted) as u
      where u.owner_id is not null
    ) as w
    order by w.is_layer_1, w.owner_id, w.bucket_type, w.mode
  loop
    perform rate_limiter_internal.lock_bucket(
      at, bucket.owner_id, bucket.bucket_type, bucket.mode
    );
  end loop;
end;
$$;

comment on function rate_limiter_internal.lock_in_order(
  timestamptz, rate_limiter_internal.bucket_charge[]
) is
  'Locks many buckets in the one order that cannot deadlock: layer 2 before layer 1, then by '
  'owner, type and mode.';
--! EndIncluded rate_limiter_internal/functions/lock_in_order.sql
--! Included rate_limiter_internal/functions/require_bucket.sql
create or replace function rate_limiter_internal.require_bucket(
  bucket rate_limiter.token_buckets,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type
)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if bucket.capacity is null then
    raise exception using
      errcode = 'QS404',
      message = 'unknown bucket',
      detail = format('owner: %s, bucket: %s', owner_id, bucket_type),
      hint = 'A bucket exists while a quota for it is in force: publish one first.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_bucket(
  rate_limiter.token_buckets, uuid, rate_limiter.bucket_type
) is 'Raises QS404 where there is no bucket, or no quota in force for it.';
--! EndIncluded rate_limiter_internal/functions/require_bucket.sql
--! Included rate_limiter_internal/functions/lender_bucket_type.sql
create or replace function rate_limiter_internal.lender_bucket_type(
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  lender_owner_id uuid
)
returns rate_limiter.bucket_type
language plpgsql
stable
parallel safe
as $$
begin
  if lender_owner_id is null then
    return null;
  elsif lender_owner_id = owner_id then
    raise exception using
      errcode = 'QS422',
      message = 'bucket cannot lend to itself',
      detail = format('owner: %s', owner_id),
      hint = 'Leave the lender out to borrow from the bucket''s own future.';
  elsif rate_limiter_internal.is_layer_1(bucket_type) then
    raise exception using
      errcode = 'QS422',
      message = 'cluster borrows from its own future only',
      detail = format('owner: %s', owner_id),
      hint = 'Leave the lender out.';
  end if;

  if exists (
    select from rate_limiter.applications as a
    where a.app_id = lender_bucket_type.owner_id and a.cluster_id = lender_owner_id
  ) then
    return case bucket_type when 'iops_l2' then 'iops_l1' else 'bandwidth_l1' end;
  elsif exists (
    select
    from rate_limiter.applications as borrower
    join rate_limiter.applications as lender on lender.tenant_id = borrower.tenant_id
    where borrower.app_id = lender_bucket_type.owner_id and lender.app_id = lender_owner_id
  ) then
    return bucket_type;
  end if;

  raise exception using
    errcode = 'QS404',
    message = 'unknown lender',
    detail = format('lender: %s', lender_owner_id),
    hint = 'Lenders are the applications of the same tenant and the borrower''s own cluster.';
end;
$$;

comment on function rate_limiter_internal.lender_bucket_type(
  uuid, rate_limiter.bucket_type, uuid
) is
  'The bucket of a lender that an owner may borrow from: of the same kind in the same tenant, '
  'or layer 1 of its own cluster. Raises QS404 or QS422 where there is none.';
--! EndIncluded rate_limiter_internal/functions/lender_bucket_type.sql
--! Included rate_limiter_internal/functions/check_borrowing.sql
create or replace function rate_limiter_internal.check_borrowing(
  amount numeric,
  duration interval
)
returns void
language plpgsql
stable
parallel safe
as $$
declare
  longest interval := rate_limiter_internal.setting_interval_seconds('max_borrow_duration');
begin
  perform rate_limiter_internal.check_amount(amount, 'tokens');
  if amount = 0 then
    raise exception using
      errcode = 'QS422',
      message = 'amount is not positive',
      detail = format('tokens: %s', amount),
      hint = 'Borrow more than nothing.';
  elsif duration is null or duration <= interval '0' then
    raise exception using
      errcode = 'QS422',
      message = 'duration is not positive',
      detail = format('duration: %s', duration),
      hint = 'Say for how long to borrow.';
  elsif duration > longest then
    raise exception using
      errcode = 'QS422',
      message = 'duration too long',
      detail = format('duration: %s, longest: %s', duration, longest),
      hint = 'Borrow for less long, or raise the setting max_borrow_duration.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_borrowing(numeric, interval) is
  'Raises QS422 for an amount or a duration that cannot be borrowed.';
--! EndIncluded rate_limiter_internal/functions/check_borrowing.sql
--! Included rate_limiter_internal/functions/check_credit.sql
create or replace function rate_limiter_internal.check_credit(
  bucket rate_limiter.token_buckets,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  amount numeric
)
returns void
language plpgsql
stable
parallel safe
as $$
declare
  credit_limit numeric;
begin
  perform rate_limiter_internal.require_bucket(bucket, owner_id, bucket_type);
  if exists (
    select from rate_limiter.token_borrowing as b
    where b.owner_id = check_credit.owner_id
      and b.bucket_type = check_credit.bucket_type
      and b.status = 'defaulted'
  ) then
    raise exception using
      errcode = 'QS409',
      message = 'borrower in default',
      detail = format('owner: %s, bucket: %s', owner_id, bucket_type),
      hint = 'Repay what is owed first, or have it written off.';
  end if;

  credit_limit := bucket.capacity * rate_limiter_internal.setting_numeric('max_borrow_ratio');
  if bucket.current_tokens + amount > credit_limit then
    raise exception using
      errcode = 'QS409',
      message = 'borrow limit',
      detail = format(
        'tokens: %s, asked: %s, limit: %s', bucket.current_tokens, amount, credit_limit
      ),
      hint = 'Borrow less, or raise the setting max_borrow_ratio.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_credit(
  rate_limiter.token_buckets, uuid, rate_limiter.bucket_type, numeric
) is
  'Raises QS404 for a bucket without a quota in force, QS409 for one that is in default or '
  'would hold more than max_borrow_ratio times its capacity.';
--! EndIncluded rate_limiter_internal/functions/check_credit.sql
--! Included rate_limiter_internal/functions/lend.sql
create or replace function rate_limiter_internal.lend(
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  amount numeric,
  borrowing_id uuid
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
  before := rate_limiter_internal.lock_bucket(at, owner_id, bucket_type, 'enforce');
  perform rate_limiter_internal.require_bucket(before, owner_id, bucket_type);
  if before.current_tokens - amount < before.min_reserve then
    raise exception using
      errcode = 'QS409',
      message = 'lender reserve',
      detail = format(
        'tokens: %s, asked: %s, reserve: %s', before.current_tokens, amount, before.min_reserve
      ),
      hint = 'Borrow less, later, or from another lender.';
  end if;

  after := before;
  after.current_tokens := after.current_tokens - amount;
  perform rate_limiter_internal.write_buckets(
    at, 'borrow', array[before], array[after], null,
    jsonb_build_object('borrowing', borrowing_id)
  );
end;
$$;

comment on function rate_limiter_internal.lend(
  timestamptz, uuid, rate_limiter.bucket_type, numeric, uuid
) is
  'Takes what is lent out of the lender''s bucket. Raises QS409 where that would touch its '
  'min_reserve.';
--! EndIncluded rate_limiter_internal/functions/lend.sql
--! Included rate_limiter_internal/functions/lock_borrowing.sql
create or replace function rate_limiter_internal.lock_borrowing(
  owner_id uuid,
  borrowing_id uuid
)
returns rate_limiter.token_borrowing
language plpgsql
volatile
parallel unsafe
as $$
declare
  borrowing rate_limiter.token_borrowing;
begin
  select b.* into borrowing
  from rate_limiter.token_borrowing as b
  where b.owner_id = lock_borrowing.owner_id and b.borrowing_id = lock_borrowing.borrowing_id
  for update;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown borrowing',
      detail = format('owner: %s, borrowing: %s', owner_id, borrowing_id),
      hint = 'Check the ids.';
  end if;
  return borrowing;
end;
$$;

comment on function rate_limiter_internal.lock_borrowing(uuid, uuid) is
  'Locks a borrowing, which everybody does before its buckets. Raises QS404 for an unknown one.';
--! EndIncluded rate_limiter_internal/functions/lock_borrowing.sql
--! Included rate_limiter_internal/functions/borrow_tokens_at.sql
create or replace function rate_limiter_internal.borrow_tokens_at(
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  amount numeric,
  duration interval,
  lender_owner_id uuid default null,
  out borrowing_id uuid,
  out tokens numeric,
  out repayment_tokens numeric,
  out due_at timestamptz
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  lender_type rate_limiter.bucket_type;
  interest numeric := rate_limiter_internal.setting_numeric('default_interest_rate');
  before rate_limiter.token_buckets;
  after rate_limiter.token_buckets;
begin
  perform rate_limiter_internal.check_borrowing(amount, duration);
  lender_type := rate_limiter_internal.lender_bucket_type(
    owner_id, bucket_type, lender_owner_id
  );
  perform rate_limiter_internal.lock_in_order(at, array[
    row(owner_id, bucket_type, 'enforce', null)::rate_limiter_internal.bucket_charge,
    row(lender_owner_id, lender_type, 'enforce', null)::rate_limiter_internal.bucket_charge
  ]);
  before := rate_limiter_internal.lock_bucket(at, owner_id, bucket_type, 'enforce');
  perform rate_limiter_internal.check_credit(before, owner_id, bucket_type, amount);

  borrowing_id := gen_random_uuid();
  repayment_tokens := amount + ceil(amount * interest * 1000000) * 0.000001;
  due_at := at + duration;
  if lender_owner_id is not null then
    perform rate_limiter_internal.lend(at, lender_owner_id, lender_type, amount, borrowing_id);
  end if;

  after := before;
  after.current_tokens := after.current_tokens + amount;
  tokens := after.current_tokens;
  perform rate_limiter_internal.write_buckets(
    at, 'borrow', array[before], array[after], null,
    jsonb_build_object('borrowing', borrowing_id)
  );
  insert into rate_limiter.token_borrowing (
    owner_id, borrowing_id, bucket_type, lender_owner_id, lender_bucket_type, tokens_borrowed,
    repayment_tokens, interest_rate, borrowed_at, due_at, collect_at
  )
  values (
    owner_id, borrowing_id, bucket_type, lender_owner_id, lender_type, amount,
    repayment_tokens, interest, at, due_at, due_at
  );
end;
$$;

comment on function rate_limiter_internal.borrow_tokens_at(
  timestamptz, uuid, rate_limiter.bucket_type, numeric, interval, uuid
) is
  'Lends a bucket tokens until due_at, from a lender''s bucket or from its own future. tokens: '
  'what the bucket holds now. repayment_tokens: what it owes, interest included. Raises QS422 '
  'for an amount or duration out of bounds, QS404 for an unknown bucket or lender, QS409 where '
  'the limit, a default or the lender''s reserve forbids it; then no token moves.';
--! EndIncluded rate_limiter_internal/functions/borrow_tokens_at.sql
--! Included rate_limiter_internal/functions/repay_borrowing_at.sql
create or replace function rate_limiter_internal.repay_borrowing_at(
  at timestamptz,
  owner_id uuid,
  borrowing_id uuid,
  out paid numeric,
  out owed numeric,
  out status rate_limiter.borrowing_status
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  borrowing rate_limiter.token_borrowing;
  before rate_limiter.token_buckets;
  after rate_limiter.token_buckets;
begin
  borrowing := rate_limiter_internal.lock_borrowing(owner_id, borrowing_id);
  paid := 0;
  owed := borrowing.repayment_tokens - borrowing.repaid_tokens;
  status := borrowing.status;
  if status in ('repaid', 'cancelled') then
    owed := 0;
    return;
  end if;

  perform rate_limiter_internal.lock_in_order(at, array[
    row(owner_id, borrowing.bucket_type, 'enforce', null)
      ::rate_limiter_internal.bucket_charge,
    row(borrowing.lender_owner_id, borrowing.lender_bucket_type, 'enforce', null)
      ::rate_limiter_internal.bucket_charge
  ]);
  before := rate_limiter_internal.lock_bucket(at, owner_id, borrowing.bucket_type, 'enforce');
  paid := least(coalesce(before.current_tokens, 0), owed);
  owed := owed - paid;
  status := case
    when owed = 0 then 'repaid'
    when at >= borrowing.due_at
      + rate_limiter_internal.setting_interval_seconds('borrow_grace_seconds') then 'defaulted'
    else status
  end;

  if paid > 0 then
    after := before;
    after.current_tokens := after.current_tokens - paid;
    perform rate_limiter_internal.write_buckets(
      at, 'repay', array[before], array[after], null,
      jsonb_build_object('borrowing', borrowing_id)
    );
    if borrowing.lender_owner_id is not null then
      perform rate_limiter_internal.give_back(
        at,
        array[row(
          borrowing.lender_owner_id, borrowing.lender_bucket_type, 'enforce', paid
        )::rate_limiter_internal.bucket_charge],
        'repay', null, jsonb_build_object('borrowing', borrowing_id)
      );
    end if;
  end if;

  update rate_limiter.token_borrowing as b
  set
    repaid_tokens = b.repaid_tokens + paid,
    status = repay_borrowing_at.status,
    repaid_at = case when owed = 0 then at end
  where b.owner_id = borrowing.owner_id
    and b.borrowing_id = borrowing.borrowing_id
    and (paid > 0 or b.status <> repay_borrowing_at.status);
end;
$$;

comment on function rate_limiter_internal.repay_borrowing_at(timestamptz, uuid, uuid) is
  'Collects what a borrowing bucket holds, up to what it still owes, and credits the lender up '
  'to its capacity. paid: by this call. owed: what is left. Past due and grace it is in '
  'default, and stays owed. Raises QS404 for an unknown borrowing.';
--! EndIncluded rate_limiter_internal/functions/repay_borrowing_at.sql
--! Included rate_limiter_internal/functions/cancel_borrowing_at.sql
create or replace function rate_limiter_internal.cancel_borrowing_at(
  at timestamptz,
  owner_id uuid,
  borrowing_id uuid,
  reason text
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  borrowing rate_limiter.token_borrowing;
begin
  borrowing := rate_limiter_internal.lock_borrowing(owner_id, borrowing_id);
  if borrowing.status not in ('active', 'defaulted') then
    raise exception using
      errcode = 'QS409',
      message = 'borrowing is closed',
      detail = format('borrowing: %s, status: %s', borrowing_id, borrowing.status),
      hint = 'Only what is still owed can be written off.';
  end if;

  update rate_limiter.token_borrowing as b
  set
    status = 'cancelled',
    metadata = b.metadata || jsonb_build_object('cancelled_at', at, 'reason', reason)
  where b.owner_id = borrowing.owner_id and b.borrowing_id = borrowing.borrowing_id;
end;
$$;

comment on function rate_limiter_internal.cancel_borrowing_at(
  timestamptz, uuid, uuid, text
) is
  'Writes off what is still owed of a borrowing; no token moves. Raises QS404 for an unknown '
  'one, QS409 for one that is repaid or written off already.';
--! EndIncluded rate_limiter_internal/functions/cancel_borrowing_at.sql
--! Included rate_limiter_internal/functions/adjust_tokens_at.sql
create or replace function rate_limiter_internal.adjust_tokens_at(
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  tokens_change numeric,
  reason text
)
returns numeric
language plpgsql
volatile
parallel unsafe
as $$
declare
  before rate_limiter.token_buckets;
  after rate_limiter.token_buckets;
begin
  perform rate_limiter_internal.check_amount(abs(tokens_change), 'tokens_change');
  if reason is null or reason !~ '\S' then
    raise exception using
      errcode = 'QS422',
      message = 'reason is missing',
      hint = 'Say why: the ledger and the audit keep it.';
  end if;

  before := rate_limiter_internal.lock_bucket(at, owner_id, bucket_type, 'enforce');
  perform rate_limiter_internal.require_bucket(before, owner_id, bucket_type);
  after := before;
  after.current_tokens := after.current_tokens + tokens_change;
  if after.current_tokens < 0
    or tokens_change > 0 and after.current_tokens > after.capacity
  then
    raise exception using
      errcode = 'QS422',
      message = 'adjustment leaves the bucket',
      detail = format(
        'tokens: %s, change: %s, capacity: %s',
        before.current_tokens, tokens_change, before.capacity
      ),
      hint = 'A bucket holds from 0 to its capacity: adjust it by less, or change its quota.';
  end if;

  perform rate_limiter_internal.write_buckets(
    at, 'adjust', array[before], array[after], null,
    jsonb_build_object('reason', reason, 'user', rate_limiter_internal.current_user_id())
  );
  return after.current_tokens;
end;
$$;

comment on function rate_limiter_internal.adjust_tokens_at(
  timestamptz, uuid, rate_limiter.bucket_type, numeric, text
) is
  'Adds tokens to a bucket or takes them by hand, with a reason for the ledger; answers what it '
  'holds now. Raises QS404 for an unknown bucket, QS422 where it would leave 0 to capacity.';
--! EndIncluded rate_limiter_internal/functions/adjust_tokens_at.sql
--! Included rate_limiter_private/functions/collect_borrowings.sql
create or replace function rate_limiter_private.collect_borrowings(
  at timestamptz,
  batch_size integer default 200
)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  due rate_limiter.token_borrowing[];
begin
  due := array(
    select b
    from rate_limiter.token_borrowing as b
    where b.status in ('active', 'defaulted') and b.collect_at <= at
    order by b.collect_at
    limit batch_size
    for update skip locked
  );
  perform rate_limiter_internal.lock_in_order(
    at,
    array(
      select row(d.owner_id, d.bucket_type, 'enforce', null)
        ::rate_limiter_internal.bucket_charge
      from unnest(due) as d
    ) || array(
      select row(d.lender_owner_id, d.lender_bucket_type, 'enforce', null)
        ::rate_limiter_internal.bucket_charge
      from unnest(due) as d
    )
  );

  perform rate_limiter_internal.repay_borrowing_at(at, d.owner_id, d.borrowing_id)
  from unnest(due) as d;

  update rate_limiter.token_borrowing as b
  set collect_at = at + interval '1 minute'
  from unnest(due) as d
  where b.owner_id = d.owner_id and b.borrowing_id = d.borrowing_id;

  return cardinality(due);
end;
$$;

comment on function rate_limiter_private.collect_borrowings(timestamptz, integer) is
  'Collects up to batch_size borrowings that are due, passing over those that another worker '
  'has at hand; answers how many it tried. Call it in transactions of their own until it '
  'answers less than batch_size. What is still owed is tried again a minute later.';
grant execute on function rate_limiter_private.collect_borrowings(timestamptz, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/collect_borrowings.sql

-- Data plane: what gateways and services call
--! Included rate_limiter/functions/cost.sql
create or replace function rate_limiter.cost(
  app_id uuid,
  operation text,
  size_bytes bigint default 0
)
returns numeric
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return rate_limiter_internal.cost_at(
    clock_timestamp(), app_id, operation, coalesce(size_bytes, 0)
  );
end;
$$;

comment on function rate_limiter.cost(uuid, text, bigint) is
  'Tokens that an operation of a size in bytes costs an application now. Raises QS404 for an '
  'unknown operation, QS403 for an inactive one, QS422 for a negative size.';
grant execute on function rate_limiter.cost(uuid, text, bigint)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/cost.sql
--! Included rate_limiter/functions/check_limit.sql
create or replace function rate_limiter.check_limit(
  app_id uuid,
  operation text,
  size_bytes bigint default 0
)
returns rate_limiter.decision
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return rate_limiter_internal.check_limit_at(clock_timestamp(), app_id, operation, size_bytes);
end;
$$;

comment on function rate_limiter.check_limit(uuid, text, bigint) is
  'The answer that consume() would give now, without taking anything. Raises what it raises.';
grant execute on function rate_limiter.check_limit(uuid, text, bigint)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/check_limit.sql
--! Included rate_limiter/functions/consume.sql
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
  decision rate_limiter.decision;
begin
  decision := rate_limiter_internal.consume_at(
    at, app_id, operation, size_bytes, reference_id
  );
  if not decision.allowed or current_setting('rate_limiter_denials.minute', true) <> '' then
    return rate_limiter_internal.note_decision(at, app_id, size_bytes, decision);
  end if;
  return decision;
end;
$$;

comment on function rate_limiter.consume(uuid, text, bigint, text) is
  'Decides whether an operation of an application may run now, and charges it if so. A retry '
  'under the same reference_id is answered as before and takes nothing. A denial is an answer. '
  'Raises QS404 for an unknown application or operation, QS403 for an inactive application, '
  'tenant or operation, QS422 for a negative size.';
grant execute on function rate_limiter.consume(uuid, text, bigint, text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/consume.sql
--! Included rate_limiter/functions/application_of_key.sql
create or replace function rate_limiter.application_of_key(
  api_key text
)
returns uuid
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return rate_limiter_internal.application_of_key_at(clock_timestamp(), api_key);
end;
$$;

comment on function rate_limiter.application_of_key(text) is
  'The application that an API key opens. Raises QS401 for a key that is unknown, expired or '
  'revoked.';
grant execute on function rate_limiter.application_of_key(text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/application_of_key.sql
--! Included rate_limiter/functions/consume_with_key.sql
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
  decision rate_limiter.decision;
begin
  select k.app_id
  into app_id
  from rate_limiter_private.api_keys as k
  where k.key_hash = sha256(convert_to(api_key, 'UTF8'))
    and (k.expires_at is null or k.expires_at > at)
    and (k.revoked_at is null or k.revoked_at > at);
  if app_id is null then
    perform rate_limiter_internal.application_of_key_at(at, api_key);
  end if;

  decision := rate_limiter_internal.consume_at(
    at, app_id, operation, size_bytes, reference_id
  );
  if not decision.allowed or current_setting('rate_limiter_denials.minute', true) <> '' then
    return rate_limiter_internal.note_decision(at, app_id, size_bytes, decision);
  end if;
  return decision;
end;
$$;

comment on function rate_limiter.consume_with_key(text, text, bigint, text) is
  'consume() for the application that an API key opens. Raises QS401 for a key that is unknown, '
  'expired or revoked, and what consume() raises.';
grant execute on function rate_limiter.consume_with_key(text, text, bigint, text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/consume_with_key.sql
--! Included rate_limiter/functions/consume_batch.sql
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
  at constant timestamptz := clock_timestamp();
  decisions rate_limiter.decision[];
begin
  decisions := array(
    select d
    from rate_limiter_internal.consume_batch_at(
      at, app_id, operations, sizes, reference_ids
    ) as d
  );

  perform rate_limiter_internal.count_denial(
    at, app_id, denied.reason, denied.tokens, denied.bytes, denied.operations
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
  'Decides on up to 10000 operations one after the other at one moment, each as consume() '
  'would, and answers in their order. Raises what consume() raises, for the whole batch.';
grant execute on function rate_limiter.consume_batch(uuid, text[], bigint[], text[])
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/consume_batch.sql
--! Included rate_limiter/functions/settle.sql
create or replace function rate_limiter.settle(
  app_id uuid,
  reference_id text,
  actual_size_bytes bigint
)
returns rate_limiter.settlement
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_charge(app_id, reference_id);
  return rate_limiter_internal.settle_at(
    clock_timestamp(), app_id, reference_id, actual_size_bytes
  );
end;
$$;

comment on function rate_limiter.settle(uuid, text, bigint) is
  'Charges or gives back the difference once the actual size of an operation is known, by the '
  'costs of the moment it was admitted. Only the first call counts. Raises QS404 for a '
  'reference that was never charged, QS422 for a negative size.';
grant execute on function rate_limiter.settle(uuid, text, bigint)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/settle.sql
--! Included rate_limiter/functions/refund.sql
create or replace function rate_limiter.refund(
  app_id uuid,
  reference_id text
)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_charge(app_id, reference_id);
  return rate_limiter_internal.refund_at(clock_timestamp(), app_id, reference_id);
end;
$$;

comment on function rate_limiter.refund(uuid, text) is
  'Gives back the whole charge of an operation; true for the first call, false for later ones. '
  'Raises QS404 for a reference that was never charged.';
grant execute on function rate_limiter.refund(uuid, text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/refund.sql
--! Included rate_limiter/functions/lease_tokens.sql
create or replace function rate_limiter.lease_tokens(
  app_id uuid,
  tokens numeric,
  bytes numeric,
  lifetime interval default null,
  holder text default null,
  denials jsonb default null
)
returns rate_limiter.lease_grant
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.record_denials(app_id, denials);
  return rate_limiter_internal.lease_tokens_at(
    clock_timestamp(), app_id, tokens, bytes, lifetime, holder
  );
end;
$$;

comment on function rate_limiter.lease_tokens(uuid, numeric, numeric, interval, text, jsonb) is
  'Takes up to that many tokens and bytes out of the buckets of both layers for the holder to '
  'spend in its memory: ask for what you spend in a lifetime (null: setting lease_seconds). '
  'Never below a min_reserve, never more than lease_max_share of a capacity. denials: counts '
  'that the caller kept. Raises QS404, QS403 as consume(), QS422 for amounts or a lifetime out '
  'of bounds.';
grant execute on function rate_limiter.lease_tokens(uuid, numeric, numeric, interval, text, jsonb)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/lease_tokens.sql
--! Included rate_limiter/functions/renew_lease.sql
create or replace function rate_limiter.renew_lease(
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric,
  tokens numeric,
  bytes numeric,
  lifetime interval default null,
  holder text default null,
  denials jsonb default null
)
returns rate_limiter.lease_grant
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  at timestamptz := clock_timestamp();
begin
  perform rate_limiter_internal.record_denials(app_id, denials);
  -- Settling locks some of the buckets, leasing all of them: lock order wants all at once.
  perform rate_limiter_internal.lock_buckets(at, l.app_id, a.cluster_id)
  from (
    select l.app_id
    from rate_limiter.token_leases as l
    where l.app_id = renew_lease.app_id
      and l.lease_id = renew_lease.lease_id
      and l.settled_at is null
      and l.expires_at > at
    for update
  ) as l
  join rate_limiter.applications as a on a.app_id = l.app_id;
  perform rate_limiter_internal.settle_lease_at(
    at, app_id, lease_id, spent_tokens, spent_bytes
  );
  return rate_limiter_internal.lease_tokens_at(at, app_id, tokens, bytes, lifetime, holder);
end;
$$;

comment on function rate_limiter.renew_lease(
  uuid, uuid, numeric, numeric, numeric, numeric, interval, text, jsonb
) is
  'Settles a lease and takes the next in one round trip. A lease that is unknown or has '
  'expired counts as spent. Raises what lease_tokens() raises.';
grant execute on function rate_limiter.renew_lease(
  uuid, uuid, numeric, numeric, numeric, numeric, interval, text, jsonb
)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/renew_lease.sql
--! Included rate_limiter/functions/settle_lease.sql
create or replace function rate_limiter.settle_lease(
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric,
  denials jsonb default null
)
returns rate_limiter.lease_settlement
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  at timestamptz := clock_timestamp();
begin
  perform rate_limiter_internal.check_lease(at, app_id, lease_id, spent_tokens, spent_bytes);
  perform rate_limiter_internal.record_denials(app_id, denials);
  return rate_limiter_internal.settle_lease_at(
    at, app_id, lease_id, spent_tokens, spent_bytes
  );
end;
$$;

comment on function rate_limiter.settle_lease(uuid, uuid, numeric, numeric, jsonb) is
  'Ends a lease and gives back what was not spent of it. Settling again gives back nothing. '
  'Raises QS404 for an unknown lease or another application''s, QS410 for an expired one, QS422 '
  'where more was spent than leased.';
grant execute on function rate_limiter.settle_lease(uuid, uuid, numeric, numeric, jsonb)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/settle_lease.sql
--! Included rate_limiter/functions/borrow_automatically.sql
create or replace function rate_limiter.borrow_automatically(
  app_id uuid,
  tokens numeric
)
returns numeric
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from rate_limiter.applications as a
    where a.app_id = borrow_automatically.app_id and a.auto_borrow and a.is_active
  ) then
    raise exception using
      errcode = 'QS403',
      message = 'automatic borrowing is off',
      detail = format('app_id: %s', app_id),
      hint = 'An administrator can switch it on for the application (auto_borrow).';
  end if;

  return (rate_limiter_internal.borrow_tokens_at(
    clock_timestamp(), app_id, 'iops_l2', tokens,
    rate_limiter_internal.setting_interval_seconds('max_borrow_duration')
  )).tokens;
end;
$$;

comment on function rate_limiter.borrow_automatically(uuid, numeric) is
  'Borrows tokens from the future of an application''s IOPS bucket for the longest duration; '
  'answers what it holds now. For gateways that were denied for want of IOPS tokens, where the '
  'application allows it (auto_borrow), else QS403; raises what borrowing raises.';
grant execute on function rate_limiter.borrow_automatically(uuid, numeric)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/borrow_automatically.sql
--! Included rate_limiter/functions/verify_ledger.sql
create or replace function rate_limiter.verify_ledger(
  from_time timestamptz default '-infinity',
  to_time timestamptz default 'infinity'
)
returns setof rate_limiter.ledger_gap
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  with entries as (
    select
      t.*,
      lag(t.seq) over bucket as seq_before,
      lag(t.balance_after) over bucket as balance_before,
      lead(t.seq) over bucket is null as is_last
    from rate_limiter.token_transactions as t
    where t.created_at >= from_time and t.created_at < to_time
    window bucket as (partition by t.owner_id, t.bucket_type, t.mode order by t.seq)
  ),
  checked as (
    select
      e.*,
      -- The first row of a bucket starts from nothing; the first of the span is taken as given.
      case when e.seq = 1 then 0 else e.balance_before end
        + e.refilled + e.tokens_change as expected_balance
    from entries as e
  )
  select
    c.owner_id, c.bucket_type, c.mode, c.seq, c.created_at, c.expected_balance,
    c.balance_after,
    case
      when c.seq <> c.seq_before + 1 then 'rows are missing before this one'
      else 'the balance does not follow from the row before'
    end
  from checked as c
  where c.seq <> c.seq_before + 1 or c.expected_balance <> c.balance_after
  union all
  select
    b.owner_id, b.bucket_type, b.mode, b.ledger_seq, b.updated_at, c.balance_after,
    b.current_tokens,
    case
      when c.seq is null then 'the bucket''s last row is missing'
      else 'the bucket does not hold what its last row says'
    end
  from rate_limiter.token_buckets as b
  left join checked as c
    on c.owner_id = b.owner_id
    and c.bucket_type = b.bucket_type
    and c.mode = b.mode
    and c.is_last
  where b.updated_at >= from_time
    and b.updated_at < to_time
    and b.ledger_seq > 0
    and (
      c.seq = b.ledger_seq and c.balance_after <> b.current_tokens
      or c.seq is distinct from b.ledger_seq and not exists (
        select from rate_limiter.token_transactions as t
        where t.owner_id = b.owner_id
          and t.bucket_type = b.bucket_type
          and t.mode = b.mode
          and t.seq = b.ledger_seq
          and t.balance_after = b.current_tokens
      )
    );
$$;

comment on function rate_limiter.verify_ledger(timestamptz, timestamptz) is
  'Every place, among the ledger rows from from_time until before to_time, where a balance does '
  'not follow from the row before, rows are missing, or a bucket holds something else than its '
  'last row says. No row: the ledger explains every token.';
grant execute on function rate_limiter.verify_ledger(timestamptz, timestamptz)
  to rate_limiter_worker, rate_limiter_readonly;
--! EndIncluded rate_limiter/functions/verify_ledger.sql

-- Admin API
--! Included rate_limiter_internal/functions/require_reason.sql
create or replace function rate_limiter_internal.require_reason(reason text)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if reason is null or reason !~ '\S' then
    raise exception using
      errcode = 'QS422',
      message = 'reason is missing',
      hint = 'Say why: the history keeps it.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_reason(text) is
  'Raises QS422 where no reason is given.';
--! EndIncluded rate_limiter_internal/functions/require_reason.sql
--! Included rate_limiter_internal/functions/require_span.sql
create or replace function rate_limiter_internal.require_span(
  since timestamptz,
  until timestamptz,
  longest interval
)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if not isfinite(since) or not isfinite(until) or since >= until
    or until - since > longest
    or num_nulls(since, until) > 0
  then
    raise exception using
      errcode = 'QS422',
      message = 'span of time is empty or too long',
      detail = format('since: %s, until: %s, longest: %s', since, until, longest),
      hint = 'Ask for a shorter span, or for one after the other.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_span(timestamptz, timestamptz, interval) is
  'Raises QS422 unless since is before until, by no more than the longest span.';
--! EndIncluded rate_limiter_internal/functions/require_span.sql
--! Included rate_limiter_internal/functions/require_quota.sql
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
--! EndIncluded rate_limiter_internal/functions/require_quota.sql
--! Included rate_limiter_internal/functions/require_quota_owner.sql
create or replace function rate_limiter_internal.require_quota_owner(
  app_id uuid,
  cluster_id uuid,
  action text
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if num_nonnulls(app_id, cluster_id) <> 1 then
    raise exception using
      errcode = 'QS422',
      message = 'quota is for one application or one cluster',
      hint = 'Name exactly one of them.';
  end if;

  if app_id is not null then
    perform rate_limiter_internal.require_application(app_id, 'quota', action);
    return;
  end if;

  perform rate_limiter_internal.require_system_admin('quota', action);
  -- An inactive cluster's limits stay in force, so they can be changed too.
  if not exists (
    select from rate_limiter.clusters as c where c.cluster_id = require_quota_owner.cluster_id
  ) then
    raise exception using
      errcode = 'QS404',
      message = 'unknown cluster',
      detail = format('cluster: %s', cluster_id),
      hint = 'Check the id.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_quota_owner(uuid, uuid, text) is
  'Refuses whoever may not do this to the quotas of this application or cluster (QS401, QS403, '
  'QS404); only a system administrator limits a cluster.';
--! EndIncluded rate_limiter_internal/functions/require_quota_owner.sql
--! Included rate_limiter_internal/functions/require_bucket_owner.sql
create or replace function rate_limiter_internal.require_bucket_owner(
  owner_id uuid,
  resource text,
  action text
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  perform rate_limiter_internal.require_permission(resource, action);

  -- Another tenant's bucket, or a cluster's, is as unknown as one that never was.
  if not exists (
    select
    from rate_limiter.applications as a
    where a.app_id = require_bucket_owner.owner_id
      and (
        rate_limiter_internal.is_system_admin()
        or a.tenant_id = rate_limiter_internal.current_tenant_id()
      )
    union all
    select
    from rate_limiter.clusters as c
    where c.cluster_id = require_bucket_owner.owner_id
      and rate_limiter_internal.is_system_admin()
  ) then
    raise exception using
      errcode = 'QS404',
      message = 'unknown owner of a bucket',
      detail = format('owner: %s', owner_id),
      hint = 'Name an application of your tenant; clusters are for system administrators.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_bucket_owner(uuid, text, text) is
  'Refuses whoever may not do this (QS401, QS403) or not to the buckets of this owner (QS404).';
--! EndIncluded rate_limiter_internal/functions/require_bucket_owner.sql
--! Included rate_limiter_internal/functions/require_grantable_role.sql
create or replace function rate_limiter_internal.require_grantable_role(role text)
returns uuid
language plpgsql
stable
parallel safe
as $$
declare
  wanted_role_id uuid;
begin
  select r.role_id
  into wanted_role_id
  from rate_limiter.roles as r
  where r.name = role;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown role',
      detail = format('role: %s', role),
      hint = 'Give the name of a role, such as app_viewer.';
  end if;

  if not rate_limiter_internal.may_grant_role(wanted_role_id) then
    raise exception using
      errcode = 'QS403',
      message = 'role allows more than you may give',
      detail = format('role: %s', role),
      hint = 'Ask a system administrator.';
  end if;

  return wanted_role_id;
end;
$$;

comment on function rate_limiter_internal.require_grantable_role(text) is
  'The role of this name; refuses one that the signed-in user may not give or take.';
--! EndIncluded rate_limiter_internal/functions/require_grantable_role.sql
--! Included rate_limiter_internal/functions/write_bucket_audit.sql
create or replace function rate_limiter_internal.write_bucket_audit(
  action text,
  entity_type text,
  entity_id uuid,
  owner_id uuid,
  new_values jsonb
)
returns void
language sql
volatile
parallel unsafe
as $$
  select rate_limiter_internal.write_audit(
    action, entity_type, entity_id,
    (select a.tenant_id from rate_limiter.applications as a where a.app_id = owner_id),
    (select a.app_id from rate_limiter.applications as a where a.app_id = owner_id),
    null,
    new_values || jsonb_build_object('owner_id', owner_id)
  );
$$;

comment on function rate_limiter_internal.write_bucket_audit(text, text, uuid, uuid, jsonb) is
  'Writes an audit row about what the caller did to a bucket: the data plane has no triggers.';
--! EndIncluded rate_limiter_internal/functions/write_bucket_audit.sql
--! Included rate_limiter_internal/functions/iops_limits_problem.sql
create or replace function rate_limiter_internal.iops_limits_problem(limits jsonb)
returns text
language sql
immutable
parallel safe
return case
  when limits ->> 'iops_limit' is null then 'iops_limit is missing'
  when (limits ->> 'iops_limit')::numeric < 1 then 'iops_limit is below one'
  when (limits ->> 'iops_burst')::numeric < (limits ->> 'iops_limit')::numeric
    then 'iops_burst is below iops_limit'
  when (limits ->> 'burst_duration_seconds')::numeric < 1 then 'burst_duration_seconds is below one'
  when (limits ->> 'refill_rate')::numeric < 1 then 'refill_rate is below one'
  when (limits ->> 'min_reserve')::numeric < 0 then 'min_reserve is negative'
end;

comment on function rate_limiter_internal.iops_limits_problem(jsonb) is
  'What is wrong with the limits of operations of a quota; null if nothing is.';
--! EndIncluded rate_limiter_internal/functions/iops_limits_problem.sql
--! Included rate_limiter_internal/functions/bandwidth_limits_problem.sql
create or replace function rate_limiter_internal.bandwidth_limits_problem(limits jsonb)
returns text
language sql
immutable
parallel safe
return case
  when limits ->> 'bandwidth_limit_bps' is null then 'bandwidth_limit_bps is missing'
  when (limits ->> 'bandwidth_limit_bps')::numeric < 1 then 'bandwidth_limit_bps is below one'
  when (limits ->> 'bandwidth_burst_bps')::numeric < (limits ->> 'bandwidth_limit_bps')::numeric
    then 'bandwidth_burst_bps is below bandwidth_limit_bps'
  when (limits ->> 'burst_duration_seconds')::numeric < 1 then 'burst_duration_seconds is below one'
  when (limits ->> 'refill_rate_bps')::numeric < 1 then 'refill_rate_bps is below one'
end;

comment on function rate_limiter_internal.bandwidth_limits_problem(jsonb) is
  'What is wrong with the limits of bytes of a quota; null if nothing is.';
--! EndIncluded rate_limiter_internal/functions/bandwidth_limits_problem.sql
--! Included rate_limiter_internal/functions/require_limits.sql
create or replace function rate_limiter_internal.require_limits(iops jsonb, bandwidth jsonb)
returns void
language plpgsql
immutable
parallel safe
as $$
declare
  problem constant text := coalesce(
    case when iops is not null then rate_limiter_internal.iops_limits_problem(iops) end,
    case when bandwidth is not null then
      rate_limiter_internal.bandwidth_limits_problem(bandwidth)
    end
  );
begin
  if iops is null and bandwidth is null then
    raise exception using
      errcode = 'QS422',
      message = 'quota limits nothing',
      hint = 'Give limits of operations, of bandwidth, or both.';
  end if;

  if problem is not null then
    raise exception using
      errcode = 'QS422',
      message = 'quota limits do not fit',
      detail = format('iops: %s, bandwidth: %s', iops, bandwidth),
      hint = format('Mend this: %s.', problem);
  end if;
end;
$$;

comment on function rate_limiter_internal.require_limits(jsonb, jsonb) is
  'Raises QS422 for a quota whose limits are missing or do not fit.';
--! EndIncluded rate_limiter_internal/functions/require_limits.sql
--! Included rate_limiter_internal/functions/complete_iops_limits.sql
create or replace function rate_limiter_internal.complete_iops_limits(
  limits rate_limiter_admin.iops_limits
)
returns jsonb
language sql
stable
parallel safe
as $$
  select case when limits is distinct from null then jsonb_build_object(
    'iops_limit', limits.iops_limit,
    'iops_burst', coalesce(limits.iops_burst, limits.iops_limit),
    'burst_duration_seconds', coalesce(
      limits.burst_duration_seconds,
      rate_limiter_internal.setting_integer('default_burst_duration')::integer
    ),
    'refill_rate', coalesce(limits.refill_rate, limits.iops_limit),
    'calculation_method', coalesce(limits.calculation_method, 'token_bucket'),
    'min_reserve', coalesce(limits.min_reserve, 0)
  ) end;
$$;

comment on function rate_limiter_internal.complete_iops_limits(
  rate_limiter_admin.iops_limits
) is 'Limits with what was left out filled in, as quota_as_json() shows them.';
--! EndIncluded rate_limiter_internal/functions/complete_iops_limits.sql
--! Included rate_limiter_internal/functions/complete_bandwidth_limits.sql
create or replace function rate_limiter_internal.complete_bandwidth_limits(
  limits rate_limiter_admin.bandwidth_limits
)
returns jsonb
language sql
stable
parallel safe
as $$
  select case when limits is distinct from null then jsonb_build_object(
    'bandwidth_limit_bps', limits.bandwidth_limit_bps,
    'bandwidth_burst_bps', coalesce(limits.bandwidth_burst_bps, limits.bandwidth_limit_bps),
    'burst_duration_seconds', coalesce(
      limits.burst_duration_seconds,
      rate_limiter_internal.setting_integer('default_burst_duration')::integer
    ),
    'refill_rate_bps', coalesce(limits.refill_rate_bps, limits.bandwidth_limit_bps),
    'allow_oversize', coalesce(limits.allow_oversize, true)
  ) end;
$$;

comment on function rate_limiter_internal.complete_bandwidth_limits(
  rate_limiter_admin.bandwidth_limits
) is 'Limits with what was left out filled in, as quota_as_json() shows them.';
--! EndIncluded rate_limiter_internal/functions/complete_bandwidth_limits.sql
--! Included rate_limiter_internal/functions/cancel_quota_at.sql
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
  neighbour_id uuid;
begin
  -- One at a time for an owner: the owner's row is the lock, as when a quota is published.
  perform from rate_limiter.applications as a where a.app_id = quota.app_id for update;
  perform from rate_limiter.clusters as c where c.cluster_id = quota.cluster_id for update;

  select c.* into quota
  from rate_limiter.quota_configs as c
  where c.config_id = cancel_quota_at.quota.config_id;

  if not quota.is_active or quota.valid_to <= at then
    raise exception using
      errcode = 'QS409',
      message = 'quota is over',
      detail = format('quota: %s', quota.config_id),
      hint = 'Only what is in force or scheduled can be cancelled.';
  end if;

  if quota.valid_from > at then
    update rate_limiter.quota_configs as c
    set is_active = false
    where c.config_id = quota.config_id;

    update rate_limiter.quota_configs as c
    set valid_to = quota.valid_to
    where c.owner_id = quota.owner_id
      and c.mode = quota.mode
      and c.is_active
      and c.valid_to = quota.valid_from
    returning c.config_id into neighbour_id;
  else
    update rate_limiter.quota_configs as c
    set valid_to = at
    where c.config_id = quota.config_id;

    update rate_limiter.quota_configs as c
    set valid_from = at
    where c.owner_id = quota.owner_id
      and c.mode = quota.mode
      and c.is_active
      and c.valid_from = quota.valid_to
    returning c.config_id into neighbour_id;
  end if;

  perform rate_limiter_internal.record_quota_version(quota.config_id, reason);
  perform rate_limiter_internal.record_quota_version(neighbour_id, reason);
end;
$$;

comment on function rate_limiter_internal.cancel_quota_at(
  timestamptz, rate_limiter.quota_configs, text
) is
  'Ends a quota at a moment, or before it began; its neighbour takes over its time. Raises QS409 '
  'for one that is over.';
--! EndIncluded rate_limiter_internal/functions/cancel_quota_at.sql
--! Included rate_limiter_internal/functions/bucket_before.sql
create or replace function rate_limiter_internal.bucket_before(
  at timestamptz,
  bucket rate_limiter.token_buckets
)
returns rate_limiter.token_buckets
language plpgsql
stable
parallel safe
as $$
declare
  entry rate_limiter.token_transactions;
  terms rate_limiter_internal.quota_terms;
begin
  -- Nothing happened since: the row itself knows most, allotment and oversize debt included.
  if at > bucket.updated_at then
    return (rate_limiter_internal.bucket_at(at, bucket)).bucket;
  end if;

  select t.*
  into entry
  from rate_limiter.token_transactions as t
  where t.owner_id = bucket.owner_id
    and t.bucket_type = bucket.bucket_type
    and t.mode = bucket.mode
    and t.created_at < bucket_before.at
  order by t.created_at desc, t.seq desc
  limit 1;

  bucket.allotment := 0;
  bucket.terms_until := '-infinity';
  bucket.capacity := null;
  bucket.current_tokens := 0;

  if found then
    terms := rate_limiter_internal.quota_terms_at(
      entry.created_at, bucket.owner_id, bucket.bucket_type, bucket.mode
    );
    bucket.config_id := terms.config_id;
    bucket.capacity := terms.capacity;
    bucket.calculation_method := coalesce(terms.calculation_method, bucket.calculation_method);
    bucket.refill_rate := terms.refill_rate;
    bucket.burst_duration_seconds := coalesce(terms.burst_duration_seconds, 1);
    bucket.min_reserve := coalesce(terms.min_reserve, 0);
    bucket.allow_oversize := coalesce(terms.allow_oversize, false);
    bucket.terms_until := terms.terms_until;
    bucket.current_tokens := entry.balance_after;
    bucket.last_refill_at := entry.created_at;
  end if;

  return (rate_limiter_internal.bucket_at(at, bucket)).bucket;
end;
$$;

comment on function rate_limiter_internal.bucket_before(
  timestamptz, rate_limiter.token_buckets
) is
  'A bucket as it stood just before a moment of the past, by its ledger and its quotas. What an '
  'oversize charge still had to pay back then is not in the ledger, and not seen here.';
--! EndIncluded rate_limiter_internal/functions/bucket_before.sql
--! Included rate_limiter_internal/functions/bucket_verdict.sql
create or replace function rate_limiter_internal.bucket_verdict(
  at timestamptz,
  bucket rate_limiter.token_buckets,
  charge numeric,
  out verdict text,
  out passes_at timestamptz
)
language sql
stable
parallel safe
as $$
  with bucket_state as (
    select rate_limiter_internal.shortage(
      bucket.current_tokens, bucket.capacity, charge, bucket.allow_oversize, bucket.refill_rate
    ) as shortage
  )
  select
    case s.shortage
      when 0 then 'enough'
      when 'infinity' then 'exceeds_capacity'
      else 'short'
    end,
    case
      when s.shortage = 0 then at
      when s.shortage < 'infinity' then at + interval '1 millisecond'
        * rate_limiter_internal.wait_ms(
          at, bucket.calculation_method, bucket.burst_duration_seconds, bucket.refill_rate,
          bucket.last_refill_at, s.shortage
        )
    end
  from bucket_state as s;
$$;

comment on function rate_limiter_internal.bucket_verdict(
  timestamptz, rate_limiter.token_buckets, numeric
) is
  'Whether one bucket, as it stands at a moment, can pay: enough, short, or exceeds_capacity. '
  'passes_at: when it can, if nobody else draws on it; null for never.';
--! EndIncluded rate_limiter_internal/functions/bucket_verdict.sql
--! Included rate_limiter_internal/functions/debt_of.sql
create or replace function rate_limiter_internal.debt_of(
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type
)
returns numeric
language sql
stable
parallel safe
as $$
  select coalesce(sum(b.repayment_tokens - b.repaid_tokens), 0)
  from rate_limiter.token_borrowing as b
  where b.owner_id = debt_of.owner_id
    and b.bucket_type = debt_of.bucket_type
    and b.status in ('active', 'defaulted')
    and b.borrowed_at <= at;
$$;

comment on function rate_limiter_internal.debt_of(
  timestamptz, uuid, rate_limiter.bucket_type
) is 'What a bucket borrowed by a moment and still owes.';
--! EndIncluded rate_limiter_internal/functions/debt_of.sql
--! Included rate_limiter_internal/functions/quota_version_of.sql
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
--! EndIncluded rate_limiter_internal/functions/quota_version_of.sql
--! Included rate_limiter_internal/functions/operation_in_question.sql
create or replace function rate_limiter_internal.operation_in_question(
  app_id uuid,
  operation text,
  size_bytes bigint,
  at timestamptz,
  reference_id text,
  out moment timestamptz,
  out cost numeric,
  out size_bytes_asked bigint
)
language plpgsql
stable
parallel safe
as $$
declare
  charge rate_limiter.charges;
begin
  if reference_id is not null then
    select c.*
    into charge
    from rate_limiter.charges as c
    where c.app_id = operation_in_question.app_id
      and c.reference_id = operation_in_question.reference_id;

    if not found then
      raise exception using
        errcode = 'QS404',
        message = 'unknown reference',
        detail = format('reference: %s', reference_id),
        hint = 'A denial leaves no charge: ask by operation, size and moment.';
    end if;

    moment := charge.charged_at;
    cost := charge.cost;
    size_bytes_asked := charge.size_bytes;
    return;
  end if;

  moment := coalesce(at, clock_timestamp());
  size_bytes_asked := coalesce(size_bytes, 0);
  cost := rate_limiter_internal.price_at(moment, app_id, operation, size_bytes_asked);

  if cost is null then
    raise exception using
      errcode = 'QS404',
      message = 'unknown operation',
      detail = format('operation: %s', operation),
      hint = 'Use a name from operation_types, or give a reference.';
  end if;
end;
$$;

comment on function rate_limiter_internal.operation_in_question(
  uuid, text, bigint, timestamptz, text
) is
  'Moment, cost and size of an operation, by its reference or as described. Raises QS404 for an '
  'unknown reference or operation.';
--! EndIncluded rate_limiter_internal/functions/operation_in_question.sql
--! Included rate_limiter_internal/functions/refill_buckets.sql
create or replace function rate_limiter_internal.refill_buckets(
  at timestamptz,
  buckets rate_limiter.token_buckets[]
)
returns rate_limiter.token_buckets[]
language plpgsql
immutable
parallel safe
as $$
begin
  for i in 1 .. cardinality(buckets) loop
    buckets[i].current_tokens := buckets[i].current_tokens + rate_limiter_internal.refill(
      buckets[i].current_tokens, buckets[i].capacity, buckets[i].refill_rate,
      buckets[i].calculation_method, buckets[i].burst_duration_seconds,
      buckets[i].last_refill_at, at
    );
    buckets[i].last_refill_at := greatest(buckets[i].last_refill_at, at);
  end loop;
  return buckets;
end;
$$;

comment on function rate_limiter_internal.refill_buckets(
  timestamptz, rate_limiter.token_buckets[]
) is 'Buckets refilled to a moment under the terms that they have.';
--! EndIncluded rate_limiter_internal/functions/refill_buckets.sql
--! Included rate_limiter_internal/functions/quota_buckets.sql
create or replace function rate_limiter_internal.quota_buckets(
  config_id uuid,
  at timestamptz
)
returns rate_limiter.token_buckets[]
language sql
stable
parallel safe
as $$
  with terms as (
    select
      'iops_l2'::rate_limiter.bucket_type as bucket_type,
      q.calculation_method,
      rate_limiter_internal.quota_capacity(
        q.calculation_method, q.iops_limit, q.iops_burst, q.burst_duration_seconds, q.refill_rate
      ) as capacity,
      q.refill_rate::bigint as refill_rate,
      q.burst_duration_seconds,
      false as allow_oversize
    from rate_limiter.iops_quotas as q
    where q.config_id = quota_buckets.config_id
    union all
    select
      'bandwidth_l2',
      'token_bucket',
      rate_limiter_internal.quota_capacity(
        'token_bucket', q.bandwidth_limit_bps, q.bandwidth_burst_bps, q.burst_duration_seconds,
        q.refill_rate_bps
      ),
      q.refill_rate_bps,
      q.burst_duration_seconds,
      q.allow_oversize
    from rate_limiter.bandwidth_quotas as q
    where q.config_id = quota_buckets.config_id
  )
  select coalesce(
    array_agg(
      jsonb_populate_record(
        null::rate_limiter.token_buckets,
        to_jsonb(t) || jsonb_build_object(
          'mode', 'enforce', 'config_id', quota_buckets.config_id, 'last_refill_at', at,
          'current_tokens', t.capacity, 'allotment', 0, 'min_reserve', 0
        )
      )
      order by t.bucket_type
    ),
    '{}'
  )
  from terms as t;
$$;

comment on function rate_limiter_internal.quota_buckets(uuid, timestamptz) is
  'The buckets that a quota of an application would make, full at a moment: for trying it out on '
  'what happened.';
--! EndIncluded rate_limiter_internal/functions/quota_buckets.sql
--! Included rate_limiter_internal/functions/try_quota.sql
create or replace function rate_limiter_internal.try_quota(
  app_id uuid,
  config_id uuid,
  since timestamptz,
  until timestamptz,
  max_operations integer,
  out operations bigint,
  out throttled_operations bigint,
  out throttled_tokens numeric,
  out throttled_bytes numeric,
  out throttled_by jsonb,
  out first_throttled_at timestamptz,
  out last_throttled_at timestamptz,
  out longest_wait_ms bigint,
  out judged_until timestamptz
)
language plpgsql
stable
parallel safe
as $$
declare
  buckets rate_limiter.token_buckets[] := rate_limiter_internal.quota_buckets(config_id, since);
  entry record;
  batch record;
  decision rate_limiter.decision;
begin
  operations := 0;
  throttled_operations := 0;
  throttled_tokens := 0;
  throttled_bytes := 0;
  throttled_by := '{}';
  longest_wait_ms := 0;
  judged_until := until;

  for entry in
    select
      t.created_at,
      coalesce(-sum(t.tokens_change) filter (where t.bucket_type = 'iops_l2'), 0) as cost,
      coalesce(-sum(t.tokens_change) filter (where t.bucket_type = 'bandwidth_l2'), 0) as bytes
    from rate_limiter.token_transactions as t
    where t.owner_id = try_quota.app_id
      and t.bucket_type in ('iops_l2', 'bandwidth_l2')
      and t.mode = 'enforce'
      and t.transaction_type in ('consume', 'lease')
      and t.created_at >= since
      and t.created_at < until
    -- Rows of one decision share its moment.
    group by t.created_at, t.reference_id
    order by t.created_at
    limit max_operations + 1
  loop
    if operations = max_operations then
      judged_until := entry.created_at;
      exit;
    end if;
    operations := operations + 1;
    buckets := rate_limiter_internal.refill_buckets(entry.created_at, buckets);
    batch := rate_limiter_internal.decide_batch(
      entry.created_at, array[entry.cost], array[entry.bytes::bigint], null, 0, buckets
    );
    decision := batch.decisions[1];

    if decision.allowed then
      buckets := batch.buckets;
    else
      throttled_operations := throttled_operations + 1;
      throttled_tokens := throttled_tokens + entry.cost;
      throttled_bytes := throttled_bytes + entry.bytes;
      throttled_by := throttled_by || jsonb_build_object(
        decision.reason, coalesce((throttled_by ->> decision.reason)::bigint, 0) + 1
      );
      first_throttled_at := coalesce(first_throttled_at, entry.created_at);
      last_throttled_at := entry.created_at;
      longest_wait_ms := greatest(longest_wait_ms, decision.retry_after_ms);
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.try_quota(
  uuid, uuid, timestamptz, timestamptz, integer
) is
  'Decides again, under another quota of the same application, on what its ledger says that it '
  'took: at the same moments, by the same arithmetic as live decisions. judged_until is before '
  'until where there was more than max_operations. Changes nothing.';
--! EndIncluded rate_limiter_internal/functions/try_quota.sql
--! Included rate_limiter_admin/functions/schedule_quota.sql
create or replace function rate_limiter_admin.schedule_quota(
  reason text,
  valid_from timestamptz,
  valid_to timestamptz default null,
  app_id uuid default null,
  cluster_id uuid default null,
  iops rate_limiter_admin.iops_limits default null,
  bandwidth rate_limiter_admin.bandwidth_limits default null,
  mode rate_limiter.quota_mode default 'enforce'
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
  new_config_id uuid;
  quota rate_limiter.quota_configs;
begin
  perform rate_limiter_internal.require_quota_owner(app_id, cluster_id, 'create');
  perform rate_limiter_internal.require_reason(reason);
  perform rate_limiter_internal.require_limits(iops_terms, bandwidth_terms);

  new_config_id := rate_limiter_internal.publish_quota_at(
    clock_timestamp(), app_id, cluster_id, mode, valid_from, valid_to, iops_terms,
    bandwidth_terms, reason
  );

  select c.* into quota
  from rate_limiter.quota_configs as c
  where c.config_id = new_config_id;

  return quota;
end;
$$;

comment on function rate_limiter_admin.schedule_quota(
  text, timestamptz, timestamptz, uuid, uuid, rate_limiter_admin.iops_limits,
  rate_limiter_admin.bandwidth_limits, rate_limiter.quota_mode
) is
  E'@resultFieldName quota\n'
  'Puts a new version of an application''s or a cluster''s quota in force from valid_from to '
  'valid_to. What is in force then ends there, and goes on afterwards. With mode SHADOW the '
  'quota is a candidate: measured beside the live one, it never denies.';
grant execute on function rate_limiter_admin.schedule_quota(
  text, timestamptz, timestamptz, uuid, uuid, rate_limiter_admin.iops_limits,
  rate_limiter_admin.bandwidth_limits, rate_limiter.quota_mode
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/schedule_quota.sql
--! Included rate_limiter_admin/functions/publish_quota.sql
create or replace function rate_limiter_admin.publish_quota(
  reason text,
  app_id uuid default null,
  cluster_id uuid default null,
  iops rate_limiter_admin.iops_limits default null,
  bandwidth rate_limiter_admin.bandwidth_limits default null,
  mode rate_limiter.quota_mode default 'enforce'
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
    reason, null, null, app_id, cluster_id, iops, bandwidth, mode
  ) as q;
$$;

comment on function rate_limiter_admin.publish_quota(
  text, uuid, uuid, rate_limiter_admin.iops_limits, rate_limiter_admin.bandwidth_limits,
  rate_limiter.quota_mode
) is
  E'@resultFieldName quota\n'
  'Puts a new version of an application''s or a cluster''s quota in force, from now until the '
  'next one that is scheduled. With mode SHADOW the quota is a candidate: measured beside the '
  'live one, it never denies.';
grant execute on function rate_limiter_admin.publish_quota(
  text, uuid, uuid, rate_limiter_admin.iops_limits, rate_limiter_admin.bandwidth_limits,
  rate_limiter.quota_mode
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/publish_quota.sql
--! Included rate_limiter_admin/functions/cancel_quota.sql
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
begin
  perform rate_limiter_internal.require_permission('quota', 'delete');
  perform rate_limiter_internal.require_reason(reason);
  quota := rate_limiter_internal.require_quota(config_id);
  perform rate_limiter_internal.cancel_quota_at(clock_timestamp(), quota, reason);

  select c.* into quota
  from rate_limiter.quota_configs as c
  where c.config_id = cancel_quota.config_id;

  return quota;
end;
$$;

comment on function rate_limiter_admin.cancel_quota(uuid, text) is
  E'@resultFieldName quota\n'
  'Takes a quota back. A scheduled one never comes into force, and what was to end for it goes '
  'on. One in force ends now: the version that was to follow starts at once; without one nothing '
  'is limited any more.';
grant execute on function rate_limiter_admin.cancel_quota(uuid, text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/cancel_quota.sql
--! Included rate_limiter_admin/functions/compare_quota_versions.sql
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
--! EndIncluded rate_limiter_admin/functions/compare_quota_versions.sql
--! Included rate_limiter_admin/functions/try_quota.sql
create or replace function rate_limiter_admin.try_quota(
  config_id uuid,
  since timestamptz,
  until timestamptz,
  out operations bigint,
  out throttled_operations bigint,
  out throttled_tokens numeric,
  out throttled_bytes numeric,
  out throttled_by jsonb,
  out first_throttled_at timestamptz,
  out last_throttled_at timestamptz,
  out longest_wait_ms bigint,
  out judged_until timestamptz
)
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  quota rate_limiter.quota_configs;
begin
  perform rate_limiter_internal.require_permission('quota', 'read');
  perform rate_limiter_internal.require_permission('metrics', 'read');
  perform rate_limiter_internal.require_span(since, until, interval '31 days');
  quota := rate_limiter_internal.require_quota(config_id);

  if quota.app_id is null then
    raise exception using
      errcode = 'QS422',
      message = 'quota limits a cluster',
      detail = format('quota: %s', config_id),
      hint = 'Only an application''s quota can be tried out on its history.';
  end if;

  select t.*
  into operations, throttled_operations, throttled_tokens, throttled_bytes, throttled_by,
    first_throttled_at, last_throttled_at, longest_wait_ms, judged_until
  from rate_limiter_internal.try_quota(quota.app_id, config_id, since, until, 20000) as t;
end;
$$;

comment on function rate_limiter_admin.try_quota(uuid, timestamptz, timestamptz) is
  'What a quota, live or candidate, would have throttled of what its application was really '
  'admitted in a span of at most 31 days: decided again at the same moments from full buckets. '
  'Stops after 20,000 operations: go on from judgedUntil. throttledBy counts by reason.';
grant execute on function rate_limiter_admin.try_quota(uuid, timestamptz, timestamptz)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/try_quota.sql
--! Included rate_limiter_admin/functions/shadow_report.sql
create or replace function rate_limiter_admin.shadow_report(
  since timestamptz,
  until timestamptz
)
returns table (
  app_id uuid,
  app_name text,
  config_id uuid,
  operations bigint,
  throttled_operations bigint,
  throttled_tokens numeric,
  throttled_bytes numeric,
  throttled_by jsonb,
  first_throttled_at timestamptz,
  last_throttled_at timestamptz,
  longest_wait_ms bigint,
  judged_until timestamptz
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
begin
  perform rate_limiter_internal.require_permission('quota', 'read');
  perform rate_limiter_internal.require_permission('metrics', 'read');
  perform rate_limiter_internal.require_span(since, until, interval '31 days');

  return query
  with candidates as (
    select a.app_id, a.name, c.config_id, count(*) over () as total
    from rate_limiter.quota_configs as c
    join rate_limiter.applications as a on a.app_id = c.app_id
    where c.mode = 'shadow'
      and c.is_active
      and (c.valid_to is null or c.valid_to > clock_timestamp())
      and (everywhere or a.tenant_id = own_tenant_id)
    order by a.name, c.valid_from
    limit 100
  )
  select
    c.app_id, c.name::text, c.config_id, t.operations, t.throttled_operations,
    t.throttled_tokens, t.throttled_bytes, t.throttled_by, t.first_throttled_at,
    t.last_throttled_at, t.longest_wait_ms, t.judged_until
  from candidates as c
  cross join lateral rate_limiter_internal.try_quota(
    c.app_id, c.config_id, since, until, (20000 / least(c.total, 100))::integer
  ) as t
  order by t.throttled_operations desc, c.name;
end;
$$;

comment on function rate_limiter_admin.shadow_report(timestamptz, timestamptz) is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'Who would have been throttled: every candidate quota (mode SHADOW) of your tenant, tried out '
  'on what its application was really admitted in a span of at most 31 days. 20,000 operations '
  'in all are decided again: where judgedUntil falls short, ask tryQuota to go on.';
grant execute on function rate_limiter_admin.shadow_report(timestamptz, timestamptz)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/shadow_report.sql
--! Included rate_limiter_admin/functions/borrow_tokens.sql
create or replace function rate_limiter_admin.borrow_tokens(
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  tokens numeric,
  duration interval,
  lender_owner_id uuid default null
)
returns rate_limiter.token_borrowing
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  new_borrowing_id uuid;
  borrowing rate_limiter.token_borrowing;
begin
  perform rate_limiter_internal.require_bucket_owner(owner_id, 'token', 'borrow');

  select b.borrowing_id
  into new_borrowing_id
  from rate_limiter_internal.borrow_tokens_at(
    clock_timestamp(), owner_id, bucket_type, tokens, duration, lender_owner_id
  ) as b;

  select b.* into borrowing
  from rate_limiter.token_borrowing as b
  where b.owner_id = borrow_tokens.owner_id and b.borrowing_id = new_borrowing_id;

  perform rate_limiter_internal.write_bucket_audit(
    'borrow', 'token_borrowing', new_borrowing_id, owner_id,
    jsonb_build_object(
      'bucket_type', bucket_type,
      'tokens', borrowing.tokens_borrowed::text,
      'repayment_tokens', borrowing.repayment_tokens::text,
      'lender_owner_id', lender_owner_id
    )
  );
  return borrowing;
end;
$$;

comment on function rate_limiter_admin.borrow_tokens(
  uuid, rate_limiter.bucket_type, numeric, interval, uuid
) is
  E'@resultFieldName borrowing\n'
  'Lends a bucket tokens for a time: from another application of the tenant, from the cluster, '
  'or without a lender from its own future. They are paid back with interest when due.';
grant execute on function rate_limiter_admin.borrow_tokens(
  uuid, rate_limiter.bucket_type, numeric, interval, uuid
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/borrow_tokens.sql
--! Included rate_limiter_admin/functions/repay_borrowing.sql
create or replace function rate_limiter_admin.repay_borrowing(owner_id uuid, borrowing_id uuid)
returns rate_limiter.token_borrowing
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  payment record;
  borrowing rate_limiter.token_borrowing;
begin
  perform rate_limiter_internal.require_bucket_owner(owner_id, 'token', 'borrow');

  select p.paid, p.owed, p.status
  into payment
  from rate_limiter_internal.repay_borrowing_at(
    clock_timestamp(), owner_id, borrowing_id
  ) as p;

  perform rate_limiter_internal.write_bucket_audit(
    'repay', 'token_borrowing', borrowing_id, owner_id,
    jsonb_build_object(
      'paid', payment.paid::text, 'owed', payment.owed::text, 'status', payment.status
    )
  );

  select b.* into borrowing
  from rate_limiter.token_borrowing as b
  where b.owner_id = repay_borrowing.owner_id and b.borrowing_id = repay_borrowing.borrowing_id;

  return borrowing;
end;
$$;

comment on function rate_limiter_admin.repay_borrowing(uuid, uuid) is
  E'@resultFieldName borrowing\n'
  'Pays a borrowing back with what its bucket holds now; the rest stays owed.';
grant execute on function rate_limiter_admin.repay_borrowing(uuid, uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/repay_borrowing.sql
--! Included rate_limiter_admin/functions/write_off_borrowing.sql
create or replace function rate_limiter_admin.write_off_borrowing(
  owner_id uuid,
  borrowing_id uuid,
  reason text
)
returns rate_limiter.token_borrowing
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  borrowing rate_limiter.token_borrowing;
begin
  perform rate_limiter_internal.require_bucket_owner(owner_id, 'token', 'adjust');
  perform rate_limiter_internal.require_reason(reason);
  perform rate_limiter_internal.cancel_borrowing_at(
    clock_timestamp(), owner_id, borrowing_id, reason
  );

  select b.* into borrowing
  from rate_limiter.token_borrowing as b
  where b.owner_id = write_off_borrowing.owner_id
    and b.borrowing_id = write_off_borrowing.borrowing_id;

  perform rate_limiter_internal.write_bucket_audit(
    'write_off', 'token_borrowing', borrowing_id, owner_id,
    jsonb_build_object(
      'owed', (borrowing.repayment_tokens - borrowing.repaid_tokens)::text, 'reason', reason
    )
  );
  return borrowing;
end;
$$;

comment on function rate_limiter_admin.write_off_borrowing(uuid, uuid, text) is
  E'@resultFieldName borrowing\n'
  'Forgives what is still owed of a borrowing; no token moves.';
grant execute on function rate_limiter_admin.write_off_borrowing(uuid, uuid, text)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/write_off_borrowing.sql
--! Included rate_limiter_admin/functions/adjust_tokens.sql
create or replace function rate_limiter_admin.adjust_tokens(
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  tokens_change numeric,
  reason text
)
returns numeric
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  tokens numeric;
begin
  perform rate_limiter_internal.require_bucket_owner(owner_id, 'token', 'adjust');
  tokens := rate_limiter_internal.adjust_tokens_at(
    clock_timestamp(), owner_id, bucket_type, tokens_change, reason
  );
  perform rate_limiter_internal.write_bucket_audit(
    'adjust', 'token_buckets', null, owner_id,
    jsonb_build_object(
      'bucket_type', bucket_type, 'tokens_change', tokens_change::text,
      'tokens', tokens::text, 'reason', reason
    )
  );
  return tokens;
end;
$$;

comment on function rate_limiter_admin.adjust_tokens(
  uuid, rate_limiter.bucket_type, numeric, text
) is
  E'@resultFieldName tokens\n'
  'Adds tokens to a bucket or takes them, by hand and with a reason; answers what it holds now.';
grant execute on function rate_limiter_admin.adjust_tokens(
  uuid, rate_limiter.bucket_type, numeric, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/adjust_tokens.sql
--! Included rate_limiter_admin/functions/acknowledge_alert.sql
create or replace function rate_limiter_admin.acknowledge_alert(history_id uuid)
returns rate_limiter.alert_history
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  found_alert rate_limiter.alert_history;
begin
  -- Whoever runs the operations or administers the applications takes care of alerts.
  if not rate_limiter_internal.may('application', 'update') then
    perform rate_limiter_internal.require_permission('system', 'monitor');
  end if;

  select h.*
  into found_alert
  from rate_limiter.alert_history as h
  join rate_limiter.applications as a on a.app_id = h.app_id
  where h.history_id = acknowledge_alert.history_id
    and (
      rate_limiter_internal.is_system_admin()
      or a.tenant_id = rate_limiter_internal.current_tenant_id()
    )
  for update of h;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown alert',
      detail = format('alert: %s', history_id),
      hint = 'Check the id: alerts of other tenants are not to be seen.';
  end if;

  if found_alert.acknowledged_at is not null then
    raise exception using
      errcode = 'QS409',
      message = 'alert is acknowledged already',
      detail = format('alert: %s', history_id),
      hint = 'Somebody takes care of it.';
  end if;

  update rate_limiter.alert_history as h
  set
    status = case h.status when 'triggered' then 'acknowledged' else h.status end,
    acknowledged_at = clock_timestamp(),
    acknowledged_by = rate_limiter_internal.current_user_id()
  where h.history_id = found_alert.history_id
    and h.triggered_at = found_alert.triggered_at
  returning h.* into found_alert;

  if found_alert.status = 'acknowledged' then
    perform rate_limiter_internal.add_alert_notices(
      found_alert.alert_id, found_alert.history_id, 'acknowledged'
    );
  end if;
  perform rate_limiter_internal.write_audit(
    'acknowledge', 'alert_history', history_id,
    rate_limiter_internal.tenant_of(jsonb_build_object('app_id', found_alert.app_id)),
    found_alert.app_id
  );
  return found_alert;
end;
$$;

comment on function rate_limiter_admin.acknowledge_alert(uuid) is
  E'@resultFieldName alert\n'
  'Says that somebody takes care of an alert. One that is resolved already stays resolved.';
grant execute on function rate_limiter_admin.acknowledge_alert(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/acknowledge_alert.sql
--! Included rate_limiter_admin/functions/assign_role.sql
create or replace function rate_limiter_admin.assign_role(
  user_id uuid,
  role text,
  expires_at timestamptz default null
)
returns rate_limiter.user_roles
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  assigned rate_limiter.user_roles;
begin
  perform rate_limiter_internal.require_manageable_user(assign_role.user_id);

  if expires_at <= clock_timestamp() then
    raise exception using
      errcode = 'QS422',
      message = 'role would already have expired',
      detail = format('expires at: %s', expires_at),
      hint = 'Give a moment in the future, or none.';
  end if;

  insert into rate_limiter.user_roles as ur (user_id, role_id, expires_at)
  values (
    assign_role.user_id,
    rate_limiter_internal.require_grantable_role(assign_role.role),
    assign_role.expires_at
  )
  on conflict on constraint user_role_unique do update
  set expires_at = excluded.expires_at
  returning ur.* into assigned;

  return assigned;
end;
$$;

comment on function rate_limiter_admin.assign_role(uuid, text, timestamptz) is
  E'@resultFieldName userRole\n'
  'Gives a user of your tenant a role, for good or until a moment. Nobody gives a role that '
  'allows more than their own do.';
grant execute on function rate_limiter_admin.assign_role(uuid, text, timestamptz)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/assign_role.sql
--! Included rate_limiter_admin/functions/expire_role.sql
create or replace function rate_limiter_admin.expire_role(user_id uuid, role text)
returns rate_limiter.user_roles
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  wanted_role_id uuid;
  expired rate_limiter.user_roles;
begin
  perform rate_limiter_internal.require_manageable_user(expire_role.user_id);
  wanted_role_id := rate_limiter_internal.require_grantable_role(expire_role.role);

  -- Two who take it from each other at once would leave nobody: one waits, and sees.
  if expire_role.role = 'system_admin' then
    perform
    from rate_limiter.user_roles as ur
    where ur.role_id = wanted_role_id
    order by ur.user_role_id
    for update;
  end if;

  update rate_limiter.user_roles as ur
  set expires_at = current_timestamp
  where ur.user_id = expire_role.user_id
    and ur.role_id = wanted_role_id
    and (ur.expires_at is null or ur.expires_at > current_timestamp)
  returning ur.* into expired;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'user does not hold this role',
      detail = format('user: %s, role: %s', expire_role.user_id, expire_role.role),
      hint = 'Perhaps it has expired already.';
  end if;

  -- Seen from inside this transaction: nobody could ever appoint the next one.
  if expire_role.role = 'system_admin' and not rate_limiter_private.has_administrator() then
    raise exception using
      errcode = 'QS409',
      message = 'last system administrator',
      detail = format('user: %s', expire_role.user_id),
      hint = 'Appoint another one first.';
  end if;

  return expired;
end;
$$;

comment on function rate_limiter_admin.expire_role(uuid, text) is
  E'@resultFieldName userRole\n'
  'Takes a role from a user of your tenant, from now on.';
grant execute on function rate_limiter_admin.expire_role(uuid, text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/expire_role.sql
--! Included rate_limiter_admin/functions/set_setting.sql
create or replace function rate_limiter_admin.set_setting(key text, value text)
returns rate_limiter.system_settings
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  setting rate_limiter.system_settings;
begin
  perform rate_limiter_internal.require_system_admin('system', 'configure');

  update rate_limiter.system_settings as s
  set value = set_setting.value
  where s.key = set_setting.key
  returning s.* into setting;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown setting',
      detail = format('key: %s', set_setting.key),
      hint = 'See systemSettings for those that there are.';
  end if;

  return setting;
end;
$$;

comment on function rate_limiter_admin.set_setting(text, text) is
  E'@resultFieldName setting\n'
  'Changes a setting of the whole system. A value that does not fit its type and bounds is '
  'refused.';
grant execute on function rate_limiter_admin.set_setting(text, text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/set_setting.sql
--! Included rate_limiter_admin/functions/viewer.sql
create or replace function rate_limiter_admin.viewer()
returns rate_limiter.users
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select u.*
  from rate_limiter.users as u
  where u.user_id = rate_limiter_internal.current_user_id();
$$;

comment on function rate_limiter_admin.viewer() is 'Who is signed in; null for nobody.';
grant execute on function rate_limiter_admin.viewer() to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/viewer.sql
--! Included rate_limiter_admin/functions/viewer_permissions.sql
create or replace function rate_limiter_admin.viewer_permissions()
returns setof text
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select p.resource || ':' || p.action
  from rate_limiter.permissions as p
  where rate_limiter_internal.may(p.resource, p.action)
  order by 1;
$$;

comment on function rate_limiter_admin.viewer_permissions() is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'What the signed-in user may do, such as quota:update: for what to show and what to hide.';
grant execute on function rate_limiter_admin.viewer_permissions() to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/viewer_permissions.sql
--! Included rate_limiter_admin/functions/why_throttled.sql
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
  buckets rate_limiter.token_buckets[];
  bucket rate_limiter.token_buckets;
  is_visible boolean;
begin
  perform rate_limiter_internal.require_application(app_id, 'quota', 'read');
  asked := rate_limiter_internal.operation_in_question(
    app_id, operation, size_bytes, at, reference_id
  );
  moment := asked.moment;

  buckets := array(
    select rate_limiter_internal.bucket_before(asked.moment, b)
    from rate_limiter.token_buckets as b
    join rate_limiter.applications as a on b.owner_id in (a.app_id, a.cluster_id)
    where a.app_id = why_throttled.app_id
    order by b.bucket_type, b.mode
  );

  foreach bucket in array buckets loop
    continue when bucket.capacity is null;
    layer := case when rate_limiter_internal.is_layer_1(bucket.bucket_type) then 1 else 2 end;
    bucket_type := bucket.bucket_type;
    mode := bucket.mode;
    charge := case when rate_limiter_internal.is_bandwidth(bucket.bucket_type)
      then asked.size_bytes_asked else asked.cost end;
    -- What the deciding bucket of layer 2 has drawn ahead pays for layer 1.
    if layer = 1 and mode = 'enforce' then
      charge := greatest(0, charge - (
        select coalesce(sum(b.allotment), 0)
        from unnest(buckets) as b
        where b.owner_id = why_throttled.app_id
          and b.mode = 'enforce'
          and rate_limiter_internal.is_bandwidth(b.bucket_type)
            = rate_limiter_internal.is_bandwidth(bucket.bucket_type)
      ));
    end if;

    select v.verdict, v.passes_at
    into verdict, passes_at
    from rate_limiter_internal.bucket_verdict(asked.moment, bucket, charge) as v;

    -- A cluster's bucket tells what all of its tenants do: whether it is short, and no more.
    is_visible := layer = 2 or rate_limiter_internal.is_system_admin();
    tokens := case when is_visible then bucket.current_tokens end;
    capacity := case when is_visible then bucket.capacity end;
    refill_rate := case when is_visible then bucket.refill_rate end;
    config_id := case when is_visible then bucket.config_id end;
    debt := case when is_visible then rate_limiter_internal.debt_of(
      asked.moment, bucket.owner_id, bucket.bucket_type
    ) end;
    version_id := case when is_visible then rate_limiter_internal.quota_version_of(
      bucket.config_id, asked.moment
    ) end;
    return next;
  end loop;
end;
$$;

comment on function rate_limiter_admin.why_throttled(
  uuid, text, bigint, timestamptz, text
) is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'Explains the decision on an operation at a moment (now where absent), or on one that was '
  'admitted under a reference: each bucket with what it held, what it was asked for, what it '
  'owes, the version of its quota, and when it could pay. verdict: enough, short or '
  'exceeds_capacity. Of a cluster''s buckets only a system administrator sees the balance.';
grant execute on function rate_limiter_admin.why_throttled(
  uuid, text, bigint, timestamptz, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/why_throttled.sql
--! Included rate_limiter_admin/functions/usage_over_time.sql
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
  unit constant text := resolution::text;
begin
  perform rate_limiter_internal.require_application(app_id, 'metrics', 'read');
  perform rate_limiter_internal.require_span(
    since, until, case resolution when 'hour' then interval '31 days' else interval '366 days' end
  );

  return query
  with used as (
    select
      date_trunc(unit, t.created_at, 'UTC') as starts_at,
      -sum(t.tokens_change) filter (where t.bucket_type = 'iops_l2') as tokens,
      -sum(t.tokens_change) filter (where t.bucket_type = 'bandwidth_l2') as bytes,
      count(*) as entries
    from rate_limiter.token_transactions as t
    where t.owner_id = usage_over_time.app_id
      and t.bucket_type in ('iops_l2', 'bandwidth_l2')
      and t.mode = 'enforce'
      and t.transaction_type in ('consume', 'lease', 'settle', 'refund')
      and t.created_at >= since
      and t.created_at < until
    group by 1
  ),
  denied as (
    select
      date_trunc(unit, d.minute, 'UTC') as starts_at,
      sum(d.operations) as operations,
      sum(d.tokens) as tokens,
      sum(d.bytes) as bytes
    from rate_limiter.denial_counts as d
    where d.app_id = usage_over_time.app_id
      and d.minute >= since
      and d.minute < until
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
  'UTC; steps without traffic are there too. Used is what was taken less what came back.';
grant execute on function rate_limiter_admin.usage_over_time(
  uuid, timestamptz, timestamptz, rate_limiter_admin.time_resolution
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/usage_over_time.sql
--! Included rate_limiter_admin/functions/top_consumers.sql
create or replace function rate_limiter_admin.top_consumers(
  since timestamptz,
  until timestamptz,
  bucket_type rate_limiter.bucket_type default 'iops_l2',
  max_rows integer default 10
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
as $$
declare
  everywhere constant boolean := rate_limiter_internal.is_system_admin();
  own_tenant_id constant uuid := rate_limiter_internal.current_tenant_id();
begin
  perform rate_limiter_internal.require_permission('metrics', 'read');
  perform rate_limiter_internal.require_span(since, until, interval '31 days');

  return query
  with used as (
    select a.app_id, a.name, a.tenant_id, -sum(t.tokens_change) as tokens
    from rate_limiter.applications as a
    join rate_limiter.token_transactions as t on t.owner_id = a.app_id
    where (everywhere or a.tenant_id = own_tenant_id)
      and t.bucket_type = top_consumers.bucket_type
      and t.mode = 'enforce'
      and t.transaction_type in ('consume', 'lease', 'settle', 'refund')
      and t.created_at >= since
      and t.created_at < until
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
      from rate_limiter.denial_counts as d
      where d.app_id = r.app_id
        and d.minute >= since
        and d.minute < until
    )
  from ranked as r
  join rate_limiter.tenants as tn on tn.tenant_id = r.tenant_id
  order by r.tokens desc, r.app_id;
end;
$$;

comment on function rate_limiter_admin.top_consumers(
  timestamptz, timestamptz, rate_limiter.bucket_type, integer
) is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'The applications of your tenant (of all, for a system administrator) that used most in a span '
  'of at most 31 days, with their share of what all of those used; at most 100.';
grant execute on function rate_limiter_admin.top_consumers(
  timestamptz, timestamptz, rate_limiter.bucket_type, integer
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/top_consumers.sql
--! Included rate_limiter_admin/functions/alert_channel.sql
create or replace function rate_limiter_admin.alert_channel()
returns text
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_permission('metrics', 'read');

  return case
    when rate_limiter_internal.is_system_admin() then 'rate_limiter_alerts'
    else 'rate_limiter_alerts_' || rate_limiter_internal.current_tenant_id()
  end;
end;
$$;

comment on function rate_limiter_admin.alert_channel() is
  E'@behavior -*\n'
  'Where the API hears of the alerts that the signed-in user may see.';
grant execute on function rate_limiter_admin.alert_channel() to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/alert_channel.sql
--! Included rate_limiter_admin/functions/export_metrics.sql
create or replace function rate_limiter_admin.export_metrics(
  since timestamptz,
  until timestamptz,
  app_id uuid default null,
  max_rows bigint default null
)
returns table (
  application_id uuid,
  application_name text,
  measured_at timestamptz,
  metric_name text,
  value double precision,
  unit text,
  tags jsonb
)
language sql
stable
parallel safe
as $$
  -- Neither a definer nor with settings of its own, so that it is inlined: rows reach a cursor one
  -- by one, and row-level security decides which.
  select
    m.app_id, a.name::text, m."timestamp", m.metric_name::text, m.value, m.unit::text, m.tags
  from rate_limiter.metrics as m
  join rate_limiter.applications as a on a.app_id = m.app_id
  where (select rate_limiter_internal.may('metrics', 'export'))
    and m."timestamp" >= export_metrics.since
    and m."timestamp" < export_metrics.until
    and (export_metrics.app_id is null or m.app_id = export_metrics.app_id)
  order by m.app_id, m."timestamp", m.metric_id
  limit export_metrics.max_rows;
$$;

comment on function rate_limiter_admin.export_metrics(
  timestamptz, timestamptz, uuid, bigint
) is
  E'@behavior -*\n'
  'Samples of a span of time for the export, by application and time.';
grant execute on function rate_limiter_admin.export_metrics(
  timestamptz, timestamptz, uuid, bigint
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/export_metrics.sql
--! Included rate_limiter_admin/functions/export_audit.sql
create or replace function rate_limiter_admin.export_audit(
  since timestamptz,
  until timestamptz,
  app_id uuid default null,
  max_rows bigint default null
)
returns setof rate_limiter_audit.audit_logs
language sql
stable
parallel safe
as $$
  -- Inlined, as export_metrics is.
  select l.*
  from rate_limiter_audit.audit_logs as l
  where (select rate_limiter_internal.may('audit', 'export'))
    and l.created_at >= export_audit.since
    and l.created_at < export_audit.until
    and (export_audit.app_id is null or l.app_id = export_audit.app_id)
  order by l.created_at, l.log_id
  limit export_audit.max_rows;
$$;

comment on function rate_limiter_admin.export_audit(
  timestamptz, timestamptz, uuid, bigint
) is
  E'@behavior -*\n'
  'Audit rows of a span of time for the export, oldest first.';
grant execute on function rate_limiter_admin.export_audit(
  timestamptz, timestamptz, uuid, bigint
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/export_audit.sql
--! Included rate_limiter_internal/functions/note_export.sql
create or replace function rate_limiter_internal.note_export(
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
as $$
begin
  perform rate_limiter_internal.require_permission(resource, 'export');
  perform rate_limiter_internal.require_span(since, until, interval '3660 days');

  if app_id is not null then
    perform rate_limiter_internal.require_application(app_id, resource, 'export');
  end if;

  perform rate_limiter_internal.write_audit(
    'export', resource, null, rate_limiter_internal.current_tenant_id(), app_id, null,
    jsonb_build_object('since', since, 'until', until)
  );
end;
$$;

comment on function rate_limiter_internal.note_export(text, timestamptz, timestamptz, uuid) is
  'Refuses who may not export metrics or audit rows, and notes in the audit who does.';
grant execute on function rate_limiter_internal.note_export(
  text, timestamptz, timestamptz, uuid
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/functions/note_export.sql
--! Included rate_limiter_admin/functions/begin_export.sql
create or replace function rate_limiter_admin.begin_export(
  resource text,
  since timestamptz,
  until timestamptz,
  app_id uuid,
  max_rows bigint
)
returns bigint
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
  total bigint;
begin
  perform rate_limiter_internal.note_export(resource, since, until, app_id);

  -- Counted one too far: then the caller knows that there are more.
  if resource = 'audit' then
    select count(*)
    into total
    from rate_limiter_admin.export_audit(since, until, app_id, max_rows + 1);
  else
    select count(*)
    into total
    from rate_limiter_admin.export_metrics(since, until, app_id, max_rows + 1);
  end if;

  return total;
end;
$$;

comment on function rate_limiter_admin.begin_export(
  text, timestamptz, timestamptz, uuid, bigint
) is
  E'@behavior -*\n'
  'Refuses who may not export (QS401, QS403), notes in the audit who does, and answers how many '
  'rows there are to come: max_rows + 1 where there are more than max_rows.';
grant execute on function rate_limiter_admin.begin_export(
  text, timestamptz, timestamptz, uuid, bigint
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/begin_export.sql
--! Included rate_limiter_internal/functions/notify_alert.sql
create or replace function rate_limiter_internal.notify_alert()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
  payload constant text := jsonb_build_object(
    'history_id', new.history_id, 'triggered_at', new.triggered_at
  )::text;
begin
  perform pg_notify('rate_limiter_alerts', payload);
  perform pg_notify('rate_limiter_alerts_' || a.tenant_id, payload)
  from rate_limiter.applications as a
  where a.app_id = new.app_id;
  return null;
end;
$$;

comment on function rate_limiter_internal.notify_alert() is
  'Trigger: tells the API that an alert was triggered, acknowledged or resolved, on a channel for '
  'each tenant and on one for system administrators.';
--! EndIncluded rate_limiter_internal/functions/notify_alert.sql

-- What clients and gateways keep copies of
--! Included rate_limiter/functions/cost_terms.sql
create or replace function rate_limiter.cost_terms(
  app_id uuid
)
returns table (
  operation text,
  c_base numeric,
  c_bw numeric,
  unit_quantum bigint,
  is_active boolean,
  valid_from timestamptz,
  valid_to timestamptz
)
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    o.name::text,
    coalesce(r.c_base_override, o.c_base),
    coalesce(r.c_bw_override, o.c_bw),
    o.unit_quantum,
    o.is_active,
    r.valid_from,
    r.valid_to
  from rate_limiter_internal.admission_of(cost_terms.app_id)
  cross join rate_limiter.operation_types as o
  cross join lateral (
    select null::numeric, null::numeric, null::timestamptz, null::timestamptz
    union all
    select c.c_base_override, c.c_bw_override, c.valid_from, c.valid_to
    from rate_limiter.cost_rules as c
    where c.app_id = cost_terms.app_id
      and c.operation_id = o.operation_id
      and c.is_active
      and (c.valid_to is null or c.valid_to > clock_timestamp())
  ) as r (c_base_override, c_bw_override, valid_from, valid_to)
  order by o.name, r.valid_from nulls first;
$$;

comment on function rate_limiter.cost_terms(uuid) is
  'What each operation costs an application, for those who compute costs themselves: one row '
  'without times, which holds whenever none of the rows of its cost rules, now or to come, does. '
  'Raises QS404 for an unknown application, QS403 for an inactive one or an inactive tenant.';
grant execute on function rate_limiter.cost_terms(uuid)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/cost_terms.sql
--! Included rate_limiter_internal/functions/limits_in_force_at.sql
create or replace function rate_limiter_internal.limits_in_force_at(
  at timestamptz,
  app_id uuid
)
returns jsonb
language sql
stable
parallel safe
as $$
  select jsonb_build_object(
    'cluster_id', admission.cluster_id,
    'changes_in_ms', trunc(extract(epoch from (
      min(terms.terms_until) filter (where isfinite(terms.terms_until)) - at
    )) * 1000),
    -- Text: a capacity can have more digits than a double.
    'limits', coalesce(
      jsonb_agg(
        jsonb_build_object(
          'bucket_type', b.bucket_type,
          'mode', b.mode,
          'method', terms.calculation_method,
          'capacity', terms.capacity::text,
          'refill_rate', terms.refill_rate::text,
          'window_seconds', terms.burst_duration_seconds
        )
        order by b.bucket_type, b.mode
      ) filter (where terms.capacity is not null),
      '[]'
    )
  )
  from rate_limiter_internal.admission_of(limits_in_force_at.app_id) as admission
  left join rate_limiter.token_buckets as b
    on b.owner_id in (limits_in_force_at.app_id, admission.cluster_id)
  left join lateral rate_limiter_internal.quota_terms_at(
    at, b.owner_id, b.bucket_type, b.mode
  ) as terms on b.owner_id is not null
  group by admission.cluster_id;
$$;

comment on function rate_limiter_internal.limits_in_force_at(timestamptz, uuid) is
  'limits_in_force() at a moment of the caller''s choice: for tests.';
--! EndIncluded rate_limiter_internal/functions/limits_in_force_at.sql
--! Included rate_limiter/functions/limits_in_force.sql
create or replace function rate_limiter.limits_in_force(
  app_id uuid
)
returns jsonb
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return rate_limiter_internal.limits_in_force_at(clock_timestamp(), app_id);
end;
$$;

comment on function rate_limiter.limits_in_force(uuid) is
  'What limits an application now, for those who spend leases: {"cluster_id", "changes_in_ms", '
  '"limits": [{"bucket_type", "mode", "method", "capacity", "refill_rate", "window_seconds"}]}. '
  'changes_in_ms: until the next change that is known, null for none. Raises QS404 for an '
  'unknown application, QS403 for an inactive one or an inactive tenant.';
grant execute on function rate_limiter.limits_in_force(uuid)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/limits_in_force.sql
--! Included rate_limiter_internal/functions/notify_change.sql
create or replace function rate_limiter_internal.notify_change()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  changed jsonb := to_jsonb(case when tg_op = 'DELETE' then old else new end);
  owner_id text := changed ->> tg_argv[1];
begin
  perform pg_notify(
    'rate_limiter_changes',
    json_build_object('kind', tg_argv[0], 'owner_id', owner_id)::text
  );
  return null;
end;
$$;

comment on function rate_limiter_internal.notify_change() is
  'Trigger: tells clients and gateways what they hold copies of has changed. Its arguments: the '
  'kind of the change, and the column that names whom it is about (none: everybody). One '
  'transaction tells the same only once.';
--! EndIncluded rate_limiter_internal/functions/notify_change.sql
--! Included rate_limiter_internal/functions/notify_quota_change.sql
create or replace function rate_limiter_internal.notify_quota_change()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- No row: the quota goes with its version, whose own trigger tells.
  perform pg_notify(
    'rate_limiter_changes',
    json_build_object('kind', 'quota', 'owner_id', c.owner_id)::text
  )
  from rate_limiter.quota_configs as c
  where c.config_id = case when tg_op = 'DELETE' then old.config_id else new.config_id end;
  return null;
end;
$$;

comment on function rate_limiter_internal.notify_quota_change() is
  'Trigger: tells clients and gateways that a quota of an application or a cluster has changed.';
--! EndIncluded rate_limiter_internal/functions/notify_quota_change.sql
--! Included rate_limiter_internal/functions/notify_tenant_change.sql
create or replace function rate_limiter_internal.notify_tenant_change()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_notify(
    'rate_limiter_changes',
    json_build_object('kind', 'application', 'owner_id', a.app_id)::text
  )
  from rate_limiter.applications as a
  where a.tenant_id = new.tenant_id;
  return null;
end;
$$;

comment on function rate_limiter_internal.notify_tenant_change() is
  'Trigger: tells clients and gateways that the applications of a tenant are served again, or '
  'no longer.';
--! EndIncluded rate_limiter_internal/functions/notify_tenant_change.sql

-- Metrics: what comes in, and what is made of it
--! Included rate_limiter_internal/functions/number_problem.sql
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
  when (sample ->> field)::numeric not between 0 and maximum
    then field || ' is out of bounds'
  when is_whole and (sample ->> field)::numeric % 1 <> 0 then field || ' is not whole'
end;

comment on function rate_limiter_internal.number_problem(jsonb, text, numeric, boolean) is
  'What is wrong with a field that may be absent, and else is a number from 0 to the maximum.';
--! EndIncluded rate_limiter_internal/functions/number_problem.sql
--! Included rate_limiter_internal/functions/sample_problem.sql
create or replace function rate_limiter_internal.sample_problem(
  sample jsonb,
  not_before timestamptz,
  not_after timestamptz
)
returns text
language sql
stable
parallel restricted
as $$
  select case
    when jsonb_typeof(sample) is distinct from 'object' then 'sample is not an object'
    when measured.at is null then 'timestamp is not a moment with an offset'
    when measured.at < not_before then 'timestamp is older than metrics are kept'
    when measured.at > not_after then 'timestamp is in the future'
    when sample ->> 'metric_id' !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      then 'metric_id is not a UUID'
    when jsonb_typeof(sample -> 'tags') not in ('object', 'null') then 'tags is not an object'
  end
  from (
    select rate_limiter_internal.moment_or_null(sample ->> 'timestamp')
  ) as measured (at);
$$;

comment on function rate_limiter_internal.sample_problem(jsonb, timestamptz, timestamptz) is
  'What is wrong with the fields that samples of every kind share; null if nothing is.';
--! EndIncluded rate_limiter_internal/functions/sample_problem.sql
--! Included rate_limiter_internal/functions/metric_problem.sql
create or replace function rate_limiter_internal.metric_problem(sample jsonb)
returns text
language sql
immutable
parallel safe
return case
  when coalesce(jsonb_typeof(sample -> 'metric_name'), '') <> 'string'
    or sample ->> 'metric_name' !~ '\S'
    or length(sample ->> 'metric_name') > 255
    then 'metric_name is not of 1 to 255 characters'
  -- A caller could otherwise write the system's own numbers, which alerts rely on.
  when starts_with(sample ->> 'metric_name', 'qos_') then 'metric_name begins with qos_'
  when coalesce(jsonb_typeof(sample -> 'value'), '') <> 'number' then 'value is not a number'
  when abs((sample ->> 'value')::numeric) > 1e308 then 'value is out of bounds'
  -- Too small for a double: casting it would fail.
  when (sample ->> 'value')::numeric <> 0 and abs((sample ->> 'value')::numeric) < 1e-300
    then 'value is out of bounds'
  when length(sample ->> 'unit') > 50 then 'unit is longer than 50 characters'
end;

comment on function rate_limiter_internal.metric_problem(jsonb) is
  'What is wrong with a sample for metrics; null if nothing is.';
--! EndIncluded rate_limiter_internal/functions/metric_problem.sql
--! Included rate_limiter_internal/functions/iops_metric_problem.sql
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
--! EndIncluded rate_limiter_internal/functions/iops_metric_problem.sql
--! Included rate_limiter_internal/functions/bandwidth_metric_problem.sql
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
--! EndIncluded rate_limiter_internal/functions/bandwidth_metric_problem.sql
--! Included rate_limiter_internal/functions/check_samples.sql
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
  'Raises QS422 for what is no batch of samples.';
--! EndIncluded rate_limiter_internal/functions/check_samples.sql
--! Included rate_limiter_internal/functions/sample_id.sql
create or replace function rate_limiter_internal.sample_id(sample jsonb)
returns uuid
language sql
immutable
parallel safe
return coalesce((sample ->> 'metric_id')::uuid, md5(sample::text)::uuid);

comment on function rate_limiter_internal.sample_id(jsonb) is
  'What tells a sample apart: its metric_id, or its content where it has none.';
--! EndIncluded rate_limiter_internal/functions/sample_id.sql
--! Included rate_limiter/functions/record_metrics.sql
create or replace function rate_limiter.record_metrics(app_id uuid, samples jsonb)
returns setof rate_limiter.rejected_sample
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  at constant timestamptz := clock_timestamp();
  oldest constant timestamptz := at - rate_limiter_internal.retention_period('raw_metrics');
begin
  perform rate_limiter_internal.check_samples(samples);
  perform rate_limiter_internal.admission_of(app_id);

  return query
  with judged as materialized (
    select
      e.sample,
      e.place::integer as place,
      coalesce(
        rate_limiter_internal.sample_problem(e.sample, oldest, at + interval '5 minutes'),
        rate_limiter_internal.metric_problem(e.sample)
      ) as problem
    from jsonb_array_elements(samples) with ordinality as e (sample, place)
  ),
  stored as (
    insert into rate_limiter.metrics
      (app_id, "timestamp", metric_id, tags, metric_name, value, unit)
    select
      record_metrics.app_id,
      rate_limiter_internal.moment_or_null(j.sample ->> 'timestamp'),
      rate_limiter_internal.sample_id(j.sample),
      coalesce(nullif(j.sample -> 'tags', 'null'), '{}'),
      j.sample ->> 'metric_name',
      (j.sample ->> 'value')::numeric::double precision,
      j.sample ->> 'unit'
    from judged as j
    where j.problem is null
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

comment on function rate_limiter.record_metrics(uuid, jsonb) is
  'Stores up to 1000 samples: [{"timestamp": "2026-01-01T00:00:00Z", "metric_name": "queue_depth", '
  '"value": 7, "unit": "requests", "tags": {}, "metric_id": "…"}], the last three as wanted. '
  'What is wrong with one keeps the others from nothing: it is answered by its position. A sample '
  'sent again is stored once. Raises QS404, QS403 as consume(), QS422 for what is no batch.';
grant execute on function rate_limiter.record_metrics(uuid, jsonb) to rate_limiter_app;
--! EndIncluded rate_limiter/functions/record_metrics.sql
--! Included rate_limiter/functions/record_iops_metrics.sql
create or replace function rate_limiter.record_iops_metrics(app_id uuid, samples jsonb)
returns setof rate_limiter.rejected_sample
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  at constant timestamptz := clock_timestamp();
  oldest constant timestamptz := at - rate_limiter_internal.retention_period('raw_metrics');
begin
  perform rate_limiter_internal.check_samples(samples);
  perform rate_limiter_internal.admission_of(app_id);

  return query
  with judged as materialized (
    select
      e.sample,
      e.place::integer as place,
      coalesce(
        rate_limiter_internal.sample_problem(e.sample, oldest, at + interval '5 minutes'),
        rate_limiter_internal.iops_metric_problem(e.sample)
      ) as problem
    from jsonb_array_elements(samples) with ordinality as e (sample, place)
  ),
  stored as (
    insert into rate_limiter.iops_metrics
      (app_id, "timestamp", metric_id, tags, read_ops, write_ops, error_count,
       avg_latency_ms, p95_latency_ms, p99_latency_ms)
    select
      record_iops_metrics.app_id,
      rate_limiter_internal.moment_or_null(j.sample ->> 'timestamp'),
      rate_limiter_internal.sample_id(j.sample),
      coalesce(nullif(j.sample -> 'tags', 'null'), '{}'),
      coalesce((j.sample ->> 'read_ops')::numeric::integer, 0),
      coalesce((j.sample ->> 'write_ops')::numeric::integer, 0),
      coalesce((j.sample ->> 'error_count')::numeric::integer, 0),
      (j.sample ->> 'avg_latency_ms')::numeric,
      (j.sample ->> 'p95_latency_ms')::numeric,
      (j.sample ->> 'p99_latency_ms')::numeric
    from judged as j
    where j.problem is null
    on conflict do nothing
  )
  select j.place, j.problem
  from judged as j
  where j.problem is not null
  order by j.place;
end;
$$;

comment on function rate_limiter.record_iops_metrics(uuid, jsonb) is
  'Stores up to 1000 samples of a gateway, as record_metrics() does: timestamp (the end of the '
  'interval), and as known read_ops, write_ops, error_count, avg_latency_ms, p95_latency_ms, '
  'p99_latency_ms, tags, metric_id. Answers the samples that were wrong, by position.';
grant execute on function rate_limiter.record_iops_metrics(uuid, jsonb) to rate_limiter_app;
--! EndIncluded rate_limiter/functions/record_iops_metrics.sql
--! Included rate_limiter/functions/record_bandwidth_metrics.sql
create or replace function rate_limiter.record_bandwidth_metrics(app_id uuid, samples jsonb)
returns setof rate_limiter.rejected_sample
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  at constant timestamptz := clock_timestamp();
  oldest constant timestamptz := at - rate_limiter_internal.retention_period('raw_metrics');
begin
  perform rate_limiter_internal.check_samples(samples);
  perform rate_limiter_internal.admission_of(app_id);

  return query
  with judged as materialized (
    select
      e.sample,
      e.place::integer as place,
      coalesce(
        rate_limiter_internal.sample_problem(e.sample, oldest, at + interval '5 minutes'),
        rate_limiter_internal.bandwidth_metric_problem(e.sample)
      ) as problem
    from jsonb_array_elements(samples) with ordinality as e (sample, place)
  ),
  stored as (
    insert into rate_limiter.bandwidth_metrics
      (app_id, "timestamp", metric_id, tags, bytes_read, bytes_written,
       avg_throughput_mbps, peak_throughput_mbps, connection_count)
    select
      record_bandwidth_metrics.app_id,
      rate_limiter_internal.moment_or_null(j.sample ->> 'timestamp'),
      rate_limiter_internal.sample_id(j.sample),
      coalesce(nullif(j.sample -> 'tags', 'null'), '{}'),
      coalesce((j.sample ->> 'bytes_read')::numeric::bigint, 0),
      coalesce((j.sample ->> 'bytes_written')::numeric::bigint, 0),
      (j.sample ->> 'avg_throughput_mbps')::numeric,
      (j.sample ->> 'peak_throughput_mbps')::numeric,
      coalesce((j.sample ->> 'connection_count')::numeric::integer, 0)
    from judged as j
    where j.problem is null
    on conflict do nothing
  )
  select j.place, j.problem
  from judged as j
  where j.problem is not null
  order by j.place;
end;
$$;

comment on function rate_limiter.record_bandwidth_metrics(uuid, jsonb) is
  'Stores up to 1000 samples of a gateway, as record_metrics() does: timestamp (the end of the '
  'interval), and as known bytes_read, bytes_written, avg_throughput_mbps, peak_throughput_mbps, '
  'connection_count, tags, metric_id. Answers the samples that were wrong, by position.';
grant execute on function rate_limiter.record_bandwidth_metrics(uuid, jsonb) to rate_limiter_app;
--! EndIncluded rate_limiter/functions/record_bandwidth_metrics.sql
--! Included rate_limiter_internal/functions/system_metrics.sql
create or replace function rate_limiter_internal.system_metrics(
  from_time timestamptz,
  to_time timestamptz
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
      sum(coalesce((t.metadata ->> 'operations')::bigint, 1)) as operations,
      abs(sum(t.tokens_change)) as amount
    from rate_limiter.token_transactions as t
    where t.created_at >= from_time
      and t.created_at < to_time
      and t.mode = 'enforce'
      and t.bucket_type in ('iops_l2', 'bandwidth_l2')
    group by 1, 2, 3, 4
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
    from rate_limiter.denial_counts as d
    cross join lateral (values (''), ('_' || d.reason)) as suffix (name)
    where d.minute >= from_time and d.minute < to_time
    group by d.app_id, d.minute, suffix.name
    union all
    select l.app_id, date_trunc('minute', l.granted_at, 'UTC'), 'qos_leases_granted', count(*)
    from rate_limiter.token_leases as l
    where l.granted_at >= from_time and l.granted_at < to_time
    group by 1, 2
    union all
    select b.owner_id, date_trunc('minute', b.borrowed_at, 'UTC'), 'qos_borrowings', count(*)
    from rate_limiter.token_borrowing as b
    where b.borrowed_at >= from_time
      and b.borrowed_at < to_time
      and b.bucket_type in ('iops_l2', 'bandwidth_l2')
    group by 1, 2
  )
  select n.app_id, n.minute, n.metric_name, n.value
  from numbers as n
  join rate_limiter.applications as a on a.app_id = n.app_id;
$$;

comment on function rate_limiter_internal.system_metrics(timestamptz, timestamptz) is
  'What the system did for each application in each minute of a span, from the ledger and the '
  'counts of denials. Only what is not zero.';
--! EndIncluded rate_limiter_internal/functions/system_metrics.sql
--! Included rate_limiter_internal/functions/bucket_fill.sql
create or replace function rate_limiter_internal.bucket_fill(at timestamptz)
returns table (app_id uuid, metric_name text, value numeric)
language sql
stable
parallel safe
as $$
  select
    state.app_id,
    'qos_bucket_fill_' || case state.bucket_type when 'iops_l2' then 'iops' else 'bandwidth' end,
    round((state.bucket).current_tokens / (state.bucket).capacity * 100, 2)
  from (
    select a.app_id, b.bucket_type, now.bucket
    from rate_limiter.token_buckets as b
    join rate_limiter.applications as a on a.app_id = b.owner_id
    cross join lateral rate_limiter_internal.bucket_at(bucket_fill.at, b) as now
    where a.is_active
      and b.mode = 'enforce'
      and b.bucket_type in ('iops_l2', 'bandwidth_l2')
      -- One that nobody has drawn on for an hour is worth a look only if somebody watches it.
      and (
        b.updated_at > bucket_fill.at - interval '1 hour'
        or exists (
          select
          from rate_limiter.alert_configs as c
          where c.app_id = a.app_id
            and c.is_active
            and starts_with(c.metric_name, 'qos_bucket_fill_')
        )
      )
  ) as state
  where (state.bucket).capacity > 0;
$$;

comment on function rate_limiter_internal.bucket_fill(timestamptz) is
  'How full the applications'' buckets are at a moment, in percent.';
--! EndIncluded rate_limiter_internal/functions/bucket_fill.sql
--! Included rate_limiter_private/functions/record_system_metrics.sql
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
begin
  if not pg_try_advisory_xact_lock(hashtext('rate_limiter_system_metrics')) then
    return 0;
  end if;

  select least(p.done_until, this_minute)
  into done_until
  from rate_limiter_private.job_progress as p
  where p.job = 'record_system_metrics';
  done_until := coalesce(done_until, this_minute - interval '1 hour');
  to_time := least(this_minute, done_until + make_interval(mins => batch_minutes));

  with spans as (
    -- Two minutes once more: the last transactions of the minute before may have been open. And
    -- every minute for which a session handed in its denials late.
    select done_until - interval '2 minutes' as from_time, to_time
    union
    select d.minute, d.minute + interval '1 minute'
    from rate_limiter.denial_counts as d
    where d.recorded_at >= done_until - interval '2 minutes'
      and d.minute < done_until - interval '2 minutes'
  ),
  numbers as (
    select s.app_id, s.minute + interval '1 minute' as taken_at, s.metric_name, s.value
    from spans
    cross join lateral rate_limiter_internal.system_metrics(spans.from_time, spans.to_time) as s
    union all
    select f.app_id, this_minute, f.metric_name, f.value
    from rate_limiter_internal.bucket_fill(at) as f
    where to_time = this_minute
    union all
    -- What was not zero within the last hour is so now: without a sample no alert would end.
    select recent.app_id, minute.taken_at, recent.metric_name, 0
    from (
      select distinct m.app_id, m.metric_name
      from rate_limiter.metrics as m
      where m."timestamp" > done_until - interval '1 hour'
        and m."timestamp" <= this_minute
        and starts_with(m.metric_name, 'qos_')
        and not starts_with(m.metric_name, 'qos_bucket_fill_')
        and m.value <> 0
    ) as recent
    cross join generate_series(
      done_until + interval '1 minute', to_time, interval '1 minute'
    ) as minute (taken_at)
  ),
  stored as (
    insert into rate_limiter.metrics as m
      (app_id, "timestamp", metric_id, metric_name, value, unit)
    select
      n.app_id, n.taken_at, md5(n.metric_name)::uuid, n.metric_name, sum(n.value),
      case
        when n.metric_name like '%_tokens' then 'tokens'
        when n.metric_name like '%_bytes' then 'bytes'
        when n.metric_name like 'qos_bucket_fill_%' then 'percent'
      end
    from numbers as n
    group by n.app_id, n.taken_at, n.metric_name
    on conflict (app_id, "timestamp", metric_id) do update
    set value = excluded.value
    where m.value <> excluded.value
    returning m.app_id, m.metric_name, m."timestamp"
  )
  insert into rate_limiter_private.metric_changes (grain, app_id, metric_name, bucket)
  select distinct 'hour', s.app_id, s.metric_name, date_trunc('hour', s."timestamp", 'UTC')
  from stored as s;

  insert into rate_limiter_private.job_progress (job, done_until)
  values ('record_system_metrics', to_time)
  on conflict (job) do update set done_until = excluded.done_until;

  return extract(epoch from to_time - done_until) / 60;
end;
$$;

comment on function rate_limiter_private.record_system_metrics(timestamptz, integer) is
  'Job: writes the system''s own numbers into metrics (names begin with qos_), by application '
  'and minute, stamped with the minute''s end; how full each bucket is, at the current minute. '
  'Goes on where the last run ended, at most batch_minutes further, and answers how many minutes '
  'that were. Running twice changes nothing.';
grant execute on function rate_limiter_private.record_system_metrics(timestamptz, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/record_system_metrics.sql
--! Included rate_limiter_internal/functions/aggregate_hours.sql
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
  insert into rate_limiter.metrics_hourly (
    app_id, metric_name, bucket, avg_value, min_value, max_value, median_value, p95_value,
    p99_value, sample_count
  )
  select
    m.app_id,
    m.metric_name,
    c.bucket,
    -- In the order of the values: a sum of doubles depends on it.
    avg(m.value order by m.value),
    min(m.value),
    max(m.value),
    percentile_cont(0.5) within group (order by m.value),
    percentile_cont(0.95) within group (order by m.value),
    percentile_cont(0.99) within group (order by m.value),
    count(*)
  from unnest(app_ids, metric_names, buckets) as c (app_id, metric_name, bucket)
  join rate_limiter.metrics as m
    on m.app_id = c.app_id
    and m.metric_name = c.metric_name
    and m."timestamp" >= c.bucket
    and m."timestamp" < c.bucket + interval '1 hour'
  group by m.app_id, m.metric_name, c.bucket
  on conflict (app_id, metric_name, bucket) do update
  set
    avg_value = excluded.avg_value,
    min_value = excluded.min_value,
    max_value = excluded.max_value,
    median_value = excluded.median_value,
    p95_value = excluded.p95_value,
    p99_value = excluded.p99_value,
    sample_count = excluded.sample_count;
$$;

comment on function rate_limiter_internal.aggregate_hours(uuid[], text[], timestamptz[]) is
  'Aggregates these hours anew from all their samples. One without samples keeps what it has.';
--! EndIncluded rate_limiter_internal/functions/aggregate_hours.sql
--! Included rate_limiter_internal/functions/aggregate_days.sql
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
  insert into rate_limiter.metrics_daily (
    app_id, metric_name, bucket, avg_value, min_value, max_value, median_value, p95_value,
    p99_value, sample_count
  )
  select
    m.app_id,
    m.metric_name,
    c.bucket,
    -- In the order of the values: a sum of doubles depends on it.
    avg(m.value order by m.value),
    min(m.value),
    max(m.value),
    percentile_cont(0.5) within group (order by m.value),
    percentile_cont(0.95) within group (order by m.value),
    percentile_cont(0.99) within group (order by m.value),
    count(*)
  from unnest(app_ids, metric_names, buckets) as c (app_id, metric_name, bucket)
  join rate_limiter.metrics as m
    on m.app_id = c.app_id
    and m.metric_name = c.metric_name
    and m."timestamp" >= c.bucket
    and m."timestamp" < c.bucket + interval '24 hours'
  group by m.app_id, m.metric_name, c.bucket
  on conflict (app_id, metric_name, bucket) do update
  set
    avg_value = excluded.avg_value,
    min_value = excluded.min_value,
    max_value = excluded.max_value,
    median_value = excluded.median_value,
    p95_value = excluded.p95_value,
    p99_value = excluded.p99_value,
    sample_count = excluded.sample_count;
$$;

comment on function rate_limiter_internal.aggregate_days(uuid[], text[], timestamptz[]) is
  'Aggregates these days anew from all their samples. One without samples keeps what it has.';
--! EndIncluded rate_limiter_internal/functions/aggregate_days.sql
--! Included rate_limiter_private/functions/aggregate_metrics.sql
create or replace function rate_limiter_private.aggregate_metrics(
  grain text,
  batch_size integer default 500
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
begin
  -- One at a time: of two that aggregate the same hour, the one that read first might write last.
  if not pg_try_advisory_xact_lock(hashtext('rate_limiter_aggregates')) then
    return 0;
  end if;

  with changes as (
    select distinct c.app_id, c.metric_name, c.bucket
    from rate_limiter_private.metric_changes as c
    where c.grain = aggregate_metrics.grain
    order by c.app_id, c.metric_name, c.bucket
    limit batch_size
  ),
  taken as (
    delete from rate_limiter_private.metric_changes as c
    using changes as k
    where c.grain = aggregate_metrics.grain
      and c.app_id = k.app_id
      and c.metric_name = k.metric_name
      and c.bucket = k.bucket
  )
  select
    count(*)::integer as number,
    array_agg(k.app_id) as app_ids,
    array_agg(k.metric_name::text) as metric_names,
    array_agg(k.bucket) as buckets
  into changed
  from changes as k;

  -- A statement of its own: it sees every sample whose mark was taken above.
  if changed.number = 0 then
    return 0;
  elsif grain = 'hour' then
    perform rate_limiter_internal.aggregate_hours(
      changed.app_ids, changed.metric_names, changed.buckets
    );
    insert into rate_limiter_private.metric_changes (grain, app_id, metric_name, bucket)
    select distinct 'day', c.app_id, c.metric_name, date_trunc('day', c.bucket, 'UTC')
    from unnest(changed.app_ids, changed.metric_names, changed.buckets)
      as c (app_id, metric_name, bucket);
  else
    perform rate_limiter_internal.aggregate_days(
      changed.app_ids, changed.metric_names, changed.buckets
    );
  end if;
  return changed.number;
end;
$$;

comment on function rate_limiter_private.aggregate_metrics(text, integer) is
  'Job: brings up to batch_size rows of metrics_hourly (grain hour) or metrics_daily (grain day) '
  'up to date that got samples since, however late; answers how many. Call it until it answers '
  'less than batch_size.';
grant execute on function rate_limiter_private.aggregate_metrics(text, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/aggregate_metrics.sql
--! Included rate_limiter_private/functions/mark_for_aggregation.sql
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
    from rate_limiter.metrics as m
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
--! EndIncluded rate_limiter_private/functions/mark_for_aggregation.sql

-- Alerts
--! Included rate_limiter_internal/functions/channel_problem.sql
create or replace function rate_limiter_internal.channel_problem(channel jsonb)
returns text
language sql
immutable
parallel safe
as $$
  with allowed (kind, fields) as (
    values
      ('log', array['channel', 'events']),
      ('webhook', array['channel', 'events', 'url', 'secret']),
      ('slack', array['channel', 'events', 'url']),
      ('email', array['channel', 'events', 'to'])
  )
  select case
    when jsonb_typeof(channel) is distinct from 'object' then 'channel is not an object'
    when not exists (select from allowed as a where to_jsonb(a.kind) = channel -> 'channel')
      then 'channel is not webhook, slack, email or log'
    when exists (
      select
      from jsonb_object_keys(channel) as f (field)
      where f.field <> all (
        select unnest(a.fields) from allowed as a where a.kind = channel ->> 'channel'
      )
    )
      then 'channel has a field that it does not take'
    when channel ? 'events' and (
      jsonb_typeof(channel -> 'events') <> 'array'
      or not channel -> 'events' <@ '["triggered", "acknowledged", "resolved"]'
    )
      then 'events are not of triggered, acknowledged and resolved'
    when channel ->> 'channel' in ('webhook', 'slack') and (
      coalesce(jsonb_typeof(channel -> 'url'), '') <> 'string'
      -- No user and password before the host: they would end up in logs.
      or channel ->> 'url' !~ '^https?://[^\s/@]+(/\S*)?$'
      or length(channel ->> 'url') > 2048
    )
      then 'url is not an http or https URL'
    when channel ? 'secret' and (
      jsonb_typeof(channel -> 'secret') <> 'string'
      or length(channel ->> 'secret') not between 16 and 256
    )
      then 'secret is not of 16 to 256 characters'
    when channel ->> 'channel' = 'email' and (
      coalesce(jsonb_typeof(channel -> 'to'), '') <> 'array'
      or jsonb_array_length(channel -> 'to') not between 1 and 20
      or exists (
        select
        from jsonb_array_elements(channel -> 'to') as t (address)
        where jsonb_typeof(t.address) <> 'string'
          or t.address #>> '{}' !~ '^[^\s@,;<>"]+@[^\s@,;<>"]+$'
          or length(t.address #>> '{}') > 254
      )
    )
      then 'to is not a list of 1 to 20 addresses'
  end;
$$;

comment on function rate_limiter_internal.channel_problem(jsonb) is
  'What is wrong with one channel of an alert; null if nothing is.';
--! EndIncluded rate_limiter_internal/functions/channel_problem.sql
--! Included rate_limiter_internal/functions/notification_channels.sql
create or replace function rate_limiter_internal.notification_channels(config jsonb)
returns table (channel_number integer, channel jsonb)
language sql
immutable
parallel safe
as $$
  select c.number::integer, c.channel
  from jsonb_array_elements(
    case
      when config ? 'channels' then config -> 'channels'
      when config ? 'channel' then jsonb_build_array(config)
      else '[]'
    end
  ) with ordinality as c (channel, number);
$$;

comment on function rate_limiter_internal.notification_channels(jsonb) is
  'The channels of a notification_config, which is one channel, {"channels": […]}, or {} for '
  'none.';
--! EndIncluded rate_limiter_internal/functions/notification_channels.sql
--! Included rate_limiter_internal/functions/notification_problem.sql
create or replace function rate_limiter_internal.notification_problem(config jsonb)
returns text
language plpgsql
immutable
parallel safe
as $$
begin
  if jsonb_typeof(config) is distinct from 'object' then
    return 'not an object';
  elsif config ? 'channels' and (
    config - 'channels' <> '{}' or jsonb_typeof(config -> 'channels') <> 'array'
  ) then
    return 'channels is not a list, or is not alone';
  elsif config <> '{}' and not config ? 'channels' and not config ? 'channel' then
    return 'neither a channel nor channels';
  end if;

  return (
    select case
      when count(*) > 20 then 'more than 20 channels'
      else min(format(
        'channel %s: %s',
        c.channel_number, rate_limiter_internal.channel_problem(c.channel)
      )) filter (where rate_limiter_internal.channel_problem(c.channel) is not null)
    end
    from rate_limiter_internal.notification_channels(config) as c
  );
end;
$$;

comment on function rate_limiter_internal.notification_problem(jsonb) is
  'What is wrong with the notification_config of an alert; null if nothing is.';
--! EndIncluded rate_limiter_internal/functions/notification_problem.sql
--! Included rate_limiter_internal/functions/check_notification.sql
create or replace function rate_limiter_internal.check_notification()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  problem constant text := rate_limiter_internal.notification_problem(new.notification_config);
begin
  if problem is null then
    return new;
  end if;

  raise exception using
    errcode = 'QS422',
    message = 'notification config does not fit',
    detail = problem,
    hint = 'One channel such as {"channel": "webhook", "url": "https://…"}, or {"channels": […]}.';
end;
$$;

comment on function rate_limiter_internal.check_notification() is
  'Trigger: refuses an alert whose notices could not be delivered (QS422).';
--! EndIncluded rate_limiter_internal/functions/check_notification.sql
--! Included rate_limiter_internal/functions/alert_holds.sql
create or replace function rate_limiter_internal.alert_holds(
  value double precision,
  condition text,
  threshold_value double precision
)
returns boolean
language sql
immutable
parallel safe
return case condition
  when '>' then value > threshold_value
  when '<' then value < threshold_value
  when '>=' then value >= threshold_value
  when '<=' then value <= threshold_value
  when '=' then value = threshold_value
  when '!=' then value <> threshold_value
end;

comment on function rate_limiter_internal.alert_holds(
  double precision, text, double precision
) is 'Whether a sample meets the condition of an alert.';
--! EndIncluded rate_limiter_internal/functions/alert_holds.sql
--! Included rate_limiter_internal/functions/judged_alerts.sql
create or replace function rate_limiter_internal.judged_alerts(at timestamptz)
returns table (
  alert_id uuid,
  every_sample_holds boolean,
  latest_holds boolean,
  latest_value double precision
)
language sql
stable
parallel safe
as $$
  select
    c.alert_id, samples.every_one_holds, samples.latest_holds, samples.latest_value
  from rate_limiter.alert_configs as c
  join rate_limiter.applications as a on a.app_id = c.app_id
  cross join lateral (
    select
      bool_and(judged.holds) as every_one_holds,
      (array_agg(judged.holds order by judged."timestamp" desc, judged.metric_id))[1]
        as latest_holds,
      (array_agg(judged.value order by judged."timestamp" desc, judged.metric_id))[1]
        as latest_value
    from (
      select
        m."timestamp", m.metric_id, m.value,
        rate_limiter_internal.alert_holds(m.value, c.condition, c.threshold_value) as holds
      from rate_limiter.metrics as m
      where m.app_id = c.app_id
        and m.metric_name = c.metric_name
        and m."timestamp" > judged_alerts.at - make_interval(secs => c.duration_seconds)
        and m."timestamp" <= judged_alerts.at
    ) as judged
  ) as samples
  where c.is_active and a.is_active;
$$;

comment on function rate_limiter_internal.judged_alerts(timestamptz) is
  'What the samples of its window say of each active alert; nulls where there are none.';
--! EndIncluded rate_limiter_internal/functions/judged_alerts.sql
--! Included rate_limiter_internal/functions/add_alert_notices.sql
create or replace function rate_limiter_internal.add_alert_notices(
  alert_id uuid,
  history_id uuid,
  event text
)
returns integer
language plpgsql
volatile
parallel unsafe
as $$
declare
  notice_ids uuid[];
begin
  with occurrence as (
    select
      c.alert_id, c.app_id, c.notification_config,
      jsonb_build_object(
        'alert', jsonb_build_object(
          'id', c.alert_id,
          'metric', c.metric_name,
          'condition', c.condition,
          'threshold', h.threshold_value,
          'duration_seconds', c.duration_seconds,
          'severity', c.severity
        ),
        'application', jsonb_build_object('id', a.app_id, 'name', a.name),
        'occurrence', h.history_id,
        'value', h.actual_value,
        'description', h.description,
        'triggered_at', h.triggered_at,
        'acknowledged_at', h.acknowledged_at,
        'resolved_at', h.resolved_at
      ) as content
    from rate_limiter.alert_history as h
    join rate_limiter.alert_configs as c on c.alert_id = h.alert_id
    join rate_limiter.applications as a on a.app_id = c.app_id
    where h.alert_id = add_alert_notices.alert_id
      and h.history_id = add_alert_notices.history_id
  ),
  added as (
    insert into rate_limiter.alert_notices as n
      (app_id, alert_id, history_id, event, channel_number, channel, content)
    select
      o.app_id, o.alert_id, add_alert_notices.history_id, add_alert_notices.event,
      c.channel_number, c.channel ->> 'channel', o.content
    from occurrence as o
    cross join lateral rate_limiter_internal.notification_channels(o.notification_config) as c
    where not c.channel ? 'events'
      or c.channel -> 'events' ? add_alert_notices.event
    on conflict on constraint alert_notices_history_key do nothing
    returning n.notice_id
  )
  select array_agg(a.notice_id) into notice_ids from added as a;

  perform graphile_worker.add_job(
    'deliver_notification', json_build_object('notice_id', n.notice_id), max_attempts => 8
  )
  from unnest(notice_ids) as n (notice_id);
  return coalesce(cardinality(notice_ids), 0);
end;
$$;

comment on function rate_limiter_internal.add_alert_notices(uuid, uuid, text) is
  'Has every channel of an alert told that an occurrence was triggered, acknowledged or '
  'resolved, once; answers how many.';
--! EndIncluded rate_limiter_internal/functions/add_alert_notices.sql
--! Included rate_limiter_private/functions/evaluate_alerts.sql
create or replace function rate_limiter_private.evaluate_alerts(
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
  resolved rate_limiter.alert_history[];
  triggered rate_limiter.alert_history[];
begin
  -- Of two at once, both would trigger: one is enough.
  if not pg_try_advisory_xact_lock(hashtext('rate_limiter_alerts')) then
    return 0;
  end if;

  with judged as materialized (
    select j.* from rate_limiter_internal.judged_alerts(at) as j
  ),
  ended as (
    update rate_limiter.alert_history as h
    set
      status = 'resolved',
      resolved_at = greatest(at, h.triggered_at, h.acknowledged_at),
      actual_value = coalesce(j.latest_value, h.actual_value)
    from rate_limiter.alert_configs as c
    left join judged as j on j.alert_id = c.alert_id
    where c.alert_id = h.alert_id
      and h.status <> 'resolved'
      -- Samples that stay away resolve nothing: silence is no good news. An alert that nobody
      -- watches any more (it is judged no longer) ends.
      and (j.latest_holds is false or j.alert_id is null)
    returning h
  ),
  begun as (
    insert into rate_limiter.alert_history as h
      (alert_id, app_id, actual_value, threshold_value, triggered_at, description)
    select
      c.alert_id, c.app_id, j.latest_value, c.threshold_value, at,
      format(
        '%s %s %s for %s seconds', c.metric_name, c.condition, c.threshold_value,
        c.duration_seconds
      )
    from judged as j
    join rate_limiter.alert_configs as c on c.alert_id = j.alert_id
    where j.every_sample_holds
      and not exists (
        select
        from rate_limiter.alert_history as o
        where o.alert_id = c.alert_id
          and (
            o.status <> 'resolved'
            or o.triggered_at > at - make_interval(secs => c.cooldown_seconds)
          )
      )
    returning h
  )
  select array(select e.h from ended as e), array(select b.h from begun as b)
  into resolved, triggered;

  perform rate_limiter_internal.add_alert_notices(r.alert_id, r.history_id, 'resolved')
  from unnest(resolved) as r;
  perform rate_limiter_internal.add_alert_notices(t.alert_id, t.history_id, 'triggered')
  from unnest(triggered) as t;

  return cardinality(resolved) + cardinality(triggered);
end;
$$;

comment on function rate_limiter_private.evaluate_alerts(timestamptz) is
  'Job: triggers each alert whose condition every sample of its window meets, unless it is '
  'triggered already or was within its cooldown; resolves what the latest sample no longer '
  'meets. Each change is told once through each channel. Answers how many alerts changed.';
grant execute on function rate_limiter_private.evaluate_alerts(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/evaluate_alerts.sql
--! Included rate_limiter_private/functions/deliver_notification.sql
create or replace function rate_limiter_private.deliver_notification(
  notice_id uuid,
  out event text,
  out channel jsonb,
  out content jsonb
)
returns setof record
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  update rate_limiter.alert_notices as n
  set attempts = n.attempts + 1
  from rate_limiter.alert_configs as c
  where n.notice_id = deliver_notification.notice_id
    and n.status = 'pending'
    and c.alert_id = n.alert_id
  returning
    n.event,
    -- Null where the channel was taken out of the alert since, or became one of another kind.
    (
      select ch.channel
      from rate_limiter_internal.notification_channels(c.notification_config) as ch
      where ch.channel_number = n.channel_number and ch.channel ->> 'channel' = n.channel
    ),
    n.content;
$$;

comment on function rate_limiter_private.deliver_notification(uuid) is
  'Job: begins an attempt to send a notice; answers what to tell and through which channel, or '
  'no row where it was sent or given up already.';
grant execute on function rate_limiter_private.deliver_notification(uuid)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/deliver_notification.sql
--! Included rate_limiter_private/functions/settle_notification.sql
create or replace function rate_limiter_private.settle_notification(
  notice_id uuid,
  status text,
  error text default null
)
returns void
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  with settled as (
    update rate_limiter.alert_notices as n
    set
      status = settle_notification.status,
      last_error = left(settle_notification.error, 1000),
      sent_at = case settle_notification.status when 'sent' then clock_timestamp() end
    where n.notice_id = settle_notification.notice_id and n.status = 'pending'
    returning n.*
  )
  update rate_limiter.alert_history as h
  set notification_sent = coalesce(h.notification_sent, '[]') || jsonb_build_array(
    jsonb_strip_nulls(jsonb_build_object(
      'event', s.event,
      'channel', s.channel,
      'status', s.status,
      'error', s.last_error,
      'at', clock_timestamp()
    ))
  )
  from settled as s
  where s.status <> 'pending'
    and h.alert_id = s.alert_id
    and h.history_id = s.history_id;
$$;

comment on function rate_limiter_private.settle_notification(uuid, text, text) is
  'How an attempt to send a notice went: sent, dead (given up), or pending with the error of an '
  'attempt that will be followed by another. What is settled for good is noted with the alert.';
grant execute on function rate_limiter_private.settle_notification(uuid, text, text)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/settle_notification.sql
--! Included rate_limiter_private/functions/replay_notifications.sql
create or replace function rate_limiter_private.replay_notifications(
  notice_ids uuid[] default null
)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  replayed uuid[];
begin
  with revived as (
    update rate_limiter.alert_notices as n
    set status = 'pending'
    where n.status = 'dead'
      and (replay_notifications.notice_ids is null
        or n.notice_id = any (replay_notifications.notice_ids))
    returning n.notice_id
  )
  select array_agg(r.notice_id) into replayed from revived as r;

  perform graphile_worker.add_job(
    'deliver_notification', json_build_object('notice_id', r.notice_id), max_attempts => 8
  )
  from unnest(replayed) as r (notice_id);
  return coalesce(cardinality(replayed), 0);
end;
$$;

comment on function rate_limiter_private.replay_notifications(uuid[]) is
  'Sends dead letters again: the ones named, or all of them; answers how many.';
grant execute on function rate_limiter_private.replay_notifications(uuid[])
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/replay_notifications.sql
--! Included rate_limiter_private/functions/bury_lost_notifications.sql
create or replace function rate_limiter_private.bury_lost_notifications(
  at timestamptz default clock_timestamp()
)
returns integer
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  with buried as (
    update rate_limiter.alert_notices as n
    set status = 'dead', last_error = coalesce(n.last_error, 'its job was lost')
    where n.status = 'pending'
      and n.created_at < at - interval '10 minutes'
      and not exists (
        select
        from graphile_worker._private_jobs as j
        where j.payload ->> 'notice_id' = n.notice_id::text
          and (j.attempts < j.max_attempts or j.locked_at is not null)
      )
    returning 1
  )
  select count(*)::integer from buried;
$$;

comment on function rate_limiter_private.bury_lost_notifications(timestamptz) is
  'Job: gives up notices that no job will send any more, because their worker was killed at the '
  'last attempt or somebody deleted the job: as dead letters they are seen and can be replayed.';
grant execute on function rate_limiter_private.bury_lost_notifications(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/bury_lost_notifications.sql

-- Retention and archive
--! Included rate_limiter_internal/functions/csv_field.sql
create or replace function rate_limiter_internal.csv_field(value text)
returns text
language sql
immutable
parallel safe
return coalesce('"' || replace(value, '"', '""') || '"', '');

comment on function rate_limiter_internal.csv_field(text) is
  'A field of a CSV line as COPY reads it back: quoted, or nothing at all for null.';
--! EndIncluded rate_limiter_internal/functions/csv_field.sql
--! Included rate_limiter_internal/functions/csv_query.sql
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
--! EndIncluded rate_limiter_internal/functions/csv_query.sql
--! Included rate_limiter_internal/functions/expiring_rows.sql
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
    -- What is still owed is kept, however old.
    (
      'token_borrowing', 'rate_limiter.token_borrowing',
      'case t.status
        when ''repaid'' then t.repaid_at
        when ''cancelled'' then greatest(t.due_at, (t.metadata ->> ''cancelled_at'')::timestamptz)
      end'
    ),
    -- A session that nobody refreshes ends with its refresh token.
    (
      'user_sessions', 'rate_limiter_private.user_sessions',
      'least(t.revoked_at, t.refresh_expires_at)'
    ),
    ('charges', 'rate_limiter.charges', 't.charged_at'),
    ('token_leases', 'rate_limiter.token_leases', 't.settled_at'),
    (
      'alert_notices', 'rate_limiter.alert_notices',
      'case when t.status <> ''pending'' then t.created_at end'
    ),
    ('ledger_checks', 'rate_limiter_private.ledger_checks', 't.checked_at'),
    (
      'quota_version_history', 'rate_limiter_audit.quota_version_history',
      'case when t.archived_at is null then t.changed_at end'
    );
$$;

comment on function rate_limiter_internal.expiring_rows() is
  'The tables that are not partitioned by time and whose rows expire: of which type of data, and '
  'the moment from which a row t counts as old, null for one that must stay.';
--! EndIncluded rate_limiter_internal/functions/expiring_rows.sql
--! Included rate_limiter_internal/functions/retention_cutoff.sql
create or replace function rate_limiter_internal.retention_cutoff(
  at timestamptz,
  data_type text
)
returns timestamptz
language sql
stable
parallel safe
as $$
  select retention_cutoff.at - rate_limiter_internal.retention_period(p.data_type)
  from rate_limiter.retention_policies as p
  where p.data_type = retention_cutoff.data_type
    and p.is_active;
$$;

comment on function rate_limiter_internal.retention_cutoff(timestamptz, text) is
  'What ended before this moment has expired; null where nothing goes.';
--! EndIncluded rate_limiter_internal/functions/retention_cutoff.sql
--! Included rate_limiter_internal/functions/require_expired.sql
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
--! EndIncluded rate_limiter_internal/functions/require_expired.sql
--! Included rate_limiter_private/functions/begin_retention.sql
create or replace function rate_limiter_private.begin_retention()
returns boolean
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select pg_try_advisory_lock(hashtext('rate_limiter_retention'));
$$;

comment on function rate_limiter_private.begin_retention() is
  'Whether this session may carry out retention now: one does at a time, until end_retention() '
  'or the end of the session.';
grant execute on function rate_limiter_private.begin_retention() to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/begin_retention.sql
--! Included rate_limiter_private/functions/end_retention.sql
create or replace function rate_limiter_private.end_retention()
returns boolean
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select pg_advisory_unlock(hashtext('rate_limiter_retention'));
$$;

comment on function rate_limiter_private.end_retention() is
  'Lets others carry out retention.';
grant execute on function rate_limiter_private.end_retention() to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/end_retention.sql
--! Included rate_limiter_private/functions/retention_plan.sql
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
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  step record;
begin
  -- A clock that runs ahead, or a caller's, makes nothing expire: see require_expired.
  at := least(at, clock_timestamp());

  for step in
    select
      e.data_type, 'drop_partitions' as action, e.export_first,
      e.schema_name || '.' || e.table_name as relation, e.partition_name,
      rate_limiter_internal.retention_cutoff(retention_plan.at, e.data_type) as cutoff,
      format('select count(*) from rate_limiter_partitions.%I', e.partition_name) as counting
    from rate_limiter_private.expired_partitions(retention_plan.at) as e
    -- Samples that no aggregate has taken in yet wait for that.
    where e.table_name <> 'metrics' or not exists (
      select
      from rate_limiter_private.metric_changes as c
      where c.bucket >= e.starts_at - interval '1 day' and c.bucket < e.ends_at
    )
    union all
    select
      p.data_type, p.action, p.export_first, r.relation::text, null, c.cutoff,
      format('select count(*) from %s as t where %s < %L', r.relation, r.ended_at, c.cutoff)
    from rate_limiter_internal.expiring_rows() as r
    join rate_limiter.retention_policies as p on p.data_type = r.data_type
    cross join lateral rate_limiter_internal.retention_cutoff(
      retention_plan.at, p.data_type
    ) as c (cutoff)
    where c.cutoff is not null
  loop
    execute step.counting into row_count;
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
--! EndIncluded rate_limiter_private/functions/retention_plan.sql
--! Included rate_limiter_private/functions/apply_retention.sql
create or replace function rate_limiter_private.apply_retention(
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
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
as $$
declare
  step record;
begin
  for step in
    select p.* from rate_limiter_private.retention_plan(at) as p
  loop
    if step.partition_name is not null and not step.export_first then
      perform rate_limiter_private.drop_partition(step.partition_name);
      continue;
    end if;

    data_type := step.data_type;
    action := step.action;
    export_first := step.export_first;
    relation := step.relation;
    partition_name := step.partition_name;
    cutoff := step.cutoff;
    row_count := step.row_count;
    return next;
  end loop;
end;
$$;

comment on function rate_limiter_private.apply_retention(timestamptz) is
  'Job: drops every expired partition that need not be exported, and answers what is left to do '
  'in transactions of their own: partitions to export (export_partition, then '
  'drop_exported_partition) and rows to expire (export_rows where asked for, then expire_rows).';
grant execute on function rate_limiter_private.apply_retention(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/apply_retention.sql
--! Included rate_limiter_private/functions/export_partition.sql
create or replace function rate_limiter_private.export_partition(partition_name text)
returns setof text
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
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
  'The rows of an expired partition as CSV lines, the names of the columns first.';
grant execute on function rate_limiter_private.export_partition(text) to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/export_partition.sql
--! Included rate_limiter_private/functions/partition_extent.sql
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
  select p.partition_oid, a.attname as time_column
  into strict part
  from rate_limiter_internal.partitions() as p
  join pg_inherits as i on i.inhrelid = p.partition_oid
  join pg_partitioned_table as pt on pt.partrelid = i.inhparent
  join pg_attribute as a on a.attrelid = i.inhparent and a.attnum = pt.partattrs[0]
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
--! EndIncluded rate_limiter_private/functions/partition_extent.sql
--! Included rate_limiter_private/functions/drop_exported_partition.sql
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
set lock_timeout = '5s'
as $$
declare
  found_extent record;
begin
  if exists (
    select
    from rate_limiter_internal.partitions() as p
    where p.partition_name = drop_exported_partition.partition_name
  ) then
    execute format(
      'lock table rate_limiter_partitions.%I in share mode',
      drop_exported_partition.partition_name
    );
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
--! EndIncluded rate_limiter_private/functions/drop_exported_partition.sql
--! Included rate_limiter_private/functions/export_rows.sql
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
--! EndIncluded rate_limiter_private/functions/export_rows.sql
--! Included rate_limiter_private/functions/rows_extent.sql
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
--! EndIncluded rate_limiter_private/functions/rows_extent.sql
--! Included rate_limiter_private/functions/expire_rows.sql
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
--! EndIncluded rate_limiter_private/functions/expire_rows.sql
--! Included rate_limiter_private/functions/restore_rows.sql
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
    and a.attgenerated = '';

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
  'not there; answers how many that were. The owner''s alone. Raises QS422 for a table that is '
  'never archived.';
--! EndIncluded rate_limiter_private/functions/restore_rows.sql

-- Jobs: their workers
--! Included rate_limiter_private/functions/applied_migrations.sql
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
--! EndIncluded rate_limiter_private/functions/applied_migrations.sql
--! Included rate_limiter_private/functions/note_workers.sql
create or replace function rate_limiter_private.note_workers(worker_ids text[])
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

comment on function rate_limiter_private.note_workers(text[]) is
  'These workers are there now.';
grant execute on function rate_limiter_private.note_workers(text[]) to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/note_workers.sql
--! Included rate_limiter_private/functions/forget_workers.sql
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
    select from graphile_worker.jobs as j where j.locked_by = any (forget_workers.worker_ids)
  ) then
    perform graphile_worker.force_unlock_workers(forget_workers.worker_ids);
  end if;
end;
$$;

comment on function rate_limiter_private.forget_workers(text[]) is
  'These workers have stopped: what they hold even so is released, for others to take up.';
grant execute on function rate_limiter_private.forget_workers(text[]) to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/forget_workers.sql
--! Included rate_limiter_private/functions/release_lost_jobs.sql
create or replace function rate_limiter_private.release_lost_jobs(
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
    select distinct j.locked_by
    from graphile_worker.jobs as j
    where j.locked_at < since
      and not exists (
        select
        from rate_limiter_private.job_workers as w
        where w.worker_id = j.locked_by and w.seen_at >= since
      )
  );
  if cardinality(lost) > 0 then
    perform graphile_worker.force_unlock_workers(lost);
  end if;

  delete from rate_limiter_private.job_workers as w
  where w.seen_at < since - interval '1 day';
  return cardinality(lost);
end;
$$;

comment on function rate_limiter_private.release_lost_jobs(interval) is
  'Job: unlocks what workers hold that have been silent so long, for others to take up; answers '
  'how many workers were lost. One that was only paused may then do a job twice: every task '
  'allows for that.';
grant execute on function rate_limiter_private.release_lost_jobs(interval)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/release_lost_jobs.sql
--! Included rate_limiter_private/functions/verify_ledger.sql
create or replace function rate_limiter_private.verify_ledger(
  at timestamptz default clock_timestamp(),
  out gap_count bigint,
  out first_gaps jsonb
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  from_time timestamptz;
begin
  -- From a good hour before the last clean check: the rows of both meet. Where the last one found
  -- gaps, they are looked at again until they are explained.
  select coalesce(max(c.checked_at) - interval '1 hour', '-infinity')
  into from_time
  from rate_limiter_private.ledger_checks as c
  where c.gap_count = 0 and c.checked_at <= at;

  -- Where a clock stepped back over the start of the span, rows of the span seem to be missing:
  -- a gap is one that a longer look shows too.
  with near as (
    select g.* from rate_limiter.verify_ledger(from_time, 'infinity') as g
  ),
  found as (
    select n.*
    from near as n
    where from_time = '-infinity' or exists (
      select
      from rate_limiter.verify_ledger(from_time - interval '1 day', 'infinity') as g
      where g.owner_id = n.owner_id
        and g.bucket_type = n.bucket_type
        and g.mode = n.mode
        and g.seq = n.seq
    )
  ),
  numbered as (
    select f.*, row_number() over (order by f.created_at, f.owner_id, f.seq) as place
    from found as f
  )
  select
    count(*),
    coalesce(
      jsonb_agg(to_jsonb(n) - 'place' order by n.place) filter (where n.place <= 100), '[]'
    )
  into gap_count, first_gaps
  from numbered as n;

  insert into rate_limiter_private.ledger_checks (from_time, checked_at, gap_count, first_gaps)
  values (
    from_time, at, verify_ledger.gap_count, verify_ledger.first_gaps
  );
end;
$$;

comment on function rate_limiter_private.verify_ledger(timestamptz) is
  'Job: verifies the ledger since the last check that found nothing, and keeps the result.';
grant execute on function rate_limiter_private.verify_ledger(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/verify_ledger.sql
--! Included rate_limiter_private/functions/expire_sessions.sql
create or replace function rate_limiter_private.expire_sessions(
  at timestamptz,
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
  token_count integer;
  address_count integer;
begin
  with ended as (
    select t.token_hash
    from rate_limiter_private.used_refresh_tokens as t
    join rate_limiter_private.user_sessions as s on s.session_id = t.session_id
    where s.revoked_at <= at or s.refresh_expires_at <= at
    limit batch_size
    for update of t skip locked
  )
  delete from rate_limiter_private.used_refresh_tokens as t
  using ended as e
  where t.token_hash = e.token_hash;
  get diagnostics token_count = row_count;

  with quiet as (
    select a.address
    from rate_limiter_private.login_addresses as a
    where a.last_failed_at <= at - interval '1 day'
      and (a.locked_until is null or a.locked_until <= at)
    limit batch_size
    for update skip locked
  )
  delete from rate_limiter_private.login_addresses as a
  using quiet as q
  where a.address = q.address;
  get diagnostics address_count = row_count;

  return greatest(token_count, address_count);
end;
$$;

comment on function rate_limiter_private.expire_sessions(timestamptz, integer) is
  'Job: clears away what sessions need only while they last, the spent refresh tokens, and '
  'failures to sign in that nobody slows any more. The sessions themselves stay for as long as '
  'their retention policy says. Call it until it answers less than batch_size.';
grant execute on function rate_limiter_private.expire_sessions(timestamptz, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/expire_sessions.sql
--! Included rate_limiter_private/functions/failed_jobs.sql
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
  order by j.updated_at desc;
$$;

comment on function rate_limiter_private.failed_jobs() is
  'The jobs that failed for the last time, the latest first.';
grant execute on function rate_limiter_private.failed_jobs() to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/failed_jobs.sql
--! Included rate_limiter_private/functions/retry_jobs.sql
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
--! EndIncluded rate_limiter_private/functions/retry_jobs.sql
--! Included rate_limiter_private/functions/dead_notifications.sql
create or replace function rate_limiter_private.dead_notifications()
returns setof rate_limiter.alert_notices
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select n.*
  from rate_limiter.alert_notices as n
  where n.status = 'dead'
  order by n.created_at;
$$;

comment on function rate_limiter_private.dead_notifications() is
  'The notices that could not be sent, the oldest first.';
grant execute on function rate_limiter_private.dead_notifications() to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/dead_notifications.sql
--! Included rate_limiter_admin/functions/failed_jobs.sql
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
--! EndIncluded rate_limiter_admin/functions/failed_jobs.sql
--! Included rate_limiter_admin/functions/retry_jobs.sql
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
--! EndIncluded rate_limiter_admin/functions/retry_jobs.sql
--! Included rate_limiter_admin/functions/replay_notice.sql
create or replace function rate_limiter_admin.replay_notice(notice_id uuid)
returns rate_limiter.alert_notices
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  notice rate_limiter.alert_notices;
begin
  -- As with acknowledge_alert().
  if not rate_limiter_internal.may('application', 'update') then
    perform rate_limiter_internal.require_permission('system', 'monitor');
  end if;

  select n.*
  into notice
  from rate_limiter.alert_notices as n
  join rate_limiter.applications as a on a.app_id = n.app_id
  where n.notice_id = replay_notice.notice_id
    and n.status = 'dead'
    and (
      rate_limiter_internal.is_system_admin()
      or a.tenant_id = rate_limiter_internal.current_tenant_id()
    )
  for update of n;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown notice',
      detail = format('notice: %s', replay_notice.notice_id),
      hint = 'Only notices of your tenant that could not be sent are sent again.';
  end if;

  perform rate_limiter_private.replay_notifications(array[notice.notice_id]);
  notice.status := 'pending';
  perform rate_limiter_internal.write_audit(
    'replay', 'alert_notices', notice.notice_id,
    rate_limiter_internal.tenant_of(jsonb_build_object('app_id', notice.app_id)), notice.app_id
  );
  return notice;
end;
$$;

comment on function rate_limiter_admin.replay_notice(uuid) is
  E'@resultFieldName notice\n'
  'Sends a notice of an alert again that could not be sent.';
grant execute on function rate_limiter_admin.replay_notice(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/replay_notice.sql
--! Included rate_limiter_private/functions/metrics_snapshot.sql
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
      and m.metric_name like 'qos\_%'
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
  )
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
  select 'operations_admitted', null, coalesce(sum(m.value), 0)
  from last_minute as m
  where m.metric_name = 'qos_admitted_operations'
  union all
  select 'operations_denied', reason.name, coalesce(sum(m.value), 0)
  from unnest(array['iops_l2', 'bandwidth_l2', 'iops_l1', 'bandwidth_l1', 'exceeds_capacity'])
    as reason (name)
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
  select 'dead_notices', null, count(*)
  from rate_limiter.alert_notices as n
  where n.status = 'dead'
  union all
  select 'ledger_gaps', null, c.gap_count from last_check as c
  union all
  select 'ledger_check_age_seconds', null,
    extract(epoch from statement_timestamp() - c.checked_at)
  from last_check as c;
$$;

comment on function rate_limiter_private.metrics_snapshot() is
  'What the worker tells Prometheus of the database. Only reads: a standby answers it too.';
grant execute on function rate_limiter_private.metrics_snapshot() to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/metrics_snapshot.sql

-- The demo of the first start
--! Included rate_limiter_private/functions/seed_demo.sql
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

  perform rate_limiter_internal.publish_quota_at(
    clock_timestamp(), q.app_id, q.cluster_id, 'enforce', null, null, q.iops, q.bandwidth,
    'demo'
  )
  from (values
    (null::uuid, cluster,
      '{"iops_limit": 1000, "iops_burst": 2000, "burst_duration_seconds": 10,
        "refill_rate": 1000}'::jsonb,
      '{"bandwidth_limit_bps": 200000000, "bandwidth_burst_bps": 400000000,
        "burst_duration_seconds": 10, "refill_rate_bps": 200000000}'::jsonb),
    (photos, null,
      '{"iops_limit": 100, "iops_burst": 200, "burst_duration_seconds": 5,
        "refill_rate": 100}',
      '{"bandwidth_limit_bps": 20000000, "bandwidth_burst_bps": 40000000,
        "burst_duration_seconds": 5, "refill_rate_bps": 20000000}'),
    (backups, null,
      '{"iops_limit": 50, "iops_burst": 50, "burst_duration_seconds": 10,
        "refill_rate": 50, "calculation_method": "leaky_bucket"}',
      '{"bandwidth_limit_bps": 50000000, "bandwidth_burst_bps": 50000000,
        "burst_duration_seconds": 10, "refill_rate_bps": 50000000}')
  ) as q (app_id, cluster_id, iops, bandwidth);

  return (rate_limiter_private.issue_api_key(photos, 'demo', null)).api_key;
end;
$$;

comment on function rate_limiter_private.seed_demo() is
  'Makes a tenant with one cluster, two applications and their quotas in an empty database; '
  'answers the API key of the application photos, which is shown only here, or null where '
  'there are tenants already.';
--! EndIncluded rate_limiter_private/functions/seed_demo.sql

-- Worlds for vectors and replay
--! Included rate_limiter_internal/functions/moment_after.sql
create or replace function rate_limiter_internal.moment_after(epoch timestamptz, offset_us bigint)
returns timestamptz
language sql
stable
parallel safe
return epoch + offset_us * interval '1 microsecond';

comment on function rate_limiter_internal.moment_after(timestamptz, bigint) is
  'The moment so many microseconds after another; exact within 285 years.';
--! EndIncluded rate_limiter_internal/functions/moment_after.sql
--! Included rate_limiter_internal/functions/load_world_settings.sql
create or replace function rate_limiter_internal.load_world_settings(world jsonb)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  -- What worlds count on where they say nothing: layer 1 exact, and no limit of our own to the
  -- size or the life of a lease.
  wanted constant jsonb := jsonb_build_object(
    'layer_1_allotment_ms', 0,
    'borrow_grace_seconds', 0,
    'lease_max_share', 1,
    'lease_seconds', 3600
  ) || coalesce(nullif(world -> 'settings', 'null'), '{}');
  unknown text;
begin
  select string_agg(w.key, ', ')
  into unknown
  from jsonb_object_keys(wanted) as w (key)
  where not exists (select from rate_limiter.system_settings as s where s.key = w.key);

  if unknown is not null then
    raise exception using
      errcode = 'QS422',
      message = 'unknown setting',
      detail = format('keys: %s', unknown),
      hint = 'Name only settings that system_settings lists.';
  end if;

  update rate_limiter.system_settings as s
  set value = w.value
  from jsonb_each_text(wanted) as w (key, value)
  where s.key = w.key and s.value <> w.value;
end;
$$;

comment on function rate_limiter_internal.load_world_settings(jsonb) is
  'Sets the settings of a world. For tests and tools only: load_world() calls it.';
--! EndIncluded rate_limiter_internal/functions/load_world_settings.sql
--! Included rate_limiter_internal/functions/load_world_costs.sql
create or replace function rate_limiter_internal.load_world_costs(world jsonb)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  epoch constant timestamptz := world ->> 'epoch';
begin
  insert into rate_limiter.operation_types as o
    (name, category, c_base, unit_quantum, c_bw, is_active)
  select
    t.name,
    coalesce(t.category, 'other'),
    coalesce(t.c_base, 0),
    coalesce(t.unit_quantum, 1),
    coalesce(t.c_bw, 0),
    coalesce(t.is_active, true)
  from jsonb_to_recordset(nullif(world -> 'operation_types', 'null')) as t (
    name text, category text, c_base numeric, unit_quantum bigint, c_bw numeric,
    is_active boolean
  )
  on conflict (name) do update
  set c_base = excluded.c_base,
    unit_quantum = excluded.unit_quantum,
    c_bw = excluded.c_bw,
    is_active = excluded.is_active;

  insert into rate_limiter.cost_rules
    (app_id, operation_id, c_base_override, c_bw_override, valid_from, valid_to, is_active)
  select
    a.app_id,
    o.operation_id,
    r.c_base_override,
    r.c_bw_override,
    rate_limiter_internal.moment_after(epoch, r.valid_from_us),
    rate_limiter_internal.moment_after(epoch, r.valid_to_us),
    coalesce(r.is_active, true)
  from jsonb_to_recordset(nullif(world -> 'cost_rules', 'null')) as r (
    app text, operation text, c_base_override numeric, c_bw_override numeric,
    valid_from_us bigint, valid_to_us bigint, is_active boolean
  )
  left join rate_limiter.applications as a on a.name = r.app
  left join rate_limiter.operation_types as o on o.name = r.operation;
end;
$$;

comment on function rate_limiter_internal.load_world_costs(jsonb) is
  'Inserts the operation types and cost rules of a world. For tests and tools only: '
  'load_world() calls it.';
--! EndIncluded rate_limiter_internal/functions/load_world_costs.sql
--! Included rate_limiter_internal/functions/load_world_quotas.sql
create or replace function rate_limiter_internal.load_world_quotas(world jsonb)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  epoch constant timestamptz := world ->> 'epoch';
  quota record;
  version uuid;
begin
  for quota in
    select q.*, a.app_id, c.cluster_id
    from jsonb_to_recordset(world -> 'quotas') as q (
      owner text, valid_from_us bigint, valid_to_us bigint, mode rate_limiter.quota_mode,
      is_active boolean, iops jsonb, bandwidth jsonb
    )
    left join rate_limiter.applications as a on q.owner = 'app:' || a.name
    left join rate_limiter.clusters as c on q.owner = 'cluster:' || c.name
  loop
    insert into rate_limiter.quota_configs as qc
      (app_id, cluster_id, mode, valid_from, valid_to, is_active)
    values (
      quota.app_id,
      quota.cluster_id,
      coalesce(quota.mode, 'enforce'),
      rate_limiter_internal.moment_after(epoch, quota.valid_from_us),
      rate_limiter_internal.moment_after(epoch, quota.valid_to_us),
      coalesce(quota.is_active, true)
    )
    returning qc.config_id into version;

    insert into rate_limiter.iops_quotas (
      config_id, iops_limit, iops_burst, burst_duration_seconds, refill_rate,
      calculation_method, min_reserve
    )
    select
      version, i.iops_limit, i.iops_burst, i.burst_duration_seconds, i.refill_rate,
      coalesce(i.calculation_method, 'token_bucket'), coalesce(i.min_reserve, 0)
    from jsonb_populate_record(null::rate_limiter.iops_quotas, quota.iops) as i
    where quota.iops is not null;

    insert into rate_limiter.bandwidth_quotas (
      config_id, bandwidth_limit_bps, bandwidth_burst_bps, burst_duration_seconds,
      refill_rate_bps, allow_oversize
    )
    select
      version, b.bandwidth_limit_bps, b.bandwidth_burst_bps, b.burst_duration_seconds,
      b.refill_rate_bps, coalesce(b.allow_oversize, true)
    from jsonb_populate_record(null::rate_limiter.bandwidth_quotas, quota.bandwidth) as b
    where quota.bandwidth is not null;
  end loop;
end;
$$;

comment on function rate_limiter_internal.load_world_quotas(jsonb) is
  'Inserts the quotas of a world. For tests and tools only: load_world() calls it.';
--! EndIncluded rate_limiter_internal/functions/load_world_quotas.sql
--! Included rate_limiter_internal/functions/load_world.sql
create or replace function rate_limiter_internal.load_world(world jsonb)
returns jsonb
language plpgsql
volatile
parallel unsafe
as $$
declare
  owner uuid;
begin
  if exists (select from rate_limiter.tenants) then
    raise exception using
      errcode = 'QS409',
      message = 'world needs an empty database',
      hint = 'Load it into a new database: it changes settings and costs for everybody.';
  end if;

  insert into rate_limiter.tenants as t (name)
  values ('world')
  returning t.tenant_id into owner;

  insert into rate_limiter.clusters (name, region)
  select distinct named.cluster, 'world'
  from (
    select a.cluster
    from jsonb_to_recordset(world -> 'applications') as a (cluster text)
    union
    select substring(q.owner from '^cluster:(.+)$')
    from jsonb_to_recordset(world -> 'quotas') as q (owner text)
  ) as named (cluster)
  where named.cluster is not null;

  insert into rate_limiter.applications (tenant_id, cluster_id, name)
  select owner, c.cluster_id, a.name
  from jsonb_to_recordset(world -> 'applications') as a (name text, cluster text)
  left join rate_limiter.clusters as c on c.name = a.cluster;

  perform rate_limiter_internal.load_world_settings(world);
  perform rate_limiter_internal.load_world_costs(world);
  perform rate_limiter_internal.load_world_quotas(world);

  return jsonb_build_object(
    'applications', (select jsonb_object_agg(a.name, a.app_id) from rate_limiter.applications as a),
    'clusters', (select jsonb_object_agg(c.name, c.cluster_id) from rate_limiter.clusters as c)
  );
end;
$$;

comment on function rate_limiter_internal.load_world(jsonb) is
  'Fills an empty database with the world of a vector file or a replay, and answers the '
  'identifiers of its applications and clusters by name. For tests and tools only.';
--! EndIncluded rate_limiter_internal/functions/load_world.sql
--! Included rate_limiter_internal/functions/replay_batch.sql
create or replace function rate_limiter_internal.replay_batch(
  app_id uuid,
  epoch timestamptz,
  offsets_us bigint[],
  operations text[],
  sizes bigint[]
)
returns table (allowed boolean, cost numeric)
language plpgsql
volatile
parallel unsafe
as $$
declare
  operation record;
begin
  for operation in
    select o.offset_us, o.name, o.size
    from unnest(offsets_us, operations, sizes) as o (offset_us, name, size)
  loop
    select d.allowed, d.cost
    into replay_batch.allowed, replay_batch.cost
    from rate_limiter_internal.consume_at(
      rate_limiter_internal.moment_after(epoch, operation.offset_us),
      app_id,
      operation.name,
      operation.size
    ) as d;
    return next;
  end loop;
end;
$$;

comment on function rate_limiter_internal.replay_batch(
  uuid, timestamptz, bigint[], text[], bigint[]
) is
  'Decides recorded operations at their own moments, in order: each takes the same road as a '
  'live one. For tests and tools only.';
--! EndIncluded rate_limiter_internal/functions/replay_batch.sql

-- Views
--! Included rate_limiter_internal/functions/slow_queries.sql
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
--! EndIncluded rate_limiter_internal/functions/slow_queries.sql
--! Included rate_limiter_internal/functions/oldest_row.sql
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
--! EndIncluded rate_limiter_internal/functions/oldest_row.sql
--! Included rate_limiter_internal/functions/bucket_now.sql
create or replace function rate_limiter_internal.bucket_now(bucket rate_limiter.token_buckets)
returns rate_limiter.token_buckets
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select (b.bucket).*
  from rate_limiter_internal.bucket_at(statement_timestamp(), bucket_now.bucket) as b;
$$;

comment on function rate_limiter_internal.bucket_now(rate_limiter.token_buckets) is
  'A bucket as it stands now. Runs as its owner, so that who may see a bucket sees what it holds '
  'without having to see the quotas behind it.';
grant execute on function rate_limiter_internal.bucket_now(rate_limiter.token_buckets)
  to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_internal/functions/bucket_now.sql
--! Included rate_limiter/views/v_active_quotas.sql
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
  c.valid_to
from rate_limiter.applications as a
join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
join rate_limiter.quota_configs as c on c.app_id = a.app_id
left join rate_limiter.iops_quotas as i on i.config_id = c.config_id
left join rate_limiter.bandwidth_quotas as b on b.config_id = c.config_id
where c.is_active
  and c.valid_from <= current_timestamp
  and (c.valid_to is null or c.valid_to > current_timestamp);

comment on view rate_limiter.v_active_quotas is
  E'@name active_quota\n'
  '@foreignKey (app_id) references rate_limiter.applications (app_id)|'
  '@fieldName application|@foreignFieldName activeQuotas\n'
  'The quotas of applications that are in force now.';
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

revoke all on rate_limiter.v_active_quotas from rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.v_active_quotas to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/views/v_active_quotas.sql
--! Included rate_limiter/views/v_token_bucket_status.sql
create or replace view rate_limiter.v_token_bucket_status
with (security_invoker = true) as
select
  tb.bucket_id,
  a.name as app_name,
  tb.bucket_type,
  state.capacity,
  state.current_tokens,
  state.refill_rate,
  round(state.current_tokens / state.capacity * 100, 2) as fill_percentage,
  case
    when state.current_tokens < state.capacity * 0.2 then 'critical'
    when state.current_tokens < state.capacity * 0.5 then 'warning'
    else 'healthy'
  end as status,
  tb.owner_id,
  tb.mode,
  c.name as cluster_name,
  state.last_refill_at
from rate_limiter.token_buckets as tb
cross join lateral rate_limiter_internal.bucket_now(tb) as state
left join rate_limiter.applications as a on a.app_id = tb.owner_id
left join rate_limiter.clusters as c on c.cluster_id = tb.owner_id
-- Without a quota in force a bucket sets no limit: there is nothing to show.
where state.capacity is not null;

comment on view rate_limiter.v_token_bucket_status is
  E'@name bucket\n'
  '@primaryKey bucket_id\n'
  '@foreignKey (owner_id) references rate_limiter.applications (app_id)|'
  '@fieldName application|@foreignFieldName buckets\n'
  'What each bucket holds now: refilled on reading, however long nobody drew on it.';
comment on column rate_limiter.v_token_bucket_status.bucket_id is 'The bucket.';
comment on column rate_limiter.v_token_bucket_status.app_name is
  'The application, for a layer-2 bucket.';
comment on column rate_limiter.v_token_bucket_status.bucket_type is
  'What it holds, and its layer.';
comment on column rate_limiter.v_token_bucket_status.capacity is 'Tokens when full.';
comment on column rate_limiter.v_token_bucket_status.current_tokens is 'Tokens now.';
comment on column rate_limiter.v_token_bucket_status.refill_rate is 'Tokens per second.';
comment on column rate_limiter.v_token_bucket_status.fill_percentage is
  'How full it is; above 100 while it borrows.';
comment on column rate_limiter.v_token_bucket_status.status is
  'critical below a fifth, warning below half, else healthy.';
comment on column rate_limiter.v_token_bucket_status.owner_id is
  'The application or the cluster.';
comment on column rate_limiter.v_token_bucket_status.mode is
  'Whether it decides or only measures.';
comment on column rate_limiter.v_token_bucket_status.cluster_name is
  'The cluster, for a layer-1 bucket.';
comment on column rate_limiter.v_token_bucket_status.last_refill_at is
  'Up to when it has refilled; in the future while an oversize charge is paid back.';

revoke all on rate_limiter.v_token_bucket_status
  from rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.v_token_bucket_status
  to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/views/v_token_bucket_status.sql
--! Included rate_limiter/views/v_metrics_summary_24h.sql
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
--! EndIncluded rate_limiter/views/v_metrics_summary_24h.sql
--! Included rate_limiter/views/v_daily_quota_usage.sql
-- A materialized view knows no row security: tenants read it through this view, which runs as its
-- owner and filters by itself.
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
--! EndIncluded rate_limiter/views/v_daily_quota_usage.sql
--! Included rate_limiter/views/v_table_sizes.sql
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
--! EndIncluded rate_limiter/views/v_table_sizes.sql
--! Included rate_limiter/views/v_index_usage.sql
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
--! EndIncluded rate_limiter/views/v_index_usage.sql
--! Included rate_limiter/views/v_oldest_rows.sql
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
--! EndIncluded rate_limiter/views/v_oldest_rows.sql
--! Included rate_limiter/views/v_slow_queries.sql
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
--! EndIncluded rate_limiter/views/v_slow_queries.sql
--! Included rate_limiter_admin/views/api_keys.sql
-- The table holds hashes and is granted to nobody: this view runs as its owner, shows the rest
-- and filters by itself.
create or replace view rate_limiter_admin.api_keys
with (security_barrier = true) as
select
  k.api_key_id,
  k.app_id,
  k.prefix,
  k.name,
  k.created_at,
  k.created_by,
  k.expires_at,
  k.revoked_at,
  k.revoked_by
from rate_limiter_private.api_keys as k
join rate_limiter.applications as a on a.app_id = k.app_id
where (select rate_limiter_internal.may('application', 'read'))
  and (
    (select rate_limiter_internal.is_system_admin())
    or a.tenant_id = (select rate_limiter_internal.current_tenant_id())
  );

comment on view rate_limiter_admin.api_keys is
  E'@primaryKey api_key_id\n'
  '@foreignKey (app_id) references rate_limiter.applications (app_id)|'
  '@fieldName application|@foreignFieldName apiKeys\n'
  'The keys of your tenant''s applications, by their first characters.';
comment on column rate_limiter_admin.api_keys.api_key_id is 'Names the key.';
comment on column rate_limiter_admin.api_keys.app_id is 'The application that it opens.';
comment on column rate_limiter_admin.api_keys.prefix is 'First 12 characters of the key.';
comment on column rate_limiter_admin.api_keys.name is 'What people call it.';
comment on column rate_limiter_admin.api_keys.created_at is 'When it was made.';
comment on column rate_limiter_admin.api_keys.created_by is 'The user who made it.';
comment on column rate_limiter_admin.api_keys.expires_at is 'When it stops working.';
comment on column rate_limiter_admin.api_keys.revoked_at is 'When it was taken back.';
comment on column rate_limiter_admin.api_keys.revoked_by is 'The user who took it back.';

revoke all on rate_limiter_admin.api_keys from rate_limiter_visitor;
grant select on rate_limiter_admin.api_keys to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/views/api_keys.sql
--! Included rate_limiter_admin/views/user_sessions.sql
-- As for api_keys: the table holds hashes.
create or replace view rate_limiter_admin.user_sessions
with (security_barrier = true) as
select
  s.session_id,
  s.user_id,
  s.ip_address,
  s.user_agent,
  s.created_at,
  s.last_used_at,
  s.expires_at,
  s.revoked_at,
  s.revoke_reason
from rate_limiter_private.user_sessions as s
where s.user_id = (select rate_limiter_internal.current_user_id())
  or rate_limiter_internal.may_manage_user(s.user_id);

comment on view rate_limiter_admin.user_sessions is
  E'@primaryKey session_id\n'
  '@foreignKey (user_id) references rate_limiter.users (user_id)|'
  '@fieldName user|@foreignFieldName sessions\n'
  'Your sessions, and those of the users that you may manage.';
comment on column rate_limiter_admin.user_sessions.session_id is 'The session.';
comment on column rate_limiter_admin.user_sessions.user_id is 'Who signed in.';
comment on column rate_limiter_admin.user_sessions.ip_address is 'Where from.';
comment on column rate_limiter_admin.user_sessions.user_agent is 'With which client.';
comment on column rate_limiter_admin.user_sessions.created_at is 'When.';
comment on column rate_limiter_admin.user_sessions.last_used_at is 'The latest refresh.';
comment on column rate_limiter_admin.user_sessions.expires_at is 'When it ends by itself.';
comment on column rate_limiter_admin.user_sessions.revoked_at is 'When it was ended early.';
comment on column rate_limiter_admin.user_sessions.revoke_reason is 'Why it was ended early.';

revoke all on rate_limiter_admin.user_sessions from rate_limiter_visitor;
grant select on rate_limiter_admin.user_sessions to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/views/user_sessions.sql

-- Triggers
--! Included rate_limiter/triggers/alert_configs.sql
create or replace trigger set_updated_at
  before update on rate_limiter.alert_configs
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger check_notification
  before insert or update of notification_config on rate_limiter.alert_configs
  for each row
  execute function rate_limiter_internal.check_notification();

create or replace trigger refuse_delete_of_alert
  before delete on rate_limiter.alert_configs
  for each row
  execute function rate_limiter_internal.refuse_delete_of_alert();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.alert_configs
  for each row
  execute function rate_limiter_internal.audit_change('alert_id', 'notification_config');
--! EndIncluded rate_limiter/triggers/alert_configs.sql
--! Included rate_limiter/triggers/alert_history.sql
create or replace trigger notify_alert
  after insert or update on rate_limiter.alert_history
  for each row
  execute function rate_limiter_internal.notify_alert();
--! EndIncluded rate_limiter/triggers/alert_history.sql
--! Included rate_limiter_internal/functions/tell_applications.sql
create or replace function rate_limiter_internal.tell_applications()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update rate_limiter.applications as a
  set tenant_is_active = new.is_active
  where a.tenant_id = new.tenant_id;
  return null;
end;
$$;

comment on function rate_limiter_internal.tell_applications() is
  'Trigger: copies to a tenant''s applications whether the tenant is active.';
--! EndIncluded rate_limiter_internal/functions/tell_applications.sql
--! Included rate_limiter_internal/functions/complete_application.sql
create or replace function rate_limiter_internal.complete_application()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A tenant that is not there is the foreign key's to refuse.
  new.tenant_is_active := coalesce((
    select t.is_active from rate_limiter.tenants as t where t.tenant_id = new.tenant_id for share
  ), true);
  new.has_shadow := new.has_shadow or exists (
    select
    from rate_limiter.token_buckets as b
    where b.owner_id = new.cluster_id and b.mode = 'shadow'
  );
  return new;
end;
$$;

comment on function rate_limiter_internal.complete_application() is
  'Trigger: copies to an application what decisions would have to look up elsewhere: whether '
  'its tenant is active, and whether its cluster has a shadow quota.';
--! EndIncluded rate_limiter_internal/functions/complete_application.sql
--! Included rate_limiter/triggers/applications.sql
create or replace trigger set_updated_at
  before update on rate_limiter.applications
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger complete_application
  before insert or update of tenant_id, cluster_id, tenant_is_active on rate_limiter.applications
  for each row
  execute function rate_limiter_internal.complete_application();

create or replace trigger refuse_delete_of_application
  before delete on rate_limiter.applications
  for each row
  execute function rate_limiter_internal.refuse_delete_of_application();

create or replace trigger audit_change
  after insert or update of tenant_id, cluster_id, name, metadata, auto_borrow, is_active or delete
  on rate_limiter.applications
  for each row
  execute function rate_limiter_internal.audit_change('app_id');
--! EndIncluded rate_limiter/triggers/applications.sql
--! Included rate_limiter/triggers/bandwidth_quotas.sql
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
--! EndIncluded rate_limiter/triggers/bandwidth_quotas.sql
--! Included rate_limiter/triggers/clusters.sql
create or replace trigger set_updated_at
  before update on rate_limiter.clusters
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger refuse_delete_of_cluster
  before delete on rate_limiter.clusters
  for each row
  execute function rate_limiter_internal.refuse_delete_of_cluster();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.clusters
  for each row
  execute function rate_limiter_internal.audit_change('cluster_id');
--! EndIncluded rate_limiter/triggers/clusters.sql
--! Included rate_limiter/triggers/cost_rules.sql
create or replace trigger audit_change
  after insert or update or delete on rate_limiter.cost_rules
  for each row
  execute function rate_limiter_internal.audit_change('rule_id');
--! EndIncluded rate_limiter/triggers/cost_rules.sql
--! Included rate_limiter/triggers/iops_quotas.sql
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
--! EndIncluded rate_limiter/triggers/iops_quotas.sql
--! Included rate_limiter/triggers/note_config_change.sql
create or replace trigger note_config_change
  after insert or update or delete on rate_limiter.quota_configs
  for each row execute function rate_limiter_internal.note_config_change();
comment on trigger note_config_change on rate_limiter.quota_configs is
  'Buckets take a version up at exactly its valid_from.';
--! EndIncluded rate_limiter/triggers/note_config_change.sql
--! Included rate_limiter/triggers/note_engine_setting.sql
create or replace trigger note_engine_setting
  after update on rate_limiter.system_settings
  for each row
  when (new.key in ('decision_synchronous_commit', 'layer_1_allotment_ms'))
  execute function rate_limiter_internal.note_engine_setting();
comment on trigger note_engine_setting on rate_limiter.system_settings is
  'Decisions read these settings from one row.';
--! EndIncluded rate_limiter/triggers/note_engine_setting.sql
--! Included rate_limiter/triggers/note_cost_rule.sql
create or replace trigger note_cost_rule
  after insert or update of app_id on rate_limiter.cost_rules
  for each row
  execute function rate_limiter_internal.note_cost_rule();
comment on trigger note_cost_rule on rate_limiter.cost_rules is
  'Has decisions look for the cost rules of an application that has one.';
--! EndIncluded rate_limiter/triggers/note_cost_rule.sql
--! Included rate_limiter/triggers/note_quota_change.sql
create or replace trigger note_quota_change
  after insert or update or delete on rate_limiter.iops_quotas
  for each row execute function rate_limiter_internal.note_quota_change();
comment on trigger note_quota_change on rate_limiter.iops_quotas is
  'Makes the bucket of a new quota, and tells it of changes.';

create or replace trigger note_quota_change
  after insert or update or delete on rate_limiter.bandwidth_quotas
  for each row execute function rate_limiter_internal.note_quota_change();
comment on trigger note_quota_change on rate_limiter.bandwidth_quotas is
  'Makes the bucket of a new quota, and tells it of changes.';
--! EndIncluded rate_limiter/triggers/note_quota_change.sql
--! Included rate_limiter/triggers/notify_change.sql
create or replace trigger notify_change
  after insert or update or delete on rate_limiter.quota_configs
  for each row execute function rate_limiter_internal.notify_change('quota', 'owner_id');
comment on trigger notify_change on rate_limiter.quota_configs is
  'Clients take other leases within a second.';

create or replace trigger notify_quota_change
  after insert or update or delete on rate_limiter.iops_quotas
  for each row execute function rate_limiter_internal.notify_quota_change();
comment on trigger notify_quota_change on rate_limiter.iops_quotas is
  'Clients take other leases within a second.';

create or replace trigger notify_quota_change
  after insert or update or delete on rate_limiter.bandwidth_quotas
  for each row execute function rate_limiter_internal.notify_quota_change();
comment on trigger notify_quota_change on rate_limiter.bandwidth_quotas is
  'Clients take other leases within a second.';

create or replace trigger notify_change
  after insert or update or delete on rate_limiter.cost_rules
  for each row execute function rate_limiter_internal.notify_change('cost_rule', 'app_id');
comment on trigger notify_change on rate_limiter.cost_rules is
  'Clients price the application''s operations anew.';

create or replace trigger notify_change
  after insert or update or delete on rate_limiter.operation_types
  for each row execute function rate_limiter_internal.notify_change('operation_type');
comment on trigger notify_change on rate_limiter.operation_types is
  'Clients price everybody''s operations anew.';

create or replace trigger notify_change
  after update of cluster_id, auto_borrow, tenant_is_active, is_active or delete
  on rate_limiter.applications
  for each row execute function rate_limiter_internal.notify_change('application', 'app_id');
comment on trigger notify_change on rate_limiter.applications is
  'Clients notice that it is served no longer, or by another cluster.';

create or replace trigger notify_tenant_change
  after update on rate_limiter.tenants
  for each row
  when (old.is_active <> new.is_active)
  execute function rate_limiter_internal.notify_tenant_change();
comment on trigger notify_tenant_change on rate_limiter.tenants is
  'Clients notice that its applications are served no longer.';

create or replace trigger notify_change
  after update on rate_limiter.system_settings
  for each row
  when (old.value is distinct from new.value)
  execute function rate_limiter_internal.notify_change('settings');
comment on trigger notify_change on rate_limiter.system_settings is
  'Clients take leases by the new settings.';
--! EndIncluded rate_limiter/triggers/notify_change.sql
--! Included rate_limiter/triggers/operation_types.sql
create or replace trigger set_updated_at
  before update on rate_limiter.operation_types
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.operation_types
  for each row
  execute function rate_limiter_internal.audit_change('operation_id');
--! EndIncluded rate_limiter/triggers/operation_types.sql
--! Included rate_limiter/triggers/quota_configs.sql
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
--! EndIncluded rate_limiter/triggers/quota_configs.sql
--! Included rate_limiter/triggers/retention_policies.sql
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
--! EndIncluded rate_limiter/triggers/retention_policies.sql
--! Included rate_limiter/triggers/role_permissions.sql
create or replace trigger set_granted_by
  before insert on rate_limiter.role_permissions
  for each row
  execute function rate_limiter_internal.set_granted_by();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.role_permissions
  for each row
  execute function rate_limiter_internal.audit_change('role_permission_id');
--! EndIncluded rate_limiter/triggers/role_permissions.sql
--! Included rate_limiter/triggers/roles.sql
create or replace trigger set_updated_at
  before update on rate_limiter.roles
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger refuse_update_of_system_role
  before update of name, is_system on rate_limiter.roles
  for each row
  when (
    old.is_system
    and (new.name is distinct from old.name or new.is_system is distinct from old.is_system)
  )
  execute function rate_limiter_internal.refuse_system_role_change();

create or replace trigger refuse_delete_of_system_role
  before delete on rate_limiter.roles
  for each row
  when (old.is_system)
  execute function rate_limiter_internal.refuse_system_role_change();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.roles
  for each row
  execute function rate_limiter_internal.audit_change('role_id');
--! EndIncluded rate_limiter/triggers/roles.sql
--! Included rate_limiter/triggers/system_settings.sql
create or replace trigger set_updated_at
  before update on rate_limiter.system_settings
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger set_updated_by
  before update on rate_limiter.system_settings
  for each row
  when (old.value is distinct from new.value)
  execute function rate_limiter_internal.set_updated_by();

create or replace trigger check_setting
  before insert or update on rate_limiter.system_settings
  for each row
  execute function rate_limiter_internal.check_setting();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.system_settings
  for each row
  execute function rate_limiter_internal.audit_change('setting_id');
--! EndIncluded rate_limiter/triggers/system_settings.sql
--! Included rate_limiter/triggers/tenants.sql
create or replace trigger set_updated_at
  before update on rate_limiter.tenants
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger tell_applications
  after update of is_active on rate_limiter.tenants
  for each row
  when (old.is_active <> new.is_active)
  execute function rate_limiter_internal.tell_applications();

create or replace trigger refuse_delete_of_tenant
  before delete on rate_limiter.tenants
  for each row
  execute function rate_limiter_internal.refuse_delete_of_tenant();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.tenants
  for each row
  execute function rate_limiter_internal.audit_change('tenant_id');
--! EndIncluded rate_limiter/triggers/tenants.sql
--! Included rate_limiter/triggers/user_roles.sql
create or replace trigger set_assigned_by
  before insert on rate_limiter.user_roles
  for each row
  execute function rate_limiter_internal.set_assigned_by();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.user_roles
  for each row
  execute function rate_limiter_internal.audit_change('user_role_id');
--! EndIncluded rate_limiter/triggers/user_roles.sql
--! Included rate_limiter/triggers/users.sql
create or replace trigger set_updated_at
  before update on rate_limiter.users
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.users
  for each row
  execute function rate_limiter_internal.audit_change('user_id');
--! EndIncluded rate_limiter/triggers/users.sql
--! Included rate_limiter_audit/triggers/audit_logs.sql
create or replace trigger refuse_change
  before update or delete on rate_limiter_audit.audit_logs
  for each row
  execute function rate_limiter_internal.refuse_change();
--! EndIncluded rate_limiter_audit/triggers/audit_logs.sql
--! Included rate_limiter_audit/triggers/quota_version_history.sql
create or replace trigger refuse_version_change
  before update on rate_limiter_audit.quota_version_history
  for each row
  execute function rate_limiter_internal.refuse_version_change();

create or replace trigger refuse_change
  before delete on rate_limiter_audit.quota_version_history
  for each row
  execute function rate_limiter_internal.refuse_change();
--! EndIncluded rate_limiter_audit/triggers/quota_version_history.sql
--! Included rate_limiter_private/triggers/api_keys.sql
create or replace trigger audit_change
  after insert or update or delete on rate_limiter_private.api_keys
  for each row
  execute function rate_limiter_internal.audit_change('api_key_id', 'key_hash');
--! EndIncluded rate_limiter_private/triggers/api_keys.sql
--! Included rate_limiter_private/triggers/notify_change.sql
create or replace trigger notify_change
  after insert or update or delete on rate_limiter_private.api_keys
  for each row execute function rate_limiter_internal.notify_change('api_key', 'app_id');
comment on trigger notify_change on rate_limiter_private.api_keys is
  'Clients stop at once when their key is revoked.';
--! EndIncluded rate_limiter_private/triggers/notify_change.sql

-- Row-level security
--! Included rate_limiter/policies/alert_configs.sql
-- Who runs the operations and who administers the applications decide what to watch for.
alter table rate_limiter.alert_configs enable row level security;

drop policy if exists readable on rate_limiter.alert_configs;
create policy readable on rate_limiter.alert_configs
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

drop policy if exists insertable on rate_limiter.alert_configs;
create policy insertable on rate_limiter.alert_configs
  for insert to rate_limiter_visitor
  with check (
    (
      (select rate_limiter_internal.may('system', 'monitor'))
      or (select rate_limiter_internal.may('application', 'update'))
    )
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists updatable on rate_limiter.alert_configs;
create policy updatable on rate_limiter.alert_configs
  for update to rate_limiter_visitor
  using (
    (
      (select rate_limiter_internal.may('system', 'monitor'))
      or (select rate_limiter_internal.may('application', 'update'))
    )
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  )
  with check (
    (
      (select rate_limiter_internal.may('system', 'monitor'))
      or (select rate_limiter_internal.may('application', 'update'))
    )
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists deletable on rate_limiter.alert_configs;
create policy deletable on rate_limiter.alert_configs
  for delete to rate_limiter_visitor
  using (
    (
      (select rate_limiter_internal.may('system', 'monitor'))
      or (select rate_limiter_internal.may('application', 'update'))
    )
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists monitored on rate_limiter.alert_configs;
create policy monitored on rate_limiter.alert_configs
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/alert_configs.sql
--! Included rate_limiter/policies/alert_history.sql
-- Written by functions alone.
alter table rate_limiter.alert_history enable row level security;

drop policy if exists readable on rate_limiter.alert_history;
create policy readable on rate_limiter.alert_history
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

drop policy if exists monitored on rate_limiter.alert_history;
create policy monitored on rate_limiter.alert_history
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/alert_history.sql
--! Included rate_limiter/policies/alert_notices.sql
-- Written by functions alone.
alter table rate_limiter.alert_notices enable row level security;

drop policy if exists readable on rate_limiter.alert_notices;
create policy readable on rate_limiter.alert_notices
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

drop policy if exists monitored on rate_limiter.alert_notices;
create policy monitored on rate_limiter.alert_notices
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/alert_notices.sql
--! Included rate_limiter/policies/applications.sql
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
    (select rate_limiter_internal.may('application', 'update'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  )
  with check (
    (select rate_limiter_internal.may('application', 'update'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

drop policy if exists deletable on rate_limiter.applications;
create policy deletable on rate_limiter.applications
  for delete to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('application', 'delete'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

drop policy if exists monitored on rate_limiter.applications;
create policy monitored on rate_limiter.applications
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/applications.sql
--! Included rate_limiter/policies/bandwidth_metrics.sql
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
--! EndIncluded rate_limiter/policies/bandwidth_metrics.sql
--! Included rate_limiter/policies/bandwidth_quotas.sql
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
--! EndIncluded rate_limiter/policies/bandwidth_quotas.sql
--! Included rate_limiter/policies/charges.sql
-- Written by functions alone.
alter table rate_limiter.charges enable row level security;

drop policy if exists readable on rate_limiter.charges;
create policy readable on rate_limiter.charges
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

drop policy if exists monitored on rate_limiter.charges;
create policy monitored on rate_limiter.charges
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/charges.sql
--! Included rate_limiter/policies/clusters.sql
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
--! EndIncluded rate_limiter/policies/clusters.sql
--! Included rate_limiter/policies/cost_rules.sql
alter table rate_limiter.cost_rules enable row level security;

drop policy if exists readable on rate_limiter.cost_rules;
create policy readable on rate_limiter.cost_rules
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
    )
  );

drop policy if exists insertable on rate_limiter.cost_rules;
create policy insertable on rate_limiter.cost_rules
  for insert to rate_limiter_visitor
  with check (
    (select rate_limiter_internal.may('quota', 'create'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists updatable on rate_limiter.cost_rules;
create policy updatable on rate_limiter.cost_rules
  for update to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('quota', 'update'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  )
  with check (
    (select rate_limiter_internal.may('quota', 'update'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists deletable on rate_limiter.cost_rules;
create policy deletable on rate_limiter.cost_rules
  for delete to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('quota', 'delete'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists monitored on rate_limiter.cost_rules;
create policy monitored on rate_limiter.cost_rules
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/cost_rules.sql
--! Included rate_limiter/policies/denial_counts.sql
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
--! EndIncluded rate_limiter/policies/denial_counts.sql
--! Included rate_limiter/policies/iops_metrics.sql
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
--! EndIncluded rate_limiter/policies/iops_metrics.sql
--! Included rate_limiter/policies/iops_quotas.sql
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
--! EndIncluded rate_limiter/policies/iops_quotas.sql
--! Included rate_limiter/policies/metrics.sql
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
--! EndIncluded rate_limiter/policies/metrics.sql
--! Included rate_limiter/policies/metrics_daily.sql
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
--! EndIncluded rate_limiter/policies/metrics_daily.sql
--! Included rate_limiter/policies/metrics_hourly.sql
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
--! EndIncluded rate_limiter/policies/metrics_hourly.sql
--! Included rate_limiter/policies/operation_types.sql
-- The same for every tenant: only system administrators change what operations cost.
alter table rate_limiter.operation_types enable row level security;

drop policy if exists readable on rate_limiter.operation_types;
create policy readable on rate_limiter.operation_types
  for select to rate_limiter_visitor
  using ((select rate_limiter_internal.current_user_id()) is not null);

drop policy if exists insertable on rate_limiter.operation_types;
create policy insertable on rate_limiter.operation_types
  for insert to rate_limiter_visitor
  with check (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists updatable on rate_limiter.operation_types;
create policy updatable on rate_limiter.operation_types
  for update to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  )
  with check (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists monitored on rate_limiter.operation_types;
create policy monitored on rate_limiter.operation_types
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/operation_types.sql
--! Included rate_limiter/policies/permissions.sql
-- Code asks for permissions by name: nobody adds or takes away any.
alter table rate_limiter.permissions enable row level security;

drop policy if exists readable on rate_limiter.permissions;
create policy readable on rate_limiter.permissions
  for select to rate_limiter_visitor
  using ((select rate_limiter_internal.current_user_id()) is not null);

drop policy if exists monitored on rate_limiter.permissions;
create policy monitored on rate_limiter.permissions
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/permissions.sql
--! Included rate_limiter/policies/quota_configs.sql
-- Written by functions alone: a quota spans three tables and leaves a version. A cluster's quota
-- has no app_id, so that only system administrators see it.
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
    )
  );

drop policy if exists monitored on rate_limiter.quota_configs;
create policy monitored on rate_limiter.quota_configs
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/quota_configs.sql
--! Included rate_limiter/policies/retention_policies.sql
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
--! EndIncluded rate_limiter/policies/retention_policies.sql
--! Included rate_limiter/policies/role_permissions.sql
-- The roles are the same for every tenant: only system administrators change what they allow.
alter table rate_limiter.role_permissions enable row level security;

drop policy if exists readable on rate_limiter.role_permissions;
create policy readable on rate_limiter.role_permissions
  for select to rate_limiter_visitor
  using ((select rate_limiter_internal.current_user_id()) is not null);

drop policy if exists insertable on rate_limiter.role_permissions;
create policy insertable on rate_limiter.role_permissions
  for insert to rate_limiter_visitor
  with check (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists deletable on rate_limiter.role_permissions;
create policy deletable on rate_limiter.role_permissions
  for delete to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists monitored on rate_limiter.role_permissions;
create policy monitored on rate_limiter.role_permissions
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/role_permissions.sql
--! Included rate_limiter/policies/roles.sql
-- Whoever is signed in may know what roles there are.
alter table rate_limiter.roles enable row level security;

drop policy if exists readable on rate_limiter.roles;
create policy readable on rate_limiter.roles
  for select to rate_limiter_visitor
  using ((select rate_limiter_internal.current_user_id()) is not null);

drop policy if exists insertable on rate_limiter.roles;
create policy insertable on rate_limiter.roles
  for insert to rate_limiter_visitor
  with check (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
    and not is_system
  );

drop policy if exists updatable on rate_limiter.roles;
create policy updatable on rate_limiter.roles
  for update to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  )
  with check (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists deletable on rate_limiter.roles;
create policy deletable on rate_limiter.roles
  for delete to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists monitored on rate_limiter.roles;
create policy monitored on rate_limiter.roles
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/roles.sql
--! Included rate_limiter/policies/system_settings.sql
-- Settings come with the product: values change, rows neither come nor go.
alter table rate_limiter.system_settings enable row level security;

drop policy if exists readable on rate_limiter.system_settings;
create policy readable on rate_limiter.system_settings
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.current_user_id()) is not null
    and (not is_sensitive or (select rate_limiter_internal.is_system_admin()))
  );

drop policy if exists updatable on rate_limiter.system_settings;
create policy updatable on rate_limiter.system_settings
  for update to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  )
  with check (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists monitored on rate_limiter.system_settings;
create policy monitored on rate_limiter.system_settings
  for select to rate_limiter_readonly
  using (not is_sensitive);
--! EndIncluded rate_limiter/policies/system_settings.sql
--! Included rate_limiter/policies/tenants.sql
-- Everybody sees their own tenant; system administrators see and make all of them. Only they
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
    (select rate_limiter_internal.may('tenant', 'create'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists updatable on rate_limiter.tenants;
create policy updatable on rate_limiter.tenants
  for update to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('tenant', 'update'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  )
  with check (
    (select rate_limiter_internal.may('tenant', 'update'))
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
    (select rate_limiter_internal.may('tenant', 'delete'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists monitored on rate_limiter.tenants;
create policy monitored on rate_limiter.tenants
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/tenants.sql
--! Included rate_limiter/policies/token_borrowing.sql
-- Written by functions alone. A cluster's rows add up what all tenants do: only system
-- administrators see them.
alter table rate_limiter.token_borrowing enable row level security;

drop policy if exists readable on rate_limiter.token_borrowing;
create policy readable on rate_limiter.token_borrowing
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('metrics', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or owner_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists monitored on rate_limiter.token_borrowing;
create policy monitored on rate_limiter.token_borrowing
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/token_borrowing.sql
--! Included rate_limiter/policies/token_buckets.sql
-- Written by functions alone. A cluster's rows add up what all tenants do: only system
-- administrators see them.
alter table rate_limiter.token_buckets enable row level security;

drop policy if exists readable on rate_limiter.token_buckets;
create policy readable on rate_limiter.token_buckets
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('metrics', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or owner_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists monitored on rate_limiter.token_buckets;
create policy monitored on rate_limiter.token_buckets
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/token_buckets.sql
--! Included rate_limiter/policies/token_leases.sql
-- Written by functions alone.
alter table rate_limiter.token_leases enable row level security;

drop policy if exists readable on rate_limiter.token_leases;
create policy readable on rate_limiter.token_leases
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

drop policy if exists monitored on rate_limiter.token_leases;
create policy monitored on rate_limiter.token_leases
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/token_leases.sql
--! Included rate_limiter/policies/token_transactions.sql
-- Written by functions alone. A cluster's rows add up what all tenants do: only system
-- administrators see them.
alter table rate_limiter.token_transactions enable row level security;

drop policy if exists readable on rate_limiter.token_transactions;
create policy readable on rate_limiter.token_transactions
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('metrics', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or owner_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists monitored on rate_limiter.token_transactions;
create policy monitored on rate_limiter.token_transactions
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/token_transactions.sql
--! Included rate_limiter/policies/user_roles.sql
-- Seen with the user. Nobody gives what they do not hold (may_grant_role), nor changes somebody
-- who holds more (may_manage_user): so no tenant's administrator ever makes a system administrator.
alter table rate_limiter.user_roles enable row level security;

drop policy if exists readable on rate_limiter.user_roles;
create policy readable on rate_limiter.user_roles
  for select to rate_limiter_visitor
  using (user_id in (select u.user_id from rate_limiter.users as u));

drop policy if exists insertable on rate_limiter.user_roles;
create policy insertable on rate_limiter.user_roles
  for insert to rate_limiter_visitor
  with check (
    rate_limiter_internal.may_manage_user(user_id)
    and rate_limiter_internal.may_grant_role(role_id)
  );

drop policy if exists updatable on rate_limiter.user_roles;
create policy updatable on rate_limiter.user_roles
  for update to rate_limiter_visitor
  using (
    rate_limiter_internal.may_manage_user(user_id)
    and rate_limiter_internal.may_grant_role(role_id)
  )
  with check (
    rate_limiter_internal.may_manage_user(user_id)
    and rate_limiter_internal.may_grant_role(role_id)
  );

drop policy if exists deletable on rate_limiter.user_roles;
create policy deletable on rate_limiter.user_roles
  for delete to rate_limiter_visitor
  using (
    rate_limiter_internal.may_manage_user(user_id)
    and rate_limiter_internal.may_grant_role(role_id)
  );

drop policy if exists monitored on rate_limiter.user_roles;
create policy monitored on rate_limiter.user_roles
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/user_roles.sql
--! Included rate_limiter/policies/users.sql
-- Everybody sees themselves; colleagues are seen by who administers or audits the tenant.
alter table rate_limiter.users enable row level security;

drop policy if exists readable on rate_limiter.users;
create policy readable on rate_limiter.users
  for select to rate_limiter_visitor
  using (
    user_id = (select rate_limiter_internal.current_user_id())
    or (
      (
        (select rate_limiter_internal.may('tenant', 'update'))
        or (select rate_limiter_internal.may('audit', 'read'))
      )
      and (
        (select rate_limiter_internal.is_system_admin())
        or tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists insertable on rate_limiter.users;
create policy insertable on rate_limiter.users
  for insert to rate_limiter_visitor
  with check (
    (select rate_limiter_internal.may('tenant', 'update'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

drop policy if exists updatable on rate_limiter.users;
create policy updatable on rate_limiter.users
  for update to rate_limiter_visitor
  using (
    rate_limiter_internal.may_manage_user(user_id)
  )
  with check (
    (select rate_limiter_internal.may('tenant', 'update'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

drop policy if exists deletable on rate_limiter.users;
create policy deletable on rate_limiter.users
  for delete to rate_limiter_visitor
  using (
    user_id <> (select rate_limiter_internal.current_user_id())
    and rate_limiter_internal.may_manage_user(user_id)
  );

drop policy if exists monitored on rate_limiter.users;
create policy monitored on rate_limiter.users
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/policies/users.sql
--! Included rate_limiter_audit/policies/audit_logs.sql
-- Written by triggers and functions alone, changed by nobody.
alter table rate_limiter_audit.audit_logs enable row level security;

drop policy if exists readable on rate_limiter_audit.audit_logs;
create policy readable on rate_limiter_audit.audit_logs
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('audit', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

drop policy if exists monitored on rate_limiter_audit.audit_logs;
create policy monitored on rate_limiter_audit.audit_logs
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter_audit/policies/audit_logs.sql
--! Included rate_limiter_audit/policies/quota_version_history.sql
-- Written by triggers and functions alone, changed by nobody.
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
    )
  );

drop policy if exists monitored on rate_limiter_audit.quota_version_history;
create policy monitored on rate_limiter_audit.quota_version_history
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter_audit/policies/quota_version_history.sql

-- Grants
--! Included rate_limiter/grants/alert_configs.sql
revoke all on rate_limiter.alert_configs
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.alert_configs to rate_limiter_visitor;
grant select (alert_id, app_id, metric_name, condition, threshold_value, duration_seconds,
  severity, is_active, cooldown_seconds, created_at, updated_at)
  on rate_limiter.alert_configs to rate_limiter_readonly;
grant insert (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
  notification_config, cooldown_seconds)
  on rate_limiter.alert_configs to rate_limiter_visitor;
grant update (metric_name, condition, threshold_value, duration_seconds, severity, is_active,
  notification_config, cooldown_seconds)
  on rate_limiter.alert_configs to rate_limiter_visitor;
grant delete on rate_limiter.alert_configs to rate_limiter_visitor;
--! EndIncluded rate_limiter/grants/alert_configs.sql
--! Included rate_limiter/grants/alert_history.sql
revoke all on rate_limiter.alert_history
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.alert_history to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/alert_history.sql
--! Included rate_limiter/grants/alert_notices.sql
revoke all on rate_limiter.alert_notices
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.alert_notices to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/alert_notices.sql
--! Included rate_limiter/grants/applications.sql
revoke all on rate_limiter.applications
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.applications to rate_limiter_visitor, rate_limiter_readonly;
grant update (name, metadata, auto_borrow, is_active) on rate_limiter.applications
  to rate_limiter_visitor;
grant delete on rate_limiter.applications to rate_limiter_visitor;
--! EndIncluded rate_limiter/grants/applications.sql
--! Included rate_limiter/grants/bandwidth_metrics.sql
revoke all on rate_limiter.bandwidth_metrics
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.bandwidth_metrics to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/bandwidth_metrics.sql
--! Included rate_limiter/grants/bandwidth_quotas.sql
revoke all on rate_limiter.bandwidth_quotas
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.bandwidth_quotas to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/bandwidth_quotas.sql
--! Included rate_limiter/grants/charges.sql
revoke all on rate_limiter.charges
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.charges to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/charges.sql
--! Included rate_limiter/grants/clusters.sql
revoke all on rate_limiter.clusters
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.clusters to rate_limiter_visitor, rate_limiter_readonly;
grant insert (name, region, endpoint, max_capacity, health_status, health_check_url)
  on rate_limiter.clusters to rate_limiter_visitor;
grant update (name, region, endpoint, max_capacity, health_status, health_check_url, is_active)
  on rate_limiter.clusters to rate_limiter_visitor;
grant delete on rate_limiter.clusters to rate_limiter_visitor;
--! EndIncluded rate_limiter/grants/clusters.sql
--! Included rate_limiter/grants/cost_rules.sql
revoke all on rate_limiter.cost_rules
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.cost_rules to rate_limiter_visitor, rate_limiter_readonly;
grant insert (operation_id, app_id, c_base_override, c_bw_override, valid_from, valid_to)
  on rate_limiter.cost_rules to rate_limiter_visitor;
grant update (c_base_override, c_bw_override, valid_from, valid_to, is_active)
  on rate_limiter.cost_rules to rate_limiter_visitor;
grant delete on rate_limiter.cost_rules to rate_limiter_visitor;
--! EndIncluded rate_limiter/grants/cost_rules.sql
--! Included rate_limiter/grants/denial_counts.sql
revoke all on rate_limiter.denial_counts
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.denial_counts to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/denial_counts.sql
--! Included rate_limiter/grants/iops_metrics.sql
revoke all on rate_limiter.iops_metrics
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.iops_metrics to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/iops_metrics.sql
--! Included rate_limiter/grants/iops_quotas.sql
revoke all on rate_limiter.iops_quotas
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.iops_quotas to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/iops_quotas.sql
--! Included rate_limiter/grants/metrics.sql
revoke all on rate_limiter.metrics
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.metrics to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/metrics.sql
--! Included rate_limiter/grants/metrics_daily.sql
revoke all on rate_limiter.metrics_daily
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.metrics_daily to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/metrics_daily.sql
--! Included rate_limiter/grants/metrics_hourly.sql
revoke all on rate_limiter.metrics_hourly
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.metrics_hourly to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/metrics_hourly.sql
--! Included rate_limiter/grants/mv_daily_quota_usage.sql
revoke all on rate_limiter.mv_daily_quota_usage from rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.mv_daily_quota_usage to rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/mv_daily_quota_usage.sql
--! Included rate_limiter/grants/operation_types.sql
revoke all on rate_limiter.operation_types
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.operation_types to rate_limiter_visitor, rate_limiter_readonly;
grant insert (name, category, c_base, unit_quantum, c_bw, description)
  on rate_limiter.operation_types to rate_limiter_visitor;
grant update (category, c_base, unit_quantum, c_bw, description, is_active)
  on rate_limiter.operation_types to rate_limiter_visitor;
--! EndIncluded rate_limiter/grants/operation_types.sql
--! Included rate_limiter/grants/permissions.sql
revoke all on rate_limiter.permissions
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.permissions to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/permissions.sql
--! Included rate_limiter/grants/quota_configs.sql
revoke all on rate_limiter.quota_configs
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.quota_configs to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/quota_configs.sql
--! Included rate_limiter/grants/rate_limiter.sql
grant usage on schema rate_limiter to rate_limiter_app, rate_limiter_worker, rate_limiter_visitor,
  rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/rate_limiter.sql
--! Included rate_limiter/grants/retention_policies.sql
revoke all on rate_limiter.retention_policies
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.retention_policies to rate_limiter_visitor, rate_limiter_readonly;
grant update (retain_for, export_first, is_active)
  on rate_limiter.retention_policies to rate_limiter_visitor;
--! EndIncluded rate_limiter/grants/retention_policies.sql
--! Included rate_limiter/grants/role_permissions.sql
revoke all on rate_limiter.role_permissions
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.role_permissions to rate_limiter_visitor, rate_limiter_readonly;
grant insert (role_id, permission_id) on rate_limiter.role_permissions to rate_limiter_visitor;
grant delete on rate_limiter.role_permissions to rate_limiter_visitor;
--! EndIncluded rate_limiter/grants/role_permissions.sql
--! Included rate_limiter/grants/roles.sql
revoke all on rate_limiter.roles
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.roles to rate_limiter_visitor, rate_limiter_readonly;
grant insert (name, description) on rate_limiter.roles to rate_limiter_visitor;
grant update (name, description) on rate_limiter.roles to rate_limiter_visitor;
grant delete on rate_limiter.roles to rate_limiter_visitor;
--! EndIncluded rate_limiter/grants/roles.sql
--! Included rate_limiter/grants/system_settings.sql
revoke all on rate_limiter.system_settings
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.system_settings to rate_limiter_visitor, rate_limiter_readonly;
grant update (value) on rate_limiter.system_settings to rate_limiter_visitor;
--! EndIncluded rate_limiter/grants/system_settings.sql
--! Included rate_limiter/grants/tenants.sql
revoke all on rate_limiter.tenants
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.tenants to rate_limiter_visitor, rate_limiter_readonly;
grant insert (name, description) on rate_limiter.tenants to rate_limiter_visitor;
grant update (name, description, is_active) on rate_limiter.tenants to rate_limiter_visitor;
grant delete on rate_limiter.tenants to rate_limiter_visitor;
--! EndIncluded rate_limiter/grants/tenants.sql
--! Included rate_limiter/grants/token_borrowing.sql
revoke all on rate_limiter.token_borrowing
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.token_borrowing to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/token_borrowing.sql
--! Included rate_limiter/grants/token_buckets.sql
revoke all on rate_limiter.token_buckets
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.token_buckets to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/token_buckets.sql
--! Included rate_limiter/grants/token_leases.sql
revoke all on rate_limiter.token_leases
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.token_leases to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/token_leases.sql
--! Included rate_limiter/grants/token_transactions.sql
revoke all on rate_limiter.token_transactions
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.token_transactions to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/grants/token_transactions.sql
--! Included rate_limiter/grants/user_roles.sql
revoke all on rate_limiter.user_roles
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.user_roles to rate_limiter_visitor, rate_limiter_readonly;
grant insert (user_id, role_id, expires_at) on rate_limiter.user_roles to rate_limiter_visitor;
grant update (expires_at) on rate_limiter.user_roles to rate_limiter_visitor;
grant delete on rate_limiter.user_roles to rate_limiter_visitor;
--! EndIncluded rate_limiter/grants/user_roles.sql
--! Included rate_limiter/grants/users.sql
revoke all on rate_limiter.users
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.users to rate_limiter_visitor, rate_limiter_readonly;
grant insert (tenant_id, username, email) on rate_limiter.users to rate_limiter_visitor;
grant update (username, email, is_active) on rate_limiter.users to rate_limiter_visitor;
grant delete on rate_limiter.users to rate_limiter_visitor;
--! EndIncluded rate_limiter/grants/users.sql
--! Included rate_limiter_admin/grants/rate_limiter_admin.sql
grant usage on schema rate_limiter_admin to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_admin/grants/rate_limiter_admin.sql
--! Included rate_limiter_audit/grants/audit_logs.sql
revoke all on rate_limiter_audit.audit_logs
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_audit.audit_logs to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_audit/grants/audit_logs.sql
--! Included rate_limiter_audit/grants/quota_version_history.sql
revoke all on rate_limiter_audit.quota_version_history
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select
  on rate_limiter_audit.quota_version_history to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_audit/grants/quota_version_history.sql
--! Included rate_limiter_audit/grants/rate_limiter_audit.sql
grant usage on schema rate_limiter_audit to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_audit/grants/rate_limiter_audit.sql
--! Included rate_limiter_internal/grants/rate_limiter_internal.sql
grant usage on schema rate_limiter_internal to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/grants/rate_limiter_internal.sql
--! Included rate_limiter_private/grants/api_keys.sql
revoke all on rate_limiter_private.api_keys
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select (app_id, api_key_id, prefix, name, created_at, created_by, expires_at,
  revoked_at, revoked_by)
  on rate_limiter_private.api_keys to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/grants/api_keys.sql
--! Included rate_limiter_private/grants/job_progress.sql
revoke all on rate_limiter_private.job_progress
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.job_progress to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/grants/job_progress.sql
--! Included rate_limiter_private/grants/job_workers.sql
revoke all on rate_limiter_private.job_workers
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.job_workers to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/grants/job_workers.sql
--! Included rate_limiter_private/grants/ledger_checks.sql
revoke all on rate_limiter_private.ledger_checks
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.ledger_checks to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/grants/ledger_checks.sql
--! Included rate_limiter_private/grants/login_addresses.sql
revoke all on rate_limiter_private.login_addresses
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.login_addresses to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/grants/login_addresses.sql
--! Included rate_limiter_private/grants/metric_changes.sql
revoke all on rate_limiter_private.metric_changes
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.metric_changes to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/grants/metric_changes.sql
--! Included rate_limiter_private/grants/partitioned_tables.sql
revoke all on rate_limiter_private.partitioned_tables
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.partitioned_tables to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/grants/partitioned_tables.sql
--! Included rate_limiter_private/grants/rate_limiter_private.sql
grant usage on schema rate_limiter_private
  to rate_limiter_worker, rate_limiter_authenticator, rate_limiter_readonly;
--! EndIncluded rate_limiter_private/grants/rate_limiter_private.sql
--! Included rate_limiter_private/grants/user_secrets.sql
revoke all on rate_limiter_private.user_secrets
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select (user_id, password_changed_at, failed_attempts, last_failed_at,
  locked_until)
  on rate_limiter_private.user_secrets to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/grants/user_secrets.sql
--! Included rate_limiter_private/grants/user_sessions.sql
revoke all on rate_limiter_private.user_sessions
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select (session_id, user_id, ip_address, user_agent, created_at,
  last_used_at, refresh_expires_at, expires_at, revoked_at, revoke_reason)
  on rate_limiter_private.user_sessions to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/grants/user_sessions.sql

-- Calls
--! Included rate_limiter_private/calls/make_partitions.sql
-- So that the first row already finds its partition; from then on the worker makes them ahead.
select rate_limiter_private.make_partitions();
--! EndIncluded rate_limiter_private/calls/make_partitions.sql
--! EndIncluded all.sql
