/**
 * The tables of the source design, column by column. Those of `same` are called the same in
 * `relation`; the others say where they live now, and why there.
 */
export interface SourceTable {
  readonly relation: string;
  readonly same: readonly string[];
  readonly moved?: Readonly<Record<string, Moved>>;
}

export interface Moved {
  readonly to: string;
  readonly because: string;
}

export const sourceTables: Readonly<Record<string, SourceTable>> = {
  tenants: {
    relation: "rate_limiter.tenants",
    same: ["tenant_id", "name", "description", "is_active", "created_at", "updated_at"],
  },
  clusters: {
    relation: "rate_limiter.clusters",
    same: [
      "cluster_id",
      "name",
      "region",
      "endpoint",
      "max_capacity",
      "health_status",
      "health_check_url",
      "created_at",
      "updated_at",
    ],
  },
  applications: {
    relation: "rate_limiter.applications",
    same: [
      "app_id",
      "tenant_id",
      "cluster_id",
      "name",
      "metadata",
      "is_active",
      "created_at",
      "updated_at",
    ],
    moved: {
      api_key: {
        to: "rate_limiter_private.api_keys.prefix",
        because: "a key is shown once; its first characters tell it apart",
      },
      api_key_hash: {
        to: "rate_limiter_private.api_keys.key_hash",
        because: "an application has several keys while they are rotated",
      },
    },
  },
  quota_configs: {
    relation: "rate_limiter.quota_configs",
    same: ["config_id", "app_id", "valid_from", "valid_to", "is_active", "created_at"],
  },
  iops_quotas: {
    relation: "rate_limiter.iops_quotas",
    same: [
      "quota_id",
      "config_id",
      "iops_limit",
      "iops_burst",
      "burst_duration_seconds",
      "refill_rate",
      "calculation_method",
      "min_reserve",
    ],
  },
  bandwidth_quotas: {
    relation: "rate_limiter.bandwidth_quotas",
    same: [
      "quota_id",
      "config_id",
      "bandwidth_limit_bps",
      "bandwidth_burst_bps",
      "burst_duration_seconds",
      "refill_rate_bps",
    ],
  },
  token_buckets: {
    relation: "rate_limiter.token_buckets",
    same: [
      "bucket_id",
      "bucket_type",
      "capacity",
      "current_tokens",
      "refill_rate",
      "last_refill_at",
      "created_at",
      "updated_at",
    ],
    moved: {
      app_id: {
        to: "rate_limiter.token_buckets.owner_id",
        because: "the buckets of layer 1 belong to a cluster",
      },
    },
  },
  token_transactions: {
    relation: "rate_limiter.token_transactions",
    same: [
      "tokens_change",
      "transaction_type",
      "balance_after",
      "reference_id",
      "metadata",
      "created_at",
    ],
    moved: {
      transaction_id: {
        to: "rate_limiter.token_transactions.seq",
        because: "rows are numbered within their bucket, without a gap",
      },
      bucket_id: {
        to: "rate_limiter.token_transactions.owner_id",
        because: "its bucket is named by owner, type and mode",
      },
    },
  },
  token_borrowing: {
    relation: "rate_limiter.token_borrowing",
    same: [
      "borrowing_id",
      "tokens_borrowed",
      "repayment_tokens",
      "interest_rate",
      "borrowed_at",
      "due_at",
      "repaid_at",
      "status",
      "metadata",
    ],
    moved: {
      bucket_id: {
        to: "rate_limiter.token_borrowing.owner_id",
        because: "its bucket is named by owner, type and mode",
      },
      from_bucket_id: {
        to: "rate_limiter.token_borrowing.lender_owner_id",
        because: "its bucket is named by owner, type and mode",
      },
    },
  },
  operation_types: {
    relation: "rate_limiter.operation_types",
    same: [
      "operation_id",
      "name",
      "category",
      "c_base",
      "unit_quantum",
      "c_bw",
      "is_active",
      "description",
      "created_at",
      "updated_at",
    ],
  },
  cost_rules: {
    relation: "rate_limiter.cost_rules",
    same: [
      "rule_id",
      "operation_id",
      "app_id",
      "c_base_override",
      "c_bw_override",
      "valid_from",
      "valid_to",
      "is_active",
    ],
  },
  quota_version_history: {
    relation: "rate_limiter_audit.quota_version_history",
    same: [
      "version_id",
      "config_id",
      "app_id",
      "old_config",
      "new_config",
      "change_reason",
      "changed_by",
      "changed_at",
    ],
  },
  metrics: {
    relation: "rate_limiter.metrics",
    same: ["metric_id", "app_id", "timestamp", "metric_name", "value", "tags", "unit"],
  },
  iops_metrics: {
    relation: "rate_limiter.iops_metrics",
    same: [
      "metric_id",
      "app_id",
      "timestamp",
      "read_ops",
      "write_ops",
      "total_ops",
      "avg_latency_ms",
      "error_count",
      "tags",
    ],
  },
  bandwidth_metrics: {
    relation: "rate_limiter.bandwidth_metrics",
    same: [
      "metric_id",
      "app_id",
      "timestamp",
      "bytes_read",
      "bytes_written",
      "total_bytes",
      "avg_throughput_mbps",
      "peak_throughput_mbps",
      "connection_count",
      "tags",
    ],
  },
  audit_logs: {
    relation: "rate_limiter_audit.audit_logs",
    same: [
      "log_id",
      "app_id",
      "user_id",
      "action",
      "entity_type",
      "entity_id",
      "old_values",
      "new_values",
      "ip_address",
      "user_agent",
      "request_id",
      "status",
      "error_message",
      "created_at",
    ],
  },
  users: {
    relation: "rate_limiter.users",
    same: [
      "user_id",
      "tenant_id",
      "username",
      "email",
      "is_active",
      "last_login_at",
      "login_count",
      "created_at",
      "updated_at",
    ],
    moved: {
      password_hash: {
        to: "rate_limiter_private.user_secrets.password_hash",
        because: "no grant on users can ever show it",
      },
    },
  },
  roles: {
    relation: "rate_limiter.roles",
    same: ["role_id", "name", "description", "is_system", "created_at", "updated_at"],
  },
  permissions: {
    relation: "rate_limiter.permissions",
    same: ["permission_id", "resource", "action", "description"],
  },
  user_roles: {
    relation: "rate_limiter.user_roles",
    same: ["user_role_id", "user_id", "role_id", "assigned_at", "assigned_by", "expires_at"],
  },
  role_permissions: {
    relation: "rate_limiter.role_permissions",
    same: ["role_permission_id", "role_id", "permission_id", "granted_at", "granted_by"],
  },
  alert_configs: {
    relation: "rate_limiter.alert_configs",
    same: [
      "alert_id",
      "app_id",
      "metric_name",
      "condition",
      "threshold_value",
      "duration_seconds",
      "severity",
      "is_active",
      "notification_config",
      "cooldown_seconds",
      "created_at",
      "updated_at",
    ],
  },
  alert_history: {
    relation: "rate_limiter.alert_history",
    same: [
      "history_id",
      "alert_id",
      "app_id",
      "status",
      "actual_value",
      "threshold_value",
      "triggered_at",
      "resolved_at",
      "acknowledged_at",
      "acknowledged_by",
      "notification_sent",
      "description",
    ],
  },
  system_settings: {
    relation: "rate_limiter.system_settings",
    same: ["setting_id", "key", "value", "description", "is_sensitive", "updated_at", "updated_by"],
  },
};
