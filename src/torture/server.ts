import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { migrate } from "../migrations/migrate.ts";
import { imageDatabase, migratedImage } from "../migrations/migrated-image.ts";
import { serverAccount } from "../postgres/account.ts";
import { findBinaries } from "../postgres/binaries.ts";
import { createCluster, giveTo } from "../postgres/cluster.ts";
import { copyCluster } from "../postgres/cluster-image.ts";
import { type Sql, withConnection } from "../postgres/connect.ts";
import { freePort } from "../postgres/free-port.ts";
import { readPostmaster } from "../postgres/postmaster.ts";
import { type RunningServer, type ServerSpec, startServer } from "../postgres/server.ts";
import { withDatabase } from "../postgres/url.ts";
import { FakeClock } from "./fake-clock.ts";
import { SmallDisk } from "./small-disk.ts";
import { within } from "./within.ts";

const run = promisify(execFile);

/** What a killed server handed to the operating system is not lost: no need for the disk. */
const settings = {
  fsync: "off",
  max_connections: "200",
  shared_preload_libraries: "pg_stat_statements",
  // What a disk of this size has room for, and a standby may be behind.
  max_wal_size: "192MB",
  wal_keep_size: "96MB",
};

const diskMegabytes = 1_024;

const endMs = 30_000;

/** A PostgreSQL server with a streaming standby. The one may be killed, the other promoted. */
export class TortureServer {
  readonly #home: string;
  readonly #password: string;
  readonly #disks = new Map<string, SmallDisk>();
  /** Absent in a run that does not set it, and where libfaketime is not installed. */
  readonly clock: FakeClock | undefined;
  #spec: ServerSpec;
  #server: RunningServer;
  #standby: { readonly spec: ServerSpec; readonly server: RunningServer } | undefined;

  private constructor({ home, password, clock, disk, spec, server }: Made) {
    this.#home = home;
    this.#password = password;
    this.clock = clock;
    this.#spec = spec;
    this.#server = server;
    if (disk !== undefined) this.#disks.set(spec.folder, disk);
  }

  static async start({ withClock }: { withClock: boolean }): Promise<TortureServer> {
    const account = serverAccount();
    const [binaries, image] = [findBinaries(account), await migratedImage()];
    const home = mkdtempSync(join(tmpdir(), "storage-qos-torture-"));
    giveTo(account, home);
    const clock = withClock ? FakeClock.find(home) : undefined;
    const { folder, disk } = placeFor(join(home, "primary"));
    const superuserPassword = image?.password ?? crypto.randomUUID();
    if (image) await copyCluster(image.folder, folder);
    else await createCluster({ binaries, account, folder, superuserPassword, durable: false });
    const spec = {
      ...{ binaries, account, folder, port: await freePort(), settings },
      logFile: join(home, "primary.log"),
      ...(clock === undefined ? {} : { environment: clock.environment }),
    };
    const running = await startServer(spec);
    const server = new TortureServer({
      ...{ home, password: superuserPassword, clock, disk, spec, server: running },
    });
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
    const { folder, disk } = placeFor(join(this.#home, "standby"));
    if (disk !== undefined) this.#disks.set(folder, disk);
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

  /** Of the server that decides; undefined where this program may not mount one. */
  get disk(): SmallDisk | undefined {
    return this.#disks.get(this.#spec.folder);
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

  /** Its log: told from a size on, what has happened since then. */
  log(): string {
    return readFileSync(this.#spec.logFile, "utf8");
  }

  /** Resolves once it answers: by itself, or after another start where it has ended. */
  async answersAgain(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const hasEnded = await Promise.race([this.#server.ended.then(() => true), sleep(100, false)]);
      if (hasEnded) await this.restart();
      try {
        await this.withOwner((sql) => sql`select`);
        return;
      } catch (error) {
        if (attempt === 100) throw error;
      }
    }
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
    for (const disk of this.#disks.values()) disk.unmount();
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 5 });
  }
}

interface Made {
  readonly home: string;
  readonly password: string;
  readonly clock: FakeClock | undefined;
  readonly disk: SmallDisk | undefined;
  readonly spec: ServerSpec;
  readonly server: RunningServer;
}

/** A folder for data, on a disk of its own where that can be. */
function placeFor(mountPoint: string): { folder: string; disk: SmallDisk | undefined } {
  mkdirSync(mountPoint, { mode: 0o755 });
  const disk = SmallDisk.mount(mountPoint, diskMegabytes);
  return { folder: join(mountPoint, "data"), disk };
}

function kill(pid: number): void {
  try {
    if (pid > 0) process.kill(pid, "SIGKILL");
  } catch {
    // It went by itself meanwhile.
  }
}
