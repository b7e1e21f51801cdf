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
    const make = `mutation ($user: UserInput!) { createUser(input: { user: $user }) { clientMutationId } }`;

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
