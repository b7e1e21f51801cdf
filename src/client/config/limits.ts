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

/** The limits of an application, as far as this process needs them. */
export interface Limits {
  readonly clusterId: string | null;
  /** When to read again, on the monotonic clock. */
  readonly until: number;
  /** Per second, of the tightest layer; Infinity where unlimited. */
  readonly tokensPerSecond: number;
  readonly bytesPerSecond: number;
  /** What open leases may hold together: the application's own capacity, else its cluster's. */
  readonly leasableTokens: number;
  readonly leasableBytes: number;
  /**
   * Whether the database has to decide each operation: the delay of a leaky bucket and the
   * verdict of a shadow quota depend on what other clients have taken.
   */
  readonly isDirect: boolean;
}

export function limitsOf(answer: LimitsInForce, now: number): Limits {
  const enforced = answer.limits.filter((limit) => limit.mode === "enforce");
  return {
    clusterId: answer.cluster_id,
    until: now + (answer.changes_in_ms ?? Number.POSITIVE_INFINITY),
    tokensPerSecond: slowest(enforced, "iops"),
    bytesPerSecond: slowest(enforced, "bandwidth"),
    leasableTokens: leasable(enforced, "iops"),
    leasableBytes: leasable(enforced, "bandwidth"),
    isDirect: answer.limits.some((limit) => isDirect(limit)),
  };
}

/** Whether leases of one are good for the other. */
export function areSame(one: Limits, other: Limits): boolean {
  const fields = [
    "clusterId",
    "tokensPerSecond",
    "bytesPerSecond",
    "leasableTokens",
    "leasableBytes",
    "isDirect",
  ] as const;
  return fields.every((field) => one[field] === other[field]);
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

function leasable(limits: readonly Limit[], kind: string): number {
  const limit = (layer: string) => limits.find(({ bucket_type }) => bucket_type === kind + layer);
  return Number((limit("_l2") ?? limit("_l1"))?.capacity ?? Number.POSITIVE_INFINITY);
}

/** A fixed window holds its capacity once for each of its lengths. */
function perSecond(limit: Limit): number {
  return limit.method === "fixed_window"
    ? Number(limit.capacity) / limit.window_seconds
    : Number(limit.refill_rate);
}
