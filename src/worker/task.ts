import type { Task } from "graphile-worker";
import { retryLocks } from "../postgres/retry-locks.ts";
import { markBusy } from "./busy-jobs.ts";
import type { WorkerSettings } from "./settings.ts";

/** Each file of tasks/ exports its task as this: made once, when the worker starts. */
export type MakeTask = (settings: WorkerSettings) => Task;

/**
 * A task that calls one SQL function, in a transaction each time, until it processes less than
 * a full batch. The function takes the batch size as $1 (and `more` of the payload) and
 * answers how much it processed as `done`, or null where another session does the same now.
 * When the worker stops, the rest is left to the next run.
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
      const answer = await retryLocks(
        () => helpers.query<{ done: number | null }>(statement, [batchSize, ...more(payload)]),
        helpers.abortSignal,
      );
      const [row] = answer.rows;
      if (row?.done === null) markBusy(helpers);
      done = row?.done ?? 0;
      total += done;
    } while (done >= batchSize && !helpers.abortSignal.aborted);
    if (total > 0) helpers.logger.debug(`done: ${total}`, { total });
  };
}

/** A task that calls one SQL function once; it may answer `done` as null, as in inBatches. */
export function once(statement: string): Task {
  return async (_payload, helpers) => {
    const { rows } = await retryLocks(
      () => helpers.query<{ done?: unknown }>(statement),
      helpers.abortSignal,
    );
    if (rows[0]?.done === null) markBusy(helpers);
  };
}

/**
 * A task that calls one SQL function, in a transaction each time, until it answers no row: each
 * call does a piece of work that holds locks for a moment.
 */
export function inSteps(statement: string): Task {
  return async (_payload, helpers) => {
    const { abortSignal: signal } = helpers;
    let steps = -1;
    let rowCount: number | null;
    do {
      ({ rowCount } = await retryLocks(() => helpers.query(statement), signal));
      steps++;
    } while ((rowCount ?? 0) > 0 && !signal.aborted);
    if (steps > 0) helpers.logger.debug(`steps: ${steps}`, { steps });
  };
}
