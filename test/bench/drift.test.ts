import { expect, test } from "vitest";
import { driftOf } from "../../src/bench/workloads/drift.ts";
import type { Turn } from "../../src/bench/workloads/full-beside-floor.ts";

const turn = ([full, floor]: readonly [number, number]): Turn => ({
  full: { figure: full },
  floor: { figure: floor },
});

test("a machine that slows down does not drift, as the floor slows with it", () => {
  const turns = [1000, 900, 800, 700, 500].map((speed) => turn([speed / 2, speed]));
  expect(driftOf(turns)).toBe(1);
});

test("decisions that slow down beside the floor are", () => {
  const turns = [500, 480, 460, 440, 400].map((full) => turn([full, 1000]));
  expect(driftOf(turns)).toBeCloseTo(0.8);
});

test("of several turns a fifth the median counts, and the middle fifths do not", () => {
  const pairs = [0.5, 0.9, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4, 0.4, 0.01];
  expect(driftOf(pairs.map((share) => turn([share, 1])))).toBeCloseTo(0.8);
});
