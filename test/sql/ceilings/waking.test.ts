import { beforeEach, describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  asUser,
  cancel,
  makeApplication,
  makeCluster,
  makeOperator,
  makeTenant,
  publish,
  setCeiling,
} from "../control-plane.ts";
import { ledgerGaps } from "../world.ts";

/** Every way in which an application stops to count under a ceiling, and counts again. */
const database = await createDatabase();
const { sql } = database;
const operator = await makeOperator(sql);
const limits = { limit: 1, burst: 1_000 };

let tenantId = "";
let elsewhereTenantId = "";
let clusterId = "";
let elsewhereId = "";
let appId = "";

beforeEach(async () => {
  [tenantId, elsewhereTenantId] = [await makeTenant(sql), await makeTenant(sql)];
  [clusterId, elsewhereId] = [await makeCluster(sql), await makeCluster(sql)];
  await give({ clusterId });
  appId = await makeApplication(sql, { tenantId, clusterId });
});

const give = (of: { clusterId?: string }) =>
  asUser(database, operator, (caller) =>
    setCeiling(caller, { tenantId, iops: [1, 1_000, 1_000], ...of }),
  );

async function tokens(): Promise<number> {
  const [row] = await sql`
    select (s.bucket).current_tokens::float8 as tokens
    from rate_limiter.token_buckets as b
    cross join lateral rate_limiter_internal.bucket_at(clock_timestamp(), b) as s
    where b.owner_id = ${appId} and b.bucket_type = 'iops_l2'
  `;
  return row?.tokens;
}

/** What an hour of its quota would bring is in the bucket already. */
async function fill(change = 900) {
  await sql`
    select rate_limiter_internal.adjust_tokens_at(null, ${appId}, 'iops_l2', ${change}, 'test')
  `;
}

async function set(values: Record<string, string | boolean | null>) {
  await sql`update rate_limiter.applications set ${sql(values)} where app_id = ${appId}`;
}

async function setTenant(isActive: boolean) {
  await sql`update rate_limiter.tenants set is_active = ${isActive} where tenant_id = ${tenantId}`;
}

/** Another application would take the whole of the ceiling. */
async function takeAll() {
  return publish(sql, { appId: await makeApplication(sql, { tenantId, clusterId }), iops: limits });
}

const own = () => publish(sql, { appId, iops: limits });
const byDefault = () => publish(sql, { defaultClusterId: clusterId, iops: limits });

describe("holds nothing when it counts again", () => {
  test.each([
    ["deactivated", own, () => set({ is_active: false }), () => set({ is_active: true })],
    [
      "moved to a cluster without a ceiling",
      own,
      () => set({ cluster_id: elsewhereId }),
      () => set({ cluster_id: clusterId }),
    ],
    [
      "taken off its cluster",
      own,
      () => set({ cluster_id: null }),
      () => set({ cluster_id: clusterId }),
    ],
    [
      "given to another tenant",
      own,
      () => set({ tenant_id: elsewhereTenantId }),
      () => set({ tenant_id: tenantId }),
    ],
    ["without its quota", own, (quota: string) => cancel(sql, quota), own],
    [
      "with a quota of bandwidth alone",
      own,
      () => publish(sql, { appId, bandwidth: 1, removeIops: true }),
      own,
    ],
    ["without the default of its cluster", byDefault, (q: string) => cancel(sql, q), byDefault],
  ] as const)("an application that was %s", async (_, begin, leave, comeBack) => {
    const quota = await begin();
    await fill();
    await leave(quota);
    await comeBack();
    expect(await tokens()).toBeLessThan(100);
    expect(await ledgerGaps(sql)).toEqual([]);
  });

  test("an application that first gets its quota while it is inactive", async () => {
    await set({ is_active: false });
    await own();
    await fill();
    await set({ is_active: true });
    expect(await tokens()).toBeLessThan(100);
  });

  test("a new application on a cluster with a default", async () => {
    await sql`
      select rate_limiter_internal.publish_quota_at(
        clock_timestamp() - interval '1 day', null, null, 'enforce', null, null,
        ${JSON.stringify({ iops_limit: 1, iops_burst: 1_000, burst_duration_seconds: 1, refill_rate: 1, calculation_method: "token_bucket" })}::text::jsonb,
        null, 'test', ${clusterId}
      )
    `;
    await set({ is_active: false });
    appId = await makeApplication(sql, { tenantId, clusterId });
    expect(await tokens()).toBeLessThan(100);
    const [row] = await sql`
      select rate_limiter_internal.has_token_history(${appId}) as "hasHistory"
    `;
    expect(row?.hasHistory).toBe(false);
  });

  test("and so it does while the ceiling is one for all clusters", async () => {
    await give({});
    await own();
    await fill();
    await set({ is_active: false });
    await set({ is_active: true });
    expect(await tokens()).toBeLessThan(100);
  });

  test("an application between two quotas for a time", async () => {
    const hour = 3_600_000;
    const now = Date.now();
    const at = (hours: number, ms = 0) => new Date(now + hours * hour + ms).toISOString();
    await publish(sql, { appId, iops: limits, from: at(1), to: at(2) });
    await publish(sql, { appId, iops: limits, from: at(3) });
    const rows = await sql`
      select (s.bucket).current_tokens::float8 as tokens
      from rate_limiter.token_buckets as b
      cross join unnest(${[at(2, -1_000), at(3), at(3, 5_000)]}::timestamptz[])
        with ordinality as m (at, place)
      cross join lateral rate_limiter_internal.bucket_at(m.at, b) as s
      where b.owner_id = ${appId} and b.bucket_type = 'iops_l2'
      order by m.place
    `;
    expect(rows.map((row) => row.tokens)).toEqual([1_000, 0, 5]);
  });

  test("but what it owes stays", async () => {
    await own();
    await sql`select rate_limiter.charge_owed(${appId}, 900, 0, 'a download')`;
    await set({ is_active: false });
    await set({ is_active: true });
    expect(await tokens()).toBeLessThan(-800);
  });

  test("and what no ceiling binds stays", async () => {
    await publish(sql, { appId, iops: limits, bandwidth: { limit: 1, burst: 1_000 } });
    await set({ is_active: false });
    await set({ is_active: true });
    const [row] = await sql`
      select (s.bucket).current_tokens::float8 as tokens
      from rate_limiter.token_buckets as b
      cross join lateral rate_limiter_internal.bucket_at(clock_timestamp(), b) as s
      where b.owner_id = ${appId} and b.bucket_type = 'bandwidth_l2'
    `;
    expect(row?.tokens).toBe(1_000);
  });
});

describe("goes on to count, and keeps what it has", () => {
  const suspend = () =>
    asUser(database, operator, async (caller) => {
      const [row] = await caller`
      select s.suspension_id as id
      from rate_limiter_admin.suspend_application(${appId}, 'a loop', null) as s
    `;
      return row?.id as string;
    });
  const lift = (id: string) =>
    asUser(database, operator, async (caller) => {
      await caller`select rate_limiter_admin.lift_suspension(${id}, 'mended')`;
    });

  test.each([
    ["suspended", suspend, lift],
    ["of an inactive tenant", () => setTenant(false), () => setTenant(true)],
    ["renamed", () => set({ name: crypto.randomUUID() }), () => set({ name: crypto.randomUUID() })],
    [
      "moved under a ceiling for all clusters",
      async () => {
        await give({});
        await set({ cluster_id: elsewhereId });
      },
      async () => {
        await expectSqlState(takeAll(), "QS403", "tenant ceiling is exceeded");
      },
    ],
  ])("an application that is %s", async (_, leave, comeBack) => {
    await own();
    await fill();
    const left = await leave();
    await expectSqlState(takeAll(), "QS403", "tenant ceiling is exceeded");
    await comeBack(left ?? "");
    expect(await tokens()).toBeGreaterThanOrEqual(900);
  });
});

test("an inactive application lends nothing", async () => {
  await own();
  await fill();
  await set({ is_active: false });
  const borrowerId = await makeApplication(sql, { tenantId, clusterId });
  await publish(sql, { appId: borrowerId, iops: limits });
  await expectSqlState(
    sql`
      select rate_limiter_internal.borrow_tokens_at(
        null, ${borrowerId}, 'iops_l2', 500, interval '1 hour', ${appId}
      )
    `,
    "QS422",
    "lender not allowed",
  );
});
