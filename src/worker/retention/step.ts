/** What apply_retention() answers; moments as text, in all their digits. */
export interface RetentionStep {
  readonly data_type: string;
  readonly action: "drop_partitions" | "delete_rows" | "archive_rows";
  readonly export_first: boolean;
  readonly relation: string;
  readonly partition_name: string | null;
  readonly cutoff: string;
}

export const stepColumns =
  "data_type, action, export_first, relation, partition_name, cutoff::text";
