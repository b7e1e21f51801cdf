import { expect, test } from "vitest";
import { Demand } from "../../src/client/demand/demand.ts";
import { sizeClassOf } from "../../src/client/demand/size-class.ts";

const start = Date.parse("2026-01-01T00:00:00Z");

/** Counts so many a second, for so many seconds, and adds up after each. */
function countFor(demand: Demand, seconds: number, perSecond: (second: number) => number) {
  for (let second = 0; second < seconds; second += 1) {
    for (let i = 0; i < perSecond(second); i += 1) demand.count("read_small", 4096, 2_000_000);
    demand.addUp(second * 1_000, start + second * 1_000);
  }
}

test.each([
  [0, 0],
  [1, 1],
  [2, 2],
  [3, 2],
  [4095, 12],
  [4096, 13],
  [2 ** 32 - 1, 32],
  [2 ** 32, 33],
  [Number.MAX_SAFE_INTEGER, 53],
])("%i bytes are of size class %i, as in SQL", (size, sizeClass) => {
  expect(sizeClassOf(size)).toBe(sizeClass);
});

test("a minute is handed in when it is over, with its busiest second", () => {
  const demand = new Demand();
  countFor(demand, 60, (second) => (second === 30 ? 7 : 2));
  expect(demand.take(start + 59_999, false)).toBeNull();
  expect(demand.take(start + 60_000, false)).toMatchObject([
    {
      ...{ minute: "2026-01-01T00:00:00.000Z", operation: "read_small", size_class: 13 },
      ...{ is_denied: false, operations: 125, tokens: "250.000000", bytes: 125 * 4096 },
      peak_operations: 7,
    },
  ]);
  expect(demand.isEmpty).toBe(true);
});

test("a second that is added up in parts has one peak", () => {
  const demand = new Demand();
  demand.addUp(0, start);
  for (let part = 1; part <= 4; part += 1) {
    demand.count("read_small", 0, 1);
    demand.addUp(part * 100, start);
  }
  expect(demand.take(start, true)).toMatchObject([{ operations: 4, peak_operations: 4 }]);
});

test("what is handed in again has the same counter, and grows", () => {
  const demand = new Demand();
  countFor(demand, 1, () => 3);
  const first = demand.take(start, true);
  demand.putBack(first);
  expect(demand.take(start, true)).toEqual(first);
  countFor(demand, 1, () => 2);
  expect(demand.take(start, true)).toMatchObject([{ counter: first?.[0]?.counter, operations: 5 }]);
  expect(demand.take(start, true)).toBeNull();
});

test("denied, admitted, operations and sizes are apart", () => {
  const demand = new Demand();
  demand.count("read_small", 1, 1);
  demand.count("read_small", 1, 1, true);
  demand.count("read_small", 2, 1);
  demand.count("read_large", 1, 1);
  demand.addUp(0, start);
  expect(demand.take(start, true)).toHaveLength(4);
});

test("a call takes 500 totals at most, and a thousand are kept", () => {
  const demand = new Demand();
  for (let i = 0; i < 1_100; i += 1) demand.count(`operation ${i}`, 0, 1);
  demand.addUp(0, start);
  const taken = [1, 2, 3].map(() => demand.take(start, true)?.length ?? 0);
  expect(taken).toEqual([500, 500, 0]);
});

test("a minute that no call took along is due ten seconds later", () => {
  const demand = new Demand();
  countFor(demand, 1, () => 1);
  expect(demand.isDue(start + 69_999)).toBe(false);
  expect(demand.isDue(start + 70_000)).toBe(true);
});
