import type { Demand } from "../demand/demand.ts";
import type { Store } from "../store/store.ts";
import type { Decision } from "./decision.ts";
import { type Need, noNeed } from "./need.ts";
import { type OutagePolicy, OutageRules, type SharedLimits } from "./outage.ts";
import type { Tally } from "./tally.ts";

export interface OutageDeciderOptions {
  readonly store: Store;
  readonly policy: OutagePolicy;
  readonly tally: Tally;
  readonly demand: Demand;
  /** As they were when the database was last seen. */
  readonly limits: (now: number) => SharedLimits | undefined;
  readonly onUncharged: () => void;
}

/** Decides for one application while the database cannot be charged. */
export class OutageDecider {
  readonly #options: OutageDeciderOptions;
  readonly #rules: OutageRules;

  constructor(options: OutageDeciderOptions) {
    this.#options = options;
    this.#rules = new OutageRules(options.policy);
  }

  /** Its denials are left out of the denial report, which is about buckets. */
  decide(need: Need, now: number): Decision {
    const { store, tally, demand, limits, onUncharged } = this.#options;
    const { downSince = now, nextTryAt } = store.status;
    const outage = { since: downSince, retryAfterMs: Math.max(Math.ceil(nextTryAt - now), 1) };
    const decision = this.#rules.decide(need, limits(now), outage, now);
    if (decision.allowed) {
      tally.uncharged += 1;
      if (need !== noNeed) {
        const tokens = Math.min(need.tokens, Number.MAX_SAFE_INTEGER);
        demand.count(need.operation, need.bytesCharged, tokens);
      }
      onUncharged();
    } else {
      tally.denied += 1;
    }
    return decision;
  }

  /** The database is back. */
  reset(): void {
    this.#rules.reset();
  }
}
