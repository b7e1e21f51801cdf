import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { migrate } from "../../src/migrations/migrate.ts";
import { serverAccount } from "../../src/postgres/account.ts";
import { findBinaries } from "../../src/postgres/binaries.ts";
import { createCluster, giveTo } from "../../src/postgres/cluster.ts";
import { connect, type Sql, withConnection } from "../../src/postgres/connect.ts";
import { freePort } from "../../src/postgres/free-port.ts";
import { readPostmaster } from "../../src/postgres/postmaster.ts";
import { startServer } from "../../src/postgres/server.ts";
import { withDatabase, withRole } from "../../src/postgres/url.ts";
import { startWorker } from "../../src/worker/worker.ts";
import { createDatabase, type TestDatabase } from "../harness/index.ts";
import { makeApplication } from "../sql/denials/world.ts";
import { holdClock } from "./hold-clock.ts";
import { spawnWorker } from "./spawn-worker.ts";

async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 45_000;
  while (!(await holds().catch(() => false))) {
    if (Date.now() > deadline) throw new Error(`it never came to that: ${what}`);
    await sleep(50);
  }
}

/** An application with so many borrowings that are due; each owes two tokens. */
async function makeDebts(database: Pick<TestDatabase, "sql">, count: number): Promise<string> {
  const appId = await makeApplication(database as TestDatabase, { limit: 1000, burst: 100_000 });
  const { sql } = database;
  await sql`
    update rate_limiter.system_settings set value = '0' where key = 'default_interest_rate'
  `;
  await sql`
    select rate_limiter_internal.borrow_tokens_at(
      clock_timestamp(), ${appId}, 'iops_l2', 2, interval '1 second'
    )
    from generate_series(1, ${count}::integer)
  `;
  await sql`
    update rate_limiter.token_borrowing
    set borrowed_at = now() - interval '2 hours', due_at = now() - interval '1 hour',
      collect_at = now() - interval '1 hour'
    where owner_id = ${appId}
  `;
  return appId;
}

async function debtsOf(sql: Sql, appId: string): Promise<Record<string, number>> {
  const rows = await sql<{ status: string; count: number }[]>`
    select b.status, count(*)::integer as count
    from rate_limiter.token_borrowing as b where b.owner_id = ${appId} group by b.status
  `;
  return Object.fromEntries(rows.map((row) => [row.status, row.count]));
}

async function repaidByLedger(sql: Sql, appId: string): Promise<number> {
  const [row] = await sql<{ tokens: number }[]>`
    select coalesce(-sum(t.tokens_change), 0)::double precision as tokens
    from rate_limiter.token_transactions as t
    where t.owner_id = ${appId} and t.transaction_type = 'repay'
  `;
  return row?.tokens ?? -1;
}

async function gapsOf(sql: Sql): Promise<readonly object[]> {
  return [...(await sql`select * from rate_limiter.verify_ledger()`)];
}

describe("afterwards everything converges, and the ledger explains every token", () => {
  test("when a worker is killed in the middle of a task", async () => {
    const database = await createDatabase();
    const { sql } = database;
    const appId = await makeDebts(database, 500);
    const blocker = await database.session("blocker", "rate_limiter_owner");
    await blocker.sql`begin`;
    await blocker.sql`
      select from rate_limiter.token_buckets where owner_id = ${appId} for update
    `;
    const doomed = spawnWorker(database.urlAs("rate_limiter_worker"));
    await sql`select graphile_worker.add_job('collect_borrowings', job_key => 'doomed')`;
    await until(async () => {
      const waiting = await sql`
        select from pg_stat_activity
        where application_name = 'storage-qos worker' and cardinality(pg_blocking_pids(pid)) > 0
      `;
      return waiting.count > 0;
    }, "the worker waits in the middle of its task");
    doomed.kill("SIGKILL");
    await once(doomed, "exit");
    await blocker.sql`rollback`;
    // A minute later.
    await sql`
      update graphile_worker._private_jobs set locked_at = locked_at - interval '2 minutes'
      where locked_at is not null
    `;
    await sql`update rate_limiter_private.job_workers set seen_at = seen_at - interval '2 minutes'`;

    const worker = await startWorker({ databaseUrl: database.urlAs("rate_limiter_worker") });
    await sql`select graphile_worker.add_job('rescue_stuck_jobs')`;
    await until(async () => {
      const left = await sql`select from graphile_worker.jobs where key = 'doomed'`;
      return left.count === 0;
    }, "the job of the dead is done");
    await worker.stop();
    expect(await debtsOf(sql, appId)).toEqual({ repaid: 500 });
    expect(await repaidByLedger(sql, appId)).toBe(1000);
    expect(await gapsOf(sql)).toEqual([]);
  });

  test("when two workers do everything at once, several times", async () => {
    const database = await createDatabase();
    await holdClock(database);
    const { sql } = database;
    const appId = await makeDebts(database, 900);
    const gateway = database.as("rate_limiter_app");
    await sql`
      insert into rate_limiter.alert_configs
        (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
         notification_config)
      values (${appId}, 'depth', '>', 1, 60, 'info', '{"channel": "log"}')
    `;
    const samples = Array.from({ length: 200 }, (_, value) => ({
      timestamp: new Date(Date.now() - value * 100).toISOString(),
      metric_name: "depth",
      value: value + 2,
    }));
    await gateway`select rate_limiter.record_metrics(${appId}, ${gateway.json(samples)})`;
    for (let lease = 0; lease < 50; lease++) {
      await gateway`select rate_limiter.lease_tokens(${appId}, 5, 0, interval '100 milliseconds')`;
    }
    const databaseUrl = database.urlAs("rate_limiter_worker");
    const workers = await Promise.all([startWorker({ databaseUrl }), startWorker({ databaseUrl })]);
    await sleep(200);
    for (const task of [
      "collect_borrowings",
      "expire_leases",
      "evaluate_alerts",
      "record_system_metrics",
      "make_partitions",
      "drain_default_partitions",
      "refresh_daily_quota_usage",
      "apply_retention",
      "verify_ledger",
    ]) {
      await sql`select graphile_worker.add_job(${task}) from generate_series(1, 4)`;
    }
    await sql`
      select graphile_worker.add_job('aggregate_metrics', '{"grain": "hour"}')
      from generate_series(1, 4)
    `;
    const spending = (async () => {
      for (let call = 0; call < 200; call++) {
        await gateway`select rate_limiter.consume(${appId}, 'write_small', 0)`;
      }
    })();
    await until(async () => {
      const left = await sql`select from graphile_worker.jobs where run_at <= now()`;
      return left.count === 0;
    }, "every job is done");
    await spending;
    await Promise.all(workers.map((worker) => worker.stop()));

    const failed = await sql`select task_identifier, last_error from graphile_worker.jobs`;
    expect([...failed]).toEqual([]);
    expect(await debtsOf(sql, appId)).toEqual({ repaid: 900 });
    expect(await repaidByLedger(sql, appId)).toBe(1800);
    const [counts] = await sql`
      select
        (select count(*)::integer from rate_limiter.token_leases where settled_at is null) as leases,
        (select count(*)::integer from rate_limiter.alert_history where app_id = ${appId}) as alerts,
        (select array_agg(status) from rate_limiter.alert_notifications) as notices,
        (select sample_count::integer from rate_limiter.metrics_hourly
          where app_id = ${appId} and metric_name = 'depth' order by bucket desc limit 1) as samples,
        (select count(*)::integer from rate_limiter_private.ledger_checks where gap_count > 0) as gaps
    `;
    expect(counts).toMatchObject({ leases: 0, alerts: 1, notices: ["sent"], gaps: 0 });
    expect(counts?.samples).toBeGreaterThan(0);
    expect(await gapsOf(sql)).toEqual([]);
  });

  test("when PostgreSQL is killed in the middle of tasks and of traffic", async () => {
    const server = await startMortalServer();
    const url = withDatabase(server.url, "mortal");
    await withConnection(server.url, (sql) => sql`create database mortal`);
    await migrate(url);
    const sql = connect(url);
    onTestFinished(() => sql.end({ timeout: 1 }));
    const appId = await makeDebts({ sql }, 1500);
    const worker = await startWorker({
      databaseUrl: withRole(url, "rate_limiter_worker"),
      http: { host: "127.0.0.1", port: 0 },
    });
    onTestFinished(() => worker.stop());

    await sql`select graphile_worker.add_job('collect_borrowings', job_key => 'interrupted')`;
    const spending = (async () => {
      for (;;) {
        await sql`select rate_limiter.consume(${appId}, 'write_small', 0)`;
      }
    })().catch(() => "interrupted");
    await until(async () => (await debtsOf(sql, appId)).repaid !== undefined, "a batch is through");
    await server.killAndRestart();
    expect(await spending).toBe("interrupted");

    await until(async () => (await fetch(`${worker.url}/readyz`)).status === 200, "it is ready");
    await until(async () => (await gapsOf(sql)).length === 0, "the database answers");
    await sql`
      update graphile_worker._private_jobs set locked_at = null, locked_by = null, run_at = now()
    `;
    await sql`select graphile_worker.add_job('collect_borrowings')`;
    await until(async () => (await debtsOf(sql, appId)).active === undefined, "all is collected");
    expect(await debtsOf(sql, appId)).toEqual({ repaid: 1500 });
    expect(await repaidByLedger(sql, appId)).toBe(3000);
    expect(await gapsOf(sql)).toEqual([]);
  });
});

/** A server of this test's own, in the same place after its death. */
async function startMortalServer() {
  const account = serverAccount();
  const home = mkdtempSync(join(tmpdir(), "mortal-"));
  giveTo(account, home);
  const binaries = findBinaries(account);
  const folder = join(home, "data");
  const superuserPassword = crypto.randomUUID();
  await createCluster({ binaries, account, folder, superuserPassword, durable: false });
  const port = await freePort();
  const logFile = join(home, "postgres.log");
  const spec = { binaries, account, folder, port, logFile };
  let server = await startServer(spec);
  onTestFinished(async () => {
    await server.stop();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  });
  return {
    url: `postgres://postgres:${superuserPassword}@127.0.0.1:${port}/postgres`,
    async killAndRestart() {
      process.kill(readPostmaster(folder)?.pid ?? 0, "SIGKILL");
      // Its children take a moment to see that they are orphans.
      for (let tries = 0; ; tries++) {
        await sleep(500);
        try {
          server = await startServer(spec);
          return;
        } catch (error) {
          if (tries > 20) throw error;
        }
      }
    },
  };
}
