import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { comparisons, floors, others, ratios } from "../../src/bench/ratios.ts";
import { projectPath } from "../../src/paths.ts";

/** The rows of the newest report: name, median, goal, and whether it was reached. */
const reported = readFileSync(projectPath("docs/performance.md"), "utf8").matchAll(
  /^\| `(\w+)` \| ([\d.]+) \([^)]*\) \| ([<>]=) ([\d.]+) \| (yes|no) \|$/gm,
);

test("the report has every ratio with its goal, and says rightly whether it was reached", () => {
  const rows = [...reported].map(([, name, median, sign, goal, reached]) => {
    const isReached =
      sign === "<=" ? Number(median) <= Number(goal) : Number(median) >= Number(goal);
    expect([name, reached]).toEqual([name, isReached ? "yes" : "no"]);
    return { name, goal: Number(goal), atMost: sign === "<=" };
  });
  expect(rows).toEqual(ratios.map(({ name, goal, atMost = false }) => ({ name, goal, atMost })));
});

test("no two workloads share a name", () => {
  const needed = [...ratios, ...comparisons].flatMap(({ needs }) => needs);
  const workloads = new Set([...needed, ...floors, ...others]);
  expect(new Set([...workloads].map(({ name }) => name)).size).toBe(workloads.size);
});

test("no name means both a ratio and a workload: --only takes either", () => {
  const known = [...ratios, ...comparisons, ...floors, ...others].map(({ name }) => name);
  expect(new Set(known).size).toBe(known.length);
});
