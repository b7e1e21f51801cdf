import { inSteps, type MakeTask } from "../src/worker/task.ts";

export const makeTask: MakeTask = () =>
  inSteps(
    `select from rate_limiter_private.compress_next_chunk(clock_timestamp()) as chunk
    where chunk is not null`,
  );
