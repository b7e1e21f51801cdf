import type { Sql } from "../postgres/connect.ts";
import { retryLocks } from "../postgres/retry-locks.ts";

/** Restored rows are in the default partition, as theirs was dropped; this moves them to their own. */
export async function drainDefaultPartitions(sql: Sql): Promise<void> {
  const step = async () => sql`select from rate_limiter_private.drain_default_partitions()`;
  while ((await retryLocks(step)).count > 0);
}
