import { inBatches, type MakeTask } from "../src/worker/task.ts";

/**
 * Alerts are evaluated after it, and also where it fails: what others reported does not wait. Before
 * it, they would judge the last complete minute only with the next run.
 * Minutes that were missed are caught up with in slices: none of them reads for long.
 */
export const makeTask: MakeTask = () => {
  const record = inBatches(
    "select rate_limiter_private.record_system_metrics(clock_timestamp(), $1::integer) as done",
    10,
  );
  return async (payload, helpers) => {
    try {
      await record(payload, helpers);
    } finally {
      await helpers.addJob("evaluate_alerts", undefined, {
        jobKey: "evaluate_alerts",
        priority: helpers.job.priority,
        maxAttempts: helpers.job.max_attempts,
      });
    }
  };
};
