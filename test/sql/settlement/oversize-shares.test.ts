import { expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import {
  ledgerGaps,
  limitedApplication,
  makeApplication,
  makeCluster,
  makeTenant,
  moment,
  tokensAt,
} from "../world.ts";

const database = await createDatabase();
const { sql } = database;
const owner = database.as("rate_limiter_owner");

const layer1 = (clusterId: string, at: number) =>
  tokensAt(sql, moment(at), clusterId, "bandwidth_l1");

/** 1,000 bytes a second, and 2,000 when it is full. */
async function smallCluster() {
  const clusterId = await makeCluster(sql);
  await sql`
    select rate_limiter_internal.publish_quota_at(
      ${moment(0)}, null, ${clusterId}, 'enforce', null, null, null,
      '{"bandwidth_limit_bps": 1000, "bandwidth_burst_bps": 2000, "burst_duration_seconds": 1,
        "refill_rate_bps": 1000, "allow_oversize": true}', 'test'
    )
  `;
  return clusterId;
}

async function consume(appId: string, at: number, size: number, reference: string | null = null) {
  const [row] = await owner`
    select d.allowed, d.reason, d.retry_after_ms::integer as retry
    from rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}),
      ${moment(at)}, ${appId}, 'write_small', ${size}, ${reference}
    ) as d
  `;
  return { ...row };
}

async function chargedTo(clusterId: string, appId: string, reference: string) {
  const [row] = await sql`
    select u.tokens::float8
    from rate_limiter.charges as c, unnest(c.charged) as u
    where c.app_id = ${appId} and c.reference_id = ${reference} and u.owner_id = ${clusterId}
      and u.bucket_type = 'bandwidth_l1'
  `;
  return row?.tokens;
}

test("an oversize operation leaves siblings of other tenants half of layer 1", async () => {
  const clusterId = await smallCluster();
  const appId = await makeApplication(sql, { clusterId });
  const sibling = await makeApplication(sql, { clusterId });
  expect(await consume(appId, 1, 30_000, "big")).toMatchObject({ allowed: true });
  // 1,000 are above half of 2,000, and each of two tenants has a part of 500 a second.
  expect(await layer1(clusterId, 1)).toBe("500.000000");
  expect(await chargedTo(clusterId, appId, "big")).toBe(1500);
  expect(await consume(sibling, 1, 500)).toMatchObject({ allowed: true });
  await owner`select rate_limiter_internal.refund_at(
    rate_limiter_internal.app_shard_key(${appId}), ${moment(1)}, ${appId}, 'big'
  )`;
  expect(await layer1(clusterId, 1)).toBe("1500.000000");
  expect(await ledgerGaps(sql)).toEqual([]);
});

test("what it takes beyond that its tenant's part owes, whatever is given back", async () => {
  const clusterId = await smallCluster();
  const tenantId = await makeTenant(sql);
  const [appId, other] = [
    await makeApplication(sql, { clusterId, tenantId }),
    await makeApplication(sql, { clusterId, tenantId }),
  ];
  const sibling = await makeApplication(sql, { clusterId });
  await consume(appId, 1, 11_000, "big");
  await owner`select rate_limiter_internal.refund_at(
    rate_limiter_internal.app_shard_key(${appId}), ${moment(1)}, ${appId}, 'big'
  )`;
  expect(await layer1(clusterId, 1)).toBe("2000.000000");
  // The part of 500 a second owes 11,000 - 1,000 - 500.
  for (const app of [appId, other]) {
    expect(await consume(app, 1, 3000)).toEqual({
      allowed: false,
      reason: "bandwidth_l1",
      retry: 19_000,
    });
  }
  expect(await consume(appId, 1, 1000)).toMatchObject({ allowed: true });
  expect(await consume(appId, 18.999, 3000)).toMatchObject({ allowed: false });
  expect(await consume(sibling, 19, 3000)).toMatchObject({ allowed: true });
  expect(await consume(appId, 22, 3000)).toMatchObject({ allowed: true });
});

test("what a part owes is not forgotten by the clean-up", async () => {
  const clusterId = await smallCluster();
  const appId = await makeApplication(sql, { clusterId });
  await makeApplication(sql, { clusterId });
  await consume(appId, 1, 61_000);
  await sql`select rate_limiter_private.expire_leases(${moment(100)}, 10)`;
  // 59,500 at 500 a second, since a second after the epoch.
  expect(await consume(appId, 100, 3000)).toMatchObject({ allowed: false, retry: 20_000 });
});

test("operations that are refunded at once never close layer 1 to others", async () => {
  const clusterId = await smallCluster();
  const appId = await limitedApplication(sql, { bytes: 1_000_000, oversize: true }, { clusterId });
  const [sibling, reserved] = [
    await makeApplication(sql, { clusterId }),
    await makeApplication(sql, { clusterId }),
  ];
  await sql`
    insert into rate_limiter.reservations (app_id, cluster_id, reserved_bps)
    values (${reserved}, ${clusterId}, 100)
  `;
  await sql`select rate_limiter_internal.sync_reserves_at(${moment(0)}, ${clusterId})`;
  let admitted = 0;
  for (let tick = 0; tick < 200; tick++) {
    const at = 1 + tick / 20;
    const name = `r${tick}`;
    if ((await consume(appId, at, 40_000, name)).allowed) {
      await owner`select rate_limiter_internal.refund_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(at + 0.04)}, ${appId}, ${name}
      )`;
    }
    if ((await consume(sibling, at + 0.02, 10)).allowed) admitted += 1;
  }
  expect(admitted).toBe(200);
});

test("on a cluster of one tenant an oversize operation is taken in full", async () => {
  const clusterId = await smallCluster();
  const appId = await makeApplication(sql, { clusterId });
  await consume(appId, 1, 30_000, "big");
  expect(await layer1(clusterId, 1)).toBe("-28000.000000");
  expect(await chargedTo(clusterId, appId, "big")).toBe(30_000);
});
