import { beforeAll, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import {
  ledgerGaps,
  limitedApplication,
  makeApplication,
  makeCluster,
  makeTenant,
  moment,
  publish,
  setSetting,
} from "../world.ts";

const database = await createDatabase();
const owner = database.as("rate_limiter_owner");

beforeAll(() => setSetting(database.sql, "lease_max_share", 1));

async function lease(appId: string, at: string, tokens: number, bytes = 0) {
  const [grant] = await owner`
    select l.lease_id, l.tokens::float8, l.bytes::float8, l.retry_after_ms::integer
    from rate_limiter_internal.lease_tokens_at(
      rate_limiter_internal.app_shard_key(${appId}),
      ${at}, ${appId}, ${tokens}, ${bytes}, '1 hour'
    ) as l
  `;
  return { ...grant };
}

/** A cluster of 1,000 tokens, 100 a second, and as many bytes. */
async function smallCluster() {
  const clusterId = await makeCluster(database.sql);
  await publish(database.sql, { clusterId }, { iops: 100, burst: 1000, bytes: 1000 });
  return clusterId;
}

async function reserve(appId: string, clusterId: string, iops: number, bytes: number | null) {
  await database.sql`
    insert into rate_limiter.reservations (app_id, cluster_id, reserved_iops, reserved_bps)
    values (${appId}, ${clusterId}, ${iops}, ${bytes})
  `;
  await database.sql`
    select rate_limiter_internal.sync_reserves_at(${moment(0)}, ${clusterId})
  `;
}

async function applications(count: number, place: { tenantId?: string; clusterId: string }) {
  const made: string[] = [];
  for (let index = 0; index < count; index++) {
    made.push(await makeApplication(database.sql, place));
  }
  return made;
}

/** Each leases as much as it gets, again and again for two minutes, and settles nothing. */
async function hoard(apps: readonly string[]) {
  const hoarded = { tokens: 0, bytes: 0 };
  for (let second = 0; second < 120; second += 5) {
    for (const app of apps) {
      const { tokens, bytes } = await lease(app, moment(second), 1000, 1000);
      hoarded.tokens += tokens;
      hoarded.bytes += bytes;
    }
  }
  return hoarded;
}

test("a tenant that leases all it gets leaves every sibling its share", async () => {
  const clusterId = await smallCluster();
  const attackers = await applications(10, { clusterId, tenantId: await makeTenant(database.sql) });
  const [plain = ""] = await applications(1, { clusterId });
  const [reserved = ""] = await applications(1, { clusterId });
  await reserve(reserved, clusterId, 20, 20);

  // Half of the cap is common. Of the rest each of three tenants has a third, beyond 20 reserved,
  // and each of the attackers a tenth of that.
  const all = 500 + (500 - 20) / 3;
  expect(await hoard(attackers)).toEqual({ tokens: all, bytes: all });

  expect(await lease(plain, moment(120), 100, 100)).toMatchObject({ tokens: 100, bytes: 100 });
  expect(await lease(plain, moment(125), 100, 100)).toMatchObject({ tokens: 60, bytes: 60 });
  expect(await lease(plain, moment(130), 100, 100)).toMatchObject({
    lease_id: null,
    retry_after_ms: 100,
  });
  expect(await lease(reserved, moment(130), 170, 170)).toMatchObject({ tokens: 170, bytes: 170 });
  expect(await lease(reserved, moment(135), 100, 100)).toMatchObject({ tokens: 10, bytes: 10 });
  expect(await ledgerGaps(database.sql)).toEqual([]);
});

test("an application of a tenant is not kept out by others of the same tenant", async () => {
  const clusterId = await smallCluster();
  const tenantId = await makeTenant(database.sql);
  const [greedy = "", small = ""] = await applications(2, { clusterId, tenantId });
  expect(await hoard([greedy])).toEqual({ tokens: 750, bytes: 750 });
  expect(await lease(small, moment(120), 300, 300)).toMatchObject({ tokens: 250, bytes: 250 });
});

test("an application that is alone on its cluster leases all of it", async () => {
  const clusterId = await smallCluster();
  const [alone = ""] = await applications(1, { clusterId });
  const [inactive = ""] = await applications(1, { clusterId });
  await database.sql`
    update rate_limiter.applications set is_active = false where app_id = ${inactive}
  `;
  expect(await lease(alone, moment(0), 2000, 2000)).toMatchObject({ tokens: 1000, bytes: 1000 });
});

test("what all leases hold never exceeds the capacity, in whatever order they come", async () => {
  const clusterId = await smallCluster();
  const apps = [
    ...(await applications(2, { clusterId, tenantId: await makeTenant(database.sql) })),
    ...(await applications(2, { clusterId })),
    await limitedApplication(database.sql, { iops: 50, burst: 400, bytes: 400 }, { clusterId }),
  ];
  await reserve(apps[3] ?? "", clusterId, 20, null);
  for (let turn = 0; turn < 60; turn++) {
    const app = apps[(turn * 7) % apps.length] ?? "";
    await lease(app, moment(turn), 1 + ((turn * 37) % 200), 1 + ((turn * 53) % 200));
  }
  const buckets = await database.sql<{ leased: number; capacity: number; held: number }[]>`
    select b.leased::float8, b.capacity::float8, (
      select sum(c.tokens)::float8
      from rate_limiter.token_leases as l
      cross join lateral unnest(l.charged) as c
      where c.owner_id = b.owner_id and c.bucket_type = b.bucket_type
    ) as held
    from rate_limiter.token_buckets as b
    where b.owner_id = ${clusterId}
  `;
  expect(buckets).toHaveLength(2);
  for (const { leased, capacity, held } of buckets) {
    expect(leased).toBe(held);
    expect(leased).toBeLessThanOrEqual(capacity);
    expect(leased).toBeGreaterThan(0.6 * capacity);
  }
});

test("an application has at most 256 open leases, however little they hold", async () => {
  const clusterId = await smallCluster();
  const appId = await limitedApplication(database.sql, { iops: 100, burst: 1000 }, { clusterId });
  await owner`
    select rate_limiter_internal.lease_tokens_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 0.000001, 0, '1 hour'
    )
    from generate_series(1, 256)
  `;
  const open = async () => {
    const [row] = await database.sql`
      select count(*)::integer as count from rate_limiter.token_leases where app_id = ${appId}
    `;
    return row?.count;
  };
  expect(await open()).toBe(256);
  const refused = { lease_id: null, tokens: 0, bytes: 0, retry_after_ms: 1000 };
  expect(await lease(appId, moment(1), 10)).toEqual(refused);
  expect(await open()).toBe(256);
  // An hour later all of them have ended.
  expect(await lease(appId, moment(3602), 10)).toMatchObject({ tokens: 10 });
  expect(await ledgerGaps(database.sql)).toEqual([]);
});
