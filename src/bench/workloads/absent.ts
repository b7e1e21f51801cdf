import type { Workload } from "../types.ts";

/** What the project does not have in this version: its ratios are null, and the report says why. */
export function absent(name: string, says: string, reason: string): Workload {
  return {
    ...{ name, says, unit: "per second" },
    missing: async () => reason,
    start: () => Promise.reject(new Error(reason)),
  };
}
