import { expect, test } from "vitest";
import type { Sql } from "../../src/postgres/connect.ts";
import { expectSqlState, type Session } from "../harness/index.ts";
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

test("requests at once make no application more than one after the other", async () => {
  await database.sql`
    update rate_limiter.applications set created_at = now() - interval '2 days'
    where tenant_id = ${mine.tenantId}
  `;
  const add = (name: string) => (sql: Sql) =>
    sql`
    select rate_limiter_internal.add_application(${name}, null, '{}', null)
  `;
  const people = [];
  for (const name of ["first", "second"]) {
    const session = await database.session(name, "rate_limiter_visitor");
    await session.sql`
      select set_config('rate_limiter.user_id', ${mine.users.tenant_admin}, false)
    `;
    people.push(session);
  }
  const [first, second] = people as [Session, Session];
  await first.sql`begin`;
  await add("one of two")(first.sql);
  await add("two of two")(first.sql);
  const third = second.start(add("three of two"));
  await second.waitsOnLock();
  await first.sql`commit`;
  await expectSqlState(third, "QS403", "too many new applications");
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
