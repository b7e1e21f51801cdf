-- What PUBLIC can still do in this database that the product does not need, as statements that take
-- it away, in order. Unlike the plan's these are wanted and not required: the owner of the database
-- runs those of the database, a superuser those of functions. Who may not is told the statements.
with plan (stage, statement) as (
  -- Refreshing a materialized view while it is read takes a temporary table. By itself: what PUBLIC
  -- has goes with the next statement.
  select
    1,
    format('grant temporary on database %I to rate_limiter_owner', d.datname)
  from pg_database as d
  where d.datname = current_database()
    and not exists (
      select
      from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) as a
      where a.grantee = to_regrole('rate_limiter_owner')
        and a.privilege_type = 'TEMPORARY'
    )

  union all

  -- Temporary tables fill the disk.
  select 2, format('revoke temporary on database %I from public', current_database())
  where has_database_privilege('public', current_database(), 'temporary')

  union all

  -- A database that came from before PostgreSQL 15.
  select 3, 'revoke create on schema public from public'
  where to_regnamespace('public') is not null
    and has_schema_privilege('public', to_regnamespace('public'), 'create')

  union all

  -- Large objects too, which outlast the session besides. What reads them, dumps included, stays.
  select
    4,
    format(
      'revoke execute on function %s from public',
      string_agg(p.oid::regprocedure::text, ', ' order by p.oid::regprocedure::text)
    )
  from pg_proc as p
  where p.pronamespace = 'pg_catalog'::regnamespace
    and p.proname in (
      'lo_creat', 'lo_create', 'lo_from_bytea', 'lo_import', 'lo_put', 'lo_truncate', 'lo_truncate64',
      'lowrite'
    )
    and has_function_privilege('public', p.oid, 'execute')
  having count(*) > 0
)
select statement
from plan
order by stage;
