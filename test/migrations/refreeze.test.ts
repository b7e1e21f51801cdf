import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { refreeze } from "../../src/migrations/refreeze.ts";
import { projectPath } from "../../src/paths.ts";

const folder = mkdtempSync(join(tmpdir(), "storage-qos-refreeze-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("migrations are as their fixtures are", () => {
  cpSync(projectPath("db"), folder, { recursive: true });
  expect(refreeze(folder)).toEqual([]);
});

test("a changed function changes its migration, and the chain of those after it", () => {
  const fixture = "rate_limiter_internal/costs/cost_of.sql";
  appendFileSync(join(folder, "fixtures", fixture), "-- changed\n");
  const changed = refreeze(folder);
  const [first = ""] = changed;
  expect(readFileSync(join(folder, "committed", first), "utf8")).toContain("-- changed\n");
  expect(changed.length).toBeGreaterThan(1);
  expect(refreeze(folder)).toEqual([]);
});

test("a file that all.sql lists comes into the migration that has its domain", () => {
  const path = join(folder, "fixtures/all.sql");
  const all = readFileSync(path, "utf8");
  const line = "--!include rate_limiter_internal/costs/cost_of.sql\n";
  writeFileSync(path, all.replace(line, ""));
  const [first = ""] = refreeze(folder);
  const committed = () => readFileSync(join(folder, "committed", first), "utf8");
  expect(committed()).not.toContain("rate_limiter_internal/costs/cost_of.sql");
  writeFileSync(path, all);
  refreeze(folder);
  expect(committed()).toContain("--! Included rate_limiter_internal/costs/cost_of.sql");
});
