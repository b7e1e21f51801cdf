import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";

const run = promisify(execFile);

/**
 * This Node and the others that are at hand: that of the system, and those of QOS_NODES, which
 * `.ci/node-versions` sets. By their versions.
 */
export async function nodesAtHand(): Promise<[version: string, path: string][]> {
  const named = (process.env.QOS_NODES ?? "").split(":").filter((path) => path !== "");
  const system = ["/usr/bin/node", "/usr/local/bin/node"].filter((path) => existsSync(path));
  const nodes = new Map<string, string>();
  for (const path of [process.execPath, ...named, ...system]) {
    const { stdout } = await run(path, ["--version"]);
    const major = stdout.trim().split(".")[0] ?? "";
    if (!nodes.has(major)) nodes.set(major, path);
  }
  return [...nodes];
}
