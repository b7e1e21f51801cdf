/** The answer of limits_in_force(). */
export interface LimitsInForce {
  readonly cluster_id: string | null;
  readonly changes_in_ms: number | null;
  readonly limits: readonly {
    readonly bucket_type: string;
    readonly mode: "enforce" | "shadow";
    readonly method: string;
    readonly capacity: string;
    readonly refill_rate: string;
    readonly window_seconds: number;
  }[];
}

/** What limits an application, as far as this process has to know. */
export interface Limits {
  readonly clusterId: string | null;
  /** When to look again, on the monotonic clock. */
  readonly until: number;
  /** Per second, of the tightest layer; Infinity where no quota limits it. */
  readonly tokensPerSecond: number;
  readonly bytesPerSecond: number;
  /** Clients that were spending at last sight, this one included. */
  readonly holders: number;
  /**
   * Whether the database has to decide on each operation: the delay of a leaky bucket and the
   * verdict of a shadow quota depend on what everybody else has taken.
   */
  readonly isDirect: boolean;
}

export function limitsOf(answer: LimitsInForce, now: number, holders: number): Limits {
  const enforced = answer.limits.filter((limit) => limit.mode === "enforce");
  return {
    clusterId: answer.cluster_id,
    until: now + (answer.changes_in_ms ?? Number.POSITIVE_INFINITY),
    tokensPerSecond: slowest(enforced, "iops"),
    bytesPerSecond: slowest(enforced, "bandwidth"),
    holders,
    isDirect: answer.limits.some((limit) => isDirect(limit)),
  };
}

type Limit = LimitsInForce["limits"][number];

function isDirect(limit: Limit): boolean {
  return limit.mode === "shadow" || limit.method === "leaky_bucket";
}

function slowest(limits: readonly Limit[], kind: string): number {
  return limits
    .filter((limit) => limit.bucket_type.startsWith(kind))
    .reduce((least, limit) => Math.min(least, perSecond(limit)), Number.POSITIVE_INFINITY);
}

/** A fixed window holds its capacity once for each of its lengths. */
function perSecond(limit: Limit): number {
  return limit.method === "fixed_window"
    ? Number(limit.capacity) / limit.window_seconds
    : Number(limit.refill_rate);
}
