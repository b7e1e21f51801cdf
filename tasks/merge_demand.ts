import { inBatches, type MakeTask } from "../src/worker/task.ts";

export const makeTask: MakeTask = () =>
  inBatches("select rate_limiter_private.merge_demand($1::integer) as done", 1000);
