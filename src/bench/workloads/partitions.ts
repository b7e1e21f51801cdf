import { openWorldBeside, startIn } from "../open-database.ts";
import type { Bench, Workload } from "../types.ts";
import { full } from "./sql-workloads.ts";

const daysOfYear = 365;
const notInQuick = "each side makes a database of its own: not measured with --quick";

/** Both in databases of their own, made alike: partitions of one would be in every plan there. */
export const yearOfPartitions = partitioned(
  "year-of-partitions",
  "full decisions with 365 days of ledger partitions before today's",
  daysOfYear,
);

export const freshPartitions = partitioned(
  "fresh-partitions",
  "the same with the ledger partitions of a new installation",
  0,
);

function partitioned(name: string, says: string, days: number): Workload {
  return {
    ...{ name, says, unit: "per second" },
    missing: async ({ quick }: Bench) => (quick ? notInQuick : undefined),
    start: (bench) =>
      startIn(openWorldBeside(bench), async ({ url, sql }) => {
        await sql`select bench.make_ledger_partitions(${days})`;
        const load = await full.start({ ...bench, url, sql });
        const [row] = await sql<[{ count: string }]>`
          select count(*) from rate_limiter_internal.partitions()
          where table_name = 'token_transactions'
        `;
        const notes = { "ledger partitions": Number(row.count) };
        return { round: async () => ({ ...(await load.round()), notes }) };
      }),
  };
}
