import type { Decision } from "../decisions/decision.ts";
import { type Answer, decisionOf } from "./answer.ts";
import { arrayLiteral, digitsOf } from "./array-literal.ts";
import { decisionColumns, select } from "./columns.ts";
import type { Operation } from "./consume.ts";
import type { Sql } from "./sql.ts";

/** Decides on each operation at one moment, in their order. */
export async function consumeBatch(
  sql: Sql,
  application: string,
  operations: readonly Operation[],
): Promise<Decision[]> {
  const rows = await select<Answer[]>(sql, decisionColumns)`
    from rate_limiter.consume_batch(
      ${application},
      ${arrayLiteral(operations.map((one) => one.name))}::text::text[],
      ${arrayLiteral(operations.map((one) => digitsOf(one.size)))}::text::bigint[],
      ${arrayLiteral(operations.map((one) => one.reference))}::text::text[]
    )
  `;
  return rows.map(decisionOf);
}
