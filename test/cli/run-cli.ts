import { execFile } from "node:child_process";
import { projectPath } from "../../src/paths.ts";

export interface CliAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command line as a person meets it: a process with its own streams and exit code. */
export function runCli(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  main: string = projectPath("src/cli/main.ts"),
): Promise<CliAnswer> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [main, ...args],
      { env: { ...process.env, ...env } },
      (error, stdout, stderr) => {
        const code = typeof error?.code === "number" ? error.code : Number(error !== null);
        resolve({ code, stdout, stderr });
      },
    );
  });
}
