import { migrate as applyCommitted, watch } from "graphile-migrate";
import { logFor } from "../log.ts";
import { withConnection } from "../postgres/connect.ts";
import { requireOneSession } from "../postgres/require-one-session.ts";
import { databaseOf } from "../postgres/url.ts";
import { bootstrap } from "./bootstrap.ts";
import { currentIsEmpty } from "./current.ts";
import { migrationFailure } from "./failure.ts";
import { harden } from "./harden.ts";
import { closeLibraryPools } from "./library-pools.ts";
import { lockMigrations } from "./migration-lock.ts";
import { requireKnownHistory } from "./require-known-history.ts";
import { requireRole } from "./require-role.ts";
import { migrateSettings, withOwnerConnection } from "./settings.ts";
import { migrateWorkerSchema } from "./worker-schema.ts";

const log = logFor("migrations");

/** How long to wait for another process that migrates the same database. */
const usualWaitMs = 10 * 60_000;

/**
 * Brings a database up to date from whatever state. The login of the URL must be able to become
 * rate_limiter_owner, or to make the roles. Safe to run from many processes at once.
 */
export async function migrate(url: string, { waitMs = usualWaitMs } = {}): Promise<void> {
  await requireOneSession(
    url,
    "Migrate by a direct connection to the server, or by the pooler's port for whole sessions. " +
      "Nothing was changed.",
  );
  await withConnection(url, async (sql) => {
    await lockMigrations(sql, waitMs);
    await withConnection(url, async (login) => {
      await bootstrap(login);
      await harden(login);
    });
    await requireRole(withOwnerConnection(url), "rate_limiter_owner");
    await migrateWorkerSchema(url);
    await withConnection(withOwnerConnection(url), (owner) => requireKnownHistory(owner));
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
