import { expect, test } from "vitest";
import { describeError } from "../../src/output/describe-error.ts";
import { UserError } from "../../src/user-error.ts";
import { createDatabase } from "../harness/index.ts";

test("a problem that the reader can solve has a code and a hint", () => {
  const error = new UserError("port_in_use", "port 1 is in use", "Use another.");
  expect(describeError(error)).toBe("error: port 1 is in use (port_in_use)\nhint: Use another.");
});

test("a server's error keeps its code, detail and hint", async () => {
  const database = await createDatabase();
  const error = await database.sql`
    do $$ begin
      raise exception using errcode = 'QS404', message = 'unknown thing',
        detail = 'thing: 1', hint = 'Look it up.';
    end $$
  `.catch((reason: unknown) => reason);
  expect(describeError(error)).toBe(
    "error: unknown thing (QS404)\ndetail: thing: 1\nhint: Look it up.",
  );
});

test("anything else is a bug, and keeps its stack", () => {
  expect(describeError(new TypeError("x is undefined"))).toMatch(
    /^error: TypeError: x is undefined\n +at /,
  );
  expect(describeError("thrown text")).toBe("error: thrown text");
});
