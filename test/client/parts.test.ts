import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { decimalOf, safeMillionthsOf, wholeOf } from "../../src/client/amount.ts";
import { DenialCounts, denialsAsJson, RecentDenials } from "../../src/client/denials.ts";
import { fromDatabase, UnauthorizedError, UnavailableError } from "../../src/client/errors.ts";
import { Lease } from "../../src/client/lease.ts";
import { LeaseSize } from "../../src/client/lease-size.ts";
import { Leases } from "../../src/client/leases.ts";
import { type Limits, limitsOf } from "../../src/client/limits.ts";
import { OutageRules } from "../../src/client/outage.ts";
import { openPool } from "../../src/client/store/open-pool.ts";
import { Store } from "../../src/client/store/store.ts";

const largest = Number.MAX_SAFE_INTEGER;

describe("amounts", () => {
  test.each([
    ["0", 0, "0.000000"],
    ["1.0001", 1_000_100, "1.000100"],
    ["0.000001", 1, "0.000001"],
    ["9007199254.740991", largest, "9007199254.740991"],
  ])("%s is %d millionths", (text, millionths, decimal) => {
    expect(safeMillionthsOf(text)).toBe(millionths);
    expect(decimalOf(millionths)).toBe(decimal);
  });

  test("more than a double counts is never more than is there", () => {
    expect(safeMillionthsOf("9007199254.740992")).toBe(largest);
    expect(wholeOf("99999999999999999999.000000")).toBe(largest);
    expect(wholeOf("12.000000")).toBe(12);
  });
});

describe("a lease's size", () => {
  test("starts small, grows fast and settles at what half a second takes", () => {
    const size = new LeaseSize(0);
    const asked: number[] = [];
    let now = 0;
    for (let i = 0; i < 8; i += 1) {
      // A hundred tokens a millisecond: the lease lasts as long as it lasts.
      const last = asked.at(-1) ?? 0;
      size.measure(last, now);
      asked.push(size.next(1, 0));
      now += Math.max((asked.at(-1) ?? 0) / 100, 1);
    }
    expect(asked.slice(0, 2)).toEqual([8, 80]);
    expect(asked.at(-1)).toBeGreaterThan(30_000);
    expect(asked.at(-1)).toBeLessThanOrEqual(50_000);
  });

  test("covers whoever waits, and comes down slowly", () => {
    const size = new LeaseSize(0);
    expect(size.next(1, 5_000)).toBe(5_000);
    size.measure(1_000, 10);
    const before = size.next(1, 0);
    size.measure(0, 20);
    const after = size.next(1, 0);
    expect(after).toBeLessThan(before);
    expect(after).toBeGreaterThan(before / 2);
    expect(size.next(largest, 0)).toBe(largest);
  });
});

describe("leases", () => {
  const lease = (id: string, tokens: number, expiresAt = 1_000_000) =>
    new Lease(id, tokens, 0, expiresAt);

  test("the current one is spent first, and waits for its settlement behind the next", () => {
    const leases = new Leases();
    leases.add(lease("a", 10), 0);
    leases.add(lease("b", 100), 0);
    expect(leases.current.id).toBe("a");
    leases.current.take(7, 0);
    expect(leases.find(5, 0, 1)?.id).toBe("b");
    expect(leases.takeStale(600, 500).map((stale) => stale.spent.tokens)).toEqual(["0.000007"]);
    expect(leases.find(101, 0, 2)).toBeUndefined();
  });

  test("what expired is gone, and counts as spent", () => {
    const leases = new Leases();
    leases.add(lease("a", 10, 100), 0);
    leases.add(lease("b", 10, 200), 0);
    leases.dropExpired(100);
    expect(leases.current.id).toBe("b");
    leases.dropExpired(200);
    expect(leases.isEmpty).toBe(true);
    expect(leases.takeAll()).toEqual([]);
  });

  test("a third one loses none", () => {
    const leases = new Leases();
    for (const id of ["a", "b", "c"]) leases.add(lease(id, 10), 0);
    expect(leases.takeAll().map((held) => held.id)).toEqual(["b", "c", "a"]);
  });

  test("a debt is paid by the next lease, and forgiven by what comes back", () => {
    const leases = new Leases();
    leases.charge(7, 3);
    leases.putBack(2, 3);
    expect(leases.debt).toEqual({ tokens: 5, bytes: 0 });
    leases.add(lease("a", 100), 0);
    expect(leases.current.tokensLeft).toBe(95);
    expect(leases.debt).toEqual({ tokens: 0, bytes: 0 });
    leases.putBack(50, 50);
    expect(leases.current.tokensLeft).toBe(100);
    expect(leases.current.bytesLeft).toBe(0);
  });

  test("an endless one has nothing to give back", () => {
    const endless = new Lease(null, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 1);
    endless.take(5, 5);
    endless.putBack(9, 9);
    expect(endless.tokensLeft).toBe(Number.POSITIVE_INFINITY);
    expect(endless.hasLeftOver).toBe(false);
    expect(endless.spent).toEqual({ tokens: "0.000000", bytes: "0" });
  });
});

describe("recent denials", () => {
  test("hold for what needs as much of the same, until its time, a second at most", () => {
    const recent = new RecentDenials();
    recent.remember("iops_l2", 300, { tokens: 10, bytes: 99 }, 0);
    recent.remember("bandwidth_l1", 60_000, { tokens: 0, bytes: 1_000 }, 0);
    expect(recent.find(10, 0, 100)).toMatchObject({ reason: "iops_l2", retryAfterMs: 200 });
    expect(recent.find(9, 999, 100)).toBeUndefined();
    expect(recent.find(10, 0, 300)).toBeUndefined();
    expect(recent.find(1, 1_000, 999)).toMatchObject({ layer: 1, retryAfterMs: 59_001 });
    expect(recent.find(1, 1_000, 1_000)).toBeUndefined();
  });

  test("what never fits says nothing of anything smaller", () => {
    const recent = new RecentDenials();
    recent.remember("exceeds_capacity", null, { tokens: 10, bytes: 10 }, 0);
    expect(recent.find(10, 10, 1)).toMatchObject({ retryAfterMs: null });
    expect(recent.find(10, 9, 1)).toBeUndefined();
    expect(recent.find(9, 10, 1)).toBeUndefined();
  });
});

describe("counts of denials", () => {
  test("by minute and reason, handed in once, kept when that fails", () => {
    const counts = new DenialCounts();
    expect(counts.take()).toBeNull();
    counts.add("iops_l2", 1_500_000, 10, 60_000);
    counts.add("iops_l2", 500_000, 5, 119_999);
    const taken = counts.take();
    expect(JSON.parse(denialsAsJson(taken) ?? "")).toEqual([
      {
        minute: "1970-01-01T00:01:00.000Z",
        reason: "iops_l2",
        operations: 2,
        tokens: "2.000000",
        bytes: 15,
      },
    ]);
    counts.add("iops_l2", 1, 0, 60_000);
    counts.putBack(taken);
    expect(counts.take()?.[0]).toMatchObject({ operations: 3, tokens: 2_000_001 });
    expect(counts.take()).toBeNull();
  });

  test("are bounded while nobody takes them", () => {
    const counts = new DenialCounts();
    for (let minute = 0; minute < 500; minute += 1) counts.add("iops_l2", 1, 1, minute * 60_000);
    expect(counts.take()).toHaveLength(60);
  });
});

describe("limits", () => {
  const limit = (bucket_type: string, more: object = {}) => ({
    bucket_type,
    mode: "enforce" as const,
    method: "token_bucket",
    capacity: "100",
    refill_rate: "10",
    window_seconds: 5,
    ...more,
  });
  const of = (...limits: ReturnType<typeof limit>[]) =>
    limitsOf({ cluster_id: null, changes_in_ms: 50, limits }, 100, 2);

  test("the tightest layer counts, a fixed window by its length", () => {
    const limits = of(
      limit("iops_l2"),
      limit("iops_l1", { method: "fixed_window", capacity: "20" }),
    );
    expect(limits).toMatchObject({ tokensPerSecond: 4, until: 150, isDirect: false });
    expect(limits.bytesPerSecond).toBe(Number.POSITIVE_INFINITY);
  });

  test("leaky buckets and shadow quotas are the database's to decide", () => {
    expect(of(limit("iops_l1", { method: "leaky_bucket" })).isDirect).toBe(true);
    const shadow = of({ ...limit("iops_l2"), mode: "shadow" as never });
    expect(shadow).toMatchObject({ isDirect: true, tokensPerSecond: Number.POSITIVE_INFINITY });
  });
});

describe("the outage policy", () => {
  const limits = {
    tokensPerSecond: 10,
    bytesPerSecond: Number.POSITIVE_INFINITY,
    holders: 2,
  } as Limits;
  const outage = { since: 0, retryAfterMs: 70 };
  const need = { tokens: 1_000_000, bytes: 5 };

  test("closed denies, with when the database is tried next", () => {
    const rules = new OutageRules({ policy: "closed", maxMs: 1_000 });
    expect(rules.decide(need, limits, outage, 0)).toMatchObject({
      allowed: false,
      layer: 3,
      reason: "store_unavailable",
      retryAfterMs: 70,
    });
  });

  test("open admits, for so long", () => {
    const rules = new OutageRules({ policy: "open", maxMs: 1_000 });
    expect(rules.decide(need, undefined, outage, 999).allowed).toBe(true);
    expect(rules.decide(need, undefined, outage, 1_000).allowed).toBe(false);
  });

  test("fair_share admits at the quota's rate divided by the clients, for so long", () => {
    const rules = new OutageRules({ policy: "fair_share", maxMs: 60_000 });
    let admitted = 0;
    for (let now = 0; now < 10_000; now += 10) {
      if (rules.decide(need, limits, outage, now).allowed) admitted += 1;
    }
    // Five tokens a second each, from empty hands.
    expect(admitted).toBeGreaterThanOrEqual(48);
    expect(admitted).toBeLessThanOrEqual(50);
    expect(rules.decide(need, limits, outage, 60_000).allowed).toBe(false);
    expect(
      new OutageRules({ policy: "fair_share", maxMs: 60_000 }).decide(need, undefined, outage, 1)
        .allowed,
    ).toBe(false);
  });

  test("fair_share saves up for an operation that costs more than a second's share", () => {
    const rules = new OutageRules({ policy: "fair_share", maxMs: 60_000 });
    const large = { tokens: 20_000_000, bytes: 0 };
    const admittedAt = [];
    for (let now = 0; now <= 10_000; now += 100) {
      if (rules.decide(large, limits, outage, now).allowed) admittedAt.push(now);
    }
    expect(admittedAt).toEqual([4_000, 8_000]);
  });
});

describe("calls of what anybody can make up", () => {
  // A database that answers one call after the other.
  function storeOf(timeoutMs: number) {
    let last: Promise<unknown> = Promise.resolve();
    const outages: boolean[] = [];
    const store = new Store(undefined as never, timeoutMs, (isDown) => outages.push(isDown));
    const answer = () => {
      last = last.then(() => sleep(2));
      return last;
    };
    return { store, outages, answer };
  }

  test("wait for each other, and are not late for it", async () => {
    const { store, outages, answer } = storeOf(1_000);
    const calls = Array.from({ length: 1_000 }, () => store.callInTurn(answer));
    await sleep(50);
    await store.call(answer);
    await Promise.all(calls);
    expect(outages).toEqual([]);
  });

  test("are not made while the database is away", async () => {
    const { store, outages } = storeOf(100);
    const unanswered = () => new Promise(() => {});
    const calls = Array.from({ length: 100 }, () => store.callInTurn(unanswered));
    const answers = await Promise.allSettled(calls);
    for (const answer of answers)
      expect(answer).toMatchObject({ reason: expect.any(UnavailableError) });
    expect(outages).toEqual([true]);
    expect(store.status.calls).toBeLessThan(100);
  });
});

describe("errors of the database", () => {
  test("keep code, message, detail and hint", () => {
    const error = fromDatabase({
      code: "QS401",
      message: "unknown api key",
      hint: "h",
      detail: "d",
    });
    expect(error).toBeInstanceOf(UnauthorizedError);
    expect(error).toMatchObject({
      code: "QS401",
      message: "unknown api key",
      hint: "h",
      detail: "d",
    });
    expect(fromDatabase({ code: "QS429", message: "x" })).toMatchObject({ code: "QS429" });
  });

  test("whatever is not ours is an outage", () => {
    for (const code of ["ECONNREFUSED", "57P01", "40001", undefined]) {
      expect(fromDatabase({ code, message: "m" })).toBeInstanceOf(UnavailableError);
    }
  });
});

test.each([
  ["postgres://login@host/my%20db?sslmode=disable", "my db"],
  ["postgres://login:pass%2Fword@one:5432,two:5433/quotas", "quotas"],
])("a pool of %s is of %j", (url, database) => {
  expect(openPool(url).options.database).toBe(database);
});
