import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { vi } from "vitest";
import { serverAccount } from "../../src/postgres/account.ts";
import { freePort } from "../../src/postgres/free-port.ts";

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

/** PgBouncer in transaction mode, with two sessions to the server. */
export async function startPgBouncer(url: string): Promise<PgBouncer> {
  if (pgbouncerProgram === undefined) throw new Error("pgbouncer is not installed");
  const target = new URL(url);
  const [login, password] = [target.username, target.password].map(decodeURIComponent);
  const port = await freePort();
  const home = mkdtempSync(join(tmpdir(), "qos-pgbouncer-"));
  const account = serverAccount();
  const config = join(home, "pgbouncer.ini");
  const users = join(home, "users.txt");
  writeFileSync(users, `"${login}" "${password}"\n`);
  writeFileSync(
    config,
    `[databases]
* = host=${target.hostname} port=${target.port || 5432}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = 2
max_client_conn = 100
server_round_robin = 1
`,
  );
  for (const path of [home, users, config]) {
    if (account !== undefined) chownSync(path, account.uid, account.gid);
  }
  chmodSync(home, 0o700);
  const process = spawn(pgbouncerProgram, ["-q", config], {
    ...account,
    cwd: "/",
    stdio: "ignore",
  });
  await vi.waitFor(() => reach(port), { timeout: 30_000 });
  target.hostname = "127.0.0.1";
  target.port = String(port);
  return { url: target.href, stop: () => stop(process, home) };
}

async function reach(port: number): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
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
