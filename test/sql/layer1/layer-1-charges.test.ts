import { describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase } from "../../harness/index.ts";
import {
  ledgerGaps,
  limitedApplication,
  makeApplication,
  makeCluster,
  moment,
  publish,
  type Quota,
  tokensAt,
} from "../world.ts";

const database = await createDatabase();
const owner = database.as("rate_limiter_owner");

const capacity = 100_000;
const kinds: Record<string, Quota> = {
  "IOPS alone": { iops: 100, burst: 500 },
  "bandwidth alone": { bytes: 50_000 },
  both: { iops: 100, burst: 500, bytes: 50_000 },
};
const both = { iops: capacity, burst: capacity, bytes: capacity };
const clusters: Record<string, Quota> = {
  "IOPS alone": { iops: capacity, burst: capacity },
  "bandwidth alone": { bytes: capacity },
  both,
};
const cases = Object.keys(clusters).flatMap((shared) =>
  ["nothing", ...Object.keys(kinds)].map((own) => ({ shared, own })),
);

/** Three operations in one moment: the first looks everything up, and later ones may find it. */
async function decideThrice(sql: Sql, appId: string, size: number) {
  let cost = 0;
  let bytes = 0;
  for (let i = 0; i < 3; i++) {
    const [decision] = await sql`
      select allowed, cost::float8 from rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${moment(0)}, ${appId}, 'head', ${size}
      )
    `;
    expect(decision?.allowed).toBe(true);
    cost += decision?.cost;
    bytes += size;
  }
  return { cost, bytes };
}

/** What was taken from the cluster's buckets and not merely set aside in its stripes. */
async function spentOf(clusterId: string) {
  const [kept] = await database.sql`
    select coalesce(sum(iops), 0)::float8 as iops, coalesce(sum(bytes), 0)::float8 as bytes
    from rate_limiter_internal.layer1_stripes
    where shard_key = rate_limiter_internal.shard_key_of(${clusterId})
  `;
  const leftOf = (bucketType: string) => tokensAt(database.sql, moment(0), clusterId, bucketType);
  return {
    tokens: capacity - Number(await leftOf("iops_l1")) - kept?.iops,
    bytes: capacity - Number(await leftOf("bandwidth_l1")) - kept?.bytes,
  };
}

async function expectPaid(clusterId: string, appId: string, shared: Quota, size: number) {
  const { cost, bytes } = await decideThrice(owner, appId, size);
  const spent = await spentOf(clusterId);
  if (shared.iops !== undefined) expect(spent.tokens).toBe(cost);
  if (shared.bytes !== undefined) expect(spent.bytes).toBe(bytes);
}

describe("a cluster is charged for every operation", () => {
  test.each(cases)("with a quota of $shared, of an application with $own", async (which) => {
    const shared = clusters[which.shared] as Quota;
    const own = kinds[which.own];
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, shared);
    const appId = await makeApplication(database.sql, { clusterId });
    if (own !== undefined) await publish(database.sql, { appId }, own);
    await expectPaid(clusterId, appId, shared, 300);
  });

  test("that had no quota when the application was made", async () => {
    const clusterId = await makeCluster(database.sql);
    const appId = await limitedApplication(database.sql, { iops: 100, burst: 500 }, { clusterId });
    await decideThrice(owner, appId, 300);
    await publish(database.sql, { clusterId }, both);
    await expectPaid(clusterId, appId, both, 300);
  });

  test("that the application was moved to", async () => {
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, both);
    const left = await makeCluster(database.sql);
    await publish(database.sql, { clusterId: left }, both);
    const appId = await limitedApplication(
      database.sql,
      { iops: 100, burst: 500, bytes: 50_000 },
      { clusterId: left },
    );
    await decideThrice(owner, appId, 300);
    await database.sql`
      update rate_limiter.applications set cluster_id = ${clusterId} where app_id = ${appId}
    `;
    await expectPaid(clusterId, appId, both, 300);
  });

  test("together with those of other applications", async () => {
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, both);
    const appId = await limitedApplication(database.sql, { iops: 100, burst: 500 }, { clusterId });
    const { sql } = await database.session("caller", "rate_limiter_owner");
    const together = () => sql`
      select * from rate_limiter_internal.consume_many_at(
        rate_limiter_internal.first_operations(
          ${moment(0)}, array[${appId}::uuid], '{head}', '{100}'
        ),
        ${moment(0)}, '{head}'
      )
    `;
    const [left] = await together();
    expect(left?.allowed).toBeNull();
    await decideThrice(sql, appId, 100);
    const [paid] = await together();
    expect(paid?.allowed).toBe(true);
    expect(await spentOf(clusterId)).toEqual({ tokens: 4, bytes: 400 });
  });
});

describe("an application and its cluster's first quota, made at the same time", () => {
  test.each(["the quota", "the application"])(
    "where %s comes first: it draws on layer 1",
    async (first) => {
      const clusterId = await makeCluster(database.sql);
      const [one, two] = [
        await database.session("one", "rate_limiter_owner"),
        await database.session("two", "rate_limiter_owner"),
      ];
      const makeQuota = async (sql: Sql) => {
        await publish(sql, { clusterId }, both);
        return undefined;
      };
      const makeOne = (sql: Sql) => makeApplication(sql, { clusterId });
      const [before, after] = first === "the quota" ? [makeQuota, makeOne] : [makeOne, makeQuota];

      await one.sql`begin`;
      const made = await before(one.sql);
      const pending = two.start<string | undefined>(after);
      await two.waitsOnLock();
      await one.sql`commit`;
      const appId = made ?? (await pending) ?? "";
      await pending;
      await publish(database.sql, { appId }, { iops: 100, burst: 500 });
      await expectPaid(clusterId, appId, both, 300);
    },
  );
});

test("the ledger explains all of it", async () => {
  expect(await ledgerGaps(database.sql)).toEqual([]);
});
