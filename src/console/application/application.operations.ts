// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** An input for mutations affecting `BandwidthLimit` */
export type BandwidthLimitInput = {
  /** Whether a full bucket admits what is larger than itself, and pays it back; yes where absent. */
  allowOversize?: boolean | null | undefined;
  /** Bytes per second while bursting; the sustained ones where absent. */
  bandwidthBurstBps?: string | null | undefined;
  /** Bytes per second, sustained. */
  bandwidthLimitBps?: string | null | undefined;
  /** Seconds that a full bucket sustains the burst; the setting default_burst_duration where absent. */
  burstDurationSeconds?: number | null | undefined;
  /** Bytes that flow in each second, at most the sustained ones, which it is where absent. */
  refillRateBps?: string | null | undefined;
};

/** Where a borrowing stands. */
export type BorrowingStatus =
  | 'ACTIVE'
  | 'CANCELLED'
  | 'DEFAULTED'
  | 'REPAID';

/** What a bucket holds and at which layer, in the order in which a denial names them. */
export type BucketType =
  | 'BANDWIDTH_L1'
  | 'BANDWIDTH_L2'
  | 'BANDWIDTH_RESERVE'
  | 'IOPS_L1'
  | 'IOPS_L2'
  | 'IOPS_RESERVE';

/** Whether a bucket could pay; NO_QUOTA where the application is denied without one. */
export type BucketVerdict =
  | 'ENOUGH'
  | 'EXCEEDS_CAPACITY'
  | 'NO_QUOTA'
  | 'SHORT';

/** How a quota refills its bucket. */
export type CalculationMethod =
  | 'FIXED_WINDOW'
  | 'LEAKY_BUCKET'
  | 'TOKEN_BUCKET';

/** All input for the `cancelQuota` mutation. */
export type CancelQuotaInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  configId: string;
  reason: string;
};

/** All input for the `createApiKey` mutation. */
export type CreateApiKeyInput = {
  appId: string;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  expiresAt?: string | null | undefined;
  name?: string | null | undefined;
};

/** An input for mutations affecting `IopsLimit` */
export type IopsLimitInput = {
  /** Seconds that a full bucket sustains the burst, or the length of a fixed window; the setting default_burst_duration where absent. */
  burstDurationSeconds?: number | null | undefined;
  /** How the bucket refills; as a token bucket where absent. */
  calculationMethod?: CalculationMethod | null | undefined;
  /** Tokens per second while bursting; the sustained ones where absent. */
  iopsBurst?: number | null | undefined;
  /** Tokens per second, sustained. */
  iopsLimit?: number | null | undefined;
  /** Tokens that leases and lending never touch; none where absent. */
  minReserve?: number | null | undefined;
  /** Tokens that flow in each second, at most the sustained ones, which it is where absent. */
  refillRate?: number | null | undefined;
};

/** All input for the `publishQuota` mutation. */
export type PublishQuotaInput = {
  appId?: string | null | undefined;
  bandwidth?: BandwidthLimitInput | null | undefined;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  clusterId?: string | null | undefined;
  defaultClusterId?: string | null | undefined;
  ifVersion?: string | null | undefined;
  iops?: IopsLimitInput | null | undefined;
  mode?: QuotaMode | null | undefined;
  reason: string;
  removeBandwidth?: boolean | null | undefined;
  removeIops?: boolean | null | undefined;
  validTo?: string | null | undefined;
};

/** enforce: the quota decides. shadow: it is measured beside the deciding one and never denies. */
export type QuotaMode =
  | 'ENFORCE'
  | 'SHADOW';

/** All input for the `registerAccessKey` mutation. */
export type RegisterAccessKeyInput = {
  accessKeyId: string;
  appId: string;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  expiresAt?: string | null | undefined;
  name?: string | null | undefined;
};

/** All input for the `revokeApiKey` mutation. */
export type RevokeApiKeyInput = {
  apiKeyId: string;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
};

/** All input for the `rollbackQuota` mutation. */
export type RollbackQuotaInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  reason: string;
  versionId: string;
};

/** All input for the `rotateApiKey` mutation. */
export type RotateApiKeyInput = {
  apiKeyId: string;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  overlap?: string | null | undefined;
};

/** All input for the `scheduleQuota` mutation. */
export type ScheduleQuotaInput = {
  appId?: string | null | undefined;
  bandwidth?: BandwidthLimitInput | null | undefined;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  clusterId?: string | null | undefined;
  defaultClusterId?: string | null | undefined;
  ifVersion?: string | null | undefined;
  iops?: IopsLimitInput | null | undefined;
  mode?: QuotaMode | null | undefined;
  reason: string;
  removeBandwidth?: boolean | null | undefined;
  removeIops?: boolean | null | undefined;
  validFrom: string;
  validTo?: string | null | undefined;
};

/** Why the tokens of a bucket changed. */
export type TransactionType =
  | 'ADJUST'
  | 'BORROW'
  | 'CONSUME'
  | 'LEASE'
  | 'OWED'
  | 'PREFETCH'
  | 'REFILL'
  | 'REFUND'
  | 'REPAY'
  | 'SETTLE';

export type ApplicationQueryVariables = Exact<{
  appId: string;
}>;


export type ApplicationQuery = { application: { appId: string, name: string, isActive: boolean, suspendedUntil: string | null, autoBorrow: boolean, createdAt: string, clusterId: string | null, tenantId: string, tenant: { name: string } | null, cluster: { name: string } | null, reservation: { reservedIops: string | null, reservedBps: string | null } | null } | null, operationTypes: { nodes: Array<{ name: string } | null> } | null };

export type ApplicationStatusSubscriptionVariables = Exact<{
  appId: string;
}>;


export type ApplicationStatusSubscription = { applicationStatus: { at: string, application: { appId: string, buckets: { nodes: Array<{ bucketId: string, bucketType: BucketType | null, mode: QuotaMode | null, currentTokens: string | null, capacity: string | null, refillRate: string | null, debt: string | null, debtSeconds: string | null } | null> } } | null } | null };

export type QuotasQueryVariables = Exact<{
  appId: string;
}>;


export type QuotasQuery = { application: { appId: string, quotas: { nodes: Array<{ configId: string, mode: QuotaMode, isActive: boolean, isHeld: boolean, validFrom: string, validTo: string | null, warnings: Array<string | null> | null, iopsQuota: { iopsLimit: number, iopsBurst: number, burstDurationSeconds: number, refillRate: number, calculationMethod: CalculationMethod, minReserve: number } | null, bandwidthQuota: { bandwidthLimitBps: string, bandwidthBurstBps: string, burstDurationSeconds: number, refillRateBps: string, allowOversize: boolean } | null } | null> } } | null, quotaVersions: { nodes: Array<{ versionId: string, configId: string, changedAt: string, changeReason: string | null, newConfig: unknown } | null> } | null };

export type CompareVersionsQueryVariables = Exact<{
  versionId: string;
  otherVersionId: string;
}>;


export type CompareVersionsQuery = { compareQuotaVersions: Array<{ field: string | null, value: string | null, otherValue: string | null } | null> | null };

export type PublishQuotaMutationVariables = Exact<{
  input: PublishQuotaInput;
}>;


export type PublishQuotaMutation = { publishQuota: { quota: { configId: string, warnings: Array<string | null> | null } | null } | null };

export type ScheduleQuotaMutationVariables = Exact<{
  input: ScheduleQuotaInput;
}>;


export type ScheduleQuotaMutation = { scheduleQuota: { quota: { configId: string, warnings: Array<string | null> | null } | null } | null };

export type CancelQuotaMutationVariables = Exact<{
  input: CancelQuotaInput;
}>;


export type CancelQuotaMutation = { cancelQuota: { quota: { configId: string } | null } | null };

export type RollbackQuotaMutationVariables = Exact<{
  input: RollbackQuotaInput;
}>;


export type RollbackQuotaMutation = { rollbackQuota: { configId: string | null } | null };

export type TryQuotaQueryVariables = Exact<{
  appId?: string | null | undefined;
  configId?: string | null | undefined;
  iops?: IopsLimitInput | null | undefined;
  bandwidth?: BandwidthLimitInput | null | undefined;
  since: string;
  until: string;
}>;


export type TryQuotaQuery = { tryQuota: { operations: string | null, throttledOperations: string | null, throttledOperationsMax: string | null, throttledTokens: string | null, throttledTokensMax: string | null, leasedTokens: string | null, deniedOperations: string | null, longestWaitMs: string | null, judgedUntil: string | null, notes: Array<string | null> | null } | null };

export type WhyThrottledQueryVariables = Exact<{
  appId: string;
  operation: string;
  sizeBytes: string;
}>;


export type WhyThrottledQuery = { whyThrottled: Array<{ layer: number | null, bucketType: BucketType | null, mode: QuotaMode | null, verdict: BucketVerdict | null, moment: string | null, charge: string | null, tokens: string | null, capacity: string | null, refillRate: string | null, debt: string | null, debtPaidAt: string | null, passesAt: string | null } | null> | null };

export type KeysQueryVariables = Exact<{
  appId: string;
}>;


export type KeysQuery = { apiKeys: { nodes: Array<{ apiKeyId: string, name: string | null, prefix: string | null, isRegistered: boolean | null, createdAt: string | null, expiresAt: string | null, revokedAt: string | null, suspendedUntil: string | null } | null> } | null };

export type CreateKeyMutationVariables = Exact<{
  input: CreateApiKeyInput;
}>;


export type CreateKeyMutation = { createApiKey: { apiKey: string | null } | null };

export type RotateKeyMutationVariables = Exact<{
  input: RotateApiKeyInput;
}>;


export type RotateKeyMutation = { rotateApiKey: { apiKey: string | null } | null };

export type RevokeKeyMutationVariables = Exact<{
  input: RevokeApiKeyInput;
}>;


export type RevokeKeyMutation = { revokeApiKey: { revokedAt: string | null } | null };

export type RegisterKeyMutationVariables = Exact<{
  input: RegisterAccessKeyInput;
}>;


export type RegisterKeyMutation = { registerAccessKey: { apiKeyId: string | null } | null };

export type UsageQueryVariables = Exact<{
  appId: string;
  since: string;
  until: string;
}>;


export type UsageQuery = { usageOverTime: Array<{ startsAt: string | null, tokensConsumed: string | null, bytesConsumed: string | null, deniedOperations: string | null } | null> | null, application: { appId: string, borrowings: { nodes: Array<{ borrowingId: string, bucketType: BucketType, tokensBorrowed: string, repaymentTokens: string, repaidTokens: string, status: BorrowingStatus, borrowedAt: string, dueAt: string } | null> }, ledger: { nodes: Array<{ seq: string, bucketType: BucketType, transactionType: TransactionType, tokensChange: string, balanceAfter: string, createdAt: string, referenceId: string | null } | null> } } | null };

export const ApplicationDocument = `
query Application($appId: UUID!) {
  application(appId: $appId) {
    appId
    name
    isActive
    suspendedUntil
    autoBorrow
    createdAt
    clusterId
    tenantId
    tenant {
      name
    }
    cluster {
      name
    }
    reservation {
      reservedIops
      reservedBps
    }
  }
  operationTypes(first: 100) {
    nodes {
      name
    }
  }
}
` as unknown as TypedDocumentNode<ApplicationQuery, ApplicationQueryVariables>;
export const ApplicationStatusDocument = `
subscription ApplicationStatus($appId: UUID!) {
  applicationStatus(appId: $appId) {
    at
    application {
      appId
      buckets(first: 12) {
        nodes {
          bucketId
          bucketType
          mode
          currentTokens
          capacity
          refillRate
          debt
          debtSeconds
        }
      }
    }
  }
}
` as unknown as TypedDocumentNode<ApplicationStatusSubscription, ApplicationStatusSubscriptionVariables>;
export const QuotasDocument = `
query Quotas($appId: UUID!) {
  application(appId: $appId) {
    appId
    quotas(first: 50, orderBy: [VALID_FROM_DESC]) {
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
  }
  quotaVersions(
    first: 50
    filter: {application: {appId: {equalTo: $appId}}}
    orderBy: [CHANGED_AT_DESC]
  ) {
    nodes {
      versionId
      configId
      changedAt
      changeReason
      newConfig
    }
  }
}
` as unknown as TypedDocumentNode<QuotasQuery, QuotasQueryVariables>;
export const CompareVersionsDocument = `
query CompareVersions($versionId: UUID!, $otherVersionId: UUID!) {
  compareQuotaVersions(versionId: $versionId, otherVersionId: $otherVersionId) {
    field
    value
    otherValue
  }
}
` as unknown as TypedDocumentNode<CompareVersionsQuery, CompareVersionsQueryVariables>;
export const PublishQuotaDocument = `
mutation PublishQuota($input: PublishQuotaInput!) {
  publishQuota(input: $input) {
    quota {
      configId
      warnings
    }
  }
}
` as unknown as TypedDocumentNode<PublishQuotaMutation, PublishQuotaMutationVariables>;
export const ScheduleQuotaDocument = `
mutation ScheduleQuota($input: ScheduleQuotaInput!) {
  scheduleQuota(input: $input) {
    quota {
      configId
      warnings
    }
  }
}
` as unknown as TypedDocumentNode<ScheduleQuotaMutation, ScheduleQuotaMutationVariables>;
export const CancelQuotaDocument = `
mutation CancelQuota($input: CancelQuotaInput!) {
  cancelQuota(input: $input) {
    quota {
      configId
    }
  }
}
` as unknown as TypedDocumentNode<CancelQuotaMutation, CancelQuotaMutationVariables>;
export const RollbackQuotaDocument = `
mutation RollbackQuota($input: RollbackQuotaInput!) {
  rollbackQuota(input: $input) {
    configId
  }
}
` as unknown as TypedDocumentNode<RollbackQuotaMutation, RollbackQuotaMutationVariables>;
export const TryQuotaDocument = `
query TryQuota($appId: UUID, $configId: UUID, $iops: IopsLimitInput, $bandwidth: BandwidthLimitInput, $since: Datetime!, $until: Datetime!) {
  tryQuota(
    appId: $appId
    configId: $configId
    iops: $iops
    bandwidth: $bandwidth
    since: $since
    until: $until
  ) {
    operations
    throttledOperations
    throttledOperationsMax
    throttledTokens
    throttledTokensMax
    leasedTokens
    deniedOperations
    longestWaitMs
    judgedUntil
    notes
  }
}
` as unknown as TypedDocumentNode<TryQuotaQuery, TryQuotaQueryVariables>;
export const WhyThrottledDocument = `
query WhyThrottled($appId: UUID!, $operation: String!, $sizeBytes: BigInt!) {
  whyThrottled(appId: $appId, operation: $operation, sizeBytes: $sizeBytes) {
    layer
    bucketType
    mode
    verdict
    moment
    charge
    tokens
    capacity
    refillRate
    debt
    debtPaidAt
    passesAt
  }
}
` as unknown as TypedDocumentNode<WhyThrottledQuery, WhyThrottledQueryVariables>;
export const KeysDocument = `
query Keys($appId: UUID!) {
  apiKeys(
    first: 100
    filter: {appId: {equalTo: $appId}}
    orderBy: [CREATED_AT_DESC]
  ) {
    nodes {
      apiKeyId
      name
      prefix
      isRegistered
      createdAt
      expiresAt
      revokedAt
      suspendedUntil
    }
  }
}
` as unknown as TypedDocumentNode<KeysQuery, KeysQueryVariables>;
export const CreateKeyDocument = `
mutation CreateKey($input: CreateApiKeyInput!) {
  createApiKey(input: $input) {
    apiKey
  }
}
` as unknown as TypedDocumentNode<CreateKeyMutation, CreateKeyMutationVariables>;
export const RotateKeyDocument = `
mutation RotateKey($input: RotateApiKeyInput!) {
  rotateApiKey(input: $input) {
    apiKey
  }
}
` as unknown as TypedDocumentNode<RotateKeyMutation, RotateKeyMutationVariables>;
export const RevokeKeyDocument = `
mutation RevokeKey($input: RevokeApiKeyInput!) {
  revokeApiKey(input: $input) {
    revokedAt
  }
}
` as unknown as TypedDocumentNode<RevokeKeyMutation, RevokeKeyMutationVariables>;
export const RegisterKeyDocument = `
mutation RegisterKey($input: RegisterAccessKeyInput!) {
  registerAccessKey(input: $input) {
    apiKeyId
  }
}
` as unknown as TypedDocumentNode<RegisterKeyMutation, RegisterKeyMutationVariables>;
export const UsageDocument = `
query Usage($appId: UUID!, $since: Datetime!, $until: Datetime!) {
  usageOverTime(appId: $appId, since: $since, until: $until, resolution: HOUR) {
    startsAt
    tokensConsumed
    bytesConsumed
    deniedOperations
  }
  application(appId: $appId) {
    appId
    borrowings(first: 10) {
      nodes {
        borrowingId
        bucketType
        tokensBorrowed
        repaymentTokens
        repaidTokens
        status
        borrowedAt
        dueAt
      }
    }
    ledger(first: 25, orderBy: [CREATED_AT_DESC]) {
      nodes {
        seq
        bucketType
        transactionType
        tokensChange
        balanceAfter
        createdAt
        referenceId
      }
    }
  }
}
` as unknown as TypedDocumentNode<UsageQuery, UsageQueryVariables>;
