import { randomBytes } from "node:crypto";
import { migrate } from "../migrations/migrate.ts";
import { connect, type Sql, withConnection } from "./connect.ts";
import { openTestServer } from "./provider.ts";
import { withDatabase } from "./url.ts";

export interface ThrowawayDatabase {
  readonly url: string;
  readonly sql: Sql;
}

/** Runs `use` against a migrated database that is gone afterwards. */
export async function withThrowawayDatabase<T>(
  use: (database: ThrowawayDatabase) => Promise<T>,
): Promise<T> {
  const server = await openTestServer();
  const name = `storage_qos_${randomBytes(6).toString("hex")}`;
  const url = withDatabase(server.url, name);
  try {
    await withConnection(server.url, (sql) => sql`create database ${sql(name)}`);
    await migrate(url);
    const sql = connect(url);
    try {
      return await use({ url, sql });
    } finally {
      await sql.end();
    }
  } finally {
    await withConnection(
      server.url,
      (sql) => sql`drop database if exists ${sql(name)} with (force)`,
    );
    await server.stop();
  }
}
