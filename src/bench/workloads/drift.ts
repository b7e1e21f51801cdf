import { rounded, summarize } from "../statistics.ts";
import type { Bench, Notes, Workload } from "../types.ts";
import { fullBesideFloor, type Turn } from "./full-beside-floor.ts";

const parts = 5;
const longestTurnSeconds = 60;

export const drift: Workload = {
  name: "drift",
  says:
    "sustained run of full decisions, the floor for a short while beside each turn of them: " +
    "decisions over floor in the last fifth, over the same in the first",
  unit: "share",
  afterRounds: true,
  async start(bench) {
    const partSeconds = bench.quick ? bench.seconds * 2 : bench.sustainedSeconds / parts;
    const turnsOfPart = Math.ceil(partSeconds / longestTurnSeconds);
    const turn = await fullBesideFloor(bench, partSeconds / turnsOfPart);
    return {
      async round() {
        // Not counted: the first to run after others touches memory and tables that are cold.
        await turn();
        const before = await sizeOfBuckets(bench);
        const turns: Turn[] = [];
        while (turns.length < parts * turnsOfPart) turns.push(await turn());
        return {
          figure: driftOf(turns),
          notes: { ...notesOf(turns), ...growth(before, await sizeOfBuckets(bench)) },
        };
      },
    };
  },
};

/** A fifth's turns are compared with the floor one by one: the machine slows both of a turn. */
export function driftOf(turns: readonly Turn[]): number {
  const { first, last } = fifthsOf(turns);
  return overFloor(last) / overFloor(first);
}

function overFloor(turns: readonly Turn[]): number {
  return summarize(turns.map(({ full, floor }) => full.figure / floor.figure)).median;
}

function fifthsOf(turns: readonly Turn[]): { first: readonly Turn[]; last: readonly Turn[] } {
  const length = turns.length / parts;
  return { first: turns.slice(0, length), last: turns.slice(-length) };
}

function notesOf(turns: readonly Turn[]): Notes {
  const { first, last } = fifthsOf(turns);
  const perSecond = (of: readonly Turn[]) =>
    rounded(summarize(of.map(({ full }) => full.figure)).median);
  return {
    "decisions per second in the first fifth": perSecond(first),
    "in the last": perSecond(last),
  };
}

interface Size {
  readonly bytes: number;
  readonly dead: number;
}

/** With its indexes. Dead rows are those that the statistics know of. */
async function sizeOfBuckets({ sql }: Bench): Promise<Size> {
  const [row] = await sql<[{ bytes: string; dead: string }]>`
    select pg_total_relation_size(relid) as bytes, n_dead_tup as dead
    from pg_stat_user_tables
    where relid = 'rate_limiter.token_buckets'::regclass
  `;
  return { bytes: Number(row.bytes), dead: Number(row.dead) };
}

function growth(before: Size, after: Size): Notes {
  return {
    "bytes of buckets before": before.bytes,
    "bytes of buckets after": after.bytes,
    "dead buckets before": before.dead,
    "dead buckets after": after.dead,
  };
}
