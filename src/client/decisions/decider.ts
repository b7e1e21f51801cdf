import type { ConfigCache } from "../config/config-cache.ts";
import type { Needs } from "../costs/needs.ts";
import type { LeaseKeeper } from "../leases/lease-keeper.ts";
import type { RareUse } from "../leases/rare-use.ts";
import type { Decision } from "./decision.ts";
import type { DirectDecider } from "./direct-decider.ts";
import type { LocalDecider } from "./local-decider.ts";

const mostTries = 3;

export interface DeciderOptions {
  readonly cache: ConfigCache;
  readonly keeper: LeaseKeeper;
  readonly needs: Needs;
  readonly rare: RareUse;
  readonly local: LocalDecider;
  readonly direct: DirectDecider;
  readonly idleMs: number;
}

/** Decides from a lease, which it waits for where one can be had, and else in the database. */
export class Decider {
  readonly #options: DeciderOptions;

  constructor(options: DeciderOptions) {
    this.#options = options;
  }

  /** With what this process knows; it asks for a lease where none can pay. */
  decideNow(operation: string, sizeBytes: number | null): Decision {
    return this.#options.local.decide(operation, sizeBytes, true);
  }

  /** With a reference, always in the database. */
  async decide(
    operation: string,
    sizeBytes: number | null,
    reference: string | null,
  ): Promise<Decision> {
    const { cache, direct, idleMs, keeper, local, needs, rare } = this.#options;
    const isRare = rare.asks(performance.now(), idleMs);
    for (let tries = 0; reference === null && tries < mostTries; tries += 1) {
      const decision = local.decide(operation, sizeBytes, false);
      if (decision.reason !== "no_lease") return decision;
      const isShort = keeper.isShort(performance.now());
      if (cache.config?.limits.isDirect || isShort || isRare) break;
      await keeper.renewFor(needs.of(operation, sizeBytes));
    }
    return direct.decide(operation, sizeBytes, reference);
  }
}
