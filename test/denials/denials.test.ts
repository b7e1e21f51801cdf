import { describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../harness/index.ts";
import { makeApplication } from "./world.ts";

const database = await createDatabase();

async function countsOf(appId: string) {
  const rows = await database.sql<
    { reason: string; operations: string; tokens: string; bytes: string; rows: string }[]
  >`
    select
      d.reason, sum(d.operations)::text as operations, sum(d.tokens)::text as tokens,
      sum(d.bytes)::text as bytes, count(*)::text as rows
    from rate_limiter.denial_counts as d
    where d.app_id = ${appId}
    group by d.reason
    order by d.reason
  `;
  return [...rows].map((row) => ({ ...row }));
}

describe("denials of the direct path", () => {
  test("write no row and no WAL, however many, and arrive with the next minute", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("gateway", "rate_limiter_app");
    // Dearer than the whole bucket: denied at any moment.
    await sql`begin`;
    const answers = await sql`
      select d.allowed
      from generate_series(1, 200)
      cross join lateral rate_limiter.consume(${appId}, 'write_small', 1000000000000) as d
    `;
    const [transaction] = await sql`select pg_current_xact_id_if_assigned() as id`;
    await sql`commit`;
    expect(answers.filter((answer) => answer.allowed)).toEqual([]);
    expect(transaction?.id).toBeNull();
    expect(await countsOf(appId)).toEqual([]);

    const owner = await database.session("another", "rate_limiter_owner");
    await countAt(owner.sql, appId, "2026-01-01T00:00:59Z", 2);
    await countAt(owner.sql, appId, "2026-01-01T00:00:59.999999Z", 3);
    expect(await countsOf(appId)).toEqual([]);
    await countAt(owner.sql, appId, "2026-01-01T00:01:00Z", 1);
    expect(await countsOf(appId)).toEqual([
      { reason: "iops_l2", operations: "5", tokens: "5.000000", bytes: "50", rows: "1" },
    ]);
  });

  test("are taken along by an admission of a later minute", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("gateway", "rate_limiter_owner");
    await countAt(sql, appId, "2026-01-01T00:00:00Z", 4);
    const admit = (moment: string) => sql`
      select (rate_limiter_internal.consume_at(${moment}, ${appId}, 'write_small', 0)).allowed
    `;
    expect(await admit("2026-01-01T00:00:30Z")).toEqual([{ allowed: true }]);
    expect(await countsOf(appId)).toEqual([]);
    expect(await admit("2026-01-01T00:01:30Z")).toEqual([{ allowed: true }]);
    expect(await countsOf(appId)).toMatchObject([{ operations: "4" }]);
  });

  test("of a batch are counted by reason", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("gateway", "rate_limiter_app");
    const answers = await sql`
      select * from rate_limiter.consume_batch(
        ${appId}, array_fill('write_small'::text, array[40]), array_fill(5::bigint, array[40])
      )
    `;
    const denied = answers.filter((answer) => !answer.allowed).length;
    expect(denied).toBeGreaterThan(0);
    const [kept] = await sql`
      select current_setting(
        'rate_limiter_denials.d' || replace(${appId}, '-', '') || '_iops_l2'
      )::numeric[] as amounts
    `;
    expect(kept?.amounts.slice(0, 1)).toEqual([String(denied)]);
  });

  test("of a transaction that is rolled back are not counted", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("gateway", "rate_limiter_owner");
    await sql`begin`;
    await countAt(sql, appId, "2026-01-01T00:00:00Z", 4);
    await countAt(sql, appId, "2026-01-01T00:01:00Z", 4);
    await sql`rollback`;
    await countAt(sql, appId, "2026-01-01T00:02:00Z", 1);
    await countAt(sql, appId, "2026-01-01T00:03:00Z", 1);
    expect(await countsOf(appId)).toMatchObject([{ operations: "1" }]);
  });

  test("cost a session that only reads nothing but the count", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("standby", "rate_limiter_owner");
    await countAt(sql, appId, "2026-01-01T00:00:00Z", 4);
    await sql`begin read only`;
    await countAt(sql, appId, "2026-01-01T00:01:00Z", 4);
    await sql`commit`;
    await countAt(sql, appId, "2026-01-01T00:02:00Z", 1);
    expect(await countsOf(appId)).toMatchObject([{ operations: "8" }]);
  });
});

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
    expect(await countsOf(appId)).toEqual([
      { reason: "iops_l2", operations: "15", tokens: "34.500000", bytes: "9", rows: "2" },
    ]);
    const [bounds] = await database.sql`
      select
        min(minute) > now() - interval '25 hours' and max(minute) <= now() as within_a_day
      from rate_limiter.denial_counts
      where app_id = ${appId}
    `;
    expect(bounds?.within_a_day).toBe(true);
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

async function countAt(
  sql: (typeof database)["sql"],
  appId: string,
  at: string,
  operations: number,
): Promise<void> {
  await sql`
    select rate_limiter_internal.count_denial(
      ${at}, ${appId}, 'iops_l2', ${operations}, ${operations * 10}, ${operations}
    )
  `;
}
