import type { Sql } from "../../postgres/connect.ts";

/**
 * The one active user with this address, of the tenant if one is named; undefined where there is
 * none, or more than one.
 */
export async function userOfEmail(
  sql: Sql,
  email: string,
  tenant: string | undefined,
): Promise<string | undefined> {
  const [row] = await sql<{ userId: string | null }[]>`
    select rate_limiter_private.user_of_email(${email}, ${tenant ?? null}) as "userId"
  `;
  return row?.userId ?? undefined;
}
