import { describe, expect, test } from "vitest";
import { createDatabase, expectSqlState, type Role } from "./index.ts";

const database = await createDatabase();

const roles: Role[] = [
  "rate_limiter_owner",
  "rate_limiter_migrator",
  "rate_limiter_app",
  "rate_limiter_worker",
  "rate_limiter_authenticator",
  "rate_limiter_visitor",
  "rate_limiter_readonly",
];

describe("createDatabase", () => {
  test("starts from the migrated template, on its own", async () => {
    const other = await createDatabase();
    expect(other.name).not.toBe(database.name);
    const [row] =
      await other.sql`select to_regclass('rate_limiter.tenants') is not null as migrated`;
    expect(row?.migrated).toBe(true);
  });

  test.each(roles)("connects as %s without a superuser's rights", async (role) => {
    const [row] = await database.as(role)`
      select current_user as role, rolsuper or rolbypassrls as mighty
      from pg_roles
      where rolname = session_user
    `;
    expect(row?.mighty).toBe(false);
    const [member] = await database.as(role)`
      select pg_has_role(current_user, ${role}, 'member') as member
    `;
    expect(member?.member).toBe(true);
  });
});

describe("withTransaction", () => {
  test("answers the result and leaves nothing behind", async () => {
    const made = await database.withTransaction("rate_limiter_owner", {}, async (sql) => {
      await sql`create table rate_limiter_private.left_behind (id integer)`;
      return sql`select 1 as answer`;
    });
    expect(made[0]?.answer).toBe(1);
    const [row] = await database.sql`
      select to_regclass('rate_limiter_private.left_behind') as table
    `;
    expect(row?.table).toBeNull();
  });

  test("sets the context for the transaction alone", async () => {
    const context = { user_id: "b0c9a3a4-0000-4000-8000-000000000001" };
    const read = async () =>
      database.withTransaction("rate_limiter_visitor", context, async (sql) => {
        const [row] = await sql`
          select current_user as role, current_setting('rate_limiter.user_id') as id
        `;
        return row;
      });
    expect(await read()).toEqual({ role: "rate_limiter_visitor", id: context.user_id });
    const [after] = await database.as("rate_limiter_visitor")`
      select nullif(current_setting('rate_limiter.user_id', true), '') as id
    `;
    expect(after?.id).toBeNull();
  });

  test("passes an error on", async () => {
    const failing = database.withTransaction("rate_limiter_app", {}, (sql) => sql`select 1 / 0`);
    await expectSqlState(failing, "22012", "division by zero");
  });
});

describe("session", () => {
  test("tells when it waits on another one's lock", async () => {
    const a = await database.session("a");
    const b = await database.session("b");
    await a.sql`begin`;
    await a.sql`select pg_advisory_xact_lock(1)`;
    const pending = b.start((sql) => sql`select pg_advisory_lock(1)`);
    await b.waitsOnLock();
    await a.sql`commit`;
    await pending;
    await expect(b.waitsOnLock()).rejects.toThrow("waits on no lock");
  });
});

describe("expectSqlState", () => {
  test("fails when the statement succeeds or fails otherwise", async () => {
    await expect(expectSqlState(database.sql`select 1`, "22012")).rejects.toThrow("succeeded");
    await expect(expectSqlState(database.sql`select 1 / 0`, "QS404")).rejects.toThrow();
  });
});
