import type { Pool } from "pg";

/** Private networks that a worker may call: the database refuses people what no worker would call. */
export interface AllowedNetworks {
  readonly ofWebhooks: readonly string[];
  readonly ofProbes: readonly string[];
}

export async function noteWorkers(
  pool: Pool,
  workerIds: readonly string[],
  { ofWebhooks, ofProbes }: AllowedNetworks,
): Promise<void> {
  await pool.query("select rate_limiter_private.heartbeat_workers($1, $2, $3)", [
    workerIds,
    ofWebhooks,
    ofProbes,
  ]);
}
