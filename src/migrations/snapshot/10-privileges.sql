-- What an owner may do with its own is left out; what PUBLIC may do by default is not.
with objects (place, label, acl, owner) as (
  select
    1, 'schema ' || nspname, coalesce(nspacl, acldefault('n', nspowner)), nspowner
  from pg_namespace
  where starts_with(nspname, 'rate_limiter')

  union all

  select 2, 'type ' || oid::regtype, coalesce(typacl, acldefault('T', typowner)), typowner
  from pg_type
  where starts_with(typnamespace::regnamespace::text, 'rate_limiter')
    and (
      typtype in ('e', 'd')
      or exists (select from pg_class as c where c.oid = typrelid and c.relkind = 'c')
    )

  union all

  select
    3,
    case relkind when 'S' then 'sequence ' else 'table ' end || oid::regclass,
    coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner)),
    relowner
  from pg_class
  where relkind in ('r', 'p', 'v', 'm', 'S')
    and not relispartition
    and starts_with(relnamespace::regnamespace::text, 'rate_limiter')

  union all

  select
    4,
    format('column %s.%I', a.attrelid::regclass, a.attname),
    a.attacl,
    c.relowner
  from pg_attribute as a
  join pg_class as c on c.oid = a.attrelid
  where a.attacl is not null
    and not c.relispartition
    and starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')

  union all

  select
    5,
    case prokind when 'p' then 'procedure ' else 'function ' end || oid::regprocedure,
    coalesce(proacl, acldefault('f', proowner)),
    proowner
  from pg_proc
  where starts_with(pronamespace::regnamespace::text, 'rate_limiter')
)
select o.place || o.label as key, format(
  'grant %s on %s to %s%s;',
  string_agg(lower(g.privilege_type), ', ' order by g.privilege_type collate "C"),
  o.label,
  case g.grantee when 0 then 'public' else pg_get_userbyid(g.grantee)::text end,
  case when bool_or(g.is_grantable) then ' with grant option' else '' end
) as line
from objects as o
cross join aclexplode(o.acl) as g
where g.grantee <> o.owner
group by o.place, o.label, g.grantee;
