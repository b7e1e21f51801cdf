import type { Sql, TransactionSql } from "../../src/postgres/connect.ts";
import type { TestDatabase } from "../harness/index.ts";

export { makeApplication, makeCluster, makeTenant, setSetting } from "./world.ts";

type Caller = Sql | TransactionSql;

/** Limits of one kind, in tokens or bytes a second; what is left out follows from the limit. */
export interface Limits {
  readonly limit: number;
  readonly burst?: number;
  readonly seconds?: number;
  readonly refill?: number;
  readonly method?: "token_bucket" | "leaky_bucket" | "fixed_window";
}

export interface Wanted {
  readonly appId?: string | undefined;
  readonly clusterId?: string | undefined;
  readonly defaultClusterId?: string | undefined;
  readonly iops?: Limits | number | undefined;
  readonly bandwidth?: Limits | number | undefined;
  readonly mode?: "enforce" | "shadow" | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly removeIops?: boolean | undefined;
  readonly removeBandwidth?: boolean | undefined;
}

const limitsOf = (limits: Limits | number | undefined): Limits | undefined =>
  typeof limits === "number" ? { limit: limits } : limits;

function iopsJson(wanted: Limits | number | undefined): string | null {
  const limits = limitsOf(wanted);
  if (limits === undefined) return null;
  return JSON.stringify({
    iops_limit: limits.limit,
    iops_burst: limits.burst ?? limits.limit,
    burst_duration_seconds: limits.seconds ?? 1,
    refill_rate: limits.refill ?? limits.limit,
    calculation_method: limits.method ?? "token_bucket",
  });
}

function bandwidthJson(wanted: Limits | number | undefined): string | null {
  const limits = limitsOf(wanted);
  if (limits === undefined) return null;
  return JSON.stringify({
    bandwidth_limit_bps: limits.limit,
    bandwidth_burst_bps: limits.burst ?? limits.limit,
    burst_duration_seconds: limits.seconds ?? 1,
    refill_rate_bps: limits.refill ?? limits.limit,
  });
}

/** Publishes by the clock, as the owner of the database: without anyone's permission. */
export async function publish(sql: Caller, wanted: Wanted): Promise<string> {
  const [row] = await sql`
    select rate_limiter_internal.publish_quota_at(
      null, ${wanted.appId ?? null}, ${wanted.clusterId ?? null}, ${wanted.mode ?? "enforce"},
      ${wanted.from ?? null}::timestamptz, ${wanted.to ?? null}::timestamptz,
      ${iopsJson(wanted.iops)}::text::jsonb, ${bandwidthJson(wanted.bandwidth)}::text::jsonb,
      'test', ${wanted.defaultClusterId ?? null}, ${wanted.removeIops ?? false},
      ${wanted.removeBandwidth ?? false}
    ) as id
  `;
  return row?.id;
}

export async function cancel(sql: Caller, configId: string): Promise<void> {
  await sql`
    select rate_limiter_internal.cancel_quota_at(null, c, 'test')
    from rate_limiter.quota_configs as c
    where c.config_id = ${configId}
  `;
}

/** What is in force over time: from, to, IOPS and bytes a second; years, or "now". */
export async function timeline(sql: Caller, ownerId: string, isDefault = false): Promise<string[]> {
  const rows = await sql<{ line: string }[]>`
    select format(
      '%s-%s: %s %s',
      case when q.valid_from <= clock_timestamp() then 'now' else to_char(q.valid_from, 'YYYY') end,
      coalesce(to_char(q.valid_to, 'YYYY'), 'ever'),
      coalesce(i.iops_limit::text, 'none'), coalesce(b.bandwidth_limit_bps::text, 'none')
    ) as line
    from rate_limiter.quota_configs as q
    left join rate_limiter.iops_quotas as i on i.config_id = q.config_id
    left join rate_limiter.bandwidth_quotas as b on b.config_id = q.config_id
    where q.owner_id = ${ownerId}
      and (q.default_cluster_id is not null) = ${isDefault}
      and q.is_active
      and q.mode = 'enforce'
      and (q.valid_to is null or q.valid_to > clock_timestamp())
    order by q.valid_from
  `;
  return rows.map(({ line }) => line);
}

export const year = (number: number) => `${number}-01-01T00:00:00Z`;

export interface Ceiling {
  readonly tenantId: string;
  readonly clusterId?: string;
  readonly iops?: readonly [limit: number, burst: number, capacity: number];
  readonly bandwidth?: readonly [limit: number, burst: number, capacity: number];
}

/** Makes a user who administers the system, in a tenant of its own; answers the user. */
export async function makeOperator(sql: Sql): Promise<string> {
  const [row] = await sql`
    with home as (
      insert into rate_limiter.tenants (name) values ('operator of the clusters')
      returning tenant_id
    ),
    operator as (
      insert into rate_limiter.users (tenant_id, username, email)
      select tenant_id, 'operator', 'operator@example.com' from home
      returning user_id
    )
    insert into rate_limiter.user_roles (user_id, role_id)
    select o.user_id, r.role_id
    from operator as o
    join rate_limiter.roles as r on r.name = 'system_admin'
    returning user_id as id
  `;
  return row?.id;
}

/** Runs work as a user of the API, and keeps what it did. */
export async function asUser<T>(
  database: TestDatabase,
  userId: string,
  work: (sql: TransactionSql) => PromiseLike<T>,
): Promise<T> {
  return (await database.as("rate_limiter_visitor").begin(async (sql) => {
    await sql`select set_config('rate_limiter.user_id', ${userId}, true)`;
    return work(sql);
  })) as T;
}

const ceilingOf = (values: readonly [number, number, number] | undefined) =>
  values === undefined ? null : `(${values.join(",")})`;

export async function setCeiling(sql: Caller, ceiling: Ceiling, more = {}): Promise<unknown> {
  const options = { removeIops: false, removeBandwidth: false, ...more };
  return sql`
    select rate_limiter_admin.set_tenant_ceiling(
      ${ceiling.tenantId}, 'test', ${ceiling.clusterId ?? null},
      ${ceilingOf(ceiling.iops)}::text::rate_limiter_admin.ceiling_limits,
      ${ceilingOf(ceiling.bandwidth)}::text::rate_limiter_admin.ceiling_limits,
      ${options.removeIops}, ${options.removeBandwidth}
    )
  `;
}

/** What decisions on an application look for, and what they deny it for. */
export async function flagsOf(sql: Caller, appId: string) {
  const [row] = await sql`
    select
      has_shadow as "hasShadow", has_iops as "hasIops", has_bandwidth as "hasBandwidth",
      has_cost_rule as "hasCostRule", draws_iops as "drawsIops", draws_bandwidth as "drawsBandwidth",
      needs_iops_quota as "needsIopsQuota", needs_bandwidth_quota as "needsBandwidthQuota"
    from rate_limiter.app_facts
    where app_id = ${appId}
  `;
  return { ...row };
}
