import { spawn } from "node:child_process";
import { once } from "node:events";
import { delimiter } from "node:path";
import { projectFolder, projectPath } from "../paths.ts";

/** Runs one of the project's programs in this terminal; answers whether it succeeded. */
export async function runProgram([program = "", ...args]: readonly string[]): Promise<boolean> {
  const path = [projectPath("node_modules/.bin"), process.env.PATH].join(delimiter);
  const child = spawn(program, args, {
    cwd: projectFolder,
    env: { ...process.env, PATH: path },
    stdio: "inherit",
  });
  const [code] = await once(child, "exit");
  return code === 0;
}
