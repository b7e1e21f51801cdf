import { writeFile } from "node:fs/promises";
import { InputError } from "../user-error.ts";
import { chooseDriver } from "./driver/choose-driver.ts";
import type { Driver } from "./driver/driver.ts";
import { describeMachine } from "./machine.ts";
import { openBenchDatabase } from "./open-database.ts";
import { floors, others, ratios } from "./ratios.ts";
import { renderSummary, writeReport } from "./report.ts";
import { type Results, toResults } from "./results.ts";
import { runRounds } from "./run-rounds.ts";
import type { Bench, Ratio, Workload } from "./types.ts";

export interface BenchOptions {
  readonly quick?: boolean;
  readonly only?: readonly string[];
  readonly json?: string;
  readonly report?: string;
  readonly minutes?: string;
}

/** Sizes of a run. */
export interface Plan {
  readonly applications: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly sustainedSeconds: number;
  readonly quick: boolean;
}

export async function benchCommand(options: BenchOptions): Promise<string> {
  const plan = planOf(options);
  const results = await measure(plan, options.only ?? [], await chooseDriver());
  if (options.json) await writeFile(options.json, `${JSON.stringify(results, null, 2)}\n`);
  if (options.report) await writeReport(options.report, results);
  return renderSummary(results);
}

function planOf({ quick = false, minutes = "15" }: BenchOptions): Plan {
  const sustainedSeconds = Number(minutes) * 60;
  if (!(sustainedSeconds > 0)) {
    throw new InputError("minutes_invalid", `--minutes is no positive number: ${minutes}`);
  }
  const size = quick ? { rounds: 2, seconds: 1 } : { rounds: 7, seconds: 5 };
  return { applications: 1000, sustainedSeconds, quick, ...size };
}

/** Measures the ratios of these names, or all of them with the floors and peers. */
export async function measure(
  plan: Plan,
  only: readonly string[],
  driver: Driver,
): Promise<Results> {
  const chosen = chooseRatios(only);
  const database = await openBenchDatabase(plan.applications);
  try {
    const bench: Bench = { ...plan, url: database.url, sql: database.sql, driver };
    const machine = await describeMachine(bench);
    const measured = await runRounds(bench, workloadsOf(chosen, only, plan), plan.rounds);
    return toResults(machine, measured, ratios, floors);
  } finally {
    await database.remove();
  }
}

function chooseRatios(only: readonly string[]): readonly Ratio[] {
  const unknown = only.find((name) => !ratios.some((ratio) => ratio.name === name));
  if (unknown !== undefined) {
    const names = ratios.map(({ name }) => name).join(", ");
    throw new InputError("ratio_unknown", `unknown ratio: ${unknown}`, `There are ${names}.`);
  }
  return only.length === 0 ? ratios : ratios.filter(({ name }) => only.includes(name));
}

function workloadsOf(
  chosen: readonly Ratio[],
  only: readonly string[],
  { quick }: Plan,
): Workload[] {
  const besides = only.length > 0 ? [] : [...floors, ...(quick ? [] : others)];
  const all = [...besides, ...chosen.flatMap(({ needs }) => needs)];
  // Growth changes the database for all that come after it.
  const rank = ({ name }: Workload) => Number(name.startsWith("grown"));
  return [...new Set(all)].sort((a, b) => rank(a) - rank(b));
}
