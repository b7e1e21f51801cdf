import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Random } from "../random.ts";
import type { Actor } from "./actor.ts";
import { Borrower } from "./borrower.ts";
import { startGateway, type TorturedGateway } from "./gateway.ts";
import { HttpCaller } from "./http-caller.ts";
import type { Process } from "./processes.ts";
import { apiLog, type Parts, startApi, startClients, startWorkers, way } from "./programs.ts";
import { Receipts } from "./receipts.ts";
import { ReservedProber } from "./reserved-prober.ts";
import { SqlCaller } from "./sql-caller.ts";
import { StillWaiting, within } from "./within.ts";

export interface Actors {
  readonly receipts: Receipts;
  readonly clients: readonly Process[];
  readonly workers: readonly Process[];
  /** Absent in a run without it. */
  readonly api: Process | undefined;
  /** Absent where nginx is not installed. */
  readonly gateway: TorturedGateway | undefined;
  /** Tells all of them to end. What does not is a surprise, and is killed. */
  stop(): Promise<void>;
}

/** Longer than the limit of any answer, and than a process takes to be killed. */
const stopMs = 20_000;
/** A program starts, connects and answers in this time on a machine that is busy. */
const readyMs = 180_000;

export async function startActors(parts: Parts): Promise<Actors> {
  const receipts = new Receipts();
  const gateway = await within(
    readyMs,
    "the start of nginx",
    startGateway(way(parts, "gateway", "app")),
  );
  const [clients, workers] = [startClients(parts), startWorkers(parts)];
  const api = parts.apiPort === undefined ? undefined : startApi(parts);
  const actors = [
    ...sqlActors(parts, receipts),
    ...(api === undefined ? [] : [apiCaller(parts, receipts)]),
    ...(gateway === undefined ? [] : [gatewayCaller(parts, gateway, receipts)]),
  ];
  for (const actor of actors) actor.start();
  const told = async (what: string, child: Process) => {
    if (!(await child.stop())) receipts.surprise(`${what} did not end when it was told to`);
  };
  return {
    ...{ receipts, clients, workers, api, gateway },
    async stop() {
      for (const proxy of parts.proxies) proxy.mend();
      if (api !== undefined) await becomeReady(parts, api, receipts);
      await allEnd(
        actors.map((actor) => within(stopMs, `the end of ${actor.name}`, actor.stop())),
        receipts,
      );
      const ends = [
        ...clients.map((child) => told("a client", child)),
        ...workers.map((child) => told("a worker", child)),
        ...(api === undefined ? [] : [told("the API", api)]),
        ...(gateway === undefined ? [] : [gateway.stop()]),
      ];
      await allEnd(ends, receipts);
    },
  };
}

/** What does not end in its time is a surprise of the run. */
async function allEnd(ends: readonly Promise<void>[], receipts: Receipts): Promise<void> {
  for (const end of await Promise.allSettled(ends)) {
    if (end.status === "fulfilled") continue;
    if (!(end.reason instanceof StillWaiting)) throw end.reason;
    receipts.surprise(end.reason.message);
  }
}

function sqlActors(parts: Parts, receipts: Receipts): Actor[] {
  const { server, world, seed } = parts;
  const url = () => server.url();
  // The reserved application is left to its prober.
  const apps = world.apps.filter(({ reserved }) => reserved === 0);
  const callers = Array.from({ length: 4 }, (_, number) => {
    const plan = { apps, random: new Random(seed * 31 + number), receipts, pauseMs: 2 };
    const name = `caller ${number}`;
    return new SqlCaller({ ...plan, name, url: () => way(parts, "callers", "app") });
  });
  return [
    ...callers,
    new ReservedProber(url, world.reserved, receipts),
    new Borrower(url, world.borrower, receipts),
  ];
}

/** An answer of 200 is an operation that a lease or the database has paid for. */
function gatewayCaller({ world }: Parts, gateway: TorturedGateway, receipts: Receipts): Actor {
  const { appId, apiKey } = world.guarded;
  return new HttpCaller({
    name: "the gateway's caller",
    request: () =>
      new Request(`${gateway.url}/bucket/object`, {
        method: "HEAD",
        headers: { "x-api-key": apiKey },
      }),
    answered(status) {
      receipts.count(`gateway ${status ?? "none"}`);
      if (status === 200) receipts.answers.push({ appId, at: Date.now(), tokens: 1, by: "lease" });
      else if (![429, 503, undefined].includes(status)) {
        receipts.surprise(`a caller of the gateway got ${status}`);
      }
    },
  });
}

/** It has no session: what it may ask is whether the API is there, and who it is. */
function apiCaller({ apiPort }: Parts, receipts: Receipts): Actor {
  let calls = 0;
  return new HttpCaller({
    name: "the API's caller",
    request() {
      calls += 1;
      if (calls % 2 === 0) return new Request(`http://127.0.0.1:${apiPort}/readyz`);
      return new Request(`http://127.0.0.1:${apiPort}/graphql`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ query: "{ viewer { email } }" }),
      });
    },
    answered(status, text) {
      receipts.count(`API ${status ?? "none"}`);
      const isFault = status === 500 || text.includes("unexpected error");
      if (isFault) receipts.surprise(`a caller of the API got ${status}: ${text.slice(0, 200)}`);
    },
  });
}

/** After the last fault it becomes so by itself. */
async function becomeReady(parts: Parts, api: Process, receipts: Receipts): Promise<void> {
  const until = Date.now() + readyMs;
  while (Date.now() < until) {
    if (await isReady(parts)) return;
    await sleep(100);
  }
  const log = readFileSync(apiLog(parts), "utf8").slice(-500);
  receipts.surprise(
    `the API was not ready ${readyMs / 1_000} s after the last fault, ended by itself ${api.deaths} times, and said: ${log}`,
  );
}

function isReady({ apiPort }: Parts): Promise<boolean> {
  return fetch(`http://127.0.0.1:${apiPort}/readyz`, {
    signal: AbortSignal.timeout(5_000),
  }).then(
    ({ ok }) => ok,
    () => false,
  );
}
