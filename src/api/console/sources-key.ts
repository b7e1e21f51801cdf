import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { projectFolder, projectPath } from "../../paths.ts";

/** Names what the console is built of: its sources, the libraries, and how it is built. */
export async function sourcesKey(): Promise<string> {
  const entries = await readdir(projectPath("src", "console"), {
    ...{ recursive: true, withFileTypes: true },
  });
  const sources = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const others = [projectPath("package-lock.json"), join(import.meta.dirname, "build-console.ts")];
  const hash = createHash("sha256");
  for (const file of [...sources.sort(), ...others]) {
    hash.update(`${relative(projectFolder, file)}\0`).update(await readFile(file));
  }
  return hash.digest("hex").slice(0, 16);
}
