import { writeFileSync } from "node:fs";
import { wholeNumber } from "../input/whole-number.ts";
import { Random } from "../random.ts";
import { UserError } from "../user-error.ts";
import { type Fault, planFaults } from "./fault.ts";
import { isSound, reportOf, type TortureReport, textOf } from "./report.ts";
import { type RunPlan, runOnce } from "./run.ts";
import { shrink } from "./shrink.ts";
import { openWaits } from "./within.ts";

export interface TortureOptions {
  readonly seconds: string;
  readonly seed: string;
  readonly faults?: string;
  readonly json?: string;
  readonly verbose?: boolean;
}

const mostShrinkingRuns = 6;

/** Runs the torture; throws, after it has told what it found, where a check does not hold. */
export async function tortureCommand(options: TortureOptions): Promise<string> {
  const seconds = wholeNumber("seconds", options.seconds, 5, 86_400);
  const seed = wholeNumber("seed", options.seed, 0, 2 ** 32 - 1);
  const count =
    options.faults === undefined
      ? Math.max(Math.round(seconds / 2.4), 1)
      : wholeNumber("faults", options.faults, 0, 100_000);
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => process.exit(1));
  }
  process.on("SIGUSR2", tellWaits);
  const tell = options.verbose ? (line: string) => console.error(line) : undefined;
  const report = await torture({ seed, seconds, count, ...(tell ? { tell } : {}) });
  if (options.json !== undefined) {
    writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  }
  if (report.is_sound) return textOf(report);
  throw new UserError("torture_failed", textOf(report), "Keep the seed, and mend what it found.");
}

/** To see what a run is at: `kill -USR2`. */
function tellWaits(): void {
  const waits = openWaits().map((what) => `waiting for ${what}`);
  console.error([...waits, `open: ${process.getActiveResourcesInfo().join(", ")}`].join("\n"));
}

export interface Torture {
  readonly seed: number;
  readonly seconds: number;
  readonly count: number;
  readonly prepare?: RunPlan["prepare"];
  readonly tell?: (line: string) => void;
}

export async function torture({ seed, seconds, count, prepare, tell }: Torture) {
  const runMs = seconds * 1_000;
  const run = (faults: readonly Fault[]) =>
    runOnce({
      seed,
      runMs,
      faults,
      withApi: true,
      ...(prepare ? { prepare } : {}),
      ...(tell ? { tell } : {}),
    });
  const faults = withFailover(planFaults(new Random(seed), runMs, count), runMs);
  const result = await run(faults);
  const report = reportOf({ seed, seconds, count }, result);
  if (report.is_sound) return report;
  tell?.(`${textOf(report)}\nshrinking`);
  const fails = async (part: readonly Fault[]) => !isSound((await run(part)).findings);
  const schedule = await shrink(faults, fails, mostShrinkingRuns);
  return { ...report, schedule } satisfies TortureReport;
}

/** The standby serves once: what is planned later finds none, and comes to nothing. */
function withFailover(faults: readonly Fault[], runMs: number): readonly Fault[] {
  const first = faults.findIndex(({ kind }) => kind === "fail_over");
  return faults
    .filter(({ kind }, place) => kind !== "fail_over" || place === first)
    .filter(({ kind }) => kind !== "fail_over" || runMs >= 20_000);
}
