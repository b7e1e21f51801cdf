import { beforeEach, describe, expect, test } from "vitest";
import { hashPassword } from "../../../src/api/passwords/password-hash.ts";
import { type Client, password } from "../api.ts";
import { refusalOf, serveTwoTenants } from "../world.ts";

const { database, api, as, mine } = await serveTwoTenants();
const { sql } = database;
const hour = 3_600_000;
const inAnHour = new Date(Date.now() + hour).toISOString();
const sooner = new Date(Date.now() + hour / 2).toISOString();
const hash = await hashPassword(password, 10);

interface Target {
  readonly userId: string;
  readonly sessionId: string;
}

let made = 0;

/** A user with a password, a role and a session. */
async function makeTarget(role: string, until: string | null): Promise<Target> {
  made += 1;
  const name = `target${made}`;
  const [user] = await sql`
    insert into rate_limiter.users (tenant_id, username, email)
    values (${mine.tenantId}, ${name}, ${`${name}@mine.example`})
    returning user_id as "userId"
  `;
  const userId = user?.userId;
  await sql`
    insert into rate_limiter_private.user_secrets (user_id, password_hash)
    values (${userId}, ${hash})
  `;
  await sql`
    insert into rate_limiter.user_roles (user_id, role_id, expires_at)
    select ${userId}, r.role_id, ${until} from rate_limiter.roles as r where r.name = ${role}
  `;
  await api.signIn(`${name}@mine.example`);
  const [session] = await sql`
    select s.session_id as "sessionId" from rate_limiter_private.user_sessions as s
    where s.user_id = ${userId}
  `;
  return { userId, sessionId: session?.sessionId };
}

const changes: Record<string, (role: string) => string> = {
  "another name": () =>
    'updateUser(input: { userId: $user, patch: { username: "renamed" } }) { user { userId } }',
  "another address": () => `updateUser(input: {
    userId: $user, patch: { email: "renamed${made}@mine.example" }
  }) { user { userId } }`,
  "a deactivation": () =>
    "updateUser(input: { userId: $user, patch: { isActive: false } }) { user { userId } }",
  "a deletion": () => "deleteUser(input: { userId: $user }) { user { userId } }",
  "a role that ends": (role) =>
    `expireRole(input: { userId: $user, role: "${role}" }) { userRole { userRoleId } }`,
  "a role that ends sooner": (role) => `assignRole(input: {
    userId: $user, role: "${role}", expiresAt: "${sooner}"
  }) { userRole { userRoleId } }`,
  "another role": () => `assignRole(input: {
    userId: $user, role: "app_viewer", expiresAt: "${sooner}"
  }) { userRole { userRoleId } }`,
  "a password": () =>
    'resetPassword(input: { userId: $user, newPassword: "tangled orchid ferry 77" }) { changed }',
  "no second factor": () => "resetSecondFactor(input: { userId: $user }) { isReset }",
};

const change = (client: Client, what: string, role: string, { userId }: Target) =>
  client.ask(`mutation ($user: UUID!) { ${changes[what]?.(role)} }`, { user: userId });

const stateOf = ({ userId }: Target) => sql`
  select u.username, u.email, u.is_active, ur.role_id, ur.expires_at, s.password_hash,
    (
      select count(*) from rate_limiter_private.user_sessions as us
      where us.user_id = u.user_id and us.revoked_at is null
    ) as sessions
  from rate_limiter.users as u
  join rate_limiter.user_roles as ur on ur.user_id = u.user_id
  join rate_limiter_private.user_secrets as s on s.user_id = u.user_id
  where u.user_id = ${userId}
`;

const setExpiry = (userId: string, until: string | null) => sql`
  update rate_limiter.user_roles set expires_at = ${until} where user_id = ${userId}
`;

const endSession = (client: Client, { sessionId }: Target) =>
  client.ask("mutation ($id: UUID!) { revokeSession(input: { sessionId: $id }) { isEnded } }", {
    id: sessionId,
  });

describe.each(["tenant_admin", "system_admin"] as const)("a %s for an hour", (who) => {
  beforeEach(async () => {
    // Of the other tenant there is one for good.
    await setExpiry(mine.users[who], inAnHour);
  });

  describe.each(["tenant_admin", "auditor"])("gives a lasting %s", (role) => {
    test.each(Object.keys(changes))("never %s", async (what) => {
      const target = await makeTarget(role, null);
      const before = await stateOf(target);
      const { data, errors } = await change(as[who], what, role, target);
      // An update finds no row that it may change.
      if (errors === undefined) expect(data.updateUser.user).toBeNull();
      else expect(errors[0]?.extensions.code).toMatch(/^QS40[34]$/);
      expect(await stateOf(target)).toEqual(before);
    });

    test("no end of a session", async () => {
      const target = await makeTarget(role, null);
      expect((await endSession(as[who], target)).data.revokeSession.isEnded).toBe(false);
    });
  });

  describe("gives a tenant_admin who lasts no longer", () => {
    test.each(Object.keys(changes))("%s", async (what) => {
      const target = await makeTarget("tenant_admin", inAnHour);
      expect((await change(as[who], what, "tenant_admin", target)).errors).toBeUndefined();
    });

    test("the end of a session", async () => {
      const target = await makeTarget("tenant_admin", inAnHour);
      expect((await endSession(as[who], target)).data.revokeSession.isEnded).toBe(true);
    });
  });
});

describe("the last administrator of a tenant", () => {
  const last = "QS409 last administrator of the tenant";
  const own = ["a role that ends", "a role that ends sooner", "a deactivation"];
  const me = { userId: mine.users.tenant_admin, sessionId: "" };

  beforeEach(async () => {
    await sql`
      delete from rate_limiter.user_roles as ur using rate_limiter.roles as r
      where r.role_id = ur.role_id and r.name = 'tenant_admin' and ur.user_id <> ${me.userId}
    `;
    await setExpiry(me.userId, null);
    await setExpiry(mine.users.system_admin, null);
  });

  test.each(own)("gives itself not %s", async (what) => {
    expect(await refusalOf(change(as.tenant_admin, what, "tenant_admin", me))).toBe(last);
  });

  test.each(own)("gives itself not %s while the other one has no way in", async (what) => {
    const { userId } = await makeTarget("tenant_admin", null);
    await sql`delete from rate_limiter_private.user_secrets where user_id = ${userId}`;
    expect(await refusalOf(change(as.tenant_admin, what, "tenant_admin", me))).toBe(last);
  });

  test("goes where another one can sign in, or a system administrator says so", async () => {
    await makeTarget("tenant_admin", null);
    const what = "a role that ends sooner";
    expect((await change(as.tenant_admin, what, "tenant_admin", me)).errors).toBeUndefined();
    const other = "a role that ends";
    expect((await change(as.system_admin, other, "tenant_admin", me)).errors).toBeUndefined();
  });
});
