import { describe, expect, test } from "vitest";
import { dataOf, refusalOf, serveTwoTenants } from "./world.ts";

const { database, as, mine, theirs } = await serveTwoTenants();
const admin = as.app_admin;

const publish = `mutation ($input: PublishQuotaInput!) {
  publishQuota(input: $input) {
    quota { configId mode validFrom validTo
      iopsQuota { iopsLimit iopsBurst refillRate burstDurationSeconds calculationMethod }
      bandwidthQuota { bandwidthLimitBps allowOversize }
    }
  }
}`;
const schedule = `mutation ($input: ScheduleQuotaInput!) {
  scheduleQuota(input: $input) { quota { configId validFrom validTo } }
}`;
const cancel = `mutation ($configId: UUID!, $reason: String!) {
  cancelQuota(input: { configId: $configId, reason: $reason }) {
    quota { configId isActive validFrom validTo }
  }
}`;
const versions = `query ($id: UUID!) {
  quotaVersions(first: 50, orderBy: CHANGED_AT_ASC, filter: { configId: { equalTo: $id } }) {
    nodes { versionId changeReason changedBy newConfig }
  }
}`;

async function newApplication(): Promise<string> {
  const { createApplication } = await dataOf(
    admin.ask(
      `mutation ($name: String!) {
        createApplication(input: { name: $name }) { appId }
      }`,
      { name: `application ${crypto.randomUUID()}` },
    ),
  );
  return createApplication.appId;
}

async function publishTo(appId: string, iopsLimit: number, more = {}) {
  const input = { reason: `limit ${iopsLimit}`, appId, iops: { iopsLimit }, ...more };
  return (await dataOf(admin.ask(publish, { input }))).publishQuota.quota;
}

/** Limits by the moments at which they take force; "now" is within a minute of now. */
async function timeline(appId: string): Promise<string[]> {
  const rows = await database.sql<{ line: string }[]>`
    select format(
      '%s from %s to %s', i.iops_limit,
      case when abs(extract(epoch from q.valid_from - now())) < 60 then 'now'
        else to_char(q.valid_from, 'YYYY') end,
      case when q.valid_to is null then 'ever'
        when abs(extract(epoch from q.valid_to - now())) < 60 then 'now'
        else to_char(q.valid_to, 'YYYY') end
    ) as line
    from rate_limiter.quota_configs as q
    join rate_limiter.iops_quotas as i on i.config_id = q.config_id
    where q.app_id = ${appId} and q.is_active and q.mode = 'enforce'
      and (q.valid_to is null or q.valid_to > now())
    order by q.valid_from
  `;
  return rows.map(({ line }) => line);
}

describe("publishQuota", () => {
  test("puts limits in force now, with what was left out filled in", async () => {
    const quota = await publishTo(await newApplication(), 50, {
      bandwidth: { bandwidthLimitBps: "9007199254740993" },
    });
    expect(quota).toMatchObject({
      mode: "ENFORCE",
      validTo: null,
      iopsQuota: {
        ...{ iopsLimit: 50, iopsBurst: 50, refillRate: 50, burstDurationSeconds: 60 },
        calculationMethod: "TOKEN_BUCKET",
      },
      bandwidthQuota: { bandwidthLimitBps: "9007199254740993", allowOversize: true },
    });
  });

  test("closes the version that was in force and leaves it as it was", async () => {
    const appId = await newApplication();
    const first = await publishTo(appId, 50);
    const second = await publishTo(appId, 70);
    const { quota } = await dataOf(
      admin.ask("query ($id: UUID!) { quota(configId: $id) { validTo iopsQuota { iopsLimit } } }", {
        id: first.configId,
      }),
    );
    expect(quota).toEqual({ validTo: second.validFrom, iopsQuota: { iopsLimit: 50 } });
    expect(await timeline(appId)).toEqual(["70 from now to ever"]);
  });

  test("keeps the reason and who gave it", async () => {
    const quota = await publishTo(await newApplication(), 50);
    const { quotaVersions } = await dataOf(admin.ask(versions, { id: quota.configId }));
    expect(quotaVersions.nodes).toMatchObject([
      { changeReason: "limit 50", changedBy: mine.users.app_admin },
    ]);
  });

  test.each([
    ["without a reason", { reason: " " }, "QS422 reason is missing"],
    ["that limits nothing", { iops: null }, "QS422 quota limits nothing"],
    ["for no one", { appId: null }, "QS422 quota is for one application or one cluster"],
    ["of a limit below one", { iops: { iopsLimit: 0 } }, "QS422 quota limits do not fit"],
    ["without a limit", { iops: { iopsBurst: 3 } }, "QS422 quota limits do not fit"],
  ])("refuses one %s", async (_, change, refusal) => {
    const input = { reason: "r", appId: mine.appId, iops: { iopsLimit: 5 }, ...change };
    expect(await refusalOf(admin.ask(publish, { input }))).toBe(refusal);
  });

  test.each([
    [{ iops: { iopsBurst: 3 } }, "iops_limit is missing"],
    [{ iops: { iopsLimit: -1 } }, "iops_limit is below one"],
    [{ iops: { iopsLimit: 5, iopsBurst: 4 } }, "iops_burst is below iops_limit"],
    [{ iops: { iopsLimit: 5, burstDurationSeconds: 0 } }, "burst_duration_seconds is below one"],
    [{ iops: { iopsLimit: 5, refillRate: 0 } }, "refill_rate is below one"],
    [{ iops: { iopsLimit: 5, refillRate: 6 } }, "refill_rate is above iops_limit"],
    [{ iops: { iopsLimit: 5, minReserve: -1 } }, "min_reserve is negative"],
    [{ bandwidth: { allowOversize: true } }, "bandwidth_limit_bps is missing"],
    [{ bandwidth: { bandwidthLimitBps: "0" } }, "bandwidth_limit_bps is below one"],
    [
      { bandwidth: { bandwidthLimitBps: "5", bandwidthBurstBps: "4" } },
      "bandwidth_burst_bps is below bandwidth_limit_bps",
    ],
    [
      { bandwidth: { bandwidthLimitBps: "5", burstDurationSeconds: 0 } },
      "burst_duration_seconds is below one",
    ],
    [
      { bandwidth: { bandwidthLimitBps: "5", refillRateBps: "-1" } },
      "refill_rate_bps is below one",
    ],
    [
      { bandwidth: { bandwidthLimitBps: "5", refillRateBps: "6" } },
      "refill_rate_bps is above bandwidth_limit_bps",
    ],
  ])("of %o says what is wrong with it", async (limits, problem) => {
    const { errors } = await admin.ask(publish, {
      input: { reason: "r", appId: mine.appId, ...limits },
    });
    expect(errors).toMatchObject([
      {
        message: "quota limits do not fit",
        extensions: { code: "QS422", hint: `Mend this: ${problem}.` },
      },
    ]);
  });

  test("takes the largest limits that there are", async () => {
    const iopsLimit = 2_147_483_647;
    const bandwidthLimitBps = "9223372036854775807";
    await database.sql`
      update rate_limiter.tenant_ceilings
      set iops_capacity = 1e37, bandwidth_limit_bps = ${bandwidthLimitBps},
        bandwidth_burst_bps = ${bandwidthLimitBps}, bandwidth_capacity = 1e37
      where tenant_id = ${theirs.tenantId}
    `;
    const [own] = await database.sql`
      select config_id as id from rate_limiter.quota_configs where app_id = ${theirs.appId}
    `;
    await dataOf(as.system_admin.ask(cancel, { configId: own?.id, reason: "make room" }));
    const input = {
      ...{ reason: "r", appId: theirs.appId },
      iops: { iopsLimit, burstDurationSeconds: iopsLimit, refillRate: 1 },
      bandwidth: { bandwidthLimitBps, burstDurationSeconds: iopsLimit, refillRateBps: "1" },
    };
    const { publishQuota } = await dataOf(as.system_admin.ask(publish, { input }));
    expect(publishQuota.quota).toMatchObject({
      iopsQuota: { iopsLimit },
      bandwidthQuota: { bandwidthLimitBps },
    });
  });

  test("refuses another tenant's application like one that never was", async () => {
    const input = { reason: "r", iops: { iopsLimit: 5 } };
    for (const appId of [theirs.appId, crypto.randomUUID()]) {
      const refusal = await refusalOf(admin.ask(publish, { input: { ...input, appId } }));
      expect(refusal).toBe("QS404 unknown application");
    }
  });

  test("of a cluster is for system administrators", async () => {
    const input = { reason: "r", clusterId: mine.clusterId, iops: { iopsLimit: 5000 } };
    expect(await refusalOf(as.tenant_admin.ask(publish, { input }))).toBe(
      "QS403 only a system administrator may do this",
    );
    const { publishQuota } = await dataOf(as.system_admin.ask(publish, { input }));
    expect(publishQuota.quota.iopsQuota.iopsLimit).toBe(5000);
  });
});

describe("scheduleQuota and cancelQuota", () => {
  const from = "2100-01-01T00:00:00Z";
  const to = "2101-01-01T00:00:00Z";
  const scheduled = (appId: string, iopsLimit: number) => ({
    ...{ reason: "festival", appId, validFrom: from, validTo: to, iops: { iopsLimit } },
  });

  test("a quota for a time interrupts the one that goes on afterwards", async () => {
    const appId = await newApplication();
    await publishTo(appId, 50);
    await dataOf(admin.ask(schedule, { input: scheduled(appId, 500) }));
    expect(await timeline(appId)).toEqual([
      "50 from now to 2100",
      "500 from 2100 to 2101",
      "50 from 2101 to ever",
    ]);
  });

  test("one that never began leaves no gap", async () => {
    const appId = await newApplication();
    await publishTo(appId, 50);
    const { scheduleQuota } = await dataOf(admin.ask(schedule, { input: scheduled(appId, 500) }));
    const { configId } = scheduleQuota.quota;
    const { cancelQuota } = await dataOf(admin.ask(cancel, { configId, reason: "called off" }));
    expect(cancelQuota.quota.isActive).toBe(false);
    expect(await timeline(appId)).toEqual(["50 from now to 2101", "50 from 2101 to ever"]);
    const { quotaVersions } = await dataOf(admin.ask(versions, { id: configId }));
    expect(quotaVersions.nodes.at(-1)).toMatchObject({
      changeReason: "called off",
      newConfig: { isActive: false },
    });
  });

  test("one in force ends now, and what was to follow begins", async () => {
    const appId = await newApplication();
    const quota = await publishTo(appId, 50);
    await dataOf(admin.ask(schedule, { input: scheduled(appId, 500) }));
    await dataOf(admin.ask(cancel, { configId: quota.configId, reason: "now" }));
    expect(await timeline(appId)).toEqual(["500 from now to 2101", "50 from 2101 to ever"]);
    expect(await refusalOf(admin.ask(cancel, { configId: quota.configId, reason: "now" }))).toBe(
      "QS409 quota is over",
    );
  });

  test("the last one leaves nothing in force", async () => {
    const appId = await newApplication();
    const quota = await publishTo(appId, 50);
    await dataOf(admin.ask(cancel, { configId: quota.configId, reason: "free" }));
    expect(await timeline(appId)).toEqual([]);
  });

  test.each([
    { validFrom: "2000-01-01T00:00:00Z" },
    { validFrom: to, validTo: from },
    { validFrom: from, validTo: from },
    { validFrom: "infinity", validTo: null },
    { validTo: "infinity" },
  ])("a time that is over, ends before it starts or never is refused: %o", async (times) => {
    const input = { ...scheduled(mine.appId, 500), ...times };
    expect(await refusalOf(admin.ask(schedule, { input }))).toBe(
      "QS422 quota must start now or later and end after it starts",
    );
  });

  test("what starts in another's time is refused", async () => {
    const appId = await newApplication();
    await dataOf(admin.ask(schedule, { input: scheduled(appId, 500) }));
    expect(await refusalOf(admin.ask(schedule, { input: scheduled(appId, 600) }))).toBe(
      "QS409 another quota starts in this time",
    );
  });

  test("another tenant's quota is unknown", async () => {
    for (const configId of [theirs.configId, crypto.randomUUID()]) {
      expect(await refusalOf(admin.ask(cancel, { configId, reason: "r" }))).toBe(
        "QS404 unknown quota",
      );
    }
  });
});

test("two versions are compared field by field, and the old one is brought back", async () => {
  const appId = await newApplication();
  const old = await publishTo(appId, 50);
  const young = await publishTo(appId, 70, { bandwidth: { bandwidthLimitBps: "1000" } });
  const first = async (id: string) =>
    (await dataOf(admin.ask(versions, { id }))).quotaVersions.nodes[0].versionId;
  const [a, b] = [await first(old.configId), await first(young.configId)];
  const compare = `query ($a: UUID!, $b: UUID!) {
    compareQuotaVersions(versionId: $a, otherVersionId: $b) { field value otherValue }
  }`;
  const { compareQuotaVersions } = await dataOf(admin.ask(compare, { a, b }));
  expect(compareQuotaVersions).toContainEqual({
    ...{ field: "iops.iopsLimit", value: "50", otherValue: "70" },
  });
  expect(compareQuotaVersions).toContainEqual({
    ...{ field: "bandwidth.bandwidthLimitBps", value: null, otherValue: "1000" },
  });
  expect(compareQuotaVersions.map((row: { field: string }) => row.field)).not.toContain("app_id");

  const rollback = `mutation ($id: UUID!, $reason: String!) {
    rollbackQuota(input: { versionId: $id, reason: $reason }) { configId }
  }`;
  expect(await refusalOf(admin.ask(rollback, { id: a, reason: " " }))).toBe(
    "QS422 reason is missing",
  );
  await dataOf(admin.ask(rollback, { id: a, reason: "too much" }));
  expect(await timeline(appId)).toEqual(["50 from now to ever"]);

  const [theirVersion] = await database.sql`
    select v.version_id as id
    from rate_limiter_audit.quota_version_history as v
    where v.app_id = ${theirs.appId}
  `;
  expect(await refusalOf(admin.ask(compare, { a, b: theirVersion?.id }))).toBe(
    "QS404 unknown quota version",
  );
});

describe("a candidate quota", () => {
  async function busyApplication(): Promise<string> {
    const appId = await newApplication();
    await publishTo(appId, 1000, { bandwidth: { bandwidthLimitBps: "1000" } });
    const candidate = {
      ...{ reason: "r", appId, mode: "SHADOW", iops: { iopsLimit: 2, burstDurationSeconds: 1 } },
    };
    await dataOf(as.system_admin.ask(publish, { input: candidate }));
    for (let call = 0; call < 5; call++) {
      const [decision] = await database.as("rate_limiter_app")`
        select allowed from rate_limiter.consume(${appId}, 'read_small', 0)
      `;
      expect(decision?.allowed).toBe(true);
    }
    return appId;
  }
  const span = () => ({
    since: new Date(Date.now() - 3_600_000).toISOString(),
    until: new Date(Date.now() + 60_000).toISOString(),
  });

  test("denies nothing, and its report names the applications that it would have denied", async () => {
    const appId = await busyApplication();
    const { shadowReport } = await dataOf(
      admin.ask(
        `query ($since: Datetime!, $until: Datetime!) {
          shadowReport(since: $since, until: $until) {
            appId operations throttledOperations throttledTokens firstThrottledAt
            throttledBy { reason operations }
            throttledOperationsMax unfoldedOperations leases deniedOperations notes problem
            askedOperations throttledAskedOperationsLeast throttledAskedOperationsMost
          }
        }`,
        span(),
      ),
    );
    expect(shadowReport).toEqual([
      {
        appId,
        operations: "5",
        throttledOperations: "3",
        throttledTokens: "3.000000",
        throttledBy: [{ reason: "IOPS_L2", operations: "3" }],
        firstThrottledAt: expect.any(String),
        throttledOperationsMax: "3",
        unfoldedOperations: "0",
        leases: "0",
        deniedOperations: "0",
        notes: [],
        problem: null,
        // Bounds: smooth at best. At worst all, as each needs more than a quarter of the bucket.
        askedOperations: "5",
        throttledAskedOperationsLeast: "0",
        throttledAskedOperationsMost: "5",
      },
    ]);
  });

  test("any quota of the application can be tried out, no one else's", async () => {
    const tryQuota = `query ($id: UUID!, $since: Datetime!, $until: Datetime!) {
      tryQuota(configId: $id, since: $since, until: $until) { operations throttledOperations }
    }`;
    const appId = await busyApplication();
    const [live] = await database.sql`
      select q.config_id as id from rate_limiter.quota_configs as q
      where q.app_id = ${appId} and q.mode = 'enforce'
    `;
    const answer = await dataOf(admin.ask(tryQuota, { id: live?.id, ...span() }));
    expect(answer.tryQuota).toEqual({ operations: "5", throttledOperations: "0" });
    expect(await refusalOf(admin.ask(tryQuota, { id: theirs.configId, ...span() }))).toBe(
      "QS404 unknown quota",
    );
  });
});
