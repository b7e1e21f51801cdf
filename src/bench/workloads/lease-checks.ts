import type { Workload } from "../types.ts";
import { admitted, benchLimiter } from "./bench-limiter.ts";
import { callInTurn } from "./callers.ts";

export const leaseChecks: Workload = {
  name: "lease",
  says: "admissions by the TypeScript client out of leases, both layers and kinds, on one core",
  unit: "per second",
  async start(bench) {
    const limiter = await benchLimiter(bench, "lease");
    const round = async () => {
      const before = admitted(limiter);
      const checks = await callInTurn(bench.seconds, () => limiter.check("read_small", 4096));
      // Checks that were denied because a lease came late are not admissions.
      const share = (admitted(limiter) - before) / (checks.figure * bench.seconds);
      return { figure: checks.figure * Math.min(1, share) };
    };
    // The first round lets leases grow to what is asked for.
    await round();
    return { round, stop: () => limiter.close() };
  },
};
