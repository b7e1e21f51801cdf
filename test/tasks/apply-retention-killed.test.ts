import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { listManifests } from "../../src/archive/list.ts";
import { openStore } from "../../src/archive/open-store.ts";
import { restoreArchive } from "../../src/archive/restore.ts";
import { type BucketServer, startBucketServer } from "../archive/bucket-server.ts";
import { createDatabase } from "../harness/index.ts";
import { makeApplication } from "../sql/denials/world.ts";
import { spawnWorker } from "../worker/spawn-worker.ts";
import { retentionWorld } from "./apply-retention-world.ts";

const database = await createDatabase();
const { sql } = database;
const { applyRetention, exportFirst, metricRows, oldMetrics } = retentionWorld(database);
const rowCount = 500;
let appId = "";
let before: readonly string[] = [];

beforeEach(async () => {
  appId = await makeApplication(database);
  await exportFirst("raw_metrics");
  await oldMetrics(appId, 95, rowCount);
  before = await metricRows(appId);
});

/** Has a worker begin retention, and kills it once it has come so far. */
async function killAt(server: BucketServer, isThere: () => Promise<boolean>): Promise<void> {
  const drafts = mkdtempSync(join(tmpdir(), "drafts-"));
  onTestFinished(() => rmSync(drafts, { recursive: true }));
  const env = { ...server.env, TMPDIR: drafts };
  const worker = spawnWorker(database.urlAs("rate_limiter_worker"), env);
  await sql`select graphile_worker.add_job('apply_retention', job_key => 'killed')`;
  const deadline = Date.now() + 45_000;
  while (!(await isThere())) {
    if (Date.now() > deadline) throw new Error("it never came to that");
    await sleep(10);
  }
  worker.kill("SIGKILL");
  await once(worker, "exit");
  await sql`select graphile_worker.force_unlock_workers(array_agg(distinct locked_by))
    from graphile_worker.jobs where locked_by is not null`;
  await sql`select graphile_worker.remove_job('killed')`;
}

/** A session notices the end of its client only between statements, and keeps its turn so long. */
async function turnIsFree(): Promise<void> {
  const holders = async () =>
    (
      await sql`
        select from pg_locks
        where relation = 'rate_limiter_internal.retention_lock'::regclass
          and database = (select oid from pg_database where datname = current_database())
      `
    ).count;
  await expect.poll(holders, { timeout: 45_000 }).toBe(0);
}

/** What retention does when it is run again, and that all of it can be brought back. */
async function expectNothingLost(server: BucketServer): Promise<void> {
  server.puts = "kept";
  await turnIsFree();
  expect(await applyRetention(server.env)).toBeNull();
  expect(await metricRows(appId)).toEqual([]);
  const store = openStore(server.place, server.env);
  const names = (await listManifests(store)).filter((name) => /metrics_y/.test(name));
  expect(names.length).toBe(1);
  const owner = database.urlAs("rate_limiter_owner");
  const { restored } = await restoreArchive(owner, store, names[0] ?? "");
  expect(restored).toBe(rowCount);
  expect(await metricRows(appId)).toEqual(before);
  await applyRetention(server.env);
}

describe("a worker that is killed loses nothing", () => {
  test("in the middle of an export", async () => {
    const server = await startBucketServer();
    server.puts = "never answered";
    await killAt(server, async () => server.unanswered > 0);
    expect(await metricRows(appId)).toEqual(before);
    await expectNothingLost(server);
  });

  test("between an export and the drop", async () => {
    const server = await startBucketServer();
    const gateway = await database.session("gateway", "rate_limiter_owner");
    const [part] = await sql<{ place: string }[]>`
      select p.partition_oid::regclass as place
      from rate_limiter_private.retention_plan() as r
      join rate_limiter_internal.partitions() as p on p.partition_name = r.partition_name
      where r.relation = 'rate_limiter.metrics'
    `;
    await gateway.sql`begin`;
    await gateway.sql.unsafe(`lock table ${part?.place} in row exclusive mode`);
    await killAt(server, async () => {
      const waiting = await sql`
        select from pg_stat_activity
        where datname = ${database.name}
          and query like '%drop_exported_partition(%'
          and cardinality(pg_blocking_pids(pid)) > 0
      `;
      return waiting.count > 0;
    });
    await gateway.sql`rollback`;
    const archived = [...server.objects.keys()].filter((key) => /metrics_y/.test(key));
    expect(archived.length).toBe(2);
    await expectNothingLost(server);
  });

  test("in the middle of deleting rows in batches", async () => {
    const server = await startBucketServer();
    await sql`
      insert into rate_limiter.charges
        (shard_key, app_id, reference_id, operation, size_bytes, cost, cost_rates, charged, charged_at)
      select 1, ${appId}, n, 'list', 0, 1, '(1,0,4096)', '{}', now() - interval '40 days' - n * interval '1 second'
      from generate_series(1, 2500) as n
    `;
    await exportFirst("charges");
    const left = async () =>
      (await sql`select from rate_limiter.charges where app_id = ${appId}`).count;
    await killAt(server, async () => (await left()) < 2500);
    await turnIsFree();
    expect(await applyRetention(server.env)).toBeNull();
    expect(await left()).toBe(0);
    const store = openStore(server.place, server.env);
    const names = (await listManifests(store)).filter((name) => name.startsWith("charges/"));
    const owner = database.urlAs("rate_limiter_owner");
    for (const name of names) await restoreArchive(owner, store, name);
    expect(await left()).toBe(2500);
  });
});
