import { beforeEach, describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { makeApplication } from "../denials/world.ts";

const database = await createDatabase();
const { sql } = database;
const owner = database.as("rate_limiter_owner");
const worker = database.as("rate_limiter_worker");
let appId = "";

/** A minute that lies behind the quota's start, in each test another. */
let minute = Math.ceil(Date.now() / 60_000) * 60_000 + 60_000;
const at = (seconds: number) => new Date(minute + seconds * 1000).toISOString();

beforeEach(async () => {
  minute += 6 * 3_600_000;
  appId = await makeApplication(database, { limit: 1, burst: 600 });
  await setDefaults(true);
  await sql`
    insert into rate_limiter_private.job_progress (job, done_until)
    values ('record_system_metrics', ${at(0)}), ('evaluate_alerts', ${at(-60)})
    on conflict (job) do update set done_until = excluded.done_until
  `;
});

async function setDefaults(areOn: boolean): Promise<void> {
  await sql`
    update rate_limiter.system_settings set value = ${String(areOn)} where key = 'default_alerts'
  `;
}

async function setTenant(of: string, areOn: boolean): Promise<void> {
  await sql`
    update rate_limiter.tenants as t set has_default_alerts = ${areOn}
    from rate_limiter.applications as a
    where a.tenant_id = t.tenant_id and a.app_id = ${of}
  `;
}

/** Asks for operations of one token; answers how many were denied. */
async function ask(seconds: number, operations: number, of = appId): Promise<number> {
  const answers = await owner<{ allowed: boolean }[]>`
    select d.allowed
    from rate_limiter_internal.consume_batch_at(
      rate_limiter_internal.app_shard_key(${of}), ${at(seconds)}, ${of},
      array_fill('read_small'::text, array[${operations}::integer]),
      array_fill(0::bigint, array[${operations}::integer])
    ) as d
  `;
  const denied = answers.filter(({ allowed }) => !allowed).length;
  if (denied > 0) {
    await owner`
      insert into rate_limiter.denial_counts
        (shard_key, app_id, minute, reason, operations, tokens, bytes, recorded_at)
      values (
        rate_limiter_internal.app_shard_key(${of}), ${of},
        date_trunc('minute', ${at(seconds)}::timestamptz, 'UTC'), 'iops_l2', ${denied}, ${denied},
        0, ${at(seconds)}
      )
    `;
  }
  return denied;
}

/** The jobs of a minute; answers how many alerts changed. */
async function look(seconds: number): Promise<number> {
  await worker`select rate_limiter_private.record_system_metrics(${at(seconds)})`;
  const [row] = await worker<{ changed: number }[]>`
    select rate_limiter_private.evaluate_alerts(${at(seconds)}) as changed
  `;
  return row?.changed ?? -1;
}

async function openOf(app: string): Promise<string[]> {
  const rows = await sql<{ metric: string }[]>`
    select c.metric_name as metric
    from rate_limiter.alert_history as h
    join rate_limiter.alert_configs as c on c.alert_id = h.alert_id
    where h.app_id = ${app} and h.status <> 'resolved'
    order by c.metric_name
  `;
  return rows.map(({ metric }) => metric);
}

const fill = "qos_bucket_fill_iops";
const share = "qos_denied_share";

/** What a bucket of 600 tokens needs to fall below a fifth. */
const drain = 590;

/** Asks for three times what flows in, until it is denied; the jobs of each minute run beside it. */
async function drained(): Promise<{ firstDenied: number; firstWarned: number }> {
  let firstWarned = 0;
  for (let second = 10; second < 1200; second += 10) {
    if ((await ask(second, 30)) > 0) return { firstDenied: second, firstWarned };
    if (second % 60 !== 0) continue;
    await look(second + 1);
    if (firstWarned === 0 && (await openOf(appId)).includes(fill)) firstWarned = second + 1;
  }
  throw new Error("nothing was denied");
}

describe("a default alert", () => {
  test("warns before the first denial, and tells of denials when they come", async () => {
    const { firstDenied, firstWarned } = await drained();
    expect(firstWarned).toBeGreaterThan(0);
    expect(firstDenied).toBeGreaterThan(firstWarned);
    expect(await openOf(appId)).toEqual([fill]);
    const next = (Math.floor(firstDenied / 60) + 1) * 60;
    for (let second = firstDenied + 10; second < next; second += 10) await ask(second, 30);
    await look(next + 1);
    await look(next + 61);
    expect(await openOf(appId)).toEqual([fill, share]);
    expect(next + 61 - firstDenied).toBeLessThanOrEqual(150);
  });

  test("says what share of the tokens that were asked for was denied", async () => {
    expect(await ask(10, 800)).toBe(200);
    await look(61);
    const [row] = await sql`
      select m.value, m.unit from rate_limiter.metrics as m
      where m.app_id = ${appId} and m.metric_name = ${share} and m."timestamp" = ${at(60)}
    `;
    expect(row).toEqual({ value: 25, unit: "percent" });
  });

  test("counts what leases took as asked for, and what is larger than a bucket as nothing", async () => {
    const count = (reason: string, tokens: number) => owner`
      insert into rate_limiter.denial_counts
        (shard_key, app_id, minute, reason, operations, tokens, bytes, recorded_at)
      values (rate_limiter_internal.app_shard_key(${appId}), ${appId}, ${at(0)}, ${reason}, 1,
        ${tokens}, 0, ${at(30)})
    `;
    const [lease] = await owner`
      select * from rate_limiter_internal.lease_tokens_at(
        rate_limiter_internal.app_shard_key(${appId}), ${at(5)}, ${appId}, 100, 0
      )
    `;
    await owner`
      select rate_limiter_internal.settle_lease_at(
        rate_limiter_internal.app_shard_key(${appId}), ${at(6)}, ${appId}, ${lease?.lease_id}, 30, 0
      )
    `;
    await count("exceeds_capacity", 1e6);
    await count("iops_l2", 10);
    await look(61);
    const [row] = await sql`
      select m.value from rate_limiter.metrics as m
      where m.app_id = ${appId} and m.metric_name = ${share} and m."timestamp" = ${at(60)}
    `;
    expect(row).toEqual({ value: 25 });
  });

  test("has a state for each application", async () => {
    const other = await makeApplication(database, { limit: 1, burst: 600 });
    await ask(50, drain);
    await look(61);
    expect([await openOf(appId), await openOf(other)]).toEqual([[fill], []]);
    await ask(110, drain, other);
    await look(121);
    expect([await openOf(appId), await openOf(other)]).toEqual([[fill], [fill]]);
  });

  test("is resolved when the bucket has refilled, however long nothing is asked for", async () => {
    appId = await makeApplication(database, { limit: 1, burst: 50_000 });
    await ask(0, 1);
    await sql`
      update rate_limiter.token_buckets set current_tokens = 10
      where owner_id = ${appId} and bucket_type = 'iops_l2'
    `;
    await ask(50, 1);
    await look(61);
    expect(await openOf(appId)).toEqual([fill]);
    for (const hour of [1, 2]) await look(hour * 3_600 + 1);
    expect(await openOf(appId)).toEqual([fill]);
    for (const hour of [3, 4]) await look(hour * 3_600 + 1);
    expect(await openOf(appId)).toEqual([]);
  });

  test("writes nothing of an application that is quiet", async () => {
    const quiet = await makeApplication(database);
    await ask(50, drain);
    for (let second = 61; second < 600; second += 60) await look(second);
    const [row] = await sql`
      select
        (select count(*) from rate_limiter.metrics where app_id = ${quiet})::integer as samples,
        (select count(*) from rate_limiter.alert_history where app_id = ${quiet})::integer as alerts
    `;
    expect(row).toEqual({ samples: 0, alerts: 0 });
  });

  test.each([
    ["the system", (isOn: boolean) => setDefaults(isOn)],
    ["its tenant", (isOn: boolean) => setTenant(appId, isOn)],
  ])("is off by one switch of %s, which ends what is open", async (_, turn) => {
    await ask(50, drain);
    await look(61);
    expect(await openOf(appId)).toEqual([fill]);
    await turn(false);
    await look(121);
    expect(await openOf(appId)).toEqual([]);
    await ask(1_200, 600);
    await look(1_201);
    expect(await openOf(appId)).toEqual([]);
    await turn(true);
    await ask(1_260, 600);
    await look(1_261);
    expect(await openOf(appId)).toEqual([fill]);
  });

  test("of one tenant does not stop with another's switch", async () => {
    const other = await makeApplication(database, { limit: 1, burst: 600 });
    await setTenant(other, false);
    await ask(50, drain);
    await ask(50, drain, other);
    await look(61);
    expect([await openOf(appId), await openOf(other)]).toEqual([[fill], []]);
  });

  test("that silence meets holds for every application", async () => {
    const [rule] = await sql<{ id: string }[]>`
      insert into rate_limiter.alert_configs
        (metric_name, condition, threshold_value, duration_seconds, severity, notification_config)
      values ('qos_admitted_operations', '<', 1, 60, 'info', '{}')
      returning alert_id as id
    `;
    await look(61);
    await look(121);
    expect(await openOf(appId)).toEqual(["qos_admitted_operations"]);
    await sql`
      update rate_limiter.alert_configs set is_active = false where alert_id = ${rule?.id ?? ""}
    `;
    await look(181);
    expect(await openOf(appId)).toEqual([]);
  });
});
