import { type MakeTask, once } from "../src/worker/task.ts";

export const makeTask: MakeTask = () =>
  once("select rate_limiter_private.evaluate_alerts() as done");
