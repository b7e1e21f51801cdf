import type { PoolClient } from "pg";

/** Runs `work` while this session alone carries out retention; not at all while another does. */
export async function withTurn(client: PoolClient, work: () => Promise<void>): Promise<boolean> {
  const answer = await client.query<{ is_ours: boolean }>(
    "select rate_limiter_private.begin_retention() as is_ours",
  );
  if (!answer.rows[0]?.is_ours) return false;
  try {
    await work();
  } finally {
    await client.query("select rate_limiter_private.end_retention()");
  }
  return true;
}
