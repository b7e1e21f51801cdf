import { describe, expect, test } from "vitest";
import { type Sample, triggersOf, withZeros } from "../../src/console/alerts/episodes.ts";

const minute = 60;
const rule = { condition: ">", threshold: 10, durationSeconds: 180, cooldownSeconds: 600 } as const;

/** One sample a minute, from minute zero on. */
function minutes(...values: number[]): Sample[] {
  return values.map((value, index) => ({ at: index * minute, value }));
}

describe("when an alert would have triggered", () => {
  test("a condition that holds for too short a time triggers nothing", () => {
    expect(triggersOf(rule, minutes(0, 20, 20, 0, 20, 20, 0))).toEqual([]);
  });

  test("it triggers once its duration is full, and once however long it holds", () => {
    expect(triggersOf(rule, minutes(0, 20, 20, 20, 20, 20, 20))).toEqual([3 * minute]);
  });

  test("a second time within the cooldown triggers when that has passed", () => {
    const again = minutes(20, 20, 20, 0, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20);
    expect(triggersOf(rule, again)).toEqual([2 * minute, 12 * minute]);
    expect(triggersOf({ ...rule, cooldownSeconds: 0 }, again)).toEqual([2 * minute, 6 * minute]);
  });

  test("a sample at the threshold is not above it", () => {
    expect(triggersOf({ ...rule, durationSeconds: 60 }, minutes(10))).toEqual([]);
    expect(triggersOf({ ...rule, condition: ">=", durationSeconds: 60 }, minutes(10))).toEqual([0]);
  });

  test("minutes that a count has no sample of are zero", () => {
    const sparse = [
      { at: 0, value: 20 },
      { at: 3 * minute, value: 20 },
    ];
    expect(withZeros(sparse).map(({ value }) => value)).toEqual([20, 0, 0, 20]);
    expect(triggersOf(rule, withZeros(sparse))).toEqual([]);
  });
});
