import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ApplicationLimiter } from "../../src/client/application-limiter.ts";
import { ChangeRouter } from "../../src/client/config/change-router.ts";

const change = { kind: "quota", owner_id: "one" };
const costs = { kind: "operation_type", owner_id: null };

let router: ChangeRouter;
let reloads: number[];
let costReloads: number;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  reloads = [];
  costReloads = 0;
  const limiter = { owners: ["one"], hasOwnCosts: false } as unknown as ApplicationLimiter;
  router = new ChangeRouter(() => [limiter], {
    reload: () => reloads.push(performance.now()),
    recheck: () => reloads.push(performance.now()),
    reloadCosts: async () => {
      costReloads += 1;
    },
  });
  router.index(limiter);
});

afterEach(() => {
  router.close();
  vi.useRealTimers();
});

/** One every five milliseconds. */
function flood(seconds: number, notify: () => void): void {
  for (let told = 0; told < seconds * 200; told += 1) {
    notify();
    vi.advanceTimersByTime(5);
  }
}

test.each([
  ["of one application", () => router.note(change), () => reloads.length],
  ["of operations", () => router.note(costs), () => costReloads],
  ["that may be missing", () => router.noteGap(), () => reloads.length],
])("a flood of notifications %s makes about two calls a second", (_, notify, calls) => {
  flood(20, notify);
  vi.advanceTimersByTime(1_000);
  expect(calls()).toBeLessThanOrEqual(20 * 2 + 6);
  expect(calls()).toBeGreaterThanOrEqual(20);
});

test("the last of a flood is read within a second", () => {
  flood(10, () => router.note(change));
  const last = performance.now();
  router.note(change);
  vi.advanceTimersByTime(1_000);
  expect(reloads.at(-1)).toBeGreaterThan(last);
});

test("after a flood, the next change is read at once", () => {
  flood(10, () => router.note(change));
  vi.advanceTimersByTime(2_000);
  const changed = performance.now();
  router.note(change);
  vi.advanceTimersByTime(2_000);
  expect((reloads.at(-1) ?? 0) - changed).toBeLessThanOrEqual(20);
});
