import type { Sql } from "../../../src/postgres/connect.ts";
import type { TestDatabase } from "../../harness/index.ts";

/** An application with a small quota of its own, and nothing else to set a limit. */
export async function makeApplication(
  { sql }: TestDatabase,
  quota: { readonly limit: number; readonly burst: number } = { limit: 1, burst: 10 },
): Promise<string> {
  const name = crypto.randomUUID();
  const [row] = await sql<{ appId: string }[]>`
    with tenant as (
      insert into rate_limiter.tenants (name) values (${name}) returning tenant_id
    ),
    cluster as (
      insert into rate_limiter.clusters (name, region) values (${name}, 'north')
      returning cluster_id
    )
    insert into rate_limiter.applications (tenant_id, cluster_id, name)
    select t.tenant_id, c.cluster_id, ${name}
    from tenant as t
    cross join cluster as c
    returning app_id as "appId"
  `;
  if (row === undefined) throw new Error("no application made");
  await sql`
    select rate_limiter_internal.publish_quota_at(
      now(), ${row.appId}, null, 'enforce', null, null,
      ${sql.json({
        iops_limit: quota.limit,
        iops_burst: quota.burst,
        burst_duration_seconds: 1,
        refill_rate: quota.limit,
      })},
      null, 'test'
    )
  `;
  return row.appId;
}

/** What is on record of an application's denials, by reason, moved to the logged table or not. */
export async function countsOf({ sql }: Pick<TestDatabase, "sql">, appId: string) {
  const rows = await sql<{ reason: string; operations: string; tokens: string; bytes: string }[]>`
    select
      d.reason, sum(d.operations)::text as operations, sum(d.tokens)::text as tokens,
      sum(d.bytes)::text as bytes
    from rate_limiter.v_denial_counts as d
    where d.app_id = ${appId}
    group by d.reason
    order by d.reason
  `;
  return [...rows].map((row) => ({ ...row }));
}

/** How many denials of these applications are on record. */
export async function deniedOf({ sql }: Pick<TestDatabase, "sql">, ...appIds: string[]) {
  const [row] = await sql<{ operations: number }[]>`
    select coalesce(sum(d.operations), 0)::integer as operations
    from rate_limiter.v_denial_counts as d
    where d.app_id = any(${appIds}::uuid[])
  `;
  return row?.operations ?? 0;
}

/** Counts so many denials one after the other, each of one operation. */
export async function countAt(sql: Sql, appId: string, at: string, times = 1): Promise<void> {
  await sql`
    select rate_limiter_internal.count_denial(
      coalesce(rate_limiter_internal.app_shard_key(${appId}), 0), ${at}, ${appId}, 'iops_l2', 1, 10
    )
    from generate_series(1, ${times})
  `;
}

/** Denied at any moment: it costs more than the whole bucket. */
export async function deny(sql: Sql, appId: string, times = 1): Promise<void> {
  const answers = await sql`
    select d.allowed
    from generate_series(1, ${times}) as i
    cross join lateral rate_limiter.consume(${appId}, 'write_small', 1000000000000 + i) as d
  `;
  if (answers.some(({ allowed }) => allowed)) throw new Error("admitted");
}
