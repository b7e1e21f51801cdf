import type { Sql } from "../postgres/connect.ts";
import type { Names } from "./scene.ts";

/** Fills an empty database with the world that the JSON text describes. */
export async function loadWorld(sql: Sql, world: string): Promise<Names> {
  const [row] = await sql<[{ names: Names }]>`
    select rate_limiter_internal.load_world(${world}::text::jsonb) as names
  `;
  return row.names;
}
