import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { startWorker } from "../../../src/worker/worker.ts";
import { makeApplication } from "../../denials/world.ts";
import { createDatabase } from "../../harness/index.ts";
import { holdClock } from "../hold-clock.ts";
import { startHttpReceiver } from "./receivers.ts";

const database = await createDatabase();
const { sql } = database;
let appId = "";

beforeEach(async () => {
  appId = await makeApplication(database);
  await sql`update rate_limiter.alert_configs set is_active = false`;
});

async function withWorker<T>(use: () => Promise<T>): Promise<T> {
  const worker = await startWorker({
    databaseUrl: database.urlAs("rate_limiter_worker"),
    env: { ALERT_ALLOWED_NETWORKS: "127.0.0.0/8", ALERT_TIMEOUT_MS: "1000" },
  });
  try {
    return await use();
  } finally {
    await worker.stop();
  }
}

/** An alert that has been triggered; answers its notice. */
async function triggeredAlert(config: object): Promise<string> {
  await sql`
    insert into rate_limiter.alert_configs
      (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
       notification_config)
    values (${appId}, 'depth', '>', 10, 60, 'warning', ${sql.json(config as never)})
  `;
  await sql`
    insert into rate_limiter.metrics (app_id, "timestamp", metric_name, value)
    values (${appId}, now(), 'depth', 11)
  `;
  await sql`select rate_limiter_private.evaluate_alerts()`;
  const [notice] = await sql<{ id: string }[]>`
    select n.notice_id as id from rate_limiter.alert_notices as n where n.app_id = ${appId}
  `;
  return notice?.id ?? "";
}

async function stateOf(noticeId: string) {
  const [notice] = await sql<{ status: string; attempts: number; error: string | null }[]>`
    select n.status, n.attempts, n.last_error as error
    from rate_limiter.alert_notices as n where n.notice_id = ${noticeId}
  `;
  return notice ?? { status: "missing", attempts: 0, error: null };
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1600; tries++) {
    if (await holds()) return;
    await sleep(25);
  }
  throw new Error("it never came to that");
}

/** Its retry comes at once, not in the seconds that the queue waits. */
async function hurry(): Promise<void> {
  await sql`
    update graphile_worker._private_jobs set run_at = now() where locked_at is null
  `;
  await sql`select pg_notify('jobs:insert', '{"r": "hurry", "count": 1}')`;
}

/** Seconds from its last attempt to the next, while it waits for it. */
async function pauseBefore(noticeId: string): Promise<number> {
  const [job] = await sql<{ pause: number }[]>`
    select extract(epoch from j.run_at - j.updated_at)::double precision as pause
    from graphile_worker._private_jobs as j
    where j.payload ->> 'notice_id' = ${noticeId} and j.locked_at is null
  `;
  return job?.pause ?? 0;
}

describe("a notice", () => {
  test("is sent, and noted with the alert", async () => {
    const receiver = await startHttpReceiver();
    const id = await triggeredAlert({ channel: "webhook", url: receiver.url });
    await withWorker(() => until(async () => (await stateOf(id)).status === "sent"));
    expect(receiver.received.length).toBe(1);
    expect(JSON.parse(receiver.received[0]?.body ?? "")).toMatchObject({
      id,
      event: "triggered",
      value: 11,
      application: { id: appId },
    });
    const [history] = await sql`
      select notification_sent from rate_limiter.alert_history where app_id = ${appId}
    `;
    expect(history?.notification_sent).toMatchObject([
      { event: "triggered", channel: "webhook", status: "sent" },
    ]);
  });

  test("is tried again until it gets through", async () => {
    const receiver = await startHttpReceiver();
    receiver.answer = 503;
    const id = await triggeredAlert({ channel: "webhook", url: receiver.url });
    await withWorker(async () => {
      await until(async () => (await stateOf(id)).error !== null);
      expect(await stateOf(id)).toMatchObject({ status: "pending", attempts: 1 });
      // The worker notes the error first and puts the job off after that.
      await until(async () => (await pauseBefore(id)) > 0);
      const first = await pauseBefore(id);
      await hurry();
      await until(async () => (await stateOf(id)).attempts === 2);
      await until(async () => (await pauseBefore(id)) > 0);
      expect(first).toBeGreaterThan(1);
      expect(await pauseBefore(id)).toBeGreaterThan(first + 2);
      receiver.answer = 200;
      await until(async () => {
        await hurry();
        return (await stateOf(id)).status === "sent";
      });
    });
    expect((await stateOf(id)).attempts).toBe(3);
  });

  test("becomes a dead letter after its last attempt, and can be replayed", async () => {
    const receiver = await startHttpReceiver();
    receiver.answer = 500;
    const id = await triggeredAlert({ channel: "webhook", url: receiver.url });
    await withWorker(async () => {
      await until(async () => {
        await hurry();
        return (await stateOf(id)).status === "dead";
      });
      expect(await stateOf(id)).toMatchObject({ attempts: 8 });
      expect((await stateOf(id)).error).toContain("answered 500");
      await until(async () => {
        const left = await sql`
          select from graphile_worker._private_jobs where payload ->> 'notice_id' = ${id}
        `;
        return left.count === 0;
      });
      receiver.answer = 200;
      await database.as("rate_limiter_worker")`
        select rate_limiter_private.replay_notifications(array[${id}]::uuid[])
      `;
      await until(async () => (await stateOf(id)).status === "sent");
    });
  });

  test("to a private address is a dead letter at once", async () => {
    const id = await triggeredAlert({ channel: "webhook", url: "http://10.0.0.1/" });
    await withWorker(() => until(async () => (await stateOf(id)).status === "dead"));
    expect(await stateOf(id)).toMatchObject({ attempts: 1 });
  });

  test("whose channel is gone is a dead letter, whose worker died is one later", async () => {
    const id = await triggeredAlert({ channel: "slack", url: "https://example.org" });
    await sql`
      update rate_limiter.alert_configs set notification_config = '{"channel": "log"}'
      where app_id = ${appId}
    `;
    await withWorker(() => until(async () => (await stateOf(id)).status === "dead"));
    const lost = await makeApplication(database);
    appId = lost;
    const lostId = await triggeredAlert({ channel: "log" });
    await sql`
      update graphile_worker._private_jobs set attempts = max_attempts
      where payload ->> 'notice_id' = ${lostId}
    `;
    await sql`select rate_limiter_private.bury_lost_notifications()`;
    expect((await stateOf(lostId)).status).toBe("pending");
    await sql`
      select rate_limiter_private.bury_lost_notifications(clock_timestamp() + interval '11 minutes')
    `;
    expect(await stateOf(lostId)).toMatchObject({ status: "dead", error: "its job was lost" });
  });
});

test("notices that nobody takes hold up nothing that the clock has run", async () => {
  const receiver = await startHttpReceiver();
  receiver.answer = "never";
  const channel = { channel: "webhook", url: receiver.url };
  await triggeredAlert({ channels: Array.from({ length: 20 }, () => channel) });
  await holdClock(database);
  await sql`
    update graphile_worker._private_known_crontabs
    set known_since = now() - interval '3 days', last_execution = now() - interval '25 hours'
    where identifier = 'verify_ledger'
  `;
  // They have waited for longer than what is made up now.
  await sql`update graphile_worker._private_jobs set run_at = now() - interval '2 days'`;
  const worker = await startWorker({
    databaseUrl: database.urlAs("rate_limiter_worker"),
    env: {
      ...{ ALERT_ALLOWED_NETWORKS: "127.0.0.0/8", ALERT_TIMEOUT_MS: "1000" },
      WORKER_CONCURRENCY: "1",
    },
  });
  onTestFinished(worker.stop);
  await until(async () => (await sql`select from rate_limiter_private.ledger_checks`).count > 0);
  const [waiting] = await sql`
    select count(*)::integer as notices from rate_limiter.alert_notices
    where app_id = ${appId} and attempts = 0
  `;
  expect(waiting?.notices).toBeGreaterThan(10);
});
