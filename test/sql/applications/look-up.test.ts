import { expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { makeTenant } from "../world.ts";

const database = await createDatabase();

test("looking applications up by their names reads no more pages for many of them", async () => {
  const session = await database.session("never analysed", "rate_limiter_owner");
  const { sql } = session;
  const tenantId = await makeTenant(sql);
  const add = (from: number, to: number) => sql`
    insert into rate_limiter.applications (tenant_id, name)
    select ${tenantId}, 'app-' || i from generate_series(${from}::integer, ${to}::integer) as i
  `;
  const pagesRead = async () => {
    const look = `
      explain (analyze, buffers, timing off, format json)
      select from rate_limiter.applications where tenant_id = '${tenantId}' and name = 'app-7'`;
    await sql.unsafe(look);
    const [row] = await sql.unsafe(look);
    const plan = row?.["QUERY PLAN"][0].Plan;
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
  };
  await add(1, 10);
  const few = await pagesRead();
  await add(11, 1_000);
  expect(await pagesRead()).toBeLessThanOrEqual(few + 4);
});
