import { once } from "node:events";
import { Agent, request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { freePort } from "../../src/postgres/free-port.ts";
import { addQuota, charged, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { counter, startGateway } from "./gateway-world.ts";
import { type Driver, missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("a gateway", async () => {
  const database = await createDatabase();

  describe("with a header, a list of operations and a protocol of its own", async () => {
    const http2 = await freePort();
    const operations = `{
      { method = "GET", operation = "head" },
      { method = "PUT", operation = "write_small", transfers = "up" },
    }`;
    const edit = (text: string) =>
      text
        .replace("include listen.conf;", `$& listen 127.0.0.1:${http2} http2;`)
        .replace(
          "init_by_lua_block {",
          `$& package.loaded["qos.operations.operation_map"] = ${operations}`,
        );
    const { nginx, storage } =
      missing === undefined
        ? await startGateway(database, { QOS_KEY_HEADER: "X-Tenant" }, { edit })
        : (undefined as never);

    test("keeps the key to itself, and passes the host on as it was said", async () => {
      const { apiKey } = await makeWorld(database);
      const response = await fetch(`${nginx.url}/b/o`, { headers: { "X-Tenant": apiKey } });
      expect(response.status).toBe(200);
      expect(storage.requests.at(-1)?.headers).toMatchObject({ host: `127.0.0.1:${nginx.port}` });
      expect(JSON.stringify(storage.requests.at(-1))).not.toContain(apiKey);
    });

    test("refuses what is not an operation", async () => {
      const { apiKey } = await makeWorld(database);
      const seen = storage.requests.length;
      for (const key of [apiKey, "qos_nobodys"]) {
        const response = await fetch(`${nginx.url}/b/o`, {
          method: "DELETE",
          headers: { "X-Tenant": key },
        });
        expect(response.status).toBe(404);
        expect(await response.json()).toMatchObject({ title: "unknown operation" });
      }
      expect(storage.requests).toHaveLength(seen);
    });

    test.each([
      ["an upload", "PUT"],
      ["a body that no operation takes", "GET"],
    ])("charges %s over HTTP/2 by the bytes that came", async (_, method) => {
      const world = await makeWorld(database);
      await addQuota(database, world, { bytesPerSecond: 1_000_000_000 });
      const settled = () => counter(nginx, /^qos_settled_bytes_total\{direction="up"\}/);
      const before = await settled();
      const session = connectHttp2(`http://127.0.0.1:${http2}`);
      const asked = { ":method": method, ":path": "/b/o", "x-tenant": world.apiKey };
      const upload = session.request(asked, { endStream: false });
      for (let i = 0; i < 3; i += 1) upload.write("x".repeat(50_000));
      upload.end();
      const [headers] = await once(upload, "response");
      upload.resume();
      await once(upload, "close");
      session.close();
      expect(headers[":status"]).toBe(200);
      expect(storage.requests.at(-1)?.bytes).toBe(150_000);
      await eventually(async () => {
        expect((await settled()) - before).toBeCloseTo(150_000, -3);
      });
    });
  });

  describe("whose callers put their keys into the query", async () => {
    const { nginx, storage } =
      missing === undefined ? await startGateway(database) : (undefined as never);
    const scoped = (key: string) => encodeURIComponent(`${key}/20260101/us-east-1/s3/aws4_request`);

    test("passes the address on as it was said, and charges by the path", async () => {
      const world = await makeWorld(database);
      await addQuota(database, world, { iops: { limit: 1, burst: 1_000, method: "leaky_bucket" } });
      for (const [path, operation] of [
        ["//b%2Fo//%C3%A4%3F%0A+", "read_medium"],
        ["/b/", "list"],
      ]) {
        const url = `${path}?a=%2F&X-Amz-Credential=${scoped(world.apiKey)}`;
        expect(await ask(url)).toBe(200);
        expect(storage.requests.at(-1)?.url).toBe(url);
        const [row] = await database.sql`
          select operation from rate_limiter.charges
          where app_id = ${world.appId} order by charged_at desc limit 1
        `;
        expect(row).toEqual({ operation });
      }
    });

    test("keeps them out of its log", async () => {
      const { apiKey } = await makeWorld(database);
      await storage.close();
      const tooLarge = { "Content-Length": "6000000000" };
      for (const [query, status] of [
        [`X-Amz-Credential=${scoped(apiKey)}`, 502],
        [`a=1&AWSAccessKeyId=${apiKey}`, 502],
        [`%41WSAccessKeyId=${apiKey}`, 400],
      ]) {
        const Referer = `http://h/b/o?${query}`;
        expect(await ask(`/b/o?${query}`)).toBe(status);
        expect(await ask(`/b/o?${query}`, tooLarge, "PUT")).toBe(413);
        expect(await ask("/b/o", { Referer, "X-API-Key": apiKey })).toBe(502);
      }
      expect(await ask("/b/other", { "X-API-Key": apiKey })).toBe(502);
      await eventually(() => expect(nginx.log()).toContain("/b/other"));
      expect(nginx.log()).not.toContain(apiKey);
    });

    async function ask(path: string, headers = {}, method = "GET"): Promise<number> {
      const { port } = nginx;
      const asking = request({ host: "127.0.0.1", port, path, method, headers, agent: false });
      asking.flushHeaders();
      if (method === "GET") asking.end();
      const [response] = await once(asking, "response");
      response.resume();
      asking.on("error", () => {});
      asking.destroy();
      return response.statusCode;
    }
  });

  describe("whose clock steps back", async () => {
    const clock = `
      require("resty.core")
      local clock = require("qos.clock")
      local now = clock.now
      clock.now = function()
        return now() - (ngx.shared.steps:get("back") or 0)
      end
    `;
    const step = `
      location = /step-back {
        content_by_lua_block { ngx.shared.steps:incr("back", 3600, 0) ngx.print("ok") }
      }
    `;
    const edit = (text: string) =>
      text
        .replace("init_by_lua_block {", `lua_shared_dict steps 1m; $& ${clock}`)
        .replace("location = /healthz {", `${step} $&`);
    const { nginx, link } =
      missing === undefined ? await startGateway(database, {}, { edit }) : (undefined as never);
    const stepBack = () => fetch(`${nginx.adminUrl}/step-back`);
    const head = async (apiKey: string) => {
      const headers = { "X-API-Key": apiKey };
      return (await fetch(`${nginx.url}/b/o`, { method: "HEAD", headers })).status;
    };

    test("asks the database again", async () => {
      link.cut();
      const health = async () => (await fetch(`${nginx.adminUrl}/healthz`)).json();
      await eventually(async () => {
        await head((await makeWorld(database)).apiKey);
        expect(await health()).toMatchObject({ database: "down" });
      });
      await stepBack();
      link.mend();
      const { apiKey } = await makeWorld(database);
      await eventually(async () => expect(await head(apiKey)).toBe(200));
    });

    test("knows a key no longer than else", async () => {
      const { appId, apiKey } = await makeWorld(database);
      for (let i = 0; i < 8; i += 1) expect(await head(apiKey)).toBe(200);
      await stepBack();
      await database.sql`
        update rate_limiter_private.api_keys set revoked_at = clock_timestamp()
        where app_id = ${appId}
      `;
      await eventually(async () => {
        for (let i = 0; i < 8; i += 1) expect(await head(apiKey)).toBe(401);
      });
    });
  });

  test("admits who comes back so late that counts of his denials are gone", async () => {
    const late = `
      location = /late {
        content_by_lua_block {
          ngx.shared.qos_state:rpush("counts " .. ngx.var.arg_app, "1700000040 iops_l2")
          ngx.print("ok")
        }
      }
    `;
    const edit = (text: string) => text.replace("location = /healthz {", `${late} $&`);
    const { nginx } = await startGateway(database, {}, { edit });
    const { appId, apiKey } = await makeWorld(database);
    await addQuota(database, { appId }, { iops: { limit: 100 } });
    await fetch(`${nginx.adminUrl}/late?app=${appId}`);
    const response = await fetch(`${nginx.url}/b/o`, { headers: { "X-API-Key": apiKey } });
    expect(response.status).toBe(200);
  });

  test("reads again what it knows, whatever keys are made up", async () => {
    // The first key that was never seen gets a turn, and no other one.
    const crowd = `
      local turns = 0
      require("ngx.semaphore").wait = function()
        turns = turns + 1
        return turns == 1
      end
    `;
    const edit = (text: string) => text.replace("init_by_lua_block {", `$& ${crowd}`);
    const { nginx } = await startGateway(database, {}, { edit, workers: 1 });
    const status = async (apiKey: string) =>
      (await fetch(`${nginx.url}/b/o`, { headers: { "X-API-Key": apiKey } })).status;
    const { appId, apiKey } = await makeWorld(database);
    expect(await status(apiKey)).toBe(200);
    await database.sql`
      update rate_limiter_private.api_keys set revoked_at = clock_timestamp()
      where app_id = ${appId}
    `;
    // Used rarely enough, it is read before it is used.
    await sleep(5_100);
    expect(await status(apiKey)).toBe(401);
    expect(await status("qos_nobodys")).toBe(503);
  });

  describe("whose workers come and go", async () => {
    // Which process it is, and of how many applications it knows the leases.
    const tell = `
      location = /known {
        content_by_lua_block {
          local count, index = 0, 1
          local name, known = debug.getupvalue(require("qos.leases.pools").take, index)
          while name ~= "cache" do
            index = index + 1
            name, known = debug.getupvalue(require("qos.leases.pools").take, index)
          end
          for _ in pairs(known) do
            count = count + 1
          end
          ngx.print(ngx.worker.id(), " ", ngx.worker.pid(), " ", count)
        }
      }
    `;
    const edit = (text: string) => text.replace("location = /healthz {", `${tell} $&`);
    const { nginx } =
      missing === undefined
        ? await startGateway(database, { QOS_LEASE_MS: "600000" }, { edit })
        : (undefined as never);
    const brief =
      missing === undefined
        ? await startGateway(database, { QOS_LEASE_MS: "1000" }, { edit })
        : (undefined as never);

    async function ask(url: string, headers = {}): Promise<string> {
      const asking = request(url, { agent: false, headers });
      asking.end();
      const [response] = await once(asking, "response");
      return (await response.toArray()).join("");
    }
    /** Process and count of each worker. */
    async function workersOf({ adminUrl }: { readonly adminUrl: string }) {
      const workers = new Map<number, { pid: number; known: number }>();
      await eventually(async () => {
        const told = (await ask(`${adminUrl}/known`)).split(" ").map(Number);
        const [id, pid, known] = told as [number, number, number];
        workers.set(id, { pid, known });
        expect(workers.size).toBe(2);
      });
      return workers;
    }

    test("keeps nothing of an application that comes no more", async () => {
      const { apiKey } = await makeWorld(database);
      await eventually(async () => {
        await ask(`${brief.nginx.url}/b/o`, { "X-API-Key": apiKey });
        expect((await workersOf(brief.nginx)).get(1)?.known).toBe(1);
      });
      await eventually(async () => expect((await workersOf(brief.nginx)).get(1)?.known).toBe(0));
    });

    test("gives back what a worker held that died", async () => {
      const world = await makeWorld(database);
      await addQuota(database, world, { iops: { limit: 1, burst: 1_000 } });
      const open = () => database.sql`
        select from rate_limiter.token_leases
        where app_id = ${world.appId} and settled_at is null
      `;
      const { pid } = await eventually(async () => {
        await ask(`${nginx.url}/b/o`, { "X-API-Key": world.apiKey });
        const looksAfterLeases = (await workersOf(nginx)).get(0);
        expect(looksAfterLeases?.known).toBeGreaterThan(0);
        return looksAfterLeases as { pid: number };
      });
      expect(await open()).not.toHaveLength(0);
      process.kill(pid, "SIGKILL");
      await eventually(async () => expect(await open()).toHaveLength(0));
    });
  });

  describe("whose workers meet in one moment", async () => {
    // Stands in for another worker, which settles while a lease is followed by the next.
    const meeting = `
      local pools, dict = require("qos.leases.pools"), ngx.shared.qos_leases
      local set = dict.set
      dict.set = function(self, key, ...)
        if key:find("^pool id ") then
          pools.correct(key:sub(9), 0, 1000)
          pools.write_corrections()
        end
        return set(self, key, ...)
      end
    `;
    const edit = (text: string) =>
      text.replace("init_worker_by_lua_block {", `$& ${meeting.replaceAll("$", "$$$$")}`);
    const { nginx } =
      missing === undefined ? await startGateway(database, {}, { edit }) : (undefined as never);

    test("loses nothing that was charged", async () => {
      const world = await makeWorld(database);
      await addQuota(database, world, { iops: { limit: 1_000_000 }, bytesPerSecond: 1_000_000 });
      const headers = { "X-API-Key": world.apiKey };
      const leased = async () => {
        const [row] = await database.sql`
          select count(*)::int as leases, count(*) filter (where settled_at is null)::int as open
          from rate_limiter.token_leases where app_id = ${world.appId}
        `;
        return row as { leases: number; open: number };
      };
      await eventually(async () => {
        for (let i = 0; i < 20; i += 1)
          await fetch(`${nginx.url}/b/o`, { method: "HEAD", headers });
        expect((await leased()).leases).toBeGreaterThan(10);
      });
      await eventually(async () => {
        const { leases, open } = await leased();
        expect(open).toBe(0);
        // Each lease brought a thousand bytes, and every one of them is on the ledger.
        expect(Number((await charged(database, world)).bytes)).toBe(leases * 1_000);
      });
    });
  });

  describe("with a single worker", async () => {
    // So many connections and 64 times as many who wait for one are all there is.
    const start = async (connections: string, driver?: Driver) =>
      missing === undefined
        ? startGateway(
            database,
            { QOS_DATABASE_TIMEOUT_MS: "30000", QOS_DATABASE_POOL_SIZE: connections },
            { workers: 1, driver },
          )
        : (undefined as never);
    const roomy = await start("16");
    // The bridge has no pool that can be full.
    const narrow = await start("1", "stub");
    const agent = new Agent({ keepAlive: true });

    async function get(url: string, apiKey: string): Promise<number> {
      const asking = request(url, { agent, headers: { "X-API-Key": apiKey } });
      asking.end();
      const [response] = await once(asking, "response");
      response.resume();
      await once(response, "end");
      return response.statusCode;
    }
    const many = <T>(count: number, ask: (index: number) => Promise<T>) =>
      Promise.all(Array.from({ length: count }, (_, index) => ask(index)));

    test("settles everything that comes to its end at once", async () => {
      const { nginx, storage } = roomy;
      const world = await makeWorld(database);
      await addQuota(database, world, {
        iops: { limit: 100_000, burst: 100_000, method: "leaky_bucket" },
      });
      // Uploads that have begun, and are all given up while the database is slow.
      const uploads = Array.from({ length: 300 }, () => {
        const upload = request(`${nginx.url}/b/o`, {
          agent: false,
          method: "PUT",
          headers: { "X-API-Key": world.apiKey, "Content-Length": "1000000" },
        });
        upload.on("error", () => {});
        upload.flushHeaders();
        return upload;
      });
      await eventually(async () => expect(storage.requests).toHaveLength(300));
      await database.sql.begin(async (sql) => {
        await sql`lock table rate_limiter.charges`;
        for (const upload of uploads) upload.destroy();
        // More than it has connections for have ended before the database answers again.
        await eventually(() =>
          expect(storage.requests.filter(({ isAborted }) => isAborted).length).toBeGreaterThan(100),
        );
      });
      await eventually(async () => {
        const [row] = await database.sql`
          select count(*)::int as charged, count(settled_at)::int as settled
          from rate_limiter.charges where app_id = ${world.appId}
        `;
        expect(row).toEqual({ charged: 300, settled: 300 });
      });
    });

    describe("takes its own crowds for no outage", () => {
      const { nginx } = narrow ?? {};
      test("made-up keys", async () => {
        const statuses = await many(300, (index) =>
          get(`${nginx.url}/b/o`, `qos_made_up_${index}`),
        );
        for (const status of statuses) expect([401, 503]).toContain(status);
        expect(statuses).toContain(401);
        expect(await counter(nginx, /^qos_outages_total/)).toBe(0);
      });

      test("an application whose every request the database decides on", async () => {
        const world = await makeWorld(database);
        await addQuota(database, world, {
          iops: { limit: 100_000, burst: 100_000, method: "leaky_bucket" },
        });
        const statuses = await many(300, () => get(`${nginx.url}/b/o`, world.apiKey));
        expect(statuses).toContain(200);
        expect(await counter(nginx, /^qos_outages_total/)).toBe(0);
      });
    });
  });
});
