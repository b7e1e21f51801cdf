import type { TestProject } from "vitest/node";
import { openHarness } from "./server.ts";

/** One server and one migrated template database for the whole run. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const harness = await openHarness();
  project.provide("harness", harness.context);
  return harness.close;
}
