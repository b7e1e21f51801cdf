import { once } from "node:events";
import { Agent, request } from "node:http";
import { describe, expect, test } from "vitest";
import { addQuota, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("a gateway", async () => {
  const database = await createDatabase();
  const tell = `
    location = /hold {
      content_by_lua_block {
        local lock = require("qos.lock")
        for _, key in ipairs({ "exchange", "renewal " .. ngx.var.arg_app, "direct " .. ngx.var.arg_app }) do
          lock.try(key, 30)
        end
        ngx.print(ngx.worker.pid())
      }
    }
  `;
  const edit = (text: string) => text.replace("location = /healthz {", `${tell} $&`);
  const { nginx } =
    missing === undefined ? await startGateway(database, {}, { edit }) : (undefined as never);

  const get = async (url: string, apiKey = "") => {
    const asking = request(url, { agent: false, headers: { "X-API-Key": apiKey } });
    asking.end();
    const [response] = await once(asking, "response");
    const text = (await response.toArray()).join("");
    return { status: response.statusCode, text };
  };

  test("takes over the locks of a worker that died", async () => {
    const world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 1_000 } });
    const { text } = await get(`${nginx.adminUrl}/hold?app=${world.appId}`);
    process.kill(Number(text), "SIGKILL");
    await eventually(async () => expect(() => process.kill(Number(text), 0)).toThrow());
    const since = performance.now();
    const { status } = await get(`${nginx.url}/b/o`, world.apiKey);
    expect(status).toBe(200);
    // Far below the life of the lock.
    expect(performance.now() - since).toBeLessThan(5_000);
  });

  test("waits with no application for the buckets of another", async () => {
    const [stuck, other] = [await makeWorld(database), await makeWorld(database)];
    for (const world of [stuck, other]) {
      await addQuota(database, world, { iops: { limit: 1_000 } });
    }
    await database.sql.begin(async (sql) => {
      await sql`
        select from rate_limiter.token_buckets where owner_id = ${stuck.appId} for update
      `;
      const agent = new Agent();
      const waiting = request(`${nginx.url}/b/o`, {
        agent,
        headers: { "X-API-Key": stuck.apiKey },
      });
      waiting.on("error", () => {});
      waiting.end();
      const statuses = [];
      for (let i = 0; i < 20; i += 1) {
        statuses.push((await get(`${nginx.url}/b/o`, other.apiKey)).status);
      }
      expect(new Set(statuses)).toEqual(new Set([200]));
      waiting.destroy();
    });
    const { text } = await get(`${nginx.adminUrl}/metrics`);
    expect(text).not.toMatch(/qos_outages_total [1-9]/);
  });

  test("gives back the leases of many applications in few calls when it ends", async () => {
    const { nginx } = await startGateway(database, {
      QOS_LEASE_MS: "600000",
      QOS_DATABASE_TIMEOUT_MS: "20000",
    });
    const worlds = [];
    for (let place = 0; place < 60; place += 1) {
      const world = await makeWorld(database);
      await addQuota(database, world, { iops: { limit: 1, burst: 1_000 } });
      worlds.push(world);
    }
    await Promise.all(worlds.map(({ apiKey }) => get(`${nginx.url}/b/o`, apiKey)));
    const appIds = worlds.map(({ appId }) => appId);
    const leases = async () => {
      const [row] = await database.sql`
        select count(*)::int as leases, count(*) filter (where settled_at is null)::int as open,
          count(distinct settled_at)::int as moments
        from rate_limiter.token_leases where app_id = any (${appIds})
      `;
      return row as { leases: number; open: number; moments: number };
    };
    expect((await leases()).leases).toBeGreaterThanOrEqual(60);
    await nginx.stop();
    const { open, moments } = await leases();
    expect(open).toBe(0);
    // All of a call are settled at one moment; some were renewed, or idled, before.
    expect(moments).toBeLessThan(45);
  });
});
