import type { Caller } from "./virtual-drivers.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** Asks at even intervals, and not again for what was denied. */
export interface Asker {
  readonly caller: Caller;
  readonly operation: string;
  readonly perSecond: number;
  /** Whether it asks in this second. */
  readonly isOn?: (second: number) => boolean;
}

/** In so many milliseconds everything happens at once. */
const stepMs = 5;

export interface Outcome {
  asked: number;
  admitted: number;
  /** Answers that took longer than the database did. */
  waited: number;
  longestWaitMs: number;
  readonly reasons: Map<string, number>;
}

/** Lets so many seconds pass; each asker's outcome, in their order. */
export async function simulate(
  time: VirtualTime,
  askers: readonly Asker[],
  seconds: number,
): Promise<Outcome[]> {
  const outcomes = askers.map((): Outcome => {
    return { asked: 0, admitted: 0, waited: 0, longestWaitMs: 0, reasons: new Map() };
  });
  const start = time.now();
  for (let ms = 0; ms < seconds * 1_000; ms += stepMs) {
    askers.forEach((asker, place) => {
      const outcome = outcomes[place] as Outcome;
      for (let due = dueAt(asker, ms); due > 0; due -= 1) void ask(time, asker, outcome);
    });
    await time.settle();
    await time.advance(stepMs);
  }
  // Requests that still wait get an answer.
  for (let ms = 0; ms < 200; ms += stepMs) await time.advance(stepMs);
  const unanswered = outcomes.filter((outcome) => outcome.asked > answeredOf(outcome));
  if (unanswered.length > 0) throw new Error(`no answer at ${time.now() - start} ms`);
  return outcomes;
}

function dueAt({ perSecond, isOn }: Asker, ms: number): number {
  if (isOn?.(Math.floor(ms / 1_000)) === false) return 0;
  const before = (at: number) => Math.ceil((at * perSecond) / 1_000);
  return before(ms + stepMs) - before(ms);
}

async function ask(time: VirtualTime, asker: Asker, outcome: Outcome): Promise<void> {
  const askedAt = time.now();
  outcome.asked += 1;
  const { allowed, reason } = await asker.caller.decide(asker.operation);
  const waitMs = time.now() - askedAt;
  if (allowed) outcome.admitted += 1;
  else outcome.reasons.set(reason ?? "", (outcome.reasons.get(reason ?? "") ?? 0) + 1);
  if (waitMs > 0) outcome.waited += 1;
  outcome.longestWaitMs = Math.max(outcome.longestWaitMs, waitMs);
}

function answeredOf({ admitted, reasons }: Outcome): number {
  return [...reasons.values()].reduce((sum, count) => sum + count, admitted);
}
