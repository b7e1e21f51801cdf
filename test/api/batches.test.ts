import { expect, test } from "vitest";
import { dataOf, serveTwoTenants } from "./world.ts";

const { as, api, database, mine, theirs } = await serveTwoTenants({
  API_STATEMENT_TIMEOUT_MS: "60000",
});

const create = `mutation ($all: [NewApplicationInput!]!) {
  createApplications(input: { applications: $all }) { results { entry appId apiKey prefix } }
}`;
const publish = `mutation ($all: [NewQuotaInput!]!) {
  publishQuotas(input: { reason: "in bulk", quotas: $all }) { results { entry appId configId } }
}`;
const limits = { iopsLimit: 50, iopsBurst: 50, burstDurationSeconds: 10 };

async function count(query: "applications" | "quota_configs"): Promise<number> {
  const [row] = await database.sql`
    select count(*)::integer as count from ${database.sql(`rate_limiter.${query}`)}
  `;
  return row?.count;
}

async function problemsOf(asking: ReturnType<typeof as.app_admin.ask>) {
  const { errors = [] } = await asking;
  expect(errors.map(({ extensions, message }) => `${extensions.code} ${message}`)).toEqual([
    "QS422 batch is refused",
  ]);
  return JSON.parse(`${errors[0]?.extensions.detail}`);
}

test("applications and their quotas are made in two requests, as entries name them", async () => {
  const all = Array.from({ length: 30 }, (_, index) => ({
    name: `bulk ${index}`,
    clusterId: mine.clusterId,
    metadata: { index },
  }));
  const made = (await dataOf(as.app_admin.ask(create, { all }))).createApplications.results;
  expect(made.map(({ entry }: { entry: number }) => entry)).toEqual(all.map((_, i) => i + 1));
  const [names] = await database.sql`
    select array_agg(a.name order by array_position(${made.map(
      ({ appId }: { appId: string }) => appId,
    )}::uuid[], a.app_id)) as names
    from rate_limiter.applications as a where a.name like 'bulk %'
  `;
  expect(names?.names).toEqual(all.map(({ name }) => name));

  const quotas = made.map(({ appId }: { appId: string }) => ({ appId, iops: limits }));
  const published = (await dataOf(as.app_admin.ask(publish, { all: quotas }))).publishQuotas;
  const byEntry = new Map(
    published.results.map((row: { entry: number; appId: string }) => [row.entry, row.appId]),
  );
  expect(quotas.map((_: unknown, index: number) => byEntry.get(index + 1))).toEqual(
    quotas.map(({ appId }: { appId: string }) => appId),
  );
});

test("all are refused where some are, with each that is and why", async () => {
  const before = await count("applications");
  const all = [
    { name: "fine" },
    { name: " ", clusterId: mine.clusterId },
    { name: "application of mine", clusterId: mine.clusterId },
    { name: "elsewhere", clusterId: theirs.clusterId },
    { name: "not there", tenantId: theirs.tenantId },
    { name: "x".repeat(300), clusterId: mine.clusterId },
  ];
  expect(await problemsOf(as.app_admin.ask(create, { all }))).toEqual([
    { entry: 2, code: "QS422", message: "name is blank" },
    {
      ...{ entry: 3, code: "QS409", message: "application already exists" },
      detail: "name: application of mine",
    },
    { entry: 4, code: "QS404", message: "unknown cluster", detail: expect.any(String) },
    { entry: 5, code: "QS403", message: "only a system administrator may do this" },
    { entry: 6, code: "QS422", message: "value is too long" },
  ]);
  expect(await count("applications")).toBe(before);
});

test("no quota is published where one is refused, and none of another tenant is", async () => {
  const before = await count("quota_configs");
  const all = [
    { appId: mine.appId, iops: limits },
    { appId: theirs.appId, iops: limits },
    { appId: mine.appId, iops: { ...limits, iopsLimit: -1 } },
    { appId: mine.appId, iops: limits, ifVersion: theirs.configId },
  ];
  const problems = await problemsOf(as.app_admin.ask(publish, { all }));
  expect(problems.map(({ entry, code }: { entry: number; code: string }) => [entry, code])).toEqual(
    [
      [2, "QS404"],
      [3, "QS422"],
      [4, "QS409"],
    ],
  );
  expect(await count("quota_configs")).toBe(before);
});

// The application that is there already has a limit of 100.
test("one quota is lowered and another one raised, as far as a ceiling goes", async () => {
  const { tenantId, clusterId } = theirs;
  const admin = await api.signIn("tenant_admin@theirs.example");
  const more = ["one", "another"].map((name) => ({ name, clusterId }));
  const made = (await dataOf(admin.ask(create, { all: more }))).createApplications.results;
  const [first, second] = made.map(({ appId }: { appId: string }) => appId);
  await dataOf(
    as.system_admin.ask(
      `mutation ($tenant: UUID!, $cluster: UUID!) { setTenantCeiling(input: {
        tenantId: $tenant, clusterId: $cluster, reason: "contract",
        iops: { maxLimit: "200", maxBurst: "1000", maxCapacity: "10000" }
      }) { ceiling { iopsLimit } } }`,
      { tenant: tenantId, cluster: clusterId },
    ),
  );
  const to = (appId: string, iopsLimit: number) => ({
    appId,
    iops: { ...limits, iopsLimit, iopsBurst: 100 },
  });
  const steps = [
    [to(first, 50), to(second, 50)],
    [to(first, 20), to(second, 80)],
    [to(second, 30), to(first, 70)],
  ];
  for (const all of steps) {
    const entries = (await dataOf(admin.ask(publish, { all }))).publishQuotas.results;
    expect(
      entries.map(({ entry, appId }: { entry: number; appId: string }) => [entry, appId]),
    ).toEqual(all.map(({ appId }, index) => [index + 1, appId]));
  }
  const problems = await problemsOf(admin.ask(publish, { all: [to(first, 60), to(second, 41)] }));
  expect(problems).toMatchObject([{ entry: 2, message: "tenant ceiling is exceeded" }]);
});

test("a batch of none and one of too many are refused", async () => {
  for (const length of [0, 10_001]) {
    const all = Array.from({ length }, () => ({ name: "many" }));
    const { errors } = await as.app_admin.ask(create, { all });
    expect(errors?.[0]?.message).toBe("batch is not of 1 to 10000 entries");
  }
});

test("a stranger's request is as small as before", async () => {
  const body = JSON.stringify({ query: "{ viewer { email } }", variables: { a: "x".repeat(2e5) } });
  const headers = { "content-type": "application/json" };
  for (const authorization of [undefined, "Bearer none"]) {
    const response = await api.nobody.fetch("/graphql", {
      method: "POST",
      headers: { ...headers, ...(authorization && { authorization }) },
      body,
    });
    expect([401, 413]).toContain(response.status);
  }
});
