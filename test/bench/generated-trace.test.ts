import { expect, test } from "vitest";
import { generatedTrace } from "../../src/bench/workloads/generated-trace.ts";

const operations = 2000;
const rows = (count: number) => {
  const trace = generatedTrace(count);
  return Array.from({ length: count }, (_, i) => [trace.offsetUs(i), trace.operation(i)] as const);
};

test("the same trace every time, in time order, with operations of all kinds and sizes", () => {
  const made = rows(operations);
  expect(rows(operations)).toEqual(made);
  const offsets = made.map(([at]) => at);
  expect(offsets.toSorted((a, b) => Number(a - b))).toEqual(offsets);
  expect([...new Set(made.map(([, name]) => name))].sort()).toEqual([
    ...["delete", "head", "read_large", "read_medium", "read_small"],
    ...["write_large", "write_medium", "write_small"],
  ]);
});
