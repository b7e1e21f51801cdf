import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { projectPath } from "../paths.ts";
import { UserError } from "../user-error.ts";

const run = promisify(execFile);

/** Writes JavaScript of a project of the compiler's, whose imports name JavaScript. */
export async function compile(project: string, folder: string): Promise<void> {
  const compiler = projectPath("node_modules/typescript/bin/tsc");
  try {
    await run(process.execPath, [compiler, "-p", projectPath(project), "--outDir", folder]);
  } catch (error) {
    const { stdout = "" } = error as { stdout?: string };
    throw new UserError("package_does_not_compile", `${project} does not compile`, stdout);
  }
}
