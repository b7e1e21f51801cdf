// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
export type ApplicationNamesQueryVariables = Exact<{
  after?: string | null | undefined;
}>;


export type ApplicationNamesQuery = { applications: { nodes: Array<{ appId: string, name: string, isActive: boolean, suspendedUntil: string | null, clusterId: string | null, tenant: { name: string } | null, cluster: { name: string } | null } | null>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } | null };

export const ApplicationNamesDocument = `
query ApplicationNames($after: Cursor) {
  applications(first: 500, after: $after) {
    nodes {
      appId
      name
      isActive
      suspendedUntil
      clusterId
      tenant {
        name
      }
      cluster {
        name
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
` as unknown as TypedDocumentNode<ApplicationNamesQuery, ApplicationNamesQueryVariables>;
