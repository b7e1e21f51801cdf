import type { Task } from "graphile-worker";
import type { WorkerSettings } from "./settings.ts";

/** Each file of tasks/ exports its task as this: made once, when the worker starts. */
export type MakeTask = (settings: WorkerSettings) => Task;

/**
 * A task that calls one SQL function, in a transaction each time, until it has less to do than
 * fits a batch. The function takes the batch size as $1 (and `more` of the payload) and
 * answers how much it did as `done`.
 * When the worker stops, what is left waits for the next run.
 */
export function inBatches(
  statement: string,
  batchSize: number,
  more: (payload: unknown) => readonly unknown[] = () => [],
): Task {
  return async (payload, helpers) => {
    let total = 0;
    let done: number;
    do {
      const answer = await helpers.query<{ done: number }>(statement, [
        batchSize,
        ...more(payload),
      ]);
      done = answer.rows[0]?.done ?? 0;
      total += done;
    } while (done >= batchSize && !helpers.abortSignal.aborted);
    if (total > 0) helpers.logger.debug(`done: ${total}`, { total });
  };
}

/** A task that calls one SQL function once. */
export function once(statement: string): Task {
  return async (_payload, helpers) => {
    await helpers.query(statement);
  };
}
