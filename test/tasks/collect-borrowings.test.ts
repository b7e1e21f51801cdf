import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { startWorker } from "../../src/worker/worker.ts";
import { createDatabase } from "../harness/index.ts";

/** A million takes minutes: QOS_DRAIN_BORROWINGS=1000000 npx vitest run test/tasks/collect-borrowings.test.ts */
const borrowings = Number(process.env.QOS_DRAIN_BORROWINGS ?? 5_000);
const applications = Math.max(100, borrowings / 1000);
const patience = 120_000 + borrowings * 4;

const database = await createDatabase();
const { sql } = database;
const gateway = database.as("rate_limiter_app");

interface Drained {
  readonly seconds: number;
  /** In milliseconds; of the workers' transactions that collect, and of decisions meanwhile. */
  readonly longestTransaction: number;
  readonly longestDecision: number;
  readonly decisions: number;
}

/** Half of them owe to a sibling, half to their own future; all are due since an hour. */
async function makeOverdue(): Promise<string[]> {
  await sql`insert into rate_limiter.tenants (name) values ('drain')`;
  await sql`insert into rate_limiter.clusters (name, region) values ('drain', 'north')`;
  const apps = await sql<{ id: string }[]>`
    insert into rate_limiter.applications (tenant_id, cluster_id, name)
    select t.tenant_id, c.cluster_id, 'drain ' || n
    from rate_limiter.tenants as t
    cross join rate_limiter.clusters as c
    cross join generate_series(1, ${applications}::integer) as n
    returning app_id as id
  `;
  const ids = apps.map((app) => app.id);
  await sql`
    select rate_limiter_internal.publish_quota_at(
      now(), a.app_id, null, 'enforce', null, null,
      '{"iops_limit": 1000, "iops_burst": 1000000, "burst_duration_seconds": 1,
        "refill_rate": 1000}',
      null, 'drain'
    )
    from unnest(${ids}::uuid[]) as a (app_id)
  `;
  await sql`
    insert into rate_limiter.token_borrowing (
      shard_key, owner_id, bucket_type, lender_owner_id, lender_bucket_type, tokens_borrowed,
      repayment_tokens, interest_rate, borrowed_at, due_at, collect_at
    )
    select
      rate_limiter_internal.shard_key_of(ids.list[1 + n % ${applications}::integer]),
      ids.list[1 + n % ${applications}::integer], 'iops_l2',
      case when n % 2 = 0 then ids.list[1 + (n / 2) % ${applications}::integer] end,
      case when n % 2 = 0 then 'iops_l2'::rate_limiter.bucket_type end,
      1, 1.1, 0.1, now() - interval '2 hours', now() - interval '1 hour',
      now() - interval '1 hour'
    from (select ${ids}::uuid[] as list) as ids
    cross join generate_series(1, ${borrowings}::integer) as n
  `;
  await sql`analyze rate_limiter.token_borrowing`;
  return ids;
}

/** Two workers drain, while applications that owe go on deciding. */
async function drain(ids: readonly string[]): Promise<Drained> {
  const databaseUrl = database.urlAs("rate_limiter_worker");
  let [isDraining, longestTransaction, longestDecision, decisions] = [true, 0, 0, 0];
  const deciding = (async () => {
    for (; isDraining; decisions++) {
      const appId = ids[decisions % ids.length] ?? "";
      const start = performance.now();
      await gateway`select rate_limiter.consume(${appId}, 'write_small', 0)`;
      longestDecision = Math.max(longestDecision, performance.now() - start);
      await sleep(5);
    }
  })();
  const watching = (async () => {
    for (; isDraining; await sleep(5)) {
      const [row] = await sql<{ longest: number }[]>`
        select coalesce(max(extract(epoch from clock_timestamp() - a.xact_start)) * 1000, 0)
          ::double precision as longest
        from pg_stat_activity as a
        where a.datname = ${database.name}
          and a.query like '%collect_borrowings(%'
          and a.application_name = 'storage-qos worker'
          and a.state = 'active'
      `;
      longestTransaction = Math.max(longestTransaction, row?.longest ?? 0);
    }
  })();
  const start = performance.now();
  const workers = await Promise.all([startWorker({ databaseUrl }), startWorker({ databaseUrl })]);
  await sql`select graphile_worker.add_job('collect_borrowings') from generate_series(1, 2)`;
  while (await isAnyLeft()) await sleep(50);
  const seconds = (performance.now() - start) / 1000;
  isDraining = false;
  await Promise.all([deciding, watching, ...workers.map((each) => each.stop())]);
  return { seconds, longestTransaction, longestDecision, decisions };
}

async function isAnyLeft(): Promise<boolean> {
  const left = await sql`
    select from rate_limiter.token_borrowing where status in ('active', 'defaulted') limit 1
  `;
  return left.count > 0;
}

let drained: Drained;
beforeAll(async () => {
  drained = await drain(await makeOverdue());
  if (process.env.QOS_DRAIN_BORROWINGS) console.log({ borrowings, ...drained });
}, patience);

describe("many overdue borrowings", () => {
  test("are all collected, and lenders credited", async () => {
    const [row] = await sql<{ open: number; repaid: string; taken: string; credited: string }[]>`
      select
        (select count(*)::integer from rate_limiter.token_borrowing where status <> 'repaid')
          as open,
        (select sum(b.repaid_tokens) from rate_limiter.token_borrowing as b) as repaid,
        (select -sum(t.tokens_change) from rate_limiter.token_transactions as t
          where t.transaction_type = 'repay' and t.tokens_change < 0) as taken,
        (select sum(t.tokens_change) from rate_limiter.token_transactions as t
          where t.transaction_type = 'repay' and t.tokens_change > 0) as credited
    `;
    const owed = (borrowings * 1.1).toFixed(6);
    expect(row).toMatchObject({ open: 0, repaid: owed, taken: owed });
    expect(Number(row?.credited)).toBeGreaterThan(0);
    expect([...(await sql`select * from rate_limiter.verify_ledger()`)]).toEqual([]);
  });

  test("delay no decision: no transaction is long, and decisions go on", () => {
    expect(drained.decisions).toBeGreaterThan(10);
    expect(drained.longestTransaction).toBeLessThan(5_000);
    expect(drained.longestDecision).toBeLessThan(5_000);
  });
});
