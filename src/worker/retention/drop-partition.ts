import type { PoolClient } from "pg";
import { retryLocks } from "../../postgres/retry-locks.ts";

export async function dropPartition(
  client: PoolClient,
  partition: string,
  signal: AbortSignal,
): Promise<void> {
  await retryLocks(
    () => client.query("select rate_limiter_private.drop_partition($1)", [partition]),
    signal,
  );
}
