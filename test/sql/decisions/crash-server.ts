import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { serverAccount } from "../../../src/postgres/account.ts";
import { findBinaries } from "../../../src/postgres/binaries.ts";
import { createCluster, giveTo } from "../../../src/postgres/cluster.ts";
import { withConnection } from "../../../src/postgres/connect.ts";
import { freePort } from "../../../src/postgres/free-port.ts";
import { readPostmaster } from "../../../src/postgres/postmaster.ts";
import { type RunningServer, type ServerSpec, startServer } from "../../../src/postgres/server.ts";

export interface CrashServer {
  readonly url: string;
  /** kill -9 of the server and all its processes, as the machine's end would do it. */
  crash(): Promise<void>;
  /** Starts it again on what the crash left. */
  restart(): Promise<void>;
  remove(): Promise<void>;
}

/** A server that may be killed. */
export async function startCrashServer(): Promise<CrashServer> {
  const account = serverAccount();
  const home = mkdtempSync(join(tmpdir(), "storage-qos-crash-"));
  giveTo(account, home);
  const folder = join(home, "data");
  const superuserPassword = crypto.randomUUID();
  const binaries = findBinaries(account);
  await createCluster({ binaries, account, folder, superuserPassword, durable: false });
  const spec = {
    ...{ binaries, account, folder, port: await freePort() },
    logFile: join(home, "postgres.log"),
    settings: {
      // What a killed server handed to the operating system is not lost: no need for the disk.
      fsync: "off",
      // What it did not hand over is: the longer it waits, the more there is to forget.
      wal_writer_delay: "10s",
      shared_preload_libraries: "pg_stat_statements",
    },
  };
  const url = `postgres://postgres:${superuserPassword}@127.0.0.1:${spec.port}/postgres`;
  let server = await startServer(spec);
  return {
    url,
    async crash() {
      const pids = await processesOf(url, folder);
      for (const pid of pids) kill(pid);
      await server.stop();
    },
    async restart() {
      server = await startOnceTheyAreGone(spec);
    },
    async remove() {
      await server.stop();
      rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** The server first, so that it starts no other process. */
async function processesOf(url: string, folder: string): Promise<number[]> {
  const others = await withConnection(url, (sql) => sql`select pid from pg_stat_activity`);
  const server = readPostmaster(folder);
  return [...(server ? [server.pid] : []), ...others.map(({ pid }) => pid)];
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It went by itself meanwhile.
  }
}

/** While one of the killed still holds their shared memory, the next server refuses to start. */
async function startOnceTheyAreGone(spec: ServerSpec): Promise<RunningServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startServer(spec);
    } catch (error) {
      if (attempt === 50) throw error;
      await sleep(100);
    }
  }
}
