import type { Sql } from "../postgres/connect.ts";

/** A session counts denials in its memory, and that of a command is over at once. */
export async function handInDenials(sql: Sql): Promise<void> {
  await sql`select rate_limiter.hand_in_denials()`;
}
