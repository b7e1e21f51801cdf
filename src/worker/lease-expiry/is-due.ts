import type { JobHelpers } from "graphile-worker";

/** Whether it is time for a cleanup, by the setting token_cleanup_interval. */
export async function cleanupIsDue(helpers: JobHelpers): Promise<boolean> {
  const answer = await helpers.query<{ is_due: boolean }>(
    "select rate_limiter_private.cleanup_is_due() as is_due",
  );
  return answer.rows[0]?.is_due ?? false;
}
