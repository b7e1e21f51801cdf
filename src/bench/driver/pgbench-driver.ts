import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { withoutPassword } from "../../postgres/url.ts";
import { requireUrlParts } from "../../postgres/url-parts.ts";
import type { Latency, Sample } from "../types.ts";
import type { Driver, Load } from "./driver.ts";
import { latencyOf, newHistogram } from "./latency.ts";

const run = promisify(execFile);

/**
 * Left out of every figure: new sessions load functions and make plans, which costs each of them
 * tens of milliseconds once.
 */
const warmUpSeconds = 2;
/** An offered load piles up meanwhile, and has to be worked off. */
const pacedWarmUpSeconds = 6;

export const pgbenchDriver: Driver = { name: "pgbench", run: runPgbench };

async function runPgbench(load: Load): Promise<Sample> {
  const folder = await mkdtemp(join(tmpdir(), "storage-qos-bench-"));
  try {
    const script = join(folder, "script.sql");
    await writeFile(script, `\\set n random(1, ${load.population})\n${load.script.text}`);
    const { stderr } = await run("pgbench", pgbenchOptions(load, script), {
      cwd: folder,
      env: { ...process.env, PGPASSWORD: requireUrlParts(load.url).password },
    });
    return {
      figure: transactionsPerSecond(stderr, warmUpOf(load)),
      latency: await readLatency(folder, warmUpOf(load)),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

function warmUpOf(load: Load): number {
  return load.offered === undefined ? warmUpSeconds : pacedWarmUpSeconds;
}

function pgbenchOptions(load: Load, script: string): string[] {
  const threads = Math.min(availableParallelism(), 2, load.clients);
  const pace = load.offered === undefined ? [] : [`--rate=${load.offered}`];
  // Every transaction of a paced run is logged, and a tenth of those of one at full speed.
  const share = load.offered === undefined ? ["--sampling-rate=0.1"] : [];
  return [
    ...[
      "--no-vacuum",
      "--progress=1",
      "--protocol=prepared",
      "--log",
      "--log-prefix=latency",
      ...share,
    ],
    ...[
      `--client=${load.clients}`,
      `--jobs=${threads}`,
      `--time=${Math.ceil(load.seconds) + warmUpOf(load)}`,
    ],
    ...[...pace, `--file=${script}`, withoutPassword(load.url)],
  ];
}

/**
 * From the lines that pgbench prints each second: "progress: 2.0 s, 1234.5 tps, …". A machine that
 * is too busy for them leaves some out: then the last one has to do.
 */
export function transactionsPerSecond(progress: string, warmUp = warmUpSeconds): number {
  const lines = [...progress.matchAll(/^progress: ([\d.]+) s, ([\d.]+) tps/gm)];
  const warm = lines.filter(([, second]) => Number(second) > warmUp + 0.5);
  const counted = warm.length > 0 ? warm : lines.slice(-1);
  if (counted.length === 0) throw new Error(`pgbench reported no rate: ${progress}`);
  return counted.reduce((sum, [, , tps]) => sum + Number(tps), 0) / counted.length;
}

async function readLatency(folder: string, warmUp: number): Promise<Latency> {
  const files = (await readdir(folder)).filter((name) => name.startsWith("latency."));
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
  return latencyOfLog(texts.join(""), warmUp);
}

/** Lines of: client, number, microseconds, script, second and microsecond of the end, … */
export function latencyOfLog(log: string, warmUp = warmUpSeconds): Latency {
  const lines = log
    .split("\n")
    .filter(Boolean)
    .map((line) => line.split(" ").map(Number));
  const endOf = (fields: readonly number[]) => (fields[4] ?? 0) + (fields[5] ?? 0) / 1e6;
  const start = lines.reduce((least, fields) => Math.min(least, endOf(fields)), Infinity);
  const warm = lines.filter((fields) => endOf(fields) - start >= warmUp);
  const histogram = newHistogram();
  for (const fields of warm.length > 0 ? warm : lines) {
    histogram.recordValue(Math.max(1, fields[2] ?? 0));
  }
  return latencyOf(histogram);
}
