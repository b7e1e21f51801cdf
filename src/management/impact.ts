import type { Change } from "../configuration/change.ts";
import type { Management, QuotaLimits, QuotaPreview } from "./management.ts";

/** A change, with what it would have throttled over the last day where it is one of a quota. */
export interface ChangeWithImpact extends Change {
  /** Null where nothing is on record: a new application, or one that asked nothing. */
  readonly impact?: QuotaPreview | null;
}

/** Who would have been throttled over the last day, for each quota that changes. */
export async function withImpact(
  management: Pick<Management, "preview">,
  changes: readonly Change[],
): Promise<readonly ChangeWithImpact[]> {
  const all: ChangeWithImpact[] = [];
  for (const change of changes) {
    if (!changesLimits(change)) {
      all.push(change);
      continue;
    }
    const preview = await management.preview(change.path, change.after as QuotaLimits);
    const hasRecord = preview !== null && preview.recorded_minutes > 0;
    all.push({ ...change, impact: hasRecord ? preview : null });
  }
  return all;
}

function changesLimits({ kind, action, after }: Change): boolean {
  return kind === "quota" && (action === "create" || action === "update") && after !== null;
}

export const impactColumns = [
  "application",
  "operations",
  "throttled_before",
  "throttled_after",
  "bytes_before",
  "bytes_after",
] as const;

/** Rows of a table for people, those first that are throttled most. */
export function impactRows(changes: readonly ChangeWithImpact[]): object[] {
  return changes
    .filter((change) => change.impact !== undefined)
    .map(({ path, impact }) => ({ application: path.join("/"), impact: impact ?? null }))
    .sort((one, other) => mostOf(other.impact) - mostOf(one.impact))
    .map(({ application, impact }) =>
      impact === null
        ? { application, operations: "nothing on record" }
        : { application, ...sharesOf(impact) },
    );
}

function mostOf(impact: QuotaPreview | null): number {
  return impact === null
    ? -1
    : Number(impact.throttled_operations_most) / Number(impact.operations);
}

function sharesOf(impact: QuotaPreview): object {
  const { operations, bytes } = impact;
  return {
    operations,
    throttled_before: percent(impact.throttled_operations_before, operations, Math.round),
    throttled_after: between(
      impact.throttled_operations_least,
      impact.throttled_operations_most,
      operations,
    ),
    bytes_before: percent(impact.throttled_bytes_before, bytes, Math.round),
    bytes_after: between(impact.throttled_bytes_least, impact.throttled_bytes_most, bytes),
  };
}

function between(least: string, most: string, all: string): string {
  const [from, to] = [percent(least, all, Math.floor), percent(most, all, Math.ceil)];
  return from === to ? from : `${from} to ${to}`;
}

/** Bounds are rounded outwards, so that they stay bounds. */
function percent(part: string, all: string, rounded: (share: number) => number): string {
  if (Number(all) === 0) return "-";
  return `${rounded((1_000 * Number(part)) / Number(all)) / 10} %`;
}
