import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { createAdministrator } from "../../src/api/administrator/create-administrator.ts";
import { projectPath } from "../../src/paths.ts";
import { createApiDatabase, givePasswords, password, serveApi } from "../api/api.ts";
import { subscribe } from "../api/graphql-socket.ts";
import { dataOf } from "../api/world.ts";
import { fillBuckets, makeTwoTenants } from "../data-model/world.ts";
import { eventually } from "../harness/index.ts";
import { definitionsOf, filled, type Recipe, recipesOf } from "./admin-api-recipes.ts";

const page = readFileSync(projectPath("docs/admin-api.md"), "utf8");
const recipes = recipesOf(page);
const definitions = definitionsOf(page);

const database = await createApiDatabase();
const { sql } = database;
const { mine } = await makeTwoTenants(database);
await givePasswords(database);
await createAdministrator(
  sql,
  { tenant: "operators", username: "administrator", email: "admin@example.org" },
  password,
);
const api = await serveApi(database);
const tenantAdmin = await api.signIn("tenant_admin@mine.example");
const left = [await whoLeft("one"), await whoLeft("two")];
await sql`
  update rate_limiter.alert_notifications
  set status = 'dead', attempts = 1, last_error = 'no route'
`;
await sql`select graphile_worker.add_job('verify_ledger', max_attempts => 1)`;
await sql`update graphile_worker._private_jobs set attempts = 1, last_error = 'no such thing'`;

const hoursFromNow = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();

/** What earlier answers gave a party, by the names of their fields; of several the latest. */
type Given = Map<string, unknown>;
const given: Readonly<Record<"operator" | "tenant", Given>> = {
  operator: new Map(),
  tenant: new Map(),
};

const latest = (field: string) => (from: Given) => from.get(field);

/** What each `…` stands for. */
const values: Readonly<Record<string, (from: Given) => unknown>> = {
  password: () => password,
  since: () => hoursFromNow(-10),
  from: () => hoursFromNow(1),
  to: () => hoursFromNow(2),
  until: () => hoursFromNow(10),
  app: latest("appId"),
  appId: () => mine.appId,
  cluster: (from) => from.get("clusterId") ?? mine.clusterId,
  clusterId: () => mine.clusterId,
  target: () => mine.clusterId,
  tenant: latest("tenantId"),
  by: () => left.shift(),
  mapping: latest("mappingId"),
  user: latest("userId"),
  invitation: latest("invitationId"),
  account: latest("userId"),
  token: latest("tokenId"),
  key: latest("apiKeyId"),
  operation: latest("operationId"),
  suspension: latest("suspensionId"),
  version: latest("version"),
  jobs: latest("jobId"),
  quota: latest("configId"),
  first: latest("versionId"),
  second: latest("lastVersionId"),
  borrowing: latest("borrowingId"),
  alert: latest("historyId"),
  notification: latest("notificationId"),
};

/** What has to have happened before a recipe has anything to show. */
const before: Readonly<Record<string, () => Promise<unknown>>> = {
  tryQuota: traffic,
  topConsumers: () => sql`select rate_limiter_private.refresh_daily_quota_usage()`,
};

const some = expect.any(String);
const channels = [
  { channel: "LOG", target: null },
  { channel: "WEBHOOK", target: "hooks.example.org" },
];

/** What answers have besides what each has: no error, and something of all that was asked for. */
const answers: Readonly<Record<string, object>> = {
  viewer: { viewerPermissions: expect.arrayContaining(["quota:update"]) },
  unmapGroup: { unmapGroup: { isEnded: true } },
  revokeInvitation: { revokeInvitation: { revokedAt: some } },
  revokeServiceToken: { revokeServiceToken: { revokedAt: some } },
  adoptGrants: { adoptGrants: { serviceTokens: 1 } },
  revokeGrants: { revokeGrants: { serviceTokens: 1 } },
  whyThrottled: {
    whyThrottled: [
      { bucketType: "IOPS_L2", verdict: "ENOUGH" },
      { bucketType: "BANDWIDTH_L2", verdict: "ENOUGH" },
    ],
  },
  setReservation: { setReservation: { reservation: { reservedIops: "1000" } } },
  moveApplication: { moveApplication: { endedReservation: { reservedIops: "1000" } } },
  liftSuspension: { liftSuspension: { suspension: { liftedAt: some } } },
  setSetting: { setSetting: { setting: { value: "600" } } },
  retryJobs: { retryJobs: { retried: 1 } },
  tryQuota: { tryQuota: { operations: "5", throttledOperations: "0" } },
  repayBorrowing: { repayBorrowing: { borrowing: { repaidAt: some } } },
  createAlertConfig: { createAlertConfig: { alertConfig: { destinations: channels } } },
  acknowledgeAlert: { acknowledgeAlert: { alert: { status: "ACKNOWLEDGED" } } },
  replayNotification: { replayNotification: { notification: { status: "PENDING" } } },
  searchAudit: {
    searchAudit: { totalCount: 1, nodes: [{ newValues: { metadata: { team: "media" } } }] },
  },
};

test("each command of the page is a recipe, and each of its placeholders has a value", () => {
  const commands = page.match(/^(?:ask|once|try|curl) /gm);
  expect(recipes).toHaveLength(commands?.length ?? 0);
  expect(recipes.map(({ name }) => name)).toEqual(expect.arrayContaining(Object.keys(answers)));
});

test.each(recipes)("$name", async (recipe) => {
  const answer = await run(recipe);
  if (recipe.query === undefined) {
    expect(answer.trim().split("\n").length).toBeGreaterThan(recipe.name.endsWith("csv") ? 1 : 0);
    return;
  }
  const { data, errors, extensions } = JSON.parse(answer);
  expect(errors).toBeUndefined();
  expect(emptyParts(data)).toEqual([]);
  // What is revoked is the token that was issued, and not the first that is listed.
  if (recipe.name !== "serviceTokens") remember(data, givenTo(recipe));
  expect(data).toMatchObject(answers[recipe.name] ?? {});
  if (recipe.shell.startsWith("try")) {
    expect(extensions).toMatchObject({ isDryRun: true, changes: [{ action: "UPDATE" }] });
  }
});

test("what was tried has changed nothing, and a change under a key was made once", async () => {
  const [row] = await sql`
    select a.is_active as "isActive", (
      select count(*)::integer
      from rate_limiter_audit.audit_logs as l
      where l.app_id = a.app_id and l.action = 'adjust'
    ) as adjustments
    from rate_limiter.applications as a
    where a.name = 'thumbnails'
  `;
  expect(row).toEqual({ isActive: true, adjustments: 1 });
});

test("each task of the page's table has a recipe", () => {
  const start = page.indexOf("| to do this");
  const [, , ...rows] = page.slice(start, page.indexOf("\n\n", start)).split("\n");
  const isShown = (field: string) =>
    recipes.some(({ query }) => query?.split(/\W+/).includes(field));
  const without = rows.filter(
    (row) => ![...row.matchAll(/`([a-z]\w+)\b/g)].some(([, field = ""]) => isShown(field)),
  );
  expect(rows.length).toBeGreaterThan(20);
  expect(without).toEqual([]);
});

test("each subscription of the page tells something", async () => {
  const subscriptions = [...page.matchAll(/^subscription .*$/gm)].map(([query]) => query);
  expect(subscriptions).toHaveLength(4);
  for (const query of subscriptions) {
    const asked = query.replaceAll("…", mine.appId);
    const events = await subscribe(api.url, asked, {}, adminToken());
    const first = events.next();
    if (query.includes("alertChanged")) await alertUntil(first);
    expect(emptyParts((await first).data)).toEqual([]);
    events.close();
  }
});

const adminToken = () => given.operator.get("accessToken") as string;

/** A subscription hears of what is told after it listens, which it does not say itself. */
async function alertUntil(told: Promise<unknown>): Promise<void> {
  let isTold = false;
  void told.then(() => {
    isTold = true;
  });
  await eventually(async () => {
    await sql`
      insert into rate_limiter.alert_history (alert_id, app_id, actual_value, threshold_value)
      values (${mine.alertId}, ${mine.appId}, 11, 10)
    `;
    expect(isTold).toBe(true);
  });
}

function givenTo({ name, isOfOperator }: Recipe): Given {
  return given[isOfOperator || name === "login" ? "operator" : "tenant"];
}

async function run(recipe: Recipe): Promise<string> {
  await before[recipe.name]?.();
  const from = givenTo(recipe);
  const command = filled(recipe.shell, (name) => standsFor(name, from));
  const token = recipe.isOfOperator ? adminToken() : tenantAdmin.accessToken;
  const { stdout } = await promisify(execFile)("bash", ["-euc", `${definitions}\n${command}`], {
    env: { PATH: process.env.PATH, API: api.url.replace(/\/$/, ""), TOKEN: `${token}` },
  });
  return stdout;
}

function standsFor(name: string, from: Given): unknown {
  const value = values[name]?.(from);
  if (value === undefined) throw new Error(`nothing is given for ${name}`);
  return value;
}

/** Which fields at the top, and lists of rows, have nothing. */
function emptyParts(data: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(data).flatMap(([name, value]) => {
    const rows = (value as { nodes?: unknown } | null)?.nodes ?? value;
    return rows === null || (Array.isArray(rows) && rows.length === 0) ? [name] : [];
  });
}

/** Of a list the first row is what the next recipes are about. */
function remember(value: unknown, to: Given): void {
  if (value === null || typeof value !== "object") return;
  if (Array.isArray(value)) {
    to.set("lastVersionId", value.at(-1)?.versionId);
    remember(value[0], to);
    return;
  }
  for (const [name, inner] of Object.entries(value)) {
    if (typeof inner !== "object") to.set(name, inner);
    remember(inner, to);
  }
}

/** The id of an administrator of the tenant who gave a program a token, and has left. */
async function whoLeft(name: string): Promise<string> {
  const email = `${name}@mine.example`;
  const [user] = await sql`
    with made as (
      insert into rate_limiter.users (tenant_id, username, email)
      values (${mine.tenantId}, ${name}, ${email})
      returning user_id
    )
    insert into rate_limiter.user_roles (user_id, role_id)
    select m.user_id, r.role_id
    from made as m
    join rate_limiter.roles as r on r.name = 'tenant_admin'
    returning user_id
  `;
  const id = user?.user_id;
  await sql`
    insert into rate_limiter_private.user_secrets (user_id, password_hash)
    select ${id}, s.password_hash
    from rate_limiter_private.user_secrets as s
    where s.user_id = ${mine.users.auditor}
  `;
  const leaver = await api.signIn(email);
  const { createServiceAccount } = await dataOf(
    leaver.ask(`mutation {
      createServiceAccount(input: { name: "of ${name}", roles: ["app_viewer"] }) {
        serviceAccount { userId }
      }
    }`),
  );
  await dataOf(
    leaver.ask(
      `mutation ($input: IssueServiceTokenInput!) { issueServiceToken(input: $input) { tokenId } }`,
      {
        input: {
          ...{ userId: createServiceAccount.serviceAccount.userId, name: "CI" },
          expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
        },
      },
    ),
  );
  await dataOf(
    tenantAdmin.ask(
      `mutation ($user: UUID!) {
        updateUser(input: { userId: $user, patch: { isActive: false } }) { user { userId } }
      }`,
      { user: id },
    ),
  );
  return id;
}

async function traffic() {
  const appId = given.tenant.get("appId") as string;
  await fillBuckets(sql, appId);
  for (let call = 0; call < 5; call++) {
    await database.as("rate_limiter_app")`
      select rate_limiter.consume(${appId}, 'read_small', 0, null)
    `;
  }
}
