import type { TestDatabase } from "../harness/index.ts";

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
