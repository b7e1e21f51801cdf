import { floorDiv, max, min } from "./amounts.ts";
import type { Change, Terms, Timeline } from "./timeline.ts";

/** A bucket as it was last written. */
export interface Level {
  readonly tokens: bigint;
  readonly last: bigint;
  /** The last change of its timeline that it has come under; -1 before the first. */
  readonly position: number;
  /** Where the first window start from here gives less than a whole capacity: since when. */
  readonly proratedSince: bigint | null;
}

/** A bucket at a moment, and what became of it since it was last written. */
export interface Rolled {
  readonly level: Level;
  /** Null while it is dormant. */
  readonly terms: Terms | null;
  /** The terms that it had last, dormant or not. */
  readonly lastTerms: Terms;
  readonly healed: boolean;
  readonly refilled: bigint;
  readonly dropped: bigint;
}

const SECOND = 1_000_000n;

/** A bucket that was never written: full when its first quota takes force. */
export function untouched(timeline: Timeline): Level {
  const first = timeline[0] as Change;
  const capacity = first.terms?.capacity ?? 0n;
  return { tokens: capacity, last: first.at, position: -1, proratedSince: null };
}

/** Sections 4 and 5: from the moment that it was last written to `at`, through every change. */
export function roll(timeline: Timeline, stored: Level | undefined, at: bigint): Rolled {
  const before = stored ?? untouched(timeline);
  const healed = stored !== undefined && before.last - at > SECOND;
  let level = healed ? { ...before, last: at, proratedSince: at } : before;
  let refilled = 0n;
  let dropped = 0n;
  const flowTo = (moment: bigint) => {
    const after = flow(level, termsAt(timeline, level.position), moment);
    refilled += after.tokens - level.tokens;
    level = after;
  };
  for (;;) {
    const next = timeline[level.position + 1];
    if (next === undefined || next.at > at) break;
    flowTo(next.at);
    const after = changed(level, next);
    dropped += level.tokens - after.tokens;
    level = after;
  }
  flowTo(at);
  return {
    level,
    terms: termsAt(timeline, level.position),
    lastTerms: lastTermsAt(timeline, level.position),
    healed,
    refilled,
    dropped,
  };
}

/** What flows in under the same terms. */
export function flow(level: Level, terms: Terms | null, at: bigint): Level {
  if (at <= level.last) return level;
  if (terms === null) return { ...level, last: at };
  if (terms.method === "fixed_window") return flowByWindows(level, terms, at);
  const room = max(terms.capacity - level.tokens, 0n);
  return { ...level, tokens: level.tokens + min(room, (at - level.last) * terms.rate), last: at };
}

function flowByWindows(level: Level, terms: Terms, at: bigint): Level {
  const { window, capacity, rate } = terms;
  const current = floorDiv(level.last, window);
  const windows = floorDiv(at, window) - current;
  if (windows === 0n) return { ...level, last: at };
  const start = (current + 1n) * window;
  const since = level.proratedSince;
  const first = since === null ? capacity : min(capacity, rate * (start - since));
  const filled = min(capacity, level.tokens + first + (windows - 1n) * capacity);
  return { ...level, tokens: max(level.tokens, filled), last: at, proratedSince: null };
}

function changed(level: Level, { at, terms }: Change): Level {
  const position = level.position + 1;
  if (terms === null) return { ...level, position };
  const proratedSince = position === 0 ? null : at;
  return { ...level, tokens: min(level.tokens, terms.capacity), position, proratedSince };
}

function termsAt(timeline: Timeline, position: number): Terms | null {
  return timeline[position]?.terms ?? null;
}

function lastTermsAt(timeline: Timeline, position: number): Terms {
  const known = timeline.slice(0, Math.max(position, 0) + 1);
  return known.findLast(({ terms }) => terms !== null)?.terms as Terms;
}
