import type { PoolClient } from "pg";
import type { ArchiveStore } from "../../archive/store.ts";
import { UserError } from "../../user-error.ts";
import { dropExportedPartition } from "./drop-exported-partition.ts";
import { dropPartition } from "./drop-partition.ts";
import { expireRows } from "./expire-rows.ts";
import { exportStep } from "./export-step.ts";
import type { RetentionStep } from "./step.ts";

export interface RetentionOptions {
  readonly archive: ArchiveStore | undefined;
  readonly signal: AbortSignal;
}

/**
 * Executes one step. Where an export comes first and fails, nothing is removed. A partition that is
 * gone was dropped by a statement that outlived its worker: then nothing is left to do.
 */
export async function executeStep(
  client: PoolClient,
  step: RetentionStep,
  options: RetentionOptions,
): Promise<void> {
  try {
    await removeExpired(client, step, options);
  } catch (error) {
    if (step.partition_name === null || !isGone(error)) throw error;
  }
}

/** Unknown when it was looked for, or undefined when its lock was waited for. */
function isGone(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code === "QS404" || code === "42P01";
}

async function removeExpired(
  client: PoolClient,
  step: RetentionStep,
  { archive, signal }: RetentionOptions,
): Promise<void> {
  const { partition_name: partition } = step;
  if (!step.export_first) {
    if (partition !== null) return dropPartition(client, partition, signal);
    return expireRows(client, step, signal);
  }
  if (archive === undefined) {
    throw new UserError(
      "archive_folder_missing",
      `${step.data_type} is to be exported first, and QOS_ARCHIVE_FOLDER is not set`,
      "Set it to a folder that is backed up or to s3://bucket/folder, or have the policy export nothing.",
    );
  }
  const manifest = await exportStep(client, archive.until(signal), step);
  if (partition !== null) return dropExportedPartition(client, manifest, signal);
  return expireRows(client, step, signal);
}
