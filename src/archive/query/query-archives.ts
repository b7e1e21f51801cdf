import { createWriteStream } from "node:fs";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import type { DuckDBConnection } from "@duckdb/node-api";
import { InputError } from "../../user-error.ts";
import type { ArchiveStore } from "../store.ts";
import { type ArchivedTables, archivedTables, viewOf } from "./archived-tables.ts";
import { confine, literal, withEngine } from "./engine.ts";

export interface Answer {
  readonly columns: readonly string[];
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  /** The query has more rows than were asked for. */
  readonly isCut: boolean;
}

/** The first rows that a query answers over all archives of a place, where they lie. */
export async function queryArchives(
  store: ArchiveStore,
  query: string,
  most: number,
): Promise<Answer> {
  return withTables(store, query, undefined, async (engine) => {
    const result = await engine.streamAndReadUntil(selected(query), most + 1);
    const rows = result.getRowObjectsJson();
    return { columns: result.columnNames(), rows: rows.slice(0, most), isCut: rows.length > most };
  });
}

/** Writes what a query answers into a Parquet file, compressed by zstd. Answers the number of rows. */
export async function writeParquet(
  store: ArchiveStore,
  query: string,
  file: string,
): Promise<number> {
  const path = resolve(file);
  return withTables(store, query, path, async (engine) => {
    const target = `${literal(path)} (format parquet, compression zstd)`;
    const result = await engine.runAndReadAll(`copy (${selected(query)}) to ${target}`);
    return Number(result.getRows()[0]?.[0]);
  });
}

/** Within parentheses a query can be nothing but one. A comment at its end ends before them. */
function selected(query: string): string {
  return `select * from (${query.trim().replace(/;$/, "")}\n)`;
}

async function withTables<T>(
  store: ArchiveStore,
  query: string,
  written: string | undefined,
  use: (engine: DuckDBConnection) => Promise<T>,
): Promise<T> {
  const all = await archivedTables(store);
  const asked = new Map([...all].filter(([table]) => query.includes(table)));
  return withFiles(store, asked, (folder, pathOf) =>
    withEngine(async (engine) => {
      try {
        for (const [table, files] of asked) await engine.run(viewOf(table, files, pathOf));
        await confine(engine, folder, written);
        return await use(engine);
      } catch (error) {
        throw refused(error, [...all.keys()]);
      }
    }),
  );
}

/** The files themselves, where they lie on this machine; else copies, for as long as it takes. */
async function withFiles<T>(
  store: ArchiveStore,
  tables: ArchivedTables,
  use: (folder: string, pathOf: (name: string) => string) => Promise<T>,
): Promise<T> {
  if (store.folder !== undefined) {
    const folder = await realpath(store.folder);
    return use(folder, (name) => join(folder, name));
  }
  const folder = await mkdtemp(join(await realpath(tmpdir()), "storage-qos-archive-"));
  try {
    const names = [...tables.values()].flat().flatMap((files) => files.names);
    const paths = new Map(names.map((name, place) => [name, join(folder, `${place}.csv.gz`)]));
    for (const [name, path] of paths) await download(store, name, path);
    return await use(folder, (name) => paths.get(name) ?? name);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function download(store: ArchiveStore, name: string, path: string): Promise<void> {
  const source = await store.read(name);
  if (source === undefined) {
    throw new InputError("archive_damaged", `${store.locate(name)} is not there`);
  }
  await pipeline(source, createWriteStream(path, { mode: 0o600 }));
}

function refused(cause: unknown, tables: readonly string[]): InputError {
  const [message = ""] = (cause as Error).message.split("\n\n");
  return new InputError(
    "archive_query_refused",
    `DuckDB refuses the query: ${message}`,
    `Write one SELECT of DuckDB's SQL. There are: ${tables.join(", ") || "no archives"}.`,
    { cause },
  );
}
