import { beforeAll, describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  asUser,
  makeApplication,
  makeOperator,
  makeTenant,
  setCeiling,
  timeline,
  year,
} from "../control-plane.ts";

const database = await createDatabase();
const { sql } = database;
let operator: string;
let administrator: string;
let tenantId: string;

beforeAll(async () => {
  operator = await makeOperator(sql);
  tenantId = await makeTenant(sql);
  const [user] = await sql`
    with made as (
      insert into rate_limiter.users (tenant_id, username, email)
      values (${tenantId}, 'administrator', 'administrator@example.com')
      returning user_id
    )
    insert into rate_limiter.user_roles (user_id, role_id)
    select m.user_id, r.role_id from made as m join rate_limiter.roles as r on r.name = 'tenant_admin'
    returning user_id
  `;
  administrator = user?.user_id;
  await asUser(database, operator, (caller) =>
    setCeiling(caller, { tenantId, iops: [1000, 1000, 1000], bandwidth: [1000, 1000, 1000] }),
  );
});

interface Wanted {
  readonly iops?: number;
  readonly bandwidth?: number;
  readonly from?: string;
  readonly to?: string;
}

const publishAs = (userId: string, appId: string, { iops, bandwidth, from, to }: Wanted) =>
  asUser(
    database,
    userId,
    (caller) => caller<{ id: string }[]>`
      select q.config_id as id
      from rate_limiter_admin.schedule_quota(
        'test', ${from ?? null}::text::timestamptz, ${to ?? null}::text::timestamptz, ${appId},
        iops => ${iops === undefined ? null : `(${iops},${iops},1,${iops},token_bucket,0)`}
          ::text::rate_limiter_admin.iops_limits,
        bandwidth => ${bandwidth === undefined ? null : `(${bandwidth},${bandwidth},1,${bandwidth},t)`}
          ::text::rate_limiter_admin.bandwidth_limits
      ) as q
    `,
  );

const held = (work: Promise<unknown>) =>
  expectSqlState(work, "QS403", "an operator set this quota for a time");

async function braked() {
  const appId = await makeApplication(sql, { tenantId });
  await publishAs(administrator, appId, { iops: 100, bandwidth: 100 });
  const [brake] = await publishAs(operator, appId, { iops: 5, to: year(2100) });
  return { appId, brake: brake?.id ?? "" };
}

describe("what an operator set for a time", () => {
  test("is not replaced by the tenant, now or in the middle of it", async () => {
    const { appId } = await braked();
    await held(publishAs(administrator, appId, { iops: 100 }));
    await held(publishAs(administrator, appId, { bandwidth: 200 }));
    await held(publishAs(administrator, appId, { iops: 100, from: year(2099) }));
    await held(publishAs(administrator, appId, { iops: 100, to: year(2099) }));
    expect(await timeline(sql, appId)).toEqual(["now-2100: 5 100", "2100-ever: 100 100"]);
  });

  test("is not cancelled by the tenant, and not made longer", async () => {
    const { appId, brake } = await braked();
    const [next] = await sql`
      select config_id as id from rate_limiter.quota_configs
      where app_id = ${appId} and valid_from = ${year(2100)}
    `;
    for (const id of [brake, next?.id]) {
      await held(
        asUser(
          database,
          administrator,
          (caller) => caller`select rate_limiter_admin.cancel_quota(${id}, 'test')`,
        ),
      );
    }
  });

  test("is not rolled back by the tenant", async () => {
    const { appId } = await braked();
    const [version] = await sql`
      select version_id from rate_limiter_audit.quota_version_history
      where app_id = ${appId} order by changed_at, version_id limit 1
    `;
    await held(
      asUser(
        database,
        administrator,
        (caller) =>
          caller`select rate_limiter_admin.rollback_quota(${version?.version_id}, 'test')`,
      ),
    );
  });

  test("leaves what comes after it to the tenant", async () => {
    const { appId } = await braked();
    await publishAs(administrator, appId, { iops: 70, from: year(2101) });
    expect(await timeline(sql, appId)).toEqual([
      "now-2100: 5 100",
      "2100-2101: 100 100",
      "2101-ever: 70 100",
    ]);
  });

  test("stays so when an operator changes the other half for good", async () => {
    const { appId } = await braked();
    await publishAs(operator, appId, { bandwidth: 300 });
    await held(publishAs(administrator, appId, { iops: 100 }));
    await held(publishAs(administrator, appId, { bandwidth: 100 }));
  });

  test("goes on after another one that is shorter", async () => {
    const { appId } = await braked();
    await publishAs(operator, appId, { iops: 1, to: year(2098) });
    await held(publishAs(administrator, appId, { iops: 100, from: year(2099) }));
  });

  test("is the operator's to end, and then the tenant's again", async () => {
    const { appId, brake } = await braked();
    await asUser(
      database,
      operator,
      (caller) => caller`select rate_limiter_admin.cancel_quota(${brake}, 'test')`,
    );
    await publishAs(administrator, appId, { iops: 90 });
    expect(await timeline(sql, appId)).toEqual(["now-ever: 90 100"]);
  });
});

test("what a tenant set for a time is the tenant's to change", async () => {
  const appId = await makeApplication(sql, { tenantId });
  await publishAs(administrator, appId, { iops: 100, bandwidth: 100 });
  await publishAs(administrator, appId, { iops: 5, to: year(2100) });
  await publishAs(administrator, appId, { iops: 50 });
  expect(await timeline(sql, appId)).toEqual(["now-2100: 50 100", "2100-ever: 100 100"]);
});
