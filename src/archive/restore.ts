import { pipeline, type Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { withConnection } from "../postgres/connect.ts";
import { inTransaction } from "../postgres/transaction.ts";
import { drainDefaultPartitions } from "./drain-default-partitions.ts";
import { verifyArchive } from "./manifest.ts";
import { type CsvRecord, parseCsv } from "./parse-csv.ts";
import { restoreRows } from "./restore-rows.ts";
import type { ArchiveStore } from "./store.ts";

const recordsPerCall = 1_000;

export interface Restored {
  readonly relation: string;
  readonly restored: number;
  /** Rows of the archive that the table had already. */
  readonly present: number;
}

/** Puts an archive's rows back into their table, all or none, as the owner; safe to do again. */
export async function restoreArchive(
  ownerUrl: string,
  store: ArchiveStore,
  manifestName: string,
): Promise<Restored> {
  const { file, manifest } = await verifyArchive(store, manifestName);
  const { relation } = manifest;
  return withConnection(ownerUrl, async (sql) => {
    const restored = await inTransaction(sql, async (transaction) => {
      let count = 0;
      for await (const { columns, records } of batchesOf(await reopen(store, file))) {
        count += await restoreRows(transaction, relation, columns, records);
      }
      return count;
    });
    await drainDefaultPartitions(sql);
    return { relation, restored, present: manifest.rows - restored };
  });
}

interface Batch {
  readonly columns: readonly string[];
  readonly records: readonly CsvRecord[];
}

async function reopen(store: ArchiveStore, file: string): Promise<Readable> {
  const source = await store.read(file);
  if (source === undefined) throw new Error(`${store.locate(file)} does not exist any more`);
  return source;
}

async function* batchesOf(source: Readable): AsyncGenerator<Batch> {
  // A failure of the source ends the loop below.
  const text = pipeline(source, createGunzip(), () => {}).setEncoding("utf8");
  let columns: string[] | undefined;
  let records: CsvRecord[] = [];
  for await (const record of parseCsv(text)) {
    if (columns === undefined) {
      columns = record.map(String);
      continue;
    }
    records.push(record);
    if (records.length < recordsPerCall) continue;
    yield { columns, records };
    records = [];
  }
  if (columns !== undefined && records.length > 0) yield { columns, records };
}
