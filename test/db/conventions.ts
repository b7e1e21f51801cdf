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

/** Tables of the data plane can be distributed by the shard key and carry no triggers. */
const dataPlane = `
  c.relname in ('app_facts', 'app_costs', 'token_buckets', 'token_transactions', 'charges', 'late_charges',
    'uncharged_counts', 'token_leases', 'token_borrowing', 'layer1_stripes', 'lease_shares', 'late_shares',
    'denial_counts', 'recent_denials', 'demand', 'iops_metrics', 'bandwidth_metrics')
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

/** Everything that the functions of decisions call. */
const functionsOfDecisions = `
  named as (
    select
      p.pronamespace::regnamespace::text || '.' || p.proname::text as name,
      p.prosrc
    from our_functions as p
  ),
  reached as (
    select ('rate_limiter.' || f.name) collate "C" as name
    from (
      values
        ('consume'), ('consume_with_key'), ('consume_batch'), ('consume_many'),
        ('check_limit'), ('lease_tokens'), ('renew_lease'), ('settle_lease'), ('settle'),
        ('refund'), ('charge_owed'), ('charge_owed_many'), ('exchange_leases'),
        ('report_counts')
    ) as f (name)
    union
    select called.name[1] collate "C"
    from reached as r
    join named as n on n.name = r.name
    cross join lateral regexp_matches(
      n.prosrc, '(rate_limiter\\w*[.]\\w+)[(]', 'g'
    ) as called (name)
  )
`;

/** What these functions do, statement by statement: without comments and literals. */
const statementsOfDecisions = `
  statements as (
    select n.name, s.place, s.statement
    from named as n
    join reached as r on r.name = n.name
    cross join lateral regexp_split_to_table(
      regexp_replace(n.prosrc, '--[^\\n]*', '', 'g'),
      ';|\\mloop\\M|\\m(?:then|else|begin)\\s*\\n'
    ) with ordinality as s (statement, place)
  ),
  tables_read as (
    select distinct s.name, s.place, c.relname, t.read[2] as alias
    from statements as s
    cross join lateral regexp_matches(
      s.statement,
      '\\m(?:from|join|update|using)\\s+rate_limiter\\w*[.](\\w+)\\M(?!\\s*[(])(?:\\s+as\\s+(\\w+))?',
      'g'
    ) as t (read)
    join our_tables as c on c.relname = t.read[1]
  ),
  functions_called as (
    select distinct s.name, s.place, c.called[1] as called
    from statements as s
    cross join lateral regexp_matches(s.statement, '(rate_limiter\\w*[.]\\w+)[(]', 'g') as c (called)
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
    rule: "whatever locks buckets follows the durability setting",
    query: `
      with recursive bodies as (
        select
          p.oid,
          p.pronamespace::regnamespace || '.' || p.proname || '(' as call,
          coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as body
        from pg_proc as p
        where starts_with(p.pronamespace::regnamespace::text, 'rate_limiter')
      ),
      unfollowed as (
        select b.*
        from bodies as b
        where b.body !~ '(follow|apply)_durability\\(|prepare_to_charge\\(|commit_locally\\('
      ),
      reaching as (
        select u.oid, u.call
        from unfollowed as u
        where u.body ~ '(update|delete from) (only )?rate_limiter\\.token_buckets\\M'
          or u.body ~ 'from rate_limiter\\.token_buckets\\M.*for (no key )?update'
        union
        select u.oid, u.call
        from reaching as r
        join unfollowed as u on position(r.call in u.body) > 0
      )
      select r.oid::regprocedure::text as offender
      from reaching as r
      join pg_proc as p on p.oid = r.oid
      where not exists (select from bodies as b where position(r.call in b.body) > 0)
        or exists (
          select from aclexplode(p.proacl) as g where g.grantee <> p.proowner
        )
    `,
    breach: `
      create function rate_limiter_internal.breach() returns void language plpgsql as $$
      begin
        perform rate_limiter_internal.lock_in_order(null, null);
      end;
      $$
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
    rule: "the shard key comes first in every key of the data plane",
    query: `
      with ${ourTables}
      select k.conname as offender
      from pg_constraint as k
      join our_tables as c on c.oid = k.conrelid
      join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
      where k.contype in ('p', 'u', 'f')
        and a.attname <> 'shard_key'
        and (${dataPlane})
      union all
      select i.indexrelid::regclass::text
      from pg_index as i
      join our_tables as c on c.oid = i.indrelid
      join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
      where i.indisunique
        and a.attname <> 'shard_key'
        and (${dataPlane})
    `,
    breach: `
      create table rate_limiter.metrics_breach (app_id uuid, shard_key integer, primary key (app_id, shard_key))
    `,
  },
  {
    rule: "a shard key is a number that each row of the data plane has",
    query: `
      with ${ourTables}
      select c.oid::regclass::text as offender
      from our_tables as c
      where (${dataPlane})
        and not exists (
          select
          from pg_attribute as a
          where a.attrelid = c.oid
            and a.attname = 'shard_key'
            and a.atttypid = 'integer'::regtype
            and a.attnotnull
            and not a.atthasdef
        )
    `,
    breach: "create table rate_limiter.metrics_breach (shard_key integer default 1 not null)",
  },
  {
    rule: "only a move to another cluster changes a shard key",
    query: `
      with ${ourFunctions}
      select p.oid::regprocedure::text as offender
      from our_functions as p
      where p.prosrc ~ '(\\mset|,)\\s+shard_key\\s*=|[.]shard_key\\s*:='
        and p.pronamespace::regnamespace || '.' || p.proname not in (
          'rate_limiter_internal.complete_application',
          'rate_limiter_internal.sync_application',
          'rate_limiter_internal.move_history',
          'rate_limiter_internal.move_charges',
          'rate_limiter_internal.moved_charges',
          'rate_limiter_internal.move_buckets',
          'rate_limiter_internal.finish_move'
        )
    `,
    breach: `
      create function rate_limiter.breach() returns void language sql as
      'update rate_limiter.app_facts set shard_key = 1'
    `,
  },
  {
    rule: "functions of decisions find rows of the data plane by the shard key",
    query: `
      with recursive ${ourTables}, ${ourFunctions}, ${functionsOfDecisions},
      used as (
        select r.name, u.alias[2] as alias, n.prosrc
        from named as n
        join reached as r on r.name = n.name
        cross join lateral regexp_matches(
          n.prosrc, '(?:from|join|update|using)\\s+rate_limiter\\w*[.](\\w+)(?:\\s+as\\s+(\\w+))?', 'g'
        ) as u (alias)
        join our_tables as c on c.relname = u.alias[1]
        -- Facts are what an application is looked up in.
        where (${dataPlane}) and c.relname <> 'app_facts'
      )
      select distinct u.name as offender
      from used as u
      where u.alias is null or u.prosrc !~ ('\\m' || u.alias || '[.]shard_key\\M')
    `,
    breach: `
      create function rate_limiter.consume(breach integer) returns bigint
      language sql as 'select count(*) from rate_limiter.token_buckets as b where b.owner_id is null'
    `,
  },
  {
    rule: "functions of decisions take the shard key first, or rows with it; public ones look it up",
    query: `
      with recursive ${ourTables}, ${ourFunctions}, ${functionsOfDecisions}, ${statementsOfDecisions},
      -- Arguments and answers that are rows, or lists of rows, with a shard key.
      keyed as (
        select t.oid as type_id
        from pg_type as t
        left join pg_type as e on e.oid = t.typelem
        join pg_attribute as a
          on a.attrelid in (t.typrelid, e.typrelid) and a.attrelid <> 0 and a.attname = 'shard_key'
      )
      select p.oid::regprocedure::text as offender
      from our_functions as p
      join reached as r on r.name = p.pronamespace::regnamespace || '.' || p.proname
      where p.pronamespace <> 'rate_limiter'::regnamespace
        and (
          p.proargnames && array['app_id', 'owner_id', 'cluster_id', 'app_ids', 'owner_ids']
          or exists (
            select from tables_read as t join our_tables as c on c.relname = t.relname
            where t.name = r.name and (${dataPlane})
          )
        )
        and coalesce(p.proargnames[1], '') not in ('shard_key', 'shard_keys')
        and not exists (select from keyed as k where k.type_id = any (p.proargtypes::oid[]))
        -- What public functions look it up with answers it.
        and p.proname !~ 'shard_key$'
        and not coalesce('shard_key' = any (p.proargnames), false)
        and not exists (select from keyed as k where k.type_id = p.prorettype)
    `,
    breach: `
      create function rate_limiter_internal.breach_at(at timestamptz, app_id uuid) returns integer
      language plpgsql as $$ begin return rate_limiter_internal.app_shard_key(app_id); end $$;
      create function rate_limiter.consume(breach integer) returns integer language plpgsql as
      $$ begin return rate_limiter_internal.breach_at(now(), null); end $$
    `,
  },
  {
    rule: "functions of decisions read one table in a statement, and quotas where terms change",
    query: `
      with recursive ${ourTables}, ${ourFunctions}, ${functionsOfDecisions}, ${statementsOfDecisions}
      select t.name || ', ' || string_agg(distinct t.relname, ', ') as offender
      from tables_read as t
      group by t.name, t.place
      having count(distinct case
        when t.relname in ('quota_configs', 'iops_quotas', 'bandwidth_quotas') then 'quotas'
        else t.relname
      end) > 1
    `,
    breach: `
      create function rate_limiter.consume(breach integer) returns bigint language plpgsql as $$
      begin
        return (
          select count(*)
          from rate_limiter.app_facts as f
          join rate_limiter.token_buckets as b on b.shard_key = f.shard_key
        );
      end
      $$
    `,
  },
  {
    rule: "no statement of a decision reads a table and calls what reads another one",
    query: `
      with recursive ${ourTables}, ${ourFunctions}, ${functionsOfDecisions}, ${statementsOfDecisions},
      reading (name) as (
        select t.name from tables_read as t
        union
        select f.name from functions_called as f join reading as r on r.name = f.called
      )
      select distinct t.name || ', ' || f.called as offender
      from tables_read as t
      join functions_called as f using (name, place)
      join reading as r on r.name = f.called
    `,
    breach: `
      create function rate_limiter.consume(breach integer) returns void language plpgsql as $$
      begin
        perform rate_limiter_internal.debt_limit(null)
        from rate_limiter.token_buckets as b
        where b.shard_key = breach;
      end
      $$
    `,
  },
  {
    rule: "no statement of a decision hands a whole row of a table to a function",
    query: `
      with recursive ${ourTables}, ${ourFunctions}, ${functionsOfDecisions}, ${statementsOfDecisions}
      select distinct t.name || ', ' || t.relname as offender
      from tables_read as t
      join statements as s using (name, place)
      where s.statement ~ ('[(,]\\s*' || t.alias || '\\s*[,)]')
    `,
    breach: `
      create function rate_limiter.consume(breach integer) returns void language plpgsql as $$
      begin
        perform rate_limiter_internal.with_tokens(b, 1)
        from rate_limiter.token_buckets as b
        where b.shard_key = breach;
      end
      $$
    `,
  },
  {
    rule: "functions of decisions that read or write tables are written in PL/pgSQL",
    query: `
      with recursive ${ourTables}, ${ourFunctions}, ${functionsOfDecisions}
      select distinct p.oid::regprocedure::text as offender
      from our_functions as p
      join reached as r on r.name = p.pronamespace::regnamespace || '.' || p.proname
      join pg_language as l on l.oid = p.prolang
      join our_tables as c
        on coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
          ~* ('(from|join|update|using|into)\\s+rate_limiter\\w*[.]' || c.relname || '\\M')
      where l.lanname <> 'plpgsql'
    `,
    breach: `
      create function rate_limiter.consume(breach integer) returns bigint language sql as
      'select count(*) from rate_limiter.token_buckets as b where b.shard_key = breach'
    `,
  },
  {
    rule: "decisions keep nothing in their session but counts of denials, which may be lost",
    query: `
      with recursive ${ourFunctions}, ${functionsOfDecisions}
      select distinct n.name || ', ' || k.setting[1] as offender
      from named as n
      join reached as r on r.name = n.name
      cross join lateral regexp_matches(n.prosrc, 'set_config[(]\\s*([^,]+),([^;]+);', 'g') as k (setting)
      where k.setting[2] !~ 'true\\s*[)]'
        and k.setting[1] !~ '^''rate_limiter_denials[.]'
        -- A list of them, by the name that the function has made or was given.
        and not (k.setting[1] = 'list' and n.prosrc ~ 'rate_limiter_denials[.]counts_')
    `,
    breach: `
      create function rate_limiter.consume(breach integer) returns void language plpgsql as $$
      begin
        perform set_config('rate_limiter_tokens.held', '12', false);
      end
      $$
    `,
  },
  {
    rule: "decisions lock IOPS, bandwidth, the stripe and layer 1 in this order",
    query: `
      with recursive ${ourTables}, ${ourFunctions}, ${functionsOfDecisions}, ${statementsOfDecisions},
      locking as (
        select
          s.name, s.place,
          case
            when s.statement ~ 'rate_limiter_internal[.](draw_layer1|draw_layer1_for)[(]' then 4
            when t.relname = 'layer1_stripes' or s.statement ~ '[.]take_from_stripe[(]' then 3
            else array_position(
              array['iops_l2', 'bandwidth_l2', '', 'iops_l1', 'bandwidth_l1'],
              (regexp_match(
                s.statement,
                t.alias || '[.]bucket_type\\s+(?:=|in)\\s+[(]?\\s*(?:case when \\w+ then\\s*)?''(\\w+)'''
              ))[1]
            )
          end as rank
        from statements as s
        left join tables_read as t on t.name = s.name and t.place = s.place
        where s.statement
          ~ '\\mupdate\\s+rate_limiter|\\mfor (no key )?update\\M|_from_stripe[(]|draw_layer1'
      )
      select distinct later.name as offender
      from locking as earlier
      join locking as later on later.name = earlier.name and later.place > earlier.place
      where later.rank < earlier.rank
    `,
    breach: `
      create function rate_limiter.consume(breach integer) returns void language plpgsql as $$
      begin
        update rate_limiter_internal.layer1_stripes as s set iops = 0 where s.shard_key = breach;
        update rate_limiter.token_buckets as b set current_tokens = 0
        where b.shard_key = breach and b.bucket_type = 'iops_l2';
      end
      $$
    `,
  },
  {
    rule: "decisions read nothing of the control plane but quotas and the list of operations",
    query: `
      with recursive ${ourFunctions}, ${functionsOfDecisions}
      select distinct n.name as offender
      from named as n
      join reached as r on r.name = n.name
      where n.prosrc ~ (
          'rate_limiter[.]'
          '(applications|tenants|clusters|cost_rules|suspensions|reservations|tenant_ceilings)\\M'
        )
        -- A key is resolved to its application and shard key, and read for nothing else.
        or n.prosrc ~ 'rate_limiter_private[.]api_keys\\M'
          and n.prosrc !~ 'select\\s+k[.]app_id,\\s+k[.]shard_key\\M'
    `,
    breach: `
      create function rate_limiter.consume(breach integer) returns bigint
      language sql as 'select count(*) from rate_limiter.applications'
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
  {
    rule: "no function tells an error apart by its message",
    query: `
      with ${ourFunctions}
      select p.oid::regprocedure::text as offender
      from our_functions as p
      where p.prosrc ~* '\\msqlerrm\\M\\s*(=|<>|!=|~|is|like|ilike|similar|in|not)'
        or p.prosrc ~* '[^:](=|<>|!=|~)\\s*sqlerrm\\M'
        or p.prosrc ~* '\\mcase\\s+sqlerrm\\M'
    `,
    breach: `
      create function rate_limiter_internal.breach() returns void language plpgsql as $$
      begin
        perform rate_limiter_internal.raise_layer1_short();
      exception
        when sqlstate 'QS425' then
          if sqlerrm <> 'layer 1 is short' then
            raise;
          end if;
      end;
      $$
    `,
  },
  {
    rule: "no function takes an advisory lock, which any login could hold",
    query: `
      with ${ourFunctions}
      select p.oid::regprocedure::text as offender
      from our_functions as p
      where coalesce(p.prosrc, '') || coalesce(pg_get_function_sqlbody(p.oid), '')
        ~* 'pg_(try_)?advisory_'
    `,
    breach: `
      create function rate_limiter.breach() returns void language sql as
      $$ select pg_advisory_xact_lock(hashtext('breach')) $$
    `,
  },
  {
    rule: "every job that changes or locks tables gives up a lock within 30 ms",
    query: `
      with recursive ${ourFunctions},
      named as (
        select p.*, p.pronamespace::regnamespace || '.' || p.proname || '(' as call
        from our_functions as p
      ),
      reached (job, oid) as (
        select p.oid, p.oid
        from named as p
        where has_function_privilege('rate_limiter_worker', p.oid, 'execute')
        union
        select r.job, callee.oid
        from reached as r
        join named as caller on caller.oid = r.oid
        join named as callee on position(callee.call in caller.prosrc) > 0
      )
      select distinct r.job::regprocedure::text as offender
      from reached as r
      join named as p on p.oid = r.oid
      join named as job on job.oid = r.job
      where p.prosrc ~* '\\m(alter|create|drop|lock|truncate) (table|trigger|only)\\M'
        and not 'lock_timeout=30ms' = any (coalesce(job.proconfig, '{}'))
    `,
    breach: `
      create function rate_limiter_private.breach() returns void language plpgsql as
      $$ begin execute 'drop table rate_limiter.metrics'; end $$;
      create function rate_limiter_private.breaching() returns void language sql as
      $$ select rate_limiter_private.breach() $$;
      grant execute on function rate_limiter_private.breaching() to rate_limiter_worker
    `,
  },
];
