import type { Sql } from "../../postgres/connect.ts";

/** The one active user with this address; undefined where there is none, or more than one. */
export async function userOfEmail(sql: Sql, email: string): Promise<string | undefined> {
  const [row] = await sql<{ userId: string | null }[]>`
    select rate_limiter_private.user_of_email(${email}) as "userId"
  `;
  return row?.userId ?? undefined;
}
