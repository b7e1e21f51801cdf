import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

/** Each import of a file of src by another: static, dynamic, and of types. */
const imports = globSync("src/**/*.{ts,tsx}", { cwd: projectPath(".") }).flatMap((file) =>
  importsOf(readFileSync(projectPath(file), "utf8")).map((path) => ({
    file,
    imported: normalize(join(dirname(file), path)),
  })),
);

function importsOf(code: string): string[] {
  return [...code.matchAll(/\b(?:from|import)\s*\(?\s*["'](\.[^"']+)["']/g)].map(
    ([, path = ""]) => path,
  );
}

/** The folder of src that a file is in; a file of src itself is one of its own. */
const folderOf = (file: string) => file.split("/")[1] ?? "";

/** Folders that import each other, directly or by others, each with the way that leads back to it. */
function circles(edges: readonly (readonly [string, string])[]): string[] {
  const next = new Map<string, Set<string>>();
  for (const [from, to] of edges) {
    if (from !== to) next.set(from, (next.get(from) ?? new Set()).add(to));
  }
  return [...next.keys()].flatMap((start) => wayBack(next, start) ?? []);
}

function wayBack(
  next: ReadonlyMap<string, ReadonlySet<string>>,
  start: string,
): string | undefined {
  const ways = [[start]];
  const seen = new Set<string>();
  for (const way of ways) {
    for (const to of next.get(way.at(-1) ?? "") ?? []) {
      if (to === start) return [...way, to].join(" -> ");
      if (!seen.has(to)) ways.push([...way, to]);
      seen.add(to);
    }
  }
  return undefined;
}

test("folders of src import each other in one direction", () => {
  expect(imports.length).toBeGreaterThan(1_000);
  const edges = imports.map(({ file, imported }) => [folderOf(file), folderOf(imported)] as const);
  expect(circles(edges)).toEqual([]);
});

test("a circle of folders is found, however long it is", () => {
  const line = [["a", "b"] as const, ["b", "c"] as const];
  expect(circles(line)).toEqual([]);
  expect(circles([...line, ["c", "a"]])).toContain("a -> b -> c -> a");
});

const edgesOf = (is: (from: string, to: string) => boolean) =>
  imports
    .filter(({ file, imported }) => folderOf(file) !== folderOf(imported))
    .filter(({ file, imported }) => is(folderOf(file), folderOf(imported)))
    .map(({ imported }) => imported);

test("no folder imports the command line", () => {
  expect(edgesOf((_, to) => to === "cli")).toEqual([]);
});

test("the API and the worker do not import each other", () => {
  expect(edgesOf((from, to) => from === "api" && to === "worker")).toEqual([]);
  expect(edgesOf((from, to) => from === "worker" && to === "api")).toEqual([]);
});

test("the client imports of other folders what reads connection URLs alone", () => {
  const imported = new Set(edgesOf((from) => from === "client"));
  expect([...imported].filter((file) => !file.startsWith("src/postgres/url"))).toEqual([]);
});

test("the console imports no other folder, and no other folder imports it", () => {
  expect(edgesOf((from, to) => from === "console" || to === "console")).toEqual([]);
});
