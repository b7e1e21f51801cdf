import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { projectPath } from "../paths.ts";
import { serverAccount } from "../postgres/account.ts";
import { freePort } from "../postgres/free-port.ts";
import { sessionSettings } from "../postgres/session-settings.ts";

/** The program, where it is installed. */
export const pgbouncerProgram = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin"]
  .map((folder) => join(folder, "pgbouncer"))
  .find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

export interface PgBouncer {
  /** The same login and database, through the pooler. */
  readonly url: string;
  stop(): Promise<void>;
}

/** What sessions of the product set at their start, for a pooler that is to drop it. */
export const sessionParameters: string = [
  ...Object.keys(sessionSettings),
  "options",
  "statement_timeout",
].join(", ");

/** Settings of PgBouncer other than those that are shipped. */
type Settings = Readonly<Record<string, string | number>>;

/** PgBouncer as src/deploy/pooler has it, for the login of a URL. */
export async function startPgBouncer(url: string, settings: Settings = {}): Promise<PgBouncer> {
  if (pgbouncerProgram === undefined) throw new Error("pgbouncer is not installed");
  const target = new URL(url);
  const port = await freePort();
  const home = mkdtempSync(join(tmpdir(), "qos-pgbouncer-"));
  const account = serverAccount();
  const config = writeConfiguration(home, target, { listen_port: port, ...settings });
  if (account !== undefined) {
    for (const path of [home, ...Object.values(config)]) {
      chownSync(path, account.uid, account.gid);
    }
  }
  const process = spawn(pgbouncerProgram, ["-q", config.file], {
    ...account,
    cwd: "/",
    stdio: "ignore",
  });
  await untilItListens(process, port);
  target.hostname = "127.0.0.1";
  target.port = String(port);
  return { url: target.href, stop: () => stop(process, home) };
}

function writeConfiguration(home: string, target: URL, settings: Settings) {
  const [login, password] = [target.username, target.password].map(decodeURIComponent);
  const config = { file: join(home, "pgbouncer.ini"), users: join(home, "users.txt") };
  writeFileSync(config.users, `"${login}" "${password}"\n`, { mode: 0o600 });
  const own = {
    ...{ listen_addr: "127.0.0.1", auth_file: config.users },
    // A server that asks for no password.
    ...(password === "" ? { auth_type: "trust" } : {}),
  };
  const database = `* = host=${target.hostname} port=${target.port || 5432}`;
  writeFileSync(config.file, changed(database, { ...own, ...settings }), { mode: 0o600 });
  chmodSync(home, 0o700);
  return config;
}

/** The shipped file before another server. PgBouncer forgets a section that comes again. */
function changed(database: string, settings: Settings): string {
  const kept = readFileSync(projectPath("src/deploy/pooler/pgbouncer.ini"), "utf8")
    .replace(/^storage_qos = .*$/m, database)
    .split("\n")
    .filter((line) => !((line.split(" = ")[0] as string) in settings));
  const own = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  return `${[...kept, ...own].join("\n")}\n`;
}

async function untilItListens(process: ChildProcess, port: number): Promise<void> {
  while (!(await listens(port))) {
    if (process.exitCode !== null) throw new Error(`pgbouncer ended with ${process.exitCode}`);
    await sleep(20);
  }
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function stop(process: ChildProcess, home: string): Promise<void> {
  if (process.exitCode === null) {
    const exit = once(process, "exit");
    process.kill("SIGKILL");
    await exit;
  }
  rmSync(home, { recursive: true, force: true });
}
