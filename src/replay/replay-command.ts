import type { WithEmptyDatabase } from "../postgres/throwaway-database.ts";
import { InputError } from "../user-error.ts";
import { progressBar } from "./progress.ts";
import { parseBandwidth, parseCount, parseIops, parseMethod } from "./quota-options.ts";
import { type Recording, readTrace } from "./read-trace.ts";
import { replay } from "./replay.ts";
import type { ReplayQuotas } from "./replay-world.ts";
import { jsonReport, textReport } from "./report.ts";

/** The options as they were typed. */
export interface ReplayOptions {
  readonly iops?: string;
  readonly bandwidth?: string;
  readonly clusterIops?: string;
  readonly clusterBandwidth?: string;
  readonly method: string;
  readonly json?: boolean;
  readonly from: string;
  readonly limit?: string;
}

/** Answers the report; nothing is printed before it is whole. */
export async function replayCommand(
  path: string,
  options: ReplayOptions,
  withEmptyDatabase?: WithEmptyDatabase,
): Promise<string> {
  const quotas = quotasOf(options);
  const from = parseCount(options.from, "--from");
  const limit = optional(options.limit, "--limit", parseCount) ?? Number.MAX_SAFE_INTEGER;
  const recording = part(await readTrace(path), from, limit);
  const bar = progressBar(recording.trace.length);
  const decided = replay(recording, quotas, bar.update, withEmptyDatabase);
  const totals = await decided.finally(bar.stop);
  const report = options.json === true ? jsonReport : textReport;
  return report({ path, recording, quotas, totals });
}

function quotasOf(options: ReplayOptions): ReplayQuotas {
  const { iops, bandwidth, clusterIops, clusterBandwidth, method } = options;
  return {
    method: parseMethod(method),
    iops: optional(iops, "--iops", parseIops),
    bandwidth: optional(bandwidth, "--bandwidth", parseBandwidth),
    clusterIops: optional(clusterIops, "--cluster-iops", parseIops),
    clusterBandwidth: optional(clusterBandwidth, "--cluster-bandwidth", parseBandwidth),
  };
}

function optional<T>(
  text: string | undefined,
  option: string,
  parse: (text: string, option: string) => T,
): T | null {
  return text === undefined ? null : parse(text, option);
}

function part(recording: Recording, from: number, limit: number): Recording {
  const trace = recording.trace.slice(from, limit);
  if (trace.length > 0) return { ...recording, trace };
  throw new InputError(
    "bad_option",
    `--from ${from} and --limit leave no operation of ${recording.trace.length}`,
    "Choose --from below the number of operations, and --limit of at least 1.",
  );
}
