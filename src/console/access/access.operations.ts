// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** All input for the `createServiceAccount` mutation. */
export type CreateServiceAccountInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  name: string;
  roles?: Array<string> | null | undefined;
  rolesExpireAt?: string | null | undefined;
  tenantId?: string | null | undefined;
};

/** All input for the `inviteUser` mutation. */
export type InviteUserInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  email: string;
  expiresAt?: string | null | undefined;
  roles?: Array<string> | null | undefined;
  rolesExpireAt?: string | null | undefined;
  tenantId?: string | null | undefined;
  username?: string | null | undefined;
};

/** All input for the `issueServiceToken` mutation. */
export type IssueServiceTokenInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  expiresAt: string;
  name?: string | null | undefined;
  permissions?: Array<string> | null | undefined;
  userId: string;
};

/** All input for the `mapGroup` mutation. */
export type MapGroupInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  forAllTenants?: boolean | null | undefined;
  groupName: string;
  role: string;
  tenantId?: string | null | undefined;
};

/** All input for the `revokeInvitation` mutation. */
export type RevokeInvitationInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  invitationId: string;
};

/** All input for the `revokeServiceToken` mutation. */
export type RevokeServiceTokenInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  tokenId: string;
};

/** All input for the `unmapGroup` mutation. */
export type UnmapGroupInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  mappingId: string;
};

export type AccessQueryVariables = Exact<{ [key: string]: never; }>;


export type AccessQuery = { users: { nodes: Array<{ userId: string, username: string, tenant: { name: string } | null, userRoles: { nodes: Array<{ userRoleId: string, role: { name: string } | null } | null> }, serviceTokens: { nodes: Array<{ tokenId: string, prefix: string | null, name: string | null, expiresAt: string | null, lastUsedAt: string | null } | null> } } | null> } | null, invitations: { nodes: Array<{ invitationId: string, expiresAt: string | null, acceptedAt: string | null, revokedAt: string | null, user: { email: string | null, username: string } | null } | null> } | null, roleMappings: { nodes: Array<{ mappingId: string, groupName: string, lastsUntil: string | null, role: { name: string } | null, tenant: { name: string } | null } | null> } | null, roles: { nodes: Array<{ name: string } | null> } | null };

export type CreateServiceAccountMutationVariables = Exact<{
  input: CreateServiceAccountInput;
}>;


export type CreateServiceAccountMutation = { createServiceAccount: { serviceAccount: { userId: string } | null } | null };

export type IssueServiceTokenMutationVariables = Exact<{
  input: IssueServiceTokenInput;
}>;


export type IssueServiceTokenMutation = { issueServiceToken: { token: string | null } | null };

export type RevokeServiceTokenMutationVariables = Exact<{
  input: RevokeServiceTokenInput;
}>;


export type RevokeServiceTokenMutation = { revokeServiceToken: { revokedAt: string | null } | null };

export type InviteUserMutationVariables = Exact<{
  input: InviteUserInput;
}>;


export type InviteUserMutation = { inviteUser: { token: string | null } | null };

export type RevokeInvitationMutationVariables = Exact<{
  input: RevokeInvitationInput;
}>;


export type RevokeInvitationMutation = { revokeInvitation: { revokedAt: string | null } | null };

export type MapGroupMutationVariables = Exact<{
  input: MapGroupInput;
}>;


export type MapGroupMutation = { mapGroup: { roleMapping: { mappingId: string } | null } | null };

export type UnmapGroupMutationVariables = Exact<{
  input: UnmapGroupInput;
}>;


export type UnmapGroupMutation = { unmapGroup: { isEnded: boolean | null } | null };

export const AccessDocument = `
query Access {
  users(
    first: 50
    filter: {isServiceAccount: {equalTo: true}, isActive: {equalTo: true}}
  ) {
    nodes {
      userId
      username
      tenant {
        name
      }
      userRoles(first: 5) {
        nodes {
          userRoleId
          role {
            name
          }
        }
      }
      serviceTokens(first: 10, filter: {revokedAt: {isNull: true}}) {
        nodes {
          tokenId
          prefix
          name
          expiresAt
          lastUsedAt
        }
      }
    }
  }
  invitations(first: 100, orderBy: CREATED_AT_DESC) {
    nodes {
      invitationId
      expiresAt
      acceptedAt
      revokedAt
      user {
        email
        username
      }
    }
  }
  roleMappings(first: 100) {
    nodes {
      mappingId
      groupName
      lastsUntil
      role {
        name
      }
      tenant {
        name
      }
    }
  }
  roles(first: 100) {
    nodes {
      name
    }
  }
}
` as unknown as TypedDocumentNode<AccessQuery, AccessQueryVariables>;
export const CreateServiceAccountDocument = `
mutation CreateServiceAccount($input: CreateServiceAccountInput!) {
  createServiceAccount(input: $input) {
    serviceAccount {
      userId
    }
  }
}
` as unknown as TypedDocumentNode<CreateServiceAccountMutation, CreateServiceAccountMutationVariables>;
export const IssueServiceTokenDocument = `
mutation IssueServiceToken($input: IssueServiceTokenInput!) {
  issueServiceToken(input: $input) {
    token
  }
}
` as unknown as TypedDocumentNode<IssueServiceTokenMutation, IssueServiceTokenMutationVariables>;
export const RevokeServiceTokenDocument = `
mutation RevokeServiceToken($input: RevokeServiceTokenInput!) {
  revokeServiceToken(input: $input) {
    revokedAt
  }
}
` as unknown as TypedDocumentNode<RevokeServiceTokenMutation, RevokeServiceTokenMutationVariables>;
export const InviteUserDocument = `
mutation InviteUser($input: InviteUserInput!) {
  inviteUser(input: $input) {
    token
  }
}
` as unknown as TypedDocumentNode<InviteUserMutation, InviteUserMutationVariables>;
export const RevokeInvitationDocument = `
mutation RevokeInvitation($input: RevokeInvitationInput!) {
  revokeInvitation(input: $input) {
    revokedAt
  }
}
` as unknown as TypedDocumentNode<RevokeInvitationMutation, RevokeInvitationMutationVariables>;
export const MapGroupDocument = `
mutation MapGroup($input: MapGroupInput!) {
  mapGroup(input: $input) {
    roleMapping {
      mappingId
    }
  }
}
` as unknown as TypedDocumentNode<MapGroupMutation, MapGroupMutationVariables>;
export const UnmapGroupDocument = `
mutation UnmapGroup($input: UnmapGroupInput!) {
  unmapGroup(input: $input) {
    isEnded
  }
}
` as unknown as TypedDocumentNode<UnmapGroupMutation, UnmapGroupMutationVariables>;
