import type { PoolClient } from "pg";
import type { Manifest } from "../../archive/manifest.ts";
import { retryLocks } from "../../postgres/retry-locks.ts";

export async function dropExportedPartition(
  client: PoolClient,
  { partition, rows, min_time, max_time }: Manifest,
  signal: AbortSignal,
): Promise<void> {
  const statement = "select rate_limiter_private.drop_exported_partition($1, $2, $3, $4)";
  await retryLocks(() => client.query(statement, [partition, rows, min_time, max_time]), signal);
}
