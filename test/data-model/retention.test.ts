import { describe, expect, test } from "vitest";
import type { TransactionSql } from "../../src/postgres/connect.ts";
import { createDatabase } from "../harness/index.ts";
import { makeTenant } from "./world.ts";

const database = await createDatabase();
const tenant = await makeTenant(database, "mine");
await database.sql`
  select rate_limiter_private.start_session(now(), ${tenant.users.auditor}, null, null)
`;

const undone = database.withTransaction.bind(null, "rate_limiter_owner", {});

const counts = async (sql: TransactionSql) => {
  const [row] = await sql`
    select
      (select count(*)::integer from rate_limiter.metrics_hourly) as hours,
      (select count(*)::integer from rate_limiter.metrics_daily) as days,
      (select count(*)::integer from rate_limiter.token_borrowing) as borrowings,
      (select count(*)::integer from rate_limiter_private.user_sessions) as sessions
  `;
  return row;
};

const deleted = async (sql: TransactionSql, after: string, batchSize = 1000) => {
  const [row] = await sql`
    select rate_limiter_private.delete_expired_rows(now() + ${after}::interval, ${batchSize})
      as count
  `;
  return row?.count;
};

describe("delete_expired_rows", () => {
  test("deletes what each policy no longer keeps, and nothing younger", async () => {
    await undone(async (sql) => {
      await sql`
        update rate_limiter.token_borrowing
        set status = 'repaid', repaid_tokens = repayment_tokens, repaid_at = now()
      `;
      expect(await deleted(sql, "80 days")).toBe(0);
      expect(await counts(sql)).toEqual({ hours: 1, days: 1, borrowings: 1, sessions: 1 });
      // 90 days after the refresh token lapsed.
      expect(await deleted(sql, "105 days")).toBe(1);
      expect(await counts(sql)).toEqual({ hours: 1, days: 1, borrowings: 1, sessions: 0 });
      await deleted(sql, "367 days");
      expect(await counts(sql)).toEqual({ hours: 0, days: 1, borrowings: 0, sessions: 0 });
      await deleted(sql, "1828 days");
      expect(await counts(sql)).toMatchObject({ days: 0 });
    });
  });

  test("never deletes what is still owed, however old", async () => {
    await undone(async (sql) => {
      for (const status of ["active", "defaulted"]) {
        await sql`update rate_limiter.token_borrowing set status = ${status}`;
        await deleted(sql, "20 years");
        expect(await counts(sql)).toMatchObject({ borrowings: 1 });
      }
    });
  });

  test.each([
    ["is switched off", "is_active = false"],
    ["wants an export first", "export_first = true"],
  ])("leaves alone what a policy keeps that %s", async (_, change) => {
    await undone(async (sql) => {
      await sql.unsafe(`
        update rate_limiter.retention_policies set ${change} where data_type = 'daily_aggregates'
      `);
      await deleted(sql, "20 years");
      expect(await counts(sql)).toMatchObject({ hours: 0, days: 1 });
    });
  });

  test("takes no more than a batch at a time", async () => {
    await undone(async (sql) => {
      await sql`
        insert into rate_limiter.metrics_hourly
        select ${tenant.appId}, 'iops', date_trunc('day', now(), 'UTC') - i * interval '1 hour',
          1, 1, 1, 1, 1, 1, 1
        from generate_series(1, 4) as i
      `;
      expect(await deleted(sql, "2 years", 3)).toBe(3);
      expect(await deleted(sql, "2 years", 3)).toBe(2);
    });
  });
});

test("archive_quota_versions marks old versions, once, and deletes none", async () => {
  await undone(async (sql) => {
    const archive = async (after: string) => {
      const [row] = await sql`
        select rate_limiter_private.archive_quota_versions(now() + ${after}::interval) as count
      `;
      return row?.count;
    };
    expect(await archive("4 years")).toBe(0);
    expect(await archive("1828 days")).toBe(1);
    expect(await archive("1828 days")).toBe(0);
    const [left] = await sql`
      select count(*)::integer as count from rate_limiter_audit.quota_version_history
      where archived_at is not null
    `;
    expect(left?.count).toBe(1);
  });
});
