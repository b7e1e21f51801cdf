import { inBatches, type MakeTask } from "../src/worker/task.ts";

/** The schedule runs it each minute, so that a crash loses less than a minute of counts. */
const againAfterMs = 30_000;

export const makeTask: MakeTask = () => {
  const fold = inBatches("select rate_limiter_private.fold_denials($1::integer) as done", 1000);
  return async (payload, helpers) => {
    await fold(payload, helpers);
    const { is_second_run: isSecondRun = false } = payload as { is_second_run?: boolean };
    if (isSecondRun) return;
    await helpers.addJob(
      "fold_denials",
      { is_second_run: true },
      {
        jobKey: "fold_denials_again",
        runAt: new Date(Date.now() + againAfterMs),
        priority: helpers.job.priority,
        maxAttempts: helpers.job.max_attempts,
      },
    );
  };
};
