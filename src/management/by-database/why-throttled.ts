import type { TransactionSql } from "../../postgres/connect.ts";
import type { Verdict } from "../management.ts";

export function whyThrottled(
  sql: TransactionSql,
  path: readonly string[],
  operation: string,
  bytes: string,
): Promise<readonly Verdict[]> {
  return sql<Verdict[]>`
    select
      w.layer, w.bucket_type as bucket, w.mode, w.verdict, w.charge::text, w.tokens::text,
      w.capacity::text, w.refill_rate::text as refill_per_second, w.debt::text,
      to_json(w.passes_at) #>> '{}' as passes_at
    from rate_limiter_admin.why_throttled(
      rate_limiter_internal.configured_application(${[...path]}::text[]), ${operation}, ${bytes}
    ) as w
  `;
}
