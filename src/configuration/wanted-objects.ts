import type postgres from "postgres";
import type { Configuration } from "./configuration.ts";

/** A configuration as the database takes it. */
export function wantedObjects({ objects }: Configuration): postgres.JSONValue {
  return objects.map(({ kind, path, spec }) => ({ kind, path, spec })) as never;
}
