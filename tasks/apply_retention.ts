import { carryOut } from "../src/worker/retention/carry-out.ts";
import { type RetentionStep, stepColumns } from "../src/worker/retention/step.ts";
import { withTurn } from "../src/worker/retention/turn.ts";
import type { MakeTask } from "../src/worker/task.ts";

/** A step that fails keeps none of the others from being done; the job fails at the end. */
export const makeTask: MakeTask =
  ({ archive }) =>
  (_payload, { withPgClient, abortSignal: signal, logger }) =>
    withPgClient(async (client) => {
      const failures: unknown[] = [];
      const isDone = await withTurn(client, async () => {
        const answer = await client.query<RetentionStep>(
          `select ${stepColumns} from rate_limiter_private.apply_retention()`,
        );
        for (const step of answer.rows) {
          if (signal.aborted) return;
          await carryOut(client, step, { archive, signal }).catch((error) => {
            failures.push(error);
            logger.error(`retention of ${step.partition_name ?? step.data_type} failed: ${error}`);
          });
        }
      });
      if (!isDone) logger.info("another worker carries out retention");
      if (failures.length === 1) throw failures[0];
      if (failures.length > 1) throw new AggregateError(failures, `${failures[0]}, and others`);
    });
