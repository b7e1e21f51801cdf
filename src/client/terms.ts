import { type Limits, limitsOf } from "./limits.ts";
import type { OperationCost } from "./operation-cost.ts";
import { PriceList, type Prices } from "./price-list.ts";
import { applicationOfKey } from "./store/application-of-key.ts";
import { costTerms } from "./store/cost-terms.ts";
import { limitsInForce } from "./store/limits-in-force.ts";
import type { Store } from "./store/store.ts";

/** Whose requests are decided on: by its key, or by its id where the caller has checked a key. */
export type ApplicationName = { readonly apiKey: string } | { readonly application: string };

export interface Terms {
  readonly application: string;
  readonly limits: Limits;
  readonly prices: PricesOverTime;
}

/** Reads everything that this process keeps a copy of. */
export async function readTerms(
  store: Store,
  name: ApplicationName,
  holders: number,
): Promise<Terms> {
  const application =
    "apiKey" in name
      ? await store.callInTurn((sql) => applicationOfKey(sql, name.apiKey))
      : name.application;
  const now = performance.now();
  const [costs, limits] = await Promise.all([
    store.call((sql) => costTerms(sql, application)),
    store.call((sql) => limitsInForce(sql, application)),
  ]);
  const databaseUs = Number(costs[0]?.now_us ?? 0);
  return {
    application,
    limits: limitsOf(limits, now, holders),
    prices: new PricesOverTime(new PriceList(costs), databaseUs, performance.now()),
  };
}

/** Prices by the database's clock, kept going by this process's monotonic one. */
export class PricesOverTime {
  readonly #list: PriceList;
  readonly #databaseUs: number;
  readonly #at: number;
  #now: Prices;

  constructor(list: PriceList, databaseUs: number, at: number) {
    this.#list = list;
    this.#databaseUs = databaseUs;
    this.#at = at;
    this.#now = list.at(databaseUs);
  }

  at(now: number): ReadonlyMap<string, OperationCost> {
    const us = this.#databaseUs + Math.floor((now - this.#at) * 1_000);
    if (us >= this.#now.until) this.#now = this.#list.at(us);
    return this.#now.costs;
  }
}
