import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect as connectSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import { startApi } from "../../src/api/server.ts";
import { breakableLink } from "../client/breakable-link.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { jwtSecret } from "./api.ts";
import { subscribe } from "./graphql-socket.ts";
import { serveTwoTenants } from "./world.ts";

const { database, api, as } = await serveTwoTenants({
  API_MAX_BODY_BYTES: "20000",
  API_MAX_COST: "2000",
  API_MAX_DEPTH: "8",
  API_CORS_ORIGINS: "https://console.example",
});
const databaseUrl = database.urlAs("rate_limiter_authenticator");
const json = { "content-type": "application/json" };

async function start(env: NodeJS.ProcessEnv) {
  const service = await startApi({
    ...{ databaseUrl, host: "127.0.0.1", port: 0 },
    env: { JWT_SECRET: jwtSecret, ...env },
  });
  onTestFinished(() => service.stop());
  return service.url ?? "";
}

function ask(url: string, query: string, headers = {}) {
  return fetch(new URL("/graphql", url), {
    method: "POST",
    headers: { ...json, ...headers },
    body: JSON.stringify({ query }),
  });
}

// biome-ignore lint/suspicious/noExplicitAny: the answer's shape is what is tested.
const errorsOf = async (response: Response) => ((await response.json()) as any).errors;

describe("the API", () => {
  test("is alive and ready", async () => {
    expect(await (await fetch(new URL("/healthz", api.url))).json()).toEqual({ status: "alive" });
    expect(await (await fetch(new URL("/readyz", api.url))).json()).toEqual({ status: "ready" });
  });

  test("is alive and not ready while the database accepts no connection", async () => {
    const own = await createDatabase();
    const service = await startApi({
      ...{ databaseUrl: own.urlAs("rate_limiter_authenticator"), host: "127.0.0.1", port: 0 },
      env: { JWT_SECRET: jwtSecret },
    });
    onTestFinished(() => service.stop());
    const ready = async () => (await fetch(new URL("/readyz", service.url))).status;
    expect(await ready()).toBe(200);
    const name = database.sql(own.name);
    await database.sql`alter database ${name} with allow_connections false`;
    await database.sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = ${own.name} and application_name like 'storage-qos-%'
    `;
    expect(await ready()).toBe(503);
    expect((await fetch(new URL("/healthz", service.url))).status).toBe(200);
    await database.sql`alter database ${name} with allow_connections true`;
    await expect.poll(ready, { timeout: 10_000 }).toBe(200);
  });
});

test("a connection that is lost fails the request that it works for, and no other", async () => {
  const blocker = await database.session("blocker");
  await blocker.sql`begin`;
  await blocker.sql`lock table rate_limiter.roles in access exclusive mode`;
  const asked = as.system_admin.ask("{ roles(first: 1) { nodes { name } } }");
  await eventually(async () => {
    const ended = await database.sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'storage-qos-graphql'
        and wait_event_type = 'Lock'
    `;
    expect(ended.length).toBeGreaterThan(0);
  });
  expect((await asked).errors?.[0]?.extensions.code).toBe("QS503");
  await blocker.sql`rollback`;
  const { data } = await as.system_admin.ask("{ roles(first: 1) { nodes { name } } }");
  expect(data.roles.nodes).toHaveLength(1);
});

test("the API is not ready while the database accepts packets and does not answer", async () => {
  const link = await breakableLink(databaseUrl);
  const service = await startApi({
    ...{ databaseUrl: link.url, host: "127.0.0.1", port: 0 },
    env: { JWT_SECRET: jwtSecret },
  });
  onTestFinished(async () => {
    link.mend();
    await service.stop();
    await link.close();
  });
  const ready = async () => (await fetch(new URL("/readyz", service.url))).status;
  await eventually(async () => expect(await ready()).toBe(200));
  link.swallow();
  expect(await ready()).toBe(503);
  link.mend();
  await eventually(async () => expect(await ready()).toBe(200));
});

describe("headers", () => {
  test("keep browsers from keeping, framing and guessing", async () => {
    const { headers } = await ask(api.url, "{ __typename }");
    expect(Object.fromEntries(headers)).toMatchObject({
      "cache-control": "no-store",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
    });
  });

  test("let only the IDE's own page run scripts", async () => {
    const policy = async (path: string) =>
      (await fetch(new URL(path, api.url))).headers.get("content-security-policy");
    expect(await policy("/graphiql")).toContain("script-src");
    for (const path of ["/healthz", "/readyz", "/export/metrics.csv", "/graphql"]) {
      expect(await policy(path)).toBe("default-src 'none'; frame-ancestors 'none'");
    }
  });

  test("name the request, as the caller did where that is harmless", async () => {
    const given = await ask(api.url, "{ __typename }", { "x-request-id": "trace-1.2_3" });
    expect(given.headers.get("x-request-id")).toBe("trace-1.2_3");
    const harmful = await ask(api.url, "{ __typename }", { "x-request-id": "a b\tc" });
    expect(harmful.headers.get("x-request-id")).toMatch(/^[\da-f-]{36}$/);
  });

  test("let no other origin's page read answers, but those listed", async () => {
    const origin = async (name: string) =>
      (await ask(api.url, "{ __typename }", { origin: name })).headers.get(
        "access-control-allow-origin",
      );
    expect(await origin("https://evil.example")).toBeNull();
    expect(await origin("https://console.example")).toBe("https://console.example");
    const closed = await start({});
    const { headers } = await ask(closed, "{ __typename }", { origin: "https://console.example" });
    expect(headers.get("access-control-allow-origin")).toBeNull();
  });
});

describe("limits", () => {
  test("hold for a request's size, announced or not", async () => {
    const query = `{ __typename } # ${"x".repeat(30_000)}`;
    const announced = await ask(api.url, query);
    expect(announced.status).toBe(413);
    expect((await errorsOf(announced))[0].extensions.code).toBe("QS413");
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(JSON.stringify({ query })));
        controller.close();
      },
    });
    const streamed = await fetch(new URL("/graphql", api.url), {
      ...{ method: "POST", headers: json, body, duplex: "half" },
    } as RequestInit);
    expect(streamed.status).toBe(413);
  });

  test("hold for the depth of a query", async () => {
    const nest = (depth: number): string =>
      depth === 0
        ? "name"
        : `application { tenant { applications(first: 1) { nodes { ${
            depth === 1 ? "name" : `quotas(first: 1) { nodes { ${nest(depth - 1)} } }`
          } } } } }`;
    const { errors } = await as.system_admin.ask(`{ quotas(first: 1) { nodes { ${nest(2)} } } }`);
    expect(errors?.[0]).toMatchObject({
      message: "query is too deep",
      extensions: { code: "QS400", hint: "Nest no more than 8 fields." },
    });
  });

  test("hold for what pages multiply to, by literals, variables and fragments alike", async () => {
    const queries = [
      "{ applications(first: 100) { nodes { quotas(first: 100) { nodes { configId } } } } }",
      `query ($n: Int = 100) {
        applications(first: $n) { nodes { quotas(first: $n) { nodes { configId } } } }
      }`,
      `{ applications(first: 100) { ...page } }
       fragment page on ApplicationConnection { nodes { quotas(last: 100) { ...inner } } }
       fragment inner on QuotaConnection { nodes { configId } }`,
    ];
    for (const query of queries) {
      const { errors } = await as.system_admin.ask(query);
      expect(errors?.[0]?.message).toBe("query asks for too much");
    }
    const { data } = await as.system_admin.ask(
      "{ applications(first: 10) { nodes { quotas(first: 10) { nodes { configId } } } } }",
    );
    expect(data.applications.nodes).toHaveLength(2);
  });

  test("hold for the number of functions that one request calls, whatever their aliases", async () => {
    const aliases = (count: number) =>
      Array.from({ length: count }, (_, n) => `a${n}: viewer { email }`).join(" ");
    expect((await as.auditor.ask(`{ ${aliases(3)} }`)).data.a2.email).toBe("auditor@mine.example");
    for (const query of [`{ ${aliases(5)} }`, `{ ...f } fragment f on Query { ${aliases(5)} }`]) {
      const { errors } = await as.auditor.ask(query);
      expect(errors?.[0]?.message).toBe("query asks for too much");
    }
  });

  test("hold for pages: one of them is not too large", async () => {
    const without = await as.system_admin.ask("{ applications(first: null) { nodes { name } } }");
    expect(without.errors?.[0]?.message).toBe("page has no size");
    const large = await as.system_admin.ask("{ applications(first: 501) { nodes { name } } }");
    expect(large.errors?.[0]?.message).toBe("page is too large");
  });

  test("hold for the time that a statement may take", async () => {
    const url = await start({ API_STATEMENT_TIMEOUT_MS: "100" });
    const { accessToken } = await api.signIn("system_admin@mine.example");
    const blocker = await database.session("blocker");
    const headers = { authorization: `Bearer ${accessToken}` };
    // Of the query's own table, and of one that is read to know who asks.
    for (const table of ["alert_configs", "tenants"]) {
      await blocker.sql`begin`;
      await blocker.sql`lock table rate_limiter.${blocker.sql(table)} in access exclusive mode`;
      const query = "{ alertConfigs(first: 1) { nodes { severity } } }";
      const [error] = await errorsOf(await ask(url, query, headers));
      await blocker.sql`rollback`;
      expect(error).toMatchObject({
        message: "query took too long",
        extensions: { code: "QS503" },
      });
    }
  });
});

describe("in production", () => {
  test("there is neither IDE nor introspection", async () => {
    const url = await start({ NODE_ENV: "production" });
    expect((await fetch(new URL("/graphiql", url))).status).toBe(404);
    expect((await fetch(new URL("/graphiql-static/ruru.js", url))).status).toBe(404);
    const answer = await ask(url, "{ __schema { types { name } } }");
    expect((await errorsOf(answer))[0].message).toMatch(/introspection/i);
    const fields = await ask(url, "{ aplications { nodes { name } } }");
    expect((await errorsOf(fields))[0].message).not.toContain("Did you mean");
  });

  test("they can be switched on", async () => {
    const url = await start({ NODE_ENV: "production", API_IDE: "on", API_INTROSPECTION: "on" });
    const page = await fetch(new URL("/graphiql", url));
    expect(page.headers.get("content-type")).toContain("text/html");
    const answer = await ask(url, "{ __schema { queryType { name } } }");
    expect(await answer.json()).toEqual({ data: { __schema: { queryType: { name: "Query" } } } });
  });

  test("an error says no more than it was written to say", async () => {
    const url = await start({ NODE_ENV: "production" });
    const { accessToken } = await api.signIn("system_admin@mine.example");
    await database.sql`alter table rate_limiter.roles rename column description to broken`;
    const [error] = await errorsOf(
      await ask(url, "{ roles(first: 1) { nodes { description } } }", {
        authorization: `Bearer ${accessToken}`,
      }),
    );
    await database.sql`alter table rate_limiter.roles rename column broken to description`;
    expect(error).toMatchObject({
      message: "unexpected error",
      extensions: { code: "QS500", errorId: expect.stringMatching(/^[\da-f-]{36}$/) },
    });
    expect(JSON.stringify(error)).not.toContain("does not exist");
  });

  test("a secret has to be given, and be long enough", async () => {
    await expect(start({ NODE_ENV: "production", JWT_SECRET: "" })).rejects.toMatchObject({
      code: "jwt_secret_missing",
    });
    await expect(start({ JWT_SECRET: "short" })).rejects.toMatchObject({
      code: "jwt_secret_short",
    });
  });
});

describe("persisted operations", () => {
  const folder = mkdtempSync(join(tmpdir(), "persisted-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const put = (name: string, text: string) => writeFileSync(join(folder, name), text);

  test("are the only ones answered, by the id of any of the usual clients", async () => {
    put("me.graphql", "{ viewer { email } }");
    put("large.graphql", "{ applications(first: 100000) { nodes { name } } }");
    put("live.graphql", "subscription { alertChanged { status } }");
    const url = await start({ API_PERSISTED_OPERATIONS: folder });
    const { accessToken } = await api.signIn("auditor@mine.example");
    const send = async (body: object) => {
      const response = await fetch(new URL("/graphql", url), {
        ...{ method: "POST", body: JSON.stringify(body) },
        headers: { ...json, authorization: `Bearer ${accessToken}` },
      });
      // biome-ignore lint/suspicious/noExplicitAny: the answer's shape is what is tested.
      return (await response.json()) as any;
    };
    const extensions = { persistedQuery: { version: 1, sha256Hash: "me" } };
    for (const named of [{ id: "me" }, { documentId: "me" }, { extensions }]) {
      expect(await send(named)).toEqual({ data: { viewer: { email: "auditor@mine.example" } } });
    }
    const query = "{ tenants(first: 1) { nodes { name } } }";
    for (const other of [{ query }, { id: "you", query }, { id: "../me" }, {}]) {
      const { errors } = await send(other);
      expect(errors).toMatchObject([
        { message: "operation is not persisted", extensions: { code: "QS403" } },
      ]);
    }
    // The text is the server's: one that comes along counts for nothing, limits count as ever.
    expect((await send({ id: "me", query })).data.viewer.email).toBe("auditor@mine.example");
    expect((await send({ id: "large" })).errors[0].message).toBe("page is too large");
    const socket = await subscribe(
      url,
      "subscription { alertChanged { status } }",
      {},
      accessToken,
    );
    onTestFinished(() => socket.close());
    expect((await socket.next()).errors[0].message).toBe("operation is not persisted");
  });

  test("are checked when the server starts", async () => {
    const refusal = { code: "persisted_operations_invalid" };
    const missing = { API_PERSISTED_OPERATIONS: join(folder, "missing") };
    await expect(start(missing)).rejects.toMatchObject(refusal);
    put("broken.graphql", "{ viewer {");
    await expect(start({ API_PERSISTED_OPERATIONS: folder })).rejects.toMatchObject(refusal);
  });
});

describe("stopping", () => {
  test("answers requests in flight, and accepts no new one", async () => {
    const service = await startApi({
      ...{ databaseUrl, host: "127.0.0.1", port: 0 },
      env: { JWT_SECRET: jwtSecret },
    });
    const url = service.url ?? "";
    const { accessToken } = await api.signIn("system_admin@mine.example");
    const blocker = await database.session("blocker");
    await blocker.sql`begin`;
    await blocker.sql`lock table rate_limiter.operation_types in access exclusive mode`;
    const answer = ask(url, "{ operationTypes(first: 1) { nodes { name } } }", {
      authorization: `Bearer ${accessToken}`,
    });
    const waiting = async () => {
      const rows = await database.sql`
        select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'
      `;
      return rows.length;
    };
    await expect.poll(waiting, { timeout: 30_000 }).toBe(1);
    const stopped = service.stop();
    await expect(fetch(new URL("/healthz", url))).rejects.toThrow();
    await blocker.sql`rollback`;
    expect((await answer).status).toBe(200);
    await stopped;
  });

  test("waits no longer than it may", async () => {
    const service = await startApi({
      ...{ databaseUrl, host: "127.0.0.1", port: 0 },
      env: { JWT_SECRET: jwtSecret, API_DRAIN_MS: "100" },
    });
    const { port } = new URL(service.url ?? "");
    const slow = connectSocket(Number(port), "127.0.0.1");
    await once(slow, "connect");
    slow.write("POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n");
    // What came before this is read by the time that it is answered.
    expect((await fetch(new URL("/healthz", service.url))).status).toBe(200);
    const start = performance.now();
    await service.stop();
    // The request would be given up after thirty seconds in any case.
    expect(performance.now() - start).toBeLessThan(20_000);
  });
});

test("a port that is in use is reported as such", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  onTestFinished(() => void taken.close());
  const { port } = taken.address() as { port: number };
  const options = { databaseUrl, host: "127.0.0.1", port, env: { JWT_SECRET: jwtSecret } };
  await expect(startApi(options)).rejects.toMatchObject({ code: "port_in_use" });
  // An address for documents (RFC 5737), which no machine has.
  const elsewhere = startApi({ ...options, host: "203.0.113.1", port: 0 });
  await expect(elsewhere).rejects.toMatchObject({ code: "address_unusable" });
});

test("the audit knows the address that a trusted proxy tells, and no other", async () => {
  const lastAddress = async (trusted: string) => {
    const url = await start({ API_TRUSTED_PROXIES: trusted });
    const query = `mutation { login(input: { tenant: "mine", email: "auditor@mine.example", password: "no" }) {
      accessToken
    } }`;
    await ask(url, query, { "x-forwarded-for": "6.6.6.6, 203.0.113.9" });
    const [row] = await database.sql`
      select host(ip_address) as address from rate_limiter_audit.audit_logs
      where action = 'login' order by created_at desc limit 1
    `;
    return row?.address;
  };
  expect(await lastAddress("0")).toBe("127.0.0.1");
  expect(await lastAddress("1")).toBe("203.0.113.9");
});
