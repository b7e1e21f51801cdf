import { describe, expect, test } from "vitest";
import { createDatabase, type TestDatabase } from "../harness/index.ts";

/** What a session may be set to, of what changes how values are read and spelled. */
const hostile = {
  timezone: "Asia/Kolkata",
  datestyle: "SQL, DMY",
  intervalstyle: "sql_standard",
  bytea_output: "escape",
  extra_float_digits: "-10",
  xmloption: "document",
  array_nulls: "off",
  transform_null_equals: "on",
  quote_all_identifiers: "on",
  standard_conforming_strings: "off",
  escape_string_warning: "off",
  backslash_quote: "on",
  default_text_search_config: "pg_catalog.german",
};

const tenant = "10000000-0000-4000-8000-000000000000";
const cluster = "20000000-0000-4000-8000-000000000000";
const app = "30000000-0000-4000-8000-000000000000";
const lender = "31000000-0000-4000-8000-000000000000";
const user = "40000000-0000-4000-8000-000000000000";
const alert = "50000000-0000-4000-8000-000000000000";
const quota = `'{"iops_limit": 100, "iops_burst": 200, "burst_duration_seconds": 10,
  "refill_rate": 100}', '{"bandwidth_limit_bps": 1000, "bandwidth_burst_bps": 2000,
  "burst_duration_seconds": 10, "refill_rate_bps": 1000}'`;
/** In every time zone another day than in UTC, or another hour. */
const at = "timestamptz '2024-03-10T23:45:00.123456Z'";
const later = "timestamptz '2024-03-31T23:45:00.123456Z'";

/** What is done in the session that is set so. A query's rows are compared as well. */
const steps = [
  `insert into rate_limiter.tenants (tenant_id, name) values ('${tenant}', 'tenant')`,
  `insert into rate_limiter.clusters (cluster_id, name, region)
    values ('${cluster}', 'cluster', 'north')`,
  `insert into rate_limiter.applications (app_id, tenant_id, cluster_id, name)
    values ('${app}', '${tenant}', '${cluster}', 'application'),
      ('${lender}', '${tenant}', '${cluster}', 'lender')`,
  `insert into rate_limiter.users (user_id, tenant_id, email, username)
    values ('${user}', '${tenant}', 'someone@example.org', 'someone')`,
  `insert into rate_limiter.user_roles (user_id, role_id)
    select '${user}', role_id from rate_limiter.roles where name = 'system_admin'`,
  `select set_config('rate_limiter.user_id', '${user}', false)`,
  // Quotas, their versions and what is told of them.
  `select rate_limiter_internal.publish_quota_at(${at}, '${app}', null, 'enforce', null, ${later},
    ${quota}, 'first') is not null`,
  `select rate_limiter_internal.publish_quota_at(${at}, '${lender}', null, 'enforce', null, null,
    ${quota}, 'lends') is not null`,
  `select rate_limiter_internal.publish_quota_at(${later}, '${app}', null, 'enforce', null, null,
    ${quota}, 'second') is not null`,
  `select c.field, c.value, c.other_value
    from rate_limiter_audit.quota_version_history as a
    join rate_limiter_audit.quota_version_history as b
      on b.app_id = a.app_id and b.change_reason = 'second'
    cross join lateral rate_limiter_admin.compare_quota_versions(a.version_id, b.version_id) as c
    where a.change_reason = 'first' and a.app_id = '${app}' and c.field not like '%id'`,
  // Decisions, and what they leave.
  `select * from rate_limiter_internal.consume_at(
    rate_limiter_internal.app_shard_key('${app}'), ${at}, '${app}', 'read_small', 100, 'r1'
  )`,
  `select * from rate_limiter_internal.consume_batch_at(
    rate_limiter_internal.app_shard_key('${app}'), ${at} + interval '1 second', '${app}',
    '{head,list}', '{0,5}', '{r2,r3}')`,
  `select * from rate_limiter_internal.consume_at(
    rate_limiter_internal.app_shard_key('${app}'), ${at} + interval '1 second', '${app}',
    'read_large', 90000000)`,
  `select tokens, bytes from rate_limiter_internal.lease_tokens_at(
    rate_limiter_internal.app_shard_key('${app}'), ${at} + interval '1 second',
    '${app}', 5.5, 10)`,
  `select * from rate_limiter_internal.settle_at(
    rate_limiter_internal.app_shard_key('${app}'), ${at} + interval '2 seconds', '${app}', 'r1', 50
  )`,
  `select rate_limiter_internal.refund_at(
    rate_limiter_internal.app_shard_key('${app}'), ${at} + interval '2 seconds', '${app}', 'r2'
  )`,
  `select tokens, repayment_tokens from rate_limiter_internal.borrow_tokens_at(${at} + interval '3 seconds',
    '${app}', 'iops_l2', 10.5, interval '90 seconds', '${lender}')`,
  `select rate_limiter_internal.cancel_borrowing_at(${at} + interval '4 seconds', owner_id,
    borrowing_id, 'enough') is null from rate_limiter.token_borrowing`,
  `select layer, bucket_type, verdict, charge, tokens, passes_at - ${at} > interval '0'
    from rate_limiter_admin.why_throttled('${app}', 'list', 5, ${at} + interval '1 hour')`,
  `select count(*) from rate_limiter_admin.usage_over_time('${app}', ${at} - interval '1 day',
    ${at} + interval '1 day', 'day')`,
  `select extract(epoch from starts_at), tokens_consumed
    from rate_limiter_admin.usage_over_time('${app}', ${at} - interval '3 hours', ${at})`,
  `select gap_count, first_gaps from rate_limiter_private.verify_ledger(${later})`,
  `select rate_limiter.limits_in_force('${app}') -> 'limits'`,
  // Samples, aggregates, alerts.
  `select * from rate_limiter.record_metrics('${app}', jsonb_build_array(
    jsonb_build_object('timestamp', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:00:00"Z"'),
      'metric_name', 'depth', 'value', 0.1234567890123456, 'tags', '{"a": 1e3}'::jsonb,
      'metric_id', '60000000-0000-4000-8000-000000000000'),
    '{"timestamp": "10/03/2024", "metric_name": "depth", "value": 1}'::jsonb,
    '{"timestamp": "2024-13-03T00:00Z", "metric_name": "depth", "value": 1}'::jsonb))`,
  `select rate_limiter_private.aggregate_metrics('hour')`,
  `select rate_limiter_private.aggregate_metrics('day', 500, now() + interval '24 hours')`,
  `insert into rate_limiter.alert_configs (alert_id, app_id, metric_name, condition,
      threshold_value, duration_seconds, severity, cooldown_seconds, notification_config)
    values ('${alert}', '${app}', 'depth', '>', 0.1234567890123455, 7200, 'info', 0,
      '{"channel": "log"}')`,
  "select rate_limiter_private.evaluate_alerts(clock_timestamp())",
  "select rate_limiter_private.record_delivery(notification_id, 'sent') is null from rate_limiter.alert_notifications",
  // Settings and policies.
  `update rate_limiter.retention_policies set retain_for = '1 year 2 days 03:04:05'
    where data_type = 'charges'`,
  `select rate_limiter_admin.begin_export('metrics', ${at}, ${later}, null) is null`,
  `select action, entity_type from rate_limiter_admin.search_audit('-infinity', 'infinity',
    containing => 'retain_for": "1 year 2 days 03:04:05')`,
  `select action, entity_type from rate_limiter_admin.search_audit('-infinity', 'infinity',
    containing => E'a\\\\b%_')`,
  // Partitions, archive, retention.
  `insert into rate_limiter.metrics
      (shard_key, app_id, "timestamp", metric_id, metric_name, value, tags)
    values (1, '${app}', ${at}, '70000000-0000-4000-8000-000000000000', E'back\\\\slash', 1/3.0, '{}'),
      (1, '${app}', '2024-02-29T19:00:00Z', '71000000-0000-4000-8000-000000000000', 'x', 1e-30, '{}')`,
  `select count(*) from rate_limiter_private.make_partitions(${at})`,
  "select step, moved_rows from rate_limiter_private.drain_default_partitions()",
  "select step, moved_rows from rate_limiter_private.drain_default_partitions()",
  "select step, moved_rows from rate_limiter_private.drain_default_partitions()",
  `select partition_name, extract(epoch from starts_at), extract(epoch from ends_at)
    from rate_limiter_internal.partitions() where starts_at < '2025-01-01Z' order by 1`,
  `select partition_name from rate_limiter_private.retention_plan() order by 1`,
  "select * from rate_limiter_private.export_partition('metrics_y2024m03d10')",
  "select row_count from rate_limiter_private.partition_extent('metrics_y2024m03d10')",
  `select l from rate_limiter_private.export_rows('user_sessions', now() - interval '10 years') as l`,
  `select rate_limiter_private.restore_rows('rate_limiter.metrics',
    '{app_id,timestamp,metric_id,metric_name,value,tags}', jsonb_build_array(jsonb_build_array(
      '${app}', '2024-04-05 06:07:08.9+00', '72000000-0000-4000-8000-000000000000', 'y', '0.1',
      '{}')))`,
  "select rate_limiter_private.drop_partition('metrics_y2024m02d29')",
];

/** Tables whose rows the steps above make. */
const tables = [
  "rate_limiter.quota_configs",
  "rate_limiter.token_buckets",
  "rate_limiter.token_transactions",
  "rate_limiter.charges",
  "rate_limiter.token_borrowing",
  "rate_limiter.token_leases",
  "rate_limiter.metrics",
  "rate_limiter.metrics_hourly",
  "rate_limiter.metrics_daily",
  "rate_limiter.alert_history",
  "rate_limiter.alert_notifications",
  "rate_limiter.retention_policies",
  "rate_limiter_audit.audit_logs",
  "rate_limiter_audit.quota_version_history",
  "rate_limiter_private.ledger_checks",
];

/** Ids that are made up, and the day on which the test runs, say nothing. */
function normalized(text: string): string {
  const today = new Date().toISOString().slice(0, 10);
  return text
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/g, (id) =>
      id.endsWith("-0000-4000-8000-000000000000") ? id : "<id>",
    )
    .replaceAll(new RegExp(`${today}([T ])\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?`, "g"), "<now>$1");
}

interface Outcome {
  readonly answers: Readonly<Record<string, unknown>>;
  readonly rows: Readonly<Record<string, string[]>>;
}

async function outcomeUnder(settings: Readonly<Record<string, string>>): Promise<Outcome> {
  const database = await createDatabase();
  const session = await database.session("formats");
  for (const [name, value] of Object.entries(settings)) {
    await session.sql`select set_config(${name}, ${value}, false)`;
  }
  const answers: Record<string, unknown> = {};
  for (const step of steps) {
    const rows = await session.sql.unsafe(step);
    answers[step] = JSON.parse(normalized(JSON.stringify([...rows])));
  }
  return { answers, rows: await storedRows(database) };
}

async function storedRows({ sql }: TestDatabase): Promise<Record<string, string[]>> {
  const stored: Record<string, string[]> = {};
  for (const table of tables) {
    const rows = await sql.unsafe<{ line: string }[]>(
      `select to_jsonb(t)::text as line from ${table} as t`,
    );
    stored[table] = rows.map(({ line }) => normalized(line)).sort();
  }
  return stored;
}

describe("the formats of a session", () => {
  test("change nothing of what functions answer and store", async () => {
    const calm = await outcomeUnder({});
    const other = await outcomeUnder(hostile);
    expect(other.answers).toEqual(calm.answers);
    expect(other.rows).toEqual(calm.rows);
    for (const table of tables) expect(calm.rows[table]?.length, table).toBeGreaterThan(0);
  });
});
