import { expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { failing, failuresOf } from "../metrics/failing.ts";
import { limitedApplication } from "../world.ts";

const database = await createDatabase();
const { sql } = database;
const worker = database.as("rate_limiter_worker");

test("a borrowing that cannot be collected keeps no other from it, and is tried again", async () => {
  const appIds = await Promise.all([1, 2, 3].map(() => limitedApplication(sql, { iops: 100 })));
  for (const appId of appIds) {
    await sql`
      select rate_limiter_internal.borrow_tokens_at(
        now() - interval '1 minute', ${appId}, 'iops_l2', 10, interval '30 seconds'
      )
    `;
  }
  const [appId = ""] = appIds;
  await failing(database, "token_buckets", appId, { column: "owner_id" });
  const collect = async (later: string) => {
    const [row] = await worker`
      select rate_limiter_private.collect_borrowings(now() + ${later}::interval) as tried
    `;
    return row?.tried;
  };

  expect(await collect("0")).toBe(3);
  const borrowings = await sql<{ owner_id: string; status: string }[]>`
    select owner_id, status from rate_limiter.token_borrowing
  `;
  const statuses = new Map(borrowings.map((row) => [row.owner_id, row.status]));
  expect(appIds.map((id) => statuses.get(id))).toEqual(["active", "repaid", "repaid"]);
  expect(await failuresOf(database, appId)).toEqual([
    { job: "collect_borrowings", failures: 1, error: "22003 fails on purpose" },
  ]);
  expect(await collect("30 seconds")).toBe(0);
  expect(await collect("2 minutes")).toBe(1);
  expect(await failuresOf(database, appId)).toMatchObject([{ failures: 2 }]);
});
