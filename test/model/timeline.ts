import { MICRO, max } from "./amounts.ts";
import {
  type Bandwidth,
  type BucketType,
  epochOf,
  type Iops,
  isLayer1,
  type Kind,
  kindOf,
  type Method,
  type Mode,
  type Quota,
  type World,
} from "./world.ts";

/** Section 4: what a quota means for one bucket. Amounts are millionths of a token. */
export interface Terms {
  readonly method: Method;
  readonly capacity: bigint;
  /** Whole tokens a second, which is millionths a microsecond; a fixed window's limit. */
  readonly rate: bigint;
  /** Microseconds */
  readonly window: bigint;
  readonly minReserve: bigint;
  readonly oversize: boolean;
}

/** From `at` on these terms are in force; null: none are, the bucket is dormant. */
export interface Change {
  readonly at: bigint;
  readonly terms: Terms | null;
}

/** Every change of terms of a bucket, the oldest first; none: no quota was ever planned for it. */
export type Timeline = readonly Change[];

interface Period {
  readonly from: bigint;
  readonly to: bigint | null;
  readonly terms: Terms;
}

export function timelineOf(world: World, owner: string, type: BucketType, mode: Mode): Timeline {
  const own = periodsOf(world, owner, kindOf(type), mode);
  // Section 11: where nothing else is in force the default quota of the cluster counts.
  const cluster = isLayer1(type) ? null : clusterOf(world, owner);
  const counts = mode === "enforce" && cluster !== null;
  const others = counts ? periodsOf(world, `default:${cluster}`, kindOf(type), mode) : [];
  return changesOf(own, others);
}

/** Section 7: a reserve flows under terms of its own while its cluster's bucket is not dormant. */
export function reserveTimeline(cluster: Timeline, rate: bigint, capacity: bigint): Timeline {
  const terms: Terms = {
    method: "token_bucket",
    capacity,
    rate,
    window: MICRO,
    minReserve: 0n,
    oversize: false,
  };
  return cluster.map((change) => ({ at: change.at, terms: change.terms === null ? null : terms }));
}

function clusterOf(world: World, owner: string): string | null {
  return world.applications.find(({ name }) => owner === `app:${name}`)?.cluster ?? null;
}

function changesOf(own: readonly Period[], others: readonly Period[]): Timeline {
  const moments = [...own, ...others].flatMap(({ from, to }) =>
    to === null ? [from] : [from, to],
  );
  const sorted = [...new Set(moments)].sort((a, b) => (a < b ? -1 : 1));
  let before: Period | undefined;
  return sorted.flatMap((at): Change[] => {
    const now = inForce(own, at) ?? inForce(others, at);
    if (now === before) return [];
    before = now;
    return [{ at, terms: now?.terms ?? null }];
  });
}

function inForce(periods: readonly Period[], at: bigint): Period | undefined {
  return periods.find(({ from, to }) => from <= at && (to === null || at < to));
}

function periodsOf(world: World, owner: string, kind: Kind, mode: Mode): Period[] {
  const epoch = epochOf(world);
  return world.quotas
    .filter((quota) => quota.owner === owner && quota.mode === mode && quota.is_active !== false)
    .flatMap((quota) => {
      const terms = termsOf(quota, kind);
      if (terms === undefined) return [];
      const to = quota.valid_to_us === null ? null : epoch + BigInt(quota.valid_to_us);
      return [{ from: epoch + BigInt(quota.valid_from_us), to, terms }];
    });
}

function termsOf(quota: Quota, kind: Kind): Terms | undefined {
  return kind === "iops" ? iopsTerms(quota.iops) : bandwidthTerms(quota.bandwidth);
}

function iopsTerms(quota: Iops | null): Terms | undefined {
  if (quota === null) return undefined;
  const method = quota.calculation_method ?? "token_bucket";
  return {
    ...amounts(method, quota.iops_limit, quota.iops_burst, quota.refill_rate, quota),
    minReserve: BigInt(quota.min_reserve ?? 0) * MICRO,
    oversize: quota.allow_oversize ?? false,
  };
}

function bandwidthTerms(quota: Bandwidth | null): Terms | undefined {
  if (quota === null) return undefined;
  const { bandwidth_limit_bps: limit, bandwidth_burst_bps: burst, refill_rate_bps: rate } = quota;
  return {
    ...amounts("token_bucket", limit, burst, rate, quota),
    minReserve: BigInt(quota.min_reserve ?? 0) * MICRO,
    oversize: quota.allow_oversize ?? true,
  };
}

function amounts(
  method: Method,
  limitGiven: number,
  burstGiven: number,
  rateGiven: number | undefined,
  { burst_duration_seconds }: { readonly burst_duration_seconds: number },
): Pick<Terms, "method" | "capacity" | "rate" | "window"> {
  const limit = BigInt(limitGiven);
  const burst = BigInt(burstGiven);
  const seconds = BigInt(burst_duration_seconds);
  const refill = BigInt(rateGiven ?? limitGiven);
  const isWindow = method === "fixed_window";
  const capacity = isWindow ? limit * seconds : max(burst, (burst - refill) * seconds);
  return {
    method,
    capacity: capacity * MICRO,
    rate: isWindow ? limit : refill,
    window: seconds * MICRO,
  };
}
