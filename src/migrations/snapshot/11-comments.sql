select o.type || ' ' || o.identity as key, format(
  'comment on %s %s is %L;',
  replace(o.type, 'table column', 'column'), o.identity, d.description
) as line
from pg_description as d
cross join pg_identify_object(d.classoid, d.objoid, d.objsubid) as o
where starts_with(o.identity, 'rate_limiter') and o.type <> 'role'
  and not exists (
    select
    from pg_class as c
    where d.classoid = 'pg_class'::regclass
      and c.oid = d.objoid
      and c.relispartition
  );
