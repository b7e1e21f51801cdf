import { globSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

const titled =
  /^(?<indent> *)(?<kind>test|describe)(?:\.\w+(?:\((?:[^()]|\([^()]*\))*\))?)*\(\s*(?:"(?<quoted>(?:[^"\\]|\\.)*)"|`(?<template>[^`]*)`)/gm;

/**
 * Of each test its own title behind those of what it stands in, as reports show it. One that is a
 * placeholder alone has the sentences of its cases.
 */
function titlesOf(text: string): string[] {
  const around: { indent: number; title: string }[] = [];
  const titles: string[] = [];
  for (const { groups = {} } of text.matchAll(titled)) {
    const indent = groups.indent?.length ?? 0;
    const title = groups.quoted ?? groups.template ?? "";
    while ((around.at(-1)?.indent ?? -1) >= indent) around.pop();
    if (groups.kind === "describe") around.push({ indent, title });
    else if (!/^[%$][\w.#]+$/.test(title))
      titles.push([...around.map((each) => each.title), title].join(" "));
  }
  return titles;
}

/** Verbs of plurals and those that end in neither s nor ed: what titles here are told by. */
const verbs =
  /\b(?:is|are|was|were|has|have|had|may|can|cannot|must|would|could|do|did|agree|back|bind|find|follow|give|go|hold|keep|leave|lie|say|see|stand|take|tell|wait)\b|\b\w{2,}(?:s|ed)\b/i;

/** At least three words and a verb, as far as that shows; what a table of cases fills in may be either. */
function isSentence(title: string): boolean {
  const placeholders = title.match(/[%$][\w.#]+/g) ?? [];
  const words = title.replaceAll(/[%$][\w.#]+/g, "").match(/[A-Za-z][\w'-]*/g) ?? [];
  return words.length + placeholders.length >= 3
    ? verbs.test(words.join(" "))
    : placeholders.length > 0 && (words.length === 0 || verbs.test(words.join(" ")));
}

test("the title of a test is a whole sentence, with those of what it stands in", () => {
  const files = globSync("test/**/*.test.ts", { cwd: projectPath(".") });
  const titles = files.flatMap((file) =>
    titlesOf(readFileSync(projectPath(file), "utf8")).map((title) => ({ file, title })),
  );
  expect(titles.length).toBeGreaterThan(1500);
  expect(titles.filter(({ title }) => !isSentence(title))).toEqual([]);
});
