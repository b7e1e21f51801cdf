import { type AcquireOptions, acquire } from "../decisions/acquire.ts";
import { type Decision, decisionFor, denial } from "../decisions/decision.ts";
import { requireSize } from "../decisions/require-size.ts";
import { ClosedError } from "../errors.ts";

export interface DoubleOptions {
  /** Tokens a second; by default there is no limit. */
  readonly limit?: number;
  readonly burst?: number;
  /** Tokens that an operation costs; 1 by default. */
  readonly costs?: Readonly<Record<string, number>>;
}

/**
 * A limiter for tests of its users: one token bucket in memory, and a clock that the test sets. It
 * has the methods of a limiter that decide, and needs no database.
 */
export class LimiterDouble implements AsyncDisposable {
  readonly #limit: number;
  readonly #burst: number;
  readonly #costs: Readonly<Record<string, number>>;
  #nowMs = 0;
  #tokens: number;
  #isDown = false;
  #isClosed = false;

  constructor({ limit = Number.POSITIVE_INFINITY, burst = limit, costs = {} }: DoubleOptions = {}) {
    this.#limit = limit;
    this.#burst = burst;
    this.#costs = costs;
    this.#tokens = burst;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Time passes, and tokens flow in. */
  advance(ms: number): void {
    this.#nowMs += ms;
    this.#tokens = Math.min(this.#burst, this.#tokens + (ms / 1_000) * this.#limit);
  }

  /** From now on decisions are denied as in an outage with the policy `closed`. */
  setDown(isDown: boolean): void {
    this.#isDown = isDown;
  }

  check(operation: string, sizeBytes: number | null = 0): Decision {
    if (this.#isClosed) throw new ClosedError();
    requireSize(sizeBytes);
    if (this.#isDown) return denial("store_unavailable", 1_000);
    const cost = this.#costs[operation] ?? 1;
    if (cost > this.#burst) return denial("exceeds_capacity", null);
    const missing = cost - this.#tokens;
    if (missing > 0) return denial("iops_l2", Math.ceil((missing / this.#limit) * 1_000), 0);
    if (Number.isFinite(this.#limit)) this.#tokens -= cost;
    const limit = Number.isFinite(this.#burst) ? this.#burst : null;
    return decisionFor(true, null, { remaining: this.#tokens, limit });
  }

  async checkAsync(operation: string, sizeBytes: number | null = 0): Promise<Decision> {
    return this.check(operation, sizeBytes);
  }

  /** Waiting moves the clock, so that a test does not wait. */
  acquire(
    operation: string,
    sizeBytes: number | null = 0,
    options: AcquireOptions = {},
  ): Promise<Decision> {
    const sleep = async (ms: number) => this.advance(ms);
    const now = () => this.#nowMs;
    return acquire(() => this.checkAsync(operation, sizeBytes), options, sleep, now);
  }

  async ready(): Promise<void> {}

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
