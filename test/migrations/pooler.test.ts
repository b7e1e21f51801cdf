import { expect, onTestFinished, test } from "vitest";
import { pgbouncerProgram, sessionParameters, startPgBouncer } from "../../src/bench/pgbouncer.ts";
import { migrate } from "../../src/migrations/migrate.ts";
import { withConnection } from "../../src/postgres/connect.ts";
import { withDatabase } from "../../src/postgres/url.ts";
import { createDatabase, unlessRequired } from "../harness/index.ts";

const database = await createDatabase();
const isMissing =
  unlessRequired(pgbouncerProgram === undefined ? "pgbouncer is not installed" : undefined) !==
  undefined;

/** A database of this server without our schema. */
async function emptyDatabase(): Promise<string> {
  const name = `${database.name}_pooled_${Math.random().toString(36).slice(2, 8)}`;
  await withConnection(database.url, (sql) => sql.unsafe(`create database ${name}`));
  onTestFinished(() =>
    withConnection(database.url, async (sql) => {
      await sql.unsafe(`drop database ${name} with (force)`);
    }),
  );
  return withDatabase(database.url, name);
}

/** Debian's PgBouncer before the database. */
async function startPooler(url: string, mode: string, ignored: string): Promise<string> {
  const pooler = await startPgBouncer(url, {
    ...{ pool_mode: mode, ignore_startup_parameters: ignored },
    default_pool_size: 4,
  });
  onTestFinished(pooler.stop);
  return pooler.url;
}

async function locksOf(url: string): Promise<number> {
  const [row] = await withConnection(
    url,
    (sql) => sql<{ count: number }[]>`
      select count(*)::integer as count
      from pg_locks as l join pg_database as d on d.oid = l.database
      where l.locktype = 'advisory' and d.datname = current_database()
    `,
  );
  return row?.count ?? -1;
}

test.skipIf(isMissing).each([
  ["that refuses settings", "transaction", "extra_float_digits"],
  ["that drops settings", "transaction", sessionParameters],
])("a pooler of transactions %s is refused, and holds no lock", async (_, mode, ignored) => {
  const url = await emptyDatabase();
  const pooled = await startPooler(url, mode, ignored);
  await expect(migrate(pooled)).rejects.toMatchObject({
    code: "connection_is_pooled",
    hint: expect.stringContaining("direct connection"),
  });
  expect(await locksOf(url)).toBe(0);
  await migrate(url);
});

test.skipIf(isMissing)("a pooler of sessions that drops the role is refused", async () => {
  const url = await emptyDatabase();
  const pooled = await startPooler(url, "session", sessionParameters);
  await expect(migrate(pooled)).rejects.toMatchObject({ code: "role_not_in_effect" });
  expect(await locksOf(url)).toBe(0);
});

test("a migration that waits too long says which session holds the lock", async () => {
  await withConnection(database.url, async (sql) => {
    const [{ pid }] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`;
    await sql`select pg_advisory_lock(hashtextextended('storage-qos migrate', 0))`;
    await expect(migrate(database.url, { waitMs: 200 })).rejects.toMatchObject({
      code: "migration_locked",
      message: expect.stringContaining(`process ${pid}`),
      hint: expect.stringContaining(`pg_terminate_backend(${pid})`),
    });
  });
  await migrate(database.url);
});
