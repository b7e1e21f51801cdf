import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Sql } from "../postgres/connect.ts";
import { migrationsFolder } from "./settings.ts";

/**
 * For a development database that has been given by hand what changed in the fixtures: it is then what
 * the chapters that were frozen anew would make, so their hashes become those that it was migrated
 * with. Without this the next migration would refuse it.
 */
export async function alignHistory(sql: Sql, folder = migrationsFolder): Promise<void> {
  const committed = join(folder, "committed");
  const migrations = readdirSync(committed)
    .filter((name) => name.endsWith(".sql"))
    .map((filename) => {
      const text = readFileSync(join(committed, filename), "utf8");
      const previous = header(text, "Previous");
      return { filename, hash: header(text, "Hash"), previous: previous === "-" ? null : previous };
    });
  await sql`
    update graphile_migrate.migrations as m
    set hash = frozen.hash, previous_hash = frozen.previous
    from jsonb_to_recordset(${JSON.stringify(migrations)}::text::jsonb)
      as frozen (filename text, hash text, previous text)
    -- graphile-migrate stores a migration's number and not its topic.
    where m.filename = left(frozen.filename, 6) || '.sql' and m.hash <> frozen.hash
  `;
}

function header(migration: string, name: string): string {
  return new RegExp(`^--! ${name}: (\\S+)$`, "m").exec(migration)?.[1] ?? "";
}
