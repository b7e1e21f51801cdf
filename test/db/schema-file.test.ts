import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { snapshot } from "../../src/migrations/snapshot.ts";
import { projectPath } from "../../src/paths.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const [version] = await database.sql`
  select current_setting('server_version_num')::integer / 10000 as major
`;

// Older servers print expressions in another way.
test.skipIf(version?.major !== 18)("db/schema.sql is what migrations make", async () => {
  const file = readFileSync(projectPath("db/schema.sql"), "utf8");
  const made = await snapshot(database.sql);
  expect(made, "run npm run db:snapshot and read the diff").toBe(file);
});
