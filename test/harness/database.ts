import { randomBytes } from "node:crypto";
import { afterAll, inject, onTestFinished, TestRunner } from "vitest";
import {
  connect,
  type Sql,
  type TransactionSql,
  withConnection,
} from "../../src/postgres/connect.ts";
import { withDatabase } from "../../src/postgres/url.ts";
import { type Role, urlAs } from "./roles.ts";
import { openSession, type Session } from "./session.ts";

/** What the API says of a request, such as { user_id: … }: set as `rate_limiter.user_id`. */
export type Context = Readonly<Record<string, string>>;

export interface TestDatabase {
  readonly name: string;
  /** The administrator's connection: for preparing a world, not for what is tested. */
  readonly url: string;
  readonly sql: Sql;
  urlAs(role: Role): string;
  /** A pool of connections as the role. */
  as(role: Role): Sql;
  /** Runs `work` as the role in a transaction that is always rolled back; answers its result. */
  withTransaction<T>(
    role: Role,
    context: Context,
    work: (sql: TransactionSql) => Promise<T>,
  ): Promise<T>;
  /** A named session on a connection of its own, for concurrency specs. */
  session(name: string, role?: Role): Promise<Session>;
}

/**
 * A migrated database of this file's own (call it at the top of the file) or of one test (call it
 * in the test). It goes by itself.
 */
export async function createDatabase(): Promise<TestDatabase> {
  const harness = inject("harness");
  const name = `${harness.prefix}_${randomBytes(5).toString("hex")}`;
  await withConnection(
    harness.url,
    (sql) => sql`create database ${sql(name)} template ${sql(harness.template)} strategy file_copy`,
  );
  const url = withDatabase(harness.url, name);
  const pools = new Map<string, Sql>();
  const pool = (poolUrl: string): Sql => {
    const known = pools.get(poolUrl) ?? connect(poolUrl);
    pools.set(poolUrl, known);
    return known;
  };
  const sessions: Session[] = [];
  whenDone(async () => {
    await Promise.all(sessions.map((session) => session.close()));
    await Promise.all([...pools.values()].map((sql) => sql.end()));
    await withConnection(harness.url, (sql) => sql`drop database ${sql(name)} with (force)`);
  });

  const database: TestDatabase = {
    name,
    url,
    get sql() {
      return pool(url);
    },
    urlAs: (role) => urlAs(url, role, harness),
    as: (role) => pool(database.urlAs(role)),
    withTransaction: (role, context, work) => rolledBack(database.as(role), context, work),
    async session(sessionName, role) {
      const sessionUrl = role === undefined ? url : database.urlAs(role);
      const session = await openSession(sessionName, sessionUrl, database.sql);
      sessions.push(session);
      return session;
    },
  };
  return database;
}

function whenDone(cleanUp: () => Promise<void>): void {
  if (TestRunner.getCurrentTest() === undefined) afterAll(cleanUp);
  else onTestFinished(cleanUp);
}

const rollback = Symbol("rollback");

async function rolledBack<T>(
  pool: Sql,
  context: Context,
  work: (sql: TransactionSql) => Promise<T>,
): Promise<T> {
  const outcome: { result?: T } = {};
  try {
    await pool.begin(async (sql) => {
      for (const [name, value] of Object.entries(context)) {
        await sql`select set_config(${`rate_limiter.${name}`}, ${value}, true)`;
      }
      outcome.result = await work(sql);
      throw rollback;
    });
  } catch (error) {
    if (error !== rollback) throw error;
  }
  return outcome.result as T;
}
