import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import { migrate } from "../migrations/migrate.ts";
import { connect, type Sql, withConnection } from "../postgres/connect.ts";
import { startThrowawayServer } from "../postgres/throwaway-server.ts";
import { withDatabase } from "../postgres/url.ts";
import { noHugePages, reserveHugePages } from "./huge-pages.ts";
import type { Bench, Running } from "./types.ts";

/**
 * Of the embedded server. Commits reach the disk, as in production; workloads say which of them
 * wait for it. Memory and WAL have room enough that no checkpoint falls into a round.
 */
const serverSettings = {
  fsync: "on",
  full_page_writes: "on",
  synchronous_commit: "on",
  shared_buffers: "512MB",
  max_wal_size: "8GB",
  checkpoint_timeout: "30min",
  jit: "off",
};

export interface BenchDatabase {
  readonly url: string;
  readonly sql: Sql;
  remove(): Promise<void>;
}

/** A database of the benchmark's own, with its world: embedded, or on the server of DATABASE_URL. */
export function openBenchDatabase(applications: number): Promise<BenchDatabase> {
  return openWorld(applications, serverSettings);
}

/** The same without the source design's tables; most of the applications are copies: loaded fast. */
export function openGrowthDatabase(applications: number): Promise<BenchDatabase> {
  return openWorld(applications, serverSettings, makeLargeWorld);
}

export interface LargeWorld extends BenchDatabase {
  readonly hugePages: number;
}

/**
 * On a server of its own, where that can be: with as much of the memory as PostgreSQL advises, in
 * huge pages where this process may reserve some.
 */
export async function openLargeWorld({ applications }: Bench): Promise<LargeWorld> {
  const megabytes = Math.floor(totalmem() / 4 / 2 ** 20);
  const pages = process.env.DATABASE_URL ? noHugePages : reserveHugePages(megabytes * 2 ** 20);
  const settings = { ...serverSettings, shared_buffers: `${megabytes}MB` };
  try {
    const database = await openWorld(applications, settings);
    const remove = async () => {
      await database.remove();
      pages.giveBack();
    };
    return { ...database, remove, hugePages: pages.count };
  } catch (error) {
    pages.giveBack();
    throw error;
  }
}

async function openWorld(
  applications: number,
  settings: Readonly<Record<string, string>>,
  make = makeWorld,
): Promise<BenchDatabase> {
  const serverUrl = process.env.DATABASE_URL;
  const server = serverUrl
    ? { url: serverUrl, stop: async () => {} }
    : await startThrowawayServer(undefined, settings);
  try {
    const database = await openDatabaseBeside(server.url);
    const remove = async () => {
      await database.remove();
      await server.stop();
    };
    await madeWorld(database, applications, make);
    return { ...database, remove };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** One more with the same world, for what would disturb the others' figures. */
export async function openWorldBeside({ url, applications }: Bench): Promise<BenchDatabase> {
  const database = await openDatabaseBeside(url);
  await madeWorld(database, applications);
  return database;
}

/** What a workload runs in a database of its own, which goes with it. */
export async function startIn<D extends BenchDatabase>(
  opened: Promise<D>,
  start: (database: D) => Promise<Pick<Running, "round">>,
): Promise<Running> {
  const database = await opened;
  try {
    return { ...(await start(database)), stop: database.remove };
  } catch (error) {
    await database.remove();
    throw error;
  }
}

/** A migrated database, and nothing in it, on the server of this URL. */
export async function openDatabaseBeside(serverUrl: string): Promise<BenchDatabase> {
  const name = `storage_qos_bench_${randomBytes(4).toString("hex")}`;
  const url = withDatabase(serverUrl, name);
  await withConnection(serverUrl, (admin) => admin`create database ${admin(name)}`);
  const sql = connect(url, { max: 1 });
  const remove = async () => {
    await sql.end();
    await withConnection(
      serverUrl,
      (admin) => admin`drop database if exists ${admin(name)} with (force)`,
    );
  };
  try {
    await migrate(url);
    return { url, sql, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function madeWorld(
  { sql, remove }: BenchDatabase,
  applications: number,
  make = makeWorld,
): Promise<void> {
  try {
    await make(sql, applications);
  } catch (error) {
    await remove();
    throw error;
  }
}

async function makeWorld(sql: Sql, applications: number): Promise<void> {
  await loadScripts(sql);
  await sql.unsafe(`call bench.make_world(${applications})`);
  await sql`select naive.make_world(${applications})`;
  await sql`vacuum analyze`;
}

async function makeLargeWorld(sql: Sql, applications: number): Promise<void> {
  await loadScripts(sql);
  await sql.unsafe(`call bench.make_large_world(${applications})`);
  await sql`vacuum analyze`;
}

/** What makes worlds, the naive one and ledgers; none of them yet. */
export async function loadScripts(sql: Sql): Promise<void> {
  const folder = join(import.meta.dirname, "sql");
  for (const file of readdirSync(folder).sort()) {
    await sql.unsafe(readFileSync(join(folder, file), "utf8"));
  }
}
