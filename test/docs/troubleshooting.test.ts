import { globSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

const read = (path: string) => readFileSync(projectPath(path), "utf8");
const rows = [...read("docs/troubleshooting.md").matchAll(/^\| ([^|]+) \| [^|]+ \| [^|]+ \|$/gm)];
/** What a reader sees, of the first column. */
const symptoms = rows.flatMap(([, seen = ""]) => [...seen.matchAll(/`([^`]+)`/g)]);
const said = globSync(["src/**/*.ts", "db/fixtures/**/*.sql"], { cwd: projectPath(".") })
  .filter((path) => !path.startsWith("src/console"))
  .map(read)
  .join("\n");

test("every message and code of the page is one that the product has", () => {
  expect(symptoms.length).toBeGreaterThan(15);
  const absent = symptoms.filter(([, text = ""]) => !new RegExp(`["'\`]${text}["'\`]`).test(said));
  expect(absent.map(([, text]) => text)).toEqual([]);
});
