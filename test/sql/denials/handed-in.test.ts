import { describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import { countsOf, makeApplication } from "./world.ts";

const database = await createDatabase();

describe("denials that clients hand in", () => {
  test("come with a lease, added up by minute and reason", async () => {
    const appId = await makeApplication(database);
    const denials = [
      { minute: "2020-01-01T00:00Z", reason: "iops_l2", operations: 12, tokens: "34.5", bytes: 9 },
      { minute: "2999-01-01T00:00Z", reason: "iops_l2", operations: 1 },
      { minute: "2999-01-01T00:00Z", reason: "iops_l2", operations: 2 },
    ];
    const gateway = database.as("rate_limiter_app");
    await gateway`
      select rate_limiter.lease_tokens(${appId}, 1, 0, denials => ${gateway.json(denials)})
    `;
    expect(await countsOf(database, appId)).toEqual([
      { reason: "iops_l2", operations: "15", tokens: "34.500000", bytes: "9" },
    ]);
    const [bounds] = await database.sql`
      select
        min(minute) > now() - interval '25 hours' and max(minute) <= now() as within_a_day,
        count(*)::integer as rows
      from rate_limiter.v_denial_counts
      where app_id = ${appId}
    `;
    expect(bounds).toEqual({ within_a_day: true, rows: 2 });
  });

  test.each([
    ["no list", { minute: "2026-01-01T00:00Z" }],
    ["no offset", [{ minute: "2026-01-01T00:00", reason: "iops_l2", operations: 1 }]],
    ["no such date", [{ minute: "2026-02-30T00:00Z", reason: "iops_l2", operations: 1 }]],
    ["unknown reason", [{ minute: "2026-01-01T00:00Z", reason: "spite", operations: 1 }]],
    ["no operations", [{ minute: "2026-01-01T00:00Z", reason: "iops_l2", operations: 0 }]],
    [
      "negative tokens",
      [{ minute: "2026-01-01T00:00Z", reason: "iops_l2", operations: 1, tokens: -1 }],
    ],
  ])("are refused: %s", async (_, denials) => {
    const appId = await makeApplication(database);
    const gateway = database.as("rate_limiter_app");
    await expectSqlState(
      gateway`select rate_limiter.lease_tokens(${appId}, 1, 0, denials => ${gateway.json(denials)})`,
      "QS422",
      "denials are malformed",
    );
  });
});
