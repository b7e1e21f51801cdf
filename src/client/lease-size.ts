import { largestAmount } from "./amount.ts";

/** A lease lasts this long at the recent rate, and is renewed when half of it is spent. */
const windowMs = 500;
/** A new caller's rate is unknown: ask for a few operations, then for so many times more. */
const firstOperations = 8;
const growth = 10;

/** How much of one resource to lease next: what is spent in half a second, as of late. */
export class LeaseSize {
  #rate = 0;
  #asked = 0;
  #measuredAt: number;

  constructor(now: number) {
    this.#measuredAt = now;
  }

  /** Tells what was spent since the last time. */
  measure(spent: number, now: number): void {
    const elapsed = Math.max(now - this.#measuredAt, 1);
    const rate = spent / elapsed;
    // Up at once, down slowly: asking too little costs calls, too much comes back soon.
    this.#rate = rate > this.#rate ? rate : 0.7 * this.#rate + 0.3 * rate;
    this.#measuredAt = now;
  }

  /** What to ask for where `operation` is a usual charge and `waiting` is needed at once. */
  next(operation: number, waiting: number): number {
    const floor = Math.max(operation * firstOperations, waiting);
    const wanted = Math.min(this.#rate * windowMs, Math.max(this.#asked, floor) * growth);
    this.#asked = Math.min(Math.ceil(Math.max(wanted, floor)), largestAmount);
    return this.#asked;
  }

  /** The caller went quiet: what it did before says nothing of what it will do. */
  forget(now: number): void {
    this.#rate = 0;
    this.#asked = 0;
    this.#measuredAt = now;
  }
}
