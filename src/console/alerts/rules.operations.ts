// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** A filter to be used against `AlertConfig` object types. All fields are combined with a logical ‘and.’ */
export type AlertConfigFilter = {
  /** Filter by the object’s `alertId` field. */
  alertId?: UuidFilter | null | undefined;
  /** Checks for all expressions in this list. */
  and?: Array<AlertConfigFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `application` relation. */
  application?: ApplicationFilter | null | undefined;
  /** Filter by the object’s `metricName` field. */
  metricName?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: AlertConfigFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<AlertConfigFilter> | null | undefined;
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

/** A filter to be used against `Application` object types. All fields are combined with a logical ‘and.’ */
export type ApplicationFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<ApplicationFilter> | null | undefined;
  /** Filter by the object’s `appId` field. */
  appId?: UuidFilter | null | undefined;
  /** Filter by the object’s `cluster` relation. */
  cluster?: ClusterFilter | null | undefined;
  /** A related `cluster` exists. */
  clusterExists?: boolean | null | undefined;
  /** Filter by the object’s `clusterId` field. */
  clusterId?: UuidFilter | null | undefined;
  /** Filter by the object’s `createdAt` field. */
  createdAt?: DatetimeFilter | null | undefined;
  /** Filter by the object’s `isActive` field. */
  isActive?: BooleanFilter | null | undefined;
  /** Filter by the object’s `metadata` field. */
  metadata?: JsonFilter | null | undefined;
  /** Filter by the object’s `name` field. */
  name?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: ApplicationFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<ApplicationFilter> | null | undefined;
  /** Filter by the object’s `tenant` relation. */
  tenant?: TenantFilter | null | undefined;
  /** Filter by the object’s `tenantId` field. */
  tenantId?: UuidFilter | null | undefined;
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

/** A filter to be used against `Cluster` object types. All fields are combined with a logical ‘and.’ */
export type ClusterFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<ClusterFilter> | null | undefined;
  /** Filter by the object’s `clusterId` field. */
  clusterId?: UuidFilter | null | undefined;
  /** Filter by the object’s `healthStatus` field. */
  healthStatus?: StringFilter | null | undefined;
  /** Filter by the object’s `name` field. */
  name?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: ClusterFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<ClusterFilter> | null | undefined;
  /** Filter by the object’s `region` field. */
  region?: StringFilter | null | undefined;
};

/** All input for the create `AlertConfig` mutation. */
export type CreateAlertConfigInput = {
  /** The application watched. */
  appId: string;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
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

/** A filter to be used against JSON fields. All fields are combined with a logical ‘and.’ */
export type JsonFilter = {
  /** Contains the specified JSON. */
  contains?: unknown;
  /** Equal to the specified value. */
  equalTo?: unknown;
  /** Greater than the specified value. */
  greaterThan?: unknown;
  /** Greater than or equal to the specified value. */
  greaterThanOrEqualTo?: unknown;
  /** Included in the specified list. */
  in?: Array<unknown> | null | undefined;
  /** Is null (if `true` is specified) or is not null (if `false` is specified). */
  isNull?: boolean | null | undefined;
  /** Less than the specified value. */
  lessThan?: unknown;
  /** Less than or equal to the specified value. */
  lessThanOrEqualTo?: unknown;
  /** Not equal to the specified value. */
  notEqualTo?: unknown;
  /** Not included in the specified list. */
  notIn?: Array<unknown> | null | undefined;
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

/** A filter to be used against `Tenant` object types. All fields are combined with a logical ‘and.’ */
export type TenantFilter = {
  /** Checks for all expressions in this list. */
  and?: Array<TenantFilter> | null | undefined;
  /** Filter by the object’s `name` field. */
  name?: StringFilter | null | undefined;
  /** Negates the expression. */
  not?: TenantFilter | null | undefined;
  /** Checks for any expressions in this list. */
  or?: Array<TenantFilter> | null | undefined;
  /** Filter by the object’s `tenantId` field. */
  tenantId?: UuidFilter | null | undefined;
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

export type AlertRulesQueryVariables = Exact<{
  filter?: AlertConfigFilter | null | undefined;
}>;


export type AlertRulesQuery = { alertConfigs: { totalCount: number, nodes: Array<{ alertId: string, appId: string, metricName: string, condition: string, thresholdValue: number, durationSeconds: number, cooldownSeconds: number, severity: string, isActive: boolean, application: { name: string } | null } | null> } | null };

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
