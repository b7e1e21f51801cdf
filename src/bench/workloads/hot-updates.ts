import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, Workload } from "../types.ts";
import { full } from "./sql-workloads.ts";

/** Sessions hand in their counts when they end, and at the latest after a second. */
const countsArriveMs = 1100;

export const hotUpdates: Workload = {
  name: "hot-updates",
  says: "HOT updates of buckets over all of them, under full decisions",
  unit: "share",
  async start(bench) {
    const load = await full.start(bench);
    return {
      async round() {
        await sleep(countsArriveMs);
        const before = await updates(bench);
        await load.round();
        await sleep(countsArriveMs);
        const after = await updates(bench);
        return { figure: (after.hot - before.hot) / (after.all - before.all) };
      },
    };
  },
};

async function updates({ sql }: Bench): Promise<{ hot: number; all: number }> {
  const [row] = await sql<[{ hot: string; all: string }]>`
    select n_tup_hot_upd as hot, n_tup_upd as all
    from pg_stat_user_tables
    where relid = 'rate_limiter.token_buckets'::regclass
  `;
  return { hot: Number(row.hot), all: Number(row.all) };
}
