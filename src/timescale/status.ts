import type { Sql } from "../postgres/connect.ts";
import type { SeriesTable } from "./series.ts";

export interface SeriesStatus {
  readonly table_name: SeriesTable;
  readonly state: "native" | "adopting" | "adopted" | "leaving";
  readonly partitions: string;
  readonly chunks: string;
  readonly compressed: string;
  readonly bytes: string;
}

export async function seriesStatus(sql: Sql): Promise<readonly SeriesStatus[]> {
  return sql<SeriesStatus[]>`select * from rate_limiter_private.timescale_status()`;
}
