import { describe, expect, it } from "vitest";
import { text } from "./amounts.ts";
import { Play } from "./answers.ts";
import {
  answersOf,
  bandwidth,
  iops,
  lease,
  quota,
  remove,
  SECOND,
  tokensOf,
  world,
} from "./examples.ts";
import type { Iops, World } from "./world.ts";

const own = "app:a iops_l2 enforce";
const shared = "cluster:c iops_l1 enforce";

function ofIops(overrides: Partial<Iops>, owner = "app:a") {
  return quota({ owner, iops: { ...iops, ...overrides } });
}

function settleLease(at_us: number, id: string, more: object) {
  return { at_us, call: "settle_lease", id, spent_tokens: "0", spent_bytes: "0", ...more };
}

/** When to ask for tokens again, after an operation of five tokens that leaves `left`. */
function retryOf(of: World, asked: string): [granted: string, retry: bigint | null] {
  const game = new Play(of);
  game.answer(remove(0));
  const at = game.at(remove(0));
  const amounts = { iops: BigInt(asked) * 1_000_000n, bandwidth: 0n };
  const { iops: grant } = game.limiter.leases.lease(at, "l", "a", amounts, null);
  return [text(grant.granted), grant.retryAfterMs];
}

describe("leases in the model", () => {
  it("leave the reserve of every bucket, and what is owed is charged late", () => {
    const of = world([
      ofIops({ min_reserve: 8 }),
      ofIops({ iops_burst: 30, min_reserve: 19 }, "cluster:c"),
    ]);
    const steps = [lease(0, "l", { tokens: "15" })];
    expect(answersOf(of, ...steps)).toEqual([{ tokens: "11.000000", bytes: "0.000000" }]);
    const owed = settleLease(0, "l", { spent_tokens: "10", owed_tokens: "40" });
    expect(answersOf(of, ...steps, owed)[1]).toMatchObject({ returned_tokens: "1.000000" });
    expect(tokensOf(of, own, ...steps, owed)).toBe(-30_000_000n);
    expect(tokensOf(of, shared, ...steps, owed)).toBe(-20_000_000n);
  });

  it("give back the difference where less is owed than was not spent", () => {
    const of = world([quota()]);
    const steps = [
      lease(0, "l", { tokens: "15" }),
      settleLease(0, "l", { spent_tokens: "3", owed_tokens: "2", owed_bytes: "700" }),
    ];
    expect(answersOf(of, ...steps)[1]).toEqual({
      returned_tokens: "12.000000",
      returned_bytes: "0.000000",
    });
    expect(tokensOf(of, own, ...steps)).toBe(15_000_000n);
  });

  it("are settled once, before their end, and for at most what they held", () => {
    const of = world([quota()]);
    const answers = answersOf(
      of,
      lease(0, "l", { tokens: "5", duration_seconds: 1 }),
      lease(0, "m", { tokens: "5", duration_seconds: 1 }),
      settleLease(0, "l", { spent_tokens: "5.000001" }),
      settleLease(0, "l", { spent_tokens: "5" }),
      settleLease(0, "l", { spent_tokens: "5" }),
      settleLease(SECOND, "m", { spent_tokens: "0" }),
      settleLease(0, "never", {}),
    );
    expect(answers.slice(2)).toEqual([
      { error: "spent_more_than_leased" },
      { returned_tokens: "0.000000", returned_bytes: "0.000000" },
      { error: "lease_is_over" },
      { error: "lease_is_over" },
      { error: "unknown_lease" },
    ]);
  });

  it("hold at most one capacity of the application, and of its cluster together", () => {
    const of = world([quota(), ofIops({ iops_burst: 30 }, "cluster:c")]);
    const answers = answersOf(
      of,
      lease(0, "l", { tokens: "15" }),
      lease(10 * SECOND, "m", { tokens: "15" }),
      lease(20 * SECOND, "n", { tokens: "15", app: "b" }),
      lease(30 * SECOND, "o", { tokens: "15", app: "b" }),
    );
    expect(answers.map(({ tokens }) => tokens)).toEqual([
      ...["15.000000", "5.000000", "10.000000", "0.000000"],
    ]);
  });

  it("hold a share each, where the setting says so", () => {
    const of = world([quota()], { settings: { lease_max_share: "0.25" } });
    expect(answersOf(of, lease(0, "l", { tokens: "15" }))[0]).toMatchObject({
      tokens: "5.000000",
    });
  });

  it("charge shadow buckets the grant, or none of that resource", () => {
    const shadow = quota({ mode: "shadow", iops: { ...iops, min_reserve: 10 }, bandwidth });
    const of = world([quota({ bandwidth }), shadow]);
    const both = [lease(0, "l", { tokens: "11", bytes: "300" })];
    expect(tokensOf(of, "app:a iops_l2 shadow", ...both)).toBeUndefined();
    expect(tokensOf(of, "app:a bandwidth_l2 shadow", ...both)).toBe(700_000_000n);
  });

  it("that are empty say when to ask again", () => {
    const taken = { min_reserve: 15 };
    expect(retryOf(world([ofIops(taken)]), "9")).toEqual(["0.000000", 100n]);
    expect(retryOf(world([ofIops({ ...taken, iops_limit: 20, refill_rate: 2 })]), "9")).toEqual([
      ...["0.000000", 100n],
    ]);
    const more = { ...taken, min_reserve: 17 };
    expect(retryOf(world([ofIops(more)]), "9")).toEqual(["0.000000", 300n]);
    expect(retryOf(world([ofIops({ ...taken, min_reserve: 20 })]), "9")).toEqual([
      ...["0.000000", null],
    ]);
    const beside = world([ofIops({}), ofIops({ min_reserve: 16 }, "cluster:c")]);
    expect(retryOf(beside, "9")).toEqual(["0.000000", 200n]);
    expect(retryOf(world([ofIops({ min_reserve: 16 }, "cluster:c")]), "9")).toEqual([
      ...["0.000000", 200n],
    ]);
  });

  it("that are empty heal the buckets of what was asked, and of nothing else", () => {
    const of = world([quota({ iops: { ...iops, min_reserve: 20 }, bandwidth })]);
    const steps = [
      remove(10 * SECOND, { size: 1000 }),
      lease(SECOND, "l", { tokens: "1" }),
      lease(1_100_000, "m", { tokens: "1", bytes: "0" }),
      remove(1_300_000, { size: 0 }),
    ];
    expect(answersOf(of, ...steps)[3]).toMatchObject({
      remaining: "13.000000",
      remaining_bytes: "0.000000",
    });
  });
});
