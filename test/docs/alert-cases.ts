/** Samples every 30 seconds in promtool's notation, and what they make of an alert at a moment. */
export interface AlertCase {
  readonly alert: string;
  readonly series: Readonly<Record<string, string>>;
  readonly at: string;
  /** Of the alert that fires, beside its severity; undefined where it does not fire. */
  readonly labels?: Readonly<Record<string, string>>;
}

const worker = 'up{job="storage-qos-worker",instance="a"}';
const api = 'up{job="storage-qos-api",instance="a"}';
const gateway = 'up{job="storage-qos-gateway",instance="a"}';
const databaseUp = { storage_qos_database_up: "1x10000" };

/** It fires by these samples, and not by those. */
function both(
  alert: string,
  at: string,
  labels: Readonly<Record<string, string>>,
  firing: Readonly<Record<string, string>>,
  quiet: Readonly<Record<string, string>>,
): AlertCase[] {
  return [
    { alert, at, labels, series: firing },
    { alert, at, series: quiet },
  ];
}

/** A gauge that is too high for long enough, and one that was so until a moment before. */
function gauge(alert: string, name: string, bad: number, good: number, labels = {}): AlertCase[] {
  return both(alert, "90m", labels, { [name]: `${bad}x200` }, { [name]: `${good}x200` });
}

export const alertCases: readonly AlertCase[] = [
  ...both(
    "StorageQosNoWorker",
    "10m",
    {},
    { [worker]: "0x30" },
    {
      [worker]: "0x30",
      'up{job="storage-qos-worker",instance="b"}': "1x30",
    },
  ),
  // No target at all.
  { alert: "StorageQosNoWorker", at: "10m", labels: {}, series: {} },
  ...gauge("StorageQosDatabaseDown", "storage_qos_database_up", 0, 1),
  ...gauge("StorageQosDatabaseReadOnly", "storage_qos_database_writable", 0, 1),
  ...both("StorageQosMetricsMissing", "30m", {}, databaseUp, {
    ...databaseUp,
    storage_qos_jobs_ready: "0x100",
  }),
  ...both(
    "StorageQosMinuteTaskLate",
    "20m",
    { task: "fold_denials" },
    { 'storage_qos_task_last_success_timestamp_seconds{task="fold_denials"}': "60x100" },
    { 'storage_qos_task_last_success_timestamp_seconds{task="fold_denials"}': "0+30x100" },
  ),
  ...both(
    "StorageQosHourlyTaskLate",
    "3h",
    { task: "make_partitions" },
    { 'storage_qos_task_last_success_timestamp_seconds{task="make_partitions"}': "60x400" },
    { 'storage_qos_task_last_success_timestamp_seconds{task="make_partitions"}': "6000x400" },
  ),
  ...both(
    "StorageQosDailyTaskLate",
    "30h",
    { task: "apply_retention" },
    { 'storage_qos_task_last_success_timestamp_seconds{task="apply_retention"}': "60x4000" },
    { 'storage_qos_task_last_success_timestamp_seconds{task="apply_retention"}': "30000x4000" },
  ),
  ...gauge("StorageQosLedgerGap", "storage_qos_ledger_gaps", 1, 0),
  ...both(
    "StorageQosLedgerNotChecked",
    "2h",
    {},
    {
      storage_qos_ledger_check_age_seconds: "200000x300",
    },
    { storage_qos_ledger_check_age_seconds: "90000x300" },
  ),
  ...both("StorageQosLedgerNeverChecked", "31h", {}, databaseUp, {
    ...databaseUp,
    storage_qos_ledger_check_age_seconds: "_x2000 0+30x8000",
  }),
  ...gauge("StorageQosDebt", 'storage_qos_buckets_in_debt{kind="iops"}', 2, 0, { kind: "iops" }),
  ...gauge("StorageQosUncharged", 'storage_qos_uncharged_operations{reason="owed"}', 3, 0, {
    reason: "owed",
  }),
  ...gauge("StorageQosNotificationQueueFills", "storage_qos_notification_queue_ratio", 0.2, 0.05),
  ...both(
    "StorageQosOldSnapshot",
    "10m",
    {},
    {
      'storage_qos_bucket_rows{state="dead"}': "20000x30",
      'storage_qos_bucket_rows{state="live"}': "900x30",
    },
    // Many buckets have many versions that the next decision prunes.
    {
      'storage_qos_bucket_rows{state="dead"}': "20000x30",
      'storage_qos_bucket_rows{state="live"}': "90000x30",
    },
  ),
  ...gauge("StorageQosJobsWait", "storage_qos_oldest_job_seconds", 700, 500),
  ...gauge("StorageQosJobsGivenUp", "storage_qos_jobs_given_up", 1, 0),
  ...both(
    "StorageQosTaskFails",
    "30m",
    { task: "apply_retention" },
    {
      'storage_qos_task_failures_total{task="apply_retention"}': "0+1x100",
    },
    { 'storage_qos_task_failures_total{task="apply_retention"}': "3x100" },
  ),
  ...both(
    "StorageQosTaskBusy",
    "30m",
    { task: "evaluate_alerts" },
    {
      'storage_qos_tasks_busy_total{task="evaluate_alerts"}': "0+1x100",
    },
    { 'storage_qos_tasks_busy_total{task="evaluate_alerts"}': "0+0.1x100" },
  ),
  ...gauge("StorageQosJobPartsFail", "storage_qos_job_parts_failed", 1, 0),
  ...gauge("StorageQosNotificationsDead", "storage_qos_dead_notifications", 1, 0),
  ...gauge("StorageQosLoginSettings", 'storage_qos_login_settings{login="a"}', 1, 0, {
    login: "a",
  }),
  ...gauge("StorageQosLeaseWaste", "storage_qos_lease_waste_ratio", 0.5, 0.1),
  ...gauge("StorageQosClusterUnhealthy", 'storage_qos_cluster_health{cluster="c"}', 0, 0.5, {
    cluster: "c",
  }),
  ...gauge("StorageQosClusterDegraded", 'storage_qos_cluster_health{cluster="c"}', 0.5, 1, {
    cluster: "c",
  }),
  ...gauge(
    "StorageQosClusterHealthUnknown",
    'storage_qos_clusters_by_health{status="unknown"}',
    1,
    0,
  ),
  ...gauge("StorageQosClustersNotProbed", "storage_qos_cluster_health_age_seconds", 400, 60),

  ...both(
    "StorageQosApiDown",
    "10m",
    {},
    { [api]: "0x30" },
    {
      [api]: "1x30",
    },
  ),
  ...gauge("StorageQosApiDatabaseDown", "storage_qos_api_database_writable", 0, 1),
  ...both(
    "StorageQosApiMetricsMissing",
    "15m",
    {},
    { [api]: "1x40" },
    {
      [api]: "1x40",
      storage_qos_api_database_writable: "1x40",
    },
  ),
  // The very first one, whose series is absent before.
  ...both(
    "StorageQosApiFaults",
    "20m",
    {},
    {
      'storage_qos_api_errors_total{code="QS500"}': "_x30 1x30",
    },
    { 'storage_qos_api_errors_total{code="QS500"}': "1x60" },
  ),
  {
    alert: "StorageQosApiFaults",
    at: "20m",
    labels: {},
    series: {
      'storage_qos_api_errors_total{code="QS500"}': "1x30 2x30",
    },
  },
  ...both(
    "StorageQosApiUnavailable",
    "30m",
    {},
    {
      'storage_qos_api_errors_total{code="QS503"}': "0+1x100",
      'storage_qos_api_requests_total{route="graphql",status="503"}': "0+10x100",
    },
    {
      'storage_qos_api_errors_total{code="QS503"}': "0+1x100",
      'storage_qos_api_requests_total{route="graphql",status="503"}': "0+100x100",
    },
  ),
  ...both(
    "StorageQosApiSlow",
    "40m",
    {},
    slowness("api_request_duration", "0"),
    slowness("api_request_duration", "10"),
  ),
  ...gauge("StorageQosApiWaits", 'storage_qos_api_requests_waiting{instance="a"}', 30, 3, {
    instance: "a",
  }),

  ...both(
    "StorageQosGatewayDown",
    "10m",
    {},
    { [gateway]: "0x30" },
    {
      [gateway]: "1x30",
    },
  ),
  ...gauge("StorageQosGatewayOutage", 'qos_database_up{instance="a"}', 0, 1, { instance: "a" }),
  ...both(
    "StorageQosGatewayMetricsMissing",
    "30m",
    {},
    { [gateway]: "1x100" },
    { [gateway]: "1x100", 'qos_database_up{instance="a"}': "0x100" },
  ),
  ...first("StorageQosGatewayOutagesRepeat", "qos_outages_total", "0+1x60", "1x60"),
  ...first("StorageQosGatewayUncharged", "qos_uncharged_total", "_x30 1x30", "1x60"),
  ...first("StorageQosGatewayErrors", "qos_errors_total", "_x30 20x30", "_x30 2x30"),
  ...both(
    "StorageQosGatewayDenials",
    "40m",
    {},
    {
      'qos_requests_total{decision="denied"}': "0+6x100",
      'qos_requests_total{decision="allowed"}': "0+4x100",
    },
    {
      'qos_requests_total{decision="denied"}': "0+4x100",
      'qos_requests_total{decision="allowed"}': "0+6x100",
    },
  ),
  ...both(
    "StorageQosGatewayUnavailableKeys",
    "20m",
    { instance: "a" },
    {
      'qos_requests_total{reason="store_unavailable",decision="denied",instance="a"}': "0+60x60",
    },
    { 'qos_requests_total{reason="store_unavailable",decision="denied",instance="a"}': "0+6x60" },
  ),
  ...gauge("StorageQosGatewayDebt", 'qos_owed_bytes{instance="a"}', 100, 0, { instance: "a" }),
  ...both(
    "StorageQosGatewaySlow",
    "30m",
    { instance: "a" },
    {
      'qos_decision_seconds_bucket{instance="a",le="0.25"}': "0x100",
      'qos_decision_seconds_bucket{instance="a",le="1"}': "0+10x100",
      'qos_decision_seconds_bucket{instance="a",le="+Inf"}': "0+10x100",
    },
    {
      'qos_decision_seconds_bucket{instance="a",le="0.25"}': "0+10x100",
      'qos_decision_seconds_bucket{instance="a",le="1"}': "0+10x100",
      'qos_decision_seconds_bucket{instance="a",le="+Inf"}': "0+10x100",
    },
  ),
  ...first("StorageQosGatewayForgery", "qos_signature_blocks_total", "_x30 1x30", "1x60"),
];

/** A counter of the gateway that is absent until its first event. */
function first(alert: string, name: string, firing: string, quiet: string): AlertCase[] {
  const series = `${name}{instance="a"}`;
  return both(alert, "18m", { instance: "a" }, { [series]: firing }, { [series]: quiet });
}

function slowness(name: string, fast: string): Record<string, string> {
  const bucket = (le: string) => `storage_qos_${name}_seconds_bucket{route="graphql",le="${le}"}`;
  return {
    [bucket("2.5")]: `0+${fast}x100`,
    [bucket("10")]: "0+10x100",
    [bucket("+Inf")]: "0+10x100",
  };
}
