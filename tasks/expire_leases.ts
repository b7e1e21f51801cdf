import { leaseExpiryIsDone } from "../src/worker/lease-expiry-is-done.ts";
import { leaseExpiryIsDue } from "../src/worker/lease-expiry-is-due.ts";
import { inBatches, type MakeTask } from "../src/worker/task.ts";

const expire = inBatches(
  "select rate_limiter_private.expire_leases(clock_timestamp(), $1::integer) as done",
  1000,
);

/**
 * The schedule starts it every minute; it works only when the setting token_cleanup_interval says
 * that a run is due. The database queues a run that is due earlier. Jobs of any other origin run at
 * once.
 */
export const makeTask: MakeTask = () => async (payload, helpers) => {
  const isByClock = (payload as { by?: string } | null)?.by === "clock";
  if (isByClock && !(await leaseExpiryIsDue(helpers))) return;
  await expire(payload, helpers);
  if (!helpers.abortSignal.aborted) await leaseExpiryIsDone(helpers);
};
