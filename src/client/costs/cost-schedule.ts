import { OperationCost } from "./operation-cost.ts";

/** A row of cost_rules_in_force(); times in microseconds since the Unix epoch, null where unbounded. */
export interface CostRuleInForce {
  readonly operation: string;
  readonly c_base: string;
  readonly c_bw: string;
  readonly unit_quantum: string;
  readonly is_active: boolean;
  readonly from_us: string | null;
  readonly to_us: string | null;
}

interface Period {
  readonly from: number;
  readonly to: number;
  readonly cost: OperationCost;
}

export interface CostsInForce {
  /** What each operation costs. */
  readonly costs: ReadonlyMap<string, OperationCost>;
  /** Valid until, in microseconds since the Unix epoch. */
  readonly until: number;
}

/** What each operation costs one application, now and in the future. */
export class CostSchedule {
  readonly #periods = new Map<string, Period[]>();

  constructor(rows: readonly CostRuleInForce[]) {
    for (const row of rows) {
      const periods = this.#periods.get(row.operation) ?? [];
      periods.push(periodOf(row));
      this.#periods.set(row.operation, periods);
    }
    // The default, a row without times, comes last.
    for (const periods of this.#periods.values()) periods.sort((a, b) => b.from - a.from);
  }

  at(us: number): CostsInForce {
    const costs = new Map<string, OperationCost>();
    for (const [operation, periods] of this.#periods) {
      const inForce = periods.find(({ from, to }) => from <= us && us < to);
      if (inForce !== undefined) costs.set(operation, inForce.cost);
    }
    const changes = [...this.#periods.values()].flat().flatMap(({ from, to }) => [from, to]);
    const until = changes
      .filter((change) => change > us)
      .reduce((first, change) => Math.min(first, change), Number.POSITIVE_INFINITY);
    return { costs, until };
  }
}

function periodOf(row: CostRuleInForce): Period {
  return {
    from: row.from_us === null ? Number.NEGATIVE_INFINITY : Number(row.from_us),
    to: row.to_us === null ? Number.POSITIVE_INFINITY : Number(row.to_us),
    cost: new OperationCost(row.c_base, row.c_bw, row.unit_quantum, row.is_active),
  };
}
