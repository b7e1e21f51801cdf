import { noFindings } from "../../replay/findings.ts";
import type { Recording } from "../../replay/read-trace.ts";
import { replay } from "../../replay/replay.ts";
import type { ReplayQuotas } from "../../replay/replay-world.ts";
import { openDatabaseBeside } from "../open-database.ts";
import type { Bench, Workload } from "../types.ts";
import { generatedTrace } from "./generated-trace.ts";

/** Both layers and kinds. Some of the trace is throttled, as a replay is made to find out. */
const quotas: ReplayQuotas = {
  method: "token_bucket",
  iops: { limit: 1500, burst: 3000, seconds: 10 },
  bandwidth: { limit: 100_000_000, burst: 200_000_000, seconds: 1 },
  clusterIops: { limit: 1_000_000, burst: 1_000_000, seconds: 10 },
  clusterBandwidth: { limit: 10_000_000_000, burst: 10_000_000_000, seconds: 10 },
};

/** The database is made anew for each replay, and no part of what is measured. */
export const replayed: Workload = {
  name: "replay",
  says: "operations of a generated trace decided by the product's replay, both layers and kinds",
  unit: "per second",
  once: true,
  async start(bench) {
    const recording: Recording = {
      formats: ["csv"],
      epoch: new Date("2026-01-01T00:00:00Z"),
      trace: generatedTrace(bench.quick ? 5000 : 50_000),
      findings: noFindings(),
    };
    return {
      async round() {
        const pace = newPace();
        const { admitted, throttled } = await replay(
          recording,
          { quotas, retries: 0 },
          pace.note,
          (use) => withDatabaseBeside(bench, use),
        );
        return { figure: pace.perSecond(), notes: { admitted, throttled } };
      },
    };
  },
};

async function withDatabaseBeside<T>(
  { url }: Bench,
  use: (database: { readonly url: string }) => Promise<T>,
): Promise<T> {
  const database = await openDatabaseBeside(url);
  try {
    return await use(database);
  } finally {
    await database.remove();
  }
}

/** From the first answer on, so that neither the world nor the first plans count. */
function newPace(): { note(done: number): void; perSecond(): number } {
  const moments: { at: number; done: number }[] = [];
  return {
    note: (done) => void moments.push({ at: performance.now(), done }),
    perSecond() {
      const [first, last] = [moments[0], moments.at(-1)];
      if (first === undefined || last === undefined) throw new Error("nothing was replayed");
      return ((last.done - first.done) * 1000) / (last.at - first.at);
    },
  };
}
