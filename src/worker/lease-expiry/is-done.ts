import type { JobHelpers } from "graphile-worker";

/** Restarts the interval of the setting token_cleanup_interval. */
export async function cleanupIsDone(helpers: JobHelpers): Promise<void> {
  await helpers.query("select rate_limiter_private.cleanup_is_done()");
}
