import { expect, test } from "vitest";
import type { SimulationOptions } from "../../src/simulation/options.ts";
import { entitlements, jainIndex } from "../../src/simulation/shares.ts";
import { simulate } from "../../src/simulation/simulate.ts";

const small: SimulationOptions = {
  gateways: 6,
  applications: 12,
  clusters: 2,
  tenants: 3,
  skew: "even",
  rate: 2_400,
  load: 0.9,
  layer1: 1,
  burst: 1,
  spread: 2,
  rttMs: 2,
  seconds: 4,
  crashes: 0,
  cuts: 0,
  cutSeconds: 2,
  seed: 7,
};

test("a steady load gets what quotas allow, and nothing beyond it", async () => {
  const found = await simulate(small);
  expect(found.over_admitted).toBe(0);
  expect(found.usable_share).toBeGreaterThan(0.95);
  expect(found.fairness).toBeGreaterThan(0.99);
  expect(found.decisions_per_second).toBeCloseTo(2_400, -1);
  expect(found.database_calls_per_second).toBeLessThan(found.decisions_per_second / 3);
  expect([found.lost_tokens, found.failed]).toEqual([0, 0]);
});

test("a run is repeated by its seed", async () => {
  const options = { ...small, skew: "zipf", seconds: 2, crashes: 1, cuts: 1 } as const;
  const found = await simulate(options);
  expect(await simulate(options)).toEqual(found);
  expect((await simulate({ ...options, seed: 8 })).calls).not.toEqual(found.calls);
});

test.each(["zipf", "bursts", "alternation"] as const)(
  "gateways that die or are cut off cost what they had leased, and give nothing twice: %s",
  async (skew) => {
    const found = await simulate({ ...small, skew, crashes: 6, cuts: 3 });
    expect(found.over_admitted).toBe(0);
    expect(found.lost_tokens).toBeGreaterThan(0);
    expect(found.waste).toBeLessThan(0.3);
    expect(found.failed).toBeGreaterThan(0);
  },
);

test("across 150 ms a steady load gets what quotas allow, and hardly waits where bursts fit", async () => {
  const far = { ...small, rttMs: 150 };
  const tight = await simulate(far);
  const roomy = await simulate({ ...far, burst: 3 });
  for (const found of [tight, roomy]) {
    expect(found.over_admitted).toBe(0);
    expect(found.usable_share).toBeGreaterThan(0.95);
    expect(found.lost_tokens).toBe(0);
  }
  expect(roomy.waited_share).toBeLessThan(0.05);
  expect(roomy.waited_share).toBeLessThan(tight.waited_share / 2);
});

test("a cut shorter than a lease's life costs the requests of the gateway that is cut off", async () => {
  const cut = { cuts: 1, cutSeconds: 4, seconds: 10 };
  const found = await simulate({ ...small, ...cut, spread: 6, rttMs: 150, burst: 3, seed: 2 });
  expect(found.over_admitted).toBe(0);
  const ofOne = small.rate / small.gateways;
  expect(found.failed).toBeGreaterThan(0);
  expect(found.failed).toBeLessThan(ofOne * (cut.cutSeconds + 1));
  expect(found.lost_tokens).toBe(0);
});

test("where more is asked for than layer 1 gives, all of it is used", async () => {
  const found = await simulate({ ...small, load: 3, layer1: 0.5 });
  expect(found.over_admitted).toBe(0);
  expect(found.usable_share).toBeGreaterThan(0.95);
  // Leases are shared; what the database decides itself is first come, first served.
  expect(found.least_part).toBeGreaterThan(0.1);
});

test("entitlements are filled by tenant, then by application, and never beyond what is wanted", () => {
  const claim = (tenant: string, wanted: number) => ({ tenant, wanted, got: 0 });
  const claims = [claim("a", 100), claim("a", 10), claim("b", 20), claim("c", 1_000)];
  expect(entitlements(claims, 200)).toEqual([80, 10, 20, 90]);
  expect(jainIndex([1, 1, 1, 1])).toBe(1);
  expect(jainIndex([1, 0, 0, 0])).toBe(0.25);
});
