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

  describe("as totals of a counter", () => {
    const minute = new Date(Math.floor(Date.now() / 60_000) * 60_000).toISOString();
    const total = (operations: number, counter = "one", of = minute) => ({
      ...{ minute: of, reason: "iops_l2", counter },
      ...{ operations, tokens: String(operations), bytes: 10 * operations },
    });

    async function handIn(appId: string, ...denials: object[]): Promise<void> {
      const gateway = database.as("rate_limiter_app");
      await gateway`select rate_limiter.report_counts(${appId}, ${gateway.json(denials as [])})`;
    }

    async function expectDenied(appId: string, operations: number): Promise<void> {
      expect(await countsOf(database, appId)).toEqual([
        {
          ...{ reason: "iops_l2", operations: String(operations) },
          ...{ tokens: operations.toFixed(6), bytes: String(10 * operations) },
        },
      ]);
    }

    test("count once, however often a call is repeated, and whatever came meanwhile", async () => {
      const appId = await makeApplication(database);
      for (const operations of [3, 3, 7, 3]) await handIn(appId, total(operations));
      await handIn(appId, total(9), total(8));
      await expectDenied(appId, 9);
    });

    test("are added up by counter and minute, and to what has none", async () => {
      const appId = await makeApplication(database);
      const before = new Date(Date.parse(minute) - 60_000).toISOString();
      const { counter: _, ...without } = total(100);
      await handIn(appId, total(1), total(2, "other"), total(4, "one", before), without);
      await handIn(appId, total(1), total(2, "other"), total(4, "one", before));
      await expectDenied(appId, 107);
    });

    test("are one for a clock that is ahead, whose minute is another with each call", async () => {
      const appId = await makeApplication(database);
      const ahead = total(5, "one", "2999-01-01T00:00Z");
      await handIn(appId, ahead);
      await database.sql`
        update rate_limiter.recent_denials set minute = minute - interval '1 minute'
        where app_id = ${appId}
      `;
      await handIn(appId, ahead);
      await expectDenied(appId, 5);
    });

    const fold = () =>
      database.as("rate_limiter_worker")`select rate_limiter_private.fold_denials()`;

    async function rowsOf(appId: string) {
      const [row] = await database.sql`
        select
          (select count(*)::integer from rate_limiter.recent_denials where app_id = ${appId})
            as recent,
          (select count(*)::integer from rate_limiter.denial_counts where app_id = ${appId})
            as logged,
          (select sum(operations)::integer from rate_limiter.denial_counts where app_id = ${appId})
            as folded
      `;
      return { ...row };
    }

    test("are folded as they grow, and stay to be compared with", async () => {
      const appId = await makeApplication(database);
      await handIn(appId, total(5), total(3, "other"));
      await expectDenied(appId, 8);
      await fold();
      expect(await rowsOf(appId)).toEqual({ recent: 2, logged: 2, folded: 8 });
      await expectDenied(appId, 8);
      await handIn(appId, total(5), total(6), total(3, "other"));
      await expectDenied(appId, 9);
      expect((await rowsOf(appId)).folded).toBe(8);
      await fold();
      expect(await rowsOf(appId)).toEqual({ recent: 2, logged: 2, folded: 9 });
      await expectDenied(appId, 9);
    });

    test("have one key in the view before, while and after they are folded", async () => {
      const appId = await makeApplication(database);
      await handIn(appId, total(5));
      await fold();
      await handIn(appId, total(6));
      const rows = await database.sql`
        select distinct minute, reason, count_id from rate_limiter.v_denial_counts
        where app_id = ${appId}
      `;
      expect(rows).toHaveLength(2);
    });

    test("are merged when no call is repeated any more", async () => {
      const appId = await makeApplication(database);
      await handIn(appId, total(5), total(3, "other"));
      await fold();
      await handIn(appId, total(6));
      await database.sql`
        with older as (
          update rate_limiter.denial_counts set minute = minute - interval '6 minutes'
          where app_id = ${appId}
        )
        update rate_limiter.recent_denials set minute = minute - interval '6 minutes'
        where app_id = ${appId}
      `;
      await fold();
      expect(await rowsOf(appId)).toEqual({ recent: 0, logged: 1, folded: 9 });
      await expectDenied(appId, 9);
    });

    test("count once after a crash that took those which are not logged", async () => {
      const appId = await makeApplication(database);
      await handIn(appId, total(5));
      await fold();
      await database.sql`delete from rate_limiter.recent_denials where app_id = ${appId}`;
      await expectDenied(appId, 5);
      await handIn(appId, total(7));
      await expectDenied(appId, 7);
      await fold();
      await expectDenied(appId, 7);
    });

    test("follow their application to another shard key while they are handed in", async () => {
      const appId = await makeApplication(database);
      await handIn(appId, total(5));
      await fold();
      // As where a report held the row when the application moved.
      await database.sql`
        update rate_limiter.recent_denials set shard_key = shard_key + 1 where app_id = ${appId}
      `;
      await handIn(appId, total(7));
      await fold();
      expect((await rowsOf(appId)).folded).toBe(7);
      await database.sql`
        with older as (
          update rate_limiter.denial_counts set minute = minute - interval '6 minutes'
          where app_id = ${appId}
        )
        update rate_limiter.recent_denials set minute = minute - interval '6 minutes'
        where app_id = ${appId}
      `;
      await fold();
      expect(await rowsOf(appId)).toEqual({ recent: 0, logged: 1, folded: 7 });
    });
  });

  test.each([
    ["no list", { minute: "2026-01-01T00:00Z" }],
    ["no offset", [{ minute: "2026-01-01T00:00", reason: "iops_l2", operations: 1 }]],
    ["no such date", [{ minute: "2026-02-30T00:00Z", reason: "iops_l2", operations: 1 }]],
    ["unknown reason", [{ minute: "2026-01-01T00:00Z", reason: "spite", operations: 1 }]],
    [
      "an empty counter",
      [{ minute: "2026-01-01T00:00Z", reason: "iops_l2", operations: 1, counter: "" }],
    ],
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
