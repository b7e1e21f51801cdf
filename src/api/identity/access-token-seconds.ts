import type { Sql } from "../../postgres/connect.ts";

/** The setting access_token_seconds. */
export async function accessTokenSeconds(sql: Sql): Promise<number> {
  const [row] = await sql<{ seconds: string }[]>`
    select rate_limiter_private.access_token_seconds() as seconds
  `;
  return Number(row?.seconds);
}
