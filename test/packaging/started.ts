import { spawn } from "node:child_process";
import { once } from "node:events";
import { onTestFinished, vi } from "vitest";

const patience = { timeout: 300_000, interval: 100 };

export interface Started {
  /** The parts of the first match in what it has printed. */
  says(pattern: RegExp): Promise<string[]>;
  /** Asks it to end; answers its exit code. */
  stop(): Promise<number>;
}

/** A program that runs until it is stopped. */
export function startProgram(
  [program = "", ...args]: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Started {
  const child = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "exit");
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      output += chunk;
    });
  }
  onTestFinished(async () => {
    child.kill("SIGTERM");
    await ended;
  });
  return {
    says: (pattern) =>
      vi.waitFor(() => {
        const found = pattern.exec(output);
        if (found === null) throw new Error(`not said: ${pattern} in ${output}`);
        return [...found];
      }, patience),
    async stop() {
      child.kill("SIGTERM");
      const [code] = await ended;
      return code;
    },
  };
}
