import { describe, expect, onTestFinished, test } from "vitest";
import { startApi } from "../../../src/api/server.ts";
import { breakableLink } from "../../client/breakable-link.ts";
import { eventually } from "../../harness/index.ts";
import { type Client, jwtSecret, serveApi } from "../api.ts";
import { serveTwoTenants } from "../world.ts";

const { database, api, as, mine } = await serveTwoTenants();
const production = await serveApi(database, { NODE_ENV: "production" });
const json = { "content-type": "application/json" };

const requests: Record<string, RequestInit> = {
  "a query with a syntax error": { method: "POST", headers: json, body: '{"query":"{"}' },
  "a field that does not exist": { method: "POST", headers: json, body: '{"query":"{ viewr }"}' },
  "a missing argument": {
    ...{ method: "POST", headers: json },
    body: '{"query":"mutation { logout { isEnded } }"}',
  },
  "no JSON": { method: "POST", headers: json, body: "no JSON" },
  "no query": { method: "POST", headers: json, body: "{}" },
  "variables that are a list": {
    ...{ method: "POST", headers: json },
    body: '{"query":"{ __typename }","variables":[]}',
  },
  "another content type": {
    ...{ method: "POST", headers: { "content-type": "text/plain" } },
    body: "{ __typename }",
  },
  "a list of queries": { method: "POST", headers: json, body: '[{"query":"{ __typename }"}]' },
  "JSON that is null": { method: "POST", headers: json, body: "null" },
  "two operations, and none named": {
    ...{ method: "POST", headers: json },
    body: '{"query":"query A { __typename } query B { __typename }"}',
  },
  "an operation that is not there": {
    ...{ method: "POST", headers: json },
    body: '{"query":"query A { __typename }","operationName":"B"}',
  },
  "a variable of another type": {
    ...{ method: "POST", headers: json },
    body: '{"query":"query ($a: Int!) { users(first: $a) { totalCount } }","variables":{"a":"x"}}',
  },
  "a subscription that is not on a socket": {
    ...{ method: "POST", headers: json },
    body: '{"query":"subscription { overviewStatus { at } }"}',
  },
  "another method": { method: "PUT", headers: json, body: "{}" },
  "a GET": { method: "GET" },
  "a media type that is not answered": {
    ...{ method: "POST", headers: { ...json, accept: "image/png" } },
    body: '{"query":"{ __typename }"}',
  },
  "a body that is too large": {
    ...{ method: "POST", headers: json },
    body: JSON.stringify({ query: `{ __typename }${" ".repeat(200_000)}` }),
  },
};

describe.each(["development", "production"])("every answer has a code in %s", (mode) => {
  test.each(Object.keys(requests))("to %s", async (what) => {
    const { url } = mode === "production" ? production : api;
    const response = await fetch(new URL("/graphql", url), requests[what]);
    const { errors } = (await response.json()) as { errors: { extensions: object }[] };
    expect(errors.length).toBeGreaterThan(0);
    for (const { extensions } of errors) {
      expect(extensions).toMatchObject({
        ...{ code: expect.stringMatching(/^QS4\d\d$/), hint: expect.any(String) },
      });
    }
  });
});

test("production suggests no name of the schema, and development does", async () => {
  const query = "{ viewr { email } }";
  expect((await api.nobody.ask(query)).errors?.[0]?.message).toMatch(/Did you mean/);
  expect((await production.nobody.ask(query)).errors?.[0]?.message).toBe(
    'Cannot query field "viewr" on type "Query".',
  );
});

test("while the database is away every answer says so, and when to try again", async () => {
  const link = await breakableLink(database.urlAs("rate_limiter_authenticator"));
  const service = await startApi({
    ...{ databaseUrl: link.url, host: "127.0.0.1", port: 0 },
    env: { JWT_SECRET: jwtSecret, NODE_ENV: "production" },
  });
  onTestFinished(async () => {
    link.mend();
    await service.stop();
    await link.close();
  });
  const ask = async (query: string, headers = {}) => {
    const response = await fetch(new URL("/graphql", service.url), {
      ...{ method: "POST", headers: { ...json, ...headers } },
      body: JSON.stringify({ query }),
    });
    const { errors } = (await response.json()) as Awaited<ReturnType<Client["ask"]>>;
    const { status } = response;
    return { status, retry: response.headers.get("retry-after"), error: errors?.[0] };
  };
  const signedIn = await api.signIn("auditor@mine.example");
  const queries: [string, object?][] = [
    ["{ users(first: 1) { nodes { email } } }"],
    ["{ viewer { email } }", { authorization: `Bearer ${signedIn.accessToken}` }],
    ['mutation { login(input: { tenant: "t", email: "e", password: "p" }) { accessToken } }'],
  ];
  link.cut();
  for (const [query, headers] of queries) {
    // The first one may find a connection that is being closed.
    await eventually(async () =>
      expect(await ask(query, headers)).toMatchObject({
        ...{ status: 503, retry: "1" },
        error: {
          message: "database is not available",
          extensions: { code: "QS503", retryAfterMs: 1_000, hint: expect.any(String) },
        },
      }),
    );
  }
  link.mend();
  await eventually(async () =>
    expect((await ask("{ users(first: 1) { nodes { email } } }")).status).toBe(200),
  );
});

test("a failed constraint names the rule, and no row", async () => {
  const { errors } = await as.tenant_admin.ask(
    `mutation ($id: UUID!) {
      createUser(input: { tenantId: $id, username: "secret name", email: "bad" }) {
        user { userId }
      }
    }`,
    { id: mine.tenantId },
  );
  expect(errors?.[0]?.extensions).toMatchObject({
    code: "QS422",
    constraint: "user_email_format",
    hint: expect.stringContaining("name@example.org"),
  });
  expect(JSON.stringify(errors)).not.toMatch(/secret name|failing row/i);
});
