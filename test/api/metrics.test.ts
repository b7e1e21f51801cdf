import { expect, test } from "vitest";
import { startApi } from "../../src/api/server.ts";
import { eventually } from "../harness/index.ts";
import { createApiDatabase, jwtSecret, serveApi } from "./api.ts";
import { subscribe } from "./graphql-socket.ts";

const database = await createApiDatabase();
const env = { API_METRICS_PORT: "0" };
const { service, nobody, url } = await serveApi(database, env);

/** The value of a series, as Prometheus would read it. */
async function value(series: string): Promise<number> {
  const text = await (await fetch(`${service.metricsUrl}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return Number(line?.split(" ").at(-1) ?? Number.NaN);
}

test("the API counts answers by route and status, and how long they took", async () => {
  await nobody.ask("{ __typename }");
  await nobody.fetch("/export/nothing");
  await nobody.fetch("/healthz");
  const requests = "storage_qos_api_requests_total";
  await eventually(async () => {
    expect(await value(`${requests}{route="graphql",status="200"}`)).toBe(1);
    expect(await value(`${requests}{route="export",status="404"}`)).toBe(1);
    expect(await value(`${requests}{route="health",status="200"}`)).toBe(1);
  });
  const duration = "storage_qos_api_request_duration_seconds";
  expect(await value(`${duration}_count{route="graphql"}`)).toBe(1);
  expect(await value(`${duration}_bucket{le="+Inf",route="graphql"}`)).toBe(1);
  expect(await value(`${duration}_sum{route="graphql"}`)).toBeGreaterThan(0);
});

test("it counts the errors that it told by code, of GraphQL and of HTTP", async () => {
  const errors = (code: string) => value(`storage_qos_api_errors_total{code="${code}"}`);
  const before = await errors("QS404");
  await nobody.fetch("/export/nothing");
  expect(await errors("QS404")).toBe(before + 1);
  expect((await nobody.ask("{ nothing }")).errors).toHaveLength(1);
  expect(await errors("QS400")).toBe(1);
  expect((await nobody.fetch("/graphql", { method: "PUT" })).status).toBe(405);
  expect(await errors("QS405")).toBe(1);
  const wrong = { tenant: "nobody", email: "nobody@example.org", password: "wrong" };
  const signIn = "mutation ($input: LoginInput!) { login(input: $input) { accessToken } }";
  expect((await nobody.ask(signIn, { input: wrong })).errors).toHaveLength(1);
  expect(await errors("QS401")).toBe(1);
  // Over a socket, which answers subscriptions alone.
  const followed = await subscribe(url, signIn, { input: wrong });
  await followed.next();
  followed.close();
  expect(await errors("QS400")).toBe(2);
});

test("a path that callers make up makes no series of its own", async () => {
  const series = async () =>
    (await (await fetch(`${service.metricsUrl}/metrics`)).text()).match(/^storage\S+ /gm)?.length;
  await nobody.fetch("/made-up");
  await eventually(async () =>
    expect(
      (await value('storage_qos_api_requests_total{route="other",status="404"}')) +
        ((await value('storage_qos_api_requests_total{route="other",status="200"}')) || 0),
    ).toBeGreaterThan(0),
  );
  const before = await series();
  for (const path of ["/a", "/b", "/graphql/c"]) await nobody.fetch(path);
  expect(await series()).toBe(before);
});

test("it tells its pool, its sockets, and whether the database takes writes", async () => {
  expect(await value("storage_qos_api_database_writable")).toBe(1);
  expect(await value("storage_qos_api_requests_running")).toBe(0);
  expect(await value("storage_qos_api_requests_waiting")).toBe(0);
  expect(await value("storage_qos_api_exports_running")).toBe(0);
  expect(await value("storage_qos_api_subscriptions")).toBe(0);
  expect(await value('storage_qos_api_pool_connections{state="awaited"}')).toBe(0);
  const idle = 'storage_qos_api_pool_connections{state="idle"}';
  await eventually(async () => expect(await value(idle)).toBeGreaterThan(0));

  const socket = new WebSocket(new URL("/graphql", url.replace("http", "ws")), [
    "graphql-transport-ws",
  ]);
  await new Promise((resolve) => socket.addEventListener("open", resolve));
  expect(await value("storage_qos_api_sockets_open")).toBe(1);
  socket.close();
  await eventually(async () => expect(await value("storage_qos_api_sockets_open")).toBe(0));
});

test("metrics are on a port of their own, and on none unless one is set", async () => {
  expect(await (await nobody.fetch("/metrics")).text()).not.toContain("storage_qos");
  expect(await (await fetch(`${service.metricsUrl}/readyz`)).text()).toBe("ready\n");
  expect((await serveApi(database)).service).not.toHaveProperty("metricsUrl");
  const taken = new URL(service.metricsUrl ?? "").port;
  const starting = startApi({
    databaseUrl: database.urlAs("rate_limiter_authenticator"),
    ...{ host: "127.0.0.1", port: 0 },
    env: { JWT_SECRET: jwtSecret, API_METRICS_PORT: taken },
  });
  await expect(starting).rejects.toMatchObject({
    code: "port_in_use",
    hint: expect.stringContaining("API_METRICS_PORT"),
  });
});
