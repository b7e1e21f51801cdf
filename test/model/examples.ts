import type { Step } from "./answers.ts";
import { Play } from "./answers.ts";
import type { Bandwidth, Iops, Quota, World } from "./world.ts";

export const SECOND = 1_000_000;

export const iops: Iops = {
  iops_limit: 10,
  iops_burst: 20,
  burst_duration_seconds: 1,
  refill_rate: 10,
};

export const bandwidth: Bandwidth = {
  bandwidth_limit_bps: 1000,
  bandwidth_burst_bps: 1000,
  burst_duration_seconds: 1,
  refill_rate_bps: 1000,
};

/** Two applications of one cluster, one without. */
export function world(quotas: Quota[], more: Partial<World> = {}): World {
  const applications = [
    { name: "a", cluster: "c" },
    { name: "b", cluster: "c" },
    { name: "alone", cluster: null },
  ];
  return { epoch: "2026-01-01T00:00:00Z", applications, quotas, ...more };
}

/** By default the IOPS quota of application a, since a second before the epoch. */
export function quota(overrides: Partial<Quota> = {}): Quota {
  const always = { valid_from_us: -SECOND, valid_to_us: null };
  return { owner: "app:a", mode: "enforce", iops, bandwidth: null, ...always, ...overrides };
}

export function consume(at_us: number, operation: string, more: object = {}): Step {
  return { at_us, call: "consume", app: "a", operation, size: 0, ...more };
}

/** The cost is five tokens. */
export function remove(at_us: number, more: object = {}): Step {
  return consume(at_us, "delete", more);
}

export function settle(at_us: number, reference_id: string, actual_size: number): Step {
  return { at_us, call: "settle", reference_id, actual_size };
}

export function refund(at_us: number, reference_id: string): Step {
  return { at_us, call: "refund", reference_id };
}

export function lease(at_us: number, id: string, more: object): Step {
  return { at_us, call: "lease", app: "a", id, tokens: "0", bytes: "0", ...more };
}

export function play(of: World, ...steps: Step[]) {
  const game = new Play(of);
  return { answers: steps.map((step) => game.answer(step)), limiter: game.limiter };
}

export function answersOf(of: World, ...steps: Step[]) {
  return play(of, ...steps).answers;
}

/** What the application has left after each operation. */
export function remaining(of: World, ...steps: Step[]) {
  return answersOf(of, ...steps).map((answer) => answer.remaining);
}

/** Tokens of a bucket as it was last written, in millionths. */
export function tokensOf(of: World, bucket: string, ...steps: Step[]): bigint | undefined {
  return play(of, ...steps).limiter.balances.get(bucket)?.tokens;
}
