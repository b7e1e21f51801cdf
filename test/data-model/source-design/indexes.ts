/**
 * The indexes of the source design, and which one serves the purpose of each now: one of the same
 * name, another, or none, for a reason.
 */
export const sameIndexes: readonly string[] = [
  "idx_alert_configs_active",
  "idx_alert_configs_app",
  "idx_alert_configs_metric",
  "idx_alert_history_alert",
  "idx_alert_history_app",
  "idx_alert_history_status",
  "idx_alert_history_triggered",
  "idx_applications_active",
  "idx_applications_cluster",
  "idx_applications_metadata",
  "idx_audit_logs_action",
  "idx_audit_logs_app",
  "idx_audit_logs_created",
  "idx_audit_logs_entity",
  "idx_audit_logs_request",
  "idx_audit_logs_user",
  "idx_audit_logs_values",
  "idx_bandwidth_metrics_tags",
  "idx_clusters_region",
  "idx_clusters_status",
  "idx_cost_rules_active",
  "idx_cost_rules_app",
  "idx_cost_rules_operation",
  "idx_daily_quota_usage",
  "idx_iops_metrics_tags",
  "idx_metrics_name",
  "idx_metrics_tags",
  "idx_metrics_time",
  "idx_operation_types_active",
  "idx_operation_types_category",
  "idx_quota_configs_active",
  "idx_quota_configs_app",
  "idx_quota_configs_time",
  "idx_quota_history_app",
  "idx_quota_history_changed",
  "idx_quota_history_config",
  "idx_quota_history_user",
  "idx_role_permissions_permission",
  "idx_roles_system",
  "idx_tenants_active",
  "idx_tenants_name",
  "idx_token_borrowing_bucket",
  "idx_token_borrowing_created",
  "idx_token_borrowing_due",
  "idx_token_borrowing_status",
  "idx_token_transactions_created",
  "idx_token_transactions_ref",
  "idx_user_roles_expires",
  "idx_user_roles_role",
  "idx_users_active",
  "idx_users_email",
  "idx_users_username",
];

/** Keys and constraints that do what these did. */
export const indexesReplacedBy: Readonly<Record<string, string>> = {
  idx_applications_api_key: "api_keys_pkey",
  idx_applications_tenant: "app_tenant_name_unique",
  idx_audit_logs_y2024m01_created: "idx_audit_logs_created",
  idx_bandwidth_metrics_app_time: "bandwidth_metrics_pkey",
  idx_bandwidth_quotas_config: "bandwidth_quotas_config_id_key",
  idx_iops_metrics_app_time: "iops_metrics_pkey",
  idx_iops_quotas_config: "iops_quotas_config_id_key",
  idx_metrics_app_time: "metrics_pkey",
  idx_permissions_resource: "permission_resource_action_unique",
  idx_role_permissions_role: "role_permission_unique",
  idx_system_settings_key: "system_settings_key_key",
  idx_token_buckets_app: "token_buckets_pkey",
  idx_token_transactions_bucket: "token_transactions_pkey",
  idx_user_roles_user: "user_role_unique",
  idx_users_tenant: "user_tenant_email_unique",
};

export const indexesLeftOut: Readonly<Record<string, string>> = {
  idx_token_buckets_low_tokens:
    "every decision changes current_tokens: its update would no longer be a HOT one",
  idx_token_buckets_refill:
    "every decision changes last_refill_at: its update would no longer be a HOT one",
  idx_token_buckets_type:
    "buckets are asked for by their owner; the few of one type are found by a scan",
  idx_token_transactions_type:
    "seven types in millions of rows select nothing; a bucket or a span of time always comes with it",
};
