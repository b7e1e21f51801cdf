import type { Sql } from "../../postgres/connect.ts";
import type { Identity } from "./access-token.ts";

/** Whether the session, its user and the tenant are active: a logout counts at once. */
export async function sessionIsActive(
  sql: Sql,
  { userId, sessionId }: Pick<Identity, "userId" | "sessionId">,
): Promise<boolean> {
  const [row] = await sql<{ lasts: boolean }[]>`
    select rate_limiter_private.session_is_active(${userId}, ${sessionId ?? null}) as lasts
  `;
  return row?.lasts ?? false;
}
