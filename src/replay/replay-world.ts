import type { OperationCost, OwnQuotas } from "./quota-file.ts";
import type { Method, QuotaNumbers } from "./quota-options.ts";

/** The quotas that a workload is replayed against; one that is null sets no limit. */
export interface ReplayQuotas {
  /** Of the IOPS quotas; bandwidth always follows the token bucket. */
  readonly method: Method;
  /** Of each application. */
  readonly iops: QuotaNumbers | null;
  readonly bandwidth: QuotaNumbers | null;
  /** Of applications by name, instead of those. */
  readonly own?: ReadonlyMap<string, OwnQuotas>;
  readonly clusterIops: QuotaNumbers | null;
  readonly clusterBandwidth: QuotaNumbers | null;
  readonly costs?: Readonly<Record<string, OperationCost>>;
}

const clusterName = "c";
/** In force well before the first operation, so that every bucket starts full. */
const validFromUs = -1_000_000_000;

/** The applications in one cluster, as the database's load_world() takes them. */
export function replayWorld(
  epoch: Date,
  quotas: ReplayQuotas,
  applications: readonly string[],
): object {
  return {
    epoch: epoch.toISOString(),
    operation_types: Object.entries(quotas.costs ?? {}).map(([name, cost]) => ({ name, ...cost })),
    applications: applications.map((name) => ({ name, cluster: clusterName })),
    quotas: [
      ...applications.map((name) => {
        const { iops, bandwidth } = quotas.own?.get(name) ?? quotas;
        return quotaOf(`app:${name}`, iops, bandwidth, quotas.method);
      }),
      quotaOf(`cluster:${clusterName}`, quotas.clusterIops, quotas.clusterBandwidth, quotas.method),
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
    valid_from_us: validFromUs,
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
