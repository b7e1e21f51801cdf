import { beforeEach, describe, expect, test } from "vitest";
import type { Client } from "../api.ts";
import { dataOf, refusalOf, serveTwoTenants } from "../world.ts";

const { database, api, as, mine } = await serveTwoTenants();
const { sql } = database;
const inADay = new Date(Date.now() + 86_400_000).toISOString();

let number = 0;
let giver: string;
let byGiver: Client;

/** A second administrator of the tenant, who gives things and loses the role. */
beforeEach(async () => {
  number += 1;
  const email = `giver${number}@mine.example`;
  [giver] = await makeUser(email);
  await sql`
    insert into rate_limiter_private.user_secrets (user_id, password_hash)
    select ${giver}, s.password_hash from rate_limiter_private.user_secrets as s
    where s.user_id = ${mine.users.auditor}
  `;
  await assign(as.system_admin, giver, "tenant_admin");
  byGiver = await api.signIn(email);
});

async function makeUser(email: string): Promise<[string]> {
  const [row] = await sql<{ id: string }[]>`
    insert into rate_limiter.users (tenant_id, username, email)
    values (${mine.tenantId}, ${email}, ${email}) returning user_id as id
  `;
  return [row?.id ?? ""];
}

const assign = (by: Client, user: string, role: string) =>
  dataOf(
    by.ask(
      `mutation ($user: UUID!, $role: String!) {
        assignRole(input: { userId: $user, role: $role }) { userRole { assignedBy } }
      }`,
      { user, role },
    ),
  );

async function issueToken(by: Client, user: string): Promise<string> {
  const { issueServiceToken } = await dataOf(
    by.ask(
      `mutation ($user: UUID!, $until: Datetime!) {
        issueServiceToken(input: { userId: $user, expiresAt: $until }) { token }
      }`,
      { user, until: inADay },
    ),
  );
  return issueServiceToken.token;
}

async function makeAccount(by: Client, role = "app_admin"): Promise<string> {
  const { createServiceAccount } = await dataOf(
    by.ask(
      `mutation ($name: String!, $roles: [String!]) {
        createServiceAccount(input: { name: $name, roles: $roles }) { serviceAccount { userId } }
      }`,
      { name: `robot of ${number} ${role}`, roles: [role] },
    ),
  );
  return createServiceAccount.serviceAccount.userId;
}

async function makeMapping(by: Client, groupName: string): Promise<void> {
  await dataOf(
    by.ask(
      `mutation ($group: String!) {
        mapGroup(input: { groupName: $group, role: "app_admin" }) { roleMapping { mappingId } }
      }`,
      { group: groupName },
    ),
  );
}

const works = async (token: string) =>
  (await api.bearing(token).ask("{ viewer { userId } }")).status === 200;

/** The roles that a user holds who comes with a token of these groups now. */
async function rolesOf(user: string, groups?: readonly string[]): Promise<readonly string[]> {
  if (groups !== undefined) {
    await sql`
      select rate_limiter_private.follow_groups(${user}, ${[...groups]}, ${inADay}::timestamptz)
    `;
  }
  const rows = await sql<{ name: string }[]>`
    select r.name from rate_limiter.user_roles as ur
    join rate_limiter.roles as r on r.role_id = ur.role_id
    where ur.user_id = ${user} and (ur.expires_at is null or ur.expires_at > now())
    order by r.name
  `;
  return rows.map(({ name }) => name);
}

const losses: Readonly<Record<string, () => Promise<unknown>>> = {
  "has lost the role": () =>
    dataOf(
      as.system_admin.ask(
        `mutation ($user: UUID!) {
          expireRole(input: { userId: $user, role: "tenant_admin" }) { userRole { expiresAt } }
        }`,
        { user: giver },
      ),
    ),
  "is deactivated": () =>
    dataOf(
      as.system_admin.ask(
        `mutation ($user: UUID!) {
          updateUser(input: { userId: $user, patch: { isActive: false } }) { user { userId } }
        }`,
        { user: giver },
      ),
    ),
  // Time passes: no trigger runs.
  "holds the role no longer": () => sql`
    update rate_limiter.user_roles set expires_at = now() where user_id = ${giver}
  `,
};

const grants = `query ($by: UUID!) {
  grants(first: 20, filter: { givenBy: { equalTo: $by }, isBacked: { equalTo: false } }) {
    nodes { kind groupName role { name } user { userId } lastsUntil }
  }
}`;
const revoke = `mutation ($by: UUID!) {
  revokeGrants(input: { givenBy: $by }) { roles groups serviceTokens }
}`;
const adopt = `mutation ($by: UUID!) {
  adoptGrants(input: { givenBy: $by }) { roles groups serviceTokens }
}`;

describe.each(Object.keys(losses))("what an administrator gave who %s", (loss) => {
  test("gives nothing as a token, and lasts as a person's role until it is reviewed", async () => {
    const token = await issueToken(byGiver, await makeAccount(byGiver));
    const [user] = await makeUser(`held${number}@mine.example`);
    await assign(byGiver, user, "app_viewer");
    expect(await works(token)).toBe(true);
    await losses[loss]?.();
    expect(await works(token)).toBe(false);
    const { grants: listed } = await dataOf(as.tenant_admin.ask(grants, { by: giver }));
    expect(listed.nodes).toHaveLength(3);
    expect(listed.nodes).toContainEqual(
      expect.objectContaining({
        kind: "ROLE",
        role: { name: "app_viewer" },
        user: { userId: user },
      }),
    );
    const { revokeGrants } = await dataOf(as.tenant_admin.ask(revoke, { by: giver }));
    expect(revokeGrants).toEqual({ roles: 2, groups: 0, serviceTokens: 1 });
    expect(await rolesOf(user)).toEqual([]);
    expect((await dataOf(as.tenant_admin.ask(grants, { by: giver }))).grants.nodes).toEqual([]);
  });

  test("gives no role by a group", async () => {
    const group = `group ${number}`;
    await makeMapping(byGiver, group);
    const [user] = await makeUser(`grouped${number}@mine.example`);
    expect(await rolesOf(user, [group])).toEqual(["app_admin"]);
    await losses[loss]?.();
    expect(await rolesOf(user, [group])).toEqual([]);
  });

  test("goes on where another administrator answers for it", async () => {
    const group = `adopted ${number}`;
    const token = await issueToken(byGiver, await makeAccount(byGiver));
    await makeMapping(byGiver, group);
    await losses[loss]?.();
    const { adoptGrants } = await dataOf(as.tenant_admin.ask(adopt, { by: giver }));
    expect(adoptGrants).toEqual({ roles: 1, groups: 1, serviceTokens: 1 });
    expect(await works(token)).toBe(true);
    const [user] = await makeUser(`adopted${number}@mine.example`);
    expect(await rolesOf(user, [group])).toEqual(["app_admin"]);
    expect((await dataOf(as.tenant_admin.ask(grants, { by: giver }))).grants.nodes).toEqual([]);
  });
});

describe("a giver", () => {
  test("who loses the role takes the roles of groups along at once", async () => {
    const group = `at once ${number}`;
    await makeMapping(byGiver, group);
    const [user] = await makeUser(`at.once${number}@mine.example`);
    expect(await rolesOf(user, [group])).toEqual(["app_admin"]);
    await losses["is deactivated"]?.();
    expect(await rolesOf(user)).toEqual([]);
  });

  test("does not last by a token that a service account makes for itself", async () => {
    const account = await makeAccount(byGiver, "tenant_admin");
    const first = await issueToken(byGiver, account);
    const second = await issueToken(api.bearing(first), account);
    expect(await works(second)).toBe(true);
    await losses["has lost the role"]?.();
    expect([await works(first), await works(second)]).toEqual([false, false]);
  });

  test("of a token gives nothing where its account grew beyond who made it", async () => {
    const account = await makeAccount(byGiver);
    const token = await issueToken(byGiver, account);
    await assign(as.system_admin, account, "system_admin");
    expect(await works(token)).toBe(false);
  });

  test("of a role is who gave it last", async () => {
    const [user] = await makeUser(`last${number}@mine.example`);
    await assign(byGiver, user, "app_viewer");
    const { assignRole } = await assign(as.tenant_admin, user, "app_viewer");
    expect(assignRole.userRole.assignedBy).toBe(mine.users.tenant_admin);
  });

  test("is not deleted while something lasts that it gave", async () => {
    const [user] = await makeUser(`kept${number}@mine.example`);
    await assign(byGiver, user, "app_viewer");
    const remove = () =>
      as.system_admin.ask(
        `mutation ($user: UUID!) { deleteUser(input: { userId: $user }) { clientMutationId } }`,
        { user: giver },
      );
    expect(await refusalOf(remove())).toBe("QS409 user has given what still lasts");
    await dataOf(as.system_admin.ask(revoke, { by: giver }));
    await dataOf(remove());
  });
});

describe("a review", () => {
  test("reaches no further than what the reviewer may give, nor the reviewer's own role", async () => {
    await assign(as.system_admin, giver, "system_admin");
    const high = await makeAccount(byGiver, "system_admin");
    const token = await issueToken(byGiver, high);
    await assign(byGiver, mine.users.tenant_admin, "tenant_admin");
    await sql`delete from rate_limiter.user_roles where user_id = ${giver}`;
    for (const what of [revoke, adopt]) {
      expect(await refusalOf(as.tenant_admin.ask(what, { by: giver }))).toBe(
        "QS404 no grants of this user",
      );
    }
    expect(await rolesOf(mine.users.tenant_admin)).toEqual(["tenant_admin"]);
    expect(await works(token)).toBe(false);
    expect(await refusalOf(as.app_admin.ask(revoke, { by: giver }))).toBe(
      "QS403 permission denied",
    );
  });

  test("shortens what the reviewer holds for less long", async () => {
    const token = await issueToken(byGiver, await makeAccount(byGiver));
    await losses["is deactivated"]?.();
    const end = new Date(Date.now() + 3_600_000).toISOString();
    await sql`
      update rate_limiter.user_roles as ur set expires_at = ${end}
      from rate_limiter.roles as r
      where r.role_id = ur.role_id and r.name = 'tenant_admin'
        and ur.user_id = ${mine.users.tenant_admin}
    `;
    await sql`
      update rate_limiter.user_roles set expires_at = ${end}
      where user_id in (
        select user_id from rate_limiter_private.service_tokens where created_by = ${giver}
      )
    `;
    await dataOf(as.tenant_admin.ask(adopt, { by: giver }));
    const [row] = await sql`
      select expires_at <= ${end}::timestamptz as within from rate_limiter_private.service_tokens
      where token_hash = sha256(convert_to(${token}, 'UTF8'))
    `;
    expect(row).toEqual({ within: true });
  });
});
