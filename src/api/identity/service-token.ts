import type { Sql } from "../../postgres/connect.ts";
import { withinTime } from "../within-time.ts";
import type { Identity } from "./access-token.ts";

export function isServiceToken(token: string): boolean {
  return token.startsWith("qst_");
}

interface AccountRow {
  readonly userId: string | null;
  readonly tenant: string;
  readonly serviceTokenId: string;
  readonly expiresAt: string;
}

/** The active service account that a token lets in; undefined for a token that does not work. */
export async function accountOfServiceToken(
  sql: Sql,
  token: string,
): Promise<Identity | undefined> {
  const [row] = await withinTime(sql<AccountRow[]>`
    select
      u.user_id as "userId", u.tenant_id as tenant, u.token_id as "serviceTokenId",
      u.expires_at as "expiresAt"
    from rate_limiter_private.use_service_token(${token}) as u
  `);
  if (row === undefined || row.userId === null) return undefined;
  const { userId, tenant, serviceTokenId } = row;
  const expiresAt = Math.floor(Date.parse(row.expiresAt) / 1000);
  return { userId, tenant, serviceTokenId, expiresAt };
}
