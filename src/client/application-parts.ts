import type { ApplicationName } from "./config/application-config.ts";
import { ConfigCache } from "./config/config-cache.ts";
import type { ConfigLoader } from "./config/config-loader.ts";
import type { Limits } from "./config/limits.ts";
import { Needs } from "./costs/needs.ts";
import { Admission } from "./decisions/admission.ts";
import { Decider } from "./decisions/decider.ts";
import { DirectDecider } from "./decisions/direct-decider.ts";
import { LocalDecider } from "./decisions/local-decider.ts";
import type { OutagePolicy } from "./decisions/outage.ts";
import { OutageDecider } from "./decisions/outage-decider.ts";
import { standingOf } from "./decisions/standing.ts";
import { Tally } from "./decisions/tally.ts";
import { CountReporter } from "./demand/count-reporter.ts";
import { RecentDenials } from "./denials/denials.ts";
import { Layer3 } from "./leases/layer3.ts";
import { LeaseClock } from "./leases/lease-clock.ts";
import type { LeaseExchange } from "./leases/lease-exchange.ts";
import { LeaseKeeper } from "./leases/lease-keeper.ts";
import { LeasedOperations } from "./leases/leased-operations.ts";
import { OwedCharger } from "./leases/owed-charger.ts";
import { RareUse } from "./leases/rare-use.ts";
import { Settler } from "./leases/settler.ts";
import { Spending } from "./leases/spending.ts";
import type { Store } from "./store/store.ts";

/** What all applications of a process share. */
export interface SharedParts {
  readonly store: Store;
  readonly loader: ConfigLoader;
  readonly exchange: LeaseExchange;
}

export interface PartsOptions {
  readonly name: ApplicationName;
  readonly idleMs: number;
  readonly outage: OutagePolicy;
  readonly pollMs: () => number;
  /** Whether each decision is reported. */
  readonly isReported: boolean;
  /** It holds something that needs tick() and change notifications. */
  readonly onUse: () => void;
  readonly onUncharged: () => void;
  /** The config was read. */
  readonly onConfig: (before: Limits | undefined) => void;
  /** Other limits are in force by the clock. */
  readonly onLimitsEnd: () => void;
  /** The key or the application is not valid. */
  readonly onRejected: () => Promise<void>;
}

export type ApplicationParts = ReturnType<typeof partsOf>;

/** The parts of one application's limiter, each of one job, and how they tell each other. */
export function partsOf({ store, loader, exchange }: SharedParts, options: PartsOptions) {
  const { name, onUse, pollMs } = options;
  const tally = new Tally();
  const recent = new RecentDenials();
  const rare = new RareUse();
  const layer3 = new Layer3(() => store.isDown);
  const { leases } = layer3;
  const cache = new ConfigCache(store, loader, name, {
    read: (before) => options.onConfig(before?.limits),
    rejected: options.onRejected,
  });
  const application = () => cache.application;
  const counts = new CountReporter(store, exchange, application);
  const owed = new OwedCharger(store, exchange, application);
  const spending = new Spending(leases.current.balance, counts.demand);
  const needs = new Needs(cache, spending, !options.isReported);
  const clock = new LeaseClock({
    ...{ layer3, cache, spending, needs },
    onLimitsEnd: options.onLimitsEnd,
  });
  const outage = new OutageDecider({
    ...{ store, tally, demand: counts.demand },
    policy: options.outage,
    limits: (now) => cache.config && { ...cache.config.limits, holders: keeper.holders(now) },
    onUncharged: options.onUncharged,
  });
  const settling = { store, exchange, counts, layer3, onUnsettled: onUse };
  const settler = new Settler({ ...settling, application });
  const keeper: LeaseKeeper = new LeaseKeeper({
    ...{ ...settling, settler, cache, owed, pollMs },
    onLease: () => clock.noteLease(),
    onGrant: () => {
      outage.reset();
      onUse();
    },
  });
  const admission = new Admission(() => ({
    ...spending.left,
    ...standingOf(cache.config?.limits),
  }));
  const deciding = { cache, layer3, keeper, spending, needs, recent, outage, tally };
  const local = new LocalDecider({ ...deciding, clock, counts, admission });
  const direct = new DirectDecider({ ...deciding, store, owed, onUse });
  const { idleMs } = options;
  const decider = new Decider({ cache, keeper, needs, rare, local, direct, idleMs });
  const leased = new LeasedOperations({
    ...{ leases, owed, onOwed: onUse },
    needOf: (operation, size) => needs.of(operation, size),
    whenKnown: (work) => void cache.whenKnown(work),
  });
  return {
    ...{ store, cache, layer3, keeper, spending, needs, clock, owed, counts, recent },
    ...{ rare, tally, admission, decider, leased },
  };
}
