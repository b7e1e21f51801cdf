/** A text that is one of a few, and where the database has it: table.column, or function(argument). */
export interface TextEnum {
  readonly description: string;
  /** What the database has, and its name where that is not the same in capitals. */
  readonly values: Readonly<Record<string, string | undefined>>;
  readonly at: readonly string[];
}

const same = (...values: readonly string[]): Readonly<Record<string, undefined>> =>
  Object.fromEntries(values.map((value) => [value, undefined]));

const sessionEndReasons = [
  ...["logout", "logout_everywhere", "password_changed", "refresh_token_reused"],
  ...["user_deactivated", "tenant_deactivated", "role_lost", "email_changed"],
  ...["second_factor_changed", "administrator"],
];

export const textEnums: Readonly<Record<string, TextEnum>> = {
  AlertCondition: {
    description: "How a metric is compared with the threshold of an alert.",
    values: {
      ...{ ">": "GREATER_THAN", "<": "LESS_THAN", "=": "EQUAL", "!=": "NOT_EQUAL" },
      ...{ ">=": "GREATER_THAN_OR_EQUAL", "<=": "LESS_THAN_OR_EQUAL" },
    },
    at: ["alert_configs.condition", "preview_alert(condition)"],
  },
  AlertSeverity: {
    description: "How bad what an alert tells is.",
    values: same("info", "warning", "critical"),
    at: ["alert_configs.severity"],
  },
  AlertStatus: {
    description: "How far an alert has come.",
    values: same("triggered", "acknowledged", "resolved"),
    at: ["alert_history.status"],
  },
  AlertEvent: {
    description: "Which change of an alert is told.",
    values: same("triggered", "acknowledged", "resolved"),
    at: ["alert_notifications.event"],
  },
  AlertChannel: {
    description: "By which way an alert is told.",
    values: same("email", "log", "slack", "webhook"),
    at: ["alert_notifications.channel", "alert_destination.channel"],
  },
  NotificationStatus: {
    description: "Whether a notification was delivered; DEAD where it was given up.",
    values: same("pending", "sent", "dead"),
    at: ["alert_notifications.status"],
  },
  AuditStatus: {
    description: "Whether what the audit tells succeeded.",
    values: same("success", "failure"),
    at: ["audit_logs.status"],
  },
  AuditAction: {
    description: "What was done, as the audit tells it.",
    values: same(
      ...["insert", "update", "delete", "export", "retry", "replay", "acknowledge"],
      ...["adjust", "borrow", "repay", "write_off", "set_ceiling"],
      ...["login", "set_password", "enrol_second_factor", "confirm_second_factor"],
      ...["remove_second_factor", "reset_second_factor"],
      ...sessionEndReasons,
    ),
    at: ["audit_logs.action", "search_audit(action)"],
  },
  AuditEntityType: {
    description: "The kind of thing that the audit tells of.",
    values: {
      ...{ alert_configs: "ALERT_CONFIG", alert_history: "ALERT" },
      ...{ alert_notifications: "ALERT_NOTIFICATION", api_keys: "API_KEY" },
      ...{ applications: "APPLICATION", audit: "AUDIT", bandwidth_quotas: "BANDWIDTH_QUOTA" },
      ...{ clusters: "CLUSTER", cost_rules: "COST_RULE", invitations: "INVITATION" },
      ...{ iops_quotas: "IOPS_QUOTA", jobs: "JOB", metrics: "METRIC" },
      ...{ operation_types: "OPERATION_TYPE", quota_configs: "QUOTA" },
      ...{ reservations: "RESERVATION", retention_policies: "RETENTION_POLICY" },
      ...{ role_mappings: "ROLE_MAPPING", role_permissions: "ROLE_PERMISSION", roles: "ROLE" },
      ...{ service_tokens: "SERVICE_TOKEN", suspensions: "SUSPENSION" },
      ...{ system_settings: "SYSTEM_SETTING", tenant_ceilings: "CEILING", tenants: "TENANT" },
      ...{ token_borrowing: "BORROWING", token_buckets: "BUCKET", user_roles: "USER_ROLE" },
      ...{ user_sessions: "USER_SESSION", users: "USER" },
    },
    at: ["audit_logs.entity_type", "search_audit(entity_type)"],
  },
  BucketStatus: {
    description: "DEBT below zero, CRITICAL below a fifth, WARNING below half, else HEALTHY.",
    values: same("debt", "critical", "warning", "healthy"),
    at: ["v_token_bucket_status.status"],
  },
  QuotaKind: {
    description: "What is limited: operations by their tokens, or bandwidth by bytes.",
    values: same("iops", "bandwidth"),
    at: ["ceiling_usage.kind"],
  },
  ClusterHealth: {
    description: "What probes of a cluster say; UNKNOWN without a probe.",
    values: same("healthy", "degraded", "unhealthy", "unknown"),
    at: ["clusters.health_status"],
  },
  ConfigurationAction: {
    description:
      "What is done to a thing: PRUNE ends what a configuration no longer names, ADOPT changes who manages it.",
    values: same("create", "update", "prune", "adopt"),
    at: ["compare_configuration.action", "apply_configuration.action"],
  },
  DenialReason: {
    description:
      "What an operation was denied for: the bucket that was short, or why none can pay.",
    values: same(
      ...["iops_l2", "bandwidth_l2", "iops_l1", "bandwidth_l1", "exceeds_capacity", "no_quota"],
    ),
    at: ["v_denial_counts.reason"],
  },
  UnchargedReason: {
    description: "Which call left something uncharged.",
    values: same("settle", "lease", "owed"),
    at: ["uncharged_counts.reason"],
  },
  ProcessKind: {
    description: "What a process of the registry is.",
    values: same("gateway", "client", "worker", "api"),
    at: ["processes.kind"],
  },
  RetentionAction: {
    description: "How rows that have expired leave.",
    values: same("drop_partitions", "delete_rows", "archive_rows"),
    at: ["retention_policies.action"],
  },
  SessionEndReason: {
    description: "Why a session was ended early.",
    values: same(...sessionEndReasons),
    at: ["user_sessions.revoke_reason"],
  },
  SettingType: {
    description: "What the value of a setting is, which is written as a text.",
    values: same("integer", "numeric", "boolean", "text"),
    at: ["system_settings.value_type"],
  },
  BucketVerdict: {
    description:
      "Whether a bucket could pay; NO_QUOTA where the application is denied without one.",
    values: same("enough", "short", "exceeds_capacity", "no_quota"),
    at: ["why_throttled.verdict"],
  },
};

/** What the API calls a text of the database that is one of an enum. */
export function enumName(name: string, text: string): string {
  return textEnums[name]?.values[text] ?? text.toUpperCase();
}
