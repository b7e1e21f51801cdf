import { setTimeout as sleep } from "node:timers/promises";
import type { Workload } from "../types.ts";
import { admitted, benchLimiter } from "./bench-limiter.ts";

const callers = 500;
const offeredPerSecond = 100_000;
const shortestSeconds = 3;

/** Each caller's turn comes every five milliseconds. */
export const leaseCalls: Workload = {
  name: "lease-calls",
  says: "database calls of one application: 500 callers, 100,000 decisions a second offered",
  unit: "calls per second",
  async start(bench) {
    const limiter = await benchLimiter(bench, "full");
    const offerFor = async (seconds: number): Promise<number> => {
      const start = performance.now();
      let offered = 0;
      for (let passed = 0; passed < seconds; passed = (performance.now() - start) / 1000) {
        for (; offered < passed * offeredPerSecond; offered += callers) {
          for (let caller = 0; caller < callers; caller++) limiter.check("read_small", 4096);
        }
        await sleep(1);
      }
      return offered;
    };
    await offerFor(1);
    return {
      async round() {
        const seconds = Math.max(bench.seconds, shortestSeconds);
        const before = { calls: limiter.status().storeCalls, admitted: admitted(limiter) };
        const offered = await offerFor(seconds);
        const share = (admitted(limiter) - before.admitted) / offered;
        if (share < 0.9) throw new Error(`the client admitted ${share} of what it should`);
        return { figure: (limiter.status().storeCalls - before.calls) / seconds };
      },
      stop: () => limiter.close(),
    };
  },
};
