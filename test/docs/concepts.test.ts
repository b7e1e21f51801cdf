import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { dataOf, serveTwoTenants } from "../api/world.ts";
import { fillBuckets } from "../data-model/world.ts";
import { makeApplication, makeTenant } from "../sql/world.ts";

const { database, as, mine } = await serveTwoTenants();
const text = readFileSync(projectPath("docs/concepts.md"), "utf8");

interface Example {
  readonly language: string;
  readonly code: string;
  readonly answer: string;
}

/** Each command with the block after it, which says what it answers. */
function examples(): Example[] {
  const blocks = [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, code]) => ({
    language: language ?? "",
    code: code ?? "",
  }));
  return blocks.flatMap(({ language, code }, index) =>
    language === "graphql" || language === "sql"
      ? [{ language, code, answer: blocks[index + 1]?.code ?? "" }]
      : [],
  );
}

/** What psql prints, without what it draws. */
function cells(printed: string): string[][] {
  return printed
    .trimEnd()
    .split("\n")
    .filter((line) => !line.startsWith("---"))
    .map((line) => line.split("|").map((cell) => cell.trim()));
}

function shown(value: unknown): string {
  if (value === null) return "";
  if (typeof value === "boolean") return value ? "t" : "f";
  return String(value);
}

test("each command of the concepts answers what the page says", async () => {
  const ids = {
    APP: await makeApplication(database.sql, { tenantId: mine.tenantId }),
    // Without a ceiling, which would ask for both kinds.
    OTHER: await makeApplication(database.sql),
    TENANT: await makeTenant(database.sql),
  };
  const found = examples();
  expect(found.length).toBeGreaterThan(4);
  for (const { language, code, answer } of found) {
    const command = code.replaceAll(
      /\b(APP|OTHER|TENANT)\b/g,
      (name) => ids[name as keyof typeof ids],
    );
    if (language === "graphql") {
      expect(await dataOf(as.system_admin.ask(command)), code).toEqual(JSON.parse(answer));
    } else {
      // The page says how long a tenant waits for that.
      if (/'read_large'/.test(command)) await fillBuckets(database.sql, ids.APP);
      const rows = await database.as("rate_limiter_app").unsafe(command);
      const [head = [], ...lines] = cells(answer);
      expect(Object.keys(rows[0] ?? {}), code).toEqual(head);
      expect(
        rows.map((row) => Object.values(row).map(shown)),
        code,
      ).toEqual(lines);
    }
  }
});

test("each number that the page computes is right", async () => {
  const [row] = await database.sql`
    select
      c.usual_cost::text as cost,
      ceil(100000000 / 65536.0)::text as operations,
      ceil(100000000 / 65536.0 * c.usual_cost)::text as tokens,
      rate_limiter_internal.quota_capacity('token_bucket', 100, 200, 5, 100)::text as capacity
    from rate_limiter_internal.cheapest_costs(null, null, now(), null) as c
    where c.operation = 'read_medium'
  `;
  expect(row).toEqual({ cost: "2.000100", operations: "1526", tokens: "3052", capacity: "500" });
  for (const number of ["2.0001", "1,526 a second", "3,052 tokens", "(200 - 100) * 5 = 500 MB"]) {
    expect(text).toContain(number);
  }
});

test("each setting and each reason that the page names is there", async () => {
  const settings = await database.sql<{ key: string }[]>`
    select key from rate_limiter.system_settings
  `;
  const keys = settings.map((row) => row.key);
  const named = [
    "max_debt_seconds",
    "max_cluster_debt_seconds",
    "max_borrow_ratio",
    "without_quota",
  ];
  for (const name of named) {
    expect(text).toContain(`\`${name}\``);
    expect(keys).toContain(name);
  }
});

test("each word of the glossary has one sentence, and they are in order", () => {
  const glossary = text.split("\n## Glossary\n")[1] ?? "";
  const rows = [...glossary.matchAll(/^\| ([^|]+) \| ([^|]+) \|$/gm)].slice(1);
  expect(rows.length).toBeGreaterThan(80);
  for (const [, word, meaning] of rows) expect(`${word}: ${meaning}`).toMatch(/: [A-Z`].*\.$/);
  const words = rows.map(([, word = ""]) => word.toLowerCase());
  expect(words).toEqual([...words].sort());
});
