import { spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { urlToHttpOptions } from "node:url";
import pg from "pg";
import { afterAll, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { requireSchema } from "../../src/worker/require-schema.ts";
import { workerSettings } from "../../src/worker/settings.ts";
import { startWorker } from "../../src/worker/worker.ts";
import { breakableLink } from "../client/breakable-link.ts";
import { createDatabase } from "../harness/index.ts";
import { makeApplication } from "../sql/denials/world.ts";
import { startHttpReceiver } from "./alerts/receivers.ts";
import { holdClock } from "./hold-clock.ts";

const database = await createDatabase();
const anywhere = { host: "127.0.0.1", port: 0 };

beforeEach(() => holdClock(database));

async function startHere() {
  const worker = await startWorker({
    databaseUrl: database.urlAs("rate_limiter_worker"),
    http: anywhere,
  });
  // A test that fails must not leave a worker behind that takes the next one's jobs.
  onTestFinished(worker.stop);
  return { ...worker, url: worker.url ?? "" };
}

/** Resolves when the queue holds no job of the task any more. */
async function untilDone(task: string): Promise<void> {
  for (let tries = 0; tries < 1600; tries++) {
    const rows = await database.sql`
      select from graphile_worker.jobs as j
      where j.task_identifier = ${task} and j.attempts < j.max_attempts
    `;
    if (rows.count === 0) return;
    await sleep(25);
  }
  throw new Error(`jobs of ${task} are left`);
}

describe("a worker", () => {
  test("runs the task that a job names, and says so to Prometheus", async () => {
    const worker = await startHere();
    await database.sql`select graphile_worker.add_job('verify_ledger')`;
    await untilDone("verify_ledger");
    const [check] = await database.sql`select gap_count from rate_limiter_private.ledger_checks`;
    expect(check?.gap_count).toBe("0");
    const metrics = await (await fetch(`${worker.url}/metrics`)).text();
    expect(metrics).toMatch(/storage_qos_task_duration_seconds_count\{task="verify_ledger"\} 1/);
    expect(metrics).toContain("storage_qos_database_up 1");
    expect(metrics).toMatch(/storage_qos_ledger_gaps 0/);
  });

  test("runs on whatever another login notifies on the channels of the queue", async () => {
    const worker = await startHere();
    const gateway = database.as("rate_limiter_app");
    const jobs = async () => {
      const text = await (await fetch(`${worker.url}/metrics`)).text();
      return Number(/task_duration_seconds_count\{task="verify_ledger"\} (\d+)/.exec(text)?.[1]);
    };
    await database.sql`select graphile_worker.add_job('verify_ledger')`;
    await untilDone("verify_ledger");
    const before = await jobs();
    const { exitCode } = process;
    for (let n = 0; n < 20; n += 1) {
      await gateway`select pg_notify('worker:migrate', '{"breaking":true}')`;
      await gateway`
        select pg_notify('jobs:insert', payload)
        from unnest(array['', 'null', '{', '[]', '{"count":"x"}', '{"count":1e308}'])
          as forged (payload)
      `;
      await database.sql`select graphile_worker.add_job('verify_ledger')`;
      await untilDone("verify_ledger");
      expect((await fetch(`${worker.url}/readyz`)).status).toBe(200);
    }
    // Each was run by the runner that there was, which has told the process of no end.
    await expect.poll(jobs, { timeout: 30_000 }).toBe(before + 20);
    expect(process.exitCode).toBe(exitCode);
  });

  test("asks for its numbers in a way that a standby answers too", async () => {
    const { sql } = await database.session("standby", "rate_limiter_worker");
    await sql`begin read only`;
    const rows = await sql`select * from rate_limiter_private.metrics_snapshot()`;
    await sql`commit`;
    expect(rows.length).toBeGreaterThan(10);
  });

  test("backfills missed runs where missing one matters", async () => {
    const checks = async () =>
      (await database.sql`select from rate_limiter_private.ledger_checks`).count;
    await (await startHere()).stop();
    const before = await checks();
    await database.sql`
      update graphile_worker._private_known_crontabs
      set known_since = now() - interval '3 days', last_execution = now() - interval '25 hours'
    `;
    const worker = await startHere();
    while ((await checks()) === before) await sleep(25);
    await untilDone("verify_ledger");
    await worker.stop();
    expect(await checks()).toBe(before + 1);
  });

  test("is healthy, is ready while it works, and nothing else is served", async () => {
    const worker = await startHere();
    const status = async (path: string, init?: RequestInit) =>
      (await fetch(worker.url + path, init)).status;
    expect(await status("/healthz")).toBe(200);
    expect(await status("/readyz")).toBe(200);
    expect(await status("/")).toBe(404);
    expect(await status("/metrics", { method: "POST" })).toBe(404);
    expect(await status("/healthz?from=here")).toBe(200);
    // No path at all: fetch would mend it.
    const sent = request({ ...urlToHttpOptions(new URL(worker.url)), path: "//" }).end();
    const [answer] = await once(sent, "response");
    expect(answer.resume().statusCode).toBe(404);
    await worker.stop();
    await expect(fetch(`${worker.url}/healthz`)).rejects.toThrow();
  });

  test("says that the database is away, also where it takes everything and answers nothing", async () => {
    const link = await breakableLink(database.urlAs("rate_limiter_worker"));
    const worker = await startWorker({ databaseUrl: link.url, http: anywhere });
    onTestFinished(async () => {
      link.mend();
      await worker.stop();
      await link.close();
    });
    const metrics = async () => (await fetch(`${worker.url}/metrics`)).text();
    expect(await metrics()).toContain("storage_qos_database_up 1");
    link.swallow();
    const away = await metrics();
    expect(away).toContain("storage_qos_database_up 0");
    expect(away).not.toMatch(/^storage_qos_jobs_ready /m);
  });

  test("counts a job that fails for the last time", async () => {
    const worker = await startHere();
    await database.sql`
      select graphile_worker.add_job('collect_borrowings', max_attempts => 1)
    `;
    await untilDone("collect_borrowings");
    await database.sql`
      alter function rate_limiter_private.expire_leases(timestamptz, integer)
      rename to expire_leases_elsewhere
    `;
    await database.sql`select graphile_worker.add_job('expire_leases', max_attempts => 1)`;
    // The worker writes a failure down first and counts it after that.
    await vi.waitFor(
      async () => {
        const metrics = await (await fetch(`${worker.url}/metrics`)).text();
        expect(metrics).toMatch(/storage_qos_jobs_given_up_total\{task="expire_leases"\} 1/);
        expect(metrics).toMatch(/storage_qos_task_failures_total\{task="expire_leases"\} 1/);
        expect(metrics).toMatch(/storage_qos_jobs_given_up 1/);
      },
      { timeout: 10_000 },
    );
    await database.sql`
      alter function rate_limiter_private.expire_leases_elsewhere(timestamptz, integer)
      rename to expire_leases
    `;
  });

  test("lets a running job finish before it stops", async () => {
    const lock = await database.session("lock", "rate_limiter_owner");
    const worker = await startHere();
    await lock.sql`begin`;
    await lock.sql`lock rate_limiter_private.ledger_checks in access exclusive mode`;
    await database.sql`select graphile_worker.add_job('verify_ledger', job_key => 'last')`;
    await untilLocked("verify_ledger");
    // Jobs are locked in the name that the heartbeat tells: else others would take them.
    const isHolderKnown = async () =>
      (
        await database.sql`
          select from graphile_worker.jobs as j
          join rate_limiter_private.job_workers as w on w.worker_id = j.locked_by
          where j.key = 'last'
        `
      ).count === 1;
    while (!(await isHolderKnown())) await sleep(10);
    const stopped = worker.stop();
    await sleep(200);
    await lock.sql`commit`;
    await stopped;
    const left = await database.sql`select from graphile_worker.jobs where key = 'last'`;
    expect(left.count).toBe(0);
    const known = await database.sql`select from rate_limiter_private.job_workers`;
    expect(known.count).toBe(0);
  });

  test("interrupts a statement that will not end, releases what else will not, and stops", async () => {
    const receiver = await startHttpReceiver();
    receiver.answer = "never";
    const notificationId = await makeNotification(receiver.url);
    const lock = await database.session("long lock", "rate_limiter_owner");
    await lock.sql`begin`;
    await lock.sql`lock rate_limiter_private.ledger_checks in access exclusive mode`;
    const worker = await startWorker({
      databaseUrl: database.urlAs("rate_limiter_worker"),
      env: { ALERT_ALLOWED_NETWORKS: "127.0.0.0/8", ALERT_TIMEOUT_MS: "600000" },
    });
    await database.sql`
      select
        graphile_worker.add_job('verify_ledger', job_key => 'endless'),
        graphile_worker.add_job(
          'deliver_notification', json_build_object('notification_id', ${notificationId}::text),
          job_key => 'held'
        )
    `;
    await untilLocked("verify_ledger");
    while (receiver.received.length === 0) await sleep(10);
    await worker.stop();
    const jobs = await database.sql`
      select key, locked_at is null as is_free, attempts < max_attempts as is_tried_again, last_error
      from graphile_worker.jobs where key in ('endless', 'held') order by key
    `;
    expect([...jobs]).toMatchObject([
      { is_free: true, is_tried_again: true, last_error: expect.stringMatching(/cancel/) },
      { is_free: true, is_tried_again: true },
    ]);
    await lock.sql`commit`;
    await database.sql`
      select graphile_worker.remove_job('endless'), graphile_worker.remove_job('held')
    `;
  });

  test("takes up what a worker left that fell silent", async () => {
    await database.sql`
      select graphile_worker.add_job('verify_ledger', job_key => 'lost', run_at => now())
    `;
    await database.sql`
      update graphile_worker._private_jobs
      set locked_at = now() - interval '2 minutes', locked_by = 'worker-that-died', attempts = 1
      where key = 'lost'
    `;
    await startHere();
    await database.sql`select graphile_worker.add_job('sync_quota_flags')`;
    await untilDone("sync_quota_flags");
    expect(await isQueued("lost")).toBe(true);
    await database.sql`select graphile_worker.add_job('rescue_stuck_jobs')`;
    await untilDone("verify_ledger");
    expect(await isQueued("lost")).toBe(false);
  });

  test("leaves alone what a worker holds that is there", async () => {
    await database.sql`
      select graphile_worker.add_job('verify_ledger', job_key => 'held', run_at => now())
    `;
    await database.sql`
      update graphile_worker._private_jobs
      set locked_at = now() - interval '2 minutes', locked_by = 'worker-at-work'
      where key = 'held'
    `;
    await database.sql`select rate_limiter_private.heartbeat_workers(array['worker-at-work'])`;
    await database.sql`select rate_limiter_private.rescue_stuck_jobs()`;
    const [job] = await database.sql`select locked_by from graphile_worker.jobs where key = 'held'`;
    expect(job?.locked_by).toBe("worker-at-work");
    await database.sql`select graphile_worker.force_unlock_workers(array['worker-at-work'])`;
    await database.sql`select graphile_worker.remove_job('held')`;
  });
});

test("a worker's process logs each job with its id and duration, and ends when it is told to", async () => {
  const child = spawn(process.execPath, [projectPath("src/cli/main.ts"), "worker"], {
    env: {
      ...process.env,
      WORKER_DATABASE_URL: database.urlAs("rate_limiter_worker"),
      WORKER_PORT: "0",
      LOG_LEVEL: "debug",
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const [job] = await database.sql<{ id: string }[]>`
    select id from graphile_worker.add_job('verify_ledger')
  `;
  const logged: Record<string, unknown>[] = [];
  for await (const line of createInterface(child.stderr)) {
    const entry = JSON.parse(line);
    logged.push(entry);
    if (entry.msg === "job done" && entry.job === job?.id) child.kill("SIGTERM");
  }
  const done = logged.find((entry) => entry.msg === "job done" && entry.job === job?.id);
  expect(done).toMatchObject({ task: "verify_ledger", attempt: 1, ms: expect.any(Number) });
  expect(child.exitCode ?? (await once(child, "exit"))[0]).toBe(0);
});

describe("a worker refuses", () => {
  const pool = new pg.Pool({ connectionString: database.urlAs("rate_limiter_worker"), max: 1 });
  afterAll(() => pool.end());

  test("a database that lacks a migration", async () => {
    await expect(requireSchema(pool, ["999999.sql"])).rejects.toMatchObject({
      code: "schema_is_older",
    });
  });

  test("a database that has had a migration it does not know", async () => {
    await database.sql`
      insert into graphile_migrate.migrations (hash, filename)
      values ('sha1:0', '999999.sql')
    `;
    await expect(requireSchema(pool)).rejects.toMatchObject({ code: "schema_is_newer" });
    await expect(startHere()).rejects.toMatchObject({ code: "schema_is_newer" });
    await database.sql`
      delete from graphile_migrate.migrations where filename = '999999.sql'
    `;
    await requireSchema(pool);
  });

  test("a database that was never migrated", async () => {
    const empty = new pg.Pool({ connectionString: database.url.replace(/\/[^/]*$/, "/postgres") });
    await expect(requireSchema(empty)).rejects.toMatchObject({ code: "schema_is_older" });
    await empty.end();
  });

  test.each(["WORKER_CONCURRENCY", "ALERT_TIMEOUT_MS"])(
    "a %s that is not a number is refused",
    (name) => {
      for (const text of ["many", "0", "1.5", "-1"]) {
        expect(() => workerSettings({ [name]: text })).toThrow(`invalid ${name}`);
      }
    },
  );

  test("a port that is taken, and an address that is not there", async () => {
    const first = await startHere();
    const { port } = new URL(first.url);
    const databaseUrl = database.urlAs("rate_limiter_worker");
    const second = startWorker({ databaseUrl, http: { host: "127.0.0.1", port: Number(port) } });
    await expect(second).rejects.toMatchObject({ code: "port_in_use" });
    const elsewhere = startWorker({ databaseUrl, http: { host: "203.0.113.1", port: 0 } });
    await expect(elsewhere).rejects.toMatchObject({ code: "address_unusable" });
  });
});

/** A notice that is to go to a webhook. */
async function makeNotification(url: string): Promise<string> {
  const appId = await makeApplication(database);
  const [notice] = await database.sql<{ id: string }[]>`
    with alert as (
      insert into rate_limiter.alert_configs
        (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
         notification_config)
      values (
        ${appId}, 'depth', '>', 1, 60, 'info', ${database.sql.json({ channel: "webhook", url })}
      )
      returning alert_id
    )
    insert into rate_limiter.alert_notifications
      (app_id, alert_id, history_id, event, channel_number, channel, content)
    select ${appId}, a.alert_id, gen_random_uuid(), 'triggered', 1, 'webhook', '{}'
    from alert as a
    returning notification_id as id
  `;
  return notice?.id ?? "";
}

async function untilLocked(task: string): Promise<void> {
  for (let tries = 0; tries < 1600; tries++) {
    const rows = await database.sql`
      select from graphile_worker.jobs where task_identifier = ${task} and locked_at is not null
    `;
    if (rows.count > 0) return;
    await sleep(10);
  }
  throw new Error(`no job of ${task} was taken`);
}

async function isQueued(key: string): Promise<boolean> {
  const rows = await database.sql`select from graphile_worker.jobs where key = ${key}`;
  return rows.count > 0;
}
