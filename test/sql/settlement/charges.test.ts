import { describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import {
  dataPlane,
  ledgerGaps,
  limitedApplication,
  makeCluster,
  moment,
  publish,
  setSetting,
  tokensAt,
} from "../world.ts";

const database = await createDatabase();
const owner = database.as("rate_limiter_owner");
const gateway = database.as("rate_limiter_app");
await setSetting(database.sql, "layer1_prefetch_ms", 0);

/** read_small costs 1 token, and 0.0001 for each 4096 bytes. */
const quota = { iops: 1, burst: 100, bytes: 1_000_000 };

async function consume(appId: string, reference: string, size = 4096, at = moment(0)) {
  const [decision] = await owner`
    select * from rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, 'read_small', ${size}, ${reference}
    )
  `;
  return { ...decision };
}

async function settle(appId: string, reference: string, size: string | number, at = moment(0)) {
  const [settlement] = await owner`
    select * from rate_limiter_internal.settle_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${reference}, ${size}::bigint
    )
  `;
  return { ...settlement };
}

async function refund(appId: string, reference: string, at = moment(0)) {
  const [row] = await owner`
    select rate_limiter_internal.refund_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${reference}
    ) as refunded
  `;
  return row?.refunded;
}

async function held(appId: string, at = moment(0)) {
  return [
    await tokensAt(database.sql, at, appId),
    await tokensAt(database.sql, at, appId, "bandwidth_l2"),
  ];
}

async function uncharged(appId: string) {
  const rows = await database.sql`
    select reason, operations, tokens, bytes
    from rate_limiter.uncharged_counts
    where app_id = ${appId} and minute = ${moment(0)}
  `;
  return rows.map((row) => ({ ...row }));
}

describe("settling an operation", () => {
  test("charges what it took more, from both layers", async () => {
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, { iops: 1, burst: 50 });
    const appId = await limitedApplication(database.sql, quota, { clusterId });
    await consume(appId, "r");
    expect(await settle(appId, "r", 40_960)).toEqual({
      settled: true,
      cost: "1.001000",
      size_bytes: "40960",
    });
    expect(await held(appId)).toEqual(["98.999000", "959040.000000"]);
    expect(await tokensAt(database.sql, moment(0), clusterId, "iops_l1")).toBe("48.999000");
  });

  test("gives back what it took less", async () => {
    const appId = await limitedApplication(database.sql, quota);
    await consume(appId, "r", 40_960);
    await settle(appId, "r", 0);
    expect(await held(appId)).toEqual(["99.000000", "1000000.000000"]);
  });

  test("counts once, whatever the retry says", async () => {
    const appId = await limitedApplication(database.sql, quota);
    await consume(appId, "r");
    await settle(appId, "r", 8192);
    const settled = await dataPlane(database.sql);
    for (const size of [1, 8192]) {
      expect(await settle(appId, "r", size)).toEqual({
        settled: false,
        cost: null,
        size_bytes: null,
      });
    }
    expect(await dataPlane(database.sql)).toEqual(settled);
  });

  test("answers the cost at the same size, too", async () => {
    const appId = await limitedApplication(database.sql, quota);
    await consume(appId, "r");
    expect(await settle(appId, "r", 4096)).toEqual({
      settled: true,
      cost: "1.000100",
      size_bytes: "4096",
    });
    expect(await settle(appId, "r", 4096)).toMatchObject({ settled: false });
  });

  test("goes by the costs of the moment it was admitted", async () => {
    const appId = await limitedApplication(database.sql, quota);
    await database.sql`
      insert into rate_limiter.cost_rules (app_id, operation_id, c_base_override, valid_from)
      select ${appId}, operation_id, 9, ${moment(5)}
      from rate_limiter.operation_types where name = 'read_small'
    `;
    await consume(appId, "r", 0);
    expect(await settle(appId, "r", 4096, moment(10))).toMatchObject({ cost: "1.000100" });
  });

  test("goes by the operation type as it was, whatever became of it", async () => {
    const changes = [
      "name = 'renamed'",
      "c_base = 50, c_bw = 7",
      "unit_quantum = 1",
      "is_active = false",
    ];
    for (const [index, change] of changes.entries()) {
      const operation = `operation ${index}`;
      await database.sql`
        insert into rate_limiter.operation_types (name, category, c_base, c_bw, unit_quantum)
        values (${operation}, 'read', 2, 3, 1000)
      `;
      const appId = await limitedApplication(database.sql, quota);
      await owner`
        select rate_limiter_internal.consume_at(
          rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, ${operation}, 1000, 'r'
        )
      `;
      await database.sql`
        update rate_limiter.operation_types set ${database.sql.unsafe(change)}
        where name = ${operation}
      `;
      expect(await settle(appId, "r", 3000), change).toMatchObject({
        settled: true,
        cost: "11.000000",
      });
      expect(await held(appId), change).toEqual(["89.000000", "997000.000000"]);
      expect(await refund(appId, "r")).toBe(true);
      expect(await held(appId), change).toEqual(["100.000000", "1000000.000000"]);
    }
  });

  test("leaves a bucket alone that came later", async () => {
    const clusterId = await makeCluster(database.sql);
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 100 }, { clusterId });
    await consume(appId, "more");
    await consume(appId, "less", 40_960);
    await publish(database.sql, { clusterId }, quota, moment(1));
    await database.sql`
      select rate_limiter_internal.cancel_quota_at(${moment(2)}, c, 'test')
      from rate_limiter.quota_configs as c
      where c.app_id = ${appId}
    `;
    await publish(database.sql, { appId }, quota, moment(2));
    await settle(appId, "more", 409_600, moment(2));
    await settle(appId, "less", 0, moment(2));
    const bucket = (ownerId: string, type: string) =>
      tokensAt(database.sql, moment(2), ownerId, type);
    expect([
      await bucket(appId, "iops_l2"),
      await bucket(appId, "bandwidth_l2"),
      await bucket(clusterId, "iops_l1"),
      await bucket(clusterId, "bandwidth_l1"),
    ]).toEqual(["99.990000", "1000000.000000", "100.000000", "1000000.000000"]);
  });

  test("charges a bucket that was charged nothing for a size of 0", async () => {
    const appId = await limitedApplication(database.sql, quota);
    await consume(appId, "r", 0);
    await settle(appId, "r", 4096);
    expect(await held(appId)).toEqual(["98.999900", "995904.000000"]);
  });

  test("takes more than there is, and refill pays the debt", async () => {
    const appId = await limitedApplication(database.sql, { bytes: 1000 });
    await consume(appId, "r", 1000);
    await settle(appId, "r", 3500);
    const bytes = (seconds: number) =>
      tokensAt(database.sql, moment(seconds), appId, "bandwidth_l2");
    expect([await bytes(0), await bytes(2.5), await bytes(3)]).toEqual([
      "-2500.000000",
      "0.000000",
      "500.000000",
    ]);
  });

  test("takes no more than the debt limit, and counts the rest as uncharged", async () => {
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, { bytes: 100 });
    const appId = await limitedApplication(database.sql, { bytes: 1 }, { clusterId });
    await consume(appId, "r", 1);
    await settle(appId, "r", "9223372036854775807");
    const bytes = (ownerId: string, type: string, seconds: number) =>
      tokensAt(database.sql, moment(seconds), ownerId, type);
    // An hour of refill at layer 2, and at layer 1 no more than that.
    expect(await bytes(appId, "bandwidth_l2", 0)).toBe("-3600.000000");
    expect(await bytes(appId, "bandwidth_l2", 3601)).toBe("1.000000");
    expect(await bytes(clusterId, "bandwidth_l1", 0)).toBe("-3501.000000");
    expect(await uncharged(appId)).toEqual([
      {
        ...{ reason: "settle", operations: "1", tokens: "0.000000" },
        bytes: "9223372036854772206.000000",
      },
    ]);
    // What it left standing comes back.
    expect(await refund(appId, "r")).toBe(true);
    expect(await bytes(appId, "bandwidth_l2", 0)).toBe("1.000000");
    expect(await bytes(clusterId, "bandwidth_l1", 0)).toBe("100.000000");
  });

  test("takes no more than the debt limit of a cluster: a minute of its refill", async () => {
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, { bytes: 100 });
    const appId = await limitedApplication(database.sql, { bytes: 1_000_000 }, { clusterId });
    await consume(appId, "r", 50);
    await settle(appId, "r", 500_000);
    expect(await tokensAt(database.sql, moment(0), clusterId, "bandwidth_l1")).toBe("-6000.000000");
    expect(await tokensAt(database.sql, moment(0), appId, "bandwidth_l2")).toBe("500000.000000");
    expect(await uncharged(appId)).toMatchObject([{ bytes: "493900.000000" }]);
  });
});

describe("debt", () => {
  const bytes = (appId: string, seconds: number) =>
    tokensAt(database.sql, moment(seconds), appId, "bandwidth_l2");
  const large = { bytes: 1000, oversize: true };

  test("is forgiven by the refund of the charge that it comes from", async () => {
    const appId = await limitedApplication(database.sql, large);
    await consume(appId, "r", 1_000_000);
    await refund(appId, "r");
    expect(await bytes(appId, 0)).toBe("1000.000000");
    await consume(appId, "s", 1000);
    expect(await bytes(appId, 0.5)).toBe("500.000000");
  });

  test("becomes as much less as a settle gives back", async () => {
    const appId = await limitedApplication(database.sql, large);
    await consume(appId, "r", 6000);
    // As if 1000 had been asked for: no debt, and no token.
    await settle(appId, "r", 1000);
    expect(await consume(appId, "s", 1)).toMatchObject({ allowed: false });
    expect([await bytes(appId, 0), await bytes(appId, 0.5)]).toEqual(["0.000000", "500.000000"]);
  });

  test("is forgiven before anything is there to spend again", async () => {
    const appId = await limitedApplication(database.sql, large);
    const uploads = ["a", "b", "c", "d"];
    for (const upload of uploads) await consume(appId, upload, 1);
    await consume(appId, "the rest", 996);
    for (const upload of uploads) {
      await settle(appId, upload, 5000);
      await refund(appId, upload);
      const answer = await consume(appId, `after ${upload}`, 5);
      expect(answer).toMatchObject({ allowed: false });
    }
    expect(await bytes(appId, 0)).toBe("4.000000");
  });

  test("of a window is forgiven by the refund, and no window begins twice", async () => {
    const appId = await limitedApplication(database.sql, {
      ...{ iops: 10, burst: 10, method: "fixed_window" },
    });
    await consume(appId, "r", 0, moment(0.2));
    await settle(appId, "r", 1_099_511_627_776, moment(0.2));
    const tokens = (seconds: number) => tokensAt(database.sql, moment(seconds), appId);
    expect(await tokens(0.2)).toBe("-26834.545600");
    await refund(appId, "r", moment(0.3));
    expect([await tokens(0.3), await tokens(1.5), await tokens(2.5)]).toEqual(
      Array(3).fill("10.000000"),
    );
    for (let index = 0; index < 10; index++) await consume(appId, `w${index}`, 0, moment(0.4));
    expect([await tokens(0.999999), await tokens(1), await tokens(2.5)]).toEqual([
      "0.000000",
      "10.000000",
      "10.000000",
    ]);
  });

  test("of a window is paid by the windows that begin", async () => {
    const appId = await limitedApplication(database.sql, {
      ...{ iops: 10, burst: 10, method: "fixed_window" },
    });
    await consume(appId, "r", 0, moment(0.2));
    // 35 instead of 1: 9 were left.
    await settle(appId, "r", 340_000 * 4096, moment(0.2));
    expect(await consume(appId, "s", 0, moment(0.2))).toMatchObject({
      allowed: false,
      reason: "iops_l2",
      remaining: "-25.000000",
      retry_after_ms: "2800",
    });
    const tokens = (seconds: number) => tokensAt(database.sql, moment(seconds), appId);
    expect([await tokens(1), await tokens(2.9), await tokens(3), await tokens(4)]).toEqual([
      "-15.000000",
      "-5.000000",
      "5.000000",
      "10.000000",
    ]);
  });

  test("is not forgiven beyond the moment, nor what was paid back meanwhile", async () => {
    const appId = await limitedApplication(database.sql, large);
    await consume(appId, "r", 6000);
    await refund(appId, "r", moment(4));
    expect(await bytes(appId, 4)).toBe("1000.000000");
    await consume(appId, "s", 1000, moment(4));
    expect(await bytes(appId, 4.5)).toBe("500.000000");
  });

  test("of a cluster ends with the refund for all its applications", async () => {
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, { bytes: 1000 });
    const appId = await limitedApplication(database.sql, quota, { clusterId });
    await consume(appId, "r", 10);
    await settle(appId, "r", "9223372036854775807");
    await refund(appId, "r");
    expect(await tokensAt(database.sql, moment(0), clusterId, "bandwidth_l1")).toBe("1000.000000");
    const other = await limitedApplication(database.sql, quota, { clusterId });
    await consume(other, "s", 1000);
    const later = await consume(other, "t", 500, moment(0.5));
    expect(later).toMatchObject({ allowed: true });
  });
});

describe("an application that moved", () => {
  test("settles with the cluster that was charged", async () => {
    const [from, to] = [await makeCluster(database.sql), await makeCluster(database.sql)];
    for (const clusterId of [from, to]) await publish(database.sql, { clusterId }, quota);
    const appId = await limitedApplication(database.sql, quota, { clusterId: from });
    await consume(appId, "r", 0);
    await database.sql`
      update rate_limiter.applications set cluster_id = ${to} where app_id = ${appId}
    `;
    await settle(appId, "r", 409_600);
    const layer1 = (clusterId: string) => tokensAt(database.sql, moment(0), clusterId, "iops_l1");
    expect([await layer1(from), await layer1(to)]).toEqual(["98.990000", "100.000000"]);
    await refund(appId, "r");
    expect([await layer1(from), await layer1(to)]).toEqual(["100.000000", "100.000000"]);
  });
});

describe("an application that moved with a reservation on either cluster", () => {
  const clusters: string[] = [];

  async function reserve(appId: string, clusterId: string, at: string) {
    await database.sql`delete from rate_limiter.reservations where app_id = ${appId}`;
    await database.sql`
      insert into rate_limiter.reservations (app_id, cluster_id, reserved_iops, reservation_seconds)
      values (${appId}, ${clusterId}, 10, 1)
    `;
    for (const id of clusters) {
      await owner`select rate_limiter_internal.sync_reserves_at(${at}, ${id})`;
    }
  }

  test("fills its new reserve with nothing that the old one paid", async () => {
    for (let i = 0; i < 2; i++) {
      const clusterId = await makeCluster(database.sql);
      await publish(database.sql, { clusterId }, { iops: 100, burst: 100 });
      clusters.push(clusterId);
    }
    const [from, to] = clusters as [string, string];
    const place = { clusterId: from };
    const appId = await limitedApplication(database.sql, { iops: 100, burst: 200 }, place);
    const other = await limitedApplication(database.sql, { iops: 100, burst: 200 }, place);
    await reserve(appId, from, moment(0));
    // Layer 1 beyond the headroom is gone: the reserve pays.
    await owner`
      select rate_limiter_internal.adjust_tokens_at(${moment(1)}, ${from}, 'iops_l1', -100, 'test')
    `;
    expect(await consume(other, "o", 0, moment(1))).toMatchObject({ reason: "iops_l1" });
    for (let i = 0; i < 5; i++) {
      expect(await consume(appId, `r${i}`, 0, moment(1))).toMatchObject({ allowed: true });
    }
    const held = (at: string) => tokensAt(database.sql, at, appId, "iops_reserve");
    expect(await held(moment(1))).toBe("5.000000");

    await database.sql`
      update rate_limiter.applications set cluster_id = ${to} where app_id = ${appId}
    `;
    await reserve(appId, to, moment(1));
    expect(await held(moment(1))).toBe("0.000000");
    for (let i = 0; i < 5; i++) expect(await refund(appId, `r${i}`, moment(1))).toBe(true);
    expect(await held(moment(1))).toBe("0.000000");
    expect(await tokensAt(database.sql, moment(1), from, "iops_l1")).toBe("0.000000");
  });
});

describe("a refund", () => {
  test("gives the whole charge back, once", async () => {
    const appId = await limitedApplication(database.sql, quota);
    await gateway`select rate_limiter.consume(${appId}, 'list', 5000, 'r')`;
    const call = async () => {
      const [row] = await gateway`select rate_limiter.refund(${appId}, 'r') as refunded`;
      return row?.refunded;
    };
    expect(await call()).toBe(true);
    const refunded = await dataPlane(database.sql);
    expect(await call()).toBe(false);
    expect(await dataPlane(database.sql)).toEqual(refunded);
    const [row] = await database.sql`
      select count(*) as times
      from rate_limiter.token_transactions
      where owner_id = ${appId} and transaction_type = 'refund' and bucket_type = 'iops_l2'
    `;
    expect(row?.times).toBe("1");
  });

  test("lifts no bucket above its capacity", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 100 });
    await consume(appId, "r");
    await refund(appId, "r", moment(60));
    expect(await tokensAt(database.sql, moment(60), appId)).toBe("100.000000");
  });

  test("after a settle gives back what is charged then", async () => {
    const appId = await limitedApplication(database.sql, quota);
    await consume(appId, "r", 4096);
    await settle(appId, "r", 409_600);
    expect(await refund(appId, "r")).toBe(true);
    expect(await held(appId)).toEqual(["100.000000", "1000000.000000"]);
  });

  test("cannot be settled any more", async () => {
    const appId = await limitedApplication(database.sql, quota);
    await consume(appId, "r");
    await refund(appId, "r");
    expect(await settle(appId, "r", 409_600)).toMatchObject({ settled: false });
    expect(await held(appId)).toEqual(["100.000000", "1000000.000000"]);
  });

  test("ends its reference: what runs under it later is charged, and can be refunded again", async () => {
    const appId = await limitedApplication(database.sql, quota);
    await consume(appId, "r");
    await refund(appId, "r");
    await consume(appId, "r", 40_960);
    await consume(appId, "r", 40_960);
    expect(await held(appId)).toEqual(["98.999000", "959040.000000"]);
    expect(await settle(appId, "r", 4096)).toMatchObject({ settled: true, cost: "1.000100" });
    expect(await refund(appId, "r")).toBe(true);
    expect(await held(appId)).toEqual(["100.000000", "1000000.000000"]);
  });

  test("of a retry that took nothing gives back one charge", async () => {
    const appId = await limitedApplication(database.sql, quota);
    for (let i = 0; i < 3; i++) await consume(appId, "r", 1000);
    await refund(appId, "r");
    expect(await held(appId)).toEqual(["100.000000", "1000000.000000"]);
  });
});

test("the ledger explains every charge", async () => {
  expect(await ledgerGaps(database.sql)).toEqual([]);
});
