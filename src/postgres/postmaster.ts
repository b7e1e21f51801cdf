import { existsSync, readFileSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { processIsAlive } from "./process-is-alive.ts";

/** What a running server says about itself in postmaster.pid. */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  readonly ready: boolean;
}

export function readPostmaster(cluster: string): Postmaster | undefined {
  const file = join(cluster, "postmaster.pid");
  if (!existsSync(file)) return undefined;
  const lines = readFileSync(file, "utf8").split("\n");
  return { pid: Number(lines[0]), port: Number(lines[3]), ready: lines[7]?.trim() === "ready" };
}

/** The server that runs on this cluster. */
export function runningPostmaster(cluster: string): Postmaster | undefined {
  const postmaster = readPostmaster(cluster);
  return postmaster !== undefined && isServerOf(cluster, postmaster.pid) ? postmaster : undefined;
}

/** The same. A file that a crash left behind is cleared away. */
export function livePostmaster(cluster: string): Postmaster | undefined {
  const postmaster = runningPostmaster(cluster);
  if (postmaster === undefined) rmSync(join(cluster, "postmaster.pid"), { force: true });
  return postmaster;
}

/**
 * After a crash the process number may belong to another process, and PostgreSQL would refuse to
 * start. A server always sits in its own data folder; without /proc the number has to do.
 */
function isServerOf(cluster: string, pid: number): boolean {
  if (!processIsAlive(pid)) return false;
  if (!existsSync("/proc/self/cwd")) return true;
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(cluster);
  } catch {
    return false;
  }
}
