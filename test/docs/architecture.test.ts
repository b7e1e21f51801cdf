import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { comparisons, others, ratios } from "../../src/bench/ratios.ts";
import { domainTests } from "../../src/dev/domain-tests.ts";
import { projectPath } from "../../src/paths.ts";
import { taskNames } from "../../src/worker/load-tasks.ts";

const read = (path: string) => readFileSync(projectPath(path), "utf8");
const page = read("docs/architecture.md");

function section(heading: string): string {
  return page.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
}

test("each SQL file that the page names exists", () => {
  const files = [...page.matchAll(/`(rate_limiter\w*\/\w+\/\w+\.sql)`/g)].map(
    ([, path = ""]) => path,
  );
  expect(files.length).toBeGreaterThan(15);
  expect(files.filter((path) => !existsSync(projectPath("db/fixtures", path)))).toEqual([]);
});

test("each other path that the page names exists", () => {
  const named = [
    ...[...page.matchAll(/`((?:db|docs|src|tasks|test)\/[\w./-]+)`/g)].map(([, path = ""]) => path),
    ...[...section("Layer 3").matchAll(/^\| .* \| `(.+)` \| `(.+)` \|$/gm)].flatMap(
      ([, client, gateway]) => [`src/client/${client}`, `src/gateway/lua/qos/${gateway}`],
    ),
  ];
  expect(named.length).toBeGreaterThan(60);
  expect(named.filter((path) => !existsSync(projectPath(path)))).toEqual([]);
});

test("each domain of SQL is in the page, and no other", () => {
  const told = [...section("Domains of SQL").matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
  expect(told).toEqual(Object.keys(domainTests).sort());
});

test("each folder of src is in the tree, and no other", () => {
  const folders = readdirSync(projectPath("src"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
  const told = [...section("The tree").matchAll(/^ {4}src\/([\w-]+)\//gm)].map(([, name]) => name);
  expect(told.sort()).toEqual(folders.sort());
});

test("each folder that the tree names inside of one exists", () => {
  const entries = [
    ...section("The tree").matchAll(/^ {4}((?:src|test)\/[\w-]*)(.*(?:\n {6}.*)*)/gm),
  ];
  const named = entries.flatMap(([, folder = "", text = ""]) =>
    [...text.matchAll(/(?<=[\s(])([\w-]+(?:\/[\w-]+)*)\/(?=[\s,:;.)])/g)].map(([, name]) => ({
      name,
      places: [`${folder}/${name}`, `src/gateway/lua/qos/${name}`, `${name}`],
    })),
  );
  expect(named.length).toBeGreaterThan(50);
  const missing = named.filter(
    ({ places }) => !places.some((path) => existsSync(projectPath(path))),
  );
  expect(missing.map(({ name }) => name)).toEqual([]);
});

test("each task that the page names exists", () => {
  const named = [...page.matchAll(/`tasks\/(\w+)\.ts`/g)].map(([, name = ""]) => name);
  expect(named.length).toBeGreaterThan(2);
  expect(named.filter((name) => !taskNames().includes(name))).toEqual([]);
});

test("each decision has a number, its four parts, and a command or a page to check it by", () => {
  const records = readdirSync(projectPath("docs/decisions"))
    .filter((name) => name !== "README.md")
    .sort();
  records.forEach((name, index) => {
    const text = read(`docs/decisions/${name}`);
    expect(name).toMatch(new RegExp(`^${String(index + 1).padStart(4, "0")}-[a-z0-9-]+\\.md$`));
    expect(text).toMatch(new RegExp(`^# ${index + 1}\\. \\S`));
    const parts = [...text.matchAll(/^\*\*(\w+)\.\*\*/gm)].map(([, part]) => part);
    expect(parts, name).toEqual(["Context", "Decision", "Measurement", "Consequences"]);
    const measurement = text.split("**Measurement.**")[1]?.split("**Consequences.**")[0];
    expect(measurement, name).toMatch(/`(npm|npx) |\]\(\.\.\//);
  });
});

test("each test that a decision names exists, and each workload of the benchmark", () => {
  const text = readdirSync(projectPath("docs/decisions"))
    .map((name) => read(`docs/decisions/${name}`))
    .join("\n");
  const known = [
    ...[...ratios, ...comparisons].map(({ name }) => name),
    ...others.map(({ name }) => name),
  ];
  const asked = [...text.matchAll(/bench -- --only ([\w -]+?)(?: --|`)/g)].flatMap(
    ([, names = ""]) => names.split(" "),
  );
  expect(asked.length).toBeGreaterThan(5);
  expect(asked.filter((name) => !known.includes(name))).toEqual([]);
  for (const [, path = ""] of text.matchAll(/vitest run (\S+?)`/g)) {
    expect(existsSync(projectPath(path)), path).toBe(true);
  }
});
