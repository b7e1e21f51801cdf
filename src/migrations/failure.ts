import { UserError } from "../user-error.ts";

interface ServerError extends Error {
  code?: string;
  detail?: string;
  hint?: string;
  where?: string;
  /** graphile-migrate's picture of the place in the file. */
  _gmMessageOverride?: string;
}

/** The server's own words, with the place in the migration. */
export function migrationFailure(error: unknown): unknown {
  const { code, message, detail, hint, where, _gmMessageOverride } = error as ServerError;
  if (code === undefined) return error;
  const place = _gmMessageOverride ?? `${code}: ${message}`;
  const text = ["the migration failed", place, detail, where].filter(Boolean).join("\n");
  return new UserError("migration_failed", text, hint, { cause: error });
}
