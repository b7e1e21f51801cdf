import { type ReplayOptions, replayCommand } from "../../src/replay/replay-command.ts";
import { createDatabase } from "../harness/index.ts";

/** The report of a replay, in a database of the test's own. */
export function replayed(path: string, options: ReplayOptions): Promise<string> {
  return replayCommand(path, options, async (use) => use(await createDatabase()));
}
