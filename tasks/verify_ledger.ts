import { retryLocks } from "../src/postgres/retry-locks.ts";
import type { MakeTask } from "../src/worker/task.ts";

interface Verification {
  readonly is_done: boolean;
  readonly gap_count: string;
  readonly first_gaps: readonly object[];
}

/** As many at once as a transaction can check within a second or two. */
const maxOwners = 200;

/**
 * Goes from owner to owner, so that no snapshot is old; a run that is stopped is gone on with by the
 * next. A gap is reported by log, by metric (storage_qos_ledger_gaps) and by the Prometheus rule on it.
 */
export const makeTask: MakeTask = () => async (_payload, helpers) => {
  let found: Verification | undefined;
  do {
    const answer = await retryLocks(
      () =>
        helpers.query<Verification>(
          "select * from rate_limiter_private.verify_ledger(clock_timestamp(), $1)",
          [maxOwners],
        ),
      helpers.abortSignal,
    );
    found = answer.rows[0];
  } while (found?.is_done === false && !helpers.abortSignal.aborted);
  if (found?.is_done && found.gap_count !== "0") {
    helpers.logger.error(`the ledger has ${found.gap_count} gaps`, { gaps: found.first_gaps });
  }
};
