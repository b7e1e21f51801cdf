import { largestAmount } from "../costs/amount.ts";
import { type Need, noNeed } from "../decisions/need.ts";
import type { Amounts } from "./amounts.ts";
import type { Leases } from "./leases.ts";
import type { OwedCharger } from "./owed-charger.ts";
import { SettledKeys } from "./settled-keys.ts";

/** An operation that was charged to a lease, without a reference. */
export interface LeasedOperation {
  readonly operation: string;
  readonly sizeBytes?: number | null;
  /** It is settled or refunded once under its key, among the last 10,000 keys. */
  readonly key?: string;
}

export interface LeasedOperationsOptions {
  readonly leases: Leases;
  readonly owed: OwedCharger;
  /** Undefined while the costs are unknown. */
  readonly needOf: (operation: string, size: number) => Need | undefined;
  /** Calls back once the costs are known again, if they ever are. */
  readonly whenKnown: (work: () => void) => void;
  /** Something is owed that was not. */
  readonly onOwed: () => void;
}

/** Settles and refunds operations that leases have paid for, in memory and at once. */
export class LeasedOperations {
  readonly #options: LeasedOperationsOptions;
  readonly #settled = new SettledKeys();

  constructor(options: LeasedOperationsOptions) {
    this.#options = options;
  }

  settle(leased: LeasedOperation, actualSize: number): void {
    if (this.#settled.add(leased.key)) this.#settle(leased, actualSize);
  }

  refund(leased: LeasedOperation): void {
    if (this.#settled.add(leased.key)) this.#refund(leased);
  }

  #settle(leased: LeasedOperation, actualSize: number): void {
    const { needOf, whenKnown } = this.#options;
    const announced = needOf(leased.operation, leased.sizeBytes ?? 0);
    const actual = needOf(leased.operation, actualSize);
    if (announced !== undefined && actual !== undefined) this.#move(announced, actual);
    else whenKnown(() => this.#settle(leased, actualSize));
  }

  #refund(leased: LeasedOperation): void {
    const { needOf, whenKnown } = this.#options;
    const charged = needOf(leased.operation, leased.sizeBytes ?? 0);
    if (charged !== undefined) this.#move(charged, noNeed);
    else whenKnown(() => this.#refund(leased));
  }

  #move(from: Need, to: Need): void {
    const tokens = Math.min(to.tokens, largestAmount) - Math.min(from.tokens, largestAmount);
    const bytes = to.bytesCharged - from.bytesCharged;
    const more = { tokens: Math.max(tokens, 0), bytes: Math.max(bytes, 0) };
    const less = { tokens: Math.max(-tokens, 0), bytes: Math.max(-bytes, 0) };
    const { leases, owed } = this.#options;
    this.#owe(leases.charge(more));
    leases.putBack(owed.reduce(less));
  }

  #owe(amounts: Amounts): void {
    if (amounts.tokens === 0 && amounts.bytes === 0) return;
    this.#options.owed.add(amounts);
    this.#options.onOwed();
  }
}
