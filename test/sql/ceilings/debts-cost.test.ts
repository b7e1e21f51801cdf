import { expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { makeApplication, makeTenant, publish } from "../control-plane.ts";

const database = await createDatabase();
const { sql } = database;

test("what applications hold by debts is worked out of those alone that owe", async () => {
  const tenantId = await makeTenant(sql);
  for (let n = 0; n < 10; n++) {
    const appId = await makeApplication(sql, { tenantId });
    await publish(sql, { appId, iops: 100 });
    await sql`select rate_limiter.consume(${appId}, 'read_small', 0)`;
  }
  const session = await database.session("looks at debts");
  await session.sql`set track_functions = 'all'`;
  await session.sql`begin`;
  const held = await session.sql`
    select from rate_limiter_internal.held_by_debt(clock_timestamp(), ${tenantId})
  `;
  const calls = await session.sql<{ name: string }[]>`
    select f.funcname as name from pg_stat_xact_user_functions as f
    where f.funcname in ('debt_of', 'bucket_at')
  `;
  await session.sql`commit`;
  await session.close();
  expect(held).toHaveLength(0);
  expect([...calls]).toEqual([]);
});
