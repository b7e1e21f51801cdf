import { InvalidRequestError } from "../errors.ts";
import type { LeaseExchange } from "../leases/lease-exchange.ts";
import type { DenialRow } from "../store/exchange-leases.ts";
import type { Store } from "../store/store.ts";
import { type DenialCount, DenialCounts, denialRows } from "./denials.ts";

/** How long denial counts wait for a lease call to piggyback on. */
const reportAfterMs = 1_000;

/** Counts local denials of one application and reports them. */
export class DenialReporter {
  readonly #store: Store;
  readonly #exchange: LeaseExchange;
  readonly #application: () => string | undefined;
  readonly #counts = new DenialCounts();
  #reportedAt = Number.NEGATIVE_INFINITY;

  constructor(store: Store, exchange: LeaseExchange, application: () => string | undefined) {
    this.#store = store;
    this.#exchange = exchange;
    this.#application = application;
  }

  get isEmpty(): boolean {
    return this.#counts.isEmpty;
  }

  add(reason: string, tokens: number, bytes: number): void {
    this.#counts.add(reason, tokens, bytes, Date.now());
  }

  /** Makes a call that carries the counts; they are kept where it fails. */
  async carriedBy<T>(call: (denials: DenialRow[] | null) => Promise<T>): Promise<T> {
    const denials = this.#counts.take();
    try {
      return await call(denialRows(denials));
    } catch (error) {
      this.#keep(denials, error);
      throw error;
    }
  }

  isDue(now: number): boolean {
    return now - this.#reportedAt >= reportAfterMs;
  }

  /** Never rejects: a failed report is sent again. */
  async report(): Promise<void> {
    const now = performance.now();
    const application = this.#application();
    if (application === undefined || this.isEmpty || this.#store.isPaused(now)) return;
    this.#reportedAt = now;
    await this.carriedBy((denials) => this.#exchange.reportDenials(application, denials)).catch(
      () => {},
    );
  }

  /** Drops counts that may be the invalid part: they would fail every call that carries them. */
  #keep(denials: readonly DenialCount[] | null, error: unknown): void {
    if (!(error instanceof InvalidRequestError)) this.#counts.putBack(denials);
  }
}
