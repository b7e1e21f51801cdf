import type { Sql } from "../../postgres/connect.ts";
import { withinTime } from "../within-time.ts";
import type { OidcClaims } from "./oidc.ts";

/**
 * The active user of the tenant with this address; undefined where there is none, or where the
 * user's sessions were ended after the token was issued.
 */
export async function userOfProvider(
  sql: Sql,
  { tenant, email, issuedAt, expiresAt, groups }: OidcClaims,
): Promise<string | undefined> {
  const [row] = await withinTime(sql<{ userId: string | null }[]>`
    select rate_limiter_private.user_of_provider(
      ${tenant}, ${email}, to_timestamp(${issuedAt}::bigint), to_timestamp(${expiresAt}::bigint),
      ${groups ?? null}::text[]
    ) as "userId"
  `);
  return row?.userId ?? undefined;
}
