-- An index that serves a constraint stands with its table.
select c.oid::regclass::text as key, replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') || ';' as line
from pg_index as i
join pg_class as c on c.oid = i.indrelid
where not c.relispartition
  and starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
  and not exists (select from pg_constraint as k where k.conindid = i.indexrelid);
