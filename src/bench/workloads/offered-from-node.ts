import type { Histogram } from "hdr-histogram-js";
import type pg from "pg";
import { latencyOf, newHistogram } from "../driver/latency.ts";
import type { Workload } from "../types.ts";
import { nodePool } from "./node-pool.ts";
import { offer } from "./offer.ts";

const callers = 20;
const perSecond = 1000;
const turnSeconds = 0.5;
const callsToWarm = 50;

/** Both sides in one workload, so that their turns alternate within the round. */
export const offeredFromNode: Workload = {
  name: "offered-from-node",
  says:
    "p50 from when a call was due, 20 callers, 1,000 a second offered from Node through one pg " +
    "pool of 20, in turns: full decision by API key, one key, over prepared select 1",
  unit: "ratio",
  async start(bench) {
    const pool = nodePool(bench, "rate_limiter_app", callers);
    await warmUp(pool);
    const turn = (call: () => Promise<unknown>, histogram: Histogram) =>
      offer({ callers, perSecond, seconds: turnSeconds, histogram }, call);
    const sides = [() => decide(pool), () => select1(pool)] as const;
    return {
      async round() {
        const histograms = [newHistogram(), newHistogram()] as const;
        const [decided, selected] = histograms;
        // Other workloads ran in between: the first turn of each side counts for nothing.
        for (const call of sides) await turn(call, newHistogram());
        for (let done = 0; done < bench.seconds; done += turnSeconds) {
          await turn(sides[0], decided);
          await turn(sides[1], selected);
        }
        const [decision, select] = [latencyOf(decided), latencyOf(selected)];
        return {
          figure: decision.p50 / select.p50,
          latency: decision,
          notes: {
            "select 1 p50 ms": select.p50,
            "p99 ms": select.p99,
            "p99.9 ms": select.p999,
          },
        };
      },
      stop: () => pool.end(),
    };
  },
};

/**
 * A service's sessions have long loaded functions and made plans. Here, calls that are due pile up
 * behind the first of a session and reach for one that is as cold.
 */
async function warmUp(pool: pg.Pool): Promise<void> {
  const clients = await Promise.all(Array.from({ length: callers }, () => pool.connect()));
  for (const client of clients) {
    for (let call = 0; call < callsToWarm; call++) {
      await decide(client);
      await select1(client);
    }
  }
  for (const client of clients) client.release();
}

type Queryable = Pick<pg.PoolClient, "query">;

const decision = {
  name: "decision-by-key",
  text: "select * from rate_limiter.consume_with_key($1, 'read_small', 4096)",
  values: [`qos_${"full-1".padStart(43, "k")}`],
};

async function decide(pool: Queryable): Promise<void> {
  const { rows } = await pool.query(decision);
  if (rows[0]?.allowed !== true) throw new Error("a decision that must admit did not");
}

async function select1(pool: Queryable): Promise<void> {
  await pool.query({ name: "select-1", text: "select 1" });
}
