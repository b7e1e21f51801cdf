// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** An input for mutations affecting `CeilingLimit` */
export type CeilingLimitInput = {
  /** The most that their bursts may come to; the same as the limits where absent. */
  maxBurst?: string | null | undefined;
  /** The most that their full buckets may hold together; where absent what one quota of this limit and burst would hold, for the setting default_burst_duration. */
  maxCapacity?: string | null | undefined;
  /** The most that their limits may come to, in tokens or bytes a second. */
  maxLimit?: string | null | undefined;
};

/** All input for the `liftSuspension` mutation. */
export type LiftSuspensionInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  reason: string;
  suspensionId: string;
};

/** What is limited: operations by their tokens, or bandwidth by bytes. */
export type QuotaKind =
  | 'BANDWIDTH'
  | 'IOPS';

/** All input for the `setTenantCeiling` mutation. */
export type SetTenantCeilingInput = {
  bandwidth?: CeilingLimitInput | null | undefined;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  clusterId?: string | null | undefined;
  iops?: CeilingLimitInput | null | undefined;
  reason: string;
  removeBandwidth?: boolean | null | undefined;
  removeIops?: boolean | null | undefined;
  tenantId: string;
};

/** All input for the `suspendTenant` mutation. */
export type SuspendTenantInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  reason: string;
  tenantId: string;
  until?: string | null | undefined;
};

export type TenantsQueryVariables = Exact<{ [key: string]: never; }>;


export type TenantsQuery = { tenants: { nodes: Array<{ tenantId: string, name: string, description: string | null, isActive: boolean, applications: { totalCount: number }, users: { totalCount: number }, ceilings: { totalCount: number } } | null> } | null };

export type TenantQueryVariables = Exact<{
  tenantId: string;
}>;


export type TenantQuery = { tenant: { tenantId: string, name: string, description: string | null, isActive: boolean, requiresSecondFactor: boolean, hasDefaultAlerts: boolean, suspensions: { nodes: Array<{ suspensionId: string, reason: string, suspendedAt: string, suspendedUntil: string | null, liftedAt: string | null, liftReason: string | null } | null> }, ceilings: { nodes: Array<{ ceilingId: string, clusterId: string | null, cluster: { name: string } | null } | null> }, applications: { totalCount: number, nodes: Array<{ appId: string, name: string, isActive: boolean, suspendedUntil: string | null, cluster: { name: string } | null } | null> } } | null, ceilingUsage: Array<{ ceilingId: string | null, clusterId: string | null, kind: QuotaKind | null, maxLimit: string | null, maxBurst: string | null, maxCapacity: string | null, currentLimit: string | null, peakLimit: string | null, currentCapacity: string | null, peakCapacity: string | null } | null> | null, clusters: { nodes: Array<{ clusterId: string, name: string } | null> } | null };

export type SetCeilingMutationVariables = Exact<{
  input: SetTenantCeilingInput;
}>;


export type SetCeilingMutation = { setTenantCeiling: { ceiling: { ceilingId: string } | null } | null };

export type SuspendTenantMutationVariables = Exact<{
  input: SuspendTenantInput;
}>;


export type SuspendTenantMutation = { suspendTenant: { clientMutationId: string | null } | null };

export type LiftTenantSuspensionMutationVariables = Exact<{
  input: LiftSuspensionInput;
}>;


export type LiftTenantSuspensionMutation = { liftSuspension: { clientMutationId: string | null } | null };

export const TenantsDocument = `
query Tenants {
  tenants(first: 500, orderBy: [NAME_ASC]) {
    nodes {
      tenantId
      name
      description
      isActive
      applications(first: 1) {
        totalCount
      }
      users(first: 1) {
        totalCount
      }
      ceilings(first: 1) {
        totalCount
      }
    }
  }
}
` as unknown as TypedDocumentNode<TenantsQuery, TenantsQueryVariables>;
export const TenantDocument = `
query Tenant($tenantId: UUID!) {
  tenant(tenantId: $tenantId) {
    tenantId
    name
    description
    isActive
    requiresSecondFactor
    hasDefaultAlerts
    suspensions(first: 20, filter: {appId: {isNull: true}, apiKeyExists: false}) {
      nodes {
        suspensionId
        reason
        suspendedAt
        suspendedUntil
        liftedAt
        liftReason
      }
    }
    ceilings(first: 100) {
      nodes {
        ceilingId
        clusterId
        cluster {
          name
        }
      }
    }
    applications(first: 200, orderBy: [NAME_ASC]) {
      totalCount
      nodes {
        appId
        name
        isActive
        suspendedUntil
        cluster {
          name
        }
      }
    }
  }
  ceilingUsage(tenantId: $tenantId, first: 200) {
    ceilingId
    clusterId
    kind
    maxLimit
    maxBurst
    maxCapacity
    currentLimit
    peakLimit
    currentCapacity
    peakCapacity
  }
  clusters(first: 200, orderBy: [NAME_ASC]) {
    nodes {
      clusterId
      name
    }
  }
}
` as unknown as TypedDocumentNode<TenantQuery, TenantQueryVariables>;
export const SetCeilingDocument = `
mutation SetCeiling($input: SetTenantCeilingInput!) {
  setTenantCeiling(input: $input) {
    ceiling {
      ceilingId
    }
  }
}
` as unknown as TypedDocumentNode<SetCeilingMutation, SetCeilingMutationVariables>;
export const SuspendTenantDocument = `
mutation SuspendTenant($input: SuspendTenantInput!) {
  suspendTenant(input: $input) {
    clientMutationId
  }
}
` as unknown as TypedDocumentNode<SuspendTenantMutation, SuspendTenantMutationVariables>;
export const LiftTenantSuspensionDocument = `
mutation LiftTenantSuspension($input: LiftSuspensionInput!) {
  liftSuspension(input: $input) {
    clientMutationId
  }
}
` as unknown as TypedDocumentNode<LiftTenantSuspensionMutation, LiftTenantSuspensionMutationVariables>;
