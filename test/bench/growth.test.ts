import { expect, test } from "vitest";
import { measureGrowth } from "../../src/bench/growth/measure-growth.ts";
import { renderGrowth } from "../../src/bench/growth/render-growth.ts";
import { connect } from "../../src/postgres/connect.ts";
import { createDatabase } from "../harness/index.ts";

/** Applications as the benchmark names them, each of which was charged once. */
async function open(applications: number) {
  const { url } = await createDatabase();
  const sql = connect(url, { max: 1 });
  await sql`insert into rate_limiter.tenants (name) values ('growth')`;
  await sql`
    insert into rate_limiter.applications (app_id, tenant_id, name)
    select md5('full ' || n)::uuid, t.tenant_id, 'full ' || n
    from rate_limiter.tenants as t
    cross join generate_series(1, ${applications}::integer) as n
    where t.name = 'growth'
  `;
  await sql`
    select rate_limiter_internal.publish_quota_at(
      now() - interval '1 minute', a.app_id, null, 'enforce', null, null,
      '{"iops_limit": 1000, "iops_burst": 1000, "burst_duration_seconds": 1, "refill_rate": 1000}',
      null, 'growth'
    )
    from rate_limiter.applications as a
  `;
  await sql`
    select rate_limiter.consume(a.app_id, 'read_small', 4096) from rate_limiter.applications as a
  `;
  return { sql, url, remove: () => sql.end() };
}

test("the table has each job, what it counts at each size, and how much more the last is", () => {
  const cost = { job: "verify_ledger", read: 20, ledgerRead: 0, written: 5, ms: 1 };
  const table = renderGrowth([
    { applications: 1000, costs: [cost] },
    { applications: 10_000, costs: [{ ...cost, read: 50 }] },
  ]);
  expect(table.split("\n")).toEqual([
    "| job | rows read at 1,000 / 10,000 | of the ledger at 1,000 / 10,000 | rows written at 1,000 / 10,000 |",
    "| --- | --- | --- | --- |",
    "| `verify_ledger` | 20 / 50 (2.5 times) | 0 / 0 | 5 / 5 (1.0 times) |",
  ]);
});

const testLong = process.env.QOS_TEST_FULL ? test : () => {};

testLong(
  "jobs read of the ledger and write what the busy applications did, however many others there are",
  async () => {
    const growth = await measureGrowth([4, 40], 3, open);
    const [few, many] = growth.map(({ costs }) => new Map(costs.map((cost) => [cost.job, cost])));
    const jobs = growth[0]?.costs.map(({ job }) => job) ?? [];
    expect(jobs.length).toBeGreaterThan(5);
    for (const job of ["record_system_metrics", "refresh_daily_quota_usage"]) {
      expect(few?.get(job)?.ledgerRead, job).toBeGreaterThan(0);
      expect(few?.get(job)?.written, job).toBeGreaterThan(0);
    }
    for (const job of jobs.filter((name) => !/^record|^verify/.test(name))) {
      // Of few rows all are read.
      expect(many?.get(job)?.ledgerRead, job).toBeLessThanOrEqual(few?.get(job)?.ledgerRead ?? 0);
      expect(many?.get(job)?.written, job).toBe(few?.get(job)?.written);
    }
    expect(renderGrowth(growth).split("\n").length).toBe(jobs.length + 2);
  },
);
