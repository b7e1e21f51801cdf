import type { Pool } from "pg";
import { committedMigrations } from "../migrations/committed-migrations.ts";
import { UserError } from "../user-error.ts";

const undefinedFunction = "42883";
const undefinedSchema = "3F000";

/** Refuses a database that was migrated to another version than this code was written for. */
export async function requireSchema(
  pool: Pool,
  known: readonly string[] = committedMigrations(),
): Promise<void> {
  const applied = await appliedMigrations(pool);
  const missing = known.filter((name) => !applied.includes(name));
  if (missing.length > 0) throw olderSchema(missing.join(", "));
  const unknown = applied.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new UserError(
      "schema_is_newer",
      `the database is newer than this code: it has had ${unknown.join(", ")}`,
      "Run the version of storage-qos that migrated it.",
    );
  }
}

async function appliedMigrations(pool: Pool): Promise<string[]> {
  try {
    const answer = await pool.query<{ name: string }>(
      "select name from rate_limiter_private.applied_migrations() as name",
    );
    return answer.rows.map((row) => row.name);
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === undefinedFunction || code === undefinedSchema) throw olderSchema("its schema");
    throw error;
  }
}

function olderSchema(missing: string): UserError {
  return new UserError(
    "schema_is_older",
    `the database is older than this code: it lacks ${missing}`,
    "Bring it up to date with: storage-qos migrate",
  );
}
