import { globSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

/**
 * Words that plain technical English does without (CONTRIBUTING.md, Style). Name the process, the
 * role or the row instead of a person, and write "is not a".
 */
const banned: readonly RegExp[] = [
  /\b(?:who|whom)ever\b/gi,
  /\b(?:no|some|every|any)body\b/gi,
  // "there is no task" and "is no longer in force" are plain.
  /(?<!\bthere )\b(?:is|are|was|were) no\b(?! (?:longer|more|less|fewer|later|earlier)\b)/gi,
];

/** The account of that name, which PostgreSQL runs as. */
const quoted = /"nobody"/g;

const places = [
  "*.md",
  "docs/**/*.{md,json,yml}",
  ".ci/{other-versions,packages,run}",
  ".ci/hooks/*",
  ".github/**/*.{md,yml}",
  "src/**/*.{ts,sql,sh,lua,conf}",
  "tasks/*.ts",
  "db/{bootstrap,committed,fixtures}/**/*.sql",
];

const filesOf = (patterns: readonly string[]) =>
  patterns.flatMap((pattern) => globSync(pattern, { cwd: projectPath(".") })).sort();

function bannedWords(text: string): string[] {
  const checked = text.replaceAll(quoted, "");
  return banned.flatMap((word) => [...checked.matchAll(word)].map(([found]) => found));
}

function problemsOf(path: string, text: string): string[] {
  return bannedWords(text).map((word) => `${path}: ${word}`);
}

test("docs, code and comments use plain technical English", () => {
  const files = filesOf(places);
  expect(files.length).toBeGreaterThan(300);
  const problems = files.flatMap((path) =>
    problemsOf(path, readFileSync(projectPath(path), "utf8")),
  );
  expect(problems).toEqual([]);
});

test("names of tests use plain technical English", () => {
  const files = filesOf(["test/**/*.test.ts"]);
  const problems = files.flatMap((path) => {
    const text = readFileSync(projectPath(path), "utf8");
    const names = text.matchAll(/\b(?:test|describe)(?:\.\w+\([^)]*\))?\(\s*(["`])(.*?)\1/g);
    return [...names].flatMap(([, , name = ""]) => problemsOf(path, name));
  });
  expect(problems).toEqual([]);
});

test("the check finds the words, and leaves plain sentences alone", () => {
  expect(bannedWords("Whoever asks; nobody else's; this is no id; are no ratios")).toEqual([
    ...["Whoever", "nobody", "is no", "are no"],
  ]);
  expect(bannedWords('there is no task, is no longer in force, is no more than, "nobody"')).toEqual(
    [],
  );
});
