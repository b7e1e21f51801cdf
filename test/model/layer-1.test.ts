import { describe, expect, it } from "vitest";
import {
  answersOf,
  consume,
  iops,
  quota,
  refund,
  remove,
  SECOND,
  settle,
  tokensOf,
  world,
} from "./examples.ts";

const cluster = quota({ owner: "cluster:c", iops: { ...iops, iops_burst: 20, refill_rate: 10 } });
const reserved = world([cluster], {
  reservations: [{ app: "a", iops: 4, bandwidth_bps: null, seconds: 2 }],
});

/** Application b takes what it can: twelve of twenty tokens, beyond the headroom of eight. */
const greedy = [
  consume(0, "write_large", { app: "b" }),
  consume(0, "read_medium", { app: "b" }),
  consume(0, "head", { app: "b" }),
];

const pool = "cluster:c iops_l1 enforce";
const reserve = "app:a iops_reserve enforce";

describe("layer 1 in the model", () => {
  it("keeps the headroom from those without a reservation, exactly", () => {
    const [first, second, third] = answersOf(reserved, ...greedy);
    expect([first?.allowed, second?.allowed]).toEqual([true, true]);
    expect(third).toMatchObject({ allowed: false, reason: "iops_l1", retry_after_ms: 100 });
  });

  it("lets the reserve pay only what exceeds the rest", () => {
    expect(tokensOf(reserved, reserve, consume(0, "write_large"))).toBeUndefined();
    expect(tokensOf(reserved, reserve, consume(0, "write_large"), remove(0))).toBe(5_000_000n);
    expect(tokensOf(reserved, pool, ...greedy, remove(0))).toBe(3_000_000n);
    expect(tokensOf(reserved, reserve, ...greedy, remove(0))).toBe(3_000_000n);
  });

  it("waits for pool and reserve together", () => {
    const steps = [...greedy, remove(0), remove(0)];
    // The pool is five below the headroom, which takes half a second; the reserve lacks two
    // tokens, which is what flows into it until then.
    expect(answersOf(reserved, ...steps).at(-1)).toMatchObject({ retry_after_ms: 500 });
    const dear = [...steps, consume(0, "write_large")];
    const bothFlow = answersOf(reserved, ...dear).at(-1);
    // 10 = (3 + 4t) capped at 8 + (10t - 5): t = 0.8571... beyond which the reserve still flows.
    expect(bothFlow).toMatchObject({ reason: "iops_l1", retry_after_ms: 858 });
  });

  it("has no debt limit beside what is reserved, and admits an oversize charge within it", () => {
    const of = world([cluster], {
      reservations: [{ app: "a", iops: null, bandwidth_bps: 400, seconds: 1 }],
      settings: { max_cluster_debt_seconds: 2 },
    });
    const bytes = {
      bandwidth_limit_bps: 1000,
      bandwidth_burst_bps: 1000,
      burst_duration_seconds: 1,
      refill_rate_bps: 1000,
    };
    const shared = { ...of, quotas: [quota({ owner: "cluster:c", iops: null, bandwidth: bytes })] };
    const ask = (app: string, size: number) => answersOf(shared, remove(0, { app, size }))[0];
    // The debt limit is (1000 - 400) * 2; the most that it offers is 600, with the reserve 1000.
    expect(ask("b", 1800)).toMatchObject({ allowed: true });
    expect(ask("b", 1801)).toMatchObject({ allowed: false, reason: "exceeds_capacity" });
    expect(ask("a", 2200)).toMatchObject({ allowed: true });
    expect(ask("a", 2201)).toMatchObject({ allowed: false, reason: "exceeds_capacity" });
  });

  it("heals a reserve that pays nothing with the bucket of its cluster", () => {
    const spend = [...greedy, remove(0)].map((step) => ({ ...step, at_us: 10 * SECOND }));
    const back = [consume(10_900_000, "head"), consume(8 * SECOND, "head")];
    expect(tokensOf(reserved, reserve, ...spend, ...back)).toBe(3_000_000n);
    // Two tokens flow in from there; the pool of seven leaves three of ten to the reserve.
    const steps = [...spend, ...back, consume(8_500_000, "write_large")];
    expect(tokensOf(reserved, reserve, ...steps)).toBe(2_000_000n);
  });

  it("gives back to the reserve first, as far as it had paid", () => {
    const type = { name: "per_byte", c_base: "0", unit_quantum: 1, c_bw: "1" };
    const of = { ...reserved, operation_types: [type] };
    const steps = [
      ...greedy.slice(0, 2),
      consume(0, "per_byte", { size: 6, reference_id: "r" }),
      settle(0, "r", 2),
    ];
    // Six from the reserve, of which four come back at once and two with the refund.
    expect(tokensOf(of, reserve, ...steps)).toBe(6_000_000n);
    expect(tokensOf(of, pool, ...steps)).toBe(6_000_000n);
    expect(tokensOf(of, reserve, ...steps, refund(0, "r"))).toBe(8_000_000n);
  });

  it("takes a late charge down to the headroom above its debt limit, the reserve too", () => {
    const type = { name: "per_byte", c_base: "0", unit_quantum: 1, c_bw: "1" };
    const of = {
      ...reserved,
      operation_types: [type],
      settings: { max_cluster_debt_seconds: 3 },
    };
    const steps = [consume(0, "per_byte", { size: 1, reference_id: "r" }), settle(0, "r", 500)];
    // The debt limit is (10 - 4) * 3 = 18, the headroom 8.
    expect(tokensOf(of, pool, ...steps)).toBe(-10_000_000n);
    expect(tokensOf(of, reserve, ...steps)).toBe(0n);
  });
});
