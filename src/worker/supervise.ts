import { EventEmitter } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import {
  Logger,
  type Runner,
  type RunnerOptions,
  run,
  type TaskList,
  type WorkerEvents,
} from "graphile-worker";
import type { Pool } from "pg";
import { logFor } from "../log.ts";
import { endRunner } from "./end-runner.ts";
import { workerLogFactory } from "./log-factory.ts";
import { cronItems } from "./schedule.ts";

const log = logFor("worker");
const restartMilliseconds = 1_000;

export interface Supervised {
  /** Whether jobs are being worked off now. */
  isRunning(): boolean;
  /** Lets running jobs finish, for a few seconds, and releases the others. */
  stop(): Promise<void>;
}

export interface Work {
  readonly pool: Pool;
  readonly tasks: TaskList;
  readonly events: WorkerEvents;
  readonly concurrency: number;
  /** Interrupts the statements that jobs run now. */
  interrupt(): Promise<void>;
}

export function makeEvents(): WorkerEvents {
  return new EventEmitter() as WorkerEvents;
}

/** Keeps a runner going: the library's own gives up when the database is away for too long. */
export async function supervise(work: Work): Promise<Supervised> {
  let runner: Runner | undefined = await startRunner(work);
  const stopping = new AbortController();
  const stopped = new Promise((resolve) => stopping.signal.addEventListener("abort", resolve));

  const supervision = (async () => {
    while (!stopping.signal.aborted) {
      const ended = runner?.promise.catch((err: unknown) =>
        log.error({ err }, "the job runner ended"),
      );
      // One that failed while it stopped never tells that it ended.
      await Promise.race([ended, stopped]);
      runner = undefined;
      if (stopping.signal.aborted) return;
      await sleep(restartMilliseconds, undefined, { signal: stopping.signal }).catch(() => {});
      if (!stopping.signal.aborted) runner = await restart(work);
    }
  })();

  return {
    isRunning: () => runner !== undefined && !stopping.signal.aborted,
    async stop() {
      stopping.abort();
      const hasEnded = runner === undefined || (await endRunner(runner, work.interrupt));
      if (hasEnded) await supervision;
    },
  };
}

async function restart(work: Work): Promise<Runner | undefined> {
  try {
    return await startRunner(work);
  } catch (err) {
    log.warn({ err }, "the job runner cannot start yet");
    return undefined;
  }
}

function startRunner({ pool, tasks, events, concurrency }: Work): Promise<Runner> {
  const options: RunnerOptions = {
    pgPool: pool,
    taskList: tasks,
    parsedCronItems: cronItems(),
    concurrency,
    events,
    noHandleSignals: true,
    // Through its batches the library tells of a job's end that it cannot write down, and stops;
    // without them the rejection is nobody's, and would end this process.
    preset: { worker: { completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
    logger: new Logger(workerLogFactory(logFor("graphile-worker"))),
  };
  return run(options);
}
