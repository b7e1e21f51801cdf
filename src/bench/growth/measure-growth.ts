import { performance } from "node:perf_hooks";
import { logFor } from "../../log.ts";
import type { Sql } from "../../postgres/connect.ts";
import { type BenchDatabase, openGrowthDatabase } from "../open-database.ts";
import { type GrowthJob, growthJobs } from "./jobs.ts";

const log = logFor("bench");

/** What a run of a job took: rows that its queries read of tables, rows that it wrote, and its time. */
export interface JobCost {
  readonly job: string;
  readonly read: number;
  readonly ledgerRead: number;
  readonly written: number;
  readonly ms: number;
}

export interface Growth {
  /** Applications that the jobs' busy ones are among; of each other group of the world there are fifty. */
  readonly applications: number;
  readonly costs: readonly JobCost[];
}

/**
 * What each job costs in a minute in which so many applications were busy, among so many: one world
 * for each size. All of their first charges are worked off before.
 */
export async function measureGrowth(
  sizes: readonly number[],
  busy: number,
  open: (applications: number) => Promise<BenchDatabase> = openGrowthDatabase,
): Promise<Growth[]> {
  const found: Growth[] = [];
  for (const applications of sizes) {
    log.info({ applications }, "makes a world");
    const database = await open(applications);
    try {
      found.push({ applications, costs: await costsIn(database.sql, busy) });
    } finally {
      await database.remove();
    }
  }
  return found;
}

async function costsIn(sql: Sql, busy: number): Promise<JobCost[]> {
  await watchEach(sql);
  // From the next full hour on, so that what is counted is the same at any time of day.
  const hour = Math.ceil(Date.now() / 3_600_000) * 3_600_000;
  const minute = (minutes: number) => new Date(hour + minutes * 60_000);
  // The second run ends what the first charges began.
  for (const at of [minute(2), minute(5)]) {
    for (const job of growthJobs) {
      log.debug({ job: job.name }, "works off what the world was made by");
      await job.run(sql, at);
    }
  }
  await sql`analyze`;
  await sql`
    select rate_limiter_internal.consume_at(f.shard_key, ${minute(10)}, f.app_id, 'read_small', 4096)
    from generate_series(1, ${busy}::integer) as n
    join rate_limiter.app_facts as f on f.app_id = md5('full ' || n)::uuid
  `;
  await owe(sql, busy, minute(11));
  const costs: JobCost[] = [];
  for (const job of growthJobs) costs.push(await costOf(sql, job, minute(12)));
  return costs;
}

/** An alert for each application, on what does not happen. No trigger runs: an audit row each takes minutes. */
async function watchEach(sql: Sql): Promise<void> {
  await sql.begin(async (transaction) => {
    await transaction`set local session_replication_role = replica`;
    await transaction`
      insert into rate_limiter.alert_configs
        (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
         cooldown_seconds, notification_config)
      select
        a.app_id, 'qos_denied_operations', '>', 1000000, 60, 'warning', 300, '{"channel": "log"}'
      from rate_limiter.applications as a
    `;
  });
}

/** So many borrowings that are due at a moment, every other one owed to the next application. */
async function owe(sql: Sql, count: number, at: Date): Promise<void> {
  await sql`
    insert into rate_limiter.token_borrowing
      (shard_key, owner_id, bucket_type, lender_owner_id, lender_bucket_type, tokens_borrowed,
       repayment_tokens, interest_rate, borrowed_at, due_at, collect_at)
    select
      f.shard_key, f.app_id, 'iops_l2', lender.app_id,
      case when lender.app_id is not null then 'iops_l2'::rate_limiter.bucket_type end,
      1, 1.1, 0.1, ${at}::timestamptz - interval '1 hour', ${at}, ${at}
    from generate_series(1, ${count}::integer) as n
    join rate_limiter.app_facts as f on f.app_id = md5('full ' || n)::uuid
    left join rate_limiter.app_facts as lender
      on n % 2 = 0 and lender.app_id = md5('full ' || n - 1)::uuid
  `;
}

async function costOf(sql: Sql, job: GrowthJob, at: Date): Promise<JobCost> {
  await sql`begin`;
  const before = await counts(sql);
  const start = performance.now();
  await job.run(sql, at);
  const ms = performance.now() - start;
  const after = await counts(sql);
  await sql`commit`;
  return {
    job: job.name,
    read: after.read - before.read,
    ledgerRead: after.ledgerRead - before.ledgerRead,
    written: after.written - before.written,
    ms,
  };
}

async function counts(sql: Sql) {
  const [row] = await sql<{ read: number; ledgerRead: number; written: number }[]>`
    select
      sum(s.seq_tup_read + coalesce(s.idx_tup_fetch, 0))::float8 as read,
      coalesce(
        sum(s.seq_tup_read + coalesce(s.idx_tup_fetch, 0))
          filter (where s.relname ~ '^token_transactions_'),
        0
      )::float8 as "ledgerRead",
      sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del)::float8 as written
    from pg_stat_xact_all_tables as s
    where s.schemaname ~ '^rate_limiter'
  `;
  if (row === undefined) throw new Error("no statistics");
  return row;
}
