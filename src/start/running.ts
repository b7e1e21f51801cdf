import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { processIsAlive } from "../postgres/process-is-alive.ts";

/** What `npm start` runs, as it notes beside its data for other commands. */
export interface Running {
  readonly pid: number;
  readonly startedAt: string;
  readonly apiUrl: string;
  /** Where the worker serves metrics and health, if it does. */
  readonly workerUrl?: string;
}

export function noteRunning(file: string, running: Running): void {
  writeFileSync(file, `${JSON.stringify(running, null, 2)}\n`);
}

/** Undefined where nothing runs: the note may be that of a process that was killed. */
export function readRunning(file: string): Running | undefined {
  try {
    const running = JSON.parse(readFileSync(file, "utf8")) as Running;
    return processIsAlive(running.pid) ? running : undefined;
  } catch {
    return undefined;
  }
}

/** Removes the note of this process; that of a later one stays. */
export function forgetRunning(file: string): void {
  if (readRunning(file)?.pid === process.pid) rmSync(file, { force: true });
}
