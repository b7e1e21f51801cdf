import type { ConfigCache } from "../config/config-cache.ts";
import type { Needs } from "../costs/needs.ts";
import type { Layer3 } from "./layer3.ts";
import type { Spending } from "./spending.ts";

/** Reading the clock costs more than the rest of a check, so it is read once per this many. */
const checksPerClock = 64;
/** Closer to its end a lease is spent with a look at the clock each time. */
const clockMarginMs = 100;

export interface LeaseClockOptions {
  readonly layer3: Layer3;
  readonly cache: ConfigCache;
  readonly spending: Spending;
  readonly needs: Needs;
  /** Other limits are in force from now on. */
  readonly onLimitsEnd: () => void;
}

/** What ends by the clock: leases, the key, costs and limits of one application. */
export class LeaseClock {
  readonly #options: LeaseClockOptions;
  #isDue = false;
  readonly #readAgain = () => {
    this.#isDue = false;
    this.#options.spending.readClockAfter(0);
  };

  constructor(options: LeaseClockOptions) {
    this.#options = options;
  }

  look(now: number): void {
    const { layer3, cache, spending, needs, onLimitsEnd } = this.#options;
    layer3.end(now);
    const { current } = layer3.leases;
    spending.use(current.balance);
    cache.checkKey(now);
    const { config, error } = cache;
    const endsAt = Math.min(current.expiresAt, config?.keyValidUntil ?? now);
    const hasTime = endsAt - now > clockMarginMs;
    spending.readClockAfter(hasTime ? checksPerClock : 0);
    if (hasTime) this.#lookInNextTurn();
    if (config === undefined || error !== undefined) return;
    needs.costsAt(now);
    if (now >= config.limits.until) onLimitsEnd();
  }

  /** Another lease is the current one: the next check reads the clock. */
  noteLease(): void {
    const { layer3, spending } = this.#options;
    spending.use(layer3.leases.current.balance);
    spending.readClockAfter(0);
  }

  /** The process may be idle for long after this turn of the event loop. */
  #lookInNextTurn(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(this.#readAgain).unref();
  }
}
