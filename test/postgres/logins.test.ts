import { expect, test } from "vitest";
import { withConnection } from "../../src/postgres/connect.ts";
import { ensureLogin } from "../../src/postgres/logins.ts";
import { scramVerifier } from "../../src/postgres/scram.ts";
import { withLogin } from "../../src/postgres/url.ts";
import { createDatabase, expectSqlState } from "../harness/index.ts";

const database = await createDatabase();
const login = `${database.name}_login`;

test("the verifier is the one of RFC 7677's example", () => {
  const salt = Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64");
  expect(scramVerifier("pencil", salt)).toBe(
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==" +
      "$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
  );
});

test("a login is made once, takes its newest password, is at read committed and has its role's rights", async () => {
  try {
    await ensureLogin(database.sql, login, "rate_limiter_app", "first");
    await ensureLogin(database.sql, login, "rate_limiter_app", "second");
    const url = withLogin(database.url, login, "second");
    const [row] = await withConnection(
      url,
      (sql) => sql`select pg_has_role('rate_limiter_app', 'usage') as member`,
    );
    expect(row?.member).toBe(true);
    const [settings] = await database.sql`
      select rolconfig from pg_roles where rolname = ${login}
    `;
    // An open transaction of a gateway would keep what it locked from all others.
    expect(settings?.rolconfig).toEqual([
      "default_transaction_isolation=read committed",
      "idle_in_transaction_session_timeout=5s",
      "temp_file_limit=100MB",
    ]);
    // 130 MB, which are sorted on disk.
    const sorting = withConnection(url, async (sql) => {
      await expectSqlState(sql`set temp_file_limit = -1`, "42501");
      await sql`set work_mem = '1MB'`;
      await sql`
        select t.line
        from (select repeat(g::text, 200) as line from generate_series(100000, 210000) as g) as t
        order by t.line
        offset 1000000
      `;
    });
    await expectSqlState(sorting, "53400");
    const old = withConnection(withLogin(database.url, login, "first"), (sql) => sql`select 1`);
    await expectSqlState(old, "28P01");
  } finally {
    await database.sql`drop role ${database.sql(login)}`;
  }
});
