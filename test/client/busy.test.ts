import { expect, onTestFinished, test } from "vitest";
import { createLimiter } from "../../src/client/index.ts";
import { startVirtualTime } from "../conformance/virtual-time.ts";
import { createDatabase } from "../harness/index.ts";
import { addQuota, makeWorld } from "./world.ts";

test("a busy caller never waits once its rate is known", async () => {
  const database = await createDatabase();
  const world = await makeWorld(database);
  const time = await startVirtualTime(database);
  await addQuota(database, world, { iops: { limit: 100_000, burst: 200_000 } });
  const limiter = createLimiter({
    connection: time.pool("rate_limiter_app"),
    apiKey: world.apiKey,
    pollMs: 3_600_000,
  });
  onTestFinished(() => limiter.close());
  const first = limiter.checkAsync("head");
  await time.settle();
  expect(await first).toMatchObject({ allowed: true });
  /** Calls that were not admitted, of a hundred in each five milliseconds. */
  const missedIn = async (ms: number) => {
    let missed = 0;
    for (let passed = 0; passed < ms; passed += 5) {
      for (let i = 0; i < 100; i += 1) if (!limiter.check("head").allowed) missed += 1;
      await time.advance(5);
    }
    return missed;
  };
  await missedIn(500);
  const calls = limiter.status().storeCalls;
  expect(await missedIn(2_000)).toBe(0);
  expect(limiter.status().storeCalls - calls).toBeLessThanOrEqual(20);
});
