import { describe, expect, onTestFinished, test } from "vitest";
import { connect, type Sql, withConnection } from "../../src/postgres/connect.ts";
import { withDatabase } from "../../src/postgres/url.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();

test("a database of any name and any style of dates is read as every other", async () => {
  const name = `${database.name} %41/ü`;
  await database.sql`create database ${database.sql(name)}`;
  onTestFinished(async () => {
    await withConnection(database.url, (sql) => sql`drop database ${sql(name)}`);
  });
  await database.sql`alter database ${database.sql(name)} set datestyle = 'German'`;
  const rows = await withConnection(
    withDatabase(database.url, name),
    (sql) => sql`
      select current_database() as name, '2026-01-31 12:00+00'::timestamptz as moment
    `,
  );
  expect(rows).toEqual([{ name, moment: expect.stringMatching(/^2026-01-31 /) }]);
});

describe("a connection that dies under its statement", () => {
  const dying = (sql: Sql) => sql`select pg_terminate_backend(pg_backend_pid())`;

  test("ends its use with an error", async () => {
    const used = withConnection(database.url, dying);
    await expect(used).rejects.toMatchObject({ code: "CONNECTION_CLOSED" });
  });

  test("lets its pool be closed", async () => {
    const sql = connect(database.url);
    await expect(dying(sql)).rejects.toMatchObject({ code: "CONNECTION_CLOSED" });
    await expect(sql.end()).resolves.toBeUndefined();
  });
});
