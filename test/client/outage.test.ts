import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import {
  createLimiter,
  type Limiter,
  type LimiterOptions,
  UnavailableError,
} from "../../src/client/index.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { type BreakableLink, breakableLink } from "./breakable-link.ts";
import { silent } from "./silent.ts";
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
    logger: silent,
    connection: link.url,
    application: world.appId,
    // Nothing goes back because this machine was busy with something else.
    idleMs: 60_000,
    ...options,
  });
  onTestFinished(async () => {
    // Closing a pool without a working connection waits for five seconds.
    link.mend();
    await limiter.close();
    await link.close();
  });
  return limiter;
}

/** Spends until there is a lease with something left in it, however slow the machine is. */
async function holdLease(limiter: Limiter): Promise<void> {
  await eventually(async () => {
    await limiter.checkAsync("head");
    expect(limiter.status().own?.lease.tokens).toBeGreaterThan(1);
  });
}

/** Cuts the link, spends what is in hand and waits until that is noticed. */
async function fallIntoOutage(limiter: Limiter): Promise<void> {
  link.cut();
  await vi.waitFor(
    async () => {
      const decision = await limiter.checkAsync("head");
      expect(decision.reason).toBe("store_unavailable");
    },
    { timeout: 30_000, interval: 5 },
  );
}

describe("while the database is away", () => {
  test("what is in hand is spent first", async () => {
    const limiter = limiterFor({ outage: { policy: "closed" } });
    await holdLease(limiter);
    link.cut();
    await sleep(50);
    expect(limiter.check("head")).toMatchObject({ allowed: true, reason: null });
  });

  test("closed denies, and says when it tries again", async () => {
    const limiter = limiterFor({ outage: { policy: "closed" } });
    await holdLease(limiter);
    await fallIntoOutage(limiter);
    const denied = limiter.check("head");
    expect(denied).toMatchObject({ allowed: false, layer: 3, reason: "store_unavailable" });
    expect(denied.retryAfterMs).toBeGreaterThan(0);
    expect(limiter.status().own?.state).toBe("outage");
  });

  test("open admits, for at most maxMs", async () => {
    const limiter = limiterFor({ outage: { policy: "open", maxMs: 3_000 } });
    await holdLease(limiter);
    await fallIntoOutage(limiter);
    expect(limiter.check("write_large").allowed).toBe(true);
    expect(limiter.status().own?.uncharged).toBeGreaterThan(0);
    await eventually(() => expect(limiter.check("write_large").allowed).toBe(false));
  });

  test("open, before anything was ever read", async () => {
    link.cut();
    const limiter = limiterFor({ outage: { policy: "open" } });
    expect((await limiter.checkAsync("head")).allowed).toBe(true);
    await expect(limiter.settle("r", 1)).rejects.toThrow(UnavailableError);
  });

  test("fair_share admits at the rate of the quota, divided by the clients that held leases", async () => {
    // Another client holds a lease, so each of the two may spend ten tokens a second.
    const other = createLimiter({
      connection: database.urlAs("rate_limiter_app"),
      application: world.appId,
      idleMs: 60_000,
    });
    onTestFinished(() => other.close());
    await holdLease(other);
    const limiter = limiterFor({ outage: { policy: "fair_share" } });
    await eventually(async () => {
      await limiter.checkAsync("head");
      expect(limiter.status().own?.holders).toBe(2);
    });
    await fallIntoOutage(limiter);
    const before = limiter.status().own?.uncharged ?? 0;
    const start = performance.now();
    let [lookedAt, inflow] = [start, 0];
    while (lookedAt - start < 2_000) {
      while (limiter.check("head").allowed);
      // A share holds one second's worth: what flows in during a longer gap is lost.
      const now = performance.now();
      inflow += 10 * Math.min((now - lookedAt) / 1_000, 1);
      lookedAt = now;
      await sleep(2);
    }
    const admitted = (limiter.status().own?.uncharged ?? 0) - before;
    expect(admitted).toBeGreaterThan(inflow * 0.8);
    expect(admitted).toBeLessThanOrEqual((10 * (lookedAt - start)) / 1_000 + 10);
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
    await holdLease(limiter);
    await fallIntoOutage(limiter);
    const calls = limiter.status().storeCalls;
    const since = performance.now();
    for (let i = 0; i < 500; i += 1) {
      limiter.check("head");
      await sleep(2);
    }
    const seconds = (performance.now() - since) / 1_000;
    expect(limiter.status().storeCalls - calls).toBeLessThan(12 + 2 * seconds);
    link.mend();
    await eventually(async () =>
      expect(await limiter.checkAsync("head")).toMatchObject({ reason: null }),
    );
    // Leases as before: check() decides with nothing else.
    await eventually(() =>
      expect(limiter.check("head")).toMatchObject({ allowed: true, reason: null }),
    );
    expect(told).toEqual(["QS503", "recovered"]);
    const warnings = lines.filter(
      (line) => line.level === 40 && line.msg.includes("does not answer"),
    );
    expect(warnings).toHaveLength(1);
    expect(limiter.status()).toMatchObject({ isDown: false, outages: 1, own: { state: "ready" } });
  });

  test("a database that takes everything and answers nothing is away as well", async () => {
    const limiter = limiterFor({ outage: { policy: "open" } });
    await holdLease(limiter);
    link.swallow();
    await eventually(async () => {
      const decision = await limiter.checkAsync("write_large");
      expect(decision.reason).toBe("store_unavailable");
    });
  });

  test("close does not hang", async () => {
    const limiter = limiterFor({});
    await holdLease(limiter);
    link.swallow();
    // The database would be waited for until the test's own end.
    const tooLong = AbortSignal.timeout(20_000);
    await Promise.race([limiter.close(), once(tooLong, "abort")]);
    expect(tooLong.aborted).toBe(false);
  });
});
