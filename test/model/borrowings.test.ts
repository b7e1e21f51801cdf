import { describe, expect, it } from "vitest";
import { answersOf, iops, quota, remove, SECOND, tokensOf, world } from "./examples.ts";

const of = world([quota(), quota({ owner: "app:b", iops: { ...iops, min_reserve: 12 } })]);

function borrow(at_us: number, id: string, more: object = {}) {
  return {
    at_us,
    call: "borrow",
    app: "a",
    id,
    kind: "iops_l2",
    tokens: "5",
    duration_seconds: 1,
    ...more,
  };
}

function repay(at_us: number, id: string) {
  return { at_us, call: "repay", id };
}

const spent = [0, 1, 2, 3].map((at) => remove(at));

describe("borrowing in the model", () => {
  it("is repaid in full however late, where the bucket holds it", () => {
    const [, answer] = answersOf(of, borrow(0, "x"), repay(60 * SECOND, "x"));
    expect(answer).toEqual({ paid: "5.500000", owed: "0.000000", status: "repaid" });
  });

  it("is taken below zero after the grace, not at its end", () => {
    const settings = { borrow_grace_seconds: 2 };
    const slow = world([quota({ iops: { ...iops, iops_limit: 1, refill_rate: 1 } })], { settings });
    const steps = [...spent, borrow(4, "x"), remove(5)];
    const at = 3 * SECOND + 4;
    expect(answersOf(slow, ...steps, repay(at, "x")).at(-1)).toMatchObject({ status: "active" });
    const late = answersOf(slow, ...steps, repay(at + 1, "x")).at(-1);
    expect(late).toEqual({ paid: "5.500000", owed: "0.000000", status: "defaulted" });
    expect(tokensOf(slow, "app:a iops_l2 enforce", ...steps, repay(at + 1, "x"))).toBe(-2_499_995n);
  });

  it("moves tokens from the lender, down to its reserve, and back with interest", () => {
    const lender = "app:b";
    const answers = answersOf(of, ...spent, borrow(4, "x", { lender, tokens: "8.000001" }));
    expect(answers.at(-1)).toEqual({ error: "lender_short" });
    const steps = [...spent, borrow(4, "x", { lender, tokens: "8" })];
    const key = "app:b iops_l2 enforce";
    expect(tokensOf(of, key, ...steps)).toBe(12_000_000n);
    expect(tokensOf(of, key, ...steps, repay(4, "x"))).toBe(20_000_000n);
  });

  it("is refused by the first reason in order", () => {
    const far = { duration_seconds: 3601, lender: "cluster:c", tokens: "1000" };
    const debt = [remove(0), borrow(1, "d"), ...spent, remove(4), repay(10 * SECOND, "d")];
    const error = (...steps: object[]) => answersOf(of, ...(steps as never[])).at(-1);
    expect(error(...debt, borrow(1, "x", far))).toEqual({ error: "duration_too_long" });
    expect(error(borrow(0, "x", { ...far, duration_seconds: 1 }))).toEqual({
      error: "lender_not_allowed",
    });
    for (const lender of ["app:a", "app:alone", "app:nothing", "cluster:c"]) {
      expect(error(borrow(0, "x", { lender }))).toEqual({ error: "lender_not_allowed" });
    }
    expect(error(borrow(0, "x", { lender: "app:b", tokens: "1000" }))).toEqual({
      error: "borrow_limit",
    });
  });

  it("is limited by what is owed, interest included, and by the debt limit", () => {
    // The most is 30: eleven with interest leave no room for another 17.28.
    const owed = [...spent, borrow(4, "x", { tokens: "10" }), remove(5), remove(6)];
    const error = { error: "borrow_limit" };
    expect(answersOf(of, ...owed, borrow(7, "y", { tokens: "17.28" })).at(-1)).toEqual(error);
    expect(answersOf(of, ...owed, borrow(7, "y", { tokens: "17.27" })).at(-1)).toMatchObject({
      repayment_tokens: "18.997000",
    });
    const strict = { ...of, settings: { max_debt_seconds: 1 } };
    const all = [...spent, borrow(4, "x", { tokens: "9.090909" })];
    expect(answersOf(strict, ...all).at(-1)).toMatchObject({ repayment_tokens: "10.000000" });
    const more = [...spent, borrow(4, "x", { tokens: "9.090910" })];
    expect(answersOf(strict, ...more).at(-1)).toEqual(error);
  });
});
