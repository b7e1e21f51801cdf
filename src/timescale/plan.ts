import type { Sql } from "../postgres/connect.ts";

export interface PlannedPart {
  readonly table_name: string;
  readonly part: string;
  readonly bytes: string;
  readonly estimated_rows: string;
}

/** What a move would copy, a transaction each: nothing is changed. */
export async function movePlan(
  sql: Sql,
  direction: "adopt" | "leave",
): Promise<readonly PlannedPart[]> {
  return sql<PlannedPart[]>`
    select
      p.table_name,
      p.partition_name as part,
      pg_total_relation_size(p.partition_oid) as bytes,
      greatest(c.reltuples, 0)::bigint as estimated_rows
    from rate_limiter_internal.partitions() as p
    join pg_class as c on c.oid = p.partition_oid
    join pg_class as parent on parent.oid = p.parent_oid
    where p.table_name in ('metrics', 'iops_metrics', 'bandwidth_metrics')
      and parent.relkind = ${direction === "adopt" ? "p" : "r"}
      and not (p.is_default and parent.relnamespace = 'rate_limiter_partitions'::regnamespace)
    order by p.table_name, p.starts_at nulls last
  `;
}
