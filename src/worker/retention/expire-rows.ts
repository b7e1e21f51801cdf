import type { PoolClient } from "pg";
import type { RetentionStep } from "./step.ts";

const batchSize = 1_000;

/** One transaction for each batch, so that locks are short and vacuum can remove dead rows. */
export async function expireRows(
  client: PoolClient,
  { data_type, cutoff }: RetentionStep,
  signal: AbortSignal,
): Promise<void> {
  let expired: number;
  do {
    const answer = await client.query<{ expired: number }>(
      "select rate_limiter_private.expire_rows($1, $2, $3) as expired",
      [data_type, cutoff, batchSize],
    );
    expired = answer.rows[0]?.expired ?? 0;
  } while (expired >= batchSize && !signal.aborted);
}
