import type { Sql } from "../postgres/connect.ts";
import { retryLocks } from "../postgres/retry-locks.ts";
import { moveAll, type Report, type SeriesTable, seriesTables } from "./series.ts";
import { seriesStatus } from "./status.ts";

/**
 * Moves the tables of samples to hypertables, a day in each transaction, and compresses what is
 * old. Each statement is a transaction that leaves the database whole: killed anywhere, this goes on
 * where it was. Samples are written and read all the while.
 */
export async function adopt(sql: Sql, report: Report): Promise<void> {
  await finishDrains(sql);
  for (const table of seriesTables) {
    if ((await stateOf(sql, table)) === "adopted") {
      report(`${table}: is a hypertable already`);
      continue;
    }
    await retryLocks(() => sql`select rate_limiter_private.begin_adopting(${table})`);
    report(`${table}: new samples go to a hypertable`);
    await moveAll(sql, table, report);
    report(`${table}: is a hypertable now`);
  }
  await compressAll(sql, report);
}

/** Rows on their way from a default partition to one of their own arrive first. */
async function finishDrains(sql: Sql): Promise<void> {
  const waiting = () => sql`
    select from rate_limiter_private.partition_drains where table_name = any (${[...seriesTables]})
  `;
  while ((await waiting()).length > 0) {
    await retryLocks(() => sql`select from rate_limiter_private.drain_default_partitions()`);
  }
}

async function compressAll(sql: Sql, report: Report): Promise<void> {
  for (;;) {
    const [chunk] = await retryLocks(
      () => sql<[{ name: string | null }]>`
        select rate_limiter_private.compress_next_chunk() as name
      `,
    );
    if (chunk.name === null) return;
    report(`${chunk.name}: compressed`);
  }
}

async function stateOf(sql: Sql, table: SeriesTable): Promise<string | undefined> {
  return (await seriesStatus(sql)).find((row) => row.table_name === table)?.state;
}
