/**
 * Why an operation may not run, or ran without being charged:
 * a bucket that is short, `exceeds_capacity` (never possible at this size), `no_quota` (the
 * application needs a quota and has none in force), `no_lease` (no lease can pay: use checkAsync,
 * which asks the database), `store_unavailable` (the outage policy decided), or a shadow quota's
 * bucket where the operation is allowed.
 */
export type Reason =
  | "iops_l2"
  | "bandwidth_l2"
  | "iops_l1"
  | "bandwidth_l1"
  | "exceeds_capacity"
  | "no_quota"
  | "no_lease"
  | "store_unavailable";

export interface Decision {
  readonly allowed: boolean;
  /** The layer that is short: 1 the cluster's, 2 the application's, 3 this process; or null. */
  readonly layer: 1 | 2 | 3 | null;
  readonly reason: Reason | null;
  /** What a shadow quota would have denied it for; null where it would have admitted it. */
  readonly shadow: Reason | null;
  /** Milliseconds until it is worth asking again; 0 where allowed, null for never. */
  readonly retryAfterMs: number | null;
  /** How long to delay the operation so that a leaky bucket drains evenly. */
  readonly delayMs: number;
  /**
   * Tokens left: in this process's lease, or in the application's bucket where the database
   * decided (negative while it is in debt).
   */
  readonly remaining: number | null;
  /** The same in bytes; null where bandwidth is unlimited or not known. */
  readonly remainingBytes: number | null;
  /** Capacity of the application's IOPS bucket in tokens; null where unlimited or not known. */
  readonly limit: number | null;
  /** Milliseconds in which that capacity flows in; null where unlimited or not known. */
  readonly resetMs: number | null;
}

export function layerOf(reason: string | null): Decision["layer"] {
  if (reason === null) return null;
  if (reason.endsWith("_l2")) return 2;
  if (reason.endsWith("_l1")) return 1;
  return reason === "exceeds_capacity" || reason === "no_quota" ? null : 3;
}

/** A decision of a reason, and of what is known beyond it. */
export function decisionFor(
  allowed: boolean,
  reason: Reason | null,
  more: Partial<Decision> = {},
): Decision {
  return {
    ...plainDecision(allowed, reason, 0, null),
    ...more,
  };
}

export function denial(
  reason: Reason,
  retryAfterMs: number | null,
  remaining: number | null = null,
): Decision {
  return plainDecision(false, reason, retryAfterMs, remaining);
}

function plainDecision(
  allowed: boolean,
  reason: Reason | null,
  retryAfterMs: number | null,
  remaining: number | null,
): Decision {
  return {
    allowed,
    layer: layerOf(reason),
    reason,
    shadow: allowed && reason !== "store_unavailable" ? reason : null,
    retryAfterMs,
    delayMs: 0,
    remaining,
    remainingBytes: null,
    limit: null,
    resetMs: null,
  };
}
