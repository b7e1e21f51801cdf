import { largestAmount, millionthsOf } from "./amount.ts";

/**
 * What an operation costs: c_base + size * c_bw / unit_quantum tokens, rounded up to a millionth.
 * All fields are whole numbers, and doubles divide those exactly as long as the product stays
 * below 2^53; `exactUpTo` is the largest size for which it does. Larger ones are computed in
 * BigInt.
 */
export class OperationCost {
  /** Of an unknown operation: every size takes the slow path. */
  static readonly unknown: OperationCost = new OperationCost("0", "0", "1", false);

  readonly isActive: boolean;
  /** Millionths of a token for the operation itself. */
  readonly base: number;
  /** Millionths for each `quantum` bytes; the fraction is in lowest terms. */
  readonly share: number;
  readonly quantum: number;
  readonly roundUp: number;
  readonly exactUpTo: number;
  readonly #share: bigint;
  readonly #quantum: bigint;

  constructor(cBase: string, cBw: string, unitQuantum: string, isActive = true) {
    const perUnit = millionthsOf(cBw);
    const unit = BigInt(unitQuantum);
    const divisor = greatestCommonDivisor(perUnit, unit);
    this.#share = perUnit / divisor;
    this.#quantum = unit / divisor;
    this.isActive = isActive;
    this.base = Number(millionthsOf(cBase));
    this.share = Number(this.#share);
    this.quantum = Number(this.#quantum);
    this.roundUp = Number(this.#quantum - 1n);
    this.exactUpTo = this.#largestExactSize();
  }

  /** Millionths of a token; Infinity beyond what a lease can hold. */
  of(size: number): number {
    if (size <= this.exactUpTo) {
      return this.base + Math.floor((size * this.share + this.roundUp) / this.quantum);
    }
    const exact = this.exactly(BigInt(size));
    return exact > BigInt(largestAmount) ? Number.POSITIVE_INFINITY : Number(exact);
  }

  /** The same for unchecked input; NaN for all that takes the slow path. */
  quickly(size: number): number {
    if (!(size >= 0 && size <= this.exactUpTo && Math.floor(size) === size)) return Number.NaN;
    return this.of(size);
  }

  exactly(size: bigint): bigint {
    const rest = (size * this.#share + this.#quantum - 1n) / this.#quantum;
    return BigInt(this.base) + rest;
  }

  #largestExactSize(): number {
    if (!this.isActive) return -1;
    if (this.#share === 0n) return largestAmount;
    const product = BigInt(largestAmount) - this.#quantum;
    const sum = (BigInt(largestAmount) - BigInt(this.base)) * this.#quantum;
    const largest = (product < sum ? product : sum) / this.#share;
    if (largest < 0n) return -1;
    return largest > BigInt(largestAmount) ? largestAmount : Number(largest);
  }
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  return b === 0n ? a : greatestCommonDivisor(b, a % b);
}
