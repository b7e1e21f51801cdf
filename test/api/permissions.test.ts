import { describe, expect, test } from "vitest";
import { password } from "./api.ts";
import { dataOf, type RoleName, roleNames, serveTwoTenants } from "./world.ts";

const { database, as, mine } = await serveTwoTenants();

const span = 'since: "2026-01-01T00:00:00Z", until: "2026-01-02T00:00:00Z"';
const app = `appId: "${mine.appId}"`;
const never = crypto.randomUUID();

/**
 * What each permission opens. Where an action gets past the check of permissions it meets an id
 * that never was, or does no harm: that it does more is tested where the action is.
 */
const opened: Readonly<Record<string, readonly string[]>> = {
  "application:create": [`mutation { createApplication(input: { name: " " }) { appId } }`],
  "application:update": [
    `mutation { createApiKey(input: { appId: "${never}" }) { apiKeyId } }`,
    `mutation { rotateApiKey(input: { apiKeyId: "${never}" }) { apiKey } }`,
    `mutation { revokeApiKey(input: { apiKeyId: "${never}" }) { revokedAt } }`,
  ],
  "quota:create": [
    `mutation { publishQuota(input: { reason: " ", ${app}, iops: { iopsLimit: 1 } }) {
      quota { configId } } }`,
    `mutation { scheduleQuota(input: { reason: " ", ${app}, iops: { iopsLimit: 1 },
      validFrom: "2100-01-01T00:00:00Z" }) { quota { configId } } }`,
  ],
  "quota:update": [
    `mutation { rollbackQuota(input: { versionId: "${never}", reason: "r" }) { configId } }`,
  ],
  "quota:delete": [
    `mutation { cancelQuota(input: { configId: "${never}", reason: "r" }) { quota { mode } } }`,
  ],
  "quota:read": [
    `{ whyThrottled(${app}, operation: "list") { verdict } }`,
    `{ shadowReport(${span}) { appId } }`,
    `{ tryQuota(configId: "${never}", ${span}) { operations } }`,
    `{ previewQuota(${app}, iops: { iopsLimit: 1 }, ${span}) { operations } }`,
  ],
  "metrics:read": [
    `{ usageOverTime(${app}, ${span}) { startsAt } }`,
    `{ topConsumers(${span}) { appId } }`,
  ],
  "audit:read": [`{ searchAudit(${span}, first: 1) { nodes { action } } }`],
  "token:borrow": [
    `mutation { borrowTokens(input: { ownerId: "${never}", bucketType: IOPS_L2, tokens: "1",
      duration: "PT1M" }) { borrowing { status } } }`,
  ],
  "token:adjust": [
    `mutation { adjustTokens(input: { ownerId: "${mine.appId}", bucketType: IOPS_L2,
      tokensChange: "0", reason: " " }) { tokens } }`,
    `mutation { writeOffBorrowing(input: { ownerId: "${never}", borrowingId: "${never}",
      reason: "r" }) { borrowing { status } } }`,
  ],
  "tenant:update": [
    `mutation { resetPassword(input: { userId: "${never}", newPassword: "long enough, surely" }) {
      changed } }`,
    `mutation { resetSecondFactor(input: { userId: "${never}" }) { isReset } }`,
    `mutation { changeEmail(input: { currentPassword: "${password}", newEmail: "no address" }) {
      changed } }`,
    `mutation { assignRole(input: { userId: "${never}", role: "auditor" }) {
      userRole { userRoleId } } }`,
    `mutation { expireRole(input: { userId: "${never}", role: "auditor" }) {
      userRole { userRoleId } } }`,
  ],
  "system:configure": [
    `mutation { setSetting(input: { key: "none", value: "1" }) { setting { key } } }`,
    "mutation { retryJobs(input: {}) { clientMutationId } }",
    "{ failedJobs(first: 1) { nodes { __typename } } }",
  ],
};

const held = Object.fromEntries(
  await Promise.all(
    roleNames.map(async (role) => {
      const { viewerPermissions } = await dataOf(as[role].ask("{ viewerPermissions }"));
      return [role, viewerPermissions] as const;
    }),
  ),
) as Readonly<Record<RoleName, readonly string[]>>;

async function isRefused(role: RoleName, action: string): Promise<boolean> {
  const { errors = [] } = await as[role].ask(action);
  return errors.some(({ extensions }) => extensions.code === "QS403");
}

describe.each(Object.entries(opened))("%s opens", (permission, actions) => {
  test.each(actions)("action %#", async (action) => {
    const refused = [];
    for (const role of roleNames) {
      if (await isRefused(role, action)) refused.push(role);
    }
    expect(refused).toEqual(roleNames.filter((role) => !held[role].includes(permission)));
    // One of them may, or the check would prove nothing.
    expect(refused.length).toBeLessThan(roleNames.length);
  });
});

test("a role that was made by hand opens what it was given, and no more", async () => {
  const { data } = await as.system_admin.ask(
    'mutation { createRole(input: { name: "night watch" }) { role { roleId } } }',
  );
  const { roleId } = data.createRole.role;
  const [permission] = await database.sql`
    select permission_id as id from rate_limiter.permissions
    where resource = 'audit' and action = 'read'
  `;
  await dataOf(
    as.system_admin.ask(
      `mutation ($role: UUID!, $permission: UUID!) {
        createRolePermission(input: {
          roleId: $role, permissionId: $permission
        }) { clientMutationId }
      }`,
      { role: roleId, permission: permission?.id },
    ),
  );
  const search = opened["audit:read"]?.[0] ?? "";
  expect(await isRefused("ops_admin", search)).toBe(true);
  await dataOf(
    as.tenant_admin.ask(
      `mutation ($user: UUID!) {
        assignRole(input: { userId: $user, role: "night watch" }) { userRole { userRoleId } }
      }`,
      { user: mine.users.ops_admin },
    ),
  );
  expect(await isRefused("ops_admin", search)).toBe(false);
  expect(await isRefused("ops_admin", opened["token:borrow"]?.[0] ?? "")).toBe(true);
});
