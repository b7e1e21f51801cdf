import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { startWorker } from "../../src/worker/worker.ts";
import { createDatabase } from "../harness/index.ts";
import { makeApplication } from "../sql/denials/world.ts";
import { startHttpReceiver } from "../worker/alerts/receivers.ts";
import { holdClock } from "../worker/hold-clock.ts";

const database = await createDatabase();
const { sql } = database;
let appId = "";

beforeEach(async () => {
  appId = await makeApplication(database);
  await sql`update rate_limiter.alert_configs set is_active = false`;
});

async function withWorker<T>(use: () => Promise<T>, timeoutMs = "1000"): Promise<T> {
  const worker = await startWorker({
    databaseUrl: database.urlAs("rate_limiter_worker"),
    env: { ALERT_ALLOWED_NETWORKS: "127.0.0.0/8", ALERT_TIMEOUT_MS: timeoutMs },
  });
  try {
    return await use();
  } finally {
    await worker.stop();
  }
}

/** An alert that has been triggered; answers its notification. */
async function triggeredAlert(config: object): Promise<string> {
  await sql`
    insert into rate_limiter.alert_configs
      (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
       notification_config)
    values (${appId}, 'depth', '>', 10, 60, 'warning', ${sql.json(config as never)})
  `;
  await sql`
    insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_name, value)
    values (1, ${appId}, now(), 'depth', 11)
  `;
  await sql`select rate_limiter_private.evaluate_alerts()`;
  const [notification] = await sql<{ id: string }[]>`
    select n.notification_id as id from rate_limiter.alert_notifications as n where n.app_id = ${appId}
  `;
  return notification?.id ?? "";
}

async function stateOf(notificationId: string) {
  const [notification] = await sql<{ status: string; attempts: number; error: string | null }[]>`
    select n.status, n.attempts, n.last_error as error
    from rate_limiter.alert_notifications as n where n.notification_id = ${notificationId}
  `;
  return notification ?? { status: "missing", attempts: 0, error: null };
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
async function pauseBefore(notificationId: string): Promise<number> {
  const [job] = await sql<{ pause: number }[]>`
    select extract(epoch from j.run_at - j.updated_at)::double precision as pause
    from graphile_worker._private_jobs as j
    where j.payload ->> 'notification_id' = ${notificationId} and j.locked_at is null
  `;
  return job?.pause ?? 0;
}

describe("a notification", () => {
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

  test.each(["first", "last"])(
    "of a receiver that hangs is released when the worker stops: %s attempt",
    async (attempt) => {
      const receiver = await startHttpReceiver();
      receiver.answer = "never";
      const id = await triggeredAlert({ channel: "webhook", url: receiver.url });
      if (attempt === "last") {
        await sql`update graphile_worker._private_jobs set attempts = max_attempts - 1`;
      }
      await withWorker(() => until(async () => receiver.received.length === 1), "120000");
      expect(await stateOf(id)).toMatchObject({
        status: "pending",
        attempts: 1,
        error: expect.stringMatching(/had not answered when the worker stopped$/),
      });

      receiver.answer = 200;
      await withWorker(() =>
        until(async () => {
          await hurry();
          return (await stateOf(id)).status === "sent";
        }),
      );
      const ids = receiver.received.map(({ headers }) => headers["storage-qos-notification"]);
      expect(ids).toEqual([id, id]);
    },
  );

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
          select from graphile_worker._private_jobs where payload ->> 'notification_id' = ${id}
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
      where payload ->> 'notification_id' = ${lostId}
    `;
    await sql`select rate_limiter_private.dead_letter_stale_notifications()`;
    expect((await stateOf(lostId)).status).toBe("pending");
    await sql`
      select rate_limiter_private.dead_letter_stale_notifications(clock_timestamp() + interval '11 minutes')
    `;
    expect(await stateOf(lostId)).toMatchObject({ status: "dead", error: "its job was lost" });
  });
});

describe("receivers that never answer", () => {
  /** Before the receiver, which then ends the requests before the worker waits for its jobs. */
  async function startFourSlots() {
    await holdClock(database);
    const worker = await startWorker({
      databaseUrl: database.urlAs("rate_limiter_worker"),
      env: {
        ...{ ALERT_ALLOWED_NETWORKS: "127.0.0.0/8", ALERT_TIMEOUT_MS: "600000" },
        WORKER_CONCURRENCY: "4",
      },
    });
    onTestFinished(worker.stop);
  }

  const checksOfLedger = async () =>
    (await sql`select from rate_limiter_private.ledger_checks`).count;

  async function begunDeliveries(appIds: readonly string[]): Promise<number> {
    const rows = await sql`
      select from rate_limiter.alert_notifications
      where app_id = any(${appIds}::uuid[]) and attempts > 0
    `;
    return rows.count;
  }

  async function hangingReceiver() {
    const receiver = await startHttpReceiver();
    receiver.answer = "never";
    return receiver;
  }

  beforeEach(async () => {
    await sql`delete from graphile_worker._private_jobs`;
  });

  test("of one tenant take one slot, and hold up no other tenant and no scheduled job", async () => {
    const hostile = appId;
    await startFourSlots();
    const receiver = await hangingReceiver();
    const channel = { channel: "webhook", url: receiver.url };
    await triggeredAlert({ channels: Array.from({ length: 20 }, () => channel) });
    await until(async () => receiver.received.length > 0);
    appId = await makeApplication(database);
    const id = await triggeredAlert({ channel: "log" });
    await until(async () => (await stateOf(id)).status === "sent");
    const before = await checksOfLedger();
    await sql`select graphile_worker.add_job('verify_ledger')`;
    await until(async () => (await checksOfLedger()) > before);
    expect(await begunDeliveries([hostile])).toBe(1);
    expect(receiver.received.length).toBe(1);
  });

  test("of many tenants leave a slot for scheduled jobs", async () => {
    await startFourSlots();
    const receiver = await hangingReceiver();
    const appIds: string[] = [];
    for (let tenant = 0; tenant < 6; tenant++) {
      appId = await makeApplication(database);
      appIds.push(appId);
      await triggeredAlert({ channel: "webhook", url: receiver.url });
    }
    await until(async () => receiver.received.length === 3);
    const before = await checksOfLedger();
    for (let run = 1; run <= 3; run++) {
      await sql`select graphile_worker.add_job('verify_ledger')`;
      await until(async () => (await checksOfLedger()) === before + run);
    }
    expect(await begunDeliveries(appIds)).toBe(3);
  });

  test("keep their tenant's queue no longer than their worker lives", async () => {
    const id = await triggeredAlert({ channel: "log" });
    await sql`
      update graphile_worker._private_jobs
      set locked_at = now() - interval '2 minutes', locked_by = 'killed', attempts = 1
    `;
    await sql`
      update graphile_worker._private_job_queues as q
      set locked_at = now() - interval '2 minutes', locked_by = 'killed'
      from graphile_worker._private_jobs as j
      where q.id = j.job_queue_id
    `;
    expect(await sql`select rate_limiter_private.rescue_stuck_jobs() as lost`).toMatchObject([
      { lost: 1 },
    ]);
    await startFourSlots();
    await until(async () => (await stateOf(id)).status === "sent");
  });

  test("free their queue also where their job was deleted or their worker ended", async () => {
    await triggeredAlert({ channel: "log" });
    const lockQueues = () => sql`
      update graphile_worker._private_job_queues
      set locked_at = now() - interval '2 minutes', locked_by = 'killed'
    `;
    const locked = async () =>
      (await sql`select from graphile_worker._private_job_queues where locked_at is not null`)
        .count;
    await lockQueues();
    await sql`delete from graphile_worker._private_jobs`;
    await sql`select rate_limiter_private.rescue_stuck_jobs()`;
    expect(await locked()).toBe(0);
    await lockQueues();
    await sql`select rate_limiter_private.forget_workers(array['killed'])`;
    expect(await locked()).toBe(0);
  });
});

test("notifications that no receiver accepts delay no scheduled job", async () => {
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
    select count(*)::integer as notifications from rate_limiter.alert_notifications
    where app_id = ${appId} and attempts = 0
  `;
  expect(waiting?.notifications).toBeGreaterThan(10);
});
