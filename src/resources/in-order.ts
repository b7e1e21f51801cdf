import { moment } from "../output/moment.ts";
import { formatPath } from "./path.ts";
import type { Fields, Item } from "./resource.ts";

/** By their names, whatever order their source and its language have. */
export function inOrder(items: readonly Item[]): Item[] {
  const named = items.map((item) => [formatPath(item.path), item] as const);
  return named.sort(([a], [b]) => (a < b ? -1 : Number(a > b))).map(([, item]) => item);
}

/** Fields without those that have no value, and moments alike from every source. */
export function presentFields(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== null)
      .map(([key, value]) => [key, /_at$|_until$/.test(key) ? moment(String(value)) : value]),
  );
}
