import { stringify } from "yaml";
import { printRows } from "../output/print-rows.ts";
import { printableLines } from "../output/printable.ts";
import type { Item, Resource } from "./resource.ts";

export const formats = ["table", "json", "yaml"] as const;
export type Format = (typeof formats)[number];

/** Objects in the format that was asked for: a table for people, the others for programs. */
export function printItems(items: readonly Item[], resource: Resource, format: Format): void {
  const rows = items.map((item) => rowOf(item, resource));
  if (format === "json") console.log(asJson(rows));
  else if (format === "yaml") console.log(stringify(rows).trimEnd());
  else printTable(rows, resource);
}

export function printItem(item: Item, resource: Resource, format: Exclude<Format, "table">): void {
  const row = rowOf(item, resource);
  console.log(format === "json" ? asJson(row) : stringify(row).trimEnd());
}

function asJson(value: unknown): string {
  return printableLines(JSON.stringify(value, undefined, 2));
}

function rowOf({ path, fields }: Item, { names }: Resource): Record<string, unknown> {
  const named = names.map((name, place) => [name, path[place]] as const);
  const others = Object.entries(fields).map(
    ([key, value]) => [names.includes(key) ? `its_${key}` : key, value] as const,
  );
  return Object.fromEntries([...named, ...others]);
}

function printTable(rows: readonly Record<string, unknown>[], { plural }: Resource): void {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = rows.map((row) =>
    Object.fromEntries(Object.entries(row).map(([key, value]) => [key, inOneLine(value)])),
  );
  printRows(cells, columns, { json: false, none: `there are no ${plural}` });
}

function inOneLine(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  return stringify(value, { collectionStyle: "flow", lineWidth: 0 }).trim();
}
