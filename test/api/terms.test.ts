import { beforeEach, describe, expect, test } from "vitest";
import { dataOf, type RoleName, refusalOf, roleNames, serveTwoTenants } from "./world.ts";

const { database, as, mine, theirs } = await serveTwoTenants();
const { sql } = database;
const { appId, clusterId, tenantId } = mine;

const quotaFields = `quota { configId mode validTo
  iopsQuota { iopsLimit } bandwidthQuota { bandwidthLimitBps } }`;
const publish = (input: string) =>
  `mutation { publishQuota(input: { reason: "r", ${input} }) { ${quotaFields} } }`;
const app = `appId: "${appId}"`;

/** An application of the tenant on its cluster, with nothing yet. */
async function newApplication(): Promise<string> {
  const [row] = await sql`
    insert into rate_limiter.applications (tenant_id, cluster_id, name)
    values (${tenantId}, ${clusterId}, gen_random_uuid()::text)
    returning app_id as id
  `;
  return row?.id;
}

/** What a tenant may give, as the operator of the clusters says; null for no ceiling. */
async function setCeiling(iops: number | null, bandwidth: number | null): Promise<void> {
  await sql`delete from rate_limiter.tenant_ceilings where tenant_id = ${tenantId}`;
  if (iops !== null || bandwidth !== null) {
    await sql`
      insert into rate_limiter.tenant_ceilings (
        tenant_id, iops_limit, iops_burst, iops_capacity, bandwidth_limit_bps, bandwidth_burst_bps,
        bandwidth_capacity
      )
      values (${tenantId}, ${iops}, ${iops}, ${iops}, ${bandwidth}, ${bandwidth}, ${bandwidth})
    `;
  }
  await sql`select rate_limiter_internal.sync_needed_quotas(${tenantId})`;
}

/** Statements that bring the world back to where each action starts. */
async function resetTerms(iops: number | null = 10_000, bandwidth: number | null = 1e9) {
  await sql`
    update rate_limiter.quota_configs set is_active = false
    where app_id in (select app_id from rate_limiter.applications where tenant_id = ${tenantId})
      or cluster_id = ${clusterId} or default_cluster_id = ${clusterId}
  `;
  await sql`
    select rate_limiter_internal.publish_quota_at(
      null, ${appId}, null, 'enforce', null, null,
      '{"iops_limit": 100, "iops_burst": 100, "burst_duration_seconds": 1, "refill_rate": 100}',
      '{"bandwidth_limit_bps": 1000, "bandwidth_burst_bps": 1000, "burst_duration_seconds": 1,
        "refill_rate_bps": 1000}', 'first'
    )
  `;
  await setCeiling(iops, bandwidth);
}

async function idOf(query: PromiseLike<readonly { id?: string }[]>): Promise<string> {
  const [row] = await query;
  return row?.id ?? "";
}
const currentQuota = () =>
  idOf(sql`
    select config_id as id from rate_limiter.quota_configs
    where app_id = ${appId} and is_active and valid_to is null
  `);
const firstVersion = () =>
  idOf(sql`
    select version_id as id from rate_limiter_audit.quota_version_history
    where app_id = ${appId} order by changed_at desc limit 1
  `);
const key = () =>
  idOf(sql`select api_key_id as id from rate_limiter_private.issue_api_key(${appId})`);
const operation = () =>
  idOf(sql`select operation_id as id from rate_limiter.operation_types where name = 'head'`);
const suspension = async () => {
  await dataOf(
    as.system_admin.ask(
      `mutation { suspendApplication(input: { ${app}, reason: "r" }) { clientMutationId } }`,
    ),
  );
  return idOf(sql`
    select suspension_id as id from rate_limiter.suspensions
    where app_id = ${appId} and lifted_at is null
  `);
};

async function limitedApplication(): Promise<string> {
  const id = await newApplication();
  await sql`
    select rate_limiter_internal.publish_quota_at(
      null, ${id}, null, 'enforce', null, null,
      '{"iops_limit": 10, "iops_burst": 10, "burst_duration_seconds": 1, "refill_rate": 10}',
      null, 'r'
    )
  `;
  return id;
}

/** A loan of an application, from its own future or from another application. */
async function borrowed(lenderId: string | null = null) {
  const ownerId = await limitedApplication();
  const borrowingId = await idOf(sql`
    select borrowing_id as id from rate_limiter_internal.borrow_tokens_at(
      null, ${ownerId}, 'iops_l2', 1, interval '1 minute', ${lenderId}
    )
  `);
  return { ownerId, borrowingId };
}

/** What can be done to terms; each is asked of every role where it starts from the same. */
const actions: Readonly<Record<string, () => string | Promise<string>>> = {
  "publish a quota within the ceiling": () => publish(`${app}, iops: { iopsLimit: 9000 }`),
  "publish a temporary quota within the ceiling": () =>
    publish(`${app}, iops: { iopsLimit: 9000 }, validTo: "2100-01-01T00:00:00Z"`),
  "publish a quota beyond the ceiling": () => publish(`${app}, iops: { iopsLimit: 10001 }`),
  "schedule a quota within the ceiling": () =>
    `mutation { scheduleQuota(input: { reason: "r", ${app}, iops: { iopsLimit: 9000 },
      validFrom: "2100-01-01T00:00:00Z" }) { ${quotaFields} } }`,
  "cancel a quota within the ceiling": async () =>
    `mutation { cancelQuota(input: { configId: "${await currentQuota()}", reason: "r" }) {
      quota { mode } } }`,
  "roll a quota back within the ceiling": async () =>
    `mutation { rollbackQuota(input: { versionId: "${await firstVersion()}", reason: "r" }) {
      configId } }`,
  "publish a quota without a ceiling": async () => {
    await resetTerms(null, null);
    return publish(`${app}, iops: { iopsLimit: 1 }`);
  },
  "publish a quota of a kind without a ceiling": async () => {
    await resetTerms(10_000, null);
    return publish(`${app}, iops: { iopsLimit: 1 }, bandwidth: { bandwidthLimitBps: "1" }`);
  },
  "remove a part of a kind without a ceiling": async () => {
    await resetTerms(10_000, null);
    return publish(`${app}, iops: { iopsLimit: 1 }, removeBandwidth: true`);
  },
  "publish the other kind only": async () => {
    await resetTerms(10_000, null);
    return publish(`${app}, iops: { iopsLimit: 1 }`);
  },
  "cancel a quota of both kinds with one ceiling": async () => {
    await resetTerms(10_000, null);
    return `mutation { cancelQuota(input: { configId: "${await currentQuota()}", reason: "r" }) {
      quota { mode } } }`;
  },
  "publish a quota in shadow mode": () => publish(`${app}, iops: { iopsLimit: 1 }, mode: SHADOW`),
  "try a candidate": () =>
    `{ tryQuota(since: "2026-01-01T00:00:00Z", until: "2026-01-02T00:00:00Z", ${app},
      iops: { iopsLimit: 1 }) { operations } }`,
  "publish a quota of the cluster": () =>
    publish(`clusterId: "${clusterId}", iops: { iopsLimit: 5000 }`),
  "publish a default quota": () =>
    publish(`defaultClusterId: "${clusterId}", iops: { iopsLimit: 50 }`),
  "set a ceiling": () =>
    `mutation { setTenantCeiling(input: { tenantId: "${tenantId}", reason: "r",
      iops: { maxLimit: "5000" } }) { ceiling { iopsLimit } } }`,
  "remove a ceiling": () =>
    `mutation { setTenantCeiling(input: { tenantId: "${tenantId}", reason: "r",
      removeIops: true }) { ceiling { iopsLimit } } }`,
  "set a reservation": () =>
    `mutation { setReservation(input: { ${app}, reservedIops: "5", reason: "r" }) { unpaidOperations } }`,
  "remove a reservation": async () => {
    await dataOf(as.system_admin.ask((await actions["set a reservation"]?.()) ?? ""));
    return `mutation { removeReservation(input: { ${app}, reason: "r" }) {
      reservation { reservedIops } } }`;
  },
  "set a cost rule": async () =>
    `mutation { createCostRule(input: { operationId: "${await operation()}",
      appId: "${await newApplication()}", cBaseOverride: "2" }) { costRule { isActive } } }`,
  "change an operation type": async () =>
    `mutation { updateOperationType(input: { operationId: "${await operation()}",
      patch: { description: "x" } }) { operationType { name } } }`,
  "switch automatic borrowing": async () => {
    await sql`update rate_limiter.applications set auto_borrow = false where app_id = ${appId}`;
    return `mutation { updateApplication(input: { ${app}, patch: { autoBorrow: true } }) {
      application { name } } }`;
  },
  "say what applications without a quota get": () =>
    `mutation { setSetting(input: { key: "without_quota", value: "unlimited" }) {
      setting { key } } }`,
  "suspend an application": () =>
    `mutation { suspendApplication(input: { ${app}, reason: "r" }) { suspension { reason } } }`,
  "suspend a tenant": () =>
    `mutation { suspendTenant(input: { tenantId: "${theirs.tenantId}", reason: "r" }) {
      suspension { reason } } }`,
  "suspend a key": async () =>
    `mutation { suspendApiKey(input: { apiKeyId: "${await key()}", reason: "r" }) {
      suspension { reason } } }`,
  "register an access key": () =>
    `mutation { registerAccessKey(input: { ${app},
      accessKeyId: "AKIA${crypto.randomUUID()}" }) { prefix } }`,
  "import access keys": () =>
    `mutation { importAccessKeys(input: { entries: [{ appId: "${appId}",
      accessKeyId: "AKIA${crypto.randomUUID()}" }] }) { registered } }`,
  "lift a suspension": async () =>
    `mutation { liftSuspension(input: { suspensionId: "${await suspension()}", reason: "r" }) {
      suspension { reason } } }`,
  "move an application": async () =>
    `mutation { moveApplication(input: { appId: "${await newApplication()}",
      clusterId: "${clusterId}" }) { openLeases } }`,
  "borrow from the future": async () => {
    return `mutation { borrowTokens(input: { ownerId: "${await limitedApplication()}", bucketType: IOPS_L2, tokens: "1",
      duration: "PT1M" }) { borrowing { status } } }`;
  },
  "add tokens": async () => {
    const id = await newApplication();
    await sql`
      select rate_limiter_internal.publish_quota_at(
        null, ${id}, null, 'enforce', null, null,
        '{"iops_limit": 1, "iops_burst": 10, "burst_duration_seconds": 1, "refill_rate": 1}',
        null, 'r'
      )
    `;
    return `mutation { adjustTokens(input: { ownerId: "${id}", bucketType: IOPS_L2,
      tokensChange: "0.000001", reason: "r" }) { tokens } }`;
  },
  "take tokens": () =>
    `mutation { adjustTokens(input: { ownerId: "${appId}", bucketType: IOPS_L2,
      tokensChange: "-1", reason: "r" }) { tokens } }`,
  "write off what was borrowed from the future": async () => {
    const { ownerId, borrowingId } = await borrowed();
    return `mutation { writeOffBorrowing(input: { ownerId: "${ownerId}",
      borrowingId: "${borrowingId}", reason: "r" }) { borrowing { status } } }`;
  },
  "write off what another application of the tenant lent": async () => {
    const { ownerId, borrowingId } = await borrowed(appId);
    return `mutation { writeOffBorrowing(input: { ownerId: "${ownerId}",
      borrowingId: "${borrowingId}", reason: "r" }) { borrowing { status } } }`;
  },
  "see how much of the ceilings is used": () => "{ ceilingUsage { kind peakLimit } }",
};

async function outcomeOf(role: RoleName, action: string): Promise<string> {
  const { data, errors = [] } = await as[role].ask(action);
  if (errors.length > 0) return `${errors[0]?.extensions.code} ${errors[0]?.message}`;
  const payload = Object.values(data)[0] as Record<string, unknown> | null;
  return payload === null || Object.values(payload).includes(null) ? "nothing" : "done";
}

beforeEach(() => resetTerms());

describe("who may", () => {
  const lines: string[] = [];

  test.each(Object.entries(actions))("%s", async (name, action) => {
    for (const role of roleNames) {
      await resetTerms();
      lines.push(`${name}, ${role}: ${await outcomeOf(role, await action())}`);
    }
    // A system administrator may do all of it, but beyond a ceiling.
    expect(lines.at(-roleNames.length)).toMatch(/: (done|QS403 tenant ceiling is exceeded)$/);
  });

  test("is as the matrix says", async () => {
    await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot("expected/terms-by-role.txt");
  });
});

describe("a tenant's administrator", () => {
  const ask = (input: string) => as.tenant_admin.ask(publish(input));

  test("is answered what is in force, with the part that was not given", async () => {
    const { publishQuota } = await dataOf(ask(`${app}, iops: { iopsLimit: 70 }`));
    expect(publishQuota.quota).toMatchObject({
      validTo: null,
      iopsQuota: { iopsLimit: 70 },
      bandwidthQuota: { bandwidthLimitBps: "1000" },
    });
    const removed = await dataOf(ask(`${app}, removeBandwidth: true`));
    expect(removed.publishQuota.quota).toMatchObject({
      ...{ iopsQuota: { iopsLimit: 70 }, bandwidthQuota: null },
    });
  });

  test("divides a ceiling among applications, and is told what beyond it would come to", async () => {
    const other = await newApplication();
    await dataOf(ask(`appId: "${other}", iops: { iopsLimit: 9900 }`));
    const { errors } = await ask(`${app}, iops: { iopsLimit: 101 }`);
    expect(errors).toMatchObject([
      {
        message: "tenant ceiling is exceeded",
        extensions: {
          code: "QS403",
          detail: expect.stringMatching(/limits: 10001 of 10000, bursts: 10001 of 10000/),
        },
      },
    ]);
    const { ceilingUsage } = await dataOf(
      as.tenant_admin.ask("{ ceilingUsage { kind maxLimit currentLimit peakLimit } }"),
    );
    expect(ceilingUsage).toMatchObject([
      { kind: "IOPS", maxLimit: "10000", currentLimit: "10000", peakLimit: "10000" },
      { kind: "BANDWIDTH" },
    ]);
  });

  test("may not leave what the operator set otherwise than it is", async () => {
    await resetTerms(10_000, null);
    const { errors } = await ask(`${app}, bandwidth: { bandwidthLimitBps: "5" }`);
    expect(errors).toMatchObject([
      {
        message: "no ceiling allows this",
        extensions: { code: "QS403", detail: expect.stringContaining("bandwidth") },
      },
    ]);
  });

  test("makes no application that its cluster's default would take beyond the ceiling", async () => {
    await dataOf(
      as.system_admin.ask(publish(`defaultClusterId: "${clusterId}", iops: { iopsLimit: 1 }`)),
    );
    await setCeiling(100, null);
    const create = `mutation { createApplication(input: {
      name: "${crypto.randomUUID()}", clusterId: "${clusterId}" }) { appId } }`;
    expect(await refusalOf(as.tenant_admin.ask(create))).toBe("QS403 tenant ceiling is exceeded");
  });

  test("sees the default of the clusters that host the tenant, and no other's", async () => {
    await sql`
      update rate_limiter.quota_configs set valid_to = valid_from + interval '1 microsecond'
      where default_cluster_id is not null
    `;
    for (const id of [clusterId, theirs.clusterId]) {
      await dataOf(
        as.system_admin.ask(publish(`defaultClusterId: "${id}", iops: { iopsLimit: 7 }`)),
      );
    }
    const { quotas } = await dataOf(
      as.tenant_admin.ask(
        `{ quotas(first: 50, filter: { defaultClusterId: { isNull: false }, validTo: { isNull: true } }) {
          nodes { defaultClusterId iopsQuota { iopsLimit } } } }`,
      ),
    );
    expect(quotas.nodes).toEqual([{ defaultClusterId: clusterId, iopsQuota: { iopsLimit: 7 } }]);
  });
});

test("limits that are none yet are tried on what was admitted", async () => {
  const id = await newApplication();
  await dataOf(
    as.tenant_admin.ask(
      publish(
        `appId: "${id}", iops: { iopsLimit: 1000 }, bandwidth: { bandwidthLimitBps: "1000" }`,
      ),
    ),
  );
  for (let call = 0; call < 4; call++) {
    await database.as("rate_limiter_app")`select rate_limiter.consume(${id}, 'list', 0)`;
  }
  const span = `since: "${new Date(Date.now() - 3_600_000).toISOString()}",
    until: "${new Date(Date.now() + 60_000).toISOString()}"`;
  const { tryQuota } = await dataOf(
    as.tenant_admin.ask(
      `{ tryQuota(${span}, appId: "${id}", iops: { iopsLimit: 6, burstDurationSeconds: 1 }) {
        operations throttledOperations throttledBy { reason operations } } }`,
    ),
  );
  expect(tryQuota).toMatchObject({
    operations: "4",
    throttledBy: [{ reason: "IOPS_L2", operations: "2" }],
  });
  const foreign = `{ tryQuota(${span}, appId: "${theirs.appId}", iops: { iopsLimit: 6 }) {
    operations } }`;
  expect(await refusalOf(as.tenant_admin.ask(foreign))).toBe("QS404 unknown application");
  expect(await refusalOf(as.tenant_admin.ask(`{ tryQuota(${span}) { operations } }`))).toBe(
    "QS422 nothing to try out",
  );
});
