// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** All input for the `retryJobs` mutation. */
export type RetryJobsInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  jobIds?: Array<string> | null | undefined;
};

export type FailedJobsQueryVariables = Exact<{ [key: string]: never; }>;


export type FailedJobsQuery = { failedJobs: { nodes: Array<{ jobId: string | null, task: string | null, attempts: number | null, lastError: string | null, createdAt: string | null, failedAt: string | null } | null> } | null };

export type RetryJobsMutationVariables = Exact<{
  input: RetryJobsInput;
}>;


export type RetryJobsMutation = { retryJobs: { retried: number | null } | null };

export const FailedJobsDocument = `
query FailedJobs {
  failedJobs(first: 100) {
    nodes {
      jobId
      task
      attempts
      lastError
      createdAt
      failedAt
    }
  }
}
` as unknown as TypedDocumentNode<FailedJobsQuery, FailedJobsQueryVariables>;
export const RetryJobsDocument = `
mutation RetryJobs($input: RetryJobsInput!) {
  retryJobs(input: $input) {
    retried
  }
}
` as unknown as TypedDocumentNode<RetryJobsMutation, RetryJobsMutationVariables>;
