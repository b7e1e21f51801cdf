import { describe, expect, test } from "vitest";
import { password } from "../api.ts";
import { dataOf, refusalOf, serveTwoTenants } from "../world.ts";

const { database, api, as, mine } = await serveTwoTenants();
const { sql } = database;
const whoAmI = "{ viewer { email } }";
const next = "tangled orchid ferry 77";
const reset = `mutation ($user: UUID!, $new: String!) {
  resetPassword(input: { userId: $user, newPassword: $new }) { changed }
}`;

describe("a token alone", () => {
  test.each(["system_admin", "tenant_admin"] as const)(
    "of a %s does not change its own password or address",
    async (role) => {
      const thief = await api.signIn(`${role}@mine.example`);
      const user = mine.users[role];
      expect(await refusalOf(thief.ask(reset, { user, new: next }))).toBe(
        "QS403 your own account asks for your password",
      );
      const rename = `mutation ($user: UUID!) {
        updateUser(input: { userId: $user, patch: { email: "thief@mine.example" } }) {
          user { email }
        }
      }`;
      expect(await refusalOf(thief.ask(rename, { user }))).toBe(
        "QS403 your own account asks for your password",
      );
    },
  );

  test("changes the address with the password, and other sessions end", async () => {
    const [here, there] = [
      await api.signIn("tenant_admin@theirs.example"),
      await api.signIn("tenant_admin@theirs.example"),
    ];
    const change = `mutation ($password: String!, $email: String!) {
      changeEmail(input: { currentPassword: $password, newEmail: $email }) { changed }
    }`;
    const email = "renamed@theirs.example";
    expect(await refusalOf(here.ask(change, { password: "wrong", email }))).toBe(
      "QS403 current password is wrong",
    );
    await dataOf(here.ask(change, { password, email }));
    expect((await there.ask(whoAmI)).status).toBe(401);
    expect((await dataOf(here.ask(whoAmI))).viewer.email).toBe(email);
  });
});

describe("an old token", () => {
  const lasting = [
    "user_deactivated",
    "tenant_deactivated",
    "role_lost",
    "role_expired",
    "password_reset",
    "address_changed",
  ] as const;
  const user = mine.users.app_viewer;
  const setActive = (isActive: boolean) =>
    dataOf(
      as.system_admin.ask(
        `mutation ($id: UUID!, $isActive: Boolean!) {
          updateUser(input: { userId: $id, patch: { isActive: $isActive } }) { user { userId } }
        }`,
        { id: user, isActive },
      ),
    );
  const acts: Record<(typeof lasting)[number], () => Promise<unknown>> = {
    async user_deactivated() {
      await setActive(false);
      await setActive(true);
    },
    async tenant_deactivated() {
      await sql`
        update rate_limiter.tenants set is_active = false where tenant_id = ${mine.tenantId}
      `;
      await sql`
        update rate_limiter.tenants set is_active = true where tenant_id = ${mine.tenantId}
      `;
    },
    async role_lost() {
      const rows = await sql`
        delete from rate_limiter.user_roles where user_id = ${user} returning role_id as "roleId"
      `;
      await sql`
        insert into rate_limiter.user_roles (user_id, role_id)
        values (${user}, ${rows[0]?.roleId})
      `;
    },
    async role_expired() {
      const variables = { user, role: "app_viewer" };
      await dataOf(
        as.system_admin.ask(
          `mutation ($user: UUID!, $role: String!) {
            expireRole(input: { userId: $user, role: $role }) { userRole { userRoleId } }
          }`,
          variables,
        ),
      );
      await dataOf(
        as.system_admin.ask(
          `mutation ($user: UUID!, $role: String!) {
            assignRole(input: { userId: $user, role: $role }) { userRole { userRoleId } }
          }`,
          variables,
        ),
      );
    },
    password_reset: () => dataOf(as.system_admin.ask(reset, { user, new: password })),
    async address_changed() {
      for (const address of ["other@mine.example", "app_viewer@mine.example"]) {
        await dataOf(
          as.system_admin.ask(
            `mutation ($user: UUID!, $email: String!) {
              updateUser(input: { userId: $user, patch: { email: $email } }) { user { userId } }
            }`,
            { user, email: address },
          ),
        );
      }
    },
  };

  test.each(lasting)("works never again after %s, whatever is given back", async (act) => {
    const admin = await api.signIn("system_admin@mine.example");
    as.system_admin.ask = admin.ask;
    const client = await api.signIn("app_viewer@mine.example");
    expect((await client.ask(whoAmI)).status).toBe(200);
    await acts[act]();
    expect((await client.ask(whoAmI)).status).toBe(401);
    expect((await api.signIn("app_viewer@mine.example")).accessToken).toMatch(/^ey/);
  });
});
