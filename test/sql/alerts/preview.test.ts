import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { makeTwoTenants } from "../../data-model/world.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import { asUser } from "../control-plane.ts";
import { makeApplication } from "../denials/world.ts";

const database = await createDatabase();
const { sql } = database;
const { mine, theirs } = await makeTwoTenants(database);
const worker = database.as("rate_limiter_worker");

/** Some whole hours ago, so that no clock of the database is ahead of the test's. */
const hour = 3_600_000;
const origin = Math.floor(Date.now() / hour) * hour - 6 * hour;
const at = (minutes: number) => new Date(origin + minutes * 60_000).toISOString();
const minuteOf = (moment: string) => (Date.parse(moment) - origin) / 60_000;
await sql`select rate_limiter_private.make_partitions(${at(0)}, 1)`;

interface Rule {
  readonly metric: string;
  readonly condition: string;
  readonly threshold: number;
  readonly duration: number;
  readonly cooldown: number;
}

const usual = { metric: "depth", condition: ">", threshold: 10, duration: 180, cooldown: 600 };
let appId = "";

beforeEach(async () => {
  appId = await makeApplication(database);
});

/** Samples by their minutes, each of which takes the value after it. */
async function write(metric: string, samples: readonly (number | null)[]): Promise<void> {
  await sql`
    insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_name, value)
    select 1, ${appId}, ${at(0)}::timestamptz + s.minute * interval '1 minute', ${metric}, s.value
    from unnest(${[...samples]}::float8[]) with ordinality as s (value, minute)
    where s.value is not null
  `;
}

/** As the one who may see all applications. */
function preview(rule: Rule, minutes: number, user = mine.users.system_admin) {
  return asUser(database, user, async (visitor) => {
    const [row] = await visitor<{ triggers: string[]; values: number[] }[]>`
      select p.triggered_at as triggers, p.sample_values as values
      from rate_limiter_admin.preview_alert(
        ${appId}, ${rule.metric}, ${rule.condition}, ${rule.threshold}, ${rule.duration},
        ${rule.cooldown}, ${at(0)}, ${at(minutes)}
      ) as p
    `;
    return { triggers: (row?.triggers ?? []).map(minuteOf), values: row?.values ?? [] };
  });
}

/** When the job triggers the alert, run at each full minute. */
async function triggersOfJob(rule: Rule, minutes: number): Promise<number[]> {
  await sql`update rate_limiter.alert_configs set is_active = false`;
  await sql`
    insert into rate_limiter.alert_configs
      (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
       cooldown_seconds, notification_config)
    values (${appId}, ${rule.metric}, ${rule.condition}, ${rule.threshold}, ${rule.duration},
      'warning', ${rule.cooldown}, '{}')
  `;
  for (let minute = 1; minute <= minutes; minute++) {
    await sql`
      insert into rate_limiter_private.job_progress (job, done_until)
      values ('record_system_metrics', ${at(minute)}), ('evaluate_alerts', ${at(minute - 2)})
      on conflict (job) do update set done_until = excluded.done_until
    `;
    await worker`select rate_limiter_private.evaluate_alerts(${at(minute)})`;
  }
  const rows = await sql<{ at: string }[]>`
    select h.triggered_at as at from rate_limiter.alert_history as h
    where h.app_id = ${appId} order by h.triggered_at
  `;
  return rows.map((row) => minuteOf(row.at));
}

describe("the preview of an alert", () => {
  test("a condition that holds for too short a time triggers nothing", async () => {
    await write("depth", [0, 20, 20, 0, 20, 20, 0]);
    const { triggers, values } = await preview(usual, 7);
    expect(triggers).toEqual([]);
    expect(values).toEqual([0, 20, 20, 0, 20, 20, 0]);
  });

  test("a second time within the cooldown triggers when that has passed", async () => {
    await write("depth", [20, 0, 20, 20, 20, 20, 20, 20, 20]);
    const rule = { ...usual, duration: 60, cooldown: 300 };
    expect((await preview(rule, 9)).triggers).toEqual([1, 6]);
    expect((await preview({ ...rule, cooldown: 0 }, 9)).triggers).toEqual([1, 3]);
  });

  test("minutes that a count has no sample of are zero", async () => {
    await write("qos_denied_operations", [20, null, null, 20, null]);
    const rule = { ...usual, metric: "qos_denied_operations", duration: 60, cooldown: 0 };
    const { triggers, values } = await preview(rule, 8);
    // A minute is judged when the next one has passed; two without denials resolve.
    expect(triggers).toEqual([2, 5]);
    expect(values).toEqual([20, 0, 0, 20, 0, 0]);
  });

  test("it is what the job does with the same samples", { timeout: 240_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("depth", "qos_denied_operations"),
        fc.constantFrom(">", ">=", "<", "<=", "=", "!="),
        fc.array(fc.constantFrom(null, 0, 1, 1, 2), { minLength: 1, maxLength: 24 }),
        fc.constantFrom(1, 60, 90, 120, 300),
        fc.constantFrom(0, 60, 300),
        async (metric, condition, samples, duration, cooldown) => {
          appId = await makeApplication(database);
          await write(metric, samples);
          const rule = { ...{ metric, condition, duration, cooldown }, threshold: 1 };
          const minutes = samples.length + 4;
          const { triggers } = await preview(rule, minutes);
          expect(triggers).toEqual(await triggersOfJob(rule, minutes));
        },
      ),
      { numRuns: Number(process.env.QOS_ALERT_RUNS ?? 12) },
    );
  });

  test("an application of another tenant is unknown", async () => {
    await expectSqlState(preview(usual, 5, theirs.users.tenant_admin), "QS404");
  });

  test.each([
    ["condition", { condition: "~" }],
    ["threshold", { threshold: Number.POSITIVE_INFINITY }],
    ["duration", { duration: 86_401 }],
    ["cooldown", { cooldown: -1 }],
  ])("a %s that no alert has is refused", async (_what, wrong) => {
    await expectSqlState(preview({ ...usual, ...wrong }, 5), "QS422");
  });

  test("a span of more than a day is refused", async () => {
    await expectSqlState(preview(usual, 24 * 60 + 1), "QS422");
  });
});
