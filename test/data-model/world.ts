import type { TestDatabase } from "../harness/index.ts";

export const roleNames = [
  "system_admin",
  "tenant_admin",
  "app_admin",
  "app_viewer",
  "ops_admin",
  "auditor",
] as const;
export type RoleName = (typeof roleNames)[number];

export interface TenantWorld {
  readonly tenantId: string;
  readonly clusterId: string;
  readonly appId: string;
  readonly configId: string;
  readonly bucketId: string;
  readonly alertId: string;
  /** A user for each of the six roles; the system administrator's home is this tenant too. */
  readonly users: Readonly<Record<RoleName, string>>;
}

/** Two tenants alike, with a row of everything each, and nothing in common but the roles. */
export async function makeTwoTenants(
  database: TestDatabase,
): Promise<{ readonly mine: TenantWorld; readonly theirs: TenantWorld }> {
  const mine = await makeTenant(database, "mine");
  const theirs = await makeTenant(database, "theirs");
  return { mine, theirs };
}

export async function makeTenant({ sql }: TestDatabase, name: string): Promise<TenantWorld> {
  const ids = await makeOwners(sql, name);
  const configId = await makeQuota(sql, ids.appId);
  const bucketId = await makeTraffic(sql, ids.appId, ids.clusterId);
  const alertId = await makeAlert(sql, ids.appId);
  return { ...ids, configId, bucketId, alertId, users: await makeUsers(sql, name, ids.tenantId) };
}

type Sql = TestDatabase["sql"];

async function makeOwners(sql: Sql, name: string) {
  const [row] = await sql<{ tenantId: string; clusterId: string; appId: string }[]>`
    with tenant as (
      insert into rate_limiter.tenants (name) values (${name}) returning tenant_id
    ),
    cluster as (
      insert into rate_limiter.clusters (name, region)
      values (${`cluster of ${name}`}, 'north')
      returning cluster_id
    )
    insert into rate_limiter.applications (tenant_id, cluster_id, name)
    select t.tenant_id, c.cluster_id, ${`application of ${name}`}
    from tenant as t
    cross join cluster as c
    returning tenant_id as "tenantId", cluster_id as "clusterId", app_id as "appId"
  `;
  if (row === undefined) throw new Error("no owners made");
  await sql`select rate_limiter_private.issue_api_key(${row.appId})`;
  return row;
}

async function makeQuota(sql: Sql, appId: string): Promise<string> {
  const [row] = await sql<{ configId: string }[]>`
    select rate_limiter_internal.publish_quota_at(
      now(), ${appId}, null, 'enforce', null, null,
      '{"iops_limit": 100, "iops_burst": 200, "burst_duration_seconds": 10, "refill_rate": 100}',
      '{"bandwidth_limit_bps": 1000, "bandwidth_burst_bps": 2000, "burst_duration_seconds": 10,
        "refill_rate_bps": 1000}',
      'first quota'
    ) as "configId"
  `;
  if (row === undefined) throw new Error("no quota made");
  await sql`
    insert into rate_limiter.cost_rules (operation_id, app_id, c_base_override)
    select o.operation_id, ${appId}, 2 from rate_limiter.operation_types as o where o.name = 'list'
  `;
  return row.configId;
}

/** A row in each table of the data plane, of the application and (layer 1) of its cluster. */
async function makeTraffic(sql: Sql, appId: string, clusterId: string): Promise<string> {
  await sql`
    insert into rate_limiter.token_buckets (owner_id, bucket_type)
    values (${clusterId}, 'iops_l1')
  `;
  for (const [owner, type] of [
    [appId, "iops_l2"],
    [clusterId, "iops_l1"],
  ] as const) {
    await sql`
      insert into rate_limiter.token_transactions (
        owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
        balance_after
      )
      values (${owner}, now(), 1, ${type}, 'enforce', 'consume', -1, 0, 99)
    `;
  }
  await sql`
    insert into rate_limiter.token_borrowing (
      owner_id, bucket_type, tokens_borrowed, repayment_tokens, interest_rate, due_at, collect_at
    )
    values (
      ${appId}, 'iops_l2', 10, 11, 0.1, now() + interval '1 hour', now() + interval '1 hour'
    )
  `;
  await sql`
    insert into rate_limiter.charges (
      app_id, reference_id, operation, size_bytes, cost, charged, charged_at
    )
    values (${appId}, 'r', 'list', 0, 3, '{}', now())
  `;
  await sql`
    insert into rate_limiter.token_leases (app_id, tokens, bytes, charged, granted_at, expires_at)
    values (${appId}, 1, 0, '{}', now(), now() + interval '1 second')
  `;
  await sql`
    insert into rate_limiter.metrics (app_id, timestamp, metric_name, value)
    values (${appId}, now(), 'iops', 1)
  `;
  await sql`insert into rate_limiter.iops_metrics (app_id, timestamp) values (${appId}, now())`;
  await sql`
    insert into rate_limiter.bandwidth_metrics (app_id, timestamp) values (${appId}, now())
  `;
  await sql`
    insert into rate_limiter.denial_counts (app_id, minute, reason, operations, tokens, bytes)
    values (${appId}, date_trunc('minute', now()), 'iops_l2', 1, 1, 0)
  `;
  for (const table of ["metrics_hourly", "metrics_daily"]) {
    await sql`
      insert into rate_limiter.${sql(table)}
      values (${appId}, 'iops', date_trunc('day', now(), 'UTC'), 1, 1, 1, 1, 1, 1, 1)
    `;
  }
  const [bucket] = await sql<{ bucketId: string }[]>`
    select b.bucket_id as "bucketId"
    from rate_limiter.token_buckets as b
    where b.owner_id = ${appId} and b.bucket_type = 'iops_l2'
  `;
  if (bucket === undefined) throw new Error("the quota made no bucket");
  return bucket.bucketId;
}

async function makeAlert(sql: Sql, appId: string): Promise<string> {
  const [row] = await sql<{ alertId: string }[]>`
    with config as (
      insert into rate_limiter.alert_configs (
        app_id, metric_name, condition, threshold_value, duration_seconds, severity,
        notification_config
      )
      values (${appId}, 'iops', '>', 10, 60, 'warning', '{"channel": "log"}')
      returning alert_id, app_id
    ),
    triggered as (
      insert into rate_limiter.alert_history (alert_id, app_id, actual_value, threshold_value)
      select c.alert_id, c.app_id, 11, 10 from config as c
      returning alert_id, app_id, history_id
    )
    insert into rate_limiter.alert_notices (
      alert_id, app_id, history_id, event, channel_number, channel, content
    )
    select t.alert_id, t.app_id, t.history_id, 'triggered', 1, 'log', '{}' from triggered as t
    returning alert_id as "alertId"
  `;
  if (row === undefined) throw new Error("no alert made");
  return row.alertId;
}

async function makeUsers(
  sql: Sql,
  tenant: string,
  tenantId: string,
): Promise<Record<RoleName, string>> {
  const users = {} as Record<RoleName, string>;
  for (const role of roleNames) {
    const [row] = await sql<{ userId: string }[]>`
      with made as (
        insert into rate_limiter.users (tenant_id, username, email)
        values (${tenantId}, ${role}, ${`${role}@${tenant}.example`})
        returning user_id
      )
      insert into rate_limiter.user_roles (user_id, role_id)
      select m.user_id, r.role_id
      from made as m
      join rate_limiter.roles as r on r.name = ${role}
      returning user_id as "userId"
    `;
    if (row === undefined) throw new Error("no user made");
    users[role] = row.userId;
  }
  return users;
}
