import { describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  cancel,
  flagsOf,
  makeApplication,
  makeCluster,
  publish,
  timeline,
  year,
} from "../control-plane.ts";
import { stopClock } from "../stopped-clock.ts";

const database = await createDatabase();
await stopClock(database);
const { sql } = database;

async function consume(appId: string, size = 0): Promise<string> {
  const [row] = await database.as("rate_limiter_app")`
    select allowed, reason from rate_limiter.consume(${appId}, 'list', ${size})
  `;
  return row?.allowed ? "allowed" : row?.reason;
}

/** How many lists, of three tokens each, pass at once. */
async function passing(appId: string, most = 12): Promise<number> {
  let passed = 0;
  while (passed < most && (await consume(appId)) === "allowed") passed += 1;
  return passed;
}

async function capacityOf(appId: string): Promise<number> {
  const [bucket] = await sql`
    select (rate_limiter_internal.bucket_at(clock_timestamp(), b)).bucket.capacity::integer as tokens
    from rate_limiter.token_buckets as b
    where b.owner_id = ${appId} and b.bucket_type = 'iops_l2' and b.mode = 'enforce'
  `;
  return bucket?.tokens;
}

async function clusterWithDefault(limits: { readonly iops?: number; readonly bandwidth?: number }) {
  const clusterId = await makeCluster(sql);
  await publish(sql, { defaultClusterId: clusterId, ...limits });
  return clusterId;
}

describe("the default quota of a cluster", () => {
  test("limits each application that has none, by a bucket of its own", async () => {
    const clusterId = await makeCluster(sql);
    const elder = await makeApplication(sql, { clusterId });
    await publish(sql, { defaultClusterId: clusterId, iops: 6 });
    const younger = await makeApplication(sql, { clusterId });
    const elsewhere = await makeApplication(sql);
    expect(await passing(elder)).toBe(2);
    expect(await passing(younger)).toBe(2);
    expect(await passing(elsewhere)).toBe(12);
  });

  test("gives way to the application's own quota and takes over when that is over", async () => {
    const clusterId = await clusterWithDefault({ iops: 3 });
    const appId = await makeApplication(sql, { clusterId });
    const own = await publish(sql, { appId, iops: 9 });
    expect(await capacityOf(appId)).toBe(9);
    // The same bucket: another quota does not fill it.
    expect(await passing(appId)).toBe(1);
    await cancel(sql, own);
    expect(await capacityOf(appId)).toBe(3);
    expect(await consume(appId)).toBe("iops_l2");
  });

  test("counts kind by kind", async () => {
    const clusterId = await clusterWithDefault({ iops: 6, bandwidth: 10 });
    const appId = await makeApplication(sql, { clusterId });
    await publish(sql, { appId, iops: 3000 });
    expect(await consume(appId, 10)).toBe("allowed");
    expect(await consume(appId, 10)).toBe("bandwidth_l2");
    expect(await capacityOf(appId)).toBe(3000);
    // What is left of the default quota's six tokens.
    expect(await passing(appId)).toBe(1);
  });

  test("shows among the active quotas of an application, as far as it counts", async () => {
    const clusterId = await clusterWithDefault({ iops: 6, bandwidth: 10 });
    const appId = await makeApplication(sql, { clusterId });
    const active = () => sql`
      select iops_limit, bandwidth_limit_bps::integer, is_default
      from rate_limiter.v_active_quotas
      where app_id = ${appId}
      order by is_default
    `;
    expect([...(await active())]).toEqual([
      { iops_limit: 6, bandwidth_limit_bps: 10, is_default: true },
    ]);
    await publish(sql, { appId, iops: 7 });
    expect([...(await active())]).toEqual([
      { iops_limit: 7, bandwidth_limit_bps: null, is_default: false },
      { iops_limit: null, bandwidth_limit_bps: 10, is_default: true },
    ]);
    await publish(sql, { appId, bandwidth: 8 });
    expect([...(await active())]).toEqual([
      { iops_limit: 7, bandwidth_limit_bps: 8, is_default: false },
    ]);
  });

  test("is apart from the cluster's own quota", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId, iops: 3000, bandwidth: 1000 });
    await publish(sql, { defaultClusterId: clusterId, iops: 6 });
    expect(await timeline(sql, clusterId)).toEqual(["now-ever: 3000 1000"]);
    expect(await timeline(sql, clusterId, true)).toEqual(["now-ever: 6 none"]);
    const appId = await makeApplication(sql, { clusterId });
    expect(await passing(appId)).toBe(2);
    await publish(sql, { defaultClusterId: clusterId, iops: 9, from: year(2101) });
    expect(await timeline(sql, clusterId)).toEqual(["now-ever: 3000 1000"]);
  });

  test("of bandwidth has decisions look for its bucket, as long as it is there", async () => {
    const clusterId = await makeCluster(sql);
    const appId = await makeApplication(sql, { clusterId });
    const hasBandwidth = async () => (await flagsOf(sql, appId)).hasBandwidth;
    const made = await publish(sql, { defaultClusterId: clusterId, bandwidth: 10 });
    expect(await hasBandwidth()).toBe(true);
    expect((await flagsOf(sql, await makeApplication(sql, { clusterId }))).hasBandwidth).toBe(true);
    expect(await consume(appId, 10)).toBe("allowed");
    expect(await consume(appId, 10)).toBe("bandwidth_l2");
    await cancel(sql, made);
    expect(await hasBandwidth()).toBe(false);
    expect(await consume(appId, 10)).toBe("allowed");
  });

  test("is another one where the application moves", async () => {
    const [small, large] = [
      await clusterWithDefault({ iops: 3 }),
      await clusterWithDefault({ iops: 3000, bandwidth: 10 }),
    ];
    const appId = await makeApplication(sql, { clusterId: small });
    expect(await passing(appId)).toBe(1);
    await sql`update rate_limiter.applications set cluster_id = ${large} where app_id = ${appId}`;
    expect(await capacityOf(appId)).toBe(3000);
    expect(await consume(appId, 10)).not.toBe("bandwidth_l2");
    await sql`update rate_limiter.applications set cluster_id = null where app_id = ${appId}`;
    expect(await passing(appId)).toBe(12);
  });

  test("is scheduled, versioned, audited and rolled back like every other", async () => {
    const clusterId = await clusterWithDefault({ iops: 6 });
    await publish(sql, { defaultClusterId: clusterId, iops: 9, from: year(2101) });
    expect(await timeline(sql, clusterId, true)).toEqual(["now-2101: 6 none", "2101-ever: 9 none"]);
    const [history] = await sql`
      select
        (select count(*)::integer from rate_limiter_audit.quota_version_history
          where default_cluster_id = ${clusterId}) as versions,
        (select count(*)::integer from rate_limiter_audit.audit_logs
          where entity_type = 'quota_configs'
            and new_values ->> 'default_cluster_id' = ${clusterId}) as audited
    `;
    expect(history).toEqual({ versions: 3, audited: 2 });
  });

  test("has no shadow mode", async () => {
    const clusterId = await makeCluster(sql);
    await expectSqlState(
      publish(sql, { defaultClusterId: clusterId, iops: 6, mode: "shadow" }),
      "23514",
    );
  });
});
