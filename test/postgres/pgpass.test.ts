import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { findPassword, passwordFor } from "../../src/postgres/pgpass.ts";

const folder = mkdtempSync(join(tmpdir(), "storage-qos-pgpass-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, "pgpass");

test("passwords are made once, kept to the owner, and read by psql", () => {
  expect(findPassword(file, "a")).toBeUndefined();
  const a = passwordFor(file, "a");
  const b = passwordFor(file, "b");
  expect(a).toHaveLength(32);
  expect(a).not.toBe(b);
  expect(passwordFor(file, "a")).toBe(a);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readFileSync(file, "utf8")).toBe(`*:*:*:a:${a}\n*:*:*:b:${b}\n`);
});
