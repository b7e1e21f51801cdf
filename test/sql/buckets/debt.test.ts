import { describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import {
  ledgerGaps,
  limitedApplication,
  makeCluster,
  makeTenant,
  moment,
  publish,
  setSetting,
  tokensAt,
} from "../world.ts";

const database = await createDatabase();
const { sql } = database;
const owner = database.as("rate_limiter_owner");
await setSetting(sql, "layer1_prefetch_ms", 0);

async function consume(appId: string, size: number | string, at = moment(0)) {
  const [decision] = await owner`
    select * from rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, 'head', ${size}::bigint
    )
  `;
  return { ...decision };
}

async function adjust(ownerId: string, bucket: string, change: number, at = moment(0)) {
  const [row] = await owner`
    select rate_limiter_internal.adjust_tokens_at(
      ${at}, ${ownerId}, ${bucket}::text::rate_limiter.bucket_type, ${change}, 'test'
    ) as tokens
  `;
  return row?.tokens;
}

async function owe(appId: string, tokens: number, at = moment(0)) {
  await owner`select rate_limiter_internal.charge_owed_at(
    rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${tokens}, 0
  )`;
}

async function cancel(appId: string, at: string) {
  await sql`
    select rate_limiter_internal.cancel_quota_at(${at}, c, 'test')
    from rate_limiter.quota_configs as c
    where c.app_id = ${appId} and c.is_active and (c.valid_to is null or c.valid_to > ${at})
  `;
}

describe("one upload", () => {
  const megabyte = 1_000_000;
  const layer1 = { bytes: 100 * megabyte, oversize: true };
  const layer2 = { bytes: 1_000 * megabyte, oversize: true };

  test("closes the bandwidth of a cluster of one tenant for a minute at the most", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, layer1);
    const place = { clusterId, tenantId: await makeTenant(sql) };
    const [greedy, sibling] = [
      await limitedApplication(sql, layer2, place),
      await limitedApplication(sql, layer2, place),
    ];
    // 10 TB took layer 1 for 27 hours in the first edition.
    expect(await consume(greedy, 10_000_000 * megabyte)).toMatchObject({
      allowed: false,
      reason: "exceeds_capacity",
      retry_after_ms: null,
    });
    const most = 100 * megabyte * 61;
    expect(await consume(greedy, most + 1)).toMatchObject({ reason: "exceeds_capacity" });
    expect(await consume(greedy, most)).toMatchObject({ allowed: true });
    expect(await tokensAt(sql, moment(0), clusterId, "bandwidth_l1")).toBe("-6000000000.000000");
    expect(await consume(sibling, 1)).toMatchObject({
      allowed: false,
      reason: "bandwidth_l1",
      retry_after_ms: "60001",
    });
    expect(await consume(sibling, megabyte, moment(60.01))).toMatchObject({ allowed: true });
  });

  test("closes the bandwidth of a cluster of two tenants for no longer than it has tokens", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, layer1);
    const [greedy, sibling] = [
      await limitedApplication(sql, layer2, { clusterId, tenantId: await makeTenant(sql) }),
      await limitedApplication(sql, layer2, { clusterId, tenantId: await makeTenant(sql) }),
    ];
    expect(await consume(greedy, 100 * megabyte * 61)).toMatchObject({ allowed: true });
    // The upper half, and a second of the tenant's part. What is left is the tenant's own to pay.
    expect(await tokensAt(sql, moment(0), clusterId, "bandwidth_l1")).toBe("0.000000");
    expect(await consume(sibling, megabyte, moment(0.01))).toMatchObject({ allowed: true });
    expect(await consume(greedy, 101 * megabyte, moment(30))).toMatchObject({
      allowed: false,
      reason: "bandwidth_l1",
    });
  });

  test("that turns out larger does so neither", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, layer1);
    const appId = await limitedApplication(sql, layer2, { clusterId });
    await owner`
      select rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 'head', 1, 'upload'
      )
    `;
    await owner`
      select rate_limiter_internal.settle_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${moment(0)}, ${appId}, 'upload', ${10_000_000 * megabyte}
      )
    `;
    expect(await tokensAt(sql, moment(0), clusterId, "bandwidth_l1")).toBe("-6000000000.000000");
  });

  test("is held to the setting, for the next one at once", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, layer1);
    const appId = await limitedApplication(sql, layer2, { clusterId });
    await setSetting(sql, "max_cluster_debt_seconds", 2);
    expect(await consume(appId, 301 * megabyte)).toMatchObject({ reason: "exceeds_capacity" });
    expect(await consume(appId, 300 * megabyte)).toMatchObject({ allowed: true });
    await setSetting(sql, "max_cluster_debt_seconds", 60);
  });
});

describe("debt", () => {
  const quota = { iops: 10, burst: 100 };

  test("is forgiven by an adjustment, in part or up to the capacity", async () => {
    const appId = await limitedApplication(sql, quota);
    await owe(appId, 600);
    expect(await adjust(appId, "iops_l2", 499)).toBe("-1.000000");
    expect(await consume(appId, 0)).toMatchObject({
      allowed: false,
      remaining: "-1.000000",
      retry_after_ms: "200",
    });
    expect(await adjust(appId, "iops_l2", 101)).toBe("100.000000");
    expect(await consume(appId, 0)).toMatchObject({ allowed: true, remaining: "99.000000" });
  });

  test("of a cluster is forgiven likewise", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, quota);
    const appId = await limitedApplication(sql, { iops: 100, burst: 1000 }, { clusterId });
    await owe(appId, 700);
    expect(await tokensAt(sql, moment(0), clusterId, "iops_l1")).toBe("-600.000000");
    expect(await adjust(clusterId, "iops_l1", 601)).toBe("1.000000");
    expect(await consume(appId, 0)).toMatchObject({ allowed: true });
  });

  test("stays in tokens under a new quota, which pays it at its own rate", async () => {
    const appId = await limitedApplication(sql, quota);
    await owe(appId, 1100);
    expect(await consume(appId, 0)).toMatchObject({ retry_after_ms: "100100" });
    await publish(sql, { appId }, { iops: 100, burst: 200 }, moment(10));
    expect(await consume(appId, 0, moment(10))).toMatchObject({
      remaining: "-900.000000",
      retry_after_ms: "9010",
    });
    await publish(sql, { appId }, { iops: 1, burst: 5 }, moment(11));
    expect(await consume(appId, 0, moment(11))).toMatchObject({
      remaining: "-800.000000",
      retry_after_ms: "801000",
    });
    expect(await tokensAt(sql, moment(11 + 800 + 7), appId)).toBe("5.000000");
  });

  test("is neither paid nor forgiven while no quota is in force", async () => {
    const appId = await limitedApplication(sql, quota);
    await owe(appId, 600);
    await cancel(appId, moment(10));
    expect(await consume(appId, 0, moment(20))).toMatchObject({ allowed: true, remaining: null });
    await publish(sql, { appId }, quota, moment(1000));
    expect(await consume(appId, 0, moment(1000))).toMatchObject({
      allowed: false,
      remaining: "-400.000000",
      retry_after_ms: "40100",
    });
  });
});

describe("a quota that is cancelled and published anew", () => {
  test("finds the tokens that were left, however often", async () => {
    const appId = await limitedApplication(sql, { iops: 10, burst: 100 });
    await adjust(appId, "iops_l2", -99);
    for (let turn = 1; turn <= 3; turn++) {
      await cancel(appId, moment(turn * 0.2));
      await publish(sql, { appId }, { iops: 10, burst: 100 }, moment(turn * 0.2 + 0.1));
    }
    // It flowed for four tenths of a second.
    expect(await tokensAt(sql, moment(0.8), appId)).toBe("6.000000");
  });

  test("drops what its capacity does not hold, and later gives none of that back", async () => {
    const appId = await limitedApplication(sql, { iops: 10, burst: 100 });
    await consume(appId, 0);
    await cancel(appId, moment(1));
    await publish(sql, { appId }, { iops: 1, burst: 20 }, moment(2));
    expect(await tokensAt(sql, moment(2), appId)).toBe("20.000000");
    await publish(sql, { appId }, { iops: 1, burst: 100 }, moment(2.5));
    expect(await tokensAt(sql, moment(3), appId)).toBe("20.500000");
  });

  test("takes what was given back meanwhile, up to its last capacity", async () => {
    const appId = await limitedApplication(sql, { iops: 10, burst: 100 });
    await owner`
      select rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 'head', 0, 'r'
      )
    `;
    await adjust(appId, "iops_l2", -99);
    await cancel(appId, moment(0.1));
    await owner`select rate_limiter_internal.refund_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(5)}, ${appId}, 'r'
    )`;
    await publish(sql, { appId }, { iops: 10, burst: 100 }, moment(10));
    expect(await tokensAt(sql, moment(10), appId)).toBe("2.000000");
  });

  test("though it came and went unseen, counts for the time that it was in force", async () => {
    const appId = await limitedApplication(sql, { iops: 10, burst: 100 });
    await adjust(appId, "iops_l2", -100);
    await publish(sql, { appId }, { iops: 1, burst: 5 }, moment(1));
    await publish(sql, { appId }, { iops: 10, burst: 100 }, moment(2));
    // Ten by then, of which five were dropped; the next second gave one, and dropped that too.
    expect(await tokensAt(sql, moment(2), appId)).toBe("5.000000");
    expect(await consume(appId, 0, moment(3))).toMatchObject({ remaining: "14.000000" });
  });
});

test("limits that are changed in place count from then on", async () => {
  const appId = await limitedApplication(sql, { iops: 10, burst: 100, bytes: 1000 });
  const gateway = database.as("rate_limiter_app");
  await gateway`select rate_limiter.consume(${appId}, 'head', 1)`;
  await sql`
    update rate_limiter.iops_quotas as q set iops_limit = 5, iops_burst = 5, refill_rate = 1
    from rate_limiter.quota_configs as c
    where c.config_id = q.config_id and c.app_id = ${appId}
  `;
  await sql`
    update rate_limiter.bandwidth_quotas as q
    set bandwidth_limit_bps = 10, bandwidth_burst_bps = 10, refill_rate_bps = 10
    from rate_limiter.quota_configs as c
    where c.config_id = q.config_id and c.app_id = ${appId}
  `;
  const [decision] = await gateway`select * from rate_limiter.consume(${appId}, 'head', 3)`;
  expect(decision).toMatchObject({
    allowed: true,
    remaining: "4.000000",
    remaining_bytes: "7.000000",
  });
});

test("the ledger explains every debt", async () => {
  expect(await ledgerGaps(sql)).toEqual([]);
});
