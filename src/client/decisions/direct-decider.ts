import type { ConfigCache } from "../config/config-cache.ts";
import type { Needs } from "../costs/needs.ts";
import type { RecentDenials } from "../denials/denials.ts";
import { BusyError, ClosedError, UnavailableError, unavailable } from "../errors.ts";
import type { Layer3 } from "../leases/layer3.ts";
import type { LeaseKeeper } from "../leases/lease-keeper.ts";
import type { OwedCharger } from "../leases/owed-charger.ts";
import type { Spending } from "../leases/spending.ts";
import type { Store } from "../store/store.ts";
import { type Decision, denial } from "./decision.ts";
import { type Need, noNeed } from "./need.ts";
import type { OutageDecider } from "./outage-decider.ts";
import { RequestCoalescer } from "./request-coalescer.ts";
import { standingOf } from "./standing.ts";
import type { Tally } from "./tally.ts";

const busyPauseMs = 100;

export interface DirectDeciderOptions {
  readonly store: Store;
  readonly cache: ConfigCache;
  readonly layer3: Layer3;
  readonly keeper: LeaseKeeper;
  readonly spending: Spending;
  readonly needs: Needs;
  readonly owed: OwedCharger;
  readonly recent: RecentDenials;
  readonly outage: OutageDecider;
  readonly tally: Tally;
  readonly onUse: () => void;
}

/** Has the database decide. */
export class DirectDecider {
  readonly #options: DirectDeciderOptions;
  readonly #coalescer: RequestCoalescer;

  constructor(options: DirectDeciderOptions) {
    this.#options = options;
    this.#coalescer = new RequestCoalescer(options.store);
  }

  async decide(
    operation: string,
    size: number | null,
    reference: string | null,
  ): Promise<Decision> {
    const { cache, keeper, layer3, needs, owed, store } = this.#options;
    try {
      const { application } = await cache.known();
      const need = needs.of(operation, size);
      if (need === undefined || store.isPaused(performance.now())) throw unavailable();
      // The database must see what is owed, and have back what this process still holds.
      await owed.chargeAll();
      const { leases } = layer3;
      if (!leases.isEmpty && !leases.current.holds(need.tokens, need.bytes)) {
        await keeper.handBack();
      }
      const asked = { name: operation, size, reference };
      const decision = await this.#coalescer.decide(application, asked);
      this.#note(decision, need, reference);
      return { ...decision, ...standingOf(cache.config?.limits) };
    } catch (error) {
      return this.#decideAfter(error, needs.of(operation, size) ?? noNeed);
    }
  }

  #decideAfter(error: unknown, need: Need): Decision {
    const { layer3, outage, tally } = this.#options;
    const { state } = layer3;
    if (state === "closed") throw new ClosedError();
    if (error instanceof UnavailableError && state === "outage") {
      return outage.decide(need, performance.now());
    }
    // The database is healthy, so nothing is admitted uncharged.
    const isBusy = error instanceof BusyError || error instanceof UnavailableError;
    if (!isBusy) throw error;
    tally.denied += 1;
    return denial("store_unavailable", busyPauseMs);
  }

  /** The database counted the denial itself, so it is left out of the denial report. */
  #note(decision: Decision, need: Need, reference: string | null): void {
    const { onUse, recent, spending, tally } = this.#options;
    onUse();
    if (decision.allowed) {
      spending.countAdmission();
      return;
    }
    tally.denied += 1;
    if (reference === null && decision.reason !== null) {
      recent.remember(decision.reason, decision.retryAfterMs, need, performance.now());
    }
  }
}
