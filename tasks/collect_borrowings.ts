import { inBatches, type MakeTask } from "../src/worker/task.ts";

export const makeTask: MakeTask = () =>
  inBatches(
    "select rate_limiter_private.collect_borrowings(clock_timestamp(), $1::integer) as done",
    50,
  );
