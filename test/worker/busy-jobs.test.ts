import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { startWorker } from "../../src/worker/worker.ts";
import { createDatabase } from "../harness/index.ts";
import { holdClock } from "./hold-clock.ts";

const database = await createDatabase();
const { sql } = database;

test("a worker counts the runs that find another session at work as busy", async () => {
  await holdClock(database);
  const first = await database.session("first");
  await first.sql`begin`;
  await first.sql`select rate_limiter_internal.lock_job('evaluate_alerts')`;
  await first.sql`select rate_limiter_private.begin_retention()`;
  const worker = await startWorker({
    databaseUrl: database.urlAs("rate_limiter_worker"),
    http: { host: "127.0.0.1", port: 0 },
  });
  onTestFinished(worker.stop);
  for (const task of ["evaluate_alerts", "apply_retention", "expire_sessions"]) {
    await sql`select graphile_worker.add_job(${task})`;
  }
  for (;;) {
    const left = await sql`select from graphile_worker._private_jobs`;
    if (left.count === 0) break;
    await sleep(25);
  }
  await first.sql`rollback`;
  const metrics = await (await fetch(`${worker.url}/metrics`)).text();
  const counts = metrics.match(/^storage_qos_tasks_busy_total.*$/gm) ?? [];
  expect(counts.sort()).toEqual([
    'storage_qos_tasks_busy_total{task="apply_retention"} 1',
    'storage_qos_tasks_busy_total{task="evaluate_alerts"} 1',
  ]);
});
