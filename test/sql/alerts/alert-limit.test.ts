import { describe, expect, test } from "vitest";
import { makeTwoTenants } from "../../data-model/world.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import { asUser } from "../control-plane.ts";

const database = await createDatabase();
const { mine } = await makeTwoTenants(database);

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

describe("alerts of an application", () => {
  test("are a hundred at most, in one statement and in many", async () => {
    const refused = { code: "QS422", message: "too many alerts of an application" };
    await expectSqlState(makeAlerts(5_000), refused.code, refused.message);
    const [before] = await database.sql<{ count: number }[]>`
      select count(*)::integer as count from rate_limiter.alert_configs where app_id = ${mine.appId}
    `;
    expect(await makeAlerts(99 - (before?.count ?? 0))).toBe(99);
    expect(await makeAlerts(1)).toBe(100);
    await expectSqlState(makeAlerts(1), refused.code, refused.message);
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
