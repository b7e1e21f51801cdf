import { UserError } from "../user-error.ts";

interface ServerError extends Error {
  code?: string;
  detail?: string;
  hint?: string;
  where?: string;
  /** graphile-migrate's picture of the place in the file. */
  _gmMessageOverride?: string;
}

const diskFull = "53100";

/** The server's own words, with the place in the migration. */
export function migrationFailure(error: unknown): unknown {
  const { code, message, detail, hint, where, _gmMessageOverride } = error as ServerError;
  if (code === undefined) return error;
  if (code === diskFull) return noSpace(message, error);
  const place = _gmMessageOverride ?? `${code}: ${message}`;
  const text = ["the migration failed", place, detail, where].filter(Boolean).join("\n");
  return new UserError("migration_failed", text, hint, { cause: error });
}

function noSpace(message: string, cause: unknown): UserError {
  return new UserError(
    "no_space_left",
    `the server's disk is full: ${message}`,
    "Free space on the server, or give it more, then migrate again: the migration that failed " +
      "has changed nothing.",
    { cause },
  );
}
