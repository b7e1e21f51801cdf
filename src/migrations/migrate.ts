import { migrate as applyCommitted, watch } from "graphile-migrate";
import { logFor } from "../log.ts";
import { withConnection } from "../postgres/connect.ts";
import { databaseOf } from "../postgres/url.ts";
import { currentIsEmpty } from "./current.ts";
import { migrationFailure } from "./failure.ts";
import { closeLibraryPools } from "./library-pools.ts";
import { prepare } from "./prepare.ts";
import { migrateSettings } from "./settings.ts";

const log = logFor("migrations");

/**
 * Brings a database up to date from whatever state. The login of the URL must be able to become
 * rate_limiter_owner, or to make the roles. Safe to run from many processes at once.
 */
export async function migrate(url: string): Promise<void> {
  await withConnection(url, async (sql) => {
    // One process works and the others wait; the lock goes when its session ends.
    await sql`select pg_advisory_lock(hashtextextended('storage-qos migrate', 0))`;
    await prepare(url);
    try {
      await applyMigrations(url);
    } catch (error) {
      throw migrationFailure(error);
    } finally {
      await closeLibraryPools(sql);
    }
  });
  log.debug({ database: databaseOf(url) }, "the database is up to date");
}

async function applyMigrations(url: string): Promise<void> {
  const settings = migrateSettings(url);
  await applyCommitted(settings);
  // The migration being written. In a release it is empty: a test says so.
  if (!(await currentIsEmpty())) await watch(settings, true);
}
