import type { Pool } from "pg";

export async function noteWorkers(pool: Pool, workerIds: readonly string[]): Promise<void> {
  await pool.query("select rate_limiter_private.heartbeat_workers($1)", [workerIds]);
}
