import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { apiSettings } from "../../src/api/settings.ts";
import { type Client, jwtSecret, serveApi } from "./api.ts";
import { subscribe } from "./graphql-socket.ts";
import { dataOf, serveTwoTenants } from "./world.ts";

const issuer = "https://id.example";
const audience = "storage-qos";
const ours = { RS256: await generateKeyPair("RS256"), ES256: await generateKeyPair("ES256") };
const strangers = await generateKeyPair("RS256");
const keys = await Promise.all(
  Object.entries(ours).map(async ([alg, { publicKey }]) => ({
    ...(await exportJWK(publicKey)),
    ...{ alg, kid: alg, use: "sig" },
  })),
);
const provider = createServer((_, response) => response.end(JSON.stringify({ keys })));
provider.listen(0, "127.0.0.1");
await once(provider, "listening");
afterAll(() => void provider.close());
const { port } = provider.address() as AddressInfo;

const { database, as, mine, theirs } = await serveTwoTenants();
const configuration = {
  ...{ OIDC_ISSUER: issuer, OIDC_AUDIENCE: audience },
  OIDC_JWKS_URL: `http://127.0.0.1:${port}/keys`,
  OIDC_TENANT: "mine",
};
const api = await serveApi(database, configuration);

const email = "ops_admin@mine.example";
const good = { email, email_verified: true };

function token(claims: object = good, { expires = "1h", from = issuer, to = audience } = {}) {
  return new SignJWT({ ...claims })
    .setIssuer(from)
    .setAudience(to)
    .setSubject("somebody")
    .setIssuedAt()
    .setExpirationTime(expires);
}
const signed = (jwt: SignJWT, alg: keyof typeof ours = "RS256") =>
  jwt.setProtectedHeader({ alg, kid: alg }).sign(ours[alg].privateKey);

const statusOf = (appId: string) =>
  `subscription { applicationStatus(appId: "${appId}") { application { name } } }`;
const whoAmI = (client: Client) => client.ask("{ viewer { email } viewerPermissions }");

describe("a token of the identity provider", () => {
  test.each(["RS256", "ES256"] as const)(
    "in %s is its user, with that user's roles",
    async (alg) => {
      const { viewer, viewerPermissions } = await dataOf(
        whoAmI(api.bearing(await signed(token(), alg))),
      );
      expect(viewer.email).toBe(email);
      expect(viewerPermissions).toEqual((await dataOf(whoAmI(as.ops_admin))).viewerPermissions);
    },
  );

  const refused: Record<string, () => Promise<string>> = {
    "of an address that is not verified": () => signed(token({ email })),
    "that says so in words": () => signed(token({ email, email_verified: "true" })),
    "without an address": () => signed(token({ email_verified: true })),
    "of an address that nobody has": () => signed(token({ ...good, email: "x@y.example" })),
    "for another audience": () => signed(token(good, { to: "another API" })),
    "of another issuer": () => signed(token(good, { from: "https://evil.example" })),
    "that has expired": () => signed(token(good, { expires: "1 minute ago" })),
    "of another key": () =>
      token().setProtectedHeader({ alg: "RS256", kid: "RS256" }).sign(strangers.privateKey),
    "of an unknown key": () =>
      token().setProtectedHeader({ alg: "RS256", kid: "new" }).sign(strangers.privateKey),
    "signed with this server's own secret": () =>
      token().setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(jwtSecret)),
  };
  test.each(Object.keys(refused))("%s opens nothing", async (what) => {
    const answer = await whoAmI(api.bearing(await refused[what]?.()));
    expect(answer).toMatchObject({ status: 401, errors: [{ message: "not signed in" }] });
  });

  test("ends with its user", async () => {
    const client = api.bearing(await signed(token({ ...good, email: "auditor@mine.example" })));
    expect((await whoAmI(client)).status).toBe(200);
    await database.sql`
      update rate_limiter.users set is_active = false where email = 'auditor@mine.example'
    `;
    expect((await whoAmI(client)).status).toBe(401);
  });

  test("ends what its user follows with the user", async () => {
    const jwt = await signed(token({ ...good, email: "app_viewer@mine.example" }));
    const live = await subscribe(api.url, statusOf(mine.appId), {}, jwt);
    onTestFinished(() => live.close());
    expect((await live.next()).data.applicationStatus.application).not.toBeNull();
    await database.sql`
      update rate_limiter.users set is_active = false where email = 'app_viewer@mine.example'
    `;
    // One more may have been on its way.
    const ended = (await live.next()) === undefined || (await live.next()) === undefined;
    expect(ended).toBe(true);
  });

  describe("whose address another tenant's administrator gives a user too", () => {
    const ours = { ...good, email: "app_admin@mine.example" };
    const serve = (env: NodeJS.ProcessEnv) => serveApi(database, { ...configuration, ...env });
    const make = `mutation ($user: CreateUserInput!) { createUser(input: $user) { clientMutationId } }`;

    beforeAll(async () => {
      const admin = await api.signIn("tenant_admin@theirs.example");
      const user = { email: ours.email.toUpperCase(), tenantId: theirs.tenantId, username: "x" };
      await dataOf(admin.ask(make, { user }));
    });

    test("is the user of the tenant that is configured", async () => {
      const { viewer } = await dataOf(whoAmI(api.bearing(await signed(token(ours)))));
      expect(viewer.email).toBe(ours.email);
      const stranger = await signed(token({ ...good, email: "auditor@theirs.example" }));
      expect((await whoAmI(api.bearing(stranger))).status).toBe(401);
    });

    test("is the user of the tenant that the provider names", async () => {
      const here = await serve({
        ...{ OIDC_TENANT: "", OIDC_TENANT_CLAIM: "https://qos.example/tenant" },
      });
      const emailOf = async (claims: object) =>
        (await whoAmI(here.bearing(await signed(token({ ...ours, ...claims }))))).data?.viewer
          ?.email;
      expect(await emailOf({ "https://qos.example/tenant": "mine" })).toBe(ours.email);
      expect(await emailOf({ "https://qos.example/tenant": "theirs" })).toBe(
        ours.email.toUpperCase(),
      );
      for (const named of ["nobody's", "", ["mine"], null, undefined]) {
        expect(await emailOf({ "https://qos.example/tenant": named })).toBeUndefined();
      }
    });
  });

  test("works never again after its user's sessions were ended", async () => {
    const old = api.bearing(await signed(token()));
    expect((await whoAmI(old)).status).toBe(200);
    for (const isActive of [false, true]) {
      await database.sql`
        update rate_limiter.users set is_active = ${isActive} where email = ${email}
      `;
    }
    expect((await whoAmI(old)).status).toBe(401);
    await database.sql`
      update rate_limiter_private.provider_accounts set refused_before = now() - interval '1 hour'
    `;
    expect((await whoAmI(api.bearing(await signed(token())))).status).toBe(200);
  });

  test("opens nothing where no provider is configured", async () => {
    const plain = await serveApi(database);
    expect((await whoAmI(plain.bearing(await signed(token())))).status).toBe(401);
  });
});

test("passwords go on to work beside it", async () => {
  expect((await dataOf(whoAmI(await api.signIn(email)))).viewer).toEqual({ email });
});

test("an incomplete configuration is refused", () => {
  expect(() => apiSettings({ OIDC_ISSUER: issuer })).toThrow("go together");
  expect(() => apiSettings({ OIDC_TENANT: "mine" })).toThrow("go together");
  const both = { ...configuration, OIDC_TENANT: "mine", OIDC_TENANT_CLAIM: "tenant" };
  expect(() => apiSettings(both)).toThrow("exclude each other");
  const neither = { ...configuration, OIDC_TENANT: "" };
  expect(() => apiSettings(neither)).toThrow("neither OIDC_TENANT nor OIDC_TENANT_CLAIM is set");
});

describe("roles of groups", () => {
  const now = Math.floor(Date.now() / 1000);
  const grouped = { ...configuration, OIDC_GROUPS_CLAIM: "groups" };
  const address = "grouped@mine.example";
  let server: Awaited<ReturnType<typeof serveApi>>;
  let user: string;
  beforeAll(async () => {
    server = await serveApi(database, grouped);
    const [made] = await database.sql`
      insert into rate_limiter.users (tenant_id, username, email)
      values (${mine.tenantId}, 'grouped', ${address})
      returning user_id
    `;
    user = made?.user_id;
  });

  /** What a user may do who comes with a token issued then, for that long, with these groups. */
  async function permissions(groups: unknown, issued: number, expires = now + 3_600) {
    const jwt = token({ email: address, email_verified: true, ...(groups ? { groups } : {}) });
    const bearer = await signed(jwt.setIssuedAt(issued).setExpirationTime(expires));
    return (await dataOf(whoAmI(server.bearing(bearer)))).viewerPermissions;
  }
  const map = (client: Client, variables: object) =>
    client.ask(
      `mutation ($group: String!, $role: String!, $tenant: UUID, $all: Boolean) {
        mapGroup(input: {
          groupName: $group, role: $role, tenantId: $tenant, forAllTenants: $all
        }) { roleMapping { mappingId } }
      }`,
      variables as Record<string, unknown>,
    );
  const held = () => database.sql`
    select r.name, ur.expires_at > now() as lasts, extract(epoch from ur.expires_at)::integer as until
    from rate_limiter.user_roles as ur
    join rate_limiter.roles as r on r.role_id = ur.role_id
    where ur.user_id = ${user} order by r.name
  `;

  test("are given until the token ends, and end with the group, without refusing its token", async () => {
    const { mapGroup } = await dataOf(
      map(as.tenant_admin, { group: "viewers", role: "app_viewer" }),
    );
    await dataOf(map(as.system_admin, { group: "ops", role: "ops_admin", all: true }));
    expect(await permissions(undefined, now - 100)).toEqual([]);
    const both = await permissions(["viewers", "ops", "unmapped", 5], now - 90);
    expect(both).toEqual(expect.arrayContaining(["quota:read", "system:monitor"]));
    expect(await held()).toEqual([
      { name: "app_viewer", lasts: true, until: now + 3_600 },
      { name: "ops_admin", lasts: true, until: now + 3_600 },
    ]);
    const one = await permissions("viewers", now - 80, now + 1_800);
    expect(one).toContain("quota:read");
    expect(one).not.toContain("system:monitor");
    expect(await held()).toEqual([
      { name: "app_viewer", lasts: true, until: now + 1_800 },
      expect.objectContaining({ name: "ops_admin", lasts: false }),
    ]);
    // An older token does not bring back what a later one took.
    expect(await permissions(["viewers", "ops"], now - 85)).not.toContain("system:monitor");
    await dataOf(
      as.tenant_admin.ask(
        `mutation ($id: UUID!) { unmapGroup(input: { mappingId: $id }) { isEnded } }`,
        {
          id: mapGroup.roleMapping.mappingId,
        },
      ),
    );
    expect(await permissions("viewers", now - 80)).toEqual([]);
  });

  test("leave what an administrator gave as it is", async () => {
    await dataOf(map(as.tenant_admin, { group: "auditors", role: "auditor" }));
    const assign = `mutation ($user: UUID!) {
      assignRole(input: { userId: $user, role: "auditor" }) { userRole { expiresAt } }
    }`;
    await dataOf(as.tenant_admin.ask(assign, { user }));
    await permissions(["auditors"], now - 70);
    expect(await permissions([], now - 60)).toContain("audit:read");
  });

  test("are never above those of who maps them, in time or tenant", async () => {
    const refusal = async (client: Client, variables: object) =>
      (await map(client, { group: "above", ...variables })).errors?.[0]?.message;
    expect(await refusal(as.tenant_admin, { role: "system_admin" })).toBe(
      "role allows more than you may give",
    );
    expect(await refusal(as.tenant_admin, { role: "app_viewer", tenant: theirs.tenantId })).toBe(
      "unknown tenant",
    );
    expect(await refusal(as.tenant_admin, { role: "app_viewer", all: true })).toBe(
      "only a system administrator may do this",
    );
    expect(await refusal(as.app_admin, { role: "app_viewer" })).toBe("permission denied");
    await database.sql`
      update rate_limiter.user_roles as ur set expires_at = to_timestamp(${now + 600})
      from rate_limiter.roles as r
      where r.role_id = ur.role_id and r.name = 'tenant_admin'
        and ur.user_id = ${mine.users.tenant_admin}
    `;
    await dataOf(map(as.tenant_admin, { group: "brief", role: "app_admin" }));
    expect(await permissions(["brief"], now - 50)).toContain("quota:update");
    expect((await held()).find(({ name }) => name === "app_admin")?.until).toBe(now + 600);
  });

  test("are of the user's tenant and of no other", async () => {
    await dataOf(
      map(as.system_admin, { group: "foreign", role: "app_admin", tenant: theirs.tenantId }),
    );
    expect(await permissions(["foreign"], now - 40)).not.toContain("quota:update");
  });

  test("take no administrator that could not sign in without them, and fail no sign-in", async () => {
    await dataOf(map(as.system_admin, { group: "admins", role: "system_admin" }));
    expect(await permissions(["admins"], now - 30)).toContain("system:configure");
    expect(await permissions([], now - 20)).not.toContain("system:configure");
  });
});
