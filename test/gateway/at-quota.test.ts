import { once } from "node:events";
import { Agent, request } from "node:http";
import { describe, expect, test } from "vitest";
import { addQuota, makeWorld } from "../client/world.ts";
import { createDatabase } from "../harness/index.ts";
import { startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("applications at their quota", async () => {
  const database = await createDatabase();
  const gateway =
    missing === undefined
      ? await startGateway(database, { QOS_DATABASE_TIMEOUT_MS: "20000" })
      : (undefined as never);
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });

  async function ask(apiKey: string, method: string): Promise<number> {
    const asking = request(`${gateway.nginx.url}/b/o`, {
      agent,
      method,
      headers: { "X-API-Key": apiKey },
    });
    asking.end();
    const [response] = await once(asking, "response");
    response.resume();
    await once(response, "end");
    return response.statusCode;
  }

  /** Exchanges with the database; what a key is good for is read besides. */
  async function exchanges(): Promise<number> {
    const text = await (await fetch(`${gateway.nginx.adminUrl}/metrics`)).text();
    return text
      .split("\n")
      .filter((line) => /^qos_database_calls_total/.test(line) && !/application_config/.test(line))
      .reduce((sum, line) => sum + Number(line.split(" ")[1]), 0);
  }

  async function load(apiKeys: readonly string[], milliseconds: number) {
    const until = performance.now() + milliseconds;
    const count = { admitted: 0, denied: 0 };
    const one = async (place: number) => {
      while (performance.now() < until) {
        const status = await ask(apiKeys[place % apiKeys.length] as string, "HEAD");
        if (status === 200) count.admitted += 1;
        else count.denied += 1;
      }
    };
    await Promise.all(Array.from({ length: 32 }, (_, place) => one(place)));
    return count;
  }

  test.each([
    ["one, little quota", 1, { limit: 50 }],
    ["one, much quota", 1, { limit: 500 }],
    ["one, a quota by windows", 1, { limit: 200, method: "fixed_window" }],
    ["many", 8, { limit: 50 }],
  ] as const)("cost the database little: %s", async (_, many, iops) => {
    const apiKeys = [];
    for (let place = 0; place < many; place += 1) {
      const world = await makeWorld(database);
      await addQuota(database, world, { iops });
      apiKeys.push(world.apiKey);
    }
    await load(apiKeys, 1_500);
    const [before, since] = [await exchanges(), performance.now()];
    const { admitted } = await load(apiKeys, 3_000);
    const seconds = (performance.now() - since) / 1_000;
    const after = await exchanges();
    // test/conformance/at-quota.test.ts holds how much of it: this machine may be busy.
    expect(admitted).toBeGreaterThan(0);
    // Ten a second. Workers add up their counts once a second, so that much is blurred at either
    // end; and each application asks once whether it may borrow.
    expect(after - before).toBeLessThanOrEqual(10 * (seconds + 1) + many);
  });
});
