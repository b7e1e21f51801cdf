import { beforeEach, describe, expect, test } from "vitest";
import type { Client } from "../api.ts";
import { dataOf, refusalOf, serveTwoTenants } from "../world.ts";

const { database, as, mine } = await serveTwoTenants();
const { sql } = database;
const { users } = mine;
const outlasts = "QS403 role would outlast yours";
const holdsLonger = "QS403 user holds more than you may give";

const assign = `mutation ($user: UUID!, $role: String!, $until: Datetime) {
  assignRole(input: { userId: $user, role: $role, expiresAt: $until }) {
    userRole { expiresAt }
  }
}`;
const end = new Date(Date.now() + 3_600_000);
const before = new Date(end.getTime() - 60_000).toISOString();
const after = new Date(end.getTime() + 60_000).toISOString();

const setExpiry = (role: string, until: string | null) => sql`
  update rate_limiter.user_roles as ur set expires_at = ${until}
  from rate_limiter.roles as r
  where r.role_id = ur.role_id and r.name = ${role} and ur.user_id = ${users[role as "auditor"]}
`;

async function makeUser(client: Client, username: string): Promise<string> {
  const { createUser } = await dataOf(
    client.ask(
      `mutation ($user: CreateUserInput!) { createUser(input: $user) { user { userId } } }`,
      { user: { tenantId: mine.tenantId, username, email: `${username}@mine.example` } },
    ),
  );
  return createUser.user.userId;
}

beforeEach(async () => {
  await setExpiry("tenant_admin", end.toISOString());
  await setExpiry("system_admin", null);
});

describe("an administrator for a time", () => {
  test("gives no role for longer, to others or to itself", async () => {
    const attempts = [users.tenant_admin, users.auditor].flatMap((user) =>
      ["tenant_admin", "app_viewer"].flatMap((role) =>
        [null, after].map((until) => ({ user, role, until })),
      ),
    );
    for (const attempt of attempts) {
      const refusal = attempt.user === users.auditor ? holdsLonger : outlasts;
      expect(await refusalOf(as.tenant_admin.ask(assign, attempt))).toBe(refusal);
    }
  });

  test("gives a role for as long to a user made meanwhile, who gives it no longer", async () => {
    const user = await makeUser(as.tenant_admin, "meanwhile");
    const role = "tenant_admin";
    expect(await refusalOf(as.tenant_admin.ask(assign, { user, role, until: null }))).toBe(
      outlasts,
    );
    await dataOf(as.tenant_admin.ask(assign, { user, role, until: before }));
    const [row] = await sql`
      select expires_at <= ${end.toISOString()} as within from rate_limiter.user_roles
      where user_id = ${user}
    `;
    expect(row).toEqual({ within: true });
  });

  test("takes over no account that lasts longer: no password, no address, no second factor", async () => {
    const reset = `mutation ($user: UUID!) {
      resetPassword(input: { userId: $user, newPassword: "tangled orchid ferry 77" }) {
        changed
      }
    }`;
    const rename = `mutation ($user: UUID!) {
      updateUser(input: { userId: $user, patch: { email: "thief@mine.example" } }) {
        user { email }
      }
    }`;
    const user = users.auditor;
    expect(await refusalOf(as.tenant_admin.ask(reset, { user }))).toBe(holdsLonger);
    expect((await dataOf(as.tenant_admin.ask(rename, { user }))).updateUser.user).toBeNull();
  });
});

describe("a system administrator for a time", () => {
  test("gives itself and others no longer, and no role new permissions", async () => {
    await setExpiry("system_admin", end.toISOString());
    const refused = { [users.system_admin]: outlasts, [users.auditor]: holdsLonger };
    for (const [user, refusal] of Object.entries(refused)) {
      for (const until of [null, after]) {
        expect(
          await refusalOf(as.system_admin.ask(assign, { user, role: "system_admin", until })),
        ).toBe(refusal);
      }
    }
    const [row] = await sql`
      select r.role_id as role, p.permission_id as permission
      from rate_limiter.roles as r cross join rate_limiter.permissions as p
      where r.name = 'auditor' and p.resource = 'tenant' and p.action = 'update'
    `;
    expect(
      await refusalOf(
        as.system_admin.ask(
          `mutation ($role: UUID!, $permission: UUID!) {
            createRolePermission(input: {
              roleId: $role, permissionId: $permission
            }) { clientMutationId }
          }`,
          { role: row?.role, permission: row?.permission },
        ),
      ),
    ).toBe("QS403 permission denied");
  });
});
