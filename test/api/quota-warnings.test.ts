import { beforeEach, describe, expect, test } from "vitest";
import { makeTenant } from "../data-model/world.ts";
import { dataOf, refusalOf, serveTwoTenants } from "./world.ts";

const { database, as, mine } = await serveTwoTenants();
const operator = as.system_admin;

const publish = `mutation ($input: PublishQuotaInput!) {
  publishQuota(input: $input) { quota { configId warnings } }
}`;
const schedule = `mutation ($input: ScheduleQuotaInput!) {
  scheduleQuota(input: $input) { quota { warnings } }
}`;

let appId = "";

// What an application has no limits for, the default of its cluster limits: no warning of that.
await dataOf(
  operator.ask(publish, {
    input: {
      ...{ reason: "default", defaultClusterId: mine.clusterId },
      iops: { iopsLimit: 1000 },
      bandwidth: { bandwidthLimitBps: "10000000" },
    },
  }),
);

beforeEach(async () => {
  appId = await newApplication();
});

async function newApplication(): Promise<string> {
  const [row] = await database.sql`
    insert into rate_limiter.applications (tenant_id, cluster_id, name)
    values (${mine.tenantId}, ${mine.clusterId}, gen_random_uuid()::text)
    returning app_id
  `;
  return row?.app_id;
}

async function warningsOf(limits: object, owner: object = { appId }): Promise<string[]> {
  const input = { reason: "test", ...owner, ...limits };
  return (await dataOf(operator.ask(publish, { input }))).publishQuota.quota.warnings;
}

async function setCost(owner: string, base: number, from = "-infinity", to = "infinity") {
  await database.sql`
    insert into rate_limiter.cost_rules
      (operation_id, app_id, c_base_override, valid_from, valid_to)
    select
      o.operation_id, ${owner}, ${base},
      case ${from} when '-infinity' then '2000-01-01' else ${from}::timestamptz end,
      case ${to} when 'infinity' then null else ${to}::timestamptz end
    from rate_limiter.operation_types as o
  `;
}

describe("publishQuota warns of", () => {
  test("operations that cost more than the capacity at their usual size, by name", async () => {
    expect(await warningsOf({ iops: { iopsLimit: 4, burstDurationSeconds: 1 } })).toEqual([
      "The IOPS capacity of 4 never pays for: write_medium of 65536 bytes " +
        "(cost 4.0002), delete (cost 5), read_large of 1048576 bytes (cost 5.0001), " +
        "write_large of 1048576 bytes (cost 10.0002).",
    ]);
  });

  test("nothing where every operation can pass", async () => {
    const bandwidth = { bandwidthLimitBps: "1048576", burstDurationSeconds: 1 };
    expect(await warningsOf({ iops: { iopsLimit: 11 }, bandwidth })).toEqual([]);
  });

  test("a limit of one, which surprises and is not refused while one operation costs one", async () => {
    const [warning] = await warningsOf({ iops: { iopsLimit: 1, burstDurationSeconds: 1 } });
    expect(warning).toMatch(/^The IOPS capacity of 1 never pays for: read_small of 4096 /);
    expect(warning).not.toMatch(/\bhead\b/);
  });

  test("what a window holds, where the quota counts by windows", async () => {
    const iops = { iopsLimit: 2, burstDurationSeconds: 5, calculationMethod: "FIXED_WINDOW" };
    expect(await warningsOf({ iops })).toEqual([
      "The IOPS capacity of 10 never pays for: " + "write_large of 1048576 bytes (cost 10.0002).",
    ]);
  });

  test("what the application's own costs say, in the time of the quota", async () => {
    await setCost(appId, 50, "2000-01-01", "2001-01-01");
    expect(await warningsOf({ iops: { iopsLimit: 20, burstDurationSeconds: 1 } })).toEqual([]);
    const other = await newApplication();
    await setCost(other, 50);
    const iops = { iopsLimit: 50, burstDurationSeconds: 1 };
    expect(await warningsOf({ iops }, { appId: other })).toEqual([
      expect.stringMatching(
        /^The IOPS capacity of 50 never pays for: read_large of 1048576 bytes \(cost 50\.0001\)/,
      ),
    ]);
  });

  test("bytes that can never move, with the debt that large operations may make", async () => {
    const bandwidth = { bandwidthLimitBps: "1000", burstDurationSeconds: 1 };
    const [without] = await warningsOf({ bandwidth: { ...bandwidth, allowOversize: false } });
    expect(without).toBe(
      "The bandwidth capacity of 1000 bytes never admits: read_small of 4096 bytes, " +
        "write_small of 4096 bytes, read_medium of 65536 bytes, write_medium of 65536 bytes, " +
        "read_large of 1048576 bytes, write_large of 1048576 bytes; see allow_oversize.",
    );
    expect(await warningsOf({ bandwidth })).toEqual([]);
    const tiny = { bandwidthLimitBps: "100", burstDurationSeconds: 1 };
    expect(await warningsOf({ bandwidth: tiny })).toEqual([
      "The bandwidth capacity of 100 bytes and the debt limit never admit: " +
        "read_large of 1048576 bytes, write_large of 1048576 bytes.",
    ]);
  });

  test("leases that are always empty", async () => {
    const iops = { iopsLimit: 20, burstDurationSeconds: 1, minReserve: 20 };
    expect(await warningsOf({ iops })).toEqual([
      "Leases are always empty: min_reserve of 20 leaves nothing of the capacity of 20.",
    ]);
  });

  describe("a kind that is not limited, of which the application needs a quota:", () => {
    const iops = { iopsLimit: 100 };
    const bandwidth = { bandwidthLimitBps: "10000000" };
    const without = (kind: string, denied: string) =>
      `Without ${kind} limits, operations ${denied} are denied (no_quota): no default quota of ` +
      "the cluster stands in for all of the time.";

    /** Under a ceiling of both kinds, on a cluster without a default. */
    async function needy() {
      const tenant = await makeTenant(database, `needy-${appId}`);
      const [row] = await database.sql`
        insert into rate_limiter.applications (tenant_id, cluster_id, name)
        values (${tenant.tenantId}, ${tenant.clusterId}, 'needy')
        returning app_id
      `;
      return { ...tenant, needy: { appId: row?.app_id } };
    }

    test("under a ceiling of both, either half by itself, and neither of both", async () => {
      const { needy: owner } = await needy();
      expect(await warningsOf({ iops }, owner)).toEqual([without("bandwidth", "that move bytes")]);
      expect(await warningsOf({ bandwidth, removeIops: true }, owner)).toEqual([
        without("IOPS", "that cost tokens"),
      ]);
      expect(await warningsOf({ iops, bandwidth }, owner)).toEqual([]);
    });

    test("is told of no kind that a default quota limits for as long", async () => {
      const { clusterId, needy: owner } = await needy();
      const shorter = { validTo: "2100-01-01T00:00:00Z" };
      await warningsOf({ bandwidth, ...shorter }, { defaultClusterId: clusterId });
      expect(await warningsOf({ iops, ...shorter }, owner)).toEqual([]);
      expect(await warningsOf({ iops }, owner)).toEqual([without("bandwidth", "that move bytes")]);
    });

    test("is told of no candidate, which denies nothing", async () => {
      const { needy: owner } = await needy();
      expect(await warningsOf({ iops, mode: "SHADOW" }, owner)).toEqual([]);
    });
  });

  test("the same of a cluster's quota, by the costs of what it hosts", async () => {
    const { clusterId } = await makeTenant(database, `tenant-${appId}`);
    const [warning] = await warningsOf(
      { iops: { iopsLimit: 10, burstDurationSeconds: 1 } },
      { clusterId },
    );
    expect(warning).toBe(
      "The IOPS capacity of 10 never pays for: " + "write_large of 1048576 bytes (cost 10.0002).",
    );
  });
});

test("scheduleQuota warns too, and the quota goes on to tell it", async () => {
  const input = {
    ...{ reason: "test", appId, validFrom: "2100-01-01T00:00:00Z" },
    iops: { iopsLimit: 10, burstDurationSeconds: 1 },
  };
  const { scheduleQuota } = await dataOf(as.app_admin.ask(schedule, { input }));
  expect(scheduleQuota.quota.warnings).toHaveLength(1);
  const { quotas } = await dataOf(
    as.app_viewer.ask(
      `query ($app: UUID!) {
        quotas(first: 5, filter: { appId: { equalTo: $app } }) { nodes { warnings } }
      }`,
      { app: appId },
    ),
  );
  expect(quotas.nodes).toEqual([{ warnings: scheduleQuota.quota.warnings }]);
});

describe("a quota that pays for no operation", () => {
  const input = () => ({
    ...{ reason: "test", appId },
    iops: { iopsLimit: 1, burstDurationSeconds: 1 },
  });

  test("is refused with its capacity and the cheapest cost", async () => {
    await setCost(appId, 7);
    const { errors } = await as.app_admin.ask(publish, { input: input() });
    expect(errors).toMatchObject([
      {
        message: "quota pays for no operation",
        extensions: {
          code: "QS422",
          detail: "capacity: 1, cheapest operation: delete, its cost: 7",
        },
      },
    ]);
    const capacity = { ...input(), iops: { iopsLimit: 1, iopsBurst: 7 } };
    await dataOf(as.app_admin.ask(publish, { input: capacity }));
  });

  test("is refused when it is scheduled, and not where the costs change in its time", async () => {
    await setCost(appId, 7, "2000-01-01", "2100-06-01");
    const at = (validFrom: string, validTo: string) =>
      as.app_admin.ask(schedule, { input: { ...input(), validFrom, validTo } });
    const refused = at("2100-01-01T00:00:00Z", "2100-06-01T00:00:00Z");
    expect(await refusalOf(refused)).toBe("QS422 quota pays for no operation");
    await dataOf(at("2100-01-01T00:00:00Z", "2100-06-01T00:00:01Z"));
  });

  test("is refused when an old version comes back, if costs have risen since", async () => {
    const { publishQuota } = await dataOf(as.app_admin.ask(publish, { input: input() }));
    const more = { ...input(), iops: { iopsLimit: 100 } };
    await dataOf(as.app_admin.ask(publish, { input: more }));
    await setCost(appId, 7);
    const [version] = await database.sql`
      select version_id from rate_limiter_audit.quota_version_history
      where config_id = ${publishQuota.quota.configId} order by changed_at limit 1
    `;
    const rollingBack = as.app_admin.ask(
      `mutation ($id: UUID!) {
        rollbackQuota(input: { versionId: $id, reason: "back" }) { configId }
      }`,
      { id: version?.version_id },
    );
    expect(await refusalOf(rollingBack)).toBe("QS422 quota pays for no operation");
  });

  test("of a cluster is accepted while an application of it has an operation that it pays", async () => {
    const { clusterId } = await makeTenant(database, `cheap-${appId}`);
    await database.sql`delete from rate_limiter.reservations where cluster_id = ${clusterId}`;
    await database.sql`update rate_limiter.operation_types set c_base = c_base + 5`;
    const asked = operator.ask(publish, { input: { ...input(), appId: null, clusterId } });
    expect(await refusalOf(asked)).toBe("QS422 quota pays for no operation");
    const [app] = await database.sql`
      select app_id from rate_limiter.applications where cluster_id = ${clusterId}
    `;
    await database.sql`delete from rate_limiter.cost_rules where app_id = ${app?.app_id}`;
    await setCost(app?.app_id, 0.5);
    await dataOf(operator.ask(publish, { input: { ...input(), appId: null, clusterId } }));
    await database.sql`update rate_limiter.operation_types set c_base = c_base - 5`;
  });
});
