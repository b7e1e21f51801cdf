import { CommanderError } from "commander";
import { UserError } from "../user-error.ts";
import { printableLines } from "./printable.ts";

/** PostgreSQL's own fields of an error, as both drivers deliver them. */
interface DatabaseError extends Error {
  code: string;
  detail?: string;
  hint?: string;
}

/** Prints the error and its hint; answers the exit code. */
export function reportError(error: unknown): number {
  if (error instanceof CommanderError) return reportUsage(error);
  console.error(printableLines(describeError(error)));
  return error instanceof UserError ? error.exitCode : 1;
}

/** Help that was asked for has been printed already. */
function reportUsage({ code, exitCode, message }: CommanderError): number {
  if (code.startsWith("commander.help") || exitCode === 0) return exitCode;
  const hint = "Run the command with --help to see what it takes.";
  console.error(
    lines(`${message.replace(/^error: /, "").replaceAll("\n", " ")} (bad_usage)`, undefined, hint),
  );
  return 2;
}

export function describeError(error: unknown): string {
  if (error instanceof UserError) {
    const told = lines(`${error.message} (${error.code})`, undefined, error.hint);
    return [...error.findings, told].join("\n");
  }
  if (isDatabaseError(error)) {
    return lines(`${error.message} (${error.code})`, error.detail, error.hint);
  }
  if (isUnreachable(error)) {
    const hint = "Check the connection URL, and whether that server runs.";
    return lines(`the database does not answer: ${error.message}`, undefined, hint);
  }
  return error instanceof Error ? `error: ${error.stack}` : `error: ${String(error)}`;
}

const sqlState = /^(?=.*\d)[0-9A-Z]{5}$/;
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

function lines(message: string, detail: string | undefined, hint: string | undefined): string {
  const parts = [`error: ${message}`];
  if (detail) parts.push(`detail: ${detail}`);
  if (hint) parts.push(`hint: ${hint}`);
  return parts.join("\n");
}
