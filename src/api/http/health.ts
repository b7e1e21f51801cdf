import type { Sql } from "../../postgres/connect.ts";

/** Whether the database answers. */
export async function isDatabaseReady(sql: Sql): Promise<boolean> {
  try {
    return (await sql`select pg_catalog.pg_is_in_recovery() as replica`)[0]?.replica === false;
  } catch {
    return false;
  }
}
