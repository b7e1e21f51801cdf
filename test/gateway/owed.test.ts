import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { addQuota, charged, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { type GatewayWorld, startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("what is owed", async () => {
  const database = await createDatabase();
  const workers = `
    location = /worker {
      content_by_lua_block { ngx.print(ngx.worker.pid()) }
    }
    location = /evict {
      content_by_lua_block { ngx.shared.qos_leases:flush_all() ngx.shared.qos_state:flush_all() }
    }
  `;
  const edit = (text: string) => text.replace("location = /healthz {", `${workers} $&`);
  const start = (count: number) =>
    missing === undefined
      ? startGateway(database, { QOS_PACE_DOWNLOADS: "off" }, { edit, workers: count })
      : (undefined as never);
  const [first, second] = [await start(1), await start(1)];

  async function indebted(bytes: number, bytesPerSecond = 1_000_000) {
    const world = await makeWorld(database);
    await addQuota(database, world, { bytesPerSecond });
    const response = await get(first, world.apiKey, `/bytes/${bytes}`);
    expect(response.status).toBe(200);
    return world;
  }

  async function get({ nginx }: GatewayWorld, apiKey: string, path: string) {
    const response = await fetch(nginx.url + path, { headers: { "X-API-Key": apiKey } });
    await response.arrayBuffer();
    return response;
  }

  test("is in the database before anything else is admitted, and every gateway sees it", async () => {
    const world = await indebted(20_000_000);
    expect((await get(first, world.apiKey, "/bytes/10")).status).toBe(429);
    expect((await get(second, world.apiKey, "/bytes/10")).status).toBe(429);
    expect(Number((await charged(database, world)).bytes)).toBeGreaterThanOrEqual(20_000_000);
  });

  test("survives what shared memory forgets, and the death of a worker", async () => {
    const world = await indebted(20_000_000);
    // What is known is charged within a tenth of a second.
    await sleep(100);
    await fetch(`${first.nginx.adminUrl}/evict`);
    const pid = Number(await (await fetch(`${first.nginx.adminUrl}/worker`)).text());
    process.kill(pid, "SIGKILL");
    await eventually(async () => {
      expect(Number((await charged(database, world)).bytes)).toBeGreaterThanOrEqual(20_000_000);
    });
    await eventually(async () =>
      expect((await get(first, world.apiKey, "/bytes/10")).status).toBe(429),
    );
  });

  test("is paid when Retry-After says so", async () => {
    for (const megabytes of [2, 4]) {
      const world = await indebted(megabytes * 1_000_000, 2_000_000);
      const denied = await get(first, world.apiKey, "/bytes/10");
      if (denied.status === 200) continue;
      expect(denied.status).toBe(429);
      await sleep(Number(denied.headers.get("Retry-After")) * 1_000);
      expect((await get(first, world.apiKey, "/bytes/10")).status).toBe(200);
    }
  });

  test("is charged by few calls, whatever load", async () => {
    const world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 100_000 }, bytesPerSecond: 500_000_000 });
    const calls = async () => {
      const text = await (await fetch(`${first.nginx.adminUrl}/metrics`)).text();
      return Number(/call="charge_owed_many"\} (\d+)/.exec(text)?.[1] ?? 0);
    };
    const [before, since] = [await calls(), performance.now()];
    for (let round = 0; round < 20; round += 1) {
      await Promise.all(
        Array.from({ length: 20 }, () => get(first, world.apiKey, "/bytes/400000")),
      );
    }
    const seconds = (performance.now() - since) / 1_000;
    await sleep(1_100);
    expect((await calls()) - before).toBeLessThanOrEqual((seconds + 1.1) * 12 + 1);
  });
});
