import { afterAll, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { addQuota, type ClientWorld, charged, makeWorld } from "../client/world.ts";
import { missing } from "../gateway/nginx.ts";
import { createDatabase } from "../harness/index.ts";
import { clientDriver } from "./client-driver.ts";
import { type Caller, type Driver, RequestError } from "./driver.ts";
import { gatewayDriver } from "./gateway-driver.ts";
import { sqlDriver } from "./sql-driver.ts";

const database = await createDatabase();
const drivers: Driver[] = [sqlDriver(database), await clientDriver(database)];
if (missing === undefined) drivers.push(await gatewayDriver(database));
else console.warn(`the gateway is left out: ${missing}`);

afterAll(() => Promise.all(drivers.map((driver) => driver.close())));

/** All of it at once, and nothing flows in: what is admitted can be counted exactly. */
const capacity = 3_600;
const noRefill = { iops: { limit: 1, method: "fixed_window", seconds: 3_600 } } as const;

/** Open ones and others. */
async function leasesOf({ appId }: ClientWorld): Promise<number> {
  const leases = await database.sql`
    select from rate_limiter.token_leases where app_id = ${appId}
  `;
  return leases.count;
}

describe.each(drivers)("$name", (driver) => {
  let world: ClientWorld;

  beforeEach(async () => {
    world = await makeWorld(database);
  });

  async function open(place = 0): Promise<Caller> {
    const caller = await driver.open(world, place);
    onTestFinished(() => caller.leave());
    return caller;
  }

  /** What these have taken of the application's buckets in the end. */
  async function chargedBy(...callers: Caller[]) {
    await Promise.all(callers.map((caller) => caller.rest()));
    return charged(database, world);
  }

  async function denialOf(caller: Caller, operation: string, size = 0) {
    for (let tries = 0; tries < 2_000; tries += 1) {
      const verdict = await caller.decide(operation, size);
      if (!verdict.allowed) return verdict;
    }
    throw new Error("never denied");
  }

  test("charges every operation with the same digits", async () => {
    await addQuota(database, world, {
      iops: { limit: 1_000, method: "fixed_window", seconds: 3_600 },
      bytesPerSecond: 100_000_000,
    });
    await database.sql`
      update rate_limiter.bandwidth_quotas set refill_rate_bps = 1, bandwidth_limit_bps = 1
      where config_id in (
        select config_id from rate_limiter.quota_configs where app_id = ${world.appId}
      )
    `;
    const caller = await open();
    const operations = [
      ["head", 0],
      ["list", 0],
      ["delete", 0],
      ["write_small", 1],
      ["write_small", 4_096],
      ["write_medium", 4_097],
      ["write_large", 100_000],
    ] as const;
    for (const [operation, size] of operations) {
      expect((await caller.decide(operation, size)).allowed).toBe(true);
    }
    const [names, sizes] = [operations.map(([name]) => name), operations.map(([, size]) => size)];
    const [row] = await database.sql`
      select sum(rate_limiter.cost(${world.appId}, o.name, o.size))::text as tokens,
        sum(o.size)::float8 as bytes
      from unnest(${names}::text[], ${sizes}::bigint[]) as o (name, size)
    `;
    const { tokens, bytes } = await chargedBy(caller);
    expect(tokens).toBe(row?.tokens);
    // What flows in at a byte a second has no room once a lease is given back.
    expect(Number(bytes) - row?.bytes).toBeGreaterThanOrEqual(0);
    expect(Number(bytes) - row?.bytes).toBeLessThan(60);
  });

  test("admits everything where no quota limits", async () => {
    const caller = await open();
    for (let i = 0; i < 20; i += 1) {
      const verdict = await caller.decide("write_small", 4_096);
      expect(verdict).toMatchObject({ allowed: true, reason: null, layer: null });
    }
    expect(await chargedBy(caller)).toMatchObject({ tokens: "0" });
  });

  test("names the application's bucket, its layer and a time; a denial takes nothing", async () => {
    await addQuota(database, world, noRefill);
    const caller = await open();
    const denied = await denialOf(caller, "delete");
    expect(denied).toMatchObject({ reason: "iops_l2", layer: 2 });
    expect(denied.retryAfterMs).toBeGreaterThan(0);
    expect(denied.retryAfterMs).toBeLessThanOrEqual(3_600_000);
    for (let i = 0; i < 20; i += 1) {
      expect((await caller.decide("delete")).allowed).toBe(false);
    }
    expect(Number((await chargedBy(caller)).tokens)).toBe(capacity);
  });

  test("names the cluster's bucket", async () => {
    await addQuota(database, { clusterId: world.clusterId }, noRefill);
    const denied = await denialOf(await open(), "delete");
    expect(denied).toMatchObject({ reason: "iops_l1", layer: 1 });
  });

  test("names the bucket of bytes", async () => {
    await addQuota(database, world, { bytesPerSecond: 20_000 });
    const denied = await denialOf(await open(), "write_small", 4_000);
    expect(denied).toMatchObject({ reason: "bandwidth_l2", layer: 2 });
    expect(denied.retryAfterMs).toBeGreaterThan(0);
    expect(denied.retryAfterMs).toBeLessThanOrEqual(1_000);
  });

  test("names no time for what can never fit", async () => {
    await addQuota(database, world, { bytesPerSecond: 1_000, oversize: false });
    expect(await (await open()).decide("write_small", 2_000)).toMatchObject({
      allowed: false,
      reason: "exceeds_capacity",
      retryAfterMs: null,
    });
  });

  test("a shadow quota is named, and never denies", async () => {
    await addQuota(database, world, { iops: { limit: 6 }, mode: "shadow" });
    const caller = await open();
    const verdicts = [];
    for (let i = 0; i < 3; i += 1) verdicts.push(await caller.decide("delete"));
    expect(verdicts.every((verdict) => verdict.allowed)).toBe(true);
    expect(verdicts.at(-1)?.reason).toBe("iops_l2");
  });

  test("refuses a revoked key and an inactive tenant, also those it has served", async () => {
    const caller = await open();
    expect((await caller.decide("delete")).allowed).toBe(true);
    await database.sql`
      update rate_limiter.tenants set is_active = false where tenant_id = ${world.tenantId}
    `;
    const refused = (status: number) =>
      vi.waitFor(
        () =>
          caller.decide("delete").then(
            () => expect.unreachable("it was admitted"),
            (error: unknown) => expect((error as RequestError).status).toBe(status),
          ),
        { timeout: 20_000, interval: 50 },
      );
    await refused(403);
    await database.sql`
      update rate_limiter_private.api_keys set revoked_at = clock_timestamp()
      where app_id = ${world.appId}
    `;
    await refused(401);
    await expect((await open()).decide("delete")).rejects.toThrow(RequestError);
  });

  test("a quota that is raised counts before long", async () => {
    await addQuota(database, world, { iops: { limit: 2 } });
    const caller = await open();
    await denialOf(caller, "delete");
    await database.sql`
      update rate_limiter.quota_configs set is_active = false where app_id = ${world.appId}
    `;
    await addQuota(database, world, { iops: { limit: 10_000 } });
    await vi.waitFor(
      async () => {
        for (let i = 0; i < 20; i += 1) expect((await caller.decide("delete")).allowed).toBe(true);
      },
      { timeout: 20_000, interval: 50 },
    );
  });

  test.skipIf(driver.link === undefined)(
    "leases once, and loses nothing, where the answer to a grant is lost",
    async () => {
      await addQuota(database, world, noRefill);
      const caller = await open();
      let admitted = 0;
      const ask = async () => {
        admitted += Number((await caller.decide("delete")).allowed);
      };
      while ((await leasesOf(world)) === 0) await ask();
      const before = await leasesOf(world);
      driver.link?.loseAnswers();
      await vi.waitFor(
        async () => {
          await ask();
          expect(await leasesOf(world)).toBeGreaterThan(before);
        },
        { timeout: 20_000, interval: 5 },
      );
      driver.link?.mend();
      await vi.waitFor(
        async () => {
          await ask();
          expect(admitted * 5).toBe(capacity);
        },
        { timeout: 20_000, interval: 1 },
      );
      expect((await caller.decide("delete")).allowed).toBe(false);
      expect(Number((await chargedBy(caller)).tokens)).toBe(capacity);
    },
  );

  describe("is not divided by the number of those who decide", () => {
    const cost = 5;

    /** Deletes until one is denied; how many were admitted. */
    async function deleteUntilDenied(caller: Caller): Promise<number> {
      for (let admitted = 0; ; admitted += 1) {
        if (!(await caller.decide("delete")).allowed) return admitted;
      }
    }

    /** Until the most of the quota is spent, or for so long: leases that idle go back meanwhile. */
    async function spendAll(callers: readonly Caller[], before: number): Promise<number> {
      let admitted = before;
      const giveUpAt = performance.now() + 20_000;
      while (admitted * cost < 0.95 * capacity && performance.now() < giveUpAt) {
        const rounds = await Promise.all(callers.map(deleteUntilDenied));
        admitted += rounds.reduce((sum, count) => sum + count, 0);
        if (admitted * cost < 0.95 * capacity) {
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
      return admitted;
    }

    test.each([
      [1, "one"],
      [2, "all of them"],
      [8, "all of them"],
      [3, "one"],
      [8, "one"],
    ])("%i of them, the load on %s", async (count, load) => {
      await addQuota(database, world, noRefill);
      const callers = await Promise.all(Array.from({ length: count }, (_, i) => open(i)));
      // Every caller holds a lease; from then on some may have nothing more to do.
      const first = await Promise.all(callers.map((caller) => caller.decide("delete")));
      const before = first.filter((verdict) => verdict.allowed).length;
      const busy = load === "one" ? callers.slice(0, 1) : callers;
      let admitted = await spendAll(busy, before);
      expect(admitted * cost).toBeGreaterThanOrEqual(0.95 * capacity);
      // And never more than the quota.
      for (const caller of callers) admitted += await deleteUntilDenied(caller);
      expect(admitted * cost).toBeLessThanOrEqual(capacity);
      expect(Number((await chargedBy(...callers)).tokens)).toBeLessThanOrEqual(capacity);
    });
  });
});
