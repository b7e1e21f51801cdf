import { setTimeout as sleep } from "node:timers/promises";
import type { Fault, FaultKind } from "./fault.ts";
import type { TorturedGateway } from "./gateway.ts";
import type { Process } from "./processes.ts";
import type { Stage } from "./stage.ts";
import type { ProxyMode, TrafficProxy } from "./traffic-proxy.ts";
import { addKey, reserve, setQuota } from "./world.ts";

type Apply = (stage: Stage, fault: Fault) => Promise<void>;

/** Brings a fault about, and ends it where it does not end by itself. */
export function applyFault(stage: Stage, fault: Fault): Promise<void> {
  return faults[fault.kind](stage, fault);
}

const faults: Readonly<Record<FaultKind, Apply>> = {
  kill_client: async ({ clients }, { choice }) => choose(clients, choice).kill(),
  stop_client: ({ clients }, { choice, forMs }) => choose(clients, choice).pause(forMs),
  kill_worker: async ({ workers }, { choice }) => choose(workers, choice).kill(),
  stop_worker: ({ workers }, { choice, forMs }) => choose(workers, choice).pause(forMs),
  cut_traffic: disturb("cut"),
  delay_traffic: disturb("delay"),
  swallow_traffic: disturb("swallow"),
  reorder_traffic: disturb("reorder"),
  change_quota: changeQuota,
  change_reservation: changeReservation,
  change_ceiling: changeCeiling,
  revoke_key: revokeKey,
  move_application: moveApplication,
  crash_database: crash,
  fail_over: failOver,
  migrate,
  hold_snapshot: holdSnapshot,
  lock_bucket: lockBucket,
  step_clock: stepClock,
  fill_disk: fillDisk,
  kill_gateway: async (stage) => gatewayOf(stage).killWorkers(),
  stop_gateway: (stage, { forMs }) => gatewayOf(stage).pauseWorkers(forMs),
  kill_api: async (stage) => apiOf(stage).kill(),
  stop_api: (stage, { forMs }) => apiOf(stage).pause(forMs),
};

function apiOf({ api }: Stage): Process {
  if (api === undefined) throw new Error("the run has no API");
  return api;
}

function gatewayOf({ gateway }: Stage): TorturedGateway {
  if (gateway === undefined) throw new Error("nginx is not installed");
  return gateway;
}

function choose<T>(targets: readonly T[], choice: number): T {
  return targets[choice % targets.length] as T;
}

function disturb(mode: ProxyMode): Apply {
  return async ({ proxies }, { choice, forMs }) => {
    const proxy: TrafficProxy = choose(proxies, choice);
    proxy.disturb(mode);
    await sleep(forMs);
    proxy.mend();
  };
}

/** To one to two times its first rate: the checks allow for twice as much. */
async function changeQuota({ world, withOwner }: Stage, { choice }: Fault): Promise<void> {
  // What is reserved must stay what layer 1 alone decides on.
  const apps = world.apps.filter(({ reserved }) => reserved === 0);
  const { appId, rate } = choose(apps, choice);
  const changed = Math.round(rate * (1 + (choice % 100) / 100));
  await withOwner((sql) => setQuota(sql, { appId }, changed));
}

async function changeReservation({ world, withOwner }: Stage, { choice }: Fault): Promise<void> {
  const greedy = world.apps.filter(({ tenant }) => tenant === "greedy");
  const { appId } = choose(greedy, choice);
  await withOwner((sql) => reserve(sql, world, appId, 1 + (choice % 10)));
}

async function changeCeiling({ world, withOwner }: Stage, { choice }: Fault): Promise<void> {
  const most = 10_000 + (choice % 1_000);
  await withOwner((sql) =>
    sql.begin(async (transaction) => {
      await transaction`select set_config('rate_limiter.user_id', ${world.administratorId}, true)`;
      await transaction`
        select rate_limiter_admin.set_tenant_ceiling(
          ${world.tenants.greedy}, 'torture', null, row(${most}, ${most}, ${most})
        )
      `;
    }),
  );
}

/** A new key works, and the revoked one does not from the next decision on. */
async function revokeKey({ world, withOwner, surprise }: Stage): Promise<void> {
  const { appId } = world.keyed;
  await withOwner(async (sql) => {
    const key = await addKey(sql, appId);
    await sql`select rate_limiter.consume_with_key(${key}, 'head', 0)`;
    await sql`
      update rate_limiter_private.api_keys set revoked_at = clock_timestamp()
      where key_hash = sha256(convert_to(${key}, 'UTF8'))
    `;
    const answer = await sql`select rate_limiter.consume_with_key(${key}, 'head', 0)`.then(
      () => "an answer",
      (error: { code?: string }) => error.code,
    );
    if (answer !== "QS401") surprise(`a revoked key got ${answer}`);
  });
}

async function moveApplication({ world, withOwner }: Stage, { choice }: Fault): Promise<void> {
  await withOwner((sql) =>
    sql.begin(async (transaction) => {
      await transaction`select set_config('rate_limiter.user_id', ${world.administratorId}, true)`;
      await transaction`
        select rate_limiter_admin.move_application(
          ${world.nomad.appId}, ${choose(world.clusters, choice)}
        )
      `;
    }),
  );
}

async function crash({ server, losses }: Stage): Promise<void> {
  losses.push(Date.now());
  await server.crash();
  await server.restart();
  losses.push(Date.now());
}

async function failOver(stage: Stage): Promise<void> {
  const { server, proxies, losses } = stage;
  if (!server.hasStandby) return;
  losses.push(Date.now());
  await server.crash();
  await server.promote();
  for (const proxy of proxies) proxy.leadTo(server.port);
  losses.push(Date.now());
}

/** What migrations do to tables and functions under live traffic, short of a new version of ours. */
async function migrate({ withOwner }: Stage, { choice }: Fault): Promise<void> {
  const column = `torture_${choice}`;
  await withOwner(async (sql) => {
    await sql`set lock_timeout = '2s'`;
    for (const table of ["app_facts", "token_leases", "charges"]) {
      await sql.unsafe(`alter table rate_limiter.${table} add column if not exists ${column} text`);
    }
    const [row] = await sql`
      select pg_get_functiondef('rate_limiter_internal.consume_at'::regproc) as definition
    `;
    await sql.unsafe(row?.definition);
  });
}

async function holdSnapshot({ withOwner }: Stage, { forMs }: Fault): Promise<void> {
  await withOwner((sql) =>
    sql.begin("isolation level repeatable read", async (transaction) => {
      await transaction`select count(*) from rate_limiter.token_buckets`;
      await sleep(forMs);
    }),
  );
}

/** An intruder's lock: only the applications of that bucket may wait for it. */
async function lockBucket({ world, withOwner }: Stage, { choice, forMs }: Fault): Promise<void> {
  const apps = world.apps.filter(({ reserved }) => reserved === 0);
  const { appId } = choose(apps, choice);
  await withOwner((sql) =>
    sql.begin(async (transaction) => {
      await transaction`
        select from rate_limiter.token_buckets where owner_id = ${appId} for update
      `;
      await sleep(forMs);
    }),
  );
}

/** Ahead or back, and there again: what was written in between lies in the other's future. */
async function stepClock({ server, steps }: Stage, { choice, forMs }: Fault): Promise<void> {
  if (server.clock === undefined) throw new Error("libfaketime is not installed");
  const seconds = (1 + (choice % 8)) * (choice % 16 < 8 ? 1 : -1);
  steps.push(seconds, -seconds);
  server.clock.set(seconds);
  await sleep(forMs);
  server.clock.set(0);
}

/** Where WAL finds no room either the server crashes: then, and only then, something is lost. */
async function fillDisk({ server, losses }: Stage, { forMs }: Fault): Promise<void> {
  const { disk } = server;
  if (disk === undefined) throw new Error("this program may not mount a disk");
  const [since, known] = [Date.now(), server.log().length];
  disk.fill();
  await sleep(forMs);
  disk.empty();
  const log = server.log().slice(known);
  await server.answersAgain();
  if (/PANIC|terminating any other active server processes/.test(log)) {
    losses.push(since, Date.now());
  }
}
