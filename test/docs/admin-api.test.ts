import { readFileSync } from "node:fs";
import { buildSchema } from "postgraphile/graphql";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

const read = (path: string) => readFileSync(projectPath(path), "utf8");
const text = read("docs/admin-api.md");
const schema = buildSchema(read("schema.graphql"));

test("each field that is named in the table of tasks exists", () => {
  const fields = [schema.getQueryType(), schema.getMutationType()].flatMap((type) =>
    Object.keys(type?.getFields() ?? {}),
  );
  const start = text.indexOf("| to do this");
  const tasks = text.slice(start, text.indexOf("\n\n", start));
  const named = [...tasks.matchAll(/`([a-z]\w*)`/g)].map(([, name]) => name);
  const inside = ["overlap", "expiresAt", "autoBorrow", "validTo", "defaultClusterId"];
  expect(named.length).toBeGreaterThan(30);
  expect(
    named.filter((name) => !fields.includes(name ?? "") && !inside.includes(name ?? "")),
  ).toEqual([]);
});

/** Which roles the page says have what the first column calls `resource: action, action`. */
function permissionsTold(): string[] {
  const section = text.split("\n## Permissions\n")[1]?.split("\n## ")[0] ?? "";
  const [head = [], , ...rows] = [...section.matchAll(/^\|(.*)\|$/gm)].map(([, line = ""]) =>
    line.split("|").map((cell) => cell.trim()),
  );
  return rows.flatMap(([what = "", ...marks]) => {
    const [, resource, actions = ""] = /^(\w+): ([a-z, ]+?)(?:;|$)/.exec(what) ?? [];
    return actions
      .split(", ")
      .flatMap((action) =>
        marks.flatMap((mark, column) =>
          mark === "yes" ? [`${head[column + 1]} ${resource}:${action}`] : [],
        ),
      );
  });
}

test("the table of permissions is the matrix of the database", () => {
  const known = read("test/data-model/expected/permissions-by-role.txt").trim().split("\n");
  // Alerts have no permissions of their own: monitoring, or updating quotas, allows them.
  const told = permissionsTold().filter((line) => !line.includes(" alerts:"));
  expect(told.sort()).toEqual(known.sort());
});
