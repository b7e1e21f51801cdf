import { getIntrospectionQuery } from "postgraphile/graphql";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  boundedDocument,
  boundsOfSignedIn,
  boundsOfStrangers,
  checkVariables,
} from "../../../src/api/graphql/bounded-document.ts";
import type { Client } from "../api.ts";
import { subscribe } from "../graphql-socket.ts";
import { refusalOf, serveTwoTenants } from "../world.ts";

const { api, as } = await serveTwoTenants();

/** No field of it exists: validation would answer an error for each. */
const large: Record<string, string> = {
  "one field many times": `{ ${"missing { email } ".repeat(3_000)} }`,
  "fields that nest, many times": `{ ${"missing(first: 1) { a { b(c: 1) { d } } } ".repeat(600)} }`,
  "one field within a field": `{ missing { ${"email ".repeat(400)} } }`,
  "fields with many arguments": `{ ${"missing(a: [1, 2, 3, 4, 5, 6, 7, 8]) { b } ".repeat(80)} }`,
  "many fields": `{ missing { ${Array.from({ length: 2_100 }, (_, n) => `a${n}`).join(" ")} } }`,
  "a fragment that nothing uses": `{ missing } fragment f on No { ${"a ".repeat(2_500)} }`,
  "another operation": `query a { missing } query b { ${"missing ".repeat(2_500)} }`,
  "many operations": Array.from({ length: 30 }, (_, n) => `query a${n} { missing }`).join(" "),
  "many fragments": `{ ${Array.from({ length: 2_100 }, (_, n) => `...f${n}`).join(" ")} }`,
  "many lines": `{ ${"\n".repeat(2_500)} missing }`,
};

const deep: Record<string, string> = {
  "selections that nest": `{${"a{".repeat(4_000)}`,
  "inline fragments that nest": `{${"...{".repeat(2_000)}`,
  "lists that nest": `{ missing(a: ${"[".repeat(9_000)}`,
  "objects that nest": `{ missing(a: ${"{a:".repeat(3_000)}`,
  "types that nest": `query ($a: ${"[".repeat(9_000)}`,
};

async function onlyErrorOf(client: Client, query: string) {
  const { status, errors = [] } = await client.ask(query);
  expect(errors).toHaveLength(1);
  const [{ message, extensions } = { message: "", extensions: { code: "" } }] = errors;
  expect(extensions).toMatchObject({ hint: expect.any(String) });
  return `${status} ${extensions.code} ${message}`;
}

describe.each(["nobody", "auditor"] as const)("before it validates a query of %s", (who) => {
  const client = who === "nobody" ? api.nobody : as[who];

  test.each(Object.keys(large))("the API refuses %s", async (what) => {
    expect(await onlyErrorOf(client, `${large[what]}`)).toBe("400 QS400 query asks for too much");
  });

  test.each(Object.keys(deep))("the API refuses %s", async (what) => {
    expect(await onlyErrorOf(client, `${deep[what]}`)).toBe("400 QS400 query is too deep");
  });

  test("the API refuses variables that nest", async () => {
    // As text: JSON.stringify() gives up sooner than what reads it.
    const response = await client.fetch("/graphql", {
      ...{ method: "POST", headers: { "content-type": "application/json" } },
      body: `{"query":"{ missing }","variables":{"a":${"[".repeat(20_000)}${"]".repeat(20_000)}}}`,
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      errors: [{ message: "query is too deep", extensions: { code: "QS400" } }],
    });
  });
});

describe("variables with many values", () => {
  const create = `mutation ($all: [NewApplicationInput!]!) {
    createApplications(input: { applications: $all }) { results { entry } }
  }`;
  const find = `query ($filter: ApplicationFilter) {
    applications(first: 1, filter: $filter) { nodes { name } }
  }`;
  const someOf = (count: number) =>
    Array.from({ length: count }, () => ({ name: { equalTo: "a" } }));

  test("are refused before they are read one by one", async () => {
    const all = Array.from({ length: 60_000 }, () => ({ name: "a" }));
    expect(await refusalOf(as.app_admin.ask(create, { all }))).toBe(
      "QS400 query asks for too much",
    );
    const few = Array.from({ length: 600 }, () => ({ name: "a" }));
    expect(await refusalOf(api.nobody.ask(create, { all: few }))).toBe(
      "QS400 query asks for too much",
    );
  });

  test("are refused in a filter, whichever part of it they are", async () => {
    const filters = [{ or: someOf(2_000) }, { not: { or: someOf(2_000) } }];
    for (const filter of filters) {
      const asking = as.auditor.ask(find, { filter });
      expect(await refusalOf(asking)).toBe("QS400 query asks for too much");
    }
    const within = find.replace("filter: $filter", "filter: { or: $some }");
    const asking = as.auditor.ask(
      within.replace("$filter: ApplicationFilter", "$some: [ApplicationFilter!]"),
      {
        some: someOf(2_000),
      },
    );
    expect(await refusalOf(asking)).toBe("QS400 query asks for too much");
    expect((await as.auditor.ask(find, { filter: { or: someOf(100) } })).errors).toBeUndefined();
  });
});

describe("who is not signed in", () => {
  const middling = `{ viewer { ${Array.from({ length: 300 }, (_, n) => `a${n}: email`).join(" ")} } }`;

  test("names fewer fields than who is", async () => {
    expect(await onlyErrorOf(api.nobody, middling)).toBe("400 QS400 query asks for too much");
    expect((await as.auditor.ask(middling)).data.viewer.a299).toBe("auditor@mine.example");
  });

  test("names fewer fields than who is, with a token that is none", async () => {
    const answer = await api.bearing("none").ask(middling);
    expect(answer.errors?.[0]?.extensions.code).toBe("QS401");
  });

  test("still asks for the schema with the query of usual tools", async () => {
    const query = getIntrospectionQuery({
      ...{ specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true },
      ...{ inputValueDeprecation: true, oneOf: true },
    });
    const { data } = await api.nobody.ask(query);
    expect(data.__schema.types.length).toBeGreaterThan(100);
  });

  test("sends no more over a socket, nor does a signed-in user", async () => {
    const query = `subscription { ${large["one field many times"]?.slice(1)}`;
    const { accessToken } = await api.signIn("auditor@mine.example");
    for (const token of [undefined, accessToken]) {
      const live = await subscribe(api.url, query, {}, token);
      onTestFinished(() => live.close());
      expect((await live.next()).errors).toMatchObject([{ message: "query asks for too much" }]);
    }
  });
});

test("fragments of fragments are not followed for long", async () => {
  const levels = Array.from(
    { length: 14 },
    (_, n) => `fragment f${n} on Missing { ...f${n + 1} ...f${n + 1} }`,
  );
  const fields = Array.from({ length: 1_000 }, (_, n) => `a${n}`).join(" ");
  const query = `{ missing { ...f0 } } ${levels.join(" ")} fragment f14 on Missing { ${fields} }`;
  expect(await onlyErrorOf(as.auditor, query)).toBe("400 QS400 query asks for too much");
});

test("the bounds are those of the larger query, and no less", () => {
  const fields = (count: number) => `{ ${Array.from({ length: count }, (_, n) => `a${n}`)} }`;
  for (const bounds of [boundsOfStrangers, boundsOfSignedIn]) {
    expect(boundedDocument(fields(bounds.selections), bounds)?.definitions).toHaveLength(1);
    expect(() => boundedDocument(fields(bounds.selections + 1), bounds)).toThrow(
      "query asks for too much",
    );
    const often = Math.floor(Math.sqrt(bounds.comparisons));
    expect(boundedDocument(`{ ${"a ".repeat(often)} }`, bounds)?.definitions).toHaveLength(1);
    expect(() => boundedDocument(`{ ${"a ".repeat(often + 1)} }`, bounds)).toThrow(
      "query asks for too much",
    );
  }
  expect(boundedDocument("{", boundsOfStrangers)).toBeUndefined();
  checkVariables({ a: [[[{ b: 1 }]]], c: null }, boundsOfStrangers);
});
