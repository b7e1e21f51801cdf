import { markBusy } from "../src/worker/busy-jobs.ts";
import { executeStep } from "../src/worker/retention/execute-step.ts";
import { withRetentionLock } from "../src/worker/retention/retention-lock.ts";
import { type RetentionStep, stepColumns } from "../src/worker/retention/step.ts";
import type { MakeTask } from "../src/worker/task.ts";

/** A failed step does not stop the others; the job fails at the end. */
export const makeTask: MakeTask =
  ({ archive }) =>
  async (_payload, helpers) => {
    const { withPgClient, abortSignal, logger } = helpers;
    const failures: unknown[] = [];
    const isDone = await withRetentionLock(withPgClient, (lost) =>
      withPgClient(async (client) => {
        const signal = AbortSignal.any([lost, abortSignal]);
        const answer = await client.query<RetentionStep>(
          `select ${stepColumns} from rate_limiter_private.apply_retention()`,
        );
        for (const step of answer.rows) {
          if (signal.aborted) return;
          await executeStep(client, step, { archive, signal }).catch((error) => {
            failures.push(error);
            logger.error(`retention of ${step.partition_name ?? step.data_type} failed: ${error}`);
          });
        }
      }),
    );
    if (!isDone) markBusy(helpers);
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, `${failures[0]}, and others`);
  };
