import {
  type ReplayAnswer,
  type ReplayOptions,
  replayCommand,
} from "../../src/replay/replay-command.ts";
import { createDatabase } from "../harness/index.ts";

/** A replay, in a database of the test's own. */
export function answered(path: string | readonly string[], options: ReplayOptions) {
  const paths = typeof path === "string" ? [path] : path;
  return replayCommand(paths, options, async (use) => use(await createDatabase()));
}

/** Its report. */
export async function replayed(
  path: string | readonly string[],
  options: ReplayOptions,
): Promise<ReplayAnswer["text"]> {
  return (await answered(path, options)).text;
}
