import type { Decision } from "../decisions/decision.ts";
import { type Answer, decisionOf } from "./answer.ts";
import { arrayLiteral, digitsOf } from "./array-literal.ts";
import { decisionColumns, select } from "./columns.ts";
import type { Sql } from "./sql.ts";

export interface Asked {
  readonly application: string;
  readonly name: string;
  readonly size: number | null;
}

/** Admits what it can of many applications at once; null for what consume() decides on. */
export async function consumeMany(sql: Sql, asked: readonly Asked[]): Promise<(Decision | null)[]> {
  const rows = await select<(Answer & { readonly allowed: true | null })[]>(sql, decisionColumns)`
    from rate_limiter.consume_many(
      ${arrayLiteral(asked.map((one) => one.application))}::text::uuid[],
      ${arrayLiteral(asked.map((one) => one.name))}::text::text[],
      ${arrayLiteral(asked.map((one) => digitsOf(one.size)))}::text::bigint[]
    )
  `;
  return rows.map((row) => (row.allowed === null ? null : decisionOf(row)));
}
