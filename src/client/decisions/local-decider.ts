import type { ConfigCache } from "../config/config-cache.ts";
import type { Needs } from "../costs/needs.ts";
import type { CountReporter } from "../demand/count-reporter.ts";
import type { RecentDenials } from "../denials/denials.ts";
import type { Layer3 } from "../leases/layer3.ts";
import type { LeaseClock } from "../leases/lease-clock.ts";
import type { LeaseKeeper } from "../leases/lease-keeper.ts";
import type { Spending } from "../leases/spending.ts";
import type { Admission } from "./admission.ts";
import { type Decision, denial } from "./decision.ts";
import { type Need, noNeed } from "./need.ts";
import type { OutageDecider } from "./outage-decider.ts";
import type { Tally } from "./tally.ts";

export interface LocalDeciderOptions {
  readonly cache: ConfigCache;
  readonly layer3: Layer3;
  readonly keeper: LeaseKeeper;
  readonly spending: Spending;
  readonly needs: Needs;
  readonly clock: LeaseClock;
  readonly recent: RecentDenials;
  readonly counts: CountReporter;
  readonly outage: OutageDecider;
  readonly admission: Admission;
  readonly tally: Tally;
}

/** Decides by what this process knows: its leases, recent denials and, in an outage, the policy. */
export class LocalDecider {
  readonly #options: LocalDeciderOptions;

  constructor(options: LocalDeciderOptions) {
    this.#options = options;
  }

  /** `isToRenew`: whether a lease is asked for where none can pay; else the caller does it. */
  decide(operation: string, sizeBytes: number | null, isToRenew: boolean): Decision {
    const { cache, clock, keeper, needs } = this.#options;
    cache.throwIfUnusable();
    const now = performance.now();
    clock.look(now);
    cache.throwIfUnusable();
    const need = needs.of(operation, sizeBytes, now);
    if (need !== undefined) keeper.usual = need;
    return this.#spend(need, now) ?? this.#decideWithoutLease(need ?? noNeed, now, isToRenew);
  }

  #spend(need: Need | undefined, now: number): Decision | undefined {
    const { admission, cache, counts, keeper, layer3, spending } = this.#options;
    if (need === undefined || cache.config?.limits.isDirect) return undefined;
    const lease = layer3.leases.find(need.tokens, need.bytes, now);
    if (lease === undefined) return undefined;
    spending.use(lease.balance);
    lease.take(need.tokens, need.bytesCharged);
    counts.demand.count(need.operation, need.bytesCharged, need.tokens);
    spending.countAdmission();
    if (lease.isToBeRenewed) keeper.renewEarly();
    return admission;
  }

  #decideWithoutLease(need: Need, now: number, isToRenew: boolean): Decision {
    const { keeper, layer3, outage, recent } = this.#options;
    const denied = recent.find(need.tokens, need.bytes, now);
    if (denied !== undefined && need !== noNeed) return this.#countDenial(denied, need);
    const isOutage = layer3.state === "outage";
    if (isToRenew || isOutage) keeper.renewInBackground(now);
    if (isOutage) return outage.decide(need, now);
    return denial("no_lease", keeper.retryAfterMs(now));
  }

  #countDenial(decision: Decision, need: Need): Decision {
    const { counts, tally } = this.#options;
    tally.denied += 1;
    const tokens = Math.min(need.tokens, Number.MAX_SAFE_INTEGER);
    counts.addDenial(decision.reason ?? "", need.operation, tokens, need.bytesCharged);
    return decision;
  }
}
