import type { Sql } from "../../postgres/connect.ts";

/** Old rows have no partition any more and land in the default one: they get theirs again. */
export async function moveStragglers(sql: Sql): Promise<void> {
  await sql`select rate_limiter_private.move_stragglers()`;
}
