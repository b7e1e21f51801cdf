import type { TransactionSql } from "../postgres/connect.ts";

/** What an application used and was denied, up to now. */
export function usageOverTime(
  sql: TransactionSql,
  path: readonly string[],
  seconds: string,
  resolution: string,
): Promise<readonly object[]> {
  return sql`
    select
      u.starts_at, trim_scale(u.tokens_consumed)::text as tokens,
      trim_scale(u.bytes_consumed)::text as bytes, u.ledger_entries, u.denied_operations,
      trim_scale(u.denied_tokens)::text as denied_tokens,
      trim_scale(u.denied_bytes)::text as denied_bytes
    from rate_limiter_admin.usage_over_time(
      rate_limiter_internal.configured_application(${[...path]}::text[]),
      clock_timestamp() - ${seconds}::integer * interval '1 second',
      clock_timestamp(),
      ${resolution}
    ) as u
  `;
}
