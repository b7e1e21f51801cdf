// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** All input for the `assignRole` mutation. */
export type AssignRoleInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  expiresAt?: string | null | undefined;
  role: string;
  userId: string;
};

/** All input for the `expireRole` mutation. */
export type ExpireRoleInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  role: string;
  userId: string;
};

export type PeopleQueryVariables = Exact<{ [key: string]: never; }>;


export type PeopleQuery = { users: { nodes: Array<{ userId: string, username: string, email: string | null, isActive: boolean, lastLoginAt: string | null, tenant: { name: string } | null, userRoles: { nodes: Array<{ userRoleId: string, expiresAt: string | null, role: { name: string } | null } | null> } } | null> } | null, roles: { nodes: Array<{ name: string, description: string | null } | null> } | null };

export type AssignRoleMutationVariables = Exact<{
  input: AssignRoleInput;
}>;


export type AssignRoleMutation = { assignRole: { userRole: { userRoleId: string } | null } | null };

export type ExpireRoleMutationVariables = Exact<{
  input: ExpireRoleInput;
}>;


export type ExpireRoleMutation = { expireRole: { userRole: { userRoleId: string } | null } | null };

export const PeopleDocument = `
query People {
  users(first: 200) {
    nodes {
      userId
      username
      email
      isActive
      lastLoginAt
      tenant {
        name
      }
      userRoles(first: 10) {
        nodes {
          userRoleId
          expiresAt
          role {
            name
          }
        }
      }
    }
  }
  roles(first: 100) {
    nodes {
      name
      description
    }
  }
}
` as unknown as TypedDocumentNode<PeopleQuery, PeopleQueryVariables>;
export const AssignRoleDocument = `
mutation AssignRole($input: AssignRoleInput!) {
  assignRole(input: $input) {
    userRole {
      userRoleId
    }
  }
}
` as unknown as TypedDocumentNode<AssignRoleMutation, AssignRoleMutationVariables>;
export const ExpireRoleDocument = `
mutation ExpireRole($input: ExpireRoleInput!) {
  expireRole(input: $input) {
    userRole {
      userRoleId
    }
  }
}
` as unknown as TypedDocumentNode<ExpireRoleMutation, ExpireRoleMutationVariables>;
