import { inBatches, type MakeTask } from "../src/worker/task.ts";

/** The payload names the grain: hour or day. */
export const makeTask: MakeTask = () =>
  inBatches(
    "select rate_limiter_private.aggregate_metrics($2, $1::integer) as done",
    500,
    (payload) => [(payload as { grain: string }).grain],
  );
