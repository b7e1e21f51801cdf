import type { WithEmptyDatabase } from "../migrations/throwaway-database.ts";
import { InputError } from "../user-error.ts";
import { type Group, groups, type Reading } from "./charge-of.ts";
import { progressBar } from "./progress.ts";
import { readCosts, readQuotas } from "./quota-file.ts";
import {
  parseBandwidth,
  parseBytes,
  parseCount,
  parseIops,
  parseMethod,
  parseShare,
} from "./quota-options.ts";
import { type Recording, readTraces } from "./read-trace.ts";
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
  readonly by?: string;
  readonly quotas?: string;
  readonly costs?: string;
  readonly uploadSize?: string;
  readonly refund5xx?: boolean;
  readonly retries?: string;
  readonly failOver?: string;
  readonly json?: boolean;
  readonly from: string;
  readonly limit?: string;
}

export interface ReplayAnswer {
  readonly text: string;
  /** A larger share was throttled than --fail-over allows. */
  readonly isOver: boolean;
}

const usualUploadSize = "64KiB";

/** Answers the report; nothing is printed before it is whole. */
export async function replayCommand(
  paths: readonly string[],
  options: ReplayOptions,
  withEmptyDatabase?: WithEmptyDatabase,
): Promise<ReplayAnswer> {
  const quotas = quotasOf(options);
  const retries = parseCount(options.retries ?? "0", "--retries");
  const most = optional(options.failOver, "--fail-over", parseShare);
  const from = parseCount(options.from, "--from");
  const limit = optional(options.limit, "--limit", parseCount) ?? Number.MAX_SAFE_INTEGER;
  const recording = part(await readTraces(paths, readingOf(options)), from, limit);
  const bar = progressBar(recording.trace.length);
  const decided = replay(recording, { quotas, retries }, bar.update, withEmptyDatabase);
  const totals = await decided.finally(bar.stop);
  const report = options.json === true ? jsonReport : textReport;
  const { admitted, throttled } = totals;
  return {
    text: report({ paths, recording, quotas, retries, totals }),
    isOver: most !== null && throttled * 1_000_000 > most * (admitted + throttled),
  };
}

function readingOf({ by, uploadSize, refund5xx }: ReplayOptions): Reading {
  return {
    uploadSize: parseBytes(uploadSize ?? usualUploadSize, "--upload-size"),
    refund5xx: refund5xx === true,
    group: optional(by, "--by", parseGroup) ?? undefined,
  };
}

function parseGroup(text: string): Group {
  const group = groups.find((known) => known === text);
  if (group !== undefined) return group;
  throw new InputError(
    "bad_option",
    "the value of --by is nothing that a log has",
    `Give one of ${groups.join(", ")}.`,
  );
}

function quotasOf(options: ReplayOptions): ReplayQuotas {
  const { iops, bandwidth, clusterIops, clusterBandwidth, method } = options;
  return {
    method: parseMethod(method),
    iops: optional(iops, "--iops", parseIops),
    bandwidth: optional(bandwidth, "--bandwidth", parseBandwidth),
    clusterIops: optional(clusterIops, "--cluster-iops", parseIops),
    clusterBandwidth: optional(clusterBandwidth, "--cluster-bandwidth", parseBandwidth),
    ...(options.quotas !== undefined && { own: readQuotas(options.quotas) }),
    ...(options.costs !== undefined && { costs: readCosts(options.costs) }),
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
