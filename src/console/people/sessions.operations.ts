// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** All input for the `revokeSession` mutation. */
export type RevokeSessionInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  sessionId: string;
};

export type SessionsQueryVariables = Exact<{
  userId: string;
}>;


export type SessionsQuery = { userSessions: { nodes: Array<{ sessionId: string, ipAddress: string | null, userAgent: string | null, createdAt: string | null, lastUsedAt: string | null, expiresAt: string | null } | null> } | null };

export type RevokeSessionMutationVariables = Exact<{
  input: RevokeSessionInput;
}>;


export type RevokeSessionMutation = { revokeSession: { clientMutationId: string | null } | null };

export const SessionsDocument = `
query Sessions($userId: UUID!) {
  userSessions(
    first: 50
    filter: {userId: {equalTo: $userId}, revokedAt: {isNull: true}}
    orderBy: [LAST_USED_AT_DESC]
  ) {
    nodes {
      sessionId
      ipAddress
      userAgent
      createdAt
      lastUsedAt
      expiresAt
    }
  }
}
` as unknown as TypedDocumentNode<SessionsQuery, SessionsQueryVariables>;
export const RevokeSessionDocument = `
mutation RevokeSession($input: RevokeSessionInput!) {
  revokeSession(input: $input) {
    clientMutationId
  }
}
` as unknown as TypedDocumentNode<RevokeSessionMutation, RevokeSessionMutationVariables>;
