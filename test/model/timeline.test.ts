import { describe, expect, it } from "vitest";
import {
  answersOf,
  bandwidth,
  consume,
  iops,
  quota,
  remaining,
  remove,
  SECOND,
  tokensOf,
  world,
} from "./examples.ts";
import type { Iops } from "./world.ts";

const window: Iops = {
  ...iops,
  iops_limit: 10,
  burst_duration_seconds: 2,
  calculation_method: "fixed_window",
};

describe("terms in the model", () => {
  it("refill by whole microseconds", () => {
    expect(remaining(world([quota()]), remove(0), remove(1))).toEqual(["15.000000", "10.000010"]);
  });

  it("keep a dormant bucket as it is, and let nothing flow into it", () => {
    const quotas = [quota({ valid_to_us: 100 }), quota({ valid_from_us: 10 * SECOND })];
    const steps = [remove(0), remove(150), remove(10 * SECOND + 1)];
    expect(remaining(world(quotas), ...steps)).toEqual(["15.000000", null, "10.001010"]);
  });

  it("drop what the new capacity cannot hold, through a quota that came and went unseen", () => {
    const small = { ...iops, iops_burst: 10 };
    const quotas = [
      quota({ valid_to_us: 1 * SECOND }),
      quota({ valid_from_us: SECOND, valid_to_us: 2 * SECOND, iops: small }),
      quota({ valid_from_us: 2 * SECOND, iops: { ...iops, refill_rate: 1, iops_burst: 100 } }),
    ];
    expect(remaining(world(quotas), remove(3 * SECOND))).toEqual(["6.000000"]);
  });

  it("leave debt as it is", () => {
    const quotas = [
      quota({ iops: null, bandwidth, valid_to_us: SECOND }),
      quota({
        valid_from_us: 3 * SECOND,
        iops: null,
        bandwidth: { ...bandwidth, refill_rate_bps: 1 },
      }),
    ];
    const answers = answersOf(
      world(quotas),
      remove(0, { size: 5000 }),
      remove(4 * SECOND, { size: 0 }),
    );
    expect(answers.map((answer) => answer.remaining_bytes)).toEqual([
      "-4000.000000",
      "-2999.000000",
    ]);
  });

  it("never go back: what has ended for a bucket stays ended", () => {
    const quotas = [
      quota({ valid_to_us: 5 * SECOND }),
      quota({ valid_from_us: 5 * SECOND, iops: { ...iops, iops_burst: 15 } }),
    ];
    const steps = [remove(4 * SECOND), remove(5 * SECOND), remove(2 * SECOND), remove(3 * SECOND)];
    // At 2 s the clock was set back: from there a second flows in, up to the newer capacity.
    expect(remaining(world(quotas), ...steps)).toEqual([
      "15.000000",
      "10.000000",
      "5.000000",
      "10.000000",
    ]);
  });

  it("are the old ones again where the newer ones were only looked at", () => {
    const quotas = [
      quota({ valid_to_us: 5 * SECOND }),
      quota({ valid_from_us: 5 * SECOND, iops: { ...iops, iops_limit: 4, iops_burst: 4 } }),
    ];
    const answers = answersOf(
      world(quotas),
      remove(4_900_000),
      remove(5 * SECOND),
      remove(4_950_000),
    );
    expect(answers.map(({ reason, remaining: left }) => [reason, left])).toEqual([
      [null, "15.000000"],
      ["exceeds_capacity", "4.000000"],
      [null, "10.500000"],
    ]);
  });

  it("prorate the first window after a change, and not after the first quota", () => {
    const first = world([quota({ valid_from_us: 1_500_000, iops: window })]);
    const all = [remove(1_600_000), consume(1_600_000, "write_large"), remove(1_700_000)];
    expect(remaining(first, ...all, remove(2 * SECOND))).toEqual([
      "15.000000",
      "5.000000",
      "0.000000",
      "15.000000",
    ]);
    const changed = world([
      quota({ valid_to_us: 1_500_000, iops: { ...iops, iops_burst: 20 } }),
      quota({ valid_from_us: 1_500_000, iops: window }),
    ]);
    expect(remaining(changed, ...all, remove(2 * SECOND))[3]).toBe("0.000000");
  });

  it("prorate the first window after the clock was set back, from that moment", () => {
    const of = world([quota({ iops: window })]);
    const spend = [0, 1, 2, 3].map((more) => remove(3 * SECOND + more));
    const [healed, later] = answersOf(of, ...spend, remove(1_200_000), remove(2 * SECOND)).slice(4);
    expect(healed).toMatchObject({ allowed: false, remaining: "0.000000", retry_after_ms: 800 });
    expect(later).toMatchObject({ allowed: true, remaining: "3.000000" });
  });

  it("heal a bucket by a denial, each bucket that would be charged", () => {
    const of = world([quota(), quota({ owner: "cluster:c" }), quota({ mode: "shadow" })]);
    const spend = [0, 1, 2, 3].map((more) => remove(10 * SECOND + more));
    const denied = answersOf(of, ...spend, remove(0), remove(400_000))[5];
    expect(denied).toMatchObject({ allowed: false, remaining: "4.000030", retry_after_ms: 100 });
    const buckets = ["app:a iops_l2 enforce", "cluster:c iops_l1 enforce", "app:a iops_l2 shadow"];
    for (const bucket of buckets) {
      expect(tokensOf(of, bucket, ...spend, remove(0))).toBe(30n);
    }
  });

  it("count a default quota as the application's own where nothing else enforces", () => {
    const of = world([
      quota({ valid_from_us: SECOND, valid_to_us: 2 * SECOND }),
      quota({ mode: "shadow" }),
      quota({ owner: "default:c", iops: { ...iops, iops_burst: 12 } }),
    ]);
    const steps = [remove(0), remove(SECOND), remove(1_900_000), remove(2 * SECOND)];
    expect(remaining(of, ...steps)).toEqual(["7.000000", "7.000000", "11.000000", "7.000000"]);
    expect(answersOf(of, remove(0, { app: "alone" }))[0]).toMatchObject({ remaining: null });
  });

  it("deny what has no quota, where the setting says so, by the kind that is charged", () => {
    const of = world([quota()], { settings: { without_quota: "deny" } });
    const [own, bytes, unknown, none] = answersOf(
      of,
      remove(0),
      remove(0, { size: 1 }),
      remove(0, { size: null }),
      remove(0, { app: "b" }),
    );
    const denied = { allowed: false, reason: "no_quota", retry_after_ms: null };
    expect(own).toMatchObject({ allowed: true });
    for (const answer of [bytes, unknown, none]) expect(answer).toMatchObject(denied);
    const leased = { at_us: 0, call: "lease", app: "b", id: "l", tokens: "1" };
    expect(answersOf(of, leased)).toEqual([{ tokens: "0.000000", bytes: "0.000000" }]);
  });
});
