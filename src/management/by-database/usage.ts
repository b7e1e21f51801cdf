import type { TransactionSql } from "../../postgres/connect.ts";
import type { Span, Usage } from "../management.ts";

export function usageOverTime(
  sql: TransactionSql,
  path: readonly string[],
  { seconds, by }: Span,
): Promise<readonly Usage[]> {
  return sql<Usage[]>`
    select
      to_json(u.starts_at) #>> '{}' as starts_at, u.tokens_consumed::text as tokens,
      u.bytes_consumed::text as bytes, u.ledger_entries::text, u.denied_operations::text,
      u.denied_tokens::text, u.denied_bytes::text
    from rate_limiter_admin.usage_over_time(
      rate_limiter_internal.configured_application(${[...path]}::text[]),
      clock_timestamp() - ${seconds}::integer * interval '1 second',
      clock_timestamp(),
      ${by}
    ) as u
  `;
}
