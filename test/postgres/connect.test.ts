import { type AddressInfo, createServer } from "node:net";
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

test("arrays of PostgreSQL's types are read and written, whatever is in them", async () => {
  const odd = ["", "NULL", "null", '"', "\\", "{a,b}", " ", "é\n"];
  const nested = [
    [1, 2],
    [3, null],
  ];
  const id = "00000000-0000-0000-0000-00000000000a";
  const [row] = await database.sql`
    select
      ${odd}::text[] as odd, (${odd}::text[])[5] as fifth, ${nested}::integer[] as nested,
      ${[]}::text[] as none, ${[id]}::uuid[] as ids, array[true, false] as flags,
      ${["1.10"]}::numeric[] as amounts,
      array['2026-01-31 12:00:00.123456+00'::timestamptz] as moments
  `;
  expect(row).toEqual({
    ...{ odd, fifth: "\\", nested, none: [], ids: [id], flags: [true, false], amounts: ["1.10"] },
    moments: [expect.stringMatching(/:00:00\.123456/)],
  });
});

test("the first statement of a session is the caller's: another would fail unawaited", async () => {
  const { port, statements } = await leavingServer();
  const used = withConnection(`postgres://u:p@127.0.0.1:${port}/d`, (sql) => sql`select 1`);
  await expect(used).rejects.toMatchObject({ code: "ECONNRESET" });
  expect(statements.join()).toContain("select 1");
  expect(statements.join()).not.toContain("pg_type");
});

/** Lets everyone in, and leaves at the first statement. */
async function leavingServer() {
  const statements: string[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      // AuthenticationOk and ReadyForQuery.
      socket.write(Buffer.from("520000000800000000" + "5a0000000549", "hex"));
      socket.once("data", (statement) => {
        statements.push(statement.toString("latin1"));
        socket.resetAndDestroy();
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, statements };
}
