import { setTimeout as sleep } from "node:timers/promises";
import { clearAllPools } from "graphile-migrate/dist/pg.js";
import type { Sql } from "../postgres/connect.ts";
import { migrateApplicationName } from "./settings.ts";

/**
 * graphile-migrate keeps its pools open for a while, and ends the whole process when the server
 * closes one of their connections, as dropping a database does. So they go first.
 */
export async function closeLibraryPools(sql: Sql): Promise<void> {
  clearAllPools();
  while (await anyLeft(sql)) await sleep(2);
}

async function anyLeft(sql: Sql): Promise<boolean> {
  const sessions = await sql`
    select from pg_stat_activity
    where application_name = ${migrateApplicationName}
  `;
  return sessions.count > 0;
}
