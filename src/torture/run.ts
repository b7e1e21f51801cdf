import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Sql } from "../postgres/connect.ts";
import { freePort } from "../postgres/free-port.ts";
import { type Actors, startActors } from "./actors.ts";
import { bringAbout } from "./bring-about.ts";
import { type Evidence, type Findings, findBreaches } from "./checks.ts";
import { readClients } from "./client-receipts.ts";
import { comeToRest } from "./come-to-rest.ts";
import type { Fault } from "./fault.ts";
import { ways } from "./programs.ts";
import { TortureServer } from "./server.ts";
import type { Stage } from "./stage.ts";
import { TrafficProxy } from "./traffic-proxy.ts";
import { within } from "./within.ts";
import { makeWorld, type World } from "./world.ts";

export interface RunPlan {
  readonly seed: number;
  readonly runMs: number;
  readonly faults: readonly Fault[];
  /** Changes the database before callers ask, for tests of the checks. */
  readonly prepare?: (sql: Sql) => Promise<void>;
  /** Sees the database at rest before the checks do, for tests of the checks. */
  readonly inspect?: (sql: Sql, evidence: Evidence) => Promise<void>;
  /** Callers go on until this holds as well, on a machine that is busy, for two minutes at most. */
  readonly until?: (sql: Sql, seen: Pick<Evidence, "receipts" | "losses">) => Promise<boolean>;
  /** Starts an API, which takes seconds of a processor. */
  readonly withApi?: boolean;
  /** How long leases, loans and sessions have to come to rest. */
  readonly restMs?: number;
  readonly tell?: (line: string) => void;
}

export interface RunResult {
  readonly operations: number;
  /** Faults that came about; of `failed` ones the database refused the change, or it was away. */
  readonly faults: number;
  readonly failedFaults: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
  readonly admittedByPolicy: number;
  readonly findings: Findings;
}

const defaultRestMs = 30_000;
const limits = { prepareMs: 120_000, checkMs: 180_000, stopMs: 120_000, untilMs: 120_000 };

/** Drives the system for a while under faults, lets it come to rest, and checks what is left. */
export async function runOnce(plan: RunPlan): Promise<RunResult> {
  const withClock = plan.faults.some(({ kind }) => kind === "step_clock");
  const starting = TortureServer.start({ withClock });
  const server = await within(limits.prepareMs, "the server's start", starting);
  const folder = mkdtempSync(join(tmpdir(), "storage-qos-torture-files-"));
  try {
    return await runOn(server, folder, plan);
  } finally {
    await within(limits.stopMs, "the server's end", server.stop());
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runOn(server: TortureServer, folder: string, plan: RunPlan): Promise<RunResult> {
  const world = await within(limits.prepareMs, "the world", prepare(server, plan));
  const proxies = await Promise.all(
    Object.values(ways).map((number) => TrafficProxy.open(server.port, plan.seed + number)),
  );
  try {
    return await torture({ server, folder, proxies, world, plan });
  } finally {
    for (const proxy of proxies) proxy.close();
  }
}

async function prepare(server: TortureServer, plan: RunPlan): Promise<World> {
  const world = await server.withOwner(async (sql) => {
    const made = await makeWorld(sql);
    await plan.prepare?.(sql);
    return made;
  });
  if (plan.faults.some(({ kind }) => kind === "fail_over")) await server.addStandby();
  return world;
}

interface Scene {
  readonly server: TortureServer;
  readonly folder: string;
  readonly proxies: readonly TrafficProxy[];
  readonly world: World;
  readonly plan: RunPlan;
}

async function torture(scene: Scene): Promise<RunResult> {
  const { server, proxies, world, folder, plan } = scene;
  const { faults, runMs, tell = () => {}, restMs = defaultRestMs } = plan;
  const [losses, steps]: [number[], number[]] = [[], []];
  const apiPort = plan.withApi === true ? await freePort() : undefined;
  const actors = await startActors({ server, proxies, world, folder, seed: plan.seed, apiPort });
  const { receipts } = actors;
  const startedAt = Date.now();
  const drive = async () => {
    const failed = await bringAbout(stageOf(scene, actors, losses, steps), faults, runMs, tell);
    const end = Date.now() + limits.untilMs;
    await server.withOwner(async (sql) => {
      const isOver = async () => (await plan.until?.(sql, { receipts, losses })) ?? true;
      while (!(await isOver()) && Date.now() < end) await sleep(200);
    });
    return failed;
  };
  const failedFaults = await drive().finally(() => actors.stop());
  const endedAt = Date.now();
  const admittedByPolicy = readClients(folder, world, receipts);
  for (const proxy of proxies) proxy.close();
  tell("coming to rest");
  const check = server.withOwner(async (sql) => {
    const left = await comeToRest(sql, restMs);
    if (left !== undefined) receipts.surprise(left);
    await sql`select set_config('statement_timeout', ${String(limits.checkMs)}, false)`;
    const evidence = { world, receipts, losses, steps, startedAt, endedAt };
    await plan.inspect?.(sql, evidence);
    return findBreaches(sql, evidence);
  });
  const findings = await within(restMs + limits.checkMs, "the checks", check);
  return {
    operations: receipts.operations,
    faults: faults.length - failedFaults.length,
    failedFaults,
    counts: Object.fromEntries([...receipts.counts].sort()),
    admittedByPolicy,
    findings,
  };
}

function stageOf(
  { server, proxies, world }: Scene,
  actors: Actors,
  losses: number[],
  steps: number[],
): Stage {
  return {
    ...{ server, proxies, world, losses, steps, clients: actors.clients, workers: actors.workers },
    ...{ api: actors.api, gateway: actors.gateway },
    surprise: (what) => actors.receipts.surprise(what),
    withOwner: (use) => server.withOwner(use),
  };
}
