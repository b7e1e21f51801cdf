import { describe, expect, test } from "vitest";
import { connect, withConnection } from "../../../src/postgres/connect.ts";
import { createDatabase } from "../../harness/index.ts";
import { limitedApplication } from "../world.ts";
import { countAt, countsOf, deniedOf, deny, makeApplication } from "./world.ts";

const database = await createDatabase();
const url = database.urlAs("rate_limiter_app");

describe("denials of one session come on record", () => {
  test("at its denials 1, 2, 4, 8 and so on, and then once a second", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("doubling", "rate_limiter_owner");
    const seen: number[] = [];
    for (let denial = 1; denial <= 20; denial++) {
      await countAt(sql, appId, "2026-01-01T00:00:00.1Z");
      seen.push(await deniedOf(database, appId));
    }
    expect(seen).toEqual([1, 2, 2, ...Array(4).fill(4), ...Array(8).fill(8), ...Array(5).fill(16)]);

    for (const [at, expected] of [
      ["2026-01-01T00:00:00.9Z", 16],
      ["2026-01-01T00:00:01.1Z", 22],
      ["2026-01-01T00:00:02.0Z", 23],
      ["2026-01-01T00:00:02.1Z", 23],
    ] as const) {
      await countAt(sql, appId, at);
      expect(await deniedOf(database, appId), at).toBe(expected);
    }
  });

  test("from 1 again after ten quiet seconds, so that each burst is seen", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("bursts", "rate_limiter_owner");
    await countAt(sql, appId, "2026-01-01T00:00:00Z", 1000);
    await countAt(sql, appId, "2026-01-01T00:00:20Z", 1);
    const before = await deniedOf(database, appId);
    await countAt(sql, appId, "2026-01-01T00:00:20.1Z", 100);
    expect((await deniedOf(database, appId)) - before).toBe(63);
  });

  test("of a batch as of so many", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("batch", "rate_limiter_app");
    const answers = await sql`
      select * from rate_limiter.consume_batch(
        ${appId}, array_fill('write_small'::text, array[40]), array_fill(5::bigint, array[40])
      )
    `;
    const denied = answers.filter((answer) => !answer.allowed);
    expect(denied.length).toBeGreaterThan(0);
    expect(await countsOf(database, appId)).toMatchObject([
      { reason: "iops_l2", operations: String(denied.length), bytes: String(5 * denied.length) },
    ]);
  });

  test("by minute and reason, with their tokens and bytes", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("minutes", "rate_limiter_owner");
    await countAt(sql, appId, "2026-01-01T00:00:59Z", 3);
    await sql`
      select rate_limiter_internal.count_denial(
        rate_limiter_internal.app_shard_key(${appId}), '2026-01-01T00:00:59.999999Z', ${appId},
        'bandwidth_l2', 0.5, 7, 2
      )
    `;
    await countAt(sql, appId, "2026-01-01T00:01:00Z", 4);
    const rows = await database.sql`
      select
        extract(minute from d.minute)::integer as minute, d.reason,
        sum(d.operations)::integer as operations, sum(d.tokens)::float8 as tokens,
        sum(d.bytes)::integer as bytes
      from rate_limiter.v_denial_counts as d
      where d.app_id = ${appId}
      group by 1, 2
      order by 1, 2
    `;
    expect([...rows]).toEqual([
      { minute: 0, reason: "bandwidth_l2", operations: 2, tokens: 0.5, bytes: 7 },
      { minute: 0, reason: "iops_l2", operations: 3, tokens: 3, bytes: 30 },
      { minute: 1, reason: "iops_l2", operations: 1, tokens: 1, bytes: 10 },
    ]);
  });

  test("though only others are denied from then on", async () => {
    const { sql } = await database.session("others", "rate_limiter_owner");
    const appIds = Array.from({ length: 40 }, () => crypto.randomUUID());
    for (const appId of appIds) await countAt(sql, appId, "2026-01-01T00:00:00Z", 7);
    expect(await deniedOf(database, ...appIds)).toBe(40 * 4);
    const other = crypto.randomUUID();
    for (let second = 1; second <= 9; second++) {
      await countAt(sql, other, `2026-01-01T00:00:0${second}Z`);
    }
    expect(await deniedOf(database, ...appIds)).toBe(40 * 7);
  });

  test("with an admission a second later", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("charges", "rate_limiter_owner");
    await countAt(sql, appId, "2026-01-01T00:00:00Z", 7);
    const admit = (moment: string) => sql`
      select (rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment}, ${appId}, 'write_small', 0
      )).allowed
    `;
    expect(await admit("2026-01-01T00:00:00.9Z")).toEqual([{ allowed: true }]);
    expect(await deniedOf(database, appId)).toBe(4);
    expect(await admit("2026-01-01T00:00:01Z")).toEqual([{ allowed: true }]);
    expect(await deniedOf(database, appId)).toBe(7);
  });

  test("whatever the clock does", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("clock", "rate_limiter_owner");
    const hours = ["12", "11", "13", "11"];
    for (const hour of hours) await countAt(sql, appId, `2026-01-01T${hour}:00:00Z`, 3);
    await countAt(sql, appId, "2026-01-01T14:00:00Z", 1);
    expect(await deniedOf(database, appId)).toBe(13);
  });
});

describe("what is lost with a session is less than half of its denials", () => {
  test("of 385 by 11 sessions that each come once", async () => {
    const appId = await makeApplication(database);
    for (let session = 0; session < 11; session++) {
      await withConnection(url, (sql) => deny(sql, appId, 35));
    }
    const denied = await deniedOf(database, appId);
    expect(denied).toBeGreaterThan(385 / 2);
    expect(denied).toBeLessThanOrEqual(385);
  });

  test("of a single one", async () => {
    const appId = await makeApplication(database);
    await withConnection(url, (sql) => deny(sql, appId));
    expect(await deniedOf(database, appId)).toBe(1);
  });

  test("of 1,100 through a pool within a minute", async () => {
    const appId = await makeApplication(database);
    const pool = connect(url, { max: 8 });
    await Promise.all(Array.from({ length: 1_100 }, () => deny(pool, appId)));
    await pool.end();
    const denied = await deniedOf(database, appId);
    expect(denied).toBeGreaterThan(1_100 / 2);
    expect(denied).toBeLessThanOrEqual(1_100);
  });
});

test("a session that hands in what it counted takes nothing with it", async () => {
  const [one, other] = [await makeApplication(database), await makeApplication(database)];
  const { sql } = await database.session("short", "rate_limiter_owner");
  await countAt(sql, one, "2026-01-01T00:00:00.1Z", 100);
  await countAt(sql, other, "2026-01-01T00:00:59.9Z", 3);
  for (let times = 1; times <= 2; times++) await sql`select rate_limiter.hand_in_denials()`;
  expect([await deniedOf(database, one), await deniedOf(database, other)]).toEqual([100, 3]);
});

describe("many applications that a session denies", () => {
  /** Denials of so many applications, one of each in turn. */
  const rounds = (sql: typeof database.sql, appIds: readonly string[], at: string, times: number) =>
    sql`
      select count(rate_limiter_internal.count_denial(0, ${at}, a.id, 'iops_l2', 1, 10))
      from generate_series(1, ${times})
      cross join unnest(${appIds}::uuid[]) as a (id)
    `;
  const madeUp = (count: number) => Array.from({ length: count }, () => crypto.randomUUID());

  test("are each on record, though the session ends", async () => {
    const appIds = madeUp(600);
    await withConnection(database.urlAs("rate_limiter_owner"), (sql) =>
      rounds(sql, appIds, "2026-01-01T00:00:00Z", 3),
    );
    const [seen] = await database.sql`
      select count(distinct d.app_id)::integer as applications
      from rate_limiter.v_denial_counts as d
      where d.app_id = any(${appIds}::uuid[])
    `;
    expect(seen?.applications).toBe(600);
    expect(await deniedOf(database, ...appIds)).toBeGreaterThanOrEqual(1_200);
  });

  test("take a number of settings, and a length of each, that does not grow with them", async () => {
    const { sql } = await database.session("many", "rate_limiter_owner");
    const memory = async () => {
      const [row] = await sql`
        select count(*)::integer as settings, max(length(s.setting)) as longest
        from (
          select current_setting('rate_limiter_denials.' || name, true) as setting
          from unnest(array['since']) as name
          union all
          select current_setting('rate_limiter_denials.counts_' || to_hex(n), true)
          from generate_series(0, 15) as n
        ) as s
        where s.setting is not null
      `;
      return row;
    };
    const [before] = await sql`select count(*) as settings from pg_settings`;
    await rounds(sql, madeUp(5_000), "2026-01-01T00:00:00Z", 2);
    const [after] = await sql`select count(*) as settings from pg_settings`;
    expect(Number(after?.settings) - Number(before?.settings)).toBeLessThanOrEqual(17);
    const { settings, longest } = (await memory()) as { settings: number; longest: number };
    expect(settings).toBeLessThanOrEqual(17);
    expect(longest).toBeLessThanOrEqual(8_200);
  });

  test("are counted exactly, whatever is forgotten of them", async () => {
    const { sql } = await database.session("exact", "rate_limiter_owner");
    const appIds = madeUp(5_000);
    await rounds(sql, appIds, "2026-01-01T00:00:00Z", 2);
    await countAt(sql, appIds[0] ?? "", "2026-01-01T00:00:02Z");
    expect(await deniedOf(database, ...appIds)).toBe(10_001);
  });
});

describe("a transaction", () => {
  test("that is rolled back counts no denial", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("rolled back", "rate_limiter_owner");
    await countAt(sql, appId, "2026-01-01T00:00:00Z", 3);
    await sql`begin`;
    await countAt(sql, appId, "2026-01-01T00:00:00Z", 40);
    await sql`savepoint before`;
    await countAt(sql, appId, "2026-01-01T00:01:00Z", 40);
    await sql`rollback`;
    await countAt(sql, appId, "2026-01-01T00:00:01Z");
    expect(await deniedOf(database, appId)).toBe(4);
  });

  test("that is rolled back to a savepoint counts those before it", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("savepoint", "rate_limiter_owner");
    await sql`begin`;
    await countAt(sql, appId, "2026-01-01T00:00:00Z", 5);
    await sql`savepoint before`;
    await countAt(sql, appId, "2026-01-01T00:01:00Z", 40);
    await sql`rollback to savepoint before`;
    await sql`commit`;
    await countAt(sql, appId, "2026-01-01T00:00:01Z");
    expect(await deniedOf(database, appId)).toBe(6);
  });

  test("that only reads answers denials, and they are counted after it", async () => {
    // More bytes than ever fit: found out before anything is written.
    const appId = await limitedApplication(database.sql, { iops: 10, bytes: 1_000 });
    const { sql } = await database.session("read only", "rate_limiter_app");
    await sql`begin read only`;
    await deny(sql, appId, 9);
    await sql`commit`;
    expect(await deniedOf(database, appId)).toBe(0);
    await deny(sql, appId, 7);
    expect(await deniedOf(database, appId)).toBe(16);
  });

  test("that only reads for minutes goes on counting", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("read only, at a time", "rate_limiter_owner");
    await sql`begin read only`;
    await countAt(sql, appId, "2026-01-01T00:00:00Z", 4);
    await countAt(sql, appId, "2026-01-01T00:01:00Z", 4);
    await sql`commit`;
    await countAt(sql, appId, "2026-01-01T00:02:00Z");
    expect(await deniedOf(database, appId)).toBe(9);
  });

  test("that only reads, as all on a standby, keeps what it has room for", async () => {
    const { sql } = await database.session("standby", "rate_limiter_owner");
    const appIds = Array.from({ length: 4_000 }, () => crypto.randomUUID());
    await sql`begin read only`;
    await sql`
      select count(rate_limiter_internal.count_denial(
        0, '2026-01-01T00:00:00Z', a.id, 'exceeds_capacity', 1, 10
      ))
      from unnest(${appIds}::uuid[]) as a (id)
    `;
    await sql`commit`;
    await countAt(sql, appIds[0] ?? "", "2026-01-01T00:01:00Z");
    const denied = await deniedOf(database, ...appIds);
    expect(denied).toBeGreaterThan(1_000);
    expect(denied).toBeLessThanOrEqual(2_200);
  });
});
