import type { TransactionSql } from "../postgres/connect.ts";

/** What each bucket says to an operation of an application now, by the names of both. */
export function whyThrottled(
  sql: TransactionSql,
  path: readonly string[],
  operation: string,
  sizeBytes: string,
): Promise<readonly object[]> {
  return sql`
    select
      w.layer, w.bucket_type as bucket, w.mode, w.verdict, trim_scale(w.charge)::text as charge,
      trim_scale(w.tokens)::text as tokens, trim_scale(w.capacity)::text as capacity,
      w.refill_rate as refill_per_second, trim_scale(w.debt)::text as debt, w.passes_at
    from rate_limiter_admin.why_throttled(
      rate_limiter_internal.configured_application(${[...path]}::text[]), ${operation}, ${sizeBytes}
    ) as w
  `;
}
