import type { Decision } from "../decisions/decision.ts";
import { type Answer, decisionOf } from "./answer.ts";
import type { Sql } from "./sql.ts";

export interface Operation {
  readonly name: string;
  /** In bytes; null: not known yet. */
  readonly size: number | null;
  readonly reference: string | null;
}

export async function consume(
  sql: Sql,
  application: string,
  operation: Operation,
): Promise<Decision> {
  const [row] = await sql<[Answer]>`
    select
      d.allowed,
      d.reason,
      d.remaining::text,
      d.remaining_bytes::text,
      d.retry_after_ms::text,
      d.delay_ms::text
    from rate_limiter.consume(
      ${application}, ${operation.name}, ${operation.size}::text::bigint, ${operation.reference}
    ) as d
  `;
  return decisionOf(row);
}
