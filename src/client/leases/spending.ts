import { OperationCost } from "../costs/operation-cost.ts";
import { type Cell, type Cells, cellOf, type Demand } from "../demand/demand.ts";
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
  /** Where the last operation is counted, at the last size. */
  #cells: Cells = [];
  #cell: Cell | undefined;
  #cellSize = Number.NaN;
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
    const cost = operation === this.#operation ? this.#cost : this.#costOf(operation);
    const tokens = size === cost.knownSize ? cost.knownCost : cost.quickly(size);
    const balance = this.#balance;
    const tokensLeft = balance[0] - tokens;
    const bytesLeft = balance[1] - size;
    if (!(tokensLeft >= balance[2] && bytesLeft >= balance[3] && this.#untilClock > 0))
      return false;
    this.#untilClock -= 1;
    balance[0] = tokensLeft;
    balance[1] = bytesLeft;
    if (size !== this.#cellSize || this.#cell === undefined) this.#findCell(size);
    const cell = this.#cell as Cell;
    cell[0] += 1;
    cell[1] += tokens;
    cell[2] += size;
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
    this.#admitted += this.#checksAtClock - this.#untilClock;
    this.#untilClock = checks;
    this.#checksAtClock = checks;
    this.#forgetOperation();
  }

  /** The next check looks for its cost, and for where it is counted. */
  #forgetOperation(): void {
    this.#operation = undefined;
    this.#cost = OperationCost.unknown;
    this.#cellSize = Number.NaN;
  }

  #findCell(size: number): void {
    this.#cell = cellOf(this.#cells, size);
    this.#cellSize = size;
  }

  #costOf(operation: string): OperationCost {
    this.#operation = operation;
    this.#cellSize = Number.NaN;
    const cost = this.#costs.get(operation);
    this.#cost = cost ?? OperationCost.unknown;
    if (cost !== undefined) this.#cells = this.#demand.cellsOf(operation);
    return this.#cost;
  }
}
