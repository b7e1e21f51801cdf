import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { migrate } from "../migrations/migrate.ts";
import { serverAccount } from "../postgres/account.ts";
import { findBinaries } from "../postgres/binaries.ts";
import { createCluster, giveTo } from "../postgres/cluster.ts";
import { copyCluster } from "../postgres/cluster-image.ts";
import { type Sql, withConnection } from "../postgres/connect.ts";
import { freePort } from "../postgres/free-port.ts";
import { imageDatabase, migratedImage } from "../postgres/migrated-image.ts";
import { readPostmaster } from "../postgres/postmaster.ts";
import { type RunningServer, type ServerSpec, startServer } from "../postgres/server.ts";
import { withDatabase } from "../postgres/url.ts";
import { within } from "./within.ts";

const run = promisify(execFile);

/** What a killed server handed to the operating system is not lost: no need for the disk. */
const settings = {
  fsync: "off",
  max_connections: "200",
  shared_preload_libraries: "pg_stat_statements",
};

const endMs = 30_000;

/** A PostgreSQL server with a streaming standby. The one may be killed, the other promoted. */
export class TortureServer {
  readonly #home: string;
  readonly #password: string;
  #spec: ServerSpec;
  #server: RunningServer;
  #standby: { readonly spec: ServerSpec; readonly server: RunningServer } | undefined;

  private constructor(home: string, password: string, spec: ServerSpec, server: RunningServer) {
    this.#home = home;
    this.#password = password;
    this.#spec = spec;
    this.#server = server;
  }

  static async start(): Promise<TortureServer> {
    const account = serverAccount();
    const [binaries, image] = [findBinaries(account), await migratedImage()];
    const home = mkdtempSync(join(tmpdir(), "storage-qos-torture-"));
    giveTo(account, home);
    const folder = join(home, "primary");
    const superuserPassword = image?.password ?? crypto.randomUUID();
    if (image) await copyCluster(image.folder, folder);
    else await createCluster({ binaries, account, folder, superuserPassword, durable: false });
    const spec = {
      ...{ binaries, account, folder, port: await freePort(), settings },
      logFile: join(home, "primary.log"),
    };
    const server = new TortureServer(home, superuserPassword, spec, await startServer(spec));
    if (image === undefined) {
      const maintenance = withDatabase(server.url(), "postgres");
      await withConnection(maintenance, (sql) => sql`create database ${sql(imageDatabase)}`);
      await migrate(server.url());
    }
    return server;
  }

  get port(): number {
    return this.#spec.port;
  }

  /** The database of the run, as the superuser, past every proxy. */
  url(port = this.port): string {
    const server = `postgres://postgres:${this.#password}@127.0.0.1:${port}/postgres`;
    return withDatabase(server, imageDatabase);
  }

  /** A connection of the superuser past every proxy. No statement of a run takes long. */
  withOwner<T>(use: (sql: Sql) => Promise<T>, url = this.url()): Promise<T> {
    return withConnection(url, use, {
      connect_timeout: endMs / 1_000,
      connection: { statement_timeout: endMs },
    });
  }

  /** What pg_basebackup does, which the embedded binaries lack, and a standby that follows. */
  async addStandby(): Promise<void> {
    const { account } = this.#spec;
    const folder = join(this.#home, "standby");
    const [label] = await this.withOwner(async (sql) => {
      await sql`select pg_backup_start('torture', true)`;
      await run("cp", ["-a", this.#spec.folder, folder], { timeout: endMs });
      return sql`select labelfile from pg_backup_stop()`;
    });
    rmSync(join(folder, "postmaster.pid"), { force: true });
    rmSync(join(folder, "pg_wal"), { recursive: true });
    mkdirSync(join(folder, "pg_wal"), { mode: 0o700 });
    writeFileSync(join(folder, "backup_label"), label?.labelfile);
    writeFileSync(join(folder, "standby.signal"), "");
    for (const file of ["pg_wal", "backup_label", "standby.signal"]) {
      giveTo(account, join(folder, file));
    }
    const conninfo = `host=127.0.0.1 port=${this.port} user=postgres password=${this.#password}`;
    const spec = {
      ...{
        ...this.#spec,
        folder,
        port: await freePort(),
        logFile: join(this.#home, "standby.log"),
      },
      settings: { ...settings, primary_conninfo: conninfo },
    };
    this.#standby = { spec, server: await startServer(spec) };
  }

  get hasStandby(): boolean {
    return this.#standby !== undefined;
  }

  /** kill -9 of the server and all its processes, as the machine's end would do it. */
  async crash(): Promise<void> {
    const postmaster = readPostmaster(this.#spec.folder);
    const backends = await this.withOwner(
      (sql) => sql<{ pid: number }[]>`select pid from pg_stat_activity`,
    ).catch(() => []);
    for (const pid of [postmaster?.pid ?? 0, ...backends.map(({ pid }) => pid)]) kill(pid);
    await within(endMs, "the end of a killed server", this.#server.ended);
  }

  /** While one of the killed still holds their shared memory, the next server refuses to start. */
  async restart(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        this.#server = await startServer(this.#spec);
        return;
      } catch (error) {
        if (attempt === 50) throw error;
        await sleep(100);
      }
    }
  }

  /** The standby takes over from a primary that was killed. */
  async promote(): Promise<void> {
    if (this.#standby === undefined) throw new Error("there is no standby");
    const { spec, server } = this.#standby;
    this.#standby = undefined;
    await this.withOwner((sql) => sql`select pg_promote()`, this.url(spec.port));
    this.#spec = spec;
    this.#server = server;
  }

  async stop(): Promise<void> {
    await this.#standby?.server.stop();
    await this.#server.stop();
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 5 });
  }
}

function kill(pid: number): void {
  try {
    if (pid > 0) process.kill(pid, "SIGKILL");
  } catch {
    // It went by itself meanwhile.
  }
}
