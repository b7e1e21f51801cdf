import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { currentIsEmpty } from "../../src/migrations/current.ts";
import { projectPath } from "../../src/paths.ts";
import { codeOnly, objectFiles, type SqlFile, toolFiles } from "./fixture-files.ts";

const lineLimit = 100;
const committed = readdirSync(projectPath("db/committed")).filter((name) => name.endsWith(".sql"));

/** What a file declares: by itself one function or view; with a kind in its name, parts of a table. */
const declarations =
  /^create (?:or replace )?(?:function|procedure|(?:materialized )?view) (\S+?)[(\s]/gm;
const kinds = ["triggers", "policies", "grants", "seed"];

function problemsOf(file: SqlFile): string[] {
  return [...misnamed(file), ...textProblems(file)];
}

function textProblems(file: SqlFile): string[] {
  const code = codeOnly(file.text);
  return [...styleProblems(file.text, code), ...functionProblems(file, code)];
}

/** A path is schema/domain/name.sql or schema/domain/table.kind.sql; overloads share a file. */
function misnamed({ path, text }: SqlFile): string[] {
  const [schema, domain = "", name = "", ...rest] = path.replace(/\.sql$/, "").split("/");
  const [object, kind] = name.split(".");
  const known = rest.length === 0 && name !== "" && /^[a-z]\w*$/.test(domain);
  if (!known || (kind !== undefined && !kinds.includes(kind))) {
    return ["is not at schema/domain/name.sql or schema/domain/table.kind.sql"];
  }
  const names = [...text.matchAll(declarations)].map((match) => match[1]);
  if (kind !== undefined) return names.map((found) => `declares ${found} beside ${kind}`);
  const wanted = `${schema}.${object}`;
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

function functionProblems({ text }: SqlFile, code: string): string[] {
  if (!/^create or replace (?:function|procedure) /m.test(text)) return [];
  return [
    ...(/\blanguage\s+(sql|plpgsql)\b/.test(code) ? [] : ["states no language"]),
    ...(statesVolatility(code) ? [] : ["states no volatility"]),
    ...(statesNeither(code) || /\bparallel\s+(safe|restricted|unsafe)\b/.test(code)
      ? []
      : ["states no parallel safety"]),
    ...(/\bwhen\s+others\b/.test(code) ? ["catches others"] : []),
    ...(hasBackslash(text) ? ["a backslash in a plain string"] : []),
    ...(/\bcomment on (function|procedure)\b/.test(code) ? [] : ["has no comment"]),
  ];
}

/** In a session without standard_conforming_strings it would be an escape. */
function hasBackslash(text: string): boolean {
  const strings = text.matchAll(/--[^\n]*|\$(\w+)\$.*?\$\1\$|(?<!\w)[Ee]?'(?:[^']|'')*'/gs);
  return [...strings].some(([found]) => found[0] === "'" && found.includes("\\"));
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
    expect(toolFiles().flatMap((file) => textProblems(file))).toEqual([]);
  });

  test("the checks see what they should", () => {
    const text = [
      "create or replace function other.name()",
      "RETURNS integer",
      `language c as '${"x".repeat(lineLimit)}' `,
      "exception when others then null",
      "x ~ '\\S'",
    ].join("\n");
    expect(problemsOf({ path: "schema/domain/name.sql", text })).toEqual([
      "declares other.name, not schema.name",
      "line 3 is longer than 100 columns",
      "upper case outside of strings",
      "tab or trailing space",
      "no single newline at the end",
      "states no language",
      "states no volatility",
      "states no parallel safety",
      "catches others",
      "a backslash in a plain string",
      "has no comment",
    ]);
    const place = "is not at schema/domain/name.sql or schema/domain/table.kind.sql";
    for (const path of ["schema/name.sql", "schema/a/b/name.sql", "schema/domain/name.kind.sql"]) {
      expect(problemsOf({ path, text: "select 1;\n" })).toEqual([place]);
    }
  });

  test("are each listed once in all.sql, or included by a migration being written", () => {
    const listed = includesOf("db/fixtures/all.sql");
    expect(listed.filter((path, index) => listed.indexOf(path) !== index)).toEqual([]);
    const objects = objectFiles().map((file) => file.path);
    expect(objects.filter((path) => !listed.includes(path))).toEqual([]);
    expect(listed.filter((path) => !objects.includes(path))).toEqual([]);
  });

  test("are each in one chapter, and there once", () => {
    const frozen = committed.flatMap((name) => frozenIn(`db/committed/${name}`));
    expect(frozen.filter((path, index) => frozen.indexOf(path) !== index)).toEqual([]);
    expect(frozen.sort()).toEqual(includesOf("db/fixtures/all.sql").sort());
  });

  test("are in chapters that can be read: of 2,500 lines at the most", () => {
    const lines = committed.map((name) => [
      name,
      readFileSync(projectPath("db/committed", name), "utf8").split("\n").length,
    ]);
    expect(lines.filter(([, count]) => Number(count) > 2_500)).toEqual([]);
  });
});

// While a migration is being written its author's tests run it; what is submitted has none.
test.runIf(process.env.CI && committed.length > 0)("no migration is being written", async () => {
  expect(await currentIsEmpty()).toBe(true);
});

function includesOf(path: string): string[] {
  return pathsIn(path, /^--!include (\S+)$/gm);
}

function frozenIn(path: string): string[] {
  return pathsIn(path, /^--! Included (\S+)$/gm);
}

function pathsIn(path: string, line: RegExp): string[] {
  const text = readFileSync(projectPath(path), "utf8");
  return [...text.matchAll(line)].map((match) => match[1] ?? "");
}
