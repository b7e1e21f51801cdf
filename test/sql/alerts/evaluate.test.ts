import { beforeEach, describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { makeApplication } from "../denials/world.ts";
import { failing, failuresOf } from "../metrics/failing.ts";

const database = await createDatabase();
const { sql } = database;
const worker = database.as("rate_limiter_worker");
const start = Math.floor(Date.now() / 60_000) * 60_000;
let appId = "";

beforeEach(async () => {
  appId = await makeApplication(database);
  // What the test before has left open ends here.
  await sql`update rate_limiter.alert_configs set is_active = false`;
  await evaluate(0);
});

const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();

interface AlertOptions {
  readonly condition?: string;
  readonly threshold?: number;
  readonly duration?: number;
  readonly cooldown?: number;
  readonly severity?: "info" | "warning" | "critical";
  readonly config?: object;
}

async function watch(options: AlertOptions = {}): Promise<string> {
  const { condition = ">", threshold = 10, duration = 60, cooldown = 300 } = options;
  const { severity = "warning", config = { channel: "log" } } = options;
  const [row] = await sql<{ id: string }[]>`
    insert into rate_limiter.alert_configs
      (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
       cooldown_seconds, notification_config)
    values (
      ${appId}, 'depth', ${condition}, ${threshold}, ${duration}, ${severity}, ${cooldown},
      ${sql.json(config as never)}
    )
    returning alert_id as id
  `;
  return row?.id ?? "";
}

async function sample(seconds: number, value: number): Promise<void> {
  await sql`
    insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_name, value)
    values (1, ${appId}, ${at(seconds)}, 'depth', ${value})
  `;
}

/** How many alerts changed; null while another session evaluates them. */
async function evaluate(seconds: number): Promise<number | null> {
  const [row] = await worker<{ changed: number | null }[]>`
    select rate_limiter_private.evaluate_alerts(${at(seconds)}) as changed
  `;
  return row === undefined ? -1 : row.changed;
}

async function occurrences(alertId: string) {
  const rows = await sql<{ status: string; value: number }[]>`
    select h.status, h.actual_value as value
    from rate_limiter.alert_history as h
    where h.alert_id = ${alertId}
    order by h.triggered_at
  `;
  return rows.map(({ status, value }) => [status, value]);
}

async function notificationsOf(alertId: string): Promise<string[]> {
  const rows = await sql<{ line: string }[]>`
    select n.event || ' ' || n.channel as line
    from rate_limiter.alert_notifications as n
    where n.alert_id = ${alertId}
    order by n.created_at, n.channel_number
  `;
  return rows.map((row) => row.line);
}

describe("an alert", () => {
  test.each([
    [">", 11, 10],
    ["<", 9, 10],
    [">=", 10, 9.99],
    ["<=", 10, 10.01],
    ["=", 10, 11],
    ["!=", 11, 10],
  ])("%s 10 is triggered by %d and not by %d", async (condition, breach, calm) => {
    const alertId = await watch({ condition });
    await sample(10, calm);
    expect(await evaluate(60)).toBe(0);
    await sample(70, breach);
    expect(await evaluate(120)).toBe(1);
    expect(await occurrences(alertId)).toEqual([["triggered", breach]]);
    await sample(130, calm);
    expect(await evaluate(180)).toBe(1);
    expect(await occurrences(alertId)).toEqual([["resolved", calm]]);
    expect(await notificationsOf(alertId)).toEqual(["triggered log", "resolved log"]);
  });

  test("that cannot be triggered keeps no other application's from it", async () => {
    await watch();
    await sample(10, 11);
    await failing(database, "alert_history", appId);
    const failed = appId;
    appId = await makeApplication(database);
    const alertId = await watch();
    await sample(10, 12);
    expect(await evaluate(60)).toBe(1);
    expect(await occurrences(alertId)).toEqual([["triggered", 12]]);
    expect(await failuresOf(database, failed)).toEqual([
      { job: "evaluate_alerts", failures: 1, error: "22003 fails on purpose" },
    ]);
  });

  test("wants every sample of its window, whose end belongs to it and whose start does not", async () => {
    const alertId = await watch();
    await sample(0, 5);
    await sample(30, 11);
    await sample(60, 12);
    expect(await evaluate(59)).toBe(0);
    expect(await evaluate(60)).toBe(1);
    expect(await occurrences(alertId)).toEqual([["triggered", 12]]);
  });

  test("is not triggered by silence, nor resolved by it", async () => {
    const alertId = await watch();
    expect(await evaluate(60)).toBe(0);
    await sample(90, 11);
    expect(await evaluate(120)).toBe(1);
    expect(await evaluate(600)).toBe(0);
    expect(await occurrences(alertId)).toEqual([["triggered", 11]]);
  });

  // Samples of each minute may come so late that two of them are waited for.
  test.each([
    [60, 150],
    [300, 300],
  ])(
    "of %i s judges nothing older than %i s, after days without a worker",
    async (duration, window) => {
      const alertId = await watch({ duration });
      const days = 86_400;
      // A day of it, while no worker was there, and calm ever since.
      for (const hour of [0, 6, 12, 18, 24]) await sample(-2 * days + hour * 3_600 + 5, 11);
      expect(await evaluate(0)).toBe(0);
      expect(await occurrences(alertId)).toEqual([]);
      await sample(-window - 1, 12);
      expect(await evaluate(0)).toBe(0);
      await sample(-window + 1, 13);
      expect(await evaluate(0)).toBe(1);
      expect(await occurrences(alertId)).toEqual([["triggered", 13]]);
    },
  );

  test("is resolved by a sample that came between the windows of two looks", async () => {
    const alertId = await watch();
    await sample(10, 11);
    expect(await evaluate(15)).toBe(1);
    await sample(20, 9);
    expect(await evaluate(1000)).toBe(1);
    expect(await occurrences(alertId)).toEqual([["resolved", 9]]);
  });

  test("is triggered once while it lasts, and not again within its cooldown", async () => {
    const alertId = await watch({ cooldown: 300 });
    for (const [seconds, value, changes] of [
      [60, 11, 1],
      [120, 11, 0],
      [180, 5, 1],
      [240, 11, 0],
      [300, 11, 0],
      [361, 11, 1],
    ] as const) {
      await sample(seconds, value);
      expect(await evaluate(seconds), `at ${seconds}`).toBe(changes);
    }
    expect((await occurrences(alertId)).map(([status]) => status)).toEqual([
      "resolved",
      "triggered",
    ]);
  });

  test("of each severity has its own threshold, duration and cooldown", async () => {
    const warning = await watch({ threshold: 10, cooldown: 60 });
    const critical = await watch({
      threshold: 20,
      duration: 180,
      cooldown: 3600,
      severity: "critical",
    });
    const stateOf = async (id: string) => (await occurrences(id)).map(([status]) => status);
    await sample(60, 15);
    expect(await evaluate(60)).toBe(1);
    expect([await stateOf(warning), await stateOf(critical)]).toEqual([["triggered"], []]);
    await sample(180, 25);
    expect(await evaluate(180)).toBe(0);
    await sample(250, 25);
    expect(await evaluate(250)).toBe(1);
    expect([await stateOf(warning), await stateOf(critical)]).toEqual([
      ["triggered"],
      ["triggered"],
    ]);
    await sample(300, 5);
    expect(await evaluate(300)).toBe(2);
    await sample(700, 25);
    expect(await evaluate(700)).toBe(1);
    expect([await stateOf(warning), await stateOf(critical)]).toEqual([
      ["resolved", "triggered"],
      ["resolved"],
    ]);
    const told = await sql`
      select n.content -> 'alert' ->> 'severity' as severity, n.event
      from rate_limiter.alert_notifications as n where n.app_id = ${appId}
      order by severity, n.created_at
    `;
    expect(told.map(({ severity, event }) => `${severity} ${event}`)).toEqual([
      "critical triggered",
      "critical resolved",
      "warning triggered",
      "warning resolved",
      "warning triggered",
    ]);
  });

  test("stays when it was acknowledged, and resolves later", async () => {
    const alertId = await watch();
    await sample(60, 11);
    await evaluate(60);
    await sql`
      update rate_limiter.alert_history
      set status = 'acknowledged', acknowledged_at = ${at(70)}
      where alert_id = ${alertId}
    `;
    await sample(120, 12);
    expect(await evaluate(120)).toBe(0);
    await sample(180, 1);
    expect(await evaluate(180)).toBe(1);
    expect(await occurrences(alertId)).toEqual([["resolved", 1]]);
  });

  test("ends when no alert watches for it any more", async () => {
    const alertId = await watch();
    await sample(60, 11);
    await evaluate(60);
    await sql`
      update rate_limiter.alert_configs set is_active = false where alert_id = ${alertId}
    `;
    expect(await evaluate(61)).toBe(1);
    expect(await occurrences(alertId)).toEqual([["resolved", 11]]);
  });

  test("ends in order with a clock that steps back", async () => {
    const alertId = await watch();
    await sample(50, 5);
    await sample(120, 11);
    await evaluate(170);
    expect(await evaluate(60)).toBe(1);
    const [row] = await sql`
      select resolved_at >= triggered_at as in_order
      from rate_limiter.alert_history where alert_id = ${alertId}
    `;
    expect(row?.in_order).toBe(true);
  });

  test("tells each channel that wants the event", async () => {
    const alertId = await watch({
      config: {
        channels: [
          { channel: "log", events: ["resolved"] },
          { channel: "slack", url: "https://example.org" },
        ],
      },
    });
    await sample(60, 11);
    await evaluate(60);
    await sample(120, 1);
    await evaluate(120);
    expect(await notificationsOf(alertId)).toEqual([
      "triggered slack",
      "resolved log",
      "resolved slack",
    ]);
  });

  test("is judged by one worker at a time", async () => {
    const alertId = await watch();
    await sample(60, 11);
    const first = await database.session("first", "rate_limiter_worker");
    await first.sql`begin`;
    const [a] = await first.sql`
      select rate_limiter_private.evaluate_alerts(${at(60)}) as changed
    `;
    expect(await evaluate(60)).toBeNull();
    await first.sql`commit`;
    expect(a?.changed).toBe(1);
    expect(await evaluate(60)).toBe(0);
    expect(await notificationsOf(alertId)).toEqual(["triggered log"]);
  });

  test("watches how full a bucket is", async () => {
    const minute = start + 7_200_000;
    await sql`
      insert into rate_limiter.alert_configs
        (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
         notification_config)
      values (${appId}, 'qos_bucket_fill_iops', '<', 20, 60, 'critical', '{"channel": "log"}')
    `;
    const moment = (seconds: number) => new Date(minute + seconds * 1000).toISOString();
    const step = async (seconds: number) => {
      await worker`select rate_limiter_private.record_system_metrics(${moment(seconds)}, 10000)`;
      const [row] = await worker<{ changed: number }[]>`
        select rate_limiter_private.evaluate_alerts(${moment(seconds)}) as changed
      `;
      return row?.changed;
    };
    expect(await step(1)).toBe(0);
    const owner = database.as("rate_limiter_owner");
    for (let call = 0; call < 3; call++) {
      await owner`
        select rate_limiter_internal.consume_at(
          rate_limiter_internal.app_shard_key(${appId}), ${moment(60)}, ${appId}, 'write_small', 0
        )
      `;
    }
    expect(await step(60)).toBe(0);
    expect(await step(125)).toBe(0);
    const denied = await owner`
      select * from rate_limiter_internal.consume_batch_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${moment(180)}, ${appId}, array_fill('write_small'::text, array[20]),
        array_fill(0::bigint, array[20])
      )
    `;
    expect(denied.some((decision) => !decision.allowed)).toBe(true);
    expect(await step(180)).toBe(1);
    expect(await step(300)).toBe(1);
  });
});
