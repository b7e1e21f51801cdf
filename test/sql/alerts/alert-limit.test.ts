import { describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { makeTwoTenants } from "../../data-model/world.ts";
import { createDatabase, expectSqlState, type Session } from "../../harness/index.ts";
import { asUser } from "../control-plane.ts";

const database = await createDatabase();
const { mine } = await makeTwoTenants(database);

const refused = { code: "QS422", message: "too many alerts of an application" };

/** Makes so many alerts as the tenant's administrator does; answers how many the application has. */
const makeAlerts = (count: number) =>
  asUser(database, mine.users.tenant_admin, async (caller) => {
    await caller`
      insert into rate_limiter.alert_configs
        (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
         notification_config)
      select ${mine.appId}, 'depth', '>', n, 60, 'info', '{}'
      from generate_series(1, ${count}::integer) as n
    `;
    const rows = await caller`
      select from rate_limiter.alert_configs where app_id = ${mine.appId}
    `;
    return rows.count;
  });

/** A session of the tenant's administrator. */
async function person(name: string): Promise<Session> {
  const session = await database.session(name, "rate_limiter_visitor");
  await session.sql`
    select set_config('rate_limiter.user_id', ${mine.users.tenant_admin}, false)
  `;
  return session;
}

describe("alerts of an application", () => {
  test("are a hundred at most, in one statement", async () => {
    await expectSqlState(makeAlerts(5_000), refused.code, refused.message);
    const [before] = await database.sql<{ count: number }[]>`
      select count(*)::integer as count from rate_limiter.alert_configs where app_id = ${mine.appId}
    `;
    expect(await makeAlerts(99 - (before?.count ?? 0))).toBe(99);
  });

  test("are a hundred at most, however many requests make one at once", async () => {
    const insert = (sql: Sql) => sql`
      insert into rate_limiter.alert_configs
        (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
         notification_config)
      values (${mine.appId}, 'depth', '>', 1, 60, 'info', '{}')
    `;
    const [first, second] = [await person("first"), await person("second")];
    await first.sql`begin`;
    await insert(first.sql);
    const waiting = second.start(insert);
    await second.waitsOnLock();
    await first.sql`commit`;
    await expectSqlState(waiting, refused.code, refused.message);
  });

  test("that are there may be changed, however many there are", async () => {
    await asUser(database, mine.users.tenant_admin, async (caller) => {
      const changed = await caller`
        update rate_limiter.alert_configs set threshold_value = 7 where app_id = ${mine.appId}
      `;
      expect(changed.count).toBe(100);
    });
  });
});
