select c.oid::regclass::text as key, pg_get_triggerdef(t.oid, true) || ';'
  || case t.tgenabled when 'O' then '' else ' -- enabled: ' || t.tgenabled::text end as line
from pg_trigger as t
join pg_class as c on c.oid = t.tgrelid
where not t.tgisinternal
  and not c.relispartition
  and starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')

union all

select '', format('create event trigger %I on %s execute function %s;', evtname, evtevent, evtfoid::regproc)
from pg_event_trigger;
