import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

const read = (path: string) => readFileSync(projectPath(path), "utf8");

test("every role that the bootstrap makes is told, and no other", () => {
  const made = [...read("db/bootstrap/plan.sql").matchAll(/\(\d+, '(\w+)', 'nologin/g)].map(
    ([, name]) => name,
  );
  const told = [...read("docs/security.md").matchAll(/^\| `(rate_limiter_\w+)` \|/gm)].map(
    ([, name]) => name,
  );
  expect(made.length).toBe(7);
  expect(told.sort()).toEqual(made.sort());
});
