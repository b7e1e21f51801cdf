import { existsSync, readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { domainTests } from "../../src/dev/domain-tests.ts";
import { changeSteps, testChanges } from "../../src/dev/test-changes.ts";
import { testFiles, testsOf, testsOfDomain } from "../../src/dev/tests-of.ts";
import { projectPath } from "../../src/paths.ts";
import { runCli } from "../cli/run-cli.ts";

test("test-changes runs linter, types and conventions whatever has changed", () => {
  const steps = changeSteps([]);
  expect(steps.map(({ name }) => name)).toEqual([
    ...["lint", "typecheck", "typecheck of the console", "conventions and tests"],
  ]);
  expect(steps.at(-1)?.command).toContain("test/db/fixtures.test.ts");
});

test("test-changes runs the steps after one that fails, and names each that failed", async () => {
  const ran: string[] = [];
  const failed = await testChanges([], async ([program = ""]) => {
    ran.push(program);
    return program === "vitest";
  });
  expect(ran).toEqual(["biome", "tsc", "tsc", "vitest"]);
  expect(failed).toEqual(["lint", "typecheck", "typecheck of the console"]);
});

test("npm run test:changes prints its commands with --list, and refuses a commit that does not exist", async () => {
  const { code, stdout } = await runCli(["test-changes", "--list"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^biome check \.\ntsc --noEmit\ntsc .*\nvitest related --run test\/db\//);
  const refused = await runCli(["test-changes", "--list", "--since", "no-such-commit"]);
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("(git_failed)");
});

test.each([
  ["src/output/print-rows.ts", ["src/output/print-rows.ts"]],
  ["docs/scale.md", testFiles("test/docs")],
  ["src/gateway/lua/qos/phases.lua", testFiles("test/gateway")],
  ["src/console/cluster/reservations.tsx", testFiles("test/console")],
  ["src/replay/sql/replay_batch.sql", testFiles("test/replay")],
  ["test/vectors/replay-answers.json", testFiles("test/vectors")],
  ["src/deploy/gateway.Dockerfile", testFiles("test/compose")],
  ["docker-compose.yml", testFiles("test/compose")],
  ["schema.graphql", ["test/api/schema.test.ts"]],
  ["LICENSE", []],
])("the tests of %s are found", (path, tests) => {
  expect(testsOf([path])).toEqual([...tests].sort());
});

test("a fixture has the tests of its domain, those of its own name, and the conventions", () => {
  const tests = testsOf(["db/fixtures/rate_limiter_internal/buckets/bucket_before.sql"]);
  expect(tests).toContain("test/sql/buckets/bucket-before.test.ts");
  expect(tests).toContain("test/data-model/hot-updates.test.ts");
  expect(tests).toContain("test/db/drift.test.ts");
});

test("each domain of db/fixtures has tests, and each of them exists", () => {
  const schemas = readdirSync(projectPath("db/fixtures"), { withFileTypes: true });
  const domains = schemas
    .filter((entry) => entry.isDirectory())
    .flatMap((schema) => readdirSync(projectPath("db/fixtures", schema.name)));
  expect([...new Set(domains)].sort()).toEqual(Object.keys(domainTests).sort());
  for (const [domain, places] of Object.entries(domainTests)) {
    for (const place of places)
      expect([domain, place, existsSync(projectPath(place))]).toEqual([domain, place, true]);
    expect(testsOfDomain(domain).length, domain).toBeGreaterThan(0);
  }
});
