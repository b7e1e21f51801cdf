import type { Machine } from "../../src/bench/machine.ts";

/** Where made-up measurements were made. */
export const machine: Machine = {
  ...{ cores: 2, processor: "processor", memoryGb: 8, platform: "linux x64", node: "24" },
  ...{ postgresql: "18", settings: { jit: "off" }, loadGenerator: "pgbench", loadBefore: 0 },
  measuredAt: "2026-01-01T00:00:00.000Z",
};
