import { summarize } from "../statistics.ts";
import type { Workload } from "../types.ts";
import { explainCall } from "./explain-call.ts";

const calls = 101;

export const deniedWal: Workload = {
  name: "denied-wal",
  says: "WAL of a denial, median of 101",
  unit: "bytes",
  async start(bench) {
    return {
      async round() {
        const bytes: number[] = [];
        for (let i = 0; i < calls; i++) {
          const counts = await explainCall(
            bench.sql,
            "consume-denied",
            1 + (i % bench.applications),
          );
          bytes.push(counts.walBytes);
        }
        return { figure: summarize(bytes).median };
      },
    };
  },
};
