import { type ChildProcess, spawn } from "node:child_process";
import { onTestFinished } from "vitest";
import { projectPath } from "../../src/paths.ts";

/** A worker as a process of its own, which can be killed. */
export function spawnWorker(databaseUrl: string, env: NodeJS.ProcessEnv = {}): ChildProcess {
  const own = { WORKER_DATABASE_URL: databaseUrl, WORKER_PORT: "0", LOG_LEVEL: "error" };
  const child = spawn(process.execPath, [projectPath("src/cli/main.ts"), "worker"], {
    env: { ...process.env, ...own, ...env },
    stdio: "ignore",
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  return child;
}
