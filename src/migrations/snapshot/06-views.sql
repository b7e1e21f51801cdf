select c.oid::regclass::text as key, format(
  E'create %sview %s%s as\n%s',
  case c.relkind when 'm' then 'materialized ' else '' end,
  c.oid::regclass,
  ' with (' || array_to_string(c.reloptions, ', ') || ')',
  pg_get_viewdef(c.oid, true)
) as line
from pg_class as c
where c.relkind in ('v', 'm')
  and starts_with(c.relnamespace::regnamespace::text, 'rate_limiter');
