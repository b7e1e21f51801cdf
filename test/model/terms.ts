import { MICRO, max, min } from "./amounts.ts";
import type { Bandwidth, BucketType, Iops, Method, Mode, Quota } from "./world.ts";

/** What a quota means for one bucket. Times are microseconds, amounts millionths of a token. */
export interface Terms {
  readonly method: Method;
  readonly capacity: bigint;
  /** Whole tokens per second, which is millionths per microsecond. */
  readonly rate: bigint;
  readonly window: bigint;
  readonly reserve: bigint;
  readonly oversize: boolean;
  readonly from: bigint;
  readonly to: bigint | null;
}

export interface Level {
  readonly tokens: bigint;
  readonly last: bigint;
  /** Under which the bucket was last changed: a clock that steps back does not bring back older ones. */
  readonly terms: Terms;
}

export function scheduleOf(
  quotas: readonly Quota[],
  owner: string,
  type: BucketType,
  mode: Mode,
): Terms[] {
  return quotas
    .filter((quota) => quota.owner === owner && quota.mode === mode && quota.is_active !== false)
    .flatMap((quota) => termsOf(quota, type))
    .sort((a, b) => (a.from < b.from ? -1 : 1));
}

export function inForce(schedule: readonly Terms[], at: bigint): Terms | undefined {
  return schedule.find((terms) => terms.from <= at && (terms.to === null || at < terms.to));
}

/** The terms of a bucket at `at`; undefined where it does not exist. */
export function termsAt(
  schedule: readonly Terms[],
  stored: Level | undefined,
  at: bigint,
): Terms | undefined {
  if (stored !== undefined && (stored.terms.to === null || at < stored.terms.to))
    return stored.terms;
  return inForce(schedule, at);
}

/** Sections 4 and 5: the level at `at`, walked through every change of terms since the last one. */
export function levelAt(
  schedule: readonly Terms[],
  stored: Level | undefined,
  now: Terms,
  at: bigint,
  epoch: bigint,
): Level {
  let level = stored ?? newBucket(schedule, now);
  while (level.terms !== now) {
    const next = level.terms.to === null ? undefined : inForce(schedule, level.terms.to);
    level = next === undefined ? newBucket(schedule, now) : changed(level, next, epoch);
  }
  return refill(level, at, epoch);
}

/** Full since quotas are in force without a gap, whether anybody drew on it or not. */
function newBucket(schedule: readonly Terms[], now: Terms): Level {
  const before = schedule.find(({ to }) => to === now.from);
  if (before !== undefined) return newBucket(schedule, before);
  return { tokens: now.capacity, last: now.from, terms: now };
}

function changed(level: Level, next: Terms, epoch: bigint): Level {
  const old = refill(level, next.from, epoch);
  return { tokens: min(old.tokens, next.capacity), last: old.last, terms: next };
}

export function refill(level: Level, at: bigint, epoch: bigint): Level {
  if (at <= level.last) return level;
  const room = max(level.terms.capacity - level.tokens, 0n);
  const tokens = level.tokens + min(room, inflow(level.terms, level.last, at, epoch));
  return { ...level, tokens, last: at };
}

function inflow(terms: Terms, last: bigint, at: bigint, epoch: bigint): bigint {
  if (terms.method !== "fixed_window") return (at - last) * terms.rate;
  return windowOf(terms, at, epoch) > windowOf(terms, last, epoch) ? terms.capacity : 0n;
}

function windowOf(terms: Terms, at: bigint, epoch: bigint): bigint {
  return (epoch + at) / terms.window;
}

export function nextWindow(terms: Terms, at: bigint, epoch: bigint): bigint {
  return (windowOf(terms, at, epoch) + 1n) * terms.window - epoch;
}

function termsOf(quota: Quota, type: BucketType): Terms[] {
  const layer = quota.owner.startsWith("cluster:") ? "l1" : "l2";
  if (!type.endsWith(layer)) return [];
  const own = type.startsWith("iops") ? iopsTerms(quota.iops) : bandwidthTerms(quota.bandwidth);
  const to = quota.valid_to_us === null ? null : BigInt(quota.valid_to_us);
  return own === undefined ? [] : [{ ...own, from: BigInt(quota.valid_from_us), to }];
}

type OwnTerms = Omit<Terms, "from" | "to">;

function iopsTerms(quota: Iops | null): OwnTerms | undefined {
  if (quota === null) return undefined;
  return {
    ...common(quota.calculation_method ?? "token_bucket", [
      quota.iops_limit,
      quota.iops_burst,
      quota.refill_rate,
      quota.burst_duration_seconds,
    ]),
    reserve: BigInt(quota.min_reserve ?? 0) * MICRO,
    oversize: quota.allow_oversize ?? false,
  };
}

function bandwidthTerms(quota: Bandwidth | null): OwnTerms | undefined {
  if (quota === null) return undefined;
  return {
    ...common("token_bucket", [
      quota.bandwidth_limit_bps,
      quota.bandwidth_burst_bps,
      quota.refill_rate_bps,
      quota.burst_duration_seconds,
    ]),
    reserve: BigInt(quota.min_reserve ?? 0) * MICRO,
    oversize: quota.allow_oversize ?? true,
  };
}

function common(method: Method, columns: [number, number, number, number]) {
  const [limit, burst, rate, seconds] = columns.map(BigInt) as [bigint, bigint, bigint, bigint];
  const tokens = method === "fixed_window" ? limit * seconds : max(burst, (burst - rate) * seconds);
  return { method, capacity: tokens * MICRO, rate, window: seconds * MICRO };
}
