import { afterAll, vi } from "vitest";

/** A process runs one file after the other: what a file has stubbed is not the next one's. */
afterAll(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
});
