import { expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../harness/index.ts";
import { makeTenant } from "./world.ts";

const database = await createDatabase();
const { appId, configId, users } = await makeTenant(database, "constraints");

const past = "now() - interval '1 day'";
const borrowing = "update rate_limiter.token_borrowing set";
const lease = "update rate_limiter.token_leases set";
const history = "update rate_limiter.alert_history set";
const notices = "update rate_limiter.alert_notifications set";
const demand = `insert into rate_limiter_private.demand (shard_key, app_id, minute, operation, size_class,
  is_denied, counter, operations, tokens, bytes, peak_operations) select 1, '${appId}',`;
const policy = "update rate_limiter.retention_policies set";
const registry = "update rate_limiter_private.partitioned_tables set";
const session = (columns: string, values: string) => `
  insert into rate_limiter_private.user_sessions
    (user_id, refresh_token_hash, refresh_expires_at, expires_at, ${columns})
  values ('${users.auditor}', sha256('a'), now(), now() + interval '1 day', ${values})`;
const serviceToken = (column: string, value: string) => {
  const row = {
    token_hash: "sha256('a')",
    prefix: "'qst_12345678'",
    permissions: "null",
    expires_at: "now()",
    [column]: value,
  };
  return `insert into rate_limiter_private.service_tokens (user_id, ${Object.keys(row)})
    values ('${users.auditor}', ${Object.values(row)})`;
};
const invitation = (columns: string, values: string) => {
  const usual = { token_hash: "sha256('i')", expires_at: "now()" };
  const rest = Object.entries(usual).filter(([column]) => column !== columns);
  return `insert into rate_limiter_private.invitations
    (${["user_id", ...rest.map(([column]) => column), columns]})
    values (${[`'${users.auditor}'`, ...rest.map(([, value]) => value), values]})`;
};
const mapping = (group: string) => `
  insert into rate_limiter.role_mappings (group_name, role_id)
  select ${group}, role_id from rate_limiter.roles where name = 'auditor'`;
const version = (columns: string, values: string) => `
  insert into rate_limiter_audit.quota_version_history (config_id, new_config, ${columns})
  values ('${configId}', '{"a": 1}', ${values})`;
const ceiling = "update rate_limiter.tenant_ceilings set";
const reservation = "update rate_limiter.reservations set";
const suspension = "update rate_limiter.suspensions set";
const process = (kind: string, calls: string) => `
  insert into rate_limiter.processes
  values ('x', gen_random_uuid(), ${kind}, 'x', 'x', 'x', now(), now(), 0, ${calls}, 0, 0)`;
const setting = (columns: string, values: string) => `
  insert into rate_limiter.system_settings (description, ${columns}) values ('x', ${values})`;

const manager = (name: string) => `
  insert into rate_limiter_internal.managed_objects (kind, object_id, managed_by)
  values ('tenant', gen_random_uuid(), ${name})`;

/** A statement that breaks this constraint and no other. */
const violations: Readonly<Record<string, string>> = {
  manager_name_is_readable: manager("E'a\\nb'"),
  manager_name_not_empty: manager("' '"),
  tenant_name_not_empty: "update rate_limiter.tenants set name = '  '",
  tenant_description_length: "update rate_limiter.tenants set description = repeat('x', 2001)",
  cluster_name_not_empty: "update rate_limiter.clusters set name = ' '",
  cluster_region_not_empty: "update rate_limiter.clusters set region = ''",
  cluster_capacity_check: "update rate_limiter.clusters set max_capacity = -1",
  cluster_health_check_url_check:
    "update rate_limiter.clusters set health_check_url = 'https://me:secret@storage.example/'",
  cluster_status_check: "update rate_limiter.clusters set health_status = 'tired'",
  app_name_not_empty: "update rate_limiter.applications set name = ' '",
  app_metadata_is_object: "update rate_limiter.applications set metadata = '[]'",
  app_metadata_size: `update rate_limiter.applications
    set metadata = jsonb_build_object('a', repeat('x', 16384))`,
  api_key_hash_is_sha256: "update rate_limiter_private.api_keys set key_hash = 'qos_'",
  api_key_prefix_format: "update rate_limiter_private.api_keys set prefix = 'qos_1234'",
  user_username_not_empty: "update rate_limiter.users set username = ' '",
  user_login_count_check: "update rate_limiter.users set login_count = -1",
  user_email_format: "update rate_limiter.users set email = 'plain'",
  tenant_name_is_readable: "update rate_limiter.tenants set name = E'a\\nb'",
  cluster_name_is_readable: "update rate_limiter.clusters set name = E'a\\u202eb'",
  cluster_region_is_readable: "update rate_limiter.clusters set region = E'a\\u0085b'",
  app_name_is_readable: "update rate_limiter.applications set name = E'a\\u2066b'",
  api_key_name_is_readable: "update rate_limiter_private.api_keys set name = E'a\\u001bb'",
  user_username_is_readable: "update rate_limiter.users set username = E'a\\u200fb'",
  role_name_is_readable: "insert into rate_limiter.roles (name) values (E'a\\u061cb')",
  operation_name_is_readable: "update rate_limiter.operation_types set name = E'a\\u2028b'",
  operation_category_is_readable: "update rate_limiter.operation_types set category = E'a\\u200bb'",
  alert_metric_name_is_readable: "update rate_limiter.alert_configs set metric_name = E'a\\u007fb'",
  service_token_name_is_readable: serviceToken("name", "E'a\\ufeffb'"),
  tenant_description_is_readable: "update rate_limiter.tenants set description = E'a\\u202eb'",
  cluster_endpoint_is_readable: "update rate_limiter.clusters set endpoint = E'a\\u001bb'",
  app_metadata_is_readable: `update rate_limiter.applications
    set metadata = jsonb_build_object(E'a\\u001bb', 1)`,
  role_description_is_readable: `insert into rate_limiter.roles (name, description)
    values ('x', E'a\\nb')`,
  operation_description_is_readable:
    "update rate_limiter.operation_types set description = E'a\\u0085b'",
  setting_value_is_readable: `insert into rate_limiter.system_settings (key, description, value)
    values ('x', 'x', E'a\\u2066b')`,
  alert_notification_is_readable: `update rate_limiter.alert_configs set notification_config =
    jsonb_build_object('channel', 'webhook', 'url', 'https://x.example/',
      'secret', E'sixteen characters\\r\\n')`,
  invitation_hashes_are_sha256: invitation("token_hash", "'qsi_'"),
  invitation_is_finite: invitation("expires_at", "'infinity'"),
  invitation_has_one_end: invitation("accepted_at, revoked_at", "now(), now()"),
  role_mapping_group_not_empty: mapping("' '"),
  role_mapping_group_is_readable: mapping("E'a\\u202eb'"),
  user_role_of_group_ends: `with made as (${mapping("'g'")} returning mapping_id)
    update rate_limiter.user_roles set mapping_id = (select mapping_id from made),
      expires_at = null`,
  user_email_is_of_people: "update rate_limiter.users set email = null",
  service_token_hash_is_sha256: serviceToken("token_hash", "'qst_'"),
  service_token_prefix_format: serviceToken("prefix", "'qos_12345678'"),
  service_token_permissions_not_empty: serviceToken("permissions", "'{}'"),
  service_token_is_finite: serviceToken("expires_at", "'infinity'"),
  user_secrets_hash_is_scrypt: `insert into rate_limiter_private.user_secrets
    (user_id, password_hash) values ('${users.auditor}', 'secret')`,
  login_failures_failed_attempts_check: `insert into rate_limiter_private.login_failures
    (account, network, failed_attempts) values ('', '10.0.0.1', -1)`,
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
  setting_choices_are_for_texts: setting(
    "key, value, value_type, choices",
    "'x', '1', 'integer', '{1}'",
  ),
  ceiling_is_of_a_kind: `${ceiling} iops_limit = null, iops_burst = null, iops_capacity = null,
    bandwidth_limit_bps = null, bandwidth_burst_bps = null, bandwidth_capacity = null`,
  ceiling_iops_is_whole: `${ceiling} iops_burst = null`,
  ceiling_bandwidth_is_whole: `${ceiling} bandwidth_capacity = null`,
  ceiling_iops_check: `${ceiling} iops_burst = iops_limit - 1`,
  ceiling_bandwidth_check: `${ceiling} bandwidth_capacity = bandwidth_limit_bps - 1`,
  reservation_reserves_something: `${reservation} reserved_iops = null`,
  reservation_is_positive: `${reservation} reserved_bps = 0`,
  reservation_seconds_check: `${reservation} reservation_seconds = 61`,
  reservation_history_changes_something: `insert into rate_limiter_audit.reservation_history
    (app_id, cluster_id, old_values, new_values)
    select r.app_id, r.cluster_id, '{}', '{}' from rate_limiter.reservations as r`,
  suspension_of_a_key_names_its_application: `insert into rate_limiter.suspensions
    (tenant_id, api_key_id, reason)
    select a.tenant_id, k.api_key_id, 'x'
    from rate_limiter_private.api_keys as k
    join rate_limiter.applications as a on a.app_id = k.app_id`,
  suspension_reason_not_empty: `${suspension} reason = ' '`,
  suspension_time_order: `${suspension} suspended_until = suspended_at`,
  suspension_time_is_finite: `${suspension} suspended_until = 'infinity'`,
  suspension_lifted_with_reason: `${suspension} lift_reason = null`,
  quota_default_enforces: `insert into rate_limiter.quota_configs (default_cluster_id, mode)
    select c.cluster_id, 'shadow' from rate_limiter.clusters as c`,
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
  bucket_reserve_has_cluster:
    "update rate_limiter.token_buckets set reserve_cluster_id = gen_random_uuid()",
  late_charge_amounts_check: "update rate_limiter.late_charges set tokens = -1",
  uncharged_minute_check:
    "update rate_limiter.uncharged_counts set minute = minute + interval '1 second'",
  uncharged_reason_check: "update rate_limiter.uncharged_counts set reason = 'spite'",
  uncharged_amounts_check: "update rate_limiter.uncharged_counts set operations = 0",
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
  metric_value_is_bounded: "update rate_limiter.metrics set value = 'NaN'",
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
  recent_denial_minute_check:
    "update rate_limiter.recent_denials set minute = minute + interval '1 second'",
  recent_denial_reason_check: "update rate_limiter.recent_denials set reason = 'spite'",
  recent_denial_amounts_check: "update rate_limiter.recent_denials set operations = 0",
  job_failures_count_check: `insert into rate_limiter_private.job_failures
    (job, subject, failures, last_error) values ('x', 'x', 0, 'x')`,
  metrics_hourly_sample_count_check: "update rate_limiter.metrics_hourly set sample_count = 0",
  metrics_hourly_bucket_check: `update rate_limiter.metrics_hourly
    set bucket = bucket + interval '1 minute'`,
  metrics_daily_sample_count_check: "update rate_limiter.metrics_daily set sample_count = 0",
  metrics_daily_bucket_check: `update rate_limiter.metrics_daily
    set bucket = bucket + interval '1 hour'`,
  usage_hourly_hour_check: `insert into rate_limiter_private.usage_hourly
    values (1, '${appId}', 'iops_l2', date_trunc('hour', now()) + interval '1 minute', 0, 0, 0, 0, 0)`,
  demand_minute_check: `${demand} date_trunc('minute', now()) + interval '1 second', 'x', 1, false, '${appId}', 1, 0, 0, 1`,
  demand_size_class_check: `${demand} date_trunc('minute', now()), 'x', 64, false, '${appId}', 1, 0, 0, 1`,
  demand_amounts_check: `${demand} date_trunc('minute', now()), 'x', 1, false, '${appId}', 1, 0, 0, 0`,
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
  alert_notification_event_check: `${notices} event = 'forgotten'`,
  alert_notification_status_check: `${notices} status = 'lost'`,
  alert_notification_sent_check: `${notices} status = 'sent'`,
  retention_has_one_period: `${policy} retain_for = null, setting_key = null`,
  retention_is_a_day_at_least: `${policy} retain_for = '1 hour', setting_key = null`,
  retention_has_no_negative_part: `${policy} retain_for = 'P1M-29D', setting_key = null`,
  retention_is_a_thousand_years_at_most: `${policy} retain_for = '1001 years', setting_key = null`,
  retention_action_check: `${policy} action = 'forget'`,
  partitioned_tables_period_check: `${registry} period = 'week'`,
  partitioned_tables_premake_check: `${registry} premake = 0`,
  partitioned_tables_scale_factors_check: `${registry} analyze_scale_factor = 2`,
  partitioned_tables_statistics_check: `${registry} statistics_target = 0`,
  process_kind_check: process("'toaster'", "0"),
  process_counts_check: process("'client'", "-1"),
  ledger_check_progress_is_one_row: `insert into rate_limiter_private.ledger_check_progress
    (is_only_row, from_time, checked_at) values (false, now(), now())`,
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
