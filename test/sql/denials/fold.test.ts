import { describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { untilOver } from "../../harness/until-over.ts";
import { countAt, deniedOf, makeApplication } from "./world.ts";

const database = await createDatabase();
const worker = database.as("rate_limiter_worker");

async function fold(batchSize = 1000): Promise<number> {
  const [row] = await worker`select rate_limiter_private.fold_denials(${batchSize}) as rows`;
  return row?.rows;
}

async function rowsOf(appId: string) {
  const [row] = await database.sql`
    select
      (select count(*)::integer from rate_limiter.recent_denials where app_id = ${appId})
        as recent,
      (select count(*)::integer from rate_limiter.denial_counts where app_id = ${appId})
        as logged
  `;
  return row;
}

describe("folding", () => {
  test("adds up the rows of sessions by application, minute and reason", async () => {
    const appId = await makeApplication(database);
    for (const name of ["one", "two", "three"]) {
      const { sql } = await database.session(name, "rate_limiter_owner");
      await countAt(sql, appId, "2026-01-01T00:00:00Z", 8);
    }
    expect(await rowsOf(appId)).toEqual({ recent: 3, logged: 0 });
    expect(await deniedOf(database, appId)).toBe(24);
    expect(await fold()).toBeGreaterThanOrEqual(3);
    expect(await rowsOf(appId)).toEqual({ recent: 0, logged: 1 });
    expect(await deniedOf(database, appId)).toBe(24);
    expect(await fold()).toBe(0);
  });

  test("goes by batches", async () => {
    const { sql } = await database.session("batches", "rate_limiter_owner");
    for (let app = 0; app < 5; app++) {
      await countAt(sql, crypto.randomUUID(), "2026-01-01T00:00:00Z");
    }
    expect(await fold(3)).toBe(3);
    expect(await fold(3)).toBe(2);
  });

  test("passes over what a session's open transaction wrote", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("open", "rate_limiter_owner");
    await countAt(sql, appId, "2026-01-01T00:00:00Z", 2);
    await sql`begin`;
    await countAt(sql, appId, "2026-01-01T00:00:00Z", 2);
    expect(await fold()).toBe(0);
    await sql`commit`;
    expect(await fold()).toBe(1);
    expect(await deniedOf(database, appId)).toBe(4);
  });

  test("is waited for by no denial", async () => {
    const appId = await makeApplication(database);
    const { sql } = await database.session("denied meanwhile", "rate_limiter_owner");
    await sql`set lock_timeout = '1ms'`;
    await countAt(sql, appId, "2026-01-01T00:00:00Z", 2);
    const folding = await database.session("folding", "rate_limiter_worker");
    await folding.sql`begin`;
    await folding.sql`select rate_limiter_private.fold_denials()`;
    await countAt(sql, appId, "2026-01-01T00:00:00Z", 2);
    await folding.sql`commit`;
    expect(await deniedOf(database, appId)).toBe(4);
  });

  test("loses and doubles nothing while sessions count", async () => {
    const appIds = Array.from({ length: 3 }, () => crypto.randomUUID());
    const sessions = await Promise.all(
      ["a", "b", "c", "d"].map((name) => database.session(name, "rate_limiter_owner")),
    );
    const counting = untilOver();
    const folds = (async () => {
      while (!counting.isOver) await fold(2);
    })();
    await Promise.all(
      sessions.map(async ({ sql }) => {
        for (let second = 10; second < 40; second++) {
          for (const appId of appIds) await countAt(sql, appId, `2026-01-01T00:00:${second}Z`, 3);
        }
        for (const appId of appIds) await countAt(sql, appId, "2026-01-01T00:01:00Z");
      }),
    );
    counting.end();
    await folds;
    expect(await deniedOf(database, ...appIds)).toBe(4 * 3 * (30 * 3 + 1));
  });

  test("takes counts that are absurd", async () => {
    const appId = await makeApplication(database);
    const gateway = database.as("rate_limiter_app");
    const count = {
      minute: "2026-01-01T00:00Z",
      reason: "iops_l2",
      operations: 999_999_999_999_999,
      tokens: "9".repeat(24),
      bytes: "9".repeat(24),
    };
    const denials = gateway.json(Array(1000).fill(count));
    for (let call = 0; call < 12; call++) {
      await gateway`select rate_limiter.lease_tokens(${appId}, 1, 0, denials => ${denials})`;
    }
    expect(await fold()).toBeGreaterThan(0);
    expect((await rowsOf(appId))?.recent).toBe(0);
  });
});
