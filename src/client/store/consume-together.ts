import type { Decision } from "../decision.ts";
import { type Answer, decisionOf } from "./answer.ts";
import type { Sql } from "./sql.ts";

export interface Asked {
  readonly application: string;
  readonly name: string;
  readonly size: number;
}

/** Admits what it can of many applications at once; null for what consume() decides on. */
export async function consumeTogether(
  sql: Sql,
  asked: readonly Asked[],
): Promise<(Decision | null)[]> {
  const rows = await sql<(Answer & { readonly allowed: true | null })[]>`
    select
      d.allowed,
      d.reason,
      d.remaining::text,
      d.retry_after_ms::text,
      d.delay_ms::text
    from (
      select
        array_agg(o.application) as applications,
        array_agg(o.name) as names,
        array_agg(o.size) as sizes
      from jsonb_to_recordset(${JSON.stringify(asked)}::text::jsonb)
        as o (application uuid, name text, size bigint)
    ) as batch
    cross join lateral rate_limiter.consume_together(
      batch.applications, batch.names, batch.sizes
    ) as d
  `;
  return rows.map((row) => (row.allowed === null ? null : decisionOf(row)));
}
