import type { TestDatabase } from "../harness/index.ts";

export interface ClientWorld {
  readonly tenantId: string;
  readonly clusterId: string;
  readonly appId: string;
  readonly apiKey: string;
}

export interface Iops {
  readonly limit: number;
  readonly burst?: number;
  readonly seconds?: number;
  readonly method?: "token_bucket" | "leaky_bucket" | "fixed_window";
  readonly reserve?: number;
}

let made = 0;

/** A tenant with a cluster, an application and a key; no quota yet. */
export async function makeWorld({ sql }: Pick<TestDatabase, "sql">): Promise<ClientWorld> {
  made += 1;
  const name = `world ${made}`;
  const [owners] = await sql<{ tenantId: string; clusterId: string; appId: string }[]>`
    with tenant as (
      insert into rate_limiter.tenants (name) values (${name}) returning tenant_id
    ),
    cluster as (
      insert into rate_limiter.clusters (name, region) values (${name}, 'north')
      returning cluster_id
    )
    insert into rate_limiter.applications (tenant_id, cluster_id, name)
    select t.tenant_id, c.cluster_id, ${name} from tenant as t cross join cluster as c
    returning tenant_id as "tenantId", cluster_id as "clusterId", app_id as "appId"
  `;
  if (owners === undefined) throw new Error("no world made");
  const [key] = await sql<{ apiKey: string }[]>`
    select api_key as "apiKey" from rate_limiter_private.issue_api_key(${owners.appId})
  `;
  if (key === undefined) throw new Error("no key made");
  return { ...owners, apiKey: key.apiKey };
}

/** Gives an application (or a cluster) a quota from now on; answers its version. */
export async function addQuota(
  { sql }: Pick<TestDatabase, "sql">,
  owner: { readonly appId: string } | { readonly clusterId: string },
  quota: {
    readonly iops?: Iops;
    readonly bytesPerSecond?: number;
    readonly mode?: "enforce" | "shadow";
    readonly oversize?: boolean;
  },
): Promise<string> {
  // A whole world stands for its application.
  const appId = "appId" in owner ? owner.appId : null;
  const clusterId = appId === null && "clusterId" in owner ? owner.clusterId : null;
  const [row] = await sql<{ configId: string }[]>`
    select rate_limiter_internal.add_quota(
      ${appId}, ${clusterId}, ${quota.mode ?? "enforce"}::rate_limiter.quota_mode,
      clock_timestamp(), null, ${iopsOf(quota.iops)}::text::jsonb,
      ${bandwidthOf(quota.bytesPerSecond, quota.oversize)}::text::jsonb, 'test'
    ) as "configId"
  `;
  if (row === undefined) throw new Error("no quota made");
  return row.configId;
}

function iopsOf(iops: Iops | undefined): string | null {
  if (iops === undefined) return null;
  return JSON.stringify({
    iops_limit: iops.limit,
    iops_burst: iops.burst ?? iops.limit,
    burst_duration_seconds: iops.seconds ?? 1,
    refill_rate: iops.limit,
    calculation_method: iops.method ?? "token_bucket",
    min_reserve: iops.reserve ?? 0,
  });
}

function bandwidthOf(bytesPerSecond: number | undefined, oversize = true): string | null {
  if (bytesPerSecond === undefined) return null;
  return JSON.stringify({
    bandwidth_limit_bps: bytesPerSecond,
    bandwidth_burst_bps: bytesPerSecond,
    burst_duration_seconds: 1,
    refill_rate_bps: bytesPerSecond,
    allow_oversize: oversize,
  });
}

/** What an application's buckets have been charged, less what went back: by the ledger. */
export async function charged(
  { sql }: Pick<TestDatabase, "sql">,
  { appId }: Pick<ClientWorld, "appId">,
): Promise<{ readonly tokens: string; readonly bytes: string }> {
  const [row] = await sql<[{ tokens: string; bytes: string }]>`
    select
      coalesce(sum(-t.tokens_change) filter (where t.bucket_type = 'iops_l2'), 0)::text as tokens,
      coalesce(sum(-t.tokens_change) filter (where t.bucket_type = 'bandwidth_l2'), 0)::text
        as bytes
    from rate_limiter.token_transactions as t
    where t.owner_id = ${appId}
      and t.transaction_type in ('consume', 'lease', 'settle', 'refund', 'owed')
  `;
  return row;
}
