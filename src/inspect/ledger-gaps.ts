import type { Sql } from "../postgres/connect.ts";

/** Where the ledger of the last seconds does not explain a token; all of it without a number. */
export function ledgerGaps(sql: Sql, seconds: string | undefined): Promise<readonly object[]> {
  return sql`
    select
      g.owner_id, g.bucket_type, g.mode, g.seq, g.created_at,
      g.expected_balance, g.balance_after, g.problem
    from rate_limiter.verify_ledger(
      coalesce(
        clock_timestamp() - ${seconds ?? null}::integer * interval '1 second', '-infinity'
      )
    ) as g
    limit 1000
  `;
}
