import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { within } from "./within.ts";

/** A gateway before a storage of its own; its workers may be killed and stopped. */
export interface TorturedGateway {
  readonly url: string;
  /** kill -9 of every worker: nginx starts others, and what they share in memory stays. */
  killWorkers(): void;
  pauseWorkers(ms: number): Promise<void>;
  /** As an operator ends it: what is leased goes back. */
  stop(): Promise<void>;
}

const stopMs = 20_000;

/** Undefined where nginx or its Lua module is not installed. */
export async function startGateway(databaseUrl: string): Promise<TorturedGateway | undefined> {
  const { missing, startNginx } = await import("../../test/gateway/nginx.ts");
  if (missing !== undefined) return undefined;
  const { startBridge } = await import("../../test/gateway/pgmoon-double/bridge.ts");
  const { startStorage } = await import("../../test/gateway/storage.ts");
  const [bridge, storage] = await Promise.all([startBridge(databaseUrl), startStorage()]);
  const nginx = await startNginx({
    upstreamPort: storage.port,
    environment: {
      ...{ QOS_DATABASE_HOST: "127.0.0.1", QOS_DATABASE_PORT: String(bridge.port) },
      ...{ QOS_DATABASE_NAME: "torture", QOS_DATABASE_USER: "torture" },
      // What it lets through was paid for.
      ...{ QOS_OUTAGE_POLICY: "closed", QOS_LEASE_MS: "3000", QOS_DATABASE_TIMEOUT_MS: "1000" },
    },
  });
  return {
    url: nginx.url,
    killWorkers: () => signal(childrenOf(nginx.pid), "SIGKILL"),
    async pauseWorkers(ms) {
      const workers = childrenOf(nginx.pid);
      signal(workers, "SIGSTOP");
      await sleep(ms);
      signal(workers, "SIGCONT");
    },
    async stop() {
      await within(stopMs, "the end of nginx", nginx.stop());
      await within(stopMs, "the end of its storage", storage.close());
      await within(stopMs, "the end of its way to the database", bridge.close());
    },
  };
}

function childrenOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return children.split(" ").map(Number).filter(Boolean);
}

function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // It went by itself meanwhile.
    }
  }
}
