import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { commitMigration, uncommitMigration } from "../../src/migrations/commit.ts";
import { committedMigrations } from "../../src/migrations/committed-migrations.ts";
import { projectPath } from "../../src/paths.ts";

const folder = mkdtempSync(join(tmpdir(), "storage-qos-commit-"));
afterAll(() => rmSync(folder, { recursive: true }));

const current = join(folder, "current.sql");
const committed = () =>
  readdirSync(join(folder, "committed")).filter((file) => file.endsWith(".sql"));

test("a migration is committed with its includes and comes back whole", async () => {
  cpSync(projectPath("db"), folder, { recursive: true });
  const before = committed().length;
  const note = "--!include note.sql\n";
  writeFileSync(join(folder, "fixtures/note.sql"), "comment on schema rate_limiter is 'noted';\n");
  const written = readFileSync(current, "utf8").trimEnd();
  writeFileSync(current, `${written}\n${note}`);

  await commitMigration("Note the schema", folder);
  const name = committed().at(-1) ?? "";
  expect(committed()).toHaveLength(before + 1);
  expect(name).toMatch(/^\d{6}-note-the-schema\.sql$/);
  expect(readFileSync(join(folder, "committed", name), "utf8")).toContain("is 'noted'");
  expect(readFileSync(current, "utf8")).toBe("-- The migration being written.\n");
  // As a worker looks for it in the database.
  expect(committedMigrations(join(folder, "committed")).at(-1)).toBe(`${name.slice(0, 6)}.sql`);

  await uncommitMigration(folder);
  expect(committed()).toHaveLength(before);
  expect(readFileSync(current, "utf8")).toContain(note);
}, 60_000);

test("a migration that fails is not committed", async () => {
  const files = committed();
  writeFileSync(current, "select 1 / 0;\n");
  await expect(commitMigration("Fail", folder)).rejects.toMatchObject({
    code: "migration_failed",
  });
  expect(committed()).toEqual(files);
}, 60_000);

test("a message of more than fifty characters is refused before anything runs", async () => {
  const files = committed();
  await expect(commitMigration("x".repeat(51), folder)).rejects.toMatchObject({
    code: "message_too_long",
    hint: expect.stringMatching(/topic/),
  });
  expect(committed()).toEqual(files);
});
