import { describe, expect, it } from "vitest";
import {
  answersOf,
  bandwidth,
  consume,
  iops,
  play,
  quota,
  refund,
  remove,
  SECOND,
  settle,
  tokensOf,
  world,
} from "./examples.ts";

const bytes = quota({ iops: null, bandwidth });
const bucket = "app:a bandwidth_l2 enforce";
const leftOf = (answers: Record<string, unknown>[]) => answers.map((of) => of.remaining_bytes);

describe("a charge in the model", () => {
  it("is settled up and down, once, and refunded as far as it stands", () => {
    const of = world([bytes]);
    const first = remove(0, { size: 400, reference_id: "r" });
    const steps = [first, settle(0, "r", 100), settle(0, "r", 0), remove(0)];
    const answers = answersOf(of, ...steps, refund(0, "r"), refund(0, "r"), settle(0, "r", 5));
    expect(answers[1]).toEqual({ settled: true, cost: "5.000000" });
    expect(answers[2]).toEqual({ settled: false, cost: null });
    expect(answers[3]).toMatchObject({ remaining_bytes: "900.000000" });
    expect(answers.slice(4)).toEqual([
      { refunded: true },
      { refunded: false },
      { settled: false, cost: null },
    ]);
    expect(tokensOf(of, bucket, ...steps, refund(0, "r"))).toBe(1_000_000_000n);
  });

  it("is settled into debt, no further than the debt limit", () => {
    const of = world([bytes], { settings: { max_debt_seconds: 2 } });
    const steps = [remove(0, { size: null, reference_id: "r" }), settle(0, "r", 9000)];
    expect(tokensOf(of, bucket, ...steps)).toBe(-2_000_000_000n);
    // What was not taken is not given back either.
    expect(tokensOf(of, bucket, ...steps, refund(0, "r"))).toBe(1_000_000_000n);
  });

  it("is not given back as far as the capacity cut it off", () => {
    const of = world([bytes]);
    const steps = [
      remove(0, { size: 800, reference_id: "r" }),
      settle(700_000, "r", 100),
      remove(700_000, { size: 500 }),
      refund(700_000, "r"),
    ];
    expect(tokensOf(of, bucket, ...steps)).toBe(600_000_000n);
  });

  it("is settled at the cost terms of then, on the buckets of then", () => {
    const of = world(
      [
        quota({ valid_to_us: SECOND, iops: null, bandwidth }),
        quota({ owner: "app:b", iops: null, bandwidth }),
      ],
      {
        cost_rules: [
          {
            app: "a",
            operation: "list",
            c_base_override: "9",
            c_bw_override: "1",
            valid_from_us: SECOND,
            valid_to_us: null,
          },
        ],
      },
    );
    const steps = [
      consume(0, "list", { size: 10, reference_id: "r" }),
      consume(0, "list", { size: 10, app: "alone", reference_id: "s" }),
      settle(2 * SECOND, "r", 700),
    ];
    const { answers, limiter } = play(of, ...steps);
    expect(answers.at(-1)).toEqual({ settled: true, cost: "3.000000" });
    // The quota has ended: what flowed in until then is there, and the late charge is taken.
    expect(limiter.balances.get(bucket)?.tokens).toBe(310_000_000n);
  });

  it("is not settled on a bucket that came later", () => {
    const of = world([
      quota({ iops: { ...iops, iops_burst: 100 } }),
      quota({ owner: "cluster:c", iops: null, bandwidth, valid_from_us: SECOND }),
    ]);
    const steps = [remove(0, { size: 0, reference_id: "r" }), settle(SECOND, "r", 700)];
    const { limiter } = play(of, ...steps);
    expect([...limiter.balances.keys()]).toEqual(["app:a iops_l2 enforce"]);
  });

  it("is taken late from layer 1 only as far as layer 2 took it", () => {
    const of = world([bytes, quota({ owner: "cluster:c", iops: null, bandwidth })], {
      settings: { max_debt_seconds: 0, max_cluster_debt_seconds: 60 },
    });
    const steps = [remove(0, { size: 10, reference_id: "r" }), settle(0, "r", 9000)];
    expect(tokensOf(of, "cluster:c bandwidth_l1 enforce", ...steps)).toBe(0n);
  });

  it("of an unknown size is denied in debt, heals the bucket and is not written", () => {
    const of = world([bytes]);
    const debt = remove(10 * SECOND, { size: 3000 });
    const unknown = (at: number) => remove(at, { size: null });
    const answers = answersOf(of, debt, unknown(SECOND), unknown(2 * SECOND), unknown(3 * SECOND));
    expect(answers.slice(1).map((of) => [of.reason, of.retry_after_ms])).toEqual([
      ["bandwidth_l2", 2000],
      ["bandwidth_l2", 1000],
      [null, 0],
    ]);
    expect(leftOf(answers.slice(3))).toEqual(["0.000000"]);
    expect(tokensOf(of, bucket, debt, unknown(SECOND), unknown(3 * SECOND))).toBe(-2_000_000_000n);
  });

  it("stands for one operation of at most its size, of one application", () => {
    const of = world([quota()]);
    const first = consume(0, "list", { size: 10, reference_id: "r" });
    const [answer, again, smaller, larger, other, another] = answersOf(
      of,
      first,
      first,
      { ...first, size: 9 },
      { ...first, size: 11 },
      { ...first, operation: "head" },
      { ...first, app: "b" },
    );
    expect([again, smaller]).toEqual([answer, answer]);
    expect([larger, other]).toEqual([{ error: "reference_in_use" }, { error: "reference_in_use" }]);
    expect(another).toMatchObject({ allowed: true, remaining: null });
  });

  it("is decided anew under a reference that was denied or refunded", () => {
    const of = world([quota()]);
    const large = consume(0, "write_large", { reference_id: "r" });
    const answers = answersOf(
      of,
      large,
      refund(0, "r"),
      remove(0),
      { ...large, reference_id: "s" },
      { ...large, reference_id: "t" },
      { ...large, reference_id: "t", at_us: SECOND },
    );
    expect(answers.map(({ allowed, refunded }) => allowed ?? refunded)).toEqual([
      ...[true, true, true, true, false, true],
    ]);
    const anew = [large, refund(0, "r"), remove(0), { ...large, at_us: SECOND }];
    expect(answersOf(of, ...anew).at(-1)).toMatchObject({ remaining: "10.000000" });
  });

  it("that comes by itself is charged once, on the buckets of now", () => {
    const of = world([bytes, quota({ mode: "shadow", iops: null, bandwidth })]);
    const { limiter } = play(of, remove(0, { size: 900 }));
    const at = 1_767_225_600_000_000n;
    const owed = { iops: 5_000_000n, bandwidth: 500_000_000n };
    expect(limiter.operations.chargeOwed(at, "a", owed, "k")).toBe(true);
    expect(limiter.operations.chargeOwed(at, "a", owed, "k")).toBe(false);
    expect(limiter.balances.get(bucket)?.tokens).toBe(-400_000_000n);
    expect(limiter.balances.get("app:a bandwidth_l2 shadow")?.tokens).toBe(-400_000_000n);
  });
});
