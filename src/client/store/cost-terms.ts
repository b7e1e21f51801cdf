import type { CostTerms } from "../price-list.ts";
import type { Sql } from "./sql.ts";

/** With each row the database's own clock: rules begin and end by that one. */
export function costTerms(
  sql: Sql,
  application: string,
): Promise<(CostTerms & { readonly now_us: string })[]> {
  return sql<(CostTerms & { readonly now_us: string })[]>`
    select
      t.operation,
      t.c_base::text,
      t.c_bw::text,
      t.unit_quantum::text,
      t.is_active,
      trunc(extract(epoch from t.valid_from) * 1000000)::bigint::text as from_us,
      trunc(extract(epoch from t.valid_to) * 1000000)::bigint::text as to_us,
      trunc(extract(epoch from clock_timestamp()) * 1000000)::bigint::text as now_us
    from rate_limiter.cost_terms(${application}) as t
  `;
}
