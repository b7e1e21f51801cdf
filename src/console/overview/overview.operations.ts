// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** How a metric is compared with the threshold of an alert. */
export type AlertCondition =
  | 'EQUAL'
  | 'GREATER_THAN'
  | 'GREATER_THAN_OR_EQUAL'
  | 'LESS_THAN'
  | 'LESS_THAN_OR_EQUAL'
  | 'NOT_EQUAL';

/** How bad what an alert tells is. */
export type AlertSeverity =
  | 'CRITICAL'
  | 'INFO'
  | 'WARNING';

/** How far an alert has come. */
export type AlertStatus =
  | 'ACKNOWLEDGED'
  | 'RESOLVED'
  | 'TRIGGERED';

/** What a bucket holds and at which layer, in the order in which a denial names them. */
export type BucketType =
  | 'BANDWIDTH_L1'
  | 'BANDWIDTH_L2'
  | 'BANDWIDTH_RESERVE'
  | 'IOPS_L1'
  | 'IOPS_L2'
  | 'IOPS_RESERVE';

/** What probes of a cluster say; UNKNOWN without a probe. */
export type ClusterHealth =
  | 'DEGRADED'
  | 'HEALTHY'
  | 'UNHEALTHY'
  | 'UNKNOWN';

export type OverviewFactsQueryVariables = Exact<{
  mayMonitor: boolean;
}>;


export type OverviewFactsQuery = { clusters: { nodes: Array<{ clusterId: string, name: string, region: string, healthStatus: ClusterHealth, healthCheckedAt: string | null, isActive: boolean } | null> } | null, alerts: { nodes: Array<{ historyId: string, status: AlertStatus, triggeredAt: string, actualValue: number, thresholdValue: number, description: string | null, appId: string, application: { name: string } | null, alertConfig: { metricName: string, severity: AlertSeverity, condition: AlertCondition } | null } | null> } | null, failedJobs?: { nodes: Array<{ jobId: string | null, task: string | null, failedAt: string | null, lastError: string | null } | null> } | null };

export type OverviewStatusSubscriptionVariables = Exact<{ [key: string]: never; }>;


export type OverviewStatusSubscription = { overviewStatus: { at: string, usage: Array<{ appId: string | null, appName: string | null, clusterId: string | null, tokensPerSecond: string | null, bytesPerSecond: string | null, deniedPerSecond: string | null, clusterTokensPerSecond: string | null, clusterBytesPerSecond: string | null, clusterDeniedPerSecond: string | null } | null>, buckets: Array<{ clusterId: string | null, bucketType: BucketType | null, tokens: string | null, capacity: string | null, refillRate: string | null, debt: string | null, debtSeconds: string | null, reserved: string | null } | null> } | null };

export const OverviewFactsDocument = `
query OverviewFacts($mayMonitor: Boolean!) {
  clusters(first: 50) {
    nodes {
      clusterId
      name
      region
      healthStatus
      healthCheckedAt
      isActive
    }
  }
  alerts(first: 8, filter: {status: {in: [TRIGGERED, ACKNOWLEDGED]}}) {
    nodes {
      historyId
      status
      triggeredAt
      actualValue
      thresholdValue
      description
      appId
      application {
        name
      }
      alertConfig {
        metricName
        severity
        condition
      }
    }
  }
  failedJobs(first: 5) @include(if: $mayMonitor) {
    nodes {
      jobId
      task
      failedAt
      lastError
    }
  }
}
` as unknown as TypedDocumentNode<OverviewFactsQuery, OverviewFactsQueryVariables>;
export const OverviewStatusDocument = `
subscription OverviewStatus {
  overviewStatus {
    at
    usage {
      appId
      appName
      clusterId
      tokensPerSecond
      bytesPerSecond
      deniedPerSecond
      clusterTokensPerSecond
      clusterBytesPerSecond
      clusterDeniedPerSecond
    }
    buckets {
      clusterId
      bucketType
      tokens
      capacity
      refillRate
      debt
      debtSeconds
      reserved
    }
  }
}
` as unknown as TypedDocumentNode<OverviewStatusSubscription, OverviewStatusSubscriptionVariables>;
