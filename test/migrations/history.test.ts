import { expect, test } from "vitest";
import { migrate } from "../../src/migrations/migrate.ts";
import { createDatabase } from "../harness/index.ts";

test("a database of other migrations is refused and told what to do", async () => {
  const database = await createDatabase();
  await database.sql`
    insert into graphile_migrate.migrations (hash, previous_hash, filename)
    select 'sha1:of-another-history', max(hash), '000099.sql' from graphile_migrate.migrations
  `;
  await expect(migrate(database.url)).rejects.toMatchObject({
    code: "schema_is_of_other_migrations",
    message: expect.stringContaining("000099.sql"),
    hint: expect.stringMatching(/new database/),
  });
});
