import type { Sql } from "../postgres/connect.ts";
import { loadFunctions } from "./load-functions.ts";
import type { Names } from "./name-registry.ts";

const functions = new URL("sql/", import.meta.url);

/**
 * Fills an empty database with the world that the JSON text describes, over one connection of the
 * schema's owner.
 */
export async function loadWorld(sql: Sql, world: string): Promise<Names> {
  await loadFunctions(sql, functions);
  const [row] = await sql<[{ names: Names }]>`
    select rate_limiter_internal.load_world(${world}::text::jsonb) as names
  `;
  return row.names;
}
