import { setTimeout as sleep } from "node:timers/promises";
import { applyFault } from "./apply-fault.ts";
import type { Fault } from "./fault.ts";
import type { Stage } from "./stage.ts";
import { StillWaiting, within } from "./within.ts";

/** A crash waits for the end of the server and for its next start. */
const faultMs = 90_000;

/**
 * Each at its time; those that last do so beside the next ones, but changes come one by one. Answers
 * those that failed.
 */
export async function bringAbout(
  stage: Stage,
  faults: readonly Fault[],
  runMs: number,
  tell: (line: string) => void,
): Promise<string[]> {
  const startedAt = Date.now();
  const failed: string[] = [];
  const running: Promise<void>[] = [];
  for (const fault of faults) {
    await sleep(Math.max(startedAt + fault.atMs - Date.now(), 0));
    tell(`${fault.atMs} ms: ${fault.kind}`);
    const isExclusive = /database|fail_over|disk/.test(fault.kind);
    if (isExclusive) await Promise.all(running);
    const applied = within(
      fault.forMs + faultMs,
      `the fault ${fault.kind} of ${fault.atMs} ms`,
      applyFault(stage, fault),
    ).catch((error: Error & { code?: string }) => {
      failed.push(`${fault.kind}: ${error.code ?? ""} ${error.message}`);
      if (error instanceof StillWaiting) stage.surprise(error.message);
    });
    running.push(applied);
    if (isExclusive) await applied;
  }
  await Promise.all(running);
  await sleep(Math.max(startedAt + runMs - Date.now(), 0));
  return failed;
}
