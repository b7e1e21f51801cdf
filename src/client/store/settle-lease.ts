import { type Counts, textOf } from "./exchange-leases.ts";
import type { SpentLease } from "./renew-lease.ts";
import type { Sql } from "./sql.ts";

/** Ends a lease; what was not spent of it goes back. */
export async function settleLease(
  sql: Sql,
  application: string,
  spent: SpentLease,
  { denials, demand }: Counts,
): Promise<void> {
  await sql`
    select from rate_limiter.settle_lease(
      ${application},
      ${spent.id},
      ${spent.tokens}::text::numeric,
      ${spent.bytes}::text::numeric,
      ${textOf(denials)}::text::jsonb,
      demand => ${textOf(demand)}::text::jsonb
    )
  `;
}
