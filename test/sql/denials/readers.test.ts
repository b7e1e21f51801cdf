import { expect, test } from "vitest";
import { makeTwoTenants } from "../../data-model/world.ts";
import { createDatabase } from "../../harness/index.ts";
import { countAt, makeApplication } from "./world.ts";

const database = await createDatabase();
const { mine, theirs } = await makeTwoTenants(database);
// The quota is in force since a moment ago.
const inAMoment = Date.now() + 30_000;
const at = new Date(inAMoment).toISOString();
const since = new Date(inAMoment - 3_600_000).toISOString();
const until = new Date(inAMoment + 3_600_000).toISOString();

test("counts are the same for every reader before they are folded and after", async () => {
  const appId = await makeApplication(database);
  const { sql } = await database.session("denied", "rate_limiter_owner");
  // For topConsumers, who tell of denials beside what was used.
  await sql`select rate_limiter_internal.consume_at(
    rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, 'write_small', 0
  )`;
  await database.sql`select rate_limiter_private.refresh_daily_quota_usage()`;
  await countAt(sql, appId, at, 8);
  const read = async () => {
    const [metric] = await database.sql`
      select m.value::float8 as value
      from rate_limiter_internal.system_metrics(${since}, ${until}) as m
      where m.app_id = ${appId} and m.metric_name = 'qos_denied_operations'
    `;
    const [usage] = await database.withTransaction(
      "rate_limiter_visitor",
      { user_id: mine.users.system_admin },
      (visitor) => visitor`
        select
          (select sum(u.denied_operations)::float8
            from rate_limiter_admin.usage_over_time(${appId}, ${since}, ${until}) as u) as usage,
          (select max(t.denied_operations)::float8
            from rate_limiter_admin.top_consumers(${since}, ${until}) as t
            where t.app_id = ${appId}) as top,
          (select sum(d.operations)::float8
            from rate_limiter.v_denial_counts as d where d.app_id = ${appId}) as listed
      `,
    );
    const [monitored] = await database.as("rate_limiter_readonly")`
      select sum(d.operations)::float8 as operations
      from rate_limiter.v_denial_counts as d
      where d.app_id = ${appId}
    `;
    return { ...usage, metric: metric?.value, monitored: monitored?.operations };
  };

  const before = await read();
  expect(before).toEqual({ usage: 8, top: 8, listed: 8, metric: 8, monitored: 8 });
  await database.as("rate_limiter_worker")`select rate_limiter_private.fold_denials()`;
  expect(await read()).toEqual(before);
});

test("counts are for the own tenant alone, folded or not", async () => {
  const moment = "2026-02-01T00:00:00Z";
  const { sql } = await database.session("of two tenants", "rate_limiter_owner");
  for (const { appId } of [mine, theirs]) await countAt(sql, appId, moment, 8);
  const seen = async () => {
    const rows = await database.withTransaction(
      "rate_limiter_visitor",
      { user_id: mine.users.app_admin },
      (visitor) => visitor`
        select distinct d.app_id
        from rate_limiter.v_denial_counts as d
        where d.minute = ${moment}
      `,
    );
    return rows.map((row) => row.app_id);
  };
  expect(await seen()).toEqual([mine.appId]);
  await database.as("rate_limiter_worker")`select rate_limiter_private.fold_denials()`;
  expect(await seen()).toEqual([mine.appId]);
});
