import { describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { cancel, flagsOf, makeApplication, makeCluster, publish, year } from "../control-plane.ts";

const database = await createDatabase();
const { sql } = database;

async function flag(appId: string, name: string): Promise<unknown> {
  return (await flagsOf(sql, appId))[name];
}

const reasons = [
  ["hasShadow", "a shadow quota", (appId: string) => ({ appId, iops: 5, mode: "shadow" as const })],
  ["hasIops", "an IOPS quota", (appId: string) => ({ appId, iops: 5 })],
  [
    "hasIops",
    "an IOPS quota by default",
    (_: string, defaultClusterId: string) => ({ defaultClusterId, iops: 5 }),
  ],
  ["hasBandwidth", "a bandwidth quota", (appId: string) => ({ appId, bandwidth: 5 })],
  [
    "hasShadow",
    "a shadow quota of its cluster",
    (_: string, clusterId: string) => ({ clusterId, iops: 5, mode: "shadow" as const }),
  ],
  [
    "drawsIops",
    "an IOPS quota of its cluster",
    (_: string, clusterId: string) => ({ clusterId, iops: 5 }),
  ],
  [
    "drawsBandwidth",
    "a bandwidth quota of its cluster",
    (_: string, clusterId: string) => ({ clusterId, bandwidth: 5 }),
  ],
  [
    "hasBandwidth",
    "a bandwidth quota by default",
    (_: string, defaultClusterId: string) => ({ defaultClusterId, bandwidth: 5 }),
  ],
] as const;

describe.each(reasons)("%s, for %s", (name, _, quotaOf) => {
  test("is set while that is in force or scheduled, and gone with it", async () => {
    const clusterId = await makeCluster(sql);
    const appId = await makeApplication(sql, { clusterId });
    expect(await flag(appId, name)).toBe(false);
    for (const from of [undefined, year(2101)]) {
      const quota = await publish(sql, { ...quotaOf(appId, clusterId), from });
      expect(await flag(appId, name)).toBe(true);
      await cancel(sql, quota);
      expect(await flag(appId, name)).toBe(false);
    }
  });

  test("stays while another one needs it", async () => {
    const clusterId = await makeCluster(sql);
    const appId = await makeApplication(sql, { clusterId });
    const first = await publish(sql, { ...quotaOf(appId, clusterId), to: year(2101) });
    await publish(sql, { ...quotaOf(appId, clusterId), from: year(2102) });
    await cancel(sql, first);
    expect(await flag(appId, name)).toBe(true);
  });

  test("is cleared by the job once that has expired", async () => {
    const clusterId = await makeCluster(sql);
    const appId = await makeApplication(sql, { clusterId });
    const soon = new Date(Date.now() + 3_600_000).toISOString();
    await publish(sql, { ...quotaOf(appId, clusterId), to: soon });
    const work = (at: string) =>
      sql`select rate_limiter_private.sync_quota_flags(${at}::timestamptz)`;
    await work(new Date().toISOString());
    expect(await flag(appId, name)).toBe(true);
    await work(soon);
    expect(await flag(appId, name)).toBe(false);
  });
});

test("a half that is removed clears what decisions looked for it by", async () => {
  const appId = await makeApplication(sql);
  await publish(sql, { appId, iops: 5, bandwidth: 5 });
  await publish(sql, { appId, removeBandwidth: true });
  expect(await flag(appId, "hasBandwidth")).toBe(false);
});

describe("hasCostRule", () => {
  const rule = (appId: string) => sql`
    insert into rate_limiter.cost_rules (operation_id, app_id, c_base_override)
    select o.operation_id, ${appId}, 2 from rate_limiter.operation_types as o where o.name = 'list'
  `;

  test.each([
    [
      "deleted",
      (appId: string) => sql`delete from rate_limiter.cost_rules where app_id = ${appId}`,
    ],
    [
      "deactivated",
      (appId: string) =>
        sql`update rate_limiter.cost_rules set is_active = false where app_id = ${appId}`,
    ],
    [
      "ended",
      (appId: string) =>
        sql`update rate_limiter.cost_rules set valid_to = clock_timestamp() where app_id = ${appId}`,
    ],
  ])("is gone when the last rule is %s", async (_, end) => {
    const appId = await makeApplication(sql);
    await rule(appId);
    expect(await flag(appId, "hasCostRule")).toBe(true);
    await end(appId);
    expect(await flag(appId, "hasCostRule")).toBe(false);
  });
});

test("an application that leaves a cluster leaves what decisions looked for there", async () => {
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId, iops: 5, bandwidth: 5 });
  await publish(sql, { clusterId, iops: 5, mode: "shadow" });
  const appId = await makeApplication(sql, { clusterId });
  expect(await flagsOf(sql, appId)).toMatchObject({
    ...{ hasShadow: true, drawsIops: true, drawsBandwidth: true },
  });
  await sql`update rate_limiter.applications set cluster_id = null where app_id = ${appId}`;
  expect(await flagsOf(sql, appId)).toMatchObject({
    ...{ hasShadow: false, drawsIops: false, drawsBandwidth: false },
  });
});
