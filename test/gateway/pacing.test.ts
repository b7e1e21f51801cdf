import { describe, expect, test } from "vitest";
import { addQuota, makeWorld } from "../client/world.ts";
import { createDatabase } from "../harness/index.ts";
import { startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("downloads", async () => {
  const database = await createDatabase();
  // What nginx was told instead of the time that it takes.
  const told = `
    location = /rates {
      content_by_lua_block { ngx.print(ngx.shared.rates:get("rates") or "") }
    }
  `;
  const listen = `
    local pacing = require("qos.decisions.pacing")
    for _, name in ipairs({ "start", "continue" }) do
      local work = pacing[name]
      pacing[name] = function(decision, ...)
        work(decision, ...)
        if decision.paced_to then
          local rates = ngx.shared.rates
          rates:set("rates", (rates:get("rates") or "") .. " " .. decision.paced_to)
        end
      end
    end
  `;
  const edit = (text: string) =>
    text
      .replace("init_by_lua_block {", `lua_shared_dict rates 1m; $& ${listen}`)
      .replace("location = /healthz {", `${told} $&`);
  const start = (environment = {}) =>
    missing === undefined
      ? startGateway(database, environment, { edit, workers: 1 })
      : (undefined as never);
  const paced = await start();
  const unpaced = await start({ QOS_PACE_DOWNLOADS: "off" });
  const rates = async ({ nginx }: typeof paced) =>
    (await (await fetch(`${nginx.adminUrl}/rates`)).text()).trim().split(" ").map(Number);

  test("of an application with a quota of bytes share its rate", async () => {
    const { appId, apiKey } = await makeWorld(database);
    await addQuota(database, { appId }, { bytesPerSecond: 10_000_000 });
    const headers = { "X-API-Key": apiKey };
    const get = async () =>
      (await (await fetch(`${paced.nginx.url}/bytes/12000000`, { headers })).arrayBuffer())
        .byteLength;
    expect(await get()).toBe(12_000_000);
    expect((await rates(paced))[0]).toBe(10_000_000);
    const before = (await rates(paced)).length;
    const other = await makeWorld(database);
    await addQuota(database, other, { bytesPerSecond: 10_000_000 });
    const both = [1, 2].map(async () => {
      const response = await fetch(`${paced.nginx.url}/bytes/15000000`, {
        headers: { "X-API-Key": other.apiKey },
      });
      return (await response.arrayBuffer()).byteLength;
    });
    const sizes = await Promise.all(both);
    const shared = (await rates(paced)).slice(before);
    // Whether the second one was admitted beside the first, or had to wait.
    if (sizes.every((size) => size === 15_000_000)) expect(Math.min(...shared)).toBe(5_000_000);
    expect(Math.max(...shared)).toBeLessThanOrEqual(10_000_000);
  });

  test("of little share it as well, once the bucket of bytes is empty", async () => {
    const world = await makeWorld(database);
    await addQuota(database, world, { bytesPerSecond: 100_000 });
    const before = (await rates(paced)).length;
    const response = await fetch(`${paced.nginx.url}/bytes/250000`, {
      headers: { "X-API-Key": world.apiKey },
    });
    expect((await response.arrayBuffer()).byteLength).toBe(250_000);
    expect((await rates(paced))[before]).toBe(100_000);
  });

  test("of others are as fast as they are, and with the switch off all are", async () => {
    const { apiKey } = await makeWorld(database);
    const before = (await rates(paced)).length;
    await (
      await fetch(`${paced.nginx.url}/bytes/1000000`, { headers: { "X-API-Key": apiKey } })
    ).arrayBuffer();
    expect(await rates(paced)).toHaveLength(before);
    const limited = await makeWorld(database);
    await addQuota(database, limited, { bytesPerSecond: 1_000_000 });
    await (
      await fetch(`${unpaced.nginx.url}/bytes/3000000`, {
        headers: { "X-API-Key": limited.apiKey },
      })
    ).arrayBuffer();
    expect(await rates(unpaced)).toEqual([0]);
  });
});
