import { inBatches, type MakeTask } from "../src/worker/task.ts";

/** Small batches: decisions on their buckets wait until all of a batch are collected. */
export const makeTask: MakeTask = () =>
  inBatches(
    "select rate_limiter_private.collect_borrowings(clock_timestamp(), $1::integer) as done",
    10,
  );
