// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
export type AcceptInvitationInput = {
  newPassword: string;
  /** The token of the link. */
  token: string;
};

export type LoginInput = {
  /** The one-time code, for users with a second factor. */
  code?: string | null | undefined;
  email: string;
  password: string;
  /** The name of the tenant. */
  tenant: string;
};

export type ViewerQueryVariables = Exact<{ [key: string]: never; }>;


export type ViewerQuery = { viewerPermissions: Array<string | null> | null, viewer: { userId: string, username: string, email: string | null, tenantId: string, tenant: { name: string } | null } | null };

export type StartSessionMutationVariables = Exact<{
  input: LoginInput;
}>;


export type StartSessionMutation = { startCookieSession: { accessTokenExpiresAt: string, sessionExpiresAt: string } | null };

export type RefreshSessionMutationVariables = Exact<{ [key: string]: never; }>;


export type RefreshSessionMutation = { refreshCookieSession: { accessTokenExpiresAt: string, sessionExpiresAt: string } | null };

export type EndSessionMutationVariables = Exact<{ [key: string]: never; }>;


export type EndSessionMutation = { endCookieSession: { changed: boolean } | null };

export type AcceptInvitationMutationVariables = Exact<{
  input: AcceptInvitationInput;
}>;


export type AcceptInvitationMutation = { acceptInvitation: { tenant: string, email: string, requiresSecondFactor: boolean } | null };

export const ViewerDocument = `
query Viewer {
  viewer {
    userId
    username
    email
    tenantId
    tenant {
      name
    }
  }
  viewerPermissions
}
` as unknown as TypedDocumentNode<ViewerQuery, ViewerQueryVariables>;
export const StartSessionDocument = `
mutation StartSession($input: LoginInput!) {
  startCookieSession(input: $input) {
    accessTokenExpiresAt
    sessionExpiresAt
  }
}
` as unknown as TypedDocumentNode<StartSessionMutation, StartSessionMutationVariables>;
export const RefreshSessionDocument = `
mutation RefreshSession {
  refreshCookieSession {
    accessTokenExpiresAt
    sessionExpiresAt
  }
}
` as unknown as TypedDocumentNode<RefreshSessionMutation, RefreshSessionMutationVariables>;
export const EndSessionDocument = `
mutation EndSession {
  endCookieSession {
    changed
  }
}
` as unknown as TypedDocumentNode<EndSessionMutation, EndSessionMutationVariables>;
export const AcceptInvitationDocument = `
mutation AcceptInvitation($input: AcceptInvitationInput!) {
  acceptInvitation(input: $input) {
    tenant
    email
    requiresSecondFactor
  }
}
` as unknown as TypedDocumentNode<AcceptInvitationMutation, AcceptInvitationMutationVariables>;
