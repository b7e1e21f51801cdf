// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** How a quota refills its bucket. */
export type CalculationMethod =
  | 'FIXED_WINDOW'
  | 'LEAKY_BUCKET'
  | 'TOKEN_BUCKET';

/** What probes of a cluster say; UNKNOWN without a probe. */
export type ClusterHealth =
  | 'DEGRADED'
  | 'HEALTHY'
  | 'UNHEALTHY'
  | 'UNKNOWN';

/** What an operation was denied for: the bucket that was short, or why none can pay. */
export type DenialReason =
  | 'BANDWIDTH_L1'
  | 'BANDWIDTH_L2'
  | 'EXCEEDS_CAPACITY'
  | 'IOPS_L1'
  | 'IOPS_L2'
  | 'NO_QUOTA';

/** enforce: the quota decides. shadow: it is measured beside the deciding one and never denies. */
export type QuotaMode =
  | 'ENFORCE'
  | 'SHADOW';

/** All input for the `removeReservation` mutation. */
export type RemoveReservationInput = {
  appId: string;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  reason: string;
};

/** All input for the `setReservation` mutation. */
export type SetReservationInput = {
  appId: string;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  reason: string;
  reservationSeconds?: number | null | undefined;
  reservedBps?: string | null | undefined;
  reservedIops?: string | null | undefined;
};

export type ClustersQueryVariables = Exact<{ [key: string]: never; }>;


export type ClustersQuery = { clusters: { nodes: Array<{ clusterId: string, name: string, region: string, healthStatus: ClusterHealth, healthCheckedAt: string | null, isActive: boolean } | null> } | null };

export type ClusterQueryVariables = Exact<{
  clusterId: string;
}>;


export type ClusterQuery = { cluster: { clusterId: string, name: string, region: string, healthStatus: ClusterHealth, healthCheckedAt: string | null, isActive: boolean, details: { maxCapacity: string | null, healthMessage: string | null } | null, quotas: { nodes: Array<{ configId: string, mode: QuotaMode, isActive: boolean, isHeld: boolean, validFrom: string, validTo: string | null, warnings: Array<string | null> | null, iopsQuota: { iopsLimit: number, iopsBurst: number, burstDurationSeconds: number, refillRate: number, calculationMethod: CalculationMethod, minReserve: number } | null, bandwidthQuota: { bandwidthLimitBps: string, bandwidthBurstBps: string, burstDurationSeconds: number, refillRateBps: string, allowOversize: boolean } | null } | null> }, reservations: { nodes: Array<{ appId: string, reservedIops: string | null, reservedBps: string | null, reservationSeconds: number, application: { name: string } | null } | null> } } | null };

export type ClusterDenialsQueryVariables = Exact<{
  clusterId: string;
  since: string;
}>;


export type ClusterDenialsQuery = { denialCounts: { nodes: Array<{ appId: string, minute: string, reason: DenialReason, operations: string, application: { name: string } | null } | null>, pageInfo: { hasNextPage: boolean } } | null };

export type ClusterConsumersQueryVariables = Exact<{
  clusterId: string;
  since: string;
  until: string;
}>;


export type ClusterConsumersQuery = { topConsumers: Array<{ appId: string | null, appName: string | null, tokensConsumed: string | null, percentage: string | null, deniedOperations: string | null } | null> | null };

export type SetReservationMutationVariables = Exact<{
  input: SetReservationInput;
}>;


export type SetReservationMutation = { setReservation: { blockedOperations: Array<string | null> | null, unpaidOperations: Array<string | null> | null } | null };

export type RemoveReservationMutationVariables = Exact<{
  input: RemoveReservationInput;
}>;


export type RemoveReservationMutation = { removeReservation: { reservation: { appId: string } | null } | null };

export const ClustersDocument = `
query Clusters {
  clusters(first: 100) {
    nodes {
      clusterId
      name
      region
      healthStatus
      healthCheckedAt
      isActive
    }
  }
}
` as unknown as TypedDocumentNode<ClustersQuery, ClustersQueryVariables>;
export const ClusterDocument = `
query Cluster($clusterId: UUID!) {
  cluster(clusterId: $clusterId) {
    clusterId
    name
    region
    healthStatus
    healthCheckedAt
    isActive
    details {
      maxCapacity
      healthMessage
    }
    quotas(first: 20, orderBy: [VALID_FROM_DESC]) {
      nodes {
        configId
        mode
        isActive
        isHeld
        validFrom
        validTo
        warnings
        iopsQuota {
          iopsLimit
          iopsBurst
          burstDurationSeconds
          refillRate
          calculationMethod
          minReserve
        }
        bandwidthQuota {
          bandwidthLimitBps
          bandwidthBurstBps
          burstDurationSeconds
          refillRateBps
          allowOversize
        }
      }
    }
    reservations(first: 200) {
      nodes {
        appId
        reservedIops
        reservedBps
        reservationSeconds
        application {
          name
        }
      }
    }
  }
}
` as unknown as TypedDocumentNode<ClusterQuery, ClusterQueryVariables>;
export const ClusterDenialsDocument = `
query ClusterDenials($clusterId: UUID!, $since: Datetime!) {
  denialCounts(
    first: 500
    orderBy: [OPERATIONS_DESC]
    filter: {minute: {greaterThanOrEqualTo: $since}, application: {clusterId: {equalTo: $clusterId}}}
  ) {
    nodes {
      appId
      minute
      reason
      operations
      application {
        name
      }
    }
    pageInfo {
      hasNextPage
    }
  }
}
` as unknown as TypedDocumentNode<ClusterDenialsQuery, ClusterDenialsQueryVariables>;
export const ClusterConsumersDocument = `
query ClusterConsumers($clusterId: UUID!, $since: Datetime!, $until: Datetime!) {
  topConsumers(clusterId: $clusterId, since: $since, until: $until, maxRows: 12) {
    appId
    appName
    tokensConsumed
    percentage
    deniedOperations
  }
}
` as unknown as TypedDocumentNode<ClusterConsumersQuery, ClusterConsumersQueryVariables>;
export const SetReservationDocument = `
mutation SetReservation($input: SetReservationInput!) {
  setReservation(input: $input) {
    blockedOperations
    unpaidOperations
  }
}
` as unknown as TypedDocumentNode<SetReservationMutation, SetReservationMutationVariables>;
export const RemoveReservationDocument = `
mutation RemoveReservation($input: RemoveReservationInput!) {
  removeReservation(input: $input) {
    reservation {
      appId
    }
  }
}
` as unknown as TypedDocumentNode<RemoveReservationMutation, RemoveReservationMutationVariables>;
