import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { addQuota, type ClientWorld, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { counter, type GatewayWorld, startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("the gateway, while its database is away", async () => {
  const database = await createDatabase();
  const soon = { QOS_DATABASE_TIMEOUT_MS: "500" };
  const start = (environment: Record<string, string>, edit?: (text: string) => string) =>
    missing === undefined
      ? startGateway(database, { ...soon, ...environment }, edit === undefined ? {} : { edit })
      : (undefined as never);
  const closed = await start({ QOS_OUTAGE_POLICY: "closed", QOS_SPEAK_S3: "on" });
  const open = await start({ QOS_OUTAGE_POLICY: "open", QOS_OUTAGE_MAX_MS: "2500" });
  const fair = await start({ QOS_OUTAGE_POLICY: "fair_share" });
  let world: ClientWorld;

  beforeEach(async () => {
    world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 20, burst: 20 } });
  });

  const head = ({ nginx }: GatewayWorld, key = world.apiKey) =>
    fetch(`${nginx.url}/b/o`, { method: "HEAD", headers: { "X-API-Key": key } });

  /** Cuts the link, and spends what is in hand until the outage is noticed. */
  async function fallIntoOutage(gateway: GatewayWorld): Promise<void> {
    gateway.link.cut();
    await vi.waitFor(
      async () => {
        await head(gateway);
        const response = await fetch(`${gateway.nginx.adminUrl}/healthz`);
        expect(await response.json()).toEqual({ status: "ok", database: "down" });
      },
      { timeout: 30_000, interval: 5 },
    );
    // More than a bucket holds: nothing is in hand any more.
    for (let i = 0; i < 25; i += 1) await head(gateway);
  }

  /** Waits until the database has answered for this key, however slow the machine is. */
  async function holdLease(gateway: GatewayWorld): Promise<void> {
    await eventually(async () => {
      expect((await head(gateway)).status).toBe(200);
      expect(await counter(gateway.nginx, /^qos_database_up/)).toBe(1);
      const leases = await database.sql`
        select from rate_limiter.token_leases where app_id = ${world.appId}
      `;
      expect(leases.length).toBeGreaterThan(0);
    });
  }

  async function recover(gateway: GatewayWorld): Promise<void> {
    gateway.link.mend();
    await eventually(async () => {
      await head(gateway);
      expect(await counter(gateway.nginx, /^qos_database_up/)).toBe(1);
    });
  }

  test("what is in hand is spent first", async () => {
    await holdLease(closed);
    closed.link.cut();
    expect((await head(closed)).status).toBe(200);
    closed.link.mend();
  });

  test("closed: nobody may, it says when to come back, and in S3's words", async () => {
    await holdLease(closed);
    await fallIntoOutage(closed);
    const { nginx } = closed;
    const denied = await fetch(`${nginx.url}/b/o`, { headers: { "X-API-Key": world.apiKey } });
    expect(denied.status).toBe(503);
    expect(Number(denied.headers.get("Retry-After"))).toBeGreaterThan(0);
    expect(await denied.text()).toContain("<Code>SlowDown</Code>");
    await recover(closed);
    await eventually(async () => expect((await head(closed)).status).toBe(200));
    // Each worker counts by itself, and adds up once a second.
    await vi.waitFor(async () => {
      const told = nginx.log().match(/database does not answer/g) ?? [];
      expect(told.length).toBeGreaterThan(0);
      expect(await counter(nginx, /^qos_outages_total/)).toBe(told.length);
    }, 10_000);
    expect(nginx.log()).toContain("the database answers again");
  });

  test("open: everybody may, uncharged, also whose key was never seen; then nobody", async () => {
    await holdLease(open);
    await fallIntoOutage(open);
    const statuses = [];
    for (let i = 0; i < 40; i += 1) statuses.push((await head(open)).status);
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect((await head(open, "qos_never_seen")).status).toBe(200);
    expect(await counter(open.nginx, /^qos_uncharged_total/)).toBeGreaterThan(0);
    await eventually(async () => expect((await head(open)).status).toBe(503));
    await recover(open);
  });

  test("fair_share: at the rate of the quota", async () => {
    await holdLease(fair);
    await fallIntoOutage(fair);
    const since = performance.now();
    let admitted = 0;
    while (performance.now() - since < 1_500) {
      if ((await head(fair)).status === 200) admitted += 1;
      await sleep(5);
    }
    const seconds = (performance.now() - since) / 1_000;
    expect(admitted).toBeGreaterThan(seconds * 20 * 0.5);
    expect(admitted).toBeLessThanOrEqual(seconds * 20 + 2);
    await recover(fair);
  });

  test("fair_share: what is denied for its bytes costs nobody a token", async () => {
    world = await makeWorld(database);
    // A download of unknown size, as 64 KiB, takes a minute's bytes and two seconds' tokens.
    await addQuota(database, world, { iops: { limit: 1, burst: 5 }, bytesPerSecond: 1_000 });
    const get = () => fetch(`${fair.nginx.url}/b/o`, { headers: { "X-API-Key": world.apiKey } });
    await holdLease(fair);
    await fallIntoOutage(fair);
    await eventually(async () => expect((await get()).status).toBe(200));
    await sleep(2_500);
    for (let i = 0; i < 5; i += 1) expect((await get()).status).toBe(503);
    expect((await head(fair)).status).toBe(200);
    await recover(fair);
  });

  test("a database that refuses the gateway's own statements is an outage, and no 500", async () => {
    await database.sql`
      revoke execute on function rate_limiter.application_of_key(text) from rate_limiter_app
    `;
    const denied = await head(fair, "qos_unseen");
    await database.sql`
      grant execute on function rate_limiter.application_of_key(text) to rate_limiter_app
    `;
    expect(denied.status).toBe(503);
    await recover(fair);
  });

  describe("while it is ill itself", async () => {
    const withoutMemory = (text: string) => text.replace("lua_shared_dict qos_leases 16m;", "");
    const illOpen = await start({ QOS_OUTAGE_POLICY: "open" }, withoutMemory);
    const illFair = await start({ QOS_OUTAGE_POLICY: "fair_share" }, withoutMemory);
    const illClosed = await start({ QOS_OUTAGE_POLICY: "closed" }, withoutMemory);

    test.each([
      ["open", illOpen, 200],
      ["fair_share", illFair, 503],
      ["closed", illClosed, 503],
    ])("%s: the outage policy decides, and it is no 500", async (_, gateway, status) => {
      expect((await head(gateway)).status).toBe(status);
      await vi.waitFor(
        async () => expect(await counter(gateway.nginx, /^qos_errors_total/)).toBeGreaterThan(0),
        5_000,
      );
    });
  });
});
