import type { Decision } from "../decisions/decision.ts";
import { type Answer, decisionOf } from "./answer.ts";
import { decisionColumns, select } from "./columns.ts";
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
  const [row] = await select<[Answer]>(sql, decisionColumns)`
    from rate_limiter.consume(
      ${application}, ${operation.name}, ${operation.size}::text::bigint, ${operation.reference}
    )
  `;
  return decisionOf(row);
}
