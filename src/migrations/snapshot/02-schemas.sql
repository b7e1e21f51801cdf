select '1' as key, format('create extension %I with schema %I;', e.extname, n.nspname) as line
from pg_extension as e
join pg_namespace as n on n.oid = e.extnamespace
where e.extname not in ('plpgsql', 'pg_stat_statements')

union all

select '2', format('create schema %I authorization %I;', nspname, pg_get_userbyid(nspowner))
from pg_namespace
where starts_with(nspname, 'rate_limiter');
