import { globSync } from "node:fs";
import { projectPath } from "../paths.ts";
import { domainTests } from "./domain-tests.ts";

/**
 * What `vitest related` takes for these changed files: TypeScript by itself, of which vitest knows
 * the imports, and test files for everything that is not imported.
 */
export function testsOf(changed: readonly string[]): string[] {
  return [...new Set(changed.flatMap(testsOfFile))].sort();
}

function testsOfFile(path: string): string[] {
  if (/^(src|tasks|test)\/.*\.ts$/.test(path)) return [path];
  const fixture = /^db\/fixtures\/\w+\/(\w+)\/([\w.]+)\.sql$/.exec(path);
  if (fixture) return [...conventions(), ...testsOfFixture(fixture[1] ?? "", fixture[2] ?? "")];
  if (path.startsWith("db/")) return [...conventions(), ...testFiles("test/migrations")];
  if (path.startsWith("src/deploy/") || path === "docker-compose.yml") {
    return testFiles("test/compose");
  }
  if (path === "schema.graphql") return ["test/api/schema.test.ts"];
  // What is not imported: the tests of the folder of the same name.
  const [, folder] = /^(?:src|test)\/([\w-]+)\//.exec(path) ?? [];
  if (folder !== undefined) return testFiles(`test/${folder}`);
  if (/^(docs\/|[A-Z]+\.md$|\.github\/|package\.json$)/.test(path)) return testFiles("test/docs");
  if (path.startsWith(".ci/")) return testFiles("test/ci");
  return [];
}

/** Tests of the domain, and those named after the function. */
function testsOfFixture(domain: string, name: string): string[] {
  return [...testsOfDomain(domain), ...find(`test/**/${name.replaceAll("_", "-")}.test.ts`)];
}

export function testsOfDomain(domain: string): string[] {
  return [`test/sql/${domain}`, ...(domainTests[domain] ?? [])].flatMap(testFiles);
}

/** What holds for every object of the database. */
const conventions = () => testFiles("test/db");

export function testFiles(place: string): string[] {
  return place.endsWith(".test.ts") ? [place] : find(`${place}/**/*.test.ts`);
}

const find = (pattern: string) => globSync(pattern, { cwd: projectPath(".") });
