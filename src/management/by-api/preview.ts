import type { QuotaLimits, QuotaPreview } from "../management.ts";
import { type ApiClient, ApiRefusal } from "./api-client.ts";
import { applicationId } from "./find.ts";

const preview = `query (
  $appId: UUID!, $since: Datetime!, $until: Datetime!,
  $iops: IopsLimitInput, $bandwidth: BandwidthLimitInput
) {
  previewQuota(
    appId: $appId, since: $since, until: $until, iops: $iops, bandwidth: $bandwidth
  ) {
    recordedMinutes operations bytes
    throttledOperationsBefore throttledOperationsLeast throttledOperationsMost
    throttledBytesBefore throttledBytesLeast throttledBytesMost
  }
}`;

type Limits = NonNullable<QuotaLimits["iops"]>;
type Texts<Name extends string> = Readonly<Record<Name, string>>;

type Row = { readonly recordedMinutes: number } & Texts<"operations" | "bytes"> &
  Texts<"throttledOperationsBefore" | "throttledOperationsLeast" | "throttledOperationsMost"> &
  Texts<"throttledBytesBefore" | "throttledBytesLeast" | "throttledBytesMost">;

const dayMs = 86_400_000;

export async function previewQuota(
  client: ApiClient,
  path: readonly string[],
  { iops, bandwidth }: QuotaLimits,
): Promise<QuotaPreview | null> {
  const appId = await applicationId(client, path).catch(noneWhereUnknown);
  if (appId === null) return null;
  const until = new Date();
  const { previewQuota: row } = await client.ask<{ previewQuota: Row }>(preview, {
    appId,
    since: new Date(until.getTime() - dayMs).toISOString(),
    until: until.toISOString(),
    iops: iops && iopsInput(iops),
    bandwidth: bandwidth && bandwidthInput(bandwidth),
  });
  return {
    recorded_minutes: row.recordedMinutes,
    operations: row.operations,
    bytes: row.bytes,
    throttled_operations_before: row.throttledOperationsBefore,
    throttled_operations_least: row.throttledOperationsLeast,
    throttled_operations_most: row.throttledOperationsMost,
    throttled_bytes_before: row.throttledBytesBefore,
    throttled_bytes_least: row.throttledBytesLeast,
    throttled_bytes_most: row.throttledBytesMost,
  };
}

function noneWhereUnknown(error: unknown): null {
  if (error instanceof ApiRefusal && error.code === "QS404") return null;
  throw error;
}

function iopsInput(limits: Limits): object {
  return {
    iopsLimit: numberOf(limits.iops_limit),
    iopsBurst: numberOf(limits.iops_burst),
    refillRate: numberOf(limits.refill_rate),
    burstDurationSeconds: numberOf(limits.burst_duration_seconds),
    calculationMethod: limits.calculation_method?.toString().toUpperCase(),
  };
}

function bandwidthInput(limits: Limits): object {
  return {
    bandwidthLimitBps: limits.bandwidth_limit_bps,
    bandwidthBurstBps: limits.bandwidth_burst_bps,
    refillRateBps: limits.refill_rate_bps,
    burstDurationSeconds: numberOf(limits.burst_duration_seconds),
    allowOversize: limits.allow_oversize,
  };
}

function numberOf(amount: unknown): number | undefined {
  return amount === undefined ? undefined : Number(amount);
}
