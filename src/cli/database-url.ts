import { urlFrom } from "../postgres/url.ts";
import { UserError } from "../user-error.ts";

/** The database that a command works on, or an error that says how to name one. */
export function databaseUrl(env: NodeJS.ProcessEnv = process.env): string {
  const url = urlFrom(env, "DATABASE_URL");
  if (url === undefined) {
    throw new UserError(
      "database_url_missing",
      "DATABASE_URL is not set",
      "Set it to a connection URL such as postgres://login:password@host:5432/database.",
    );
  }
  return url;
}
