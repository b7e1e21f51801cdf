import { setTimeout as sleep } from "node:timers/promises";

/**
 * lock_not_available, deadlock_detected, serialization_failure: another session held the lock for a
 * moment.
 */
const contended = new Set(["55P03", "40P01", "40001"]);
const attempts = 60;
const pauseMs = 250;

/**
 * Runs a statement that gives up after a few milliseconds rather than wait for a lock, because
 * decisions would queue behind it: until it gets its locks, with pauses in which decisions run.
 */
export async function retryLocks<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const { code = "" } = error as { code?: string };
      if (!contended.has(code) || attempt === attempts || signal?.aborted) throw error;
    }
    await sleep(pauseMs * (0.5 + Math.random()));
  }
}
