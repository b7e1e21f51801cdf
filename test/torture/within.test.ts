import { expect, test } from "vitest";
import { openWaits, StillWaiting, within } from "../../src/torture/within.ts";

const never = new Promise<never>(() => {});

test("a wait that reaches its limit says what it waited for", async () => {
  const waiting = within(1, "the end of nothing", never);
  expect(openWaits()).toEqual(["the end of nothing"]);
  await expect(waiting).rejects.toThrow(StillWaiting);
  await expect(waiting).rejects.toThrow("the end of nothing");
  expect(openWaits()).toEqual([]);
});

test("what ends in time is answered, and what fails in time fails", async () => {
  expect(await within(60_000, "an answer", Promise.resolve(7))).toBe(7);
  const failing = within(60_000, "an answer", Promise.reject(new Error("no")));
  await expect(failing).rejects.toThrow("no");
  expect(openWaits()).toEqual([]);
});
