import { describe, expect, test } from "vitest";
import { dataOf, refusalOf, serveTwoTenants } from "../world.ts";

const { database, as, mine, theirs } = await serveTwoTenants();
const { sql } = database;

describe("the permissions of system administrators", () => {
  test("cannot be taken away, one by one or with their role", async () => {
    const { rolePermissions, roles } = await dataOf(
      as.system_admin.ask(`{
        rolePermissions(first: 200) { nodes { rolePermissionId role { name } } }
        roles(first: 20) { nodes { roleId name } }
      }`),
    );
    const held = rolePermissions.nodes.filter(
      (node: { role: { name: string } }) => node.role.name === "system_admin",
    );
    expect(held.length).toBeGreaterThan(10);
    for (const { rolePermissionId } of held) {
      expect(
        await refusalOf(
          as.system_admin.ask(
            `mutation ($id: UUID!) {
              deleteRolePermission(input: { rolePermissionId: $id }) { clientMutationId }
            }`,
            { id: rolePermissionId },
          ),
        ),
      ).toBe("QS409 role comes with the system");
    }
    const { roleId } = roles.nodes.find(({ name }: { name: string }) => name === "system_admin");
    expect(
      await refusalOf(
        as.system_admin.ask(
          "mutation ($id: UUID!) { deleteRole(input: { roleId: $id }) { clientMutationId } }",
          { id: roleId },
        ),
      ),
    ).toBe("QS409 role comes with the system");
  });

  test("stay with a statement of the owner of the database", async () => {
    await expect(
      sql`
        update rate_limiter.role_permissions as rp
        set role_id = (select r.role_id from rate_limiter.roles as r where r.name = 'auditor')
        from rate_limiter.roles as r
        where r.role_id = rp.role_id and r.name = 'system_admin'
      `,
    ).rejects.toMatchObject({ code: "QS409" });
  });
});

describe("the last administrator that can sign in", () => {
  const last = "QS409 last system administrator";
  const expire = `mutation ($id: UUID!) {
    expireRole(input: { userId: $id, role: "system_admin" }) { userRole { userRoleId } }
  }`;
  const deactivate = `mutation ($id: UUID!) {
    updateUser(input: { userId: $id, patch: { isActive: false } }) { user { isActive } }
  }`;
  const restore = (userId: string) => sql`
    insert into rate_limiter.user_roles (user_id, role_id)
    select ${userId}, r.role_id from rate_limiter.roles as r where r.name = 'system_admin'
    on conflict on constraint user_role_unique do update set expires_at = null
  `;

  test("stays while the other one has no password", async () => {
    await sql`
      delete from rate_limiter_private.user_secrets where user_id = ${theirs.users.system_admin}
    `;
    for (const query of [expire, deactivate]) {
      expect(await refusalOf(as.system_admin.ask(query, { id: mine.users.system_admin }))).toBe(
        last,
      );
    }
  });

  test("stays while the other one was seen through an identity provider long ago", async () => {
    await sql`
      insert into rate_limiter_private.provider_accounts (user_id, last_seen_at)
      values (${theirs.users.system_admin}, now() - interval '100 days')
    `;
    expect(await refusalOf(as.system_admin.ask(expire, { id: mine.users.system_admin }))).toBe(
      last,
    );
  });

  test("goes where the other one signs in through an identity provider", async () => {
    await sql`
      update rate_limiter_private.provider_accounts set last_seen_at = now() - interval '1 day'
      where user_id = ${theirs.users.system_admin}
    `;
    await dataOf(as.system_admin.ask(expire, { id: mine.users.system_admin }));
    await restore(mine.users.system_admin);
  });
});
