import { join } from "node:path";
import { projectPath } from "../paths.ts";
import { withRole } from "../postgres/url.ts";
import { Process } from "./processes.ts";
import type { TortureServer } from "./server.ts";
import type { TrafficProxy } from "./traffic-proxy.ts";
import type { World } from "./world.ts";

export interface Parts {
  readonly server: TortureServer;
  /** Of SQL callers, clients, workers, the API and the gateway. */
  readonly proxies: readonly TrafficProxy[];
  readonly world: World;
  readonly folder: string;
  readonly seed: number;
  /** Where the API listens, also after it was killed; undefined for a run without it. */
  readonly apiPort: number | undefined;
}

export const ways = { callers: 0, clients: 1, workers: 2, api: 3, gateway: 4 } as const;

/** A way to the database that can be disturbed. */
export function way({ server, proxies }: Parts, from: keyof typeof ways, role: string): string {
  return withRole(server.url(proxies[ways[from]]?.port), `rate_limiter_${role}`);
}

/** Those that the client processes ask for. */
export function appsOfClients({ world }: Pick<Parts, "world">) {
  return world.apps.filter(({ tenant }) => tenant === "greedy");
}

export function receiptsFile({ folder }: Pick<Parts, "folder">, appId: string): string {
  return join(folder, `client-${appId}.ndjson`);
}

export function startClients(parts: Parts): Process[] {
  const program = projectPath("src/torture/client-process.ts");
  return appsOfClients(parts).map(({ appId }, number) =>
    start([program], {
      ...{ TORTURE_URL: way(parts, "clients", "app"), TORTURE_APP: appId },
      ...{ TORTURE_FILE: receiptsFile(parts, appId), TORTURE_HOLDER: `torture ${number}` },
    }),
  );
}

export function startWorkers(parts: Parts): Process[] {
  const env = { WORKER_DATABASE_URL: way(parts, "workers", "worker"), WORKER_PORT: "0" };
  return [1, 2].map(() => start([projectPath("src/cli/main.ts"), "worker"], env));
}

export function apiLog({ folder }: Pick<Parts, "folder">): string {
  return join(folder, "api.log");
}

export function startApi(parts: Parts): Process {
  const env = {
    ...{ API_DATABASE_URL: way(parts, "api", "authenticator"), API_PORT: String(parts.apiPort) },
    ...{ JWT_SECRET: crypto.randomUUID(), NODE_ENV: "production", GRAPHILE_ENV: "production" },
    ...{ API_POOL_SIZE: "4", LOG_LEVEL: "error" },
  };
  return start([projectPath("src/cli/main.ts"), "api"], env, apiLog(parts));
}

function start(args: readonly string[], env: NodeJS.ProcessEnv, logFile?: string): Process {
  return new Process(args, { ...process.env, LOG_LEVEL: "silent", ...env }, logFile);
}
