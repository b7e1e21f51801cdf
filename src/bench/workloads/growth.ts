import { type BenchDatabase, openLargeWorld, startIn } from "../open-database.ts";
import { rounded, summarize } from "../statistics.ts";
import type { Bench, Notes, Running, Sample, Workload } from "../types.ts";
import { full } from "./sql-workloads.ts";

const applications = 1_000_000;
const populations = [1000, 100_000, applications];
const turns = 3;
/** Sessions are new in each turn, and touch most of a large memory for the first time. */
const roundsInTurn = 3;

/**
 * Few and many busy applications of the same million, in turns, when all rounds are over: nothing
 * else is measured in a database of that size.
 */
export const growth: Workload = {
  name: "growth",
  says:
    "full decisions of 1,000,000 applications, in turns with those of 1,000 of them, on a server " +
    "with a quarter of the memory, in huge pages where they can be reserved",
  ...{ unit: "ratio", afterRounds: true },
  missing: async ({ quick }) => (quick ? "growth is not measured with --quick" : undefined),
  start: (bench) =>
    startIn(openLargeWorld(bench), async (database) => {
      await database.sql`select bench.grow(${bench.applications + 1}, ${applications})`;
      await database.sql`vacuum analyze`;
      const loads = await Promise.all(populations.map((count) => loadOf(bench, database, count)));
      return {
        async round() {
          const { figure, notes } = await inTurns(loads);
          return { figure, notes: { "huge pages": database.hugePages, ...notes } };
        },
      };
    }),
};

function loadOf(bench: Bench, { url, sql }: BenchDatabase, count: number): Promise<Running> {
  const seconds = bench.seconds * roundsInTurn;
  return full.start({ ...bench, url, sql, seconds, applications: count });
}

async function inTurns(loads: readonly Running[]): Promise<Sample> {
  const rounds: Sample[][] = [];
  for (let turn = 0; turn < turns; turn++) {
    const samples: Sample[] = [];
    for (const load of loads) samples.push(await load.round());
    rounds.push(samples);
  }
  return { figure: summarize(rounds.map(ratioOf)).median, notes: notesOf(rounds) };
}

function ratioOf(samples: readonly Sample[]): number {
  return (samples.at(-1)?.figure ?? Number.NaN) / (samples[0]?.figure ?? Number.NaN);
}

function notesOf(rounds: readonly Sample[][]): Notes {
  const notes: Record<string, number> = {};
  populations.forEach((count, index) => {
    const of = (value: (sample: Sample | undefined) => number | undefined) =>
      rounded(summarize(rounds.map((samples) => value(samples[index]) ?? Number.NaN)).median);
    const shown = count.toLocaleString("en");
    notes[`per second, ${shown} applications`] = of((sample) => sample?.figure);
    notes[`p50 ms, ${shown}`] = of((sample) => sample?.latency?.p50);
    notes[`p99 ms, ${shown}`] = of((sample) => sample?.latency?.p99);
  });
  return notes;
}
