import type { Sql } from "../postgres/connect.ts";
import { retryLocks } from "../postgres/retry-locks.ts";
import { moveAll, type Report, seriesTables } from "./series.ts";
import { seriesStatus } from "./status.ts";

/** The way back: moves all samples to native partitions. As adopt(), it may be killed anywhere. */
export async function leave(sql: Sql, report: Report): Promise<void> {
  const states = await seriesStatus(sql);
  for (const table of seriesTables) {
    if (states.find((row) => row.table_name === table)?.state === "native") {
      report(`${table}: is a native table already`);
      continue;
    }
    await retryLocks(() => sql`select rate_limiter_private.begin_leaving(${table})`);
    report(`${table}: new samples go to native partitions`);
    await moveAll(sql, table, report);
    report(`${table}: is a native table now`);
  }
}
