import type { Workload } from "../types.ts";
import { callAtOnce } from "./callers.ts";
import { callersFromNode, nodePool } from "./node-pool.ts";

const text = "select * from rate_limiter.consume($1, 'read_small', 4096)";

export const consumeFromNode: Workload = {
  name: "consume-from-node",
  says: "decision on an IOPS quota through pg's pool of 16, 1,000 applications, 32 callers",
  unit: "per second",
  async start(bench) {
    const pool = nodePool(bench, "rate_limiter_app");
    const rows = await bench.sql<{ id: string }[]>`
      select md5('plain ' || n)::uuid as id from generate_series(1, ${bench.applications}::int) as n
    `;
    const call = () => {
      const id = rows[Math.floor(Math.random() * rows.length)]?.id;
      return pool.query({ name: "consume", text, values: [id] });
    };
    return {
      round: () => callAtOnce(callersFromNode, bench.seconds, call),
      stop: () => pool.end(),
    };
  },
};
