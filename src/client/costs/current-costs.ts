import { type CostRuleInForce, CostSchedule, type CostsInForce } from "./cost-schedule.ts";
import type { OperationCost } from "./operation-cost.ts";

/** The default costs, which all applications of the process share. */
export class DefaultCosts {
  #rules: readonly CostRuleInForce[] = [];
  #inForce: CostsInForce = new CostSchedule([]).at(0);
  #version = 0;

  get version(): number {
    return this.#version;
  }

  get inForce(): CostsInForce {
    return this.#inForce;
  }

  replace(rules: readonly CostRuleInForce[]): void {
    this.#rules = rules;
    this.#inForce = new CostSchedule(rules).at(0);
    this.#version += 1;
  }

  scheduleWith(own: readonly CostRuleInForce[]): CostSchedule {
    return new CostSchedule([...this.#rules, ...own]);
  }
}

/**
 * The costs in force of one application, by the database's clock, which is extrapolated with the
 * monotonic clock of this process.
 */
export class CurrentCosts {
  readonly #defaults: DefaultCosts;
  readonly #own: readonly CostRuleInForce[];
  readonly #databaseUs: number;
  readonly #at: number;
  #version = -1;
  #schedule: CostSchedule | undefined;
  #now: CostsInForce;

  constructor(
    defaults: DefaultCosts,
    own: readonly CostRuleInForce[],
    databaseUs: number,
    at: number,
  ) {
    this.#defaults = defaults;
    this.#own = own;
    this.#databaseUs = databaseUs;
    this.#at = at;
    this.#now = defaults.inForce;
  }

  /** Own rules contain defaults as they were when the rules were read. */
  get hasOwnRules(): boolean {
    return this.#own.length > 0;
  }

  at(now: number): ReadonlyMap<string, OperationCost> {
    const us = this.#databaseUs + Math.floor((now - this.#at) * 1_000);
    if (this.#version !== this.#defaults.version) this.#rebuild(us);
    else if (us >= this.#now.until && this.#schedule !== undefined) {
      this.#now = this.#schedule.at(us);
    }
    return this.#now.costs;
  }

  #rebuild(us: number): void {
    this.#version = this.#defaults.version;
    this.#schedule = this.hasOwnRules ? this.#defaults.scheduleWith(this.#own) : undefined;
    this.#now = this.#schedule?.at(us) ?? this.#defaults.inForce;
  }
}
