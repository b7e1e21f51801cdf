import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Sql } from "../postgres/connect.ts";
import { UserError } from "../user-error.ts";
import { migrationsFolder } from "./settings.ts";

/**
 * Refuses a database with migrations that are not these. Until the first release is tagged, migrations
 * are rewritten and not appended: such a database cannot be brought up to date.
 */
export async function requireKnownHistory(sql: Sql, folder = migrationsFolder): Promise<void> {
  const [{ exists }] = await sql<[{ exists: boolean }]>`
    select to_regclass('graphile_migrate.migrations') is not null as exists
  `;
  if (!exists) return;
  const applied = await sql<{ hash: string; filename: string }[]>`
    select hash, filename from graphile_migrate.migrations order by filename
  `;
  const known = committedHashes(folder);
  const unknown = applied.filter(({ hash }) => !known.has(hash));
  if (unknown.length === 0) return;
  throw new UserError(
    "schema_is_of_other_migrations",
    `the database was made by other migrations: ${unknown.map(({ filename }) => filename).join(", ")}`,
    "Migrations are rewritten until the first release. Make a new database and migrate that; copy " +
      "over what you need by the admin API or by SQL.",
  );
}

function committedHashes(folder: string): Set<string> {
  const files = readdirSync(join(folder, "committed")).filter((name) => name.endsWith(".sql"));
  const hashes = files.map(
    (name) =>
      /^--! Hash: (\S+)$/m.exec(readFileSync(join(folder, "committed", name), "utf8"))?.[1] ?? "",
  );
  return new Set(hashes);
}
