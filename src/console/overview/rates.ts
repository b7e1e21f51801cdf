import type { OverviewFactsQuery, OverviewStatusSubscription } from "./overview.operations.ts";

type Status = NonNullable<OverviewStatusSubscription["overviewStatus"]>;
export type UsageRow = NonNullable<Status["usage"][number]>;
export type ClusterBucket = NonNullable<Status["buckets"][number]>;
export type ClusterFact = NonNullable<NonNullable<OverviewFactsQuery["clusters"]>["nodes"][number]>;
export type OpenAlert = NonNullable<NonNullable<OverviewFactsQuery["alerts"]>["nodes"][number]>;
export type FailedJob = NonNullable<NonNullable<OverviewFactsQuery["failedJobs"]>["nodes"][number]>;

export interface Totals {
  readonly tokens: number;
  readonly bytes: number;
  readonly denied: number;
}

/** Without the gaps that a schema allows for. */
export function present<T>(list: readonly (T | null)[] | null | undefined): readonly T[] {
  return (list ?? []).filter((each) => each !== null);
}

/** Each row says what its whole cluster comes to: it counts once. */
export function totalsOf(usage: readonly UsageRow[]): Totals {
  return sum([...clusterTotals(usage).values()]);
}

export function clusterTotals(usage: readonly UsageRow[]): ReadonlyMap<string, Totals> {
  return new Map(
    usage.map((row) => [
      row.clusterId ?? "",
      {
        tokens: Number(row.clusterTokensPerSecond),
        bytes: Number(row.clusterBytesPerSecond),
        denied: Number(row.clusterDeniedPerSecond),
      },
    ]),
  );
}

function sum(all: readonly Totals[]): Totals {
  return all.reduce(
    (total, each) => ({
      tokens: total.tokens + each.tokens,
      bytes: total.bytes + each.bytes,
      denied: total.denied + each.denied,
    }),
    { tokens: 0, bytes: 0, denied: 0 },
  );
}
