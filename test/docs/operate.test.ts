import { readFileSync } from "node:fs";
import { buildSchema, parse, validate } from "postgraphile/graphql";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { taskNames } from "../../src/worker/load-tasks.ts";
import { runCli } from "../cli/run-cli.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const guide = readFileSync(projectPath("docs/operate.md"), "utf8");

/** What stands between backticks in the first column of the table under a heading. */
function firstColumn(heading: string): string[] {
  const section = guide.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  return [...section.matchAll(/^\| (`.*?) \|/gm)].flatMap((row) =>
    [...(row[1] ?? "").matchAll(/`(.+?)`/g)].map(([, name = ""]) => name),
  );
}

test("every task that the clock runs is in the guide, and no other", () => {
  const told = firstColumn("What runs when (UTC)");
  const onDemand = ["deliver_notification", "send_invitation"];
  expect(told.sort()).toEqual(taskNames().filter((name) => !onDemand.includes(name)));
});

test("every data type that has a policy is in the guide", async () => {
  const rows = await database.sql<{ name: string }[]>`
    select data_type as name from rate_limiter.retention_policies order by data_type
  `;
  const told = firstColumn("Retention and archives");
  expect(told.sort()).toEqual(rows.map((row) => row.name).sort());
});

test("every metric in the guide is one that the system writes", async () => {
  const [found] = await database.sql<{ source: string }[]>`
    select string_agg(p.prosrc, ' ') as source
    from pg_proc as p
    where p.proname in ('system_metrics', 'record_system_metrics', 'bucket_fill', 'cluster_health')
  `;
  const told = firstColumn("Metrics and monitoring").filter((name) => name.startsWith("qos_"));
  expect(told.length).toBeGreaterThan(15);
  const known = (name: string) =>
    found?.source.includes(`'${name.replace(/_(iops|bandwidth).*$/, "")}`) ?? false;
  expect(told.filter((name) => !known(name))).toEqual([]);
});

test("every command in the guide is there", async () => {
  const commands = [...guide.matchAll(/npm run -s qos -- (\w+(?: [a-z-]+)?)/g)].map(
    ([, command = ""]) => command,
  );
  expect(commands.length).toBeGreaterThan(8);
  const groups = new Set(commands.map((command) => command.split(" ")[0] ?? ""));
  for (const group of groups) {
    const { stdout } = await runCli([group, "--help"], {});
    for (const command of commands) {
      const [name, part] = command.split(" ");
      if (name === group && part) expect(stdout).toMatch(new RegExp(`^  ${part}( |$)`, "m"));
    }
  }
});

test("each query in the guide is one of this schema", () => {
  const schema = buildSchema(readFileSync(projectPath("schema.graphql"), "utf8"));
  const queries = [...guide.matchAll(/^```graphql\n(.*?)^```/gms)].map(([, query = ""]) => query);
  expect(queries.length).toBeGreaterThan(3);
  for (const query of queries) {
    expect.soft(validate(schema, parse(query)), query).toEqual([]);
  }
});
