import { UserError } from "../user-error.ts";

/** The database that a command works on, or an error that says how to name one. */
export function databaseUrl(env: NodeJS.ProcessEnv = process.env): string {
  const url = env.DATABASE_URL;
  if (!url) {
    throw new UserError(
      "database_url_missing",
      "DATABASE_URL is not set",
      "Set it to a connection URL such as postgres://login:password@host:5432/database.",
    );
  }
  if (!URL.canParse(url) || !/^postgres(ql)?:$/.test(new URL(url).protocol)) {
    throw new UserError(
      "database_url_invalid",
      "DATABASE_URL is not a connection URL",
      "It looks like postgres://login:password@host:5432/database.",
    );
  }
  return url;
}
