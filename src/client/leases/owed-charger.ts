import { UnavailableError } from "../errors.ts";
import type { Store } from "../store/store.ts";
import type { LeaseExchange } from "./lease-exchange.ts";
import { Owed } from "./owed.ts";

/** Charges what one application owes. */
export class OwedCharger extends Owed {
  readonly #store: Store;
  readonly #exchange: LeaseExchange;
  readonly #application: () => string | undefined;
  #charging: Promise<void> | undefined;

  constructor(store: Store, exchange: LeaseExchange, application: () => string | undefined) {
    super();
    this.#store = store;
    this.#exchange = exchange;
    this.#application = application;
  }

  /** At most one charge runs at a time. Never rejects: an unanswered charge is repeated. */
  chargeAll(): Promise<void> {
    if (this.isEmpty) return this.#charging ?? Promise.resolve();
    this.#charging ??= this.#chargeAll().finally(() => {
      this.#charging = undefined;
    });
    return this.#charging;
  }

  async #chargeAll(): Promise<void> {
    const application = this.#application();
    if (application === undefined) return;
    for (let charge = this.charge; charge !== undefined; charge = this.charge) {
      if (this.#store.isPaused(performance.now())) return;
      try {
        await this.#exchange.charge(application, charge);
      } catch (error) {
        if (!isFinal(error)) return;
      }
      this.charged();
    }
  }
}

/** A deleted application owes nothing, and an invalid charge stays invalid. */
function isFinal(error: unknown): boolean {
  const { code } = error as { code: string };
  return !(error instanceof UnavailableError) && /^QS4/.test(code);
}
