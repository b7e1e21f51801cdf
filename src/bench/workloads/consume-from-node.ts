import { createBatchingClient } from "../../client/index.ts";
import type { Workload } from "../types.ts";
import { callAtOnce } from "./callers.ts";
import { callersFromNode, nodePool } from "./node-pool.ts";

export const consumeFromNode: Workload = {
  name: "consume-from-node",
  says: "decisions on an IOPS quota by the batching client through pg's pool of 16, 1,000 applications, 32 callers",
  unit: "per second",
  async start(bench) {
    const pool = nodePool(bench, "rate_limiter_app");
    const client = createBatchingClient({ connection: pool });
    const rows = await bench.sql<{ id: string }[]>`
      select md5('plain ' || n)::uuid as id from generate_series(1, ${bench.applications}::int) as n
    `;
    const call = async () => {
      const row = rows[Math.floor(Math.random() * rows.length)];
      const { allowed } = await client.decide(row?.id ?? "", "read_small", 4096);
      if (!allowed) throw new Error("a decision that is meant to admit denies");
    };
    return {
      round: () => callAtOnce(callersFromNode, bench.seconds, call),
      async stop() {
        await client.close();
        await pool.end();
      },
    };
  },
};
