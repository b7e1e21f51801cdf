--! Previous: sha1:b42cc0e4ec767db44b74463058eb54880f995c81
--! Hash: sha1:a89277935f23d8797655bef2fdab8c3946e4812c
--! Message: context and audit

-- Context
--! Included rate_limiter_internal/context/require_read_committed.sql
create or replace function rate_limiter_internal.require_read_committed()
returns void
language plpgsql
stable
parallel safe
as $$
begin
  -- What PostgreSQL calls read uncommitted is read committed.
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
    raise exception using
      errcode = 'QS422',
      message = 'transaction isolation is not read committed',
      detail = format('transaction_isolation: %s', current_setting('transaction_isolation')),
      hint = 'Call it outside of that transaction, in a session or a login whose '
        'default_transaction_isolation is read committed.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_read_committed() is
  'Refuses a transaction at repeatable read or serializable (QS422), before anything is written: '
  'its snapshot is older than the locks that it waits for, and PostgreSQL would end it with 40001 '
  'wherever another transaction was faster.';
grant execute on function rate_limiter_internal.require_read_committed() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/require_read_committed.sql
--! Included rate_limiter_internal/context/context_text.sql
create or replace function rate_limiter_internal.context_text(name text)
returns text
language sql
stable
parallel safe
return nullif(current_setting('rate_limiter.' || name, true), '');

comment on function rate_limiter_internal.context_text(text) is
  'What the API said of this request (user_id, session_id, service_token_id, token_issued_at, '
  'request_id, ip_address, user_agent, change_reason); null where it did not.';
--! EndIncluded rate_limiter_internal/context/context_text.sql
--! Included rate_limiter_internal/context/current_token_id.sql
create or replace function rate_limiter_internal.current_token_id()
returns uuid
language sql
stable
parallel safe
return nullif(current_setting('rate_limiter.service_token_id', true), '')::uuid;

comment on function rate_limiter_internal.current_token_id() is
  'The token of a service account that this request came with; null for all others.';
grant execute on function rate_limiter_internal.current_token_id() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/current_token_id.sql
--! Included rate_limiter_internal/context/token_allows.sql
create or replace function rate_limiter_internal.token_allows(resource text, action text)
returns boolean
language sql
stable
parallel safe
as $$
  select rate_limiter_internal.current_token_id() is null
    or exists (
      select
      from rate_limiter_private.service_tokens as t
      where t.token_id = rate_limiter_internal.current_token_id()
        and (
          t.permissions is null
          or token_allows.resource || ':' || token_allows.action = any (t.permissions)
        )
    );
$$;

comment on function rate_limiter_internal.token_allows(text, text) is
  'Whether the token of this request may use a permission of its account; true where the request '
  'came with no such token.';
--! EndIncluded rate_limiter_internal/context/token_allows.sql
--! Included rate_limiter_internal/context/accepts_token_of.sql
create or replace function rate_limiter_internal.accepts_token_of(
  user_id uuid,
  issued_at timestamptz
)
returns boolean
language sql
stable
parallel safe
as $$
  select not exists (
    select
    from rate_limiter_private.provider_accounts as p
    where p.user_id = accepts_token_of.user_id
      and p.refused_before >= accepts_token_of.issued_at
  );
$$;

comment on function rate_limiter_internal.accepts_token_of(uuid, timestamptz) is
  'Whether a token that an identity provider issued then still opens the account of the user: not '
  'where the user''s sessions were ended since.';
--! EndIncluded rate_limiter_internal/context/accepts_token_of.sql
--! Included rate_limiter_internal/context/current_user_id.sql
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
    )
    and (
      nullif(current_setting('rate_limiter.service_token_id', true), '') is null
      or exists (
        select
        from rate_limiter_private.service_tokens as s
        where s.token_id = nullif(
            current_setting('rate_limiter.service_token_id', true), ''
          )::uuid
          and s.user_id = u.user_id
          and s.revoked_at is null
          and s.expires_at > current_timestamp
      )
    )
    and (
      nullif(current_setting('rate_limiter.token_issued_at', true), '') is null
      or rate_limiter_internal.accepts_token_of(
        u.user_id, nullif(current_setting('rate_limiter.token_issued_at', true), '')::timestamptz
      )
    );
$$;

comment on function rate_limiter_internal.current_user_id() is
  'The signed-in user of this transaction; null where there is none, or the user, the tenant, the '
  'session or the token is not active any more.';
grant execute on function rate_limiter_internal.current_user_id() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/current_user_id.sql
--! Included rate_limiter_internal/context/could_give_role.sql
create or replace function rate_limiter_internal.could_give_role(
  giver_id uuid,
  role_id uuid,
  tenant_id uuid,
  until timestamptz
)
returns boolean
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  with held as (
    select ur.role_id, r.name = 'system_admin' as is_system_admin
    from rate_limiter.user_roles as ur
    join rate_limiter.roles as r on r.role_id = ur.role_id
    where ur.user_id = could_give_role.giver_id
      and coalesce(ur.expires_at, 'infinity') > clock_timestamp()
      and coalesce(ur.expires_at, 'infinity') >= could_give_role.until
  ),
  needed as (
    select rp.permission_id
    from rate_limiter.role_permissions as rp
    where rp.role_id = could_give_role.role_id

    union

    select p.permission_id
    from rate_limiter.permissions as p
    where p.resource = 'tenant' and p.action = 'update'
  )
  select exists (
    select
    from rate_limiter.users as u
    join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
    where u.user_id = could_give_role.giver_id
      and u.is_active
      and t.is_active
      and (
        exists (select from held as h where h.is_system_admin)
        or u.tenant_id = could_give_role.tenant_id
          and not exists (
            select
            from rate_limiter.roles as r
            where r.role_id = could_give_role.role_id
              and r.name = 'system_admin'
          )
          and not exists (
            select
            from needed as n
            where not exists (
              select
              from held as h
              join rate_limiter.role_permissions as rp on rp.role_id = h.role_id
              where rp.permission_id = n.permission_id
            )
          )
      )
  );
$$;

comment on function rate_limiter_internal.could_give_role(uuid, uuid, uuid, timestamptz) is
  'Whether a user, signed in or not, could give a role to users of a tenant, of all where that is '
  'null, up to a moment; where the role is null, whether the user may manage users of it.';
grant execute on function rate_limiter_internal.could_give_role(uuid, uuid, uuid, timestamptz)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/could_give_role.sql
--! Included rate_limiter_internal/context/could_let_in.sql
create or replace function rate_limiter_internal.could_let_in(
  giver_id uuid,
  user_id uuid,
  until timestamptz default 'infinity'
)
returns boolean
language sql
stable
parallel safe
as $$
  select coalesce(
    bool_and(
      rate_limiter_internal.could_give_role(
        could_let_in.giver_id, held.role_id, u.tenant_id, least(held.until, could_let_in.until)
      )
    ),
    false
  )
  from rate_limiter.users as u
  cross join lateral (
    select null::uuid as role_id, clock_timestamp() as until

    union all

    -- Expired roles count too: their holder may get them back.
    select ur.role_id, coalesce(ur.expires_at, 'infinity')
    from rate_limiter.user_roles as ur
    where ur.user_id = u.user_id
  ) as held
  where u.user_id = could_let_in.user_id;
$$;

comment on function rate_limiter_internal.could_let_in(uuid, uuid, timestamptz) is
  'Whether a user, signed in or not, could let another caller in to the account of a user: is '
  'active, and holds all that the account does, for as long or up to a moment.';
--! EndIncluded rate_limiter_internal/context/could_let_in.sql
--! Included rate_limiter_internal/context/token_is_backed.sql
create or replace function rate_limiter_internal.token_is_backed(token_id uuid)
returns boolean
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from rate_limiter_private.service_tokens as t
    where t.token_id = token_is_backed.token_id
      and rate_limiter_internal.could_let_in(t.created_by, t.user_id, clock_timestamp())
  );
$$;

comment on function rate_limiter_internal.token_is_backed(uuid) is
  'Whether the one who answers for a service token could give now what its account holds: a token '
  'gives nothing otherwise.';
grant execute on function rate_limiter_internal.token_is_backed(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/token_is_backed.sql
--! Included rate_limiter_internal/context/current_giver_id.sql
create or replace function rate_limiter_internal.current_giver_id()
returns uuid
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select case
    when rate_limiter_internal.current_token_id() is null
      then rate_limiter_internal.current_user_id()
    else (
      select t.created_by
      from rate_limiter_private.service_tokens as t
      where t.token_id = rate_limiter_internal.current_token_id()
    )
  end;
$$;

comment on function rate_limiter_internal.current_giver_id() is
  'Who answers for what this request gives: the signed-in user, of a service account the one who '
  'made its token.';
grant execute on function rate_limiter_internal.current_giver_id() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/current_giver_id.sql
--! Included rate_limiter_internal/context/current_tenant_id.sql
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
--! EndIncluded rate_limiter_internal/context/current_tenant_id.sql
--! Included rate_limiter_internal/context/current_tenant_name.sql
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
--! EndIncluded rate_limiter_internal/context/current_tenant_name.sql
--! Included rate_limiter_internal/context/current_cluster_ids.sql
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
--! EndIncluded rate_limiter_internal/context/current_cluster_ids.sql
--! Included rate_limiter_internal/context/has_permission.sql
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
--! EndIncluded rate_limiter_internal/context/has_permission.sql
--! Included rate_limiter_internal/context/may.sql
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
    )
    and rate_limiter_internal.token_allows(may.resource, may.action);
$$;

comment on function rate_limiter_internal.may(text, text) is
  'Whether the signed-in user may do this. Write it as (select may(…)) in a policy: then it is '
  'asked once a statement, not once a row.';
grant execute on function rate_limiter_internal.may(text, text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/may.sql
--! Included rate_limiter_internal/context/may_change.sql
create or replace function rate_limiter_internal.may_change(resource text, action text)
returns boolean
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not rate_limiter_internal.may(may_change.resource, may_change.action) then
    return false;
  end if;
  perform rate_limiter_internal.require_tenant_not_suspended();
  return true;
end;
$$;

comment on function rate_limiter_internal.may_change(text, text) is
  'As may(), in policies of rows that people of a tenant change: raises QS403 while their tenant '
  'is suspended.';
grant execute on function rate_limiter_internal.may_change(text, text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/may_change.sql
--! Included rate_limiter_internal/context/is_system_admin.sql
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
--! EndIncluded rate_limiter_internal/context/is_system_admin.sql
--! Included rate_limiter_internal/context/may_grant_role.sql
create or replace function rate_limiter_internal.may_grant_role(role_id uuid)
returns boolean
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select rate_limiter_internal.is_system_admin()
    and not exists (
      select
      from rate_limiter.role_permissions as rp
      join rate_limiter.permissions as p on p.permission_id = rp.permission_id
      where rp.role_id = may_grant_role.role_id
        and not rate_limiter_internal.token_allows(p.resource, p.action)
    )
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
  'Whether the signed-in user may hand out this role: a user gives only what they hold, and '
  'only a system administrator makes another.';
grant execute on function rate_limiter_internal.may_grant_role(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/may_grant_role.sql
--! Included rate_limiter_internal/context/grantable_until.sql
create or replace function rate_limiter_internal.grantable_until(role_id uuid)
returns timestamptz
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  with held as (
    select ur.role_id, r.name, coalesce(ur.expires_at, 'infinity') as until
    from rate_limiter.user_roles as ur
    join rate_limiter.roles as r on r.role_id = ur.role_id
    where ur.user_id = rate_limiter_internal.current_user_id()
      and (ur.expires_at is null or ur.expires_at > current_timestamp)
  ),
  needed as (
    select rp.permission_id
    from rate_limiter.role_permissions as rp
    where rp.role_id = grantable_until.role_id
    union
    select p.permission_id
    from rate_limiter.permissions as p
    where p.resource = 'tenant' and p.action = 'update'
  ),
  covered as (
    select (
      select max(h.until)
      from held as h
      join rate_limiter.role_permissions as rp on rp.role_id = h.role_id
      where rp.permission_id = n.permission_id
    ) as until
    from needed as n
  ),
  given as (
    select greatest(
      (select max(h.until) from held as h where h.name = 'system_admin'),
      (
        select case when bool_and(c.until is not null) then min(c.until) end
        from covered as c
        where not exists (
          select
          from rate_limiter.roles as r
          where r.role_id = grantable_until.role_id
            and r.name = 'system_admin'
        )
      )
    ) as until
  )
  select least(
    g.until,
    (
      select t.expires_at
      from rate_limiter_private.service_tokens as t
      where t.token_id = rate_limiter_internal.current_token_id()
    )
  )
  from given as g
  where g.until is not null
    and not exists (
      select
      from needed as n
      join rate_limiter.permissions as p on p.permission_id = n.permission_id
      where not rate_limiter_internal.token_allows(p.resource, p.action)
    );
$$;

comment on function rate_limiter_internal.grantable_until(uuid) is
  'Until when the signed-in user may hand out this role: what the user gives lasts no longer than '
  'what the user holds, and than the token that it is given by; infinity for good, null where the '
  'user may not give it.';
grant execute on function rate_limiter_internal.grantable_until(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/grantable_until.sql
--! Included rate_limiter_internal/context/may_grant_role_until.sql
create or replace function rate_limiter_internal.may_grant_role_until(
  role_id uuid,
  until timestamptz
)
returns boolean
language sql
stable
parallel safe
as $$
  select coalesce(
    coalesce(may_grant_role_until.until, 'infinity')
      <= rate_limiter_internal.grantable_until(may_grant_role_until.role_id),
    false
  );
$$;

comment on function rate_limiter_internal.may_grant_role_until(uuid, timestamptz) is
  'Whether the signed-in user may hand out this role up to a moment, or for good where that is '
  'null.';
grant execute on function rate_limiter_internal.may_grant_role_until(uuid, timestamptz)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/may_grant_role_until.sql
--! Included rate_limiter_internal/context/is_lasting_system_admin.sql
create or replace function rate_limiter_internal.is_lasting_system_admin()
returns boolean
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (
      select rate_limiter_internal.grantable_until(r.role_id) = 'infinity'
      from rate_limiter.roles as r
      where r.name = 'system_admin'
    ),
    false
  );
$$;

comment on function rate_limiter_internal.is_lasting_system_admin() is
  'Whether the signed-in user is a system administrator for good, and may change what roles allow: '
  'that has no end either.';
grant execute on function rate_limiter_internal.is_lasting_system_admin()
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/is_lasting_system_admin.sql
--! Included rate_limiter_internal/context/may_manage_user.sql
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
      rate_limiter_internal.is_lasting_system_admin()
      or exists (
        select
        from rate_limiter.users as u
        where u.user_id = may_manage_user.user_id
          and (
            rate_limiter_internal.is_system_admin()
            or u.tenant_id = rate_limiter_internal.current_tenant_id()
          )
          -- Expired roles count too: their holder may get them back.
          and not exists (
            select
            from rate_limiter.user_roles as ur
            where ur.user_id = u.user_id
              and not case
                when u.user_id = rate_limiter_internal.current_user_id()
                  then rate_limiter_internal.may_grant_role(ur.role_id)
                else rate_limiter_internal.may_grant_role_until(ur.role_id, ur.expires_at)
              end
          )
      )
    );
$$;

comment on function rate_limiter_internal.may_manage_user(uuid) is
  'Whether the signed-in user may change this one in any way: a user of the same tenant, of any '
  'for a system administrator, who holds no role that the signed-in user could not give for as '
  'long. A user may manage itself.';
grant execute on function rate_limiter_internal.may_manage_user(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/may_manage_user.sql
--! Included rate_limiter_internal/context/require_permission.sql
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
  if require_permission.action not in ('read', 'export', 'monitor') then
    perform rate_limiter_internal.require_tenant_not_suspended();
    perform rate_limiter_internal.require_read_committed();
  end if;
end;
$$;

comment on function rate_limiter_internal.require_permission(text, text) is
  'Refuses a caller who is not signed in (QS401) or not allowed to do this (QS403), and a change '
  'by people of a suspended tenant (QS403) or in a transaction that is not read committed (QS422).';
--! EndIncluded rate_limiter_internal/context/require_permission.sql
--! Included rate_limiter_internal/context/is_permitted.sql
create or replace function rate_limiter_internal.is_permitted(resource text, action text)
returns boolean
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_permission(is_permitted.resource, is_permitted.action);
  return true;
end;
$$;

comment on function rate_limiter_internal.is_permitted(text, text) is
  'True, or the error of require_permission: for queries that are inlined.';
grant execute on function rate_limiter_internal.is_permitted(text, text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/is_permitted.sql
--! Included rate_limiter_internal/context/require_system_admin.sql
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
  'Raises QS401 or QS403 without the permission, and for all but system administrators.';
--! EndIncluded rate_limiter_internal/context/require_system_admin.sql
--! Included rate_limiter_internal/context/require_reason.sql
create or replace function rate_limiter_internal.require_reason(reason text)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if reason is null or reason !~ '[^[:space:]]' then
    raise exception using
      errcode = 'QS422',
      message = 'reason is missing',
      hint = 'Say why: the history keeps it.';
  end if;
  if char_length(reason) > 1000 then
    raise exception using
      errcode = 'QS422',
      message = 'reason is longer than 1000 characters',
      hint = 'The history keeps it, and is read with it.';
  end if;
  if reason ~
    e'[\u0001-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]'
  then
    raise exception using
      errcode = 'QS422',
      message = 'reason has characters that turn or hide text',
      hint = 'Give it on one line, without control characters and marks of direction.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_reason(text) is
  'Raises QS422 where no reason is given, one that is too long to be kept many times, or '
  'one that is not shown as it is.';
grant execute on function rate_limiter_internal.require_reason(text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/require_reason.sql
--! Included rate_limiter_internal/context/require_span.sql
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
--! EndIncluded rate_limiter_internal/context/require_span.sql
--! Included rate_limiter/context/rate_limiter.grants.sql
grant usage on schema rate_limiter to rate_limiter_app, rate_limiter_worker, rate_limiter_visitor,
  rate_limiter_readonly;
--! EndIncluded rate_limiter/context/rate_limiter.grants.sql
--! Included rate_limiter_admin/context/rate_limiter_admin.grants.sql
grant usage on schema rate_limiter_admin to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_admin/context/rate_limiter_admin.grants.sql
--! Included rate_limiter_audit/context/rate_limiter_audit.grants.sql
grant usage on schema rate_limiter_audit to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_audit/context/rate_limiter_audit.grants.sql
--! Included rate_limiter_internal/context/rate_limiter_internal.grants.sql
grant usage on schema rate_limiter_internal to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/context/rate_limiter_internal.grants.sql
--! Included rate_limiter_private/context/rate_limiter_private.grants.sql
grant usage on schema rate_limiter_private
  to rate_limiter_worker, rate_limiter_authenticator, rate_limiter_readonly;
--! EndIncluded rate_limiter_private/context/rate_limiter_private.grants.sql

-- Audit
--! Included rate_limiter_internal/audit/tenant_of.sql
create or replace function rate_limiter_internal.tenant_of(entity jsonb)
returns uuid
language sql
stable
parallel safe
-- Planned once a session: a batch asks this for each of its entries.
set plan_cache_mode = 'force_generic_plan'
as $$
  select case
    when entity ? 'tenant_id' then (entity ->> 'tenant_id')::uuid
    when entity ->> 'app_id' is not null then coalesce(
      (
        select a.tenant_id
        from rate_limiter.applications as a
        where a.app_id = (entity ->> 'app_id')::uuid
      ),
      -- Deleted along with its application: then by a user of the same tenant.
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
--! EndIncluded rate_limiter_internal/audit/tenant_of.sql
--! Included rate_limiter_internal/audit/write_audit.sql
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
    -- A change made in SQL is known at least by its database role.
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
--! EndIncluded rate_limiter_internal/audit/write_audit.sql
--! Included rate_limiter_internal/audit/audit_values.sql
create or replace function rate_limiter_internal.audit_values(entity jsonb, hidden text[])
returns jsonb
language sql
immutable
parallel safe
return entity
  - hidden
  - array['updated_at', 'last_login_at', 'login_count']
  - array['health_checked_at', 'health_streak', 'health_message']
  - case when (entity ->> 'is_sensitive')::boolean then array['value'] else '{}' end;

comment on function rate_limiter_internal.audit_values(jsonb, text[]) is
  'What of a row may be audited: no secret, and nothing that changes by itself.';
--! EndIncluded rate_limiter_internal/audit/audit_values.sql
--! Included rate_limiter_internal/audit/changed_values.sql
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
--! EndIncluded rate_limiter_internal/audit/changed_values.sql
--! Included rate_limiter_internal/audit/audit_change.sql
create or replace function rate_limiter_internal.audit_change()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set intervalstyle = 'postgres'
set extra_float_digits = 1
set bytea_output = 'hex'
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
--! EndIncluded rate_limiter_internal/audit/audit_change.sql
--! Included rate_limiter_internal/audit/refuse_change.sql
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
  'Trigger: refuses every change of rows once written, by any role.';
--! EndIncluded rate_limiter_internal/audit/refuse_change.sql
--! Included rate_limiter_internal/audit/refuse_version_change.sql
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
--! EndIncluded rate_limiter_internal/audit/refuse_version_change.sql
--! Included rate_limiter_internal/audit/audit_rows_containing.sql
create or replace function rate_limiter_internal.audit_rows_containing(
  since timestamptz,
  until timestamptz,
  containing text
)
returns setof uuid
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
  pattern constant text := '%' || regexp_replace(
    audit_rows_containing.containing, $re$([\\%_])$re$, $re$\\\1$re$, 'g'
  ) || '%';
begin
  perform rate_limiter_internal.require_permission('audit', 'read');
  -- Fewer are in nearly every row, and no index of texts finds them.
  if char_length(audit_rows_containing.containing) < 3 then
    raise exception using
      errcode = 'QS422',
      message = 'text to search for is too short',
      hint = 'Give at least three characters.';
  end if;

  -- A definer: no policy lets an index of texts be used, because comparing texts may tell of them.
  return query
  select l.log_id
  from rate_limiter_audit.audit_logs as l
  where l.created_at >= audit_rows_containing.since
    and l.created_at < audit_rows_containing.until
    and (everywhere or l.tenant_id = own_tenant_id)
    and (l.old_values::text ilike pattern or l.new_values::text ilike pattern);
end;
$$;

comment on function rate_limiter_internal.audit_rows_containing(
  timestamptz, timestamptz, text
) is
  'The audit rows of a span, of those that the signed-in user may read, with a text in the values '
  'before or after. Raises QS422 for a text of less than three characters.';
grant execute on function rate_limiter_internal.audit_rows_containing(
  timestamptz, timestamptz, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/audit/audit_rows_containing.sql
--! Included rate_limiter_admin/audit/search_audit.sql
create or replace function rate_limiter_admin.search_audit(
  since timestamptz,
  until timestamptz,
  user_id uuid default null,
  action text default null,
  entity_type text default null,
  containing text default null
)
returns setof rate_limiter_audit.audit_logs
language sql
stable
parallel safe
as $$
  -- Neither a definer nor with settings of its own, so that it is inlined: a page reads the rows of
  -- a page, a total counts all of them, and row-level security decides which.
  select l.*
  from rate_limiter_audit.audit_logs as l
  where l.created_at >= search_audit.since
    and l.created_at < search_audit.until
    and (search_audit.user_id is null or l.user_id = search_audit.user_id)
    and (search_audit.action is null or l.action = search_audit.action)
    and (search_audit.entity_type is null or l.entity_type = search_audit.entity_type)
    and (
      search_audit.containing is null
      or l.log_id in (
        select rate_limiter_internal.audit_rows_containing(
          search_audit.since, search_audit.until, search_audit.containing
        )
      )
    )
  order by l.created_at desc, l.log_id desc
  -- No limit, or an error: a condition would not be looked at where the policy shows nothing.
  limit case when rate_limiter_internal.is_permitted('audit', 'read') then null::bigint end;
$$;

comment on function rate_limiter_admin.search_audit(
  timestamptz, timestamptz, uuid, text, text, text
) is
  'Audit rows of a span of time, newest first, by user, action, kind of thing, and any part of '
  'the values before or after, of three characters at least. Let the span end in the past while '
  'you page: what is written meanwhile would move the pages.';
grant execute on function rate_limiter_admin.search_audit(
  timestamptz, timestamptz, uuid, text, text, text
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/audit/search_audit.sql
--! Included rate_limiter_internal/audit/write_bucket_audit.sql
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
--! EndIncluded rate_limiter_internal/audit/write_bucket_audit.sql
--! Included rate_limiter_audit/audit/audit_logs.triggers.sql
create or replace trigger refuse_change
  before update or delete on rate_limiter_audit.audit_logs
  for each row
  execute function rate_limiter_internal.refuse_change();
--! EndIncluded rate_limiter_audit/audit/audit_logs.triggers.sql
--! Included rate_limiter_audit/audit/audit_logs.policies.sql
-- Written by triggers and functions alone, never changed.
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
--! EndIncluded rate_limiter_audit/audit/audit_logs.policies.sql
--! Included rate_limiter_audit/audit/audit_logs.grants.sql
revoke all on rate_limiter_audit.audit_logs
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_audit.audit_logs to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_audit/audit/audit_logs.grants.sql
