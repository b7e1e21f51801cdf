import { expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../harness/index.ts";
import { makeTenant } from "./world.ts";

const database = await createDatabase();
const { appId, configId, users } = await makeTenant(database, "constraints");

const past = "now() - interval '1 day'";
const borrowing = "update rate_limiter.token_borrowing set";
const lease = "update rate_limiter.token_leases set";
const history = "update rate_limiter.alert_history set";
const notices = "update rate_limiter.alert_notices set";
const policy = "update rate_limiter.retention_policies set";
const registry = "update rate_limiter_private.partitioned_tables set";
const session = (columns: string, values: string) => `
  insert into rate_limiter_private.user_sessions
    (user_id, refresh_token_hash, refresh_expires_at, expires_at, ${columns})
  values ('${users.auditor}', sha256('a'), now(), now() + interval '1 day', ${values})`;
const version = (columns: string, values: string) => `
  insert into rate_limiter_audit.quota_version_history (config_id, new_config, ${columns})
  values ('${configId}', '{"a": 1}', ${values})`;
const setting = (columns: string, values: string) => `
  insert into rate_limiter.system_settings (description, ${columns}) values ('x', ${values})`;

/** A statement that breaks this constraint and no other. */
const violations: Readonly<Record<string, string>> = {
  tenant_name_not_empty: "update rate_limiter.tenants set name = E' \\t\\n'",
  cluster_name_not_empty: "update rate_limiter.clusters set name = ' '",
  cluster_region_not_empty: "update rate_limiter.clusters set region = ''",
  cluster_capacity_check: "update rate_limiter.clusters set max_capacity = -1",
  cluster_status_check: "update rate_limiter.clusters set health_status = 'tired'",
  app_name_not_empty: "update rate_limiter.applications set name = ' '",
  app_metadata_is_object: "update rate_limiter.applications set metadata = '[]'",
  api_key_hash_is_sha256: "update rate_limiter_private.api_keys set key_hash = 'qos_'",
  api_key_prefix_format: "update rate_limiter_private.api_keys set prefix = 'qos_1234'",
  user_username_not_empty: "update rate_limiter.users set username = ' '",
  user_login_count_check: "update rate_limiter.users set login_count = -1",
  user_email_format: "update rate_limiter.users set email = 'plain'",
  user_secrets_hash_is_bcrypt: `insert into rate_limiter_private.user_secrets
    (user_id, password_hash) values ('${users.auditor}', 'secret')`,
  user_secrets_failed_attempts_check: `insert into rate_limiter_private.user_secrets
    (user_id, password_hash, failed_attempts) values ('${users.auditor}', '$2b$x', -1)`,
  login_addresses_failed_attempts_check: `insert into rate_limiter_private.login_addresses
    (address, failed_attempts) values ('10.0.0.1', -1)`,
  user_sessions_hash_is_sha256: `insert into rate_limiter_private.user_sessions
    (user_id, refresh_token_hash, refresh_expires_at, expires_at)
    values ('${users.auditor}', 'token', now(), now())`,
  user_sessions_refresh_within_session: `insert into rate_limiter_private.user_sessions
    (user_id, refresh_token_hash, refresh_expires_at, expires_at)
    values ('${users.auditor}', sha256('a'), now(), ${past})`,
  user_sessions_revoke_reason_check: session("revoked_at, revoke_reason", "now(), 'boredom'"),
  role_name_not_empty: "insert into rate_limiter.roles (name) values (' ')",
  setting_key_format: setting("key, value", "'No Key', 'x'"),
  setting_value_type_check: setting("key, value, value_type", "'x', 'x', 'mood'"),
  setting_bounds_are_for_numbers: setting("key, value, minimum", "'x', 'x', 1"),
  operation_name_not_empty: `insert into rate_limiter.operation_types (name, category)
    values (' ', 'x')`,
  operation_c_base_check: "update rate_limiter.operation_types set c_base = -1",
  operation_unit_quantum_check: "update rate_limiter.operation_types set unit_quantum = 0",
  operation_c_bw_check: "update rate_limiter.operation_types set c_bw = -1",
  cost_rule_c_base_check: "update rate_limiter.cost_rules set c_base_override = -1",
  cost_rule_c_bw_check: "update rate_limiter.cost_rules set c_bw_override = -1",
  cost_rule_time_order: "update rate_limiter.cost_rules set valid_to = valid_from",
  cost_rule_time_is_finite: "update rate_limiter.cost_rules set valid_to = 'infinity'",
  cost_rule_overlap_check: `insert into rate_limiter.cost_rules (operation_id, app_id)
    select operation_id, app_id from rate_limiter.cost_rules`,
  quota_has_one_owner: `insert into rate_limiter.quota_configs (app_id, cluster_id, is_active)
    select a.app_id, a.cluster_id, false from rate_limiter.applications as a`,
  quota_time_order: "update rate_limiter.quota_configs set valid_to = valid_from",
  quota_time_is_finite: "update rate_limiter.quota_configs set valid_to = 'infinity'",
  quota_time_overlap_check: `insert into rate_limiter.quota_configs (app_id) values ('${appId}')`,
  iops_limit_check: "update rate_limiter.iops_quotas set iops_limit = 0",
  iops_burst_check: "update rate_limiter.iops_quotas set iops_burst = iops_limit - 1",
  iops_burst_duration_check: "update rate_limiter.iops_quotas set burst_duration_seconds = 0",
  iops_refill_rate_check: "update rate_limiter.iops_quotas set refill_rate = 0",
  iops_min_reserve_check: "update rate_limiter.iops_quotas set min_reserve = -1",
  bandwidth_limit_check: "update rate_limiter.bandwidth_quotas set bandwidth_limit_bps = 0",
  bandwidth_burst_check:
    "update rate_limiter.bandwidth_quotas set bandwidth_burst_bps = bandwidth_limit_bps - 1",
  bandwidth_burst_duration_check:
    "update rate_limiter.bandwidth_quotas set burst_duration_seconds = 0",
  bandwidth_refill_rate_check: "update rate_limiter.bandwidth_quotas set refill_rate_bps = 0",
  engine_settings_has_one_row:
    "update rate_limiter_internal.engine_settings set is_only_row = false",
  bucket_tokens_check: "update rate_limiter.token_buckets set current_tokens = -1",
  lease_amounts_check: `${lease} tokens = -1`,
  lease_spent_check: `${lease} spent_tokens = tokens + 1`,
  lease_time_order: `${lease} expires_at = granted_at`,
  borrowing_tokens_check: `${borrowing} tokens_borrowed = 0`,
  borrowing_repayment_check: `${borrowing} repayment_tokens = tokens_borrowed - 1`,
  borrowing_repaid_check: `${borrowing} repaid_tokens = repayment_tokens + 1`,
  borrowing_interest_check: `${borrowing} interest_rate = -0.1`,
  borrowing_due_after_borrowed: `${borrowing} due_at = borrowed_at`,
  borrowing_lender_is_a_bucket: `${borrowing} lender_owner_id = owner_id`,
  borrowing_repaid_status_check: `${borrowing} status = 'repaid'`,
  borrowing_metadata_is_object: `${borrowing} metadata = '[]'`,
  audit_log_status_check: `insert into rate_limiter_audit.audit_logs (action, entity_type, status)
    values ('update', 'x', 'undecided')`,
  quota_version_has_one_owner: version("app_id, cluster_id", `'${appId}', gen_random_uuid()`),
  quota_version_changes_something: version("app_id, old_config", `'${appId}', '{"a": 1}'`),
  metric_name_not_empty: "update rate_limiter.metrics set metric_name = ' '",
  metric_value_is_finite: "update rate_limiter.metrics set value = 'NaN'",
  metric_tags_is_object: "update rate_limiter.metrics set tags = '[]'",
  iops_metrics_counts_check: "update rate_limiter.iops_metrics set read_ops = -1",
  iops_metrics_latencies_check: "update rate_limiter.iops_metrics set p99_latency_ms = -1",
  iops_metrics_tags_is_object: "update rate_limiter.iops_metrics set tags = '[]'",
  bandwidth_metrics_counts_check: "update rate_limiter.bandwidth_metrics set bytes_read = -1",
  bandwidth_metrics_throughput_check:
    "update rate_limiter.bandwidth_metrics set peak_throughput_mbps = -1",
  bandwidth_metrics_tags_is_object: "update rate_limiter.bandwidth_metrics set tags = '[]'",
  denial_minute_check:
    "update rate_limiter.denial_counts set minute = minute + interval '1 second'",
  denial_reason_check: "update rate_limiter.denial_counts set reason = 'spite'",
  denial_amounts_check: "update rate_limiter.denial_counts set operations = 0",
  metrics_hourly_sample_count_check: "update rate_limiter.metrics_hourly set sample_count = 0",
  metrics_hourly_bucket_check: `update rate_limiter.metrics_hourly
    set bucket = bucket + interval '1 minute'`,
  metrics_daily_sample_count_check: "update rate_limiter.metrics_daily set sample_count = 0",
  metrics_daily_bucket_check: `update rate_limiter.metrics_daily
    set bucket = bucket + interval '1 hour'`,
  metric_changes_grain_check: `insert into rate_limiter_private.metric_changes
    (grain, app_id, metric_name, bucket) values ('year', '${appId}', 'x', now())`,
  alert_metric_name_not_empty: "update rate_limiter.alert_configs set metric_name = ' '",
  alert_condition_check: "update rate_limiter.alert_configs set condition = '~'",
  alert_threshold_is_finite: "update rate_limiter.alert_configs set threshold_value = 'NaN'",
  alert_duration_check: "update rate_limiter.alert_configs set duration_seconds = 0",
  alert_severity_check: "update rate_limiter.alert_configs set severity = 'dire'",
  alert_cooldown_check: "update rate_limiter.alert_configs set cooldown_seconds = -1",
  alert_history_status_check: `${history} status = 'forgotten'`,
  alert_history_resolved_check: `${history} status = 'resolved'`,
  alert_history_acknowledged_check: `${history} status = 'acknowledged'`,
  alert_history_in_order: `${history} status = 'resolved', resolved_at = ${past}`,
  alert_notice_event_check: `${notices} event = 'forgotten'`,
  alert_notice_status_check: `${notices} status = 'lost'`,
  alert_notice_sent_check: `${notices} status = 'sent'`,
  retention_has_one_period: `${policy} retain_for = null, setting_key = null`,
  retention_is_a_day_at_least: `${policy} retain_for = '1 hour', setting_key = null`,
  retention_is_a_thousand_years_at_most: `${policy} retain_for = '1001 years', setting_key = null`,
  retention_action_check: `${policy} action = 'forget'`,
  partitioned_tables_period_check: `${registry} period = 'week'`,
  partitioned_tables_premake_check: `${registry} premake = 0`,
  partitioned_tables_scale_factors_check: `${registry} analyze_scale_factor = 2`,
  partitioned_tables_statistics_check: `${registry} statistics_target = 0`,
  ledger_check_gaps_check: `insert into rate_limiter_private.ledger_checks
    (from_time, checked_at, gap_count) values (now(), now(), -1)`,
};

/** What a trigger refuses before them, in words for people. */
const hidden = {
  alert_notification_is_object: "update rate_limiter.alert_configs set notification_config = '[]'",
  setting_bounds_in_order: setting(
    "key, value, value_type, minimum, maximum",
    "'x', '1', 'integer', 2, 1",
  ),
};

test("every check and every exclusion is broken by a test", async () => {
  const rows = await database.sql<{ name: string }[]>`
    select distinct c.conname as name
    from pg_constraint as c
    join pg_class as t on t.oid = c.conrelid
    where starts_with(t.relnamespace::regnamespace::text, 'rate_limiter')
      and c.contype in ('c', 'x')
      and not t.relispartition
  `;
  const known = [...Object.keys(violations), ...Object.keys(hidden)];
  expect(known.sort()).toEqual(rows.map((row) => row.name).sort());
});

test.each(Object.entries(violations))("%s holds", async (constraint, statement) => {
  const { error } = await database.withTransaction("rate_limiter_owner", {}, async (sql) => ({
    error: await expectSqlState(
      sql.unsafe(statement),
      constraint.endsWith("overlap_check") ? "23P01" : "23514",
    ),
  }));
  expect(error).toMatchObject({ constraint_name: constraint });
});

test.each(Object.entries(hidden))("%s is kept by a trigger already", async (_, statement) => {
  await database.withTransaction("rate_limiter_owner", {}, (sql) =>
    expectSqlState(sql.unsafe(statement), "QS422"),
  );
});

test.each([
  ["operation_types", "c_base"],
  ["operation_types", "c_bw"],
  ["cost_rules", "c_base_override"],
  ["cost_rules", "c_bw_override"],
])("%s.%s is a number", async (table, column) => {
  await database.withTransaction("rate_limiter_owner", {}, (sql) =>
    expectSqlState(sql.unsafe(`update rate_limiter.${table} set ${column} = 'NaN'`), "23514"),
  );
});
