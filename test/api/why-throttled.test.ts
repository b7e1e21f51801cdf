import { beforeEach, describe, expect, test } from "vitest";
import { fillBuckets } from "../data-model/world.ts";
import { makeApplication, makeCluster, moment, publish } from "../sql/world.ts";
import { dataOf, refusalOf, serveTwoTenants } from "./world.ts";

const { database, as, mine } = await serveTwoTenants();
const { sql } = database;
// Without ceilings no application needs a quota of every kind.
await sql`delete from rate_limiter.tenant_ceilings`;
const why = `query ($appId: UUID!, $operation: String, $size: BigInt, $at: Datetime, $reference: String) {
  whyThrottled(
    appId: $appId, operation: $operation, sizeBytes: $size, at: $at, referenceId: $reference
  ) {
    layer bucketType verdict charge tokens debt debtPaidAt owed reserveTokens passesAt
  }
}`;

let appId = "";

beforeEach(async () => {
  appId = await makeApplication(sql, { tenantId: mine.tenantId });
});

const ask = async (asked: object, client = as.app_admin) =>
  (await dataOf(client.ask(why, { appId, operation: "read_small", size: "0", ...asked })))
    .whyThrottled;

const consume = async (at: string, operation: string, size: number | null, reference?: string) => {
  const [row] = await sql`
    select d.* from rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}),
      ${at}, ${appId}, ${operation}, ${size}, ${reference ?? null}
    ) as d
  `;
  return row;
};

describe("whyThrottled of a size", () => {
  test("below zero is refused, as a decision would be", async () => {
    const asked = as.app_admin.ask(why, { appId, operation: "read_small", size: "-1" });
    expect(await refusalOf(asked)).toBe("QS422 size is negative");
  });

  test("of zero does not wait for a debt of bytes, and of one that is not known does", async () => {
    await publish(sql, { appId }, { bytes: 1000, oversize: true });
    await consume(moment(100), "read_small", 3500);
    const at = moment(100.5);
    expect(await ask({ at })).toMatchObject([{ verdict: "ENOUGH" }]);
    expect(await ask({ at, size: null })).toMatchObject([
      { verdict: "SHORT", charge: "0", passesAt: expect.stringContaining("00:01:42.5") },
    ]);
  });
});

describe("whyThrottled of an application that may not decide", () => {
  test("says what its decisions say where it is suspended", async () => {
    await sql`
      update rate_limiter.app_facts set suspended_until = 'infinity' where app_id = ${appId}
    `;
    const asked = as.app_admin.ask(why, { appId, operation: "read_small", size: "0" });
    expect(await refusalOf(asked)).toBe("QS403 application is suspended");
  });
});

describe("whyThrottled shows debt", () => {
  test("of the past, and that it is what denied", async () => {
    await publish(sql, { appId }, { bytes: 1000, oversize: true });
    await consume(moment(100), "read_small", 3500);
    const denial = await consume(moment(101), "read_small", 200);
    expect(denial).toMatchObject({ allowed: false, reason: "bandwidth_l2" });
    await consume(moment(200), "read_small", 1000);
    const [row] = await ask({ size: "200", at: moment(101) });
    expect(row).toMatchObject({
      ...{ verdict: "SHORT", charge: "200", tokens: "-1500.000000", debt: "1500.000000" },
      ...{ debtPaidAt: expect.stringContaining("00:01:42.5"), owed: "0" },
    });
    const waited = Date.parse(row.passesAt) - Date.parse(moment(101));
    expect(waited).toBe(Number(denial?.retry_after_ms));
  });

  test("of now, and none where there is none", async () => {
    await publish(sql, { appId }, { iops: 100, bytes: 1000, oversize: true });
    const now = new Date().toISOString();
    await consume(now, "read_small", 3_601_000);
    const rows = await ask({ size: "1" });
    expect(rows).toMatchObject([
      { bucketType: "IOPS_L2", verdict: "ENOUGH", debt: "0", debtPaidAt: null },
      { bucketType: "BANDWIDTH_L2", verdict: "SHORT", debtPaidAt: expect.any(String) },
    ]);
    expect(Number(rows[1].debt)).toBeGreaterThan(3_000_000);
  });

  test("and what loans owe beside it", async () => {
    await publish(sql, { appId }, { iops: 100 });
    await sql`
      select rate_limiter_internal.borrow_tokens_at(
        clock_timestamp(), ${appId}, 'iops_l2', 10, interval '1 hour'
      )
    `;
    expect(await ask({})).toMatchObject([{ debt: "0", owed: "11.000000" }]);
  });
});

describe("whyThrottled of an operation under a reference", () => {
  test("is about what was asked, whatever settling made of it", async () => {
    await publish(sql, { appId }, { iops: 100, bytes: 100_000 });
    await consume(moment(100), "read_small", 4096, "upload-1");
    await sql`
      select rate_limiter_internal.settle_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(101)}, ${appId}, 'upload-1', 8192
      )
    `;
    expect(await ask({ operation: null, reference: "upload-1" })).toMatchObject([
      { charge: "1.000100", tokens: "100.000000", verdict: "ENOUGH" },
      { charge: "4096", tokens: "100000.000000", verdict: "ENOUGH" },
    ]);
  });
});

describe("whyThrottled at layer 1", () => {
  test("counts the application's reserve, which the application may see", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, { iops: 10 });
    appId = await makeApplication(sql, { tenantId: mine.tenantId, clusterId });
    const sibling = await makeApplication(sql, { tenantId: mine.tenantId, clusterId });
    await sql`
      insert into rate_limiter.reservations (app_id, cluster_id, reserved_iops)
      values (${appId}, ${clusterId}, 4)
    `;
    await sql`select rate_limiter_internal.sync_reserves_at(${moment(10)}, ${clusterId})`;
    for (let time = 0; time < 6; time++) {
      await sql`
        select rate_limiter_internal.consume_at(
          rate_limiter_internal.app_shard_key(${sibling}), ${moment(59.99)}, ${sibling}, 'head', 0
        )
      `;
    }
    const at = moment(60.05);
    const [mineFound] = await ask({ at, operation: "write_small" });
    expect(mineFound).toMatchObject({
      ...{ layer: 1, verdict: "ENOUGH", tokens: null, debt: null, reserveTokens: "4.000000" },
    });
    appId = sibling;
    const [siblings] = await ask({ at, operation: "write_small" });
    expect(siblings).toMatchObject({ verdict: "SHORT", reserveTokens: null });
    expect(siblings.passesAt, "it would tell what the cluster holds").toBeNull();
  });
});

describe("whyThrottled tells other tenants of a cluster's balance", () => {
  const verdictOf = async (at: string, operation: string) =>
    (await ask({ at, operation })).find((row: { layer: number }) => row.layer === 1)?.verdict;

  test("no more than a level, whatever size and moment are tried", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, { iops: 100 });
    appId = await makeApplication(sql, { tenantId: mine.tenantId, clusterId });
    for (let n = 0; n < 50; n++) {
      await sql`select rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(59.99)}, ${appId}, 'head', 0
      )`;
    }
    const moments = Array.from({ length: 20 }, (_, n) => moment(60 + n * 2.5));
    const verdicts = new Set<string>();
    for (const at of moments) verdicts.add(await verdictOf(at, "write_large"));
    for (const operation of ["head", "list", "read_small", "write_small", "write_large"]) {
      verdicts.add(await verdictOf(moment(60), operation));
    }
    expect([...verdicts]).toEqual(["ENOUGH"]);
  });
});

describe("whyThrottled agrees with the decision", () => {
  test.each([
    ["within its quota", "read_small", 4096],
    ["dearer than what is left", "write_large", 1_000_000],
    ["larger than the debt limit", "read_large", 2_000_000_000],
    ["of a size that is not known", "read_small", null],
    ["of no bytes", "list", 0],
  ])("on an operation %s", async (_, operation, size) => {
    await publish(sql, { appId }, { iops: 4, burst: 12, bytes: 100_000, oversize: true });
    await consume(moment(100), "read_small", 150_000);
    await consume(moment(100), "write_medium", 0);
    const at = moment(100.25);
    const [decision] = await sql`
      select d.* from rate_limiter_internal.check_limit_at(
        rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${operation}, ${size}
      ) as d
    `;
    const rows = await ask({ at, operation, size: size === null ? null : String(size) });
    const verdicts: string[] = rows.map((row: { verdict: string }) => row.verdict);
    expect(verdicts.every((verdict) => verdict === "ENOUGH")).toBe(decision?.allowed);
    expect(verdicts.includes("EXCEEDS_CAPACITY")).toBe(decision?.reason === "exceeds_capacity");
    const short = rows.find((row: { verdict: string }) => row.verdict === "SHORT");
    if (decision?.retry_after_ms && short) {
      expect(short.bucketType.toLowerCase()).toBe(decision.reason);
      const waits = rows.map((row: { passesAt: string }) => Date.parse(row.passesAt));
      expect(Math.max(...waits) - Date.parse(at)).toBe(Number(decision.retry_after_ms));
    }
  });

  test("that is denied for want of a quota", async () => {
    await sql`
      update rate_limiter.app_facts set needs_iops_quota = true where app_id = ${appId}
    `;
    expect(await ask({})).toMatchObject([
      { layer: 2, bucketType: "IOPS_L2", verdict: "NO_QUOTA", charge: "1.000000", passesAt: null },
    ]);
    await publish(sql, { appId }, { iops: 10 }, new Date().toISOString());
    await fillBuckets(sql, appId);
    expect(await ask({})).toMatchObject([{ verdict: "ENOUGH" }]);
  });
});

describe("buckets show debt", () => {
  const buckets = `query ($id: UUID!) {
    application(appId: $id) {
      buckets(first: 5) { nodes { bucketType status currentTokens debt debtSeconds fillPercentage } }
    }
  }`;
  const shown = async () =>
    (await dataOf(as.app_viewer.ask(buckets, { id: appId }))).application.buckets.nodes;

  test("with the seconds until it is paid", async () => {
    await publish(sql, { appId }, { bytes: 1000, oversize: true });
    await consume(new Date().toISOString(), "read_small", 101_000);
    const [bucket] = await shown();
    expect(bucket.status).toBe("DEBT");
    expect(Number(bucket.currentTokens)).toBe(-Number(bucket.debt));
    expect(Number(bucket.debtSeconds)).toBeCloseTo(Number(bucket.debt) / 1000, 1);
    expect(Number(bucket.debt)).toBeGreaterThan(90_000);
    expect(Number(bucket.fillPercentage)).toBeLessThan(-9000);
  });

  test("while no quota is in force too, when nothing pays it", async () => {
    await publish(sql, { appId }, { bytes: 1000, oversize: true });
    await consume(new Date().toISOString(), "read_small", 101_000);
    await sql`
      update rate_limiter.quota_configs set valid_to = clock_timestamp() where app_id = ${appId}
    `;
    expect(await shown()).toMatchObject([{ status: "DEBT", debtSeconds: null }]);
  });

  test("none where there is none", async () => {
    await publish(sql, { appId }, { iops: 10 });
    expect(await shown()).toMatchObject([{ status: "HEALTHY", debt: "0", debtSeconds: "0" }]);
  });
});
