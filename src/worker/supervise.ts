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
import { limitDeliveries } from "./limit-deliveries.ts";
import { workerLogFactory } from "./log-factory.ts";
import { cronItems } from "./schedule.ts";

const log = logFor("worker");
const restartMs = 1_000;

export interface Supervised {
  /** Whether jobs are being run now. */
  isRunning(): boolean;
  /** Leaves a runner that takes up no jobs to itself, and starts another one. */
  replace(): void;
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

/** Restarts the library's runner, which ends when the database is unreachable for too long. */
export async function supervise(work: Work): Promise<Supervised> {
  let runner: Runner | undefined = await startRunner(work);
  const stopping = new AbortController();
  const stopped = new Promise((resolve) => stopping.signal.addEventListener("abort", resolve));
  let replacing = Promise.withResolvers<void>();

  const supervision = (async () => {
    while (!stopping.signal.aborted) {
      const ended = runner?.promise.catch((err: unknown) =>
        log.error({ err }, "the job runner ended"),
      );
      // The promise of a runner that failed while it stopped never settles.
      await Promise.race([ended, stopped, replacing.promise]);
      replacing = Promise.withResolvers<void>();
      const left = runner;
      runner = undefined;
      if (stopping.signal.aborted) return;
      // Its jobs are released with the heartbeats of its pool, where it does not end.
      if (left !== undefined) void endRunner(left, async () => {});
      await sleep(restartMs, undefined, { signal: stopping.signal }).catch(() => {});
      if (!stopping.signal.aborted) runner = await restart(work);
    }
  })();

  return {
    replace: () => replacing.resolve(),
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

async function startRunner({ pool, tasks, events, concurrency }: Work): Promise<Runner> {
  const { forbiddenFlags, end } = limitDeliveries(events, concurrency);
  const options: RunnerOptions = {
    pgPool: pool,
    taskList: tasks,
    parsedCronItems: cronItems(),
    concurrency,
    events,
    forbiddenFlags,
    noHandleSignals: true,
    // With batches the library reports a completion that it cannot write, and stops; without them
    // the rejection is unhandled and ends this process.
    preset: { worker: { completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
    logger: new Logger(workerLogFactory(logFor("graphile-worker"))),
  };
  try {
    const runner = await run(options);
    runner.promise.then(end, end);
    return runner;
  } catch (error) {
    end();
    throw error;
  }
}
