// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** A filter to be used against `ActiveQuota` object types. All fields are combined with a logical ‘and.’ */
export type ActiveQuotaFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<ActiveQuotaFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `appName` field. */
  appName?: StringFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `bandwidthBurstBps` field. */
  bandwidthBurstBps?: BigIntFilter | null | undefined;
  /** Filter by the object’s `bandwidthLimitBps` field. */
  bandwidthLimitBps?: BigIntFilter | null | undefined;
  /** Filter by the object’s `configId` field. */
  configId?: UuidFilter | null | undefined;
  /** Filter by the object’s `iopsBurst` field. */
  iopsBurst?: IntFilter | null | undefined;
  /** Filter by the object’s `iopsLimit` field. */
  iopsLimit?: IntFilter | null | undefined;
  /** Filter by the object’s `isDefault` field. */
  isDefault?: BooleanFilter | null | undefined;
  /** Filter by the object’s `mode` field. */
  mode?: QuotaModeFilter | null | undefined;
  /** Negates the expression. */
  not?: ActiveQuotaFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<ActiveQuotaFilter> | null | undefined;
  /** Filter by the object’s `tenantName` field. */
  tenantName?: StringFilter | null | undefined;
  /** Filter by the object’s `validFrom` field. */
  validFrom?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `validTo` field. */
  validTo?: DatetimeFilter | null | undefined;
};

/** A filter to be used against `AlertConfig` object types. All fields are combined with a logical ‘and.’ */
export type AlertConfigFilter = {
  /** Filter by the object’s `alertId` field. */
  alertId?: UuidFilter | null | undefined;
  /** Filter by the object’s `alertNotifications` relation. */
  alertNotifications?: AlertConfigToManyAlertNotificationFilter | null | undefined;
  /** Some related `alertNotifications` exist. */
  alertNotificationsExist?: boolean | null | undefined;
  /** Filter by the object’s `alerts` relation. */
  alerts?: AlertConfigToManyAlertFilter | null | undefined;
  /** Some related `alerts` exist. */
  alertsExist?: boolean | null | undefined;
  /** Checks for all expressions in this list. */
  and?: Array<AlertConfigFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** A related `application` exists. */
  applicationExists?: boolean | null | undefined;
  /** Filter by the object’s `metricName` field. */
  metricName?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: AlertConfigFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<AlertConfigFilter> | null | undefined;
};

/** An input for mutations affecting `AlertConfig` */
export type AlertConfigInput = {
  /** The application watched; null for every application of a tenant that has default alerts. */
  appId?: string | null | undefined;
  /** How a sample is compared with the threshold: >, <, >=, <=, = or !=. */
  condition: string;
  /** How long after one trigger the next is held back. */
  cooldownSeconds?: number | null | undefined;
  /** How long every sample must meet the condition before the alert is triggered; of a count of the system (qos_…) whole minutes, rounded up. */
  durationSeconds: number;
  /** The metric watched. */
  metricName: string;
  /** Where to send notifications. May hold secrets of webhooks: never audited. */
  notificationConfig: unknown;
  /** info, warning or critical. */
  severity: string;
  /** The threshold. */
  thresholdValue: number;
};

/** Represents an update to a `AlertConfig`. Fields that are set will be updated. */
export type AlertConfigPatch = {
  /** How a sample is compared with the threshold: >, <, >=, <=, = or !=. */
  condition?: string | null | undefined;
  /** How long after one trigger the next is held back. */
  cooldownSeconds?: number | null | undefined;
  /** How long every sample must meet the condition before the alert is triggered; of a count of the system (qos_…) whole minutes, rounded up. */
  durationSeconds?: number | null | undefined;
  /** Whether it is watched for. */
  isActive?: boolean | null | undefined;
  /** The metric watched. */
  metricName?: string | null | undefined;
  /** Where to send notifications. May hold secrets of webhooks: never audited. */
  notificationConfig?: unknown;
  /** info, warning or critical. */
  severity?: string | null | undefined;
  /** The threshold. */
  thresholdValue?: number | null | undefined;
};

/** A filter to be used against many `Alert` object types. All fields are combined with a logical ‘and.’ */
export type AlertConfigToManyAlertFilter = {
  /** Every related `Alert` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: AlertFilter | null | undefined;
  /** No related `Alert` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: AlertFilter | null | undefined;
  /** Some related `Alert` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: AlertFilter | null | undefined;
};

/** A filter to be used against many `AlertNotification` object types. All fields are combined with a logical ‘and.’ */
export type AlertConfigToManyAlertNotificationFilter = {
  /** Every related `AlertNotification` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: AlertNotificationFilter | null | undefined;
  /** No related `AlertNotification` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: AlertNotificationFilter | null | undefined;
  /** Some related `AlertNotification` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: AlertNotificationFilter | null | undefined;
};

/** A filter to be used against `Alert` object types. All fields are combined with a logical ‘and.’ */
export type AlertFilter = {
  /** Filter by the object’s `acknowledgedAt` field. */
  acknowledgedAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `acknowledgedBy` field. */
  acknowledgedBy?: UuidFilter | null | undefined;
  /** Filter by the object’s `actualValue` field. */
  actualValue?: FloatFilter | null | undefined;
  /** Filter by the object’s `alertConfig` relation. */
  alertConfig?: AlertConfigFilter | null | undefined;
  /** Filter by the object’s `alertId` field. */
  alertId?: UuidFilter | null | undefined;
  /** Checks for all expressions in this list. */
  and?: Array<AlertFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `description` field. */
  description?: StringFilter | null | undefined;
  /** Filter by the object’s `historyId` field. */
  historyId?: UuidFilter | null | undefined;
  /** Negates the expression. */
  not?: AlertFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<AlertFilter> | null | undefined;
  /** Filter by the object’s `resolvedAt` field. */
  resolvedAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `status` field. */
  status?: StringFilter | null | undefined;
  /** Filter by the object’s `thresholdValue` field. */
  thresholdValue?: FloatFilter | null | undefined;
  /** Filter by the object’s `triggeredAt` field. */
  triggeredAt?: DatetimeFilter | null | undefined;
};

/** A filter to be used against `AlertNotification` object types. All fields are combined with a logical ‘and.’ */
export type AlertNotificationFilter = {
  /** Filter by the object’s `alertConfig` relation. */
  alertConfig?: AlertConfigFilter | null | undefined;
  /** Filter by the object’s `alertId` field. */
  alertId?: UuidFilter | null | undefined;
  /** Checks for all expressions in this list. */
  and?: Array<AlertNotificationFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `channelNumber` field. */
  channelNumber?: IntFilter | null | undefined;
  /** Filter by the object’s `createdAt` field. */
  createdAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `event` field. */
  event?: StringFilter | null | undefined;
  /** Filter by the object’s `historyId` field. */
  historyId?: UuidFilter | null | undefined;
  /** Negates the expression. */
  not?: AlertNotificationFilter | null | undefined;
  /** Filter by the object’s `notificationId` field. */
  notificationId?: UuidFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<AlertNotificationFilter> | null | undefined;
  /** Filter by the object’s `status` field. */
  status?: StringFilter | null | undefined;
};

/** A filter to be used against `ApiKey` object types. All fields are combined with a logical ‘and.’ */
export type ApiKeyFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<ApiKeyFilter> | null | undefined;
  /** Filter by the object’s `apiKeyId` field. */
  apiKeyId?: UuidFilter | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** A related `application` exists. */
  applicationExists?: boolean | null | undefined;
  /** Filter by the object’s `createdAt` field. */
  createdAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `createdBy` field. */
  createdBy?: UuidFilter | null | undefined;
  /** Filter by the object’s `expiresAt` field. */
  expiresAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `isRegistered` field. */
  isRegistered?: BooleanFilter | null | undefined;
  /** Filter by the object’s `name` field. */
  name?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: ApiKeyFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<ApiKeyFilter> | null | undefined;
  /** Filter by the object’s `prefix` field. */
  prefix?: StringFilter | null | undefined;
  /** Filter by the object’s `revokedAt` field. */
  revokedAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `revokedBy` field. */
  revokedBy?: UuidFilter | null | undefined;
  /** Filter by the object’s `suspendedUntil` field. */
  suspendedUntil?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `suspensions` relation. */
  suspensions?: ApiKeyToManySuspensionFilter | null | undefined;
  /** Some related `suspensions` exist. */
  suspensionsExist?: boolean | null | undefined;
};

/** A filter to be used against many `Suspension` object types. All fields are combined with a logical ‘and.’ */
export type ApiKeyToManySuspensionFilter = {
  /** Every related `Suspension` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: SuspensionFilter | null | undefined;
  /** No related `Suspension` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: SuspensionFilter | null | undefined;
  /** Some related `Suspension` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: SuspensionFilter | null | undefined;
};

/** A filter to be used against `Application` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationFilter = {
  /** Filter by the object’s `activeQuotas` relation. */
  activeQuotas?: ApplicationToManyActiveQuotaFilter | null | undefined;
  /** Some related `activeQuotas` exist. */
  activeQuotasExist?: boolean | null | undefined;
  /** Filter by the object’s `alertConfigs` relation. */
  alertConfigs?: ApplicationToManyAlertConfigFilter | null | undefined;
  /** Some related `alertConfigs` exist. */
  alertConfigsExist?: boolean | null | undefined;
  /** Filter by the object’s `alertNotifications` relation. */
  alertNotifications?: ApplicationToManyAlertNotificationFilter | null | undefined;
  /** Some related `alertNotifications` exist. */
  alertNotificationsExist?: boolean | null | undefined;
  /** Filter by the object’s `alerts` relation. */
  alerts?: ApplicationToManyAlertFilter | null | undefined;
  /** Some related `alerts` exist. */
  alertsExist?: boolean | null | undefined;
  /** Checks for all expressions in this list. */
  and?: Array<ApplicationFilter> | null | undefined;
  /** Filter by the object’s `apiKeys` relation. */
  apiKeys?: ApplicationToManyApiKeyFilter | null | undefined;
  /** Some related `apiKeys` exist. */
  apiKeysExist?: boolean | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `bandwidthMetrics` relation. */
  bandwidthMetrics?: ApplicationToManyBandwidthMetricFilter | null | undefined;
  /** Some related `bandwidthMetrics` exist. */
  bandwidthMetricsExist?: boolean | null | undefined;
  /** Filter by the object’s `borrowings` relation. */
  borrowings?: ApplicationToManyBorrowingFilter | null | undefined;
  /** Some related `borrowings` exist. */
  borrowingsExist?: boolean | null | undefined;
  /** Filter by the object’s `buckets` relation. */
  buckets?: ApplicationToManyBucketFilter | null | undefined;
  /** Some related `buckets` exist. */
  bucketsExist?: boolean | null | undefined;
  /** Filter by the object’s `charges` relation. */
  charges?: ApplicationToManyChargeFilter | null | undefined;
  /** Some related `charges` exist. */
  chargesExist?: boolean | null | undefined;
  /** Filter by the object’s `cluster` relation. */
  cluster?: ClusterFilter | null | undefined;
  /** A related `cluster` exists. */
  clusterExists?: boolean | null | undefined;
  /** Filter by the object’s `clusterId` field. */
  clusterId?: UuidFilter | null | undefined;
  /** Filter by the object’s `costRules` relation. */
  costRules?: ApplicationToManyCostRuleFilter | null | undefined;
  /** Some related `costRules` exist. */
  costRulesExist?: boolean | null | undefined;
  /** Filter by the object’s `dailyMetrics` relation. */
  dailyMetrics?: ApplicationToManyDailyMetricFilter | null | undefined;
  /** Some related `dailyMetrics` exist. */
  dailyMetricsExist?: boolean | null | undefined;
  /** Filter by the object’s `dailyQuotaUsages` relation. */
  dailyQuotaUsages?: ApplicationToManyDailyQuotaUsageFilter | null | undefined;
  /** Some related `dailyQuotaUsages` exist. */
  dailyQuotaUsagesExist?: boolean | null | undefined;
  /** Filter by the object’s `hourlyMetrics` relation. */
  hourlyMetrics?: ApplicationToManyHourlyMetricFilter | null | undefined;
  /** Some related `hourlyMetrics` exist. */
  hourlyMetricsExist?: boolean | null | undefined;
  /** Filter by the object’s `iopsMetrics` relation. */
  iopsMetrics?: ApplicationToManyIopsMetricFilter | null | undefined;
  /** Some related `iopsMetrics` exist. */
  iopsMetricsExist?: boolean | null | undefined;
  /** Filter by the object’s `lateCharges` relation. */
  lateCharges?: ApplicationToManyLateChargeFilter | null | undefined;
  /** Some related `lateCharges` exist. */
  lateChargesExist?: boolean | null | undefined;
  /** Filter by the object’s `leases` relation. */
  leases?: ApplicationToManyLeaseFilter | null | undefined;
  /** Some related `leases` exist. */
  leasesExist?: boolean | null | undefined;
  /** Filter by the object’s `ledger` relation. */
  ledger?: ApplicationToManyLedgerEntryFilter | null | undefined;
  /** Some related `ledger` exist. */
  ledgerExist?: boolean | null | undefined;
  /** Filter by the object’s `metrics` relation. */
  metrics?: ApplicationToManyMetricFilter | null | undefined;
  /** Some related `metrics` exist. */
  metricsExist?: boolean | null | undefined;
  /** Filter by the object’s `metricsSummary` relation. */
  metricsSummary?: MetricsSummaryFilter | null | undefined;
  /** A related `metricsSummary` exists. */
  metricsSummaryExists?: boolean | null | undefined;
  /** Filter by the object’s `name` field. */
  name?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: ApplicationFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<ApplicationFilter> | null | undefined;
  /** Filter by the object’s `quotas` relation. */
  quotas?: ApplicationToManyQuotaFilter | null | undefined;
  /** Some related `quotas` exist. */
  quotasExist?: boolean | null | undefined;
  /** Filter by the object’s `reservation` relation. */
  reservation?: ReservationFilter | null | undefined;
  /** Filter by the object’s `reservationChanges` relation. */
  reservationChanges?: ApplicationToManyReservationChangeFilter | null | undefined;
  /** Some related `reservationChanges` exist. */
  reservationChangesExist?: boolean | null | undefined;
  /** A related `reservation` exists. */
  reservationExists?: boolean | null | undefined;
  /** Filter by the object’s `suspensions` relation. */
  suspensions?: ApplicationToManySuspensionFilter | null | undefined;
  /** Some related `suspensions` exist. */
  suspensionsExist?: boolean | null | undefined;
  /** Filter by the object’s `tenant` relation. */
  tenant?: TenantFilter | null | undefined;
  /** Filter by the object’s `tenantId` field. */
  tenantId?: UuidFilter | null | undefined;
  /** Filter by the object’s `unchargedCounts` relation. */
  unchargedCounts?: ApplicationToManyUnchargedCountFilter | null | undefined;
  /** Some related `unchargedCounts` exist. */
  unchargedCountsExist?: boolean | null | undefined;
};

/** A filter to be used against many `ActiveQuota` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyActiveQuotaFilter = {
  /** Every related `ActiveQuota` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: ActiveQuotaFilter | null | undefined;
  /** No related `ActiveQuota` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: ActiveQuotaFilter | null | undefined;
  /** Some related `ActiveQuota` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: ActiveQuotaFilter | null | undefined;
};

/** A filter to be used against many `AlertConfig` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyAlertConfigFilter = {
  /** Every related `AlertConfig` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: AlertConfigFilter | null | undefined;
  /** No related `AlertConfig` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: AlertConfigFilter | null | undefined;
  /** Some related `AlertConfig` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: AlertConfigFilter | null | undefined;
};

/** A filter to be used against many `Alert` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyAlertFilter = {
  /** Every related `Alert` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: AlertFilter | null | undefined;
  /** No related `Alert` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: AlertFilter | null | undefined;
  /** Some related `Alert` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: AlertFilter | null | undefined;
};

/** A filter to be used against many `AlertNotification` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyAlertNotificationFilter = {
  /** Every related `AlertNotification` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: AlertNotificationFilter | null | undefined;
  /** No related `AlertNotification` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: AlertNotificationFilter | null | undefined;
  /** Some related `AlertNotification` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: AlertNotificationFilter | null | undefined;
};

/** A filter to be used against many `ApiKey` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyApiKeyFilter = {
  /** Every related `ApiKey` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: ApiKeyFilter | null | undefined;
  /** No related `ApiKey` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: ApiKeyFilter | null | undefined;
  /** Some related `ApiKey` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: ApiKeyFilter | null | undefined;
};

/** A filter to be used against many `BandwidthMetric` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyBandwidthMetricFilter = {
  /** Every related `BandwidthMetric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: BandwidthMetricFilter | null | undefined;
  /** No related `BandwidthMetric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: BandwidthMetricFilter | null | undefined;
  /** Some related `BandwidthMetric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: BandwidthMetricFilter | null | undefined;
};

/** A filter to be used against many `Borrowing` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyBorrowingFilter = {
  /** Every related `Borrowing` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: BorrowingFilter | null | undefined;
  /** No related `Borrowing` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: BorrowingFilter | null | undefined;
  /** Some related `Borrowing` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: BorrowingFilter | null | undefined;
};

/** A filter to be used against many `Bucket` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyBucketFilter = {
  /** Every related `Bucket` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: BucketFilter | null | undefined;
  /** No related `Bucket` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: BucketFilter | null | undefined;
  /** Some related `Bucket` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: BucketFilter | null | undefined;
};

/** A filter to be used against many `Charge` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyChargeFilter = {
  /** Every related `Charge` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: ChargeFilter | null | undefined;
  /** No related `Charge` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: ChargeFilter | null | undefined;
  /** Some related `Charge` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: ChargeFilter | null | undefined;
};

/** A filter to be used against many `CostRule` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyCostRuleFilter = {
  /** Every related `CostRule` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: CostRuleFilter | null | undefined;
  /** No related `CostRule` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: CostRuleFilter | null | undefined;
  /** Some related `CostRule` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: CostRuleFilter | null | undefined;
};

/** A filter to be used against many `DailyMetric` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyDailyMetricFilter = {
  /** Every related `DailyMetric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: DailyMetricFilter | null | undefined;
  /** No related `DailyMetric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: DailyMetricFilter | null | undefined;
  /** Some related `DailyMetric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: DailyMetricFilter | null | undefined;
};

/** A filter to be used against many `DailyQuotaUsage` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyDailyQuotaUsageFilter = {
  /** Every related `DailyQuotaUsage` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: DailyQuotaUsageFilter | null | undefined;
  /** No related `DailyQuotaUsage` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: DailyQuotaUsageFilter | null | undefined;
  /** Some related `DailyQuotaUsage` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: DailyQuotaUsageFilter | null | undefined;
};

/** A filter to be used against many `HourlyMetric` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyHourlyMetricFilter = {
  /** Every related `HourlyMetric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: HourlyMetricFilter | null | undefined;
  /** No related `HourlyMetric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: HourlyMetricFilter | null | undefined;
  /** Some related `HourlyMetric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: HourlyMetricFilter | null | undefined;
};

/** A filter to be used against many `IopsMetric` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyIopsMetricFilter = {
  /** Every related `IopsMetric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: IopsMetricFilter | null | undefined;
  /** No related `IopsMetric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: IopsMetricFilter | null | undefined;
  /** Some related `IopsMetric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: IopsMetricFilter | null | undefined;
};

/** A filter to be used against many `LateCharge` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyLateChargeFilter = {
  /** Every related `LateCharge` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: LateChargeFilter | null | undefined;
  /** No related `LateCharge` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: LateChargeFilter | null | undefined;
  /** Some related `LateCharge` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: LateChargeFilter | null | undefined;
};

/** A filter to be used against many `Lease` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyLeaseFilter = {
  /** Every related `Lease` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: LeaseFilter | null | undefined;
  /** No related `Lease` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: LeaseFilter | null | undefined;
  /** Some related `Lease` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: LeaseFilter | null | undefined;
};

/** A filter to be used against many `LedgerEntry` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyLedgerEntryFilter = {
  /** Every related `LedgerEntry` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: LedgerEntryFilter | null | undefined;
  /** No related `LedgerEntry` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: LedgerEntryFilter | null | undefined;
  /** Some related `LedgerEntry` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: LedgerEntryFilter | null | undefined;
};

/** A filter to be used against many `Metric` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyMetricFilter = {
  /** Every related `Metric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: MetricFilter | null | undefined;
  /** No related `Metric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: MetricFilter | null | undefined;
  /** Some related `Metric` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: MetricFilter | null | undefined;
};

/** A filter to be used against many `Quota` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyQuotaFilter = {
  /** Every related `Quota` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: QuotaFilter | null | undefined;
  /** No related `Quota` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: QuotaFilter | null | undefined;
  /** Some related `Quota` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: QuotaFilter | null | undefined;
};

/** A filter to be used against many `ReservationChange` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyReservationChangeFilter = {
  /** Every related `ReservationChange` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: ReservationChangeFilter | null | undefined;
  /** No related `ReservationChange` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: ReservationChangeFilter | null | undefined;
  /** Some related `ReservationChange` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: ReservationChangeFilter | null | undefined;
};

/** A filter to be used against many `Suspension` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManySuspensionFilter = {
  /** Every related `Suspension` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: SuspensionFilter | null | undefined;
  /** No related `Suspension` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: SuspensionFilter | null | undefined;
  /** Some related `Suspension` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: SuspensionFilter | null | undefined;
};

/** A filter to be used against many `UnchargedCount` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationToManyUnchargedCountFilter = {
  /** Every related `UnchargedCount` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: UnchargedCountFilter | null | undefined;
  /** No related `UnchargedCount` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: UnchargedCountFilter | null | undefined;
  /** Some related `UnchargedCount` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: UnchargedCountFilter | null | undefined;
};

/** A filter to be used against `BandwidthMetric` object types. All fields are combined with a logical ‘and.’ */
export type BandwidthMetricFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<BandwidthMetricFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `avgThroughputMbps` field. */
  avgThroughputMbps?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `bytesRead` field. */
  bytesRead?: BigIntFilter | null | undefined;
  /** Filter by the object’s `bytesWritten` field. */
  bytesWritten?: BigIntFilter | null | undefined;
  /** Filter by the object’s `connectionCount` field. */
  connectionCount?: IntFilter | null | undefined;
  /** Filter by the object’s `metricId` field. */
  metricId?: UuidFilter | null | undefined;
  /** Negates the expression. */
  not?: BandwidthMetricFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<BandwidthMetricFilter> | null | undefined;
  /** Filter by the object’s `peakThroughputMbps` field. */
  peakThroughputMbps?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `timestamp` field. */
  timestamp?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `totalBytes` field. */
  totalBytes?: BigIntFilter | null | undefined;
};

/** A filter to be used against `BandwidthQuota` object types. All fields are combined with a logical ‘and.’ */
export type BandwidthQuotaFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<BandwidthQuotaFilter> | null | undefined;
  /** Filter by the object’s `configId` field. */
  configId?: UuidFilter | null | undefined;
  /** Negates the expression. */
  not?: BandwidthQuotaFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<BandwidthQuotaFilter> | null | undefined;
  /** Filter by the object’s `quota` relation. */
  quota?: QuotaFilter | null | undefined;
  /** Filter by the object’s `quotaId` field. */
  quotaId?: UuidFilter | null | undefined;
};

/** A filter to be used against BigFloat fields. All fields are combined with a logical ‘and.’ */
export type BigFloatFilter = {
  /** Equal to the specified value. */
  equalTo?: string | null | undefined;
  /** Greater than the specified value. */
  greaterThan?: string | null | undefined;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: string | null | undefined;
  /** Included in the specified list. */
  in?: Array<string> | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: string | null | undefined;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: string | null | undefined;
  /** Not equal to the specified value. */
  notEqualTo?: string | null | undefined;
  /** Not included in the specified list. */
  notIn?: Array<string> | null | undefined;
};

/** A filter to be used against BigInt fields. All fields are combined with a logical ‘and.’ */
export type BigIntFilter = {
  /** Equal to the specified value. */
  equalTo?: string | null | undefined;
  /** Greater than the specified value. */
  greaterThan?: string | null | undefined;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: string | null | undefined;
  /** Included in the specified list. */
  in?: Array<string> | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: string | null | undefined;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: string | null | undefined;
  /** Not equal to the specified value. */
  notEqualTo?: string | null | undefined;
  /** Not included in the specified list. */
  notIn?: Array<string> | null | undefined;
};

/** A filter to be used against Boolean fields. All fields are combined with a logical ‘and.’ */
export type BooleanFilter = {
  /** Equal to the specified value. */
  equalTo?: boolean | null | undefined;
  /** Greater than the specified value. */
  greaterThan?: boolean | null | undefined;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: boolean | null | undefined;
  /** Included in the specified list. */
  in?: Array<boolean> | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: boolean | null | undefined;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: boolean | null | undefined;
  /** Not equal to the specified value. */
  notEqualTo?: boolean | null | undefined;
  /** Not included in the specified list. */
  notIn?: Array<boolean> | null | undefined;
};

/** A filter to be used against `Borrowing` object types. All fields are combined with a logical ‘and.’ */
export type BorrowingFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<BorrowingFilter> | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `borrowedAt` field. */
  borrowedAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `borrowingId` field. */
  borrowingId?: UuidFilter | null | undefined;
  /** Filter by the object’s `bucketType` field. */
  bucketType?: BucketTypeFilter | null | undefined;
  /** Negates the expression. */
  not?: BorrowingFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<BorrowingFilter> | null | undefined;
  /** Filter by the object’s `ownerId` field. */
  ownerId?: UuidFilter | null | undefined;
  /** Filter by the object’s `status` field. */
  status?: BorrowingStatusFilter | null | undefined;
};

/** Where a borrowing stands. */
export type BorrowingStatus =
  | 'ACTIVE'
  | 'CANCELLED'
  | 'DEFAULTED'
  | 'REPAID';

/** A filter to be used against BorrowingStatus fields. All fields are combined with a logical ‘and.’ */
export type BorrowingStatusFilter = {
  /** Equal to the specified value. */
  equalTo?: BorrowingStatus | null | undefined;
  /** Greater than the specified value. */
  greaterThan?: BorrowingStatus | null | undefined;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: BorrowingStatus | null | undefined;
  /** Included in the specified list. */
  in?: Array<BorrowingStatus> | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: BorrowingStatus | null | undefined;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: BorrowingStatus | null | undefined;
  /** Not equal to the specified value. */
  notEqualTo?: BorrowingStatus | null | undefined;
  /** Not included in the specified list. */
  notIn?: Array<BorrowingStatus> | null | undefined;
};

/** A filter to be used against `Bucket` object types. All fields are combined with a logical ‘and.’ */
export type BucketFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<BucketFilter> | null | undefined;
  /** Filter by the object’s `appName` field. */
  appName?: StringFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** A related `application` exists. */
  applicationExists?: boolean | null | undefined;
  /** Filter by the object’s `bucketId` field. */
  bucketId?: UuidFilter | null | undefined;
  /** Filter by the object’s `bucketType` field. */
  bucketType?: BucketTypeFilter | null | undefined;
  /** Filter by the object’s `capacity` field. */
  capacity?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `clusterName` field. */
  clusterName?: StringFilter | null | undefined;
  /** Filter by the object’s `currentTokens` field. */
  currentTokens?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `debt` field. */
  debt?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `debtSeconds` field. */
  debtSeconds?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `fillPercentage` field. */
  fillPercentage?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `lastRefillAt` field. */
  lastRefillAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `mode` field. */
  mode?: QuotaModeFilter | null | undefined;
  /** Negates the expression. */
  not?: BucketFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<BucketFilter> | null | undefined;
  /** Filter by the object’s `ownerId` field. */
  ownerId?: UuidFilter | null | undefined;
  /** Filter by the object’s `refillRate` field. */
  refillRate?: BigIntFilter | null | undefined;
  /** Filter by the object’s `status` field. */
  status?: StringFilter | null | undefined;
};

/** What a bucket holds and at which layer, in the order in which a denial names them. */
export type BucketType =
  | 'BANDWIDTH_L1'
  | 'BANDWIDTH_L2'
  | 'BANDWIDTH_RESERVE'
  | 'IOPS_L1'
  | 'IOPS_L2'
  | 'IOPS_RESERVE';

/** A filter to be used against BucketType fields. All fields are combined with a logical ‘and.’ */
export type BucketTypeFilter = {
  /** Equal to the specified value. */
  equalTo?: BucketType | null | undefined;
  /** Greater than the specified value. */
  greaterThan?: BucketType | null | undefined;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: BucketType | null | undefined;
  /** Included in the specified list. */
  in?: Array<BucketType> | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: BucketType | null | undefined;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: BucketType | null | undefined;
  /** Not equal to the specified value. */
  notEqualTo?: BucketType | null | undefined;
  /** Not included in the specified list. */
  notIn?: Array<BucketType> | null | undefined;
};

/** A filter to be used against `Ceiling` object types. All fields are combined with a logical ‘and.’ */
export type CeilingFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<CeilingFilter> | null | undefined;
  /** Filter by the object’s `ceilingId` field. */
  ceilingId?: UuidFilter | null | undefined;
  /** Filter by the object’s `cluster` relation. */
  cluster?: ClusterFilter | null | undefined;
  /** A related `cluster` exists. */
  clusterExists?: boolean | null | undefined;
  /** Filter by the object’s `clusterId` field. */
  clusterId?: UuidFilter | null | undefined;
  /** Negates the expression. */
  not?: CeilingFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<CeilingFilter> | null | undefined;
  /** Filter by the object’s `tenant` relation. */
  tenant?: TenantFilter | null | undefined;
  /** Filter by the object’s `tenantId` field. */
  tenantId?: UuidFilter | null | undefined;
};

/** A filter to be used against `Charge` object types. All fields are combined with a logical ‘and.’ */
export type ChargeFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<ChargeFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `chargedAt` field. */
  chargedAt?: DatetimeFilter | null | undefined;
  /** Negates the expression. */
  not?: ChargeFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<ChargeFilter> | null | undefined;
  /** Filter by the object’s `referenceId` field. */
  referenceId?: StringFilter | null | undefined;
};

/** A filter to be used against `ClusterDetail` object types. All fields are combined with a logical ‘and.’ */
export type ClusterDetailFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<ClusterDetailFilter> | null | undefined;
  /** Filter by the object’s `cluster` relation. */
  cluster?: ClusterFilter | null | undefined;
  /** Filter by the object’s `clusterId` field. */
  clusterId?: UuidFilter | null | undefined;
  /** Filter by the object’s `endpoint` field. */
  endpoint?: StringFilter | null | undefined;
  /** Filter by the object’s `healthCheckUrl` field. */
  healthCheckUrl?: StringFilter | null | undefined;
  /** Filter by the object’s `healthMessage` field. */
  healthMessage?: StringFilter | null | undefined;
  /** Filter by the object’s `healthStreak` field. */
  healthStreak?: IntFilter | null | undefined;
  /** Filter by the object’s `maxCapacity` field. */
  maxCapacity?: BigIntFilter | null | undefined;
  /** Negates the expression. */
  not?: ClusterDetailFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<ClusterDetailFilter> | null | undefined;
};

/** A filter to be used against `Cluster` object types. All fields are combined with a logical ‘and.’ */
export type ClusterFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<ClusterFilter> | null | undefined;
  /** Filter by the object’s `applications` relation. */
  applications?: ClusterToManyApplicationFilter | null | undefined;
  /** Some related `applications` exist. */
  applicationsExist?: boolean | null | undefined;
  /** Filter by the object’s `ceilings` relation. */
  ceilings?: ClusterToManyCeilingFilter | null | undefined;
  /** Some related `ceilings` exist. */
  ceilingsExist?: boolean | null | undefined;
  /** Filter by the object’s `clusterId` field. */
  clusterId?: UuidFilter | null | undefined;
  /** Filter by the object’s `defaultQuotas` relation. */
  defaultQuotas?: ClusterToManyQuotaFilter | null | undefined;
  /** Some related `defaultQuotas` exist. */
  defaultQuotasExist?: boolean | null | undefined;
  /** Filter by the object’s `details` relation. */
  details?: ClusterDetailFilter | null | undefined;
  /** A related `details` exists. */
  detailsExists?: boolean | null | undefined;
  /** Filter by the object’s `healthStatus` field. */
  healthStatus?: StringFilter | null | undefined;
  /** Filter by the object’s `name` field. */
  name?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: ClusterFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<ClusterFilter> | null | undefined;
  /** Filter by the object’s `quotas` relation. */
  quotas?: ClusterToManyQuotaFilter | null | undefined;
  /** Some related `quotas` exist. */
  quotasExist?: boolean | null | undefined;
  /** Filter by the object’s `region` field. */
  region?: StringFilter | null | undefined;
  /** Filter by the object’s `reservationChanges` relation. */
  reservationChanges?: ClusterToManyReservationChangeFilter | null | undefined;
  /** Some related `reservationChanges` exist. */
  reservationChangesExist?: boolean | null | undefined;
  /** Filter by the object’s `reservations` relation. */
  reservations?: ClusterToManyReservationFilter | null | undefined;
  /** Some related `reservations` exist. */
  reservationsExist?: boolean | null | undefined;
};

/** A filter to be used against many `Application` object types. All fields are combined with a logical ‘and.’ */
export type ClusterToManyApplicationFilter = {
  /** Every related `Application` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: ApplicationFilter | null | undefined;
  /** No related `Application` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: ApplicationFilter | null | undefined;
  /** Some related `Application` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: ApplicationFilter | null | undefined;
};

/** A filter to be used against many `Ceiling` object types. All fields are combined with a logical ‘and.’ */
export type ClusterToManyCeilingFilter = {
  /** Every related `Ceiling` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: CeilingFilter | null | undefined;
  /** No related `Ceiling` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: CeilingFilter | null | undefined;
  /** Some related `Ceiling` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: CeilingFilter | null | undefined;
};

/** A filter to be used against many `Quota` object types. All fields are combined with a logical ‘and.’ */
export type ClusterToManyQuotaFilter = {
  /** Every related `Quota` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: QuotaFilter | null | undefined;
  /** No related `Quota` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: QuotaFilter | null | undefined;
  /** Some related `Quota` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: QuotaFilter | null | undefined;
};

/** A filter to be used against many `ReservationChange` object types. All fields are combined with a logical ‘and.’ */
export type ClusterToManyReservationChangeFilter = {
  /** Every related `ReservationChange` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: ReservationChangeFilter | null | undefined;
  /** No related `ReservationChange` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: ReservationChangeFilter | null | undefined;
  /** Some related `ReservationChange` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: ReservationChangeFilter | null | undefined;
};

/** A filter to be used against many `Reservation` object types. All fields are combined with a logical ‘and.’ */
export type ClusterToManyReservationFilter = {
  /** Every related `Reservation` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: ReservationFilter | null | undefined;
  /** No related `Reservation` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: ReservationFilter | null | undefined;
  /** Some related `Reservation` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: ReservationFilter | null | undefined;
};

/** A filter to be used against `CostRule` object types. All fields are combined with a logical ‘and.’ */
export type CostRuleFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<CostRuleFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Negates the expression. */
  not?: CostRuleFilter | null | undefined;
  /** Filter by the object’s `operationId` field. */
  operationId?: UuidFilter | null | undefined;
  /** Filter by the object’s `operationType` relation. */
  operationType?: OperationTypeFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<CostRuleFilter> | null | undefined;
  /** Filter by the object’s `ruleId` field. */
  ruleId?: UuidFilter | null | undefined;
  /** Filter by the object’s `validFrom` field. */
  validFrom?: DatetimeFilter | null | undefined;
};

/** All input for the create `AlertConfig` mutation. */
export type CreateAlertConfigInput = {
  /** The `AlertConfig` to be created by this mutation. */
  alertConfig: AlertConfigInput;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
};

/** A filter to be used against `DailyMetric` object types. All fields are combined with a logical ‘and.’ */
export type DailyMetricFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<DailyMetricFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `bucket` field. */
  bucket?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `metricName` field. */
  metricName?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: DailyMetricFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<DailyMetricFilter> | null | undefined;
};

/** A filter to be used against `DailyQuotaUsage` object types. All fields are combined with a logical ‘and.’ */
export type DailyQuotaUsageFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<DailyQuotaUsageFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `appName` field. */
  appName?: StringFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `bucketType` field. */
  bucketType?: BucketTypeFilter | null | undefined;
  /** Filter by the object’s `date` field. */
  date?: DateFilter | null | undefined;
  /** Negates the expression. */
  not?: DailyQuotaUsageFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<DailyQuotaUsageFilter> | null | undefined;
  /** Filter by the object’s `tokensConsumed` field. */
  tokensConsumed?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `tokensRefunded` field. */
  tokensRefunded?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `transactionCount` field. */
  transactionCount?: BigIntFilter | null | undefined;
};

/** A filter to be used against Date fields. All fields are combined with a logical ‘and.’ */
export type DateFilter = {
  /** Equal to the specified value. */
  equalTo?: string | null | undefined;
  /** Greater than the specified value. */
  greaterThan?: string | null | undefined;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: string | null | undefined;
  /** Included in the specified list. */
  in?: Array<string> | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: string | null | undefined;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: string | null | undefined;
  /** Not equal to the specified value. */
  notEqualTo?: string | null | undefined;
  /** Not included in the specified list. */
  notIn?: Array<string> | null | undefined;
};

/** A filter to be used against Datetime fields. All fields are combined with a logical ‘and.’ */
export type DatetimeFilter = {
  /** Equal to the specified value. */
  equalTo?: string | null | undefined;
  /** Greater than the specified value. */
  greaterThan?: string | null | undefined;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: string | null | undefined;
  /** Included in the specified list. */
  in?: Array<string> | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: string | null | undefined;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: string | null | undefined;
  /** Not equal to the specified value. */
  notEqualTo?: string | null | undefined;
  /** Not included in the specified list. */
  notIn?: Array<string> | null | undefined;
};

/** All input for the `deleteAlertConfig` mutation. */
export type DeleteAlertConfigInput = {
  /** The alert. */
  alertId: string;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
};

/** A filter to be used against Float fields. All fields are combined with a logical ‘and.’ */
export type FloatFilter = {
  /** Equal to the specified value. */
  equalTo?: number | null | undefined;
  /** Greater than the specified value. */
  greaterThan?: number | null | undefined;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: number | null | undefined;
  /** Included in the specified list. */
  in?: Array<number> | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: number | null | undefined;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: number | null | undefined;
  /** Not equal to the specified value. */
  notEqualTo?: number | null | undefined;
  /** Not included in the specified list. */
  notIn?: Array<number> | null | undefined;
};

/** A filter to be used against `HourlyMetric` object types. All fields are combined with a logical ‘and.’ */
export type HourlyMetricFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<HourlyMetricFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `bucket` field. */
  bucket?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `metricName` field. */
  metricName?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: HourlyMetricFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<HourlyMetricFilter> | null | undefined;
};

/** A filter to be used against Int fields. All fields are combined with a logical ‘and.’ */
export type IntFilter = {
  /** Equal to the specified value. */
  equalTo?: number | null | undefined;
  /** Greater than the specified value. */
  greaterThan?: number | null | undefined;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: number | null | undefined;
  /** Included in the specified list. */
  in?: Array<number> | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: number | null | undefined;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: number | null | undefined;
  /** Not equal to the specified value. */
  notEqualTo?: number | null | undefined;
  /** Not included in the specified list. */
  notIn?: Array<number> | null | undefined;
};

/** A filter to be used against InternetAddress fields. All fields are combined with a logical ‘and.’ */
export type InternetAddressFilter = {
  /** Contains the specified internet address. */
  contains?: string | null | undefined;
  /** Equal to the specified value. */
  equalTo?: string | null | undefined;
  /** Greater than the specified value. */
  greaterThan?: string | null | undefined;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: string | null | undefined;
  /** Included in the specified list. */
  in?: Array<string> | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: string | null | undefined;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: string | null | undefined;
  /** Not equal to the specified value. */
  notEqualTo?: string | null | undefined;
  /** Not included in the specified list. */
  notIn?: Array<string> | null | undefined;
};

/** A filter to be used against `Invitation` object types. All fields are combined with a logical ‘and.’ */
export type InvitationFilter = {
  /** Filter by the object’s `acceptedAt` field. */
  acceptedAt?: DatetimeFilter | null | undefined;
  /** Checks for all expressions in this list. */
  and?: Array<InvitationFilter> | null | undefined;
  /** Filter by the object’s `createdAt` field. */
  createdAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `createdBy` field. */
  createdBy?: UuidFilter | null | undefined;
  /** Filter by the object’s `expiresAt` field. */
  expiresAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `invitationId` field. */
  invitationId?: UuidFilter | null | undefined;
  /** Filter by the object’s `mailedAt` field. */
  mailedAt?: DatetimeFilter | null | undefined;
  /** Negates the expression. */
  not?: InvitationFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<InvitationFilter> | null | undefined;
  /** Filter by the object’s `revokedAt` field. */
  revokedAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `user` relation. */
  user?: UserFilter | null | undefined;
  /** A related `user` exists. */
  userExists?: boolean | null | undefined;
  /** Filter by the object’s `userId` field. */
  userId?: UuidFilter | null | undefined;
};

/** A filter to be used against `IopsMetric` object types. All fields are combined with a logical ‘and.’ */
export type IopsMetricFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<IopsMetricFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `avgLatencyMs` field. */
  avgLatencyMs?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `errorCount` field. */
  errorCount?: IntFilter | null | undefined;
  /** Filter by the object’s `metricId` field. */
  metricId?: UuidFilter | null | undefined;
  /** Negates the expression. */
  not?: IopsMetricFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<IopsMetricFilter> | null | undefined;
  /** Filter by the object’s `p95LatencyMs` field. */
  p95LatencyMs?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `p99LatencyMs` field. */
  p99LatencyMs?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `readOps` field. */
  readOps?: IntFilter | null | undefined;
  /** Filter by the object’s `timestamp` field. */
  timestamp?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `totalOps` field. */
  totalOps?: BigIntFilter | null | undefined;
  /** Filter by the object’s `writeOps` field. */
  writeOps?: IntFilter | null | undefined;
};

/** A filter to be used against `IopsQuota` object types. All fields are combined with a logical ‘and.’ */
export type IopsQuotaFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<IopsQuotaFilter> | null | undefined;
  /** Filter by the object’s `configId` field. */
  configId?: UuidFilter | null | undefined;
  /** Negates the expression. */
  not?: IopsQuotaFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<IopsQuotaFilter> | null | undefined;
  /** Filter by the object’s `quota` relation. */
  quota?: QuotaFilter | null | undefined;
  /** Filter by the object’s `quotaId` field. */
  quotaId?: UuidFilter | null | undefined;
};

/** A filter to be used against `LateCharge` object types. All fields are combined with a logical ‘and.’ */
export type LateChargeFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<LateChargeFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `chargedAt` field. */
  chargedAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `idempotencyKey` field. */
  idempotencyKey?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: LateChargeFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<LateChargeFilter> | null | undefined;
};

/** A filter to be used against `Lease` object types. All fields are combined with a logical ‘and.’ */
export type LeaseFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<LeaseFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `grantedAt` field. */
  grantedAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `leaseId` field. */
  leaseId?: UuidFilter | null | undefined;
  /** Negates the expression. */
  not?: LeaseFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<LeaseFilter> | null | undefined;
};

/** A filter to be used against `LedgerEntry` object types. All fields are combined with a logical ‘and.’ */
export type LedgerEntryFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<LedgerEntryFilter> | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `balanceAfter` field. */
  balanceAfter?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `bucketType` field. */
  bucketType?: BucketTypeFilter | null | undefined;
  /** Filter by the object’s `createdAt` field. */
  createdAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `mode` field. */
  mode?: QuotaModeFilter | null | undefined;
  /** Negates the expression. */
  not?: LedgerEntryFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<LedgerEntryFilter> | null | undefined;
  /** Filter by the object’s `ownerId` field. */
  ownerId?: UuidFilter | null | undefined;
  /** Filter by the object’s `referenceId` field. */
  referenceId?: StringFilter | null | undefined;
  /** Filter by the object’s `refilled` field. */
  refilled?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `seq` field. */
  seq?: BigIntFilter | null | undefined;
  /** Filter by the object’s `tokensChange` field. */
  tokensChange?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `transactionType` field. */
  transactionType?: TransactionTypeFilter | null | undefined;
};

/** A filter to be used against `Metric` object types. All fields are combined with a logical ‘and.’ */
export type MetricFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<MetricFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `metricId` field. */
  metricId?: UuidFilter | null | undefined;
  /** Filter by the object’s `metricName` field. */
  metricName?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: MetricFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<MetricFilter> | null | undefined;
  /** Filter by the object’s `timestamp` field. */
  timestamp?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `unit` field. */
  unit?: StringFilter | null | undefined;
  /** Filter by the object’s `value` field. */
  value?: FloatFilter | null | undefined;
};

/** A filter to be used against `MetricsSummary` object types. All fields are combined with a logical ‘and.’ */
export type MetricsSummaryFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<MetricsSummaryFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `appName` field. */
  appName?: StringFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `avgBandwidthBytes` field. */
  avgBandwidthBytes?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `avgIops` field. */
  avgIops?: BigFloatFilter | null | undefined;
  /** Filter by the object’s `bandwidthSampleCount` field. */
  bandwidthSampleCount?: BigIntFilter | null | undefined;
  /** Filter by the object’s `iopsSampleCount` field. */
  iopsSampleCount?: BigIntFilter | null | undefined;
  /** Negates the expression. */
  not?: MetricsSummaryFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<MetricsSummaryFilter> | null | undefined;
  /** Filter by the object’s `peakBandwidthBytes` field. */
  peakBandwidthBytes?: BigIntFilter | null | undefined;
  /** Filter by the object’s `peakIops` field. */
  peakIops?: BigIntFilter | null | undefined;
};

/** A filter to be used against `OperationType` object types. All fields are combined with a logical ‘and.’ */
export type OperationTypeFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<OperationTypeFilter> | null | undefined;
  /** Filter by the object’s `category` field. */
  category?: StringFilter | null | undefined;
  /** Filter by the object’s `costRules` relation. */
  costRules?: OperationTypeToManyCostRuleFilter | null | undefined;
  /** Some related `costRules` exist. */
  costRulesExist?: boolean | null | undefined;
  /** Filter by the object’s `name` field. */
  name?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: OperationTypeFilter | null | undefined;
  /** Filter by the object’s `operationId` field. */
  operationId?: UuidFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<OperationTypeFilter> | null | undefined;
};

/** A filter to be used against many `CostRule` object types. All fields are combined with a logical ‘and.’ */
export type OperationTypeToManyCostRuleFilter = {
  /** Every related `CostRule` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: CostRuleFilter | null | undefined;
  /** No related `CostRule` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: CostRuleFilter | null | undefined;
  /** Some related `CostRule` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: CostRuleFilter | null | undefined;
};

/** A filter to be used against `Permission` object types. All fields are combined with a logical ‘and.’ */
export type PermissionFilter = {
  /** Filter by the object’s `action` field. */
  action?: StringFilter | null | undefined;
  /** Checks for all expressions in this list. */
  and?: Array<PermissionFilter> | null | undefined;
  /** Negates the expression. */
  not?: PermissionFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<PermissionFilter> | null | undefined;
  /** Filter by the object’s `permissionId` field. */
  permissionId?: UuidFilter | null | undefined;
  /** Filter by the object’s `resource` field. */
  resource?: StringFilter | null | undefined;
  /** Filter by the object’s `rolePermissions` relation. */
  rolePermissions?: PermissionToManyRolePermissionFilter | null | undefined;
  /** Some related `rolePermissions` exist. */
  rolePermissionsExist?: boolean | null | undefined;
};

/** A filter to be used against many `RolePermission` object types. All fields are combined with a logical ‘and.’ */
export type PermissionToManyRolePermissionFilter = {
  /** Every related `RolePermission` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: RolePermissionFilter | null | undefined;
  /** No related `RolePermission` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: RolePermissionFilter | null | undefined;
  /** Some related `RolePermission` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: RolePermissionFilter | null | undefined;
};

/** A filter to be used against `Quota` object types. All fields are combined with a logical ‘and.’ */
export type QuotaFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<QuotaFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** A related `application` exists. */
  applicationExists?: boolean | null | undefined;
  /** Filter by the object’s `bandwidthQuota` relation. */
  bandwidthQuota?: BandwidthQuotaFilter | null | undefined;
  /** A related `bandwidthQuota` exists. */
  bandwidthQuotaExists?: boolean | null | undefined;
  /** Filter by the object’s `cluster` relation. */
  cluster?: ClusterFilter | null | undefined;
  /** A related `cluster` exists. */
  clusterExists?: boolean | null | undefined;
  /** Filter by the object’s `clusterId` field. */
  clusterId?: UuidFilter | null | undefined;
  /** Filter by the object’s `configId` field. */
  configId?: UuidFilter | null | undefined;
  /** Filter by the object’s `defaultCluster` relation. */
  defaultCluster?: ClusterFilter | null | undefined;
  /** A related `defaultCluster` exists. */
  defaultClusterExists?: boolean | null | undefined;
  /** Filter by the object’s `defaultClusterId` field. */
  defaultClusterId?: UuidFilter | null | undefined;
  /** Filter by the object’s `iopsQuota` relation. */
  iopsQuota?: IopsQuotaFilter | null | undefined;
  /** A related `iopsQuota` exists. */
  iopsQuotaExists?: boolean | null | undefined;
  /** Negates the expression. */
  not?: QuotaFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<QuotaFilter> | null | undefined;
  /** Filter by the object’s `quotaVersions` relation. */
  quotaVersions?: QuotaToManyQuotaVersionFilter | null | undefined;
  /** Some related `quotaVersions` exist. */
  quotaVersionsExist?: boolean | null | undefined;
  /** Filter by the object’s `validFrom` field. */
  validFrom?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `validTo` field. */
  validTo?: DatetimeFilter | null | undefined;
};

/** enforce: the quota decides. shadow: it is measured beside the deciding one and never denies. */
export type QuotaMode =
  | 'ENFORCE'
  | 'SHADOW';

/** A filter to be used against QuotaMode fields. All fields are combined with a logical ‘and.’ */
export type QuotaModeFilter = {
  /** Equal to the specified value. */
  equalTo?: QuotaMode | null | undefined;
  /** Greater than the specified value. */
  greaterThan?: QuotaMode | null | undefined;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: QuotaMode | null | undefined;
  /** Included in the specified list. */
  in?: Array<QuotaMode> | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: QuotaMode | null | undefined;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: QuotaMode | null | undefined;
  /** Not equal to the specified value. */
  notEqualTo?: QuotaMode | null | undefined;
  /** Not included in the specified list. */
  notIn?: Array<QuotaMode> | null | undefined;
};

/** A filter to be used against many `QuotaVersion` object types. All fields are combined with a logical ‘and.’ */
export type QuotaToManyQuotaVersionFilter = {
  /** Every related `QuotaVersion` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: QuotaVersionFilter | null | undefined;
  /** No related `QuotaVersion` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: QuotaVersionFilter | null | undefined;
  /** Some related `QuotaVersion` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: QuotaVersionFilter | null | undefined;
};

/** A filter to be used against `QuotaVersion` object types. All fields are combined with a logical ‘and.’ */
export type QuotaVersionFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<QuotaVersionFilter> | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** A related `application` exists. */
  applicationExists?: boolean | null | undefined;
  /** Filter by the object’s `changedAt` field. */
  changedAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `changedBy` field. */
  changedBy?: UuidFilter | null | undefined;
  /** Filter by the object’s `cluster` relation. */
  cluster?: ClusterFilter | null | undefined;
  /** A related `cluster` exists. */
  clusterExists?: boolean | null | undefined;
  /** Filter by the object’s `configId` field. */
  configId?: UuidFilter | null | undefined;
  /** Filter by the object’s `defaultCluster` relation. */
  defaultCluster?: ClusterFilter | null | undefined;
  /** A related `defaultCluster` exists. */
  defaultClusterExists?: boolean | null | undefined;
  /** Negates the expression. */
  not?: QuotaVersionFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<QuotaVersionFilter> | null | undefined;
  /** Filter by the object’s `quota` relation. */
  quota?: QuotaFilter | null | undefined;
  /** Filter by the object’s `versionId` field. */
  versionId?: UuidFilter | null | undefined;
};

/** A filter to be used against `ReservationChange` object types. All fields are combined with a logical ‘and.’ */
export type ReservationChangeFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<ReservationChangeFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `changeId` field. */
  changeId?: UuidFilter | null | undefined;
  /** Filter by the object’s `changedAt` field. */
  changedAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `cluster` relation. */
  cluster?: ClusterFilter | null | undefined;
  /** Filter by the object’s `clusterId` field. */
  clusterId?: UuidFilter | null | undefined;
  /** Negates the expression. */
  not?: ReservationChangeFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<ReservationChangeFilter> | null | undefined;
};

/** A filter to be used against `Reservation` object types. All fields are combined with a logical ‘and.’ */
export type ReservationFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<ReservationFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `cluster` relation. */
  cluster?: ClusterFilter | null | undefined;
  /** Filter by the object’s `clusterId` field. */
  clusterId?: UuidFilter | null | undefined;
  /** Negates the expression. */
  not?: ReservationFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<ReservationFilter> | null | undefined;
};

/** A filter to be used against `RetentionPolicy` object types. All fields are combined with a logical ‘and.’ */
export type RetentionPolicyFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<RetentionPolicyFilter> | null | undefined;
  /** Filter by the object’s `dataType` field. */
  dataType?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: RetentionPolicyFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<RetentionPolicyFilter> | null | undefined;
  /** Filter by the object’s `policyId` field. */
  policyId?: UuidFilter | null | undefined;
  /** Filter by the object’s `settingKey` field. */
  settingKey?: StringFilter | null | undefined;
  /** Filter by the object’s `systemSettingBySettingKey` relation. */
  systemSettingBySettingKey?: SystemSettingFilter | null | undefined;
  /** A related `systemSettingBySettingKey` exists. */
  systemSettingBySettingKeyExists?: boolean | null | undefined;
  /** Filter by the object’s `updatedBy` field. */
  updatedBy?: UuidFilter | null | undefined;
  /** Filter by the object’s `userByUpdatedBy` relation. */
  userByUpdatedBy?: UserFilter | null | undefined;
  /** A related `userByUpdatedBy` exists. */
  userByUpdatedByExists?: boolean | null | undefined;
};

/** A filter to be used against `Role` object types. All fields are combined with a logical ‘and.’ */
export type RoleFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<RoleFilter> | null | undefined;
  /** Filter by the object’s `isSystem` field. */
  isSystem?: BooleanFilter | null | undefined;
  /** Filter by the object’s `name` field. */
  name?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: RoleFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<RoleFilter> | null | undefined;
  /** Filter by the object’s `roleId` field. */
  roleId?: UuidFilter | null | undefined;
  /** Filter by the object’s `roleMappings` relation. */
  roleMappings?: RoleToManyRoleMappingFilter | null | undefined;
  /** Some related `roleMappings` exist. */
  roleMappingsExist?: boolean | null | undefined;
  /** Filter by the object’s `rolePermissions` relation. */
  rolePermissions?: RoleToManyRolePermissionFilter | null | undefined;
  /** Some related `rolePermissions` exist. */
  rolePermissionsExist?: boolean | null | undefined;
  /** Filter by the object’s `userRoles` relation. */
  userRoles?: RoleToManyUserRoleFilter | null | undefined;
  /** Some related `userRoles` exist. */
  userRolesExist?: boolean | null | undefined;
};

/** A filter to be used against `RoleMapping` object types. All fields are combined with a logical ‘and.’ */
export type RoleMappingFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<RoleMappingFilter> | null | undefined;
  /** Filter by the object’s `createdBy` field. */
  createdBy?: UuidFilter | null | undefined;
  /** Filter by the object’s `mappingId` field. */
  mappingId?: UuidFilter | null | undefined;
  /** Negates the expression. */
  not?: RoleMappingFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<RoleMappingFilter> | null | undefined;
  /** Filter by the object’s `role` relation. */
  role?: RoleFilter | null | undefined;
  /** Filter by the object’s `roleId` field. */
  roleId?: UuidFilter | null | undefined;
  /** Filter by the object’s `tenant` relation. */
  tenant?: TenantFilter | null | undefined;
  /** A related `tenant` exists. */
  tenantExists?: boolean | null | undefined;
  /** Filter by the object’s `tenantId` field. */
  tenantId?: UuidFilter | null | undefined;
  /** Filter by the object’s `userByCreatedBy` relation. */
  userByCreatedBy?: UserFilter | null | undefined;
  /** A related `userByCreatedBy` exists. */
  userByCreatedByExists?: boolean | null | undefined;
};

/** A filter to be used against `RolePermission` object types. All fields are combined with a logical ‘and.’ */
export type RolePermissionFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<RolePermissionFilter> | null | undefined;
  /** Filter by the object’s `grantedBy` field. */
  grantedBy?: UuidFilter | null | undefined;
  /** Negates the expression. */
  not?: RolePermissionFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<RolePermissionFilter> | null | undefined;
  /** Filter by the object’s `permission` relation. */
  permission?: PermissionFilter | null | undefined;
  /** Filter by the object’s `permissionId` field. */
  permissionId?: UuidFilter | null | undefined;
  /** Filter by the object’s `role` relation. */
  role?: RoleFilter | null | undefined;
  /** Filter by the object’s `roleId` field. */
  roleId?: UuidFilter | null | undefined;
  /** Filter by the object’s `rolePermissionId` field. */
  rolePermissionId?: UuidFilter | null | undefined;
  /** Filter by the object’s `userByGrantedBy` relation. */
  userByGrantedBy?: UserFilter | null | undefined;
  /** A related `userByGrantedBy` exists. */
  userByGrantedByExists?: boolean | null | undefined;
};

/** A filter to be used against many `RoleMapping` object types. All fields are combined with a logical ‘and.’ */
export type RoleToManyRoleMappingFilter = {
  /** Every related `RoleMapping` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: RoleMappingFilter | null | undefined;
  /** No related `RoleMapping` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: RoleMappingFilter | null | undefined;
  /** Some related `RoleMapping` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: RoleMappingFilter | null | undefined;
};

/** A filter to be used against many `RolePermission` object types. All fields are combined with a logical ‘and.’ */
export type RoleToManyRolePermissionFilter = {
  /** Every related `RolePermission` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: RolePermissionFilter | null | undefined;
  /** No related `RolePermission` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: RolePermissionFilter | null | undefined;
  /** Some related `RolePermission` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: RolePermissionFilter | null | undefined;
};

/** A filter to be used against many `UserRole` object types. All fields are combined with a logical ‘and.’ */
export type RoleToManyUserRoleFilter = {
  /** Every related `UserRole` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: UserRoleFilter | null | undefined;
  /** No related `UserRole` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: UserRoleFilter | null | undefined;
  /** Some related `UserRole` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: UserRoleFilter | null | undefined;
};

/** A filter to be used against `ServiceToken` object types. All fields are combined with a logical ‘and.’ */
export type ServiceTokenFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<ServiceTokenFilter> | null | undefined;
  /** Filter by the object’s `createdAt` field. */
  createdAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `createdBy` field. */
  createdBy?: UuidFilter | null | undefined;
  /** Filter by the object’s `expiresAt` field. */
  expiresAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `lastUsedAt` field. */
  lastUsedAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `name` field. */
  name?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: ServiceTokenFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<ServiceTokenFilter> | null | undefined;
  /** Filter by the object’s `prefix` field. */
  prefix?: StringFilter | null | undefined;
  /** Filter by the object’s `revokedAt` field. */
  revokedAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `revokedBy` field. */
  revokedBy?: UuidFilter | null | undefined;
  /** Filter by the object’s `serviceAccount` relation. */
  serviceAccount?: UserFilter | null | undefined;
  /** A related `serviceAccount` exists. */
  serviceAccountExists?: boolean | null | undefined;
  /** Filter by the object’s `tokenId` field. */
  tokenId?: UuidFilter | null | undefined;
  /** Filter by the object’s `userId` field. */
  userId?: UuidFilter | null | undefined;
};

/** A filter to be used against String fields. All fields are combined with a logical ‘and.’ */
export type StringFilter = {
  /** Equal to the specified value. */
  equalTo?: string | null | undefined;
  /** Greater than the specified value. */
  greaterThan?: string | null | undefined;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: string | null | undefined;
  /** Included in the specified list. */
  in?: Array<string> | null | undefined;
  /** Contains the specified string (case-insensitive). */
  includesInsensitive?: string | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: string | null | undefined;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: string | null | undefined;
  /** Not equal to the specified value. */
  notEqualTo?: string | null | undefined;
  /** Not included in the specified list. */
  notIn?: Array<string> | null | undefined;
  /** Starts with the specified string (case-insensitive). */
  startsWithInsensitive?: string | null | undefined;
};

/** A filter to be used against `Suspension` object types. All fields are combined with a logical ‘and.’ */
export type SuspensionFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<SuspensionFilter> | null | undefined;
  /** Filter by the object’s `apiKey` relation. */
  apiKey?: ApiKeyFilter | null | undefined;
  /** A related `apiKey` exists. */
  apiKeyExists?: boolean | null | undefined;
  /** Filter by the object’s `apiKeyId` field. */
  apiKeyId?: UuidFilter | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** A related `application` exists. */
  applicationExists?: boolean | null | undefined;
  /** Negates the expression. */
  not?: SuspensionFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<SuspensionFilter> | null | undefined;
  /** Filter by the object’s `suspensionId` field. */
  suspensionId?: UuidFilter | null | undefined;
  /** Filter by the object’s `tenant` relation. */
  tenant?: TenantFilter | null | undefined;
  /** Filter by the object’s `tenantId` field. */
  tenantId?: UuidFilter | null | undefined;
};

/** A filter to be used against `SystemSetting` object types. All fields are combined with a logical ‘and.’ */
export type SystemSettingFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<SystemSettingFilter> | null | undefined;
  /** Filter by the object’s `key` field. */
  key?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: SystemSettingFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<SystemSettingFilter> | null | undefined;
  /** Filter by the object’s `retentionPoliciesBySettingKey` relation. */
  retentionPoliciesBySettingKey?: SystemSettingToManyRetentionPolicyFilter | null | undefined;
  /** Some related `retentionPoliciesBySettingKey` exist. */
  retentionPoliciesBySettingKeyExist?: boolean | null | undefined;
  /** Filter by the object’s `settingId` field. */
  settingId?: UuidFilter | null | undefined;
  /** Filter by the object’s `updatedBy` field. */
  updatedBy?: UuidFilter | null | undefined;
  /** Filter by the object’s `userByUpdatedBy` relation. */
  userByUpdatedBy?: UserFilter | null | undefined;
  /** A related `userByUpdatedBy` exists. */
  userByUpdatedByExists?: boolean | null | undefined;
};

/** A filter to be used against many `RetentionPolicy` object types. All fields are combined with a logical ‘and.’ */
export type SystemSettingToManyRetentionPolicyFilter = {
  /** Every related `RetentionPolicy` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: RetentionPolicyFilter | null | undefined;
  /** No related `RetentionPolicy` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: RetentionPolicyFilter | null | undefined;
  /** Some related `RetentionPolicy` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: RetentionPolicyFilter | null | undefined;
};

/** A filter to be used against `Tenant` object types. All fields are combined with a logical ‘and.’ */
export type TenantFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<TenantFilter> | null | undefined;
  /** Filter by the object’s `applications` relation. */
  applications?: TenantToManyApplicationFilter | null | undefined;
  /** Some related `applications` exist. */
  applicationsExist?: boolean | null | undefined;
  /** Filter by the object’s `ceilings` relation. */
  ceilings?: TenantToManyCeilingFilter | null | undefined;
  /** Some related `ceilings` exist. */
  ceilingsExist?: boolean | null | undefined;
  /** Filter by the object’s `name` field. */
  name?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: TenantFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<TenantFilter> | null | undefined;
  /** Filter by the object’s `roleMappings` relation. */
  roleMappings?: TenantToManyRoleMappingFilter | null | undefined;
  /** Some related `roleMappings` exist. */
  roleMappingsExist?: boolean | null | undefined;
  /** Filter by the object’s `suspensions` relation. */
  suspensions?: TenantToManySuspensionFilter | null | undefined;
  /** Some related `suspensions` exist. */
  suspensionsExist?: boolean | null | undefined;
  /** Filter by the object’s `tenantId` field. */
  tenantId?: UuidFilter | null | undefined;
  /** Filter by the object’s `users` relation. */
  users?: TenantToManyUserFilter | null | undefined;
  /** Some related `users` exist. */
  usersExist?: boolean | null | undefined;
};

/** A filter to be used against many `Application` object types. All fields are combined with a logical ‘and.’ */
export type TenantToManyApplicationFilter = {
  /** Every related `Application` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: ApplicationFilter | null | undefined;
  /** No related `Application` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: ApplicationFilter | null | undefined;
  /** Some related `Application` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: ApplicationFilter | null | undefined;
};

/** A filter to be used against many `Ceiling` object types. All fields are combined with a logical ‘and.’ */
export type TenantToManyCeilingFilter = {
  /** Every related `Ceiling` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: CeilingFilter | null | undefined;
  /** No related `Ceiling` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: CeilingFilter | null | undefined;
  /** Some related `Ceiling` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: CeilingFilter | null | undefined;
};

/** A filter to be used against many `RoleMapping` object types. All fields are combined with a logical ‘and.’ */
export type TenantToManyRoleMappingFilter = {
  /** Every related `RoleMapping` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: RoleMappingFilter | null | undefined;
  /** No related `RoleMapping` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: RoleMappingFilter | null | undefined;
  /** Some related `RoleMapping` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: RoleMappingFilter | null | undefined;
};

/** A filter to be used against many `Suspension` object types. All fields are combined with a logical ‘and.’ */
export type TenantToManySuspensionFilter = {
  /** Every related `Suspension` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: SuspensionFilter | null | undefined;
  /** No related `Suspension` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: SuspensionFilter | null | undefined;
  /** Some related `Suspension` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: SuspensionFilter | null | undefined;
};

/** A filter to be used against many `User` object types. All fields are combined with a logical ‘and.’ */
export type TenantToManyUserFilter = {
  /** Every related `User` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: UserFilter | null | undefined;
  /** No related `User` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: UserFilter | null | undefined;
  /** Some related `User` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: UserFilter | null | undefined;
};

/** Why the tokens of a bucket changed. */
export type TransactionType =
  | 'ADJUST'
  | 'BORROW'
  | 'CONSUME'
  | 'LEASE'
  | 'OWED'
  | 'PREFETCH'
  | 'REFILL'
  | 'REFUND'
  | 'REPAY'
  | 'SETTLE';

/** A filter to be used against TransactionType fields. All fields are combined with a logical ‘and.’ */
export type TransactionTypeFilter = {
  /** Equal to the specified value. */
  equalTo?: TransactionType | null | undefined;
  /** Greater than the specified value. */
  greaterThan?: TransactionType | null | undefined;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: TransactionType | null | undefined;
  /** Included in the specified list. */
  in?: Array<TransactionType> | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: TransactionType | null | undefined;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: TransactionType | null | undefined;
  /** Not equal to the specified value. */
  notEqualTo?: TransactionType | null | undefined;
  /** Not included in the specified list. */
  notIn?: Array<TransactionType> | null | undefined;
};

/** A filter to be used against UUID fields. All fields are combined with a logical ‘and.’ */
export type UuidFilter = {
  /** Equal to the specified value. */
  equalTo?: string | null | undefined;
  /** Greater than the specified value. */
  greaterThan?: string | null | undefined;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: string | null | undefined;
  /** Included in the specified list. */
  in?: Array<string> | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: string | null | undefined;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: string | null | undefined;
  /** Not equal to the specified value. */
  notEqualTo?: string | null | undefined;
  /** Not included in the specified list. */
  notIn?: Array<string> | null | undefined;
};

/** A filter to be used against `UnchargedCount` object types. All fields are combined with a logical ‘and.’ */
export type UnchargedCountFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<UnchargedCountFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `minute` field. */
  minute?: DatetimeFilter | null | undefined;
  /** Negates the expression. */
  not?: UnchargedCountFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<UnchargedCountFilter> | null | undefined;
  /** Filter by the object’s `reason` field. */
  reason?: StringFilter | null | undefined;
};

/** All input for the `updateAlertConfig` mutation. */
export type UpdateAlertConfigInput = {
  /** The alert. */
  alertId: string;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  /** An object where the defined keys will be set on the `AlertConfig` being updated. */
  patch: AlertConfigPatch;
};

/** A filter to be used against `User` object types. All fields are combined with a logical ‘and.’ */
export type UserFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<UserFilter> | null | undefined;
  /** Filter by the object’s `invitations` relation. */
  invitations?: UserToManyInvitationFilter | null | undefined;
  /** Some related `invitations` exist. */
  invitationsExist?: boolean | null | undefined;
  /** Negates the expression. */
  not?: UserFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<UserFilter> | null | undefined;
  /** Filter by the object’s `retentionPoliciesByUpdatedBy` relation. */
  retentionPoliciesByUpdatedBy?: UserToManyRetentionPolicyFilter | null | undefined;
  /** Some related `retentionPoliciesByUpdatedBy` exist. */
  retentionPoliciesByUpdatedByExist?: boolean | null | undefined;
  /** Filter by the object’s `roleMappingsByCreatedBy` relation. */
  roleMappingsByCreatedBy?: UserToManyRoleMappingFilter | null | undefined;
  /** Some related `roleMappingsByCreatedBy` exist. */
  roleMappingsByCreatedByExist?: boolean | null | undefined;
  /** Filter by the object’s `rolePermissionsByGrantedBy` relation. */
  rolePermissionsByGrantedBy?: UserToManyRolePermissionFilter | null | undefined;
  /** Some related `rolePermissionsByGrantedBy` exist. */
  rolePermissionsByGrantedByExist?: boolean | null | undefined;
  /** Filter by the object’s `serviceTokens` relation. */
  serviceTokens?: UserToManyServiceTokenFilter | null | undefined;
  /** Some related `serviceTokens` exist. */
  serviceTokensExist?: boolean | null | undefined;
  /** Filter by the object’s `sessions` relation. */
  sessions?: UserToManyUserSessionFilter | null | undefined;
  /** Some related `sessions` exist. */
  sessionsExist?: boolean | null | undefined;
  /** Filter by the object’s `systemSettingsByUpdatedBy` relation. */
  systemSettingsByUpdatedBy?: UserToManySystemSettingFilter | null | undefined;
  /** Some related `systemSettingsByUpdatedBy` exist. */
  systemSettingsByUpdatedByExist?: boolean | null | undefined;
  /** Filter by the object’s `tenant` relation. */
  tenant?: TenantFilter | null | undefined;
  /** Filter by the object’s `tenantId` field. */
  tenantId?: UuidFilter | null | undefined;
  /** Filter by the object’s `userId` field. */
  userId?: UuidFilter | null | undefined;
  /** Filter by the object’s `userRoles` relation. */
  userRoles?: UserToManyUserRoleFilter | null | undefined;
  /** Filter by the object’s `userRolesByAssignedBy` relation. */
  userRolesByAssignedBy?: UserToManyUserRoleFilter | null | undefined;
  /** Some related `userRolesByAssignedBy` exist. */
  userRolesByAssignedByExist?: boolean | null | undefined;
  /** Some related `userRoles` exist. */
  userRolesExist?: boolean | null | undefined;
};

/** A filter to be used against `UserRole` object types. All fields are combined with a logical ‘and.’ */
export type UserRoleFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<UserRoleFilter> | null | undefined;
  /** Filter by the object’s `assignedBy` field. */
  assignedBy?: UuidFilter | null | undefined;
  /** Filter by the object’s `mapping` relation. */
  mapping?: RoleMappingFilter | null | undefined;
  /** A related `mapping` exists. */
  mappingExists?: boolean | null | undefined;
  /** Negates the expression. */
  not?: UserRoleFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<UserRoleFilter> | null | undefined;
  /** Filter by the object’s `role` relation. */
  role?: RoleFilter | null | undefined;
  /** Filter by the object’s `roleId` field. */
  roleId?: UuidFilter | null | undefined;
  /** Filter by the object’s `user` relation. */
  user?: UserFilter | null | undefined;
  /** Filter by the object’s `userByAssignedBy` relation. */
  userByAssignedBy?: UserFilter | null | undefined;
  /** A related `userByAssignedBy` exists. */
  userByAssignedByExists?: boolean | null | undefined;
  /** Filter by the object’s `userId` field. */
  userId?: UuidFilter | null | undefined;
  /** Filter by the object’s `userRoleId` field. */
  userRoleId?: UuidFilter | null | undefined;
};

/** A filter to be used against `UserSession` object types. All fields are combined with a logical ‘and.’ */
export type UserSessionFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<UserSessionFilter> | null | undefined;
  /** Filter by the object’s `createdAt` field. */
  createdAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `expiresAt` field. */
  expiresAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `ipAddress` field. */
  ipAddress?: InternetAddressFilter | null | undefined;
  /** Filter by the object’s `lastUsedAt` field. */
  lastUsedAt?: DatetimeFilter | null | undefined;
  /** Negates the expression. */
  not?: UserSessionFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<UserSessionFilter> | null | undefined;
  /** Filter by the object’s `revokeReason` field. */
  revokeReason?: StringFilter | null | undefined;
  /** Filter by the object’s `revokedAt` field. */
  revokedAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `sessionId` field. */
  sessionId?: UuidFilter | null | undefined;
  /** Filter by the object’s `user` relation. */
  user?: UserFilter | null | undefined;
  /** Filter by the object’s `userAgent` field. */
  userAgent?: StringFilter | null | undefined;
  /** A related `user` exists. */
  userExists?: boolean | null | undefined;
  /** Filter by the object’s `userId` field. */
  userId?: UuidFilter | null | undefined;
};

/** A filter to be used against many `Invitation` object types. All fields are combined with a logical ‘and.’ */
export type UserToManyInvitationFilter = {
  /** Every related `Invitation` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: InvitationFilter | null | undefined;
  /** No related `Invitation` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: InvitationFilter | null | undefined;
  /** Some related `Invitation` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: InvitationFilter | null | undefined;
};

/** A filter to be used against many `RetentionPolicy` object types. All fields are combined with a logical ‘and.’ */
export type UserToManyRetentionPolicyFilter = {
  /** Every related `RetentionPolicy` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: RetentionPolicyFilter | null | undefined;
  /** No related `RetentionPolicy` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: RetentionPolicyFilter | null | undefined;
  /** Some related `RetentionPolicy` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: RetentionPolicyFilter | null | undefined;
};

/** A filter to be used against many `RoleMapping` object types. All fields are combined with a logical ‘and.’ */
export type UserToManyRoleMappingFilter = {
  /** Every related `RoleMapping` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: RoleMappingFilter | null | undefined;
  /** No related `RoleMapping` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: RoleMappingFilter | null | undefined;
  /** Some related `RoleMapping` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: RoleMappingFilter | null | undefined;
};

/** A filter to be used against many `RolePermission` object types. All fields are combined with a logical ‘and.’ */
export type UserToManyRolePermissionFilter = {
  /** Every related `RolePermission` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: RolePermissionFilter | null | undefined;
  /** No related `RolePermission` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: RolePermissionFilter | null | undefined;
  /** Some related `RolePermission` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: RolePermissionFilter | null | undefined;
};

/** A filter to be used against many `ServiceToken` object types. All fields are combined with a logical ‘and.’ */
export type UserToManyServiceTokenFilter = {
  /** Every related `ServiceToken` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: ServiceTokenFilter | null | undefined;
  /** No related `ServiceToken` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: ServiceTokenFilter | null | undefined;
  /** Some related `ServiceToken` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: ServiceTokenFilter | null | undefined;
};

/** A filter to be used against many `SystemSetting` object types. All fields are combined with a logical ‘and.’ */
export type UserToManySystemSettingFilter = {
  /** Every related `SystemSetting` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: SystemSettingFilter | null | undefined;
  /** No related `SystemSetting` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: SystemSettingFilter | null | undefined;
  /** Some related `SystemSetting` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: SystemSettingFilter | null | undefined;
};

/** A filter to be used against many `UserRole` object types. All fields are combined with a logical ‘and.’ */
export type UserToManyUserRoleFilter = {
  /** Every related `UserRole` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: UserRoleFilter | null | undefined;
  /** No related `UserRole` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: UserRoleFilter | null | undefined;
  /** Some related `UserRole` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: UserRoleFilter | null | undefined;
};

/** A filter to be used against many `UserSession` object types. All fields are combined with a logical ‘and.’ */
export type UserToManyUserSessionFilter = {
  /** Every related `UserSession` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  every?: UserSessionFilter | null | undefined;
  /** No related `UserSession` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  none?: UserSessionFilter | null | undefined;
  /** Some related `UserSession` matches the filter criteria. All fields are combined with a logical ‘and.’ */
  some?: UserSessionFilter | null | undefined;
};

export type AlertRulesQueryVariables = Exact<{
  filter?: AlertConfigFilter | null | undefined;
}>;


export type AlertRulesQuery = { alertConfigs: { totalCount: number, nodes: Array<{ alertId: string, appId: string | null, metricName: string, condition: string, thresholdValue: number, durationSeconds: number, cooldownSeconds: number, severity: string, isActive: boolean, application: { name: string } | null } | null> } | null };

export type RulePreviewQueryVariables = Exact<{
  filter: MetricFilter;
}>;


export type RulePreviewQuery = { newest: { nodes: Array<{ timestamp: string, value: number } | null> } | null, older: { nodes: Array<{ timestamp: string, value: number } | null> } | null, oldest: { nodes: Array<{ timestamp: string, value: number } | null> } | null };

export type CreateAlertRuleMutationVariables = Exact<{
  input: CreateAlertConfigInput;
}>;


export type CreateAlertRuleMutation = { createAlertConfig: { alertConfig: { alertId: string } | null } | null };

export type UpdateAlertRuleMutationVariables = Exact<{
  input: UpdateAlertConfigInput;
}>;


export type UpdateAlertRuleMutation = { updateAlertConfig: { alertConfig: { alertId: string } | null } | null };

export type DeleteAlertRuleMutationVariables = Exact<{
  input: DeleteAlertConfigInput;
}>;


export type DeleteAlertRuleMutation = { deleteAlertConfig: { alertConfig: { alertId: string } | null } | null };

export const AlertRulesDocument = `
query AlertRules($filter: AlertConfigFilter) {
  alertConfigs(first: 200, filter: $filter, orderBy: [METRIC_NAME_ASC]) {
    totalCount
    nodes {
      alertId
      appId
      application {
        name
      }
      metricName
      condition
      thresholdValue
      durationSeconds
      cooldownSeconds
      severity
      isActive
    }
  }
}
` as unknown as TypedDocumentNode<AlertRulesQuery, AlertRulesQueryVariables>;
export const RulePreviewDocument = `
query RulePreview($filter: MetricFilter!) {
  newest: metrics(first: 500, filter: $filter, orderBy: [TIMESTAMP_DESC]) {
    nodes {
      timestamp
      value
    }
  }
  older: metrics(
    first: 500
    offset: 500
    filter: $filter
    orderBy: [TIMESTAMP_DESC]
  ) {
    nodes {
      timestamp
      value
    }
  }
  oldest: metrics(
    first: 500
    offset: 1000
    filter: $filter
    orderBy: [TIMESTAMP_DESC]
  ) {
    nodes {
      timestamp
      value
    }
  }
}
` as unknown as TypedDocumentNode<RulePreviewQuery, RulePreviewQueryVariables>;
export const CreateAlertRuleDocument = `
mutation CreateAlertRule($input: CreateAlertConfigInput!) {
  createAlertConfig(input: $input) {
    alertConfig {
      alertId
    }
  }
}
` as unknown as TypedDocumentNode<CreateAlertRuleMutation, CreateAlertRuleMutationVariables>;
export const UpdateAlertRuleDocument = `
mutation UpdateAlertRule($input: UpdateAlertConfigInput!) {
  updateAlertConfig(input: $input) {
    alertConfig {
      alertId
    }
  }
}
` as unknown as TypedDocumentNode<UpdateAlertRuleMutation, UpdateAlertRuleMutationVariables>;
export const DeleteAlertRuleDocument = `
mutation DeleteAlertRule($input: DeleteAlertConfigInput!) {
  deleteAlertConfig(input: $input) {
    alertConfig {
      alertId
    }
  }
}
` as unknown as TypedDocumentNode<DeleteAlertRuleMutation, DeleteAlertRuleMutationVariables>;
