import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { addQuota, type ClientWorld, charged, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

/** Objects whose bodies come when they are let go, and a store that ignores ranges. */
async function startStore() {
  const released: (() => void)[] = [];
  const server: Server = createServer((request, response) => {
    request.resume();
    const url = new URL(request.url ?? "", "http://h");
    const size = Number(url.searchParams.get("size") ?? 2);
    const copied = url.searchParams.get("copied");
    response.statusCode = Number(url.searchParams.get("status") ?? 200);
    if (copied !== null) response.setHeader("x-amz-object-size", copied);
    const range = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "");
    if (range !== null && url.searchParams.has("ranges")) {
      response.statusCode = 206;
      response.end(Buffer.alloc(Number(range[2]) - Number(range[1]) + 1));
    } else if (url.searchParams.has("held")) {
      response.setHeader("Content-Length", size);
      response.flushHeaders();
      response.write(Buffer.alloc(1));
      released.push(() => response.end(Buffer.alloc(size - 1)));
    } else {
      response.end(Buffer.alloc(size));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, port: (server.address() as AddressInfo).port, released };
}

describe.skipIf(missing !== undefined)("the gateway charges", async () => {
  const database = await createDatabase();
  const store = await startStore();
  afterAll(() => void store.server.closeAllConnections());
  const edit = (text: string) =>
    text.replaceAll("http://storage", `http://127.0.0.1:${store.port}`);
  const { nginx } =
    missing === undefined
      ? await startGateway(
          database,
          { QOS_PACE_DOWNLOADS: "off", QOS_DATABASE_TIMEOUT_MS: "20000" },
          { edit },
        )
      : (undefined as never);
  let world: ClientWorld;

  beforeEach(async () => {
    world = await makeWorld(database);
  });

  const ask = (path: string, init: RequestInit = {}) =>
    fetch(nginx.url + path, { ...init, headers: { "X-API-Key": world.apiKey, ...init.headers } });
  const get = async (path: string, headers = {}) => {
    const response = await ask(path, { headers });
    await response.arrayBuffer();
    return response.status;
  };
  const bytes = async () => Number((await charged(database, world)).bytes);
  const tokens = async () => Number((await charged(database, world)).tokens);

  async function slow(bytesPerSecond: number, oversize = true, iops = 1_000): Promise<void> {
    await addQuota(database, world, {
      iops: { limit: 1, burst: iops },
      bytesPerSecond,
      oversize,
    });
    await database.sql`
      update rate_limiter.bandwidth_quotas set refill_rate_bps = 1, bandwidth_limit_bps = 1
      where config_id in (
        select config_id from rate_limiter.quota_configs where app_id = ${world.appId}
      )
    `;
  }

  async function spentAtRest(): Promise<{ tokens: number; bytes: number }> {
    await eventually(async () => {
      const open = await database.sql`
        select from rate_limiter.token_leases
        where app_id = ${world.appId} and settled_at is null
      `;
      expect(open).toHaveLength(0);
      expect(await tokens()).toBeGreaterThan(0);
    });
    return { tokens: await tokens(), bytes: await bytes() };
  }

  test("a download of unknown size is not taken for more than a bucket of operations holds", async () => {
    // A medium read costs more than two tokens.
    await addQuota(database, world, { iops: { limit: 2 } });
    expect(await get("/b/o?size=2")).toBe(200);
  });

  test("a download by its length before its body is sent", async () => {
    await addQuota(database, world, { bytesPerSecond: 1_000_000 });
    const response = await ask("/b/o?held&size=5000000");
    expect(response.status).toBe(200);
    await eventually(async () => expect(await bytes()).toBeGreaterThanOrEqual(5_000_000));
    expect(await get("/b/o")).toBe(429);
    store.released.at(-1)?.();
    await response.arrayBuffer();
    await sleep(300);
    expect(await bytes()).toBeLessThan(5_600_000);
  });

  test("what a client gives up by what was sent: the rest goes back", async () => {
    await addQuota(database, world, { bytesPerSecond: 1_000_000 });
    const download = connect(nginx.port, "127.0.0.1");
    await once(download, "connect");
    download.write(
      `GET /b/o?held&size=90000000 HTTP/1.1\r\nHost: h\r\nX-API-Key: ${world.apiKey}\r\n\r\n`,
    );
    await once(download, "data");
    await eventually(async () => expect(await bytes()).toBeGreaterThanOrEqual(90_000_000));
    download.destroy();
    await eventually(async () => expect(await bytes()).toBeLessThan(1_000_000));
  });

  test("what the database decided on in the same way", async () => {
    await addQuota(database, world, {
      iops: { limit: 1_000, method: "leaky_bucket" },
      bytesPerSecond: 1_000_000,
    });
    const download = connect(nginx.port, "127.0.0.1");
    await once(download, "connect");
    download.write(
      `GET /b/o?held&size=30000000 HTTP/1.1\r\nHost: h\r\nX-API-Key: ${world.apiKey}\r\n\r\n`,
    );
    await once(download, "data");
    await eventually(async () => expect(await bytes()).toBeGreaterThanOrEqual(30_000_000));
    download.destroy();
    await eventually(async () => expect(await bytes()).toBeLessThan(1_000_000));
  });

  test("no whole object at the size of a range that the storage ignores", async () => {
    await slow(1_000_000);
    const statuses = [];
    for (let i = 0; i < 10; i += 1) {
      statuses.push(await get("/b/o?size=2000000", { Range: "bytes=0-4", "If-Range": '"x"' }));
      statuses.push(await get("/b/o?size=2000000", { Range: "bytes=0-4" }));
    }
    expect(statuses.filter((status) => status !== 429)).toHaveLength(1);
  });

  test("ranges that the storage honours by their size", async () => {
    await slow(1_000_000);
    for (let i = 0; i < 20; i += 1) {
      expect(await get("/b/o?ranges", { Range: "bytes=0-9999" })).toBe(206);
    }
    expect((await spentAtRest()).bytes).toBeLessThan(201_000);
  });

  test("small answers as small ones, also where the quota holds little", async () => {
    await slow(50_000, false);
    const statuses = [];
    for (let i = 0; i < 200; i += 1) statuses.push(await get("/b/o?size=5"));
    expect(new Set(statuses)).toEqual(new Set([200]));
    await eventually(async () => expect(await bytes()).toBeLessThan(2_000));
  });

  test.each([
    ["a small answer", "/b/o?size=100", {}, 1],
    ["a large answer", "/b/o?size=200000", {}, 5],
  ])("the class of what was read: %s", async (_, path, headers, least) => {
    await slow(100_000_000);
    await database.sql`
      insert into rate_limiter.cost_rules (app_id, operation_id, c_base_override, c_bw_override)
      select ${world.appId}, operation_id,
        case name when 'read_small' then 1 when 'read_medium' then 3 else 5 end, 0
      from rate_limiter.operation_types where name like 'read%'
    `;
    expect(await get(path, headers)).toBe(200);
    const { tokens: spent } = await spentAtRest();
    expect(spent).toBeGreaterThanOrEqual(least);
    expect(spent).toBeLessThan(least + 1.9);
  });

  test("the class of an upload by its content, and its bytes by what comes", async () => {
    await slow(100_000_000);
    await database.sql`
      insert into rate_limiter.cost_rules (app_id, operation_id, c_base_override, c_bw_override)
      select ${world.appId}, operation_id, case name when 'write_small' then 1 else 7 end, 0
      from rate_limiter.operation_types where name like 'write%'
    `;
    const put = (headers: Record<string, string>) =>
      ask("/b/o", { method: "PUT", headers, body: Buffer.alloc(4_300) });
    const said = { "x-amz-decoded-content-length": "4096" };
    const inChunks = { "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" };
    expect((await put({ ...said, ...inChunks })).status).toBe(200);
    expect((await spentAtRest()).tokens).toBeLessThan(3);
    // A body that is not in chunks is all content.
    expect((await put(said)).status).toBe(200);
    expect((await put({ ...said, "content-encoding": "aws-chunked" })).status).toBe(200);
    // What cannot be the length of this content.
    for (const length of ["1", "2200", "4301", "4096.5", "0x1000", "4.096e3"]) {
      const other = { ...inChunks, "x-amz-decoded-content-length": length };
      expect((await put(other)).status).toBe(200);
    }
    await eventually(async () => expect(await tokens()).toBeGreaterThanOrEqual(1 + 8 * 7));
  });

  test("a copy by the size that the storage says, or that was asked for", async () => {
    await slow(100_000_000);
    const copy = (path: string, headers = {}) =>
      ask(path, { method: "PUT", headers: { "x-amz-copy-source": "/b/other", ...headers } });
    expect((await copy("/b/o?copied=700000")).status).toBe(200);
    await eventually(async () => expect(await bytes()).toBeGreaterThanOrEqual(700_000));
    const before = (await spentAtRest()).bytes;
    const range = { "x-amz-copy-source-range": "bytes=0-99999" };
    expect((await copy("/b/o?partNumber=1&uploadId=u", range)).status).toBe(200);
    await eventually(async () => expect(await bytes()).toBeGreaterThanOrEqual(before + 100_000));
  });

  test.each(["", "&partNumber=1", "&uploadId=u", "&partNumber&uploadId"])(
    "a copy of no part by the size that the storage says, whatever range it asks for: %s",
    async (query) => {
      await slow(100_000_000);
      const headers = { "x-amz-copy-source": "/b/other", "x-amz-copy-source-range": "bytes=0-0" };
      expect((await ask(`/b/o?copied=700000${query}`, { method: "PUT", headers })).status).toBe(
        200,
      );
      await eventually(async () => expect(await bytes()).toBeGreaterThanOrEqual(700_000));
    },
  );

  describe("copies inside the store", () => {
    const copy = async (path: string, headers = {}) =>
      (await ask(path, { method: "PUT", headers: { "x-amz-copy-source": "/b/other", ...headers } }))
        .status;

    test("not at all while the bucket of bytes is in debt", async () => {
      await slow(1_000_000);
      expect(await copy("/b/o?copied=30000000")).toBe(200);
      for (let i = 0; i < 5; i += 1) expect(await copy("/b/o?copied=30000000")).toBe(429);
      expect(await get("/b/o")).toBe(429);
    });

    test.each([
      ["x-goog-copy-source", "PUT"],
      ["x-oss-copy-source", "PUT"],
      ["x-obs-copy-source", "PUT"],
      ["x-cos-copy-source", "PUT"],
      ["x-bce-copy-source", "PUT"],
      ["x-ms-copy-source", "PUT"],
      ["x-tos-copy-source", "PUT"],
      ["x-copy-from", "PUT"],
      ["destination", "COPY"],
    ])("as other stores have them: %s of %s", async (name, method) => {
      await slow(1_000_000);
      const once = () => ask("/b/o?copied=30000000", { method, headers: { [name]: "/b/other" } });
      expect((await once()).status).toBe(200);
      expect((await once()).status).toBe(429);
    });

    // Signers of URLs put headers into the query, and stores read them there.
    test.each(["x-amz-copy-source", "X-Amz-Copy-Source", "x-amz%2dcopy-source"])(
      "whose source is in the query: %s",
      async (name) => {
        await slow(1_000_000);
        const once = () => ask(`/b/o?copied=30000000&${name}=/b/other`, { method: "PUT" });
        expect((await once()).status).toBe(200);
        expect((await once()).status).toBe(429);
      },
    );

    test.each(["part%4eumber=1&uploadId=u", "partNumber=1&upload%49d=u"])(
      "of a part that is one to some stores alone, not at its range: %s",
      async (query) => {
        await slow(100_000_000);
        expect(await copy(`/b/o?${query}`, { "x-amz-copy-source-range": "bytes=0-0" })).toBe(200);
        await eventually(async () => expect(await bytes()).toBeGreaterThanOrEqual(1_048_576));
      },
    );

    test("at an estimate where the storage says no size", async () => {
      await slow(1_000_000);
      const statuses = [];
      for (let i = 0; i < 12; i += 1) statuses.push(await copy("/b/o"));
      // At an eighth of the bucket each.
      const admitted = statuses.filter((status) => status === 200).length;
      expect(admitted).toBeGreaterThan(0);
      expect(admitted).toBeLessThanOrEqual(8);
      expect(statuses.at(-1)).toBe(429);
    });

    test("at the size of the last ones whose size it said", async () => {
      await slow(100_000_000);
      expect(await copy("/b/o?copied=3000000")).toBe(200);
      expect(await copy("/b/o")).toBe(200);
      const { bytes: spent } = await spentAtRest();
      expect(spent).toBeGreaterThanOrEqual(6_000_000);
      expect(spent).toBeLessThan(6_001_000);
    });

    test("of a part at what the storage says, whatever range it was asked for", async () => {
      await slow(100_000_000);
      const range = { "x-amz-copy-source-range": "bytes=0-0" };
      expect(await copy("/b/o?partNumber=1&uploadId=u&copied=700000", range)).toBe(200);
      await eventually(async () => expect(await bytes()).toBeGreaterThanOrEqual(700_000));
    });

    test("that failed at nothing", async () => {
      await slow(100_000_000);
      expect(await copy("/b/o?status=404")).toBe(404);
      // What comes back finds a bucket that has refilled by a few.
      expect((await spentAtRest()).bytes).toBeLessThan(1_000);
    });
  });

  test.each([
    ["POST", "/b/o?select&"],
    ["PROPFIND", "/b/o?"],
    ["OPTIONS", "/b/o?"],
    ["DELETE", "/b/o?"],
  ])("the bytes of an answer to %s", async (method, path) => {
    await slow(100_000_000);
    const init = { method, ...(method === "DELETE" ? {} : { body: "x" }) };
    await (await ask(`${path}size=500000`, init)).arrayBuffer();
    await eventually(async () => expect(await bytes()).toBeGreaterThanOrEqual(500_000));
  });

  test("no bytes of an answer to HEAD, nor of the words of a result", async () => {
    await slow(100_000_000);
    await ask("/b/o?size=500000", { method: "HEAD" });
    await (await ask("/b/o?size=4000", { method: "PROPFIND" })).arrayBuffer();
    expect((await spentAtRest()).bytes).toBeLessThan(4_000);
  });

  test("a preflight to no one, and passes its head on alone", async () => {
    const asking = connect(nginx.port, "127.0.0.1");
    asking.write(
      "OPTIONS /b/o?size=500000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" +
        "Origin: http://o\r\nAccess-Control-Request-Method: PUT\r\n\r\n",
    );
    const answer = await text(asking);
    expect(answer).toMatch(/^HTTP\/1.1 200 /);
    expect(answer.length).toBeLessThan(1_000);
  });

  test("what came of a list of keys to delete that its sender gives up", async () => {
    await addQuota(database, world, { bytesPerSecond: 1_000_000 });
    const sender = connect(nginx.port, "127.0.0.1");
    sender.write(
      `POST /bucket?delete HTTP/1.1\r\nHost: h\r\nX-API-Key: ${world.apiKey}\r\n` +
        `Content-Length: 900000\r\n\r\n`,
    );
    sender.end(Buffer.alloc(500_000));
    await once(sender.resume(), "close");
    await eventually(async () => expect(await bytes()).toBeGreaterThanOrEqual(500_000));
    expect(await bytes()).toBeLessThan(900_000);
  });

  test("each key of a request that deletes several", async () => {
    await slow(100_000_000);
    const keys = Array.from({ length: 20 }, (_, key) => `<Object><Key>${key}</Key></Object>`);
    const body = `<Delete>${keys.join("")}</Delete>`;
    expect((await ask("/bucket?delete", { method: "POST", body })).status).toBe(200);
    const spent = (await spentAtRest()).tokens;
    expect(spent).toBeGreaterThanOrEqual(100);
    expect(spent).toBeLessThan(101);
  });
});
