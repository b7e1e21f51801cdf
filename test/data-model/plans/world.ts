import type { TestDatabase } from "../../harness/index.ts";

const ledgerRows = 1_000_000;
const metricRows = 100_000;
const auditRows = 20_000;
const applications = 200;
/** The rows lie in as many days up to now. */
const days = 30;

export interface BigWorld {
  readonly appId: string;
  readonly userId: string;
}

/** A month of traffic of many applications, made set by set. */
export async function makeBigWorld({ sql }: TestDatabase): Promise<BigWorld> {
  for (let day = days + 1; day > 0; day -= 7) {
    await sql`select rate_limiter_private.make_partitions(now() - ${`${day} days`}::interval)`;
  }
  const world = await makeOwners(sql);
  await Promise.all([
    makeLedger(sql, 1, ledgerRows / 2),
    makeLedger(sql, ledgerRows / 2 + 1, ledgerRows),
    makeMetrics(sql).then(() => makeAudit(sql, world.userId)),
  ]);
  await sql`
    insert into rate_limiter.metrics_hourly
    select shard_key, app_id, metric_name, date_trunc('hour', "timestamp", 'UTC'), avg(value),
      min(value), max(value), avg(value), max(value), max(value), count(*)
    from rate_limiter.metrics
    group by 1, 2, 3, 4
  `;
  await countUsage(sql);
  // The parents are analyzed with their partitions, and the rest has a few hundred rows.
  await Promise.all([
    sql`vacuum (analyze) rate_limiter.token_transactions, rate_limiter_private.usage_daily,
      rate_limiter_private.usage_hourly`,
    sql`vacuum (analyze) rate_limiter.metrics, rate_limiter.metrics_hourly,
      rate_limiter_audit.audit_logs, rate_limiter.applications, rate_limiter.token_buckets,
      rate_limiter.quota_configs, rate_limiter.alert_configs`,
  ]);
  return world;
}

type Sql = TestDatabase["sql"];

async function makeOwners(sql: Sql): Promise<BigWorld> {
  await sql`insert into rate_limiter.tenants (name) values ('tenant')`;
  await sql`
    insert into rate_limiter.applications (tenant_id, name, auto_borrow)
    select t.tenant_id, 'application ' || i, true
    from rate_limiter.tenants as t
    cross join generate_series(1, ${applications}::integer) as i
  `;
  await sql`
    select rate_limiter_internal.publish_quota_at(
      now(), app_id, null, 'enforce', null, null,
      '{"iops_limit": 1000, "iops_burst": 1000, "burst_duration_seconds": 10, "refill_rate": 1000}',
      '{"bandwidth_limit_bps": 1000000, "bandwidth_burst_bps": 1000000,
        "burst_duration_seconds": 10, "refill_rate_bps": 1000000}',
      'first'
    )
    from rate_limiter.applications
  `;
  await sql`
    insert into rate_limiter.alert_configs (
      app_id, metric_name, condition, threshold_value, duration_seconds, severity,
      notification_config
    )
    select app_id, 'latency', '>', 1000, 300, 'warning', '{"channel": "log"}'
    from rate_limiter.applications
  `;
  const [row] = await sql<BigWorld[]>`
    with made as (
      insert into rate_limiter.users (tenant_id, username, email)
      select tenant_id, 'administrator', 'administrator@example.com' from rate_limiter.tenants
      returning user_id
    ),
    appointed as (
      insert into rate_limiter.user_roles (user_id, role_id)
      select m.user_id, r.role_id
      from made as m
      join rate_limiter.roles as r on r.name = 'system_admin'
    )
    select user_id as "userId",
      (select app_id from rate_limiter.applications order by name limit 1) as "appId"
    from made
  `;
  if (row === undefined) throw new Error("no administrator made");
  return row;
}

/** What the job would have counted, in one go. */
async function countUsage(sql: Sql): Promise<void> {
  await sql`
    insert into rate_limiter_private.usage_hourly
    select shard_key, owner_id, bucket_type, date_trunc('hour', created_at, 'UTC'),
      -sum(tokens_change), 0, 0, count(*), count(*)
    from rate_limiter.token_transactions
    group by 1, 2, 3, 4
  `;
  await sql`
    insert into rate_limiter_private.usage_daily
    select shard_key, app_id, bucket_type, (hour at time zone 'UTC')::date, sum(tokens_consumed),
      0, 0, sum(usage_entries), sum(ledger_entries)
    from rate_limiter_private.usage_hourly
    group by 1, 2, 3, 4
  `;
}

/** In order of time, as it is written in life: that is what block-range indexes live on. */
async function makeLedger(sql: Sql, first: number, last: number): Promise<void> {
  await sql`
    insert into rate_limiter.token_transactions (
      shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
      refilled, balance_after
    )
    select
      owners.keys[1 + i % ${applications}::integer],
      owners.ids[1 + i % ${applications}::integer],
      now() - ${`${days} days`}::interval
        + i * ${`${days} days`}::interval / ${ledgerRows}::integer,
      i, case i % 3 when 0 then 'bandwidth_l2' else 'iops_l2' end::rate_limiter.bucket_type,
      'enforce', 'consume', -1, 1, 100
    from (
      select array_agg(shard_key order by app_id) as keys, array_agg(app_id order by app_id) as ids
      from rate_limiter.applications
    ) as owners
    cross join generate_series(${first}::integer, ${last}::integer) as i
  `;
}

async function makeMetrics(sql: Sql): Promise<void> {
  await sql`
    insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_name, value)
    select
      owners.keys[1 + i % ${applications}::integer],
      owners.ids[1 + i % ${applications}::integer],
      now() - ${`${days} days`}::interval
        + i * ${`${days} days`}::interval / ${metricRows}::integer,
      case i % 3 when 0 then 'latency' else 'iops' end, i % 100
    from (
      select array_agg(shard_key order by app_id) as keys, array_agg(app_id order by app_id) as ids
      from rate_limiter.applications
    ) as owners
    cross join generate_series(1, ${metricRows}::integer) as i
  `;
}

async function makeAudit(sql: Sql, userId: string): Promise<void> {
  await sql`
    insert into rate_limiter_audit.audit_logs (
      tenant_id, user_id, action, entity_type, entity_id, new_values, created_at
    )
    select
      t.tenant_id, case when i % 100 = 0 then ${userId}::uuid else gen_random_uuid() end,
      case i % 10 when 0 then 'delete' else 'update' end, 'applications', gen_random_uuid(),
      jsonb_build_object('name', md5(i::text)),
      now() - ${`${days} days`}::interval
        + i * ${`${days} days`}::interval / ${auditRows}::integer
    from rate_limiter.tenants as t
    cross join generate_series(1, ${auditRows}::integer) as i
  `;
}
