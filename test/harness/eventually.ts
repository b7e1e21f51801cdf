import { vi } from "vitest";

/** Waits for what comes sooner or later, however busy the machine is. */
export function eventually<T>(holds: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(holds, { timeout: 30_000 });
}
