import { readFileSync } from "node:fs";
import { run } from "graphile-migrate";
import { expect, test } from "vitest";
import { closeLibraryPools } from "../../src/migrations/library-pools.ts";
import { migrateSettings } from "../../src/migrations/settings.ts";
import { snapshot } from "../../src/migrations/snapshot.ts";
import { projectPath } from "../../src/paths.ts";
import { createDatabase } from "../harness/index.ts";

test("migrations and fixtures make the same schema", async () => {
  const database = await createDatabase();
  const migrated = await snapshot(database.sql);
  const file = projectPath("db/fixtures/all.sql");
  await run(migrateSettings(database.url), readFileSync(file, "utf8"), file);
  await closeLibraryPools(database.sql);
  expect(await snapshot(database.sql)).toBe(migrated);
});

test("a change of one body would be seen", async () => {
  const database = await createDatabase();
  const before = await snapshot(database.sql);
  await database.sql`
    create or replace function rate_limiter_internal.setting_text(key text) returns text
    language plpgsql stable parallel safe strict
    as 'begin return key; end'
  `;
  expect(await snapshot(database.sql)).not.toBe(before);
});
