import type { CountReporter } from "../demand/count-reporter.ts";
import {
  ClosedError,
  deniesApplication,
  InvalidRequestError,
  type LimiterError,
} from "../errors.ts";
import type { Store } from "../store/store.ts";
import type { Layer3 } from "./layer3.ts";
import type { Lease } from "./lease.ts";
import type { LeaseExchange } from "./lease-exchange.ts";

const staleAfterMs = 500;

export interface SettlerOptions {
  readonly store: Store;
  readonly exchange: LeaseExchange;
  readonly counts: CountReporter;
  readonly layer3: Layer3;
  readonly application: () => string | undefined;
  /** A lease has to be settled again. */
  readonly onUnsettled: () => void;
}

/** Settles leases of one application: what was not spent of them goes back. */
export class Settler {
  readonly #options: SettlerOptions;
  readonly #settling = new Set<Promise<void>>();

  constructor(options: SettlerOptions) {
    this.#options = options;
  }

  /** Never rejects: an unsettled lease is settled again until it expires, and then counts as spent. */
  settle(lease: Lease): Promise<void> {
    const { layer3 } = this.#options;
    layer3.settle();
    const settling = this.#settleOnce(lease).finally(() => {
      layer3.settled();
      this.#settling.delete(settling);
    });
    this.#settling.add(settling);
    return settling;
  }

  /** Resolves when each call for these leases, and each one under way, has been answered. */
  async settleAll(leases: readonly Lease[]): Promise<void> {
    for (const lease of leases) void this.settle(lease);
    await Promise.all(this.#settling);
  }

  settleStale(now: number): void {
    const { store, layer3 } = this.#options;
    if (store.isPaused(now)) return;
    for (const lease of layer3.leases.takeStale(now, staleAfterMs)) void this.settle(lease);
  }

  /** To settle a lease again is safe: once it is settled, nothing changes. */
  keepUnsettled(lease: Lease, error: unknown): void {
    if (error instanceof InvalidRequestError || error instanceof ClosedError) return;
    if (deniesApplication(error as LimiterError)) return;
    this.#options.layer3.leases.keepFinished(lease, performance.now());
    this.#options.onUnsettled();
  }

  async #settleOnce(lease: Lease): Promise<void> {
    const { exchange, counts } = this.#options;
    const application = this.#options.application();
    const { id, spent } = lease;
    if (application === undefined || id === null) return;
    // The application may be idle for long after this.
    await counts
      .carriedBy((rows) => exchange.settle(application, { ...spent, id }, rows), true)
      .catch((error) => this.keepUnsettled(lease, error));
  }
}
