import { expect, test } from "vitest";
import type { TestDatabase } from "../harness/index.ts";
import { dataOf, serveTwoTenants } from "./world.ts";

const { database, as, mine } = await serveTwoTenants();

/**
 * Statements that the server has run in this database, by any role but the one that counts, and but
 * for what the API says of itself, and asks of its connections, now and then.
 */
async function statements({ sql }: TestDatabase): Promise<number> {
  const [row] = await sql`
    select coalesce(sum(s.calls), 0)::integer as calls
    from public.pg_stat_statements as s
    where s.dbid = (select oid from pg_database where datname = current_database())
      and s.userid <> current_user::regrole
      and s.query !~ 'rate_limiter_private.report_api|pg_is_in_recovery'
  `;
  return row?.calls;
}

const page = `{
  applications(first: 100, orderBy: NAME_ASC) {
    totalCount
    nodes {
      name
      tenant { name }
      cluster { name }
      buckets(first: 8) { nodes { bucketType currentTokens } }
      quotas(first: 5) { nodes { mode iopsQuota { iopsLimit } bandwidthQuota { bandwidthLimitBps } } }
      apiKeys(first: 5) { nodes { prefix } }
    }
  }
}`;

async function statementsOfPage(): Promise<number> {
  const before = await statements(database);
  const { applications } = await dataOf(as.tenant_admin.ask(page));
  for (const { buckets, quotas, apiKeys } of applications.nodes) {
    expect([buckets.nodes.length, quotas.nodes.length, apiKeys.nodes.length]).toEqual([2, 1, 1]);
  }
  return (await statements(database)) - before;
}

test("a page of applications costs as many statements as one of them, and few", async () => {
  // The first one of a connection also reads types.
  await statementsOfPage();
  const ofOne = await statementsOfPage();
  expect(ofOne).toBeGreaterThan(4);
  for (let application = 0; application < 40; application++) {
    const [made] = await database.sql`
      insert into rate_limiter.applications (tenant_id, cluster_id, name)
      values (${mine.tenantId}, ${mine.clusterId}, ${`application ${application}`})
      returning app_id
    `;
    await database.sql`select rate_limiter_private.issue_api_key(${made?.app_id})`;
    await database.sql`
      select rate_limiter_internal.publish_quota_at(
        now(), ${made?.app_id}, null, 'enforce', null, null,
        '{"iops_limit": 1, "iops_burst": 1, "burst_duration_seconds": 1, "refill_rate": 1}',
        '{"bandwidth_limit_bps": 1, "bandwidth_burst_bps": 1, "burst_duration_seconds": 1,
          "refill_rate_bps": 1}',
        'page'
      )
    `;
  }
  const { applications } = await dataOf(as.tenant_admin.ask(page));
  expect(applications.totalCount).toBe(41);
  const ofMany = await statementsOfPage();
  expect(ofMany).toBe(ofOne);
  expect(ofMany).toBeLessThan(15);
});
