import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

const folder = mkdtempSync(join(tmpdir(), "storage-qos-message-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** What the hook says of a message; empty where it accepts it. */
function problemOf(message: string): Promise<string> {
  const file = join(folder, crypto.randomUUID());
  writeFileSync(file, message);
  return new Promise((resolve) => {
    execFile(projectPath(".ci/hooks/commit-msg"), [file], (_error, _stdout, stderr) =>
      resolve(stderr.split("\n")[0] ?? ""),
    );
  });
}

test.each([
  "gateway: settle debts on shutdown\n",
  "gateway, client: settle debts on shutdown\n\nMeasured: 4 calls a second.\n",
  "# a comment of git\ndb: seed the demo tenant\n# another one\n",
  "Merge branch gateway\n",
  "fixup! anything at all.\n",
])("the hook accepts %j", async (message) => {
  expect(await problemOf(message)).toBe("");
});

test.each([
  ["", "error: the subject is empty"],
  [`db: ${"x".repeat(69)}\n`, "error: the subject has 73 characters, at most 72 fit"],
  ["db: seed the demo tenant.\n", "error: the subject ends with a period"],
  ["Seed the demo tenant\n", "error: the subject names no area"],
  ["db: seeded the demo tenant\n", 'error: "seeded" is not an imperative'],
  ["db: seeding the demo tenant\n", 'error: "seeding" is not an imperative'],
  ["db: seed the demo tenant\nat start\n", "error: the second line is not blank"],
])("the hook refuses %j", async (message, problem) => {
  expect(await problemOf(message)).toBe(problem);
});
