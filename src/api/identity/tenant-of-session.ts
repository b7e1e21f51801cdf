import type { Sql } from "../../postgres/connect.ts";
import { withinTime } from "../within-time.ts";
import type { AccessClaims } from "./access-token.ts";

/** The tenant of a session that is active, as its user and the tenant are: a logout counts at once. */
export async function tenantOfSession(
  sql: Sql,
  { userId, sessionId }: AccessClaims,
): Promise<string | undefined> {
  const [row] = await withinTime(sql<{ tenant: string | null }[]>`
    select rate_limiter_private.tenant_of_session(${userId}, ${sessionId ?? null}) as tenant
  `);
  return row?.tenant ?? undefined;
}
