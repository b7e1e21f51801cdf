import { SignJWT, UnsecuredJWT } from "jose";
import { describe, expect, test } from "vitest";
import { makeTwoTenants } from "../data-model/world.ts";
import { createApiDatabase, givePasswords, jwtSecret, password, serveApi } from "./api.ts";

const database = await createApiDatabase();
const { mine } = await makeTwoTenants(database);
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
  const { data } = await api.nobody.ask(login, { input: { tenant: "mine", email, password } });
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
    const wrong = await api.nobody.ask(login, {
      input: { tenant: "mine", email: viewer, password: "wrong" },
    });
    const unknown = await api.nobody.ask(login, {
      input: { tenant: "mine", email: "x@y.example", password },
    });
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
      body: JSON.stringify({
        query: login,
        variables: { input: { tenant: "mine", email, password } },
      }),
    });
    expect((await lastLogins(email))[0]).toEqual({
      action: "login",
      status: "success",
      request_id: "request-of-the-login",
      address: "127.0.0.1/32",
      user_agent: "a browser",
    });
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
      .ask("mutation { logout(input: {}) { isEnded } }");
    expect(data.logout.isEnded).toBe(true);
    const after = await api.bearing(here.accessToken).ask(seesItself);
    expect(after).toMatchObject({ status: 401, errors: [{ extensions: { code: "QS401" } }] });
    expect((await api.bearing(there.accessToken).ask(seesItself)).status).toBe(200);
  });

  test("everywhere ends them all", async () => {
    const [here, there] = [await start(), await start()];
    await api
      .bearing(here.accessToken)
      .ask("mutation { logoutEverywhere(input: {}) { endedSessions } }");
    for (const { accessToken } of [here, there]) {
      expect((await api.bearing(accessToken).ask(seesItself)).status).toBe(401);
    }
  });

  test("of another one's session only by who may manage that user", async () => {
    const victim = await start();
    const revoke = `mutation ($id: UUID!) { revokeSession(input: { sessionId: $id }) { isEnded } }`;
    const sessions = `{ userSessions(first: 50, filter: { revokedAt: { isNull: true } }) {
      nodes { sessionId user { email } }
    } }`;
    const { data } = await api.bearing(victim.accessToken).ask(sessions);
    const mySession = data.userSessions.nodes.at(-1).sessionId;
    const stranger = await api.signIn("tenant_admin@theirs.example");
    expect((await stranger.ask(revoke, { id: mySession })).data.revokeSession.isEnded).toBe(false);
    const admin = await api.signIn("tenant_admin@mine.example");
    const seen = (await admin.ask(sessions)).data.userSessions.nodes;
    expect(seen.map((node: { sessionId: string }) => node.sessionId)).toContain(mySession);
    expect((await admin.ask(revoke, { id: mySession })).data.revokeSession.isEnded).toBe(true);
  });
});

test("a password is changed by who knows it, and other sessions end", async () => {
  const email = "app_admin@mine.example";
  const [here, there] = [await start(email), await start(email)];
  const change = `mutation ($old: String!, $new: String!) {
    changePassword(input: { currentPassword: $old, newPassword: $new }) { changed }
  }`;
  const client = api.bearing(here.accessToken);
  const next = "another good password";
  const wrong = await client.ask(change, { old: "wrong", new: next });
  expect(wrong.errors?.[0]).toMatchObject({
    message: "current password is wrong",
    extensions: { code: "QS403" },
  });
  const right = await client.ask(change, { old: password, new: next });
  expect(right.data).toEqual({ changePassword: { changed: true } });
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
    expect((await admin.ask(seesItself)).status, "it stays ended").toBe(401);
  });
});

test("a client without a sign-in reads nothing", async () => {
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
