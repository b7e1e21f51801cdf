import type { Decision } from "../decision.ts";
import { type Answer, decisionOf } from "./answer.ts";
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
      d.retry_after_ms::text,
      d.delay_ms::text
    from (
      select
        array_agg(o.name order by o.position) as names,
        array_agg(o.size order by o.position) as sizes,
        array_agg(o.reference order by o.position) as reference_ids
      from rows from (
        jsonb_to_recordset(${JSON.stringify(operations)}::text::jsonb)
          as (name text, size bigint, reference text)
      ) with ordinality as o (name, size, reference, position)
    ) as batch
    cross join lateral rate_limiter.consume_batch(
      ${application}, batch.names, batch.sizes, batch.reference_ids
    ) as d
  `;
  return rows.map(decisionOf);
}
