/**
 * Why an operation may not run, or ran without being charged:
 * a bucket that is short, `exceeds_capacity` (never possible at this size), `no_lease` (nothing
 * in hand: ask checkAsync, which asks the database), `store_unavailable` (the outage policy
 * decided), or a shadow quota's bucket where the operation is allowed.
 */
export type Reason =
  | "iops_l2"
  | "bandwidth_l2"
  | "iops_l1"
  | "bandwidth_l1"
  | "exceeds_capacity"
  | "no_lease"
  | "store_unavailable";

export interface Decision {
  readonly allowed: boolean;
  /** The layer that is short: 1 the cluster's, 2 the application's, 3 this process; or null. */
  readonly layer: 1 | 2 | 3 | null;
  readonly reason: Reason | null;
  /** Milliseconds until it is worth asking again; 0 where allowed, null for never. */
  readonly retryAfterMs: number | null;
  /** How long to hold the operation back so that a leaky bucket drains evenly. */
  readonly delayMs: number;
  /** Tokens left: in this process's lease, or in the application's bucket where that was asked. */
  readonly remaining: number | null;
}

export function layerOf(reason: string | null): Decision["layer"] {
  if (reason === null) return null;
  if (reason.endsWith("_l2")) return 2;
  if (reason.endsWith("_l1")) return 1;
  return reason === "exceeds_capacity" ? null : 3;
}

export function denial(
  reason: Reason,
  retryAfterMs: number | null,
  remaining: number | null = null,
): Decision {
  return { allowed: false, layer: layerOf(reason), reason, retryAfterMs, delayMs: 0, remaining };
}
