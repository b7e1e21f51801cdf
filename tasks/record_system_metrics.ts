import { inBatches, type MakeTask } from "../src/worker/task.ts";

export const makeTask: MakeTask = () =>
  inBatches(
    "select rate_limiter_private.record_system_metrics(clock_timestamp(), $1::integer) as done",
    60,
  );
