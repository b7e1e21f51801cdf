// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** Whether what the audit tells succeeded. */
export type AuditStatus =
  | 'FAILURE'
  | 'SUCCESS';

export type AuditQueryVariables = Exact<{
  since: string;
  until: string;
  action?: string | null | undefined;
  entityType?: string | null | undefined;
  containing?: string | null | undefined;
  after?: string | null | undefined;
}>;


export type AuditQuery = { searchAudit: { nodes: Array<{ logId: string, action: string, entityType: string, entityId: string | null, userId: string | null, createdAt: string, ipAddress: string | null, status: AuditStatus, errorMessage: string | null, requestId: string | null, oldValues: unknown, newValues: unknown } | null>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } | null };

export const AuditDocument = `
query Audit($since: Datetime!, $until: Datetime!, $action: String, $entityType: String, $containing: String, $after: Cursor) {
  searchAudit(
    since: $since
    until: $until
    action: $action
    entityType: $entityType
    containing: $containing
    first: 50
    after: $after
  ) {
    nodes {
      logId
      action
      entityType
      entityId
      userId
      createdAt
      ipAddress
      status
      errorMessage
      requestId
      oldValues
      newValues
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
` as unknown as TypedDocumentNode<AuditQuery, AuditQueryVariables>;
