--! Previous: sha1:a89277935f23d8797655bef2fdab8c3946e4812c
--! Hash: sha1:c70cbcd50f08a593de3790c225919683865fb78b
--! Message: access and settings

-- Access
--! Included rate_limiter_internal/access/require_application.sql
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
  'Raises QS401 or QS403 without the permission, QS404 for an application that it does not cover.';
--! EndIncluded rate_limiter_internal/access/require_application.sql
--! Included rate_limiter_internal/access/require_cluster.sql
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
--! EndIncluded rate_limiter_internal/access/require_cluster.sql
--! Included rate_limiter_internal/access/require_manageable_user.sql
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
      hint = 'Ask an administrator who may give these roles, for as long.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_manageable_user(uuid) is
  'Raises QS401, QS403 or QS404 unless the signed-in user may change this user.';
--! EndIncluded rate_limiter_internal/access/require_manageable_user.sql
--! Included rate_limiter_internal/access/set_updated_at.sql
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
--! EndIncluded rate_limiter_internal/access/set_updated_at.sql
--! Included rate_limiter_internal/access/set_updated_by.sql
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
  'Trigger: stores which user changed a row last; null where no user is signed in.';
--! EndIncluded rate_limiter_internal/access/set_updated_by.sql
--! Included rate_limiter_internal/access/set_assigned_by.sql
create or replace function rate_limiter_internal.set_assigned_by()
returns trigger
language plpgsql
as $$
begin
  new.assigned_by := rate_limiter_internal.current_giver_id();
  return new;
end;
$$;

comment on function rate_limiter_internal.set_assigned_by() is
  'Trigger: says who answers for a role of a user.';
--! EndIncluded rate_limiter_internal/access/set_assigned_by.sql
--! Included rate_limiter_internal/access/set_granted_by.sql
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
--! EndIncluded rate_limiter_internal/access/set_granted_by.sql
--! Included rate_limiter_internal/access/refuse_system_role_change.sql
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
--! EndIncluded rate_limiter_internal/access/refuse_system_role_change.sql
--! Included rate_limiter_internal/access/require_account_of_another.sql
create or replace function rate_limiter_internal.require_account_of_another(user_id uuid)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if require_account_of_another.user_id = rate_limiter_internal.current_user_id() then
    raise exception using
      errcode = 'QS403',
      message = 'your own account asks for your password',
      hint = 'Use changePassword, changeEmail or removeSecondFactor.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_account_of_another(uuid) is
  'Refuses the signed-in user: a stolen token must not become the account.';
--! EndIncluded rate_limiter_internal/access/require_account_of_another.sql
--! Included rate_limiter_internal/access/require_access_to_give.sql
create or replace function rate_limiter_internal.require_access_to_give(user_id uuid)
returns void
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_account_of_another(require_access_to_give.user_id);
  perform rate_limiter_internal.require_manageable_user(require_access_to_give.user_id);
end;
$$;

comment on function rate_limiter_internal.require_access_to_give(uuid) is
  'Raises QS401, QS403 or QS404 unless the signed-in user may give access to the account of this '
  'other user: a password, an address, a second factor.';
grant execute on function rate_limiter_internal.require_access_to_give(uuid)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/access/require_access_to_give.sql
--! Included rate_limiter_internal/access/guard_email_change.sql
create or replace function rate_limiter_internal.guard_email_change()
returns trigger
language plpgsql
as $$
begin
  -- Functions that have seen the password run as their owner.
  if current_user = 'rate_limiter_visitor' then
    perform rate_limiter_internal.require_access_to_give(old.user_id);
  end if;
  return new;
end;
$$;

comment on function rate_limiter_internal.guard_email_change() is
  'Trigger: the address of an account is a key to it, and changes as its password does.';
--! EndIncluded rate_limiter_internal/access/guard_email_change.sql
--! Included rate_limiter_internal/access/keep_admin_permissions.sql
create or replace function rate_limiter_internal.keep_admin_permissions()
returns trigger
language plpgsql
as $$
begin
  if exists (
    select
    from rate_limiter.roles as r
    where r.role_id = old.role_id
      and r.name = 'system_admin'
  ) then
    raise exception using
      errcode = 'QS409',
      message = 'role comes with the system',
      detail = 'role: system_admin',
      hint = 'System administrators keep every permission: else none could give it back.';
  end if;
  return case tg_op when 'DELETE' then old else new end;
end;
$$;

comment on function rate_limiter_internal.keep_admin_permissions() is
  'Trigger: takes no permission from system administrators.';
--! EndIncluded rate_limiter_internal/access/keep_admin_permissions.sql
--! Included rate_limiter_internal/access/end_roles_of_groups.sql
create or replace function rate_limiter_internal.end_roles_of_groups(giver_id uuid)
returns void
language sql
volatile
parallel unsafe
as $$
  update rate_limiter.user_roles as ur
  set expires_at = current_timestamp
  from rate_limiter.role_mappings as m
  where m.mapping_id = ur.mapping_id
    and m.created_by = end_roles_of_groups.giver_id
    and ur.expires_at > current_timestamp
    and not rate_limiter_internal.could_give_role(
      m.created_by, m.role_id, m.tenant_id, clock_timestamp()
    );
$$;

comment on function rate_limiter_internal.end_roles_of_groups(uuid) is
  'Ends the roles that users hold by mappings of a user who could not make these now.';
--! EndIncluded rate_limiter_internal/access/end_roles_of_groups.sql
--! Included rate_limiter_internal/access/keep_giver.sql
create or replace function rate_limiter_internal.keep_giver()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
      select
      from rate_limiter.user_roles as ur
      where ur.assigned_by = old.user_id
        and ur.user_id <> old.user_id
        and ur.mapping_id is null
        and (ur.expires_at is null or ur.expires_at > current_timestamp)
    )
    or exists (
      select
      from rate_limiter.role_mappings as m
      where m.created_by = old.user_id
        and (m.lasts_until is null or m.lasts_until > current_timestamp)
    )
    or exists (
      select
      from rate_limiter_private.service_tokens as t
      where t.created_by = old.user_id
        and t.user_id <> old.user_id
        and t.revoked_at is null
        and t.expires_at > current_timestamp
    )
  then
    raise exception using
      errcode = 'QS409',
      message = 'user has given what still lasts',
      detail = format('user: %s', old.user_id),
      hint = 'Review it first: grants lists it, revokeGrants ends it, adoptGrants makes it yours. '
        'Or deactivate the user.';
  end if;
  return old;
end;
$$;

comment on function rate_limiter_internal.keep_giver() is
  'Trigger: keeps a user who has given roles or tokens that last, so that it stays known who did.';
--! EndIncluded rate_limiter_internal/access/keep_giver.sql
--! Included rate_limiter_internal/access/end_sessions_of_user.sql
create or replace function rate_limiter_internal.end_sessions_of_user()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- They were for this address, and for an active user.
  perform rate_limiter_private.revoke_invitations(old.user_id);

  if old.is_active and not new.is_active then
    perform rate_limiter_private.revoke_sessions(old.user_id, 'user_deactivated');
    perform rate_limiter_private.revoke_service_tokens(array[old.user_id]);
    perform rate_limiter_internal.end_roles_of_groups(old.user_id);
  else
    perform rate_limiter_private.revoke_sessions(
      old.user_id,
      'email_changed',
      case
        when old.user_id = rate_limiter_internal.current_user_id()
          then rate_limiter_internal.context_text('session_id')::uuid
      end
    );
  end if;
  return null;
end;
$$;

comment on function rate_limiter_internal.end_sessions_of_user() is
  'Trigger: ends the sessions of a user who is deactivated or gets another address. They stay '
  'ended when the user is active again.';
--! EndIncluded rate_limiter_internal/access/end_sessions_of_user.sql
--! Included rate_limiter_internal/access/end_sessions_of_tenant.sql
create or replace function rate_limiter_internal.end_sessions_of_tenant()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_private.revoke_sessions(u.user_id, 'tenant_deactivated')
  from rate_limiter.users as u
  where u.tenant_id = old.tenant_id;
  perform rate_limiter_private.revoke_service_tokens(array(
    select u.user_id
    from rate_limiter.users as u
    where u.tenant_id = old.tenant_id
      and u.is_service_account
  ));
  return null;
end;
$$;

comment on function rate_limiter_internal.end_sessions_of_tenant() is
  'Trigger: ends the sessions of all users of a tenant that is deactivated, for good.';
--! EndIncluded rate_limiter_internal/access/end_sessions_of_tenant.sql
--! Included rate_limiter_internal/access/end_sessions_at_role_loss.sql
create or replace function rate_limiter_internal.end_sessions_at_role_loss()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_private.revoke_sessions(old.user_id, 'role_lost');
  perform rate_limiter_internal.end_roles_of_groups(old.user_id);
  return null;
end;
$$;

comment on function rate_limiter_internal.end_sessions_at_role_loss() is
  'Trigger: ends the sessions of a user who loses a role, for good, and the roles that groups have '
  'by mappings that this user could not make now.';
--! EndIncluded rate_limiter_internal/access/end_sessions_at_role_loss.sql
--! Included rate_limiter_internal/access/has_way_in.sql
create or replace function rate_limiter_internal.has_way_in(user_id uuid)
returns boolean
language sql
stable
parallel safe
as $$
  select
    exists (
      select
      from rate_limiter_private.user_secrets as s
      where s.user_id = has_way_in.user_id
    )
    -- The provider may have closed the account since.
    or exists (
      select
      from rate_limiter_private.provider_accounts as p
      where p.user_id = has_way_in.user_id
        and p.last_seen_at > current_timestamp - interval '90 days'
    );
$$;

comment on function rate_limiter_internal.has_way_in(uuid) is
  'Whether a user has a password, or an identity provider that vouched for the user within the '
  'last 90 days.';
--! EndIncluded rate_limiter_internal/access/has_way_in.sql
--! Included rate_limiter_internal/access/can_sign_in.sql
create or replace function rate_limiter_internal.can_sign_in(user_id uuid)
returns boolean
language sql
stable
parallel safe
as $$
  select exists (
    select
    from rate_limiter.users as u
    join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
    where u.user_id = can_sign_in.user_id
      and u.is_active
      and t.is_active
      and rate_limiter_internal.has_way_in(u.user_id)
  );
$$;

comment on function rate_limiter_internal.can_sign_in(uuid) is
  'Whether a user is active and has a way in.';
--! EndIncluded rate_limiter_internal/access/can_sign_in.sql
--! Included rate_limiter_internal/access/administrator_can_sign_in.sql
create or replace function rate_limiter_internal.administrator_can_sign_in(until timestamptz)
returns boolean
language sql
stable
parallel safe
as $$
  select exists (
    select
    from rate_limiter.user_roles as ur
    join rate_limiter.roles as r on r.role_id = ur.role_id
    where r.name = 'system_admin'
      and (
        ur.expires_at is null
        or (
          ur.expires_at > current_timestamp
          and ur.expires_at >= administrator_can_sign_in.until
        )
      )
      and rate_limiter_internal.can_sign_in(ur.user_id)
  );
$$;

comment on function rate_limiter_internal.administrator_can_sign_in(timestamptz) is
  'Whether a user who can sign in administers the system, now and up to a moment.';
--! EndIncluded rate_limiter_internal/access/administrator_can_sign_in.sql
--! Included rate_limiter_internal/access/administers_until.sql
create or replace function rate_limiter_internal.administers_until(user_ids uuid[])
returns timestamptz
language sql
stable
parallel safe
as $$
  select max(coalesce(ur.expires_at, 'infinity'))
  from rate_limiter.user_roles as ur
  join rate_limiter.roles as r on r.role_id = ur.role_id
  where ur.user_id = any (administers_until.user_ids)
    and r.name = 'system_admin'
    and (ur.expires_at is null or ur.expires_at > current_timestamp);
$$;

comment on function rate_limiter_internal.administers_until(uuid[]) is
  'Until when one of these users is a system administrator while active; null where none is.';
--! EndIncluded rate_limiter_internal/access/administers_until.sql
--! Included rate_limiter_internal/access/keep_administrator.sql
create or replace function rate_limiter_internal.keep_administrator()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  taken_until timestamptz;
  taken_from text;
begin
  case tg_table_name
    when 'user_roles' then
      taken_from := format('user: %s', old.user_id);
      -- A user who cannot sign in administers nothing that could be taken.
      select coalesce(old.expires_at, 'infinity')
      into taken_until
      from rate_limiter.roles as r
      where r.role_id = old.role_id
        and r.name = 'system_admin'
        and not exists (
          select
          from rate_limiter.users as u
          where u.user_id = old.user_id
            and not rate_limiter_internal.can_sign_in(u.user_id)
        );
    when 'users' then
      taken_from := format('user: %s', old.user_id);
      select rate_limiter_internal.administers_until(array[old.user_id])
      into taken_until
      from rate_limiter.tenants as t
      where t.tenant_id = old.tenant_id
        and t.is_active
        and rate_limiter_internal.has_way_in(old.user_id);
    when 'tenants' then
      taken_from := format('tenant: %s', old.tenant_id);
      taken_until := rate_limiter_internal.administers_until(array(
        select u.user_id
        from rate_limiter.users as u
        where u.tenant_id = old.tenant_id
          and u.is_active
          and rate_limiter_internal.has_way_in(u.user_id)
      ));
  end case;

  if taken_until is null or taken_until <= current_timestamp then
    return null;
  end if;

  -- Two administrators who remove each other at once would leave none: one waits, and sees.
  perform
  from rate_limiter.roles as r
  where r.name = 'system_admin'
  for no key update;

  -- Seen from inside this transaction: no user could ever appoint the next one. What is left has
  -- to last as long as what is taken, or it would only be a matter of time.
  if not rate_limiter_internal.administrator_can_sign_in(taken_until) then
    raise exception using
      errcode = 'QS409',
      message = 'last system administrator',
      detail = taken_from,
      hint = 'Appoint another one first who can sign in, for no shorter time.';
  end if;

  return null;
end;
$$;

comment on function rate_limiter_internal.keep_administrator() is
  'Trigger: keeps an administrator of the system, for as long as before.';
--! EndIncluded rate_limiter_internal/access/keep_administrator.sql
--! Included rate_limiter_internal/access/keep_tenant_administrator.sql
create or replace function rate_limiter_internal.keep_tenant_administrator()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  -- As claimed: the change itself may have ended the session.
  actor_id constant uuid := rate_limiter_internal.context_text('user_id')::uuid;
  kept_tenant_id constant uuid := (
    select u.tenant_id
    from rate_limiter.users as u
    where u.user_id = old.user_id
  );
  taken_until timestamptz;
begin
  -- The owner of the database, and who administers the system, may leave a tenant to itself.
  if actor_id is null or rate_limiter_internal.administers_until(array[actor_id]) is not null then
    return null;
  end if;

  -- No user deletes itself: the one that deletes is left, for as long.
  if kept_tenant_id is null then
    return null;
  end if;

  if tg_table_name = 'user_roles' then
    select coalesce(old.expires_at, 'infinity')
    into taken_until
    from rate_limiter.roles as r
    where r.role_id = old.role_id
      and r.name = 'tenant_admin';
  else
    select max(coalesce(ur.expires_at, 'infinity'))
    into taken_until
    from rate_limiter.user_roles as ur
    join rate_limiter.roles as r on r.role_id = ur.role_id
    where ur.user_id = old.user_id
      and r.name = 'tenant_admin';
  end if;

  if taken_until is null or taken_until <= current_timestamp then
    return null;
  end if;

  -- Two who remove each other at once would leave none: one waits, and sees.
  perform
  from rate_limiter.tenants as t
  where t.tenant_id = kept_tenant_id
  for no key update;

  if not exists (
    select
    from rate_limiter.users as u
    join rate_limiter.user_roles as ur on ur.user_id = u.user_id
    join rate_limiter.roles as r on r.role_id = ur.role_id
    where u.tenant_id = kept_tenant_id
      and r.name = 'tenant_admin'
      and (
        ur.expires_at is null
        or (ur.expires_at > current_timestamp and ur.expires_at >= taken_until)
      )
      and rate_limiter_internal.can_sign_in(u.user_id)
  ) then
    raise exception using
      errcode = 'QS409',
      message = 'last administrator of the tenant',
      detail = format('user: %s', old.user_id),
      hint = 'Appoint another one first who can sign in, for no shorter time, '
        'or ask a system administrator.';
  end if;

  return null;
end;
$$;

comment on function rate_limiter_internal.keep_tenant_administrator() is
  'Trigger: people of a tenant keep an administrator of it, for as long as before.';
--! EndIncluded rate_limiter_internal/access/keep_tenant_administrator.sql
--! Included rate_limiter_internal/access/require_grantable_role.sql
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
--! EndIncluded rate_limiter_internal/access/require_grantable_role.sql
--! Included rate_limiter_admin/access/assign_role.sql
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
  wanted_role_id uuid;
  assigned rate_limiter.user_roles;
begin
  perform rate_limiter_internal.require_manageable_user(assign_role.user_id);
  wanted_role_id := rate_limiter_internal.require_grantable_role(assign_role.role);

  if expires_at <= clock_timestamp() then
    raise exception using
      errcode = 'QS422',
      message = 'role would already have expired',
      detail = format('expires at: %s', expires_at),
      hint = 'Give a moment in the future, or none.';
  end if;

  if not rate_limiter_internal.may_grant_role_until(wanted_role_id, assign_role.expires_at) then
    raise exception using
      errcode = 'QS403',
      message = 'role would outlast yours',
      detail = format('until: %s', rate_limiter_internal.grantable_until(wanted_role_id)),
      hint = 'Give a moment no later than that, or ask an administrator whose role lasts longer.';
  end if;

  insert into rate_limiter.user_roles as ur (user_id, role_id, expires_at)
  values (assign_role.user_id, wanted_role_id, assign_role.expires_at)
  on conflict on constraint user_role_unique do update
  set expires_at = excluded.expires_at, assigned_by = excluded.assigned_by,
    assigned_at = excluded.assigned_at, mapping_id = null
  returning ur.* into assigned;

  return assigned;
end;
$$;

comment on function rate_limiter_admin.assign_role(uuid, text, timestamptz) is
  E'@resultFieldName userRole\n'
  'Gives a user of your tenant a role, for good or until a moment. A user gives no role that '
  'allows more than their own do, or that lasts longer.';
grant execute on function rate_limiter_admin.assign_role(uuid, text, timestamptz)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/access/assign_role.sql
--! Included rate_limiter_admin/access/expire_role.sql
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

  return expired;
end;
$$;

comment on function rate_limiter_admin.expire_role(uuid, text) is
  E'@resultFieldName userRole\n'
  'Takes a role from a user of your tenant, from now on.';
grant execute on function rate_limiter_admin.expire_role(uuid, text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/access/expire_role.sql
--! Included rate_limiter_internal/access/accessible_until.sql
create or replace function rate_limiter_internal.accessible_until(user_id uuid)
returns timestamptz
language sql
stable
parallel safe
as $$
  select case when bool_and(r.until is not null) then min(r.until) end
  from (
    -- No role at all asks for the permission to manage users.
    select rate_limiter_internal.grantable_until(null)
    union all
    select rate_limiter_internal.grantable_until(ur.role_id)
    from rate_limiter.user_roles as ur
    where ur.user_id = accessible_until.user_id
  ) as r (until);
$$;

comment on function rate_limiter_internal.accessible_until(uuid) is
  'Until when the signed-in user may let another caller in to this account: what the user could '
  'give all of its roles for; null where it may not.';
--! EndIncluded rate_limiter_internal/access/accessible_until.sql
--! Included rate_limiter_internal/access/require_tenant_of_users.sql
create or replace function rate_limiter_internal.require_tenant_of_users(tenant_id uuid)
returns uuid
language plpgsql
stable
parallel safe
as $$
declare
  home_id constant uuid := coalesce(
    require_tenant_of_users.tenant_id, rate_limiter_internal.current_tenant_id()
  );
begin
  perform rate_limiter_internal.require_permission('tenant', 'update');

  if not exists (
    select
    from rate_limiter.tenants as t
    where t.tenant_id = home_id
      and t.is_active
      and (
        rate_limiter_internal.is_system_admin()
        or t.tenant_id = rate_limiter_internal.current_tenant_id()
      )
  ) then
    raise exception using
      errcode = 'QS404',
      message = 'unknown tenant',
      detail = format('tenant: %s', home_id),
      hint = 'Name an active tenant, or none for your own.';
  end if;

  return home_id;
end;
$$;

comment on function rate_limiter_internal.require_tenant_of_users(uuid) is
  'The tenant that the signed-in user may make users in: its own where none is named. Raises '
  'QS401, QS403 or QS404.';
--! EndIncluded rate_limiter_internal/access/require_tenant_of_users.sql
--! Included rate_limiter_internal/access/require_few_new_invitations.sql
create or replace function rate_limiter_internal.require_few_new_invitations(user_id uuid)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  most constant integer := rate_limiter_internal.setting_integer('new_invitations_per_day');
  home_id uuid;
  made bigint;
begin
  if rate_limiter_internal.is_system_admin() then
    return;
  end if;
  -- Else requests at once would count without each other.
  select t.tenant_id
  into home_id
  from rate_limiter.users as u
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  where u.user_id = require_few_new_invitations.user_id
  for no key update of t;

  -- In the audit, as invitations go with their users, which the inviter can delete.
  select count(*)
  into made
  from (
    select
    from rate_limiter_audit.audit_logs as l
    where l.tenant_id = home_id
      and l.created_at > clock_timestamp() - interval '1 day'
      and l.entity_type = 'invitations'
      and l.action = 'insert'
    limit most
  ) as counted;
  if made >= most then
    raise exception using
      errcode = 'QS403',
      message = 'too many new invitations',
      detail = format('made in 24 hours: %s, most: %s', made, most),
      hint = 'Use the invitations that there are, wait, or ask the operator.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_few_new_invitations(uuid) is
  'Raises QS403 where the people of a user''s tenant made as many invitations in 24 hours as the '
  'setting new_invitations_per_day allows: each is a mail in the operator''s name, and a loop '
  'would flood its receiver.';
--! EndIncluded rate_limiter_internal/access/require_few_new_invitations.sql
--! Included rate_limiter_internal/access/issue_invitation.sql
create or replace function rate_limiter_internal.issue_invitation(
  user_id uuid,
  expires_at timestamptz,
  out invitation_id uuid,
  out token text
)
returns record
language plpgsql
volatile
parallel unsafe
as $$
declare
  longest constant timestamptz := clock_timestamp()
    + rate_limiter_internal.setting_interval_seconds('invitation_max_seconds');
  own constant timestamptz := rate_limiter_internal.accessible_until(issue_invitation.user_id);
  ends_at constant timestamptz := coalesce(
    issue_invitation.expires_at, least(longest, own)
  );
begin
  if ends_at <= clock_timestamp() or ends_at > longest then
    raise exception using
      errcode = 'QS422',
      message = 'invitation would have expired, or last too long',
      detail = format('expires at: %s, at most: %s', ends_at, longest),
      hint = 'Give a moment in the future, no later than that, or none.';
  end if;
  if own is null or ends_at > own then
    raise exception using
      errcode = 'QS403',
      message = 'invitation would outlast your roles',
      detail = format('until: %s', own),
      hint = 'Give a moment no later than that, or none.';
  end if;

  perform rate_limiter_internal.require_few_new_invitations(issue_invitation.user_id);
  perform rate_limiter_private.revoke_invitations(issue_invitation.user_id);
  token := 'qsi_' || rate_limiter_internal.random_token();

  insert into rate_limiter_private.invitations as i (user_id, token_hash, created_by, expires_at)
  values (
    issue_invitation.user_id,
    rate_limiter_internal.token_hash(issue_invitation.token),
    rate_limiter_internal.current_giver_id(),
    ends_at
  )
  returning i.invitation_id into invitation_id;

  -- Of a named queue the workers run one job at a time: those of a tenant hold up no other's. The
  -- worker makes the token of the mail when it sends it: no row and no job ever has one.
  perform graphile_worker.add_job(
    'send_invitation', json_build_object('invitation_id', invitation_id),
    queue_name => 'invitations_of_' || u.tenant_id, max_attempts => 8, flags => array['delivery']
  )
  from rate_limiter.users as u
  where u.user_id = issue_invitation.user_id;
end;
$$;

comment on function rate_limiter_internal.issue_invitation(uuid, timestamptz) is
  'Makes the link by which a user sets a password, in place of earlier ones, and queues its mail.';
--! EndIncluded rate_limiter_internal/access/issue_invitation.sql
--! Included rate_limiter_internal/access/require_service_account.sql
create or replace function rate_limiter_internal.require_service_account(user_id uuid)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if not exists (
    select
    from rate_limiter.users as u
    join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
    where u.user_id = require_service_account.user_id
      and u.is_service_account
      and u.is_active
      and t.is_active
  ) then
    raise exception using
      errcode = 'QS404',
      message = 'unknown service account',
      detail = format('service account: %s', require_service_account.user_id),
      hint = 'Name an active one: createServiceAccount makes it. People sign in instead.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_service_account(uuid) is
  'Raises QS404 for all but an active service account.';
--! EndIncluded rate_limiter_internal/access/require_service_account.sql
--! Included rate_limiter_internal/access/require_token_life.sql
create or replace function rate_limiter_internal.require_token_life(
  user_id uuid,
  expires_at timestamptz
)
returns void
language plpgsql
stable
parallel safe
as $$
declare
  longest constant timestamptz := clock_timestamp()
    + rate_limiter_internal.setting_interval_seconds('service_token_max_seconds');
  own constant timestamptz := rate_limiter_internal.accessible_until(
    require_token_life.user_id
  );
begin
  if expires_at is null or expires_at <= clock_timestamp() or expires_at > longest then
    raise exception using
      errcode = 'QS422',
      message = 'token would have expired, or last too long',
      detail = format('expires at: %s, at most: %s', expires_at, longest),
      hint = 'Give a moment in the future, no later than that.';
  end if;

  if own is null or expires_at > own then
    raise exception using
      errcode = 'QS403',
      message = 'token would outlast your roles',
      detail = format('until: %s', own),
      hint = 'Give a moment no later than that, or ask an administrator whose roles last longer.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_token_life(uuid, timestamptz) is
  'Refuses an end of a token that is over, too far away (QS422), or after that of what the '
  'signed-in user could give the account (QS403).';
--! EndIncluded rate_limiter_internal/access/require_token_life.sql
--! Included rate_limiter_internal/access/require_known_permissions.sql
create or replace function rate_limiter_internal.require_known_permissions(permissions text[])
returns void
language plpgsql
stable
parallel safe
as $$
declare
  unknown text;
begin
  select named.permission
  into unknown
  from unnest(permissions) as named (permission)
  where not exists (
    select
    from rate_limiter.permissions as p
    where p.resource || ':' || p.action = named.permission
  )
  limit 1;

  if found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown permission',
      detail = format('permission: %s', unknown),
      hint = 'Write it as in quota:update; viewerPermissions lists yours.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_known_permissions(text[]) is
  'Refuses a permission that there is not.';
--! EndIncluded rate_limiter_internal/access/require_known_permissions.sql
--! Included rate_limiter_admin/access/create_service_account.sql
create or replace function rate_limiter_admin.create_service_account(
  name text,
  roles text[] default '{}',
  roles_expire_at timestamptz default null,
  tenant_id uuid default null
)
returns rate_limiter.users
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  home_id constant uuid := rate_limiter_internal.require_tenant_of_users(
    create_service_account.tenant_id
  );
  made rate_limiter.users;
begin
  insert into rate_limiter.users (tenant_id, username, is_service_account)
  values (home_id, create_service_account.name, true)
  returning * into made;

  perform rate_limiter_admin.assign_role(
    made.user_id, wanted.role, create_service_account.roles_expire_at
  )
  from unnest(create_service_account.roles) as wanted (role);

  return made;
end;
$$;

comment on function rate_limiter_admin.create_service_account(text, text[], timestamptz, uuid) is
  E'@resultFieldName serviceAccount\n'
  'Makes an account for a program: it never signs in, and is let in by tokens of '
  'issueServiceToken. Its roles are given as assignRole gives them: none that allows more than '
  'yours or lasts longer. Deactivate or delete it as any user.';
grant execute on function rate_limiter_admin.create_service_account(
  text, text[], timestamptz, uuid
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/access/create_service_account.sql
--! Included rate_limiter_admin/access/issue_service_token.sql
create or replace function rate_limiter_admin.issue_service_token(
  user_id uuid,
  expires_at timestamptz,
  name text default null,
  permissions text[] default null,
  out token_id uuid,
  out token text,
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
  perform rate_limiter_internal.require_manageable_user(issue_service_token.user_id);
  perform rate_limiter_internal.require_service_account(issue_service_token.user_id);
  perform rate_limiter_internal.require_token_life(
    issue_service_token.user_id, issue_service_token.expires_at
  );
  perform rate_limiter_internal.require_known_permissions(issue_service_token.permissions);

  token := 'qst_' || rate_limiter_internal.random_token();
  prefix := left(token, 12);

  insert into rate_limiter_private.service_tokens as t
    (token_hash, user_id, prefix, name, permissions, created_by, expires_at)
  values (
    rate_limiter_internal.token_hash(issue_service_token.token),
    issue_service_token.user_id,
    issue_service_token.prefix,
    issue_service_token.name,
    issue_service_token.permissions,
    rate_limiter_internal.current_giver_id(),
    issue_service_token.expires_at
  )
  returning t.token_id into token_id;
end;
$$;

comment on function rate_limiter_admin.issue_service_token(uuid, timestamptz, text, text[]) is
  'Makes a token of a service account, for the header Authorization: Bearer. It is shown this '
  'once; keep it. permissions, such as quota:update, narrow what it may do of what the account '
  'may. It lasts no longer than you could give the account''s roles for, nor than the setting '
  'service_token_max_seconds.';
grant execute on function rate_limiter_admin.issue_service_token(uuid, timestamptz, text, text[])
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/access/issue_service_token.sql
--! Included rate_limiter_admin/access/revoke_service_token.sql
create or replace function rate_limiter_admin.revoke_service_token(token_id uuid)
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
  perform rate_limiter_internal.require_read_committed();

  -- A token may always end itself.
  update rate_limiter_private.service_tokens as t
  set revoked_at = clock_timestamp(), revoked_by = rate_limiter_internal.current_user_id()
  where t.token_id = revoke_service_token.token_id
    and t.revoked_at is null
    and (
      t.token_id = rate_limiter_internal.current_token_id()
        and t.user_id = rate_limiter_internal.current_user_id()
      or rate_limiter_internal.may_manage_user(t.user_id)
    )
  returning t.revoked_at into moment;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown service token',
      detail = format('token: %s', revoke_service_token.token_id),
      hint = 'Perhaps it is revoked already: serviceTokens lists those that you may manage.';
  end if;

  return moment;
end;
$$;

comment on function rate_limiter_admin.revoke_service_token(uuid) is
  E'@resultFieldName revokedAt\n'
  'Takes a token of a service account back, at once and for good; answers the moment.';
grant execute on function rate_limiter_admin.revoke_service_token(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/access/revoke_service_token.sql
--! Included rate_limiter_admin/access/invite_user.sql
create or replace function rate_limiter_admin.invite_user(
  email text,
  username text default null,
  roles text[] default '{}',
  roles_expire_at timestamptz default null,
  expires_at timestamptz default null,
  tenant_id uuid default null,
  out user_id uuid,
  out invitation_id uuid,
  out token text
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  home_id constant uuid := rate_limiter_internal.require_tenant_of_users(
    invite_user.tenant_id
  );
begin
  insert into rate_limiter.users as u (tenant_id, username, email)
  values (home_id, coalesce(invite_user.username, invite_user.email), invite_user.email)
  returning u.user_id into user_id;

  perform rate_limiter_admin.assign_role(
    invite_user.user_id, wanted.role, invite_user.roles_expire_at
  )
  from unnest(invite_user.roles) as wanted (role);

  select i.invitation_id, i.token
  into invitation_id, token
  from rate_limiter_internal.issue_invitation(
    invite_user.user_id, invite_user.expires_at
  ) as i;
end;
$$;

comment on function rate_limiter_admin.invite_user(
  text, text, text[], timestamptz, timestamptz, uuid
) is
  'Makes a user with roles, as assignRole gives them, and an invitation: acceptInvitation sets '
  'the password by its token, once, until expiresAt (the setting invitation_max_seconds where '
  'absent). The token is shown this once, and goes to the address where workers send mail.';
grant execute on function rate_limiter_admin.invite_user(
  text, text, text[], timestamptz, timestamptz, uuid
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/access/invite_user.sql
--! Included rate_limiter_admin/access/renew_invitation.sql
create or replace function rate_limiter_admin.renew_invitation(
  user_id uuid,
  expires_at timestamptz default null,
  out invitation_id uuid,
  out token text
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_access_to_give(renew_invitation.user_id);
  perform rate_limiter_internal.refuse_service_account(renew_invitation.user_id);

  select i.invitation_id, i.token
  into invitation_id, token
  from rate_limiter_internal.issue_invitation(
    renew_invitation.user_id, renew_invitation.expires_at
  ) as i;
end;
$$;

comment on function rate_limiter_admin.renew_invitation(uuid, timestamptz) is
  'As inviteUser, for a user who is there: earlier links of the user end. One who has a password '
  'keeps it until the new one is set.';
grant execute on function rate_limiter_admin.renew_invitation(uuid, timestamptz)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/access/renew_invitation.sql
--! Included rate_limiter_admin/access/revoke_invitation.sql
create or replace function rate_limiter_admin.revoke_invitation(invitation_id uuid)
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
  perform rate_limiter_internal.require_permission('tenant', 'update');

  update rate_limiter_private.invitations as i
  set revoked_at = clock_timestamp()
  where i.invitation_id = revoke_invitation.invitation_id
    and i.accepted_at is null
    and i.revoked_at is null
    and rate_limiter_internal.may_manage_user(i.user_id)
  returning i.revoked_at into moment;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown invitation',
      detail = format('invitation: %s', revoke_invitation.invitation_id),
      hint = 'Perhaps it was accepted, or revoked already.';
  end if;

  return moment;
end;
$$;

comment on function rate_limiter_admin.revoke_invitation(uuid) is
  E'@resultFieldName revokedAt\n'
  'Takes an invitation back that was not accepted; answers the moment. The user stays: delete it '
  'where it is not to be invited again.';
grant execute on function rate_limiter_admin.revoke_invitation(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/access/revoke_invitation.sql
--! Included rate_limiter_admin/access/map_group.sql
create or replace function rate_limiter_admin.map_group(
  group_name text,
  role text,
  tenant_id uuid default null,
  for_all_tenants boolean default false
)
returns rate_limiter.role_mappings
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  wanted_tenant_id uuid;
  wanted_role_id uuid;
  until timestamptz;
  mapped rate_limiter.role_mappings;
begin
  if map_group.for_all_tenants then
    perform rate_limiter_internal.require_system_admin('tenant', 'update');
  else
    wanted_tenant_id := rate_limiter_internal.require_tenant_of_users(map_group.tenant_id);
  end if;
  wanted_role_id := rate_limiter_internal.require_grantable_role(map_group.role);
  until := rate_limiter_internal.grantable_until(wanted_role_id);

  if until is null then
    raise exception using
      errcode = 'QS403',
      message = 'role allows more than you may give',
      detail = format('role: %s', map_group.role),
      hint = 'Ask a system administrator.';
  end if;

  insert into rate_limiter.role_mappings
    (tenant_id, group_name, role_id, lasts_until, created_by)
  values (
    wanted_tenant_id, map_group.group_name, wanted_role_id, nullif(until, 'infinity'),
    rate_limiter_internal.current_giver_id()
  )
  returning * into mapped;

  return mapped;
end;
$$;

comment on function rate_limiter_admin.map_group(text, text, uuid, boolean) is
  E'@resultFieldName roleMapping\n'
  'Gives a role to the users of your tenant, or of all tenants, whom an identity provider says to '
  'be in a group: from their next sign-in on, until its token ends or a later one leaves the '
  'group out. Never a role above yours, nor for longer than you hold it.';
grant execute on function rate_limiter_admin.map_group(text, text, uuid, boolean)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/access/map_group.sql
--! Included rate_limiter_admin/access/unmap_group.sql
create or replace function rate_limiter_admin.unmap_group(mapping_id uuid)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_permission('tenant', 'update');

  delete from rate_limiter.role_mappings as m
  where m.mapping_id = unmap_group.mapping_id
    and (
      rate_limiter_internal.is_system_admin()
      or m.tenant_id = rate_limiter_internal.current_tenant_id()
    )
    and rate_limiter_internal.may_grant_role(m.role_id);

  return found;
end;
$$;

comment on function rate_limiter_admin.unmap_group(uuid) is
  E'@resultFieldName isEnded\n'
  'Ends a mapping, and at once the roles that users hold by it; answers whether there was one that '
  'you may end.';
grant execute on function rate_limiter_admin.unmap_group(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/access/unmap_group.sql
--! Included rate_limiter/access/role_mappings.triggers.sql
create or replace trigger audit_change
  after insert or update or delete on rate_limiter.role_mappings
  for each row
  execute function rate_limiter_internal.audit_change('mapping_id');
--! EndIncluded rate_limiter/access/role_mappings.triggers.sql
--! Included rate_limiter/access/role_mappings.policies.sql
-- Administrators of a tenant see its mappings, and those that are for the users of all tenants.
alter table rate_limiter.role_mappings enable row level security;

drop policy if exists readable on rate_limiter.role_mappings;
create policy readable on rate_limiter.role_mappings
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('tenant', 'update'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id is null
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

drop policy if exists monitored on rate_limiter.role_mappings;
create policy monitored on rate_limiter.role_mappings
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/access/role_mappings.policies.sql
--! Included rate_limiter/access/role_mappings.grants.sql
revoke all on rate_limiter.role_mappings
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.role_mappings to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/access/role_mappings.grants.sql
--! Included rate_limiter_internal/access/require_giver.sql
create or replace function rate_limiter_internal.require_giver(given_by uuid, given bigint)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if given = 0 then
    raise exception using
      errcode = 'QS404',
      message = 'no grants of this user',
      detail = format('user: %s', given_by),
      hint = 'Check the id: grants lists what was given by whom. You reach what you may give '
        'yourself, and not your own roles.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_giver(uuid, bigint) is
  'Raises QS404 where a review found nothing that a user has given.';
--! EndIncluded rate_limiter_internal/access/require_giver.sql
--! Included rate_limiter_admin/access/revoke_grants.sql
create or replace function rate_limiter_admin.revoke_grants(
  given_by uuid,
  out roles integer,
  out groups integer,
  out service_tokens integer,
  out invitations integer
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_permission('tenant', 'update');
  perform rate_limiter_internal.require_read_committed();

  update rate_limiter_private.invitations as i
  set revoked_at = clock_timestamp()
  where i.created_by = revoke_grants.given_by
    and i.accepted_at is null
    and i.revoked_at is null
    and rate_limiter_internal.may_manage_user(i.user_id);
  get diagnostics invitations = row_count;

  update rate_limiter_private.service_tokens as t
  set revoked_at = clock_timestamp(), revoked_by = rate_limiter_internal.current_user_id()
  where t.created_by = revoke_grants.given_by
    and t.revoked_at is null
    and t.expires_at > clock_timestamp()
    and rate_limiter_internal.may_manage_user(t.user_id);
  get diagnostics service_tokens = row_count;

  delete from rate_limiter.role_mappings as m
  where m.created_by = revoke_grants.given_by
    and (
      rate_limiter_internal.is_system_admin()
      or m.tenant_id = rate_limiter_internal.current_tenant_id()
    )
    and rate_limiter_internal.may_grant_role(m.role_id);
  get diagnostics groups = row_count;

  update rate_limiter.user_roles as ur
  set expires_at = current_timestamp
  where ur.assigned_by = revoke_grants.given_by
    and ur.mapping_id is null
    and (ur.expires_at is null or ur.expires_at > current_timestamp)
    and ur.user_id <> rate_limiter_internal.current_user_id()
    and rate_limiter_internal.may_manage_user(ur.user_id)
    and rate_limiter_internal.may_grant_role(ur.role_id);
  get diagnostics roles = row_count;

  perform rate_limiter_internal.require_giver(
    revoke_grants.given_by, roles + groups + service_tokens + invitations
  );
end;
$$;

comment on function rate_limiter_admin.revoke_grants(uuid) is
  'Ends all that a user has given, at once, as far as you could give it: roles of users but your '
  'own, mappings of groups, tokens of service accounts, invitations; answers how many of each.';
grant execute on function rate_limiter_admin.revoke_grants(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/access/revoke_grants.sql
--! Included rate_limiter_admin/access/adopt_grants.sql
create or replace function rate_limiter_admin.adopt_grants(
  given_by uuid,
  out roles integer,
  out groups integer,
  out service_tokens integer
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  own_id constant uuid := rate_limiter_internal.current_giver_id();
begin
  perform rate_limiter_internal.require_permission('tenant', 'update');
  perform rate_limiter_internal.require_read_committed();

  update rate_limiter_private.service_tokens as t
  set created_by = own_id,
    expires_at = least(t.expires_at, rate_limiter_internal.accessible_until(t.user_id))
  where t.created_by = adopt_grants.given_by
    and t.revoked_at is null
    and t.expires_at > clock_timestamp()
    and rate_limiter_internal.may_manage_user(t.user_id)
    and rate_limiter_internal.accessible_until(t.user_id) is not null
    and not rate_limiter_internal.token_is_backed(t.token_id);
  get diagnostics service_tokens = row_count;

  update rate_limiter.role_mappings as m
  set created_by = own_id,
    lasts_until = nullif(
      least(m.lasts_until, rate_limiter_internal.grantable_until(m.role_id)), 'infinity'
    )
  where m.created_by = adopt_grants.given_by
    and (
      rate_limiter_internal.is_system_admin()
      or m.tenant_id = rate_limiter_internal.current_tenant_id()
    )
    and rate_limiter_internal.grantable_until(m.role_id) is not null
    and not rate_limiter_internal.could_give_role(
      m.created_by, m.role_id, m.tenant_id, clock_timestamp()
    );
  get diagnostics groups = row_count;

  update rate_limiter.user_roles as ur
  set assigned_by = own_id,
    assigned_at = current_timestamp,
    expires_at = nullif(
      least(ur.expires_at, rate_limiter_internal.grantable_until(ur.role_id)), 'infinity'
    )
  from rate_limiter.users as u
  where u.user_id = ur.user_id
    and ur.assigned_by = adopt_grants.given_by
    and ur.mapping_id is null
    and (ur.expires_at is null or ur.expires_at > current_timestamp)
    and ur.user_id <> rate_limiter_internal.current_user_id()
    and rate_limiter_internal.may_manage_user(ur.user_id)
    and rate_limiter_internal.grantable_until(ur.role_id) is not null
    and not rate_limiter_internal.could_give_role(
      ur.assigned_by, ur.role_id, u.tenant_id, coalesce(ur.expires_at, 'infinity')
    );
  get diagnostics roles = row_count;

  perform rate_limiter_internal.require_giver(
    adopt_grants.given_by, roles + groups + service_tokens
  );
end;
$$;

comment on function rate_limiter_admin.adopt_grants(uuid) is
  'Makes yours what a user has given who could not give it now: roles of users but your own, '
  'mappings of groups, tokens of service accounts. None lasts longer than you could give it '
  'for; answers how many of each.';
grant execute on function rate_limiter_admin.adopt_grants(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/access/adopt_grants.sql
--! Included rate_limiter_admin/access/viewer.sql
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

comment on function rate_limiter_admin.viewer() is 'The signed-in user; null without one.';
grant execute on function rate_limiter_admin.viewer() to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/access/viewer.sql
--! Included rate_limiter_admin/access/viewer_permissions.sql
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
--! EndIncluded rate_limiter_admin/access/viewer_permissions.sql
--! Included rate_limiter/access/role_permissions.triggers.sql
create or replace trigger set_granted_by
  before insert on rate_limiter.role_permissions
  for each row
  execute function rate_limiter_internal.set_granted_by();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.role_permissions
  for each row
  execute function rate_limiter_internal.audit_change('role_permission_id');

create or replace trigger keep_admin_permissions
  before update or delete on rate_limiter.role_permissions
  for each row
  execute function rate_limiter_internal.keep_admin_permissions();
--! EndIncluded rate_limiter/access/role_permissions.triggers.sql
--! Included rate_limiter/access/roles.triggers.sql
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
--! EndIncluded rate_limiter/access/roles.triggers.sql
--! Included rate_limiter/access/user_roles.triggers.sql
create or replace trigger set_assigned_by
  before insert on rate_limiter.user_roles
  for each row
  execute function rate_limiter_internal.set_assigned_by();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.user_roles
  for each row
  execute function rate_limiter_internal.audit_change('user_role_id');

-- Roles of groups end with a token in any case: neither do they keep an administrator, nor does
-- their end refuse the token that says so.
create or replace trigger keep_administrator
  after update of expires_at on rate_limiter.user_roles
  for each row
  when (
    old.mapping_id is null
    and coalesce(new.expires_at, 'infinity') < coalesce(old.expires_at, 'infinity')
  )
  execute function rate_limiter_internal.keep_administrator();

create or replace trigger keep_administrator_at_delete
  after delete on rate_limiter.user_roles
  for each row
  when (old.mapping_id is null)
  execute function rate_limiter_internal.keep_administrator();

create or replace trigger keep_tenant_administrator
  after update of expires_at on rate_limiter.user_roles
  for each row
  when (
    old.mapping_id is null
    and coalesce(new.expires_at, 'infinity') < coalesce(old.expires_at, 'infinity')
  )
  execute function rate_limiter_internal.keep_tenant_administrator();

create or replace trigger keep_tenant_administrator_at_delete
  after delete on rate_limiter.user_roles
  for each row
  when (old.mapping_id is null)
  execute function rate_limiter_internal.keep_tenant_administrator();

create or replace trigger end_sessions
  after update of expires_at on rate_limiter.user_roles
  for each row
  when (
    old.mapping_id is null
    and new.expires_at <= current_timestamp
    and (old.expires_at is null or old.expires_at > current_timestamp)
  )
  execute function rate_limiter_internal.end_sessions_at_role_loss();

create or replace trigger end_sessions_at_delete
  after delete on rate_limiter.user_roles
  for each row
  when (
    old.mapping_id is null
    and (old.expires_at is null or old.expires_at > current_timestamp)
  )
  execute function rate_limiter_internal.end_sessions_at_role_loss();
--! EndIncluded rate_limiter/access/user_roles.triggers.sql
--! Included rate_limiter/access/users.triggers.sql
create or replace trigger set_updated_at
  before update on rate_limiter.users
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.users
  for each row
  execute function rate_limiter_internal.audit_change('user_id');

create or replace trigger keep_administrator
  after update of is_active on rate_limiter.users
  for each row
  when (old.is_active and not new.is_active)
  execute function rate_limiter_internal.keep_administrator();

create or replace trigger keep_tenant_administrator
  after update of is_active on rate_limiter.users
  for each row
  when (old.is_active and not new.is_active)
  execute function rate_limiter_internal.keep_tenant_administrator();

create or replace trigger keep_giver
  before delete on rate_limiter.users
  for each row
  execute function rate_limiter_internal.keep_giver();

create or replace trigger guard_email_change
  before update of email on rate_limiter.users
  for each row
  when (new.email is distinct from old.email)
  execute function rate_limiter_internal.guard_email_change();

create or replace trigger end_sessions
  after update of is_active, email on rate_limiter.users
  for each row
  when ((old.is_active and not new.is_active) or lower(new.email) <> lower(old.email))
  execute function rate_limiter_internal.end_sessions_of_user();
--! EndIncluded rate_limiter/access/users.triggers.sql
--! Included rate_limiter/access/permissions.policies.sql
-- Code asks for permissions by name: no role adds or removes any.
alter table rate_limiter.permissions enable row level security;

drop policy if exists readable on rate_limiter.permissions;
create policy readable on rate_limiter.permissions
  for select to rate_limiter_visitor
  using ((select rate_limiter_internal.current_user_id()) is not null);

drop policy if exists monitored on rate_limiter.permissions;
create policy monitored on rate_limiter.permissions
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/access/permissions.policies.sql
--! Included rate_limiter/access/role_permissions.policies.sql
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
    and (select rate_limiter_internal.is_lasting_system_admin())
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
--! EndIncluded rate_limiter/access/role_permissions.policies.sql
--! Included rate_limiter/access/roles.policies.sql
-- Each signed-in user may see which roles exist.
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
--! EndIncluded rate_limiter/access/roles.policies.sql
--! Included rate_limiter/access/user_roles.policies.sql
-- Seen with the user. A user gives only what they hold (may_grant_role), and changes no user
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
    (select rate_limiter_internal.may_change('tenant', 'update'))
    and rate_limiter_internal.may_manage_user(user_id)
    and rate_limiter_internal.may_grant_role_until(role_id, expires_at)
  );

drop policy if exists updatable on rate_limiter.user_roles;
create policy updatable on rate_limiter.user_roles
  for update to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may_change('tenant', 'update'))
    and rate_limiter_internal.may_manage_user(user_id)
    and rate_limiter_internal.may_grant_role(role_id)
  )
  with check (
    (select rate_limiter_internal.may_change('tenant', 'update'))
    and rate_limiter_internal.may_manage_user(user_id)
    and rate_limiter_internal.may_grant_role_until(role_id, expires_at)
  );

drop policy if exists deletable on rate_limiter.user_roles;
create policy deletable on rate_limiter.user_roles
  for delete to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may_change('tenant', 'update'))
    and rate_limiter_internal.may_manage_user(user_id)
    and rate_limiter_internal.may_grant_role(role_id)
  );

drop policy if exists monitored on rate_limiter.user_roles;
create policy monitored on rate_limiter.user_roles
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/access/user_roles.policies.sql
--! Included rate_limiter/access/users.policies.sql
-- Users see themselves; administrators and auditors of a tenant see its users.
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
    (select rate_limiter_internal.may_change('tenant', 'update'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

drop policy if exists updatable on rate_limiter.users;
create policy updatable on rate_limiter.users
  for update to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may_change('tenant', 'update'))
    and rate_limiter_internal.may_manage_user(user_id)
  )
  with check (
    (select rate_limiter_internal.may_change('tenant', 'update'))
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
    and (select rate_limiter_internal.may_change('tenant', 'update'))
    and rate_limiter_internal.may_manage_user(user_id)
  );

drop policy if exists monitored on rate_limiter.users;
create policy monitored on rate_limiter.users
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/access/users.policies.sql
--! Included rate_limiter/access/permissions.grants.sql
revoke all on rate_limiter.permissions
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.permissions to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/access/permissions.grants.sql
--! Included rate_limiter/access/role_permissions.grants.sql
revoke all on rate_limiter.role_permissions
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.role_permissions to rate_limiter_visitor, rate_limiter_readonly;
grant insert (role_id, permission_id) on rate_limiter.role_permissions to rate_limiter_visitor;
grant delete on rate_limiter.role_permissions to rate_limiter_visitor;
--! EndIncluded rate_limiter/access/role_permissions.grants.sql
--! Included rate_limiter/access/roles.grants.sql
revoke all on rate_limiter.roles
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.roles to rate_limiter_visitor, rate_limiter_readonly;
grant insert (name, description) on rate_limiter.roles to rate_limiter_visitor;
grant update (name, description) on rate_limiter.roles to rate_limiter_visitor;
grant delete on rate_limiter.roles to rate_limiter_visitor;
--! EndIncluded rate_limiter/access/roles.grants.sql
--! Included rate_limiter/access/user_roles.grants.sql
revoke all on rate_limiter.user_roles
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.user_roles to rate_limiter_visitor, rate_limiter_readonly;
grant insert (user_id, role_id, expires_at) on rate_limiter.user_roles to rate_limiter_visitor;
grant update (expires_at) on rate_limiter.user_roles to rate_limiter_visitor;
grant delete on rate_limiter.user_roles to rate_limiter_visitor;
--! EndIncluded rate_limiter/access/user_roles.grants.sql
--! Included rate_limiter/access/users.grants.sql
revoke all on rate_limiter.users
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.users to rate_limiter_visitor, rate_limiter_readonly;
grant insert (tenant_id, username, email) on rate_limiter.users to rate_limiter_visitor;
grant update (username, email, is_active) on rate_limiter.users to rate_limiter_visitor;
grant delete on rate_limiter.users to rate_limiter_visitor;
--! EndIncluded rate_limiter/access/users.grants.sql

-- Settings
--! Included rate_limiter_internal/settings/count_version.sql
create or replace function rate_limiter_internal.count_version()
returns trigger
language plpgsql
as $$
begin
  new.version := old.version + 1;
  return new;
end;
$$;

comment on function rate_limiter_internal.count_version() is
  'Trigger: counts the changes of a row.';
--! EndIncluded rate_limiter_internal/settings/count_version.sql
--! Included rate_limiter_internal/settings/setting_problem.sql
create or replace function rate_limiter_internal.setting_problem(
  value text,
  value_type text,
  minimum numeric,
  maximum numeric,
  choices text[]
)
returns text
language sql
immutable
parallel safe
return case
  when value is null then 'a value is required'
  when value_type = 'boolean' and value not in ('true', 'false') then 'must be true or false'
  when value_type = 'integer' and value !~ '^-?[0-9]{1,18}$' then 'must be a whole number'
  when value_type = 'numeric' and value !~ '^-?[0-9]{1,18}([.][0-9]{1,9})?$' then
    'must be a plain decimal number with at most nine digits after the point'
  when value_type in ('integer', 'numeric') and value::numeric < minimum then
    'must be at least ' || minimum
  when value_type in ('integer', 'numeric') and value::numeric > maximum then
    'must be at most ' || maximum
  when value <> all (choices) then 'must be one of ' || array_to_string(choices, ', ')
end;

comment on function rate_limiter_internal.setting_problem(
  text, text, numeric, numeric, text[]
) is
  'Why a value does not fit a setting of this type, bounds and choices; null where it fits.';
--! EndIncluded rate_limiter_internal/settings/setting_problem.sql
--! Included rate_limiter_internal/settings/setting_text.sql
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
--! EndIncluded rate_limiter_internal/settings/setting_text.sql
--! Included rate_limiter_internal/settings/setting_integer.sql
create or replace function rate_limiter_internal.setting_integer(key text)
returns bigint
language sql
stable
strict
parallel safe
return rate_limiter_internal.setting_text(key)::bigint;

comment on function rate_limiter_internal.setting_integer(text) is
  'Value of an integer setting.';
--! EndIncluded rate_limiter_internal/settings/setting_integer.sql
--! Included rate_limiter_internal/settings/setting_numeric.sql
create or replace function rate_limiter_internal.setting_numeric(key text)
returns numeric
language sql
stable
strict
parallel safe
return rate_limiter_internal.setting_text(key)::numeric;

comment on function rate_limiter_internal.setting_numeric(text) is
  'Value of a numeric or integer setting.';
--! EndIncluded rate_limiter_internal/settings/setting_numeric.sql
--! Included rate_limiter_internal/settings/setting_boolean.sql
create or replace function rate_limiter_internal.setting_boolean(key text)
returns boolean
language sql
stable
strict
parallel safe
return rate_limiter_internal.setting_text(key)::boolean;

comment on function rate_limiter_internal.setting_boolean(text) is
  'Value of a boolean setting.';
--! EndIncluded rate_limiter_internal/settings/setting_boolean.sql
--! Included rate_limiter_internal/settings/setting_interval_seconds.sql
create or replace function rate_limiter_internal.setting_interval_seconds(key text)
returns interval
language sql
stable
strict
parallel safe
return make_interval(
  secs => rate_limiter_internal.setting_text(key)::double precision
);

comment on function rate_limiter_internal.setting_interval_seconds(text) is
  'Value of a setting that counts seconds, as an interval.';
--! EndIncluded rate_limiter_internal/settings/setting_interval_seconds.sql
--! Included rate_limiter_internal/settings/check_setting.sql
create or replace function rate_limiter_internal.check_setting()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  problem text := rate_limiter_internal.setting_problem(
    new.value, new.value_type, new.minimum, new.maximum, new.choices
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
  'Trigger: refuses a value that does not fit the type, bounds and choices of its setting.';
--! EndIncluded rate_limiter_internal/settings/check_setting.sql
--! Included rate_limiter_admin/settings/set_setting.sql
create or replace function rate_limiter_admin.set_setting(
  key text,
  value text,
  if_version integer default null
)
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

  select s.* into setting
  from rate_limiter.system_settings as s
  where s.key = set_setting.key
  for no key update;

  if setting.version <> if_version then
    raise exception using
      errcode = 'QS409',
      message = 'another version is in force',
      detail = format('in force: %s', setting.version),
      hint = 'Read it, and decide again.';
  end if;

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

comment on function rate_limiter_admin.set_setting(text, text, integer) is
  E'@resultFieldName setting\n'
  'Changes a setting of the whole system. A value that does not fit its type and bounds is '
  'refused. ifVersion is the version that you have read: where another one is there now, '
  'nothing changes (QS409).';
grant execute on function rate_limiter_admin.set_setting(text, text, integer)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/settings/set_setting.sql
--! Included rate_limiter/settings/system_settings.triggers.sql
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

create or replace trigger count_version
  before update on rate_limiter.system_settings
  for each row
  when (old.value is distinct from new.value)
  execute function rate_limiter_internal.count_version();

create or replace trigger check_setting
  before insert or update on rate_limiter.system_settings
  for each row
  execute function rate_limiter_internal.check_setting();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.system_settings
  for each row
  execute function rate_limiter_internal.audit_change('setting_id');
--! EndIncluded rate_limiter/settings/system_settings.triggers.sql
--! Included rate_limiter/settings/system_settings.policies.sql
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
--! EndIncluded rate_limiter/settings/system_settings.policies.sql
--! Included rate_limiter/settings/system_settings.grants.sql
revoke all on rate_limiter.system_settings
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.system_settings to rate_limiter_visitor, rate_limiter_readonly;
grant update (value) on rate_limiter.system_settings to rate_limiter_visitor;
--! EndIncluded rate_limiter/settings/system_settings.grants.sql
