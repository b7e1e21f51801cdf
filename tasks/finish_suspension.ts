import type { MakeTask } from "../src/worker/task.ts";

/** Does what a suspension left that was made while transactions of the tenant's people went on. */
export const makeTask: MakeTask = () => async (payload, helpers) => {
  const { suspension_id: id } = payload as { suspension_id: string };
  await helpers.query("select rate_limiter_private.finish_suspension($1)", [id]);
};
