import { describe, expect, onTestFinished, test, vi } from "vitest";
import { limitsOf } from "../../src/client/config/limits.ts";
import { decimalOf, safeMillionthsOf, wholeOf } from "../../src/client/costs/amount.ts";
import { OutageRules, type SharedLimits } from "../../src/client/decisions/outage.ts";
import { DenialCounts, denialRows, RecentDenials } from "../../src/client/denials/denials.ts";
import {
  BusyError,
  DatabaseError,
  fromDatabase,
  UnauthorizedError,
  UnavailableError,
} from "../../src/client/errors.ts";
import { HolderCount } from "../../src/client/leases/holder-count.ts";
import { Lease } from "../../src/client/leases/lease.ts";
import { LeaseSize } from "../../src/client/leases/lease-size.ts";
import { Leases } from "../../src/client/leases/leases.ts";
import { Owed } from "../../src/client/leases/owed.ts";
import { keepsConnection } from "../../src/client/store/classify-error.ts";
import type { Connections } from "../../src/client/store/connections.ts";
import { Store } from "../../src/client/store/store.ts";

const largest = Number.MAX_SAFE_INTEGER;

/** Time passes when the test says so. */
function stopTime(): void {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  onTestFinished(() => void vi.useRealTimers());
}

/** Connections that run statements as they are. */
function connectionsOf(size = 4): Connections {
  return {
    size,
    run: (statement, deadline) => deadline.race(statement(undefined as never)),
    listen: async () => undefined,
    close: async () => {},
  };
}

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

  test("covers waiting requests, and comes down slowly", () => {
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

  test("those that hold nothing are settled too: they count among the open ones until then", () => {
    const leases = new Leases();
    leases.add(lease("a", 10), 0);
    leases.add(lease("b", 10), 0);
    leases.current.take(10, 0);
    leases.advance(1);
    leases.current.take(10, 0);
    expect(leases.takeStale(501, 500).map((stale) => stale.id)).toEqual(["a"]);
    expect(leases.takeAll().map((held) => held.id)).toEqual(["b"]);
  });

  test("a difference comes out of all that is in hand, and the rest is owed", () => {
    const leases = new Leases();
    expect(leases.charge({ tokens: 7, bytes: 3 })).toEqual({ tokens: 7, bytes: 3 });
    leases.add(lease("a", 100), 0);
    leases.add(lease("b", 10), 0);
    expect(leases.charge({ tokens: 104, bytes: 3 })).toEqual({ tokens: 0, bytes: 3 });
    expect(leases.find(7, 0, 1)).toBeUndefined();
    expect(leases.find(6, 0, 1)?.id).toBe("b");
    leases.putBack({ tokens: 500, bytes: 500 });
    expect(leases.current.tokensLeft).toBe(10);
    expect(leases.current.bytesLeft).toBe(0);
    expect(leases.takeAll().map((held) => held.spent.tokens)).toEqual(["0.000000", "0.000000"]);
  });

  test("an endless one has nothing to give back", () => {
    const endless = new Lease(null, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 1);
    endless.take(5, 5);
    endless.putBack(9, 9);
    expect(endless.tokensLeft).toBe(Number.POSITIVE_INFINITY);
    expect(endless.spent).toEqual({ tokens: "0.000000", bytes: "0" });
  });
});

describe("what is owed", () => {
  test("is handed in under one key until it is charged; what is added meanwhile comes after", () => {
    const owed = new Owed();
    expect(owed.charge).toBeUndefined();
    owed.add({ tokens: 5_000_000, bytes: 7 });
    const first = owed.charge;
    expect(first).toMatchObject({ tokens: "5.000000", bytes: "7" });
    owed.add({ tokens: 1, bytes: 0 });
    expect(owed.charge).toEqual(first);
    expect(owed.amounts).toEqual({ tokens: 5_000_001, bytes: 7 });
    owed.charged();
    const second = owed.charge;
    expect(second).toMatchObject({ tokens: "0.000001", bytes: "0" });
    expect(second?.idempotencyKey).not.toBe(first?.idempotencyKey);
    owed.charged();
    expect(owed.isEmpty).toBe(true);
  });

  test("is less by what comes back before it is handed in", () => {
    const owed = new Owed();
    owed.add({ tokens: 10, bytes: 10 });
    expect(owed.reduce({ tokens: 4, bytes: 12 })).toEqual({ tokens: 0, bytes: 2 });
    expect(owed.charge).toMatchObject({ tokens: "0.000006", bytes: "0" });
    expect(owed.reduce({ tokens: 4, bytes: 0 })).toEqual({ tokens: 4, bytes: 0 });
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
  test("are totals by minute and reason, handed in when they change or when that fails", () => {
    const counts = new DenialCounts();
    expect(counts.take()).toBeNull();
    counts.add("iops_l2", 1_500_000, 10, 60_000);
    counts.add("iops_l2", 500_000, 5, 119_999);
    const taken = counts.take();
    expect(denialRows(taken)).toEqual([
      {
        minute: "1970-01-01T00:01:00.000Z",
        reason: "iops_l2",
        counter: expect.any(String),
        operations: 2,
        tokens: "2.000000",
        bytes: 15,
      },
    ]);
    expect(counts.take()).toBeNull();
    counts.putBack(taken);
    expect(counts.take()).toEqual(taken);
    counts.add("iops_l2", 1, 0, 60_000);
    const [counter] = taken ?? [];
    expect(counts.take()).toEqual([{ ...counter, operations: 3, tokens: 2_000_001 }]);
    expect(counts.take()).toBeNull();
  });

  test("are bounded while they are not taken", () => {
    const counts = new DenialCounts();
    for (let minute = 0; minute < 500; minute += 1) counts.add("iops_l2", 1, 1, minute * 60_000);
    expect(counts.take()).toHaveLength(60);
    counts.add("iops_l2", 1, 1, 600 * 60_000);
    expect(counts.take()).toHaveLength(1);
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
    limitsOf({ cluster_id: null, changes_in_ms: 50, limits }, 100);

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
  } as SharedLimits;
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

describe("calls with unverified input", () => {
  // A database that answers one call after the other.
  function storeOf(timeoutMs: number) {
    let last: Promise<unknown> = Promise.resolve();
    const outages: boolean[] = [];
    const store = new Store(connectionsOf(), timeoutMs, (isDown) => outages.push(isDown));
    const answer = () => {
      last = last.then(() => new Promise((resolve) => setTimeout(resolve, 2)));
      return last;
    };
    return { store, outages, answer };
  }

  test("wait for each other, and are not late for it", async () => {
    stopTime();
    const { store, outages, answer } = storeOf(1_000);
    const calls = Array.from({ length: 1_000 }, () => store.readUnverified(answer));
    await vi.advanceTimersByTimeAsync(50);
    const charge = store.charge(answer);
    // Longer than a call may take, and all of them do.
    await vi.advanceTimersByTimeAsync(2_000);
    await charge;
    await Promise.all(calls);
    expect(outages).toEqual([]);
  });

  test("are not made while the database is away", async () => {
    const { store, outages } = storeOf(100);
    const unanswered = () => new Promise(() => {});
    const calls = Array.from({ length: 100 }, () => store.readUnverified(unanswered));
    const answers = await Promise.allSettled(calls);
    for (const answer of answers)
      expect(answer).toMatchObject({ reason: expect.any(UnavailableError) });
    expect(outages).toEqual([true]);
    expect(store.status.calls).toBeLessThan(100);
  });
});

describe("a call that another transaction was in the way of", () => {
  function failing(times: number, code: string) {
    const outages: boolean[] = [];
    const store = new Store(connectionsOf(), 1_000, (isDown) => outages.push(isDown));
    let calls = 0;
    const answer = async () => {
      calls += 1;
      if (calls <= times) throw Object.assign(new Error("in the way"), { code });
      return calls;
    };
    return { store, outages, answer };
  }

  test.each(["40P01", "40001"])("%s is repeated, and does not count as an outage", async (code) => {
    const { store, outages, answer } = failing(2, code);
    expect(await store.charge(answer)).toBe(3);
    expect({ outages, calls: store.status.calls }).toEqual({ outages: [], calls: 1 });
  });

  test.each([
    ["0A000", "cached plan must not change result type"],
    ["42703", 'column "x" does not exist'],
    ["26000", 'prepared statement "qos" does not exist'],
  ])("%s (%s) is repeated on another connection", async (code, message) => {
    expect(keepsConnection({ code, message })).toBe(false);
    let calls = 0;
    const store = new Store(connectionsOf(), 1_000, () => expect.unreachable());
    const answer = await store.charge(async () => {
      calls += 1;
      if (calls === 1) throw Object.assign(new Error(message), { code });
      return calls;
    });
    expect(answer).toBe(2);
  });

  test("is repeated where the application has moved, and looked up anew by that", async () => {
    const moved = { code: "QS409", message: "application has moved" };
    expect(keepsConnection(moved)).toBe(true);
    let calls = 0;
    const store = new Store(connectionsOf(), 1_000, () => expect.unreachable());
    const answer = await store.charge(async () => {
      calls += 1;
      if (calls === 1) throw Object.assign(new Error(moved.message), moved);
      return calls;
    });
    expect(answer).toBe(2);
  });

  test("is not repeated for another conflict", async () => {
    const conflict = Object.assign(new Error("lease is settled"), { code: "QS409" });
    let calls = 0;
    const store = new Store(connectionsOf(), 1_000, () => expect.unreachable());
    const call = store.charge(() => {
      calls += 1;
      return Promise.reject(conflict);
    });
    await expect(call).rejects.toMatchObject({ code: "QS409" });
    expect(calls).toBe(1);
  });

  test("is given up after three times", async () => {
    const { store, answer } = failing(3, "40P01");
    await expect(store.charge(answer)).rejects.toThrow(UnavailableError);
  });
});

describe("an outage", () => {
  const lost = () => Promise.reject(Object.assign(new Error("lost"), { code: "08006" }));

  test("is tried by one call at a time, and a read does not end it", async () => {
    stopTime();
    const told: boolean[] = [];
    const store = new Store(connectionsOf(), 1_000, (isDown) => told.push(isDown));
    await expect(store.charge(lost)).rejects.toThrow(UnavailableError);
    await expect(store.charge(async () => 1)).rejects.toThrow(UnavailableError);
    await vi.advanceTimersByTimeAsync(120);
    const trying = Promise.withResolvers<number>();
    const first = store.charge(() => trying.promise);
    await vi.advanceTimersByTimeAsync(0);
    await expect(store.charge(async () => 2)).rejects.toThrow(UnavailableError);
    trying.resolve(1);
    expect(await first).toBe(1);
    expect(told).toEqual([true, false]);
  });

  test("stays while the database answers and cannot write", async () => {
    stopTime();
    const told: boolean[] = [];
    const readOnly = {
      ...connectionsOf(),
      run: (statement: (sql: never) => Promise<unknown>) =>
        statement((async () => [{ is_read_only: true }]) as never),
    } as unknown as Connections;
    const store = new Store(readOnly, 1_000, (isDown) => told.push(isDown));
    await expect(store.charge(lost)).rejects.toThrow(UnavailableError);
    await vi.advanceTimersByTimeAsync(120);
    const deny = store.charge(
      async () => false,
      (hasCharged) => hasCharged,
    );
    await expect(deny).rejects.toThrow(UnavailableError);
    expect(told).toEqual([true]);
  });
});

describe("an outage of charging alone", () => {
  const readOnly = () => Promise.reject(Object.assign(new Error("read-only"), { code: "25006" }));

  test("lasts while reads succeed, however often", async () => {
    const told: boolean[] = [];
    const writable = {
      ...connectionsOf(),
      run: (statement: (sql: never) => Promise<unknown>) =>
        statement((async () => [{ is_read_only: false }]) as never),
    } as unknown as Connections;
    const store = new Store(writable, 1_000, (isDown) => told.push(isDown));
    await expect(store.charge(readOnly)).rejects.toThrow(UnavailableError);
    await vi.waitFor(() => store.read(async () => 1), { timeout: 10_000, interval: 20 });
    await store.read(async () => 1);
    expect(told).toEqual([true]);
    await store.charge(async () => 1);
    expect(told).toEqual([true, false]);
  });

  test("counts from its first failure until a charge, also after denials in between", async () => {
    const writable = {
      ...connectionsOf(),
      run: (statement: (sql: never) => Promise<unknown>) =>
        statement((async () => [{ is_read_only: false }]) as never),
    } as unknown as Connections;
    const store = new Store(writable, 1_000, () => {});
    await expect(store.charge(readOnly)).rejects.toThrow(UnavailableError);
    const since = store.status.downSince;
    // A denial: nothing was charged, and the database can write.
    const deny = () =>
      store.charge(
        async () => false,
        (charged) => charged,
      );
    await vi.waitFor(deny, { timeout: 10_000, interval: 20 });
    expect(store.status.downSince).toBeUndefined();
    await expect(store.charge(readOnly)).rejects.toThrow(UnavailableError);
    expect(store.status.downSince).toBe(since);
    await vi.waitFor(() => store.charge(async () => 1), { timeout: 10_000, interval: 20 });
    await expect(store.charge(readOnly)).rejects.toThrow(UnavailableError);
    expect(store.status.downSince).toBeGreaterThan(since ?? 0);
  });

  test.each(["25006", "57P01", "57P02", "57P03", "08006"])(
    "%s is tried again on another connection before it counts",
    async (code) => {
      expect(keepsConnection({ code })).toBe(false);
      let calls = 0;
      const store = new Store(connectionsOf(), 1_000, () => expect.unreachable());
      const answer = await store.charge(async () => {
        calls += 1;
        if (calls < 3) throw Object.assign(new Error("gone"), { code });
        return calls;
      });
      expect(answer).toBe(3);
    },
  );
});

test("clients that take turns are counted together for a while", () => {
  const holders = new HolderCount();
  holders.see(3, 0);
  holders.see(1, 1_000);
  expect([holders.now, holders.at(29_000), holders.at(31_000)]).toEqual([1, 3, 1]);
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

  test.each([
    "ECONNREFUSED",
    undefined,
    "08006",
    "57P01",
    "57P02",
    "57P03",
    "53300",
    "25006",
    "28P01",
  ])("%s is an outage", (code) => {
    expect(fromDatabase({ code, message: "m" })).toBeInstanceOf(UnavailableError);
  });

  test("0A000 is an outage in recovery alone", () => {
    const message = "cannot acquire the lock mode during recovery";
    expect(fromDatabase({ code: "0A000", message })).toBeInstanceOf(UnavailableError);
    expect(fromDatabase({ code: "0A000", message: "x" })).toBeInstanceOf(DatabaseError);
  });

  test.each(["55P03", "57014"])("%s concerns one application alone", (code) => {
    expect(fromDatabase({ code, message: "m" })).toBeInstanceOf(BusyError);
  });

  test.each(["42883", "XX000", "42501"])("%s is an error and not an outage", (code) => {
    expect(fromDatabase({ code, message: "m" })).toMatchObject({ name: "DatabaseError", code });
  });

  test("have the status that says the same", () => {
    const status = (code: string) => fromDatabase({ code, message: "m" }).status;
    expect([status("QS401"), status("QS422"), status("57P01"), status("42883")]).toEqual([
      401, 422, 503, 500,
    ]);
  });
});
