import { readFileSync } from "node:fs";
import { beforeAll, expect, test } from "vitest";
import { loadScripts } from "../../src/bench/open-database.ts";
import { summarize } from "../../src/bench/statistics.ts";
import { type CallCounts, explainCall } from "../../src/bench/workloads/explain-call.ts";
import { projectPath } from "../../src/paths.ts";
import { createDatabase } from "../harness/index.ts";

const bounds: Record<string, CallCounts> = JSON.parse(
  readFileSync(projectPath("test/bench/counts.json"), "utf8"),
);
const database = await createDatabase();
const applications = 5;

beforeAll(async () => {
  await loadScripts(database.sql);
  await database.sql.unsafe(`call bench.make_world(${applications})`);
});

/**
 * Medians: few calls load functions or draw on layer 1, as one session calls again long before what
 * its stripe holds lapses, on a slow machine too.
 */
async function countsOf(script: string): Promise<CallCounts> {
  const session = await database.session(script);
  const calls: CallCounts[] = [];
  for (let call = 0; call < 45; call++) calls.push(await explainCall(session.sql, script, 1));
  const median = (of: keyof CallCounts) => summarize(calls.map((call) => call[of])).median;
  return {
    walRecords: median("walRecords"),
    walBytes: median("walBytes"),
    buffers: median("buffers"),
  };
}

// Nothing here depends on the speed of the machine. Raise a bound only with a reason to tell.
test.each(Object.keys(bounds))("%s takes no more than it did", async (script) => {
  const counts = await countsOf(script);
  const bound = bounds[script] as CallCounts;
  expect(counts.walRecords).toBeLessThanOrEqual(bound.walRecords);
  expect(counts.walBytes).toBeLessThanOrEqual(bound.walBytes);
  expect(counts.buffers).toBeLessThanOrEqual(bound.buffers);
});
