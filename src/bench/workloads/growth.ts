import type { Bench, Workload } from "../types.ts";
import { full } from "./sql-workloads.ts";

const applications = 1_000_000;
const notInQuick = "growth is not measured with --quick";

function growth(name: string, population: number): Workload {
  return {
    name,
    says: `full decisions of ${population.toLocaleString("en")} of 1,000,000 applications`,
    unit: "per second",
    missing: async ({ quick }: Bench) => (quick ? notInQuick : undefined),
    async start(bench) {
      await bench.sql`select bench.grow(${bench.applications + 1}, ${applications})`;
      return full.start({ ...bench, applications: population });
    },
  };
}

/** Both in the same large database: the smaller one is what a thousand busy of them reach. */
export const grown = growth("grown", applications);
export const grownSmall = growth("grown-1k", 1000);
export const grownMiddle = growth("grown-100k", 100_000);
