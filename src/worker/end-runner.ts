import { setTimeout as sleep } from "node:timers/promises";
import type { Runner } from "graphile-worker";
import { logFor } from "../log.ts";

const log = logFor("worker");
/** Somewhat longer than the library waits before it tells tasks to come to an end. */
const patienceMilliseconds = 6_000;
const afterInterruptMilliseconds = 2_000;

/**
 * Lets running jobs finish for a few seconds; then interrupts their statements, so that they fail
 * and are tried again. Answers whether everything ended: what did not is released with the heartbeat.
 */
export async function endRunner(runner: Runner, interrupt: () => Promise<void>): Promise<boolean> {
  const stopped = runner.stop().catch((err: unknown) => log.warn({ err }, "the runner complained"));
  if (await settles(stopped, patienceMilliseconds)) return true;
  log.warn("jobs that take too long are interrupted");
  interrupt().catch((err: unknown) => log.warn({ err }, "they could not be interrupted"));
  return settles(stopped, afterInterruptMilliseconds);
}

function settles(work: Promise<unknown>, milliseconds: number): Promise<boolean> {
  return Promise.race([work.then(() => true), sleep(milliseconds, false, { ref: false })]);
}
