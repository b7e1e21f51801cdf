import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { hasSharedDesign, sharedDesign } from "../../shared.ts";
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

/** The lists leave out nothing that the source design has, where that lies beside the project. */
describe.runIf(hasSharedDesign)("the lists of the source design are complete:", () => {
  const text = hasSharedDesign ? readFileSync(sharedDesign, "utf8") : "";

  const found = (pattern: RegExp, part = text) =>
    [...new Set([...part.matchAll(pattern)].map((match) => match[1] ?? ""))].sort();

  function columnsIn(source: string): Map<string, Set<string>> {
    const tables = new Map<string, Set<string>>();
    for (const [, table = "", body = ""] of source.matchAll(/create table (\w+) \((.*?)\n\);/gis)) {
      const columns = tables.get(table) ?? new Set<string>();
      for (const [, column = ""] of body.matchAll(/^ {4}([a-z_]+) [A-Z]/gm)) columns.add(column);
      tables.set(table, columns);
    }
    return tables;
  }

  test("24 tables, and each of their columns", () => {
    const tables = columnsIn(text);
    expect(tables.size).toBe(24);
    const wanted = [...tables].map(([table, columns]) => [table, [...columns].sort()]);
    const listed = Object.entries(sourceTables).map(([table, { same, moved = {} }]) => [
      table,
      [...same, ...Object.keys(moved)].sort(),
    ]);
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(wanted));
  });

  test("indexes and constraints", () => {
    const listed = [...sameIndexes, ...Object.keys({ ...indexesReplacedBy, ...indexesLeftOut })];
    expect(listed.sort()).toEqual(found(/create (?:unique )?index (\w+)\s+on/gi));
    expect(Object.keys(sourceConstraints).sort()).toEqual(found(/^ +CONSTRAINT (\w+)/gm));
  });

  test("views and functions", () => {
    const views = found(/create (?:materialized )?view (\w+)/gi);
    expect(Object.keys(sourceViews).sort()).toEqual(views);
    expect(Object.keys(sourceFunctions).sort()).toEqual(found(/replace function (\w+)\(/gi));
  });

  test("query patterns, monitoring and retention", () => {
    const patterns = text.slice(text.indexOf("\n## Query Patterns"));
    const numbered = found(/^### \d+\. (.+)$/gm, patterns);
    expect(numbered).toHaveLength(12);
    expect(Object.keys(sourceQueries).sort()).toEqual(numbered);
    for (const name of Object.keys(sourceMonitoring)) expect(text).toContain(`-- ${name}`);
    const policies = text.slice(text.indexOf("### High-Level Retention Strategy"));
    const table = policies.slice(0, policies.indexOf("\n###"));
    expect(Object.keys(sourceRetention).sort()).toEqual(found(/^\| ([A-Z][\w ]+?) \| \d/gm, table));
  });

  test("default rows", () => {
    const inserts = [...text.matchAll(/insert into (\w+) \([^)]*\) values\n(.*?);\n/gis)];
    for (const [, table = "", body = ""] of inserts) {
      const first = [...body.matchAll(/^\('([^']+)', '?([^',]+)/gm)].map((row) => row.slice(1, 3));
      const listed = sourceRows[table]?.rows.map((row) => row.slice(0, 2));
      if (listed !== undefined) expect(listed).toEqual(expect.arrayContaining(first));
    }
    const counts = Object.values(sourceRows).map(({ rows }) => rows.length);
    expect(counts).toEqual([9, 6, 20, 7]);
  });
});
