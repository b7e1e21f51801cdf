import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { signInMutations } from "../../src/api/graphql/sign-in-plugin.ts";
import { eventually } from "../harness/index.ts";
import type { Answer, Client } from "./api.ts";
import { dataOf, refusalOf, serveTwoTenants } from "./world.ts";

const { as, api, database, mine } = await serveTwoTenants();

/** Asks with the headers. */
function withHeaders(client: Client, headers: Record<string, string>) {
  return async (query: string, variables?: Record<string, unknown>): Promise<Answer> => {
    const response = await client.fetch("/graphql", {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ query, variables }),
    });
    return { status: response.status, ...((await response.json()) as object) };
  };
}

const keyed = (client: Client, key: string = randomUUID()) =>
  withHeaders(client, { "idempotency-key": key });
const trying = (client: Client) => withHeaders(client, { "x-dry-run": "true" });

const adjust = `mutation ($app: UUID!, $change: BigFloat!) {
  adjustTokens(input: {
    ownerId: $app, bucketType: IOPS_L2, tokensChange: $change, reason: "by hand"
  }) { tokens }
}`;

async function adjustments(): Promise<number> {
  const [row] = await database.sql`
    select count(*)::integer as count from rate_limiter.token_transactions as t
    where t.transaction_type = 'adjust' and t.owner_id = ${mine.appId}
  `;
  return row?.count;
}

test("a change with a key, or tried, without a sign-in is answered like any other", async () => {
  for (const ask of [keyed(api.nobody), trying(api.nobody)]) {
    expect(await refusalOf(ask(adjust, { app: mine.appId, change: "-1" }))).toBe(
      "QS401 not signed in",
    );
  }
});

describe("a change with an idempotency key", () => {
  test("is made once, and each retry gets the answer of the first", async () => {
    const before = await adjustments();
    const ask = keyed(as.tenant_admin);
    const variables = { app: mine.appId, change: "-1" };
    const first = await ask(adjust, variables);
    expect(first.errors).toBeUndefined();
    for (let retry = 1; retry <= 3; retry++) {
      const again = await ask(adjust, variables);
      expect(again.data).toEqual(first.data);
      expect(again).toMatchObject({ extensions: { isRepeated: true } });
    }
    expect(await adjustments()).toBe(before + 1);
  });

  test("is made once by ten retries at once", async () => {
    const before = await adjustments();
    const ask = keyed(as.tenant_admin);
    const variables = { app: mine.appId, change: "-2" };
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(adjust, variables)));
    expect(new Set(answers.map(({ data }) => JSON.stringify(data))).size).toBe(1);
    expect(answers[0]?.data.adjustTokens.tokens).toBeDefined();
    expect(await adjustments()).toBe(before + 1);
  });

  test("of a token is answered to that token alone, not to another one of its account", async () => {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const { createServiceAccount } = await dataOf(
      as.tenant_admin.ask(`mutation {
        createServiceAccount(input: { name: "deploy", roles: ["tenant_admin"] }) {
          serviceAccount { userId }
        }
      }`),
    );
    const { userId } = createServiceAccount.serviceAccount;
    const bearing = async (permissions: readonly string[] | null) => {
      const { issueServiceToken } = await dataOf(
        as.tenant_admin.ask(
          `mutation ($userId: UUID!, $expiresAt: Datetime!, $permissions: [String!]) {
            issueServiceToken(input: {
              userId: $userId, expiresAt: $expiresAt, permissions: $permissions
            }) { token }
          }`,
          { userId, expiresAt, permissions },
        ),
      );
      return api.bearing(issueServiceToken.token);
    };
    const key = randomUUID();
    const createKey = `mutation ($app: UUID!) {
      createApiKey(input: { appId: $app, name: "new" }) { apiKey }
    }`;
    const variables = { app: mine.appId };
    const all = await bearing(null);
    const first = await keyed(all, key)(createKey, variables);
    expect(first.data.createApiKey.apiKey).toMatch(/^qos_/);
    const reader = await bearing(["application:read"]);
    expect(await refusalOf(keyed(reader, key)(createKey, variables))).toBe(
      "QS422 idempotency key is of another request",
    );
    expect((await keyed(all, key)(createKey, variables)).data).toEqual(first.data);
  });

  test("without one is made each time", async () => {
    const before = await adjustments();
    const variables = { app: mine.appId, change: "-1" };
    await dataOf(as.tenant_admin.ask(adjust, variables));
    await dataOf(as.tenant_admin.ask(adjust, variables));
    expect(await adjustments()).toBe(before + 2);
  });

  test("shows a secret to its sender again, and to no reader of the database", async () => {
    const create = `mutation { createApplication(input: { name: "made once" }) { appId apiKey } }`;
    const ask = keyed(as.app_admin);
    const first = await ask(create);
    const { apiKey } = first.data.createApplication;
    expect((await ask(create)).data).toEqual(first.data);
    const [kept] = await database.sql`
      select string_agg(a.answer::text, '') as answers from rate_limiter_private.kept_answers as a
    `;
    const bytes = Buffer.from(apiKey).toString("hex");
    expect(kept?.answers.length).toBeGreaterThan(100);
    expect(kept?.answers).not.toContain(bytes);
  });

  test("that failed is undone as a whole, and made by the retry", async () => {
    const create = `mutation ($name: String!) {
      first: createApplication(input: { name: $name }) { appId }
      second: createApplication(input: { name: $name }) { appId }
    }`;
    const key = randomUUID();
    const name = "twice in one request";
    expect((await keyed(as.app_admin, key)(create, { name })).errors?.[0]?.extensions.code).toBe(
      "QS409",
    );
    const [left] = await database.sql`
      select count(*)::integer as count from rate_limiter.applications as a where a.name = ${name}
    `;
    expect(left?.count).toBe(0);
    const alone = `mutation ($name: String!) {
      createApplication(input: { name: $name }) { appId }
    }`;
    expect((await keyed(as.app_admin, key)(alone, { name })).errors).toBeUndefined();
  });

  test("is refused for another request, and not for the same key of another user", async () => {
    const key = randomUUID();
    await dataOf(keyed(as.tenant_admin, key)(adjust, { app: mine.appId, change: "-1" }));
    expect(
      await refusalOf(keyed(as.tenant_admin, key)(adjust, { app: mine.appId, change: "-3" })),
    ).toBe("QS422 idempotency key is of another request");
    const answer = await keyed(as.system_admin, key)(adjust, { app: mine.appId, change: "-1" });
    expect(answer.errors).toBeUndefined();
    expect(answer).not.toHaveProperty("extensions.isRepeated");
  });

  test.each([
    ["nothing", ""],
    ["a space", "a b"],
    ["other letters", "\u00e4"],
    ["more than 255 characters", "x".repeat(256)],
  ])("is refused for a key of %s", async (_what, key) => {
    const ask = keyed(as.tenant_admin, key);
    expect(await refusalOf(ask(adjust, { app: mine.appId, change: "-1" }))).toBe(
      "QS400 idempotency key is malformed",
    );
  });
});

describe("a dry run", () => {
  test("says what would change, and changes nothing", async () => {
    const publish = `mutation ($app: UUID!) {
      publishQuota(input: { reason: "tried", appId: $app, iops: {
        iopsLimit: 77, iopsBurst: 78, burstDurationSeconds: 10
      } }) { quota { configId iopsQuota { iopsLimit } warnings } }
    }`;
    const answer = await trying(as.app_admin)(publish, { app: mine.appId });
    expect(answer.errors).toBeUndefined();
    expect(answer.data.publishQuota.quota.iopsQuota.iopsLimit).toBe(77);
    expect(answer).toMatchObject({
      extensions: {
        isDryRun: true,
        changes: expect.arrayContaining([
          expect.objectContaining({ action: "INSERT", entityType: "QUOTA" }),
        ]),
      },
    });
    const { configId } = answer.data.publishQuota.quota;
    const left = await database.sql`
      select from rate_limiter.quota_configs as c where c.config_id = ${configId}
    `;
    expect(left.count).toBe(0);
  });

  test("refuses what the change would be refused for", async () => {
    const create = `mutation { createApplication(input: { name: " " }) { appId } }`;
    expect(await refusalOf(trying(as.app_admin)(create))).toBe("QS422 name is blank");
    const adding = trying(as.tenant_admin)(adjust, { app: mine.appId, change: "5" });
    expect(await refusalOf(adding)).toMatch(/^QS403/);
  });
});

test("neither is for what keeps to transactions of its own", async () => {
  expect(signInMutations.size).toBe(12);
  const change = `mutation { ...f } fragment f on Mutation {
    changePassword(input: { currentPassword: "a", newPassword: "b" }) { changed }
  }`;
  for (const ask of [keyed(as.tenant_admin), trying(as.tenant_admin)]) {
    expect(await refusalOf(ask(change))).toBe("QS400 mutation is not made in one transaction");
  }
});

test("what locks layer 1 waits for all other changes of the request", async () => {
  await dataOf(
    as.system_admin.ask(
      `mutation ($cluster: UUID!) { publishQuota(input: {
        reason: "layer 1", clusterId: $cluster, iops: { iopsLimit: 1000, burstDurationSeconds: 1 }
      }) { quota { configId } } }`,
      { cluster: mine.clusterId },
    ),
  );
  const deactivate = `mutation ($app: UUID!, $tenant: UUID!) {
    off: updateApplication(input: { appId: $app, patch: { isActive: false } }) {
      application { isActive }
    }
    slow: updateTenant(input: { tenantId: $tenant, patch: { description: "a while" } }) {
      tenant { name }
    }
  }`;
  const holder = await database.session("holder");
  const [{ pid } = {}] = await holder.sql`select pg_backend_pid() as pid`;
  for (const ask of [trying(as.tenant_admin), keyed(as.tenant_admin)]) {
    await holder.sql`begin`;
    await holder.sql`
      select from rate_limiter.tenants as t where t.tenant_id = ${mine.tenantId} for update
    `;
    const answer = ask(deactivate, { app: mine.appId, tenant: mine.tenantId });
    await eventually(async () => {
      const waiting = await database.sql`
        select from pg_stat_activity as a where ${pid} = any (pg_blocking_pids(a.pid))
      `;
      expect(waiting.count).toBe(1);
    });
    const layer1 = await database.sql`
      select from rate_limiter.token_buckets as b
      where b.owner_id = ${mine.clusterId}
      for update nowait
    `;
    expect(layer1.count).toBeGreaterThan(0);
    await holder.sql`commit`;
    expect((await answer).data.off.application.isActive).toBe(false);
  }
  const [reserve] = await database.sql`
    select b.headroom from rate_limiter.token_buckets as b
    where b.owner_id = ${mine.clusterId} and b.bucket_type = 'iops_l1' and b.mode = 'enforce'
  `;
  expect(reserve?.headroom).toBeNull();
  const activate = `mutation ($app: UUID!) {
    updateApplication(input: { appId: $app, patch: { isActive: true } }) {
      application { isActive }
    }
  }`;
  await dataOf(as.tenant_admin.ask(activate, { app: mine.appId }));
});

test("nothing of one request reaches the next one on its connection", async () => {
  const shown = `{ viewer { email } }`;
  await dataOf(keyed(as.tenant_admin)(adjust, { app: mine.appId, change: "-1" }));
  const { viewer } = await dataOf(as.app_viewer.ask(shown));
  expect(viewer.email).toBe("app_viewer@mine.example");
  expect((await dataOf(api.nobody.ask(shown))).viewer).toBeNull();
});

describe("ifVersion", () => {
  test("refuses a quota when another version is in force than was read", async () => {
    const publish = `mutation ($app: UUID!, $version: UUID!, $limit: Int!) {
      publishQuota(input: { reason: "read before", appId: $app, ifVersion: $version, iops: {
        iopsLimit: $limit, iopsBurst: $limit, burstDurationSeconds: 10
      } }) { quota { configId } }
    }`;
    const read = mine.configId;
    const first = as.app_admin.ask(publish, { app: mine.appId, version: read, limit: 50 });
    const { configId } = (await dataOf(first)).publishQuota.quota;
    const late = as.app_admin.ask(publish, { app: mine.appId, version: read, limit: 60 });
    expect(await refusalOf(late)).toBe("QS409 another version is in force");
    await dataOf(as.app_admin.ask(publish, { app: mine.appId, version: configId, limit: 70 }));
  });

  test("refuses a setting that was changed since it was read", async () => {
    const set = `mutation ($value: String!, $version: Int!) {
      setSetting(input: { key: "new_applications_per_day", value: $value, ifVersion: $version }) {
        setting { version }
      }
    }`;
    const { systemSettingByKey } = await dataOf(
      as.system_admin.ask(`{ systemSettingByKey(key: "new_applications_per_day") { version } }`),
    );
    const { version } = systemSettingByKey;
    const { setSetting } = await dataOf(as.system_admin.ask(set, { value: "501", version }));
    expect(setSetting.setting.version).toBe(version + 1);
    const late = as.system_admin.ask(set, { value: "502", version });
    expect(await refusalOf(late)).toBe("QS409 another version is in force");
  });
});
