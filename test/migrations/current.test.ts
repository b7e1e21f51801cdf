import { expect, test } from "vitest";
import { isBlank } from "../../src/migrations/current.ts";

test.each([
  ["nothing", "", true],
  ["blank lines and comments", "-- The migration being written.\n\n  -- more\n", true],
  ["an include", "--!include all.sql\n", false],
  ["an include with spaces", "--!  include all.sql\n", false],
  ["a statement", "-- comment\nselect 1;\n", false],
])("a migration of %s is taken for blank only where it is", (_, text, blank) => {
  expect(isBlank(text)).toBe(blank);
});
