import { setTimeout as sleep } from "node:timers/promises";
import type { Runner } from "graphile-worker";
import { logFor } from "../log.ts";

const log = logFor("worker");
/** Somewhat longer than the library waits before it tells tasks to come to an end. */
const timeoutMs = 6_000;
const afterInterruptMs = 2_000;

/**
 * Lets running jobs finish for a few seconds; then interrupts their statements, so that they fail
 * and are retried. Answers whether all ended: the others are released when the heartbeat stops.
 */
export async function endRunner(runner: Runner, interrupt: () => Promise<void>): Promise<boolean> {
  const stopped = runner.stop().catch((err: unknown) => log.warn({ err }, "the runner complained"));
  if (await settles(stopped, timeoutMs)) return true;
  log.warn("jobs that take too long are interrupted");
  interrupt().catch((err: unknown) => log.warn({ err }, "they could not be interrupted"));
  return settles(stopped, afterInterruptMs);
}

function settles(work: Promise<unknown>, milliseconds: number): Promise<boolean> {
  return Promise.race([work.then(() => true), sleep(milliseconds, false, { ref: false })]);
}
