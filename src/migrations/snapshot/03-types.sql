select t.oid::regtype::text as key, format(
  E'create type %s as enum (\n  %s\n);',
  t.oid::regtype,
  string_agg(quote_literal(e.enumlabel), E',\n  ' order by e.enumsortorder)
) as line
from pg_type as t
join pg_enum as e on e.enumtypid = t.oid
where starts_with(t.typnamespace::regnamespace::text, 'rate_limiter')
group by t.oid

union all

select c.oid::regclass::text, format(
  E'create type %s as (\n  %s\n);',
  c.reltype::regtype,
  string_agg(
    format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), E',\n  ' order by a.attnum
  )
)
from pg_class as c
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind = 'c'
  and starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
group by c.oid

union all

select t.oid::regtype::text, format(
  'create domain %s as %s%s%s;',
  t.oid::regtype,
  format_type(t.typbasetype, t.typtypmod),
  case when t.typnotnull then ' not null' else '' end,
  string_agg(' ' || pg_get_constraintdef(c.oid), '' order by c.conname)
)
from pg_type as t
left join pg_constraint as c on c.contypid = t.oid and c.contype = 'c'
where t.typtype = 'd'
  and starts_with(t.typnamespace::regnamespace::text, 'rate_limiter')
group by t.oid;
