import { largestAmount } from "../costs/amount.ts";

/** A lease covers this long at the recent rate, and is renewed when half of it is spent. */
const windowMs = 500;
/** The rate is unknown at first: ask for a few operations, then grow by this factor. */
const firstOperations = 8;
const growth = 10;

/** How much of one resource to lease next: half a second's worth at the recent rate. */
export class LeaseSize {
  #rate = 0;
  #asked = 0;
  #measuredAt: number;

  constructor(now: number) {
    this.#measuredAt = now;
  }

  /** Records what was spent since the last call. */
  measure(spent: number, now: number): void {
    const elapsed = Math.max(now - this.#measuredAt, 1);
    const rate = spent / elapsed;
    // Fast up, slow down: asking for too little costs calls, too much is returned soon.
    this.#rate = rate > this.#rate ? rate : 0.7 * this.#rate + 0.3 * rate;
    this.#measuredAt = now;
  }

  /**
   * What to ask for: `operation` is a typical charge, `waiting` is needed at once, and `most`
   * bounds it so that other clients get their share.
   */
  next(operation: number, waiting: number, most = largestAmount): number {
    const floor = Math.max(operation * firstOperations, waiting);
    const wanted = Math.min(this.#rate * windowMs, Math.max(this.#asked, floor) * growth);
    const bounded = Math.min(Math.max(wanted, floor), Math.max(most, operation, waiting));
    this.#asked = Math.min(Math.ceil(bounded), largestAmount);
    return this.#asked;
  }

  /** The caller went idle: its past rate does not predict its next one. */
  forget(now: number): void {
    this.#rate = 0;
    this.#asked = 0;
    this.#measuredAt = now;
  }
}
