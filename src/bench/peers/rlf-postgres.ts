import type { Workload } from "../types.ts";
import { callAtOnce } from "../workloads/callers.ts";
import { callersFromNode, nodePool } from "../workloads/node-pool.ts";

/** Never in the way: what is measured is an admission. */
const points = 2_000_000_000;

export const rlfPostgres: Workload = {
  name: "rlf-postgres",
  says: "rate-limiter-flexible on PostgreSQL through pg's pool of 16, 1,000 keys, 32 callers",
  unit: "per second",
  async start(bench) {
    const { RateLimiterPostgres } = await import("rate-limiter-flexible");
    const pool = nodePool(bench);
    const limiter = await new Promise<InstanceType<typeof RateLimiterPostgres>>((ready, failed) => {
      const made = new RateLimiterPostgres(
        {
          ...{ storeClient: pool, storeType: "pool", tableName: "rlf", keyPrefix: "bench" },
          ...{ points, duration: 3600, clearExpiredByTimeout: false },
        },
        (error?: Error) => (error ? failed(error) : ready(made)),
      );
    });
    const call = () => limiter.consume(`key ${Math.ceil(Math.random() * bench.applications)}`);
    return {
      round: () => callAtOnce(callersFromNode, bench.seconds, call),
      stop: () => pool.end(),
    };
  },
};
