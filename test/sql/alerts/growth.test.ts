import { expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { makeApplication } from "../denials/world.ts";

const database = await createDatabase();
const { sql } = database;
const appId = await makeApplication(database);
/** The middle of a day, so that no window has two partitions. */
const noon = Math.floor(Date.now() / 86_400_000) * 86_400_000 + 43_200_000;
const at = (minutes: number) => new Date(noon + minutes * 60_000).toISOString();

/** What an evaluation takes: look-ups of samples, and calls that tell of alerts. */
async function cost(minutes: number) {
  const session = await database.session(`minute ${minutes}`);
  await session.sql`set track_functions = 'all'`;
  const read = async () => {
    const [row] = await session.sql<{ lookups: number; calls: number }[]>`
      select
        (select sum(s.idx_scan + s.seq_scan) from pg_stat_xact_all_tables as s
          where s.relname ~ '^metrics_(y|default)')::float8 as lookups,
        (select coalesce(sum(f.calls), 0) from pg_stat_xact_user_functions as f
          where f.funcname = 'add_alert_notifications')::float8 as calls
    `;
    return row ?? { lookups: 0, calls: 0 };
  };
  await session.sql`begin`;
  const before = await read();
  const [answer] = await session.sql<{ changed: number }[]>`
    select rate_limiter_private.evaluate_alerts(${at(minutes)}) as changed
  `;
  const after = await read();
  await session.sql`commit`;
  await session.close();
  return {
    changed: answer?.changed,
    lookups: after.lookups - before.lookups,
    calls: after.calls - before.calls,
  };
}

async function setAlerts(alerts: number, metric: string): Promise<void> {
  await sql`update rate_limiter.alert_configs set is_active = false`;
  await sql`
    insert into rate_limiter.alert_configs
      (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
       cooldown_seconds, notification_config)
    select ${appId}, ${metric}, '>', i, 60, 'warning', 0, '{"channel": "log"}'
    from generate_series(1, ${alerts}::integer) as i
  `;
}

async function count(minutes: number): Promise<void> {
  await sql`
    insert into rate_limiter_private.job_progress (job, done_until)
    values ('record_system_metrics', ${at(minutes)}), ('evaluate_alerts', ${at(minutes - 2)})
    on conflict (job) do update set done_until = excluded.done_until
  `;
}

test.each(["qos_denied_operations", "depth"])(
  "an alert on %s that nothing has happened to costs a look-up, and no window",
  async (metric) => {
    for (const alerts of [20, 200]) {
      await setAlerts(alerts, metric);
      await count(0);
      const { lookups, changed } = await cost(0);
      expect(changed).toBe(0);
      expect(lookups / alerts).toBeGreaterThanOrEqual(1);
      expect(lookups / alerts).toBeLessThan(metric === "depth" ? 3.1 : 1.1);
    }
  },
);

test("alerts that change together are told of in one statement", async () => {
  await setAlerts(40, "qos_denied_operations");
  for (const [minutes, value] of [
    [9, 100],
    [10, 100],
  ] as const) {
    await sql`
      insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_name, value)
      values (1, ${appId}, ${at(minutes)}, 'qos_denied_operations', ${value})
    `;
  }
  await count(11);
  expect(await cost(11)).toMatchObject({ changed: 40, calls: 2 });
  const [told] = await sql`
    select count(*)::integer as count from rate_limiter.alert_notifications
    where event = 'triggered'
  `;
  expect(told?.count).toBe(40);
});

test("default alerts cost no look at applications that are quiet", async () => {
  await setAlerts(0, "depth");
  await sql`update rate_limiter.alert_configs set is_active = true where app_id is null`;
  const lookups = [];
  await count(20);
  await cost(20);
  for (const applications of [1, 100]) {
    for (let i = 0; i < applications; i++) await makeApplication(database);
    await count(30);
    const found = await cost(30);
    expect(found.changed).toBe(0);
    lookups.push(found.lookups);
  }
  expect(lookups[0]).toBeGreaterThan(0);
  expect(lookups[1]).toBe(lookups[0]);
});
