import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { withConnection } from "../../postgres/connect.ts";
import { verifyArchive } from "./manifest.ts";
import { moveStragglers } from "./move-stragglers.ts";
import { type CsvRecord, parseCsv } from "./parse-csv.ts";
import { restoreRows } from "./restore-rows.ts";

const recordsPerCall = 1_000;

export interface Restored {
  readonly relation: string;
  readonly restored: number;
  /** Rows of the archive that the table had already. */
  readonly present: number;
}

/** Puts an archive's rows back into their table, all or none, as the owner; safe to do again. */
export async function restoreArchive(ownerUrl: string, manifestFile: string): Promise<Restored> {
  const { file, manifest } = await verifyArchive(manifestFile);
  const { relation } = manifest;
  return withConnection(ownerUrl, async (sql) => {
    const restored = await sql.begin(async (transaction) => {
      let count = 0;
      for await (const { columns, records } of batchesOf(file)) {
        count += await restoreRows(transaction, relation, columns, records);
      }
      return count;
    });
    await moveStragglers(sql);
    return { relation, restored, present: manifest.rows - restored };
  });
}

interface Batch {
  readonly columns: readonly string[];
  readonly records: readonly CsvRecord[];
}

async function* batchesOf(file: string): AsyncGenerator<Batch> {
  const text = createReadStream(file).pipe(createGunzip()).setEncoding("utf8");
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
