import { stringify } from "yaml";
import { kinds, partOf } from "../configuration/tree.ts";
import type { Management } from "../management/management.ts";
import { requireItem } from "./not-found.ts";
import type { Resource } from "./resource.ts";

/** An object with all that is in it. */
export async function describeItem(
  management: Management,
  resource: Resource,
  path: readonly string[],
  format: "yaml" | "json",
): Promise<string> {
  const { fields } = requireItem(await resource.list(management), path, resource);
  const kind = kinds.get(resource.name.replaceAll("-", "_"));
  const within = kind === undefined ? {} : partOf(kind, path, await management.configuration());
  const named = Object.fromEntries(resource.names.map((name, place) => [name, path[place]]));
  const whole = { ...named, ...fields, ...within };
  return format === "json" ? JSON.stringify(whole, undefined, 2) : stringify(whole).trimEnd();
}
