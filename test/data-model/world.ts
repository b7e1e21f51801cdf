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
  await makeTerms(sql, ids);
  const configId = await makeQuota(sql, ids.appId);
  await fillBuckets(sql, ids.appId);
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

/** What the operator sets: room for far more than the quotas below, a reservation, a suspension. */
async function makeTerms(
  sql: Sql,
  { tenantId, clusterId, appId }: Pick<TenantWorld, "tenantId" | "clusterId" | "appId">,
): Promise<void> {
  await sql`
    insert into rate_limiter.tenant_ceilings (
      tenant_id, iops_limit, iops_burst, iops_capacity, bandwidth_limit_bps, bandwidth_burst_bps,
      bandwidth_capacity
    )
    values (${tenantId}, 1e12, 1e12, 1e18, 1e18, 1e18, 1e30)
  `;
  await sql`select rate_limiter_internal.sync_needed_quotas(${tenantId})`;
  await sql`
    insert into rate_limiter.reservations (app_id, cluster_id, reserved_iops)
    values (${appId}, ${clusterId}, 1)
  `;
  await sql`
    select rate_limiter_internal.write_reservation_history(null, r, 'first reservation')
    from rate_limiter.reservations as r
    where r.app_id = ${appId}
  `;
  await sql`
    insert into rate_limiter.suspensions (
      tenant_id, app_id, reason, suspended_until, lifted_at, lift_reason
    )
    values (${tenantId}, ${appId}, 'loop', now() + interval '1 hour', now(), 'mended')
  `;
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

/** Buckets as if they had filled up since: under a ceiling they begin with nothing. */
export async function fillBuckets(sql: Sql, ownerId: string): Promise<void> {
  await sql`
    update rate_limiter.token_buckets as b
    set
      current_tokens = r.capacity,
      capacity = r.capacity,
      config_id = r.config_id,
      calculation_method = r.calculation_method,
      refill_rate = r.refill_rate,
      burst_duration_seconds = r.burst_duration_seconds,
      min_reserve = r.min_reserve,
      allow_oversize = r.allow_oversize,
      quota_valid_until = r.quota_valid_until,
      last_refill_at = r.last_refill_at
    from (
      select (s.bucket).*
      from rate_limiter.token_buckets as o
      cross join lateral rate_limiter_internal.bucket_at(clock_timestamp(), o) as s
      where o.owner_id = ${ownerId}
    ) as r
    where b.shard_key = r.shard_key
      and b.owner_id = r.owner_id
      and b.bucket_type = r.bucket_type
      and b.mode = r.mode
      and r.capacity is not null
  `;
}

/** A row in each table of the data plane, of the application and (layer 1) of its cluster. */
async function makeTraffic(sql: Sql, appId: string, clusterId: string): Promise<string> {
  const [shard] = await sql<{ key: number }[]>`
    select shard_key as key from rate_limiter.clusters where cluster_id = ${clusterId}
  `;
  const shardKey = Number(shard?.key);
  await sql`
    insert into rate_limiter.token_buckets (shard_key, owner_id, bucket_type)
    values (${shardKey}, ${clusterId}, 'iops_l1')
  `;
  for (const [owner, type] of [
    [appId, "iops_l2"],
    [clusterId, "iops_l1"],
  ] as const) {
    await sql`
      insert into rate_limiter.token_transactions (
        shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
        refilled, balance_after
      )
      values (${shardKey}, ${owner}, now(), 1, ${type}, 'enforce', 'consume', -1, 0, 99)
    `;
    await sql`
      update rate_limiter.token_buckets set ledger_seq = 1
      where owner_id = ${owner} and bucket_type = ${type} and mode = 'enforce'
    `;
  }
  await sql`
    insert into rate_limiter.token_borrowing (
      shard_key, owner_id, bucket_type, tokens_borrowed, repayment_tokens, interest_rate, due_at,
      collect_at
    )
    values (
      ${shardKey}, ${appId}, 'iops_l2', 10, 11, 0.1, now() + interval '1 hour',
      now() + interval '1 hour'
    )
  `;
  await sql`
    insert into rate_limiter.charges (
      shard_key, app_id, reference_id, operation, size_bytes, cost, cost_rates, charged, charged_at
    )
    values (${shardKey}, ${appId}, 'r', 'list', 0, 3, '(3,0,4096)', '{}', now())
  `;
  await sql`
    insert into rate_limiter.late_charges (
      shard_key, app_id, idempotency_key, tokens, bytes, charged, charged_at
    )
    values (${shardKey}, ${appId}, 'k', 1, 0, '{}', now())
  `;
  await sql`
    insert into rate_limiter.uncharged_counts
      (shard_key, app_id, minute, reason, operations, tokens, bytes)
    values (${shardKey}, ${appId}, date_trunc('minute', now()), 'owed', 1, 1, 0)
  `;
  await sql`
    insert into rate_limiter.token_leases
      (shard_key, app_id, tokens, bytes, charged, granted_at, expires_at)
    values (${shardKey}, ${appId}, 1, 0, '{}', now(), now() + interval '1 second')
  `;
  await sql`
    insert into rate_limiter.metrics (shard_key, app_id, timestamp, metric_name, value)
    values (${shardKey}, ${appId}, now(), 'iops', 1)
  `;
  await sql`
    insert into rate_limiter.iops_metrics (shard_key, app_id, timestamp)
    values (${shardKey}, ${appId}, now())
  `;
  await sql`
    insert into rate_limiter.bandwidth_metrics (shard_key, app_id, timestamp)
    values (${shardKey}, ${appId}, now())
  `;
  await sql`
    insert into rate_limiter.denial_counts
      (shard_key, app_id, minute, reason, operations, tokens, bytes)
    values (${shardKey}, ${appId}, date_trunc('minute', now()), 'iops_l2', 1, 1, 0)
  `;
  await sql`
    insert into rate_limiter.recent_denials
      (shard_key, app_id, minute, reason, writer, operations, tokens, bytes)
    values (${shardKey}, ${appId}, date_trunc('minute', now()), 'iops_l2', 1, 1, 1, 0)
  `;
  for (const table of ["metrics_hourly", "metrics_daily"]) {
    await sql`
      insert into rate_limiter.${sql(table)}
      values (${shardKey}, ${appId}, 'iops', date_trunc('day', now(), 'UTC'), 1, 1, 1, 1, 1, 1, 1)
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
    insert into rate_limiter.alert_notifications (
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
  await makeAccess(sql, tenantId, users.auditor);
  return users;
}

/** What lets in besides a password. */
async function makeAccess(sql: Sql, tenantId: string, userId: string): Promise<void> {
  await sql`
    insert into rate_limiter_private.service_tokens (token_hash, user_id, prefix, expires_at)
    values (sha256(${`token of ${userId}`}), ${userId}, 'qst_abcdefgh', now() + interval '1 hour')
  `;
  await sql`
    insert into rate_limiter_private.invitations (token_hash, user_id, expires_at)
    values (sha256(${`invitation of ${userId}`}), ${userId}, now() + interval '1 hour')
  `;
  await sql`
    insert into rate_limiter.role_mappings (tenant_id, group_name, role_id)
    select ${tenantId}, 'staff', r.role_id
    from rate_limiter.roles as r
    where r.name = 'app_viewer'
  `;
}
