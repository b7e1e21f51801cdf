import { readFileSync } from "node:fs";
import {
  buildSchema,
  type GraphQLEnumType,
  type GraphQLField,
  type GraphQLObjectType,
  getNamedType,
  isEnumType,
  isLeafType,
  isRequiredArgument,
} from "postgraphile/graphql";
import { describe, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { makeTenant } from "../data-model/world.ts";
import type { Client } from "./api.ts";
import { dataOf, type RoleName, serveTwoTenants } from "./world.ts";

type Row = Readonly<Record<string, unknown>>;
type Field = GraphQLField<unknown, unknown>;

const { database, api, as, mine, theirs } = await serveTwoTenants({ API_MAX_COST: "1000000" });
const schema = buildSchema(readFileSync(projectPath("schema.graphql"), "utf8"));
const queries = Object.values(schema.getQueryType()?.getFields() ?? {});
/** Between them they see and do all that a role of one tenant may. */
const ofOneTenant: readonly RoleName[] = ["tenant_admin", "auditor"];
// A session and an API key of theirs too.
await api.signIn("app_viewer@theirs.example");

const fieldsOf = (type: unknown) => Object.values((type as GraphQLObjectType).getFields());
/** Pages of rows that no argument has to be given for. */
const pages = queries.filter(
  ({ type, args }) => /Connection$/.test(`${type}`) && !args.some(isRequiredArgument),
);

/** What a bucket holds changes with the clock, in whatever order it is asked. */
const moving = /^(currentTokens|currentTokensNow|fillPercent|utilizationPercent|lastRefillAt)$/;

function scalarsOf(page: Field): string[] {
  const [nodes] = fieldsOf(getNamedType(page.type)).filter(({ name }) => name === "nodes");
  return fieldsOf(getNamedType((nodes as Field).type))
    .filter(({ type, args }) => isLeafType(getNamedType(type)) && args.length === 0)
    .map(({ name }) => name);
}

/** Every order of each page would be a thousand statements: these have most to tell. */
const ordered = /^(applications|tenants|users|buckets|ledgerEntries|quotas|auditLogs|metrics)$/;

function orderings({ name: page, args }: Field): string[] {
  if (!ordered.test(page)) return [];
  const orderBy = args.find(({ name }) => name === "orderBy");
  const type = orderBy && getNamedType(orderBy.type);
  return isEnumType(type) ? (type as GraphQLEnumType).getValues().map(({ name }) => name) : [];
}

async function rowsOf(client: Client, page: Field, fields = scalarsOf(page)): Promise<Row[]> {
  const query = `{ ${page.name}(first: 500) { nodes { ${fields.join(" ")} } } }`;
  return (await dataOf(client.ask(query)))[page.name].nodes;
}

interface Read {
  readonly reader: Field;
  readonly variables: Row;
}

/** Every way to read by its key a row that system administrators see and the tenant does not. */
async function readsOfOthers(page: Field): Promise<Read[]> {
  const type = /^(.*)Connection/.exec(`${page.type}`)?.[1];
  const readers = queries.filter((field) => `${field.type}` === type && field.args.length > 0);
  if (readers.length === 0) return [];
  const everyones = await rowsOf(as.system_admin, page);
  const own = await rowsOf(as.tenant_admin, page);
  return readers.flatMap((reader) =>
    everyones
      .map((row) => keyOf(reader, row))
      .filter((key) => !own.some((row) => isRowOf(key, row)))
      .slice(0, 20)
      .map((variables) => ({ reader, variables })),
  );
}

function keyOf({ args }: Field, row: Row): Row {
  return Object.fromEntries(args.map(({ name }) => [name, row[name]]));
}

function isRowOf(key: Row, row: Row): boolean {
  return Object.entries(key).every(([name, value]) => row[name] === value);
}

function readBy({ name, args }: Field): string {
  const declared = args.map((argument) => `$${argument.name}: ${argument.type}`).join(", ");
  const given = args.map((argument) => `${argument.name}: $${argument.name}`).join(", ");
  return `query (${declared}) { ${name}(${given}) { __typename } }`;
}

/** A page as a role sees it: every field that stands still, the count, and the first by each order. */
async function view(client: Client, page: Field): Promise<string> {
  const fields = scalarsOf(page).filter((name) => !moving.test(name));
  const firsts = orderings(page)
    .filter((order) => /(?<!^PRIMARY_KEY)_ASC$/.test(order) && !moving.test(camelCase(order)))
    .map((order) => `${order}: ${page.name}(first: 1, orderBy: ${order}) { nodes { __typename } }`);
  const { data, errors } = await client.ask(`{
    all: ${page.name}(first: 500) { totalCount nodes { ${fields.join(" ")} } }
    ${firsts.join("\n")}
  }`);
  return JSON.stringify({ data, errors });
}

function camelCase(order: string): string {
  const words = order.replace(/_ASC$/, "").toLowerCase();
  return words.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** One after the other: of one user two run at once, and the others would wait for their turn. */
async function everythingSeen(role: RoleName): Promise<Record<string, string>> {
  const seen: Record<string, string> = {};
  for (const page of pages) seen[page.name] = await view(as[role], page);
  return seen;
}

describe("what other tenants have and do", () => {
  test("changes nothing in any page, count or order that a role sees", async () => {
    expect(pages.length).toBeGreaterThan(30);
    const before = new Map<RoleName, Record<string, string>>();
    for (const role of ofOneTenant) before.set(role, await everythingSeen(role));
    const answered = Object.values(before.get("tenant_admin") ?? {}).filter(
      (text) => !text.includes('"errors"'),
    );
    // Jobs are the one page that is not for tenants.
    expect(answered).toHaveLength(pages.length - 1);
    const newcomer = await makeTenant(database, "newcomer");
    await database.sql`delete from rate_limiter.metrics where app_id = ${theirs.appId}`;
    await database.sql`
      update rate_limiter.applications set name = 'another' where app_id = ${theirs.appId}
    `;
    for (const role of ofOneTenant) {
      expect.soft(await everythingSeen(role), role).toEqual(before.get(role));
    }
    // The change was to be seen by the roles that may see it.
    const { application } = await dataOf(
      as.system_admin.ask("query ($id: UUID!) { application(appId: $id) { name } }", {
        id: newcomer.appId,
      }),
    );
    expect(application.name).toBe("application of newcomer");
  });

  test("cannot be read by id: none of the rows that only system administrators see", async () => {
    const reads: Read[] = [];
    for (const page of pages) reads.push(...(await readsOfOthers(page)));
    expect(reads.length).toBeGreaterThan(30);
    for (const { reader, variables } of reads) {
      const query = readBy(reader);
      const answer = await as.tenant_admin.ask(query, variables);
      expect.soft(answer.data, JSON.stringify(variables)).toEqual({ [reader.name]: null });
    }
    const { reader, variables } = reads[0] as Read;
    expect((await as.system_admin.ask(readBy(reader), variables)).data[reader.name]).not.toBeNull();
  });

  const filters = {
    "applications by id": `applications(first: 9, filter: { appId: { equalTo: "${theirs.appId}" } })`,
    "applications by tenant": `applications(first: 9, filter: {
      tenantId: { equalTo: "${theirs.tenantId}" } })`,
    "all but one's own": `applications(first: 9, filter: {
      not: { tenantId: { equalTo: "${mine.tenantId}" } } })`,
    "users by tenant": `users(first: 9, filter: { tenantId: { equalTo: "${theirs.tenantId}" } })`,
    "ledger by owner": `ledgerEntries(first: 9, filter: { ownerId: { in: ["${theirs.appId}", "${mine.clusterId}"] } })`,
    "buckets by owner": `buckets(first: 9, filter: { ownerId: { in: ["${theirs.appId}", "${theirs.clusterId}"] } })`,
  };
  test.each(Object.entries(filters))("%s: a filter finds nothing of theirs", async (_, field) => {
    const query = `{ it: ${field} { totalCount nodes { __typename } } }`;
    expect(await dataOf(as.tenant_admin.ask(query))).toEqual({ it: { totalCount: 0, nodes: [] } });
    const { it } = await dataOf(as.system_admin.ask(query));
    expect(it.totalCount).toBeGreaterThan(0);
  });
});

/** Ids of theirs by the kind of thing, for actions to name. */
async function idsOfTheirs(): Promise<Record<string, string>> {
  const [row] = await database.sql`
    select
      (select k.api_key_id from rate_limiter_private.api_keys as k
       where k.app_id = ${theirs.appId}) as key,
      (select v.version_id from rate_limiter_audit.quota_version_history as v
       where v.app_id = ${theirs.appId} limit 1) as version,
      (select r.rule_id from rate_limiter.cost_rules as r where r.app_id = ${theirs.appId}) as rule,
      (select h.history_id from rate_limiter.alert_history as h
       where h.app_id = ${theirs.appId} limit 1) as history,
      (select n.notification_id from rate_limiter.alert_notifications as n
       where n.app_id = ${theirs.appId} limit 1) as notification,
      (select b.borrowing_id from rate_limiter.token_borrowing as b
       where b.owner_id = ${theirs.appId}) as borrowing,
      (select s.session_id from rate_limiter_private.user_sessions as s
       where s.user_id = ${theirs.users.app_viewer} limit 1) as session,
      (select s.suspension_id from rate_limiter.suspensions as s
       where s.app_id = ${theirs.appId}) as suspension,
      (select t.token_id from rate_limiter_private.service_tokens as t
       where t.user_id = ${theirs.users.auditor}) as token,
      (select i.invitation_id from rate_limiter_private.invitations as i
       where i.user_id = ${theirs.users.auditor}) as invitation,
      (select m.mapping_id from rate_limiter.role_mappings as m
       where m.tenant_id = ${theirs.tenantId}) as mapping
  `;
  return {
    ...{ app: theirs.appId, tenant: theirs.tenantId, cluster: theirs.clusterId },
    ...{ quota: theirs.configId, alert: theirs.alertId, user: theirs.users.app_viewer },
    ...(row as unknown as Record<string, string>),
  };
}

const span = 'since: "2026-01-01T00:00:00Z", until: "2026-01-02T00:00:00Z"';
const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
const actions = [
  'mutation { publishQuota(input: { reason: "r", appId: "<app>", iops: { iopsLimit: 1 } }) { quota { configId } } }',
  'mutation { cancelQuota(input: { configId: "<quota>", reason: "r" }) { quota { configId } } }',
  'mutation { rollbackQuota(input: { versionId: "<version>", reason: "r" }) { configId } }',
  'mutation { createApplication(input: { name: "n", clusterId: "<cluster>" }) { appId } }',
  'mutation { createApplication(input: { name: "n", tenantId: "<tenant>" }) { appId } }',
  'mutation { createApplications(input: { applications: [{ name: "n", clusterId: "<cluster>" }] }) { results { appId } } }',
  'mutation { createApplications(input: { applications: [{ name: "n", tenantId: "<tenant>" }] }) { results { appId } } }',
  'mutation { publishQuotas(input: { reason: "r", quotas: [{ appId: "<app>", iops: { iopsLimit: 1 } }] }) { results { configId } } }',
  'mutation { updateApplication(input: { appId: "<app>", patch: { name: "n" } }) { application { name } } }',
  'mutation { deleteApplication(input: { appId: "<app>" }) { application { name } } }',
  'mutation { moveApplication(input: { appId: "<app>" }) { clientMutationId } }',
  'mutation { setTenantCeiling(input: { tenantId: "<tenant>", reason: "r", iops: { maxLimit: "1" } }) { ceiling { ceilingId } } }',
  'mutation { setReservation(input: { appId: "<app>", reservedIops: "1", reason: "r" }) { unpaidOperations } }',
  'mutation { removeReservation(input: { appId: "<app>", reason: "r" }) { reservation { appId } } }',
  'mutation { suspendTenant(input: { tenantId: "<tenant>", reason: "r" }) { suspension { suspensionId } } }',
  'mutation { suspendApplication(input: { appId: "<app>", reason: "r" }) { suspension { suspensionId } } }',
  'mutation { suspendApiKey(input: { apiKeyId: "<key>", reason: "r" }) { suspension { suspensionId } } }',
  'mutation { liftSuspension(input: { suspensionId: "<suspension>", reason: "r" }) { suspension { suspensionId } } }',
  'mutation { createApiKey(input: { appId: "<app>" }) { apiKeyId } }',
  'mutation { rotateApiKey(input: { apiKeyId: "<key>" }) { newApiKeyId } }',
  'mutation { importAccessKeys(input: { entries: [{ appId: "<app>", accessKeyId: "AKIA1" }] }) { registered } }',
  'mutation { registerAccessKey(input: { appId: "<app>", accessKeyId: "AKIA1" }) { prefix } }',
  'mutation { revokeApiKey(input: { apiKeyId: "<key>" }) { revokedAt } }',
  'mutation { updateCostRule(input: { ruleId: "<rule>", patch: { isActive: false } }) { costRule { ruleId } } }',
  'mutation { deleteCostRule(input: { ruleId: "<rule>" }) { costRule { ruleId } } }',
  'mutation { borrowTokens(input: { ownerId: "<app>", bucketType: IOPS_L2, tokens: "1", duration: "PT1M" }) { borrowing { status } } }',
  'mutation { repayBorrowing(input: { ownerId: "<app>", borrowingId: "<borrowing>" }) { borrowing { status } } }',
  'mutation { writeOffBorrowing(input: { ownerId: "<app>", borrowingId: "<borrowing>", reason: "r" }) { borrowing { status } } }',
  'mutation { adjustTokens(input: { ownerId: "<app>", bucketType: IOPS_L2, tokensChange: "1", reason: "r" }) { tokens } }',
  'mutation { adjustTokens(input: { ownerId: "<cluster>", bucketType: IOPS_L1, tokensChange: "1", reason: "r" }) { tokens } }',
  'mutation { acknowledgeAlert(input: { historyId: "<history>" }) { alert { status } } }',
  'mutation { createAlertConfig(input: { appId: "<app>", metricName: "m", condition: GREATER_THAN, thresholdValue: 1, durationSeconds: 1, severity: INFO, channels: [] }) { alertConfig { alertId } } }',
  'mutation { updateAlertConfig(input: { alertId: "<alert>", patch: { isActive: false } }) { alertConfig { alertId } } }',
  'mutation { deleteAlertConfig(input: { alertId: "<alert>" }) { alertConfig { alertId } } }',
  'mutation { replayNotification(input: { notificationId: "<notification>" }) { clientMutationId } }',
  'mutation { createUser(input: { tenantId: "<tenant>", username: "u", email: "u@example.org" }) { user { userId } } }',
  'mutation { updateUser(input: { userId: "<user>", patch: { username: "u" } }) { user { userId } } }',
  'mutation { deleteUser(input: { userId: "<user>" }) { user { userId } } }',
  'mutation { resetSecondFactor(input: { userId: "<user>" }) { isReset } }',
  'mutation { resetPassword(input: { userId: "<user>", newPassword: "a password that is long enough" }) { changed } }',
  'mutation { assignRole(input: { userId: "<user>", role: "auditor" }) { userRole { userRoleId } } }',
  'mutation { expireRole(input: { userId: "<user>", role: "app_viewer" }) { userRole { userRoleId } } }',
  'mutation { revokeSession(input: { sessionId: "<session>" }) { isEnded } }',
  'mutation { createServiceAccount(input: { tenantId: "<tenant>", name: "n" }) { serviceAccount { userId } } }',
  `mutation { issueServiceToken(input: { userId: "<user>", expiresAt: "${inAnHour}" }) { token } }`,
  'mutation { revokeServiceToken(input: { tokenId: "<token>" }) { clientMutationId } }',
  'mutation { inviteUser(input: { tenantId: "<tenant>", email: "new@example.org" }) { token } }',
  'mutation { renewInvitation(input: { userId: "<user>" }) { token } }',
  'mutation { adoptGrants(input: { givenBy: "<user>" }) { roles } }',
  'mutation { revokeGrants(input: { givenBy: "<user>" }) { roles } }',
  'mutation { revokeInvitation(input: { invitationId: "<invitation>" }) { clientMutationId } }',
  'mutation { mapGroup(input: { tenantId: "<tenant>", groupName: "g", role: "app_viewer" }) { clientMutationId } }',
  'mutation { unmapGroup(input: { mappingId: "<mapping>" }) { clientMutationId } }',
  'mutation { updateTenant(input: { tenantId: "<tenant>", patch: { description: "d" } }) { tenant { name } } }',
  'mutation { deleteTenant(input: { tenantId: "<tenant>" }) { tenant { name } } }',
  '{ whyThrottled(appId: "<app>", operation: "list") { verdict } }',
  `{ usageOverTime(appId: "<app>", ${span}) { startsAt } }`,
  `{ tryQuota(configId: "<quota>", ${span}) { operations } }`,
  `{ tryQuota(appId: "<app>", iops: { iopsLimit: 1 }, ${span}) { operations } }`,
  `{ previewQuota(appId: "<app>", iops: { iopsLimit: 1 }, ${span}) { operations } }`,
  '{ ceilingUsage(tenantId: "<tenant>") { ceilingId } }',
  '{ compareQuotaVersions(versionId: "<version>", otherVersionId: "<version>") { field } }',
];

describe("an action on what is theirs", () => {
  test("is answered, word for word, like one on what never was, and changes nothing", async () => {
    const ids = await idsOfTheirs();
    expect(Object.values(ids).every((id) => /^[\da-f-]{36}$/.test(id))).toBe(true);
    const fill = (action: string, of: (kind: string) => string) =>
      action.replaceAll(/<(\w+)>/g, (_, kind) => of(kind));
    const plain = (answer: unknown) =>
      JSON.stringify(answer).replaceAll(/[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/g, "ID");
    for (const role of ofOneTenant) {
      for (const action of actions) {
        const real = await as[role].ask(fill(action, (kind) => ids[kind] ?? ""));
        const unreal = await as[role].ask(fill(action, () => crypto.randomUUID()));
        expect.soft(plain(real), `${role}: ${action}`).toBe(plain(unreal));
        const done = Object.values(real.data ?? {}).flatMap((value) => Object.values(value ?? {}));
        expect
          .soft(
            done.filter((value) => value !== null && value !== false),
            action,
          )
          .toEqual([]);
      }
    }
  });

  test("every mutation that names a thing is among them", () => {
    const mutations = fieldsOf(schema.getMutationType()).map(({ name }) => name);
    const apart =
      /^(login|logout|refresh|(start|refresh|end)CookieSession|changePassword|changeEmail|(enrol|confirm|remove)SecondFactor|setSetting|retryJobs|logoutEverywhere|scheduleQuota|applyConfiguration|acceptInvitation)$|(Cluster|OperationType|Role|RolePermission|RetentionPolicy)$|^create(Tenant|CostRule)$/;
    const tried = actions.join(" ");
    expect(mutations.filter((name) => !apart.test(name) && !tried.includes(`${name}(`))).toEqual(
      [],
    );
  });
});
