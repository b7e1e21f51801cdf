import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { makeApplication } from "../denials/world.ts";

const database = await createDatabase();
const { sql } = database;
const worker = database.as("rate_limiter_worker");

/** Some whole hours ago, so that no clock of the database is ahead of the test's. */
const hour = 3_600_000;
const origin = Math.floor(Date.now() / hour) * hour - 6 * hour;
const at = (seconds: number) => new Date(origin + seconds * 1000).toISOString();

beforeAll(async () => {
  await sql`select rate_limiter_private.make_partitions(${at(0)}, 1)`;
});
interface Report {
  /** When the operation was denied, and how much later that was on record. */
  readonly deniedAt: number;
  readonly delay: number;
}

interface Course {
  readonly minutes: number;
  /** How many seconds after its minute each run of the jobs is. */
  readonly jitter: readonly number[];
  readonly duration?: number;
  readonly skipped?: readonly number[];
  /** By the default alert on the share of denials, instead of a rule of its own. */
  readonly isDefault?: boolean;
}

interface Occurrence {
  readonly triggered: number;
  readonly resolved: number | null;
}

/** An application whose denials are reported as told, with the jobs of each minute. */
async function occurrencesOf(
  reports: readonly Report[],
  { minutes, jitter, duration = 60, skipped = [], isDefault = false }: Course,
): Promise<Occurrence[]> {
  const appId = await makeApplication(database);
  await sql`update rate_limiter.alert_configs set is_active = false`;
  if (isDefault) {
    await sql`
      update rate_limiter.alert_configs set is_active = true, cooldown_seconds = 0
      where app_id is null and metric_name = 'qos_denied_share'
    `;
  } else {
    await sql`
      insert into rate_limiter.alert_configs
        (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
         cooldown_seconds, notification_config)
      values (${appId}, 'qos_denied_operations', '>', 0, ${duration}, 'warning', 0, '{}')
    `;
  }
  await sql`
    insert into rate_limiter_private.job_progress (job, done_until)
    values ('record_system_metrics', ${at(0)}), ('evaluate_alerts', ${at(-60)})
    on conflict (job) do update set done_until = excluded.done_until
  `;
  const pending = reports.map((each) => ({ ...each, recorded: each.deniedAt + each.delay }));
  let last = -1;
  for (let minute = 1; minute <= minutes; minute++) {
    if (skipped.includes(minute)) continue;
    const now = minute * 60 + (jitter[minute % jitter.length] ?? 0);
    const due = pending.filter(({ recorded }) => recorded > last && recorded <= now);
    for (const { deniedAt, recorded } of due) {
      await sql`
        insert into rate_limiter.denial_counts
          (shard_key, app_id, minute, reason, operations, tokens, bytes, recorded_at)
        values (rate_limiter_internal.app_shard_key(${appId}), ${appId}, date_trunc('minute', ${at(deniedAt)}::timestamptz, 'UTC'), 'iops_l2', 1, 1, 0,
          ${at(recorded)})
      `;
    }
    last = now;
    await worker`select rate_limiter_private.record_system_metrics(${at(now)})`;
    await worker`select rate_limiter_private.evaluate_alerts(${at(now)})`;
  }
  const rows = await sql<{ triggered: string; resolved: string | null }[]>`
    select h.triggered_at as triggered, h.resolved_at as resolved
    from rate_limiter.alert_history as h where h.app_id = ${appId} order by h.triggered_at
  `;
  const seconds = (moment: string) => (Date.parse(moment) - origin) / 1000;
  return rows.map(({ triggered, resolved }) => ({
    triggered: seconds(triggered),
    resolved: resolved === null ? null : seconds(resolved),
  }));
}

const jitters = fc.array(fc.integer({ min: 0, max: 25 }), { minLength: 1, maxLength: 4 });

describe("an alert on denials", () => {
  test.each([
    ["of its application", false, 8],
    ["by default", true, 5],
  ])(
    "%s triggers within 150 seconds, holds while they go on and ends after them, whatever is late",
    {
      timeout: 240_000,
    },
    async (_, isDefault, runs) => {
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 0, max: 119 }),
          fc.array(
            fc.record({
              gap: fc.integer({ min: 1, max: 59 }),
              delay: fc.integer({ min: 0, max: 60 }),
            }),
            { minLength: 1, maxLength: 8 },
          ),
          jitters,
          async (first, steps, jitter) => {
            let deniedAt = first;
            const reports = steps.map(({ gap, delay }, index) => {
              deniedAt += index === 0 ? 0 : gap;
              return { deniedAt, delay };
            });
            const minutes = Math.ceil(deniedAt / 60) + 6;
            const found = await occurrencesOf(reports, { minutes, jitter, isDefault });
            expect(found.length).toBe(1);
            expect((found[0]?.triggered ?? 1e9) - first).toBeLessThanOrEqual(150);
            expect(found[0]?.resolved ?? -1).toBeGreaterThan(deniedAt);
          },
        ),
        { numRuns: Number(process.env.QOS_ALERT_RUNS ?? runs) },
      );
    },
  );

  test("holds through reports that come almost two minutes late", async () => {
    const reports = Array.from({ length: 10 }, (_, index) => ({
      deniedAt: index * 55,
      delay: index > 3 && index < 8 ? 115 : 0,
    }));
    const found = await occurrencesOf(reports, { minutes: 14, jitter: [1] });
    expect(found.length).toBe(1);
    expect(found[0]?.resolved).toBeGreaterThan(9 * 55);
  });

  test.each([1, 30, 59, 60])("of %d seconds judges a minute", async (duration) => {
    const found = await occurrencesOf([{ deniedAt: 61, delay: 0 }], {
      ...{ minutes: 7, jitter: [1], duration },
    });
    expect(found.length).toBe(1);
  });

  test("of three minutes wants three, and counts a minute without samples as zero", async () => {
    const each = (seconds: readonly number[]) =>
      seconds.map((deniedAt) => ({ deniedAt, delay: 0 }));
    const options = { minutes: 9, jitter: [1], duration: 150 };
    expect(await occurrencesOf(each([70, 130]), options)).toEqual([]);
    expect(await occurrencesOf(each([70, 190, 310]), options)).toEqual([]);
    expect((await occurrencesOf(each([70, 130, 190]), options)).length).toBe(1);
  });

  test("keeps whole minutes as its duration, and others keep theirs", async () => {
    const appId = await makeApplication(database);
    const rows = await sql<{ metric: string; duration: number }[]>`
      insert into rate_limiter.alert_configs
        (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
         notification_config)
      values
        (${appId}, 'qos_denied_operations', '>', 0, 61, 'info', '{}'),
        (${appId}, 'qos_bucket_fill_iops', '<', 0, 61, 'info', '{}'),
        (${appId}, 'depth', '>', 0, 30, 'info', '{}')
      returning metric_name as metric, duration_seconds as duration
    `;
    expect(rows.map(({ duration }) => duration)).toEqual([120, 61, 30]);
  });

  test("judges the minutes of runs that were skipped", async () => {
    const found = await occurrencesOf([{ deniedAt: 61, delay: 0 }], {
      ...{ minutes: 8, jitter: [1], skipped: [3, 4] },
    });
    expect(found.length).toBe(1);
  });
});

test("a metric of others that is sampled each minute triggers an alert of any duration", async () => {
  for (const duration of [1, 30, 59, 60]) {
    const appId = await makeApplication(database);
    await sql`
      insert into rate_limiter.alert_configs
        (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
         notification_config)
      values (${appId}, 'depth', '>', 1, ${duration}, 'warning', '{}')
    `;
    for (let minute = 1; minute < 4; minute++) {
      // The look comes first, and the sample of the minute some seconds later.
      await worker`select rate_limiter_private.evaluate_alerts(${at(minute * 60 + 1)})`;
      await sql`
        insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_name, value)
        values (rate_limiter_internal.app_shard_key(${appId}), ${appId}, ${at(minute * 60)}, 'depth', 2)
      `;
    }
    const [row] = await sql<{ count: number }[]>`
      select count(*)::integer as count from rate_limiter.alert_history where app_id = ${appId}
    `;
    expect({ duration, count: row?.count }).toEqual({ duration, count: 1 });
  }
});
