import { describe, expect, test } from "vitest";
import { withConnection } from "../../src/postgres/connect.ts";
import { createDatabase } from "../harness/index.ts";
import { conventions } from "./conventions.ts";

const database = await createDatabase();

describe.each(conventions)("$rule", ({ query, breach }) => {
  test("holds", async () => {
    const rows = await database.sql.unsafe<{ offender: string }[]>(query);
    expect(rows.map((row) => row.offender)).toEqual([]);
  });

  test("would not go unnoticed if it did not", async () => {
    const before = await database.sql.unsafe(query);
    await withConnection(database.url, async (sql) => {
      await sql.unsafe("begin; set local role rate_limiter_owner").simple();
      await sql.unsafe(breach).simple();
      const after = await sql.unsafe(query);
      await sql`rollback`;
      expect(after.length).toBeGreaterThan(before.length);
    });
  });
});
