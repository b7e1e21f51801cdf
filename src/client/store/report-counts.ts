import { type Counts, textOf } from "./exchange-leases.ts";
import type { Sql } from "./sql.ts";

/** Reports what was counted where no lease call carries it. */
export async function reportCounts(
  sql: Sql,
  application: string,
  { denials, demand }: Counts,
): Promise<void> {
  await sql`
    select rate_limiter.report_counts(
      ${application}, ${textOf(denials)}::text::jsonb, ${textOf(demand)}::text::jsonb
    )
  `;
}
