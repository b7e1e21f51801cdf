import type { Machine } from "./machine.ts";
import type { Measured } from "./run-rounds.ts";
import { rounded, type Summary, summarize } from "./statistics.ts";
import type { Latency, Notes, Ratio, Sample, Workload } from "./types.ts";

/** What `--json` writes. */
export interface Results {
  readonly machine: Machine;
  /** By workload, in its unit: medians. */
  readonly floors: Readonly<Record<string, number | null>>;
  readonly ratios: Readonly<Record<string, number | null>>;
  readonly detail: {
    readonly ratios: readonly RatioDetail[];
    readonly workloads: readonly WorkloadDetail[];
  };
}

export interface RatioDetail extends Partial<Summary> {
  readonly name: string;
  readonly says: string;
  readonly goal: number | null;
  readonly atMost: boolean;
  readonly reached: boolean | null;
  /** Why there is no number. */
  readonly missing?: string;
}

export interface WorkloadDetail extends Partial<Summary> {
  readonly name: string;
  readonly says: string;
  readonly unit: string;
  readonly latencyMs?: Latency;
  /** Of its last round. */
  readonly notes?: Notes;
  readonly missing?: string;
}

export function toResults(
  machine: Machine,
  measured: ReadonlyMap<string, Measured>,
  ratios: readonly Ratio[],
  floors: readonly Workload[],
): Results {
  const details = ratios.map((ratio) => ratioDetail(ratio, measured));
  const workloads = [...measured.values()].map(workloadDetail);
  const medianOf = (name: string) => workloads.find((one) => one.name === name)?.median ?? null;
  return {
    machine,
    floors: Object.fromEntries(floors.map(({ name }) => [name, medianOf(name)])),
    ratios: Object.fromEntries(details.map(({ name, median }) => [name, median ?? null])),
    detail: { ratios: details, workloads },
  };
}

function ratioDetail(ratio: Ratio, measured: ReadonlyMap<string, Measured>): RatioDetail {
  const { name, says, goal = null, atMost = false } = ratio;
  const needed = ratio.needs.map((workload) => measured.get(workload.name));
  const missing = needed.map((one) => (one ? one.missing : "left out by --only")).find(Boolean);
  const described = { name, says, goal, atMost };
  if (missing) return { ...described, reached: null, missing };

  const rounds = needed[0]?.samples.map((_, round) => needed.map((one) => one?.samples[round]));
  const values = (rounds ?? []).filter(isComplete).map((samples) => ratio.value(samples));
  const summary = summary4(values);
  return { ...described, ...summary, reached: isReached(summary.median, goal, atMost) };
}

function isReached(median: number, goal: number | null, atMost: boolean): boolean | null {
  if (goal === null) return null;
  return atMost ? median <= goal : median >= goal;
}

function isComplete(samples: readonly (Sample | undefined)[]): samples is Sample[] {
  return samples.every((sample) => sample !== undefined);
}

function workloadDetail({ workload, samples, missing }: Measured): WorkloadDetail {
  const { name, says, unit } = workload;
  if (missing) return { name, says, unit, missing };
  const done = samples.filter((sample) => sample !== undefined);
  const latencyMs = medianLatency(done);
  const notes = done.at(-1)?.notes;
  return {
    ...{ name, says, unit, ...summary4(done.map((sample) => sample.figure)) },
    ...(latencyMs ? { latencyMs } : {}),
    ...(notes ? { notes } : {}),
  };
}

function medianLatency(samples: readonly Sample[]): Latency | undefined {
  const known = samples.map((sample) => sample.latency).filter((one) => one !== undefined);
  if (known.length === 0) return undefined;
  const median = (of: keyof Latency) => rounded(summarize(known.map((one) => one[of])).median);
  return { p50: median("p50"), p99: median("p99"), p999: median("p999") };
}

function summary4(values: readonly number[]): Summary {
  const { median, least, most } = summarize(values);
  return { median: rounded(median), least: rounded(least), most: rounded(most) };
}
