// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** What a process of the registry is. */
export type ProcessKind =
  | 'API'
  | 'CLIENT'
  | 'GATEWAY'
  | 'WORKER';

export type ProcessesQueryVariables = Exact<{ [key: string]: never; }>;


export type ProcessesQuery = { processes: { nodes: Array<{ login: string, processId: string, kind: ProcessKind, name: string, host: string, version: string, startedAt: string, seenAt: string, isSilent: boolean | null, applicationCount: number, databaseCalls: string, outages: string, unchargedOperations: string } | null> } | null };

export const ProcessesDocument = `
query Processes {
  processes(first: 500, orderBy: [PRIMARY_KEY_ASC]) {
    nodes {
      login
      processId
      kind
      name
      host
      version
      startedAt
      seenAt
      isSilent
      applicationCount
      databaseCalls
      outages
      unchargedOperations
    }
  }
}
` as unknown as TypedDocumentNode<ProcessesQuery, ProcessesQueryVariables>;
