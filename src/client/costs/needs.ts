import type { ConfigCache } from "../config/config-cache.ts";
import type { Need } from "../decisions/need.ts";
import { requireSize } from "../decisions/require-size.ts";
import { type Costs, noCosts, type Spending } from "../leases/spending.ts";
import { inactiveOperation, unknownOperation } from "./operation-errors.ts";

/** What operations of one application need, by the costs in force. */
export class Needs {
  readonly #cache: ConfigCache;
  readonly #spending: Spending;
  /** Whether leases may be spent without a report of each decision. */
  readonly #isFast: boolean;

  constructor(cache: ConfigCache, spending: Spending, isFast: boolean) {
    this.#cache = cache;
    this.#spending = spending;
    this.#isFast = isFast;
  }

  /** Undefined while the costs are unknown. Throws what SQL would raise. */
  of(operation: string, size: number | null, now = performance.now()): Need | undefined {
    requireSize(size);
    if (this.#cache.config === undefined) return undefined;
    const cost = this.costsAt(now).get(operation);
    if (cost === undefined) {
      this.#cache.refreshAtMostOnceASecond();
      throw unknownOperation(operation);
    }
    if (!cost.isActive) throw inactiveOperation(operation);
    return {
      operation,
      tokens: cost.of(size ?? 0),
      bytes: size ?? 1,
      bytesCharged: size ?? 0,
    };
  }

  /** Those in force, by which leases are spent from now on. */
  costsAt(now: number): Costs {
    const { config, isUsable } = this.#cache;
    const costs = config?.costs.at(now) ?? noCosts;
    const isSpent = this.#isFast && isUsable && !config?.limits.isDirect;
    this.#spending.useCosts(isSpent ? costs : noCosts);
    return costs;
  }
}
