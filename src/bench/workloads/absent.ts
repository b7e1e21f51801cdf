import type { Workload } from "../types.ts";

/** What is not measured in this version: its ratios are null, and the report says why. */
export function absent(name: string, says: string, reason: string): Workload {
  return {
    ...{ name, says, unit: "per second" },
    missing: async () => reason,
    start: () => Promise.reject(new Error(reason)),
  };
}
