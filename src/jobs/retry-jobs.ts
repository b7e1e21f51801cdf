import type { Sql } from "../postgres/connect.ts";

/** Retries the failed jobs that are named, or all of them; answers how many. */
export async function retryJobs(sql: Sql, ids: readonly string[]): Promise<number> {
  const named = ids.length > 0 ? [...ids] : null;
  const [answer] = await sql<{ retried: number }[]>`
    select rate_limiter_private.retry_jobs(${named}::bigint[]) as retried
  `;
  return answer?.retried ?? 0;
}
