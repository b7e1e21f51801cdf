import { stringify } from "yaml";
import { readConfiguration } from "../configuration/read-configuration.ts";
import { kinds, partOf } from "../configuration/tree.ts";
import type { TransactionSql } from "../postgres/connect.ts";
import { requireItem } from "./not-found.ts";
import type { Resource } from "./resource.ts";

/** An object with all that is in it. */
export async function describeItem(
  sql: TransactionSql,
  resource: Resource,
  path: readonly string[],
  format: "yaml" | "json",
): Promise<string> {
  const { fields } = requireItem(await resource.list(sql), path, resource);
  const kind = kinds.get(resource.name.replaceAll("-", "_"));
  const within = kind === undefined ? {} : partOf(kind, path, await readConfiguration(sql));
  const named = Object.fromEntries(resource.names.map((name, place) => [name, path[place]]));
  const whole = { ...named, ...fields, ...within };
  return format === "json" ? JSON.stringify(whole, undefined, 2) : stringify(whole).trimEnd();
}
