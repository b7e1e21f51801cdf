import type { Configuration } from "./configuration.ts";
import type { DeclaredObject } from "./declared-objects.ts";

/** A configuration as the database and the API take it. */
export function wantedObjects({ objects }: Configuration): Omit<DeclaredObject, "problem">[] {
  return objects.map(({ kind, path, spec }) => ({ kind, path, spec }));
}
