import { setTimeout as sleep } from "node:timers/promises";
import type { WorkerEvents } from "graphile-worker";
import type { Pool } from "pg";
import { logFor } from "../log.ts";
import { watchPool } from "../postgres/watch-pool.ts";
import { hasOverdueJobs } from "./overdue-jobs.ts";

const log = logFor("worker");
const roundMs = 2_000;
const timeoutMs = 2_000;
/** A new runner needs time to take up its first job. */
const replacePauseMs = 15_000;

export interface Readiness {
  /** Whether the database takes writes, and no due job waits while this worker is idle. */
  isReady(): boolean;
  stop(): void;
}

export interface Watched {
  readonly pool: Pool;
  readonly events: WorkerEvents;
  readonly tasks: readonly string[];
  readonly concurrency: number;
  /** Starts another runner of jobs. */
  replaceRunner(): void;
}

/**
 * Notices within ten seconds that this worker works off no jobs: its connections are dead or
 * read-only, or due jobs wait while it is idle. In the latter case it starts anew on new connections.
 */
export async function watchReadiness(watched: Watched): Promise<Readiness> {
  const { pool, events, tasks, concurrency, replaceRunner } = watched;
  const connections = watchPool(pool, log);
  const running = new Set<string>();
  events.on("job:start", ({ job }) => running.add(job.id));
  events.on("job:complete", ({ job }) => running.delete(job.id));
  const stopping = new AbortController();
  let isWorking = true;
  let replacedAt = Number.NEGATIVE_INFINITY;

  async function look(): Promise<void> {
    const wasIdle = running.size < concurrency;
    // Asked on a connection that is dead, it never answers: the next round takes another one.
    const isOverdue =
      connections.isWritable() &&
      (await Promise.race([hasOverdueJobs(pool, tasks), sleep(timeoutMs, false, { ref: false })]));
    const leavesJobs = isOverdue && wasIdle && running.size < concurrency;
    if (leavesJobs && !isWorking && performance.now() - replacedAt > replacePauseMs) {
      log.warn("due jobs wait while this worker is idle: it starts anew on new connections");
      replacedAt = performance.now();
      connections.reset();
      replaceRunner();
    }
    isWorking = !leavesJobs;
  }

  async function watch(): Promise<void> {
    while (!stopping.signal.aborted) {
      await look().catch((err: unknown) => log.warn({ err }, "the queue cannot be examined"));
      await sleep(roundMs, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
    }
  }

  void watch();
  await connections.first;
  return {
    isReady: () => isWorking && connections.isWritable(),
    stop() {
      stopping.abort();
      connections.stop();
    },
  };
}
