import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CostRuleInForce, CostSchedule } from "../../src/client/costs/cost-schedule.ts";
import { OperationCost } from "../../src/client/costs/operation-cost.ts";
import { connect } from "../../src/postgres/connect.ts";
import { createDatabase } from "../harness/index.ts";
import { micro } from "../model/amounts.ts";
import { goldenVectors } from "../vectors/golden.ts";

const database = await createDatabase();

const money = fc
  .integer({ min: 0, max: 9_999_999_999 })
  .map((n) => `${Math.floor(n / 10_000)}.${String(n % 10_000).padStart(4, "0")}`);

describe("the cost of an operation", () => {
  test("is the same number in doubles and in BigInt, on both sides of 2^53", () => {
    const quantum = fc.oneof(
      fc.integer({ min: 1, max: 1 << 20 }),
      fc.maxSafeInteger().filter((n) => n > 0),
    );
    const size = fc.oneof(fc.nat(1 << 20), fc.maxSafeInteger().map(Math.abs));
    fc.assert(
      fc.property(money, money, quantum, size, (cBase, cBw, unit, bytes) => {
        const cost = new OperationCost(cBase, cBw, String(unit));
        const exact = cost.exactly(BigInt(bytes));
        const expected =
          exact > BigInt(Number.MAX_SAFE_INTEGER) ? Number.POSITIVE_INFINITY : Number(exact);
        expect(cost.of(bytes)).toBe(expected);
      }),
      { numRuns: 3_000 },
    );
  });

  test("has the digits of SQL", async () => {
    const sizes = [0, 1, 4095, 4096, 4097, 1e9, 2 ** 40 + 1, Number.MAX_SAFE_INTEGER];
    const costs = [
      ["1.0000", "0.0001", "4096"],
      ["0.3333", "1.7000", "3"],
      ["999999.9999", "999999.9999", "1"],
      ["0.0000", "0.0001", "9223372036854775807"],
      ["5.0000", "0.0000", "1"],
    ] as const;
    const sql = connect(database.url);
    for (const [cBase, cBw, quantum] of costs) {
      const cost = new OperationCost(cBase, cBw, quantum);
      for (const size of sizes) {
        const [row] = await sql`
          select (rate_limiter_internal.cost_of(
            ${cBase}::text::numeric, ${cBw}::text::numeric, ${quantum}::text::bigint,
            ${String(size)}::text::bigint
          ) * 1000000)::numeric(60, 0)::text as millionths
        `;
        expect(cost.exactly(BigInt(size)).toString()).toBe(row?.millionths);
      }
    }
    await sql.end();
  });
});

interface Vector {
  readonly cost_rules?: readonly Record<string, string | number | null>[];
  readonly operation_types?: readonly Record<string, string | number>[];
  readonly steps: readonly {
    at_us: number;
    call: string;
    app: string;
    operation: string;
    size?: number;
  }[];
  readonly expect: readonly { cost?: string }[];
}

/** The rows that cost_rules_in_force() would answer for one application of the file. */
function costRulesOf(
  vector: Vector,
  app: string,
  defaults: readonly CostRuleInForce[],
): CostRuleInForce[] {
  const own = (vector.operation_types ?? []).map((type) =>
    defaultRule(
      String(type.name),
      String(type.c_base),
      String(type.c_bw),
      String(type.unit_quantum),
    ),
  );
  const all = [...defaults, ...own];
  const rules = (vector.cost_rules ?? [])
    .filter((rule) => rule.app === app)
    .map((rule) => {
      const base = all.find((row) => row.operation === rule.operation) as CostRuleInForce;
      return {
        ...base,
        c_base: String(rule.c_base_override ?? base.c_base),
        c_bw: String(rule.c_bw_override ?? base.c_bw),
        from_us: String(rule.valid_from_us),
        to_us: rule.valid_to_us == null ? null : String(rule.valid_to_us),
      };
    });
  return [...all, ...rules];
}

function defaultRule(
  operation: string,
  c_base: string,
  c_bw: string,
  unit_quantum: string,
): CostRuleInForce {
  return { operation, c_base, c_bw, unit_quantum, is_active: true, from_us: null, to_us: null };
}

describe("the golden vectors", () => {
  test.each(goldenVectors)("%s: every cost, to the last digit", async (path) => {
    const vector = JSON.parse(readFileSync(path, "utf8")) as Vector;
    const rows = await database.sql<
      { name: string; c_base: string; c_bw: string; unit_quantum: string }[]
    >`select name, c_base::text, c_bw::text, unit_quantum::text from rate_limiter.operation_types`;
    const defaults = rows.map((row) =>
      defaultRule(row.name, row.c_base, row.c_bw, row.unit_quantum),
    );
    const lists = new Map<string, CostSchedule>();
    let compared = 0;
    vector.steps.forEach((step, index) => {
      const cost = vector.expect[index]?.cost;
      if (step.call !== "consume" || cost === undefined) return;
      const list = lists.get(step.app) ?? new CostSchedule(costRulesOf(vector, step.app, defaults));
      lists.set(step.app, list);
      const inForce = list.at(step.at_us).costs.get(step.operation);
      const exact = inForce?.exactly(BigInt(step.size ?? 0));
      expect(exact, `step ${index}`).toBe(micro(cost));
      // Nothing that a double cannot count is ever leased.
      const isCounted = Number.isSafeInteger(Number(exact));
      expect(inForce?.of(step.size ?? 0)).toBe(
        isCounted ? Number(exact) : Number.POSITIVE_INFINITY,
      );
      compared += 1;
    });
    const hasConsume = vector.steps.some((step) => step.call === "consume");
    expect(compared > 0).toBe(hasConsume);
  });
});
