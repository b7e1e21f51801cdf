import { type DenialCount, DenialCounts, denialRows } from "../denials/denials.ts";
import { InvalidRequestError } from "../errors.ts";
import type { LeaseExchange } from "../leases/lease-exchange.ts";
import type { Counts } from "../store/exchange-leases.ts";
import type { Store } from "../store/store.ts";
import { Demand } from "./demand.ts";

/** How long denial counts wait for a call about leases that takes them along. */
const reportAfterMs = 1_000;

/** Counts what this process decides by itself for one application, and reports it. */
export class CountReporter {
  readonly demand = new Demand();
  readonly #store: Store;
  readonly #exchange: LeaseExchange;
  readonly #application: () => string | undefined;
  readonly #denials = new DenialCounts();
  #reportedAt = Number.NEGATIVE_INFINITY;

  constructor(store: Store, exchange: LeaseExchange, application: () => string | undefined) {
    this.#store = store;
    this.#exchange = exchange;
    this.#application = application;
  }

  get isEmpty(): boolean {
    return this.#denials.isEmpty && this.demand.isEmpty;
  }

  addDenial(reason: string, operation: string, tokens: number, bytes: number): void {
    this.#denials.add(reason, tokens, bytes, Date.now());
    this.demand.count(operation, bytes, tokens, true);
  }

  /** Makes a call that carries the counts; they are kept where it fails. `isAll`: this minute's too. */
  async carriedBy<T>(call: (counts: Counts) => Promise<T>, isAll = false): Promise<T> {
    const epochMs = Date.now();
    this.demand.addUp(performance.now(), epochMs);
    const denials = this.#denials.take();
    const demand = this.demand.take(epochMs, isAll);
    try {
      return await call({ denials: denialRows(denials), demand });
    } catch (error) {
      this.#keep({ denials, demand }, error);
      throw error;
    }
  }

  tick(now: number): void {
    const epochMs = Date.now();
    this.demand.addUp(now, epochMs);
    const isDue = !this.#denials.isEmpty || this.demand.isDue(epochMs);
    if (isDue && now - this.#reportedAt >= reportAfterMs) void this.report();
  }

  /** Never rejects: a failed report is sent again. */
  async report(isAll = false): Promise<void> {
    const now = performance.now();
    const application = this.#application();
    if (application === undefined || this.isEmpty || this.#store.isPaused(now)) return;
    this.#reportedAt = now;
    await this.carriedBy((counts) => this.#exchange.reportCounts(application, counts), isAll).catch(
      () => {},
    );
  }

  /** Drops counts that may be the invalid part: they would fail every call that carries them. */
  #keep(
    counts: { readonly denials: readonly DenialCount[] | null } & Pick<Counts, "demand">,
    error: unknown,
  ): void {
    if (error instanceof InvalidRequestError) return;
    this.#denials.putBack(counts.denials);
    this.demand.putBack(counts.demand);
  }
}
