import { writeFile } from "node:fs/promises";
import { InputError } from "../user-error.ts";
import { chooseDriver } from "./driver/choose-driver.ts";
import type { Driver } from "./driver/driver.ts";
import { measureGrowth } from "./growth/measure-growth.ts";
import { renderGrowth } from "./growth/render-growth.ts";
import { describeMachine } from "./machine.ts";
import { openBenchDatabase } from "./open-database.ts";
import { comparisons, floors, others, ratios } from "./ratios.ts";
import { renderSummary, writeReport } from "./report.ts";
import { type Results, toResults } from "./results.ts";
import { runRounds } from "./run-rounds.ts";
import type { Bench, Workload } from "./types.ts";

export interface BenchOptions {
  readonly quick?: boolean;
  readonly only?: readonly string[];
  readonly json?: string;
  readonly report?: string;
  readonly minutes?: string;
  readonly ledgerRows?: string;
  readonly rounds?: string;
  readonly growth?: boolean;
  readonly sizes?: readonly string[];
  readonly busy?: string;
}

const compared = [...ratios, ...comparisons];

/** Sizes of a run. */
export interface Plan {
  readonly applications: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly sustainedSeconds: number;
  readonly ledgerRows: number;
  readonly quick: boolean;
}

export async function benchCommand(options: BenchOptions): Promise<string> {
  if (options.growth) return growthCommand(options);
  const plan = planOf(options);
  const results = await measure(plan, options.only ?? [], await chooseDriver());
  if (options.json) await writeFile(options.json, `${JSON.stringify(results, null, 2)}\n`);
  if (options.report) await writeReport(options.report, results);
  return renderSummary(results);
}

async function growthCommand(options: BenchOptions): Promise<string> {
  const { sizes = ["1000", "10000"], busy = "100", json } = options;
  const growth = await measureGrowth(
    sizes.map((size) => countOf("--sizes", size)),
    countOf("--busy", busy),
  );
  if (json) await writeFile(json, `${JSON.stringify(growth, null, 2)}\n`);
  return renderGrowth(growth);
}

export function planOf(options: BenchOptions): Plan {
  const { quick = false, minutes = "15", ledgerRows: rows = "1000000" } = options;
  const sustainedSeconds = Number(minutes) * 60;
  if (!(sustainedSeconds > 0)) {
    throw new InputError("minutes_invalid", `--minutes is not a positive number: ${minutes}`);
  }
  const ledgerRows = countOf("--ledger-rows", rows);
  const rounds = countOf("--rounds", options.rounds ?? (quick ? "2" : "7"));
  const seconds = quick ? 1 : 5;
  return { applications: 1000, rounds, seconds, sustainedSeconds, ledgerRows, quick };
}

function countOf(option: string, text: string): number {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new InputError("count_invalid", `${option} is not a count: ${text}`);
}

/** Measures the ratios and workloads of these names, or all of them with the floors and peers. */
export async function measure(
  plan: Plan,
  only: readonly string[],
  driver: Driver,
): Promise<Results> {
  const chosen = workloadsOf(only, plan);
  const database = await openBenchDatabase(plan.applications);
  try {
    const bench: Bench = { ...plan, url: database.url, sql: database.sql, driver };
    const machine = await describeMachine(bench);
    const measured = await runRounds(bench, chosen, plan.rounds);
    return toResults(machine, measured, compared, floors);
  } finally {
    await database.remove();
  }
}

function workloadsOf(only: readonly string[], plan: Plan): Workload[] {
  const all = only.length > 0 ? only.flatMap(workloadsNamed) : everything(plan);
  return [...new Set(all)];
}

function everything({ quick }: Plan): Workload[] {
  const besides = quick ? floors : [...floors, ...others];
  return [...besides, ...(quick ? ratios : compared).flatMap(({ needs }) => needs)];
}

/** What a ratio needs, or one workload that no ratio needs. */
function workloadsNamed(name: string): readonly Workload[] {
  const ratio = compared.find((one) => one.name === name);
  if (ratio !== undefined) return ratio.needs;
  const besides = [...floors, ...others];
  const workload = besides.find((one) => one.name === name);
  if (workload !== undefined) return [workload];
  const names = [...compared, ...besides].map((one) => one.name);
  throw new InputError("ratio_unknown", `unknown ratio: ${name}`, `There are ${names.join(", ")}.`);
}
