import { OperationCost } from "../costs/operation-cost.ts";
import type { Demand } from "../demand/demand.ts";
import type { Balance } from "./lease.ts";

export type Costs = ReadonlyMap<string, OperationCost>;

export const noCosts: Costs = new Map();

/**
 * Spends the current lease: the fast path of check(). It reads no clock; where it cannot answer,
 * the caller looks at the clock and decides by everything that is known.
 */
export class Spending {
  readonly #demand: Demand;
  #costs = noCosts;
  #balance: Balance;
  /** The last operation and its cost. */
  #operation: string | undefined;
  #cost = OperationCost.unknown;
  /** The last size, what it costs, and how many checks were left when it came first. */
  #size = Number.NaN;
  #tokens = Number.NaN;
  #leftAtFirst = 0;
  #untilClock = 0;
  /** Excludes the checks since the clock was read. */
  #admitted = 0;
  #checksAtClock = 0;

  constructor(balance: Balance, demand: Demand) {
    this.#balance = balance;
    this.#demand = demand;
  }

  /** Whether the lease has paid for the operation. Where little would be left, it has not. */
  pays(operation: string, size: number): boolean {
    if (operation !== this.#operation) this.#begin(operation);
    const tokens = size === this.#size ? this.#tokens : this.#tokensOf(size);
    const balance = this.#balance;
    const tokensLeft = balance[0] - tokens;
    const bytesLeft = balance[1] - size;
    if (!(tokensLeft >= balance[2] && bytesLeft >= balance[3] && this.#untilClock > 0))
      return false;
    this.#untilClock -= 1;
    balance[0] = tokensLeft;
    balance[1] = bytesLeft;
    return true;
  }

  /** Operations that leases or the database admitted. */
  get admitted(): number {
    return this.#admitted + this.#checksAtClock - this.#untilClock;
  }

  /** What is left of the lease. */
  get left(): { readonly remaining: number; readonly remainingBytes: number | null } {
    const bytes = this.#balance[1];
    return {
      remaining: this.#balance[0] / 1_000_000,
      remainingBytes: Number.isFinite(bytes) ? bytes : null,
    };
  }

  use(balance: Balance): void {
    this.#balance = balance;
  }

  useCosts(costs: Costs): void {
    if (costs === this.#costs) return;
    this.#costs = costs;
    this.#forgetOperation();
  }

  /** One that was not admitted by pays(). */
  countAdmission(): void {
    this.#admitted += 1;
  }

  /** So many operations may be paid for before the clock has to be read. */
  readClockAfter(checks: number): void {
    this.#forgetOperation();
    this.#admitted += this.#checksAtClock - this.#untilClock;
    this.#untilClock = checks;
    this.#checksAtClock = checks;
    this.#leftAtFirst = checks;
  }

  /** The next check looks for its cost. */
  #forgetOperation(): void {
    this.#count();
    this.#operation = undefined;
    this.#cost = OperationCost.unknown;
    this.#size = Number.NaN;
  }

  /** Callers tend to repeat operations and sizes: these are counted together. */
  #count(): void {
    const times = this.#leftAtFirst - this.#untilClock;
    this.#leftAtFirst = this.#untilClock;
    if (times === 0 || this.#operation === undefined) return;
    this.#demand.count(this.#operation, this.#size, this.#tokens, false, times);
  }

  #begin(operation: string): void {
    this.#count();
    this.#operation = operation;
    this.#cost = this.#costs.get(operation) ?? OperationCost.unknown;
    this.#size = Number.NaN;
  }

  #tokensOf(size: number): number {
    this.#count();
    this.#size = size;
    this.#tokens = this.#cost.quickly(size);
    return this.#tokens;
  }
}
