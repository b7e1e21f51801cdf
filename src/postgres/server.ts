import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../user-error.ts";
import type { Account } from "./account.ts";
import type { Binaries } from "./binaries.ts";
import { readPostmaster } from "./postmaster.ts";

export interface ServerSpec {
  readonly binaries: Binaries;
  readonly account: Account | undefined;
  readonly folder: string;
  readonly port: number;
  readonly logFile: string;
  readonly settings?: Readonly<Record<string, string>>;
  /** Of the server's processes, beside what this program sets itself. */
  readonly environment?: Readonly<Record<string, string>>;
  /** How long a shutdown may wait for its sessions; a minute where absent. */
  readonly shutdownMs?: number;
}

export interface RunningServer {
  readonly port: number;
  /** Resolves when the server has ended, in whatever way. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

/**
 * The watcher reads a pipe that only this process holds open. When the process ends, in whatever
 * way, the pipe closes and the server gets its order to shut down: no orphan, even after kill -9.
 * A line in the pipe says that the server has ended, and that no process is to be killed under its number.
 * The watcher is forked twice because the server must not meet a child that it did not start.
 */
const launcher = `
({ read -r ended || kill -INT $$; } <&3 > /dev/null 2>&1 &)
exec "$@" 3<&-
`;

const startupSeconds = 60;
/** PostgreSQL kills what has not ended 5 s after it was told to end at once. */
const endMs = 15_000;

export async function startServer(spec: ServerSpec): Promise<RunningServer> {
  const child = launch(spec);
  const ended = once(child, "exit").then(() => {});
  await becomesReady(child, spec);
  // The server must not keep an otherwise finished program alive.
  child.unref();
  return { port: spec.port, ended, stop: () => stopServer(child, spec.shutdownMs) };
}

/**
 * For glibc, which else gives memory back to the system after a call of many decisions and asks for
 * it anew, page by page, at the next (docs/scale.md). Sessions keep up to 4 MB instead.
 */
const keepsMemory = {
  MALLOC_TRIM_THRESHOLD_: String(4 * 2 ** 20),
  MALLOC_TOP_PAD_: String(2 ** 20),
  MALLOC_MMAP_THRESHOLD_: String(2 ** 20),
};

function launch(spec: ServerSpec): ChildProcess {
  const settings = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    timezone: "UTC",
    log_timezone: "UTC",
    // What a decision reads is in memory. The default is for disks that seek, and reads a small table
    // as a whole for each row that is asked for by its key (docs/scale.md).
    random_page_cost: "1.1",
    ...spec.settings,
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const log = openSync(spec.logFile, "w", 0o600);
  const child = spawn(
    "/bin/sh",
    [
      ...["-c", launcher, "postgres", spec.binaries.postgres],
      ...["-D", spec.folder, "-p", String(spec.port), ...options],
    ],
    {
      ...spec.account,
      cwd: "/",
      // Ctrl-C in the terminal is for this process alone; the server is told when to stop.
      detached: true,
      env: { LC_ALL: "C", PATH: process.env.PATH, ...keepsMemory, ...spec.environment },
      stdio: ["ignore", log, log, "pipe"],
    },
  );
  closeSync(log);
  dismissWatcherAtEnd(child);
  return child;
}

function dismissWatcherAtEnd(child: ChildProcess): void {
  const pipe = child.stdio[3] as Socket;
  pipe.unref();
  // The watcher may be gone as well.
  pipe.on("error", () => {});
  child.once("exit", () => pipe.end("ended\n"));
}

async function becomesReady(child: ChildProcess, spec: ServerSpec): Promise<void> {
  const deadline = Date.now() + startupSeconds * 1000;
  while (Date.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null) throw startFailure(spec);
    const postmaster = readPostmaster(spec.folder);
    if (postmaster?.pid === child.pid && postmaster?.ready) return;
    await sleep(10);
  }
  await stopServer(child, spec.shutdownMs);
  throw startFailure(spec);
}

/**
 * Sessions that do not end, and a standby that takes no WAL, hold up a shutdown: then it is ended at
 * once, and the next start recovers.
 */
async function stopServer(child: ChildProcess, shutdownMs = 60_000): Promise<void> {
  child.ref();
  for (const [signal, ms] of [
    ["SIGINT", shutdownMs],
    ["SIGQUIT", endMs],
    ["SIGKILL", endMs],
  ] as const) {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit", { signal: AbortSignal.timeout(ms) });
    child.kill(signal);
    await exited.catch(() => {});
  }
}

function startFailure(spec: ServerSpec): UserError {
  const lines = readFileSync(spec.logFile, "utf8").split("\n");
  const reason = lines.find((line) => /FATAL|could not bind/.test(line)) ?? "no answer";
  if (lines.some((line) => line.includes("Address already in use"))) {
    return portInUse(spec.port);
  }
  return new UserError(
    "postgres_start_failed",
    `the embedded PostgreSQL did not start: ${reason.trim()}`,
    `Its log is ${spec.logFile}.`,
  );
}

export function portInUse(port: number): UserError {
  return new UserError(
    "port_in_use",
    `port ${port} is in use`,
    "Set QOS_POSTGRES_PORT to a free port, or stop the program that uses this one.",
  );
}
