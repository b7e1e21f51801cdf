import type { Sql } from "../postgres/connect.ts";

/** Marks the hours of a span for aggregation; answers how many. */
export async function markForAggregation(sql: Sql, from: string, to: string): Promise<number> {
  const [answer] = await sql<{ hours: string }[]>`
    select rate_limiter_private.mark_for_aggregation(${from}, ${to}) as hours
  `;
  return Number(answer?.hours ?? 0);
}
