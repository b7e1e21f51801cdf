/** Millionths of a token in one. */
export const micro = 1_000_000n;

/** A token bucket under one quota. Amounts are millionths, moments whole microseconds. */
export class Bucket {
  /** Whole tokens a second, which is millionths a microsecond. */
  readonly rate: bigint;
  readonly capacity: bigint;
  /** All that was taken, less what came back. */
  taken = 0n;
  #tokens: bigint;
  #at: number;

  constructor(rate: number, capacity: number, at: number) {
    this.rate = BigInt(rate);
    this.capacity = BigInt(capacity) * micro;
    this.#tokens = this.capacity;
    this.#at = at;
  }

  /** Without what flows in from then on. */
  get balance(): bigint {
    return this.#tokens;
  }

  tokens(at: number): bigint {
    if (at > this.#at) {
      this.#tokens = least(this.#tokens + BigInt(at - this.#at) * this.rate, this.capacity);
      this.#at = at;
    }
    return this.#tokens;
  }

  take(at: number, amount: bigint): void {
    this.#tokens = this.tokens(at) - amount;
    this.taken += amount;
  }

  /** Answers what brings it back to how it is now. */
  save(): () => void {
    const [tokens, at, taken] = [this.#tokens, this.#at, this.taken];
    return () => {
      [this.#tokens, this.#at, this.taken] = [tokens, at, taken];
    };
  }

  /** What does not fit is gone. */
  giveBack(at: number, amount: bigint): void {
    this.#tokens = least(this.tokens(at) + amount, this.capacity);
    this.taken -= amount;
  }
}

export function least(one: bigint, other: bigint): bigint {
  return one < other ? one : other;
}

export function greatest(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}

/** Of amounts that are not negative. */
export function ceilDiv(amount: bigint, by: bigint): bigint {
  return (amount + by - 1n) / by;
}
