import { MICRO, max, min } from "./amounts.ts";
import { flow } from "./bucket.ts";
import type { Held } from "./store.ts";
import type { Terms } from "./timeline.ts";
import type { BucketType, Mode } from "./world.ts";

/** A bucket at the moment of a call, as one application draws on it. */
export interface Source {
  readonly app: string;
  readonly type: BucketType;
  readonly mode: Mode;
  readonly bucket: Held;
  /** By its last terms. */
  readonly debtLimit: bigint;
  /** What the reserves of a cluster hold back; zero where there are none. */
  readonly headroom: bigint;
  /** The application's own, where it has one. */
  readonly reserve: Held | null;
}

export interface Draw extends Source {
  readonly charge: bigint;
}

const MILLISECOND = 1000n;

/** The tokens beyond the headroom, of which leases leave a floor untouched. */
function pool({ bucket, headroom }: Source, floor: bigint): bigint {
  return max(bucket.level.tokens - headroom - floor, 0n);
}

/** Sections 6.2, 7 and 8: what it offers the application. */
export function offered(source: Source, floor = 0n): bigint {
  if (source.headroom === 0n) return source.bucket.level.tokens - floor;
  return pool(source, floor) + (source.reserve?.level.tokens ?? 0n);
}

/** The most that it ever offers. */
export function most({ bucket, headroom, reserve }: Source, floor = 0n): bigint {
  const { capacity } = bucket.lastTerms;
  if (headroom === 0n) return capacity - floor;
  return max(capacity - headroom - floor, 0n) + (reserve?.lastTerms.capacity ?? 0n);
}

/** How much of a charge the reserve pays. */
export function reservePart(source: Source, charge: bigint, floor = 0n): bigint {
  const { reserve } = source;
  if (reserve === null) return 0n;
  const held = max(reserve.level.tokens, 0n);
  return min(held, max(charge - pool(source, floor), 0n));
}

/** Sections 6.2 and 6.3 */
export function isShort(draw: Draw): boolean {
  const { charge } = draw;
  const offer = offered(draw);
  if (offer >= charge) return false;
  return charge <= most(draw) || isImpossible(draw) || offer < most(draw);
}

export function isImpossible(draw: Draw): boolean {
  if (offered(draw) >= draw.charge) return false;
  const excess = draw.charge - most(draw);
  return excess > 0n && (!draw.bucket.lastTerms.oversize || excess > draw.debtLimit);
}

/** Milliseconds, rounded up, until it offers this much under the terms of now; null: never. */
export function waitFor(source: Source, amount: bigint, at: bigint, floor = 0n): bigint | null {
  const offers = (wait: bigint) => offered(later(source, at + wait * MILLISECOND), floor) >= amount;
  if (offers(0n)) return 0n;
  if (most(source, floor) < amount) return null;
  let enough = 1n;
  while (!offers(enough)) enough *= 2n;
  let short = enough / 2n;
  while (enough - short > 1n) {
    const middle = (enough + short) / 2n;
    if (offers(middle)) enough = middle;
    else short = middle;
  }
  return enough;
}

function later(source: Source, at: bigint): Source {
  const { bucket, reserve } = source;
  return { ...source, bucket: flowed(bucket, at), reserve: reserve && flowed(reserve, at) };
}

function flowed(held: Held, at: bigint): Held {
  return { ...held, level: flow(held.level, held.terms, at) };
}

/** Section 6.5 */
export function delayOf({ bucket }: Draw): bigint {
  const { method, capacity, rate } = bucket.terms as Terms;
  if (method !== "leaky_bucket") return 0n;
  const lacking = max(capacity - bucket.level.tokens, 0n);
  const perMillisecond = rate * MILLISECOND;
  return (lacking + perMillisecond - 1n) / perMillisecond;
}

/** Section 8: a tenth of a second of what flows in. */
export function tenthOfASecond({ bucket }: Source): bigint {
  return (bucket.lastTerms.rate * MICRO) / 10n;
}
