import { afterAll, describe, expect, test } from "vitest";
import type { Sql, TransactionSql } from "../../../src/postgres/connect.ts";
import { createDatabase } from "../../harness/index.ts";
import { recordPlans, type Scan } from "./recorder.ts";
import { makeBigWorld } from "./world.ts";

/** The twelve query patterns, on a million ledger rows, find what they want without searching. */
const database = await createDatabase();
const { appId, userId } = await makeBigWorld(database);
const recorder = await recordPlans(database.url);
afterAll(() => recorder.close());

/** Tables and partitions of which no query should read every row. */
const big = new Set(
  (
    await database.sql<{ name: string }[]>`
      select c.relname as name from pg_class as c where c.relkind = 'r' and c.reltuples >= 2000
    `
  ).map((row) => row.name),
);

const sequentialIn = (scans: readonly Scan[]) =>
  scans.filter((scan) => scan.isSequential && big.has(scan.relation)).map((scan) => scan.relation);

const partitionsIn = (scans: readonly Scan[], table: string) =>
  new Set(
    scans
      .map((scan) => scan.relation)
      .filter((name) => name.startsWith(`${table}_y`) || name === `${table}_default`),
  ).size;

function asAdministrator(work: (sql: TransactionSql) => PromiseLike<unknown>) {
  return (sql: Sql) =>
    sql.begin(async (transaction) => {
      await transaction`set local role rate_limiter_visitor`;
      await transaction`select set_config('rate_limiter.user_id', ${userId}, true)`;
      await work(transaction);
    });
}

// An hour in the middle of a whole day: soon after midnight the last hour is all that today has.
const noon = new Date(new Date().setUTCHours(12, 0, 0, 0) - 86_400_000).toISOString();

interface Pattern {
  readonly pattern: string;
  readonly run: (sql: Sql) => PromiseLike<unknown>;
  /** How many partitions of a table it may touch at most; of the others none. */
  readonly touches?: Readonly<Record<string, number>>;
}

const patterns: readonly Pattern[] = [
  {
    pattern: "1 rate limiting check",
    run: (sql) => sql`select * from rate_limiter.consume(${appId}, 'read_small', 4096, 'r1')`,
  },
  {
    pattern: "2 cost of an operation",
    run: (sql) => sql`select rate_limiter.cost(${appId}, 'read_small', 4096)`,
  },
  {
    pattern: "3 borrow tokens",
    run: (sql) => sql`select * from rate_limiter.borrow_automatically(${appId}, 5)`,
  },
  {
    pattern: "4 metrics ingestion",
    run: (sql) => sql`
      select * from rate_limiter.record_iops_metrics(
        ${appId}, jsonb_build_array(jsonb_build_object('timestamp', now(), 'read_ops', 5))
      )
    `,
  },
  {
    pattern: "5 quota in force",
    run: (sql) => sql`select * from rate_limiter.limits_in_force(${appId})`,
  },
  {
    pattern: "6 history of a metric, from its samples",
    run: asAdministrator(
      (sql) => sql`
        select date_trunc('hour', m."timestamp"), avg(m.value)
        from rate_limiter.metrics as m
        where m.app_id = ${appId} and m.metric_name = 'latency'
          and m."timestamp" > current_timestamp - interval '7 days'
        group by 1
      `,
    ),
    // Eight days, and those made ahead: the question has no end.
    touches: { metrics: 17 },
  },
  {
    pattern: "6 history of a metric, by the hour",
    run: asAdministrator(
      (sql) => sql`
        select * from rate_limiter.metrics_hourly
        where app_id = ${appId} and metric_name = 'latency'
          and bucket > current_timestamp - interval '7 days'
        order by bucket desc
      `,
    ),
  },
  {
    pattern: "7 alerts",
    run: (sql) => sql`select rate_limiter_private.evaluate_alerts()`,
    touches: { metrics: 3 },
  },
  {
    pattern: "8 audit rows of a day, by user and action",
    run: asAdministrator(
      (sql) => sql`
        select * from rate_limiter_admin.search_audit(
          now() - interval '1 day', now(), user_id => ${userId}, action => 'delete'
        )
      `,
    ),
    touches: { audit_logs: 2 },
  },
  {
    pattern: "8 audit rows with a text in them",
    run: asAdministrator(
      (sql) => sql`
        select * from rate_limiter_admin.search_audit(
          now() - interval '1 day', now(), containing => md5('19999')
        )
      `,
    ),
    touches: { audit_logs: 2 },
  },
  {
    pattern: "9 use of an application by the day",
    run: asAdministrator(
      (sql) => sql`
        select * from rate_limiter_admin.usage_over_time(
          ${appId}, now() - interval '5 days', now(), 'day'
        )
      `,
    ),
    touches: { token_transactions: 7, denial_counts: 7 },
  },
  {
    pattern: "9 use by the day of every application",
    run: asAdministrator(
      (sql) => sql`
        select date, app_id, sum(tokens_consumed)
        from rate_limiter.v_daily_quota_usage
        where date > current_date - 3
        group by 1, 2
      `,
    ),
  },
  {
    pattern: "9 use of every application in an hour",
    run: asAdministrator(
      (sql) => sql`
        select * from rate_limiter_admin.top_consumers(${noon}, ${noon}::text::timestamptz + '1 hour')
      `,
    ),
    touches: { token_transactions: 3, denial_counts: 3 },
  },
  {
    pattern: "10 repayment of borrowings",
    run: (sql) => sql`select rate_limiter_private.collect_borrowings(now() + interval '2 hours')`,
  },
  {
    pattern: "11 permission check",
    run: (sql) => sql`select rate_limiter_internal.has_permission(${userId}, 'quota', 'read')`,
  },
  {
    pattern: "12 buckets low on tokens",
    run: asAdministrator(
      (sql) => sql`
        select * from rate_limiter.v_token_bucket_status where status in ('debt', 'critical')
      `,
    ),
  },
];

describe.each(patterns)("$pattern", ({ run, touches = {} }) => {
  test("reads no big table from end to end, and prunes", async () => {
    const scans = await recorder.scansOf(run);
    expect(scans.length, "plans were told").toBeGreaterThan(0);
    expect(sequentialIn(scans)).toEqual([]);
    for (const table of ["token_transactions", "metrics", "audit_logs", "denial_counts"]) {
      expect(partitionsIn(scans, table), table).toBeLessThanOrEqual(touches[table] ?? 0);
    }
  });
});

test("a search through everything would be seen", async () => {
  const scans = await recorder.scansOf(
    (sql) => sql`select sum(balance_after) from rate_limiter.token_transactions`,
  );
  expect(sequentialIn(scans).length).toBeGreaterThan(25);
  expect(partitionsIn(scans, "token_transactions")).toBeGreaterThan(25);
});
