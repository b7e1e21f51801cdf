import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { createLimiter, type Limiter } from "../../src/client/index.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { deniedOf } from "../sql/denials/world.ts";
import { breakableLink } from "./breakable-link.ts";
import { addQuota, type ClientWorld, makeWorld } from "./world.ts";

const database = await createDatabase();
let world: ClientWorld;
let limiter: Limiter;

beforeEach(async () => {
  world = await makeWorld(database);
  await addQuota(database, world, { iops: { limit: 10 } });
  limiter = createLimiter({
    connection: database.urlAs("rate_limiter_app"),
    apiKey: world.apiKey,
  });
  onTestFinished(() => limiter.close());
});

/** Most of them are answered from memory. */
async function denyInMemory(times: number): Promise<void> {
  await limiter.checkAsync("write_large");
  for (let denied = 0; denied < times; denied += 1) {
    // Dearer than the bucket can ever pay for.
    expect((await limiter.checkAsync("write_large", 100_000_000)).allowed).toBe(false);
  }
}

describe("denials of a client come on record", () => {
  test("at its end: more than half of 1,099", async () => {
    await denyInMemory(1_099);
    await limiter.close();
    const denied = await deniedOf(database, world.appId);
    expect(denied).toBeGreaterThan(1_099 / 2);
    expect(denied).toBeLessThanOrEqual(1_099);
  });

  test("while it lives, though it takes no lease", async () => {
    await denyInMemory(300);
    await eventually(async () => {
      expect(await deniedOf(database, world.appId)).toBeGreaterThan(150);
    });
  });

  test("once, though the answers to reports are lost", async () => {
    const link = await breakableLink(database.urlAs("rate_limiter_app"));
    onTestFinished(() => link.close());
    limiter = createLimiter({
      ...{ connection: link.url, apiKey: world.apiKey },
      ...{ timeoutMs: 500, outage: { policy: "closed" } },
    });
    onTestFinished(() => limiter.close());
    await denyInMemory(300);
    link.loseAnswers();
    await eventually(async () => {
      await limiter.checkAsync("write_large", 100_000_000);
      expect(await deniedOf(database, world.appId)).toBeGreaterThan(150);
      expect(limiter.status().isDown).toBe(true);
    });
    link.mend();
    await eventually(async () => {
      await limiter.checkAsync("write_large", 100_000_000);
      expect(limiter.status().isDown).toBe(false);
    });
    const denied = limiter.status().own?.denied ?? 0;
    await limiter.close();
    expect(await deniedOf(database, world.appId)).toBeLessThanOrEqual(denied);
  });
});
