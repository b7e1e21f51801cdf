import { UserError } from "../user-error.ts";

/** PostgreSQL's own fields of an error, as both drivers deliver them. */
interface DatabaseError extends Error {
  code: string;
  detail?: string;
  hint?: string;
}

export function describeError(error: unknown): string {
  if (error instanceof UserError) {
    const told = errorLines(`${error.message} (${error.code})`, undefined, error.hint);
    return [...error.findings, told].join("\n");
  }
  if (isDatabaseError(error)) {
    const detail = showsRow.has(error.code) ? undefined : error.detail;
    return errorLines(`${error.message} (${error.code})`, detail, error.hint);
  }
  if (isUnreachable(error)) {
    const hint = "Check the connection URL, and whether that server runs.";
    return errorLines(`the database does not answer: ${error.message}`, undefined, hint);
  }
  return error instanceof Error ? `error: ${error.stack}` : `error: ${String(error)}`;
}

const sqlState = /^(?=.*\d)[0-9A-Z]{5}$/;
/** A failed check, and a null: PostgreSQL's detail of both is the whole row, with what is secret in it. */
const showsRow = new Set(["23502", "23514"]);
const unreachable =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ENOTFOUND|EHOSTUNREACH|ETIMEDOUT|CONNECT_TIMEOUT|CONNECTION_CLOSED)$/;

function isDatabaseError(error: unknown): error is DatabaseError {
  return hasCode(error, sqlState);
}

function isUnreachable(error: unknown): error is Error {
  return hasCode(error, unreachable);
}

function hasCode(error: unknown, pattern: RegExp): boolean {
  return error instanceof Error && "code" in error && pattern.test(String(error.code));
}

/** An error as the command line prints every one. */
export function errorLines(
  message: string,
  detail: string | undefined,
  hint: string | undefined,
): string {
  const parts = [`error: ${message}`];
  if (detail) parts.push(`detail: ${detail}`);
  if (hint) parts.push(`hint: ${hint}`);
  return parts.join("\n");
}
