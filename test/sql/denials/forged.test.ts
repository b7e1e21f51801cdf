import { expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { makeApplication } from "./world.ts";

const database = await createDatabase();

test("a session that forges its counts of denials does not stop the job for all", async () => {
  const appId = await makeApplication(database);
  const app = database.as("rate_limiter_app");
  await app
    .begin(async (sql) => {
      for (const list of "0123456789abcdef") {
        await sql`
        select set_config(
          ${`rate_limiter_denials.counts_${list}`},
          ${`1795990000|${appId}you_are_hacked{5,5,5,1,0}|`}, false
        )
      `;
      }
      await sql`select set_config('rate_limiter_denials.since', '1', false)`;
      await sql`select * from rate_limiter.consume(${appId}, 'head')`;
    })
    .catch(() => "refused");

  expect(await database.sql`select rate_limiter_private.fold_denials()`).toHaveLength(1);
  const counted = await database.sql`
    select reason from rate_limiter.denial_counts where app_id = ${appId}
  `;
  expect(counted.map((row) => row.reason)).toEqual([]);
});
