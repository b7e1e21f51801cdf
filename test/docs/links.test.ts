import { existsSync, globSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

const pages = globSync(["*.md", "docs/**/*.md", ".github/**/*.md"], { cwd: projectPath(".") });
const read = (path: string) => readFileSync(projectPath(path), "utf8");

/** As the usual renderers name a heading. */
const anchor = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, "")
    .replaceAll(" ", "-");

function linksOf(page: string): string[] {
  return [...read(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target));
}

function isThere(page: string, target: string): boolean {
  const [path, fragment] = target.split("#");
  const file = path ? join(dirname(page), path) : page;
  if (!existsSync(projectPath(file))) return false;
  if (fragment === undefined) return true;
  const headings = [...read(file).matchAll(/^#+ (.+)$/gm)].map(([, text = ""]) => anchor(text));
  return headings.includes(fragment);
}

test.each(pages)("%s links to what is there", (page) => {
  expect(linksOf(page).filter((target) => !isThere(page, target))).toEqual([]);
});

test("the README links to every page of docs/, and the list of decisions to every record", () => {
  const records = linksOf("docs/decisions/README.md").map((name) => `docs/decisions/${name}`);
  const linked = [...linksOf("README.md"), ...records];
  expect(linked.length).toBeGreaterThan(20);
  expect(pages.filter((page) => page.startsWith("docs/") && !linked.includes(page))).toEqual([]);
});

describe("commands", () => {
  const scripts = Object.keys(JSON.parse(read("package.json")).scripts);
  const commands = globSync("src/cli/{commands,development}/*.ts", { cwd: projectPath(".") }).map(
    (path) => basename(path, ".ts"),
  );

  test.each(pages)("%s runs scripts, commands and files that there are", (page) => {
    const text = read(page);
    const run = [...text.matchAll(/npm run (?:-s )?([a-z][\w:]*)/g)].map(([, name = ""]) => name);
    expect(run.filter((name) => !scripts.includes(name))).toEqual([]);
    const called = [...text.matchAll(/npm run -s qos -- ([a-z-]+)/g)].map(([, name = ""]) => name);
    expect(called.filter((name) => !commands.includes(name))).toEqual([]);
    const files = [...text.matchAll(/`?\b((?:test|src|db|tasks)\/[\w./-]+\w\/?|\.ci\/[\w-]+)/g)]
      .map(([, path = ""]) => path)
      .filter((path) => !path.includes("0000NN"));
    expect(files.filter((path) => !existsSync(projectPath(path)))).toEqual([]);
  });
});
