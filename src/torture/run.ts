import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { projectPath } from "../paths.ts";
import { connect, type Sql, withConnection } from "../postgres/connect.ts";
import { withRole } from "../postgres/url.ts";
import { applyFault } from "./apply-fault.ts";
import { Borrower } from "./borrower.ts";
import { type Evidence, type Findings, findBreaches } from "./checks.ts";
import type { ClientLine } from "./client-process.ts";
import type { Fault } from "./fault.ts";
import { Process } from "./processes.ts";
import { Random } from "./random.ts";
import { Receipts } from "./receipts.ts";
import { ReservedProber } from "./reserved-prober.ts";
import { TortureServer } from "./server.ts";
import { SqlCaller } from "./sql-caller.ts";
import type { Stage } from "./stage.ts";
import { TrafficProxy } from "./traffic-proxy.ts";
import { makeWorld, type World } from "./world.ts";

export interface RunPlan {
  readonly seed: number;
  readonly runMs: number;
  readonly faults: readonly Fault[];
  /** Changes the database before callers ask, for tests of the checks. */
  readonly prepare?: (sql: Sql) => Promise<void>;
  /** Sees the database at rest before the checks do, for tests of the checks. */
  readonly inspect?: (sql: Sql, evidence: Evidence) => Promise<void>;
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

const settleMs = 30_000;

/** Drives the system for a while under faults, lets it come to rest, and checks what is left. */
export async function runOnce(plan: RunPlan): Promise<RunResult> {
  const { seed, runMs, faults, tell = () => {} } = plan;
  const server = await TortureServer.start();
  const folder = mkdtempSync(join(tmpdir(), "storage-qos-torture-files-"));
  try {
    const owner = connect(server.url(), { max: 1 });
    const world = await makeWorld(owner);
    await plan.prepare?.(owner);
    await owner.end();
    if (faults.some(({ kind }) => kind === "fail_over")) await server.addStandby();
    const proxies = await Promise.all(
      [1, 2, 3].map((number) => TrafficProxy.open(server.port, seed + number)),
    );
    const actors = startActors({ server, proxies, world, folder, seed });
    const losses: number[] = [];
    const receipts = actors.receipts;
    const stage: Stage = {
      ...{ server, proxies, world, losses, clients: actors.clients, workers: actors.workers },
      surprise: (what) => receipts.surprise(what),
      withOwner: (use) => withConnection(server.url(), use),
    };
    const startedAt = Date.now();
    const failedFaults = await bringAbout(stage, faults, runMs, tell);
    await actors.stop();
    const endedAt = Date.now();
    const admittedByPolicy = readClients(folder, world, receipts);
    await comeToRest(server, tell);
    await Promise.all(proxies.map((proxy) => proxy.close()));
    const findings = await withConnection(server.url(), async (sql) => {
      const evidence = { world, receipts, losses, startedAt, endedAt };
      await plan.inspect?.(sql, evidence);
      return findBreaches(sql, evidence);
    });
    return {
      operations: receipts.operations,
      faults: faults.length - failedFaults.length,
      failedFaults,
      counts: Object.fromEntries([...receipts.counts].sort()),
      admittedByPolicy,
      findings,
    };
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Parts {
  readonly server: TortureServer;
  readonly proxies: readonly TrafficProxy[];
  readonly world: World;
  readonly folder: string;
  readonly seed: number;
}

function startActors({ server, proxies, world, folder, seed }: Parts) {
  const receipts = new Receipts();
  const way = (proxy: number, role: string) => {
    const port = proxies[proxy]?.port ?? 0;
    return withRole(server.url(port), `rate_limiter_${role}`);
  };
  const url = () => server.url();
  // The reserved application is left to its prober.
  const apps = world.apps.filter(({ reserved }) => reserved === 0);
  const callers = Array.from({ length: 4 }, (_, number) => {
    const random = new Random(seed * 31 + number);
    const name = `caller ${number}`;
    return new SqlCaller({ url: way(0, "app"), apps, random, receipts, pauseMs: 2, name });
  });
  const clients = apps.slice(-2).map(({ appId }, number) => {
    const file = join(folder, `client-${number}-${appId}.ndjson`);
    return new Process([projectPath("src/torture/client-process.ts")], {
      ...process.env,
      ...{ TORTURE_URL: way(1, "app"), TORTURE_APP: appId, TORTURE_FILE: file },
      ...{ TORTURE_HOLDER: `torture ${number}` },
    });
  });
  const worker = { WORKER_DATABASE_URL: way(2, "worker"), WORKER_PORT: "0", LOG_LEVEL: "silent" };
  const workers = [1, 2].map(
    () => new Process([projectPath("src/cli/main.ts"), "worker"], { ...process.env, ...worker }),
  );
  const others = [
    new ReservedProber(url, world.reserved, receipts),
    new Borrower(url, world.borrower, receipts),
  ];
  for (const actor of [...callers, ...others]) actor.start();
  return {
    ...{ receipts, clients, workers },
    async stop() {
      for (const proxy of proxies) proxy.mend();
      await Promise.all([...callers, ...others].map((actor) => actor.stop()));
      const stopped = await Promise.all([...clients, ...workers].map((child) => child.stop()));
      if (stopped.includes(false)) receipts.surprise("a process did not end when it was told to");
    },
  };
}

/** Each at its time; those that last do so beside the next ones, but changes come one by one. */
async function bringAbout(
  stage: Stage,
  faults: readonly Fault[],
  runMs: number,
  tell: (line: string) => void,
): Promise<string[]> {
  const startedAt = Date.now();
  const failed: string[] = [];
  let last: Promise<void> = Promise.resolve();
  const running: Promise<void>[] = [];
  for (const fault of faults) {
    await sleep(Math.max(startedAt + fault.atMs - Date.now(), 0));
    tell(`${fault.atMs} ms: ${fault.kind}`);
    const isExclusive = /database|fail_over/.test(fault.kind);
    if (isExclusive) await Promise.all(running);
    last = applyFault(stage, fault).catch((error: Error & { code?: string }) => {
      failed.push(`${fault.kind}: ${error.code ?? ""} ${error.message}`);
    });
    running.push(last);
    if (isExclusive) await last;
  }
  await Promise.all(running);
  await sleep(Math.max(startedAt + runMs - Date.now(), 0));
  return failed;
}

/** The files of the clients are their receipts. Answers what their outage policy admitted. */
function readClients(folder: string, world: World, receipts: Receipts): number {
  let byPolicy = 0;
  world.apps.slice(-2).forEach(({ appId }, number) => {
    const lines = readLines(join(folder, `client-${number}-${appId}.ndjson`));
    for (const { at, paid, policy, denied, errors } of lines) {
      if (paid > 0) receipts.answers.push({ appId, at, tokens: paid, by: "lease" });
      byPolicy += policy;
      receipts.count("client allowed", paid);
      receipts.count("client denied", denied);
      for (const code of errors) {
        receipts.count(`client ${code}`);
        if (!/^QS(40[139]|503)$/.test(code)) receipts.surprise(`a client got ${code}`);
      }
    }
  });
  return byPolicy;
}

function readLines(file: string): ClientLine[] {
  try {
    const lines = readFileSync(file, "utf8").split("\n");
    // The last one may be cut off by the client's death.
    return lines.slice(0, -1).map((line) => JSON.parse(line));
  } catch {
    return [];
  }
}

/** Leases expire, loans are collected and stuck jobs released, as the jobs do it in time. */
async function comeToRest(server: TortureServer, tell: (line: string) => void): Promise<void> {
  tell("coming to rest");
  const until = Date.now() + settleMs;
  await withConnection(server.url(), async (sql) => {
    for (;;) {
      await sql`select rate_limiter_private.rescue_stuck_jobs(interval '0')`;
      await sql`select rate_limiter_private.expire_leases(clock_timestamp())`;
      await sql`select rate_limiter_private.collect_borrowings(null)`;
      const [left] = await sql<{ leases: number; loans: number; sessions: number }[]>`
        select
          (select count(*) from rate_limiter.token_leases
            where settled_at is null)::integer as leases,
          (select count(*) from rate_limiter.token_borrowing
            where status = 'active')::integer as loans,
          (select count(*) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()
              and backend_type = 'client backend')::integer as sessions
      `;
      if (left?.leases === 0 && left.loans === 0 && left.sessions === 0) return;
      if (Date.now() > until) return;
      await sleep(250);
    }
  });
}
