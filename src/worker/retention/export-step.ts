import type { PoolClient } from "pg";
import { type ArchivedColumn, archivedColumns } from "../../archive/columns.ts";
import { type Contents, writeCompressed } from "../../archive/compressed-lines.ts";
import { type ExportCall, readLines } from "../../archive/lines.ts";
import {
  type Manifest,
  manifestName,
  verifyArchive,
  writeManifest,
} from "../../archive/manifest.ts";
import type { ArchiveStore } from "../../archive/store.ts";
import { withTempFile } from "../../archive/temp-file.ts";
import { uniqueName } from "../../archive/unique-name.ts";
import type { RetentionStep } from "./step.ts";

/** The number of rows in the database, and their first and last moment. */
export interface Extent {
  readonly row_count: string;
  readonly min_time: string | null;
  readonly max_time: string | null;
}

const asText = "row_count::text, min_time::text, max_time::text";

/**
 * Exports what a step of retention would remove, and reads the file back before it answers: only
 * then may the rows go. Rows and their extent come from one snapshot.
 */
export async function exportStep(
  client: PoolClient,
  store: ArchiveStore,
  step: RetentionStep,
): Promise<Manifest> {
  const stem = `${step.data_type}/${fileStem(step)}`;
  const file = await withTempFile(store, stem, async (tempFile) => {
    const { extent, columns, ...contents } = await writeTempFile(client, step, tempFile);
    const name = await uniqueName(store, stem, contents);
    await store.put(name, tempFile, contents.sha256);
    await writeManifest(store, name, {
      data_type: step.data_type,
      relation: step.relation,
      partition: step.partition_name,
      columns,
      cutoff: step.cutoff,
      min_time: extent.min_time,
      max_time: extent.max_time,
      ...contents,
    });
    return name;
  });
  const { manifest } = await verifyArchive(store, manifestName(file));
  return manifest;
}

interface Written extends Contents {
  readonly extent: Extent;
  readonly columns: readonly ArchivedColumn[];
}

async function writeTempFile(
  client: PoolClient,
  step: RetentionStep,
  tempFile: string,
): Promise<Written> {
  const calls = callsOf(step);
  await client.query("begin isolation level repeatable read");
  try {
    const names: string[] = [];
    const lines = noteNames(readLines(client, calls.lines), names);
    const contents = await writeCompressed(tempFile, lines);
    const { statement, values } = calls.extent;
    const { rows } = await client.query<Extent>(statement, [...values]);
    const [extent] = rows;
    if (extent === undefined || Number(extent.row_count) !== contents.rows) {
      throw new Error(`${contents.rows} rows were exported, not ${extent?.row_count}`);
    }
    return { ...contents, extent, columns: await archivedColumns(client, step.relation, names) };
  } finally {
    await client.query("rollback");
  }
}

/** Passes lines on, and keeps the names of the columns, which the first one is. */
async function* noteNames(lines: AsyncIterable<string>, names: string[]): AsyncGenerator<string> {
  for await (const chunk of lines) {
    if (names.length === 0) {
      const [first = ""] = chunk.split("\n", 1);
      names.push(...first.split(",").map((name) => name.replaceAll('"', "")));
    }
    yield chunk;
  }
}

/** Rows of one cutoff make one file: the name tells the moment. */
function fileStem({ data_type, partition_name, cutoff }: RetentionStep): string {
  return partition_name ?? `${data_type}_until_${cutoff.replace(/[^0-9A-Za-z]+/g, "_")}`;
}

function callsOf(step: RetentionStep): { lines: ExportCall; extent: ExportCall } {
  if (step.partition_name === null) {
    const values = [step.data_type, step.cutoff];
    return {
      lines: { statement: "select rate_limiter_private.export_rows($1, $2) as line", values },
      extent: {
        statement: `select ${asText} from rate_limiter_private.rows_extent($1, $2)`,
        values,
      },
    };
  }
  const values = [step.partition_name];
  return {
    lines: { statement: "select rate_limiter_private.export_partition($1) as line", values },
    extent: {
      statement: `select ${asText} from rate_limiter_private.partition_extent($1)`,
      values,
    },
  };
}
