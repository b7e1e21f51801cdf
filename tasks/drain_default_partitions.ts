import { inSteps, type MakeTask } from "../src/worker/task.ts";

export const makeTask: MakeTask = () =>
  inSteps("select rate_limiter_private.drain_default_partitions(clock_timestamp())");
