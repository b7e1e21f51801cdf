import { ApiError } from "../api-error.ts";
import { inContext } from "../in-context.ts";
import type { ApiRequest } from "../request.ts";
import { type CheckedAccount, checkPasswordOf, type SignInParts } from "./credential-check.ts";
import type { Session } from "./tokens.ts";

export interface Credentials {
  /** The name of the tenant: the same address may have an account with several. */
  readonly tenant: string;
  readonly email: string;
  readonly password: string;
  /** The code of the second factor, for users who have one. */
  readonly code?: string | null;
}

/** An account whose password was right. */
type Known = CheckedAccount & { readonly userId: string; readonly passwordHash: string };

/** Starts a session, or throws an error that does not tell whether the account exists. */
export async function signIn(
  parts: SignInParts,
  credentials: Credentials,
  request: ApiRequest,
): Promise<Session> {
  const { account, isRight } = await checkPasswordOf(
    parts,
    request,
    credentials.password,
    async (transaction) => {
      const [row] = await transaction<CheckedAccount[]>`
        select
          b.outcome, b.retry_after_ms as "retryAfterMs", b.counted_at as "countedAt",
          b.user_id as "userId", b.password_hash as "passwordHash", b.hash_cost as "hashCost",
          b.second_factor as "secondFactor", b.is_confirmed as "isConfirmed",
          b.is_required as "isRequired"
        from rate_limiter_private.begin_login(
          ${credentials.tenant}, ${credentials.email}, ${request.ipAddress ?? null}
        ) as b
      `;
      return row;
    },
  );
  if (!isRight) {
    await fail(parts, account, "wrong password", request);
    throw wrongCredentials();
  }
  return complete(parts, account as Known, credentials, request);
}

async function complete(
  parts: SignInParts,
  account: Known,
  credentials: Credentials,
  request: ApiRequest,
): Promise<Session> {
  const step = await stepOfCode(parts, account, credentials, request);
  const row = await inContext(parts.sql, request, async (transaction) => {
    const [answer] = await transaction<(Omit<Session, "userId"> & { outcome: string })[]>`
      select
        c.outcome, c.session_id as "sessionId", c.refresh_token as "refreshToken",
        c.refresh_expires_at as "refreshExpiresAt", c.expires_at as "sessionExpiresAt"
      from rate_limiter_private.complete_login_at(
        ${account.countedAt}, ${account.userId}, ${account.passwordHash}, ${step ?? null},
        ${request.ipAddress ?? null}, ${request.userAgent ?? null}
      ) as c
    `;
    return answer;
  });
  if (row?.outcome !== "ok") throw wrongCredentials();
  return { ...row, userId: account.userId };
}

/** The time step of the code, where one is asked for; undefined where none is. */
async function stepOfCode(
  parts: SignInParts,
  account: Known,
  { code, tenant, email }: Credentials,
  request: ApiRequest,
): Promise<number | undefined> {
  const { isConfirmed, isRequired, secondFactor } = account;
  if (!isConfirmed && !isRequired) return undefined;
  if (!code || secondFactor === null) {
    await excuse(parts, account, request);
    if (isConfirmed) throw codeMissing();
    throw await enrolmentNeeded(parts, account, `${tenant}:${email}`, request);
  }
  const step = parts.factors.stepOf(secondFactor, code);
  if (step !== undefined) return step;
  await fail(parts, account, "wrong one-time code", request);
  throw new ApiError("QS401", "one-time code is wrong", "Give the code that is shown now.");
}

/** The first sign-in of a user who is asked for a second factor hands out its secret. */
async function enrolmentNeeded(
  { sql, factors }: SignInParts,
  { userId, passwordHash }: Known,
  label: string,
  request: ApiRequest,
): Promise<ApiError> {
  const { encrypted, uri } = factors.enrol(label);
  const isStored = await inContext(sql, request, async (transaction) => {
    const [row] = await transaction<{ stored: boolean }[]>`
      select rate_limiter_private.enrol_at_login(${userId}, ${passwordHash}, ${encrypted}) as stored
    `;
    return row?.stored;
  });
  if (!isStored) return wrongCredentials();
  const hint = "Add otpauthUri to an authenticator app, then sign in with a code of it.";
  return new ApiError("QS401", "second factor is required", hint, { otpauthUri: uri });
}

function fail(
  { sql }: SignInParts,
  { userId }: CheckedAccount,
  reason: string,
  request: ApiRequest,
): Promise<void> {
  return inContext(sql, request, async (transaction) => {
    await transaction`
      select rate_limiter_private.fail_login(
        ${userId}, ${reason}, ${request.ipAddress ?? null}, ${request.userAgent ?? null}
      )
    `;
  });
}

/** The password was right: that a code is asked for next is not a failure. */
function excuse({ sql }: SignInParts, account: Known, request: ApiRequest): Promise<void> {
  return inContext(sql, request, async (transaction) => {
    await transaction`
      select rate_limiter_private.excuse_login(
        ${account.countedAt}, ${account.userId}, ${request.ipAddress ?? null}
      )
    `;
  });
}

function codeMissing(): ApiError {
  return new ApiError("QS401", "one-time code is missing", "Give code as well.");
}

function wrongCredentials(): ApiError {
  const hint = "Check tenant, email and password, then try again.";
  return new ApiError("QS401", "email or password is wrong", hint);
}
