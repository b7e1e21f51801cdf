import type { Sql, TransactionSql } from "../../postgres/connect.ts";
import { ApiError } from "../api-error.ts";
import { inContext } from "../in-context.ts";
import type { HashQueue } from "../passwords/hash-queue.ts";
import { verifyPassword } from "../passwords/password-hash.ts";
import type { ApiRequest } from "../request.ts";
import { withinTime } from "../within-time.ts";
import { type SecondFactors, sourceOf } from "./second-factors.ts";

/** What signing in needs beside the database. */
export interface SignInParts {
  readonly sql: Sql;
  readonly hashes: HashQueue;
  readonly factors: SecondFactors;
}

/** What the database answers of the account that a password is checked for. */
export interface CheckedAccount {
  readonly outcome: "check" | "slowed";
  readonly retryAfterMs: string | null;
  /** The moment that the attempt was counted at: what completes it names it. */
  readonly countedAt: string;
  readonly userId: string | null;
  readonly passwordHash: string | null;
  readonly hashCost: string;
  readonly secondFactor: Uint8Array | null;
  readonly isConfirmed: boolean | null;
  readonly isRequired: boolean | null;
}

/** Counts the attempt, then looks at the password; throws QS429 where failures slow it. */
export async function checkPasswordOf(
  { sql, hashes }: SignInParts,
  request: ApiRequest,
  password: string,
  begin: (transaction: TransactionSql) => Promise<CheckedAccount | undefined>,
): Promise<{ readonly account: CheckedAccount; readonly isRight: boolean }> {
  const account = await withinTime(inContext(sql, request, begin));
  if (account === undefined) throw new Error("the database answered no account to check");
  if (account.outcome === "slowed") throw slowed(Number(account.retryAfterMs));
  const isRight = await hashes.run(sourceOf(request), () =>
    verifyPassword(password, account.passwordHash, Number(account.hashCost)),
  );
  return { account, isRight: isRight && account.userId !== null };
}

function slowed(retryAfterMs: number): ApiError {
  const hint = "Try again when retryAfterMs is over.";
  return new ApiError("QS429", "too many failed sign-ins", hint, { retryAfterMs });
}
