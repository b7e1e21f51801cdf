import { join } from "node:path";
import { projectPath } from "../paths.ts";
import { withRole } from "../postgres/url.ts";
import type { Actor } from "./actor.ts";
import { Borrower } from "./borrower.ts";
import { Process } from "./processes.ts";
import { Random } from "./random.ts";
import { Receipts } from "./receipts.ts";
import { ReservedProber } from "./reserved-prober.ts";
import type { TortureServer } from "./server.ts";
import { SqlCaller } from "./sql-caller.ts";
import type { TrafficProxy } from "./traffic-proxy.ts";
import { StillWaiting, within } from "./within.ts";
import type { World } from "./world.ts";

export interface Parts {
  readonly server: TortureServer;
  readonly proxies: readonly TrafficProxy[];
  readonly world: World;
  readonly folder: string;
  readonly seed: number;
}

export interface Actors {
  readonly receipts: Receipts;
  readonly clients: readonly Process[];
  readonly workers: readonly Process[];
  /** Tells all of them to end. What does not is a surprise, and is killed. */
  stop(): Promise<void>;
}

/** Longer than the limit of any answer, and than a process takes to be killed. */
const stopMs = 20_000;

export function startActors(parts: Parts): Actors {
  const receipts = new Receipts();
  const actors = inProcess(parts, receipts);
  const [clients, workers] = [startClients(parts), startWorkers(parts)];
  for (const actor of actors) actor.start();
  const stopProcess = async (what: string, child: Process) => {
    if (!(await child.stop())) receipts.surprise(`${what} did not end when it was told to`);
  };
  return {
    ...{ receipts, clients, workers },
    async stop() {
      for (const proxy of parts.proxies) proxy.mend();
      const ends = [
        ...actors.map((actor) => within(stopMs, `the end of ${actor.name}`, actor.stop())),
        ...clients.map((child) => stopProcess("a client", child)),
        ...workers.map((child) => stopProcess("a worker", child)),
      ];
      for (const end of await Promise.allSettled(ends)) {
        if (end.status === "fulfilled") continue;
        if (!(end.reason instanceof StillWaiting)) throw end.reason;
        receipts.surprise(end.reason.message);
      }
    },
  };
}

/** A way to the database that can be disturbed. */
function way({ server, proxies }: Parts, proxy: number, role: string): string {
  return withRole(server.url(proxies[proxy]?.port), `rate_limiter_${role}`);
}

/** The reserved application is left to its prober. */
function contested({ world }: Parts) {
  return world.apps.filter(({ reserved }) => reserved === 0);
}

function inProcess(parts: Parts, receipts: Receipts): Actor[] {
  const { server, world, seed } = parts;
  const url = () => server.url();
  const callers = Array.from({ length: 4 }, (_, number) => {
    const random = new Random(seed * 31 + number);
    const plan = { apps: contested(parts), random, receipts, pauseMs: 2 };
    return new SqlCaller({ ...plan, url: () => way(parts, 0, "app"), name: `caller ${number}` });
  });
  return [
    ...callers,
    new ReservedProber(url, world.reserved, receipts),
    new Borrower(url, world.borrower, receipts),
  ];
}

/** Those that the client processes ask for. */
export function appsOfClients({ world }: Pick<Parts, "world">) {
  return world.apps.slice(-2);
}

export function receiptsFile({ folder }: Pick<Parts, "folder">, appId: string): string {
  return join(folder, `client-${appId}.ndjson`);
}

function startClients(parts: Parts): Process[] {
  return appsOfClients(parts).map(({ appId }, number) => {
    return new Process([projectPath("src/torture/client-process.ts")], {
      ...process.env,
      ...{ TORTURE_URL: way(parts, 1, "app"), TORTURE_APP: appId },
      ...{ TORTURE_FILE: receiptsFile(parts, appId), TORTURE_HOLDER: `torture ${number}` },
    });
  });
}

function startWorkers(parts: Parts): Process[] {
  const env = { WORKER_DATABASE_URL: way(parts, 2, "worker"), WORKER_PORT: "0" };
  return [1, 2].map(
    () =>
      new Process([projectPath("src/cli/main.ts"), "worker"], {
        ...process.env,
        ...{ ...env, LOG_LEVEL: "silent" },
      }),
  );
}
