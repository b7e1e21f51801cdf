import { afterAll, onTestFinished } from "vitest";
import { breakableLink } from "../client/breakable-link.ts";
import type { TestDatabase } from "../harness/index.ts";
import { type Driver, type Nginx, type NginxOptions, pgmoonPath, startNginx } from "./nginx.ts";
import { startBridge } from "./pgmoon-double/bridge.ts";
import { type Storage, startStorage } from "./storage.ts";

export interface GatewayWorld {
  readonly nginx: Nginx;
  readonly storage: Storage;
  /** The way from the gateway to its database. */
  readonly link: { cut(): void; loseAnswers(): void; mend(): void };
}

type Options = Pick<NginxOptions, "workers" | "edit" | "driver">;

/** Of the test that runs, else of the file. */
function atTheEnd(work: () => Promise<void>): void {
  try {
    onTestFinished(work);
  } catch {
    afterAll(work);
  }
}

/** nginx in front of a storage; gone when the test or the file that started it is through. */
export async function startGateway(
  database: TestDatabase,
  environment: Readonly<Record<string, string>> = {},
  options: Options = {},
): Promise<GatewayWorld> {
  const url = database.urlAs("rate_limiter_app");
  const [way, storage] = await Promise.all([openWay(url, options.driver), startStorage()]);
  const nginx = await startNginx({
    upstreamPort: storage.port,
    environment: { ...way.settings, ...environment },
    ...options,
  });
  atTheEnd(async () => {
    await nginx.stop();
    await storage.close();
    await way.close();
  });
  return { nginx, storage, link: way };
}

/** With pgmoon or its stub to the database itself, else to the bridge. */
export async function openWay(url: string, driver: Driver = "bridge") {
  const { pathname, username, password } = new URL(url);
  const settings = (host: string, port: string) => ({
    QOS_DATABASE_HOST: host,
    QOS_DATABASE_PORT: port,
    QOS_DATABASE_NAME: decodeURIComponent(pathname.slice(1)),
    QOS_DATABASE_USER: decodeURIComponent(username),
    QOS_DATABASE_PASSWORD: decodeURIComponent(password),
  });
  if (pgmoonPath === undefined && driver === "bridge") {
    const bridge = await startBridge(url);
    return {
      settings: settings("127.0.0.1", String(bridge.port)),
      cut: () => bridge.fail(),
      loseAnswers: () => bridge.loseAnswers(),
      mend: () => bridge.mend(),
      close: () => bridge.close(),
    };
  }
  const link = await breakableLink(url);
  return {
    settings: settings("127.0.0.1", new URL(link.url).port),
    cut: () => link.cut(),
    loseAnswers: () => link.loseAnswers(),
    mend: () => link.mend(),
    close: () => link.close(),
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
