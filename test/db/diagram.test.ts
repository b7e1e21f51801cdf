import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { diagram, withDiagram, withGenerated } from "../../src/migrations/diagram.ts";
import { tableSections } from "../../src/migrations/table-sections.ts";
import { projectPath } from "../../src/paths.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const page = readFileSync(projectPath("docs/data-model.md"), "utf8");

test("the entity diagram of docs/data-model.md is what the catalog has", async () => {
  const made = withDiagram(page, await diagram(database.sql));
  expect(page, "run npm run db:diagram").toBe(made);
});

test("each table of the catalog has its section in docs/data-model.md", async () => {
  const made = withGenerated(page, "the tables", await tableSections(database.sql));
  expect(page, "run npm run db:diagram").toBe(made);
  const rows = await database.sql<{ name: string }[]>`
    select c.relnamespace::regnamespace || '.' || c.relname as name
    from pg_class as c
    where c.relkind in ('r', 'p')
      and not c.relispartition
      and starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
  `;
  expect(rows.length).toBeGreaterThan(40);
  for (const { name } of rows) expect(page).toContain(`\n### ${name}\n`);
});

test("each chapter of tables, and each table in it, is in the list of chapters", () => {
  const chapters = readdirSync(projectPath("db/committed")).filter((name) => name.endsWith(".sql"));
  for (const file of chapters.sort().slice(0, 12)) {
    const start = `| ${file.replace(".sql", "")} |`;
    const row = page.split("\n").find((line) => line.startsWith(start));
    expect(row, file).toBeDefined();
    const text = readFileSync(projectPath("db/committed", file), "utf8");
    const made = text.matchAll(/^create (?:unlogged )?(?:table|materialized view) \w+\.(\w+)/gm);
    const tables = [...made].map(([, table = ""]) => table);
    for (const table of tables.filter((name) => !name.endsWith("_default"))) {
      expect(row).toMatch(new RegExp(`\\b${table}\\b`));
    }
  }
});

test("the diagram shows a new table, its columns, keys and relations", async () => {
  await database.sql`
    create table rate_limiter.novelties (
      novelty_id uuid primary key,
      tenant_id uuid references rate_limiter.tenants on delete cascade,
      seen_at timestamptz
    )
  `;
  const made = await diagram(database.sql);
  expect(made).toContain('    tenants |o--o{ novelties : "tenant_id"');
  expect(made).toContain(
    [
      "    novelties {",
      "        uuid novelty_id PK",
      "        uuid tenant_id FK",
      "        timestamptz seen_at",
      "    }",
    ].join("\n"),
  );
});

test("a page without a place for the diagram is refused", () => {
  expect(() => withDiagram("nothing", "")).toThrow("the page has no place for the diagram");
});
