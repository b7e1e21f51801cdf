import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { currentIsEmpty } from "../../src/migrations/current.ts";
import { projectPath } from "../../src/paths.ts";
import { codeOnly, objectFiles, type SqlFile } from "./fixture-files.ts";

const lineLimit = 100;
const committed = readdirSync(projectPath("db/committed")).filter((name) => name.endsWith(".sql"));

/** What a file of functions or of views has to declare, and what it must not. */
const declaration: Readonly<Record<string, RegExp>> = {
  functions: /^create or replace (?:function|procedure) (\S+?)\(/gm,
  views: /^create (?:or replace )?(?:materialized )?view (\S+)/gm,
};

function problemsOf(file: SqlFile): string[] {
  const code = codeOnly(file.text);
  return [...misnamed(file), ...styleProblems(file.text, code), ...functionProblems(file, code)];
}

/** Path = object name; overloads of one function may share its file. */
function misnamed({ path, text }: SqlFile): string[] {
  const [schema, kind = "", name] = path.replace(/\.sql$/, "").split("/");
  const pattern = declaration[kind];
  if (pattern === undefined) return [];
  const names = [...text.matchAll(pattern)].map((match) => match[1]);
  const wanted = `${schema}.${name}`;
  if (names.length > 0 && names.every((found) => found === wanted)) return [];
  return [`declares ${names.join(", ") || "nothing"}, not ${wanted}`];
}

function styleProblems(text: string, code: string): string[] {
  const long = text.split("\n").findIndex((line) => line.length > lineLimit);
  return [
    ...(long >= 0 ? [`line ${long + 1} is longer than ${lineLimit} columns`] : []),
    ...(/[A-Z]/.test(code.replaceAll("E''", "''")) ? ["upper case outside of strings"] : []),
    ...(/\t| $/m.test(text) ? ["tab or trailing space"] : []),
    ...(text.endsWith("\n") && !text.endsWith("\n\n") ? [] : ["no single newline at the end"]),
  ];
}

function functionProblems({ path }: SqlFile, code: string): string[] {
  if (!path.includes("/functions/")) return [];
  return [
    ...(/\blanguage\s+(sql|plpgsql)\b/.test(code) ? [] : ["states no language"]),
    ...(statesVolatility(code) ? [] : ["states no volatility"]),
    ...(statesNeither(code) || /\bparallel\s+(safe|restricted|unsafe)\b/.test(code)
      ? []
      : ["states no parallel safety"]),
    ...(/\bwhen\s+others\b/.test(code) ? ["catches others"] : []),
    ...(/\bcomment on (function|procedure)\b/.test(code) ? [] : ["has no comment"]),
  ];
}

function statesVolatility(code: string): boolean {
  return statesNeither(code) || /\b(immutable|stable|volatile)\b/.test(code);
}

/** A trigger function or a procedure: neither volatility nor parallel safety plays a part. */
function statesNeither(code: string): boolean {
  return /\breturns trigger\b|\bcreate or replace procedure\b/.test(code);
}

describe("fixtures", () => {
  test("keep to the conventions", () => {
    const problems = objectFiles().flatMap((file) =>
      problemsOf(file).map((problem) => `${file.path}: ${problem}`),
    );
    expect(problems).toEqual([]);
  });

  test("the checks see what they should", () => {
    const text = [
      "create or replace function other.name()",
      "RETURNS integer",
      `language c as '${"x".repeat(lineLimit)}' `,
      "exception when others then null",
    ].join("\n");
    expect(problemsOf({ path: "schema/functions/name.sql", text })).toEqual([
      "declares other.name, not schema.name",
      "line 3 is longer than 100 columns",
      "upper case outside of strings",
      "tab or trailing space",
      "no single newline at the end",
      "states no language",
      "states no volatility",
      "states no parallel safety",
      "catches others",
      "has no comment",
    ]);
  });

  test("are each listed once in all.sql, or included by a migration being written", () => {
    const listed = includesOf("db/fixtures/all.sql");
    expect(listed.filter((path, index) => listed.indexOf(path) !== index)).toEqual([]);
    const objects = objectFiles().map((file) => file.path);
    expect(objects.filter((path) => !listed.includes(path))).toEqual([]);
    expect(listed.filter((path) => !objects.includes(path))).toEqual([]);
  });
});

// While a migration is being written its author's tests run it; what is submitted has none.
test.runIf(process.env.CI && committed.length > 0)("no migration is being written", async () => {
  expect(await currentIsEmpty()).toBe(true);
});

function includesOf(path: string): string[] {
  const text = readFileSync(projectPath(path), "utf8");
  return [...text.matchAll(/^--!include (\S+)$/gm)].map((match) => match[1] ?? "");
}
