import { type Level, type Rolled, roll } from "./bucket.ts";
import type { Timeline } from "./timeline.ts";

export interface LedgerRow {
  readonly key: string;
  readonly type: string;
  readonly change: bigint;
  /** What flowed in since the row before. */
  readonly refilled: bigint;
  readonly balance: bigint;
}

/** A bucket at the moment of a call. */
export interface Held extends Rolled {
  readonly key: string;
}

/** Every bucket as it was last written, and section 10's ledger. */
export class Store {
  readonly #levels = new Map<string, Level>();
  readonly #rows: LedgerRow[] = [];

  at(key: string, timeline: Timeline, at: bigint): Held {
    return { key, ...roll(timeline, this.#levels.get(key), at) };
  }

  /** Writes a bucket, rolled to its moment, with a change of its tokens. */
  write(held: Held, type: string, change: bigint): void {
    const { key, level, refilled, dropped } = held;
    const tokens = level.tokens + change;
    this.#levels.set(key, { ...level, tokens });
    if (dropped > 0n) {
      const row = { key, type: "drop", change: -dropped, refilled, balance: level.tokens };
      this.#rows.push(row, { key, type, change, refilled: 0n, balance: tokens });
    } else {
      this.#rows.push({ key, type, change, refilled, balance: tokens });
    }
  }

  /** A clock that was set back is on record even where nothing is taken. */
  heal(held: Held): void {
    if (held.healed) this.#levels.set(held.key, held.level);
  }

  get levels(): ReadonlyMap<string, Level> {
    return this.#levels;
  }

  get ledger(): readonly LedgerRow[] {
    return this.#rows;
  }
}
