import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import {
  createLimiter,
  type Limiter,
  type LimiterOptions,
  UnavailableError,
} from "../../src/client/index.ts";
import { createDatabase } from "../harness/index.ts";
import { type BreakableLink, breakableLink } from "./breakable-link.ts";
import { addQuota, type ClientWorld, makeWorld } from "./world.ts";

const database = await createDatabase();
let world: ClientWorld;
let link: BreakableLink;

beforeEach(async () => {
  world = await makeWorld(database);
  await addQuota(database, world, { iops: { limit: 20, burst: 20 } });
  link = await breakableLink(database.urlAs("rate_limiter_app"));
});

function limiterFor(options: Partial<LimiterOptions>): Limiter {
  const limiter = createLimiter({
    connection: link.url,
    application: world.appId,
    timeoutMs: 500,
    ...options,
  });
  onTestFinished(async () => {
    await limiter.close();
    await link.close();
  });
  return limiter;
}

/** Cuts the link, spends what is in hand and waits until that is noticed. */
async function fallIntoOutage(limiter: Limiter): Promise<void> {
  link.cut();
  await vi.waitFor(
    async () => {
      const decision = await limiter.checkAsync("head");
      expect(decision.reason).toBe("store_unavailable");
    },
    { timeout: 5_000, interval: 5 },
  );
}

describe("while the database is away", () => {
  test("what is in hand is spent first", async () => {
    const limiter = limiterFor({ outage: { policy: "closed" } });
    await limiter.checkAsync("head");
    link.cut();
    await sleep(50);
    expect(limiter.check("head")).toMatchObject({ allowed: true, reason: null });
  });

  test("closed: nobody may, and it says when it tries again", async () => {
    const limiter = limiterFor({ outage: { policy: "closed" } });
    await limiter.checkAsync("head");
    await fallIntoOutage(limiter);
    const denied = limiter.check("head");
    expect(denied).toMatchObject({ allowed: false, layer: 3, reason: "store_unavailable" });
    expect(denied.retryAfterMs).toBeGreaterThan(0);
    expect(limiter.status().own?.state).toBe("outage");
  });

  test("open: everybody may, for as long as was said", async () => {
    const limiter = limiterFor({ outage: { policy: "open", maxMs: 1_000 } });
    await limiter.checkAsync("head");
    await fallIntoOutage(limiter);
    expect(limiter.check("write_large").allowed).toBe(true);
    expect(limiter.status().own?.uncharged).toBeGreaterThan(0);
    await vi.waitFor(() => expect(limiter.check("write_large").allowed).toBe(false), 3_000);
  });

  test("open, before anything was ever read", async () => {
    link.cut();
    const limiter = limiterFor({ outage: { policy: "open" } });
    expect((await limiter.checkAsync("head")).allowed).toBe(true);
    await expect(limiter.settle("r", 1)).rejects.toThrow(UnavailableError);
  });

  test("fair_share: at the rate of the quota, divided by those who were spending", async () => {
    // Another client holds a lease, so each of the two may spend ten tokens a second.
    const other = createLimiter({
      connection: database.urlAs("rate_limiter_app"),
      application: world.appId,
      idleMs: 60_000,
    });
    onTestFinished(() => other.close());
    await other.checkAsync("head");
    const limiter = limiterFor({ outage: { policy: "fair_share" } });
    await limiter.checkAsync("head");
    expect(limiter.status().own?.holders).toBe(2);
    await fallIntoOutage(limiter);
    const before = limiter.status().own?.uncharged ?? 0;
    const since = performance.now();
    while (performance.now() - since < 2_000) {
      limiter.check("head");
      await sleep(2);
    }
    const seconds = (performance.now() - since) / 1_000;
    const admitted = (limiter.status().own?.uncharged ?? 0) - before;
    expect(admitted).toBeGreaterThan(seconds * 10 * 0.8);
    expect(admitted).toBeLessThanOrEqual(seconds * 10 + 10);
  });

  test("it is told once, tried again with pauses, and over when the database is back", async () => {
    const lines: { level: number; msg: string }[] = [];
    const logger = pino(
      { level: "info" },
      { write: (line: string) => lines.push(JSON.parse(line)) },
    );
    const told: string[] = [];
    const limiter = limiterFor({
      outage: { policy: "closed" },
      logger,
      hooks: {
        onOutage: (error) => told.push(error.code),
        onRecovery: () => told.push("recovered"),
      },
    });
    await limiter.checkAsync("head");
    await fallIntoOutage(limiter);
    const calls = limiter.status().storeCalls;
    for (let i = 0; i < 500; i += 1) {
      limiter.check("head");
      await sleep(2);
    }
    expect(limiter.status().storeCalls - calls).toBeLessThan(12);
    link.mend();
    await vi.waitFor(
      async () => expect(await limiter.checkAsync("head")).toMatchObject({ reason: null }),
      { timeout: 15_000, interval: 50 },
    );
    expect(told).toEqual(["QS503", "recovered"]);
    const warnings = lines.filter(
      (line) => line.level === 40 && line.msg.includes("does not answer"),
    );
    expect(warnings).toHaveLength(1);
    expect(limiter.status()).toMatchObject({ isDown: false, outages: 1, own: { state: "ready" } });
  }, 30_000);

  test("a database that takes everything and answers nothing is away as well", async () => {
    const limiter = limiterFor({ outage: { policy: "open" } });
    await limiter.checkAsync("head");
    link.swallow();
    const since = performance.now();
    await vi.waitFor(
      async () => {
        const decision = await limiter.checkAsync("write_large");
        expect(decision.reason).toBe("store_unavailable");
      },
      { timeout: 5_000 },
    );
    expect(performance.now() - since).toBeLessThan(3_000);
    link.mend();
  });

  test("close does not hang", async () => {
    const limiter = limiterFor({});
    await limiter.checkAsync("head");
    link.swallow();
    const since = performance.now();
    await limiter.close();
    expect(performance.now() - since).toBeLessThan(10_000);
  }, 15_000);
});
