import { expect, test } from "vitest";
import { newHistogram } from "../../src/bench/driver/latency.ts";
import { offer } from "../../src/bench/workloads/offer.ts";

const load = { perSecond: 2000, seconds: 0.05 };

test("every call that is due is made and counted, by no more callers than there are", async () => {
  const histogram = newHistogram();
  let [underWay, most, calls] = [0, 0, 0];
  await offer({ ...load, callers: 3, histogram }, async () => {
    calls += 1;
    underWay += 1;
    most = Math.max(most, underWay);
    await new Promise((resolve) => setTimeout(resolve, 5));
    underWay -= 1;
  });
  expect([calls, histogram.totalCount, most]).toEqual([100, 100, 3]);
});

test("a call that had to wait for a caller has waited since it was due", async () => {
  const histogram = newHistogram();
  await offer({ ...load, callers: 1, histogram }, async () => {
    await new Promise((resolve) => setTimeout(resolve, 2));
  });
  // A hundred timers of a millisecond at least, one after the other; one is due each half.
  const lastWaited = 100 * 1 - 1000 * load.seconds;
  expect(histogram.maxValue / 1000).toBeGreaterThan(lastWaited);
});

test("a call that fails ends it", async () => {
  const histogram = newHistogram();
  let calls = 0;
  const failing = offer({ ...load, callers: 2, histogram }, async () => {
    calls += 1;
    throw new Error("out of luck");
  });
  await expect(failing).rejects.toThrow("out of luck");
  expect(calls).toBeLessThan(100);
});
