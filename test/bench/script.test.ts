import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { readScript, statementsOf } from "../../src/bench/script.ts";
import { projectPath } from "../../src/paths.ts";

const names = readdirSync(projectPath("src/bench/scripts")).map((file) => file.slice(0, -4));

test("variables become parameters, casts and strings stay", () => {
  const [statement] = statementsOf({
    name: "x",
    text: "-- why; because\nselect :n::text, :other, ':', :n::integer;\n",
  });
  expect(statement).toEqual({
    text: "select $1::text, $2, ':', $1::integer",
    variables: ["n", "other"],
    keeps: false,
  });
});

test("\\gset ends a statement whose row is kept", () => {
  const statements = statementsOf({
    name: "x",
    text: "begin;\nselect 1 as a \\gset\ninsert into t values (:a);\ncommit;\n",
  });
  expect(statements.map(({ text, keeps }) => [text, keeps])).toEqual([
    ["begin", false],
    ["select 1 as a", true],
    ["insert into t values ($1)", false],
    ["commit", false],
  ]);
});

test.each(names)("%s: every statement is understood", (name) => {
  const script = readScript(name);
  const statements = statementsOf(script);
  const ends = script.text.replaceAll(/^--.*\n/gm, "").match(/(;|\\gset)$/gm);
  expect(statements.length).toBeGreaterThan(0);
  expect(statements).toHaveLength(ends?.length ?? 0);
  for (const { text } of statements) expect(text).not.toMatch(/(?<!:):[a-z]/);
});
