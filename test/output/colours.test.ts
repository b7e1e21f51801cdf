import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { runCli } from "../cli/run-cli.ts";

const plain = { NO_COLOR: undefined, FORCE_COLOR: undefined, NODE_DISABLE_COLORS: undefined };

test("an error has colours on a terminal, and none elsewhere or under NO_COLOR", async () => {
  const said = "error: unknown command 'fly' (bad_usage)\nhint: ";
  // FORCE_COLOR stands for the terminal, which a test has none of.
  const [elsewhere, terminal, refused] = await Promise.all([
    runCli(["fly"], plain),
    runCli(["fly"], { ...plain, FORCE_COLOR: "1" }),
    runCli(["fly"], { ...plain, NO_COLOR: "1" }),
  ]);
  expect(elsewhere.stderr).toContain(said);
  expect(refused.stderr).toBe(elsewhere.stderr);
  expect(terminal.stderr).not.toBe(elsewhere.stderr);
  expect(stripVTControlCharacters(terminal.stderr)).toBe(elsewhere.stderr);
});
