import type { ArchivedColumn } from "../columns.ts";
import { listManifests } from "../list.ts";
import { fileBeside, readManifest } from "../manifest.ts";
import type { ArchiveStore } from "../store.ts";
import { columnType } from "./column-type.ts";
import { identifier, list, literal } from "./engine.ts";

/** The files of one type of data that have the same columns. */
export interface ArchivedFiles {
  readonly columns: readonly ArchivedColumn[];
  readonly names: string[];
}

/** By type of data, which is the name of its table. A file without a manifest does not count. */
export type ArchivedTables = ReadonlyMap<string, readonly ArchivedFiles[]>;

export async function archivedTables(store: ArchiveStore): Promise<ArchivedTables> {
  const tables = new Map<string, ArchivedFiles[]>();
  for (const name of await listManifests(store)) {
    const manifest = await readManifest(store, name);
    const { data_type, columns } = manifest;
    const groups = tables.get(data_type) ?? [];
    tables.set(data_type, groups);
    const path = fileBeside(name, manifest);
    const alike = groups.find((group) => isSame(group.columns, columns));
    if (alike === undefined) groups.push({ columns, names: [path] });
    else alike.names.push(path);
  }
  return tables;
}

function isSame(one: readonly ArchivedColumn[], other: readonly ArchivedColumn[]): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** The view of a type of data over its files; a column that some lack is null in their rows. */
export function viewOf(
  table: string,
  files: readonly ArchivedFiles[],
  pathOf: (name: string) => string,
): string {
  const parts = files.map(({ columns, names }) => {
    const typed = columns.map(({ name, type }) => `${literal(name)}: ${literal(columnType(type))}`);
    return (
      `select * from read_csv(${list(names.map(pathOf))}, header = true, auto_detect = false, ` +
      "compression = 'gzip', delim = ',', quote = '\"', escape = '\"', nullstr = '', " +
      `allow_quoted_nulls = false, columns = {${typed.join(", ")}})`
    );
  });
  return `create view ${identifier(table)} as ${parts.join(" union all by name ")}`;
}
