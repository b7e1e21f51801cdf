import { describe, expect, test, vi } from "vitest";
import { addQuota, type ClientWorld, makeWorld } from "../client/world.ts";
import { createDatabase } from "../harness/index.ts";
import { counter, type GatewayWorld, startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("metrics of the gateway", async () => {
  const database = await createDatabase();
  const start = (environment: Record<string, string>) =>
    missing === undefined
      ? startGateway(database, { QOS_DATABASE_TIMEOUT_MS: "20000", ...environment })
      : (undefined as never);
  const [plain, byApplication] = [await start({}), await start({ QOS_METRICS_APPLICATIONS: "2" })];

  async function get({ nginx }: GatewayWorld, apiKey: string, path = "/bytes/5000") {
    const response = await fetch(nginx.url + path, { headers: { "X-API-Key": apiKey } });
    await response.arrayBuffer();
    return response.status;
  }

  /** Workers add up once a second. */
  const eventuallyCounted = (check: () => Promise<void>) =>
    vi.waitFor(check, { timeout: 10_000, interval: 100 });

  test("have applications where it is asked for, and no more than that", async () => {
    const worlds: ClientWorld[] = [];
    for (let place = 0; place < 4; place += 1) {
      const world = await makeWorld(database);
      await addQuota(database, world, { iops: { limit: 1_000 } });
      expect(await get(byApplication, world.apiKey)).toBe(200);
      expect(await get(plain, world.apiKey)).toBe(200);
      worlds.push(world);
    }
    const requests = (name: string) =>
      counter(
        byApplication.nginx,
        new RegExp(`^qos_application_requests_total{application="${name}",decision="allowed"}`),
      );
    await eventuallyCounted(async () => {
      expect(await requests("other")).toBe(2);
      const own = await Promise.all(worlds.map(({ appId }) => requests(appId)));
      expect(own.toSorted()).toEqual([0, 0, 1, 1]);
      const bytes = await counter(
        byApplication.nginx,
        /^qos_application_bytes_total{.*direction="down"}/,
      );
      expect(bytes).toBe(20_000);
    });
    await eventuallyCounted(async () =>
      expect(await counter(plain.nginx, /^qos_requests_total{decision="allowed"/)).toBe(4),
    );
    expect(await counter(plain.nginx, /^qos_application/)).toBe(0);
  });

  test("have the times of decisions and of the storage, in buckets that add up", async () => {
    const world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 1_000 } });
    const names = ["qos_decision_seconds", "qos_upstream_seconds"];
    const counts = (pattern: (name: string) => RegExp) =>
      Promise.all(names.map((name) => counter(plain.nginx, pattern(name))));
    const count = (name: string) => new RegExp(`^${name}_count `);
    await eventuallyCounted(async () =>
      expect(await counter(plain.nginx, /^qos_requests_total/)).toBe(
        await counter(plain.nginx, /^qos_decision_seconds_count/),
      ),
    );
    const before = await counts(count);
    for (let place = 0; place < 3; place += 1) await get(plain, world.apiKey);
    await eventuallyCounted(async () =>
      expect(await counts(count)).toEqual(before.map((value) => value + 3)),
    );
    expect(await counts((name) => new RegExp(`^${name}_bucket{le="\\+Inf"}`))).toEqual(
      await counts(count),
    );
    const text = await (await fetch(`${plain.nginx.adminUrl}/metrics`)).text();
    for (const name of names) {
      expect(text).toContain(`# TYPE ${name} histogram`);
      const buckets = [...text.matchAll(new RegExp(`^${name}_bucket.* (\\d+)$`, "gm"))].map(
        ([, value]) => Number(value),
      );
      expect(buckets).toHaveLength(13);
      expect(buckets).toEqual(buckets.toSorted((a, b) => a - b));
    }
  });

  test("say what is owed while it cannot be charged", async () => {
    const world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 1_000 }, bytesPerSecond: 1_000_000 });
    expect(await get(plain, world.apiKey)).toBe(200);
    expect(await counter(plain.nginx, /^qos_owed_/)).toBe(0);
    await database.sql.begin(async (sql) => {
      await sql`
        select from rate_limiter.token_buckets where owner_id = ${world.appId} for update
      `;
      void get(plain, world.apiKey, "/bytes/900000").catch(() => {});
      await eventuallyCounted(async () => {
        expect(await counter(plain.nginx, /^qos_owed_bytes/)).toBeGreaterThan(100_000);
        expect(await counter(plain.nginx, /^qos_owed_applications/)).toBe(1);
      });
    });
    await eventuallyCounted(async () => expect(await counter(plain.nginx, /^qos_owed_/)).toBe(0));
  });
});
