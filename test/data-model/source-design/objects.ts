/** What else the source design has: the name there, and what it is now. */
export interface SourceObject {
  /** Relations, functions and constraints, of which each must be there. */
  readonly now: readonly string[];
  readonly because?: string;
}

type SourceObjects = Readonly<Record<string, SourceObject>>;

export const sourceConstraints: SourceObjects = {
  tenant_name_not_empty: { now: ["tenant_name_not_empty"] },
  cluster_status_check: { now: ["cluster_status_check"] },
  app_tenant_name_unique: { now: ["app_tenant_name_unique"] },
  app_name_not_empty: { now: ["app_name_not_empty"] },
  quota_time_overlap_check: { now: ["quota_time_overlap_check"] },
  token_bucket_app_type_unique: {
    now: ["token_buckets_pkey"],
    because: "owner, type and mode are the key",
  },
  borrowing_due_after_borrowed: { now: ["borrowing_due_after_borrowed"] },
  cost_rule_app_operation_unique: {
    now: ["cost_rule_overlap_check"],
    because: "rules that overlap would give two answers to one question",
  },
  user_email_format: { now: ["user_email_format"] },
  permission_resource_action_unique: { now: ["permission_resource_action_unique"] },
  user_role_unique: { now: ["user_role_unique"] },
  role_permission_unique: { now: ["role_permission_unique"] },
  user_tenant_email_unique: {
    now: ["user_tenant_email_unique"],
    because: "a unique index, because it ignores the case",
  },
};

/** With the columns that the source design gives them. */
export const sourceViews: Readonly<Record<string, readonly string[]>> = {
  v_active_quotas: [
    ...["app_id", "app_name", "tenant_name", "config_id", "iops_limit", "iops_burst"],
    ...["bandwidth_limit_bps", "bandwidth_burst_bps"],
  ],
  v_token_bucket_status: [
    ...["bucket_id", "app_name", "bucket_type", "capacity", "current_tokens", "refill_rate"],
    ...["fill_percentage", "status"],
  ],
  v_metrics_summary_24h: [
    ...["app_id", "app_name", "avg_iops", "peak_iops", "avg_bandwidth_bytes"],
    ...["peak_bandwidth_bytes", "iops_sample_count", "bandwidth_sample_count"],
  ],
  mv_daily_quota_usage: [
    ...["date", "app_id", "app_name", "bucket_type", "tokens_consumed", "tokens_refunded"],
    "transaction_count",
  ],
  metrics_hourly: [
    ...["bucket", "app_id", "metric_name", "avg_value", "min_value", "max_value"],
    ...["median_value", "sample_count"],
  ],
  metrics_daily: [
    ...["bucket", "app_id", "metric_name", "avg_value", "min_value", "max_value"],
    ...["p95_value", "p99_value", "sample_count"],
  ],
};

export const sourceFunctions: SourceObjects = {
  update_updated_at_column: { now: ["rate_limiter_internal.set_updated_at"] },
  refill_tokens: {
    now: ["rate_limiter_internal.refill"],
    because: "part of the decision: as a trigger it throws the consumption away",
  },
  cleanup_old_token_transactions: {
    now: ["rate_limiter_private.drop_partition"],
    because: "whole partitions go, without bloat and locks",
  },
  cleanup_old_borrowings: { now: ["rate_limiter_private.expire_rows"] },
  archive_old_quota_versions: { now: ["rate_limiter_private.expire_rows"] },
};

export const sourceQueries: SourceObjects = {
  "Rate Limiting Check (Hot Path)": {
    now: ["rate_limiter.consume", "rate_limiter.check_limit", "rate_limiter.consume_batch"],
  },
  "Calculate Operation Cost": { now: ["rate_limiter.cost"] },
  "Borrow Tokens": {
    now: ["rate_limiter_admin.borrow_tokens", "rate_limiter.borrow_automatically"],
  },
  "Metrics Ingestion": {
    now: [
      "rate_limiter.record_metrics",
      "rate_limiter.record_iops_metrics",
      "rate_limiter.record_bandwidth_metrics",
    ],
  },
  "Quota Configuration Lookup": {
    now: ["rate_limiter.limits_in_force", "rate_limiter.v_active_quotas"],
  },
  "Historical Metrics Query": {
    now: ["rate_limiter.metrics", "rate_limiter.metrics_hourly", "rate_limiter.metrics_daily"],
  },
  "Alert Check Query": { now: ["rate_limiter_private.evaluate_alerts"] },
  "Audit Log Query": { now: ["rate_limiter_admin.search_audit"] },
  "Token Usage Analytics": {
    now: [
      "rate_limiter_admin.usage_over_time",
      "rate_limiter_admin.top_consumers",
      "rate_limiter.v_daily_quota_usage",
    ],
  },
  "Borrowing Repayment Check": { now: ["rate_limiter_private.collect_borrowings"] },
  "RBAC Permission Check": { now: ["rate_limiter_internal.has_permission"] },
  "Low Token Alert Query": { now: ["rate_limiter.v_token_bucket_status"] },
};

export const sourceMonitoring: SourceObjects = {
  "Table size monitoring": { now: ["rate_limiter.v_table_sizes"] },
  "Index usage statistics": { now: ["rate_limiter.v_index_usage"] },
  "Slow query log": { now: ["rate_limiter.v_slow_queries"] },
  "Check oldest data in each time-series table": { now: ["rate_limiter.v_oldest_rows"] },
};

/** Rows of the retention table: type of data, and for how many days at least. */
export const sourceRetention: Readonly<Record<string, { now: string; days: number }>> = {
  "Raw Metrics": { now: "raw_metrics", days: 90 },
  "Hourly Aggregates": { now: "hourly_aggregates", days: 365 },
  "Daily Aggregates": { now: "daily_aggregates", days: 1825 },
  "Token Transactions": { now: "token_transactions", days: 365 },
  "Audit Logs": { now: "audit_logs", days: 365 },
  "Alert History": { now: "alert_history", days: 730 },
  "Quota Version History": { now: "quota_version_history", days: 1825 },
  "Token Borrowing": { now: "token_borrowing", days: 365 },
  "User Sessions": { now: "user_sessions", days: 90 },
};
