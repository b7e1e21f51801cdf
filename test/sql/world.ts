import type { Sql } from "../../src/postgres/connect.ts";

/** Quotas of these tests are in force since then: for calls at a moment, and by the clock. */
export const epoch = "2020-01-01T00:00:00Z";

export type Owner = { readonly appId: string } | { readonly clusterId: string };

export interface Quota {
  /** Tokens a second; the capacity is `burst`, or as much as flows in in a second. */
  readonly iops?: number;
  readonly burst?: number;
  readonly method?: "token_bucket" | "leaky_bucket" | "fixed_window";
  readonly reserve?: number;
  readonly bytes?: number;
  readonly oversize?: boolean;
  readonly mode?: "enforce" | "shadow";
}

export async function makeTenant(sql: Sql): Promise<string> {
  const [row] = await sql`
    insert into rate_limiter.tenants (name) values (gen_random_uuid()::text) returning tenant_id
  `;
  return row?.tenant_id;
}

export async function makeCluster(sql: Sql): Promise<string> {
  const [row] = await sql`
    insert into rate_limiter.clusters (name, region)
    values (gen_random_uuid()::text, 'north')
    returning cluster_id
  `;
  return row?.cluster_id;
}

export async function makeApplication(
  sql: Sql,
  place: { readonly tenantId?: string; readonly clusterId?: string } = {},
): Promise<string> {
  const tenantId = place.tenantId ?? (await makeTenant(sql));
  const [row] = await sql`
    insert into rate_limiter.applications (tenant_id, cluster_id, name)
    values (${tenantId}, ${place.clusterId ?? null}, gen_random_uuid()::text)
    returning app_id
  `;
  return row?.app_id;
}

export async function publish(sql: Sql, owner: Owner, quota: Quota, at = epoch): Promise<void> {
  const appId = "appId" in owner ? owner.appId : null;
  const clusterId = "clusterId" in owner ? owner.clusterId : null;
  await sql`
    select rate_limiter_internal.publish_quota_at(
      ${at}, ${appId}, ${clusterId}, ${quota.mode ?? "enforce"}, null, null,
      ${iopsOf(quota)}::text::jsonb, ${bandwidthOf(quota)}::text::jsonb, 'test'
    )
  `;
}

function iopsOf({ iops, burst, method, reserve }: Quota): string | null {
  if (iops === undefined) return null;
  return JSON.stringify({
    iops_limit: method === "fixed_window" ? (burst ?? iops) : iops,
    iops_burst: burst ?? iops,
    burst_duration_seconds: 1,
    refill_rate: iops,
    calculation_method: method ?? "token_bucket",
    min_reserve: reserve ?? 0,
  });
}

function bandwidthOf({ bytes, oversize }: Quota): string | null {
  if (bytes === undefined) return null;
  return JSON.stringify({
    bandwidth_limit_bps: bytes,
    bandwidth_burst_bps: bytes,
    burst_duration_seconds: 1,
    refill_rate_bps: bytes,
    allow_oversize: oversize ?? false,
  });
}

/** A system administrator, for functions of the admin API. */
export async function makeAdministrator(sql: Sql): Promise<string> {
  const [row] = await sql`
    with made as (
      insert into rate_limiter.users (tenant_id, username, email)
      values (${await makeTenant(sql)}, 'administrator', 'administrator@example.org')
      returning user_id
    )
    insert into rate_limiter.user_roles (user_id, role_id)
    select m.user_id, r.role_id
    from made as m
    join rate_limiter.roles as r on r.name = 'system_admin'
    returning user_id
  `;
  return row?.user_id;
}

/** An application under a quota of its own. */
export async function limitedApplication(
  sql: Sql,
  quota: Quota,
  place: { readonly tenantId?: string; readonly clusterId?: string } = {},
): Promise<string> {
  const appId = await makeApplication(sql, place);
  await publish(sql, { appId }, quota);
  return appId;
}

export async function setSetting(sql: Sql, key: string, value: string | number): Promise<void> {
  await sql`
    update rate_limiter.system_settings set value = ${String(value)} where key = ${key}
  `;
}

/** Everything that the data plane stores, to the last digit: equal states, nothing happened. */
export async function dataPlane(sql: Sql): Promise<unknown> {
  const [row] = await sql`
    select
      (select jsonb_agg(b order by b.owner_id, b.bucket_type, b.mode)
        from rate_limiter.token_buckets as b) as buckets,
      (select jsonb_agg(t order by t.owner_id, t.bucket_type, t.mode, t.seq)
        from rate_limiter.token_transactions as t) as ledger,
      (select jsonb_agg(c order by c.app_id, c.reference_id)
        from rate_limiter.charges as c) as charges,
      (select jsonb_agg(l order by l.lease_id) from rate_limiter.token_leases as l) as leases,
      (select jsonb_agg(b order by b.borrowing_id)
        from rate_limiter.token_borrowing as b) as borrowings,
      (select jsonb_agg(s order by s.shard_key, s.stripe)
        from rate_limiter_internal.layer1_stripes as s) as stripes
  `;
  return { ...row };
}

/** What a bucket holds at a moment. */
export async function tokensAt(
  sql: Sql,
  at: string,
  ownerId: string,
  bucketType = "iops_l2",
): Promise<string> {
  const [row] = await sql`
    select (rate_limiter_internal.bucket_at(${at}, b)).bucket.current_tokens::text as tokens
    from rate_limiter.token_buckets as b
    where b.owner_id = ${ownerId} and b.bucket_type = ${bucketType} and b.mode = 'enforce'
  `;
  return row?.tokens;
}

/** Where the ledger does not explain a bucket: nowhere, after whatever happened. */
export async function ledgerGaps(sql: Sql): Promise<unknown[]> {
  return [...(await sql`select * from rate_limiter.verify_ledger()`)];
}

/** A moment so many seconds after the epoch. */
export function moment(seconds: number): string {
  return new Date(Date.parse(epoch) + seconds * 1000).toISOString();
}
