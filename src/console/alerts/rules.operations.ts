// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** By which way an alert is told. */
export type AlertChannel =
  | 'EMAIL'
  | 'LOG'
  | 'SLACK'
  | 'WEBHOOK';

/** One place that an alert is told to. */
export type AlertChannelInput = {
  /** By which way. */
  channel: AlertChannel;
  /** What is told there; all of it where absent. */
  events?: Array<AlertEvent> | null | undefined;
  /** What a webhook's calls are signed by: 16 to 256 characters. */
  secret?: string | null | undefined;
  /** 1 to 20 addresses of an email. */
  to?: Array<string> | null | undefined;
  /** Of a webhook or of Slack. */
  url?: string | null | undefined;
};

/** How a metric is compared with the threshold of an alert. */
export type AlertCondition =
  | 'EQUAL'
  | 'GREATER_THAN'
  | 'GREATER_THAN_OR_EQUAL'
  | 'LESS_THAN'
  | 'LESS_THAN_OR_EQUAL'
  | 'NOT_EQUAL';

/** Represents an update to a `AlertConfig`. Fields that are set will be updated. */
export type AlertConfigPatch = {
  /** Where it is told, at most 20 places; an empty list for none. */
  channels?: Array<AlertChannelInput> | null | undefined;
  /** How a sample is compared with the threshold: >, <, >=, <=, = or !=. */
  condition?: AlertCondition | null | undefined;
  /** How long after one trigger the next is held back. */
  cooldownSeconds?: number | null | undefined;
  /** How long every sample must meet the condition before the alert is triggered; of a count of the system (qos_…) whole minutes, rounded up. */
  durationSeconds?: number | null | undefined;
  /** Whether it is watched for. */
  isActive?: boolean | null | undefined;
  /** The metric watched. */
  metricName?: string | null | undefined;
  /** info, warning or critical. */
  severity?: AlertSeverity | null | undefined;
  /** The threshold. */
  thresholdValue?: number | null | undefined;
};

/** Which change of an alert is told. */
export type AlertEvent =
  | 'ACKNOWLEDGED'
  | 'RESOLVED'
  | 'TRIGGERED';

/** How bad what an alert tells is. */
export type AlertSeverity =
  | 'CRITICAL'
  | 'INFO'
  | 'WARNING';

/** All input for the create `AlertConfig` mutation. */
export type CreateAlertConfigInput = {
  /** The application watched; null for every application of a tenant that has default alerts. */
  appId?: string | null | undefined;
  /** Where it is told, at most 20 places; an empty list for none. */
  channels: Array<AlertChannelInput>;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  /** How a sample is compared with the threshold: >, <, >=, <=, = or !=. */
  condition: AlertCondition;
  /** How long after one trigger the next is held back. */
  cooldownSeconds?: number | null | undefined;
  /** How long every sample must meet the condition before the alert is triggered; of a count of the system (qos_…) whole minutes, rounded up. */
  durationSeconds: number;
  /** The metric watched. */
  metricName: string;
  /** info, warning or critical. */
  severity: AlertSeverity;
  /** The threshold. */
  thresholdValue: number;
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

export type AlertRulesQueryVariables = Exact<{ [key: string]: never; }>;


export type AlertRulesQuery = { alertConfigs: { nodes: Array<{ alertId: string, appId: string | null, metricName: string, condition: AlertCondition, thresholdValue: number, durationSeconds: number, cooldownSeconds: number, severity: AlertSeverity, isActive: boolean, application: { name: string } | null } | null> } | null };

export type AlertRulesOfApplicationQueryVariables = Exact<{
  appId: string;
}>;


export type AlertRulesOfApplicationQuery = { alertConfigs: { nodes: Array<{ alertId: string, appId: string | null, metricName: string, condition: AlertCondition, thresholdValue: number, durationSeconds: number, cooldownSeconds: number, severity: AlertSeverity, isActive: boolean, application: { name: string } | null } | null> } | null };

export type AlertRuleFragment = { alertId: string, appId: string | null, metricName: string, condition: AlertCondition, thresholdValue: number, durationSeconds: number, cooldownSeconds: number, severity: AlertSeverity, isActive: boolean, application: { name: string } | null };

export type RulePreviewQueryVariables = Exact<{
  appId: string;
  metricName: string;
  condition: AlertCondition;
  thresholdValue: number;
  durationSeconds: number;
  cooldownSeconds: number;
  since: string;
  until: string;
}>;


export type RulePreviewQuery = { previewAlert: { triggeredAt: Array<string | null> | null, sampledAt: Array<string | null> | null, sampleValues: Array<number | null> | null } | null };

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
query AlertRules {
  alertConfigs(first: 200, orderBy: [METRIC_NAME_ASC]) {
    nodes {
      ...AlertRule
    }
  }
}

fragment AlertRule on AlertConfig {
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
` as unknown as TypedDocumentNode<AlertRulesQuery, AlertRulesQueryVariables>;
export const AlertRulesOfApplicationDocument = `
query AlertRulesOfApplication($appId: UUID!) {
  alertConfigs(
    first: 200
    filter: {appId: {equalTo: $appId}}
    orderBy: [METRIC_NAME_ASC]
  ) {
    nodes {
      ...AlertRule
    }
  }
}

fragment AlertRule on AlertConfig {
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
` as unknown as TypedDocumentNode<AlertRulesOfApplicationQuery, AlertRulesOfApplicationQueryVariables>;
export const RulePreviewDocument = `
query RulePreview($appId: UUID!, $metricName: String!, $condition: AlertCondition!, $thresholdValue: Float!, $durationSeconds: Int!, $cooldownSeconds: Int!, $since: Datetime!, $until: Datetime!) {
  previewAlert(
    appId: $appId
    metricName: $metricName
    condition: $condition
    thresholdValue: $thresholdValue
    durationSeconds: $durationSeconds
    cooldownSeconds: $cooldownSeconds
    since: $since
    until: $until
  ) {
    triggeredAt
    sampledAt
    sampleValues
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
