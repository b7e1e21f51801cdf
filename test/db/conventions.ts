/**
 * What every object of ours keeps to, read from the catalog. `query` answers the offenders, one
 * `offender` a row; `breach` is a sin that the query must see, committed in a transaction that is
 * rolled back.
 */
export interface Convention {
  readonly rule: string;
  readonly query: string;
  readonly breach: string;
}

/** Tables of the data plane can be distributed by their owner and carry no triggers. */
const dataPlane = `
  c.relname in ('token_buckets', 'token_transactions', 'charges', 'token_leases', 'token_borrowing',
    'iops_metrics', 'bandwidth_metrics')
  or c.relname like 'metrics%'
`;

const ourTables = `
  our_tables as (
    select c.*, c.relnamespace::regnamespace::text as schema
    from pg_class as c
    where c.relkind in ('r', 'p')
      and not c.relispartition
      and starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
  )
`;

const ourFunctions = `
  our_functions as (
    select p.*
    from pg_proc as p
    where starts_with(p.pronamespace::regnamespace::text, 'rate_limiter')
  )
`;

export const conventions: readonly Convention[] = [
  {
    rule: "every table has a primary key",
    query: `
      with ${ourTables}
      select c.oid::regclass::text as offender
      from our_tables as c
      where not exists (select from pg_index as i where i.indrelid = c.oid and i.indisprimary)
    `,
    breach: "create table rate_limiter.breach (id integer)",
  },
  {
    rule: "every foreign key says what a delete does",
    query: `
      with ${ourTables}
      select k.conname as offender
      from pg_constraint as k
      join our_tables as c on c.oid = k.conrelid
      where k.contype = 'f' and k.confdeltype = 'a'
    `,
    breach: `
      create table rate_limiter.breach (
        id integer primary key, parent integer references rate_limiter.breach
      )
    `,
  },
  {
    rule: "every foreign key is indexed",
    query: `
      with ${ourTables}
      select k.conname as offender
      from pg_constraint as k
      join our_tables as c on c.oid = k.conrelid
      where k.contype = 'f'
        and not exists (
          select
          from pg_index as i
          where i.indrelid = k.conrelid
            and (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey
        )
    `,
    breach: `
      create table rate_limiter.breach (
        id integer primary key,
        parent integer references rate_limiter.breach on delete cascade
      )
    `,
  },
  {
    rule: "row-level security guards every table that the admin API may show",
    query: `
      with ${ourTables}
      select c.oid::regclass::text as offender
      from our_tables as c
      where c.schema in ('rate_limiter', 'rate_limiter_audit') and not c.relrowsecurity
    `,
    breach: "create table rate_limiter_audit.breach (id integer primary key)",
  },
  {
    rule: "every object belongs to the owner",
    query: `
      with ${ourTables}, ${ourFunctions}
      select c.oid::regclass::text as offender
      from our_tables as c
      where c.relowner <> 'rate_limiter_owner'::regrole
      union all
      select p.oid::regprocedure::text
      from our_functions as p
      where p.proowner <> 'rate_limiter_owner'::regrole
    `,
    breach: `
      create table rate_limiter.breach (id integer primary key);
      reset role;
      grant create on schema rate_limiter to rate_limiter_worker;
      alter table rate_limiter.breach owner to rate_limiter_worker
    `,
  },
  {
    rule: "every definer pins a search path that ends in pg_temp",
    query: `
      with ${ourFunctions}
      select p.oid::regprocedure::text as offender
      from our_functions as p
      where p.prosecdef
        and not exists (
          select
          from unnest(p.proconfig) as setting
          where setting ~ '^search_path=([^,]+, )*pg_temp$'
        )
    `,
    breach: `
      create function rate_limiter.breach() returns integer
      language sql security definer set search_path = pg_temp, rate_limiter
      return 1
    `,
  },
  {
    rule: "nothing is open to PUBLIC",
    query: `
      with ${ourTables}, ${ourFunctions}
      select p.oid::regprocedure::text as offender
      from our_functions as p
      cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as g
      where g.grantee = 0
      union all
      select c.oid::regclass::text
      from our_tables as c
      cross join aclexplode(c.relacl) as g
      where g.grantee = 0
      union all
      select n.nspname
      from pg_namespace as n
      cross join aclexplode(n.nspacl) as g
      where g.grantee = 0 and starts_with(n.nspname, 'rate_limiter')
    `,
    breach: `
      create function rate_limiter.breach() returns integer language sql return 1;
      grant execute on function rate_limiter.breach() to public
    `,
  },
  {
    rule: "gateways reach functions and no table",
    query: `
      with ${ourTables}
      select c.oid::regclass::text as offender
      from our_tables as c
      where has_any_column_privilege('rate_limiter_app', c.oid, 'select, insert, update')
        or has_table_privilege('rate_limiter_app', c.oid, 'delete, truncate')
    `,
    breach: `
      create table rate_limiter.breach (id integer primary key);
      grant select on rate_limiter.breach to rate_limiter_app
    `,
  },
  {
    rule: "only names of columns are granted for insert and update to visitors",
    query: `
      with ${ourTables}
      select c.oid::regclass::text as offender
      from our_tables as c
      cross join aclexplode(c.relacl) as g
      where g.grantee = 'rate_limiter_visitor'::regrole
        and g.privilege_type in ('INSERT', 'UPDATE', 'TRUNCATE', 'REFERENCES', 'TRIGGER')
    `,
    breach: `
      create table rate_limiter.breach (id integer primary key);
      grant insert on rate_limiter.breach to rate_limiter_visitor
    `,
  },
  {
    rule: "everything is commented",
    query: `
      with ${ourFunctions}
      select n.nspname::text as offender
      from pg_namespace as n
      where starts_with(n.nspname, 'rate_limiter')
        and obj_description(n.oid, 'pg_namespace') is null
      union all
      select c.oid::regclass::text
      from pg_class as c
      where c.relkind in ('r', 'p', 'v', 'm')
        and not c.relispartition
        and starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
        and obj_description(c.oid, 'pg_class') is null
      union all
      select a.attrelid::regclass || '.' || a.attname
      from pg_attribute as a
      join pg_class as c on c.oid = a.attrelid
      where c.relkind in ('r', 'p')
        and not c.relispartition
        and a.attnum > 0
        and not a.attisdropped
        and starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
        and col_description(a.attrelid, a.attnum) is null
      union all
      select t.oid::regtype::text
      from pg_type as t
      left join pg_class as c on c.oid = t.typrelid
      where (t.typtype in ('e', 'd') or c.relkind = 'c')
        and starts_with(t.typnamespace::regnamespace::text, 'rate_limiter')
        and obj_description(t.oid, 'pg_type') is null
      union all
      select p.oid::regprocedure::text
      from our_functions as p
      where obj_description(p.oid, 'pg_proc') is null
    `,
    breach: "create type rate_limiter.breach as enum ('a')",
  },
  {
    rule: "no trigger burdens the data plane",
    query: `
      with ${ourTables}
      select c.relname || '.' || t.tgname as offender
      from pg_trigger as t
      join our_tables as c on c.oid = t.tgrelid
      where not t.tgisinternal and (${dataPlane})
    `,
    breach: `
      create trigger breach before update on rate_limiter.token_buckets
      for each row execute function suppress_redundant_updates_trigger()
    `,
  },
  {
    rule: "the owner's column comes first in every key of the data plane",
    query: `
      with ${ourTables}
      select k.conname as offender
      from pg_constraint as k
      join our_tables as c on c.oid = k.conrelid
      join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
      where k.contype in ('p', 'u', 'f')
        and a.attname not in ('owner_id', 'app_id')
        and (${dataPlane})
    `,
    breach: `
      create table rate_limiter.metrics_breach (id integer, app_id uuid, primary key (id, app_id))
    `,
  },
  {
    rule: "nothing refers to a table that is partitioned by time",
    query: `
      with ${ourTables}
      select k.conname as offender
      from pg_constraint as k
      join our_tables as c on c.oid = k.conrelid
      join pg_class as parent on parent.oid = k.confrelid
      where k.contype = 'f' and parent.relkind = 'p'
    `,
    breach: `
      create table rate_limiter.breach (id integer primary key) partition by range (id);
      create table rate_limiter.breaching (
        id integer primary key references rate_limiter.breach on delete cascade
      )
    `,
  },
  {
    rule: "functions are written in SQL and PL/pgSQL only",
    query: `
      with ${ourFunctions}
      select p.oid::regprocedure::text as offender
      from our_functions as p
      join pg_language as l on l.oid = p.prolang
      where l.lanname not in ('sql', 'plpgsql')
    `,
    breach: `
      reset role;
      create function rate_limiter.breach(integer, integer) returns integer
      language internal as 'int4pl'
    `,
  },
];
