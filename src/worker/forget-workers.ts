import type { Pool } from "pg";

export async function forgetWorkers(pool: Pool, workerIds: readonly string[]): Promise<void> {
  await pool.query("select rate_limiter_private.forget_workers($1)", [workerIds]);
}
