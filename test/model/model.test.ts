import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { answers, type Step } from "./answers.ts";
import { scenarios } from "./generators.ts";
import type { Iops, World } from "./world.ts";

const iops: Iops = {
  iops_limit: 10,
  iops_burst: 20,
  burst_duration_seconds: 1,
  refill_rate: 10,
};

function world(...quotas: World["quotas"]): World {
  return { epoch: "2026-01-01T00:00:00Z", applications: [{ name: "a", cluster: null }], quotas };
}

function quota(overrides: Partial<World["quotas"][number]> = {}): World["quotas"][number] {
  const always = { valid_from_us: -1_000_000, valid_to_us: null };
  return { owner: "app:a", mode: "enforce", iops, bandwidth: null, ...always, ...overrides };
}

function run(of: World, ...steps: Step[]) {
  return answers({ ...of, steps });
}

function remove(at_us: number, more: object = {}): Step {
  return { at_us, call: "consume", app: "a", operation: "delete", size: 0, ...more };
}

describe("the model", () => {
  it("refills by whole microseconds", () => {
    expect(run(world(quota()), remove(0), remove(1))).toMatchObject([
      { remaining: "15.000000" },
      { remaining: "10.000010" },
    ]);
  });

  it("starts a full bucket after a gap between quotas", () => {
    const before = quota({ valid_to_us: 100 });
    const after = quota({ valid_from_us: 200 });
    const answered = run(world(before, after), remove(0), remove(150), remove(200));
    expect(answered.map(({ remaining }) => remaining)).toEqual(["15.000000", null, "15.000000"]);
  });

  it("settles an operation up and down, once", () => {
    const bandwidth = {
      bandwidth_limit_bps: 1000,
      bandwidth_burst_bps: 1000,
      burst_duration_seconds: 1,
      refill_rate_bps: 1000,
    };
    const settle = (reference_id: string, actual_size: number): Step => ({
      at_us: 0,
      call: "settle",
      reference_id,
      actual_size,
    });
    const answered = run(
      world(quota({ iops: null, bandwidth })),
      remove(0, { size: 400, reference_id: "r" }),
      settle("r", 100),
      settle("r", 0),
      remove(0),
      remove(0, { size: 0, reference_id: "s" }),
      settle("s", 1900),
      remove(1_000_000),
      remove(1_500_000),
      { at_us: 1_500_000, call: "refund", reference_id: "r" },
      remove(1_500_000),
    );
    const bytes = answered.map((answer) => answer.remaining_bytes ?? answer.settled);
    expect(bytes.slice(0, 6)).toEqual([
      "600.000000",
      true,
      false,
      "900.000000",
      "900.000000",
      true,
    ]);
    expect(bytes.slice(6, 8)).toEqual(["0.000000", "500.000000"]);
    expect(answered.slice(8)).toMatchObject([
      { refunded: true },
      { remaining_bytes: "600.000000" },
    ]);
  });

  it("refuses an oversize charge that would take a century to pay back", () => {
    const slow = { bandwidth_limit_bps: 1, bandwidth_burst_bps: 1, burst_duration_seconds: 1 };
    const of = world(quota({ iops: null, bandwidth: { ...slow, refill_rate_bps: 1 } }));
    expect(run(of, remove(0, { size: 3_155_760_002 }))[0]).toMatchObject({
      allowed: false,
      reason: "exceeds_capacity",
      retry_after_ms: null,
    });
    expect(run(of, remove(0, { size: 3_155_760_001 }))[0]).toMatchObject({ allowed: true });
  });

  it("never lets a balance fall below zero, whatever the calls", () => {
    fc.assert(
      fc.property(scenarios(), (scenario) => {
        for (const answer of answers(scenario)) {
          if (typeof answer.remaining !== "string") continue;
          expect(answer.remaining.startsWith("-")).toBe(false);
        }
      }),
      { numRuns: 200 },
    );
  });
});
