import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import {
  ClosedError,
  ConflictError,
  createLimiter,
  ForbiddenError,
  InvalidRequestError,
  type Limiter,
  type LimiterOptions,
  NotFoundError,
  UnauthorizedError,
} from "../../src/client/index.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { addQuota, type ClientWorld, charged, makeWorld } from "./world.ts";

const database = await createDatabase();
const connection = database.urlAs("rate_limiter_app");
let world: ClientWorld;

beforeEach(async () => {
  world = await makeWorld(database);
});

function limiterFor(options: Partial<LimiterOptions> = {}): Limiter {
  const limiter = createLimiter({ connection, apiKey: world.apiKey, ...options });
  onTestFinished(() => limiter.close());
  return limiter;
}

/** Decided in memory: where a lease comes late, checkAsync() has the database decide. */
async function spendOfLease(limiter: Limiter, operation: string, bytes = 0): Promise<void> {
  await eventually(() => expect(limiter.check(operation, bytes).allowed).toBe(true));
}

async function leases() {
  return database.sql`
    select tokens, bytes, spent_tokens, spent_bytes, settled_at is not null as settled, holder
    from rate_limiter.token_leases where app_id = ${world.appId} order by granted_at
  `;
}

/** What was owed and is charged, in its order. */
async function lateCharges(): Promise<string[]> {
  const rows = await database.sql`
    select tokens::text from rate_limiter.late_charges
    where app_id = ${world.appId} order by charged_at
  `;
  return rows.map((row) => row.tokens);
}

/** What the application's IOPS bucket holds now. */
async function tokensInBucket(): Promise<number> {
  const [row] = await database.as("rate_limiter_app")`
    select remaining::float8 + cost::float8 as remaining
    from rate_limiter.check_limit(${world.appId}, 'head')
  `;
  return row?.remaining;
}

/** Sessions of this database that wait for a lock. */
async function waitingForLocks(): Promise<number> {
  const [row] = await database.sql`
    select count(*)::integer as count from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'
  `;
  return row?.count;
}

const slowQuota = { iops: { limit: 1, burst: 1_000, seconds: 1 } };

describe("check", () => {
  test("has nothing in hand at first, and decides alone once it has", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor();
    expect(limiter.check("head")).toMatchObject({ allowed: false, layer: 3, reason: "no_lease" });
    await eventually(() => expect(limiter.check("head").allowed).toBe(true));
    const calls = limiter.status().storeCalls;
    expect(limiter.check("head")).toMatchObject({ allowed: true, layer: null, reason: null });
    expect(limiter.status().storeCalls).toBe(calls);
  });

  test("charges exactly what SQL charges", async () => {
    await addQuota(database, world, { ...slowQuota, bytesPerSecond: 1_000_000 });
    const limiter = limiterFor();
    const sizes = [1, 4096, 12_345, 0, 99_999];
    for (const size of sizes) {
      expect((await limiter.checkAsync("read_small", size)).allowed).toBe(true);
    }
    await limiter.close();
    const [row] = await database.sql`
      select sum(rate_limiter.cost(${world.appId}, 'read_small', s)) as cost, sum(s) as bytes
      from unnest(${sizes}::bigint[]) as s
    `;
    const { tokens, bytes } = await charged(database, world);
    expect(tokens).toBe(row?.cost);
    expect(Number(bytes)).toBe(Number(row?.bytes));
  });

  test("spends freely where no quota limits", async () => {
    const limiter = limiterFor();
    expect(await limiter.checkAsync("read_large", 2 ** 50)).toMatchObject({ allowed: true });
    const calls = limiter.status().storeCalls;
    for (let i = 0; i < 1_000; i += 1)
      expect(limiter.check("read_large", 2 ** 40).allowed).toBe(true);
    expect(limiter.status().storeCalls).toBe(calls);
    expect(await leases()).toHaveLength(0);
  });

  test("raises what SQL raises, with the same message", async () => {
    const limiter = limiterFor();
    await limiter.ready();
    expect(() => limiter.check("no_such")).toThrow(NotFoundError);
    expect(() => limiter.check("no_such")).toThrow("unknown operation");
    expect(() => limiter.check("head", -1)).toThrow("size is negative");
    expect(() => limiter.check("head", 1.5)).toThrow(InvalidRequestError);
    expect(() => limiter.check("head", Number.NaN)).toThrow(InvalidRequestError);
    expect(() => limiter.check("head", 2 ** 53)).toThrow(InvalidRequestError);
  });

  test("an admission cannot be changed, and tells what is left", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor();
    await spendOfLease(limiter, "head");
    const first = limiter.check("head");
    const before = first.remaining ?? 0;
    limiter.check("head");
    expect(first.remaining).toBe(before - 1);
    expect(() => Object.assign(first, { allowed: false })).toThrow(TypeError);
  });
});

describe("checkAsync", () => {
  test("many callers at once share one request for a lease", async () => {
    await addQuota(database, world, { iops: { limit: 1, burst: 10_000, seconds: 1 } });
    const limiter = limiterFor();
    await eventually(() => expect(limiter.status().changes).toBe("listening"));
    await limiter.ready();
    const calls = limiter.status().storeCalls;
    const decisions = await Promise.all(
      Array.from({ length: 500 }, () => limiter.checkAsync("head")),
    );
    expect(decisions.every((decision) => decision.allowed)).toBe(true);
    expect(limiter.status().storeCalls - calls).toBeLessThanOrEqual(2);
  });

  test("asks the database for what no lease can hold", async () => {
    await addQuota(database, world, { iops: { limit: 10 } });
    const limiter = limiterFor();
    // A lease may take half of the capacity, and what it took goes back before the whole is asked.
    expect(await limiter.checkAsync("write_large")).toMatchObject({ allowed: true });
    expect(await tokensInBucket()).toBeLessThan(5);
  });

  test("answers a denial with its layer and when to ask again, and remembers it", async () => {
    await addQuota(database, world, { iops: { limit: 10 } });
    const limiter = limiterFor();
    await limiter.checkAsync("write_large");
    const denied = await limiter.checkAsync("write_large");
    expect(denied).toMatchObject({ allowed: false, layer: 2, reason: "iops_l2" });
    expect(denied.retryAfterMs).toBeGreaterThan(0);
    expect(denied.retryAfterMs).toBeLessThanOrEqual(1_000);
    const calls = limiter.status().storeCalls;
    for (let i = 0; i < 100; i += 1) {
      expect(limiter.check("write_large")).toMatchObject({ allowed: false, reason: "iops_l2" });
    }
    expect(limiter.status().storeCalls).toBe(calls);
  });

  test("an operation of unknown size is charged at its end, and denied while bytes are owed", async () => {
    await addQuota(database, world, { bytesPerSecond: 1_000 });
    const limiter = limiterFor();
    expect(await limiter.checkAsync("write_small", null)).toMatchObject({ allowed: true });
    expect((await charged(database, world)).bytes).not.toBe("0");
    limiter.settleLeased({ operation: "write_small", sizeBytes: null }, 60_000);
    const denied = await limiter.checkAsync("write_small", null);
    expect(denied).toMatchObject({ allowed: false, reason: "bandwidth_l2", layer: 2 });
    // 59,000 bytes beyond the bucket, and one more.
    expect(denied.retryAfterMs).toBeGreaterThan(40_000);
    expect(denied.retryAfterMs).toBeLessThanOrEqual(59_001);
    expect(limiter.check("write_small", null)).toMatchObject({ reason: "bandwidth_l2" });
    expect((await limiter.checkAsync("head", 0)).allowed).toBe(true);
    await limiter.close();
    expect(Number((await charged(database, world)).bytes)).toBeGreaterThanOrEqual(60_000);
  });

  test("an application that needs a quota and has none is denied, without a time", async () => {
    await database.sql`
      update rate_limiter.app_facts set needs_iops_quota = true where app_id = ${world.appId}
    `;
    const limiter = limiterFor();
    const never = { allowed: false, reason: "no_quota", layer: null, retryAfterMs: null };
    expect(await limiter.checkAsync("head")).toMatchObject(never);
    const calls = limiter.status().storeCalls;
    for (let i = 0; i < 100; i += 1) expect(limiter.check("head")).toMatchObject(never);
    expect(limiter.status().storeCalls).toBe(calls);
  });

  test("asks seldom for a lease that is never granted, and at once when the quota changes", async () => {
    const reserve = { iops: { limit: 100, reserve: 100 } };
    await addQuota(database, world, reserve);
    const limiter = limiterFor();
    await eventually(() => expect(limiter.status().changes).toBe("listening"));
    expect((await limiter.checkAsync("head")).allowed).toBe(true);
    const calls = limiter.status().storeCalls;
    for (let i = 0; i < 4; i += 1) expect((await limiter.checkAsync("head")).allowed).toBe(true);
    expect(limiter.status().storeCalls - calls).toBe(4);
    expect(await leases()).toHaveLength(0);
    await database.sql`
      update rate_limiter.quota_configs set is_active = false where app_id = ${world.appId}
    `;
    await addQuota(database, world, { iops: { limit: 1_000 } });
    await eventually(async () => {
      await limiter.checkAsync("head");
      expect(await leases()).not.toHaveLength(0);
    });
  });

  test("names layer 1 where the cluster is short", async () => {
    await addQuota(database, { clusterId: world.clusterId }, { iops: { limit: 10 } });
    await addQuota(database, world, { iops: { limit: 1_000 } });
    const limiter = limiterFor();
    await limiter.checkAsync("write_large");
    expect(await limiter.checkAsync("write_large")).toMatchObject({ layer: 1, reason: "iops_l1" });
  });

  test("says never where an operation cannot fit", async () => {
    await addQuota(database, world, { iops: { limit: 9 } });
    const limiter = limiterFor();
    expect(await limiter.checkAsync("write_large")).toMatchObject({
      allowed: false,
      layer: null,
      reason: "exceeds_capacity",
      retryAfterMs: null,
    });
  });

  test("under a reference the database decides once", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor();
    const once = await limiter.checkAsync("list", 0, { reference: "r" });
    const again = await limiter.checkAsync("list", 0, { reference: "r" });
    expect([once.allowed, again.allowed]).toEqual([true, true]);
    expect(again.remaining).toBeGreaterThanOrEqual(997);
    expect(await limiter.settle("r", 10)).toMatchObject({ settled: true, cost: "3.000000" });
    expect(await limiter.settle("r", 10)).toEqual({ settled: false, cost: null });
    const another = limiter.checkAsync("head", 0, { reference: "r" });
    await expect(another).rejects.toThrow(ConflictError);
    expect(await limiter.refund("r")).toBe(true);
    expect(await limiter.refund("r")).toBe(false);
    await expect(limiter.refund("unheard of")).rejects.toThrow(NotFoundError);
  });

  test("an invalid operation fails alone", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor();
    await limiter.ready();
    const decisions = await Promise.allSettled([
      limiter.checkAsync("list", 0, { reference: "" }),
      limiter.checkAsync("list", 0, { reference: "good" }),
      limiter.checkAsync("list", 0, { reference: "good" }),
    ]);
    expect(decisions.map((decision) => decision.status)).toEqual([
      "rejected",
      "fulfilled",
      "fulfilled",
    ]);
  });

  test("references asked for together are told apart, of whatever characters", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor();
    await limiter.ready();
    const odd = ["NULL", "null", '"', '\\"', "\\", "{a,b}", "a,b", "{}", " ", "é\n", "'"];
    for (const references of [odd, odd.toReversed()]) {
      const calls = limiter.status().storeCalls;
      const decisions = await Promise.all(
        references.map((reference) => limiter.checkAsync("head", 0, { reference })),
      );
      expect(decisions.every(({ allowed }) => allowed)).toBe(true);
      expect(limiter.status().storeCalls - calls).toBeLessThan(odd.length);
    }
    const charges = await database.sql<{ reference_id: string }[]>`
      select c.reference_id from rate_limiter.charges as c where c.app_id = ${world.appId}
    `;
    const charged = charges.map((charge) => charge.reference_id);
    expect(charged.toSorted()).toEqual(odd.toSorted());
  });

  test("a leaky bucket's delay comes from the database", async () => {
    await addQuota(database, world, { iops: { limit: 10, method: "leaky_bucket" } });
    const limiter = limiterFor();
    const asked = Array.from({ length: 3 }, () => limiter.checkAsync("head"));
    const decisions = await Promise.all(asked);
    expect(decisions.map((decision) => decision.delayMs)).toEqual([0, 100, 200]);
    expect(limiter.check("head")).toMatchObject({ allowed: false, reason: "no_lease" });
    expect(limiter.status().own?.decidedByDatabase).toBe(true);
  });

  test("a shadow quota shows its verdict and denies nothing", async () => {
    // One token a second flows in, and ten are asked for.
    await addQuota(database, world, { iops: { limit: 1, burst: 12 }, mode: "shadow" });
    const limiter = limiterFor();
    const first = await limiter.checkAsync("write_large");
    const second = await limiter.checkAsync("write_large");
    expect(first).toMatchObject({ allowed: true, reason: null });
    expect(second).toMatchObject({ allowed: true, reason: "iops_l2", layer: 2 });
  });
});

describe("acquire", () => {
  test("waits until the operation is admitted, or maxWaitMs would be over", async () => {
    await addQuota(database, world, { iops: { limit: 10 } });
    const limiter = limiterFor();
    expect(await limiter.acquire("write_large")).toMatchObject({ allowed: true });
    expect(await limiter.acquire("write_large", 0, { maxWaitMs: 1 })).toMatchObject({
      allowed: false,
      reason: "iops_l2",
    });
    expect(await limiter.acquire("write_large")).toMatchObject({ allowed: true });
  });

  test("does not wait for what is never admitted, nor after its signal", async () => {
    await addQuota(database, world, { iops: { limit: 9 } });
    const limiter = limiterFor();
    expect(await limiter.acquire("write_large")).toMatchObject({ reason: "exceeds_capacity" });
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(limiter.acquire("head", 0, { signal })).rejects.toMatchObject({ code: "QS499" });
    await expect(limiter.checkAsync("head", 0, { signal })).rejects.toThrow("aborted");
  });

  test("await using closes a limiter, and decisions say what they know of the quota", async () => {
    await addQuota(database, world, { iops: { limit: 100 } });
    let kept: Limiter;
    {
      await using limiter = createLimiter({ connection, apiKey: world.apiKey });
      kept = limiter;
      expect(await limiter.checkAsync("head")).toMatchObject({
        limit: 100,
        resetMs: 1_000,
        remainingBytes: null,
        shadow: null,
      });
    }
    expect(() => kept.check("head")).toThrow(ClosedError);
  });
});

describe("settle and refund in the lease", () => {
  test("give back and charge the difference", async () => {
    await addQuota(database, world, { ...slowQuota, bytesPerSecond: 1_000_000 });
    const limiter = limiterFor();
    await spendOfLease(limiter, "read_small", 40_960);
    const { lease } = limiter.status().own ?? {};
    limiter.settleLeased({ operation: "read_small", sizeBytes: 40_960 }, 4_096);
    expect(limiter.status().own?.lease.bytes).toBe((lease?.bytes ?? 0) + 36_864);
    limiter.settleLeased({ operation: "read_small", sizeBytes: 4_096 }, 8_192);
    expect(limiter.status().own?.lease.bytes).toBe((lease?.bytes ?? 0) + 32_768);
    limiter.refundLeased({ operation: "read_small", sizeBytes: 8_192 });
    expect(limiter.status().own?.lease.tokens).toBeCloseTo((lease?.tokens ?? 0) + 1.001, 6);
  });

  test("are done once under a key", async () => {
    await addQuota(database, world, { ...slowQuota, bytesPerSecond: 1_000_000 });
    const limiter = limiterFor();
    await spendOfLease(limiter, "read_small", 40_960);
    const { lease } = limiter.status().own ?? {};
    const leased = { operation: "read_small", sizeBytes: 40_960, key: "request 1" };
    limiter.settleLeased(leased, 4_096);
    limiter.settleLeased(leased, 4_096);
    limiter.refundLeased(leased);
    expect(limiter.status().own?.lease.bytes).toBe((lease?.bytes ?? 0) + 36_864);
  });

  test("never lift a lease above what was granted", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor();
    await spendOfLease(limiter, "head");
    for (let i = 0; i < 100; i += 1) limiter.refundLeased({ operation: "list" });
    await limiter.close();
    const granted = (await leases()).map((lease) => Number(lease.tokens));
    expect(await tokensInBucket()).toBeCloseTo(1_000, 0);
    expect(Math.max(...granted)).toBeLessThanOrEqual(500);
  });

  test("what is charged beyond the lease is owed, and on record within a moment, once", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor();
    await spendOfLease(limiter, "head");
    const inHand = limiter.status().own?.lease.tokens ?? 0;
    limiter.settleLeased({ operation: "read_large", sizeBytes: 0 }, 2 ** 40);
    // 0.0001 tokens for each MiB: 104.8576 tokens.
    expect(limiter.status().own?.lease.tokens).toBe(0);
    expect(limiter.status().own?.owed.tokens).toBeCloseTo(104.8576 - inHand, 6);
    await eventually(() => expect(limiter.status().own?.owed.tokens).toBe(0));
    expect(await lateCharges()).toEqual([(104.8576 - inHand).toFixed(6)]);
    expect((await limiter.checkAsync("head")).allowed).toBe(true);
  });

  test("what is owed beyond the bucket is a debt of the bucket, and denies until it is paid", async () => {
    await addQuota(database, world, { iops: { limit: 50, burst: 100 } });
    const limiter = limiterFor();
    await spendOfLease(limiter, "head");
    limiter.settleLeased({ operation: "read_large", sizeBytes: 0 }, 3 * 2 ** 40);
    const denied = await limiter.checkAsync("head");
    expect(denied).toMatchObject({ allowed: false, reason: "iops_l2", layer: 2 });
    // 314.5728 were charged and 1 is wanted, of 100 and what flowed in at 50 a second.
    expect(denied.retryAfterMs).toBeGreaterThan(3_000);
    expect(denied.retryAfterMs).toBeLessThanOrEqual(4_332);
    const direct = await limiter.checkAsync("head", 0, { reference: "in debt" });
    expect(direct.remaining).toBeLessThan(0);
    expect(limiter.status().own?.lease.tokens).toBe(0);
  });
});

describe("operations without a reference that end late", () => {
  test("are settled though the config was dropped meanwhile", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor({ idleMs: 100 });
    await limiter.checkAsync("head");
    await eventually(() => expect(limiter.status().changes).toBe("listening"));
    await eventually(() => expect(limiter.status().own?.lease.tokens).toBe(0));
    await addQuota(database, { clusterId: world.clusterId }, { iops: { limit: 1, burst: 2_000 } });
    await eventually(() => expect(limiter.status().own?.state).toBe("loading"));
    limiter.settleLeased({ operation: "head" }, 0);
    limiter.settleLeased({ operation: "read_large", sizeBytes: 0 }, 2 ** 40);
    await eventually(() => expect(limiter.status().own?.state).toBe("ready"));
    await eventually(() => expect(limiter.check("head").allowed).toBe(true));
    await limiter.close();
    expect(await tokensInBucket()).toBeLessThan(1_000 - 104);
  });

  test("are charged at close at the latest", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor();
    await limiter.checkAsync("head");
    limiter.settleLeased({ operation: "read_large", sizeBytes: 0 }, 2 ** 40);
    await limiter.close();
    // 1 and 104.8576.
    expect(await tokensInBucket()).toBeLessThan(900);
    expect(await tokensInBucket()).toBeGreaterThan(890);
  });

  test("leave numbers, whatever was said of their size", async () => {
    await addQuota(database, world, slowQuota);
    await database.sql`
      insert into rate_limiter.cost_rules (app_id, operation_id, c_bw_override)
      select ${world.appId}, operation_id, 9999.9999
      from rate_limiter.operation_types where name = 'list'
    `;
    const limiter = limiterFor();
    await limiter.checkAsync("head");
    const most = Number.MAX_SAFE_INTEGER;
    limiter.settleLeased({ operation: "list", sizeBytes: most }, most - 1);
    limiter.settleLeased({ operation: "list" }, most);
    limiter.settleLeased({ operation: "list", sizeBytes: most }, 0);
    expect((await limiter.checkAsync("head")).allowed).toBe(true);
    expect(limiter.status().own?.lease.tokens).toBeGreaterThan(0);
  });
});

describe("leases", () => {
  test("an idle one goes back, all of it", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor({ idleMs: 200 });
    await limiter.checkAsync("head");
    expect(await tokensInBucket()).toBeLessThan(999);
    await eventually(async () => expect(await tokensInBucket()).toBeGreaterThanOrEqual(999));
    expect(limiter.status().own?.lease.tokens).toBe(0);
    expect((await limiter.checkAsync("head")).allowed).toBe(true);
  });

  test("are not taken for an application that asks rarely, until it asks more often", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor({ idleMs: 100 });
    const askOnce = async () => {
      expect((await limiter.checkAsync("head")).allowed).toBe(true);
      await sleep(150);
      await eventually(() => expect(limiter.status().own?.lease.tokens).toBe(0));
      return (await leases()).length;
    };
    const counts: number[] = [];
    for (let i = 0; i < 6; i += 1) counts.push(await askOnce());
    // A first lease may be renewed before the second request: then there is one more.
    const taken = counts.at(-1) ?? 0;
    expect(counts.slice(3)).toEqual([taken, taken, taken]);
    expect(taken).toBeGreaterThanOrEqual(3);
    await eventually(async () => {
      await Promise.all([limiter.checkAsync("head"), limiter.checkAsync("head")]);
      expect((await leases()).length).toBeGreaterThan(taken);
    });
  });

  test("are renewed before they end, and what is left of them goes back", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor({ leaseMs: 5_000, idleMs: 60_000 });
    const isFirstOver = () => database.sql`
      select count(*) > 1 and bool_or(expires_at < clock_timestamp()) as over
      from rate_limiter.token_leases where app_id = ${world.appId}
    `;
    await limiter.checkAsync("head");
    let asked = 1;
    let missed = 0;
    do {
      await sleep(200);
      asked += 1;
      if (!limiter.check("head").allowed) missed += 1;
    } while (!(await isFirstOver())[0]?.over);
    expect(missed).toBe(0);
    await limiter.close();
    expect(await tokensInBucket()).toBeGreaterThan(1_000 - asked - 8);
  });

  test("close gives back, once, and nothing runs after it", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor({ holder: "me" });
    await limiter.checkAsync("list");
    await Promise.all([limiter.close(), limiter.close()]);
    // Some flow in meanwhile; given back twice, all 1,000 would be there.
    const left = await tokensInBucket();
    expect(left).toBeGreaterThanOrEqual(997);
    expect(left).toBeLessThan(999.5);
    expect((await leases())[0]?.holder).toBe("me");
    expect(() => limiter.check("list")).toThrow(ClosedError);
    await expect(limiter.checkAsync("list")).rejects.toThrow(ClosedError);
    expect(() => limiter.application({ application: world.appId })).toThrow(ClosedError);
  });

  test("a pool that was lent stays open", async () => {
    const pool = database.as("rate_limiter_app");
    const limiter = limiterFor({ connection: pool });
    await limiter.checkAsync("head");
    await limiter.close();
    expect([...(await pool`select 1 as one`)]).toEqual([{ one: 1 }]);
  });
});

describe("changes reach a client without its looking", () => {
  const within = { timeout: 30_000, interval: 10 };
  /** Looks by itself only long after the test. */
  const onlyTold = { pollMs: 3_600_000 };

  test("a smaller quota", async () => {
    const config = await addQuota(database, world, { iops: { limit: 100_000 } });
    const limiter = limiterFor(onlyTold);
    await eventually(() => expect(limiter.status().changes).toBe("listening"));
    await limiter.checkAsync("write_large");
    await database.sql`
      update rate_limiter.iops_quotas set iops_limit = 9, iops_burst = 9, refill_rate = 9
      where config_id = ${config}
    `;
    await vi.waitFor(
      async () => expect((await limiter.checkAsync("write_large")).reason).toBe("exceeds_capacity"),
      within,
    );
  });

  test("a quota where there was none, of the application and of its cluster", async () => {
    const limiter = limiterFor(onlyTold);
    await eventually(() => expect(limiter.status().changes).toBe("listening"));
    await limiter.checkAsync("write_large");
    await addQuota(database, { clusterId: world.clusterId }, { iops: { limit: 9 } });
    await vi.waitFor(
      async () => expect((await limiter.checkAsync("write_large")).reason).toBe("exceeds_capacity"),
      within,
    );
  });

  test("a cost rule", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor(onlyTold);
    await eventually(() => expect(limiter.status().changes).toBe("listening"));
    await limiter.checkAsync("head");
    await database.sql`
      insert into rate_limiter.cost_rules (operation_id, app_id, c_base_override)
      select operation_id, ${world.appId}, 2000 from rate_limiter.operation_types
      where name = 'head'
    `;
    await vi.waitFor(
      async () => expect((await limiter.checkAsync("head")).reason).toBe("exceeds_capacity"),
      within,
    );
  });

  test("a revoked key, and what was leased goes back", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor(onlyTold);
    await eventually(() => expect(limiter.status().changes).toBe("listening"));
    await limiter.checkAsync("head");
    await database.sql`
      update rate_limiter_private.api_keys set revoked_at = clock_timestamp()
      where app_id = ${world.appId}
    `;
    await vi.waitFor(() => expect(limiter.status().own?.state).toBe("rejected"), within);
    expect(() => limiter.check("head")).toThrow("api key is revoked");
    expect(limiter.status().own).toMatchObject({ state: "rejected", lease: { tokens: 0 } });
    await vi.waitFor(
      async () => expect(await tokensInBucket()).toBeGreaterThanOrEqual(999),
      within,
    );
  });

  test.each(["applications", "tenants"])("of %s: switched off, and on again", async (table) => {
    const limiter = limiterFor(onlyTold);
    await eventually(() => expect(limiter.status().changes).toBe("listening"));
    await limiter.checkAsync("head");
    const switchTo = (active: boolean) => database.sql`
      update rate_limiter.${database.sql(table)} set is_active = ${active}
      where tenant_id = ${world.tenantId}
    `;
    await switchTo(false);
    await vi.waitFor(() => expect(() => limiter.check("head")).toThrow(ForbiddenError), within);
    await switchTo(true);
    await vi.waitFor(
      async () => expect((await limiter.checkAsync("head")).allowed).toBe(true),
      within,
    );
  });

  test("where notifications do not pass, by looking", async () => {
    await addQuota(database, world, slowQuota);
    const pool = database.as("rate_limiter_app");
    const deaf = new Proxy(pool, {
      get: (target, name) =>
        name === "listen" ? async () => ({ unlisten: async () => {} }) : Reflect.get(target, name),
    });
    const limiter = limiterFor({ connection: deaf, pollMs: 300 });
    await limiter.checkAsync("head");
    await database.sql`
      update rate_limiter_private.api_keys set revoked_at = clock_timestamp()
      where app_id = ${world.appId}
    `;
    await vi.waitFor(() => expect(() => limiter.check("head")).toThrow(UnauthorizedError), within);
    expect(limiter.status().changes).toBe("polling");
  });
});

test("an oversize upload runs when the bucket is full, though a lease was in hand", async () => {
  await addQuota(database, world, { bytesPerSecond: 1_000 });
  const limiter = limiterFor();
  expect((await limiter.checkAsync("write_small", 10)).allowed).toBe(true);
  await sleep(50);
  expect((await limiter.checkAsync("write_small", 5_000)).allowed).toBe(true);
  expect(await limiter.checkAsync("write_small", 10)).toMatchObject({ reason: "bandwidth_l2" });
});

describe("an unknown key", () => {
  test("is rejected by every call", async () => {
    const limiter = limiterFor({ apiKey: "qos_no_such_key" });
    await expect(limiter.ready()).rejects.toThrow(UnauthorizedError);
    await expect(limiter.checkAsync("head")).rejects.toThrow("unknown api key");
    expect(() => limiter.check("head")).toThrow(UnauthorizedError);
  });

  test("a limiter without an application says so", () => {
    const limiter = createLimiter({ connection });
    onTestFinished(() => limiter.close());
    expect(() => limiter.check("head")).toThrow("no application");
  });
});

describe("many applications in one process", () => {
  test("those that were not used longest are let go, and their leases go back", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor({ maxApplications: 2, idleMs: 60_000 });
    const first = limiter.application({ application: world.appId });
    expect(limiter.application({ application: world.appId })).toBe(first);
    await first.checkAsync("head");
    for (let i = 0; i < 2; i += 1) {
      const other = await makeWorld(database);
      await limiter.application({ application: other.appId }).checkAsync("head");
    }
    expect(limiter.status().applications).toBe(2);
    await eventually(async () => expect(await tokensInBucket()).toBeGreaterThanOrEqual(999));
    expect((await first.checkAsync("head")).allowed).toBe(true);
  });

  test("the lease that is under way to one that is let go goes back", async () => {
    await addQuota(database, world, slowQuota);
    const limiter = limiterFor({ maxApplications: 1, idleMs: 60_000, leaseMs: 600_000 });
    const first = limiter.application({ application: world.appId });
    await first.ready();
    const { sql } = await database.session("buckets");
    await sql`begin`;
    await sql`select from rate_limiter.token_buckets where owner_id = ${world.appId} for update`;
    expect(first.check("head").reason).toBe("no_lease");
    await eventually(async () => expect(await waitingForLocks()).toBe(1));
    const other = await makeWorld(database);
    await limiter.application({ application: other.appId }).checkAsync("head");
    await sql`commit`;
    await eventually(async () => {
      expect(await leases()).toHaveLength(1);
      expect((await leases())[0]?.settled).toBe(true);
    });
    expect((await first.checkAsync("head")).allowed).toBe(true);
  });

  test("one that was kept hears of changes, though another one took its place", async () => {
    await addQuota(database, world, slowQuota);
    const other = await makeWorld(database);
    const limiter = limiterFor({ maxApplications: 1, idleMs: 60_000, leaseMs: 600_000 });
    await eventually(() => expect(limiter.status().changes).toBe("listening"));
    const kept = limiter.application({ application: world.appId });
    await kept.checkAsync("head");
    limiter.application({ application: other.appId });
    expect(limiter.application({ application: world.appId })).not.toBe(kept);
    expect((await kept.checkAsync("head")).allowed).toBe(true);
    await database.sql`
      update rate_limiter.applications set is_active = false where app_id = ${world.appId}
    `;
    await eventually(() => expect(kept.status().state).toBe("rejected"));
  });

  test.each([
    ["a key", { apiKey: "a\0b" }],
    ["a key", { apiKey: undefined as unknown as string }],
    ["an id", { application: "no id" }],
  ])(
    "what is not even %s is rejected under every policy, and does not count as an outage",
    async (_, name) => {
      const limiter = limiterFor({ outage: { policy: "open" } });
      const unknown = limiter.application(name);
      await expect(unknown.checkAsync("head")).rejects.toBeInstanceOf(InvalidRequestError);
      expect(() => unknown.check("head")).toThrow(InvalidRequestError);
      expect(limiter.status()).toMatchObject({ isDown: false, outages: 0 });
    },
  );
});
