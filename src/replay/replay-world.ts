import type { Method, QuotaNumbers } from "./quota-options.ts";

/** The quotas that a workload is replayed against; one that is null sets no limit. */
export interface ReplayQuotas {
  /** Of the IOPS quotas; bandwidth always follows the token bucket. */
  readonly method: Method;
  readonly iops: QuotaNumbers | null;
  readonly bandwidth: QuotaNumbers | null;
  readonly clusterIops: QuotaNumbers | null;
  readonly clusterBandwidth: QuotaNumbers | null;
}

export const APPLICATION = "a";
const CLUSTER = "c";
/** In force well before the first operation, so that every bucket starts full. */
const VALID_FROM_US = -1_000_000_000;

/** One application in one cluster, as the database's load_world() takes it. */
export function replayWorld(epoch: Date, quotas: ReplayQuotas): object {
  return {
    epoch: epoch.toISOString(),
    applications: [{ name: APPLICATION, cluster: CLUSTER }],
    quotas: [
      quotaOf(`app:${APPLICATION}`, quotas.iops, quotas.bandwidth, quotas.method),
      quotaOf(`cluster:${CLUSTER}`, quotas.clusterIops, quotas.clusterBandwidth, quotas.method),
    ].filter(({ iops, bandwidth }) => iops !== null || bandwidth !== null),
  };
}

function quotaOf(
  owner: string,
  iops: QuotaNumbers | null,
  bandwidth: QuotaNumbers | null,
  method: Method,
) {
  return {
    owner,
    valid_from_us: VALID_FROM_US,
    valid_to_us: null,
    mode: "enforce",
    iops: iops === null ? null : iopsOf(iops, method),
    bandwidth: bandwidth === null ? null : bandwidthOf(bandwidth),
  };
}

function iopsOf({ limit, burst, seconds }: QuotaNumbers, method: Method) {
  return {
    iops_limit: limit,
    iops_burst: burst,
    burst_duration_seconds: seconds,
    refill_rate: limit,
    calculation_method: method,
    min_reserve: 0,
  };
}

function bandwidthOf({ limit, burst, seconds }: QuotaNumbers) {
  return {
    bandwidth_limit_bps: limit,
    bandwidth_burst_bps: burst,
    burst_duration_seconds: seconds,
    refill_rate_bps: limit,
  };
}
