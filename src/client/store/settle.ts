import type { Sql } from "./sql.ts";

export interface Settlement {
  /** Whether this call settled it; later ones change nothing. */
  readonly settled: boolean;
  /** Tokens that the operation is charged now; null where this call did not settle it. */
  readonly cost: string | null;
}

export async function settle(
  sql: Sql,
  application: string,
  reference: string,
  actualSize: number,
): Promise<Settlement> {
  const [row] = await sql<[Settlement]>`
    select s.settled, s.cost::text
    from rate_limiter.settle(${application}, ${reference}, ${actualSize}::text::bigint) as s
  `;
  return row;
}
