/** The default rows of the source design, each as text: its columns, then the rows. */
export interface SourceRows {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export const sourceRows: Readonly<Record<string, SourceRows>> = {
  operation_types: {
    columns: ["name", "category", "c_base", "unit_quantum", "c_bw", "description"],
    rows: [
      ["read_small", "read", "1.0", "4096", "0.0001", "Small read operations (<= 4KB)"],
      ["read_medium", "read", "2.0", "65536", "0.0001", "Medium read operations (<= 64KB)"],
      ["read_large", "read", "5.0", "1048576", "0.0001", "Large read operations (<= 1MB)"],
      ["write_small", "write", "2.0", "4096", "0.0002", "Small write operations (<= 4KB)"],
      ["write_medium", "write", "4.0", "65536", "0.0002", "Medium write operations (<= 64KB)"],
      ["write_large", "write", "10.0", "1048576", "0.0002", "Large write operations (<= 1MB)"],
      ["list", "metadata", "3.0", "1", "0", "List objects operation"],
      ["head", "metadata", "1.0", "1", "0", "Head object operation"],
      ["delete", "metadata", "5.0", "1", "0", "Delete object operation"],
    ],
  },
  roles: {
    columns: ["name", "description", "is_system"],
    rows: [
      ["system_admin", "Full system access", "true"],
      ["tenant_admin", "Full tenant management", "true"],
      ["app_admin", "Application management within tenant", "true"],
      ["app_viewer", "Read-only access to applications", "true"],
      ["ops_admin", "Operational monitoring and alerts", "true"],
      ["auditor", "Read-only access to logs and metrics", "true"],
    ],
  },
  permissions: {
    columns: ["resource", "action", "description"],
    rows: [
      ["tenant", "create", "Create new tenant"],
      ["tenant", "read", "View tenant details"],
      ["tenant", "update", "Update tenant information"],
      ["tenant", "delete", "Delete tenant"],
      ["application", "create", "Create new application"],
      ["application", "read", "View application details"],
      ["application", "update", "Update application configuration"],
      ["application", "delete", "Delete application"],
      ["quota", "create", "Create quota configuration"],
      ["quota", "read", "View quota configuration"],
      ["quota", "update", "Update quota configuration"],
      ["quota", "delete", "Delete quota configuration"],
      ["metrics", "read", "View metrics and analytics"],
      ["metrics", "export", "Export metrics data"],
      ["token", "borrow", "Borrow tokens"],
      ["token", "adjust", "Manually adjust token buckets"],
      ["system", "configure", "Configure system settings"],
      ["system", "monitor", "View system health"],
      ["audit", "read", "View audit logs"],
      ["audit", "export", "Export audit logs"],
    ],
  },
  system_settings: {
    columns: ["key", "value", "description"],
    rows: [
      ["default_burst_duration", "60", "Default burst duration in seconds"],
      ["max_borrow_ratio", "1.5", "Maximum ratio of tokens that can be borrowed"],
      ["default_interest_rate", "0.1", "Default interest rate for token borrowing"],
      ["max_borrow_duration", "3600", "Maximum borrowing duration in seconds"],
      ["metric_retention_days", "90", "Default retention period for metrics"],
      ["audit_log_retention_days", "365", "Default retention period for audit logs"],
      ["token_cleanup_interval", "300", "Token bucket cleanup interval in seconds"],
    ],
  },
};
