import type { CostRuleInForce } from "../costs/cost-schedule.ts";
import type { Sql } from "./sql.ts";

/** What operations cost where an application has no cost rule of its own. */
export async function operationCosts(sql: Sql): Promise<CostRuleInForce[]> {
  const rows = await sql<Omit<CostRuleInForce, "from_us" | "to_us">[]>`
    select
      o.operation,
      o.c_base::text,
      o.c_bw::text,
      o.unit_quantum::text,
      o.is_active
    from rate_limiter.operation_costs() as o
  `;
  return rows.map((row) => ({ ...row, from_us: null, to_us: null }));
}
