-- What the bootstrap still has to do on this server and in this database, one statement a row, in
-- order. An empty answer means that the login may migrate as it is. The statements are run where
-- the login may run them, and shown to the reader where it may not.
with wanted_roles (ordinal, name, options) as (
  values
    -- Owns every object and logs in nowhere. Migrations run as it.
    (1, 'rate_limiter_owner', 'nologin'),
    -- Logins that migrate are members of it; noinherit: they become the owner by intent only.
    (2, 'rate_limiter_migrator', 'nologin noinherit'),
    -- Gateways: the data-plane functions and nothing else.
    (3, 'rate_limiter_app', 'nologin'),
    -- The job host; owns the job queue's schema.
    (4, 'rate_limiter_worker', 'nologin'),
    -- The API's login is a member of it: no rights but to become the visitor of one request.
    (5, 'rate_limiter_authenticator', 'nologin noinherit'),
    (6, 'rate_limiter_visitor', 'nologin'),
    (7, 'rate_limiter_readonly', 'nologin')
),
wanted_memberships (ordinal, role, member) as (
  values
    (1, 'rate_limiter_owner', 'rate_limiter_migrator'),
    -- SQL functions of the owner add jobs to the worker's queue.
    (2, 'rate_limiter_worker', 'rate_limiter_owner'),
    (3, 'rate_limiter_visitor', 'rate_limiter_authenticator'),
    -- Commands of operators do what people may do, by the same row-level security.
    (4, 'rate_limiter_visitor', 'rate_limiter_owner')
),
wanted_privileges (ordinal, role, privilege) as (
  values
    (1, 'rate_limiter_owner', 'create'),
    (2, 'rate_limiter_owner', 'connect'),
    (3, 'rate_limiter_migrator', 'connect'),
    (4, 'rate_limiter_app', 'connect'),
    (5, 'rate_limiter_worker', 'connect'),
    (6, 'rate_limiter_authenticator', 'connect'),
    (7, 'rate_limiter_readonly', 'connect'),
    -- Refreshing a materialized view while it is read takes a temporary table.
    (8, 'rate_limiter_owner', 'temporary')
),
plan (stage, ordinal, statement) as (
  select 1, r.ordinal, format('create role %I %s', r.name, r.options)
  from wanted_roles as r
  where to_regrole(r.name) is null

  union all

  -- Counts where an administrator lets one of them log in by itself. Their members have to be set
  -- likewise: a login does not inherit settings.
  select
    2, r.ordinal,
    format('alter role %I set default_transaction_isolation = %L', r.name, 'read committed')
  from wanted_roles as r
  where to_regrole(r.name) is null

  union all

  select 3, m.ordinal, format('grant %I to %I', m.role, m.member)
  from wanted_memberships as m
  where not exists (
    select
    from pg_auth_members as a
    where a.roleid = to_regrole(m.role)
      and a.member = to_regrole(m.member)
  )

  union all

  -- From PostgreSQL 16 on a membership alone does not let the member become the role.
  select 4, 1, format('grant rate_limiter_migrator to %I', current_user)
  where not coalesce(
    pg_has_role(
      current_user,
      to_regrole('rate_limiter_owner'),
      case when current_setting('server_version_num')::integer < 160000 then 'member' else 'set' end
    ),
    (select rolsuper from pg_roles where rolname = current_user)
  )

  union all

  select
    5, p.ordinal,
    format('grant %s on database %I to %I', p.privilege, current_database(), p.role)
  from wanted_privileges as p
  where not coalesce(
    has_database_privilege(to_regrole(p.role), current_database(), p.privilege),
    p.privilege in ('connect', 'temporary')
    and has_database_privilege('public', current_database(), p.privilege)
  )

  union all

  -- Wanted for finding slow queries, never required: not a trusted extension.
  select 6, 1, 'create extension if not exists pg_stat_statements with schema public'
  where (select rolsuper from pg_roles where rolname = current_user)
    and to_regnamespace('public') is not null
    and exists (select from pg_available_extensions where name = 'pg_stat_statements')
    and not exists (select from pg_extension where extname = 'pg_stat_statements')

  union all

  -- Where a platform keeps extensions, or where PUBLIC lost its usage.
  select 7, 1, format('grant usage on schema %I to rate_limiter_owner', s.nspname)
  from (
    select n.nspname
    from pg_namespace as n
    where n.nspname = 'public'
      or n.oid in (
        select e.extnamespace
        from pg_extension as e
        where e.extname in ('btree_gist', 'pg_trgm')
      )
  ) as s
  where not coalesce(
    has_schema_privilege(to_regrole('rate_limiter_owner'), s.nspname, 'usage'),
    has_schema_privilege('public', s.nspname, 'usage')
  )
)
select statement
from plan
order by stage, ordinal;
