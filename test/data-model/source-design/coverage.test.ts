import { expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { indexesLeftOut, indexesReplacedBy, sameIndexes } from "./indexes.ts";
import {
  sourceConstraints,
  sourceFunctions,
  sourceMonitoring,
  sourceQueries,
  sourceRetention,
  sourceViews,
} from "./objects.ts";
import { sourceRows } from "./rows.ts";
import { sourceTables } from "./tables.ts";

/** Whatever the source design has is here, or the list says why it is elsewhere. */
const database = await createDatabase();

async function catalog(query: string): Promise<ReadonlySet<string>> {
  const rows = await database.sql.unsafe<{ name: string }[]>(query);
  return new Set(rows.map((row) => row.name));
}

const columns = await catalog(`
  select format('%s.%s.%s', c.relnamespace::regnamespace, c.relname, a.attname) as name
  from pg_class as c
  join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  where c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
`);
const indexes = await catalog(`
  select c.relname as name
  from pg_class as c
  where c.relkind in ('i', 'I')
    and not c.relispartition
    and starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
`);
const objects = await catalog(`
  select format('%s.%s', c.relnamespace::regnamespace, c.relname) as name
  from pg_class as c
  where c.relkind in ('r', 'p', 'v', 'm')
  union
  select format('%s.%s', p.pronamespace::regnamespace, p.proname) from pg_proc as p
`);
const constraints = await catalog("select k.conname as name from pg_constraint as k");

function missing(known: ReadonlySet<string>, names: readonly string[]): string[] {
  return names.filter((name) => !known.has(name));
}

test.each(Object.entries(sourceTables))("table %s has every column", (_, table) => {
  const { relation, same, moved = {} } = table;
  expect(
    missing(
      columns,
      same.map((column) => `${relation}.${column}`),
    ),
  ).toEqual([]);
  expect(
    missing(
      columns,
      Object.values(moved).map((column) => column.to),
    ),
  ).toEqual([]);
});

test.each(Object.entries(sourceViews))("view %s has every column", (view, names) => {
  expect(
    missing(
      columns,
      names.map((name) => `rate_limiter.${view}.${name}`),
    ),
  ).toEqual([]);
});

test("every index is here, or what serves its purpose", () => {
  expect(missing(indexes, [...sameIndexes, ...Object.values(indexesReplacedBy)])).toEqual([]);
  expect(Object.keys(indexesLeftOut).filter((name) => indexes.has(name))).toEqual([]);
});

test("every constraint is here, or what does its work", () => {
  const names = Object.values(sourceConstraints).flatMap((constraint) => constraint.now);
  const known = new Set([...constraints, ...indexes]);
  expect(missing(known, names)).toEqual([]);
});

test.each([
  ["function", sourceFunctions],
  ["query", sourceQueries],
  ["monitoring query", sourceMonitoring],
])("every %s is served", (_, source) => {
  expect(
    missing(
      objects,
      Object.values(source).flatMap((object) => object.now),
    ),
  ).toEqual([]);
});

test.each(Object.entries(sourceRows))("default rows of %s are all here", async (table, source) => {
  const { sql } = database;
  const [row] = await sql<{ rows: Record<string, unknown>[] }[]>`
    select jsonb_agg(to_jsonb(t)) as rows from rate_limiter.${sql(table)} as t
  `;
  const shown = (values: readonly unknown[]) =>
    values.map((value) => (Number.isNaN(Number(value)) ? value : Number(value))).join(" | ");
  const here = row?.rows.map((found) =>
    shown(source.columns.map((column) => (found[column] === true ? "true" : found[column]))),
  );
  expect(source.rows.map(shown).filter((wanted) => !here?.includes(wanted))).toEqual([]);
});

test.each(Object.entries(sourceRetention))("%s are kept long enough", async (_, { now, days }) => {
  const [row] = await database.sql`
    select
      now() + rate_limiter_internal.retention_period(${now})
        >= now() + make_interval(days => ${days}) as is_kept
  `;
  expect(row?.is_kept).toBe(true);
});

test("a name that is not there would be missed", () => {
  expect(missing(columns, ["rate_limiter.tenants.nothing"])).toHaveLength(1);
  expect(missing(objects, ["rate_limiter.nothing"])).toHaveLength(1);
  expect(missing(indexes, ["idx_nothing"])).toHaveLength(1);
});
