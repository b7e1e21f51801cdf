import { once } from "node:events";
import { type IncomingHttpHeaders, request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { beforeEach, describe, expect, test } from "vitest";
import { freePort } from "../../src/postgres/free-port.ts";
import { addQuota, type ClientWorld, charged, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("nothing hides a body from the gateway:", async () => {
  const database = await createDatabase();
  const http2 = await freePort();
  const edit = (text: string) =>
    text
      .replace("include listen.conf;", `$& listen 127.0.0.1:${http2} http2;`)
      .replaceAll("client_max_body_size 64m;", "client_max_body_size 3m;");
  const { nginx, storage } =
    missing === undefined
      ? await startGateway(
          database,
          { QOS_PACE_DOWNLOADS: "off", QOS_OUTAGE_POLICY: "closed" },
          { edit },
        )
      : (undefined as never);
  let world: ClientWorld;

  beforeEach(async () => {
    world = await makeWorld(database);
  });

  const megabytes = (count: number) => Buffer.alloc(count * 1_000_000, "x");

  interface Answer {
    readonly status: number;
    readonly headers: IncomingHttpHeaders;
  }

  async function send(
    method: string,
    headers: readonly string[],
    body: Buffer,
    path = "/b/o",
  ): Promise<Answer> {
    const asking = request(nginx.url + path, { method, headers: [...headers], agent: false });
    asking.on("error", () => {});
    asking.end(body);
    const [response] = await once(asking, "response");
    response.resume();
    return { status: response.statusCode, headers: response.headers };
  }

  async function bytes(): Promise<number> {
    return Number((await charged(database, world)).bytes);
  }

  const manyHeaders = Array.from({ length: 150 }, (_, place) => [`X-Filler-${place}`, "x"]).flat();

  test("a Content-Length after the hundredth header", async () => {
    await addQuota(database, world, { iops: { limit: 1_000 }, bytesPerSecond: 1_000_000 });
    const headers = [
      ...["Host", "h", "X-API-Key", world.apiKey],
      ...manyHeaders,
      ...["Content-Length", "2000000"],
    ];
    const statuses = [];
    for (let put = 0; put < 6; put += 1) {
      statuses.push((await send("PUT", headers, megabytes(2))).status);
    }
    expect(statuses.filter((status) => status === 200).length).toBeLessThanOrEqual(2);
    await eventually(async () => expect(await bytes()).toBeGreaterThanOrEqual(2_000_000));
  });

  test("a second key after the hundredth header", async () => {
    const headers = ["Host", "h", "X-API-Key", world.apiKey, ...manyHeaders, "X-API-Key", "other"];
    expect((await send("GET", headers, Buffer.alloc(0))).status).toBe(400);
  });

  test("a query argument after the hundredth", async () => {
    await addQuota(database, world, { iops: { limit: 1, burst: 1_000 } });
    const query = Array.from({ length: 150 }, (_, place) => `a${place}=1`).join("&");
    const headers = ["Host", "h", "X-API-Key", world.apiKey, "Content-Length", "1"];
    await send("POST", headers, Buffer.from("x"), `/bucket?${query}&delete`);
    // A delete costs five, a small write two.
    await eventually(async () =>
      expect(Number((await charged(database, world)).tokens)).toBeGreaterThanOrEqual(5),
    );
  });

  test.each(["PUT", "GET", "DELETE"])("chunks, before they are forwarded: %s", async (method) => {
    await addQuota(database, world, {
      iops: { limit: 1_000 },
      bytesPerSecond: 1_000_000,
      oversize: false,
    });
    const seen = storage.requests.length;
    const headers = ["Host", "h", "X-API-Key", world.apiKey, "Transfer-Encoding", "chunked"];
    expect((await send(method, headers, megabytes(2))).status).toBe(413);
    expect(storage.requests).toHaveLength(seen);
  });

  // One is like the gateway's own, which nginx's maps would take for the same.
  test.each(["/b/o", "/.QOS/unserved"])("chunks beyond what is kept: %s", async (path) => {
    const seen = storage.requests.length;
    const headers = ["Host", "h", "X-API-Key", world.apiKey, "Transfer-Encoding", "chunked"];
    expect((await send("PUT", headers, megabytes(4), path)).status).toBe(413);
    expect(storage.requests).toHaveLength(seen);
  });

  test("chunks of an unknown key, which are not read at all", async () => {
    const headers = ["Host", "h", "X-API-Key", "qos_unknown", "Transfer-Encoding", "chunked"];
    expect((await send("PUT", headers, megabytes(1))).status).toBe(401);
  });

  test.each(["PUT", "GET"])("HTTP/2 without a length: %s", async (method) => {
    await addQuota(database, world, {
      iops: { limit: 1_000 },
      bytesPerSecond: 1_000_000,
      oversize: false,
    });
    const seen = storage.requests.length;
    const session = connectHttp2(`http://127.0.0.1:${http2}`);
    session.on("error", () => {});
    const upload = session.request(
      { ":method": method, ":path": "/b/o", "x-api-key": world.apiKey },
      { endStream: false },
    );
    upload.on("error", () => {});
    upload.end(megabytes(2));
    const [headers] = await once(upload, "response");
    upload.resume();
    session.destroy();
    expect(headers[":status"]).toBe(413);
    expect(storage.requests).toHaveLength(seen);
  });

  test("an operation without bytes waits while bytes are owed", async () => {
    await addQuota(database, world, { iops: { limit: 10_000 }, bytesPerSecond: 1_000_000 });
    await database.sql.begin(async (sql) => {
      const headers = { "X-API-Key": world.apiKey };
      await (await fetch(`${nginx.url}/bytes/10`, { headers })).arrayBuffer();
      // The debt cannot be charged while the bucket is locked.
      await sql`
        select from rate_limiter.token_buckets where owner_id = ${world.appId} for update
      `;
      const download = await fetch(`${nginx.url}/bytes/9000000`, { headers });
      await download.arrayBuffer();
      const response = await fetch(`${nginx.url}/b/o`, { method: "DELETE", headers });
      expect(response.status).not.toBe(200);
    });
  });
});
