import { expect, test } from "vitest";
import { cronItems } from "../../src/worker/schedule.ts";

/** Of jobs that are due the one of the lowest priority is taken first. */
const priorityOf = new Map(
  cronItems().map(({ task, options }) => [task, options?.priority ?? 0] as const),
);

test("after days without a worker partitions come first, then aggregates, then all else", () => {
  const order = ["make_partitions", "drain_default_partitions", "aggregate_metrics"];
  const places = order.map((task) => priorityOf.get(task) ?? 0);
  expect(places.toSorted((a, b) => a - b)).toEqual(places);
  expect(new Set(places).size).toBe(order.length);
  const others = [...priorityOf].filter(([task]) => !order.includes(task));
  expect(others.length).toBeGreaterThan(10);
  const last = places.at(-1) ?? 0;
  expect(others.filter(([, priority]) => priority <= last)).toEqual([]);
});

test("what is queued by the clock comes before what is queued otherwise, such as notifications", () => {
  expect([...priorityOf].filter(([, priority]) => priority >= 0)).toEqual([]);
});

test("alerts are judged after the samples of their minute, and so never by the clock", () => {
  expect(priorityOf.has("record_system_metrics")).toBe(true);
  expect(priorityOf.has("evaluate_alerts")).toBe(false);
});
