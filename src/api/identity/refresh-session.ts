import type { Sql } from "../../postgres/connect.ts";
import { ApiError } from "../api-error.ts";
import { inContext } from "../in-context.ts";
import type { ApiRequest } from "../request.ts";
import { withinTime } from "../within-time.ts";
import type { Session } from "./tokens.ts";

type Row = Session & { readonly outcome: "ok" | "invalid" | "reused" };

/** Continues a session. A token that was used before ends it, as it may have been stolen. */
export async function refreshSession(
  sql: Sql,
  refreshToken: string,
  request: ApiRequest,
): Promise<Session> {
  const row = await withinTime(
    inContext(sql, request, async (transaction) => {
      const [answer] = await transaction<Row[]>`
      select
        r.outcome, r.user_id as "userId", r.session_id as "sessionId",
        r.new_refresh_token as "refreshToken", r.refresh_expires_at as "refreshExpiresAt",
        r.expires_at as "sessionExpiresAt"
      from rate_limiter_private.refresh_session(${refreshToken}) as r
    `;
      return answer;
    }),
  );
  if (row?.outcome === "ok") return row;
  throw new ApiError("QS401", "refresh token no longer works", "Sign in again.");
}
