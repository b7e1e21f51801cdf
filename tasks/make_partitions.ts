import { inSteps, type MakeTask } from "../src/worker/task.ts";

export const makeTask: MakeTask = () =>
  inSteps("select rate_limiter_private.make_partitions(clock_timestamp(), 1)");
