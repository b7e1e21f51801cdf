import type { Limits } from "../config/limits.ts";
import { type Need, noNeed } from "../decisions/need.ts";
import type { Amounts } from "./amounts.ts";
import { HolderCount } from "./holder-count.ts";
import type { LeaseGrant } from "./lease.ts";
import { LeaseSize } from "./lease-size.ts";

/** How much of each resource one application leases next. */
export class LeaseDemand {
  /** The operation that is typical for the size of the next lease. */
  usual = noNeed;
  readonly #holders = new HolderCount();
  readonly #tokenSize: LeaseSize;
  readonly #byteSize: LeaseSize;
  #isLimited = { tokens: true, bytes: true };
  #waiting = { requests: 0, tokens: 0, bytes: 0 };
  #measured: Amounts = { tokens: 0, bytes: 0 };

  constructor(now: number) {
    this.#tokenSize = new LeaseSize(now);
    this.#byteSize = new LeaseSize(now);
  }

  /** Clients that held leases of late, this one included. */
  holders(now: number): number {
    return this.#holders.at(now);
  }

  get isWaitedFor(): boolean {
    return this.#waiting.requests > 0;
  }

  /** A request waits for the lease until the work is done. */
  async waitFor(need: Need | undefined, work: () => Promise<void>): Promise<void> {
    const tokens = Number.isFinite(need?.tokens) ? (need?.tokens ?? 0) : 0;
    const bytes = need?.bytes ?? 0;
    this.#wait(1, tokens, bytes);
    await work();
    this.#wait(-1, -tokens, -bytes);
  }

  /** `spent`: the running total. */
  next(spent: Amounts, limits: Limits | undefined, now: number): Amounts {
    this.#tokenSize.measure(Math.max(spent.tokens - this.#measured.tokens, 0), now);
    this.#byteSize.measure(Math.max(spent.bytes - this.#measured.bytes, 0), now);
    this.#measured = spent;
    const { tokens, bytes } = this.usual;
    const { leasableTokens = 0, leasableBytes = 0 } = limits ?? {};
    // At most three leases are open: a finished one, the current one and the next one.
    const share = 1 / (2.5 * Math.max(this.#holders.now, 2));
    const mostTokens = leasableTokens * 1_000_000 * share;
    const mostBytes = leasableBytes * share;
    return {
      tokens: this.#isLimited.tokens
        ? this.#tokenSize.next(tokens, this.#waiting.tokens, mostTokens)
        : 0,
      bytes: this.#isLimited.bytes ? this.#byteSize.next(bytes, this.#waiting.bytes, mostBytes) : 0,
    };
  }

  see(grant: LeaseGrant, now: number): void {
    this.#isLimited = { tokens: grant.is_limited_tokens, bytes: grant.is_limited_bytes };
    this.#holders.see(grant.holders, now);
  }

  /** The leases went back: the rate so far does not predict the next one. */
  forget(spent: Amounts, now: number): void {
    this.#measured = spent;
    this.#tokenSize.forget(now);
    this.#byteSize.forget(now);
  }

  #wait(requests: number, tokens: number, bytes: number): void {
    this.#waiting.requests += requests;
    this.#waiting.tokens += tokens;
    this.#waiting.bytes += bytes;
  }
}
