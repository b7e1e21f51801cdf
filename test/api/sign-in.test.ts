import { SignJWT, UnsecuredJWT } from "jose";
import { describe, expect, test } from "vitest";
import { makeTwoTenants } from "../data-model/world.ts";
import { createApiDatabase, givePasswords, jwtSecret, password, serveApi } from "./api.ts";

const database = await createApiDatabase();
const { mine, theirs } = await makeTwoTenants(database);
await givePasswords(database);
const api = await serveApi(database);

const login = `mutation ($input: LoginInput!) {
  login(input: $input) {
    accessToken accessTokenExpiresAt refreshToken refreshTokenExpiresAt sessionExpiresAt
  }
}`;
const refresh = `mutation ($refreshToken: String!) {
  refresh(input: { refreshToken: $refreshToken }) { accessToken refreshToken }
}`;
const seesItself = "{ users(first: 10) { nodes { email } } }";
const viewer = "app_viewer@mine.example";

async function start(email = viewer) {
  const { data } = await api.nobody.ask(login, { input: { email, password } });
  return data.login as { accessToken: string; refreshToken: string; accessTokenExpiresAt: string };
}

async function lastLogins(email: string) {
  return database.sql`
    select l.action, l.status, l.request_id, l.ip_address::text as address, l.user_agent
    from rate_limiter_audit.audit_logs as l
    join rate_limiter.users as u on u.user_id = l.user_id
    where u.email = ${email} and l.action = 'login'
    order by l.created_at desc
  `;
}

describe("login", () => {
  test("answers tokens that open the API to that user", async () => {
    const tokens = await start();
    const { data } = await api.bearing(tokens.accessToken).ask(seesItself);
    expect(data.users.nodes).toEqual([{ email: viewer }]);
  });

  test("lets an access token last as long as the setting says", async () => {
    const { accessTokenExpiresAt } = await start();
    const seconds = (Date.parse(accessTokenExpiresAt) - Date.now()) / 1000;
    expect(seconds).toBeGreaterThan(890);
    expect(seconds).toBeLessThanOrEqual(900);
  });

  test("does not tell an unknown address from a wrong password", async () => {
    const wrong = await api.nobody.ask(login, { input: { email: viewer, password: "wrong" } });
    const unknown = await api.nobody.ask(login, { input: { email: "x@y.example", password } });
    expect(wrong.data).toEqual({ login: null });
    expect(wrong.errors?.[0]).toMatchObject({
      message: "email or password is wrong",
      extensions: { code: "QS401" },
    });
    expect(unknown.errors).toEqual(wrong.errors);
  });

  test("is audited with the request it came in", async () => {
    const email = "auditor@mine.example";
    await api.nobody.fetch("/graphql", {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-request-id": "request-of-the-login",
        "user-agent": "a browser",
      },
      body: JSON.stringify({ query: login, variables: { input: { email, password } } }),
    });
    expect((await lastLogins(email))[0]).toEqual({
      action: "login",
      status: "success",
      request_id: "request-of-the-login",
      address: "127.0.0.1/32",
      user_agent: "a browser",
    });
  });

  test("wants the tenant where several know the address and the password", async () => {
    await database.sql`
      update rate_limiter.users set email = 'both@example.com' where username = 'ops_admin'
    `;
    const input = { email: "both@example.com", password };
    const ambiguous = await api.nobody.ask(login, { input });
    expect(ambiguous.errors?.[0]?.extensions.code).toBe("QS409");
    const named = await api.nobody.ask(login, { input: { ...input, tenant: "mine" } });
    expect(named.data.login.accessToken).toMatch(/^ey/);
  });

  test("slows and audits who guesses by way of a user of the same address", async () => {
    const victim = "app_admin@mine.example";
    const admin = await api.signIn("tenant_admin@theirs.example");
    const made = await admin.ask(
      `mutation ($user: UserInput!) { createUser(input: { user: $user }) { user { userId } } }`,
      { user: { email: victim, tenantId: theirs.tenantId, username: "namesake" } },
    );
    const guess = async (newPassword: string) => {
      await admin.ask(
        `mutation ($input: ResetPasswordInput!) { resetPassword(input: $input) { clientMutationId } }`,
        { input: { userId: made.data.createUser.user.userId, newPassword } },
      );
      const { errors } = await api.nobody.ask(login, {
        input: { email: victim, password: newPassword },
      });
      return errors?.[0]?.extensions.code ?? "signed in";
    };
    const failures = async () => {
      const rows = await database.sql`
        select l.status from rate_limiter_audit.audit_logs as l
        where l.user_id = ${mine.users.app_admin} and l.action = 'login'
      `;
      return rows.map((row) => row.status);
    };

    // As after many guesses: the next one makes the account wait for a quarter of an hour.
    await database.sql`
      update rate_limiter_private.user_secrets
      set failed_attempts = 20, last_failed_at = now()
      where user_id = ${mine.users.app_admin}
    `;
    expect(await guess("a wrong guess or so")).toBe("signed in");
    expect(await failures()).toEqual(["failure"]);
    expect(await guess(password), "a hit looks like a miss").toBe("signed in");
    await database.sql`
      update rate_limiter_private.user_secrets set locked_until = null, failed_attempts = 0
    `;
    expect(await guess(password)).toBe("QS409");
    expect(await failures(), "a hit is audited too").toEqual(["failure", "failure"]);
    await admin.ask(
      "mutation ($id: UUID!) { deleteUser(input: { userId: $id }) { clientMutationId } }",
      { id: made.data.createUser.user.userId },
    );
  });

  test("slows guessing at one account, however right the next guess is", async () => {
    const email = "tenant_admin@theirs.example";
    for (let failure = 1; failure <= 6; failure++) {
      await api.nobody.ask(login, { input: { email, password: `guess ${failure}` } });
    }
    const { errors } = await api.nobody.ask(login, { input: { email, password } });
    expect(errors?.[0]).toMatchObject({
      message: "too many failed sign-ins",
      extensions: { code: "QS429", retryAfterMs: expect.any(Number) },
    });
    expect(errors?.[0]?.extensions.retryAfterMs).toBeGreaterThan(0);
    await database.sql`
      update rate_limiter_private.user_secrets set locked_until = null, failed_attempts = 0
    `;
  });

  test("slows guessing at many accounts from one address", async () => {
    await database.sql`
      update rate_limiter.system_settings set value = '3' where key = 'login_failures_per_address'
    `;
    await database.sql`delete from rate_limiter_private.login_addresses`;
    const guesses = Array.from({ length: 5 }, (_, n) => `nobody${n}@mine.example`);
    for (const email of guesses) {
      await api.nobody.ask(login, { input: { email, password: "guess" } });
    }
    const { errors } = await api.nobody.ask(login, { input: { email: viewer, password } });
    expect(errors?.[0]?.extensions.code).toBe("QS429");
    await database.sql`delete from rate_limiter_private.login_addresses`;
  });
});

describe("refresh", () => {
  test("continues the session with a new token each time", async () => {
    const first = await start();
    const { data } = await api.nobody.ask(refresh, first);
    expect(data.refresh.refreshToken).not.toBe(first.refreshToken);
    const seen = await api.bearing(data.refresh.accessToken).ask(seesItself);
    expect(seen.data.users.nodes).toEqual([{ email: viewer }]);
  });

  test("ends the session when a spent token comes back, for the thief and the owner", async () => {
    const first = await start();
    const second = (await api.nobody.ask(refresh, first)).data.refresh;
    const reused = await api.nobody.ask(refresh, first);
    expect(reused.errors?.[0]).toMatchObject({
      message: "refresh token no longer works",
      extensions: { code: "QS401" },
    });
    expect((await api.nobody.ask(refresh, second)).errors?.[0]?.extensions.code).toBe("QS401");
    expect((await api.bearing(second.accessToken).ask(seesItself)).status).toBe(401);
  });

  test("answers alike for a token that never was", async () => {
    const { errors } = await api.nobody.ask(refresh, { refreshToken: "made up" });
    expect(errors?.[0]?.message).toBe("refresh token no longer works");
  });
});

describe("logout", () => {
  test("ends this session at once, and no other", async () => {
    const [here, there] = [await start(), await start()];
    const { data } = await api
      .bearing(here.accessToken)
      .ask("mutation { logout(input: {}) { result } }");
    expect(data.logout.result).toBe(true);
    const after = await api.bearing(here.accessToken).ask(seesItself);
    expect(after).toMatchObject({ status: 401, errors: [{ extensions: { code: "QS401" } }] });
    expect((await api.bearing(there.accessToken).ask(seesItself)).status).toBe(200);
  });

  test("everywhere ends them all", async () => {
    const [here, there] = [await start(), await start()];
    await api.bearing(here.accessToken).ask("mutation { logoutEverywhere(input: {}) { result } }");
    for (const { accessToken } of [here, there]) {
      expect((await api.bearing(accessToken).ask(seesItself)).status).toBe(401);
    }
  });

  test("of another one's session only by who may manage that user", async () => {
    const victim = await start();
    const revoke = `mutation ($id: UUID!) { revokeSession(input: { sessionId: $id }) { result } }`;
    const sessions = `{ userSessions(first: 50, filter: { revokedAt: { isNull: true } }) {
      nodes { sessionId user { email } }
    } }`;
    const { data } = await api.bearing(victim.accessToken).ask(sessions);
    const mySession = data.userSessions.nodes.at(-1).sessionId;
    const stranger = await api.signIn("tenant_admin@theirs.example");
    expect((await stranger.ask(revoke, { id: mySession })).data.revokeSession.result).toBe(false);
    const admin = await api.signIn("tenant_admin@mine.example");
    const seen = (await admin.ask(sessions)).data.userSessions.nodes;
    expect(seen.map((node: { sessionId: string }) => node.sessionId)).toContain(mySession);
    expect((await admin.ask(revoke, { id: mySession })).data.revokeSession.result).toBe(true);
  });
});

test("a password is changed by who knows it, and other sessions end", async () => {
  const email = "app_admin@mine.example";
  const [here, there] = [await start(email), await start(email)];
  const change = `mutation ($old: String!, $new: String!) {
    changePassword(input: { currentPassword: $old, newPassword: $new }) { result }
  }`;
  const client = api.bearing(here.accessToken);
  const next = "another good password";
  expect((await client.ask(change, { old: "wrong", new: next })).data.changePassword.result).toBe(
    "invalid",
  );
  expect((await client.ask(change, { old: password, new: next })).data.changePassword.result).toBe(
    "ok",
  );
  expect((await api.bearing(there.accessToken).ask(seesItself)).status).toBe(401);
  expect((await client.ask(seesItself)).status).toBe(200);
  expect((await api.signIn(email, next)).accessToken).toMatch(/^ey/);
});

describe("an access token", () => {
  const claims = { sid: crypto.randomUUID() };
  const token = () =>
    new SignJWT(claims)
      .setIssuer("storage-qos")
      .setAudience("storage-qos-admin-api")
      .setSubject(mine.users.system_admin)
      .setExpirationTime("1h");
  const key = new TextEncoder().encode(jwtSecret);

  test.each<[string, () => string | Promise<string>]>([
    ["of another key", () => token().setProtectedHeader({ alg: "HS256" }).sign(key.toReversed())],
    ["of another algorithm", () => token().setProtectedHeader({ alg: "HS512" }).sign(key)],
    ["without a signature", () => new UnsecuredJWT(claims).encode()],
    ["of a session that is not", () => token().setProtectedHeader({ alg: "HS256" }).sign(key)],
    ["that is none", () => "nonsense"],
    ["that is no header's", () => "no token at all"],
  ])("%s opens nothing", async (_, make) => {
    const { status, errors } = await api.bearing(await make()).ask(seesItself);
    expect(status).toBe(401);
    expect(errors?.[0]).toMatchObject({
      message: "not signed in",
      extensions: { code: "QS401", hint: "Sign in, or refresh the session." },
    });
  });

  test("that has expired opens nothing", async () => {
    const { accessToken } = await start();
    const sid = JSON.parse(atob(accessToken.split(".")[1] ?? "")).sid;
    const sign = (expiry: string) =>
      new SignJWT({ sid })
        .setProtectedHeader({ alg: "HS256" })
        .setIssuer("storage-qos")
        .setAudience("storage-qos-admin-api")
        .setSubject(mine.users.app_viewer)
        .setExpirationTime(expiry)
        .sign(key);
    expect((await api.bearing(await sign("1 hour from now")).ask(seesItself)).status).toBe(200);
    expect((await api.bearing(await sign("1 second ago")).ask(seesItself)).status).toBe(401);
  });

  test("of the last key works until that key is taken away", async () => {
    const next = "another secret for tests of at least thirty-two bytes";
    const { accessToken } = await start();
    const both = await serveApi(database, { JWT_SECRET: "", JWT_SECRETS: `${next},${jwtSecret}` });
    expect((await both.bearing(accessToken).ask(seesItself)).status).toBe(200);
    const renewed = await both.signIn(viewer);
    expect((await api.bearing(renewed.accessToken).ask(seesItself)).status).toBe(401);
    const alone = await serveApi(database, { JWT_SECRET: next });
    expect((await alone.bearing(renewed.accessToken).ask(seesItself)).status).toBe(200);
    expect((await alone.bearing(accessToken).ask(seesItself)).status).toBe(401);
  });

  test("ends with its user and its tenant", async () => {
    const admin = await api.signIn("auditor@theirs.example");
    await database.sql`
      update rate_limiter.tenants set is_active = false where name = 'theirs'
    `;
    expect((await admin.ask(seesItself)).status).toBe(401);
    await database.sql`update rate_limiter.tenants set is_active = true where name = 'theirs'`;
    expect((await admin.ask(seesItself)).status).toBe(200);
  });
});

test("nobody reads anything without a sign-in", async () => {
  const { data } = await api.nobody.ask(`{
    applications(first: 5) { nodes { name } totalCount }
    tenants(first: 5) { nodes { name } totalCount }
    buckets(first: 5) { nodes { bucketId } totalCount }
    users(first: 5) { nodes { email } totalCount }
    auditLogs(first: 5) { nodes { logId } totalCount }
    systemSettings(first: 5) { nodes { key } totalCount }
  }`);
  const empty = { nodes: [], totalCount: 0 };
  expect(data).toEqual({
    ...{ applications: empty, tenants: empty, buckets: empty },
    ...{ users: empty, auditLogs: empty, systemSettings: empty },
  });
});
