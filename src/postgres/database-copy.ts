import { randomBytes } from "node:crypto";
import { connect, type Sql, withConnection } from "./connect.ts";
import { databaseOf, withDatabase, withRole } from "./url.ts";

/**
 * Runs `use` as the owner of the schema in a copy of a database that is removed afterwards. The
 * original must have no other connections.
 */
export async function withDatabaseCopy<T>(url: string, use: (sql: Sql) => Promise<T>): Promise<T> {
  const original = databaseOf(url);
  const name = `${original}_${randomBytes(3).toString("hex")}`;
  await withConnection(
    url,
    (sql) => sql`create database ${sql(name)} template ${sql(original)} strategy file_copy`,
  );
  const copy = connect(withRole(withDatabase(url, name), "rate_limiter_owner"), { max: 1 });
  try {
    return await use(copy);
  } finally {
    await copy.end();
    await withConnection(url, (sql) => sql`drop database ${sql(name)} with (force)`);
  }
}
