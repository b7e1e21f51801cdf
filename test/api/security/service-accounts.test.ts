import { beforeAll, describe, expect, test } from "vitest";
import type { Client } from "../api.ts";
import { dataOf, refusalOf, serveTwoTenants } from "../world.ts";

const { database, api, as, mine, theirs } = await serveTwoTenants();
const { sql } = database;
const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
const inADay = new Date(Date.now() + 86_400_000).toISOString();

const create = `mutation ($name: String!, $roles: [String!], $until: Datetime, $tenant: UUID) {
  createServiceAccount(
    input: { name: $name, roles: $roles, rolesExpireAt: $until, tenantId: $tenant }
  ) {
    serviceAccount { userId username email isServiceAccount }
  }
}`;
const issue = `mutation ($user: UUID!, $until: Datetime!, $permissions: [String!]) {
  issueServiceToken(
    input: { userId: $user, expiresAt: $until, name: "deploy", permissions: $permissions }
  ) { tokenId token prefix }
}`;
const viewer = "{ viewer { userId username } viewerPermissions }";
const rename = `mutation ($app: UUID!) {
  updateApplication(input: { appId: $app, patch: { metadata: {} } }) { application { appId } }
}`;

let number = 0;
async function makeAccount(
  by: Client = as.tenant_admin,
  roles: readonly string[] = ["app_admin"],
): Promise<string> {
  number += 1;
  const variables = { name: `robot ${number}`, roles, until: null };
  const { createServiceAccount } = await dataOf(by.ask(create, variables));
  return createServiceAccount.serviceAccount.userId;
}

interface Issued {
  readonly tokenId: string;
  readonly token: string;
  readonly prefix: string;
}

async function issueToken(
  user: string,
  permissions: readonly string[] | null = null,
  by: Client = as.tenant_admin,
): Promise<Issued & { readonly client: Client }> {
  const { issueServiceToken } = await dataOf(by.ask(issue, { user, until: inADay, permissions }));
  return { ...issueServiceToken, client: api.bearing(issueServiceToken.token) };
}

describe("a service account", () => {
  test("has neither address nor password, and can be given none", async () => {
    const user = await makeAccount();
    const [row] = await sql`
      select email, is_service_account from rate_limiter.users where user_id = ${user}
    `;
    expect(row).toEqual({ email: null, is_service_account: true });
    const reset = `mutation ($user: UUID!) {
      resetPassword(input: { userId: $user, newPassword: "tangled orchid ferry 77" }) { changed }
    }`;
    expect(await refusalOf(as.tenant_admin.ask(reset, { user }))).toBe(
      "QS422 service account has no password",
    );
    const address = `mutation ($user: UUID!) {
      updateUser(input: { userId: $user, patch: { email: "robot@mine.example" } }) {
        user { email }
      }
    }`;
    const { errors } = await as.system_admin.ask(address, { user });
    expect(errors?.[0]?.extensions).toMatchObject({
      code: "QS422",
      constraint: "user_email_is_of_people",
    });
    const { client } = await issueToken(user);
    const change = `mutation {
      changePassword(input: { currentPassword: "x", newPassword: "tangled orchid ferry 77" }) {
        changed
      }
    }`;
    expect(await refusalOf(client.ask(change))).toBe("QS422 service account has no password");
  });

  test("gets no role above its maker's, or that lasts longer, and no other tenant", async () => {
    const attempt = (by: Client, roles: string[], more = {}) =>
      refusalOf(by.ask(create, { name: "above", roles, ...more }));
    expect(await attempt(as.tenant_admin, ["system_admin"])).toBe(
      "QS403 role allows more than you may give",
    );
    expect(await attempt(as.app_admin, [])).toBe("QS403 permission denied");
    expect(await attempt(as.tenant_admin, [], { tenant: theirs.tenantId })).toBe(
      "QS404 unknown tenant",
    );
    await sql`
      update rate_limiter.user_roles as ur set expires_at = ${inAnHour}
      from rate_limiter.roles as r
      where r.role_id = ur.role_id and r.name = 'tenant_admin'
        and ur.user_id = ${mine.users.tenant_admin}
    `;
    try {
      expect(await attempt(as.tenant_admin, ["app_viewer"])).toBe("QS403 role would outlast yours");
      const user = await makeAccount(as.tenant_admin, []);
      expect(await refusalOf(as.tenant_admin.ask(issue, { user, until: inADay }))).toBe(
        "QS403 token would outlast your roles",
      );
    } finally {
      await sql`update rate_limiter.user_roles set expires_at = null where expires_at = ${inAnHour}`;
    }
  });

  test("has a name of its own in its tenant", async () => {
    await dataOf(as.tenant_admin.ask(create, { name: "Unique", roles: [] }));
    const { errors } = await as.tenant_admin.ask(create, { name: "unique", roles: [] });
    expect(errors?.[0]?.extensions).toMatchObject({
      code: "QS409",
      constraint: "user_service_account_name_unique",
    });
  });
});

describe("a token", () => {
  test("lets the account in with its roles, is stored as a hash, and tells when it was used", async () => {
    const user = await makeAccount();
    const { token, tokenId, prefix, client } = await issueToken(user);
    expect(token.startsWith(prefix)).toBe(true);
    const seen = await dataOf(client.ask(viewer));
    expect(seen.viewer.userId).toBe(user);
    expect(seen.viewerPermissions).toContain("quota:update");
    expect(seen.viewerPermissions).not.toContain("tenant:update");
    await dataOf(client.ask(rename, { app: mine.appId }));
    expect(await dataOf(client.ask(rename, { app: theirs.appId }))).toEqual({
      updateApplication: { application: null },
    });
    const list = `query ($user: UUID!) {
      user(userId: $user) {
        serviceTokens(first: 5) { nodes { tokenId prefix lastUsedAt revokedAt permissions } }
      }
    }`;
    const { user: account } = await dataOf(as.tenant_admin.ask(list, { user }));
    expect(account.serviceTokens.nodes).toEqual([
      { tokenId, prefix, lastUsedAt: expect.any(String), revokedAt: null, permissions: null },
    ]);
    const rows = await sql`
      select to_jsonb(t)::text as stored,
        t.token_hash = sha256(convert_to(${token}, 'UTF8')) as hashed
      from rate_limiter_private.service_tokens as t where t.token_id = ${tokenId}
    `;
    expect(rows[0]?.hashed).toBe(true);
    expect(rows[0]?.stored).not.toContain(token);
  });

  test("does no more than its permissions, and passes none beyond them on", async () => {
    const user = await makeAccount(as.system_admin, ["system_admin"]);
    const narrow = await issueToken(user, ["quota:read", "tenant:update"], as.system_admin);
    const seen = await dataOf(narrow.client.ask(viewer));
    expect(seen.viewerPermissions).toEqual(["quota:read", "tenant:update"]);
    expect(await refusalOf(narrow.client.ask(create, { name: "x", roles: ["app_admin"] }))).toBe(
      "QS403 role allows more than you may give",
    );
    expect(await refusalOf(narrow.client.ask(create, { name: "x", roles: ["system_admin"] }))).toBe(
      "QS403 role allows more than you may give",
    );
    expect(await refusalOf(narrow.client.ask(issue, { user, until: inAnHour }))).toBe(
      "QS403 user holds more than you may give",
    );
    const reset = `mutation ($user: UUID!) {
      resetPassword(input: { userId: $user, newPassword: "tangled orchid ferry 77" }) { changed }
    }`;
    expect(await refusalOf(narrow.client.ask(reset, { user: mine.users.system_admin }))).toBe(
      "QS403 user holds more than you may give",
    );
  });

  test("gives nothing that lasts longer than itself", async () => {
    const user = await makeAccount(as.system_admin, ["system_admin"]);
    const { client } = await issueToken(user, null, as.system_admin);
    const later = new Date(Date.now() + 2 * 86_400_000).toISOString();
    expect(await refusalOf(client.ask(issue, { user, until: later }))).toBe(
      "QS403 token would outlast your roles",
    );
    expect(await refusalOf(client.ask(create, { name: "x", roles: ["app_viewer"] }))).toBe(
      "QS403 role would outlast yours",
    );
    await dataOf(client.ask(create, { name: "brief", roles: ["app_viewer"], until: inAnHour }));
  });

  test("of an unknown permission, of a person, without an end in time, is not made", async () => {
    const user = await makeAccount();
    const attempt = (variables: Record<string, unknown>) =>
      refusalOf(as.tenant_admin.ask(issue, { user, until: inADay, ...variables }));
    expect(await attempt({ permissions: ["quota:fly"] })).toBe("QS404 unknown permission");
    expect(await attempt({ user: mine.users.auditor })).toBe("QS404 unknown service account");
    expect(await attempt({ user: theirs.users.auditor })).toBe("QS404 unknown user");
    const refused = "QS422 token would have expired, or last too long";
    for (const until of [new Date(0).toISOString(), "2200-01-01T00:00:00Z"]) {
      expect(await attempt({ until })).toBe(refused);
    }
  });

  test("ends when it is revoked, by an administrator or by itself", async () => {
    const user = await makeAccount();
    const [one, other] = [await issueToken(user), await issueToken(user)];
    const revoke = `mutation ($token: UUID!) {
      revokeServiceToken(input: { tokenId: $token }) { revokedAt }
    }`;
    expect(await refusalOf(one.client.ask(revoke, { token: other.tokenId }))).toBe(
      "QS404 unknown service token",
    );
    await dataOf(one.client.ask(revoke, { token: one.tokenId }));
    await dataOf(as.tenant_admin.ask(revoke, { token: other.tokenId }));
    for (const { client } of [one, other]) {
      expect(await refusalOf(client.ask(viewer))).toBe("QS401 not signed in");
    }
    const [audit] = await sql`
      select array_agg(action order by created_at) as actions,
        bool_or(coalesce(new_values, '{}')::text like '%token_hash%') as tells
      from rate_limiter_audit.audit_logs
      where entity_type = 'service_tokens' and entity_id = ${other.tokenId}
    `;
    expect(audit).toEqual({ actions: ["insert", "update"], tells: false });
  });

  test("ends with its time, though a request is on its way", async () => {
    const user = await makeAccount();
    const { client, tokenId } = await issueToken(user);
    await sql`
      update rate_limiter_private.service_tokens set expires_at = clock_timestamp()
      where token_id = ${tokenId}
    `;
    expect(await refusalOf(client.ask(viewer))).toBe("QS401 not signed in");
    const [row] = await database.withTransaction(
      "rate_limiter_visitor",
      { user_id: user, service_token_id: tokenId },
      (visitor) => visitor`select rate_limiter_internal.current_user_id() as id`,
    );
    expect(row).toEqual({ id: null });
  });

  test("ends with the deactivation of the account or the tenant, for good", async () => {
    const user = await makeAccount();
    const { client } = await issueToken(user);
    const activate = `mutation ($user: UUID!, $active: Boolean!) {
      updateUser(input: { userId: $user, patch: { isActive: $active } }) { user { isActive } }
    }`;
    await dataOf(as.tenant_admin.ask(activate, { user, active: false }));
    expect(await refusalOf(client.ask(viewer))).toBe("QS401 not signed in");
    await dataOf(as.tenant_admin.ask(activate, { user, active: true }));
    expect(await refusalOf(client.ask(viewer))).toBe("QS401 not signed in");

    const elsewhere = await dataOf(
      as.system_admin.ask(create, { name: "there", roles: [], tenant: theirs.tenantId }),
    );
    const there = elsewhere.createServiceAccount.serviceAccount.userId;
    const token = await issueToken(there, null, as.system_admin);
    await sql`update rate_limiter.tenants set is_active = false where name = 'theirs'`;
    await sql`update rate_limiter.tenants set is_active = true where name = 'theirs'`;
    expect(await refusalOf(token.client.ask(viewer))).toBe("QS401 not signed in");
  });

  test("that was never made lets no caller in", async () => {
    for (const token of ["qst_", `qst_${"A".repeat(43)}`]) {
      expect(await refusalOf(api.bearing(token).ask(viewer))).toBe("QS401 not signed in");
    }
  });
});

describe("administrators of the system", () => {
  beforeAll(() => makeAccount(as.system_admin, ["system_admin"]));

  test("are not service accounts where one is needed who can sign in", async () => {
    const [row] = await sql`
      select rate_limiter_private.operator() = ${mine.users.system_admin}::uuid
        or rate_limiter_private.operator() = ${theirs.users.system_admin}::uuid as person
    `.catch((error: { code: string }) => [{ person: error.code }]);
    // Two people administer this world: with accounts among them it would be more.
    expect(row?.person).toBe("QS422");
  });
});
