import type { Sql } from "../postgres/connect.ts";
import { retryLocks } from "../postgres/retry-locks.ts";

/** The tables that the source design makes hypertables of, and that take millions of rows a day. */
export const seriesTables = ["metrics", "iops_metrics", "bandwidth_metrics"] as const;
export type SeriesTable = (typeof seriesTables)[number];

export type Report = (line: string) => void;

/** Moves what is left to move of a table, a day in each transaction, and ends the move. */
export async function moveAll(sql: Sql, table: SeriesTable, report: Report): Promise<void> {
  for (;;) {
    const part = await moveNextPart(sql, table);
    if (part.name === null) break;
    report(`${table}: ${part.name} moved, ${part.rows} rows`);
  }
  await retryLocks(() => sql`select rate_limiter_private.finish_moving(${table})`);
}

interface MovedPart {
  readonly name: string | null;
  readonly rows: string;
}

async function moveNextPart(sql: Sql, table: SeriesTable): Promise<MovedPart> {
  const [part] = await retryLocks(
    () => sql<[MovedPart]>`
      select m.part as name, m.moved_rows as rows
      from rate_limiter_private.move_next_part(${table}) as m
    `,
  );
  return part;
}
