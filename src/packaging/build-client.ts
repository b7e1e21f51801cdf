import { execFile } from "node:child_process";
import { copyFile, glob, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectPath } from "../paths.ts";
import { UserError } from "../user-error.ts";

const run = promisify(execFile);

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
  await compile(lib);
  for await (const path of glob("**/*.d.ts", { cwd: lib })) await renameImports(join(lib, path));
  for (const [from, to] of files) await copyFile(projectPath(from), join(folder, to));
}

async function compile(lib: string): Promise<void> {
  const compiler = projectPath("node_modules/typescript/bin/tsc");
  const project = projectPath("src/client/tsconfig.json");
  try {
    await run(process.execPath, [compiler, "-p", project, "--outDir", lib]);
  } catch (error) {
    const { stdout = "" } = error as { stdout?: string };
    throw new UserError("client_does_not_compile", "the client does not compile", stdout);
  }
}

/** The compiler rewrites imports of its JavaScript alone. */
async function renameImports(path: string): Promise<void> {
  const text = await readFile(path, "utf8");
  await writeFile(path, text.replace(/((?:from|import) ?\(?"\.[^"]*)\.ts"/g, '$1.js"'));
}
