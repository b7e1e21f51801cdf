import { retryLocks } from "../src/postgres/retry-locks.ts";
import { markBusy } from "../src/worker/busy-jobs.ts";
import type { MakeTask } from "../src/worker/task.ts";

interface Slice {
  readonly is_busy: boolean;
  readonly next_app_id: string | null;
}

/** Slices of some thousand ledger rows, each in a transaction of its own, so that no snapshot is old. */
export const makeTask: MakeTask = () => async (_payload, helpers) => {
  let from: string | null = null;
  do {
    const { rows } = await retryLocks(
      () =>
        helpers.query<Slice>("select * from rate_limiter_private.refresh_daily_quota_usage($1)", [
          from,
        ]),
      helpers.abortSignal,
    );
    if (rows[0]?.is_busy) markBusy(helpers);
    from = rows[0]?.next_app_id ?? null;
  } while (from !== null && !helpers.abortSignal.aborted);
};
