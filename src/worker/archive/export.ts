import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { PoolClient } from "pg";
import type { RetentionStep } from "../retention/step.ts";
import { writeCompressed } from "./compressed-lines.ts";
import { freeName } from "./free-name.ts";
import { type ExportCall, readLines } from "./lines.ts";
import { type Manifest, manifestPath, verifyArchive, writeManifest } from "./manifest.ts";

/** How many rows there are in the database, and from when to when. */
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
  folder: string,
  step: RetentionStep,
): Promise<Manifest> {
  const stem = join(folder, step.data_type, fileStem(step));
  await mkdir(dirname(stem), { recursive: true, mode: 0o700 });
  let file: string;
  await client.query("begin isolation level repeatable read");
  try {
    const { lines, extent } = callsOf(step);
    const draft = `${stem}.${process.pid}.partial`;
    const { path, ...contents } = await writeCompressed(
      draft,
      readLines(client, lines),
      (written) => freeName(stem, written),
    );
    file = path;
    const answer = await client.query<Extent>(extent.statement, [...extent.values]);
    const [found] = answer.rows;
    if (found === undefined || Number(found.row_count) !== contents.rows) {
      throw new Error(`${file} holds ${contents.rows} rows, not ${found?.row_count}`);
    }
    await writeManifest(file, {
      data_type: step.data_type,
      relation: step.relation,
      partition: step.partition_name,
      cutoff: step.cutoff,
      min_time: found.min_time,
      max_time: found.max_time,
      ...contents,
    });
  } finally {
    await client.query("rollback");
  }
  const { manifest } = await verifyArchive(manifestPath(file));
  return manifest;
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
