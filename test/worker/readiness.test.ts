import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { startWorker } from "../../src/worker/worker.ts";
import { breakableLink } from "../client/breakable-link.ts";
import { createDatabase } from "../harness/index.ts";
import { holdClock } from "./hold-clock.ts";

const database = await createDatabase();
const url = database.urlAs("rate_limiter_worker");
const patience = { timeout: 60_000, interval: 100 };

beforeEach(() => holdClock(database));

async function startHere(databaseUrl: string) {
  const worker = await startWorker({ databaseUrl, http: { host: "127.0.0.1", port: 0 } });
  onTestFinished(worker.stop);
  const status = async () => (await fetch(`${worker.url}/readyz`)).status;
  const metrics = async () => (await fetch(`${worker.url}/metrics`)).text();
  return { status, metrics };
}

async function untilDone(task: string): Promise<void> {
  await vi.waitFor(async () => {
    const jobs = await database.sql`
      select from graphile_worker.jobs where task_identifier = ${task}
    `;
    expect(jobs.count).toBe(0);
  }, patience);
}

async function makeReadOnly(isReadOnly: boolean): Promise<void> {
  const login = decodeURIComponent(new URL(url).username);
  await database.sql.unsafe(`
    alter role "${login}" in database "${database.name}"
    set default_transaction_read_only = ${isReadOnly ? "on" : "off"}
  `);
}

describe("a worker", { timeout: 180_000 }, () => {
  test("notices connections that pass nothing, and works off jobs on new ones", async () => {
    const link = await breakableLink(url);
    onTestFinished(() => link.close());
    const worker = await startHere(link.url);
    expect(await worker.status()).toBe(200);
    link.forget();
    await database.sql`select graphile_worker.add_job('verify_ledger')`;
    await untilDone("verify_ledger");
    await vi.waitFor(async () => expect(await worker.status()).toBe(200), patience);
  });

  test("is not ready while nothing of the database answers", async () => {
    const link = await breakableLink(url);
    onTestFinished(() => link.close());
    onTestFinished(() => link.mend());
    const worker = await startHere(link.url);
    link.swallow();
    await vi.waitFor(async () => expect(await worker.status()).toBe(503), patience);
    link.mend();
    await vi.waitFor(async () => expect(await worker.status()).toBe(200), patience);
  });

  test("is not ready on a read-only server, and leaves it when another one answers", async () => {
    const worker = await startHere(url);
    onTestFinished(() => makeReadOnly(false));
    await makeReadOnly(true);
    await database.sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = ${database.name} and usename = ${decodeURIComponent(new URL(url).username)}
    `;
    await vi.waitFor(async () => expect(await worker.status()).toBe(503), patience);
    await vi.waitFor(async () => {
      const metrics = await worker.metrics();
      expect(metrics).toContain("storage_qos_database_up 1");
      expect(metrics).toContain("storage_qos_database_writable 0");
    }, patience);
    await makeReadOnly(false);
    await database.sql`select graphile_worker.add_job('verify_ledger')`;
    await untilDone("verify_ledger");
    await vi.waitFor(async () => expect(await worker.status()).toBe(200), patience);
    expect(await worker.metrics()).toContain("storage_qos_database_writable 1");
  });
});
