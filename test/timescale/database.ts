import { randomBytes } from "node:crypto";
import { afterAll } from "vitest";
import { migrate } from "../../src/migrations/migrate.ts";
import { connect, type Sql, withConnection } from "../../src/postgres/connect.ts";
import { withDatabase, withRole } from "../../src/postgres/url.ts";
import { requireExtension } from "../../src/timescale/extension.ts";

/** A superuser on a server with shared_preload_libraries = 'timescaledb', where databases may be made. */
export const timescaleUrl = process.env.TIMESCALE_DATABASE_URL;

if (timescaleUrl === undefined) {
  console.warn("skipped: TIMESCALE_DATABASE_URL names no server with TimescaleDB (docs/scale.md)");
}

export interface SeriesDatabase {
  readonly url: string;
  readonly sql: Sql;
  /** A pool as the owner. */
  readonly owner: Sql;
}

/** A migrated database with the extension, its samples in native partitions. Goes by itself. */
export async function createSeriesDatabase(): Promise<SeriesDatabase> {
  const server = timescaleUrl ?? "";
  const name = `qos_timescale_${randomBytes(5).toString("hex")}`;
  await withConnection(server, (sql) => sql`create database ${sql(name)}`);
  const url = withDatabase(server, name);
  await migrate(url);
  await requireExtension(url);
  const sql = connect(url);
  const owner = connect(withRole(url, "rate_limiter_owner"));
  afterAll(async () => {
    await Promise.all([sql.end(), owner.end()]);
    await withConnection(server, (admin) => admin`drop database ${admin(name)} with (force)`);
  });
  return { url, sql, owner };
}
