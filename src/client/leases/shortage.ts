import { type Need, noNeed } from "../decisions/need.ts";
import type { Amounts } from "./amounts.ts";
import type { Lease } from "./lease.ts";

const shortestPauseMs = 100;
/** Retry interval where no lease can be granted. A change notification resets it. */
const neverPauseMs = 5_000;
/** What was too dear may be long in coming: something cheaper is asked for after this time. */
const longestCheaperPauseMs = 1_000;

/** The buckets had less than was asked for: when it is worth asking again. */
export class Shortage {
  #until = 0;
  /** When a much cheaper operation is worth another call. */
  #cheaperAt = 0;
  #of = noNeed;

  note(usual: Need, ms: number, now: number): void {
    this.#until = now + ms;
    this.#cheaperAt = now + Math.min(ms, longestCheaperPauseMs);
    this.#of = usual;
  }

  /** Another transaction holds the buckets. */
  noteBusy(usual: Need, now: number): void {
    this.note(usual, shortestPauseMs, now);
  }

  /** Quotas changed: ask again at once. */
  forget(): void {
    this.#until = 0;
  }

  /** Whether the buckets were short of the usual operation, or of a cheaper one, and still are. */
  isOf(usual: Need, now: number): boolean {
    if (now >= this.#until) return false;
    return now < this.#cheaperAt || !isMuchCheaper(usual, this.#of);
  }

  retryAfterMs(now: number): number {
    return Math.max(Math.ceil(this.#until - now), 1);
  }
}

/** How long to wait before asking again after a grant of less than was asked for. */
export function pauseOf(lease: Lease, asked: Amounts, retryAfterMs: string | null): number {
  if (lease.tokens >= asked.tokens && lease.bytes >= asked.bytes) return 0;
  const isEmpty = lease.id === null;
  if (retryAfterMs === null) return isEmpty ? neverPauseMs : shortestPauseMs;
  // The buckets have enough: the cap on what open leases hold together was the limit.
  const isMost = lease.tokens * 2 >= asked.tokens && lease.bytes * 2 >= asked.bytes;
  if (retryAfterMs === "0" && isMost) return 0;
  return Math.max(Number(retryAfterMs), shortestPauseMs);
}

function isMuchCheaper(need: Need, than: Need): boolean {
  return isHalf(need.tokens, than.tokens) || isHalf(need.bytes, than.bytes);
}

function isHalf(amount: number, of: number): boolean {
  return of > 0 && amount * 2 <= of;
}
