import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { createLimiter, type LimiterOptions, UnauthorizedError } from "../../src/client/index.ts";
import { startVirtualTime } from "../conformance/virtual-time.ts";
import { createDatabase, eventually, type TestDatabase } from "../harness/index.ts";
import { addQuota, type ClientWorld, makeWorld } from "./world.ts";

let database: TestDatabase;
let world: ClientWorld;

beforeEach(async () => {
  database = await createDatabase();
  world = await makeWorld(database);
});

/** A limiter that holds a lease, without notifications, at a time that the test moves. */
async function limiterInVirtualTime(options: Partial<LimiterOptions> = {}) {
  const time = await startVirtualTime(database);
  await addQuota(database, world, { iops: { limit: 1_000_000 } });
  const limiter = createLimiter({
    connection: time.pool("rate_limiter_app"),
    apiKey: world.apiKey,
    pollMs: 3_600_000,
    idleMs: 3_600_000,
    ...options,
  });
  onTestFinished(() => limiter.close());
  return { time, limiter };
}

describe("what ends by the clock", () => {
  test("a key works until its end, and not once after it", async () => {
    const { time, limiter } = await limiterInVirtualTime();
    await database.sql`
      update rate_limiter_private.api_keys
      set expires_at = clock_timestamp() + interval '10 seconds'
      where app_id = ${world.appId}
    `;
    const first = limiter.checkAsync("head");
    await time.settle();
    expect(await first).toMatchObject({ allowed: true });
    for (let ms = 0; ms < 9_000; ms += 100) await time.advance(100);
    const last = limiter.checkAsync("head");
    await time.settle();
    expect(await last).toMatchObject({ allowed: true });
    // The database's clock has hardly moved: asked again, it would still take the key.
    await database.sql`
      update rate_limiter_private.api_keys set expires_at = clock_timestamp()
      where app_id = ${world.appId}
    `;
    await time.advance(1_300);
    expect(() => limiter.check("head")).toThrow(UnauthorizedError);
    expect(() => limiter.check("head")).toThrow("api key has expired");
  });

  test("a lease is not spent after its end, not even by the next checks", async () => {
    await addQuota(database, world, { iops: { limit: 1_000_000 } });
    const limiter = createLimiter({
      connection: database.urlAs("rate_limiter_app"),
      apiKey: world.apiKey,
      leaseMs: 500,
    });
    onTestFinished(() => limiter.close());
    await eventually(async () => {
      await limiter.checkAsync("head");
      expect(limiter.check("head")).toMatchObject({ allowed: true });
    });
    // The process is stopped for longer than the lease lasts.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600);
    await new Promise((resolve) => setImmediate(resolve));
    expect(limiter.check("head")).toMatchObject({ allowed: false, reason: "no_lease" });
  });
});
