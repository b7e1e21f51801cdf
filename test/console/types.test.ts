import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

// In a process of its own: here modules of GraphQL would be there twice.
test("the types of the console's operations are those of schema.graphql", async () => {
  const main = projectPath("src", "cli", "main.ts");
  const checked = promisify(execFile)(process.execPath, [main, "console-types", "--check"]);
  await expect(checked).resolves.toMatchObject({ stdout: "" });
});
