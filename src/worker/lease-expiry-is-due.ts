import type { JobHelpers } from "graphile-worker";

/** Whether it is time to expire leases, by the setting token_cleanup_interval. */
export async function leaseExpiryIsDue(helpers: JobHelpers): Promise<boolean> {
  const answer = await helpers.query<{ is_due: boolean }>(
    "select rate_limiter_private.lease_expiry_is_due() as is_due",
  );
  return answer.rows[0]?.is_due ?? false;
}
