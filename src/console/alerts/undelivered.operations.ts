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

/** Which change of an alert is told. */
export type AlertEvent =
  | 'ACKNOWLEDGED'
  | 'RESOLVED'
  | 'TRIGGERED';

/** All input for the `replayNotification` mutation. */
export type ReplayNotificationInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  notificationId: string;
};

export type UndeliveredQueryVariables = Exact<{ [key: string]: never; }>;


export type UndeliveredQuery = { alertNotifications: { nodes: Array<{ notificationId: string, channel: AlertChannel, event: AlertEvent, attempts: number, lastError: string | null, createdAt: string, application: { name: string } | null } | null> } | null };

export type ReplayNotificationMutationVariables = Exact<{
  input: ReplayNotificationInput;
}>;


export type ReplayNotificationMutation = { replayNotification: { clientMutationId: string | null } | null };

export const UndeliveredDocument = `
query Undelivered {
  alertNotifications(
    first: 100
    filter: {status: {equalTo: DEAD}}
    orderBy: [CREATED_AT_DESC]
  ) {
    nodes {
      notificationId
      channel
      event
      attempts
      lastError
      createdAt
      application {
        name
      }
    }
  }
}
` as unknown as TypedDocumentNode<UndeliveredQuery, UndeliveredQueryVariables>;
export const ReplayNotificationDocument = `
mutation ReplayNotification($input: ReplayNotificationInput!) {
  replayNotification(input: $input) {
    clientMutationId
  }
}
` as unknown as TypedDocumentNode<ReplayNotificationMutation, ReplayNotificationMutationVariables>;
