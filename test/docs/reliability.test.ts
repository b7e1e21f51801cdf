import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

const text = readFileSync(projectPath("docs/reliability.md"), "utf8");

/** Rows of the table of promises: promise, file, and the name of the test. */
const promises = [...text.matchAll(/^\| ([^|]+) \| `([^`]+)`: ([^|]+) \|$/gm)].map(
  ([, promise = "", file = "", name = ""]) => ({ promise, file, name }),
);
const table = text.slice(text.indexOf("## Promises"), text.indexOf("## Torture"));

describe("a promise of docs/reliability.md", () => {
  test("stands in a row with its test", () => {
    const rows = table.split("\n").filter((line) => line.startsWith("| "));
    // The heading is a row as well.
    expect(promises).toHaveLength(rows.length - 1);
    expect(promises.length).toBeGreaterThan(15);
  });

  test.each(promises)("names a test that there is: $promise", ({ file, name }) => {
    expect(existsSync(projectPath(file))).toBe(true);
    expect(readFileSync(projectPath(file), "utf8")).toContain(`"${name}"`);
  });
});
