import { execFile } from "node:child_process";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { UserError } from "../user-error.ts";
import type { Account } from "./account.ts";
import type { Binaries } from "./binaries.ts";
import { processIsAlive } from "./process-is-alive.ts";

const run = promisify(execFile);

export interface ClusterSpec {
  readonly binaries: Binaries;
  readonly account: Account | undefined;
  /** PostgreSQL's own data folder (PGDATA). */
  readonly folder: string;
  readonly superuserPassword: string;
  /** A throw-away cluster need not survive a power cut. */
  readonly durable: boolean;
}

export function clusterExists(folder: string): boolean {
  return existsSync(join(folder, "PG_VERSION"));
}

/**
 * Made under another name first, so that an interrupted initdb never passes for a cluster. Another
 * process may make the same cluster meanwhile: the first one stays.
 */
export async function createCluster(spec: ClusterSpec): Promise<void> {
  removeLeftDrafts(spec.folder);
  const draft = `${spec.folder}.new-${process.pid}`;
  const passwordFile = `${draft}.password`;
  try {
    mkdirSync(draft, { mode: 0o700 });
    writeFileSync(passwordFile, spec.superuserPassword, { mode: 0o600 });
    giveTo(spec.account, draft, passwordFile);
    await initdb(spec, draft, passwordFile);
    renameSync(draft, spec.folder);
  } catch (error) {
    if (!clusterExists(spec.folder)) throw error;
  } finally {
    rmSync(passwordFile, { force: true });
    rmSync(draft, { recursive: true, force: true });
  }
}

/** What processes that were killed meanwhile left behind. */
function removeLeftDrafts(folder: string): void {
  const home = dirname(folder);
  for (const name of readdirSync(home)) {
    if (!name.startsWith(`${basename(folder)}.new`)) continue;
    const pid = Number(/\.new-(\d+)/.exec(name)?.[1]);
    if (pid !== process.pid && processIsAlive(pid)) continue;
    rmSync(join(home, name), { recursive: true, force: true });
  }
}

async function initdb(spec: ClusterSpec, folder: string, passwordFile: string): Promise<void> {
  const options = ["--username=postgres", "--auth=scram-sha-256", `--pwfile=${passwordFile}`];
  const locale = ["--encoding=UTF8", "--locale=C"];
  const sync = spec.durable ? [] : ["--no-sync"];
  try {
    await run(spec.binaries.initdb, [`--pgdata=${folder}`, ...options, ...locale, ...sync], {
      ...spec.account,
      cwd: "/",
      env: { LC_ALL: "C", PATH: process.env.PATH },
    });
  } catch (cause) {
    throw initdbFailure(folder, cause);
  }
}

function initdbFailure(folder: string, cause: unknown): UserError {
  const stderr = (cause as { stderr?: string }).stderr ?? "";
  const reason = stderr.split("\n").findLast((line) => line.startsWith("initdb:")) ?? String(cause);
  const hint = reason.includes("user does not exist")
    ? "PostgreSQL wants its user to be known: run this as one that /etc/passwd lists."
    : "Check free space and permissions of that folder, or choose another with QOS_DATA_FOLDER.";
  const message = `no PostgreSQL data could be made in ${folder}: ${reason}`;
  return new UserError("data_folder_unusable", message, hint, { cause });
}

export function giveTo(account: Account | undefined, ...paths: string[]): void {
  if (account === undefined) return;
  for (const path of paths) chownSync(path, account.uid, account.gid);
}
