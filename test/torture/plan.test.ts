import { describe, expect, test } from "vitest";
import { Random } from "../../src/random.ts";
import { planFaults, plannedKinds } from "../../src/torture/fault.ts";
import { shrink } from "../../src/torture/shrink.ts";

describe("a plan of faults", () => {
  const plan = (seed: number) => planFaults(new Random(seed), 60_000, 50);

  test("follows from its seed", () => {
    expect(plan(7)).toEqual(plan(7));
    expect(plan(7)).not.toEqual(plan(8));
  });

  test("has each kind, in the order of their times", () => {
    const faults = plan(1);
    expect(new Set(faults.map(({ kind }) => kind))).toEqual(new Set(plannedKinds));
    const times = faults.map(({ atMs }) => atMs);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });
});

describe("shrinking", () => {
  const items = Array.from({ length: 40 }, (_, number) => number);
  const failsWith = (guilty: readonly number[]) => async (part: readonly number[]) =>
    guilty.every((number) => part.includes(number));

  test("leaves what makes it fail, and nothing else", async () => {
    expect(await shrink(items, failsWith([17]), 1_000)).toEqual([17]);
    expect(await shrink(items, failsWith([3, 30]), 1_000)).toEqual([3, 30]);
  });

  test("ends after so many runs", async () => {
    let runs = 0;
    const fails = async (part: readonly number[]) => {
      runs += 1;
      return part.includes(17);
    };
    expect(await shrink(items, fails, 3)).toContain(17);
    expect(runs).toBe(3);
  });
});
