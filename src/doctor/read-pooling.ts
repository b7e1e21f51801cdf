import type { Sql } from "../postgres/connect.ts";

/** Whether a setting of the session is gone at its next statement: then a pooler shares sessions. */
export async function readPooling(sql: Sql): Promise<boolean> {
  await sql`select set_config('rate_limiter.doctor', 'here', false)`;
  const [row] = await sql<{ here: string | null }[]>`
    select current_setting('rate_limiter.doctor', true) as here
  `;
  return row?.here !== "here";
}
