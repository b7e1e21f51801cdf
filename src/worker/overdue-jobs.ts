import type { Pool } from "pg";

export async function hasOverdueJobs(pool: Pool, tasks: readonly string[]): Promise<boolean> {
  const { rows } = await pool.query<{ is_overdue: boolean }>(
    "select rate_limiter_private.has_overdue_jobs($1) as is_overdue",
    [tasks],
  );
  return rows[0]?.is_overdue === true;
}
