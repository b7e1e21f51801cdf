import { taskNames } from "../src/worker/load-tasks.ts";
import { type MakeTask, once } from "../src/worker/task.ts";

/** Also ends the jobs of tasks that this code does not have: no worker would ever take them. */
export const makeTask: MakeTask = () => {
  const rescue = once("select rate_limiter_private.rescue_stuck_jobs()");
  return async (payload, helpers) => {
    await rescue(payload, helpers);
    await helpers.query("select rate_limiter_private.fail_unknown_jobs($1)", [taskNames()]);
  };
};
