// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** All input for the `acknowledgeAlert` mutation. */
export type AcknowledgeAlertInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  historyId: string;
};

/** How a metric is compared with the threshold of an alert. */
export type AlertCondition =
  | 'EQUAL'
  | 'GREATER_THAN'
  | 'GREATER_THAN_OR_EQUAL'
  | 'LESS_THAN'
  | 'LESS_THAN_OR_EQUAL'
  | 'NOT_EQUAL';

/** How bad what an alert tells is. */
export type AlertSeverity =
  | 'CRITICAL'
  | 'INFO'
  | 'WARNING';

/** How far an alert has come. */
export type AlertStatus =
  | 'ACKNOWLEDGED'
  | 'RESOLVED'
  | 'TRIGGERED';

export type AlertsQueryVariables = Exact<{
  statuses: Array<AlertStatus> | AlertStatus;
}>;


export type AlertsQuery = { alerts: { nodes: Array<{ historyId: string, status: AlertStatus, triggeredAt: string, acknowledgedAt: string | null, resolvedAt: string | null, actualValue: number, thresholdValue: number, description: string | null, appId: string, application: { name: string } | null, alertConfig: { appId: string | null, metricName: string, severity: AlertSeverity, condition: AlertCondition, durationSeconds: number } | null } | null> } | null };

export type AcknowledgeAlertMutationVariables = Exact<{
  input: AcknowledgeAlertInput;
}>;


export type AcknowledgeAlertMutation = { acknowledgeAlert: { alert: { historyId: string, status: AlertStatus, acknowledgedAt: string | null } | null } | null };

export type AlertChangedSubscriptionVariables = Exact<{ [key: string]: never; }>;


export type AlertChangedSubscription = { alertChanged: { historyId: string, status: AlertStatus } | null };

export const AlertsDocument = `
query Alerts($statuses: [AlertStatus!]!) {
  alerts(
    first: 100
    filter: {status: {in: $statuses}}
    orderBy: [TRIGGERED_AT_DESC]
  ) {
    nodes {
      historyId
      status
      triggeredAt
      acknowledgedAt
      resolvedAt
      actualValue
      thresholdValue
      description
      appId
      application {
        name
      }
      alertConfig {
        appId
        metricName
        severity
        condition
        durationSeconds
      }
    }
  }
}
` as unknown as TypedDocumentNode<AlertsQuery, AlertsQueryVariables>;
export const AcknowledgeAlertDocument = `
mutation AcknowledgeAlert($input: AcknowledgeAlertInput!) {
  acknowledgeAlert(input: $input) {
    alert {
      historyId
      status
      acknowledgedAt
    }
  }
}
` as unknown as TypedDocumentNode<AcknowledgeAlertMutation, AcknowledgeAlertMutationVariables>;
export const AlertChangedDocument = `
subscription AlertChanged {
  alertChanged {
    historyId
    status
  }
}
` as unknown as TypedDocumentNode<AlertChangedSubscription, AlertChangedSubscriptionVariables>;
