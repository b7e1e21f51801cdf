import type { Decision } from "../decisions/decision.ts";
import { type Answer, decisionOf } from "./answer.ts";
import { arrayLiteral, digitsOf } from "./array-literal.ts";
import type { Operation } from "./consume.ts";
import type { Sql } from "./sql.ts";

/** Decides on each operation at one moment, in their order. */
export async function consumeBatch(
  sql: Sql,
  application: string,
  operations: readonly Operation[],
): Promise<Decision[]> {
  const rows = await sql<Answer[]>`
    select
      d.allowed,
      d.reason,
      d.remaining::text,
      d.remaining_bytes::text,
      d.retry_after_ms::text,
      d.delay_ms::text
    from rate_limiter.consume_batch(
      ${application},
      ${arrayLiteral(operations.map((one) => one.name))}::text::text[],
      ${arrayLiteral(operations.map((one) => digitsOf(one.size)))}::text::bigint[],
      ${arrayLiteral(operations.map((one) => one.reference))}::text::text[]
    ) as d
  `;
  return rows.map(decisionOf);
}
