import { withConnection } from "../postgres/connect.ts";
import { UserError } from "../user-error.ts";

/** Installs the extension where that was not done yet, as the login itself: the owner may not. */
export async function requireExtension(loginUrl: string): Promise<void> {
  try {
    await withConnection(
      loginUrl,
      (sql) => sql`create extension if not exists timescaledb schema public`,
    );
  } catch (error) {
    throw new UserError(
      "timescaledb_missing",
      `timescaledb cannot be used in this database: ${(error as Error).message}`,
      "The server needs the extension's files and shared_preload_libraries = 'timescaledb'; a " +
        "superuser then runs: create extension timescaledb schema public",
      { cause: error },
    );
  }
}
