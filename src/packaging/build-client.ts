import { copyFile, glob, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { projectPath } from "../paths.ts";
import { compile } from "./compile.ts";

const files = [
  ["src/client/package.json", "package.json"],
  ["src/client/README.md", "README.md"],
  ["src/client/CHANGELOG.md", "CHANGELOG.md"],
  ["LICENSE", "LICENSE"],
] as const;

/** Writes the client's package into a folder, from where `npm pack` and `npm publish` take it. */
export async function buildClient(folder: string): Promise<void> {
  const lib = join(folder, "lib");
  await mkdir(folder, { recursive: true });
  await rm(lib, { recursive: true, force: true });
  await compile("src/client/tsconfig.json", lib);
  for await (const path of glob("**/*.d.ts", { cwd: lib })) await renameImports(join(lib, path));
  for (const [from, to] of files) await copyFile(projectPath(from), join(folder, to));
}

/** The compiler rewrites imports of its JavaScript alone. */
async function renameImports(path: string): Promise<void> {
  const text = await readFile(path, "utf8");
  await writeFile(path, text.replace(/((?:from|import) ?\(?"\.[^"]*)\.ts"/g, '$1.js"'));
}
