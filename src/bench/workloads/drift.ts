import type { Workload } from "../types.ts";
import { full } from "./sql-workloads.ts";

const parts = 5;

export const drift: Workload = {
  name: "drift",
  says: "full decisions without a pause: throughput of the last fifth over the first",
  unit: "share",
  once: true,
  async start(bench) {
    const seconds = bench.quick ? bench.seconds * 2 : bench.sustainedSeconds / parts;
    const load = await full.start({ ...bench, seconds });
    return {
      async round() {
        const rates: number[] = [];
        for (let part = 0; part < parts; part++) rates.push((await load.round()).figure);
        return { figure: (rates.at(-1) ?? 0) / (rates[0] ?? 0) };
      },
    };
  },
};
