import { expect, test } from "vitest";
import { dataOf, refusalOf, serveTwoTenants } from "./world.ts";

const { database, as, mine } = await serveTwoTenants();

const create = `mutation ($input: CreateApplicationInput!) {
  createApplication(input: $input) { appId }
}`;

test("a tenant cannot take more than its ceiling by making applications anew", async () => {
  await database.sql`
    update rate_limiter.system_settings set value = '2' where key = 'new_applications_per_day'
  `;
  await database.sql`
    update rate_limiter.applications set created_at = now() - interval '2 days'
    where tenant_id = ${mine.tenantId}
  `;
  for (const name of ["first", "second"]) {
    await dataOf(as.tenant_admin.ask(create, { input: { name } }));
  }
  const third = as.tenant_admin.ask(create, { input: { name: "third" } });
  expect(await refusalOf(third)).toBe("QS403 too many new applications");
  await dataOf(as.system_admin.ask(create, { input: { name: "third", tenantId: mine.tenantId } }));
});

test("a tenant without ceilings of both kinds makes no application without a cluster", async () => {
  const asked = (name: string) => as.tenant_admin.ask(create, { input: { name } });
  await database.sql`
    update rate_limiter.system_settings set value = '100' where key = 'new_applications_per_day'
  `;
  await dataOf(asked("under both ceilings"));
  await database.sql`
    update rate_limiter.tenant_ceilings set bandwidth_limit_bps = null, bandwidth_burst_bps = null,
      bandwidth_capacity = null
    where tenant_id = ${mine.tenantId}
  `;
  expect(await refusalOf(asked("without one"))).toBe("QS403 application needs a cluster");
  await dataOf(
    as.system_admin.ask(create, { input: { name: "by the operator", tenantId: mine.tenantId } }),
  );
});
