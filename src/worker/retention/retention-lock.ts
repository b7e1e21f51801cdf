import type { PoolClient } from "pg";

type WithPgClient = <T>(use: (client: PoolClient) => Promise<T>) => Promise<T>;

/**
 * Runs `work` while a transaction of this process alone holds the lock of retention; not at all while
 * another one does. The signal aborts when the connection that holds it is lost.
 */
export function withRetentionLock(
  withPgClient: WithPgClient,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<boolean> {
  return withPgClient(async (holder) => {
    const lost = new AbortController();
    const lose = () => lost.abort();
    holder.on("error", lose);
    holder.on("end", lose);
    // Without parameters: the portal of a prepared statement would keep its snapshot.
    await holder.query("begin");
    try {
      const answer = await holder.query<{ is_ours: boolean }>(
        "select rate_limiter_private.begin_retention() as is_ours",
      );
      if (!answer.rows[0]?.is_ours) return false;
      await work(lost.signal);
      return true;
    } finally {
      holder.off("error", lose);
      holder.off("end", lose);
      // Fails where the connection was lost, so that the job is tried again.
      await holder.query("rollback");
    }
  });
}
