import { build, type Histogram } from "hdr-histogram-js";
import type { Latency } from "../types.ts";

/** Microseconds, up to a minute, to three digits. */
export function newHistogram(): Histogram {
  return build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 60_000_000,
    numberOfSignificantValueDigits: 3,
    bitBucketSize: 64,
  });
}

export function latencyOf(histogram: Histogram): Latency {
  const milliseconds = (share: number) => histogram.getValueAtPercentile(share) / 1000;
  return { p50: milliseconds(50), p99: milliseconds(99), p999: milliseconds(99.9) };
}
