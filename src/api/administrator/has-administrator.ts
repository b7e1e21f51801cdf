import type { Sql } from "../../postgres/connect.ts";

/** Whether the system has an administrator. */
export async function hasAdministrator(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ known: boolean }[]>`
    select rate_limiter_private.has_administrator() as known
  `;
  return row?.known ?? false;
}
