import { createHash } from "node:crypto";

export interface Decided {
  readonly offsetUs: bigint;
  readonly size: bigint;
  readonly allowed: boolean;
  /** Six-digit decimal, as the database writes it. */
  readonly cost: string;
}

export interface Minute {
  /** Whole minutes since the first operation. */
  readonly minute: number;
  admitted: number;
  throttled: number;
}

export interface Stretch {
  readonly operations: number;
  readonly fromUs: bigint;
  readonly toUs: bigint;
}

export interface Totals {
  readonly admitted: number;
  readonly throttled: number;
  readonly bytesAdmitted: bigint;
  readonly bytesThrottled: bigint;
  /** Millionths of a token. */
  readonly tokensUsed: bigint;
  /** The longest time in which every operation was throttled; null when none was. */
  readonly longestThrottled: Stretch | null;
  readonly minutes: readonly Minute[];
  readonly decisionsSha256: string;
}

const MINUTE_US = 60_000_000n;

/** Adds up decisions as they come, in the order of the trace. */
export class Tally {
  readonly #decisions = createHash("sha256");
  readonly #minutes: Minute[] = [];
  #admitted = 0;
  #throttled = 0;
  #bytesAdmitted = 0n;
  #bytesThrottled = 0n;
  #tokensUsed = 0n;
  #first: bigint | undefined;
  #running: Stretch | null = null;
  #longest: Stretch | null = null;

  add({ offsetUs, size, allowed, cost }: Decided): void {
    this.#decisions.update(allowed ? "1" : "0");
    const minute = this.#minuteOf(offsetUs);
    if (allowed) {
      this.#admitted += 1;
      this.#bytesAdmitted += size;
      this.#tokensUsed += millionths(cost);
      minute.admitted += 1;
      this.#running = null;
    } else {
      this.#throttled += 1;
      this.#bytesThrottled += size;
      minute.throttled += 1;
      this.#stretch(offsetUs);
    }
  }

  /** Ends the count: nothing can be added afterwards. */
  totals(): Totals {
    return {
      admitted: this.#admitted,
      throttled: this.#throttled,
      bytesAdmitted: this.#bytesAdmitted,
      bytesThrottled: this.#bytesThrottled,
      tokensUsed: this.#tokensUsed,
      longestThrottled: this.#longest,
      minutes: this.#minutes,
      decisionsSha256: this.#decisions.digest("hex"),
    };
  }

  #minuteOf(offsetUs: bigint): Minute {
    this.#first ??= offsetUs;
    const minute = Number((offsetUs - this.#first) / MINUTE_US);
    const last = this.#minutes.at(-1);
    if (last?.minute === minute) return last;
    const next = { minute, admitted: 0, throttled: 0 };
    this.#minutes.push(next);
    return next;
  }

  #stretch(offsetUs: bigint): void {
    const { operations, fromUs } = this.#running ?? { operations: 0, fromUs: offsetUs };
    this.#running = { operations: operations + 1, fromUs, toUs: offsetUs };
    if (isLonger(this.#running, this.#longest)) this.#longest = this.#running;
  }
}

function isLonger(one: Stretch, other: Stretch | null): boolean {
  if (other === null) return true;
  const difference = one.toUs - one.fromUs - (other.toUs - other.fromUs);
  return difference > 0n || (difference === 0n && one.operations > other.operations);
}

function millionths(amount: string): bigint {
  const [whole, fraction = ""] = amount.split(".");
  return BigInt(`${whole}${fraction.padEnd(6, "0")}`);
}
