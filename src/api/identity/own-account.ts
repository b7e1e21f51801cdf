import { ApiError } from "../api-error.ts";
import { inContext } from "../in-context.ts";
import { hashPassword } from "../passwords/password-hash.ts";
import { checkPassword } from "../passwords/password-rules.ts";
import type { ApiRequest } from "../request.ts";
import { withinTime } from "../within-time.ts";
import { type CheckedAccount, checkPasswordOf, type SignInParts } from "./credential-check.ts";
import { sourceOf } from "./second-factors.ts";

/** What users change of their own account, each with the current password. */
export function ownAccount(parts: SignInParts) {
  return {
    async changePassword(current: string, next: string, request: ApiRequest): Promise<void> {
      const account = await provePassword(parts, current, request);
      const hash = await hashOfNew(parts, next, account.userId, request);
      await inContext(
        parts.sql,
        request,
        (sql) => sql`
          select rate_limiter_private.change_password(
            ${account.countedAt}, ${account.passwordHash}, ${hash}
          )
        `,
      );
    },

    async changeEmail(current: string, email: string, request: ApiRequest): Promise<void> {
      const account = await provePassword(parts, current, request);
      await inContext(
        parts.sql,
        request,
        (sql) => sql`
          select rate_limiter_private.change_email(
            ${account.countedAt}, ${account.passwordHash}, ${email}
          )
        `,
      );
    },

    /** Answers the URI for an authenticator app. */
    async enrolSecondFactor(current: string, request: ApiRequest): Promise<string> {
      const account = await provePassword(parts, current, request);
      const { encrypted, uri } = parts.factors.enrol(account.userId ?? "");
      await inContext(
        parts.sql,
        request,
        (sql) => sql`
          select rate_limiter_private.enrol_second_factor(
            ${account.countedAt}, ${account.passwordHash}, ${encrypted}
          )
        `,
      );
      return uri;
    },

    confirmSecondFactor: (current: string, code: string, request: ApiRequest) =>
      withCode(parts, current, code, request, "confirm_second_factor"),

    removeSecondFactor: (current: string, code: string, request: ApiRequest) =>
      withCode(parts, current, code, request, "remove_second_factor"),
  };
}

/** Gives another user a new password. */
export async function resetPassword(
  parts: SignInParts,
  userId: string,
  next: string,
  request: ApiRequest,
): Promise<void> {
  // Ahead of the hash, which costs, and of what the rules would tell of the user.
  await inContext(
    parts.sql,
    request,
    (sql) => sql`select rate_limiter_internal.require_access_to_give(${userId})`,
    { role: "rate_limiter_visitor" },
  );
  const hash = await hashOfNew(parts, next, userId, request);
  await inContext(
    parts.sql,
    request,
    (sql) => sql`select rate_limiter_private.reset_password(${userId}, ${hash})`,
  );
}

export interface Acceptance {
  readonly tenant: string;
  readonly email: string;
  readonly requiresSecondFactor: boolean;
}

/** Sets the password of an invited user, by the token of the invitation, which works once. */
export async function acceptInvitation(
  parts: SignInParts,
  token: string,
  next: string,
  request: ApiRequest,
): Promise<Acceptance> {
  // Ahead of the hash, which costs: a token that does not work is refused here.
  const [invited] = await withinTime(parts.sql<{ userId: string | null }[]>`
    select rate_limiter_private.user_of_invitation(${token}) as "userId"
  `);
  const hash = await hashOfNew(parts, next, invited?.userId ?? null, request);
  const [accepted] = await inContext(
    parts.sql,
    request,
    (sql) => sql<Acceptance[]>`
      select a.tenant, a.email, a.requires_second_factor as "requiresSecondFactor"
      from rate_limiter_private.accept_invitation(${token}, ${hash}) as a
    `,
  );
  if (accepted === undefined) throw new Error("the database answered no acceptance");
  return accepted;
}

/** Checks that the sender knows the password; a wrong one counts as a failed sign-in. */
async function provePassword(
  parts: SignInParts,
  password: string,
  request: ApiRequest,
): Promise<CheckedAccount> {
  const { account, isRight } = await checkPasswordOf(parts, request, password, async (sql) => {
    const [row] = await sql<CheckedAccount[]>`
      select
        b.outcome, b.retry_after_ms as "retryAfterMs", b.counted_at as "countedAt",
        b.user_id as "userId", b.password_hash as "passwordHash", b.hash_cost as "hashCost",
        b.second_factor as "secondFactor", b.is_confirmed as "isConfirmed",
        b.is_required as "isRequired"
      from rate_limiter_private.begin_password_check() as b
    `;
    return row;
  });
  if (isRight) return account;
  throw new ApiError("QS403", "current password is wrong", "Check it, then try again.");
}

async function hashOfNew(
  { sql, hashes }: SignInParts,
  password: string,
  userId: string | null,
  request: ApiRequest,
): Promise<string> {
  const [rules] = await sql<{ shortest: string; hashCost: string; names: string[] }[]>`
    select r.shortest, r.hash_cost as "hashCost", r.names
    from rate_limiter_private.password_rules(${userId}) as r
  `;
  if (rules === undefined) throw new Error("the database answered no rules of passwords");
  await checkPassword(password, { shortest: Number(rules.shortest), names: rules.names });
  return hashes.run(sourceOf(request), () => hashPassword(password, Number(rules.hashCost)));
}

type CodeStatement = "confirm_second_factor" | "remove_second_factor";

async function withCode(
  parts: SignInParts,
  password: string,
  code: string,
  request: ApiRequest,
  statement: CodeStatement,
): Promise<void> {
  const { countedAt, passwordHash, secondFactor } = await provePassword(parts, password, request);
  if (secondFactor === null) {
    throw new ApiError("QS404", "no second factor", "Begin one with enrolSecondFactor.");
  }
  const step = parts.factors.stepOf(secondFactor, code);
  const isDone =
    step !== undefined &&
    (await inContext(parts.sql, request, async (sql) => {
      const [row] = await sql<{ done: boolean }[]>`
        select ${sql("rate_limiter_private")}.${sql(statement)}(
          ${countedAt}, ${passwordHash}, ${step}
        ) as done
      `;
      return row?.done;
    }));
  if (!isDone) {
    throw new ApiError("QS403", "one-time code is wrong", "Give the code that is shown now.");
  }
}
