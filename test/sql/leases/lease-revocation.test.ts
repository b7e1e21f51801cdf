import { beforeAll, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  ledgerGaps,
  limitedApplication,
  makeCluster,
  makeTenant,
  publish,
  setSetting,
  tokensAt,
} from "../world.ts";

const database = await createDatabase();
const { sql } = database;
const gateway = database.as("rate_limiter_app");
const owner = database.as("rate_limiter_owner");
const worker = database.as("rate_limiter_worker");

beforeAll(() => setSetting(sql, "lease_max_share", 1));

async function lease(appId: string, tokens: number, lifetime = "1 hour") {
  const [grant] = await gateway`
    select l.lease_id, l.tokens::float8, l.holders
    from rate_limiter.lease_tokens(${appId}, ${tokens}, 0, ${lifetime}) as l
  `;
  return { ...grant } as { lease_id: string; tokens: number; holders: number };
}

async function settle(appId: string, leaseId: string, spent: number) {
  const [back] = await gateway`
    select s.returned_tokens::float8 as returned
    from rate_limiter.settle_lease(${appId}, ${leaseId}, ${spent}, 0) as s
  `;
  return back?.returned;
}

async function leased(clusterId: string) {
  const [row] = await sql`
    select leased::float8 from rate_limiter.token_buckets where owner_id = ${clusterId}
  `;
  return row?.leased;
}

/** An application whose buckets hardly refill, on a cluster of 1,000 tokens. */
async function leasing() {
  const clusterId = await makeCluster(sql);
  const tenantId = await makeTenant(sql);
  await publish(sql, { clusterId }, { iops: 1, burst: 1000 });
  const appId = await limitedApplication(sql, { iops: 1, burst: 900 }, { clusterId, tenantId });
  return { clusterId, tenantId, appId };
}

type Leasing = Awaited<ReturnType<typeof leasing>>;

const suspend = (tenantId: string, appId: string | null) => owner`
  select rate_limiter_internal.suspend(${tenantId}, ${appId}, null, 'a loop', null)
`;
const stops: [
  string,
  (of: Leasing) => PromiseLike<unknown>,
  (of: Leasing) => PromiseLike<unknown>,
][] = [
  [
    "is suspended",
    ({ tenantId, appId }) => suspend(tenantId, appId),
    ({ appId }) => sql`
        update rate_limiter.app_facts set suspended_until = null where app_id = ${appId}
      `,
  ],
  [
    "is suspended with its tenant",
    ({ tenantId }) => suspend(tenantId, null),
    ({ appId }) => sql`
        update rate_limiter.app_facts set suspended_until = null where app_id = ${appId}
      `,
  ],
  [
    "is deactivated",
    ({ appId }) => sql`
        update rate_limiter.applications set is_active = false where app_id = ${appId}
      `,
    ({ appId }) => sql`
        update rate_limiter.applications set is_active = true where app_id = ${appId}
      `,
  ],
  [
    "is deactivated with its tenant",
    ({ tenantId }) => sql`
        update rate_limiter.tenants set is_active = false where tenant_id = ${tenantId}
      `,
    ({ tenantId }) => sql`
        update rate_limiter.tenants set is_active = true where tenant_id = ${tenantId}
      `,
  ],
];

test.each(stops)(
  "leases of an application that %s hold nothing of the cap",
  async (_, stop, start) => {
    const world = await leasing();
    const { clusterId, appId } = world;
    const { lease_id } = await lease(appId, 500);
    const other = await limitedApplication(sql, { iops: 1, burst: 300 }, { clusterId });
    await lease(other, 100);
    expect(await leased(clusterId)).toBe(600);
    await stop(world);
    expect(await leased(clusterId)).toBe(100);

    // Its holder hands in what it had spent until then, once.
    expect(await settle(appId, lease_id, 200)).toBe(300);
    expect(await leased(clusterId)).toBe(100);
    expect(Number(await tokensAt(sql, new Date().toISOString(), appId))).toBeCloseTo(700, -1.5);
    await expectSqlState(settle(appId, lease_id, 200), "QS409", "lease is settled");
    await start(world);
    expect(await lease(appId, 600)).toMatchObject({ tokens: 600, holders: 1 });
    expect(await ledgerGaps(sql)).toEqual([]);
  },
);

test("a revoked lease counts for nothing when its application is back", async () => {
  const world = await leasing();
  const { clusterId, tenantId, appId } = world;
  const { lease_id } = await lease(appId, 400);
  await suspend(tenantId, appId);
  await sql`update rate_limiter.app_facts set suspended_until = null where app_id = ${appId}`;
  expect(await leased(clusterId)).toBeNull();
  expect(await lease(appId, 500)).toMatchObject({ tokens: 500 });
  expect(await leased(clusterId)).toBe(500);
  const [next] = await gateway`
    select l.tokens::float8
    from rate_limiter.renew_lease(${appId}, ${lease_id}, 0, 0, 400, 0) as l
  `;
  expect(next?.tokens).toBe(400);
  expect(await leased(clusterId)).toBe(900);
});

test("a revoked lease that expires counts as spent, and is not released twice", async () => {
  const { clusterId, tenantId, appId } = await leasing();
  await lease(appId, 400);
  const other = await limitedApplication(sql, { iops: 1, burst: 300 }, { clusterId });
  await lease(other, 100, "30 minutes");
  await suspend(tenantId, appId);
  const at = new Date(Date.now() + 40 * 60_000).toISOString();
  await worker`select rate_limiter_private.expire_leases(${at}, 1000)`;
  expect(await leased(clusterId)).toBeNull();
  const later = new Date(Date.now() + 70 * 60_000).toISOString();
  await worker`select rate_limiter_private.expire_leases(${later}, 1000)`;
  expect(await leased(clusterId)).toBeNull();
  const [row] = await sql`
    select spent_tokens::float8 as spent from rate_limiter.token_leases where app_id = ${appId}
  `;
  expect(row?.spent).toBe(400);
});

test("the job revokes what was granted while its application was being suspended", async () => {
  const { clusterId, tenantId, appId } = await leasing();
  const session = await database.session("granting");
  await session.sql`begin`;
  await session.sql`select rate_limiter.lease_tokens(${appId}, 400, 0, '1 hour')`;
  // It waits for no lease and no bucket: to it, there is none yet.
  await suspend(tenantId, appId);
  await session.sql`commit`;
  expect(await leased(clusterId)).toBe(400);
  await worker`select rate_limiter_private.expire_leases(clock_timestamp(), 1000)`;
  expect(await leased(clusterId)).toBeNull();
});
