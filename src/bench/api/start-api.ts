import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../postgres/free-port.ts";
import { withParameter } from "../../postgres/url.ts";

export interface BenchApi {
  readonly url: string;
  stop(): Promise<void>;
}

const secondsToStart = 60;

/** The API in a process of its own, with the settings that it comes with. */
export async function startBenchApi(databaseUrl: string): Promise<BenchApi> {
  const port = await freePort();
  const main = new URL("../../cli/main.ts", import.meta.url).pathname;
  const role = "-c role=rate_limiter_authenticator";
  const child = spawn(process.execPath, [...process.execArgv, main, "api"], {
    env: {
      ...process.env,
      ...{ API_DATABASE_URL: withParameter(databaseUrl, "options", role), API_PORT: String(port) },
      ...{ JWT_SECRET: "a secret of this benchmark and of no other", LOG_LEVEL: "fatal" },
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const url = `http://127.0.0.1:${port}`;
  await untilReady(url, child);
  return {
    url,
    async stop() {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

async function untilReady(url: string, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < secondsToStart * 10; tries += 1) {
    if (child.exitCode !== null) break;
    const answer = await fetch(`${url}/readyz`).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(100);
  }
  child.kill("SIGKILL");
  throw new Error("The API of the benchmark is not ready.");
}
