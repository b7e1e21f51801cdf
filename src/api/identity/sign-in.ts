import type { Sql } from "../../postgres/connect.ts";
import { ApiError } from "../api-error.ts";
import { inContext } from "../in-context.ts";
import type { ApiRequest } from "../request.ts";
import type { Session } from "./tokens.ts";

export interface Credentials {
  readonly email: string;
  readonly password: string;
  readonly tenant?: string | null;
}

type Row = Session & {
  readonly outcome: "ok" | "invalid" | "slowed" | "ambiguous";
  readonly retryAfterMs: string;
};

/** Starts a session, or throws one of the same three errors whatever was wrong. */
export async function signIn(
  sql: Sql,
  { email, password, tenant }: Credentials,
  request: ApiRequest,
): Promise<Session> {
  // Whatever the outcome the transaction commits: failures are counted in it.
  const row = await inContext(sql, request, async (transaction) => {
    const [answer] = await transaction<Row[]>`
      select
        l.outcome, l.retry_after_ms as "retryAfterMs", l.user_id as "userId",
        l.session_id as "sessionId", l.refresh_token as "refreshToken",
        l.refresh_expires_at as "refreshExpiresAt", l.expires_at as "sessionExpiresAt"
      from rate_limiter_private.login(
        ${email}, ${password}, ${request.ipAddress ?? null}, ${request.userAgent ?? null},
        ${tenant ?? null}
      ) as l
    `;
    return answer;
  });
  if (row?.outcome === "ok") return row;
  throw refusal(row?.outcome, Number(row?.retryAfterMs));
}

function refusal(outcome: Row["outcome"] | undefined, retryAfterMs: number): ApiError {
  switch (outcome) {
    case "slowed":
      return new ApiError(
        "QS429",
        "too many failed sign-ins",
        "Try again when retryAfterMs is over.",
        { retryAfterMs },
      );
    case "ambiguous":
      return new ApiError(
        "QS409",
        "several tenants know this address and password",
        "Name the tenant to sign in to.",
      );
    default:
      return new ApiError("QS401", "email or password is wrong", "Check both, then try again.");
  }
}
