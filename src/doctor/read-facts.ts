import { committedMigrations } from "../migrations/committed-migrations.ts";
import type { Sql } from "../postgres/connect.ts";
import type { Facts } from "./facts.ts";
import { readClock } from "./read-clock.ts";
import { readPooling } from "./read-pooling.ts";
import { readSessions, type SessionFacts } from "./read-sessions.ts";

type FromDatabase = Omit<
  Facts,
  keyof SessionFacts | ("missingMigrations" | "unknownMigrations" | "clockSkewMs" | "isPooled")
> & { readonly applied: readonly string[] };

/** Reads all facts; changes nothing, and works on a standby too. */
export async function readFacts(sql: Sql): Promise<Facts> {
  const { applied, ...known } = await fromDatabase(sql);
  const committed = committedMigrations();
  return {
    ...known,
    ...(await readSessions(sql)),
    missingMigrations: committed.filter((hash) => !applied.includes(hash)).length,
    unknownMigrations: applied.filter((hash) => !committed.includes(hash)).length,
    clockSkewMs: await readClock(sql),
    isPooled: await readPooling(sql),
  };
}

async function fromDatabase(sql: Sql): Promise<FromDatabase> {
  const [row] = await sql<{ facts: FromDatabase }[]>`
    with partitions as (
      select
        p.table_name, p.partition_name, p.schema_name, p.partition_oid, p.is_default, p.ends_at
      from rate_limiter_internal.partitions() as p
    ),
    last_check as (
      select c.gap_count, c.checked_at
      from rate_limiter_private.ledger_checks as c
      order by c.checked_at desc
      limit 1
    )
    select jsonb_build_object(
      'serverVersion', current_setting('server_version_num')::integer,
      'serverVersionText', current_setting('server_version'),
      'isStandby', pg_is_in_recovery(),
      'isReadOnly', current_setting('transaction_read_only')::boolean,
      'applied', array(select rate_limiter_private.applied_migrations()),
      'extensions', array(select e.extname from pg_extension as e),
      'missingRoles', array(
        select wanted.name
        from unnest(array[
          'rate_limiter_owner', 'rate_limiter_migrator', 'rate_limiter_app', 'rate_limiter_worker',
          'rate_limiter_authenticator', 'rate_limiter_visitor', 'rate_limiter_readonly'
        ]) as wanted (name)
        where to_regrole(wanted.name) is null
      ),
      'settings', (
        select jsonb_object_agg(s.name, s.setting)
        from pg_settings as s
        where s.name in (
          'random_page_cost', 'shared_buffers', 'max_wal_size', 'fsync', 'full_page_writes',
          'autovacuum', 'track_counts', 'max_connections', 'huge_pages_status',
          'default_transaction_isolation', 'data_checksums'
        )
      ),
      'workers', (
        select count(*)
        from rate_limiter_private.job_workers as w
        where w.seen_at > clock_timestamp() - interval '1 minute'
      ),
      'jobsGivenUp', (
        select count(*) from graphile_worker.jobs as j where j.attempts >= j.max_attempts
      ),
      'ledgerGaps', (select c.gap_count from last_check as c),
      'ledgerCheckHours', (
        select extract(epoch from clock_timestamp() - c.checked_at) / 3600 from last_check as c
      ),
      'endingPartitions', array(
        select p.table_name
        from partitions as p
        group by p.table_name
        having coalesce(max(p.ends_at), '-infinity') < clock_timestamp() + interval '1 day'
        order by p.table_name
      ),
      'filledDefaults', array(
        select p.partition_name
        from partitions as p
        where p.is_default
          and pg_relation_size(p.partition_oid) > 0
        order by p.partition_name
      ),
      'hotUpdates', coalesce((
        select sum(t.n_tup_hot_upd)
        from pg_stat_user_tables as t
        where t.relname in ('token_buckets', 'layer1_stripes')
      ), 0),
      'updates', coalesce((
        select sum(t.n_tup_upd)
        from pg_stat_user_tables as t
        where t.relname in ('token_buckets', 'layer1_stripes')
      ), 0),
      'preparedTransactions', (select count(*) from pg_prepared_xacts),
      'slotsHoldingRows', array(
        select s.slot_name from pg_replication_slots as s where s.xmin is not null
      ),
      'databaseBytes', pg_database_size(current_database())::text,
      'largestTables', (
        select jsonb_agg(jsonb_build_object('name', l.name, 'bytes', l.total_bytes::text))
        from (
          select t.schema_name || '.' || t.table_name as name, t.total_bytes
          from rate_limiter.v_table_sizes as t
          order by t.total_bytes desc
          limit 3
        ) as l
      )
    ) as facts
  `;
  if (row === undefined) throw new Error("the database answered nothing");
  return row.facts;
}
