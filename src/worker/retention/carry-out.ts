import type { PoolClient } from "pg";
import { UserError } from "../../user-error.ts";
import { exportStep } from "../archive/export.ts";
import { dropExportedPartition } from "./drop-exported-partition.ts";
import { expireRows } from "./expire-rows.ts";
import type { RetentionStep } from "./step.ts";

export interface RetentionOptions {
  readonly archiveFolder: string | undefined;
  readonly signal: AbortSignal;
}

/** Does one step; where it has to be exported first and that fails, everything stays. */
export async function carryOut(
  client: PoolClient,
  step: RetentionStep,
  { archiveFolder, signal }: RetentionOptions,
): Promise<void> {
  if (!step.export_first) return expireRows(client, step, signal);
  if (archiveFolder === undefined) {
    throw new UserError(
      "archive_folder_missing",
      `${step.data_type} is to be exported first, and QOS_ARCHIVE_FOLDER is not set`,
      "Set it to a folder that is backed up, or have the policy export nothing.",
    );
  }
  const manifest = await exportStep(client, archiveFolder, step);
  if (step.partition_name !== null) return dropExportedPartition(client, manifest);
  return expireRows(client, step, signal);
}
