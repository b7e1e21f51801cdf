import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { diagram, withDiagram } from "../../src/migrations/diagram.ts";
import { projectPath } from "../../src/paths.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const page = readFileSync(projectPath("docs/data-model.md"), "utf8");

test("the entity diagram of docs/data-model.md is what the catalog has", async () => {
  const made = withDiagram(page, await diagram(database.sql));
  expect(page, "run npm run db:diagram").toBe(made);
});

test("it shows a new table, its columns, keys and relations", async () => {
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

test("a page without a place for it is refused", () => {
  expect(() => withDiagram("nothing", "")).toThrow("the page has no place for the diagram");
});
