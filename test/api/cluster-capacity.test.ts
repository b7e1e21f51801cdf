import { beforeEach, describe, expect, test } from "vitest";
import { dataOf, refusalOf, serveTwoTenants } from "./world.ts";

const { database, as } = await serveTwoTenants();
const operator = as.system_admin;

const publish = `mutation ($input: PublishQuotaInput!) {
  publishQuota(input: $input) { quota { configId } }
}`;
const schedule = `mutation ($input: ScheduleQuotaInput!) {
  scheduleQuota(input: $input) { quota { configId } }
}`;
const update = `mutation ($clusterId: UUID!, $maxCapacity: BigInt!) {
  updateCluster(input: { clusterId: $clusterId, patch: { maxCapacity: $maxCapacity } }) {
    cluster { clusterId }
  }
}`;
const exceeds = "QS422 quota exceeds the capacity of the cluster";
const isBelow = "QS409 cluster has quotas above this capacity";

let clusterId = "";

beforeEach(async () => {
  const [row] = await database.sql`
    insert into rate_limiter.clusters (name, region, max_capacity)
    values (gen_random_uuid()::text, 'north', 1000)
    returning cluster_id
  `;
  clusterId = row?.cluster_id;
});

const quotaOf = (iopsLimit: number, more = {}) => ({
  input: { reason: "test", clusterId, iops: { iopsLimit, burstDurationSeconds: 1, ...more } },
});
const limit = (iopsLimit: number, more = {}) => operator.ask(publish, quotaOf(iopsLimit, more));
const later = (iopsLimit: number) => {
  const { input } = quotaOf(iopsLimit);
  return operator.ask(schedule, { input: { ...input, validFrom: "2100-01-01T00:00:00Z" } });
};
const rate = (maxCapacity: number) =>
  operator.ask(update, { clusterId, maxCapacity: String(maxCapacity) });

describe("max_capacity of a cluster bounds its quotas of operations:", () => {
  test("publishing above it is refused with both values, up to it is not", async () => {
    const { errors } = await limit(1001);
    expect(errors).toMatchObject([
      {
        message: "quota exceeds the capacity of the cluster",
        extensions: {
          code: "QS422",
          detail: `cluster: ${clusterId}, iops_limit: 1001, max_capacity: 1000`,
        },
      },
    ]);
    await dataOf(limit(1000));
  });

  test("a burst above it is not refused: the limit is what lasts", async () => {
    await dataOf(limit(1000, { iopsBurst: 5000 }));
  });

  test("scheduling above it is refused", async () => {
    expect(await refusalOf(later(1001))).toBe(exceeds);
    await dataOf(later(1000));
  });

  test("a candidate above it is refused", async () => {
    const { input } = quotaOf(1001);
    const trying = operator.ask(publish, { input: { ...input, mode: "SHADOW" } });
    expect(await refusalOf(trying)).toBe(exceeds);
  });

  test("rolling back to a quota above it is refused", async () => {
    const { publishQuota } = await dataOf(limit(1000));
    await dataOf(limit(500));
    await dataOf(rate(500));
    const [version] = await database.sql`
      select version_id from rate_limiter_audit.quota_version_history
      where config_id = ${publishQuota.quota.configId} order by changed_at limit 1
    `;
    const rollingBack = operator.ask(
      `mutation ($id: UUID!) {
        rollbackQuota(input: { versionId: $id, reason: "back" }) { configId }
      }`,
      { id: version?.version_id },
    );
    expect(await refusalOf(rollingBack)).toBe(exceeds);
  });

  test("0 says that it is not known, and bounds nothing", async () => {
    await dataOf(rate(0));
    await dataOf(limit(2_000_000));
  });

  test("a quota of bytes alone, and one of an application, it does not bound", async () => {
    const bandwidth = { bandwidthLimitBps: "5000000" };
    await dataOf(operator.ask(publish, { input: { reason: "test", clusterId, bandwidth } }));
    const [app] = await database.sql`
      insert into rate_limiter.applications (tenant_id, cluster_id, name)
      select a.tenant_id, ${clusterId}, gen_random_uuid()::text
      from rate_limiter.applications as a limit 1
      returning app_id
    `;
    const input = { reason: "test", appId: app?.app_id, iops: { iopsLimit: 5000 } };
    await dataOf(operator.ask(publish, { input }));
  });
});

describe("lowering max_capacity", () => {
  test("below the quota in force is refused with what stands, down to it is not", async () => {
    const { publishQuota } = await dataOf(limit(800));
    const { errors } = await rate(799);
    expect(errors).toMatchObject([
      {
        message: "cluster has quotas above this capacity",
        extensions: {
          code: "QS409",
          detail: expect.stringContaining(
            `max_capacity: 799, iops_limit: 800, quota: ${publishQuota.quota.configId}, from: `,
          ),
        },
      },
    ]);
    await dataOf(rate(800));
  });

  test("below a scheduled quota is refused until that one is cancelled", async () => {
    await dataOf(limit(100));
    const { scheduleQuota } = await dataOf(later(900));
    expect(await refusalOf(rate(500))).toBe(isBelow);
    await dataOf(
      operator.ask(
        `mutation ($id: UUID!) {
          cancelQuota(input: { configId: $id, reason: "test" }) { quota { configId } }
        }`,
        { id: scheduleQuota.quota.configId },
      ),
    );
    await dataOf(rate(500));
  });

  test("from not known is refused in the same way", async () => {
    await dataOf(rate(0));
    await dataOf(limit(5000));
    expect(await refusalOf(rate(4999))).toBe(isBelow);
  });

  test("does not ask what is over", async () => {
    await dataOf(limit(900));
    await dataOf(limit(100));
    await dataOf(rate(100));
  });
});

describe("of a quota and a lower capacity at once, one gives way:", () => {
  const publishing = () => database.sql`
    select rate_limiter_internal.publish_quota_at(
      clock_timestamp(), null, ${clusterId}, 'enforce', null, null,
      '{"iops_limit": 900, "iops_burst": 900, "burst_duration_seconds": 1, "refill_rate": 900}',
      null, 'test'
    )
  `;
  const lowering = (capacity: number) => database.sql`
    update rate_limiter.clusters set max_capacity = ${capacity} where cluster_id = ${clusterId}
  `;
  const standing = async () => {
    const [row] = await database.sql`
      select c.max_capacity::integer as capacity, max(i.iops_limit) as limit
      from rate_limiter.clusters as c
      left join rate_limiter.quota_configs as q using (cluster_id)
      left join rate_limiter.iops_quotas as i using (config_id)
      where c.cluster_id = ${clusterId} group by c.max_capacity
    `;
    return row;
  };

  test.each(Array.from({ length: 10 }, (_, round) => round))("round %i", async () => {
    const outcomes = await Promise.allSettled([publishing(), lowering(500)]);
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    const left = await standing();
    expect(left?.limit ?? 0).toBeLessThanOrEqual(left?.capacity);
  });
});
