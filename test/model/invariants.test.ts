import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MICRO } from "./amounts.ts";
import { Play, run, type Scenario, type Step } from "./answers.ts";
import { contention, SECOND, scenarios } from "./generators.ts";
import { runs } from "./runs.ts";
import type { LedgerRow } from "./store.ts";
import { type Terms, timelineOf } from "./timeline.ts";
import type { BucketType, Mode, World } from "./world.ts";

function rowsByBucket(rows: readonly LedgerRow[]): Map<string, LedgerRow[]> {
  return Map.groupBy(rows, ({ key }) => key);
}

/** All terms that a bucket ever has, of the first quota first; of a reserve its only ones. */
function termsOf(world: World, key: string): Pick<Terms, "capacity" | "rate">[] {
  const [owner, type, mode] = key.split(" ") as [string, string, Mode];
  if (type.endsWith("_reserve")) {
    const reservation = world.reservations?.find(({ app }) => owner === `app:${app}`);
    const rate = type.startsWith("iops") ? reservation?.iops : reservation?.bandwidth_bps;
    const whole = BigInt(rate ?? 0);
    return [{ rate: whole, capacity: whole * BigInt(reservation?.seconds ?? 1) * MICRO }];
  }
  return timelineOf(world, owner, type as BucketType, mode).flatMap(({ terms }) => terms ?? []);
}

describe("in every random world", () => {
  it("the ledger explains every balance", () => {
    fc.assert(
      fc.property(scenarios(), (scenario) => {
        const { limiter } = run(scenario);
        for (const [key, rows] of rowsByBucket(limiter.ledger)) {
          let balance = termsOf(scenario, key)[0]?.capacity as bigint;
          for (const row of rows) {
            expect(row.refilled).toBeGreaterThanOrEqual(0n);
            balance += row.refilled + row.change;
            expect(balance).toBe(row.balance);
          }
          expect(limiter.balances.get(key)?.tokens).toBe(balance);
        }
      }),
      { numRuns: runs(400) },
    );
  });

  it("a denial changes no balance", () => {
    fc.assert(
      fc.property(scenarios(), (scenario) => {
        const game = new Play(scenario);
        for (const step of scenario.steps) {
          const before = tokensIn(game);
          const answer = game.answer(step);
          const rows = game.limiter.ledger.length;
          if (answer.allowed !== false && answer.error === undefined) continue;
          const healed = [...tokensIn(game)].filter(([key]) => before.has(key));
          expect(new Map(healed)).toEqual(before);
          expect(game.limiter.ledger.length).toBe(rows);
        }
      }),
      { numRuns: runs(300) },
    );
  });

  it("a reserve is never below zero nor above its capacity", () => {
    fc.assert(
      fc.property(scenarios(), (scenario) => {
        for (const { key, balance } of run(scenario).limiter.ledger) {
          if (!key.includes("_reserve")) continue;
          expect(balance).toBeGreaterThanOrEqual(0n);
          expect(balance).toBeLessThanOrEqual(termsOf(scenario, key)[0]?.capacity as bigint);
        }
      }),
      { numRuns: runs(300) },
    );
  });
});

function tokensIn(game: Play): Map<string, bigint> {
  return new Map([...game.limiter.balances].map(([key, { tokens }]) => [key, tokens]));
}

function spansOf(rows: readonly LedgerRow[]): { given: bigint; refilled: bigint }[] {
  return rows.flatMap((_, start) => {
    let given = 0n;
    let refilled = 0n;
    return rows.slice(start).map((row) => {
      given -= row.change;
      refilled += row.refilled;
      return { given, refilled };
    });
  });
}

describe("where applications contend for layer 1", () => {
  it("all together are admitted at most the capacity, the inflow and one debt limit", () => {
    fc.assert(
      fc.property(contention(), (scenario) => {
        const { capacity, rate, debt } = clusterOf(scenario);
        const { answers } = run(scenario);
        const admitted = scenario.steps.filter((_, index) => answers[index]?.allowed);
        const tooMuch = admitted.flatMap((first, start) => {
          let bytes = 0;
          return admitted.slice(start).filter((step) => {
            bytes += Number(step.size);
            const inflow = (rate * (step.at_us - first.at_us)) / SECOND;
            return bytes > capacity + inflow + debt;
          });
        });
        expect(tooMuch).toEqual([]);
      }),
      { numRuns: runs(300) },
    );
  });

  it("its bucket gives no more than that by leases and late charges either", () => {
    fc.assert(
      fc.property(contention({ late: true }), (scenario) => {
        const { capacity, debt } = clusterOf(scenario);
        const most = BigInt(capacity + debt) * MICRO;
        const rows = run(scenario).limiter.ledger.filter(({ key }) => key.startsWith("cluster:"));
        const tooMuch = spansOf(rows).filter(({ given, refilled }) => given > most + refilled);
        expect(tooMuch).toEqual([]);
      }),
      { numRuns: runs(300) },
    );
  });

  it("one that stays within its reservation is never denied", () => {
    fc.assert(
      fc.property(contention({ late: true }), (scenario) => {
        const game = new Play(scenario);
        const own = withinReservation(scenario);
        for (const step of scenario.steps) {
          if (step.app === "a" && !own(step)) continue;
          const answer = game.answer(step);
          if (step.app === "a") expect(answer).toMatchObject({ allowed: true });
        }
      }),
      { numRuns: runs(300) },
    );
  });
});

function clusterOf({ quotas, reservations, settings }: Scenario) {
  const bytes = quotas[0]?.bandwidth;
  const rate = bytes?.refill_rate_bps as number;
  const reserved = (reservations ?? []).reduce((sum, one) => sum + (one.bandwidth_bps ?? 0), 0);
  const burst = bytes?.bandwidth_burst_bps as number;
  const seconds = bytes?.burst_duration_seconds as number;
  const debt = (rate - reserved) * Number(settings?.max_cluster_debt_seconds);
  return { rate, capacity: Math.max(burst, (burst - rate) * seconds), debt };
}

/** Tells for each operation of application a whether its reservation alone could pay it. */
function withinReservation({ reservations }: Scenario): (step: Step) => boolean {
  const { bandwidth_bps, seconds } = reservations?.find(({ app }) => app === "a") ?? {};
  const rate = BigInt(bandwidth_bps as number);
  const capacity = rate * BigInt(seconds ?? 1) * MICRO;
  let tokens = capacity;
  let last = 0n;
  return ({ at_us, size }) => {
    const at = BigInt(at_us);
    const full = tokens + (at - last) * rate;
    tokens = full < capacity ? full : capacity;
    last = at;
    const charge = BigInt(size as number) * MICRO;
    if (charge > tokens) return false;
    tokens -= charge;
    return true;
  };
}
