// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** What was done, as the audit tells it. */
export type AuditAction =
  | 'ACKNOWLEDGE'
  | 'ADJUST'
  | 'ADMINISTRATOR'
  | 'BORROW'
  | 'CONFIRM_SECOND_FACTOR'
  | 'DELETE'
  | 'EMAIL_CHANGED'
  | 'ENROL_SECOND_FACTOR'
  | 'EXPORT'
  | 'INSERT'
  | 'LOGIN'
  | 'LOGOUT'
  | 'LOGOUT_EVERYWHERE'
  | 'PASSWORD_CHANGED'
  | 'REFRESH_TOKEN_REUSED'
  | 'REMOVE_SECOND_FACTOR'
  | 'REPAY'
  | 'REPLAY'
  | 'RESET_SECOND_FACTOR'
  | 'RETRY'
  | 'ROLE_LOST'
  | 'SECOND_FACTOR_CHANGED'
  | 'SET_CEILING'
  | 'SET_PASSWORD'
  | 'TENANT_DEACTIVATED'
  | 'UPDATE'
  | 'USER_DEACTIVATED'
  | 'WRITE_OFF';

/** The kind of thing that the audit tells of. */
export type AuditEntityType =
  | 'ALERT'
  | 'ALERT_CONFIG'
  | 'ALERT_NOTIFICATION'
  | 'API_KEY'
  | 'APPLICATION'
  | 'AUDIT'
  | 'BANDWIDTH_QUOTA'
  | 'BORROWING'
  | 'BUCKET'
  | 'CEILING'
  | 'CLUSTER'
  | 'COST_RULE'
  | 'INVITATION'
  | 'IOPS_QUOTA'
  | 'JOB'
  | 'METRIC'
  | 'OPERATION_TYPE'
  | 'QUOTA'
  | 'RESERVATION'
  | 'RETENTION_POLICY'
  | 'ROLE'
  | 'ROLE_MAPPING'
  | 'ROLE_PERMISSION'
  | 'SERVICE_TOKEN'
  | 'SUSPENSION'
  | 'SYSTEM_SETTING'
  | 'TENANT'
  | 'USER'
  | 'USER_ROLE'
  | 'USER_SESSION';

/** Whether what the audit tells succeeded. */
export type AuditStatus =
  | 'FAILURE'
  | 'SUCCESS';

export type AuditQueryVariables = Exact<{
  since: string;
  until: string;
  action?: AuditAction | null | undefined;
  entityType?: AuditEntityType | null | undefined;
  containing?: string | null | undefined;
  after?: string | null | undefined;
}>;


export type AuditQuery = { searchAudit: { nodes: Array<{ logId: string, action: AuditAction, entityType: AuditEntityType, entityId: string | null, userId: string | null, createdAt: string, ipAddress: string | null, status: AuditStatus, errorMessage: string | null, requestId: string | null, oldValues: unknown, newValues: unknown } | null>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } | null };

export const AuditDocument = `
query Audit($since: Datetime!, $until: Datetime!, $action: AuditAction, $entityType: AuditEntityType, $containing: String, $after: Cursor) {
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
