import { expect, test } from "vitest";
import { dataOf, refusalOf, serveTwoTenants } from "./world.ts";

const { database, as, mine } = await serveTwoTenants();

test("people are found by a part of their address or name, and by what they are", async () => {
  const ask = async (filter: string) => {
    const { users } = await dataOf(
      as.tenant_admin.ask(`{ users(filter: ${filter}, orderBy: EMAIL_ASC) { nodes { email } } }`),
    );
    return users.nodes.map(({ email }: { email: string }) => email);
  };
  expect(await ask('{ email: { includesInsensitive: "AUDITOR@" } }')).toEqual([
    "auditor@mine.example",
  ]);
  const [row] = await database.sql`
    select username from rate_limiter.users where user_id = ${mine.users.app_viewer}
  `;
  expect(await ask(`{ username: { equalTo: "${row?.username}" } }`)).toEqual([
    "app_viewer@mine.example",
  ]);
  expect(await ask("{ isServiceAccount: { equalTo: true } }")).toEqual([]);
  expect(await ask("{ isActive: { equalTo: false } }")).toEqual([]);
});

test("applications are found by activity, metadata and when they were made", async () => {
  await database.sql`
    insert into rate_limiter.applications (tenant_id, name, metadata, is_active, created_at)
    values (${mine.tenantId}, 'tagged', '{"team": "blue", "tier": 1}', false, '2020-02-02')
  `;
  for (const filter of [
    "{ isActive: { equalTo: false } }",
    '{ metadata: { contains: { team: "blue" } } }',
    '{ createdAt: { lessThan: "2020-03-01T00:00:00Z" } }',
  ]) {
    const { applications } = await dataOf(
      as.app_viewer.ask(`{ applications(filter: ${filter}) { nodes { name } } }`),
    );
    expect(applications.nodes).toEqual([{ name: "tagged" }]);
  }
});

test("a page has fifty rows where its size is left out, inside others too", async () => {
  await database.sql`
    insert into rate_limiter.applications (tenant_id, name)
    select ${mine.tenantId}, 'many ' || n from generate_series(1, 60) as n
  `;
  const { tenants } = await dataOf(
    as.tenant_admin.ask(`
      query { tenants { nodes { ...found } } }
      fragment found on Tenant { applications { nodes { appId } pageInfo { hasNextPage } } }
    `),
  );
  expect(tenants.nodes[0].applications.nodes).toHaveLength(50);
  expect(tenants.nodes[0].applications.pageInfo.hasNextPage).toBe(true);
  expect(
    await refusalOf(
      as.tenant_admin.ask("query ($n: Int) { tenants(first: $n) { nodes { name } } }"),
    ),
  ).toBe("QS400 page has no size");
});
