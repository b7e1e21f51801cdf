import type { Workload } from "../types.ts";
import { callInTurn } from "../workloads/callers.ts";

export const rlfMemory: Workload = {
  name: "rlf-memory",
  says: "rate-limiter-flexible in memory, one key, checks one after the other on one core",
  unit: "per second",
  async start(bench) {
    const { RateLimiterMemory } = await import("rate-limiter-flexible");
    const limiter = new RateLimiterMemory({ points: 2_000_000_000, duration: 3600 });
    return { round: () => callInTurn(bench.seconds, () => limiter.consume("key")) };
  },
};
