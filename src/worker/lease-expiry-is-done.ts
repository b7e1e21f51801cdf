import type { JobHelpers } from "graphile-worker";

/** Notes that leases were expired: restarts the interval of the setting token_cleanup_interval. */
export async function leaseExpiryIsDone(helpers: JobHelpers): Promise<void> {
  await helpers.query("select rate_limiter_private.lease_expiry_is_done()");
}
