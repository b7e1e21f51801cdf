import { afterAll } from "vitest";
import type { TestDatabase } from "../harness/index.ts";
import { type Bridge, startBridge } from "./bridge.ts";
import { type Nginx, pgmoonPath, startNginx } from "./nginx.ts";
import { type Storage, startStorage } from "./storage.ts";

export interface GatewayWorld {
  readonly nginx: Nginx;
  readonly storage: Storage;
  readonly bridge: Bridge;
}

/** nginx in front of a storage; gone when the file is through. */
export async function startGateway(
  database: TestDatabase,
  environment: Readonly<Record<string, string>> = {},
): Promise<GatewayWorld> {
  const url = database.urlAs("rate_limiter_app");
  const [bridge, storage] = await Promise.all([startBridge(url), startStorage()]);
  const nginx = await startNginx({
    upstreamPort: storage.port,
    environment: { ...databaseSettings(url, bridge), ...environment },
  });
  afterAll(async () => {
    await nginx.stop();
    await storage.close();
    await bridge.close();
  });
  return { nginx, storage, bridge };
}

/** With pgmoon the database itself, else the bridge. */
export function databaseSettings(
  url: string,
  bridge: Pick<Bridge, "port">,
): Record<string, string> {
  const { hostname, port, pathname, username, password } = new URL(url);
  return {
    QOS_DATABASE_HOST: pgmoonPath === undefined ? "127.0.0.1" : hostname,
    QOS_DATABASE_PORT: pgmoonPath === undefined ? String(bridge.port) : port,
    QOS_DATABASE_NAME: decodeURIComponent(pathname.slice(1)),
    QOS_DATABASE_USER: decodeURIComponent(username),
    QOS_DATABASE_PASSWORD: decodeURIComponent(password),
  };
}

/** The value of a counter, summed over what its labels leave open. */
export async function counter(nginx: Nginx, pattern: RegExp): Promise<number> {
  const text = await (await fetch(`${nginx.adminUrl}/metrics`)).text();
  return text
    .split("\n")
    .filter((line) => pattern.test(line) && !line.startsWith("#"))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}
