import { expect, test } from "vitest";
import { latencyOfLog, transactionsPerSecond } from "../../src/bench/driver/pgbench-driver.ts";
import { rounded, summarize } from "../../src/bench/statistics.ts";

test("the median of an odd and of an even number of rounds, and the spread", () => {
  expect(summarize([3, 1, 2])).toEqual({ median: 2, least: 1, most: 3 });
  expect(summarize([4, 1, 2, 3])).toEqual({ median: 2.5, least: 1, most: 4 });
});

test("four digits of a figure are kept", () => {
  expect(rounded(12345.678)).toBe(12350);
  expect(rounded(0.98765)).toBe(0.9877);
});

test("what pgbench says of its first two seconds counts for nothing", () => {
  const progress = [
    "progress: 1.0 s, 10.0 tps, lat 1.0 ms stddev 0.1, 0 failed",
    "progress: 2.0 s, 20.0 tps, lat 1.0 ms stddev 0.1, 0 failed",
    "progress: 3.0 s, 100.0 tps, lat 1.0 ms stddev 0.1, 0 failed",
    "progress: 4.0 s, 200.0 tps, lat 1.0 ms stddev 0.1, 0 failed",
  ].join("\n");
  expect(transactionsPerSecond(progress)).toBe(150);
  expect(transactionsPerSecond(progress.slice(0, 130))).toBe(20);
  expect(() => transactionsPerSecond("pgbench: error")).toThrow("no rate");
});

test("nor do the latencies of that time", () => {
  const lines = ["0 1 90000 0 100 0", "0 2 80000 0 101 900000", "0 3 2000 0 102 100000"];
  expect(latencyOfLog(`${lines.join("\n")}\n`).p50).toBeCloseTo(2, 1);
});
