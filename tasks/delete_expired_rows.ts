import { inBatches, type MakeTask } from "../src/worker/task.ts";

export const makeTask: MakeTask = () =>
  inBatches(
    "select rate_limiter_private.delete_expired_rows(clock_timestamp(), $1::integer) as done",
    1000,
  );
